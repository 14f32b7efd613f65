#!/bin/bash
# make install and uninstall; the units: well-formed, for the paths they are installed to, and sandboxed.
. "$(dirname "$0")/lib.sh"
command -v systemd-analyze >/dev/null || skip_all "systemd-analyze is not here"
make_quietly() { make -s -C "$root" BUILD="${BUILD:-build}" PREFIX=/opt/k LIBEXEC=/opt/k/le DESTDIR="$D/dest" "$@" >"$D/make" 2>&1; }
mkdir -p "$D/dest"

make_quietly install; is $? 0 "make install"
ok "kmi is in bin" test -x "$D/dest/opt/k/bin/kmi"
ok "the rest beside each other" test -x "$D/dest/opt/k/le/kmi-handle" -a -L "$D/dest/opt/k/le/kmi-proxy-stop"
ok "pages" test -s "$D/dest/opt/k/share/man/man1/kmi-handle.1"
is "$(find "$D/dest" -type f ! -perm -004 | head -3)" "" "everybody may read all of it"
ok "nothing outside the prefix" test "$(ls "$D/dest")" = opt
is "$(grep -rl '/usr/local' "$D/dest/opt/k/lib" "$D/dest/opt/k/share/kmi" | head)" "" "no unit speaks of another prefix"
is "$(grep -rho '^Exec[A-Za-z]*=[^ ]*' "$D/dest/opt/k/lib/systemd" | grep -o '/.*' | sort -u | tr '\n' ' ')" \
	"/bin/kill /bin/sh $(sed -n 's/^ExecStart=-\?\/usr\/local\/libexec\/kmi\/\([a-z-]*\).*/\/opt\/k\/le\/\1/p' "$root"/units/*.service | sort -u | tr '\n' ' ')" \
	"the programs are where the units look"

# systemd reads them where the programs are, so they go to a prefix of this test.
make_quietly DESTDIR= PREFIX="$D/p" LIBEXEC="$D/p/le" install
for kind in system user; do
	flag=
	[ $kind = system ] || { flag=--user; export XDG_RUNTIME_DIR=$D; }
	dir=$D/p/lib/systemd/$kind
	for u in "$dir"/*; do
		case $u in
		*@.service) u=${u%@.service}@1.service ;;
		esac
		# A program that is not built yet, and what this machine's own units say, are none of this test's business.
		is "$(SYSTEMD_UNIT_PATH=$dir: systemd-analyze $flag verify --man=no "$u" 2>&1 | grep "$dir\|^${u##*/}" | grep -v 'not executable')" "" \
			"$kind: ${u##*/} is well-formed"
	done
	for u in "$dir"/*.service; do
		score=$(systemd-analyze $flag security --offline=true --no-pager "$u" 2>&1 | sed -n 's/.*Overall exposure level.*: \([0-9.]*\) .*/\1/p')
		ok "$kind: ${u##*/}: exposure ${score:-?}, at most 2.0" awk "BEGIN { exit !(\"$score\" != \"\" && $score + 0 <= 2.0) }"
	done
done
is "$(grep -L '^TriggerLimitIntervalSec=0' "$root"/units/*.socket "$root"/units/user/*.socket)" "" "no socket fails under a burst"
is "$(grep -l '^MaxConnectionsPerSource=' "$root"/units/*.socket)" "" "no limit a source unless somebody asks"

is "$(grep -L '^SystemCallFilter=landlock_create_ruleset landlock_add_rule landlock_restrict_self$' "$root"/units/*.service "$root"/units/user/*.service)" "" \
	"the units let programs narrow themselves further"

make_quietly uninstall; is $? 0 "make uninstall"
is "$(find "$D/dest" ! -type d)" "" "nothing is left"
is "$(cd "$D/dest/opt/k" && find . -type d | sort | tr '\n' ' ')" ". ./bin ./lib ./share ./share/man " "nor a folder, but those that are everybody's"
make_quietly uninstall; is $? 0 "twice is no error"
finish
