#!/bin/bash
# kmi-e2e: sends requests through the proxy and looks at which keys they got.
#
#	kmi-e2e [-n 50] [--batch 10] [--window 50] [--endpoint /models] [--min-confidence 95]
#	        [--timeout 10] [--pause 0.5] [--scheme http]
#
# A shell script on curl and the kmi tools. Every answer names its request, so only its own are looked for in the trace,
# whoever else uses the proxy. What it starts it stops again; the proxy's token goes from kmi-config to curl by a pipe.
set -u
here=$(cd "$(dirname "$(readlink -f "$0")")" && pwd)

usage='usage: kmi e2e [-n 50] [--batch 10] [--window 50] [--endpoint /models]
               [--min-confidence 95] [--timeout 10] [--pause 0.5]
               [--scheme http]

Sends requests through the proxy, starting it if need be, and checks from the
trace that the keys took turns.

  -n NUMBER               requests to send
  --batch NUMBER          of them at once
  --window NUMBER         how many of them, the last ones, are judged (all)
  --endpoint PATH         what to ask for, below the base path
  --min-confidence NUMBER how even the distribution must be, in %
  --timeout SECONDS       for each request
  --pause SECONDS         between batches
  --scheme http|https     how the proxy is called
  -h, --help              this text

Exit status: 0 when the distribution is even enough, 1 when it is not or a
request failed, 2 for a wrong call or setting.'

fail() {	# fail TEXT [HINT]
	printf 'kmi-e2e: error: %s\n' "$1" >&2
	[ $# -lt 2 ] || printf 'kmi-e2e: hint: %s\n' "$2" >&2
}
wrong() {
	fail "$1" "${2:-kmi-e2e --help tells more}"
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
whole() { [[ $2 =~ ^[1-9][0-9]{0,4}$ ]] || wrong "$1 takes a whole number from 1 to 99999, but was given '$2'"; }
number() { [[ $2 =~ ^[0-9]{1,5}(\.[0-9]{1,6})?$ ]] || wrong "$1 takes a number, but was given '$2'"; }
while [ $# -gt 0 ]; do
	case $1 in
	--*=*) set -- "${1%%=*}" "${1#*=}" "${@:2}" ;;
	esac
	case $1 in
	-h | --help) printf '%s\n' "$usage"; exit 0 ;;
	-n | --batch | --window | --endpoint | --min-confidence | --timeout | --pause | --scheme)
		[ $# -ge 2 ] || wrong "$1 needs a value"
		;;
	-*)
		near=$(nearest "$1")
		wrong "unknown option $1" "${near:+did you mean $near?}"
		;;
	*) wrong "unexpected argument: $1" ;;
	esac
	case $1 in
	-n) whole "$1" "$2"; n=$2 ;;
	--batch) whole "$1" "$2"; batch=$2 ;;
	--window) whole "$1" "$2"; window=$2 ;;
	--endpoint) [[ $2 == /* ]] || wrong "$1 takes a path that begins with /, but was given '$2'"; endpoint=$2 ;;
	--min-confidence) number "$1" "$2"; min=$2 ;;
	--timeout) number "$1" "$2"; timeout=$2 ;;
	--pause) number "$1" "$2"; pause=$2 ;;
	--scheme) [[ $2 == http || $2 == https ]] || wrong "$1 is http or https, but was given '$2'"; scheme=$2 ;;
	esac
	shift 2
done
command -v curl >/dev/null || { fail 'curl is not installed' 'apt-get install curl'; exit 1; }

# ---- the proxy

setting() { "$here/kmi-config" "KMI_$1" 2>/dev/null; }
# A word out of our own JSON, for which nobody needs jq: field NAME
field() { sed -n "s/.*\"$1\": \"\{0,1\}\([^\",}]*\).*/\1/p" | head -n 1; }

started='' work=''
tidy() {
	[ -z "$work" ] || rm -rf "$work"
	[ -z "$started" ] || "$here/kmi-proxy-stop" -y >/dev/null
}
trap tidy EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
status=$("$here/kmi-status" --json) || exit $?
work=$(mktemp -d) || exit 1
if [ "$(field running <<<"$status")" != true ] || [ "$(field superserver <<<"$status")" = stranger ]; then
	"$here/kmi-proxy" >"$work/proxy" || { fail 'the proxy does not start' 'kmi doctor looks for the cause'; exit 1; }
	started=1
fi

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
	"$here/kmi-config" --curl |
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
	[ ! -t 2 ] || printf '\r%d of %d requests' "$sent" "$n" >&2
done
[ ! -t 2 ] || printf '\r\033[K' >&2
for answer in "$work"/[0-9]*; do
	tr '\n' ' ' <"$answer"
	echo
done >"$work/answers"

good=$(grep -c '^[23]' "$work/answers")
printf '%d requests to %s, %d answered well\n' "$n" "$url" "$good"
grep -v '^[23]' "$work/answers" | awk '
	$1 == "000" || $1 == "curl:" { text[$1 = "no answer"] = $0; count[$1]++; next }
	{ count["status " $1]++ }
	END { for (kind in count) printf "  %5d  %s\n", count[kind], kind }'

# ---- what the trace says of them

# The lines of our requests; they are written when a request has ended, so perhaps a moment after the answer came.
lines() {
	cat "$folder.1" "$folder" 2>/dev/null | awk -v ids="$work/ids" '
		BEGIN { while ((getline id < ids) > 0) ours[id] = 1 }
		match($0, /"request_id": "[0-9a-f]+"/) && (substr($0, RSTART + 15, RLENGTH - 16) in ours)'
}
folder=$(setting STATE_DIR)/trace/trace.jsonl
awk '$2 ~ /^[0-9a-f]+$/ && length($2) == 32 { print $2 }' "$work/answers" >"$work/ids"
for ((i = 0; i < 20; i++)); do
	lines >"$work/lines"
	[ "$(wc -l <"$work/lines")" -lt "$(wc -l <"$work/ids")" ] || break
	sleep 0.1
done

# Each of the n keys that a request could have got is owed 1/n of it.
tail -n "${window:-$n}" "$work/lines" | awk '
	function label(text) { return substr(text, 2, length(text) - 2) }
	!match($0, /"key_label": "([^"\\]|\\.)*"/) { next }
	{ got[label(substr($0, RSTART + 13, RLENGTH - 13))]++; all++ }
	match($0, /"eligible": \[("([^"\\]|\\.)*"(, )?)*\]/) {
		list = substr($0, RSTART + 13, RLENGTH - 14)
		for (count = 0; match(list, /"([^"\\]|\\.)*"/); list = substr(list, RSTART + RLENGTH))
			named[++count] = label(substr(list, RSTART, RLENGTH))
		for (i = 1; i <= count; i++)
			owed[named[i]] += 1 / count
		next
	}
	match($0, /"eligible": \{"count": [0-9]+/) { crowd += 1 / substr($0, RSTART + 22, RLENGTH - 22) }
	END {
		for (key in owed) if (!(key in got)) got[key] = 0
		for (key in got) {
			off = all ? 100 * (got[key] - owed[key] - crowd) / all : 0
			worst = off > worst ? off : -off > worst ? -off : worst
			printf "%d %.1f %s\n", got[key], all ? 100 * got[key] / all : 0, key
		}
		printf "%.1f\n", all ? 100 - worst : 0 >"/dev/stderr"
	}' 2>"$work/confidence" | sort -k1,1nr -k3 >"$work/keys"
confidence=$(cat "$work/confidence")
head -n 20 "$work/keys" | while read -r count share key; do
	bar=$(printf '%*s' "$((${share%.*} / 4))" '')
	printf '  %5d  %5.1f %%  %-25s %s\n' "$count" "$share" "${bar// /#}" "$key"
done
more=$(($(wc -l <"$work/keys") - 20))
[ "$more" -le 0 ] || printf '  and %d keys more\n' "$more"

# ---- the answer

if [ "$good" -lt "$n" ]; then
	said=$(sed -n 's/.*\(curl: .*\)/: \1/p' "$work/answers" | head -n 1)
	fail "$((n - good)) of $n requests failed$said" 'kmi doctor looks for the cause'
	exit 1
fi
if [ ! -s "$work/lines" ]; then
	fail 'the trace knows nothing of these requests' 'kmi doctor tells whether it can be written'
	exit 1
fi
automatic=$("$here/kmi-status" --json | field auto_rotate) strategy=$(setting ROTATE_STRATEGY)
if [ "$automatic" = true ] && [ "$strategy" != round-robin ]; then
	printf 'turns are not judged: KMI_ROTATE_STRATEGY is %s\n' "$strategy"
elif awk -v c="$confidence" -v m="$min" 'BEGIN { exit !(c + 0 >= m + 0) }'; then
	printf 'the keys took turns: confidence %s %%\n' "$confidence"
else
	hint='kmi keys tells what bars a key'
	[ "$automatic" = true ] || hint='rotation is manual; kmi rotate auto makes every request choose'
	fail "the keys did not take turns: confidence $confidence %, less than $min %" "$hint"
	exit 1
fi
