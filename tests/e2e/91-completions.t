#!/bin/bash
# Completions: bash, zsh and fish driven for real, each where it is installed; every flag of every --help is known.
. "$(dirname "$0")/lib.sh"
keys anna boris
dir=$root/scripts/completions
mkdir "$D/bin"
ln -s "$BIN/kmi" "$D/bin/kmi"
PATH=$D/bin:$PATH
# What a shell would make of this label, if it were let.
printf 'KMI_API_KEY=sk-fake-c\nKMI_KEY_LABEL="$(touch %s/ran) x"\n' "$D" >"$D/auths/c.env"

commands() { kmi help | sed -n 's/^  \([a-z][a-z0-9-]*\)  .*/\1/p'; }
flags_of() { KMI_LOCALE=en kmi "$1" --help </dev/null 2>/dev/null | grep -Eo -- '(^|[^a-zA-Z0-9-])--[a-z][a-z0-9_-]*' | grep -o -- '--.*' | sort -u; }

# offered SHELL WORDS...: what the shell offers, one a line
offered_bash() {
	bash -c '. "$0/kmi.bash"
	COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
	$(complete -p kmi | sed "s/.*-F \([^ ]*\) .*/\1/")
	[ ${#COMPREPLY[@]} = 0 ] || printf "%s\n" "${COMPREPLY[@]}"' "$dir" "$@"
}
offered_fish() {
	fish --no-config -c 'source $argv[1]/kmi.fish; complete -C "$argv[2]"' "$dir" "$*" | cut -f 1
}
# A terminal of its own: press Tab, list, read the screen. Marks show where the list begins and ends.
offered_zsh() {
	timeout 30 zsh -f -c '
	zmodload zsh/zpty
	zpty z "TERM=dumb zsh -f -i"
	zpty -w z "PS1=; PS2=; RPS1=; fpath=($1 \$fpath); autoload -U compinit; compinit -u -D; stty cols 300 rows 200; LISTMAX=0"
	zpty -w z "_show() { compadd() { local a; builtin compadd -O a \"\$@\"; print -rl -- \$a >>$2; builtin compadd \"\$@\" }; _main_complete }"
	zpty -w z "zle -C show list-choices _show; bindkey \"^I\" show; echo REA\"\"DY"
	while zpty -r z line && [[ $line != *READY* ]]; do :; done
	zpty -n -w z "$3"$'"'\\t'"'
	while zpty -r -m z line "*" && [[ ! -s $2 ]] && ((SECONDS < 20)); do :; done
	sleep 0.2
	zpty -d z' zsh "$dir" "$D/zsh.out" "$*"
	sort -u "$D/zsh.out"
	rm -f "$D/zsh.out"
}

for shell in bash fish; do
	command -v $shell >/dev/null || { note "$shell is not installed"; continue; }
	o=offered_$shell
	is "$($o kmi '' | grep -vx help | sort | tr '\n' ' ')" "$(commands | sort | tr '\n' ' ')" "$shell: every command"
	is "$($o kmi proxy-s)" proxy-stop "$shell: a command begun"
	is "$($o kmi --plain stat)" status "$shell: a command after a flag"
	is "$($o kmi --auto)" --auto-rotate "$shell: a flag of kmi itself"
	is "$($o kmi config KMI_PROXY_MAX_B)" KMI_PROXY_MAX_BODY_MB "$shell: a setting"
	is "$($o kmi unlock ann)" anna "$shell: a label"
	has "$($o kmi unlock '')" boris "$shell: all labels"
	is "$($o kmi rotate '' | sort | tr '\n' ' ')" "auto off " "$shell: what rotate may be followed by"
	is "$($o kmi nosuch --)" "" "$shell: a stranger's command is not asked"
	for c in $(commands); do
		[ "$c" = kimi ] && continue
		is "$($o kmi "$c" -- | sort | tr '\n' ' ')" "$(flags_of "$c" | tr '\n' ' ')" "$shell: the flags of kmi $c"
	done
done
is "$(ls "$D/ran" 2>&1 | grep -c 'No such')" 1 "a label is never run"
if command -v fish >/dev/null; then
	is "$(KMI_LOCALE=ru fish --no-config -c 'source $argv[1]/kmi.fish; complete -C "kmi stat"' "$dir" | cut -f 2)" \
		"$(KMI_LOCALE=ru kmi help | sed -n 's/^  status  *//p')" "fish: what a command is for, in the configured language"
fi
if command -v zsh >/dev/null; then
	ok "zsh: the syntax" zsh -n "$dir/_kmi"
	has "$(offered_zsh kmi proxy-s)" proxy-stop "zsh: a command begun"
	is "$(offered_zsh kmi unlock ann)" anna "zsh: a label"
	is "$(offered_zsh kmi keys -- | tr '\n' ' ')" "$(flags_of keys | tr '\n' ' ')" "zsh: the flags of a command"
else
	note "zsh is not installed"
fi
finish
