#!/bin/bash
# The sandboxes of our programs hold, and are in nobody's way.
. "$(dirname "$0")/lib.sh"
PATH=$BIN:$PATH
export KMI_SANDBOX=1 ASAN_OPTIONS=$ASAN_OPTIONS:detect_leaks=0	# how leaks are looked for is not among what a program may do
keys a b
mkdir -p "$HOME/.kimi" "$D/other" "$D/state/trace" "$D/beside"
# Beside the folder of keys a handler may look, since that may be replaced at any time; so this is somewhere else.
private=$(mktemp -d "${TMPDIR:-/tmp}/kmi-private.XXXXXX")
trap 'rm -rf "$private"; cleanup' EXIT
echo private >"$private/id"
echo private >"$HOME/id"
: >"$D/state/trace/trace.jsonl"
echo 'KMI_API_KEY=sk-fake-l-000l' >"$D/other/l.env"
ln -s "$D/other/l.env" "$D/auths/l.env"
fake_start
port=$(cat "$D/port")
closed=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
cp "$TOOLS/step-out" "$D/beside/step-out"
cp /bin/true "$D/beside/helper"
denied="Permission denied"

# steps_out PROGRAM: tries the things of $may and $not in its sandbox. The folder of the tests is not the place to stand in.
steps_out() {
	local t program=$1
	(cd "$HOME" && "$D/beside/step-out" "$program" "${may[@]}" "${not[@]}" >"$D/out" 2>"$D/err")
	is "$?$(cat "$D/err")" 0 "$program: the sandbox is entered"
	version=$(head -n 1 "$D/out")
	for t in "${may[@]}"; do is "$(how "$t")" ok "$program may ${t%%:*} ${t#*:}"; done
	for t in "${not[@]}"; do
		if [ "$version" -eq 0 ] || { [ "$version" -lt 4 ] && [[ $t = connect:* || $t = bind:* ]]; }; then
			note "Landlock $version does not keep $program from: $t"
		else
			# A program that starts nobody is told so even before, unless it is root's.
			is "$(how "$t" | sed 's/^Resource temporarily unavailable$/Permission denied/')" "$denied" "$program may not ${t%%:*} ${t#*:}"
		fi
	done
	rm -f "/tmp/kmi-stepped-out.$$" "$private/x"
}
how() { grep -F "$1 " "$D/out" | sed "s|^$1 ||"; }

# ---- what each must be able to do, and what not
SECRET=sk-fake-elsewhere sleep 600 &
other=$!
started+=("$other")
may=("read:$D/auths/a.env" "read:$D/auths/l.env" "make:$D/state/new" "write:$D/state/new" "remove:$D/state/new"
	"read:/etc/resolv.conf" "read:/etc/hosts" "read:/etc/nsswitch.conf" "read:/etc/ssl/certs" "read:/usr/lib/locale"
	"read:/usr/share/zoneinfo/UTC" "read:$D/certs/ca.pem" "write:/dev/null" "run:$D/beside/helper" "connect:$port")
not=("read:$private/id" "read:/etc/shadow" "read:/etc/ssl/private" "read:/proc/1/environ" "read:/proc/$other/environ" "read:/usr/bin/env"
	"write:$D/auths/a.env" "make:$D/auths/z.env" "remove:$D/auths/a.env" "make:$private/x" "make:/tmp/kmi-stepped-out.$$"
	"write:/etc/passwd" "run:/bin/true" "connect:$closed" "bind:$closed")
steps_out kmi-handle
not+=("run:$D/beside/helper" "read:/etc/passwd" "read:/proc/1/status")
unset "may[13]"
steps_out kmi-health
may=("read:$D/auths/a.env" "read:$D/state/trace/trace.jsonl" "make:$D/state/new" "remove:$D/state/new")
not=("read:$private/id" "read:/etc/passwd" "write:$D/auths/a.env" "make:$D/auths/z.env" "make:$HOME/.kimi/x" "run:$D/beside/helper"
	"connect:$port" "bind:$closed")
for p in kmi-keys kmi-status kmi-metrics kmi-unlock; do steps_out $p; done
may+=("make:$HOME/.kimi/x" "remove:$HOME/.kimi/x")
unset "not[4]"
KMI_AUTHS_DIR=$D/auths steps_out kmi-rotate
may=("read:$D/state/trace/trace.jsonl")
not=("read:$D/auths/a.env" "read:$private/id" "make:$D/state/new" "write:$D/state/trace/trace.jsonl" "run:/bin/true" "connect:$port")
steps_out kmi-trace
may=()
not+=("read:$D/state/trace/trace.jsonl")
steps_out kmi-config

may=()
not=("read:$D/auths/a.env" "read:$D/state/trace/trace.jsonl" "read:$D/certs/server.key" "read:$D/certs/server.pem" "read:/etc/resolv.conf"
	"make:$D/state/new" "run:/bin/true" "connect:$port" "bind:$closed")
steps_out kmi-tls

# ---- where a certificate's key lies, or a home, nobody looks for another folder of keys
mkdir "$HOME/_auths" && cp "$D/auths/a.env" "$HOME/_auths/"
may=("read:$HOME/_auths/a.env")
not=("read:$HOME/id")
KMI_AUTHS_DIR=$HOME/_auths steps_out kmi-handle
mkdir -p "$private/auths"
may=("read:$private/auths")
not=("read:$private/id")
KMI_AUTHS_DIR=$private/auths KMI_PROXY_TLS_KEY=$private/id steps_out kmi-handle

# ---- switched off, and where the kernel has none
KMI_SANDBOX=0 "$TOOLS/step-out" kmi-handle "read:$private/id" >"$D/out"
is "$(how "read:$private/id")" ok "KMI_SANDBOX=0 leaves it"
"$TOOLS/no-landlock" "$TOOLS/step-out" kmi-handle "read:$private/id" >"$D/out"
is "$(head -n 1 "$D/out") $(how "read:$private/id")" "0 ok" "a kernel without Landlock holds nothing back, silently"
for t in "keys" "status" "health --cached" "trace --summary" "metrics" "config" "unlock --all" "rotate off"; do
	# shellcheck disable=SC2086
	"$TOOLS/no-landlock" kmi $t >/dev/null 2>"$D/err"
	is "$? $(cat "$D/err")" "0 " "kmi $t there"
done
has "$("$TOOLS/no-landlock" kmi doctor)" "no Landlock" "kmi doctor says so"
has "$(kmi doctor)" "Landlock $version" "and which version there is else"

# ---- what serves a client of TLS is narrowed, and what it hands on to is not by that
# shellcheck source=tests/e2e/tls.sh
. "$root/tests/e2e/tls.sh"
gave_up() { grep -q "^NoNewPrivs:.1" "/proc/$1/status" && grep -q "^Max processes *0 *0 " "/proc/$1/limits" &&
	grep -q "^Max core file size *1 *1 " "/proc/$1/limits"; }
tls_start
tls_code "$T/models" >/dev/null
tls_silent
until_true 10 eval 'child=$(pgrep -P "$TLS" -x kmi-tls)'
ok "the process of a connection has given up" until_true 5 gave_up "$child"
ok "the one that starts the pool has not" eval '! gave_up "$TLS"'
is "$(tls_code "$T/models")" 200 "the pool behind works"
kill $SILENT
tls_stop
is "$(grep -c . "$D/tls.err")" 0 "nobody complains"
unset KMI_PROXY_TLS_CERT KMI_PROXY_TLS_KEY

# ---- what is replaced while handlers live is reached by their successors
mkdir "$D/new" && echo 'KMI_API_KEY=sk-fake-n-000n' >"$D/new/n.env"
pool_start
chat; is "$CODE" 200 "a handler reads the keys"
mv "$D/auths" "$D/auths.old" && mv "$D/new" "$D/auths"
chat; is "$CODE $(fake_keys 1)" "200 n" "and those of another folder in its place, at once"
rm -r "$D/auths"; mv "$D/auths.old" "$D/auths"
pool_stop
mkdir "$D/new" && echo 'KMI_API_KEY=sk-fake-n-000n' >"$D/new/n.env"
pool_start KMI_AUTHS_DIR="$HOME/_auths"
chat; is "$CODE" 200 "in a home, too"
rm -r "$HOME/_auths" && mv "$D/new" "$HOME/_auths"
sleep 1.5
chat; is "$CODE $(fake_keys 1)" "200 n" "there a second later"
fake_start
printf 'KMI_API_KEY=sk-fake-p-000p\nKMI_KEY_PRIORITY=9\nKMI_UPSTREAM_BASE_URL=https://127.0.0.1:%s/coding/v1\n' "$(cat "$D/port")" >"$HOME/_auths/p.env"
rm "$HOME/_auths/n.env"; fake_reset
chat
sleep 1.5
chat; is "$CODE $(fake_keys 1)" "200 p" "a key that names another port, a second later"
pool_stop
finish
