#!/bin/bash
# kmi e2e: passes where the keys take turns, fails where they do not; starts and stops the proxy, and nothing else.
. "$(dirname "$0")/lib.sh"
keys a b c
auto
PORT=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
export KMI_PROXY_LISTEN=127.0.0.1:$PORT
trap 'kill -9 $(cat "$D/state/proxy.pid" 2>/dev/null) 2>/dev/null; cleanup' EXIT
run() { timeout 60 "$BIN/kmi" e2e --pause 0 "$@" >"$D/out" 2>"$D/err" </dev/null; }
answers() { curl -s -o /dev/null "http://127.0.0.1:$PORT/"; }

run -n 30
is $? 0 "keys that take turns: exit 0"
has "$(cat "$D/out")" "30 answered well" "all were answered"
is "$(awk '$2 == 10 { printf "%s ", $1 }' "$D/out")" "a b c " "each key has a third"
has "$(cat "$D/out")" "confidence 100" "which is said"
ok "and in 80 columns" eval '[ "$(wc -L <"$D/out")" -le 80 ]'
ok "the proxy that it started is stopped" eval '! answers'

"$BIN/kmi" proxy >/dev/null
for i in 1 2 3 4 5; do curl -s -o /dev/null "http://127.0.0.1:$PORT/kmi-rotor/v1/models"; done
run -n 12 --batch 4 --endpoint /usages --min-confidence=99
is $? 0 "a proxy that runs is used"
is "$(awk '/^[abc] / { s += $2 } END { print s }' "$D/out")" "12" "as many requests are judged as were sent"
ok "and it still runs" answers
run -n 12 --window 6
is "$? $(awk '/^[abc] / { s += $2 } END { print s }' "$D/out")" "0 6" "--window: the last ones are judged"
"$BIN/kmi" proxy-stop >/dev/null

"$BIN/kmi" rotate off >/dev/null
run -n 12
is $? 1 "manual rotation: exit 1"
has "$(cat "$D/err")" "kmi rotate auto" "and what to do"
"$BIN/kmi" rotate auto >"$D/out" 2>&1
is $? 0 "kmi rotate auto ends with it"
has "$(cat "$D/out")" "50 answered well" "and shows what it saw"
KMI_AUTO_ROTATE_ALLOWED=0 run -n 12
is $? 1 "rotation that is not allowed: exit 1"
KMI_AUTO_ROTATE_ALLOWED=0 "$BIN/kmi" proxy >/dev/null
KMI_AUTO_ROTATE_ALLOWED=1 run -n 3
is "$? $(grep -c 'was started without KMI_AUTO_ROTATE_ALLOWED=1' "$D/err")" "1 1" "a proxy that has not the leave of this shell: that is the reason"
"$BIN/kmi" proxy-stop >/dev/null
(unset KMI_AUTO_ROTATE_ALLOWED; "$BIN/kmi" proxy >/dev/null)
echo 'auto_rotate_allowed = true' >"$D/kmi.config.toml"
(unset KMI_AUTO_ROTATE_ALLOWED; run -n 3)
has "$(cat "$D/err")" "kmi proxy-restart takes them" "nor one that was started before the file said so"
rm "$D/kmi.config.toml"
"$BIN/kmi" proxy-stop >/dev/null
KMI_ROTATE_STRATEGY=session run -n 12
is $? 0 "another strategy than turns: exit 0 when all is answered"
has "$(cat "$D/out")" "turns are not judged" "and that they are not judged is said"
sed -i '$s/"key_label": "."/"key_label": "z"/' "$D/state/trace/trace.jsonl"
run -n 6
is $? 1 "a choice that the trace cannot explain: exit 1"
has "$(cat "$D/err")" "kmi trace --verify" "and who tells more"
rm -r "$D/state/trace"
echo broken >"$D/broken"; mkdir -m 700 "$D/state/trace"; cp "$D/broken" "$D/state/trace/trace.jsonl"
run -n 6
is $? 0 "a torn line is no obstacle"

export KMI_PROXY_TOKEN=fake-token-\"quoted\\-0123456789
"$BIN/kmi" proxy >/dev/null
is "$(curl -s -o /dev/null -w '%{http_code}' "http://127.0.0.1:$PORT/kmi-rotor/v1/models")" 401 "a token is asked for"
timeout 60 "$BIN/kmi" e2e -n 20 --batch 2 --pause 0.05 >"$D/out" 2>&1 & E=$!
leaked=
while kill -0 $E 2>/dev/null; do
	cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\0' ' ' | grep -q 'fake-token-["]quoted' && leaked=1
done
wait $E
is "$? $leaked" "0 " "it is given, and was in nobody's arguments"
"$BIN/kmi" proxy-stop >/dev/null
unset KMI_PROXY_TOKEN

KMI_PROXY_LISTEN=unix:$D/sock run -n 9
is $? 0 "a unix socket"
ok "which is gone again" test ! -e "$D/sock"

python3 -m http.server --bind 127.0.0.1 "$PORT" >/dev/null 2>&1 & S=$!
started+=($S)
until_true 10 answers
run -n 3
is $? 1 "a stranger's port: exit 1"
has "$(cat "$D/err")" "python3" "by name"
ok "and it lives" kill -0 $S
kill $S; wait $S 2>/dev/null

KMI_DRY_RUN=0 KMI_UPSTREAM_BASE_URL=https://127.0.0.1:1/coding/v1 KMI_PROXY_RETRY_MAX=0 run -n 3
is $? 1 "an upstream that is not there: exit 1"
has "$(cat "$D/out")" "status 502" "with what the answers were"
has "$(cat "$D/err")" "kmi doctor" "and who looks for the cause"
for wrong in "-n 0" "-n many" "-n" "--endpoint models" "--scheme ftp" "--pause -1" "--min-confidence high" "more"; do
	# shellcheck disable=SC2086
	run $wrong
	is $? 2 "kmi e2e $wrong: exit 2"
done
run --min-confidance 3
has "$(cat "$D/err")" "did you mean --min-confidence?" "an unknown option: the nearest one"
KMI_DRY_RUN=maybe run
is $? 2 "a wrong setting: exit 2"
has "$(cat "$D/err")" "KMI_DRY_RUN" "that is named"

timeout 60 "$BIN/kmi-e2e" -n 500 --batch 2 --pause 0.2 >/dev/null 2>&1 & E=$!
started+=($E)
until_true 10 answers
kill -TERM "$(pgrep -P $E | head -n 1)"
wait $E
is $? 143 "ended in the middle: it says by which signal"
until_true 5 eval '! answers'
ok "and has tidied up" eval '! answers'
finish
