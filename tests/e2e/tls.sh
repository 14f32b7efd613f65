# tls.sh: what the tests of kmi-tls share, after lib.sh.
#
#	tls_start [NAME=VALUE...]	kmi-tls on a free port, with a pool of its own; $T is the base URL, $TLS the process
#	tls_stop
#	shake ARGUMENTS...		an openssl handshake with it; what it says is in $SAID
#	tls_silent			a client that makes the handshake and then says nothing: $SILENT
#	warnings			how many lines kmi-tls has written to its log
free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
certs
export KMI_PROXY_TLS_CERT=$D/certs/server.pem KMI_PROXY_TLS_KEY=$D/certs/server.key
tls_start() {
	TPORT=$(free_port)
	T=https://127.0.0.1:$TPORT/kmi-rotor/v1
	: >"$D/tls.err"
	: >"$D/tls.out"		# else what the one before has said may be taken for this one's
	env KMI_PROXY_TLS_LISTEN=127.0.0.1:$TPORT "$@" setsid "$BIN/kmi-tls" </dev/null >"$D/tls.out" 2>>"$D/tls.err" &
	TLS=$!
	started+=($TLS)
	until_true 10 grep -q '^TLS on' "$D/tls.out" || { echo "Bail out! kmi-tls does not start: $(cat "$D/tls.err")"; exit 1; }
}
tls_stop() {
	kill -TERM "$TLS" 2>/dev/null
	wait "$TLS"
}
tls_silent() {
	[ -e "$D/silence" ] || mkfifo "$D/silence"
	openssl s_client -quiet -connect "127.0.0.1:$TPORT" 0<>"$D/silence" >/dev/null 2>&1 &
	SILENT=$!
	started+=($SILENT)
}
shake() { SAID=$(timeout 20 openssl s_client -connect "127.0.0.1:$TPORT" "$@" </dev/null 2>&1 | tr -d '\0'); }
warnings() { grep -c . "$D/tls.err"; }
tls() { curl -sS -m 60 --cacert "$D/certs/ca.pem" "$@"; }
tls_code() { tls -o "$D/body" -w '%{http_code}' "$@" 2>"$D/curl.err"; }
