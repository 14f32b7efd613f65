#!/bin/bash
# A handler that has narrowed itself finds names and trusts certificates in every way that a machine may have for that, also when
# the files are replaced under it. In a network and with an /etc of its own, so only for root.
[ -n "${KMI_APART:-}" ] || unshare -m -n true 2>/dev/null || { echo "1..0 # SKIP nobody but root gets a network and an /etc of his own"; exit 0; }
[ -n "${KMI_APART:-}" ] || exec env KMI_APART=1 unshare -m -n --propagation private bash "$0"
. "$(dirname "$0")/lib.sh"
export KMI_SANDBOX=1 ASAN_OPTIONS=$ASAN_OPTIONS:detect_leaks=0
ip link set lo up
cp -a /etc "$D/etc" && mount --bind "$D/etc" /etc && mount -t tmpfs none /run && mkdir -p /run/systemd/resolve
rm -f /etc/resolv.conf
echo 'hosts: files dns' >/etc/nsswitch.conf
keys a

# serve_names ADDRESS: a name server that knows upstream.test alone
serve_names() {
	python3 -c '
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind((sys.argv[1], 53))
print("ready", flush=True)
while True:
    q, who = s.recvfrom(512)
    end = q.index(b"\0", 12) + 5
    known = q[12:end - 4].lower() == b"\x08upstream\x04test\0" and q[end - 4:end - 2] == b"\0\1"
    answer = q[12:end - 4] + b"\0\1\0\1\0\0\0\1\0\4\x7f\0\0\1" if known else b""
    s.sendto(q[:2] + b"\x81\x80\0\1" + (b"\0\1" if known else b"\0\0") + b"\0\0\0\0" + q[12:end] + answer, who)' "$1" >"$D/names" &
	NAMES=$!
	started+=($NAMES)
	until_true 5 grep -q ready "$D/names"
}
certs
for c in up other; do
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 9 -subj "/CN=$c" -addext subjectAltName=DNS:upstream.test \
		-keyout "$D/certs/$c.key" -out "$D/certs/$c.pem" 2>/dev/null
done
fake_start up
export KMI_UPSTREAM_BASE_URL=https://upstream.test:$(cat "$D/port")/coding/v1 KMI_UPSTREAM_CA_FILE=$D/certs/up.pem
fake_script '[{"do": {"close_after": true}}]'	# each request asks for the name anew, or remembers it
asked() { chat; is "$CODE" 200 "$1"; }
replace() { printf '%s\n' "$2" >"$1.new" && mv "$1.new" "$1" && sleep 1.6; }

# ---- names: the handler is there before the file is replaced, and has not asked yet
echo 'nameserver 127.0.0.53' >/etc/resolv.conf
serve_names 127.0.0.53
pool_start
asked "resolv.conf names a server"
pool_stop
kill $NAMES
serve_names 127.0.0.54
pool_start
replace /etc/resolv.conf 'nameserver 127.0.0.54'
asked "another resolv.conf in its place names another"
pool_stop
echo 'nameserver 127.0.0.53' >/run/systemd/resolve/stub-resolv.conf
ln -sf /run/systemd/resolve/stub-resolv.conf /etc/resolv.conf
pool_start
replace /run/systemd/resolve/stub-resolv.conf 'nameserver 127.0.0.54'
asked "as systemd-resolved has it, which replaces it"
pool_stop
kill $NAMES
rm /etc/resolv.conf
pool_start
replace /etc/hosts '127.0.0.1 localhost upstream.test'
asked "no server, but another /etc/hosts"
pool_stop

# ---- trust
home=$(mktemp -d "${TMPDIR:-/tmp}/kmi-home.XXXXXX")	# not below the folder around that of the keys
trap 'rm -rf "$home"; cleanup' EXIT
cp "$D/certs/up.pem" "$home/ca.pem"
pool_start HOME="$home" KMI_UPSTREAM_CA_FILE="$home/ca.pem"
asked "KMI_UPSTREAM_CA_FILE in a home"
kill "$FAKE"; wait "$FAKE" 2>/dev/null
python3 "$root/tests/tools/fakekimi.py" --cert "$D/certs/other.pem" --key "$D/certs/other.key" --record "$D/rec" --script "$D/script.json" \
	--port "$(cat "$D/port")" --port-file "$D/port2" --watch-pid $$ 2>"$D/fake.err" &
FAKE=$!
started+=($FAKE)
until_true 10 test -s "$D/port2"
chat; is "$CODE" 502 "another certificate is not trusted"
replace "$home/ca.pem" "$(cat "$D/certs/other.pem")"
kmi="$BIN/kmi"; "$kmi" unlock --all >/dev/null
asked "until the file in its place says so"
pool_stop
mkdir "$D/trusted" && cp "$D/certs/other.pem" "$D/trusted/" && openssl rehash "$D/trusted"
for v in SSL_CERT_FILE="$D/certs/other.pem" CURL_CA_BUNDLE="$home/ca.pem" SSL_CERT_DIR="$D/trusted"; do
	pool_start "$v" KMI_UPSTREAM_CA_FILE=
	asked "${v%%=*}"
	pool_stop
done
mkdir -p /usr/local/share/ca-certificates
mount -t tmpfs none /usr/local/share/ca-certificates
cp "$D/certs/other.pem" /usr/local/share/ca-certificates/other.crt
ln -sf /usr/local/share/ca-certificates/other.crt "/etc/ssl/certs/$(openssl x509 -hash -noout -in "$D/certs/other.pem").0"
pool_start KMI_UPSTREAM_CA_FILE=
asked "the system's folder, where its own are links"
pool_stop
finish
