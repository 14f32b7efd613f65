#!/bin/bash
# Behind kmi-tls every socket looks local. Who may talk is judged by where the client is, in both ways of starting, and nobody
# can pretend. In a network of its own, whose 192.0.2.1 is no loopback address.
if [ -z "${IN_NETWORK:-}" ]; then
	unshare -n true 2>/dev/null || { echo "1..0 # SKIP no network namespaces here"; exit 0; }
	IN_NETWORK=1 exec unshare -n bash "$0"
fi
. "$(dirname "$0")/lib.sh"
. "$root/tests/e2e/tls.sh"
ip link set lo up
ip addr add 192.0.2.1/32 dev lo
ip addr add 2001:db8::1/128 dev lo nodad 2>/dev/null
keys a

cat >"$D/listen.py" <<'PY'
import os, socket, sys
s = socket.create_server((sys.argv[1], int(sys.argv[2])), family=socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET)
s.listen(100)
os.dup2(s.fileno(), 0)
os.execv(sys.argv[3], sys.argv[3:])
PY
serve() {	# serve pool|each ADDRESS PORT PROGRAM [NAME=VALUE...]: in $SERVER
	local how=$1 address=$2 port=$3 program=$BIN/$4
	shift 4
	case $how in
	pool) env "$@" python3 "$D/listen.py" "$address" "$port" "$program" 2>>"$D/server.err" & ;;
	each) env "$@" tcpserver -HRDl0 "$address" "$port" "$program" 2>>"$D/server.err" & ;;
	esac
	SERVER=$!
	started+=($SERVER)
	until_true 10 eval "exec 8<>/dev/tcp/$address/$port" && exec 8>&-
}
unserve() { kill "$SERVER" 2>/dev/null; wait "$SERVER" 2>/dev/null; }
get() {		# get URL [CURL ARGUMENTS...]: a request with the token; its body
	curl -sk -m 20 -w '%{http_code}' -H 'Authorization: Bearer fake-token-1' -o "$D/body" "$@" >"$D/code"
	CODE=$(cat "$D/code")
	BODY=$(cat "$D/body" 2>/dev/null)
}

# the eight cases: what is set, and the whole answer
AFAR='{"error": {"message": "this connection does not come in on loopback, and the proxy is not set up for that: '
REMOTE='KMI_PROXY_ALLOW_REMOTE is off' TOKEN='KMI_PROXY_TOKEN is empty' TLS='the connection is not encrypted'
REST='", "type": "permission_error", "code": "remote_not_allowed", "hint": "'
DO_TOKEN='set KMI_PROXY_TOKEN to a long random word'
DO_TLS='serve TLS with KMI_PROXY_TLS_CERT and KMI_PROXY_TLS_KEY (or KMI_PROXY_TLS_TERMINATED=1 behind a TLS front, or KMI_PROXY_REQUIRE_TLS=0 on a network you trust)'
LOOP='. Or listen on 127.0.0.1 only: KMI_PROXY_LISTEN=127.0.0.1:54123."}}'
want=(
	[0]="403 $AFAR$REMOTE, $TOKEN, $TLS${REST}Set KMI_PROXY_ALLOW_REMOTE=1, $DO_TOKEN, $DO_TLS$LOOP"
	[1]="403 $AFAR$REMOTE, $TOKEN${REST}Set KMI_PROXY_ALLOW_REMOTE=1, $DO_TOKEN$LOOP"
	[2]="403 $AFAR$REMOTE, $TLS${REST}Set KMI_PROXY_ALLOW_REMOTE=1, $DO_TLS$LOOP"
	[3]="403 $AFAR$REMOTE${REST}Set KMI_PROXY_ALLOW_REMOTE=1$LOOP"
	[4]="403 $AFAR$TOKEN, $TLS${REST}Please $DO_TOKEN, $DO_TLS$LOOP"
	[5]="403 $AFAR$TOKEN${REST}Please $DO_TOKEN$LOOP"
	[6]="403 $AFAR$TLS${REST}Please $DO_TLS$LOOP"
	[7]="200"
)
port=20000
for how in pool each; do
	for i in 0 1 2 3 4 5 6 7; do
		port=$((port + 1))
		scheme=http program=kmi-handle name=
		[ $((i & 1)) = 0 ] || { scheme=https program=kmi-tls; name="TLS "; }
		set -- KMI_DRY_RUN=1
		[ $((i & 4)) = 0 ] || { set -- "$@" KMI_PROXY_ALLOW_REMOTE=1; name="ALLOW_REMOTE $name"; }
		[ $((i & 2)) = 0 ] || { set -- "$@" KMI_PROXY_TOKEN=fake-token-1; name="$name token"; }
		serve $how 192.0.2.1 $port $program "$@"
		get $scheme://192.0.2.1:$port/kmi-rotor/v1/models
		[ "$CODE" = 200 ] && BODY=
		is "$CODE${BODY:+ $BODY}" "${want[i]}" "$how, set: ${name:-nothing}"
		[ $i != 7 ] || { curl -sk -m 20 -o /dev/null -w '%{http_code}' $scheme://192.0.2.1:$port/kmi-rotor/v1/models >"$D/code"; is "$(cat "$D/code")" 401 "$how: and without the token 401"; }
		unserve
	done
	if [ $how = pool ]; then	# tcpserver knows no IPv6
		port=$((port + 1))
		serve $how 2001:db8::1 $port kmi-tls KMI_DRY_RUN=1
		get "https://[2001:db8::1]:$port/kmi-rotor/v1/models"
		is "$CODE" 403 "$how: IPv6 that is not loopback"
		unserve
	fi
	port=$((port + 1))
	serve $how 127.0.0.1 $port kmi-tls KMI_DRY_RUN=1
	get "https://127.0.0.1:$port/kmi-rotor/v1/models"
	is "$CODE" 200 "$how: TLS on loopback needs none of it"
	get "https://127.0.0.1:$port/kmi-rotor/v1/models" -H 'Host: evil.example'
	is "$CODE" 403 "$how: but keeps web pages out, as without TLS"
	unserve
done
warned=$(grep -o '"peer": "192.0.2.1:[0-9]*"' "$D/state/logs/kmi.log" | head -1)
has "$warned" "192.0.2.1:" "the log names the client's own address"

# a header that says "I am local" is believed from nobody on the network
header='\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\x7f\0\0\1\x7f\0\0\1\0\1\0\2'
request='GET /kmi-rotor/v1/models HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n'
port=$((port + 1))
serve pool 192.0.2.1 $port kmi-handle KMI_DRY_RUN=1
got=$(printf "$header$request" | timeout 10 python3 -c '
import socket, sys
s = socket.create_connection(("192.0.2.1", int(sys.argv[1])))
s.sendall(sys.stdin.buffer.read())
print(s.recv(1000).decode().partition("\r\n")[0])' $port)
is "$got" "HTTP/1.1 400 Bad Request" "a PROXY header on the plain port is no HTTP"
unserve
port=$((port + 1))
serve pool 192.0.2.1 $port kmi-tls KMI_DRY_RUN=1
got=$(printf "$header$request" | timeout 10 openssl s_client -quiet -connect 192.0.2.1:$port 2>/dev/null | head -1 | tr -d '\r')
is "$got" "HTTP/1.1 400 Bad Request" "nor inside TLS"
unserve
port=$((port + 1))
serve each 192.0.2.1 $port kmi-handle KMI_DRY_RUN=1 PROTO=TCP TCPLOCALIP=127.0.0.1 TCPLOCALPORT=1 SSL_PROTOCOL=TLSv1.2
get http://192.0.2.1:$port/kmi-rotor/v1/models
is "$CODE" 403 "variables left over in the environment do not outweigh the socket"
unserve

# addresses that look like others
raw() {		# raw HOST PORT BYTES: the status line
	printf "$3" | timeout 10 python3 -c '
import socket, sys
s = socket.create_connection((sys.argv[1], int(sys.argv[2])))
s.sendall(sys.stdin.buffer.read())
print(s.recv(1000).decode().partition("\r\n")[0])' "$1" "$2"
}
ip addr add fe80::1/64 dev lo nodad 2>/dev/null
cat >"$D/dual.py" <<'PY'
import os, socket, sys
s = socket.create_server(("::", int(sys.argv[1])), family=socket.AF_INET6, dualstack_ipv6=True)
os.dup2(s.fileno(), 0)
os.execv(sys.argv[2], sys.argv[2:])
PY
port=$((port + 1))
KMI_DRY_RUN=1 python3 "$D/dual.py" $port "$BIN/kmi-handle" 2>>"$D/server.err" &
SERVER=$!
started+=($SERVER)
until_true 10 eval "exec 8<>/dev/tcp/127.0.0.1/$port" && exec 8>&-
see() {		# see WANT NAME CURL-ARGUMENTS...
	local want=$1 name=$2
	shift 2
	get "$@"
	is "$CODE" "$want" "a socket for both families: $name"
}
see 200 "127.0.0.1, mapped into IPv6" "http://127.0.0.1:$port/kmi-rotor/v1/models"
see 200 "127.0.0.2" "http://127.0.0.2:$port/kmi-rotor/v1/models"
see 200 "::1" "http://[::1]:$port/kmi-rotor/v1/models"
see 403 "192.0.2.1, mapped into IPv6" "http://192.0.2.1:$port/kmi-rotor/v1/models"
see 403 "an address of the link" "http://[fe80::1%25lo]:$port/kmi-rotor/v1/models"
see 403 "a name of loopback in the Host header makes nobody local" "http://192.0.2.1:$port/kmi-rotor/v1/models" -H 'Host: localhost'
see 403 "loopback here, but not at the other end" --interface 192.0.2.1 "http://127.0.0.1:$port/kmi-rotor/v1/models"
get "http://127.0.0.1:$port/kmi-rotor/v1/models" -H 'X-Forwarded-For: 192.0.2.9' -H 'Forwarded: for=192.0.2.9;host=evil.example'
is "$CODE" 200 "headers about other hops are nobody's word"
get "http://192.0.2.1:$port/kmi-rotor/v1/models" -H 'X-Forwarded-For: 127.0.0.1' -H 'X-Real-IP: 127.0.0.1' -H 'Forwarded: for=127.0.0.1'
is "$CODE" 403 "in either direction"

# names, twice over
line='/kmi-rotor/v1/models HTTP/1.1\r\nConnection: close\r\nHost:'
is "$(raw 127.0.0.1 $port "GET http://evil.example$line localhost\r\n\r\n")" "HTTP/1.1 403 Forbidden" "a strange name in the target"
is "$(raw 127.0.0.1 $port "GET http://localhost$line evil.example\r\n\r\n")" "HTTP/1.1 403 Forbidden" "a strange name in Host beside one of ours in the target"
is "$(raw 127.0.0.1 $port "GET http://localhost@evil.example$line localhost\r\n\r\n")" "HTTP/1.1 400 Bad Request" "one of ours as a user of another"
is "$(raw 127.0.0.1 $port "GET $line localhost:80@evil.example\r\n\r\n")" "HTTP/1.1 400 Bad Request" "the same in Host"
is "$(raw 127.0.0.1 $port "GET $line localhost\r\nHost: evil.example\r\n\r\n")" "HTTP/1.1 400 Bad Request" "two Hosts"
is "$(raw 127.0.0.1 $port "GET https://localhost$line localhost\r\n\r\n")" "HTTP/1.1 400 Bad Request" "another scheme in the target"
is "$(raw 127.0.0.1 $port "GET http://localhost:$port$line 127.0.0.1\r\n\r\n")" "HTTP/1.1 200 OK" "our own names in both"
unserve

# the token, anywhere but where it belongs
port=$((port + 1))
serve pool 127.0.0.1 $port kmi-handle KMI_DRY_RUN=1 KMI_PROXY_TOKEN=fake-token-2
refuses() { is "$(curl -s -m 20 -o /dev/null -w '%{http_code}' "${@:2}")" 401 "the token $1 is none"; }
here=http://127.0.0.1:$port/kmi-rotor/v1/models
refuses "in the query" "$here?token=fake-token-2&access_token=fake-token-2&key=fake-token-2"
refuses "as a password" -u "any:fake-token-2" "$here"
refuses "in a cookie" -b "token=fake-token-2" "$here"
refuses "in two headers" -H 'Authorization: Bearer other' -H 'Authorization: Bearer fake-token-2' "$here"
refuses "twice" -H 'X-KMI-Proxy-Token: fake-token-2' -H 'X-KMI-Proxy-Token: fake-token-2' "$here"
refuses "in a list" -H 'Authorization: Bearer other, Bearer fake-token-2' "$here"
unserve

# the socket that a pool has for kmi-tls
cat >"$D/named.py" <<'PY'
# named.py PATH|ADDRESS PROGRAM: a listening socket as descriptor 3, named kmi-tls
import os, socket, sys
s = socket.socket(socket.AF_UNIX) if sys.argv[1].startswith("/") else socket.socket()
s.bind(sys.argv[1] if sys.argv[1].startswith("/") else (sys.argv[1], 29999))
s.listen(100)
if sys.argv[1].startswith("/"): os.chmod(sys.argv[1], 0o777)
os.dup2(s.fileno(), 3)
os.set_inheritable(3, True)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1", LISTEN_FDNAMES="kmi-tls")
os.execv(sys.argv[2], sys.argv[2:])
PY
chmod 755 "$D"
python3 "$D/named.py" 192.0.2.1 "$BIN/kmi-handle" 2>"$D/err"
is $? 2 "a socket of the network cannot have that name"
has "$(cat "$D/err")" "no unix socket but 192.0.2.1:29999" "and the pool says so"
python3 "$D/named.py" "$D/sock" "$BIN/kmi-handle" &
POOL=$!
started+=($POOL)
until_true 10 test -S "$D/sock"
say() {		# say BYTES [UID]: what the pool answers on that socket
	printf "$1" >"$D/bytes"
	chmod 644 "$D/bytes"
	timeout 10 python3 -c '
import os, socket, sys
os.setuid(int(sys.argv[3]))
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
s.sendall(open(sys.argv[2], "rb").read())
try: print(s.recv(1000).decode().partition("\r\n")[0])
except ConnectionResetError: print()' "$D/sock" "$D/bytes" "${2:-0}" 2>&1
}
is "$(say "$header$request")" "HTTP/1.1 200 OK" "kmi-tls says who the client is, and he is served"
is "$(say "$request")" "" "who does not say it is not answered"
is "$(say "PROXY TCP4 127.0.0.1 127.0.0.1 1 2\r\n$request")" "" "nor who says it in another form"
is "$(say "$header$request" 65534)" "" "nor another user, whatever he says"
far='\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\2\x09\xc0\0\2\1\0\1\0\2'
is "$(say "$far$request")" "HTTP/1.1 403 Forbidden" "a client from elsewhere is judged as one"
none='\r\n\r\n\0\r\nQUIT\n\x21\0\0\0'
is "$(say "$none$request")" "HTTP/1.1 403 Forbidden" "an address that is not known counts as elsewhere"
has "$(cat "$D/state/logs/kmi.log")" "on the socket for kmi-tls was dropped" "what was dropped is in the log"
# kmi-tls in front of it, with nothing of its own
serve pool 192.0.2.1 28000 kmi-tls KMI_PROXY_TLS_POOL="$D/sock" KMI_AUTHS_DIR=/nowhere KMI_STATE_DIR=/nowhere HOME=/nowhere
get https://192.0.2.1:28000/kmi-rotor/v1/models
is "$CODE" 403 "KMI_PROXY_TLS_POOL: the pool judges, kmi-tls needs neither keys nor state"
is "$(pgrep -P "$SERVER" | wc -l)" 0 "and starts nothing itself"
kill "$POOL"
wait "$POOL" 2>/dev/null
get https://192.0.2.1:28000/kmi-rotor/v1/models
is "$CODE $(echo "$BODY" | jq -r .error.code)" "503 proxy_not_running" "the pool is gone: an answer that says so"
unserve
rm -f "$D/sock"
mkdir -m 777 "$D/open"
python3 -c '
import os, socket, sys, time
os.setuid(65534)
s = socket.socket(socket.AF_UNIX)
s.bind(sys.argv[1])
os.chmod(sys.argv[1], 0o777)
s.listen(10)
time.sleep(60)' "$D/open/sock" &
S=$!
started+=($S)
until_true 10 test -S "$D/open/sock"
serve pool 192.0.2.1 28001 kmi-tls KMI_PROXY_TLS_POOL="$D/open/sock"
get https://192.0.2.1:28001/kmi-rotor/v1/models
is "$CODE" 503 "a pool of another user gets no plaintext"
has "$(cat "$D/server.err")" "belongs to another user" "and the log says why"
unserve
kill $S

# behind another program that speaks UCSPI (its plaintext comes by pipes, as from s6-tlsserver)
ucspi() { printf "$request" | env KMI_DRY_RUN=1 "$@" "$BIN/kmi-handle" 2>/dev/null | head -1 | tr -d '\r'; }
is "$(ucspi)" "HTTP/1.1 200 OK" "by hand, through a pipe"
is "$(ucspi PROTO=TCP TCPLOCALIP=192.0.2.1 TCPLOCALPORT=443 SSL_PROTOCOL=TLSv1.3)" "HTTP/1.1 403 Forbidden" "PROTO=TCP: the addresses count"
is "$(ucspi PROTO=TCP)" "HTTP/1.1 403 Forbidden" "without an address it is somewhere else"
is "$(ucspi PROTO=TCP TCPLOCALIP=127.0.0.1 TCPLOCALPORT=443)" "HTTP/1.1 200 OK" "a loopback address"

# what a handler behind kmi-tls gets, and what not
kill_wait() { kill "$1" 2>/dev/null; wait "$1" 2>/dev/null; }
cat >"$D/look.py" <<'PY'
# look.py PID...: which of these processes have the private key in memory; which descriptors the others have
import re, subprocess, sys
text = subprocess.run(["openssl", "ec", "-in", sys.argv[1], "-noout", "-text"], capture_output=True, text=True).stdout
key = bytes.fromhex(re.search(r"priv:\s*((?:[0-9a-f]{2}:?\s*)+)", text).group(1).replace(":", "").replace("\n", "").replace(" ", ""))[-32:]
for pid in sys.argv[2:]:
    found = 0
    with open(f"/proc/{pid}/mem", "rb", 0) as mem:
        for line in open(f"/proc/{pid}/maps"):
            a, b = (int(x, 16) for x in line.split()[0].split("-"))
            if "r" not in line.split()[1] or "[v" in line: continue
            try:
                mem.seek(a); found += mem.read(b - a).count(key)
            except OSError: pass
    print("key" if found else "none", end=" ")
PY
tls_start KMI_DRY_RUN=1
tls -o /dev/null "$T/models"
exec 7<>"/dev/tcp/127.0.0.1/$TPORT"
POOL=$(pgrep -P "$TLS" -x kmi-handle)
H=$(pgrep -P "$POOL" | head -1)
case $BIN in *asan*) ;; *) is "$(python3 "$D/look.py" "$D/certs/server.key" "$TLS" "$POOL" "$H")" "key none none " "the private key is in kmi-tls's memory, and in no handler's" ;; esac
exec 7>&-
tls_stop
serve each 127.0.0.1 28002 kmi-tls KMI_DRY_RUN=1
python3 - "$D/certs/ca.pem" <<'PY' &
import socket, ssl, sys, time
s = ssl.create_default_context(cafile=sys.argv[1]).wrap_socket(socket.create_connection(("127.0.0.1", 28002)), server_hostname="127.0.0.1")
time.sleep(20)
PY
C=$!
started+=($C)
until_true 10 eval '[ -n "$(pgrep -P "$(pgrep -P "$SERVER" -x kmi-tls)" -x kmi-handle)" ]'
K=$(pgrep -P "$SERVER" -x kmi-tls)
H=$(pgrep -P "$K" -x kmi-handle)
sleep 0.3
case $BIN in *asan*) ;; *) is "$(python3 "$D/look.py" "$D/certs/server.key" "$K" "$H")" "key none " "the same where each connection has its own" ;; esac
is "$(tr '\0' '\n' <"/proc/$H/environ" | grep -c -e 'BEGIN' -e 'PRIVATE')" 0 "nor in its environment"
has "$(tr '\0' '\n' <"/proc/$H/environ" | grep -E '^(PROTO|TCPLOCAL|SSL_)' | sort | tr '\n' ' ')" \
	"PROTO=TCP SSL_CIPHER=ECDHE-ECDSA-AES" "which tells where the client is"
is "$(readlink /proc/"$H"/fd/* | grep -c -e '\.pem' -e '\.key')" 0 "no descriptor of a certificate's file"
is "$(readlink "/proc/$H/fd/0" | cut -d: -f1)" socket "only the socket with plaintext"
kill_wait $C
ok "and it ends with its client" until_true 10 test ! -d "/proc/$H"
unserve
finish
