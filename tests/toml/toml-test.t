#!/bin/sh
# The public toml-test suite against lib/base/toml, TAP. Its cases come from the
# Debian package golang-github-burntsushi-toml-dev; TOML_TEST_CASES names another
# folder that holds valid/ and invalid/.
here=$(cd "$(dirname "$0")" && pwd)
root=$here/../..
cases=${TOML_TEST_CASES:-/usr/share/gocode/src/github.com/BurntSushi/toml/internal/toml-test/tests}
build=${BUILD:-build}
case $build in /*) ;; *) build=$root/$build ;; esac

if [ ! -d "$cases/valid" ] || [ ! -d "$cases/invalid" ]; then
	echo "1..0 # SKIP no TOML cases here: install golang-github-burntsushi-toml-dev"
	exit 0
fi
make -s -C "$root" BUILD="$build" "$build/tests/tools/toml-json" >&2 || exit 1
exec python3 "$here/compare.py" "$build/tests/tools/toml-json" "$cases"
