#!/bin/bash
# Who knocks and may not: clients of TLS at the plain port, guessers of the token, other users at a unix socket.
. "$(dirname "$0")/lib.sh"
keys a

# ---- TLS to the plain port: closed without a byte, one line in the log, and that says what to do
pool_start KMI_DRY_RUN=1
log_lines() { grep -c "$1" "$D/state/logs/kmi.log" 2>/dev/null; }
curl -sS -k -m 10 -o "$D/body" "https://127.0.0.1:$PORT/kmi-rotor/v1/models" 2>"$D/curl.err"
is $? 35 "curl https:// at the plain port: no TLS"
ok "and curl got nothing to mistake for it" test ! -s "$D/body"
said=$(timeout 10 openssl s_client -connect "127.0.0.1:$PORT" </dev/null 2>&1 | tr -d '\0')
has "$said" "SSL handshake has read 0 bytes" "openssl s_client reads 0 bytes"
is "$(log_lines tls_on_plain_port)" 1 "one line in the log for both"
line=$(grep tls_on_plain_port "$D/state/logs/kmi.log")
has "$line" "Use http:// in the client's base URL, or serve TLS with kmi-tls" "it says what to do"
has "$line" '"peer": "127.0.0.1:' "and who it was"
got=$(python3 - "$PORT" <<'P'
import socket, sys, time
for how in (b"\x16\x03\x01\x00\x05hello", b"\x16"):
    s = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
    s.settimeout(10)
    t = time.monotonic()
    s.sendall(how)
    try: print(s.recv(100), time.monotonic() - t < 1.5)
    except OSError as e: print(e)
P
)
is "$got" "b'' True
b'' True" "closed at once, in order, whatever follows the first byte"
ask /models
is "$CODE" 200 "plain HTTP is served beside it"
pool_stop

# ---- the token, tried out
cat >"$D/knock.py" <<'P'
# knock.py PORT TOKEN [FROM [COUNT]]: requests at once, each on its own connection: status, seconds, Retry-After of each
import http.client, sys, threading, time
port, token = int(sys.argv[1]), sys.argv[2]
source = (sys.argv[3], 0) if len(sys.argv) > 3 else None
def knock():
    t = time.monotonic()
    try:
        c = http.client.HTTPConnection("127.0.0.1", port, timeout=60, source_address=source)
        c.request("GET", "/kmi-rotor/v1/models", headers={"Authorization": "Bearer " + token} if token else {})
        r = c.getresponse()
        r.read()
        print("%d %d %s\n" % (r.status, time.monotonic() - t + 0.1, r.headers["Retry-After"] or ""), end="", flush=True)
    except OSError as e:
        print("%s\n" % e, end="", flush=True)
threads = [threading.Thread(target=knock) for _ in range(int(sys.argv[4]) if len(sys.argv) > 4 else 1)]
for t in threads: t.start()
for t in threads: t.join()
P
knock() { timeout 100 python3 "$D/knock.py" "$PORT" "$@" | sed 's/ *$//'; }
pool_start KMI_DRY_RUN=1 KMI_PROXY_TOKEN=fake-token-1
ping() { curl -s -m 10 -X OPTIONS --request-target '*' -o /dev/null -w '%{http_code}' "http://127.0.0.1:$PORT/" "$@"; }
before=$(trace_lines)
is "$(ping) $(ping -H 'Authorization: Bearer wrong-0')" "401 401" "OPTIONS * tells nobody more than that somebody is there"
trace_wait $((before + 1)); is "$(trace_lines)" $((before + 1)) "and is no way to try tokens out without a trace"
is "$(for i in 1 2 3 4 5 6 7; do knock wrong-$i; done | tr '\n' ' ')" "401 0 401 0 401 0 401 0 401 1 401 2 401 4 " \
	"with that one, five wrong tokens are answered at once, then after 1, 2, 4 s"
knock wrong-9 >"$D/slow" &
W=$!
sleep 0.5
is "$(knock fake-token-1)" "200 0" "the right one from the same address is served at once"
is "$(knock "")" "401 0" "who sends none is not trying any out"
is "$(knock wrong 127.0.0.2)" "401 0" "another address waits for nobody's failures"
wait $W
is "$(cat "$D/slow")" "401 8" "the next one waits 8 s"
is "$(grep -c 'wrong token after the other' "$D/state/logs/kmi.log")" 1 "the log tells it once a minute"
has "$(grep 'wrong token after the other' "$D/state/logs/kmi.log")" '"peer": "127.0.0.1:' "and who it is"
ok "the trace has the waiting" jq -es '[.[] | select(.status == 401 and .wait_ms >= 8000)] | length == 1' "$D/state/trace/trace.jsonl"
ok "neither token stands in a file" bash -c "! grep -rqa -e 'wrong-[0-9]' -e fake-token '$D/state'"

# processes that end, a file that is gone or full of noise
pool_stop
pool_start KMI_DRY_RUN=1 KMI_PROXY_TOKEN=fake-token-1 KMI_PROXY_MAX_CONNECTIONS=16
knock wrong >"$D/slow"
is "$(cat "$D/slow")" "401 8" "another pool knows it still"
knock wrong 127.0.0.1 12 | sort | uniq -c | tr -s ' ' >"$D/seen"
is "$(cat "$D/seen")" " 2 401 8
 10 429 0 8" "12 at once: an eighth of the 16 handlers waits, the others get a 429 with Retry-After"
knock wrong 127.0.0.1 2 >"$D/slow" &
W=$!
sleep 0.5
is "$(knock fake-token-1)" "200 0" "while the right one is served"

# every handler is in use: who only waits for his refusal gives his place
python3 -c '
import socket, sys, time
all = [socket.create_connection(("127.0.0.1", int(sys.argv[1]))) for _ in range(40)]
time.sleep(6)' "$PORT" &
F=$!
started+=($F)
t=$SECONDS
wait $W
ok "others want the place: it is given up before its time ($((SECONDS - t)) s)" test $((SECONDS - t)) -le 4
kill $F
wait $F 2>/dev/null

head -c 49216 /dev/urandom >"$D/state/penalty"
is "$(knock wrong)" "401 0" "a file full of noise: it begins anew"
rm "$D/state/penalty"
is "$(knock wrong)" "401 0" "one that is gone: too"
rm "$D/state/penalty"
mkdir "$D/state/penalty"
is "$(for i in 1 2 3 4 5 6 7; do knock wrong; done | sort | uniq -c | tr -s ' ')" " 7 401 0" "it cannot be kept: nobody waits"
is "$(grep -c 'wrong tokens cannot be counted' "$D/state/logs/kmi.log")" 1 "which is said once"
rmdir "$D/state/penalty"
pool_stop

# behind kmi-tls it is the client's own address
. "$root/tests/e2e/tls.sh"
tls_start KMI_DRY_RUN=1 KMI_PROXY_TOKEN=fake-token-1
guess() { tls -o /dev/null -w '%{http_code} %{time_total}\n' -H "Authorization: Bearer $2" --interface "$1" "$T/models" | sed 's/\..*//'; }
is "$(for i in 1 2 3 4 5 6; do guess 127.0.0.3 wrong; done | tr '\n' ' ')" "401 0 401 0 401 0 401 0 401 0 401 1 " "behind kmi-tls: the same"
is "$(guess 127.0.0.4 wrong) $(guess 127.0.0.3 fake-token-1)" "401 0 200 0" "and nobody else waits, though all come from kmi-tls"
tls_stop

# ---- other users at a unix socket
[ "$(id -u)" = 0 ] || { note "not root: other users are not tried"; finish; }
chmod 755 "$D"
cat >"$D/listen.py" <<'P'
# listen.py PATH PROGRAM: a listening unix socket that anybody may open, as descriptor 0; "@name" is an abstract one
import os, socket, sys
s = socket.socket(socket.AF_UNIX)
s.bind(sys.argv[1].replace("@", "\0"))
if sys.argv[1][0] == "/": os.chmod(sys.argv[1], 0o777)
s.listen(100)
os.dup2(s.fileno(), 0)
os.execv(sys.argv[2], sys.argv[2:])
P
cat >"$D/as.py" <<'P'
# as.py UID PATH [CA]: a request of that user: status and code
import encodings.idna, http.client, json, os, socket, ssl, sys
context = ssl.create_default_context(cafile=sys.argv[3]) if len(sys.argv) > 3 else None
os.setgid(int(sys.argv[1])); os.setuid(int(sys.argv[1]))
s = socket.socket(socket.AF_UNIX)
s.settimeout(20)
s.connect(sys.argv[2].replace("@", "\0"))
if context: s = context.wrap_socket(s, server_hostname="127.0.0.1")
c = http.client.HTTPConnection("127.0.0.1")
c.sock = s
c.request("GET", "/kmi-rotor/v1/models")
r = c.getresponse()
print(r.status, json.loads(r.read()).get("error", {}).get("code", ""))
P
serve() {	# serve PATH PROGRAM [NAME=VALUE...]
	local path=$1 program=$BIN/$2
	shift 2
	env KMI_DRY_RUN=1 "$@" python3 "$D/listen.py" "$path" "$program" 2>>"$D/server.err" &
	SERVER=$!
	started+=($SERVER)
	until_true 10 grep -qF "$path" /proc/net/unix
}
unserve() { kill "$SERVER"; wait "$SERVER" 2>/dev/null; rm -f "$D/sock"; }
as() { timeout 30 python3 "$D/as.py" "$@" 2>&1 | tail -1 | sed 's/ *$//'; }
serve "$D/sock" kmi-handle
is "$(as 65534 "$D/sock")" 200 "a unix socket serves whoever may open it"
unserve
serve "$D/sock" kmi-handle KMI_PROXY_UNIX_USERS=nobody,12345
is "$(as 65534 "$D/sock")" 200 "KMI_PROXY_UNIX_USERS: a user who is named"
is "$(as 12345 "$D/sock")" 200 "one who is named by number, and has no name"
is "$(as 1 "$D/sock")" "403 user_not_allowed" "another is refused"
is "$(as 0 "$D/sock")" "403 user_not_allowed" "root too, when he is not named"
has "$(grep 'at the other end of this unix socket' "$D/state/logs/kmi.log")" '"uid": "1"' "the log says who it was"
unserve
serve @kmi-test-$$ kmi-handle KMI_PROXY_UNIX_USERS=nobody
is "$(as 65534 @kmi-test-$$) $(as 1 @kmi-test-$$)" "200 403 user_not_allowed" "an abstract socket, which has no permissions: the same"
unserve
if unshare -U -r true 2>/dev/null; then
	KMI_DRY_RUN=1 KMI_PROXY_UNIX_USERS=nobody,root unshare -U -r python3 "$D/listen.py" "$D/sock" "$BIN/kmi-handle" 2>>"$D/server.err" &
	SERVER=$!
	started+=($SERVER)
	until_true 10 grep -qF "$D/sock" /proc/net/unix
	is "$(as 0 "$D/sock")" 200 "in a user namespace: a user it knows"
	is "$(as 1 "$D/sock")" "403 user_not_allowed" "whom it does not know is not taken for nobody"
	is "$(as 65534 "$D/sock")" "403 user_not_allowed" "nor is nobody himself"
	unserve
fi
for how in "a pool" "a handler each"; do
	[ "$how" = "a pool" ] && path=$D/sock || path=@kmi-tls-test-$$
	if [ "$how" = "a pool" ]; then
		serve "$path" kmi-tls KMI_PROXY_UNIX_USERS=nobody
	else
		cat >"$D/each.py" <<'P'
import os, socket, subprocess, sys
s = socket.socket(socket.AF_UNIX)
s.bind(sys.argv[1].replace("@", "\0"))
s.listen(100)
while True:
    c, _ = s.accept()
    subprocess.Popen(sys.argv[2:], stdin=c, stdout=c)
    c.close()
P
		KMI_DRY_RUN=1 KMI_PROXY_UNIX_USERS=nobody python3 "$D/each.py" "$path" "$BIN/kmi-tls" 2>>"$D/server.err" &
		SERVER=$!
		started+=($SERVER)
		until_true 10 grep -qF "$path" /proc/net/unix
	fi
	chmod 755 "$D/certs"; chmod 644 "$D/certs/ca.pem"
	is "$(as 65534 "$path" "$D/certs/ca.pem")" 200 "behind kmi-tls and $how: who is named"
	is "$(as 0 "$path" "$D/certs/ca.pem")" "403 user_not_allowed" "behind kmi-tls and $how: kmi-tls's own user is not taken for the client's"
	unserve
done
unset KMI_PROXY_TLS_CERT KMI_PROXY_TLS_KEY
KMI_DRY_RUN=1 KMI_PROXY_LISTEN=unix:$D/sock KMI_PROXY_UNIX_USERS=nobody "$BIN/kmi-proxy" >/dev/null 2>&1
started+=($(cat "$D/state/proxy.pid"))
is "$(as 65534 "$D/sock") $(as 1 "$D/sock")" "200 403 user_not_allowed" "kmi proxy makes a socket that those who are named can open"
KMI_PROXY_LISTEN=unix:$D/sock KMI_PROXY_UNIX_USERS=nobody "$BIN/kmi-proxy-stop" -y >/dev/null 2>&1
KMI_DRY_RUN=1 KMI_PROXY_LISTEN=unix:$D/sock "$BIN/kmi-proxy" >/dev/null 2>&1
started+=($(cat "$D/state/proxy.pid"))
is "$(as 65534 "$D/sock") $(as 0 "$D/sock")" "PermissionError: [Errno 13] Permission denied 200" "without the setting it is its owner's alone"
KMI_PROXY_LISTEN=unix:$D/sock "$BIN/kmi-proxy-stop" -y >/dev/null 2>&1
KMI_PROXY_UNIX_USERS=nobdy "$BIN/kmi-handle" </dev/null 2>"$D/err"
is $? 2 "a user that does not exist is an error"
has "$(cat "$D/err")" "KMI_PROXY_UNIX_USERS is \"nobdy\" (environment); allowed: a comma list of users" "that names the setting"
KMI_PROXY_LISTEN=0.0.0.0:54123 KMI_PROXY_ALLOW_REMOTE=1 KMI_PROXY_TOKEN=short "$BIN/kmi-doctor" --plain >"$D/out" 2>&1
has "$(cat "$D/out")" "so short that others may find it by trying" "kmi doctor names a token that is short"
KMI_PROXY_LISTEN=unix:$D/sock KMI_PROXY_UNIX_USERS=nobody "$BIN/kmi-doctor" --plain >"$D/out" 2>&1
has "$(cat "$D/out")" "refuses your own clients: KMI_PROXY_UNIX_USERS" "kmi doctor sees that it refuses its own user"
finish
