#!/bin/bash
# Strict rotation under any concurrency, in each way of starting a handler; counts and trace that add up.
. "$(dirname "$0")/lib.sh"
keys a b c d e f g
auto
fake_start
pool_start

# rotation WHAT REQUESTS: the books of what has run so far
rotation() {
	trace_wait "$2"
	is "$(trace_lines)" "$2" "$1: one trace line a request"
	is "$(cat "$D"/state/trace/trace.jsonl* | jq -s '[.[].rotation_index] | sort | . == [range(.[0]; .[0] + length)]')" true \
		"$1: rotation_index has no gap and no double"
	is "$(cat "$D"/state/trace/trace.jsonl* | jq -s 'all(.eligible[.rotation_index % (.eligible | length)] == .attempts[0].label)')" true \
		"$1: every choice is the one whose turn it was"
	is "$(cat "$D"/state/trace/trace.jsonl* | jq -s 'group_by(.key_label) | map(length) | (max - min) <= 1 and length == 7')" true \
		"$1: counts differ by at most one"
	is "$(jq '[.keys[].request_count] | add' "$D/state/state.json")" "$2" "$1: the counts in state.json add up"
}

"$TOOLS/load" -c 50 -n 2000 -k "$U/models" >"$D/load" 2>&1
is $? 0 "2,000 requests from 50 connections: every one answered"
rotation "50 connections" 2000
pool_stop
is $? 0 "the pool ends well"

again() {
	rm -rf "$D/state/trace" "$D/state/state.json" "$D/state/pool.index"
	auto
}
free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
over() {	# over WHAT PORT
	until_true 10 curl -s -o /dev/null "http://127.0.0.1:$2/"
	trace_wait 1
	rm -rf "$D/state/trace"
	"$TOOLS/load" -c 8 -n 200 -K "http://127.0.0.1:$2/kmi-rotor/v1/models" >"$D/load" 2>&1
	is $? 0 "$1: 200 connections served"
	rotation "$1" 200
}

if command -v systemd-socket-activate >/dev/null; then
	again
	p=$(free_port)
	(cd "$D" && exec systemd-socket-activate -l "127.0.0.1:$p" $(env | sed -n 's/^\(KMI_[A-Z_]*\|HOME\|TZ\|ASAN_OPTIONS\|UBSAN_OPTIONS\)=.*/-E \1/p') \
		"$BIN/kmi-handle" >"$D/ssa.out" 2>&1) &
	S=$!; started+=($S)
	over "a pool on a socket that systemd passes" "$p"
	kill $S; wait $S
	again
	p=$(free_port)
	(cd "$D" && exec systemd-socket-activate --accept --inetd -l "127.0.0.1:$p" $(env | sed -n 's/^\(KMI_[A-Z_]*\|HOME\|TZ\|ASAN_OPTIONS\|UBSAN_OPTIONS\)=.*/-E \1/p') \
		"$BIN/kmi-handle" >"$D/ssa.out" 2>&1) &
	S=$!; started+=($S)
	over "a process a connection, by systemd" "$p"
	kill $S; wait $S 2>/dev/null
else
	note "systemd-socket-activate is not here"
fi
if command -v tcpserver >/dev/null; then
	again
	p=$(free_port)
	tcpserver -HRDl0 -c 50 127.0.0.1 "$p" "$BIN/kmi-handle" 2>"$D/tcpserver.err" &
	S=$!; started+=($S)
	over "a process a connection, by tcpserver" "$p"
	kill $S; wait $S 2>/dev/null
else
	note "tcpserver is not here"
fi
ok "by hand, through pipes" bash -c "printf 'GET /kmi-rotor/v1/models HTTP/1.1\r\nHost: x\r\n\r\n' | env KMI_PROXY_HOSTS=x '$BIN/kmi-handle' | grep -q '200 OK'"
finish
