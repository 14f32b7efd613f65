#!/bin/bash
# state.json under everything at once: see tests/tools/state-hammer.c. TAP.
set -u
root=$(cd "$(dirname "$0")/../.." && pwd)
hammer=$root/${BUILD:-build}/tests/tools/state-hammer
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

n=0
ok() {		# ok NAME COMMAND...: one TAP line
	local name=$1; shift
	n=$((n + 1))
	if "$@"; then echo "ok $n - $name"; else echo "not ok $n - $name"; fi
}
hammered() { "$hammer" "$@" >"$dir/out" 2>&1; local rc=$?; sed 's/^/# /' "$dir/out"; return $rc; }
busy() { awk '{ exit !($1 > 100 && $3 > 10 && $5 > 10 && $7 > 10) }' "$dir/out"; }

if [ ! -x "$hammer" ]; then
	echo "1..0 # SKIP $hammer is not built"
	exit 0
fi
ok 'few keys, many writers, kill -9: valid at every instant, no count lost' hammered "$dir/few" 2 8 7
ok 'and there was something to survive' busy
ok 'many keys: lines on every page boundary' hammered "$dir/many" 2 4 400
ok 'and there was something to survive' busy
ok 'nothing was set aside' test -z "$(ls "$dir"/*/*.corrupt.* 2>/dev/null)"
echo "1..$n"
