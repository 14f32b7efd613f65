#!/bin/bash
# kmi, the front door: where commands are found, the older tool's flags, mistakes, help.
. "$(dirname "$0")/lib.sh"
keys a
run() { "$BIN/kmi" "$@" >"$D/out" 2>"$D/err" </dev/null; CODE=$?; OUT=$(cat "$D/out") ERR=$(cat "$D/err"); }

# Commands are programs: beside kmi, in its libexec folder, or in PATH.
mkdir "$D/more" "$D/front" "$D/odd"
printf '#!/bin/sh\nprintf "[%%s]" "$@"\nexit 7\n' >"$D/more/kmi-mine"
chmod +x "$D/more/kmi-mine"
mkdir "$D/odd/kmi-folder"
PATH=$D/odd:$D/more:$PATH
run mine 'a b' '' --plain -- '*'; is "$CODE $OUT" "7 [a b][][--plain][--][*]" "arguments and exit status pass as they are"
run --plain mine x; is "$CODE $OUT" "7 [x]" "a flag before the command is kmi's own"
printf '#!/bin/sh\necho "$KMI_PLAIN $KMI_NO_COLOR"\n' >"$D/more/kmi-look"
chmod +x "$D/more/kmi-look"
run --plain --no-color look; is "$OUT" "1 1" "and reaches the command as a setting"
ln -s "$BIN/kmi" "$D/front/kmi"
is "$(cd / && "$D/front/kmi" keys --json | jq '.keys | length')" 1 "called through a link, kmi finds its commands"
printf '#!/bin/sh\necho stranger\n' >"$D/more/kmi-keys"
chmod +x "$D/more/kmi-keys"
run keys; ok "ours come before those in PATH" test "$OUT" != stranger
run ../more/mine; is "$CODE" 2 "a path is no command"
run ''; is "$CODE" 2 "nor is nothing"
run folder; ok "nor a folder: no success" test "$CODE" != 0
has "$ERR" "kmi: error: " "and kmi says so"
printf '#!/bin/sh\necho found\n' >"$D/more/kmi-folder"
chmod +x "$D/more/kmi-folder"
run folder; is "$CODE $OUT" "0 found" "a folder does not hide the program of that name"
env -u PATH "$BIN/kmi" keys >"$D/out" 2>&1; is $? 0 "no PATH at all"

# The older tool's flags: the same as the commands, one at a time.
same() {	# same FLAG COMMAND...
	local flag=$1
	shift
	run "$flag"
	first="$CODE $OUT"
	run "$@"
	is "$first" "$CODE $OUT" "kmi $flag is kmi $*"
}
same --status status
same --all keys
[ -x "$BIN/kmi-health" ] && same --current health --current
for first in --rotate --auto_rotate --auto-rotate --trace --all --health --current --status; do
	for second in --status --all; do
		[ "$first" = "$second" ] && continue
		run "$first" "$second"
		is "$CODE ${ERR%%$'\n'*}" "2 kmi: error: $first and $second are two modes; give one" "$first $second: refused"
	done
done
run --status --status; is "$CODE" 2 "twice the same: refused"
told() {	# told WHAT-TO-TYPE FLAG...
	local hint=$1
	shift
	run "$@"
	is "$CODE ${ERR##*$'\n'}" "2 kmi: hint: $hint" "$*: what to type instead"
}
told "type kmi trace --all" --trace --all
told "type kmi trace --all" --all --trace
told "type kmi health" --health --all
told "type kmi health --current" --health --current
told "type kmi health --current" --current --health
told "type kmi rotate auto" --rotate --auto_rotate
told "type kmi rotate, then kmi keys" --rotate --all
told "type kmi status or kmi trace" --status --trace
told "type kmi health --current or kmi keys" --current --all
told "type kmi status" --status --status
told "type kmi trace --lines 5" --trace --lines 5
told "type kmi rotate auto now" --auto-rotate now
told "type kmi status --json" --status --plain --json
run --plain --status; is "$CODE" 0 "--plain before one"
run --status --plain --no-color; is "$CODE" 0 "and after it"
run --status now; is "$CODE ${ERR%%$'\n'*}" "2 kmi: error: --status takes no arguments, but was given 'now'" "no arguments"
run --status --plain keys; is "$CODE" 2 "not even a command"

# Mistakes: exit 2, the nearest is named.
nearest() {
	run "$1"
	is "$CODE $ERR" "2 kmi: error: unknown $2 $1"$'\n'"kmi: hint: did you mean $3?" "$1: $3"
	is "$OUT" "" "nothing on stdout"
}
nearest stats command status
nearest proxy-restar command proxy-restart
nearest --statu option --status
nearest --keys option keys
nearest --pain option --plain
run nothing-like-it; is "$CODE ${ERR##*$'\n'}" "2 kmi: hint: kmi --help tells how it is used" "nothing near: where help is"
run --token=sk-fake-secret; is "$CODE $(grep -c secret "$D/err")" "2 0" "what stands after = is not repeated"
run -x; is "$CODE" 2 "a short flag"
run --; is "$CODE" 2 "two dashes alone"

# Help.
run; is "$CODE" 0 "alone: help"
alone=$OUT
for flag in --help -h help; do
	run $flag; is "$CODE $OUT" "0 $alone" "kmi $flag: the same"
done
for p in "$BIN"/kmi-*; do
	c=${p##*/kmi-}
	case $c in *.o | *.d | handle | listen | text | tls-selfsigned | proxy-units | proxy-install | proxy-uninstall) continue ;; esac
	ok "help lists $c" grep -q "^  $c  " <<<"$alone"
done
run help keys; first=$OUT; run keys --help; is "$first" "$OUT" "kmi help keys is kmi keys --help"
run help stats; is "$CODE" 2 "help on a wrong command"
run --version; is "$CODE $OUT" "0 $(sed -n 's/^VERSION = /kmi /p' "$root/Makefile")" "--version"
"$BIN/kmi" help >/dev/full 2>"$D/err"; is "$? $(grep -c 'No space' "$D/err")" "1 1" "a full disk"
for k in $(seq 1000); do echo "KMI_API_KEY=sk-fake-$k" >"$D/auths/$k.env"; done
"$BIN/kmi" keys >/dev/full 2>"$D/err"; is "$? $(grep -c 'No space' "$D/err")" "1 1" "also for what does not fit into a buffer"
"$BIN/kmi" keys --json 2>"$D/err" | head -c 1 >/dev/null
is "${PIPESTATUS[0]} $(cat "$D/err")" "1 " "a reader that has seen enough is no news"
finish
