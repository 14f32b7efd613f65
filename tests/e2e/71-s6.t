#!/bin/bash
# Under s6: the pool with its socket held (ready, restarted and renewed under load), and a process a connection on a unix
# socket; what must work (core.sh) in both. kmi proxy-restart, proxy-stop and status know who runs the show.
. "$(dirname "$0")/lib.sh"
. "$root/tests/e2e/core.sh"
for p in s6-svscan s6-svc s6-fdholder-daemon s6-ipcserver; do command -v $p >/dev/null || skip_all "$p is not here"; done
keys a b
auto
fake_start
core_script
PORT=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
export KMI_PROXY_LISTEN=127.0.0.1:$PORT
U=http://127.0.0.1:$PORT/kmi-rotor/v1
L=$U WAY=()
mkdir -p "$D/scan"
cp -r "$root"/units/s6/kmi-* "$D/scan/"
# The services name the installed programs; these are the ones that are tested, as the user that tests.
sed -i "s|/usr/local/libexec/kmi|$BIN|; s|id kmi|false|" "$D"/scan/*/run
s6-svscan "$D/scan" >"$D/svscan.log" 2>&1 &
SVSCAN=$!
stop_s6() {
	s6-svscanctl -t "$D/scan" 2>/dev/null
	wait $SVSCAN
	cleanup
}
trap stop_s6 EXIT

ok "the pool says that it is ready" until_true 10 s6-svwait -U -t 500 "$D/scan/kmi-pool"
core "the pool" 300
is "$("$BIN/kmi" status --json | jq -r .proxy.superserver)" s6 "kmi status knows"
ok "kmi proxy says so too" grep -q 's6 supervises kmi-handle' <("$BIN/kmi" proxy)

long_streams 1
"$TOOLS/load" -K -c 4 -d 5 -t 30 --json "$U/models" >"$D/load.json" &
LOAD=$!
sleep 0.3
pid=$(s6-svstat -o pid "$D/scan/kmi-pool")
s6-svc -wr -T 60000 -r "$D/scan/kmi-pool"; is $? 0 "s6-svc -r"
ok "is another process" test "$(s6-svstat -o pid "$D/scan/kmi-pool")" != "$pid"
s6-svc -h "$D/scan/kmi-pool"; sleep 0.3
"$BIN/kmi" proxy-restart >"$D/out" 2>&1; is $? 0 "kmi proxy-restart"
wait $LOAD; is "$(jq -c '[([.errors[]] | add), (.requests > 20)]' "$D/load.json")" '[0,true]' "not one request fails"
wait "${LONG[@]}"; is "$(grep -c data: "$D/long.1") $(long_whole)" "23 1" "a running answer is whole"
kill -9 "$(s6-svstat -o pid "$D/scan/kmi-pool")"
ask /models; is "$CODE" 200 "killed with -9: the next client waits for the next pool"

s6-svc -wD -T 60000 -d "$D/scan/kmi-pool"
export KMI_PROXY_MAX_RPS=many
echo "KMI_PROXY_MAX_RPS=many" >"$D/.env"	# every process of this test has this folder, and s6 started before
sed -i "s|^exec 2>&1|exec 2>\"$D/pool.out\"; cd \"$D\"; hold=scan|; s|^hold=.*|hold=$D/scan/kmi-hold/socket|" "$D/scan/kmi-pool/run"
s6-svc -u "$D/scan/kmi-pool"
ok "a wrong setting is named" until_true 5 grep -q 'KMI_PROXY_MAX_RPS is "many"' "$D/pool.out"
ok "and not tried again and again" until_true 5 eval '[ "$(s6-svstat -o up,wantedup "$D/scan/kmi-pool")" = "false false" ]'
unset KMI_PROXY_MAX_RPS; rm "$D/.env"

ok "s6-ipcserver is ready" s6-svwait -U -t 5000 "$D/scan/kmi-unix"
S=$D/scan/kmi-unix/socket
U=http://localhost/kmi-rotor/v1 L=unix:$S:/kmi-rotor/v1 WAY=(--unix-socket "$S")
core "a unix socket" 120
finish
