#!/bin/bash
# usage: bench-streams.sh [--quick]: event streams through the pool, and one exec a connection. Measures, asserts nothing.
#
# 1. A thousand streams at once: how many end whole, and what the handlers take of memory (PSS, the shared pages counted
#    once). 2. A hundred streams: how much later the first byte and each piece arrive than directly from the upstream.
# 3. kmi-handle started once a connection beside a bare program that does the same request with libcurl.
# All on this machine: the scripted upstream, the clients and kmi share its cores.
many=1000 rounds=3
[ "${1-}" = --quick ] && many=200 rounds=1
. "$(dirname "$0")/../tests/e2e/lib.sh"
say() { printf '%-58s %s\n' "$1" "$2"; }
keys a b c d e f g
auto
fake_start
pool_start KMI_PROXY_MAX_CONNECTIONS=1200 KMI_UPSTREAM_IDLE_TIMEOUT_SECONDS=600
direct=$KMI_UPSTREAM_BASE_URL

# ---- memory
pss_of() { local s=0 p v; for p in "$@"; do v=$(awk '/^Pss:/ {print $2}' "/proc/$p/smaps_rollup" 2>/dev/null); s=$((s + ${v:-0})); done; echo $s; }
fake_script '[{"key": "*", "do": {"sse": {"count": 40, "interval_ms": 1000, "size": 200}}}]'
"$TOOLS/streams" -n $many -g 10 -m "$D/all" "$U/chat/completions" >"$D/many.json" 2>"$D/many.err" &
S=$!
until_true 60 test -e "$D/all"
sleep 5
handlers=$(pgrep -P "$POOL" | wc -l)
total=$(pss_of $(pgrep -P "$POOL"))
wait $S
say "$many streams at once: whole at their end" "$(jq .whole "$D/many.json") of $many, by $handlers handlers"
say "  memory, sum of PSS of all handlers, a stream" "$(awk "BEGIN {printf \"%.2f MB (goal 1.2)\", $total / 1024 / $many}")"

# ---- delay
for round in $(seq $rounds); do
	fake_script '[{"key": "*", "do": {"sse": {"count": 30, "interval_ms": 100, "size": 100}}}]'
	"$TOOLS/streams" -n 100 -g 30 -w -a "$D/certs/ca.pem" "$direct/chat/completions" >>"$D/direct.json"
	"$TOOLS/streams" -n 100 -g 30 -w "$U/chat/completions" >>"$D/through.json"
done
middle() { jq -s "map($2) | sort | .[length / 2 | floor]" "$D/$1.json"; }
for what in first_ms piece_ms; do
	a=$(middle direct ".$what.p50") b=$(middle through ".$what.p50")
	[ $what = first_ms ] && name="100 streams, first byte after the request" || name="100 streams, a piece after it was sent"
	say "$name, p50: direct, through kmi" "$(awk "BEGIN {printf \"%.2f ms, %.2f ms: %+.2f ms (goal 0.5)\", $a, $b, $b - $a}")"
done
pool_stop

# ---- one exec a connection
if ! command -v systemd-socket-activate >/dev/null; then
	echo "systemd-socket-activate is not here: one exec a connection is not measured"
	exit 0
fi
mkdir "$D/trust"
cp "$D/certs/ca.pem" "$D/trust/"
openssl rehash "$D/trust"
unset KMI_UPSTREAM_CA_FILE
export SSL_CERT_DIR=$D/trust
fake_script '[]'
activate() {	# activate PORT PROGRAM [ARGUMENTS...]
	systemd-socket-activate --accept --inetd -l "127.0.0.1:$1" $(env | sed -n 's/^\(KMI_[A-Z_]*\|HOME\|TZ\|SSL_CERT_DIR\)=.*/-E \1/p') "${@:2}" >>"$D/activate.log" 2>&1 &
	started+=($!)
}
free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
a=$(free_port) b=$(free_port)
activate "$a" "$TOOLS/bare" "$direct/models" "$D/trust"
activate "$b" "$BIN/kmi-handle"
until_true 5 curl -sf -o /dev/null "http://127.0.0.1:$a/"
until_true 5 curl -sf -o /dev/null "http://127.0.0.1:$b/kmi-rotor/v1/models"
for round in $(seq $((2 * rounds))); do
	"$TOOLS/load" --json -K -c 1 -n 100 "http://127.0.0.1:$a/" >>"$D/bare.json"
	"$TOOLS/load" --json -K -c 1 -n 100 "http://127.0.0.1:$b/kmi-rotor/v1/models" >>"$D/exec.json"
done
a=$(middle bare .latency_ms.p50) b=$(middle exec .latency_ms.p50)
say "one exec a connection, HTTPS exchange, p50: bare, kmi" "$(awk "BEGIN {printf \"%.2f ms, %.2f ms: %.2fx (goal 1.25)\", $a, $b, $b / $a}")"
