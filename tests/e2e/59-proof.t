#!/bin/bash
# kmi trace --verify recomputes what every strategy chose: a line whose key was altered, with all that belongs to it and without its sum, is the first wrong one.
. "$(dirname "$0")/lib.sh"
T=$BIN/kmi-trace
TR=$D/state/trace/trace.jsonl
trace() { timeout 30 "$T" "$@" >"$D/out" 2>"$D/err"; code=$?; OUT=$(cat "$D/out") ERR=$(cat "$D/err"); }
say() { ask /chat/completions -H 'Content-Type: application/json' -d "{\"prompt_cache_key\": \"$1\", \"messages\": [{\"role\": \"user\", \"content\": \"hi\"}]}"; }

# altered NAME LINE PART: its key becomes another fit one, consistently, and nothing is left that sums it up
altered() {
	local id
	cp "$TR" "$D/whole"
	trace --verify
	is "$code $(grep -c "$(wc -l <"$TR") of $(wc -l <"$TR")" "$D/out")" "0 1" "$1: every line recomputed"
	jq -c --argjson n "$2" '
	    if input_line_number == $n then
		(.key_label) as $was | ((.eligible - [$was])[0]) as $other
		| del(.check) | .key_label = $other | .account = $other | .attempts[0].label = $other | .attempts[0].account = $other
	    else . end' "$D/whole" >"$TR"
	id=$(sed -n "$2p" "$TR" | jq -r .request_id)
	trace --verify --json
	is "$code $(jq -r '.ok, .first_wrong.request_id' "$D/out" | xargs)" "1 false $id" "$1: the altered line is named as the first wrong one"
	has "$OUT" "$3" "$1: and why"
	trace --why "$id"
	has "$OUT" "NOT right" "$1: --why says so, too"
	# as an older kmi wrote it, it is right as far as it tells
	jq -c 'del(.check, .active, .active_place, .conversation, .accounts, .quota)' "$D/whole" >"$TR"
	trace --verify
	is "$code" 0 "$1: a line of an older kmi"
	cp "$D/whole" "$TR"
}

keys a b c d
fake_start

# ---- manual mode
echo '{"schema_version": 1, "auto_rotate": false, "active_index": 2, "keys": {}}' >"$D/state/state.json"
pool_start
for i in {1..5}; do chat; done
trace_wait 5
is "$(trace_last 'active') $(trace_last active_place) $(trace_last 'attempts[0].choice')" "c 2 active" "manual: the active key is in the line"
altered manual 3 "with c as the active key it was for c to serve"
fake_script '[{"key": "sk-fake-c-000c", "times": 1, "do": {"preset": "rate-retry-after"}}]'
chat; chat
trace_wait 7
is "$(tail -n 2 "$TR" | jq -sc 'map([.active, .active_place, .eligible[.active_place], .attempts[0].label])')" '[["c",2,"c","c"],["c",2,"d","d"]]' "manual: a locked key makes place for the next"
altered "manual, the active key locked" 7 "it was for d to serve"
sed -i '3s/"active": "c"/"active": "b"/; 3s/, "check": "[^"]*"//' "$TR"
trace --verify
is "$code $(grep -c "did not begin there" "$D/out")" "1 1" "manual: another active key does not explain it"
# the last line removed: no turns are counted in manual mode, but the key was used
head -n 6 "$D/whole" >"$TR"
sed -i "s/\"ts\": \"[^\"]*\"/\"ts\": \"$(date -u -d '2 days ago' '+%F %T +0000')\"/; s/, \"check\": \"[^\"]*\"//" "$TR"
trace --verify
is "$code $(grep -c "right so far" "$D/out") $(grep -c "key [cd] was used .* no line tells of it yet" "$D/out")" "0 1 1" "manual: a line missing at the end is told"
sed -i "s/\"last_used\": \"[^\"]*\"/\"last_used\": \"$(date -u -d '1 day ago' '+%FT%TZ')\"/" "$D/state/state.json"
trace --verify
is "$code $(grep -c INCOMPLETE "$D/out") $(grep -c "no line tells of it: " "$D/out")" "1 1 1" "manual: and counts when it is old"
pool_stop

# ---- turns
rm -rf "$D/state"; mkdir "$D/state"; auto; fake_script '[]'
pool_start
for i in {1..6}; do chat; done
trace_wait 6
altered turns 4 "was that of"
pool_stop

# ---- conversations
rm -rf "$D/state"; mkdir "$D/state"; auto
pool_start KMI_ROTATE_STRATEGY=session
for i in {1..12}; do say "s$((i % 5))"; done
trace_wait 12
is "$(jq -s 'all(.conversation == .session) and all(has("accounts") | not)' "$TR")" true "session: the conversation is in the line"
altered session 7 "was to go to"
ask /models -H 'X-Session-Id: mine'
trace_wait 13
is "$(trace_last session) $(trace_last 'conversation | length')" "null 12" "session: also one known by a header"
altered "session by a header" 13 "was to go to"
pool_stop
for k in a b c d; do printf 'KMI_API_KEY=sk-fake-%s-000%s\nKMI_KEY_ACCOUNT=%s\n' $k $k "$([ $k = d ] && echo two || echo one)" >"$D/auths/$k.env"; done
rm -rf "$D/state/trace"
pool_start KMI_ROTATE_STRATEGY=session
for i in {1..8}; do say "t$i"; done
trace_wait 8
is "$(trace_last accounts)" '["one","one","one","two"]' "session: the accounts, where they have names of their own"
trace --verify
is "$code $(grep -c '8 of 8' "$D/out")" "0 1" "session: by account"
cp "$TR" "$D/whole"
jq -c 'if input_line_number == 5 then .accounts = ["one"] else . end' "$D/whole" >"$TR"
trace --verify
is "$code $(grep -c 'of the accounts of 1' "$D/out")" "1 1" "session: accounts that do not belong to the keys"
pool_stop

# ---- many keys of few accounts
rm -rf "$D/state/trace" "$D"/auths/*
for i in {1..40}; do printf 'KMI_API_KEY=sk-fake-n%s-000x\nKMI_KEY_ACCOUNT=acc%s\n' $i $((i % 7)) >"$D/auths/n$i.env"; done
pool_start KMI_ROTATE_STRATEGY=session
for i in {1..6}; do say "u$i"; done
trace_wait 6
trace --verify
is "$code $(grep -c '6 of 6' "$D/out") $(trace_last 'accounts.count')" "0 1 40" "session: forty keys, their accounts kept beside the trace"
sed -i 's/acc3/acc4/' "$D/state/trace/sets/$(trace_last accounts.set).json"
trace --verify
is "$code $(grep -c 'was changed' "$D/out")" "1 1" "session: accounts that were altered"
pool_stop

# ---- most quota
rm -rf "$D/state" "$D"/auths/*; mkdir "$D/state"; auto
keys a b c d
used() { echo "{\"key\": \"sk-fake-$1-000$1\", \"path\": \"/usages\", \"do\": {\"body\": {\"json\": {\"usage\": {\"limit\": \"100\", \"used\": \"$2\"}}}}}"; }
fake_script "[$(used a 60), $(used b 20), $(used c 20), $(used d 35)]"
export KMI_ROTATE_STRATEGY=most-quota
"$BIN/kmi-health" --refresh >"$D/health.out" 2>&1
pool_start
for i in {1..12}; do chat; done
trace_wait 12
is "$(trace_last 'eligible | join(" ")') $(trace_last quota)" "b c d a [[80,2],[65,1],[40,1]]" "most quota: what is left of each is in the line"
cp "$TR" "$D/whole"
jq -c 'if input_line_number == 6 then del(.check) | .key_label = "d" | .account = "d" | .attempts[0].label = "d" | .attempts[0].account = "d" else . end' "$D/whole" >"$TR"
trace --verify
is "$code $(grep -c "request $(sed -n 6p "$TR" | jq -r .request_id).*not one of the 2 keys" "$D/out")" "1 1" "most quota: a fit key that had less is found"
cp "$D/whole" "$TR"
trace --verify
is "$code $(grep -c '12 of 12' "$D/out")" "0 1" "most quota: all recomputed"
fake_script "[$(used a 60), $(used b 30), $(used c 20), $(used d 35)]"
"$BIN/kmi-health" --refresh >"$D/health.out" 2>&1
chat
trace_wait 13
altered "most quota, one has most" 13 "c had most quota left"
pool_stop

# ---- taken over from the older tool: its lines tell too little, and what was before ours is not asked for
rm -rf "$D/state" "$D"/auths/*; mkdir -p "$D/state"
keys a b
echo '[]' >"$D/script.json"
unset KMI_ROTATE_STRATEGY
pool_start
echo '{"schema_version": 1, "auto_rotate": true, "active_index": 0, "rotation_index": 41, "last_health_refresh": null, "keys": {
	"a": {"last_used": "2026-02-02T12:30:09Z", "request_count": 3, "error_401": 0, "exhausted_until": null, "mine": [1, 2.50]},
	"b": {"last_used": "2026-02-03T12:30:00Z", "request_count": 3}, "gone": {"last_used": "2026-02-03T12:30:00Z", "request_count": 3}}}' >"$D/state/state.json"
mkdir -p "$D/state/trace"
for i in 0 1 0 1 5; do
	echo '{"ts": "2026-02-02 15:30:0'$i' +0300", "request_id": "'$i$RANDOM'", "key_label": "a", "endpoint": "/models", "status": 200, "latency_ms": 12, "rotation_index": '$i'}'
done >"$TR"
for i in {1..4}; do chat; done
trace_wait 9
trace --verify
is "$code $(grep -c '^right: 4 of 9' "$D/out") $(grep -c '^5 lines do not say enough' "$D/out")" "0 1 1" "the older tool's trace and books: nothing is missed"
is "$(trace_last rotation_index) $(grep -c '"mine": \[1, 2.50\]' "$D/state/state.json")" "44 1" "its rotation goes on, and what it alone knows is kept"
trace --why "$(sed -n 5p "$TR" | jq -r .request_id)"
has "$OUT" "the older tool, which tells only the key: a" "--why of one of its lines"
echo '{"schema_version": 1, "keys": {"a": {"exhausted_until": "2999-01-01T00:00:00Z"}, "b": {"exhausted_until": "2999-01-01T00:00:00Z"}}}' >"$D/state/state.json"
ask /models
is "$CODE $(echo "$BODY" | jq -c '.error.keys[0] | [.label, .status, .reason]')" '429 ["a","exhausted",null]' "its locks hold; they have no reason"
echo '{"schema_version": 7, "keys": {}}' >"$D/state/state.json"
"$BIN/kmi" rotate >"$D/out" 2>"$D/err"
is "$? $(grep -c 'move that file away' "$D/err") $(grep -c 'state.json' "$D/err")" "1 1 1" "books of a newer kmi: which file, and what to do"
pool_stop
finish
