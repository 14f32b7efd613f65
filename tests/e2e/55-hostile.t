#!/bin/bash
# Clients and upstreams that behave badly: framing at its edges, endless senders, edits by hand, too few descriptors.
. "$(dirname "$0")/lib.sh"
keys a b c
auto
fake_start
pool_start KMI_PROXY_MAX_BODY_MB=1
python3 "$root/tests/tools/hostile.py" "$PORT" "$D" sends_for_ever >"$D/endless" &
E=$!
started+=($E)
while IFS= read -r line; do
	case $line in
	ok*) n=$((n + 1)); echo "ok $n ${line#ok }" ;;
	not*) n=$((n + 1)); failed=$((failed + 1)); echo "not ok $n ${line#not ok }" ;;
	*) echo "$line" ;;
	esac
done < <(python3 "$root/tests/tools/hostile.py" "$PORT" "$D"; tail --pid=$E -f /dev/null; cat "$D/endless")
pool_stop
is $? 0 "the pool ends well"

# few descriptors: fewer handlers than the setting allows; idle connections give way, and everybody is served
auto
mkdir "$D/limited"
printf '#!/bin/sh\nulimit -n 64\nexec "%s/kmi-handle"\n' "$BIN" >"$D/limited/kmi-handle"
chmod +x "$D/limited/kmi-handle"
BIN=$D/limited pool_start
python3 - "$PORT" <<'P' &
import socket, sys, time
socks = []
for i in range(100):
    s = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
    s.sendall(b"GET /kmi-rotor/v1/models HTTP/1.1\r\nHost: localhost\r\n\r\n")
    socks.append(s)
time.sleep(30)
P
I=$!; started+=($I)
trace_wait 60
ask /models -m 10
is "$CODE" 200 "64 descriptors and 100 clients that stay: another one is served"
kill $I; wait $I 2>/dev/null
"$TOOLS/load" -c 200 -n 1000 -K "$U/models" >"$D/load" 2>&1
is $? 0 "200 clients at once: every one is served"
has "$(cat "$D/state/logs/kmi.log")" "too few descriptors" "the log says so"

# no descriptor for a handler: the client waits for it, and is not sent away
pause_clients() {	# until the pool has let its idle handlers go: then the next client needs a new one
	until_true 20 eval "! pgrep -P $POOL"
}
pause_clients
second_free=$(ls "/proc/$POOL/fd" | python3 -c '
import sys
used = {int(l) for l in sys.stdin}
print([n for n in range(99) if n not in used][1])')
prlimit --pid "$POOL" --nofile="$second_free":64	# room for one: accept() has it, socketpair() has not
curl -s -m 20 -o "$D/held" -w '%{http_code}' "$U/models" >"$D/held.code" &
C=$!
sleep 1
ticks() { awk '{print $14 + $15}' "/proc/$POOL/stat"; }
before=$(ticks)
sleep 1
ok "the pool does not spin meanwhile" test $(($(ticks) - before)) -lt 20
ok "and the client is not sent away" kill -0 $C
prlimit --pid "$POOL" --nofile=64:64
wait $C
is "$? $(cat "$D/held.code")" "0 200" "a client that came when no handler could be made is served when one can"
pool_stop
is $? 0 "the pool ends well"
finish
