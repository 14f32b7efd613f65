#!/bin/bash
# What each kind of answer does to its key, to the next attempt, and to what the client gets.
. "$(dirname "$0")/lib.sh"
keys a b c
fake_start
export KMI_AUTO_ROTATE_ALLOWED=1	# state.json says whether it is on: not in most cases
pool_start

fresh() {	# every case begins without a past
	rm -f "$D/state/state.json" "$D/state/pool.index"
	rm -rf "$D/state/trace"
	fake_script "[]"
	fake_reset
}
a_answers() { fake_script "[{\"key\": \"sk-fake-a-000a\", \"do\": $1}]"; }
all_answer() { fake_script "[{\"key\": \"*\", \"do\": $1}]"; }

# verdict PRESET VERDICT WHAT-THE-CLIENT-GETS KEYS-USED
verdict() {
	fresh
	a_answers "{\"preset\": \"$1\"}"
	chat
	fake_wait "$(echo $4 | wc -w)"
	trace_wait 1
	is "$CODE" "$3" "$1: the client gets $3"
	is "$(fake_keys 9)" "$4" "$1: keys used: $4"
	is "$(trace_last 'attempts[0].verdict')" "$2" "$1: the verdict is $2"
}

verdict auth auth 200 "a b"
has "$(state a blocked_reason)" "auth" "auth: the key is blocked"
is "$(state a error_401)" 1 "auth: counted"
is "$(state a blocked_source)" guess "auth: the end is our own guess"
chat; fake_wait 3
is "$(fake_keys 1)" b "auth: it is left alone afterwards"
echo "KMI_API_KEY=sk-fake-a2-000z" >"$D/auths/a.env.new"; mv "$D/auths/a.env.new" "$D/auths/a.env"
chat
is "$(state a blocked_until) $(state a blocked_reason)" "null null" "auth: a changed key file ends the block with the next request"
keys a

verdict payment payment 200 "a b"
has "$(state a blocked_until)" "20" "payment: blocked for a time"
verdict payment-zh payment 200 "a b"
verdict quota quota 200 "a b"
has "$(state a exhausted_reason)" "quota" "quota: the reason is kept"
verdict ua-403 request 403 "a"
is "$(state a exhausted_until)" null "a refused User-Agent is not the key's fault"
is "$(state a blocked_until)" null "nor blocks it"
verdict concurrency concurrency 200 "a b"
verdict forbidden forbidden 200 "a b"
verdict rate rate 200 "a b"
is "$(state a exhausted_source)" guess "rate without a hint: our own cooldown"
verdict bad-request request 400 "a"
verdict server-500 server 200 "a b"
ok "server: the key rests, since another did better" test "$(state a exhausted_until)" != null
is "$(state a faults)" 1 "server: one fault in a row"
verdict overload overload 200 "a b"
is "$(state a exhausted_until)" null "overload: the service, not the key: no lock"

# Retry-After is kept exactly, and never shortened
fresh
a_answers '{"preset": "rate-retry-after", "headers": [["Retry-After", "2"]]}'
chat
set_at=$(date +%s)
is "$CODE $(state a exhausted_source)" "200 stated" "429 with Retry-After: served by another key, the end is stated"
fake_script '[]'
sed -i 's/"auto_rotate": false/"auto_rotate": true /' "$D/state/state.json"
while [ "$(fake_keys 1)" != a ] && [ $(($(date +%s) - set_at)) -lt 8 ]; do chat; sleep 0.05; done
first=$(jq -s '[.[] | select(.key == "sk-fake-a-000a")] | .[1].t_start - .[0].t_end' "$D/rec/log.jsonl")
ok "it is left alone for those two seconds, and used again after them (after $first s)" \
	jq -ne "$first >= 2 and $first < 4"

# all fail: the upstream's last answer, as it is
fresh
all_answer '{"status": 503, "headers": [["x-odd", "kept"], ["Content-Type", "text/plain"]], "body": "down for repairs"}'
chat
is "$CODE $BODY" "503 down for repairs" "all fail: the last answer goes back as it is"
has "$(cat "$D/head")" "x-odd: kept" "with its headers"
is "$(state a exhausted_until) $(state b exhausted_until) $(state c exhausted_until)" "null null null" "and none is locked"
is "$(fake_keys 9)" "a b c" "three attempts, each on another key"

# all locked: a true Retry-After
fresh
all_answer '{"preset": "rate-retry-after", "headers": [["Retry-After", "30"]]}'
chat
is "$CODE" 429 "all at their limit: the upstream's own 429"
chat
is "$CODE" 429 "then kmi's"
retry=$(sed -n 's/^Retry-After: \([0-9]*\).*/\1/p' "$D/head")
ok "with the seconds that are left ($retry)" test "$retry" -ge 27 -a "$retry" -le 31
is "$(echo "$BODY" | jq -r '.error.keys | map(.label) | join(" ")')" "a b c" "and the reason of each key"
is "$(fake_count)" 3 "the upstream is not asked again"

# only payment blocks left
fresh
all_answer '{"preset": "payment"}'
chat
is "$CODE" 402 "payment everywhere: the upstream's 402"
chat
is "$CODE" 402 "and 402 while the blocks last"

# one probe every five seconds, no more
fresh
all_answer '{"preset": "auth"}'
chat
fake_script '[]'
before=$(fake_count)
for i in 1 2 3 4 5 6; do chat; codes="${codes:-} $CODE"; [ "$CODE" = 200 ] && break; sleep 1; done
has "$codes" "200" "a lock that is only our guess is tried again, and the answer goes back ($codes)"

# accounts
fresh
printf 'KMI_API_KEY=sk-fake-a-000a\nKMI_KEY_ACCOUNT=one\n' >"$D/auths/a.env"
printf 'KMI_API_KEY=sk-fake-b-000b\nKMI_KEY_ACCOUNT=one\n' >"$D/auths/b.env"
a_answers '{"preset": "rate-retry-after", "headers": [["Retry-After", "60"]]}'
chat; fake_wait 2
is "$(fake_keys 9)" "a c" "keys of one account share a limit: the next attempt is on another account"
chat; fake_wait 3
is "$(fake_keys 1)" "c" "and its other key is left alone too"
keys a b

# nothing there
mkdir "$D/away"; mv "$D"/auths/*.env "$D/away"
fresh
chat
is "$CODE $(echo "$BODY" | jq -r .error.code)" "503 no_keys" "no keys: 503 says so"
mv "$D"/away/*.env "$D/auths"
chat
is "$CODE" 200 "and they count from the next request on"
mv "$D/auths" "$D/auths.away"
fresh
chat
is "$CODE" 503 "no key folder: 503"
mv "$D/auths.away" "$D/auths"
chat
is "$CODE" 200 "it is back: served"

# bodies that survive
fresh
head -c 10485760 /dev/urandom | base64 -w0 | head -c 10485760 >"$D/big"
fake_script '[{"key": "sk-fake-a-000a", "do": {"preset": "rate"}}, {"key": "sk-fake-b-000b", "do": {"preset": "server-500"}}, {"key": "*", "do": {"status": 200, "body": "thanks"}}]'
rm -f "$D"/rec/*.body
ask /chat/completions --data-binary @"$D/big"
is "$CODE" 200 "a body of 10 MB goes through two failovers"
fake_wait 3
for f in "$D"/rec/*.body; do ok "whole: $(basename "$f")" cmp -s "$f" "$D/big"; done

pool_stop
is $? 0 "the pool ends well"
ok "no key stands in any file kmi wrote" bash -c "! grep -rq 'sk-fake' '$D/state'"

# unreachable, and certificates that are none of ours
pool_start KMI_UPSTREAM_BASE_URL=https://127.0.0.1:1/v1 KMI_UPSTREAM_CONNECT_TIMEOUT_SECONDS=2
fresh
chat
is "$CODE $(echo "$BODY" | jq -r .error.code)" "502 upstream_error" "nobody listens: 502"
is "$(echo "$BODY" | jq -r .error.message)" "the upstream could not answer: it refused the connection, or nobody listens there" "in our words"
is "$(state a exhausted_until)" null "and no key is blamed"
pool_stop
declare -A words=([untrusted]="сертификат не подписан никем, кому здесь доверяют" [expired]="срок сертификата истёк" [wronghost]="сертификат выдан другому узлу")
for cert in untrusted expired wronghost; do
	kill "$FAKE"; wait "$FAKE" 2>/dev/null
	fake_start "$cert"
	pool_start KMI_LOCALE=ru
	fresh
	chat
	is "$CODE" 502 "$cert certificate: 502"
	is "$(fake_live)" 0 "$cert certificate: nothing was sent"
	is "$(echo "$BODY" | jq -r .error.message)" "вышестоящий сервер не смог ответить: ${words[$cert]}" "$cert certificate: said in the client's language"
	pool_stop
	KMI_LOCALE=ru "$BIN/kmi-health" --refresh >"$D/health.out" 2>&1
	has "$(cat "$D/health.out")" ": ${words[$cert]}" "$cert certificate: by kmi health, too"
	has "$(jq -c .keys "$D/state/health.json")" '"error":"its certificate ' "$cert certificate: kept in English"
done
pool_start KMI_LOCALE=ru KMI_UPSTREAM_BASE_URL=https://no-such-host.invalid/v1 KMI_UPSTREAM_CONNECT_TIMEOUT_SECONDS=5
fresh
chat
has "вышестоящий сервер не смог ответить: имя узла не найдено|вышестоящий сервер не смог ответить: время ожидания вышло" "$(echo "$BODY" | jq -r .error.message)" "a name that is none: said in the client's language"
pool_stop
kill "$FAKE"; wait "$FAKE" 2>/dev/null
fake_start
fresh
all_answer '{"stall": true}'
pool_start KMI_UPSTREAM_IDLE_TIMEOUT_SECONDS=1 KMI_PROXY_RETRY_MAX=0
chat
is "$CODE $(echo "$BODY" | jq -r .error.code)" "504 timeout" "a silent upstream: 504"
is "$(trace_wait 1; trace_last error_code)" timeout "traced as such"
pool_stop
finish
