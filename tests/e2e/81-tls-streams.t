#!/bin/bash
# kmi-tls: every byte, piece by piece, and honest ends in both directions.
. "$(dirname "$0")/lib.sh"
. "$root/tests/e2e/tls.sh"
keys a
fake_start
tls_start KMI_PROXY_IDLE_SECONDS=2

# 200 MB, there and (64 MB less a little) back
head -c 200000000 /dev/urandom >"$D/blob"
fake_script "[{\"key\": \"*\", \"do\": {\"status\": 200, \"body\": {\"file\": \"$D/blob\"}}}]"
t=$(date +%s%N)
is "$(tls_code "$T/files/x")" 200 "200 MB come"
ms=$((($(date +%s%N) - t) / 1000000))
ok "cmp-equal" cmp -s "$D/blob" "$D/body"
case $BIN in *asan*) ;; *) ok "in bounded time ($ms ms)" test $ms -lt 60000 ;; esac
rm -f "$D/body"
head -c 60000000 "$D/blob" >"$D/up"
rm -f "$D/blob"
fake_script '[{"key": "*", "do": {"status": 200, "body": "ok"}}]'
fake_reset
is "$(tls_code "$T/files/y" --data-binary @"$D/up")" 200 "60 MB go"
fake_wait 1
ok "cmp-equal" cmp -s "$D/up" "$D/rec/$(printf %04d "$(jq -s 'max_by(.n).n' "$D/rec/live.jsonl")").body"
rm -f "$D/up" "$D"/rec/*.body

# nothing waits for the next piece
fake_script '[{"key": "*", "do": {"sse": {"count": 60, "interval_ms": 30, "size": 100}}}]'
tls -N "$T/chat/completions" -d '{"stream": true}' | python3 -c '
import json, sys, time
late, rest = [], b""
while True:
    piece = sys.stdin.buffer.raw.read(65536)
    now = time.monotonic()
    if not piece: break
    *lines, rest = (rest + piece).split(b"\n")
    late += [now - json.loads(l[6:])["t"] for l in lines if l.startswith(b"data: {") and b"\"t\"" in l]
late.sort()
print(len(late), round(late[len(late) // 10] * 1000, 2))' >"$D/seen"
read -r count delay <"$D/seen"
# a busy machine may delay most of them; what waits for the next piece delays all
ok "each of 60 events comes by itself: the quickest tenth within $delay ms" test "$count" -ge 60 -a "$(python3 -c "print(int($delay < 15))")" = 1

# many at once
fake_script '[{"key": "*", "do": {"sse": {"count": 20, "interval_ms": 100, "size": 100}}}]'
for i in $(seq 200); do tls -N "$T/chat/completions" -d '{"stream": true}' -o "$D/s.$i" 2>/dev/null & P[i]=$!; done
good=0
for i in $(seq 200); do wait ${P[i]} && [ "$(tail -c 14 "$D/s.$i" | head -c 12)" = "data: [DONE]" ] && good=$((good + 1)); done
is "$good" 200 "200 TLS clients at once: each has its whole stream"

# how an answer ends, as a client sees it that looks closely
cat >"$D/end.py" <<'PY'
import socket, ssl, sys
port, ca, minor = int(sys.argv[1]), sys.argv[2], sys.argv[3]
raw = socket.create_connection(("127.0.0.1", port))
raw.settimeout(20)
# TLS in memory: the socket's own end stays to be seen
inp, out = ssl.MemoryBIO(), ssl.MemoryBIO()
s = ssl.create_default_context(cafile=ca).wrap_bio(inp, out, server_hostname="127.0.0.1")
def step(what):
    while True:
        try: return what()
        except ssl.SSLWantReadError:
            if out.pending: raw.sendall(out.read())	# even nothing, sent after a reset, would hide what has arrived
            p = raw.recv(65536)
            if not p: raise EOFError
            inp.write(p)
step(s.do_handshake)
s.write(b"GET /kmi-rotor/v1/x HTTP/1.%s\r\nHost: 127.0.0.1\r\n\r\n" % minor.encode())
got, how = b"", "clean"		# a close_notify
try:
    while True:
        p = step(lambda: s.read(65536))
        if not p: break
        got += p
except ssl.SSLZeroReturnError: pass
except EOFError: how = "cut"
except ConnectionResetError: how = "reset"
print(how, len(got.partition(b"\r\n\r\n")[2]), got.partition(b"\r\n")[0].decode())
PY
look() { timeout 30 python3 "$D/end.py" "$TPORT" "$D/certs/ca.pem" "$1" 2>&1; }
head -c 300000 /dev/zero >"$D/zeros"
fake_script "[{\"key\": \"*\", \"do\": {\"status\": 200, \"framing\": \"close\", \"body\": {\"file\": \"$D/zeros\"}}}]"
is "$(look 0)" "clean 300000 HTTP/1.1 200 OK" "an answer that ends with its connection: all of it, then a close_notify"
for how in close rst; do
	fake_script "[{\"key\": \"*\", \"do\": {\"status\": 200, \"framing\": \"length\", \"body\": {\"file\": \"$D/zeros\"}, \"cut\": {\"after_bytes\": 100000, \"how\": \"$how\"}}}]"
	for minor in 0 1; do
		is "$(look $minor)" "reset 100000 HTTP/1.1 200 OK" "cut by $how: the client of 1.$minor gets what there was, less than was announced, then a reset"
	done
	fake_script "[{\"key\": \"*\", \"do\": {\"status\": 200, \"framing\": \"chunked\", \"body\": {\"file\": \"$D/zeros\"}, \"cut\": {\"after_bytes\": 100000, \"how\": \"$how\"}}}]"
	is "$(look 0)" "reset 100000 HTTP/1.1 200 OK" "cut by $how, and no length was announced: all of it, then a reset"
	saw=$(look 1)
	is "${saw%% *} ${saw#* * }" "reset HTTP/1.1 200 OK" "cut by $how in chunks: a reset, no close_notify"
done
fake_script '[{"key": "*", "do": {"sse": {"count": 20, "interval_ms": 1, "size": 300}, "cut": {"after_bytes": 2000, "how": "close"}}}]'
tls -N -o "$D/body" "$T/chat/completions" -d '{"stream": true}' 2>/dev/null
CURL=$?
ok "a cut event stream has no clean end (curl says $CURL)" test $CURL -ne 0
has "$(tail -n 3 "$D/body")" "upstream_cut" "its last event still arrives, and is an error"

# the handler is killed in the middle
fake_script '[{"key": "*", "do": {"sse": {"count": 1000, "interval_ms": 20, "size": 100}}}]'
fake_reset
look 1 >"$D/seen" &
L=$!
until_true 10 eval '[ $(fake_live) -ge 1 ]'
sleep 0.3
POOL=$(pgrep -P "$TLS" -x kmi-handle)
for p in $(pgrep -P "$POOL"); do kill -9 "$p"; done
wait $L
is "$(cut -d' ' -f1 "$D/seen")" reset "a handler that is killed: the client sees a reset"
fake_script '[{"key": "*", "do": {"status": 200, "body": "hello"}}]'
sleep 0.5	# under a sanitizer a killed process takes a while to be gone
is "$(tls_code "$T/x")" 200 "the next request is served"
kill -9 "$POOL"
until_true 10 grep -q 'started again' "$D/tls.err"
is "$(tls_code "$T/x")" 200 "even when the pool itself is killed"
has "$(cat "$D/tls.err")" "the pool has ended" "which the log tells"

# clients that leave
gone() {
	fake_wait 1
	is "$(fake_last aborted)" true "$1: the upstream request has ended"
	ok "$1: within a second" jq -ne "$(fake_last t_abort) - $left < 1"
	trace_wait 1
	is "$(trace_last error_code)" client_gone "$1: traced"
}
cat >"$D/leave.py" <<'PY'
import os, socket, ssl, sys, time
port, ca, how = int(sys.argv[1]), sys.argv[2], sys.argv[3]
raw = socket.create_connection(("127.0.0.1", port))
c = ssl.create_default_context(cafile=ca)
s = c.wrap_socket(raw, server_hostname="127.0.0.1")
s.sendall(b"POST /kmi-rotor/v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 2\r\n\r\n{}")
sys.stdin.readline()
print(time.monotonic(), flush=True)
if how == "notify":		# as TLS wants it
    s.settimeout(5)
    try: s.unwrap()
    except OSError: pass
elif how == "half":		# the sending half alone, and it goes on to read
    fd = s.detach(); r = socket.socket(fileno=fd); r.shutdown(socket.SHUT_WR); r.settimeout(5)
    try:
        while r.recv(65536): pass
    except OSError: pass
else:				# without a word: the stream is truncated
    os._exit(0)
PY
leave() {	# leave HOW
	fake_reset
	rm -rf "$D/state/trace" "$D/go"
	mkfifo "$D/go"
	python3 "$D/leave.py" "$TPORT" "$D/certs/ca.pem" "$1" <"$D/go" >"$D/left" &
	C=$!
	exec 9>"$D/go"
	until_true 10 eval '[ $(fake_live) -ge 1 ]'
	sleep 0.2
	echo >&9
	exec 9>&-
	wait $C
	left=$(cat "$D/left")
}
fake_script '[{"key": "*", "do": {"stall": true}}]'
for how in notify half truncate; do
	leave $how
	gone "left ($how) while waiting"
done
fake_script '[{"key": "*", "do": {"sse": {"count": 1000, "interval_ms": 20, "size": 100}}}]'
for how in notify half truncate; do
	leave $how
	gone "left ($how) in mid-stream"
done
fake_script "[{\"key\": \"*\", \"do\": {\"status\": 200, \"body\": \"ok\"}}]"
cat >"$D/cut.py" <<'PY'
# cut.py PORT CA HOW HEAD-AND-BODY: a request that breaks off
import os, socket, ssl, sys
port, ca, how, text = sys.argv[1:]
raw = socket.create_connection(("127.0.0.1", int(port)))
s = ssl.create_default_context(cafile=ca).wrap_socket(raw, server_hostname="127.0.0.1", suppress_ragged_eofs=False)
s.sendall(b"POST /kmi-rotor/v1/x HTTP/1.1\r\nHost: 127.0.0.1\r\n" + text.encode().decode("unicode_escape").encode())
s.settimeout(10)
if how == "notify":		# an orderly end of TLS in the middle of HTTP
    try: s.unwrap()
    except OSError: pass
elif how == "half":		# FIN without close_notify, and the client goes on to read
    fd = s.detach(); r = socket.socket(fileno=fd); r.shutdown(socket.SHUT_WR); r.settimeout(10)
    try:
        while r.recv(65536): pass
    except OSError: pass
os._exit(0)
PY
for how in gone half notify; do
	for text in 'Content-Length: 1000\r\n\r\nhalf a body' \
		'Content-Length: 12\r\nConnection: close\r\n\r\nhalf a body' \
		'Transfer-Encoding: chunked\r\n\r\n' \
		'Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n4\r\nhalf\r\n' \
		'Transfer-Encoding: chunked\r\n\r\n4\r\nha' \
		'Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n0\r\n' \
		'Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n0\r\n\r'; do
		fake_reset
		rm -rf "$D/state/trace"
		python3 "$D/cut.py" "$TPORT" "$D/certs/ca.pem" $how "$text"
		trace_wait 1
		is "$(trace_last error_code) $(fake_live)" "client_gone 0" "$how in '${text#*\\r\\n}': traced as client_gone, and nothing goes upstream"
	done
done

# clients that do nothing
t=$SECONDS
is "$(python3 - "$TPORT" "$D/certs/ca.pem" <<'PY'
import socket, ssl, sys
s = ssl.create_default_context(cafile=sys.argv[2]).wrap_socket(socket.create_connection(("127.0.0.1", int(sys.argv[1]))), server_hostname="127.0.0.1", suppress_ragged_eofs=False)
s.settimeout(20)
print(s.recv(10))
PY
)" "b''" "who never writes gets a clean end after KMI_PROXY_IDLE_SECONDS ($((SECONDS - t)) s)"
head -c 100000000 /dev/zero >"$D/zeros"
fake_script "[{\"key\": \"*\", \"do\": {\"status\": 200, \"body\": {\"file\": \"$D/zeros\"}}}]"
fake_reset
rm -rf "$D/state/trace"
python3 - "$TPORT" "$D/certs/ca.pem" <<'PY' &
import socket, ssl, sys, time
s = ssl.create_default_context(cafile=sys.argv[2]).wrap_socket(socket.create_connection(("127.0.0.1", int(sys.argv[1]))), server_hostname="127.0.0.1")
s.sendall(b"GET /kmi-rotor/v1/x HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
time.sleep(60)
PY
C=$!
until_true 10 eval '[ $(fake_live) -ge 1 ]'
sleep 1.5
P=$(pgrep -n -P "$TLS" -x kmi-tls)
rss=$(ps -o rss= -p "$P")
case $BIN in *asan*) ;; *) ok "who never reads holds the upstream back: its process stays small ($rss kB)" test "$rss" -lt 8000 ;; esac
busy() { awk '{print $14 + $15}' "/proc/$P/stat"; }
b=$(busy)
sleep 1
ok "and does not spin" test $(($(busy) - b)) -le 5
kill -9 $C
wait $C 2>/dev/null
trace_wait 1
is "$(trace_last error_code)" client_gone "when it is killed the request ends"

# begun anew in the middle of a stream
fake_script '[{"key": "*", "do": {"sse": {"count": 40, "interval_ms": 50, "size": 100}}}]'
fake_reset
tls -N -o "$D/last" "$T/chat/completions" -d '{"stream": true}' 2>/dev/null &
C=$!
until_true 10 eval '[ $(fake_live) -ge 1 ]'
sleep 0.2
before=$(pgrep -P "$TLS" -x kmi-handle)
kill -HUP "$TLS"
sleep 0.3
fake_script '[{"key": "*", "do": {"status": 200, "body": "hello"}}]'
is "$(tls_code "$T/x")" 200 "SIGHUP: it serves on"
is "$(pgrep -P "$TLS" -x kmi-handle)" "$before" "its pool begins anew as the same process"
wait $C
is $? 0 "a running answer goes on"
has "$(tail -c 20 "$D/last")" "[DONE]" "to its end"
kill -HUP "$TLS"
is "$(tls_code "$T/x")" 200 "and once more"

# an end that was asked for: the answer in hand is finished
fake_script '[{"key": "*", "do": {"sse": {"count": 40, "interval_ms": 50, "size": 100}}}]'
fake_reset
tls -N -o "$D/last" "$T/chat/completions" -d '{"stream": true}' 2>/dev/null &
C=$!
until_true 10 eval '[ $(fake_live) -ge 1 ]'
sleep 0.2
POOL=$(pgrep -P "$TLS" -x kmi-handle)
t=$SECONDS
tls_stop
is $? 0 "stopped in the middle of a stream, it ends well ($((SECONDS - t)) s)"
wait $C
is $? 0 "the client has its whole answer"
has "$(tail -c 20 "$D/last")" "[DONE]" "to the end"
ok "nothing is left running" test ! -d "/proc/$POOL"

# killed
tls_start
POOL=$(pgrep -P "$TLS" -x kmi-handle)
kill -9 "$TLS"
wait "$TLS" 2>/dev/null
ended() { [ ! -d "/proc/$1" ] || grep -q '^State:.Z' "/proc/$1/status"; }	# process 1 of a container may look after nobody
ok "when kmi-tls is killed its pool ends" until_true 10 ended "$POOL"
finish
