#!/bin/bash
# usage: bench.sh [--quick] [--rounds N] [--keep]: kmi's pool beside nginx doing the same job, on this machine, now.
#
# Both stand before one TLS upstream on loopback, check its certificate, pool their connections to it and change the
# Authorization header. They are measured in turns (A B, B A, …) and the medians compared: ratios travel from machine
# to machine, absolute figures do not. Afterwards kmi's books are checked, one trace line and one count in state.json
# for every request served: a proxy that skips its books is fast, and not the one we compare.
#
# BENCH_POOL_CMD, a shell command, replaces the pool. It must listen on 127.0.0.1:$BENCH_PORT and serve
# /kmi-rotor/v1/ from $KMI_UPSTREAM_BASE_URL; its books are checked if it leaves any in $KMI_STATE_DIR.
#
# Exit: 0 measured (met or not), 1 something failed or the books do not add up, 2 usage.
set -u

root=$(cd "$(dirname "$0")/.." && pwd)
rounds=5 scale=1 keep=
while [ $# -gt 0 ]; do
	case $1 in
	--quick) rounds=2 scale=5 ;;
	--rounds) rounds=${2:?--rounds needs a number}; shift ;;
	--keep) keep=1 ;;
	*) sed -n '2s/^# //p' "$0" >&2; exit 2 ;;
	esac
	shift
done

die() { echo "bench: $*" >&2; exit 1; }
for tool in nginx openssl curl python3 cc; do
	command -v "$tool" >/dev/null || die "$tool is missing"
done
[ -n "${BENCH_POOL_CMD-}" ] || [ -x "$root/build/bin/kmi-handle" ] || die 'no build/bin/kmi-handle: run make first'

dir=$(mktemp -d)
pids=()

# Every process under PID, PID first. Fields of stat are counted behind "(name)", which may hold anything.
stats() { cat /proc/[0-9]*/stat 2>/dev/null | sed 's/^\([0-9]*\) (.*) /\1 /'; }
tree() { stats | awk -v root="$1" '{up[$1] = $3} END {for (p in up) for (q = p; q in up; q = up[q]) if (q == root) {print p; break}}'; }

cleanup() {
	local all=() p
	for p in "${pids[@]}"; do mapfile -t -O "${#all[@]}" all < <(tree "$p"); done
	[ ${#pids[@]} -gt 0 ] && kill "${pids[@]}" 2>/dev/null
	for _ in $(seq 20); do
		kill -0 "${pids[@]}" 2>/dev/null || break
		sleep 0.1
	done
	# What outlived its parent was listed before, while it still had one.
	[ ${#all[@]} -gt 0 ] && kill -9 "${all[@]}" 2>/dev/null
	wait 2>/dev/null
	if [ -n "$keep" ]; then echo "bench: kept in $dir" >&2; else rm -rf "$dir"; fi
}
trap cleanup EXIT
trap 'exit 1' INT TERM

# ---- the three servers

read -r up_port nginx_port BENCH_PORT < <(python3 -c '
import socket
s = [socket.create_server(("127.0.0.1", 0)) for _ in range(3)]
print(*(x.getsockname()[1] for x in s))')
export BENCH_PORT

"$root/tests/tools/make-certs.sh" "$dir/tls" >"$dir/certs.log" 2>&1 || die "$(cat "$dir/certs.log")"
cc -std=c11 -O2 -D_GNU_SOURCE -o "$dir/load" "$root/tests/tools/load.c" || die 'cannot compile load.c'

# nginx_start NAME, the http block's content on stdin
nginx_start() {
	mkdir -p "$dir/$1"
	cat >"$dir/$1/conf" <<-CONF
	daemon off;
	pid pid;
	error_log error.log;
	worker_processes auto;
	events { worker_connections 4096; }
	http {
		access_log off;
		keepalive_requests 1000000000;
		client_body_temp_path b; proxy_temp_path p; fastcgi_temp_path f; uwsgi_temp_path u; scgi_temp_path s;
		$(cat)
	}
	CONF
	nginx -p "$dir/$1" -c "$dir/$1/conf" 2>"$dir/$1/stderr" &
	pids+=($!)
}

nginx_start upstream <<CONF
server {
	listen 127.0.0.1:$up_port ssl backlog=4096;
	ssl_certificate $dir/tls/server.pem;
	ssl_certificate_key $dir/tls/server.key;
	default_type application/json;
	location / { return 200 '{"object":"list","data":[{"id":"kimi-for-coding","object":"model","owned_by":"moonshot"}]}'; }
}
CONF

nginx_start proxy <<CONF
upstream kimi { server 127.0.0.1:$up_port; keepalive 256; keepalive_requests 1000000000; }
server {
	listen 127.0.0.1:$nginx_port backlog=4096;
	location /kmi-rotor/v1/ {
		proxy_pass https://kimi/coding/v1/;
		proxy_http_version 1.1;
		proxy_set_header Connection "";
		proxy_set_header Authorization "Bearer sk-fake-nginx";
		proxy_ssl_verify on;
		proxy_ssl_trusted_certificate $dir/tls/ca.pem;
		proxy_ssl_name localhost;
		proxy_ssl_session_reuse on;
	}
}
CONF
nginx_pid=${pids[1]}

# The pool reads nothing of the user's own: no KMI_* of the environment, no ~/.kmi, no .env of this directory.
for v in $(compgen -e KMI_); do unset "$v"; done
mkdir -p "$dir/home" "$dir/auths" "$dir/state"
for i in 1 2 3 4 5 6 7; do
	echo "KMI_API_KEY=sk-fake-bench-000$i" >"$dir/auths/key$i.env"
done
echo '{"schema_version": 1, "active_index": 0, "rotation_index": 0, "auto_rotate": true, "keys": {}}' >"$dir/state/state.json"
chmod -R go= "$dir/auths" "$dir/state"
export HOME=$dir/home KMI_AUTHS_DIR=$dir/auths KMI_STATE_DIR=$dir/state KMI_DRY_RUN=0 KMI_AUTO_ROTATE_ALLOWED=1
export KMI_UPSTREAM_BASE_URL=https://127.0.0.1:$up_port/coding/v1 KMI_UPSTREAM_CA_FILE=$dir/tls/ca.pem
export KMI_USAGE_CACHE_SECONDS=0	# no /usages polls among the requests that are counted
export KMI_TRACE_MAX_MB=1024		# no rotation: every line is wanted for the check

# A listening socket as fd 0 is how s6 and its like start a pool; systemd-socket-activate would drop the environment.
listen='import os, socket, sys
s = socket.create_server(("127.0.0.1", int(sys.argv[1])), backlog=4096)
os.dup2(s.fileno(), 0)
os.execv(sys.argv[2], sys.argv[2:])'
(
	cd "$dir/home" || exit 1
	if [ -n "${BENCH_POOL_CMD-}" ]; then exec bash -c "exec $BENCH_POOL_CMD"; fi
	exec python3 -c "$listen" "$BENCH_PORT" "$root/build/bin/kmi-handle"
) >"$dir/pool.log" 2>&1 &
pool_pid=$!
pids+=("$pool_pid")

url() {
	case $1 in
	nginx) echo "http://127.0.0.1:$nginx_port/kmi-rotor/v1/models" ;;
	kmi) echo "http://127.0.0.1:$BENCH_PORT/kmi-rotor/v1/models" ;;
	esac
}

served=0	# by kmi, as its clients saw it
for side in nginx kmi; do
	for try in $(seq 100); do
		status=$(curl -s -o "$dir/answer.$side" -w '%{http_code}' --max-time 5 "$(url $side)")
		[ $side = kmi ] && [ "$status" != 000 ] && served=$((served + 1))
		[ "$status" = 000 ] || break
		[ "$try" = 100 ] && die "$side does not answer: $(tail -3 "$dir/pool.log" "$dir/proxy/error.log" 2>&1)"
		sleep 0.1
	done
	[ "$status" = 200 ] || die "$side answers $status: $(head -c 500 "$dir/answer.$side") $(tail -3 "$dir/pool.log")"
done
cmp -s "$dir/answer.nginx" "$dir/answer.kmi" || die "the answers differ: $(cat "$dir/answer.kmi")"

# ---- the measuring

# Seconds of CPU used by PID's processes, those already reaped included.
tick=$(getconf CLK_TCK)
cpu() {
	stats | awk -v root="$1" -v tick="$tick" '
	{ up[$1] = $3; t[$1] = $13 + $14 + $15 + $16 }
	END { for (p in up) for (q = p; q in up; q = up[q]) if (q == root) { sum += t[p]; break }
	      printf "%.2f\n", sum / tick }'
}

# measure SIDE TEST REQUESTS LOAD-OPTIONS...: one line "side test cpu-seconds {load's json}"
measure() {
	local side=$1 test=$2 n=$(($3 / scale)) pid before after json
	shift 3
	[ "$side" = nginx ] && pid=$nginx_pid || pid=$pool_pid
	before=$(cpu "$pid")
	json=$("$dir/load" --json --expect "$dir/answer.nginx" -H 'Authorization: Bearer client' -n $n "$@" "$(url "$side")") ||
	    die "$side $test: $json $(tail -3 "$dir/pool.log")"
	after=$(cpu "$pid")
	[ "$side" = kmi ] && served=$((served + n))
	echo "$side $test $(awk "BEGIN {print $after - $before}") $json" >>"$dir/results"
}

load1=$(cut -d' ' -f1 /proc/loadavg)
for side in nginx kmi; do
	measure $side warm 2000 -c 64
done
for round in $(seq "$rounds"); do
	[ -t 2 ] && printf '\rround %d of %d' "$round" "$rounds" >&2
	order='nginx kmi'
	[ $((round % 2)) = 0 ] && order='kmi nginx'
	for side in $order; do measure "$side" keep1 5000 -c 1; done
	for side in $order; do measure "$side" keep8 30000 -c 8; done
	for side in $order; do measure "$side" keep64 30000 -c 64; done
	for side in $order; do measure "$side" new1 3000 -K -c 1; done
	for side in $order; do measure "$side" new8 8000 -K -c 8; done
done
[ -t 2 ] && printf '\r\033[K' >&2

# ---- the table, and the books

echo "$(nproc) cores, load $load1 before; $rounds rounds, medians; upstream and load generator on the same cores"
python3 - "$dir/results" <<'PY' || exit 1
import json, statistics, sys

seen = {}
for line in open(sys.argv[1]):
    side, test, cpu, text = line.split(" ", 3)
    j = json.loads(text)
    if set(j["status"]) != {"200"}:
        sys.exit(f"bench: {side} {test}: statuses {j['status']}")
    for what, value in (("p50", j["latency_ms"]["p50"] * 1000), ("rate", j["rate"]),
                        ("cpu", float(cpu) / j["answers"] * 1e6)):
        seen.setdefault((side, test, what), []).append(value)

rows = [("keep-alive, 1 client: p50, us", "keep1", "p50", "<=", 1.5),
        ("keep-alive, 8 clients: requests/s", "keep8", "rate", ">=", 0.55),
        ("keep-alive, 64 clients: requests/s", "keep64", "rate", ">=", 0.55),
        ("CPU per keep-alive request, 8 clients: us", "keep8", "cpu", "<=", 3.0),
        ("new connection each, 1 client: p50, us", "new1", "p50", "<=", 2.0),
        ("new connection each, 8 clients: per s", "new8", "rate", ">=", 0.5)]
print(f"{'':42} {'nginx':>8} {'kmi':>8} {'ratio':>7}  goal")
for name, test, what, sense, goal in rows:
    a, b = (statistics.median(seen[side, test, what]) for side in ("nginx", "kmi"))
    ratio = b / a if a else float("nan")
    met = ratio <= goal if sense == "<=" else ratio >= goal
    print(f"{name:42} {a:8.0f} {b:8.0f} {ratio:6.2f}x  {sense} {goal:4.2f}x  {'met' if met else 'MISSED'}")
PY

if [ -n "${BENCH_POOL_CMD-}" ] && [ ! -e "$dir/state/trace/trace.jsonl" ]; then
	echo 'books: none kept by BENCH_POOL_CMD'
	exit 0
fi
python3 - "$dir/state" "$served" <<'PY'
import glob, json, sys, time

folder, served = sys.argv[1], int(sys.argv[2])


def books():
    ids, lines = set(), 0
    for name in glob.glob(f"{folder}/trace/trace.jsonl*"):
        for line in open(name, encoding="utf-8"):
            lines += 1
            ids.add(json.loads(line)["request_id"])
    keys = json.load(open(f"{folder}/state.json", encoding="utf-8"))["keys"]
    return lines, len(ids), sum(k["request_count"] for k in keys.values()), keys


# A request is booked when it has ended, which may be a moment after the client has its answer.
for _ in range(20):
    lines, ids, counted, keys = books()
    if lines == ids == counted == served:
        break
    time.sleep(0.1)
else:
    sys.exit(f"bench: the books do not add up: {served} requests served, {lines} trace lines, {ids} request ids, "
             f"{counted} counted in state.json")
counts = [k["request_count"] for k in keys.values()]
print(f"books: {served} requests, {lines} trace lines, {counted} in state.json; per key {min(counts)} to {max(counts)}")
PY
