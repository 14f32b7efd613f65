# lib.sh: what the end-to-end tests share. Sourced by tests/e2e/NN-what.t (bash), which speak TAP.
#
#	. "$(dirname "$0")/lib.sh"
#	keys a b c              key files auths/a.env ... with the keys sk-fake-a ...
#	fake_start              the scripted upstream (tests/tools/fakekimi.py), by HTTPS on loopback
#	fake_script 'JSON'      what it does from now on
#	pool_start [NAME=VALUE] kmi-handle with a listening socket; $U is the base URL
#	got=$(ask /models)      curl; the status goes to $CODE by `ask_code`
#	is "$got" want name; ok name command...; finish
#
# Each test has a folder of its own, ends only what it started, and fails when a sanitizer had something to say.
set -u
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
BIN=$root/${BUILD:-build}/bin
TOOLS=$root/${BUILD:-build}/tests/tools
for v in $(env | sed -n 's/^\(KMI_[A-Z_]*\|SSL_CERT_[A-Z]*\|CURL_CA_BUNDLE\|[A-Za-z]*_[pP][rR][oO][xX][yY]\)=.*/\1/p'); do
	unset "$v"
done
export KMI_USAGE_CACHE_SECONDS=0		# no requests upstream but those that the test makes
D=$(mktemp -d "${TMPDIR:-/tmp}/kmi-e2e.XXXXXX")
started=()
n=0 failed=0

cleanup() {
	for p in "${started[@]}"; do kill "$p" 2>/dev/null; done
	for p in "${started[@]}"; do wait "$p" 2>/dev/null; done
	[ -n "${KEEP:-}" ] && echo "# kept: $D" || rm -rf "$D"
}
trap cleanup EXIT
trap 'exit 1' INT TERM

mkdir -p "$D/home" "$D/auths" "$D/rec" "$D/state" "$D/asan"
cd "$D" || exit 1
export HOME=$D/home KMI_AUTHS_DIR=$D/auths KMI_STATE_DIR=$D/state TZ=UTC
# A sanitizer reads and writes what our programs give up: only the test of that has it on.
case ${BUILD:-} in *asan*) export KMI_SANDBOX=0 ;; esac
export ASAN_OPTIONS=log_path=$D/asan/report:detect_leaks=1 UBSAN_OPTIONS=log_path=$D/asan/report:print_stacktrace=1

# ---- TAP
note() { printf '%s\n' "$*" | sed 's/^/# /'; }
ok() {		# ok NAME COMMAND...
	local name=$1
	shift
	n=$((n + 1))
	if "$@" >/dev/null; then echo "ok $n - $name"; else
		echo "not ok $n - $name"
		failed=$((failed + 1))
		note "failed: $*" | cut -c1-300
	fi
}
is() {		# is GOT WANT NAME
	n=$((n + 1))
	if [ "$1" = "$2" ]; then echo "ok $n - $3"; else
		echo "not ok $n - $3"
		failed=$((failed + 1))
		note "got:  ${1:0:600}"
		note "want: ${2:0:600}"
	fi
}
has() {		# has GOT PART NAME
	n=$((n + 1))
	case $1 in
	*"$2"*) echo "ok $n - $3" ;;
	*)
		echo "not ok $n - $3"
		failed=$((failed + 1))
		note "got:     ${1:0:800}"
		note "want in: $2"
		;;
	esac
}
skip_all() {
	echo "1..0 # SKIP $1"
	exit 0
}
finish() {
	local r
	for r in "$D"/asan/report*; do
		[ -e "$r" ] || continue
		note "$(head -40 "$r")"
		failed=$((failed + 1))
		n=$((n + 1))
		echo "not ok $n - a sanitizer had something to say"
		break
	done
	echo "1..$n"
	exit $((failed > 0))
}
until_true() {	# until_true SECONDS COMMAND...: waits for it, and four times as long on a machine that has much else to do
	local end=$((SECONDS + 4 * $1))
	shift
	until "$@" >/dev/null 2>&1; do
		[ $SECONDS -lt $end ] || return 1
		sleep 0.02
	done
}

# ---- keys and books
keys() {
	local k
	for k in "$@"; do echo "KMI_API_KEY=sk-fake-$k-000$k" >"$D/auths/$k.env"; done
}
auto() {	# rotation over all keys
	export KMI_AUTO_ROTATE_ALLOWED=1
	echo '{"schema_version": 1, "auto_rotate": true, "keys": {}}' >"$D/state/state.json"
}
state() { jq -r --arg k "$1" ".keys[\$k].$2" "$D/state/state.json"; }
trace_lines() { cat "$D"/state/trace/trace.jsonl* 2>/dev/null | wc -l; }
trace_wait() {	# waits until the trace has N lines
	until_true 10 eval "[ \$(trace_lines) -ge $1 ]"
}
trace_last() { tail -n 1 "$D/state/trace/trace.jsonl" | jq -rc ".$1"; }

# ---- the upstream
certs() {
	[ -e "$D/certs/ca.pem" ] || bash "$root/tests/tools/make-certs.sh" "$D/certs" >/dev/null 2>&1
}
fake_start() {	# fake_start [CERT]
	certs
	rm -f "$D/port"
	python3 "$root/tests/tools/fakekimi.py" --cert "$D/certs/${1:-server}.pem" --key "$D/certs/${1:-server}.key" \
		--record "$D/rec" --script "$D/script.json" --port-file "$D/port" --watch-pid $$ 2>"$D/fake.err" &
	FAKE=$!
	started+=($FAKE)
	until_true 10 test -s "$D/port" || { echo "Bail out! the fake upstream does not start: $(cat "$D/fake.err")"; exit 1; }
	export KMI_UPSTREAM_BASE_URL=https://127.0.0.1:$(cat "$D/port")/coding/v1 KMI_DRY_RUN=0
	export KMI_UPSTREAM_CA_FILE=$D/certs/ca.pem
}
fake_script() {
	printf '%s\n' "$1" >"$D/script.new" && mv "$D/script.new" "$D/script.json"
}
echo '[]' >"$D/script.json"
fake_count() { cat "$D/rec/log.jsonl" 2>/dev/null | wc -l; }
fake_wait() { until_true 10 eval "[ \$(fake_count) -ge $1 ]"; }
fake_last() { tail -n 1 "$D/rec/log.jsonl" | jq -rc ".$1"; }
fake_live() { cat "$D/rec/live.jsonl" 2>/dev/null | wc -l; }
fake_keys() { jq -r .key "$D/rec/log.jsonl" | sed 's/^sk-fake-\(.*\)-000.*/\1/' | tail -n "$1" | tr '\n' ' ' | sed 's/ $//'; }
fake_reset() { : >"$D/rec/log.jsonl"; : >"$D/rec/live.jsonl"; }

# ---- kmi
pool_start() {	# pool_start [NAME=VALUE...]
	PORT=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
	env "$@" python3 -c '
import os, socket, sys
s = socket.socket()
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(("127.0.0.1", int(sys.argv[1])))
s.listen(4096)
os.dup2(s.fileno(), 0)
os.execv(sys.argv[2], ["kmi-handle"])' "$PORT" "$BIN/kmi-handle" 2>>"$D/pool.err" &
	POOL=$!
	started+=($POOL)
	U=http://127.0.0.1:$PORT/kmi-rotor/v1
	until_true 10 curl -s -o /dev/null "http://127.0.0.1:$PORT/" || { echo "Bail out! kmi does not start: $(cat "$D/pool.err")"; exit 1; }
	trace_wait 1
	rm -rf "$D/state/trace"
}
pool_stop() {
	kill -TERM "$POOL" 2>/dev/null
	wait "$POOL"
}
ask() {		# ask PATH [CURL ARGUMENTS...]: the body; the status goes to $D/code
	local path=$1
	shift
	curl -sS -m 30 -o "$D/body" -D "$D/head" -w '%{http_code}' "$@" "$U$path" >"$D/code" 2>"$D/curl.err"
	CURL=$?
	CODE=$(cat "$D/code")
	BODY=$(tr -d '\0' <"$D/body" 2>/dev/null)
}
chat() { ask /chat/completions -H 'Content-Type: application/json' -d '{"model": "m", "messages": [{"role": "user", "content": "hi"}]}' "$@"; }
