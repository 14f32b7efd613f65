#!/bin/bash
# usage: boot.sh ROOT SCRIPT OUT [FILE...]: boots a real systemd as PID 1 over a throw-away copy of ROOT and runs SCRIPT there.
#        boot.sh --can: whether that can be done here (exit 0), or the reason why not
# ROOT is left as it is: what is written goes to memory, and is gone with the machine. FILEs are copied to /kmi-test/; Debian
# packages among them are installed before it boots. SCRIPT's output goes to OUT as it comes, its exit code is ours.
# Needs root, overlayfs and systemd-container.
set -eu
if [ "$1" = --can ]; then
	[ "$(id -u)" = 0 ] || { echo "only root can boot a machine"; exit 1; }
	command -v dpkg >/dev/null || { echo "there is no dpkg"; exit 1; }
	unshare -m --propagation private sh -c 'd=$(mktemp -d) && mount -t tmpfs kmi "$d" && mkdir "$d/u" "$d/w" "$d/m" &&
		mount -t overlay -o "lowerdir=/,upperdir=$d/u,workdir=$d/w" kmi "$d/m"; rc=$?
		umount -R "$d" 2>/dev/null; rmdir "$d"; exit $rc' 2>/dev/null || { echo "overlayfs cannot be mounted here"; exit 1; }
	exit 0
fi
[ -n "${KMI_BOOT_APART:-}" ] || exec env KMI_BOOT_APART=1 unshare -m --propagation private "$0" "$@"
root=$1 script=$2 out=$3
shift 3

: >"$out"
out=$(realpath "$out")
m=$(mktemp -d /tmp/kmi-boot.XXXXXX)
trap 'umount -R "$m" 2>/dev/null; rmdir "$m"' EXIT
mount -t tmpfs -o size=2g,mode=755 kmi-boot "$m"
mkdir "$m/up" "$m/work" "$m/machine"
mount -t overlay -o "lowerdir=$root,upperdir=$m/up,workdir=$m/work" kmi-boot "$m/machine"
x=$m/machine
mkdir -p "$x/kmi-test"
[ $# = 0 ] || cp -r "$@" "$x/kmi-test/"
cp "$script" "$x/kmi-test/script"
cat >"$x/etc/systemd/system/kmi-test.service" <<END
[Unit]
After=multi-user.target systemd-user-sessions.service
[Service]
Type=oneshot
WorkingDirectory=/kmi-test
Environment=HOME=/root PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
ExecStart=/bin/bash -c 'bash script; echo \$? >code'
StandardOutput=append:/kmi-test/out
StandardError=append:/kmi-test/out
ExecStopPost=/bin/systemctl poweroff --no-block
END
# The copy is not the machine: it has neither its id nor the services that somebody added.
rm -rf "$x"/etc/systemd/system/*.wants "$x"/etc/systemd/user/*.wants "$x/usr/sbin/policy-rc.d"
mkdir -p "$x/etc/systemd/system/multi-user.target.wants"
for p in "$x"/kmi-test/*.deb; do
	[ ! -e "$p" ] || DEBIAN_FRONTEND=noninteractive chroot "$x" apt-get install -q -y --no-install-recommends \
		"/kmi-test/${p##*/}" >"$m/dpkg" 2>&1 || { cat "$m/dpkg"; exit 1; }
done
ln -sf /etc/systemd/system/kmi-test.service "$x/etc/systemd/system/multi-user.target.wants/"
rm -f "$x/etc/machine-id"
: >"$x/etc/machine-id"
: >"$out"
touch "$x/kmi-test/out"
mount --bind "$out" "$x/kmi-test/out"
timeout -k 5 "${KMI_BOOT_SECONDS:-600}" systemd-nspawn -q --register=no --keep-unit --boot --console=pipe --link-journal=no \
	--system-call-filter="landlock_create_ruleset landlock_add_rule landlock_restrict_self" --private-network -D "$x" >"$m/console" 2>&1 </dev/null || true
if [ ! -s "$x/kmi-test/code" ]; then
	echo "the machine did not come to an end; its console:"
	tail -n 30 "$m/console"
	exit 1
fi
exit "$(cat "$x/kmi-test/code")"
