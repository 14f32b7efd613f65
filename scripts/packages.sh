#!/bin/sh
# usage: packages.sh build|test|lint|bench|deb|boot ...: the Debian packages that each needs, installed when they are missing.
# Quiet and at once when all are there. Without root (or sudo that asks nothing) it names what to install.
#        packages.sh unpack FOLDER PACKAGE...: unpacked there instead, for programs that would start when installed; a
#        package that cannot be had is passed over
set -eu
if [ "${1:-}" = unpack ]; then
	folder=$2
	shift 2
	command -v dpkg-deb >/dev/null || exit 0
	mkdir -p "$folder"
	cd "$folder"
	for p in "$@"; do
		[ ! -e ".$p" ] || continue
		apt-get download -q "$p" >/dev/null 2>&1 && dpkg-deb -x "$p"_*.deb . && : >".$p" || true
		rm -f "$p"_*.deb
	done
	exit 0
fi
build='gcc libc6-dev make pkg-config libcurl4-openssl-dev libjsmn-dev libbearssl-dev libsmartcols-dev libncurses-dev zlib1g-dev node-llhttp'
run='curl ca-certificates openssl'
test='perl python3 openssl curl jq procps psmisc ca-certificates ucspi-tcp s6 iproute2 util-linux netbase tmux golang-github-burntsushi-toml-dev'
lint='cppcheck mandoc lintian'
bench='nginx-light'
deb='build-essential debhelper dpkg-dev'
boot="$deb systemd-container dbus libpam-systemd"

wanted=
for set in "$@"; do
	case $set in
	build) wanted="$wanted $build" ;;
	run) wanted="$wanted $run" ;;
	test) wanted="$wanted $test" ;;
	lint) wanted="$wanted $lint" ;;
	bench) wanted="$wanted $bench" ;;
	deb) wanted="$wanted $deb" ;;
	boot) wanted="$wanted $boot" ;;
	*) echo "packages.sh: no such set: $set" >&2; exit 2 ;;
	esac
done

command -v dpkg-query >/dev/null || exit 0	# not Debian: the compiler will say what is missing
missing=
for p in $wanted; do
	case $(dpkg-query -W -f '${db:Status-Status}' "$p" 2>/dev/null || true) in
	installed) ;;
	*) missing="$missing $p" ;;
	esac
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" = 0 ]; then
	as_root=
elif sudo -n true 2>/dev/null; then
	as_root='sudo -n'
else
	echo "Packages are missing. Install them, then try again:" >&2
	echo "    sudo apt-get install$missing" >&2
	exit 1
fi
echo "installing:$missing"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
export DEBIAN_FRONTEND=noninteractive
# A new machine has old lists or none; only then is an update worth its time.
if ! $as_root apt-get install -y -q --no-install-recommends $missing >"$log" 2>&1; then
	if ! { $as_root apt-get update -q && $as_root apt-get install -y -q --no-install-recommends $missing; } >"$log" 2>&1; then
		tail -20 "$log" >&2
		echo "apt-get could not install:$missing" >&2
		exit 1
	fi
fi
