#!/bin/bash
# The pool and its supervisor: ready (systemd's way and s6's), begun anew on SIGHUP under load, with new settings or
# without when they are wrong, and a stop that hears who has just connected.
# Without a terminal, as under a supervisor: there a SIGHUP means something else.
[ -n "${ALONE:-}" ] || exec env ALONE=1 setsid -w bash "$0" "$@"
. "$(dirname "$0")/lib.sh"
keys a b
fake_start
fake_script '[{"path": "/slow", "do": {"sse": {"count": 20, "interval_ms": 100, "size": 16}}}]'

# ---- ready
cat >"$D/supervise.py" <<'P'
import os, socket, subprocess, sys
handle, d = sys.argv[1:3]
n = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); n.bind(d + "/notify"); n.settimeout(10)
s = socket.socket(); s.bind(("127.0.0.1", 0)); s.listen()
r, w = os.pipe()
p = subprocess.Popen([handle, "--ready-fd", str(w)], stdin=s, pass_fds=[w], env=dict(os.environ, NOTIFY_SOCKET=d + "/notify"))
os.close(w)
print(n.recv(200).decode()); print(repr(os.read(r, 10))); print(repr(os.read(r, 10)))
p.send_signal(1); print(n.recv(200).decode()); print(n.recv(200).decode())
p.terminate(); print(n.recv(200).decode().replace("\n", " ")); print(p.wait(10))
P
is "$(KMI_PROXY_DRAIN_SECONDS=5 python3 "$D/supervise.py" "$BIN/kmi-handle" "$D" | tr '\n' ';')" \
	"READY=1;b'\\n';b'';RELOADING=1;READY=1;STOPPING=1 EXTEND_TIMEOUT_USEC=15000000;0;" "systemd and s6 are told"
"$BIN/kmi-handle" --ready-fd nine 2>"$D/err"; is "$?" 2 "--ready-fd wants a number"

# ---- begun anew
echo 'KMI_PROXY_DRAIN_SECONDS=20' >"$D/kmi.env"
export KMI_ENV_PATH=$D/kmi.env
pool_start
U2=$U
curl -sN -m 20 -d '{"stream": true}' "$U/slow" >"$D/slow" 2>&1 &
SLOW=$!
until_true 5 grep -q data: "$D/slow"
"$TOOLS/load" -K -c 8 -d 3 --json "http://127.0.0.1:$PORT/kmi-rotor/v1/models" >"$D/load.json" &
LOAD=$!
for i in 1 2 3 4 5; do sleep 0.4; kill -HUP $POOL; done
wait $LOAD; is "$? $(jq -r '[.errors[]] | add' "$D/load.json")" "0 0" "five SIGHUPs under load: not one request fails"
ok "and there were many" test "$(jq .requests "$D/load.json")" -gt 100
wait $SLOW; is "$(grep -c data: "$D/slow") $(tail -n 2 "$D/slow" | grep .)" "23 data: [DONE]" "an answer that runs meanwhile is whole"
ok "the process is the same" kill -0 $POOL

echo 'KMI_PROXY_BASE_PATH=/other' >"$D/kmi.env"; kill -HUP $POOL
ok "new settings count" until_true 5 curl -sf -o /dev/null "http://127.0.0.1:$PORT/other/models"
echo 'KMI_PROXY_BASE_PATH=other' >"$D/kmi.env"; kill -HUP $POOL
ok "wrong ones are named" until_true 5 grep -q 'old settings stay: KMI_PROXY_BASE_PATH is "other"' "$D/pool.err"
ok "and the old ones stay" curl -sf -o /dev/null "http://127.0.0.1:$PORT/other/models"
rm "$D/kmi.env"; unset KMI_ENV_PATH

# ---- a stop
cat >"$D/late.py" <<'P'
import os, signal, socket, sys, time
port, pid = map(int, sys.argv[1:])
s = socket.create_connection(("127.0.0.1", port)); time.sleep(0.3)
os.kill(pid, signal.SIGTERM); time.sleep(0.5)
s.sendall(b"GET /other/models HTTP/1.1\r\nHost: localhost\r\n\r\n")
print(s.recv(12).decode())
P
is "$(python3 "$D/late.py" $PORT $POOL)" "HTTP/1.1 200" "who had just connected when it stopped is answered"
wait $POOL; is $? 0 "and then it ends"
finish
