#!/bin/bash
# kill -9, full disks, read-only and damaged files, a stopped process with the lock, more clients than handlers.
. "$(dirname "$0")/lib.sh"
keys a b c d e f g
auto
fake_start
pool_start

# handlers killed at random while a reader parses state.json without a lock
python3 - "$D/state/state.json" "$D/reader" <<'P' &
import json, sys, time
end, reads, bad = time.monotonic() + 4, 0, 0
last = 0
while time.monotonic() < end:
    try:
        s = json.load(open(sys.argv[1]))
        total = sum(k["request_count"] for k in s["keys"].values())
        bad += total < last
        last = total
    except ValueError:
        bad += 1
    reads += 1
print(reads > 100, bad, file=open(sys.argv[2], "w"))
P
R=$!
"$TOOLS/load" -c 8 -d 3 -k "$U/models" >"$D/load" 2>&1 &
L=$!
for i in $(seq 20); do
	sleep 0.1
	victim=$(pgrep -P "$POOL" | shuf -n 1)
	[ -n "$victim" ] && kill -9 "$victim"
done
wait $L
wait $R
is "$(cat "$D/reader")" "True 0" "handlers are killed: state.json is valid at every read, and no count goes back"
ask /models
is "$CODE" 200 "the next request is served"
ok "every trace line parses" jq -es 'length > 0' "$D/state/trace/trace.jsonl"

# the pool's parent is killed: what runs is finished, a new one takes over
kill -9 "$POOL"; wait "$POOL" 2>/dev/null
pool_start
ask /models
is "$CODE" 200 "a new pool after kill -9 of the old one"

# somebody holds the lock and does not let go
python3 -c '
import fcntl, sys, time
f = open(sys.argv[1], "r+")
fcntl.flock(f, fcntl.LOCK_EX)
time.sleep(60)' "$D/state/state.json.lock" & H=$!
started+=($H)
until_true 5 eval "! flock -n '$D/state/state.json.lock' true"
begin=$(date +%s%N)
ask /models
took=$((($(date +%s%N) - begin) / 1000000))
is "$CODE" 200 "the lock is held by a process that is stuck: served all the same"
ok "after the two seconds it waits for ($took ms)" test "$took" -lt 8000
sleep 0.5
begin=$(date +%s%N)
for i in 1 2 3 4; do ask /models; done
took=$((($(date +%s%N) - begin) / 1000000))
ok "and the next ones are not held up like that ($took ms)" test "$took" -lt 8000
kill $H; wait $H 2>/dev/null
ask /models
is "$CODE" 200 "and on as before"

# damaged files
echo '{ this is not JSON' >"$D/state/state.json"
ask /models
is "$CODE" 200 "a damaged state.json: served"
ok "set aside" ls "$D"/state/state.json.corrupt.*
ok "and a fresh one is valid" jq -e .schema_version "$D/state/state.json"
has "$(cat "$D/state/logs/kmi.log")" "set aside" "said in the log"
for bytes in 0 7 100 1000; do
	head -c $bytes /dev/urandom >"$D/state/pool.index"
	rm -f "$D/state/pool.index.x"
	pool_stop
	pool_start
	ask /models
	is "$CODE" 200 "a pool.index of $bytes bytes of nonsense is ignored"
done
echo '{"schema_version": 99, "keys": {}}' >"$D/state/state.json"
ask /models
is "$CODE" 200 "a state.json of a newer kmi: served"
is "$(jq .schema_version "$D/state/state.json")" 99 "and not written over"
# the older tool's file
python3 -c '
import json
json.dump({"schema_version": 1, "active_index": 2, "rotation_index": 41, "auto_rotate": True, "last_health_refresh": None, "mine": {"x": [1]},
  "keys": {"a": {"last_used": "2026-01-31T00:00:00Z", "request_count": 5, "error_401": 0, "error_403": 1, "error_429": 2, "error_5xx": 0,
    "exhausted_until": None, "blocked_until": None, "blocked_reason": None, "note": "kept"}}}, open("'"$D"'/state/state.json", "w"), indent=2)'
rm -rf "$D/state/trace"
ask /models
trace_wait 1
is "$(trace_last rotation_index) $(trace_last key_label)" "41 g" "the older tool's state.json is read as it is"
is "$(jq -c '[.mine, .keys.a.note, .keys.a.error_429]' "$D/state/state.json")" '[{"x":[1]},"kept",2]' "unknown fields are kept"
rm -rf "$D/state"
ask /models
is "$CODE" 200 "the state folder is gone: served"
pool_stop

# a disk that is full, a folder that cannot be written
if unshare -m true 2>/dev/null; then
	in_mount() {	# in_mount 'MOUNT COMMANDS': answers of three requests with such a state folder
		mkdir -p "$D/state"
		unshare -m bash -c "$1"'
			for i in 1 2 3; do
				printf "GET /kmi-rotor/v1/models HTTP/1.1\r\nHost: localhost\r\n\r\n" | "'"$BIN"'/kmi-handle" | head -1
			done' 2>"$D/mount.err"
	}
	got=$(in_mount "mount -t tmpfs -o size=64k tmpfs '$D/state'; head -c 65536 /dev/zero >'$D/state/filler';")
	is "$(echo "$got" | grep -c '200 OK')" 3 "a full disk: served"
	ok "and said on stderr" test -s "$D/mount.err"
	got=$(in_mount "mount -t tmpfs -o ro tmpfs '$D/state';")
	is "$(echo "$got" | grep -c '200 OK')" 3 "a read-only state folder: served"
	ok "and said on stderr" test -s "$D/mount.err"
fi

# four handlers at most, four idle connections
auto
pool_start KMI_PROXY_MAX_CONNECTIONS=4
python3 - "$PORT" <<'P' &
import socket, sys, time
socks = []
for i in range(4):
    s = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
    s.sendall(b"GET /kmi-rotor/v1/models HTTP/1.1\r\nHost: localhost\r\n\r\n")
    s.recv(65536)
    socks.append(s)
time.sleep(20)
P
I=$!; started+=($I)
trace_wait 4
ask /models -m 5
is "$CODE" 200 "idle keep-alive connections make room for a new client"
kill $I; wait $I 2>/dev/null
"$TOOLS/load" -c 100 -n 400 -K "$U/models" >"$D/load" 2>&1
is $? 0 "more clients than handlers wait, and are all served"
pool_stop

# SIGTERM in the middle: what runs is finished
auto
fake_script '[{"key": "*", "do": {"sse": {"count": 20, "interval_ms": 50, "size": 100}}}]'
pool_start
curl -sN -m 20 -o "$D/last" "$U/chat/completions" -d '{"stream": true}' &
C=$!
fake_reset
until_true 5 test -s "$D/last"
pool_stop
is $? 0 "SIGTERM: the pool ends well"
wait $C
is "$? $(tail -c 14 "$D/last" | head -c 12)" "0 data: [DONE]" "and the running answer was finished"
fake_script '[{"key": "*", "do": {"sse": {"count": 2000, "interval_ms": 50, "size": 100}}}]'
pool_start KMI_PROXY_DRAIN_SECONDS=1
rm -f "$D/last"
curl -sN -m 20 -o "$D/last" "$U/chat/completions" -d '{"stream": true}' &
C=$!
until_true 5 eval '[ $(grep -c data: "$D/last") -gt 3 ]'
begin=$SECONDS
pool_stop
ok "not longer than KMI_PROXY_DRAIN_SECONDS allows" test $((SECONDS - begin)) -le 4
wait $C
ok "then it is cut, and the client can tell" test $? -ne 0
is "$(trace_last error_code)" cut "and it is in the trace"

# trace rotation under load
pool_start KMI_TRACE_MAX_MB=1 KMI_TRACE_BACKUPS=9
fake_script '[]'
rm -rf "$D/state/trace"
"$TOOLS/load" -c 8 -n 4000 -k "$U/models" >"$D/load" 2>&1
trace_wait 4000
is "$(trace_lines)" 4000 "the trace is rotated under load: no line is lost"
ok "it was rotated" test -e "$D/state/trace/trace.jsonl.1"
pool_stop

# limits: never more than N in any window, by the arrivals upstream
auto
fake_reset
pool_start KMI_PROXY_MAX_RPS=10
for i in $(seq 40); do curl -s -o /dev/null -w '%{http_code}\n' "$U/models" & P[i]=$!; done >"$D/codes"
for i in $(seq 40); do wait ${P[i]}; done
is "$(sort "$D/codes" | uniq -c | tr -s ' ' | tr '\n' ';')" " 10 200; 30 429;" "ten a second for the whole proxy: ten of forty at once"
ask /models
has "$(cat "$D/head")" "Retry-After: 1" "the others are told when"
pool_stop
pool_start KMI_PROXY_MAX_RPM_PER_KEY=2
for i in $(seq 14); do ask /models; echo "$CODE"; done >"$D/codes"
is "$(sort "$D/codes" | uniq -c | tr -s ' ' | tr '\n' ';')" " 14 200;" "two a minute for each of seven keys: fourteen"
ask /models
is "$CODE $(echo "$BODY" | jq -r .error.code)" "429 rate_limited" "and no fifteenth"
pool_stop
rm -rf "$D/state/limits"
rm "$D"/auths/[b-g].env
fake_script '[{"key": "*", "do": {"preset": "overload"}}]'
pool_start KMI_PROXY_MAX_RPM_PER_KEY=2 KMI_PROXY_RETRY_MAX=5 KMI_PROXY_RETRY_BASE_MS=1
fake_reset
ask /models
is "$CODE $(fake_count)" "429 2" "another attempt on the same key counts against its limit, and is not made beyond it"
pool_stop
keys b c d e f g
fake_script '[]'
rm -rf "$D/state/limits"
pool_start KMI_PROXY_MAX_RPS=5 KMI_PROXY_WAIT_SECONDS=5
for i in $(seq 12); do curl -s -o /dev/null -w '%{http_code}\n' "$U/models" & P[i]=$!; done >"$D/codes"
for i in $(seq 12); do wait ${P[i]}; done
is "$(sort -u "$D/codes")" 200 "with KMI_PROXY_WAIT_SECONDS they wait for their turn"
pool_stop
finish
