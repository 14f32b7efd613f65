#!/bin/bash
# Nothing that a command writes on a terminal is wider than its window: help, tables, findings and errors, in both languages.
. "$(dirname "$0")/lib.sh"
PATH=$BIN:$PATH
export TERM=xterm LANG=C.UTF-8 USER=anna
one() { printf 'KMI_API_KEY=sk-fake-%s-12345678\n%s\n' "$1" "$2" >"$D/auths/$1.env"; }
one anna ''
one boris 'KMI_KEY_ACCOUNT=семья'
one clara 'KMI_KEY_DISABLED=1'
one a-label-that-somebody-made-long-to-tell-many-keys-apart 'KMI_KEY_ACCOUNT=an-account-with-a-name-as-long'
printf 'KMI_API_KEY="sk-fake\n' >"$D/auths/x.env"
printf '{"providers": {\n' >"$D/auths/y.json"
printf 'a = 1\n' >"$D/auths/z.toml"
auto
free=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
export KMI_PROXY_LISTEN=127.0.0.1:$free
pool_start
for i in {1..7}; do chat; done
trace_wait 7
pool_stop
TR=$D/state/trace/trace.jsonl
id=$(head -n 1 "$TR" | jq -r .request_id)
until=$(date -u -d '+500 days 12 hours' +%FT%TZ)
jq -c --arg until "$until" '.keys.anna.exhausted_until = $until | .keys.boris.blocked_until = $until | .keys.boris.blocked_reason = "payment_required"' \
	"$D/state/state.json" >"$D/state.new" && mv "$D/state.new" "$D/state/state.json"

narrow() {	# narrow NAME COMMAND...: at both widths, in both languages
	local name=$1 width language
	shift
	for width in 80 60; do
		for language in en ru; do
			KMI_LOCALE=$language timeout 60 "$root/tests/tools/window.py" $width "$@" >"$D/page" 2>"$D/wide"
			is "$? $(head -n 5 "$D/wide")" "0 " "$name, $language: within $width columns"
			[ -s "$D/page" ] || is "" "something" "$name, $language: says something"
		done
	done
}

narrow "kmi" kmi --help
for c in $(kmi help | sed -n 's/^  \([a-z][a-z0-9-]*\)  .*/\1/p'); do
	[ "$c" = kimi ] && [ ! -x "$BIN/kmi-kimi" ] && continue
	narrow "kmi $c --help" kmi "$c" --help
done
for c in 'handle' 'listen' 'tls' 'tls-selfsigned' 'proxy-install' 'proxy-units'; do
	[ -x "$BIN/kmi-$c" ] && narrow "kmi-$c --help" "$BIN/kmi-$c" --help
done
for c in 'status' 'keys' 'config' 'config --explain' 'health --cached' 'health --current' 'doctor' 'rotate' 'rotate --to anna' 'rotate auto' 'rotate off' \
	'unlock nobody' 'unlock anna' 'proxy-stop -y' \
	'trace --summary' 'trace --verify' "trace --why $id" 'trace --no-follow' 'proxy install --user'; do
	narrow "kmi $c" kmi $c
done
tail -n +4 "$TR" >"$D/less"; cp "$TR" "$D/whole"; sed -i 's/"key_label": "[a-z]*"/"key_label": "z"/' "$TR"
narrow "kmi trace --verify of something wrong" kmi trace --verify
head -n 4 "$D/whole" >"$TR"
narrow "kmi trace --verify of something that is missing" kmi trace --verify

# what starts, runs and stops
narrow "kmi proxy" kmi proxy
narrow "kmi e2e" kmi e2e -n 8 --batch 4 --pause 0
narrow "kmi proxy, twice" kmi proxy
narrow "kmi status of a running proxy" kmi status
narrow "kmi doctor of a running proxy" kmi doctor
narrow "kmi proxy-restart" kmi proxy-restart
kmi proxy-stop -y >/dev/null
narrow "kmi e2e, which starts it" kmi e2e -n 4 --batch 4 --pause 0
narrow "kmi health, nobody answers" env KMI_DRY_RUN=0 KMI_UPSTREAM_BASE_URL=https://127.0.0.1:1/v1 "$BIN/kmi" health --refresh
narrow "kmi health of that" kmi health --cached
narrow "a certificate" "$BIN/kmi-tls-selfsigned" --force "$D/tls.crt" "$D/tls.key"
narrow "no Kimi CLI" kmi kimi

# errors
narrow "an unknown command" kmi stats
narrow "two modes" kmi --status --all
narrow "an unknown option" kmi keys --jsn
narrow "no request" kmi trace --why ffffffffffff
narrow "no time" kmi trace --no-follow --since yesterday
narrow "options that do not go together" kmi trace --summary --lines 5
narrow "a bad value" env KMI_PROXY_RETRY_MAX=many "$BIN/kmi" keys
narrow "a bad value, to the doctor" env KMI_PROXY_RETRY_MAX=many "$BIN/kmi" doctor
narrow "an unknown name" env KMI_DRYRUN=1 "$BIN/kmi" keys
narrow "no keys" env KMI_AUTHS_DIR=nowhere "$BIN/kmi" keys
narrow "no keys, to rotate" env KMI_AUTHS_DIR=nowhere "$BIN/kmi" rotate
narrow "a full disk" sh -c 'exec kmi status >/dev/full'
finish
