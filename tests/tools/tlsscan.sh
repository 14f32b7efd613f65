#!/bin/bash
# tlsscan.sh HOST PORT: what a scanner would say of a TLS server, by openssl and a few bytes of its own.
#
#	OK|INFO|LOW|MEDIUM|HIGH|CRITICAL <tab> what was asked <tab> what was found
#
# Old versions and weak suites are asked for one by one, so that the openssl here has to know them: what it does not know is
# asked for in raw bytes (SSL 2 and 3), or said to be unasked (INFO).
host=$1 port=$2
hello() { SAID=$(timeout 20 openssl s_client -connect "$host:$port" "$@" </dev/null 2>&1 | tr -d '\0'); }
made() { case $SAID in *"Cipher is (NONE)"* | *"no ciphers available"* | *"Error with command"* | *"no cipher match"*) return 1 ;; *"Cipher is "*) return 0 ;; esac; return 1; }
say() { printf '%s\t%s\t%s\n' "$@"; }
judge() {	# judge SEVERITY WHAT FOUND-WHEN-MADE: a handshake that must not be
	if made; then say "$1" "$2" "${3:-offered}"; else say OK "$2" "not offered"; fi
}
raw() {		# raw HEX: the first bytes of what comes back, in hex
	printf '%b' "$(echo "$1" | sed 's/\(..\)/\\x\1/g')" |
		timeout 3 bash -c 'exec 3<>"/dev/tcp/$0/$1"; cat >&3; head -c 11 <&3' "$host" "$port" 2>/dev/null | od -An -tx1 | tr -d ' \n'
}

# versions
got=$(raw 802e010002001500000010010080020080030080040080050080060040070000c0$(printf '41%.0s' $(seq 16)))
case $got in ??????04*|????04*) say CRITICAL "SSL 2" offered ;; *) say OK "SSL 2" "not offered" ;; esac
got=$(raw 160300002d0100002903000000000000000000000000000000000000000000000000000000000000000000000002000a0100)
case $got in 160300*) say HIGH "SSL 3 (POODLE)" offered ;; *) say OK "SSL 3 (POODLE)" "not offered" ;; esac
hello -tls1 -cipher ALL:@SECLEVEL=0; judge LOW "TLS 1.0 (BEAST)"
hello -tls1_1 -cipher ALL:@SECLEVEL=0; judge LOW "TLS 1.1"
hello -tls1_2; if made; then say OK "TLS 1.2" offered; else say HIGH "TLS 1.2" "not offered"; fi
hello -tls1_3; if made; then say OK "TLS 1.3" offered; else say INFO "TLS 1.3" "not offered"; fi

# suites
hello -tls1_2 -cipher 'aNULL:@SECLEVEL=0'; judge CRITICAL "no authentication"
hello -tls1_2 -cipher 'eNULL:@SECLEVEL=0'; judge CRITICAL "no encryption"
hello -tls1_2 -cipher 'kRSA:@SECLEVEL=0'; judge MEDIUM "key exchange by RSA (ROBOT, no forward secrecy)"
hello -tls1_2 -cipher 'kDHE:@SECLEVEL=0'; judge LOW "finite-field Diffie-Hellman (LOGJAM)"
hello -tls1_2 -cipher 'PSK:SRP:@SECLEVEL=0'; judge LOW "shared secrets"
cbc=$(openssl ciphers -tls1_2 -s 'ALL:COMPLEMENTOFALL:!AESGCM:!CHACHA20:!AESCCM:!ARIAGCM:!eNULL:@SECLEVEL=0')
hello -tls1_2 -cipher "$cbc:@SECLEVEL=0"; judge LOW "CBC (LUCKY13)"
hello -tls1_2 -cipher 'AESCCM:ARIAGCM:@SECLEVEL=0'; judge INFO "CCM, ARIA"
for weak in c011:RC4 0016:3DES 0008:EXPORT 0019:EXPORT-DH; do
	got=$(raw 160301002f0100002b030300000000000000000000000000000000000000000000000000000000000000000000$(printf '%04x' 2)${weak%%:*}0100)
	got2=$(raw 16030100310100002d0303$(printf '00%.0s' $(seq 32))000002${weak%%:*}01000000)
	case $got$got2 in *16030?????02*) say HIGH "${weak#*:}" offered ;; *) say OK "${weak#*:}" "not offered" ;; esac
done
hello -tls1_2 -cipher ECDHE; if made; then say OK "forward secrecy" "${SAID##*Cipher is }" | head -1; else say HIGH "forward secrecy" none; fi
all=$(openssl ciphers -tls1_2 -s 'ECDHE+AESGCM:ECDHE+CHACHA20' | tr ':' '\n')
hello -tls1_2 -cipher "$(echo "$all" | paste -sd:)"; a=$(echo "$SAID" | sed -n 's/.*Cipher is //p')
hello -tls1_2 -cipher "$(echo "$all" | tac | paste -sd:)"; b=$(echo "$SAID" | sed -n 's/.*Cipher is //p')
if [ "$a" = "$b" ]; then say OK "order of suites" "the server's ($a)"; else say LOW "order of suites" "the client's"; fi
hello -tls1_2 -sigalgs ECDSA+SHA1:RSA+SHA1 -cipher ALL:@SECLEVEL=0; judge LOW "signatures with SHA-1"
hello -tls1_2 -groups secp192r1:sect163k1 -cipher ECDHE:@SECLEVEL=0; judge MEDIUM "short curves"

# the protocol's own
hello -tls1_2 -comp; case $SAID in *"Compression: NONE"*) say OK "compression (CRIME)" none ;; *) say HIGH "compression (CRIME)" offered ;; esac
case $SAID in *"Secure Renegotiation IS supported"*) say OK "secure renegotiation" announced ;; *) say MEDIUM "secure renegotiation" "not announced" ;; esac
got=$({ sleep 0.5; echo R; sleep 1; } | timeout 10 openssl s_client -connect "$host:$port" -tls1_2 2>&1 | tr -d '\0')
case $got in *"no renegotiation"* | *RENEGOTIATING*error* | *"alert"*) say OK "renegotiation by the client" refused ;; *) say LOW "renegotiation by the client" done ;; esac
hello -tls1_2 -tlsextdebug; case $SAID in *heartbeat*) say HIGH "heartbeat (HEARTBLEED)" offered ;; *) say OK "heartbeat (HEARTBLEED)" "not applicable: not offered" ;; esac
case $SAID in *"session ticket"*) say INFO "session tickets" offered ;; *) say OK "session tickets (TICKETBLEED)" "not offered" ;; esac
got=$(raw 16030100310100002d0303$(printf '00%.0s' $(seq 32))000002c02b01000000140303000101)
case $got in "" | 15*) say OK "early ChangeCipherSpec (CVE-2014-0224)" refused ;; *) say INFO "early ChangeCipherSpec (CVE-2014-0224)" "the handshake went on so far" ;; esac
hello -tls1_2 -fallback_scsv; made && say OK "fallback signal" "no lower version to fall back to"

# the certificate
hello -tls1_2
leaf=$(echo "$SAID" | openssl x509 2>/dev/null)
if ! echo "$leaf" | openssl x509 -noout -checkend 0 >/dev/null 2>&1; then say CRITICAL "certificate" "has ended"; else say OK "certificate" "$(echo "$leaf" | openssl x509 -noout -enddate)"; fi
case $(echo "$leaf" | openssl x509 -noout -text) in *sha1With* | *md5With* | *ecdsa-with-SHA1*) say MEDIUM "its signature" "SHA-1 or worse" ;; *) say OK "its signature" "SHA-2" ;; esac
bits=$(echo "$leaf" | openssl x509 -noout -text | sed -n 's/.*Public-Key: (\([0-9]*\) bit).*/\1/p')
if [ "${bits:-0}" -ge 2048 ] || { [ "${bits:-0}" -ge 256 ] && [ "${bits:-0}" -lt 1000 ]; }; then say OK "its key" "$bits bits"; else say HIGH "its key" "$bits bits"; fi
