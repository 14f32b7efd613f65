#!/bin/bash
# Builds the Debian package, boots a real systemd over a throw-away copy of this machine with it, and runs inside.sh there.
# KMI_BOOT_ROOT names another tree to boot (it needs curl, jq, openssl, python3, dbus and libpam-systemd), KMI_BURST how many
# connections are a burst.
set -u
cd "$(dirname "$0")/../.." || exit 1
build=${BUILD:-build}
skip() { echo "1..0 # SKIP $1"; exit 0; }
[ "$build" = build ] || skip "the package is the same under a sanitizer"
why=$(tests/systemd/boot.sh --can) || skip "$why"
for p in systemd-nspawn dpkg-buildpackage dh; do command -v $p >/dev/null || skip "$p is not here"; done
deb=$(make -s deb | tail -n 1)
[ -s "$deb" ] || { echo "Bail out! the package cannot be built"; exit 1; }
if command -v lintian >/dev/null; then
	echo "# lintian: $(lintian --allow-root --fail-on none "$deb" 2>/dev/null | grep -c '^W:') warnings"
	lint=$(lintian --allow-root --fail-on none "$deb" 2>/dev/null | grep '^E:')
	[ -z "$lint" ] || { printf '%s\n' "Bail out! $lint"; exit 1; }
fi
out=$(mktemp)
more=$(mktemp -d)
trap 'rm -rf "$out" "$more"' EXIT
echo "${KMI_BURST:-500}" >"$more/burst"
tests/systemd/boot.sh "${KMI_BOOT_ROOT:-/}" tests/systemd/inside.sh "$out" "$deb" "$build/tests/tools/load" "$build/tests/tools/step-out" tests/tools/fakekimi.py \
	tests/tools/make-certs.sh "$more/burst"
code=$?
cat "$out"
exit $code
