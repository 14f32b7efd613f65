#!/bin/bash
# Requests in flight: never more than allowed on an account, by what the upstream saw; nothing is left of who was killed.
. "$(dirname "$0")/lib.sh"
keys a b c
auto
fake_start
fake_script '[{"key": "*", "do": {"delay_ms": 700, "status": 200, "body": "ok"}}]'

many() {	# many COUNT: the statuses of as many requests at once
	local i
	for i in $(seq "$1"); do curl -s -m 30 -o "$D/b.$i" -w '%{http_code}\n' "$U/x" & P[i]=$!; done >"$D/codes"
	for i in $(seq "$1"); do wait "${P[i]}"; done
	sort "$D/codes" | uniq -c | tr -s ' ' | tr '\n' ';'
}
# most FIELDS: the most requests that were at the upstream at once, for each of what the jq expression groups by
most() {
	jq -sc "group_by($1) | map(. as \$all | map(. as \$one | [\$all[] | select(.t_start <= \$one.t_start and .t_end > \$one.t_start)] | length) | max) | max" "$D/rec/log.jsonl"
}

pool_start KMI_PROXY_MAX_CONCURRENCY_PER_KEY=1
is "$(many 5)" " 3 200; 2 429;" "three keys, one request each at once: three of five"
is "$(grep -ho rate_limited "$D"/b.* | sort -u)" rate_limited "the others are told"
has "$(grep -h hint "$D"/b.*)" "KMI_PROXY_MAX_CONCURRENCY_PER_KEY" "and by which setting"
is "$(many 3)" " 3 200;" "afterwards all are free again"
trace_wait 8
is "$(jq -s 'map(select(.rotation_index != null) | .eligible[(.rotation_index + .passed) % 3] == .attempts[0].label) | all' "$D/state/trace/trace.jsonl")" true \
	"the trace tells how many were passed over"
pool_stop

fake_reset
pool_start KMI_PROXY_MAX_CONCURRENCY_PER_KEY=2 KMI_PROXY_WAIT_SECONDS=20
is "$(many 15)" " 15 200;" "those who may wait are all served"
fake_wait 15
is "$(most .key)" 2 "with two at once on each key, never more"
pool_stop

# keys of one account; a limit of its own
fake_reset
printf 'KMI_API_KEY=sk-fake-a-000a\nKMI_KEY_ACCOUNT=one\n' >"$D/auths/a.env"
printf 'KMI_API_KEY=sk-fake-b-000b\nKMI_KEY_ACCOUNT=one\n' >"$D/auths/b.env"
printf 'KMI_API_KEY=sk-fake-c-000c\nKMI_KEY_MAX_CONCURRENCY=3\n' >"$D/auths/c.env"
pool_start KMI_PROXY_MAX_CONCURRENCY_PER_KEY=1
is "$(many 8)" " 4 200; 4 429;" "two keys of one account count as one; a key file may allow more"
fake_wait 4
is "$(jq -sc 'map(if .key == "sk-fake-c-000c" then "c" else "one" end) | group_by(.) | map(length)' "$D/rec/log.jsonl")" "[3,1]" "as told"

# retries let go of what they had
fake_script '[{"key": "sk-fake-a-000a", "do": {"status": 500, "body": "no"}}, {"key": "*", "do": {"status": 200, "body": "ok"}}]'
rm "$D/auths/c.env"
for i in 1 2 3 4; do ask /x; echo "$CODE"; done >"$D/codes"
is "$(sort -u "$D/codes")" 200 "another key of the same account may be tried, for the first attempt has ended"
pool_stop

# however they end
rm -rf "$D/auths/b.env" "$D/state/state.json"
keys a
auto
fake_script '[{"key": "*", "do": {"stall": true}}]'
pool_start KMI_PROXY_MAX_CONCURRENCY_PER_KEY=1
for how in client handler; do
	fake_reset
	curl -s -m 30 -o "$D/stalled" "$U/x" &
	C=$!
	until_true 10 eval '[ $(fake_live) -ge 1 ]'
	ask /x
	is "$CODE $(echo "$BODY" | jq -r .error.code)" "429 rate_limited" "the only slot is taken"
	[ $how = client ] && kill -9 $C || kill -9 $(pgrep -P "$POOL")
	wait $C 2>/dev/null
	fake_wait 1
	fake_script '[]'
	ask /models
	is "$CODE" 200 "the $how is killed: it is free again"
	fake_script '[{"key": "*", "do": {"stall": true}}]'
done
pool_stop
ok "without the setting there are no slots" eval "rm -rf '$D/state'; fake_script '[]'; pool_start; ask /models; pool_stop; ! test -e '$D/state/slots'"
finish
