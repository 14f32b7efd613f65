#!/bin/bash
# kmi proxy-restart of the embedded pool under load: not one request fails, running answers are whole, new settings count. Plain,
# with TLS and on a unix socket; also with another address, with a pool that gives nothing, and several at once.
. "$(dirname "$0")/lib.sh"
keys a b
fake_start
fake_script '[{"path": "/slow", "do": {"sse": {"count": 30, "interval_ms": 100, "size": 16}}}]'
free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
kmi() { "$BIN/kmi" "$@" >"$D/out" 2>"$D/err"; }
pid() { cat "$D/state/proxy.pid"; }
pools=()
trap 'for p in "${pools[@]}" $(pid 2>/dev/null); do kill -9 $p 2>/dev/null; done; cleanup' EXIT
remember() { pools+=($(pid)); }
gone() { ! kill -0 "$1" 2>/dev/null || grep -q 'State:.Z' "/proc/$1/status"; }
load() { "$TOOLS/load" -K -c 8 -d "$1" -t 30 --json "$2" >"$D/load.json"; }
PORT=$(free_port) U=http://127.0.0.1:$PORT/kmi-rotor/v1
export KMI_PROXY_LISTEN=127.0.0.1:$PORT

kmi proxy; is $? 0 "it starts"
remember; first=$(pid)
curl -sN -m 30 -d '{"stream": true}' "$U/slow" >"$D/slow" 2>&1 & SLOW=$!
until_true 5 grep -q data: "$D/slow"
load 5 "$U/models" & LOAD=$!
"$TOOLS/load" -k -c 2 -d 5 -t 30 --json "$U/models" >"$D/kept.json" & KEPT=$!
for i in 1 2 3; do sleep 0.7; kmi proxy-restart || break; remember; done
is "$? $(grep -c begun "$D/out")" "0 1" "three restarts under load"
KMI_PROXY_BASE_PATH=/kmi-rotor/v1 kmi proxy-restart; remember
wait $LOAD; is "$(jq -c '[([.errors[]] | add), (.requests > 100), (.status | keys)]' "$D/load.json")" '[0,true,["200"]]' "not one request fails"
wait $KEPT; is "$(jq -c '[.errors[]] | add' "$D/kept.json")" 0 "nor one on a connection that is kept"
wait $SLOW; is "$(grep -c data: "$D/slow") $(grep . "$D/slow" | tail -n 1)" "33 data: [DONE]" "a running answer is whole"
ok "by another process" test "$(pid)" != "$first"
ok "the old ones have ended" until_true 10 eval "gone $first"
is "$(ls "$D/state" | grep -c handover)" 0 "nothing is left of the meeting"
KMI_PROXY_BASE_PATH=/other kmi proxy-restart; remember
is "$(curl -s -o /dev/null -w '%{http_code}' "http://127.0.0.1:$PORT/other/models")" 200 "new settings of this shell count"
KMI_PROXY_RETRY_MAX=many kmi proxy-restart
is "$? $(curl -s -o /dev/null -w '%{http_code}' "http://127.0.0.1:$PORT/other/models")" "2 200" "wrong ones: exit 2, and the old pool goes on"
for i in 1 2 3; do "$BIN/kmi" proxy-restart >/dev/null 2>&1 & R[i]=$!; done
wait "${R[@]}"; remember
kmi proxy-restart; remember; ask /models; is "$CODE" 200 "several at once: it serves"
kill -STOP "$(pid)"; old=$(pid)
(sleep 4; kill -CONT $old) &
kmi proxy-restart; is "$?" 0 "a pool that gives nothing is stopped, and another started"
remember
ask /models; is "$CODE" 200 "which serves"
SECOND=$(free_port)
KMI_PROXY_LISTEN=127.0.0.1:$SECOND kmi proxy-restart; remember
is "$? $(curl -s -o /dev/null -w '%{http_code}' "http://127.0.0.1:$SECOND/kmi-rotor/v1/models")" "0 200" "another address"
ask /models; is "$CURL" 7 "nobody answers at the old one"
curl -sN -m 60 -d '{"stream": true}' "http://127.0.0.1:$SECOND/kmi-rotor/v1/slow" >"$D/slow" 2>&1 & SLOW=$!
old=$(pid)
KMI_PROXY_LISTEN=127.0.0.1:$SECOND kmi proxy-restart -f; is $? 0 "with -f"
remember
ok "the old pool is gone at once" gone "$old"
KMI_PROXY_LISTEN=127.0.0.1:$SECOND kmi proxy-stop; wait $SLOW

export KMI_PROXY_LISTEN=unix:$D/sock
kmi proxy; remember
"$TOOLS/load" -K -c 4 -d 2 -t 30 --json "unix:$D/sock:/kmi-rotor/v1/models" >"$D/load.json" & LOAD=$!
sleep 0.7; kmi proxy-restart; is $? 0 "on a unix socket"
remember
wait $LOAD; is "$(jq -c '[.errors[]] | add' "$D/load.json")" 0 "not one request fails"
kmi proxy-stop

"$BIN/kmi" tls selfsigned --name localhost "$D/cert.pem" "$D/key.pem" >/dev/null 2>&1
export KMI_PROXY_LISTEN=127.0.0.1:$PORT KMI_PROXY_TLS_LISTEN=127.0.0.1:$SECOND KMI_PROXY_TLS_CERT=$D/cert.pem KMI_PROXY_TLS_KEY=$D/key.pem
kmi proxy; is $? 0 "with TLS beside it"
remember
load 4 "$U/models" & LOAD=$!
cat >"$D/tls.py" <<'P'
import socket, ssl, sys, time
port, seconds = int(sys.argv[1]), float(sys.argv[2])
ctx = ssl.create_default_context(cafile=sys.argv[3])
n = failed = 0
end = time.monotonic() + seconds
while time.monotonic() < end:
    n += 1
    try:
        with ctx.wrap_socket(socket.create_connection(("127.0.0.1", port), 20), server_hostname="localhost") as s:
            s.sendall(b"GET /kmi-rotor/v1/models HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            if not s.recv(100).startswith(b"HTTP/1.1 200"): failed += 1
    except OSError as e:
        failed += 1; print(e, file=sys.stderr)
print("many" if n > 30 else n, failed)
P
python3 "$D/tls.py" "$SECOND" 4 "$D/cert.pem" >"$D/tls.out" 2>"$D/tls.err" & TLS=$!
for i in 1 2 3; do sleep 0.8; kmi proxy-restart; remember; done
wait $LOAD; is "$(jq -c '[.errors[]] | add' "$D/load.json")" 0 "restarts: not one plain request fails"
wait $TLS; is "$(cat "$D/tls.out")" "many 0" "nor one by TLS"
note "$(head -n 5 "$D/tls.err")"
kmi proxy-stop; is $? 0 "stopped"
is "$(curl -s -m 5 -o /dev/null -w '%{http_code}' "$U/models")" 000 "nobody is left behind"
finish
