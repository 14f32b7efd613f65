#!/bin/bash
# What a scanner says of kmi-tls: nothing above informational. And of a server that is weak on purpose: what is wrong with it.
. "$(dirname "$0")/lib.sh"
. "$root/tests/e2e/tls.sh"
keys a
scan() { bash "$root/tests/tools/tlsscan.sh" 127.0.0.1 "$1" 2>&1; }
above() { grep -E $'^(LOW|MEDIUM|HIGH|CRITICAL)\t'; }

openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out "$D/rsa.key" 2>/dev/null
openssl req -x509 -new -key "$D/rsa.key" -out "$D/rsa.pem" -days 30 -subj /CN=rsa 2>/dev/null
chmod 600 "$D/rsa.key"

tls_start
scan "$TPORT" >"$D/ec.scan"
is "$(above <"$D/ec.scan")" "" "EC key: no finding above informational"
ok "of $(grep -c . "$D/ec.scan") questions" test "$(grep -c . "$D/ec.scan")" -ge 30
note "$(grep ^INFO "$D/ec.scan")"
is "$(tls_code "$T/models")" 200 "it serves on after the scan"
tls_stop
tls_start KMI_PROXY_TLS_CERT="$D/rsa.pem" KMI_PROXY_TLS_KEY="$D/rsa.key"
scan "$TPORT" >"$D/rsa.scan"
is "$(above <"$D/rsa.scan")" "" "RSA key: no finding above informational"
tls_stop

P=$(free_port)
openssl s_server -accept "127.0.0.1:$P" -cert "$D/rsa.pem" -key "$D/rsa.key" -cipher ALL:COMPLEMENTOFALL:@SECLEVEL=0 -no_tls1_3 \
	-client_renegotiation -quiet >/dev/null 2>&1 </dev/null &
W=$!
started+=($W)
until_true 10 eval "exec 5<>/dev/tcp/127.0.0.1/$P" && exec 5>&-
scan "$P" >"$D/weak.scan"
for what in "TLS 1.0" "key exchange by RSA" "CBC" "Diffie-Hellman" "no authentication" "no encryption" "order of suites" "renegotiation by"; do
	has "$(above <"$D/weak.scan")" "$what" "a weak server: $what is found"
done
finish
