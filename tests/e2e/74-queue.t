#!/bin/bash
# A process a connection, as systemd, xinetd and inetd start them: no more than KMI_PROXY_MAX_CONNECTIONS are served at once, the
# others wait; and what happens when the settings are wrong, to every client and once in the log.
. "$(dirname "$0")/lib.sh"
keys a b
auto
fake_start
fake_script '[{"key": "*", "do": {"delay_ms": 300, "status": 200, "body": "ok"}}]'

cat >"$D/each.py" <<'P'
import os, signal, socket, subprocess, sys
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(("127.0.0.1", 0)); s.listen(4096)
open(sys.argv[2], "w").write(str(s.getsockname()[1]))
while True:
    c, _ = s.accept()
    subprocess.Popen([sys.argv[1]], stdin=c, stdout=c, stderr=c if os.environ.get("INETD") else None)
    c.close()
P
each_start() {	# each_start [NAME=VALUE...]: a kmi-handle for each connection
	rm -f "$D/each.port" "$D/each.err"
	env "$@" python3 "$D/each.py" "$BIN/kmi-handle" "$D/each.port" 2>"$D/each.err" &
	EACH=$!
	started+=($EACH)
	until_true 10 test -s "$D/each.port"
	U=http://127.0.0.1:$(cat "$D/each.port")/kmi-rotor/v1
}
each_stop() { kill $EACH; wait $EACH 2>/dev/null; }
many() {	# many COUNT: as many requests at once, each on a connection of its own
	"$TOOLS/load" -K -c "$1" -n "$1" -t 60 --json "$U/x" >"$D/load.json"
	jq -r '"\(.status["200"] // 0) of \(.requests)"' "$D/load.json"
}
most() {	# the most requests that were at the upstream at once
	jq -sc '. as $all | map(. as $one | [$all[] | select(.t_start <= $one.t_start and .t_end > $one.t_start)] | length) | max' "$D/rec/log.jsonl"
}

# ---- the queue
each_start KMI_PROXY_MAX_CONNECTIONS=4
is "$(many 40)" "40 of 40" "forty at once, with four places: all are answered"
fake_wait 40
is "$(most)" 4 "four at the upstream at once, never more"
trace_wait 40
ok "the trace tells who waited" test "$(jq -s 'map(select(.wait_ms > 500)) | length' "$D/state/trace/trace.jsonl")" -gt 20

fake_reset
fake_script '[{"key": "*", "path": "/stall", "do": {"stall": true}}]'
for i in 1 2 3 4; do curl -s -m 60 -o /dev/null "$U/stall" & STALL[i]=$!; done
until_true 10 eval '[ $(fake_live) -ge 4 ]'
curl -s -m 1 -o /dev/null "$U/models"; is $? 28 "all places are taken: one waits"
curl -s -m 60 -o "$D/waits" -w '%{http_code}' "$U/models" >"$D/waits.code" & WAITS=$!
sleep 0.3
kill -9 $(pgrep -P $EACH | head -n 4)
wait $WAITS; is "$(cat "$D/waits.code")" 200 "the holders are killed with -9: the places are free"
wait "${STALL[@]}"

# a connection that rests takes no place
fake_reset
cat >"$D/rest.py" <<'P'
import socket, sys
ask = b"GET /kmi-rotor/v1/models HTTP/1.1\r\nHost: localhost\r\n\r\n"
def go(s):
    s.sendall(ask)
    return s.recv(65536).split(b" ")[1].decode()
all = [socket.create_connection(("127.0.0.1", int(sys.argv[1]))) for _ in range(12)]
print(*[go(s) for s in all], *[go(s) for s in all])
P
is "$(timeout 30 python3 "$D/rest.py" "$(cat "$D/each.port")" | tr ' ' '\n' | sort | uniq -c | tr -s ' ')" " 24 200" "kept connections that rest take no place"

# who stands first and is stopped does not stop the others
until_true 10 eval '[ $(pgrep -c -P $EACH) = 0 ]'
fake_reset
for i in 1 2 3 4; do curl -s -m 60 -o /dev/null "$U/stall" & STALL[i]=$!; done
until_true 10 eval '[ $(fake_live) -ge 4 ]'
holders=$(pgrep -P $EACH)
curl -s -m 60 -o /dev/null "$U/models" & FIRST=$!
until_true 10 eval '[ $(pgrep -P $EACH | wc -l) -ge 5 ]'
sleep 0.3
stopped=$(pgrep -P $EACH | grep -vxF "$holders")
kill -STOP $stopped
kill -9 $(head -n 1 <<<"$holders")
is "$(curl -s -m 20 -o /dev/null -w '%{http_code}' "$U/models")" 200 "who stands first in the queue and is stopped does not stop it"
kill -CONT $stopped; wait $FIRST
kill -9 $holders 2>/dev/null; wait "${STALL[@]}" 2>/dev/null
each_stop

# for so long, and no longer
fake_reset
each_start KMI_PROXY_MAX_CONNECTIONS=1 KMI_PROXY_QUEUE_SECONDS=1
curl -s -m 60 -o /dev/null "$U/stall" & STALL=$!
until_true 10 eval '[ $(fake_live) -ge 1 ]'
ask /models
is "$CODE $(echo "$BODY" | jq -r .error.code)" "503 proxy_busy" "no place within KMI_PROXY_QUEUE_SECONDS: 503"
has "$BODY" KMI_PROXY_MAX_CONNECTIONS "which says why"
ok "with Retry-After" grep -qi '^retry-after: [1-9]' "$D/head"
trace_wait 1
is "$(trace_last status) $(trace_last error_code)" "503 proxy_busy" "and is in the trace"
kill -9 $(pgrep -P $EACH | head -n 1); wait $STALL
each_stop; each_start KMI_PROXY_MAX_CONNECTIONS=1
fake_reset
curl -s -m 60 -o /dev/null "$U/stall" & STALL=$!
until_true 10 eval '[ $(fake_live) -ge 1 ]'
holder=$(pgrep -P $EACH)
curl -s -m 60 -o /dev/null -w '%{http_code}' "$U/models" >"$D/waits.code" & WAITS=$!
until_true 10 eval '[ $(pgrep -c -P $EACH) = 2 ]'
sleep 0.3
kill -TERM $(pgrep -P $EACH | grep -vx "$holder"); wait $WAITS
is "$(cat "$D/waits.code")" 503 "who waits and is told to end answers first"
kill -9 "$holder"; wait $STALL
rm -rf "$D/state"; mkdir -m 500 "$D/state"
if [ "$(id -u)" != 0 ]; then ask /models; is "$CODE" 200 "where places cannot be counted everybody is served"; fi
chmod 700 "$D/state"
each_stop

# ---- a wrong setting
each_start KMI_PROXY_RETRY_MAX=many KMI_PROXY_TOKEN=token-that-is-secret-0123456789
ask /models
is "$CODE $(echo "$BODY" | jq -r .error.code)" "503 not_configured" "a wrong setting: the client is told, in short"
is "$(grep -c 'RETRY_MAX\|secret' "$D/body")" 0 "and not what it is"
"$TOOLS/load" -K -c 20 -n 60 -t 30 --json "$U/models" >"$D/load.json"
is "$(jq -c '[.status["503"], ([.errors[]] | add)]' "$D/load.json")" "[60,0]" "everybody is"
is "$(grep -c . "$D/each.err") $(grep -c 'error: KMI_PROXY_RETRY_MAX is "many"' "$D/each.err")" "1 1" "one line names it, not one a connection"
dd if=/dev/zero bs=1M count=2 2>/dev/null >"$D/large"
ask /chat/completions --data-binary @"$D/large"; is "$CODE" 503 "who sends much hears the answer too"
each_stop
rm -rf "$D/state"
each_start INETD=1 KMI_PROXY_RETRY_MAX=many
exec 3<>"/dev/tcp/127.0.0.1/$(cat "$D/each.port")"
printf 'GET /kmi-rotor/v1/models HTTP/1.1\r\nHost: localhost\r\n\r\n' >&3
timeout 10 cat <&3 >"$D/raw"; exec 3>&-
is "$(head -c 12 "$D/raw") $(grep -c RETRY_MAX "$D/raw")" "HTTP/1.1 503 0" "stderr is the client (inetd): he gets the answer and nothing else"
is "$(jq -r .message "$D/state/logs/kmi.log" | grep -c 'KMI_PROXY_RETRY_MAX is "many"')" 1 "the log of events has it"
each_stop

# right settings, but what they name is gone
each_start KMI_UPSTREAM_CA_FILE="$D/none.pem"
for i in 1 2 3; do ask /models; codes="${codes:-}$CODE $(echo "$BODY" | jq -r .error.code) "; done
is "$codes" "503 not_configured 503 not_configured 503 not_configured " "what a setting names is gone: the client is told"
is "$(grep -c . "$D/each.err") $(grep -c 'error: KMI_UPSTREAM_CA_FILE' "$D/each.err")" "1 1" "and the log, once"
each_stop
finish
