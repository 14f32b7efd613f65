#!/bin/sh
# make-certs.sh DIR: a throw-away PKI for tests, made on the spot so that no key is ever kept in git.
#
#   ca.pem, ca-dir/             the CA to trust, as a file and as a hashed folder
#   server.pem, server.key      127.0.0.1, ::1 and localhost, signed by it
#   untrusted.pem, .key         the same names, signed by untrusted-ca.pem, which nobody trusts
#   expired.pem, .key           signed by ca.pem, ended in 2021
#   wronghost.pem, .key         signed by ca.pem, valid only for example.invalid
set -eu

[ $# -eq 1 ] || { echo "usage: make-certs.sh DIR" >&2; exit 2; }
umask 077
mkdir -p "$1"
cd "$1"

LOOPBACK=IP:127.0.0.1,IP:::1,DNS:localhost

newkey() { openssl ecparam -name prime256v1 -genkey -noout -out "$1" 2>/dev/null; }

# ca NAME CN
ca() {
	newkey "$1.key"
	openssl req -new -x509 -key "$1.key" -subj "/CN=$2" -days 30 -out "$1.pem" \
	    -addext 'basicConstraints=critical,CA:TRUE' -addext 'keyUsage=critical,keyCertSign,cRLSign'
}

# cert NAME CA NAMES FROM TO: `openssl ca`, because `openssl x509` cannot make a certificate of the past.
cert() {
	newkey "$1.key"
	openssl req -new -key "$1.key" -subj "/CN=$1" -out "$1.csr"
	rm -rf db && mkdir db && : >db/index
	cat >db/conf <<-CONF
	[ca]
	default_ca = d
	[d]
	database = db/index
	new_certs_dir = db
	rand_serial = yes
	default_md = sha256
	policy = p
	x509_extensions = x
	[p]
	commonName = supplied
	[x]
	basicConstraints = critical,CA:FALSE
	keyUsage = critical,digitalSignature
	extendedKeyUsage = serverAuth
	subjectAltName = $3
	CONF
	openssl ca -batch -notext -config db/conf -cert "$2.pem" -keyfile "$2.key" -in "$1.csr" -out "$1.pem" \
	    -startdate "$4" -enddate "$5" 2>db/err || { cat db/err >&2; exit 1; }
	rm -rf db "$1.csr"
}

from=$(date -u -d yesterday +%Y%m%d000000Z)
to=$(date -u -d '30 days' +%Y%m%d000000Z)

ca ca 'kmi test CA'
ca untrusted-ca 'kmi untrusted CA'
cert server ca "$LOOPBACK" "$from" "$to"
cert untrusted untrusted-ca "$LOOPBACK" "$from" "$to"
cert expired ca "$LOOPBACK" 20200101000000Z 20210101000000Z
cert wronghost ca DNS:example.invalid "$from" "$to"

# What `openssl rehash` does, without depending on the perl script that some systems ship instead.
mkdir -p ca-dir
cp ca.pem ca-dir/kmi-test-ca.pem
ln -sf kmi-test-ca.pem "ca-dir/$(openssl x509 -noout -subject_hash -in ca.pem).0"
