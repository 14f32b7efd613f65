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
finish
