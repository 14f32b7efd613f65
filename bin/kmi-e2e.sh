#!/bin/bash
# kmi-e2e: sends requests through the proxy and looks at which keys they got.
#
#	kmi-e2e [-n 50] [--batch 10] [--window 50] [--endpoint /models] [--min-confidence 95]
#	        [--timeout 10] [--pause 0.5] [--scheme http]
#
# A shell script on curl and the kmi tools. What it starts it stops again; the proxy's token goes from kmi-config to curl
# by a pipe.
set -u
here=$(cd "$(dirname "$(readlink -f "$0")")" && pwd)

usage='usage: kmi e2e [-n 50] [--batch 10] [--window 50] [--endpoint /models]
               [--min-confidence 95] [--timeout 10] [--pause 0.5]
               [--scheme http]

Sends requests through the proxy, starting it if need be, and checks from the
trace that the keys took turns.

  -n NUMBER               requests to send
  --batch NUMBER          of them at once
  --window NUMBER         requests at the end of the trace to judge (those sent)
  --endpoint PATH         what to ask for, below the base path
  --min-confidence NUMBER how even the distribution must be, in percent
  --timeout SECONDS       for each request
  --pause SECONDS         between batches
  --scheme http|https     how the proxy is called
  -h, --help              this text

Exit status: 0 when the distribution is even enough, 1 when it is not or a
request failed, 2 for a wrong call or setting.'

# Our programs get the token, if the environment had it; nobody else does.
export -n KMI_PROXY_TOKEN
ours() (
	[ -z "${KMI_PROXY_TOKEN:-}" ] || export KMI_PROXY_TOKEN
	program=$here/kmi-$1
	shift
	exec "$program" "$@"
)
# A text in the configured language, with a %s for each argument.
say() { "$here/kmi-text" "$@"; }
fail() {	# fail TEXT [HINT]
	say '%s: error: %s
' kmi-e2e "$1" >&2
	[ $# -lt 2 ] || say '%s: hint: %s
' kmi-e2e "$2" >&2
}
wrong() {
	fail "$1" "${2:-$(say 'kmi e2e --help tells more')}"
	exit 2
}

# ---- what is asked for

n=50 batch=10 window='' endpoint=/models min=95 timeout=10 pause=0.5 scheme=http
known='-n --batch --window --endpoint --min-confidence --timeout --pause --scheme --help'

# The option that begins as the given word does, longest beginning first.
nearest() {
	local part
	for ((part = ${#1}; part > 2; part--)); do
		for option in $known; do
			[[ $option != "${1:0:part}"* ]] || { echo "$option"; return; }
		done
	done
}
whole() { [[ $2 =~ ^[1-9][0-9]{0,4}$ ]] || wrong "$(say '%s takes a whole number from 1 to 99999, but was given "%s"' "$1" "$2")"; }
number() { [[ $2 =~ ^[0-9]{1,5}(\.[0-9]{1,6})?$ ]] || wrong "$(say '%s takes a number, but was given "%s"' "$1" "$2")"; }
while [ $# -gt 0 ]; do
	case $1 in
	--*=*) set -- "${1%%=*}" "${1#*=}" "${@:2}" ;;
	esac
	case $1 in
	-h | --help) say "$usage"; echo; exit 0 ;;
	-n | --batch | --window | --endpoint | --min-confidence | --timeout | --pause | --scheme)
		[ $# -ge 2 ] || wrong "$(say '%s needs a value' "$1")"
		;;
	-*)
		near=$(nearest "$1")
		wrong "$(say 'unknown option %s' "$1")" "${near:+$(say 'did you mean %s?' "$near")}"
		;;
	*) wrong "$(say 'unexpected argument: %s' "$1")" ;;
	esac
	case $1 in
	-n) whole "$1" "$2"; n=$2 ;;
	--batch) whole "$1" "$2"; batch=$2 ;;
	--window) whole "$1" "$2"; window=$2 ;;
	--endpoint) [[ $2 == /* ]] || wrong "$(say '%s takes a path that begins with /, but was given "%s"' "$1" "$2")"; endpoint=$2 ;;
	--min-confidence) number "$1" "$2"; min=$2 ;;
	--timeout) number "$1" "$2"; timeout=$2 ;;
	--pause) number "$1" "$2"; pause=$2 ;;
	--scheme) [[ $2 == http || $2 == https ]] || wrong "$(say '%s takes http or https, but was given "%s"' "$1" "$2")"; scheme=$2 ;;
	esac
	shift 2
done
command -v curl >/dev/null || { fail "$(say 'curl is not installed')" 'apt-get install curl'; exit 1; }

# ---- the proxy

setting() { ours config "KMI_$1" 2>/dev/null; }
# A word out of our own JSON, for which nobody needs jq: field NAME
field() { sed -n "s/.*\"$1\": \"\{0,1\}\([^\",}]*\).*/\1/p" | head -n 1; }

started='' work=''
tidy() {
	[ -z "$work" ] || rm -rf "$work"
	[ -z "$started" ] || ours proxy-stop -y >/dev/null
}
trap tidy EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
status=$(ours status --json) || exit $?
work=$(mktemp -d) || exit 1
if [ "$(field running <<<"$status")" != true ] || [ "$(field superserver <<<"$status")" = stranger ]; then
	ours proxy >"$work/proxy" || { fail "$(say 'the proxy does not start')" "$(say 'kmi doctor looks for the cause')"; exit 1; }
	started=1
fi

# A key of which nothing is known yet stands back while others are healthy, and would take no turn.
[ "$(setting USAGE_CACHE_SECONDS)" = 0 ] || ours health --quiet >/dev/null 2>&1

listen=$(setting PROXY_LISTEN)
trust=()
if [ "$scheme" = https ]; then
	tls=$(setting PROXY_TLS_LISTEN) cert=$(setting PROXY_TLS_CERT)
	listen=${tls:-$listen}
	[ ! -r "$cert" ] || trust=(--cacert "$cert")
fi
case $listen in
unix:*) host=localhost ;;
0.0.0.0:*) host=127.0.0.1:${listen##*:} ;;
'[::]:'*) host="[::1]:${listen##*:}" ;;
*) host=$listen ;;
esac
base=$(setting PROXY_BASE_PATH)
url=$scheme://$host${base%/}$endpoint

# ---- the requests

# One of them: its status, its number in the trace, and curl's complaint in a file.
ask() {
	ours config --curl |
		curl -sS -q -K - --noproxy '*' "${trust[@]}" --max-time "$timeout" -o /dev/null \
			-w '%{http_code} %header{x-kmi-request-id} ' "$url" >"$1" 2>&1
}
sent=0
while [ "$sent" -lt "$n" ]; do
	[ "$sent" -eq 0 ] || sleep "$pause"
	for ((i = 0; i < batch && sent < n; i++)); do
		sent=$((sent + 1))
		ask "$work/$(printf %05d "$sent")" &
	done
	wait
	[ ! -t 2 ] || printf '\r%s' "$(say '%s of %s requests' "$sent" "$n")" >&2
done
[ ! -t 2 ] || printf '\r\033[K' >&2
for answer in "$work"/[0-9]*; do
	tr '\n' ' ' <"$answer"
	echo
done >"$work/answers"

good=$(grep -c '^[23]' "$work/answers")
say '%s requests to %s, %s answered well' "$n" "$url" "$good"
echo
if [ "$good" -lt "$n" ]; then
	grep -v '^[23]' "$work/answers" | cut -d ' ' -f 1 | sort | uniq -c | while read -r count code; do
		case $code in
		000 | curl:) code=$(say 'no answer') ;;
		*) code=$(say 'status %s' "$code") ;;
		esac
		printf '  %5d  %s\n' "$count" "$code"
	done
fi

# ---- what the trace says of them

# A line is written when its request has ended, perhaps a moment after the answer came.
awk '$2 ~ /^[0-9a-f]+$/ && length($2) == 32 { print $2 }' "$work/answers" >"$work/ids"
trace=$(setting STATE_DIR)/trace/trace.jsonl
for ((i = 0; i < 20; i++)); do
	[ "$(cat "$trace.1" "$trace" 2>/dev/null | grep -c -F -f "$work/ids")" -lt "$(wc -l <"$work/ids")" ] || break
	sleep 0.1
done
if [ "$good" -gt 0 ]; then
	echo
	ours trace --summary --window "${window:-$n}"
	echo
fi

# ---- the answer

if [ "$good" -lt "$n" ]; then
	complaint=$(sed -n 's/.*\(curl: .*\)/: \1/p' "$work/answers" | head -n 1)
	fail "$(say '%s of %s requests failed%s' "$((n - good))" "$n" "$complaint")" "$(say 'kmi doctor looks for the cause')"
	exit 1
fi
status=$(ours status --json)
automatic=$(field auto_rotate <<<"$status") allowed=$(field auto_rotate_allowed <<<"$status") strategy=$(setting ROTATE_STRATEGY)
if [ "$automatic" = true ] && [ "$allowed" != true ] && [ "$(setting AUTO_ROTATE_ALLOWED)" = 1 ]; then
	fail "$(say 'the keys did not take turns: the proxy was started without KMI_AUTO_ROTATE_ALLOWED=1')" \
		"$(say 'kmi proxy-restart starts it with the settings of here')"
	exit 1
fi
if [ "$automatic" != true ] || [ "$allowed" != true ]; then
	fail "$(say 'the keys did not take turns: rotation is manual')" "$(say 'kmi rotate auto makes every request choose')"
	exit 1
fi
if [ "$strategy" != round-robin ]; then
	say 'turns are not judged: KMI_ROTATE_STRATEGY is %s' "$strategy"
	echo
	exit 0
fi
if ! ours trace --verify >"$work/proof" 2>&1; then
	cat "$work/proof" >&2
	fail "$(say 'the trace shows a wrong choice')" "$(say 'kmi trace --verify tells which one')"
	exit 1
fi
confidence=$(ours trace --summary --json --window "${window:-$n}" | field confidence)
if [ "$confidence" = null ]; then
	fail "$(say 'the keys did not take turns: no request was given out by rotation')" \
		"$(say 'were settings changed since the proxy was started? kmi proxy-restart takes them')"
	exit 1
fi
if ! awk -v c="$confidence" -v m="$min" 'BEGIN { exit !(c + 0 >= m + 0) }'; then
	fail "$(say 'the keys did not take turns: confidence %s %%, and %s %% are asked for' "$confidence" "$min")" \
		"$(say 'kmi keys tells what bars a key')"
	exit 1
fi
say 'the keys took turns: confidence %s %%' "$confidence"
echo
