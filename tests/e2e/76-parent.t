#!/bin/bash
# The pool's parent: it is killed under load again and again, while somebody else keeps the listening socket, and not one request
# fails; a handler that is stopped holds nobody up; one that cannot begin tells its client; and when it is told to stop, the
# handlers of the image before it end, too.
[ -n "${ALONE:-}" ] || exec env ALONE=1 setsid -w bash "$0" "$@"
. "$(dirname "$0")/lib.sh"
keys a b
fake_start
fake_script '[{"path": "/slow", "do": {"sse": {"count": 60, "interval_ms": 100, "size": 16}}}]'

cat >"$D/keep.py" <<'P'
import os, signal, socket, subprocess, sys
s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(("127.0.0.1", 0)); s.listen(4096)
signal.signal(signal.SIGTERM, lambda *a: (p.kill(), os._exit(0)))
def put(name, text):
    open(sys.argv[2] + "/" + name + ".new", "w").write(text); os.rename(sys.argv[2] + "/" + name + ".new", sys.argv[2] + "/" + name)
put("kept.port", str(s.getsockname()[1]))
while True:
    p = subprocess.Popen([sys.argv[1]], stdin=s)
    put("kept.pid", str(p.pid))
    p.wait()
P
python3 "$D/keep.py" "$BIN/kmi-handle" "$D" 2>"$D/kept.err" & KEEP_IT=$!
started+=($KEEP_IT)
until_true 10 test -s "$D/kept.pid"
U=http://127.0.0.1:$(cat "$D/kept.port")/kmi-rotor/v1

curl -sN -m 30 -d '{"stream": true}' "$U/slow" >"$D/slow" 2>&1 & SLOW=$!
until_true 10 grep -q data: "$D/slow"
"$TOOLS/load" -K -c 8 -d 6 -t 30 --json "$U/models" >"$D/load.json" & LOAD=$!
"$TOOLS/load" -k -c 2 -d 6 -t 30 --json "$U/usages" >"$D/kept.json" & KEPT=$!
kills=0
while kill -0 $LOAD 2>/dev/null; do sleep 0.15; kill -9 "$(cat "$D/kept.pid")" 2>/dev/null && kills=$((kills + 1)); done
wait $LOAD; is "$(jq -c '[.errors[]] | add' "$D/load.json")" 0 "the parent is killed $kills times: not one of $(jq .requests "$D/load.json") requests fails"
wait $KEPT; is "$(jq -c '[.errors[]] | add' "$D/kept.json")" 0 "nor one on a connection that is kept"
ok "often enough" test $kills -gt 15
wait $SLOW; is "$(grep -c data: "$D/slow") $(grep . "$D/slow" | tail -n 1)" "63 data: [DONE]" "an answer that runs through all of it is whole"
kill $KEEP_IT; wait $KEEP_IT 2>/dev/null

pool_start KMI_PROXY_DRAIN_SECONDS=1
ask /models
stopped=$(pgrep -P $POOL)
kill -STOP $stopped
is "$(curl -s -m 10 -o /dev/null -w '%{http_code}' "$U/models")" 200 "the handler that is next is stopped: another takes the client"
kill -CONT $stopped
ask /models; is "$CODE" 200 "and when it goes on, all is well"

# Those that are idle have begun long ago, so they are ended.
mv "$D/certs/ca.pem" "$D/certs/gone.pem"; kill -9 $(pgrep -P $POOL)
got=$(curl -s -m 5 "$U/models" | jq -r .error.code) || got="no answer"
is "$got $(curl -s -m 5 "$U/models" | jq -r .error.code)" "not_configured not_configured" "no handler can begin: clients are told, and do not wait"
is "$(grep -c KMI_UPSTREAM_CA_FILE "$D/state/logs/kmi.log")" 1 "and the log is told why, once"
mv "$D/certs/gone.pem" "$D/certs/ca.pem"
ask /models; is "$CODE" 200 "when they can again, clients are served"

curl -sN -m 30 -d '{"stream": true}' "$U/slow" >"$D/slow" 2>&1 & SLOW=$!
until_true 10 grep -q data: "$D/slow"
kill -HUP $POOL; sleep 0.5
children=$(pgrep -P $POOL)
kill -TERM $POOL; wait $POOL; is $? 0 "begun anew, then stopped: it ends"
wait $SLOW; ok "the answer of the image before is cut after KMI_PROXY_DRAIN_SECONDS" test "$(grep -c data: "$D/slow")" -lt 60
ok "and no handler is left" eval "! kill -0 $(tr '\n' ' ' <<<"$children") 2>/dev/null"
trace_wait 1; is "$(jq -r 'select(.endpoint == "/slow") | .error_code' "$D/state/trace/trace.jsonl" | tail -n 1)" cut "which is in the trace"
finish
