#!/bin/bash
# kmi health: every shape of answer, one refresher at a time, refreshed by requests, what it means for the choice.
. "$(dirname "$0")/lib.sh"
export KMI_USAGE_CACHE_SECONDS=600
keys a b c d e
fake_start
PATH=$BIN:$PATH
usages='[{"key": "sk-fake-b-000b", "path": "/usages", "do": {"status": 401}},
 {"key": "sk-fake-c-000c", "path": "/usages", "do": {"body": {"json": {"usage": {"limit": "100", "remaining": "0", "resetTime": "2099-01-09T15:23:13.716839300Z"}}}}},
 {"key": "sk-fake-d-000d", "path": "/usages", "do": {"status": 404}},
 {"key": "sk-fake-d-000d", "path": "/users/me/balance", "do": {"body": {"json": {"code": 0, "data": {"available_balance": 49.5}}}}},
 {"key": "sk-fake-e-000e", "path": "/usages", "do": {"delay_ms": 300, "body": {"json": {"data": {"remain": 15, "total": 300, "account_email": "e@example.com"}}}}},
 {"key": "sk-fake-a-000a", "path": "/usages", "do": {"body": {"json": {"usage": {"limit": "2048", "used": "214", "remaining": "1834"}, "limits": [{"window": {"duration": 300, "timeUnit": "TIME_UNIT_MINUTE"}, "detail": {"limit": "200", "used": "50", "remaining": "150", "resetTime": "2099-01-06T13:33:02Z"}}]}}}}]'
fake_script "$usages"
of() { jq -r ".keys[] | select(.label == \"$1\") | .$2" "$D/out"; }

kmi health --cached --json >"$D/out"
is "$? $(jq -r .refreshed_at "$D/out") $(of a left_percent)" "0 null null" "nothing is known before anybody asked"
is "$(fake_count)" 0 "and --cached does not ask"
kmi health --json >"$D/out" 2>"$D/err"
is $? 0 "kmi health asks"
fake_wait 6
is "$(fake_count)" 6 "every key once, and the one without /usages for its balance"
is "$(jq -r '[.keys[].label] | join(" ")' "$D/out")" "c e b a d" "the worst first"
is "$(of a left_percent) $(of a limit) $(of a used)" "89.55 2048 214" "figures as texts"
is "$(of a 'windows[0].name') $(of a 'windows[0].left_percent') $(of a 'windows[0].reset_at')" "5h 75 2099-01-06T13:33:02Z" "a window"
is "$(of b status) $(of b error)" "warn the upstream answered 401" "a key that is refused says why"
is "$(of c status) $(of c reason) $(of c left_percent)" "blocked quota used up 0" "a spent one is blocked"
is "$(of d balance) $(of d status)" "49.5 healthy" "a key that pays by use"
is "$(of e left_percent) $(of e email) $(of e status)" "5 e@example.com warn" "under 20 % is a warning"
is "$(jq -r '.keys[] | select(.label == "e") | .status' <(kmi keys --json))" warn "kmi keys knows it too"
is "$(kmi status --json | jq -r .last_health_refresh)" "$(jq -r .refreshed_at "$D/state/health.json")" "the books say when it was"
is "$(stat -c %a "$D/state/health.json")" 600 "health.json is its owner's alone"
ok "and holds no secret" eval '! grep -q sk-fake "$D/state/health.json"'
fake_reset
kmi health >"$D/out"
is "$(fake_count)" 0 "what is young is not asked for again"
has "$(tr -s " " <"$D/out")" "c blocked quota" "a table for people"
ok "no wider than 80 columns" eval '[ "$(wc -L <"$D/out")" -le 80 ]'
kmi health --refresh >/dev/null
fake_wait 6
is "$(fake_count)" 6 "but with --refresh"

# what an asking taught stays when the next one fails
fake_script '[{"key": "*", "path": "/usages", "do": {"status": 500}}]'
kmi health --refresh --json >"$D/out" 2>"$D/err"
is $? 1 "no answer at all is a failure"
has "$(cat "$D/err")" "none of the keys" "and says so"
is "$(of a left_percent) $(of a error)" "89.55 the upstream answered 500" "what was known is still there"
mv "$D/state/health.json" "$D/known"
kmi health --refresh --json >"$D/out" 2>"$D/err"
is "$(of a left_percent) $(of a limit) $(jq -c '.keys.a | [.left_percent, .limit, .used]' "$D/state/health.json")" "null null [null,null,null]" \
	"of who never answered nothing is known: no zeros"
mv "$D/known" "$D/state/health.json"
fake_script "$usages"

# one refresher at a time
fake_reset
for i in 1 2 3 4 5; do kmi health --refresh --json >"$D/out.$i" & pids[i]=$!; done
codes=
for i in 1 2 3 4 5; do wait "${pids[i]}"; codes+=$?; done
is "$codes" 00000 "five at once all answer"
ok "and ask the upstream less than five times" test "$(fake_count)" -lt 30
is "$(jq -r '.keys | length' "$D/out.5")" 5 "with what the one learned"
fake_reset
kmi health --refresh & P=$!
until_true 5 eval '[ $(fake_live) -ge 1 ]'
kill -9 $P; wait $P 2>/dev/null
kmi health --refresh >/dev/null
is $? 0 "a killed refresher is in nobody's way"
ok "and health.json is whole" jq -e .keys.a.left_percent "$D/state/health.json"

# the choice: automatic rotation goes over the healthy ones
auto
pool_start
for i in 1 2 3 4; do chat; done
fake_wait 10
is "$(fake_keys 4)" "a d a d" "spent, refused and scarce keys are passed over"
pool_stop
# errors that the older tool counted, long ago: they came no later than its last use, and our uses do not make them young
cp "$D/state/state.json" "$D/books"
long_ago=$(date -u -d '-30 minutes' +%FT%TZ)
echo '{"schema_version": 1, "auto_rotate": true, "keys": {"a": {"last_used": "'"$long_ago"'", "request_count": 1000, "error_429": 9}}}' >"$D/state/state.json"
pool_start
for i in 1 2 3 4; do chat; done
is "$(fake_keys 4) $(state a error_429) $(state a last_error)" "a d a d 9 $long_ago" "errors counted by the older tool do not bar a key again and again"
pool_stop
cp "$D/books" "$D/state/state.json"
pool_start KMI_ROTATE_INCLUDE_WARN=1
for i in 1 2 3 4; do chat; done
is "$(fake_keys 4 | tr ' ' '\n' | sort | tr '\n' ' ')" "a b d e " "with warnings allowed all but the spent one"
pool_stop
pool_start KMI_REQUIRE_USAGE_BEFORE_REQUEST=1 KMI_ROTATE_INCLUDE_WARN=1
for i in 1 2 3; do chat; done
is "$(fake_keys 3 | tr ' ' '\n' | sort | tr '\n' ' ')" "a d e " "strict: who never answered is left out"
# a new refresh counts at once
fake_script '[{"key": "sk-fake-a-000a", "path": "/usages", "do": {"body": {"json": {"usage": {"limit": 10, "remaining": 0}}}}}]'
kmi health --refresh >/dev/null
fake_reset
for i in 1 2 3; do chat; done
ok "a key found spent is not chosen any more" eval '! jq -r .key "$D/rec/log.jsonl" | grep -q fake-a'
pool_stop
rm -f "$D"/state/health.json*
pool_start KMI_REQUIRE_USAGE_BEFORE_REQUEST=1 KMI_FAIL_OPEN_ON_EMPTY_CACHE=0 KMI_USAGE_CACHE_SECONDS=0
chat
is "$CODE" 503 "strict and closed: with an empty cache nobody is served"
has "$BODY" usage_unknown "and told why"
has "$BODY" "kmi health --refresh" "and what to do"
pool_stop
pool_start KMI_REQUIRE_USAGE_BEFORE_REQUEST=1 KMI_USAGE_CACHE_SECONDS=0
chat
is "$CODE" 200 "strict and open: it is"
pool_stop

# a request that finds it old
fake_script "$usages"
python3 - "$D/state/state.json" <<'P'
import json, sys
d = json.load(open(sys.argv[1])); d["last_health_refresh"] = "2020-01-01T00:00:00Z"; json.dump(d, open(sys.argv[1], "w"))
P
rm -f "$D"/state/health.json*
fake_reset
pool_start
for i in 1 2 3 4 5; do chat & done
wait $(jobs -p | grep -v -e "$POOL" -e "$FAKE")
ok "a request has it refreshed" until_true 10 test -s "$D/state/health.json"
is "$(jq -s '[.[] | select(.target | endswith("/usages"))] | length' "$D/rec/log.jsonl")" 5 "once, however many come"
chat
is "$CODE" 200 "and goes on"
pool_stop
rm -f "$D"/state/health.json*
fake_reset
pool_start KMI_USAGE_CACHE_SECONDS=0
chat
pool_stop
ok "never by itself when KMI_USAGE_CACHE_SECONDS is 0" test ! -e "$D/state/health.json"
# the other way of starting, one process a connection
fake_reset
rm -f "$D"/state/state.json
python3 - "$BIN/kmi-handle" <<'P'
import socket, subprocess, sys
a, b = socket.socketpair()
p = subprocess.Popen([sys.argv[1]], stdin=b, stdout=b)
b.close()
a.sendall(b"GET /kmi-rotor/v1/models HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
answer = b""
while piece := a.recv(65536):
    answer += piece
assert b" 200 " in answer, answer
p.wait()
P
is $? 0 "a handler of its own answers"
ok "and has it refreshed" until_true 10 test -s "$D/state/health.json"

# a key blocked for its credentials comes back by a recheck
fake_script '[{"key": "sk-fake-a-000a", "path": "/chat", "do": {"status": 401}}]'
rm -f "$D"/state/state.json "$D"/state/health.json*
auto
pool_start KMI_USAGE_CACHE_SECONDS=0
for i in 1 2 3 4 5; do chat; done
is "$(kmi keys --json | jq -r '.keys[0].status')" blocked "a key answered 401 is blocked"
kmi health --refresh >/dev/null
is "$(kmi keys --json | jq -r '.keys[0].status, .keys[0].until' | tr '\n' ' ')" "warn null " "until /usages answers it well"
pool_stop
fake_script '[{"key": "sk-fake-a-000a", "path": "/chat", "do": {"status": 402}}]'
pool_start KMI_ROTATE_INCLUDE_WARN=1 KMI_USAGE_CACHE_SECONDS=0
for i in 1 2 3 4 5; do chat; done
kmi health --refresh >/dev/null
is "$(kmi keys --json | jq -r '.keys[0].status')" blocked "one that has to be paid for stays blocked: an answer outranks a poll"
fake_reset
kmi health --refresh --quiet >"$D/out" 2>&1
is "$? $(wc -c <"$D/out")" "0 0" "--quiet prints nothing"
is "$(jq -r .key "$D/rec/log.jsonl" | grep -c fake-a)" 0 "and leaves a blocked key alone that was just asked"
pool_stop

# the Kimi CLI's account
mkdir -p "$HOME/.kimi"
kmi health --current >"$D/out" 2>"$D/err"
is $? 1 "--current without a config fails"
has "$(cat "$D/err")" "neither $HOME/.kimi/config.toml nor $HOME/.kimi-code/config.toml" "and says where it looked"
echo 'x = [' >"$HOME/.kimi/config.toml"
kmi health --current >"$D/out" 2>"$D/err"
has "$? $(cat "$D/err")" "1 kmi-health: error: $HOME/.kimi/config.toml: line " "one that does not parse is named"
printf '[providers."managed:kimi-code"]\napi_key = ""\n[providers."managed:kimi-code".oauth]\nstorage = "file"\n' >"$HOME/.kimi/config.toml"
kmi health --current >"$D/out" 2>"$D/err"
has "$? $(cat "$D/err")" "logged in there: without a key" "one of a Kimi CLI that is logged in: said, with what helps"
printf '[providers.kimi-for-coding]\napi_key = "sk-fake-e-000e"\nbase_url = "%s"\n' "$KMI_UPSTREAM_BASE_URL" >"$HOME/.kimi/config.toml"
fake_script "$usages"
kmi health --current --json >"$D/out"
is "$(jq -r '.keys[0].label, .keys[0].left_percent' "$D/out" | tr '\n' ' ')" "current:e 5 " "--current names a key that is ours"
printf '[providers.x]\napi_key = "sk-fake-z-000z"\nbase_url = "%s"\n' "$KMI_UPSTREAM_BASE_URL" >"$HOME/.kimi/config.toml"
kmi health --current --json >"$D/out"
is "$(jq -r '.keys[0].label' "$D/out")" current "and one that is not"
mkdir "$D/share"
printf '[providers.kimi-for-coding]\napi_key = "sk-fake-e-000e"\nbase_url = "%s"\n' "$KMI_UPSTREAM_BASE_URL" >"$D/share/config.toml"
is "$(KIMI_SHARE_DIR=$D/share kmi health --current --json | jq -r '.keys[0].label')" current:e "KIMI_SHARE_DIR says where it is"
mv "$HOME/.kimi" "$HOME/.kimi.not"
is "$(KIMI_CODE_HOME=$D/share kmi health --current --json | jq -r '.keys[0].label')" current:e "and KIMI_CODE_HOME"
mv "$HOME/.kimi.not" "$HOME/.kimi"

# wrong calls, dry run
kmi health --cached --refresh >"$D/out" 2>"$D/err"
is $? 2 "two modes at once are refused"
kmi health --refesh >"$D/out" 2>"$D/err"
is $? 2 "an unknown option"
has "$(cat "$D/err")" "--refresh" "has its nearest suggested"
fake_reset
KMI_DRY_RUN=1 kmi health --refresh >"$D/out" 2>"$D/err"
is "$? $(fake_count)" "0 0" "a dry run asks nobody"
has "$(cat "$D/err")" "dry run" "and says so"
printf '{"keys": {"a": nonsense' >"$D/state/health.json"
kmi health --refresh >/dev/null 2>&1
is "$? $(jq -r '.keys | length' "$D/state/health.json")" "0 5" "a damaged health.json is written anew"

# a key that came since is asked about without being told to
kmi health --refresh >/dev/null 2>&1
keys newcomer
fake_reset
kmi health --json >"$D/out" 2>"$D/err"
ok "a new key: the figures are not young enough" test "$(fake_count)" -gt 0
is "$(of newcomer left_percent)" 90 "what is left of it is known"
fake_reset
kmi health >/dev/null 2>&1
is "$(fake_count)" 0 "once"
keys another
free=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
KMI_PROXY_LISTEN=127.0.0.1:$free timeout 60 kmi e2e -n 2 --pause 0 >/dev/null 2>&1
is "$(jq .keys.another.left_percent "$D/state/health.json")" 90 "kmi e2e asks about a new key before it counts turns"
finish
