#!/bin/bash
# kmi-tls: which handshakes it makes, with which certificates, and what it says to those it makes none with.
. "$(dirname "$0")/lib.sh"
. "$root/tests/e2e/tls.sh"
keys a
tls_start

is "$(tls_code "$T/models")" 200 "a request by TLS is served"
is "$(curl -s -m 20 -o /dev/null -w '%{ssl_verify_result} %{http_code}' "$T/models")" "20 000" "the certificate is the one that was set: without its CA nobody trusts it"
ok "the private key's process has no core and no debugger" test "$(stat -c %U "/proc/$TLS/environ")" = root

# versions
for v in tls1 tls1_1; do
	shake -$v -cipher ALL:@SECLEVEL=0
	has "$SAID" "Cipher is (NONE)" "$v is refused"
done
shake -tls1_2
has "$SAID" "New, TLSv1.2, Cipher is ECDHE-ECDSA-AES128-GCM-SHA256" "TLS 1.2 is spoken"
has "$SAID" "Server Temp Key: X25519, 253 bits" "with X25519"
has "$SAID" "Secure Renegotiation IS supported" "and says that renegotiation would be a secure one"
has "$SAID" "Compression: NONE" "no compression"
shake -tls1_2 -comp
has "$SAID" "Compression: NONE" "not even to who asks for it"
shake -tls1_3
has "$SAID" "alert handshake failure" "TLS 1.3 alone is refused"

# suites: each that this openssl knows, one by one
accepted=
for c in $(openssl ciphers -tls1_2 -s ALL:COMPLEMENTOFALL:@SECLEVEL=0 | tr ':' ' '); do
	shake -tls1_2 -cipher "$c:@SECLEVEL=0"
	case $SAID in *"Cipher is $c"*) accepted="$accepted $c" ;; esac
done
is "$(echo $accepted | tr ' ' '\n' | sort | tr '\n' ' ')" \
	"ECDHE-ECDSA-AES128-GCM-SHA256 ECDHE-ECDSA-AES256-GCM-SHA384 ECDHE-ECDSA-CHACHA20-POLY1305 " \
	"of all suites only ECDHE with AES-GCM or ChaCha20-Poly1305"
shake -tls1_2 -cipher ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-ECDSA-AES128-GCM-SHA256
first=$(echo "$SAID" | sed -n 's/.*Cipher is //p')
shake -tls1_2 -cipher ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305
is "$(echo "$SAID" | sed -n 's/.*Cipher is //p')" "$first" "the server's order counts"
shake -tls1_2 -cipher ALL:@SECLEVEL=0 -sigalgs ECDSA+SHA1
has "$SAID" "Cipher is (NONE)" "no signature with SHA-1"

# protocols
shake -alpn h2,http/1.1
has "$SAID" "ALPN protocol: http/1.1" "HTTP/1.1 is agreed"
shake -alpn h2
has "$SAID" "alert no application protocol" "who speaks only HTTP/2 is told so"
shake
has "$SAID" "No ALPN negotiated" "who does not ask is served all the same"

# sessions, though each connection has a process of its own
shake -tls1_2 -sess_out "$D/session"
shake -tls1_2 -sess_in "$D/session"
has "$SAID" "Reused, TLSv1.2" "a session is resumed"
shake -tls1_2 -no_ticket -reconnect
is "$(echo "$SAID" | grep -c '^Reused')" 5 "again and again"
is "$(printf 'R\nGET / HTTP/1.0\r\n\r\n' | timeout 20 openssl s_client -connect 127.0.0.1:$TPORT -tls1_2 2>&1 | tr -d '\0' | grep -c 'HTTP/1.[01] 404')" 0 "who renegotiates gets no further"

# what is no TLS
tls_stop	# which had its fill of failing clients for this minute, and told of no more of them
tls_start
is "$(curl -s -m 20 -o "$D/body" -w '%{http_code}' "http://127.0.0.1:$TPORT/kmi-rotor/v1/models")" 400 "plain HTTP is answered"
has "$(jq -r .error.hint "$D/body")" "https://127.0.0.1:$TPORT/" "with where to go"
is "$(warnings)" 1 "and one line in the log"
: >"$D/tls.err"
head -c 3000 /dev/zero | timeout 10 python3 -c '
import socket, sys
s = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
s.sendall(sys.stdin.buffer.read())
try:
    while s.recv(4096): pass
except OSError: pass' "$TPORT"
until_true 10 test -s "$D/tls.err"
is "$(warnings)" 1 "garbage: one line in the log"
: >"$D/tls.err"
for i in 1 2 3; do exec 9<>"/dev/tcp/127.0.0.1/$TPORT"; exec 9>&-; done
is "$(tls_code "$T/models")" 200 "still there"
is "$(warnings)" 0 "who comes and goes is no news"
python3 - "$TPORT" <<'PY'
import os, random, socket, sys
random.seed(1)
hello = bytes.fromhex("16030100c8010000c40303") + bytes(32) + b"\x00" + b"\x00\x02\xc0\x2b" + b"\x01\x00"
for i in range(300):
    s = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
    s.settimeout(5)
    b = bytearray(hello + os.urandom(random.randrange(300)))
    for _ in range(random.randrange(6)):
        b[random.randrange(len(b))] = random.randrange(256)
    try:
        s.sendall(bytes(b))
        s.shutdown(socket.SHUT_WR)
        while s.recv(4096): pass
    except OSError: pass
    s.close()
PY
is "$(tls_code "$T/models")" 200 "300 damaged handshakes later it serves"
ok "with at most a line for each ($(warnings))" test "$(warnings)" -le 300
tls_stop
tls_start
: >"$D/tls.err"
exec 9<>"/dev/tcp/127.0.0.1/$TPORT"
printf '\x16\x03' >&9
t=$SECONDS
until_true 15 test -s "$D/tls.err"
has "$(cat "$D/tls.err")" "did not finish in time" "a client that says nothing more is let go ($((SECONDS - t)) s)"
exec 9>&-

# a new certificate, while it runs
new_pair() {	# new_pair NAME OPENSSL-KEY-ARGUMENTS...
	openssl genpkey "${@:2}" -out "$D/$1.key" 2>/dev/null
	openssl req -x509 -new -key "$D/$1.key" -out "$D/$1.pem" -days 30 -subj "/CN=$1" -addext subjectAltName=IP:127.0.0.1 2>/dev/null
	chmod 600 "$D/$1.key"
}
subject() { shake; echo "$SAID" | sed -n 's/^subject=//p'; }
new_pair one -algorithm EC -pkeyopt ec_paramgen_curve:P-256
new_pair two -algorithm EC -pkeyopt ec_paramgen_curve:P-256
tls_stop
is $? 0 "it stops well"
cp "$D/one.pem" "$D/live.pem"
cp "$D/one.key" "$D/live.key"
tls_start KMI_PROXY_TLS_CERT="$D/live.pem" KMI_PROXY_TLS_KEY="$D/live.key"
is "$(subject)" "CN = one" "the first certificate"
shake -tls1_2 -sess_out "$D/session"
cp "$D/two.pem" "$D/live.pem"
is "$(subject)" "CN = one" "only the certificate is new, not the key: the old pair serves on"
has "$(cat "$D/tls.err")" "not taken up yet" "and the log says why"
cp "$D/two.key" "$D/live.key"
is "$(subject)" "CN = two" "both are new: they serve, without a restart"
shake -tls1_2 -sess_in "$D/session"
has "$SAID" "New, TLSv1.2" "old sessions are no longer resumed"
rm "$D/live.pem"
is "$(subject)" "CN = two" "a file that goes missing does no harm"
tls_stop

# kinds of keys, and the ways to write them
try_pair() {	# try_pair NAME: starts with it and asks
	tls_start KMI_PROXY_TLS_CERT="$D/$1.pem" KMI_PROXY_TLS_KEY="$D/$1.key"
	is "$(curl -sS -m 20 --cacert "$D/$1.pem" -o /dev/null -w '%{http_code}' "$T/models")" 200 "$2"
	tls_stop
}
for curve in P-256 P-384 P-521; do
	new_pair ec -algorithm EC -pkeyopt ec_paramgen_curve:$curve
	try_pair ec "EC $curve, PKCS#8"
done
new_pair sec1 -algorithm EC -pkeyopt ec_paramgen_curve:P-256
openssl ec -in "$D/sec1.key" -out "$D/sec1.sec1" 2>/dev/null
{ openssl ecparam -name prime256v1; cat "$D/sec1.sec1"; } >"$D/sec1.key" 2>/dev/null
has "$(cat "$D/sec1.key")" "BEGIN EC PRIVATE KEY" "(a SEC1 file with its parameters)"
try_pair sec1 "EC, SEC1"
for bits in 2048 4096; do
	new_pair rsa -algorithm RSA -pkeyopt rsa_keygen_bits:$bits
	try_pair rsa "RSA $bits, PKCS#8"
done
openssl rsa -in "$D/rsa.key" -traditional -out "$D/rsa.pkcs1" 2>/dev/null
cat "$D/rsa.pkcs1" >"$D/rsa.key"
has "$(cat "$D/rsa.key")" "BEGIN RSA PRIVATE KEY" "(a PKCS#1 file)"
try_pair rsa "RSA, PKCS#1"
tls_start KMI_PROXY_TLS_CERT="$D/rsa.pem" KMI_PROXY_TLS_KEY="$D/rsa.key"
accepted=
for c in $(openssl ciphers -tls1_2 -s ALL:COMPLEMENTOFALL:@SECLEVEL=0 | tr ':' ' '); do
	shake -tls1_2 -cipher "$c:@SECLEVEL=0"
	case $SAID in *"Cipher is $c"*) accepted="$accepted $c" ;; esac
done
is "$(echo $accepted | tr ' ' '\n' | sort | tr '\n' ' ')" "ECDHE-RSA-AES128-GCM-SHA256 ECDHE-RSA-AES256-GCM-SHA384 ECDHE-RSA-CHACHA20-POLY1305 " \
	"with an RSA key: no key exchange by RSA, no CBC"
for g in "X25519 X25519" "P-256 ECDH, prime256v1" "P-384 ECDH, secp384r1" "P-521 ECDH, secp521r1"; do
	shake -tls1_2 -groups "${g%% *}"
	has "$SAID" "Server Temp Key: ${g#* }" "curve ${g%% *}"
done
shake -tls1_2 -groups secp256k1
has "$SAID" "Cipher is (NONE)" "another curve is refused"
tls_stop

# what cannot be used is said at once, with the remedy
refused() {	# refused NAME PART...: NAME=VALUE words in $with
	env $with "$BIN/kmi-tls" --check </dev/null >/dev/null 2>"$D/err"
	is $? 2 "$1: --check says 2"
	env $with KMI_PROXY_TLS_LISTEN=127.0.0.1:$(free_port) timeout 10 "$BIN/kmi-tls" </dev/null >/dev/null 2>"$D/err2"
	is $? 2 "$1: it does not start"
	has "$(cat "$D/err2")" "$2" "$1: it says so"
	has "$(cat "$D/err2")" "hint: " "$1: and what to do"
	is "$(cat "$D/err")" "$(cat "$D/err2")" "$1: --check says the same"
}
pair() { with="KMI_PROXY_TLS_CERT=$1 KMI_PROXY_TLS_KEY=$2"; }
pair "" ""; refused "nothing set" "KMI_PROXY_TLS_CERT is not set"
pair "$D/one.pem" ""; refused "no key set" "KMI_PROXY_TLS_KEY is not set"
pair "$D/none.pem" "$D/one.key"; refused "no such file" "none.pem: No such file"
pair "$D/one.pem" "$D/two.key"; refused "another's key" "does not belong to the first certificate"
pair "$D/one.pem" "$D/rsa.key"; refused "a key of another kind" "does not belong"
pair "$D/one.key" "$D/one.key"; refused "no certificate" "there is no certificate in it"
pair "$D/one.pem" "$D/one.pem"; chmod 600 "$D/one.pem"; refused "no key" "there is no private key in it"
cp "$D/one.key" "$D/open.key"
for mode in 644 604 620 666; do
	chmod $mode "$D/open.key"
	pair "$D/one.pem" "$D/open.key"; refused "mode $mode" "chmod 600 $D/open.key"
done
chmod 640 "$D/open.key"
pair "$D/one.pem" "$D/open.key"
ok "mode 640, as some systems have it for a group" env $with "$BIN/kmi-tls" --check
openssl pkey -in "$D/one.key" -aes256 -passout pass:x -out "$D/locked.key" 2>/dev/null
chmod 600 "$D/locked.key"
pair "$D/one.pem" "$D/locked.key"; refused "a password (PKCS#8)" "protected by a password"
openssl rsa -in "$D/rsa.key" -traditional -aes256 -passout pass:x -out "$D/locked2.key" 2>/dev/null
chmod 600 "$D/locked2.key"
pair "$D/rsa.pem" "$D/locked2.key"; refused "a password (older)" "protected by a password"
new_pair ed -algorithm ED25519
pair "$D/ed.pem" "$D/ed.key"; refused "Ed25519" "cannot be read"
new_pair small -algorithm RSA -pkeyopt rsa_keygen_bits:1024
pair "$D/small.pem" "$D/small.key"; refused "RSA 1024" "1024 bits"
head -c 300 "$D/one.pem" >"$D/half.pem"
pair "$D/half.pem" "$D/one.key"; refused "half a file" "the file ends in the middle"
head -c 3000 /dev/urandom >"$D/noise.pem"
pair "$D/noise.pem" "$D/one.key"; refused "noise" "there is no certificate in it"
mkfifo "$D/fifo"
pair "$D/fifo" "$D/one.key"; refused "a fifo" "fifo"
pair "$D" "$D/one.key"; refused "a folder" "$D"
grep -hEo '[A-Za-z0-9+/=]{40,}' "$D/one.key" | head -1 >"$D/secret"
ok "no message holds a piece of a key" test "$(cat "$D"/err* | grep -cF -f "$D/secret")" = 0

# time
out=$(KMI_PROXY_TLS_CERT=$D/certs/expired.pem KMI_PROXY_TLS_KEY=$D/certs/expired.key "$BIN/kmi-tls" --check 2>&1)
is $? 1 "one that has ended: --check says 1"
has "$out" "has ended on 2021-01-01T00:00:00Z" "and when it did"
tls_start KMI_PROXY_TLS_CERT="$D/certs/expired.pem" KMI_PROXY_TLS_KEY="$D/certs/expired.key"
has "$(cat "$D/tls.err")" "has ended on" "it is served, with a warning"
is "$(tls_code "$T/models")" 000 "and the client says why it does not want it"
has "$(cat "$D/curl.err")" "expired" "(expired)"
until_true 10 grep -q 'no TLS' "$D/tls.err"
has "$(cat "$D/tls.err")" "for the client the certificate has ended" "so does the log"
tls_stop

# a first certificate
unset KMI_PROXY_TLS_CERT KMI_PROXY_TLS_KEY
out=$("$BIN/kmi" tls selfsigned --name kimi.lan --name 192.0.2.77 2>&1)
is $? 0 "selfsigned makes one"
export KMI_PROXY_TLS_CERT=$D/state/tls/cert.pem KMI_PROXY_TLS_KEY=$D/state/tls/key.pem
is "$(stat -c %a "$KMI_PROXY_TLS_KEY")" 600 "its key is its owner's alone"
names=$(openssl x509 -in "$KMI_PROXY_TLS_CERT" -noout -ext subjectAltName)
for name in DNS:kimi.lan DNS:localhost "DNS:$(uname -n)" "IP Address:127.0.0.1" "IP Address:192.0.2.77"; do has "$names" "$name" "it is for $name"; done
has "$(openssl x509 -in "$KMI_PROXY_TLS_CERT" -noout -ext basicConstraints)" "CA:FALSE" "it is no CA"
ok "it can be used" "$BIN/kmi" tls --check
before=$(cat "$KMI_PROXY_TLS_CERT")
"$BIN/kmi" tls selfsigned 2>"$D/err"
is $? 1 "a second one does not replace it"
has "$(cat "$D/err")" "--force" "unless told so"
is "$(cat "$KMI_PROXY_TLS_CERT")" "$before" "nothing has changed"
tls_start
is "$(SSL_CERT_FILE=$KMI_PROXY_TLS_CERT curl -sS -m 20 -o /dev/null -w '%{http_code}' "https://localhost:$TPORT/kmi-rotor/v1/models")" 200 "curl that trusts it is served"
is "$(SSL_CERT_FILE=$KMI_PROXY_TLS_CERT python3 -c 'import sys, urllib.request; print(urllib.request.urlopen(sys.argv[1]).status)' "$T/models")" 200 "and Python"
"$BIN/kmi" tls selfsigned --force >/dev/null 2>&1
ok "--force replaces it" test "$(cat "$KMI_PROXY_TLS_CERT")" != "$before"
is "$(SSL_CERT_FILE=$KMI_PROXY_TLS_CERT curl -sS -m 20 -o /dev/null -w '%{http_code}' "$T/models")" 200 "which is in use at once"
tls_stop
"$BIN/kmi" tls selfsinged 2>"$D/err"
is $? 2 "a typo"
has "$(cat "$D/err")" "did you mean selfsigned?" "is understood"
finish
