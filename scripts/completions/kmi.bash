# bash completion for kmi. Commands and flags are those that `kmi help` and `kmi COMMAND --help` tell, so this file knows
# none of them by name; labels come from `kmi keys --json`, names of settings from `kmi config --json`.

# Keeps of the lines on stdin those that begin with what was typed. Never compgen -W: it would run what is in a label.
_kmi_offer() {
	local line
	while IFS= read -r line; do
		[[ -n $line && $line == "$cur"* ]] && COMPREPLY+=("$(printf %q "$line")")
	done
}
_kmi_commands() {
	KMI_LOCALE=en "$kmi" help 2>/dev/null | sed -n 's/^  \([a-z][a-z0-9-]*\)  .*/\1/p'
}
# What a command says of itself. Only of ours: a stranger's may do something else with --help, and kimi hands it on.
_kmi_usage() {
	[[ $1 != kimi ]] && _kmi_commands | grep -qx -- "$1" && KMI_LOCALE=en "$kmi" "$1" --help 2>/dev/null </dev/null
}
_kmi_flags() {
	grep -E '^(usage: |  )' | grep -Eo -- '(^|[^a-zA-Z0-9-])--[a-z][a-z0-9_-]*' | grep -o -- '--.*' | sort -u
}
_kmi_names() {		# the strings of a JSON member; what needs escapes is left out
	grep -Eo "\"$1\": \"[^\"\\\\]+\"" | sed 's/^"[a-z]*": "\(.*\)"$/\1/'
}
_kmi_labels() { "$kmi" keys --json 2>/dev/null | _kmi_names label; }

_kmi() {
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]} kmi=${COMP_WORDS[0]/#\~/$HOME}
	local command='' usage='' i

	COMPREPLY=()
	for ((i = 1; i < COMP_CWORD; i++)); do
		if [[ ${COMP_WORDS[i]} != -* ]]; then
			command=${COMP_WORDS[i]}
			break
		fi
	done
	if [[ -z $command ]]; then
		if [[ $cur == -* ]]; then
			_kmi_offer < <(KMI_LOCALE=en "$kmi" help 2>/dev/null | _kmi_flags)
		else
			_kmi_offer < <(_kmi_commands; echo help)
		fi
		return
	fi
	usage=$(_kmi_usage "$command")
	if [[ $cur == -* ]]; then
		_kmi_offer < <(_kmi_flags <<<"$usage")
		return
	fi
	# After a flag: what its value is called in the help.
	if [[ $prev == --?* ]]; then
		case $(grep -Eo -- "$prev[ =][A-Z]+" <<<"$usage" | head -n 1) in
		*LABEL) _kmi_offer < <(_kmi_labels); return ;;
		*FILE | *DIR | *PATH) compopt -o default 2>/dev/null; return ;;
		*[A-Z]) return ;;
		esac
	fi
	case $command in
	help) _kmi_offer < <(_kmi_commands) ;;
	config) _kmi_offer < <("$kmi" config --json 2>/dev/null | _kmi_names name) ;;
	unlock) _kmi_offer < <(_kmi_labels) ;;
	rotate) _kmi_offer < <(printf '%s\n' auto off) ;;
	proxy) _kmi_offer < <(printf '%s\n' install uninstall) ;;
	kimi) compopt -o default 2>/dev/null ;;
	esac
}
complete -F _kmi kmi
