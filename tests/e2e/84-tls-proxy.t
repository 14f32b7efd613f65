#!/bin/bash
# kmi proxy where a certificate is set: kmi-tls in front, a pool behind it, both ended together.
. "$(dirname "$0")/lib.sh"
. "$root/tests/e2e/tls.sh"
keys a
P=$(free_port) Q=$(free_port)
export KMI_PROXY_LISTEN=127.0.0.1:$P
kmi() { "$BIN/kmi" "$@" >"$D/out" 2>"$D/err"; }
code() { tls -o /dev/null -w '%{http_code}' "$1/kmi-rotor/v1/models" 2>/dev/null; }
gone() { [ ! -d "/proc/$1" ] || grep -q '^State:.Z' "/proc/$1/status"; }	# or only its parent has not looked yet
pids() { cat "$D/state/proxy.pid"; }

kmi proxy
is $? 0 "it starts"
started+=("$(pids)")
has "$(cat "$D/out")" "https://127.0.0.1:$P/kmi-rotor/v1" "and says where"
is "$(code https://127.0.0.1:$P)" 200 "TLS takes the place of plain HTTP"
is "$(code http://127.0.0.1:$P)" 400 "which is told so"
has "$("$BIN/kmi" status --plain)" "https://127.0.0.1:$P" "kmi status knows"
is "$("$BIN/kmi" status --json | jq -r .proxy.url)" "https://127.0.0.1:$P/kmi-rotor/v1" "--json too"
front=$(pids)
pool=$(pgrep -P "$front" -x kmi-handle)
kmi proxy-stop -y
is $? 0 "it stops"
ok "both processes are gone" until_true 5 eval "gone $front && gone $pool"

export KMI_PROXY_TLS_LISTEN=127.0.0.1:$Q
kmi proxy
is $? 0 "with an address of its own for TLS"
started+=("$(pids)")
has "$(cat "$D/out")" "http://127.0.0.1:$P/kmi-rotor/v1" "plain HTTP is where it was"
has "$(cat "$D/out")" "https://127.0.0.1:$Q/kmi-rotor/v1" "TLS beside it"
is "$(code http://127.0.0.1:$P) $(code https://127.0.0.1:$Q)" "200 200" "both serve"
kmi proxy
is $? 0 "it runs already"
pool=$(pgrep -P "$(pids)" -x kmi-handle)
kill -9 "$pool"
ok "the pool is killed: another serves both" until_true 10 eval '[ "$(code http://127.0.0.1:$P) $(code https://127.0.0.1:$Q)" = "200 200" ]'
curl -s -m 10 "http://127.0.0.1:$P/" >/dev/null
kmi proxy-restart
is "$? $(code https://127.0.0.1:$Q)" "0 200" "restarted"
started+=("$(pids)")
kmi proxy-stop -y

python3 -c '
import socket, sys, time
s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1); s.bind(("127.0.0.1", int(sys.argv[1]))); s.listen(1)
time.sleep(60)' "$Q" &
H=$!
started+=($H)
until_true 10 eval "exec 5<>/dev/tcp/127.0.0.1/$Q" && exec 5>&-
kmi proxy
is $? 1 "somebody holds the address of TLS"
has "$(cat "$D/err")" "127.0.0.1:$Q is held by process $H" "who is named"
has "$(cat "$D/err")" "KMI_PROXY_TLS_LISTEN" "and the setting"
is "$(code http://127.0.0.1:$P)" 000 "nothing was left half started"
kill $H
wait $H 2>/dev/null

KMI_PROXY_TLS_KEY=$D/certs/ca.key kmi proxy
is $? 2 "a key that does not fit"
has "$(cat "$D/err")" "does not belong" "is told here, not in a log"
ok "and nothing runs" test ! -e "$D/state/proxy.pid"
KMI_PROXY_TLS_KEY= kmi proxy
is $? 2 "half a setting"
has "$(cat "$D/err")" "KMI_PROXY_TLS_KEY is not set" "is told, too"
timeout 10 "$BIN/kmi" proxy --foreground >"$D/out" 2>"$D/err" &
F=$!
until_true 10 eval '[ "$(code https://127.0.0.1:$Q)" = 200 ]'
is "$(code http://127.0.0.1:$P) $(code https://127.0.0.1:$Q)" "200 200" "in the foreground"
kmi proxy-stop -y
wait $F
is $? 0 "which ends well"
finish
