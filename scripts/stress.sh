#!/bin/bash
# usage: stress.sh [ROUNDS]: minutes of trouble for a running pool: clients that leave, thousands that stay, processes
# killed and stopped, a disk that fills up. Speaks TAP; BUILD=build-asan takes that build.
#
# What must hold: every request is answered where nothing was killed, and counted once in state.json, the trace and
# the upstream's own log; no upstream request outlives its client by a second; no process and no lock is left.
rounds=${1:-3}
. "$(dirname "$0")/../tests/e2e/lib.sh"
keys a b c d e f g
auto
fake_start
export KMI_TRACE_MAX_MB=1024

books() {	# books NAME: the three counts agree
	local lines counted
	sleep 1
	lines=$(jq -s '[.[].attempts | length] | add // 0' "$D/state/trace/trace.jsonl")
	counted=$(jq '[.keys[].request_count] | add // 0' "$D/state/state.json")
	is "$lines $counted" "$(fake_count) $(fake_count)" "$1: trace, state.json and the upstream agree on $(fake_count)"
}
afresh() {	# afresh SCRIPT [NAME=VALUE...]
	pool_stop
	rm -rf "$D/state"
	mkdir "$D/state"
	auto
	fake_script "$1"
	pool_start "${@:2}"
	fake_reset
}
lock_is_free() { ok "$1: the lock is free" flock -w 2 "$D/state/state.json.lock" true; }
nobody_left() {	# nobody_left NAME PID...: all of them end within some seconds
	local p name=$1
	shift
	for p in "$@"; do until_true 15 eval "! kill -0 $p" || break; done
	for p in "$@"; do ! kill -0 "$p" 2>/dev/null || break; p=; done
	is "$p" "" "$name: no process is left"
}

pool_start
for round in $(seq "$rounds"); do
	note "round $round"

	# ---- a thousand who stay and some who work
	afresh '[]' KMI_PROXY_MAX_CONNECTIONS=1200
	python3 - "$PORT" "$D/idle" <<'P' &
import socket, sys, time, resource
resource.setrlimit(resource.RLIMIT_NOFILE, (4096, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
ask = b"GET /kmi-rotor/v1/models HTTP/1.1\r\nHost: localhost\r\n\r\n"
socks = []
def answer(s):
    s.sendall(ask)
    got = b""
    while b"kimi-k2" not in got:
        piece = s.recv(65536)
        if not piece:
            return False
        got += piece
    return True
good = 0
for _ in range(1000):
    s = socket.create_connection(("127.0.0.1", int(sys.argv[1])), timeout=60)
    good += answer(s)
    socks.append(s)
print(good, file=open(sys.argv[2], "w"), flush=True)
time.sleep(12)
again = sum(answer(s) for s in socks)
print(good, again, file=open(sys.argv[2], "w"), flush=True)
P
	I=$!; started+=($I)
	until_true 120 test -s "$D/idle"
	"$TOOLS/load" -c 16 -d 8 -k "$U/models" >"$D/load" 2>&1
	is $? 0 "16 busy clients beside 1,000 idle connections: every request answered"
	note "$(head -1 "$D/load")"
	wait $I
	is "$(cat "$D/idle")" "1000 1000" "the idle ones are answered before and after"
	books "1,000 idle"

	# ---- 200 leave in mid-stream
	afresh '[{"key": "*", "do": {"sse": {"count": 2000, "interval_ms": 20, "size": 100}}}]'
	python3 - "$PORT" "$D" <<'P' >"$D/left"
import json, random, socket, struct, sys, threading, time
port, d = int(sys.argv[1]), sys.argv[2]
left = {}
def one(i):
    s = socket.create_connection(("127.0.0.1", port), timeout=60)
    body = b'{"stream": true}'
    s.sendall(b"POST /kmi-rotor/v1/chat/completions?c=%d HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%s" % (i, len(body), body))
    if i % 4:
        s.recv(1000)
    else:
        time.sleep(0.5)
    time.sleep(random.random() * 3)
    if i % 2:       # by a reset
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    s.close()
    left[i] = time.monotonic()
threads = [threading.Thread(target=one, args=(i,)) for i in range(200)]
for t in threads: t.start()
for t in threads: t.join()
end = time.monotonic() + 10
while time.monotonic() < end:
    seen = [json.loads(l) for l in open(d + "/rec/log.jsonl")]
    live = len(open(d + "/rec/live.jsonl").readlines())
    if len(seen) == live: break
    time.sleep(0.1)
late = [r["t_abort"] - left[int(r["target"].split("c=")[1])] for r in seen if r["aborted"]]
# Who left during the handshake with the upstream is not known there.
print("all" if len(seen) == live == len(late) > 150 else (len(seen), live, len(late)), "late" if max(late) > 1 else "in time")
print("# %d seen upstream, the longest for %.3f s" % (live, max(late)))
P
	note "$(sed -n "s/^# //p" "$D/left")"
	is "$(head -1 "$D/left")" "all in time" "200 clients leave in mid-stream: each upstream request ends within a second"
	is "$(jq -s 'map(select(.error_code == "client_gone")) | length' "$D/state/trace/trace.jsonl")" 200 "and each is traced so"
	is "$(jq '[.keys[].request_count] | add' "$D/state/state.json")" 200 "and counted"
	lock_is_free "leaving"

	# ---- stopped and continued
	afresh '[]'
	"$TOOLS/load" -c 16 -d 8 -k -t 30 "$U/models" >"$D/load" 2>&1 &
	L=$!
	for i in $(seq 15); do
		v=$(pgrep -P "$POOL" | shuf -n 1)
		[ -n "$v" ] && kill -STOP "$v" && sleep 0.4 && kill -CONT "$v"
	done
	wait $L
	is $? 0 "handlers are stopped for 0.4 s: every request answered"
	books "stopped"
	"$TOOLS/load" -c 8 -d 8 -k -t 30 "$U/models" >"$D/load" 2>&1 &
	L=$!
	sleep 0.5
	v=$(pgrep -P "$POOL" | shuf -n 1)
	kill -STOP "$v"
	sleep 5
	ask /models -m 20
	is "$CODE" 200 "one stays stopped, with the lock or without: others are served"
	kill -CONT "$v"
	wait $L
	is $? 0 "and it goes on when it may"
	lock_is_free "stopped"

	# ---- kill -9 of handlers and of the parent under load
	afresh '[]'
	"$TOOLS/load" -c 16 -d 6 -k "$U/models" >"$D/load" 2>&1 &
	L=$!
	for i in $(seq 60); do
		sleep 0.08
		v=$(pgrep -P "$POOL" | shuf -n 1)
		[ -n "$v" ] && kill -9 "$v"
	done
	wait $L
	ask /models
	is "$CODE" 200 "60 handlers killed: the next request is served"
	ok "state.json and the trace are valid" jq -es 'length > 0' "$D/state/state.json" "$D/state/trace/trace.jsonl"
	lock_is_free "killed"
	fake_script '[{"key": "*", "do": {"sse": {"count": 60, "interval_ms": 50, "size": 100}}}]'
	for i in $(seq 20); do curl -sN -m 30 "$U/chat/completions" -d '{"stream": true}' -o "$D/s.$i" & P[i]=$!; done
	sleep 1
	all=$(pgrep -P "$POOL")
	kill -9 "$POOL"
	wait "$POOL" 2>/dev/null
	good=0
	for i in $(seq 20); do wait ${P[i]} && [ "$(tail -c 14 "$D/s.$i" | head -c 12)" = "data: [DONE]" ] && good=$((good + 1)); done
	is "$good" 20 "the parent is killed: 20 running answers are finished"
	nobody_left "parent killed" $all
	pool_start
	ask /models
	is "$CODE" 200 "a new pool takes over"

	# ---- a disk that fills up under load, and is emptied again
	if unshare -m true 2>/dev/null; then
		pool_stop
		rm -rf "$D/state"; mkdir "$D/state"; fake_script '[]'
		printf '#!/bin/bash\nmount -t tmpfs -o size=600k tmpfs "%s"\nexec "%s/kmi-handle"\n' "$D/state" "$BIN" >"$D/in_mount"
		chmod +x "$D/in_mount"
		mkdir -p "$D/mounted"
		printf '#!/bin/sh\nexec unshare -m "%s"\n' "$D/in_mount" >"$D/mounted/kmi-handle"
		chmod +x "$D/mounted/kmi-handle"
		normal=$BIN
		trace_wait() { sleep 0.5; }	# the trace is in a mount that is not ours
		BIN=$D/mounted pool_start
		"$TOOLS/load" -c 8 -n 4000 -k "$U/models" >"$D/load" 2>&1
		is $? 0 "the disk is full in the middle: every request answered"
		full=/proc/$POOL/root$D/state
		ok "it was full" test "$(stat -f -c %a "$full/")" -lt 8
		ok "state.json is valid all the same" jq -e . "$full/state.json"
		: >"$full/trace/trace.jsonl"
		before=$(jq '[.keys[].request_count] | add' "$full/state.json")
		sleep 1.2
		"$TOOLS/load" -c 8 -n 200 -k "$U/models" >"$D/load" 2>&1
		sleep 0.5
		is "$(jq '[.keys[].request_count] | add' "$full/state.json") $(wc -l <"$full/trace/trace.jsonl")" "$((before + 200)) 200" "there is room again: the books go on"
		BIN=$normal
	fi
done
all="$POOL $(pgrep -P "$POOL")"
pool_stop
nobody_left "the end" $all
finish
