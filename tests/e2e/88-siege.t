#!/bin/bash
# Those who want to keep others out: half-open handshakes, clients that send and never read, many of each.
. "$(dirname "$0")/lib.sh"
. "$root/tests/e2e/tls.sh"
keys a
ulimit -n 4096

# handshakes that are begun and not ended
cat >"$D/half.py" <<'P'
# half.py PORT COUNT SECONDS: that many connections that send the beginning of a handshake and no more, made anew as they end
import select, socket, sys, time
port, count, seconds = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
end, all = time.monotonic() + seconds, set()
poll = select.poll()
byfd = {}
while time.monotonic() < end:
    while len(byfd) < count and time.monotonic() < end:
        s = socket.socket()
        s.setblocking(False)
        try: s.connect(("127.0.0.1", port))
        except BlockingIOError: pass
        except OSError: break
        byfd[s.fileno()] = [s, False]
        poll.register(s, select.POLLIN | select.POLLOUT)
    for fd, what in poll.poll(100):
        s, sent = byfd[fd]
        if what & select.POLLOUT and not sent:
            try: s.send(b"\x16\x03\x01\x02\x00\x01")
            except OSError: pass
            byfd[fd][1] = True
            poll.modify(s, select.POLLIN)
        elif what & ~select.POLLOUT:
            poll.unregister(fd)
            s.close()
            del byfd[fd]
P
tls_start KMI_DRY_RUN=1
python3 "$D/half.py" "$TPORT" 1000 6 &
H=$!
started+=($H)
until_true 10 eval '[ $(pgrep -c -P $TLS -x kmi-tls) -ge 900 ]'
slowest=0
for i in 1 2 3 4 5; do
	t=$(tls -o /dev/null -w '%{http_code} %{time_total}' "$T/models")
	ms=$(python3 -c "print(int(float('${t#* }') * 1000))")
	[ "${t% *}" = 200 ] && [ $ms -ge $slowest ] && slowest=$ms
	[ "${t% *}" = 200 ] || slowest=99999
done
ok "1,000 half-open handshakes: another client is served ($slowest ms)" test $slowest -lt 5000
kill $H 2>/dev/null; wait $H 2>/dev/null
until_true 15 eval '[ $(pgrep -c -P $TLS -x kmi-tls) -eq 0 ]'
is "$(pgrep -c -P $TLS -x kmi-tls)" 0 "and they are gone when their time is over"
tls_stop

# more of them than there are places, made anew as soon as they end
tls_start KMI_DRY_RUN=1 KMI_PROXY_MAX_CONNECTIONS=32
python3 "$D/half.py" "$TPORT" 150 30 &
H=$!
started+=($H)
sleep 12
slowest=0
for i in 1 2 3; do
	t=$(tls -m 20 -o /dev/null -w '%{http_code} %{time_total}' "$T/models")
	ms=$(python3 -c "print(int(float('${t#* }') * 1000))")
	[ "${t% *}" = 200 ] || ms=99999
	[ $ms -lt $slowest ] || slowest=$ms
done
ok "more of them than there are places, and again: another client waits no longer than they hold one ($slowest ms)" test $slowest -lt 6000
kill $H 2>/dev/null; wait $H 2>/dev/null
tls_stop

# what is no TLS, again and again, does not fill the log
tls_start KMI_DRY_RUN=1
python3 - "$TPORT" <<'P'
import socket, sys
for i in range(400):
    s = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
    s.settimeout(10)
    s.sendall(b"\x16\x03\x01\x00\x05hello" if i % 2 else b"GET / HTTP/1.0\r\n\r\n")
    try:
        while s.recv(4096): pass
    except OSError: pass
    s.close()
P
ok "400 clients that speak no TLS: $(warnings) lines" test "$(warnings)" -le 80
is "$(grep -c 'not told here' "$D/tls.err")" 1 "one of which says that the others are left out"
is "$(tls_code "$T/models")" 200 "a client that does is served"
tls_stop

# one who has had his answer, or is refused, takes nothing of it and sends on
head -c 3000000 /dev/zero >"$D/zeros"
fake_start
fake_script "[{\"key\": \"*\", \"do\": {\"status\": 200, \"framing\": \"length\", \"body\": {\"file\": \"$D/zeros\"}}}]"
tls_start KMI_UPSTREAM_IDLE_TIMEOUT_SECONDS=2
cat >"$D/deaf.py" <<'P'
# deaf.py PORT CA: a request whose answer is not read, and bytes for ever
import socket, ssl, sys, time
raw = socket.socket()
raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
raw.connect(("127.0.0.1", int(sys.argv[1])))
s = ssl.create_default_context(cafile=sys.argv[2]).wrap_socket(raw, server_hostname="127.0.0.1")
s.sendall(b"GET /kmi-rotor/v1/x HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
t = time.monotonic()
try:
    while time.monotonic() < t + 90:
        s.sendall(b"x")
        time.sleep(0.5)
    print("never", flush=True)
except OSError:
    print(int(time.monotonic() - t), flush=True)
P
timeout 100 python3 "$D/deaf.py" "$TPORT" "$D/certs/ca.pem" >"$D/seen"
ok "who takes nothing of an answer and sends on is let go ($(cat "$D/seen") s)" test "$(cat "$D/seen")" -le 75
ok "and no process of his is left" until_true 5 eval '[ $(pgrep -c -P $TLS -x kmi-tls) -eq 0 ]'
tls_stop
finish
