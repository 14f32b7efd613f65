#!/bin/sh
# usage: deb.sh VERSION OUT: builds the Debian package from what git knows of this tree (all of it, where there is no git),
# in a copy below OUT, and leaves OUT/kmi_VERSION_ARCH.deb.
set -eu
cd "$(dirname "$0")/.."
version=$1 out=$2
scripts/packages.sh build deb
mkdir -p "$out"
out=$(cd "$out" && pwd)
tree=$out/kmi-$version
rm -rf "$tree"
mkdir "$tree"
{ git ls-files -z --cached --others --exclude-standard 2>/dev/null ||
	find . -path ./build -prune -o -path ./build-asan -prune -o -type f -print0; } |
	xargs -0 sh -c 'for f; do [ -e "$f" ] || continue; echo "$f"; done' - | tar -c -T - | tar -x -C "$tree"
cp -r scripts/debian "$tree/debian"
sed "s/@VERSION@/$version/; s/@DATE@/$(LC_ALL=C date -R)/" "$tree/debian/changelog.in" >"$tree/debian/changelog"
rm "$tree/debian/changelog.in"
log=$out/deb.log
cd "$tree"
if ! DEB_BUILD_OPTIONS="noautodbgsym parallel=2" dpkg-buildpackage -b -us -uc >"$log" 2>&1; then
	tail -n 30 "$log" >&2
	echo "the package could not be built; all of it is in $log" >&2
	exit 1
fi
echo "$out/kmi_${version}_$(dpkg --print-architecture).deb"
