#!/bin/sh
# usage: install.sh put|remove, with PREFIX, LIBEXEC, ETC, BUILD and perhaps DESTDIR in the environment (make install does).
# One list, walked both ways: what is put in place is what is removed. kmi is what people type; the other programs lie where
# it finds them. Nothing is written to ETC: `kmi proxy install --system` and the Debian package do that.
set -eu
cd "$(dirname "$0")/.."
umask 022
verb=$1
share=$PREFIX/share

# put MODE FILE PLACE: the paths that the file speaks of become those it is installed for
put() {
	if [ "$verb" = remove ]; then
		rm -f "$DESTDIR$3"
		return
	fi
	[ -e "$2" ] || return 0
	mkdir -p "$DESTDIR$(dirname "$3")"
	case $2 in
	units/*) sed "s|/usr/local/libexec/kmi|$LIBEXEC|g; s|/etc/kmi|$ETC|g" "$2" >"$DESTDIR$3" && chmod "$1" "$DESTDIR$3" ;;
	*) install -m "$1" "$2" "$DESTDIR$3" ;;
	esac
}
for p in "$BUILD"/bin/kmi "$BUILD"/bin/kmi-*; do
	case $p in
	*.[od]) continue ;;
	*/kmi) put 755 "$p" "$PREFIX/bin/kmi" ;;
	*)
		place=$LIBEXEC/${p##*/}
		if [ -L "$p" ] && [ "$verb" = put ]; then
			mkdir -p "$DESTDIR$LIBEXEC"
			ln -sf "$(readlink "$p")" "$DESTDIR$place"
		else
			put 755 "$p" "$place"
		fi
		;;
	esac
done
# Its other name, which users of the Python tool know.
[ "$verb" = remove ] || [ ! -e "$BUILD/bin/kmi-kimi" ] || ln -sf "$LIBEXEC/kmi-kimi" "$DESTDIR$PREFIX/bin/kimi_robin"
[ "$verb" = put ] || rm -rf "$DESTDIR$PREFIX/bin/kmi" "$DESTDIR$PREFIX/bin/kimi_robin" "$DESTDIR$LIBEXEC"

for p in docs/man/*.[1-8]; do put 644 "$p" "$share/man/man${p##*.}/${p##*/}"; done
for p in README.md docs/*.md; do put 644 "$p" "$share/doc/kmi/${p##*/}"; done
for p in _auths.example/*; do put 644 "$p" "$share/doc/kmi/examples/auths/${p##*/}"; done

for kind in system user; do
	case $kind in
	system) from=units ;;
	user) from=units/user ;;
	esac
	for p in $from/*.socket $from/*.service $from/*.timer; do put 644 "$p" "$PREFIX/lib/systemd/$kind/${p##*/}"; done
done
put 644 units/sysusers.conf "$PREFIX/lib/sysusers.d/kmi.conf"
put 644 units/tmpfiles.conf "$PREFIX/lib/tmpfiles.d/kmi.conf"
for p in units/s6/*/* units/inetd/*; do
	mode=644
	[ ! -x "$p" ] || mode=755
	put $mode "$p" "$share/kmi/${p#units/}"
done

put 644 scripts/completions/kmi.bash "$share/bash-completion/completions/kmi"
put 644 scripts/completions/_kmi "$share/zsh/site-functions/_kmi"
put 644 scripts/completions/kmi.fish "$share/fish/vendor_completions.d/kmi.fish"

put 644 units/kmi.env "$share/kmi/kmi.env"
put 644 units/example.env "$share/kmi/example.env"

# What is left empty goes, too; bin, lib, share and share/man are everybody's.
[ "$verb" = put ] || for d in "$share/doc/kmi/examples/auths" "$share/doc/kmi/examples" "$share/doc/kmi" "$share/doc" \
	"$share/kmi/s6/kmi-hold" "$share/kmi/s6/kmi-pool" "$share/kmi/s6/kmi-unix" "$share/kmi/s6" "$share/kmi/inetd" "$share/kmi" \
	"$share/man/man1" "$share/man/man7" "$share/bash-completion/completions" "$share/bash-completion" \
	"$share/zsh/site-functions" "$share/zsh" "$share/fish/vendor_completions.d" "$share/fish" "$PREFIX/lib/systemd/system" \
	"$PREFIX/lib/systemd/user" "$PREFIX/lib/systemd" "$PREFIX/lib/sysusers.d" "$PREFIX/lib/tmpfiles.d" "$PREFIX/libexec"; do
	rmdir "$DESTDIR$d" 2>/dev/null || true
done
