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

# an idle handler that is killed just before it gets a connection
pool_start
for i in $(seq 20); do
	ask /models
	kill -9 $(pgrep -P "$POOL") 2>/dev/null
	ask /models
	echo "$CODE"
done >"$D/codes"
is "$(sort "$D/codes" | uniq -c | tr -s ' ')" " 20 200" "idle handlers are killed: every next client is served"
pool_stop

# state.json edited by hand, as editors do it: emptied, then filled; requests go on all the while
auto
pool_start
ask /models
"$TOOLS/load" -c 4 -d 3 -k "$U/models" >"$D/load" 2>&1 &
L=$!
for i in 1 2 3 4 5; do
	sleep 0.4
	python3 - "$D/state/state.json" $i <<'P'
import json, sys, time
s = json.load(open(sys.argv[1]))
s["mine"] = int(sys.argv[2])
s["keys"]["b"]["note"] = 'quotes " and \\ and ä'
with open(sys.argv[1], "r+") as f:
    f.truncate()
    time.sleep(0.05)
    json.dump(s, f, indent=2)
P
done
wait $L
is $? 0 "state.json edited in place under load: every request is answered"
is "$(ls "$D"/state/state.json.corrupt.* 2>/dev/null)" "" "the half-written file is not taken for a broken one"
is "$(jq -c '[.mine, .keys.b.note, .auto_rotate]' "$D/state/state.json")" '[5,"quotes \" and \\ and ä",true]' "the edit is kept"
pool_stop

# labels with anything in them: books, trace and log stay JSON
long=$(printf 'ü%.0s' $(seq 100))
rm "$D"/auths/*
printf 'KMI_API_KEY=sk-fake-q-000q\nKMI_KEY_LABEL=%s\n' "'a\"b\\c}{: '" >"$D/auths/q.env"
printf 'KMI_API_KEY=sk-fake-l-000l\nKMI_KEY_LABEL=%s\n' "$long" >"$D/auths/l.env"
printf 'KMI_API_KEY=sk-fake-n-000n\nKMI_KEY_LABEL="x\\r\\nSet-Cookie: evil=1\\n{}"\n' >"$D/auths/n.env"
auto
fake_script '[{"key": "*", "nth": 2, "do": {"preset": "rate-retry-after"}}]'
pool_start
for i in 1 2 3 4 5 6 7; do ask /models; ! grep -qi evil "$D/head" || break; done
ok "no header comes from a label" eval "! grep -qi evil '$D/head'"
trace_wait 7
ok "labels with quotes, line ends and 100 characters: state.json is JSON" jq -e ".keys | has(\"$long\")" "$D/state/state.json"
ok "the trace too" jq -es 'length == 7' "$D/state/trace/trace.jsonl"
is "$(jq '[.keys[].request_count] | add' "$D/state/state.json")" "$(jq -s '[.[].attempts | length] | add' "$D/state/trace/trace.jsonl")" "and the counts add up"
pool_stop
rm "$D"/auths/*
keys a b c
fake_script '[]'

# heads that come byte by byte take no place from anybody
auto
pool_start KMI_PROXY_MAX_CONNECTIONS=8
python3 - "$PORT" <<'P' &
import socket, sys, time
head = b"GET /kmi-rotor/v1/models HTTP/1.1\r\nHost: localhost\r\nX-Long: " + b"a" * 60000
socks = [socket.create_connection(("127.0.0.1", int(sys.argv[1]))) for _ in range(8)]
for b in head:
    for s in socks:
        try:
            s.send(bytes([b]))
        except OSError:
            pass
    time.sleep(0.002)
P
I=$!; started+=($I)
sleep 1
ask /models -m 6
is "$CODE" 200 "eight slow heads at the cap of eight: another client is served within seconds"
sleep 0.2
kill $I; wait $I 2>/dev/null
pool_stop

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
