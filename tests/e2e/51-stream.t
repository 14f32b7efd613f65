#!/bin/bash
# Answers byte for byte and piece by piece, in every framing; honest ends.
. "$(dirname "$0")/lib.sh"
keys a b
fake_start
pool_start KMI_PROXY_DRAIN_SECONDS=0

# 3 MB as server-sent events, slowly enough to see that pieces do not wait for each other
fake_script '[{"key": "*", "do": {"sse": {"count": 300, "interval_ms": 5, "size": 10000}}}]'
curl -sN -m 60 "$U/chat/completions" -d '{"stream": true}' | python3 -c '
import sys, time, json
first = None
whole = b""
while True:
    piece = sys.stdin.buffer.raw.read(65536)
    if not piece: break
    if first is None: first = time.monotonic()
    whole += piece
open(sys.argv[1], "wb").write(whole)
stamps = [json.loads(l[6:])["t"] for l in whole.split(b"\n") if l.startswith(b"data: {") and b"\"t\"" in l]
print("first" if first < stamps[-1] else "late", len(whole) > 3000000, whole.endswith(b"data: [DONE]\n\n"))' "$D/got" >"$D/seen"
is "$(cat "$D/seen")" "first True True" "3 MB of events: the first piece arrives before the last is sent, and all of it does"

head -c 3000000 /dev/urandom | base64 -w 70 | sed 's/^/data: /; s/$/\n/' >"$D/events"
fake_script "[{\"key\": \"*\", \"do\": {\"status\": 200, \"headers\": [[\"Content-Type\", \"text/event-stream\"]], \"framing\": \"chunked\", \"body\": {\"file\": \"$D/events\"}}}]"
ask /chat/completions
ok "an event stream of 4 MB arrives as it was sent" cmp -s "$D/events" "$D/body"

head -c 5000000 /dev/urandom >"$D/blob"
for framing in length chunked close; do
	fake_script "[{\"key\": \"*\", \"do\": {\"status\": 200, \"framing\": \"$framing\", \"body\": {\"file\": \"$D/blob\"}}}]"
	ask /files/x
	ok "5 MB, framing $framing: cmp-equal" cmp -s "$D/blob" "$D/body"
	ask /files/x -0
	ok "5 MB, framing $framing, to an HTTP/1.0 client" cmp -s "$D/blob" "$D/body"
done

# a slow reader holds the upstream back instead of filling memory
head -c 50000000 /dev/zero >"$D/zeros"
fake_script "[{\"key\": \"*\", \"do\": {\"status\": 200, \"body\": {\"file\": \"$D/zeros\"}}}]"
curl -s -m 60 --limit-rate 4M -o "$D/slow" "$U/files/x" &
C=$!
sleep 2
rss=$(ps -o rss= --ppid "$POOL" | sort -n | tail -1)
case $BIN in *asan*) ;; *) ok "a slow client: the handler stays small ($rss kB)" test "$rss" -lt 40000 ;; esac
wait $C
ok "and gets every byte" cmp -s "$D/zeros" "$D/slow"

# 100 streams at once
fake_script '[{"key": "*", "do": {"sse": {"count": 20, "interval_ms": 50, "size": 100}}}]'
for i in $(seq 100); do curl -sN -m 30 "$U/chat/completions" -d '{"stream": true}' -o "$D/s.$i" & P[i]=$!; done
good=0
for i in $(seq 100); do wait ${P[i]} && [ "$(tail -c 14 "$D/s.$i" | head -c 12)" = "data: [DONE]" ] && good=$((good + 1)); done
is "$good" 100 "100 streams at once: none lost"

# odd answers
fake_script '[{"key": "*", "do": {"status": 204}}]'
ask /x
is "$CODE $(wc -c <"$D/body" 2>/dev/null || echo 0)" "204 0" "204 has no body"
fake_script '[{"key": "*", "do": {"status": 304, "headers": [["ETag", "x"]]}}]'
ask /x
is "$CODE" 304 "304 passes"
fake_script '[{"key": "*", "do": {"status": 200, "body": "hello"}}]'
ask /x -I
is "$CODE" 200 "HEAD passes"
has "$(cat "$D/head")" "Content-Length: 5" "with the length the body would have"
is "$(curl -s "$U/x" "$U/x" -o "$D/1" -o "$D/2" -w '%{num_connects} ' -X GET)" "1 0 " "the connection is kept for another request"
fake_script '[{"key": "*", "do": {"status": 302, "headers": [["Location", "https://127.0.0.1:1/"]]}}]'
ask /x
is "$CODE" 302 "redirects are passed on, not followed"
fake_script '[{"key": "*", "do": {"status": 200, "raw": "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n", "body": "real", "headers": [["Set-Cookie", "a=1"], ["Set-Cookie", "b=2"], ["X-Empty", ""]]}}]'
ask /x
is "$CODE $BODY" "200 real" "an interim answer before the real one"
is "$(grep -ci '^set-cookie' "$D/head")" 2 "repeated headers stay repeated"
has "$(cat "$D/head")" "X-Empty:" "an empty header stays"
fake_script '[{"key": "*", "do": {"preset": "unasked-101"}}]'
ask /x
is "$CODE" 502 "an unasked 101 is a bad answer"
fake_script '[{"key": "*", "do": {"preset": "garbage"}}]'
ask /x
is "$CODE" 502 "garbage is a bad answer"

# cuts are told
for framing in length chunked close; do
	for how in fin close rst; do
		[ $framing.$how != close.close ] || continue	# that is how a whole one ends
		fake_reset
		fake_script "[{\"key\": \"*\", \"do\": {\"status\": 200, \"framing\": \"$framing\", \"body\": {\"file\": \"$D/blob\"}, \"cut\": {\"after_bytes\": 100000, \"how\": \"$how\"}}}]"
		rm -rf "$D/state/trace"
		ask /files/x
		ok "cut by $how, framing $framing: the client can tell (curl says $CURL)" test "$CURL" -ne 0
		trace_wait 1
		is "$(trace_last error_code)" cut "and the trace says so"
		is "$(fake_count)" 1 "not sent again"
	done
done
fake_script '[{"key": "*", "do": {"sse": {"count": 20, "interval_ms": 1, "size": 300}, "cut": {"after_bytes": 2000, "how": "close"}}}]'
ask /chat/completions -d '{"stream": true}'
ok "a cut event stream has no clean end" test "$CURL" -ne 0
is "$(tail -n 3 "$D/body" | head -1)" "event: error" "its last event is an error"
is "$(tail -n 2 "$D/body" | sed -n 's/^data: //p' | jq -r .error.code)" upstream_cut "that a client can read"

# the end of the connection is the end of the answer: one that is not whole ends in a reset, whoever cut it
cat >"$D/one.py" <<'P'
# one.py PORT: a request of HTTP/1.0: how the connection ended, and the bytes of the body
import socket, sys
s = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
s.settimeout(20)
s.sendall(b"GET /kmi-rotor/v1/x HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n")
got, how = b"", "clean"
try:
    while True:
        p = s.recv(65536)
        if not p: break
        got += p
except ConnectionResetError: how = "reset"
print(how, len(got.partition(b"\r\n\r\n")[2]))
P
one() { timeout 30 python3 "$D/one.py" "$PORT"; }
fake_script "[{\"key\": \"*\", \"do\": {\"status\": 200, \"framing\": \"chunked\", \"body\": {\"file\": \"$D/blob\"}}}]"
is "$(one)" "clean $(stat -c %s "$D/blob")" "HTTP/1.0: a whole answer ends in order"
fake_script "[{\"key\": \"*\", \"do\": {\"status\": 200, \"framing\": \"chunked\", \"body\": {\"file\": \"$D/blob\"}, \"cut\": {\"after_bytes\": 100000, \"how\": \"fin\"}}}]"
rm -rf "$D/state/trace"
is "$(one)" "reset 100000" "HTTP/1.0, cut by the upstream: every byte, then a reset"
trace_wait 1
is "$(trace_last error_code)" cut "traced as such"
fake_script '[{"key": "*", "do": {"sse": {"count": 1000, "interval_ms": 20, "size": 100}}}]'
fake_reset
one >"$D/seen" &
L=$!
until_true 10 eval '[ $(fake_live) -ge 1 ]'
sleep 0.3
kill -9 $(pgrep -P "$POOL")
wait $L
is "$(cut -d' ' -f1 "$D/seen")" reset "HTTP/1.0, the handler is killed: a reset"
fake_reset
one >"$D/seen" &
L=$!
until_true 10 eval '[ $(fake_live) -ge 1 ]'
sleep 0.3
pool_stop
wait $L
is "$(cut -d' ' -f1 "$D/seen")" reset "HTTP/1.0, the pool stops and will not wait: a reset"
pool_start

# an upstream that closes between two requests, or in the face of a large one
fake_reset
fake_script '[{"key": "*", "do": {"close_after": true, "body": "one"}}]'
for i in 1 2 3 4 5; do
	ask /x -d "number $i"
	[ "$CODE $BODY" = "200 one" ] || note "request $i: $CODE $BODY"
	[ "$CODE $BODY" = "200 one" ] && answered=$((${answered:-0} + 1))
done
is "$answered" 5 "a connection that the upstream closed after its answer is not mourned"
is "$(fake_count)" 5 "and nothing was sent twice"
fake_reset
fake_script '[{"key": "*", "nth": 1, "do": {"body": "one"}}, {"key": "*", "nth": 2, "do": {"close_before_answer": "rst"}}, {"key": "*", "do": {"body": "three"}}]'
ask /x -d 1
ask /x -d 2
is "$CODE $BODY" "200 three" "a reset of an idle connection costs one more try"
fake_script '[{"key": "*", "do": {"early_answer": true, "status": 413, "body": {"json": {"error": {"message": "too large"}}}}}]'
head -c 8000000 /dev/zero >"$D/large"
ask /x --data-binary @"$D/large"
is "$CODE" 413 "an answer to the head alone is passed on, while the body is still going"
has "$BODY" "too large" "with its body"

# a client that leaves ends the upstream's work
gone() {	# gone NAME: since the client left, how long until the upstream noticed
	fake_wait 1
	is "$(fake_last aborted)" true "$1: the upstream request has ended"
	ok "$1: within a second" jq -ne "$(fake_last t_abort) - $left < 1"
	trace_wait 1
	is "$(trace_last error_code)" client_gone "$1: traced"
	is "$(state a exhausted_until) $(state a blocked_until)" "null null" "$1: the key is not blamed"
}
leave() {	# leave SECONDS CURL ARGUMENTS...
	fake_reset
	rm -rf "$D/state/trace"
	curl -sN -m 60 -o /dev/null "${@:2}" &
	C=$!
	until_true 10 eval '[ $(fake_live) -ge 1 ]'
	sleep "$1"
	left=$(python3 -c 'import time; print(time.monotonic())')
	kill -9 $C
	wait $C 2>/dev/null
}
fake_script '[{"key": "*", "do": {"stall": true}}]'
leave 0.2 "$U/chat/completions" -d '{}'
gone "left while waiting"
fake_script '[{"key": "*", "do": {"sse": {"count": 1000, "interval_ms": 20, "size": 100}}}]'
leave 0.3 "$U/chat/completions" -d '{"stream": true}'
gone "left in mid-stream"
fake_script '[{"key": "*", "do": {"status": 200, "hold_ms": 20000, "body": "late"}}]'
leave 0.2 "$U/x"
gone "left between head and body"

pool_stop
is $? 0 "the pool ends well"
finish
