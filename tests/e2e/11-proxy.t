#!/bin/bash
# kmi and kmi-proxy: started, running already, a port held by a stranger, stopped, restarted, killed.
. "$(dirname "$0")/lib.sh"
keys a b
PORT=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
export KMI_PROXY_LISTEN=127.0.0.1:$PORT
U=http://127.0.0.1:$PORT/kmi-rotor/v1
kmi() { "$BIN/kmi" "$@" >"$D/out" 2>"$D/err"; }
trap 'kill -9 $(cat "$D/state/proxy.pid" 2>/dev/null) 2>/dev/null; cleanup' EXIT

kmi; has "$(cat "$D/out")" "proxy-stop" "kmi alone lists what there is"
kmi stats; is $? 2 "an unknown command: exit 2"
has "$(cat "$D/err")" "status" "and the nearest one"
kmi --status --keys; is $? 2 "two things at once: exit 2"
kmi --version; is $? 0 "--version"
mkdir "$D/more"; printf '#!/bin/sh\necho mine "$@"\n' >"$D/more/kmi-mine"; chmod +x "$D/more/kmi-mine"
is "$(PATH=$D/more:$PATH "$BIN/kmi" mine 1 2)" "mine 1 2" "anyone can add a command in PATH"

kmi proxy; is $? 0 "it starts"
has "$(cat "$D/out")" "http://127.0.0.1:$PORT/kmi-rotor/v1" "and says where"
has "$(cat "$D/out")" "dry run" "and that it is a dry run"
kmi doctor
is "$(grep -c ' ok .*the proxy runs' "$D/out") $(trace_lines)" "1 0" "whether it runs is asked without a line in the trace"
ask /models; is "$CODE" 200 "it answers"
has "$(cat "$D/head")" "X-KMI-Dry-Run: true" "as a dry run"
is "$(echo "$BODY" | jq -c '[.object, .dry_run, .method, .path, .key_label]')" '["list",true,"GET","/models","a"]' "/models in its shape"
chat; is "$(echo "$BODY" | jq -r '.choices[0].message.role + " " + .object')" "assistant chat.completion" "/chat/completions in its shape"
ask /chat/completions -d '{"stream": true, "model": "m", "messages": []}'
is "$(sed -n 's/^data: \({.*\)/\1/p' "$D/body" | jq -rs 'map(.choices[0].delta.content // "") | join("") | length > 10')" true "a stream in its shape"
is "$(grep . "$D/body" | tail -1)" "data: [DONE]" "with its end"
ask /usages; is "$(echo "$BODY" | jq -r .usage.remaining)" 100 "/usages in its shape"
kmi proxy; is "$? $(grep -c already "$D/out")" "0 1" "started again: it says that it runs"
is "$(cat "$D/err")" "" "without a warning: it is what was asked for"
is "$("$BIN/kmi" status --json | jq -r .proxy.running)" true "kmi status knows"

# Settings of one shell are not those of the proxy that runs: nobody is told of the one as of the other.
export KMI_DRY_RUN=0 KMI_UPSTREAM_BASE_URL=https://127.0.0.1:9/v1
kmi proxy; is $? 0 "started again with other settings"
has "$(cat "$D/err")" "other settings than those of here: KMI_DRY_RUN, KMI_UPSTREAM_BASE_URL" "which: that is said"
has "$(cat "$D/out")" "dry run" "with the mode that it has"
kmi status; has "$(cat "$D/out")" "no request leaves" "kmi status tells the mode of the proxy, not its own"
has "$(cat "$D/out")" "kmi proxy-restart takes those of here" "and how to change it"
kmi doctor; has "$(cat "$D/out")" "KMI_DRY_RUN" "kmi doctor tells it, too"
kmi proxy-restart; kmi status; is "$(grep -c 'other settings' "$D/out")" 0 "restarted: no difference"
unset KMI_DRY_RUN KMI_UPSTREAM_BASE_URL
kmi status; is "$(head -n 1 "$D/out")" "mode       live" "now it is live, also for a shell where it is not"
is "$(KMI_STATE_DIR=$D/elsewhere "$BIN/kmi" status | tail -n 1)" "  -> KMI_STATE_DIR=$D/state kmi proxy-stop stops it" \
	"another state folder: how to stop that one"
printf 'dry_run = false\n' >"$D/kmi.config.toml"
is "$(cd / && "$BIN/kmi" status --json | jq -r '.mode + " " + .alerts[0].message')" \
	"live the proxy was started with other settings than those of here: KMI_DRY_RUN, KMI_UPSTREAM_BASE_URL" \
	"files are read where the proxy stands"
rm "$D/kmi.config.toml"
KMI_PROXY_LISTEN=127.0.0.1:1 kmi proxy
has "$(cat "$D/err")" "KMI_PROXY_LISTEN" "nor is another address told as the one where it listens"
kmi proxy-restart
old=$(cat "$D/state/proxy.pid")
kmi proxy-restart; is $? 0 "restarted"
ok "by another process" test "$(cat "$D/state/proxy.pid")" != "$old"
ask /models; is "$CODE" 200 "that answers"
kill -9 "$(cat "$D/state/proxy.pid")"
until_true 5 eval "! kill -0 $(cat "$D/state/proxy.pid") 2>/dev/null || grep -q 'State:.Z' /proc/$(cat "$D/state/proxy.pid")/status"
kmi proxy; is $? 0 "killed with -9: it starts again, whatever the pid file says"
kmi proxy-logs --no-follow; is $? 0 "logs are shown"
printf '{"ts": "%s", "level": "info", "message": "%s"}\n' "$(date -u -d '-2 hours' '+%F %T +0000')" long-ago \
	"$(date -u -d '-1 minute' '+%F %T +0000')" just-now >"$D/times"
cp "$D/state/logs/kmi.log" "$D/kmi.log"; cp "$D/times" "$D/state/logs/kmi.log"
seen() { kmi proxy-logs --app --no-follow "$@"; jq -r .message "$D/out" | tr '\n' ' '; }
is "$(seen)" "long-ago just-now " "--app: the log of events"
is "$(seen --lines 1)" "just-now " "--lines: so many"
is "$(seen --since 10m)" "just-now " "--since: what is younger than a span"
is "$(seen --since 3h)" "long-ago just-now " "or a longer one"
is "$(seen --since "$(date -u -d '-10 minutes' +%FT%TZ)")" "just-now " "or than a time"
is "$(seen --since 10s)" "" "nothing, when there is nothing so young"
cp "$D/kmi.log" "$D/state/logs/kmi.log"
for wrong in yesterday 10 -5m ""; do
	kmi proxy-logs --app --no-follow --since "$wrong"
	is "$? $(grep -c '30s, 10m, 2h, 1d or 1w' "$D/err")" "2 1" "--since '$wrong': exit 2, with the forms it takes"
done
printf '%s kmi-handle: warning: %s\n' "$(date -u -d '-2 hours' '+%F %T +0000')" long-ago "$(date -u -d '-1 minute' '+%F %T +0000')" just-now \
	>"$D/state/logs/proxy.out"
printf '%27s%s\n' "" "line" >>"$D/state/logs/proxy.out"
kmi proxy-logs --no-follow --since 10m
is "$(cut -c 27- "$D/out" | tr '\n' ';')" "kmi-handle: warning: just-now; line;" "--since in what the proxy itself said"
echo KMI_PROXY_RETRY_MAX=many >"$D/.env"; kill -HUP "$(cat "$D/state/proxy.pid")"
ok "where every line has its time" until_true 5 eval 'grep -q "^20..-..-.. ..:..:.. +0000 kmi-handle: warning: the old settings stay" "$D/state/logs/proxy.out"'
rm "$D/.env"; kmi proxy-logs --no-follow --since 30s; has "$(cat "$D/out")" "old settings stay" "and can be asked for by it"
kmi proxy-logs --lines many; is $? 2 "--lines takes a number"
kmi proxy-logs --no-folow; is "$? $(grep -c -e '--no-follow' "$D/err")" "2 1" "an unknown flag: the nearest one"
"$BIN/kmi" proxy-logs --app --lines 0 >"$D/follow" 2>&1 & F=$!
started+=($F)
until_true 5 eval "ls /proc/$F/fd -l | grep -q kmi.log"
sed -n 2p "$D/times" >>"$D/state/logs/kmi.log"
ok "followed: what is new comes" until_true 5 grep -q just-now "$D/follow"
kill $F; wait $F 2>/dev/null; cp "$D/kmi.log" "$D/state/logs/kmi.log"
kmi proxy-stop; is $? 0 "stopped"
ask /models; ok "nobody answers" test "$CURL" = 7
kmi proxy-stop; is $? 0 "stopped twice is no error"
is "$(jq -r 'select(.message == "audit_event") | .action' "$D/state/logs/kmi.log" | sort | uniq -c | tr -s ' ' | tr '\n' ';')" " 5 proxy_start; 4 proxy_stop;" "audited"

python3 -c "
import socket, time
s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1); s.bind(('127.0.0.1', $PORT)); s.listen(1); time.sleep(60)" & S=$!
started+=($S)
until_true 5 eval "(exec 3<>/dev/tcp/127.0.0.1/$PORT)"
kmi proxy; is $? 1 "a port that is held: exit 1"
has "$(cat "$D/err")" "process $S (python3" "and by whom"
kmi proxy-stop; is $? 1 "a stranger is not stopped"
has "$(cat "$D/err")" "python3 $S" "but named"
ok "and lives" kill -0 $S
echo $S >"$D/state/proxy.pid"
kmi proxy-stop
ok "not even when the pid file names it" kill -0 $S
kill $S; wait $S 2>/dev/null

KMI_PROXY_LISTEN=unix:$D/sock kmi proxy; is $? 0 "on a unix socket"
is "$(curl -s --unix-socket "$D/sock" http://localhost/kmi-rotor/v1/models | jq -r .object)" list "that answers"
KMI_PROXY_LISTEN=unix:$D/sock kmi proxy-stop; is $? 0 "and stops"
KMI_PROXY_MAX_RPS=many kmi proxy; is $? 2 "a wrong setting: exit 2"
has "$(cat "$D/err")" "KMI_PROXY_MAX_RPS" "that is named"
# asking whether it runs goes nowhere, also where everything is below the base path
fake_start
export KMI_PROXY_BASE_PATH=/
U=http://127.0.0.1:$PORT
kmi proxy; is $? 0 "everything is served: it starts"
kmi doctor
ask /models; fake_wait 1
is "$CODE $(fake_count)" "200 1" "and the upstream was asked once, by the client"
kmi proxy-stop

# A state folder that cannot be made: in the background nobody could stop it, in front it serves without books.
export KMI_STATE_DIR=$D/file/state
: >"$D/file"
kmi proxy; is $? 1 "no state folder: not in the background"
has "$(cat "$D/err")" "KMI_STATE_DIR" "the remedy is said"
"$BIN/kmi" proxy --foreground >"$D/out" 2>"$D/err" &
front=$!
started+=("$front")
until_true 5 eval 'ask /models; [ "$CODE" = 200 ]'
is "$CODE" 200 "but in front"
has "$(cat "$D/err")" "warning: create folder" "which is said"
kill "$front"; wait "$front" 2>/dev/null
finish
