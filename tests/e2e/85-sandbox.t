#!/bin/bash
# The sandbox of a handler holds, and is in nobody's way.
. "$(dirname "$0")/lib.sh"
PATH=$BIN:$PATH
keys a b
mkdir -p "$HOME" "$D/other"
# Beside the folder of keys a handler may look, since that may be replaced at any time; so this is somewhere else.
private=$(mktemp -d "${TMPDIR:-/tmp}/kmi-private.XXXXXX")
trap 'rm -rf "$private"; cleanup' EXIT
echo private >"$private/id"
echo 'KMI_API_KEY=sk-fake-l-000l' >"$D/other/l.env"
ln -s "$D/other/l.env" "$D/auths/l.env"
fake_start
port=$(cat "$D/port")
closed=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
how() { grep -F "$1 " "$D/out" | sed "s|^$1 ||"; }

# What a handler must be able to do, and what not. The folder of the tests is not the place to stand in.
cd "$HOME" || exit 1
things=("read:$D/auths/a.env" "read:$D/auths/l.env" "make:$D/state/new" "write:$D/state/new" "remove:$D/state/new"
	"read:/etc/resolv.conf" "write:/dev/null" "run:/bin/true" "connect:$port"
	"read:$private/id" "write:$D/auths/a.env" "make:$D/auths/z.env" "remove:$D/auths/a.env" "make:$private/x" "make:/tmp/kmi-stepped-out.$$"
	"write:/etc/passwd" "connect:$closed")
"$TOOLS/step-out" "${things[@]}" >"$D/out" 2>"$D/err"
is $? 0 "the sandbox is entered"
version=$(head -n 1 "$D/out")
for t in "${things[@]:0:9}"; do is "$(how "$t")" ok "may ${t%%:*} $(basename "${t#*:}")"; done
if [ "$version" -gt 0 ]; then
	for t in "${things[@]:9:7}"; do is "$(how "$t")" "Permission denied" "may not ${t%%:*} $(basename "${t#*:}")"; done
	[ "$version" -lt 4 ] || is "$(how "connect:$closed")" "Permission denied" "may not connect elsewhere"
else
	note "this kernel has no Landlock: nothing is held back"
fi
rm -f "/tmp/kmi-stepped-out.$$" "$private/x"
KMI_SANDBOX=0 "$TOOLS/step-out" "read:$private/id" >"$D/out"
is "$(how "read:$private/id")" ok "KMI_SANDBOX=0 leaves it"
cd "$root" || exit 1

finish
