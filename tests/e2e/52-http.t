#!/bin/bash
# What goes in: bad requests are refused and never forwarded; good ones arrive at the upstream as they were sent.
. "$(dirname "$0")/lib.sh"
keys a b
fake_start
pool_start KMI_PROXY_MAX_BODY_MB=1

while IFS= read -r line; do
	case $line in
	ok*) n=$((n + 1)); echo "ok $n ${line#ok }" ;;
	not*) n=$((n + 1)); failed=$((failed + 1)); echo "not ok $n ${line#not ok }" ;;
	*) echo "$line" ;;
	esac
done < <(python3 "$root/tests/tools/raw.py" "$PORT")
is "$(fake_live)" 0 "none of them was forwarded"

# what the upstream gets
sent() { cat "$D"/rec/$(printf %04d "$(jq -s 'max_by(.n).n' "$D/rec/live.jsonl")").head | tr -d '\r' | grep .; }
ask '/odd%2Fpath/./x?a=1&b=%20c&d=/../e' -H 'Authorization: Bearer mine' -H 'X-KMI-Proxy-Token: t' -H 'X-One: 1' -H 'X-One: 2' \
	-H 'X-Empty;' -H 'Connection: X-Hop' -H 'X-Hop: 1' -H 'User-Agent: KimiCLI/1.49' -H 'Accept:' -H 'Keep-Alive: 5' -H 'TE: trailers' --path-as-is
fake_wait 1
want="GET /coding/v1/odd%2Fpath/./x?a=1&b=%20c&d=/../e HTTP/1.1
Host: 127.0.0.1:$(cat "$D/port")
User-Agent: KimiCLI/1.49
X-One: 1
X-One: 2
X-Empty:
Authorization: Bearer sk-fake-a-000a"
is "$(sent | sed 's/ *$//' | sort)" "$(echo "$want" | sort)" "path, query and headers arrive as sent; the credential is replaced, nothing is added"
ask /messages -H 'x-api-key: mine' -H 'User-Agent:' -H 'Accept:' -H 'Content-Type:' -d '{}'
fake_wait 2
is "$(sent | sed 's/ *$//' | sort)" "$(printf 'POST /coding/v1/messages HTTP/1.1\nHost: 127.0.0.1:%s\nContent-Length: 2\nx-api-key: sk-fake-a-000a\n' "$(cat "$D/port")" | sort)" \
	"x-api-key stays the form; no header that the client did not send"
head -c 300000 /dev/urandom >"$D/up"
fake_script '[{"key": "*", "do": {"status": 200, "body": "ok"}}]'
ask /x -H 'Transfer-Encoding: chunked' --data-binary @"$D/up"
fake_wait 3
ok "a chunked body arrives whole" cmp -s "$D/rec/0003.body" "$D/up"
has "$(sent)" "Content-Length: 300000" "with its length"
ask /x -H 'Expect: 100-continue' --data-binary @"$D/up"
is "$CODE" 200 "Expect: 100-continue is honoured"
hasnt=$(sent | grep -ci '^expect' || true)
is "$hasnt" 0 "and does not travel on"
ask /x -X PROPFIND
is "$CODE" 200 "any method"
ask /x -X MADEUP
is "$CODE" 200 "even one nobody knows"
is "$(printf 'GET /kmi-rotor/v1/1 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\nGET /kmi-rotor/v1/2 HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n' |
	python3 -c '
import socket, sys
s = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
s.sendall(sys.stdin.buffer.read())
got = b""
while True:
    p = s.recv(65536)
    if not p: break
    got += p
print(got.count(b"HTTP/1.1 200"))' "$PORT")" 2 "two requests in one packet: two answers"
pool_stop

# the token
pool_start KMI_PROXY_TOKEN=fake-token-0123456789
ask /models
is "$CODE" 401 "a token is set: without it 401"
has "$(cat "$D/head")" "WWW-Authenticate" "that says how"
ok "it has its line" trace_wait 1
is "$(trace_last endpoint) $(trace_last error_code)" "/models invalid_proxy_token" "with the path below the base path, as every other"
ask /models -H 'Authorization: Bearer wrong'
is "$CODE" 401 "a wrong one: 401"
ask /models -H 'Authorization: Bearer fake-token-0123456789'
is "$CODE" 200 "as Bearer"
ask /models -H 'X-KMI-Proxy-Token: fake-token-0123456789'
is "$CODE" 200 "in its own header"
pool_stop
ok "the token stands in no file" bash -c "! grep -rq 'fake-token-0123456789' '$D/state' '$D/rec'"

# a page that may call
pool_start KMI_PROXY_ALLOW_ORIGINS=https://good.example
ask /models -H 'Origin: https://good.example'
is "$CODE" 200 "an origin that is named may call"
has "$(cat "$D/head")" "Access-Control-Allow-Origin: https://good.example" "and read the answer"
ask /chat/completions -X OPTIONS -H 'Origin: https://good.example' -H 'Access-Control-Request-Method: POST'
is "$CODE" 204 "its preflight is answered"
pool_stop

# not from loopback: in a network of our own
if unshare -n true 2>/dev/null; then
	remote() {	# remote [NAME=VALUE...]: the answer to a request that comes in on another address
		env "$@" KMI_DRY_RUN=1 unshare -n bash -c '
			ip link set lo up; ip addr add 192.0.2.1/32 dev lo
			python3 -c "
import os, socket
s = socket.socket(); s.bind((\"0.0.0.0\", 8080)); s.listen(16)
os.dup2(s.fileno(), 0); os.execv(\"'"$BIN"'/kmi-handle\", [\"kmi-handle\"])" & K=$!
			for i in $(seq 100); do curl -s -o /dev/null http://127.0.0.1:8080/ && break; sleep 0.05; done
			curl -s -w "\n%{http_code}" -H "Authorization: Bearer fake-token-1" http://192.0.2.1:8080/kmi-rotor/v1/models
			kill $K; wait $K' 2>/dev/null
	}
	got=$(remote)
	has "$got" "403" "another address: 403"
	has "$got" "KMI_PROXY_ALLOW_REMOTE" "that names the setting"
	has "$(remote KMI_PROXY_ALLOW_REMOTE=1)" "KMI_PROXY_TOKEN" "allowed, but no token"
	has "$(remote KMI_PROXY_ALLOW_REMOTE=1 KMI_PROXY_TOKEN=fake-token-1)" "TLS" "allowed, a token, but no TLS"
	is "$(remote KMI_PROXY_ALLOW_REMOTE=1 KMI_PROXY_TOKEN=fake-token-1 KMI_PROXY_TLS_TERMINATED=1 | tail -1)" 200 "TLS by somebody in front: served"
	is "$(remote KMI_PROXY_ALLOW_REMOTE=1 KMI_PROXY_TOKEN=fake-token-1 KMI_PROXY_REQUIRE_TLS=0 | tail -1)" 200 "or not required: served"
else
	note "no network namespaces here: requests from elsewhere are not tried"
fi
finish
