#!/bin/bash
# shellcheck disable=SC2046,SC2086	# $url is made here and has no spaces
# Self test of fakekimi.py: a test tool that lies makes every test that stands on it worthless. TAP.
set -u
here=$(cd "$(dirname "$0")" && pwd)
dir=$(mktemp -d)
trap 'kill $fake 2>/dev/null; wait; rm -rf "$dir"' EXIT
cd "$dir" || exit 1

"$here/make-certs.sh" tls || exit 1
python3 "$here/fakekimi.py" --cert tls/server.pem --key tls/server.key --script script.json --record rec \
    --port-file port 2>err &
fake=$!
for _ in $(seq 100); do [ -s port ] && break; sleep 0.05; done
url=https://127.0.0.1:$(cat port)/coding/v1

n=0
ok() {		# ok NAME COMMAND...: one TAP line
	local name=$1; shift
	n=$((n + 1))
	if "$@"; then echo "ok $n - $name"; else echo "not ok $n - $name"; fi
}
eq() { [ "$1" = "$2" ] || { printf '# got %s\n# want %s\n' "$1" "$2"; return 1; }; }
has() { case $1 in *"$2"*) ;; *) printf '# got %s\n# want in it %s\n' "$1" "$2"; return 1;; esac; }
script() { printf '%s\n' "$1" >script.tmp && mv script.tmp script.json; }
get() { curl -s --max-time 10 --cacert tls/ca.pem -H 'Authorization: Bearer sk-fake-aaaa1111' "$@"; }
code() { get -o body -w '%{http_code}' "$@"; }
ended() {	# ended N: wait for the line of the N-th request to end, print it
	for _ in $(seq 100); do
		[ "$(wc -l <rec/log.jsonl)" -ge "$1" ] && break
		sleep 0.02
	done
	sed -n "$1p" rec/log.jsonl
}
field() { python3 -c 'import json,sys; print(json.load(sys.stdin)[sys.argv[1]])' "$1"; }

# Defaults
ok 'models, key named in a header' has "$(get -i $url/models)" 'x-fake-key: 1111'
ok 'chat completion, and the body is kept' has "$(get $url/chat/completions -d '{"model":"m"}')" '"chat.completion"'
ok 'body recorded' eq "$(ended 2 >/dev/null; cat rec/0002.body)" '{"model":"m"}'
ok 'head recorded byte for byte' eq "$(head -1 rec/0002.head)" $'POST /coding/v1/chat/completions HTTP/1.1\r'
ok 'stream ends in usage and [DONE]' has "$(get $url/chat/completions -d '{"stream":true}')" $'"cached_tokens":7}}\n\ndata: [DONE]'
curl -sS --cacert tls/ca.pem -H 'x-api-key: sk-fake-bbbb2222' $url/messages -d '{}' >/dev/null
ok 'x-api-key is noted' eq "$(ended 4 | field auth_form)" x-api-key
ok 'unknown endpoint: 404' eq "$(code $url/nope)" 404
ok 'chunked request, Expect: decoded' eq \
    "$(head -c 300000 /dev/zero | get -H 'Transfer-Encoding: chunked' -H 'Expect: 100-continue' -T - -X POST -o /dev/null \
    $url/x; ended 6 | field body_len)" 300000

# Rules
script '[{"key":"sk-fake-aaaa1111","path":"/models","nth":2,"do":{"preset":"rate","headers":[["Retry-After","7"]]}},
 {"path":"/models","times":1,"do":{"preset":"payment-zh"}}]'
ok 'times: once' eq "$(code $url/models)" 403
ok 'nth and a preset with a header' has "$(get -i $url/models)" $'Retry-After: 7\r'
ok 'then the default' eq "$(code $url/models)" 200

# Framing, cuts
script '[{"path":"/cut","do":{"body":{"repeat":"abc","bytes":1000},"cut":{"after_bytes":500,"how":"fin"}}},
 {"path":"/rst","do":{"chunks":[{"data":"one"},{"data":"two","delay_ms":50}],"cut":{"how":"rst"}}},
 {"path":"/early","do":{"status":413,"early_answer":true}},
 {"path":"/raw","do":{"raw":"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n","status":200,"body":"hello"}},
 {"path":"/trail","do":{"body":"t","framing":"chunked","trailers":[["X-T","1"]],"headers":[["Set-Cookie","a"],["Set-Cookie","b"]]}},
 {"path":"/slow","do":{"stall":true}},
 {"path":"/gen","do":{"sse":{"count":50,"interval_ms":20}}},
 {"path":"/none","do":{"close_before_answer":"rst"}}]'
ok 'cut by FIN: 500 bytes, curl sees it' eq "$(get -o body $url/cut >/dev/null; echo $?:$(wc -c <body))" 18:500
ok 'cut by RST: what came before arrives' eq "$(get -o body $url/rst >/dev/null; echo $?:$(cat body))" 56:onetwo
ok 'no answer at all' eq "$(get $url/none >/dev/null; echo $?)" 56
ok '103 before the answer' has "$(get -i $url/raw)" 'Early Hints'
ok 'repeated headers, trailers' eq "$(get -i --raw $url/trail | grep -c -e '^Set-Cookie' -e '^X-T')" 3
ok 'early answer while the body is on its way' eq \
    "$(head -c 3000000 /dev/zero | code -H 'Expect:' --data-binary @- $url/early)" 413
before=$(wc -l <rec/live.jsonl)
ended "$before" >/dev/null
get -o /dev/null -o /dev/null $url/models $url/models
ok 'keep-alive: two requests on one connection' eq "$(ended $((before + 1)) | field conn)" \
    "$(ended $((before + 2)) | field conn)"
lines=$((before + 2))
get --max-time 0.3 $url/slow >/dev/null
ok 'a client that leaves a stall is noticed' eq "$(ended $((lines + 1)) | python3 -c 'import json,sys
r = json.load(sys.stdin); print(r["aborted"], r["status"], 0.2 < r["t_abort"] - r["t_start"] < 0.6)')" 'True None True'
get --max-time 0.3 $url/gen >/dev/null
ok '... and one that leaves a stream' eq "$(ended $((lines + 2)) | python3 -c 'import json,sys
r = json.load(sys.stdin); print(r["aborted"], r["status"], r["bytes_sent"] > 500)')" 'True 200 True'

# Many at once
script '[]'
before=$(wc -l <rec/log.jsonl)
ok '400 requests, 40 at once' eq "$(seq 400 | sed "s|.*|url = $url/models\noutput = /dev/null|" |
    get -Z --parallel-max 40 -w '%{http_code}\n' -K - 2>/dev/null | sort | uniq -c | tr -s ' ')" ' 400 200'
ended $((before + 400)) >/dev/null
ok '... each recorded once' eq "$(python3 -c 'import json
print(len({json.loads(l)["n"] for l in open("rec/log.jsonl")}))')" $((before + 400))
script '[{"do":{"presett":"x"}}]'
ok 'a broken script: the old rules stay, and it is said' eq "$(code $url/models; grep -c presett err)" 2001
ok 'SIGTERM ends it' eq "$(kill $fake; for _ in $(seq 50); do kill -0 $fake 2>/dev/null || break; sleep 0.05; done
    kill -0 $fake 2>/dev/null; echo $?)" 1
echo "1..$n"
