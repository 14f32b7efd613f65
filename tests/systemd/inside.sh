#!/bin/bash
# Runs inside the machine that boot.t boots, as root, with the package installed and nothing touched since: does the proxy
# serve, survive, and go without a trace? Speaks TAP. /kmi-test has the package, load, fakekimi.py,
# make-certs.sh, and how many connections are a burst. (A process for each costs some 50 ms; the pool always gets 2,000.)
exec 2>&1
set -u
cd /kmi-test
ulimit -n 8192
# Thousands of clients take ports of their own, and not those that somebody is to listen on.
echo 54123,54443,54998,54999 >/proc/sys/net/ipv4/ip_local_reserved_ports
n=0 failed=0
ok() { local name=$1; shift; n=$((n + 1)); if "$@" >/dev/null 2>&1; then echo "ok $n - $name"; else echo "not ok $n - $name"; failed=$((failed + 1)); echo "# failed: $*"; fi; }
is() { n=$((n + 1)); if [ "$1" = "$2" ]; then echo "ok $n - $3"; else echo "not ok $n - $3"; failed=$((failed + 1)); printf '%s\n' "got:  $1" "want: $2" | sed 's/^/# /'; fi; }
until_true() { local end=$((SECONDS + $1)); shift; until "$@" >/dev/null 2>&1; do [ $SECONDS -lt $end ] || return 1; sleep 0.05; done; }
part() { echo "# $SECONDS s: $*"; }
U=http://127.0.0.1:54123/kmi-rotor/v1
LIBEXEC=/usr/libexec/kmi
code() { curl -s -m 30 -o body -w '%{http_code}' "$@"; }
burst() { ./load -K -t 300 --json "$@" >load.json; jq -r '"\(.status["200"] // 0) of \(.requests), \([.errors[]] | add) errors"' load.json; }
errors() { jq '[.errors[]] | add + 0' load.json; }
journal() { journalctl -q --no-pager -o cat "$@"; }
set_env() { sed -i "/^$1=/d" /etc/kmi/kmi.env; [ -z "${2+x}" ] || echo "$1=$2" >>/etc/kmi/kmi.env; }

part "the machine as it booted"
is "$(systemctl is-active kmi-proxy.socket kmi-health.timer | tr '\n' ' ')" "active active " "socket and timer started by themselves"
is "$(code $U/models)" 200 "the first connection is answered"
is "$(jq -r .dry_run body)" true "in dry run"
is "$(stat -c '%a %U:%G' /etc/kmi/auths /etc/kmi/kmi.env /var/lib/kmi /var/lib/kmi/state.json | tr '\n' ' ')" \
	"750 root:kmi 640 root:kmi 700 kmi:kmi 600 kmi:kmi " "folders and files belong to whom they should"
is "$(kmi status --json | jq -c '[.proxy.running, .proxy.superserver, .proxy.unit]')" '[true,"systemd","kmi-proxy.socket"]' "kmi status knows"
is "$(kmi keys --json | jq -r '.keys[].label')" example "root's tools see what the service sees"

BURST=$(cat burst)
part "a burst of $BURST connections"
before=$(journal -b | wc -l)
is "$(burst -c $BURST -n $BURST $U/models)" "$BURST of $BURST, 0 errors" "everyone of $BURST connections at once is answered"
part "$(jq -c '[.seconds, .latency_ms]' load.json)"
is "$(systemctl is-active kmi-proxy.socket)" active "the socket is alive"
is "$(systemctl --failed --no-legend | grep kmi)" "" "no failed units"
is "$(systemctl list-units --all --no-legend 'kmi-proxy@*' | grep -c failed)" 0 "none left over"
ok "and no flood in the journal: $(($(journal -b | wc -l) - before)) lines" test $(($(journal -b | wc -l) - before)) -lt 20

part "handlers are killed under load"
./load -K -c 8 -n 100 -t 60 --json $U/models >load.json & L=$!
killed=0
while kill -0 $L 2>/dev/null; do sleep 0.4; pid=$(pgrep -x -o kmi-handle) && kill -9 $pid 2>/dev/null && killed=$((killed + 1)); done
wait $L
ok "only who was killed is missing: $(errors) of $killed" test "$(errors)" -le $killed
is "$(code $U/models)" 200 "the next is served"
ok "the books are whole" jq -e .keys /var/lib/kmi/state.json
is "$(systemctl --failed --no-legend | grep kmi)" "" "no failed units"

part "live"
bash ./make-certs.sh /kmi-test/certs >/dev/null 2>&1
chmod -R a+rX /kmi-test/certs
mkdir -p rec
python3 fakekimi.py --cert certs/server.pem --key certs/server.key --record rec --script script.json --port-file port 2>fake.err & FAKE=$!
until_true 10 test -s port
for k in a b; do
	echo "KMI_API_KEY=sk-fake-secret-of-$k-0123456789" >/etc/kmi/auths/$k.env
	chgrp kmi /etc/kmi/auths/$k.env; chmod 640 /etc/kmi/auths/$k.env
done
set_env KMI_DRY_RUN 0
set_env KMI_UPSTREAM_BASE_URL https://127.0.0.1:$(cat port)/coding/v1
set_env KMI_UPSTREAM_CA_FILE /kmi-test/certs/ca.pem
set_env KMI_PROXY_TOKEN token-that-is-secret-0123456789
AUTH="Authorization: Bearer token-that-is-secret-0123456789"
is "$(code $U/models)" 401 "settings count with the next connection"
is "$(code -H "$AUTH" $U/models)" 200 "a request goes upstream"
is "$(tail -n 1 rec/log.jsonl | jq -r .key)" sk-fake-secret-of-a-0123456789 "with the first key"

part "a queue, and a wrong setting, with a process a connection"
echo '[{"path": "/wait", "do": {"delay_ms": 300, "body": "ok"}}, {"path": "/slow", "do": {"sse": {"count": 30, "interval_ms": 100, "size": 16}}}]' >script.json
set_env KMI_PROXY_MAX_CONNECTIONS 4
is "$(burst -H "$AUTH" -c 40 -n 40 $U/wait)" "40 of 40, 0 errors" "forty at once, with four places: all are answered"
most=$(grep /wait rec/log.jsonl | jq -sc '. as $all | map(. as $one | [$all[] | select(.t_start <= $one.t_start and .t_end > $one.t_start)] | length) | max')
is "$most" 4 "never more than four at the upstream"
set_env KMI_PROXY_MAX_CONNECTIONS
systemctl stop kmi-health.timer		# it would fail with that setting too, and say so
since=$(date +%s); sleep 1; before=$(journal -b | wc -l)
set_env KMI_PROXY_RETRY_MAX many
./load -K -c 10 -n 60 -t 60 --json $U/models >load.json
is "$(jq -c .status load.json) $(errors)" '{"503":60} 0' "a wrong setting: every client is told"
is "$(journal -t kmi --since @$((since + 1)) | grep -c 'error: KMI_PROXY_RETRY_MAX is "many" (/etc/kmi/kmi.env, line') $(($(journal -b | wc -l) - before))" "1 1" \
	"one line in the journal, and none beside it"
is "$(systemctl --failed --no-legend | grep kmi) $(systemctl list-units --all --no-legend 'kmi-proxy@*' | grep -c failed)" " 0" "no failed units"
set_env KMI_PROXY_RETRY_MAX
is "$(code -H "$AUTH" $U/models)" 200 "put right, it serves"
systemctl start kmi-health.timer

part "the pool"
said=$(kmi proxy install --system --pool); is $? 0 "kmi proxy install --pool"
is "$(systemctl is-active kmi-proxy.socket kmi-proxy-pool.socket kmi-proxy-pool.service | tr '\n' ' ')" "inactive active active " "one flavour for the other"
said=$(kmi proxy install --system --pool); is "$? $(grep -c 'wrote\|made\|started  ' <<<"$said")" "0 0" "twice changes nothing"
is "$(code -H "$AUTH" $U/models)" 200 "it serves"
is "$(burst -H "$AUTH" -c 2000 -n 2000 $U/models)" "2000 of 2000, 0 errors" "a burst of 2,000"
part "$(jq -c '[.seconds, .latency_ms]' load.json)"
is "$(kmi status --json | jq -c '[.proxy.superserver, .proxy.unit]')" '["systemd","kmi-proxy-pool.socket"]' "kmi status knows"
ok "kmi proxy says that it runs" grep -q 'runs already' <(kmi proxy)

part "restarts under load"
curl -sN -m 60 -H "$AUTH" -d '{"stream": true}' $U/slow >slow & S=$!
until_true 10 grep -q data: slow
./load -K -c 8 -d 6 -t 60 -H "$AUTH" --json $U/models >load.json & L=$!
systemctl restart kmi-proxy-pool.service; is $? 0 "restart"
for i in 1 2 3; do sleep 0.3; systemctl reload kmi-proxy-pool.service; done
kmi proxy-restart >said; is $? 0 "kmi proxy-restart"
systemctl restart kmi-proxy-pool.service
wait $L; is "$(errors)" 0 "not one request of $(jq .requests load.json) failed"
wait $S; is "$(grep -c '^data: {' slow) $(grep . slow | tail -n 1)" "32 data: [DONE]" "a running answer is whole"

part "the pool's parent is killed"
curl -sN -m 60 -H "$AUTH" -d '{"stream": true}' $U/slow >slow & S=$!
until_true 10 grep -q data: slow
./load -K -c 4 -d 3 -t 30 -H "$AUTH" --json $U/models >load.json & L=$!
for i in 1 2 3; do sleep 0.8; kill -9 "$(systemctl show -P MainPID kmi-proxy-pool.service)"; done
wait $L; is "$(errors)" 0 "three times: not one of $(jq .requests load.json) requests fails"
wait $S; is "$(grep -c '^data: {' slow) $(grep . slow | tail -n 1)" "32 data: [DONE]" "a running answer is whole"
is "$(code -H "$AUTH" $U/models)" 200 "it serves again"

part "a wrong setting"
since=$(date +%s); sleep 1
set_env KMI_PROXY_RETRY_MAX many
systemctl reload kmi-proxy-pool.service
is "$(code -H "$AUTH" $U/models)" 200 "a reload keeps the old settings"
systemctl restart kmi-proxy-pool.service 2>/dev/null; ok "a restart fails" until_true 5 systemctl is-failed kmi-proxy-pool.service
code -H "$AUTH" $U/models >/dev/null
until_true 5 eval '[ "$(systemctl is-active kmi-proxy-pool.socket)" != active ]'
is "$(journal -t kmi --since @$((since + 1)) | grep -c 'error: KMI_PROXY_RETRY_MAX is "many" (/etc/kmi/kmi.env, line')" 1 "one line in the journal names it"
is "$(systemctl show -P NRestarts kmi-proxy-pool.service)" 0 "no crash loop"
kmi proxy-restart 2>said; is "$? $(grep -c KMI_PROXY_RETRY_MAX said)" "2 1" "kmi proxy-restart names it too"
set_env KMI_PROXY_RETRY_MAX
systemctl restart kmi-proxy-pool.service; is "$? $(code -H "$AUTH" $U/models)" "0 200" "put right, it starts"

part "what the doctor sees"
findings() { kmi doctor --json | jq -r '.findings[] | select(.level == "fail") | .what'; }
is "$(findings)" "" "nothing fails"
is "$(kmi doctor | grep -c 'others may read')" 0 "nor is a key open that the service's group may read"
chmod 600 /etc/kmi/auths/a.env
ok "a key that the service may not read" grep -q 'may not read /etc/kmi/auths/a.env' <(kmi doctor)
chmod 640 /etc/kmi/auths/a.env; chown root: /var/lib/kmi
ok "a state folder that it may not write to" grep -q 'may not write to the state folder /var/lib/kmi' <(kmi doctor)
chown kmi: /var/lib/kmi; sed -i 's/^kmi:/kmx:/' /etc/passwd
ok "a user that is missing" grep -q 'as the user kmi, whom there is not' <(kmi doctor)
sed -i 's/^kmx:/kmi:/' /etc/passwd; systemctl stop kmi-proxy-pool.socket kmi-proxy-pool.service
python3 -c 'import socket, time; s = socket.socket(); s.setsockopt(1, 2, 1); s.bind(("127.0.0.1", 54123)); s.listen(); time.sleep(60)' & P=$!
until_true 5 eval '(exec 3<>/dev/tcp/127.0.0.1/54123)'
ok "a port that is taken, and by whom" grep -q "held by another program: python3 (process $P)" <(kmi doctor)
kill $P; wait $P 2>/dev/null
ok "a proxy that should run and does not" grep -q 'systemd should run the proxy (kmi-proxy-pool.socket)' <(kmi doctor)
kmi proxy >said; is "$? $(code -H "$AUTH" $U/models)" "0 200" "kmi proxy asks systemd to start it"

part "keys as credentials"
mkdir -p /root/keys /run/systemd/system/kmi-proxy-pool.service.d
echo "KMI_API_KEY=sk-fake-secret-credential-01" >/root/keys/c.env; chmod 600 /root/keys/c.env
echo "KMI_API_KEY=sk-fake-secret-encrypted-01" | systemd-creds encrypt --with-key=host --name=d.env - /root/keys/d.cred 2>/dev/null
ok "systemd-creds made one" test -s /root/keys/d.cred
printf '[Service]\nLoadCredential=c.env:/root/keys/c.env\nLoadCredentialEncrypted=d.env:/root/keys/d.cred\nEnvironment=KMI_AUTHS_DIR=%%d\nInaccessiblePaths=/etc/kmi/auths\n' \
	>/run/systemd/system/kmi-proxy-pool.service.d/credentials.conf
systemctl daemon-reload; systemctl restart kmi-proxy-pool.service
is "$(code -H "$AUTH" $U/models)" 200 "it serves with keys from credentials"
is "$(tail -n 1 rec/log.jsonl | jq -r .key)" sk-fake-secret-credential-01 "LoadCredential"
sed -i '/c.env/d' /run/systemd/system/kmi-proxy-pool.service.d/credentials.conf
systemctl daemon-reload; systemctl restart kmi-proxy-pool.service
is "$(code -H "$AUTH" $U/models) $(tail -n 1 rec/log.jsonl | jq -r .key)" "200 sk-fake-secret-encrypted-01" "LoadCredentialEncrypted"
rm -r /run/systemd/system/kmi-proxy-pool.service.d; systemctl daemon-reload; systemctl restart kmi-proxy-pool.service

part "TLS"
ip addr add 192.0.2.7/32 dev lo
kmi proxy install --system --pool --tls >said; is $? 0 "kmi proxy install --tls, with no setting for it"
sed 's/^/# /' said
T=https://localhost:54443/kmi-rotor/v1 LAN=https://192.0.2.7:54443/kmi-rotor/v1 CERT=/etc/kmi/tls/cert.pem
is "$(code --cacert $CERT -H "$AUTH" $T/models) $(code -H "$AUTH" $U/models)" "200 200" "it serves with and without, by a certificate of its own making"
is "$(stat -c '%a %U:%G' /etc/kmi/tls /etc/kmi/tls/key.pem /etc/kmi/kmi.env | tr '\n' ' ')" "750 root:kmi 640 root:kmi 640 root:kmi " "whose key is for the service alone"
tls() { code --cacert $CERT -H "$AUTH" $T/models; }
systemctl restart kmi-tls.service; systemctl reload kmi-tls.service
is "$(tls)" 200 "restarted and reloaded as well"
is "$(systemctl is-active kmi-proxy-tls.socket) $(pgrep -c -P "$(systemctl show -P MainPID kmi-tls.service)" kmi-handle)" "active 0" "with the pool that there is, and none of its own"
ok "it cannot see a key" eval '! nsenter -t "$(systemctl show -P MainPID kmi-tls.service)" -m cat /etc/kmi/auths/a.env'
kill -9 "$(systemctl show -P MainPID kmi-proxy-pool.service)"
is "$(tls)" 200 "the pool's parent is killed: the client waits"
kmi proxy install --system --pool --tls >said; is "$? $(grep -c 'wrote\|made\|started  ' said)" "0 0" "install again changes nothing"
kmi proxy-stop >said; is "$? $(tls) $(code $U/models)" "0 000 000" "kmi proxy-stop stops both"
kmi proxy >said; is "$? $(tls) $(code -H "$AUTH" $U/models)" "0 200 200" "kmi proxy starts both"
kmi proxy-restart >said; is "$? $(tls)" "0 200" "kmi proxy-restart"
kmi proxy install --system --tls >said; is "$? $(tls) $(code -H "$AUTH" $U/models)" "0 200 200" "TLS with a process a connection beside it"
is "$(systemctl is-active kmi-proxy-tls.socket) $(pgrep -c -P "$(systemctl show -P MainPID kmi-tls.service)" kmi-handle)" "inactive 1" "has a pool of its own"
kmi proxy install --system --pool --tls >said; is "$? $(tls)" "0 200" "and back"
rm /etc/systemd/system/kmi-tls.service.d/kmi-proxy-install.conf; systemctl stop kmi-proxy-tls.socket kmi-tls.socket kmi-tls.service
systemctl daemon-reload; systemctl restart kmi-tls.socket
kmi proxy install --system --pool --tls >said; is "$? $(systemctl is-active kmi-proxy-tls.socket) $(tls)" "0 active 200" "with a pool that runs without the socket"

landlock=$(./step-out kmi-handle | head -n 1)
within() { systemd-run -q --wait --pipe -p SystemCallErrorNumber=EPERM -p "SystemCallFilter=$(systemctl show -P SystemCallFilter "$1")" \
	"$PWD/step-out" kmi-handle read:/etc/shadow; }
ok "this machine has Landlock ($landlock)" test "$landlock" -gt 0
is "$(within kmi-proxy-pool.service | tr '\n' ' ')" "$landlock read:/etc/shadow Permission denied " "a handler narrows itself within its unit"

part "other machines"
set_env KMI_PROXY_TOKEN
ok "kmi doctor says how to serve them" grep -q 'KMI_PROXY_TLS_LISTEN=0.0.0.0:54443' <(kmi doctor)
is "$(findings)" "" "and finds no fault as it is"
set_env KMI_PROXY_TLS_LISTEN 0.0.0.0:54443
is "$(kmi doctor --json | jq -r '.findings[] | select(.level == "warn" or .level == "fail") | .what' | grep -c -e 'nobody speaks TLS on 0.0.0.0:54443' -e 'all refused' -e 'no token')" 3 \
	"then what is missing: a socket there, the permission, a token"
set_env KMI_PROXY_ALLOW_REMOTE 1
set_env KMI_PROXY_TOKEN token-that-is-secret-0123456789
kmi proxy install --system --pool --tls >said; is $? 0 "kmi proxy install --tls once more"
is "$(code --cacert $CERT -H "$AUTH" $LAN/models) $(code --cacert $CERT $LAN/models)" "200 401" "they are served, with the token"
is "$(findings)" "" "kmi doctor has no fault to find"
ok "and says that they are" grep -q '0.0.0.0:54443 serves other machines that send the token' <(kmi doctor)
chmod 600 /etc/kmi/tls/key.pem
ok "a certificate's key that the service may not read" grep -q 'may not read /etc/kmi/tls/key.pem' <(kmi doctor)
chmod 640 /etc/kmi/tls/key.pem
for i in 1 2 3 4 5 6; do code --cacert $CERT -H 'Authorization: Bearer wrong' $LAN/models; echo; done >codes
is "$(sort -u codes)" 401 "wrong tokens"
ok "are counted inside the sandbox" grep -q 'one wrong token after the other.*"peer": "192.0.2.7:' /var/lib/kmi/logs/kmi.log

part "users at a unix socket"
mkdir -p /run/kmi-test
set_env KMI_PROXY_LISTEN unix:/run/kmi-test/sock
set_env KMI_PROXY_UNIX_USERS root,daemon
kmi proxy install --system --pool --tls >said; is $? 0 "kmi proxy install at a unix socket"
echo "$AUTH" >header; chmod 644 header	# not in an argument, which the journal would show
at() { runuser -u "$1" -- curl -s -m 30 -o /dev/null -w '%{http_code}' -H @header --unix-socket /run/kmi-test/sock http://localhost/kmi-rotor/v1/models; }
is "$(at root) $(at daemon) $(at nobody) $(at bin)" "200 200 403 403" "who is named is served, others are not"
sed -i '/PrivateUsers=no/d' /etc/systemd/system/kmi-proxy-pool.service.d/*.conf
systemctl daemon-reload; systemctl restart kmi-proxy-pool.service
is "$(at root) $(at daemon) $(at nobody)" "200 403 403" "in a sandbox that knows no other users none of them is taken for nobody"
set_env KMI_PROXY_LISTEN; set_env KMI_PROXY_UNIX_USERS
kmi proxy install --system --pool --tls >said; is "$? $(tls) $(code -H "$AUTH" $U/models)" "0 200 200" "and back"

part "the timer"
mkdir -p /run/systemd/system/kmi-health.timer.d
printf '[Timer]\nOnBootSec=\nOnActiveSec=\nOnUnitInactiveSec=\nOnActiveSec=1\nRandomizedDelaySec=0\nAccuracySec=100ms\n' >/run/systemd/system/kmi-health.timer.d/soon.conf
rm -f /var/lib/kmi/health.json
systemctl daemon-reload; systemctl restart kmi-health.timer
ok "refreshes health" until_true 15 test -s /var/lib/kmi/health.json
until_true 10 eval '[ "$(systemctl is-active kmi-health.service)" = inactive ]'
is "$(systemctl show -P Result kmi-health.service) $(stat -c %U /var/lib/kmi/health.json)" "success kmi" "and ends well"
rm -r /run/systemd/system/kmi-health.timer.d

part "a user's own"
useradd -m tester
loginctl enable-linger tester
uid=$(id -u tester)
until_true 15 test -S /run/user/$uid/systemd/private
as() { runuser -u tester -- env HOME=/home/tester XDG_RUNTIME_DIR=/run/user/$uid PATH="$PATH" "$@"; }
as mkdir -p /home/tester/.kmi /home/tester/.kimi/_auths
echo 'KMI_API_KEY=sk-fake-secret-of-tester-01' >/home/tester/.kimi/_auths/t.env
echo 'proxy_listen = "127.0.0.1:54999"' >/home/tester/.kmi/kmi.config.toml
chown tester: /home/tester/.kimi/_auths/t.env /home/tester/.kmi/kmi.config.toml
V=http://127.0.0.1:54999/kmi-rotor/v1
(cd /home/tester && as kmi proxy install --user) >said; is $? 0 "kmi proxy install --user"
sed 's/^/# /' said
is "$(code $V/models) $(jq -r .key_label body)" "200 t" "answers with the user's key"
is "$(cd /home/tester && as kmi status --json | jq -c '[.proxy.superserver, .proxy.unit, .proxy.running]')" '["systemd","kmi-proxy.socket",true]' "kmi status knows"
(cd /home/tester && as kmi proxy install --user) >said; is "$? $(grep -c 'wrote\|made\|started  ' said)" "0 0" "twice changes nothing"
(cd /home/tester && as kmi proxy install --user --pool) >said; is "$? $(code $V/models)" "0 200" "with the pool"
pid=$(pgrep -u tester -x -o kmi-handle)
ok "sandboxed: no new privileges, filtered, no way to write at home" eval "grep -q 'NoNewPrivs:.1' /proc/$pid/status && grep -q 'Seccomp:.2' /proc/$pid/status"
ok "it may write its state" test -s /home/tester/.kmi/state.json
ok "and nothing else at home" eval "! nsenter -t $pid -m -U --preserve-credentials touch /home/tester/stain"
(cd /home/tester && as kmi proxy-restart) >said; is "$? $(code $V/models)" "0 200" "kmi proxy-restart"
as kmi tls selfsigned --name localhost /home/tester/cert.pem /home/tester/key.pem >/dev/null 2>&1
printf '%s = "%s"\n' proxy_tls_cert /home/tester/cert.pem proxy_tls_key /home/tester/key.pem proxy_tls_listen 127.0.0.1:54998 \
	>>/home/tester/.kmi/kmi.config.toml
(cd /home/tester && as kmi proxy install --user --pool --tls) >said
is "$? $(code --cacert /home/tester/cert.pem https://localhost:54998/kmi-rotor/v1/models) $(code $V/models)" "0 200 200" "with TLS before the pool"
pid=$(as systemctl --user show -P MainPID kmi-tls.service)
is "$(pgrep -c -P "$pid" kmi-handle)" 0 "and none of its own"
(cd /home/tester && as kmi proxy uninstall) >said; is $? 0 "kmi proxy uninstall"
is "$(find /home/tester/.config/systemd -name '*kmi*' 2>/dev/null)" "" "nothing of it is left"
is "$(code $V/models)" 000 "nobody answers there"
is "$(code -H "$AUTH" $U/models)" 200 "the machine's goes on"

part "an upgrade"
dpkg-deb -R kmi_*.deb up && sed -i 's/^Version: .*/&+1/' up/DEBIAN/control && dpkg-deb -Znone -b up up.deb >/dev/null
./load -K -c 4 -d 5 -t 60 -H "$AUTH" --json $U/models >load.json & L=$!
sleep 0.5
DEBIAN_FRONTEND=noninteractive dpkg -i up.deb >said 2>&1 </dev/null; is $? 0 "dpkg -i asks nothing"
is "$(systemctl is-active kmi-proxy.socket kmi-proxy-pool.socket kmi-proxy-pool.service | tr '\n' ' ')" "inactive active active " "what ran runs"
grep -q '^KMI_DRY_RUN=0' /etc/kmi/kmi.env; is $? 0 "settings are kept"
wait $L; is "$(errors)" 0 "nobody noticed: 0 of $(jq .requests load.json) failed"

is "$(find /var/lib/kmi ! -user kmi)" "" "what root's tools wrote beside the service is the service's"

part "secrets"
is "$(journalctl -q --no-pager -o export -b | grep -ac 'sk-fake-secret\|token-that-is-secret')" 0 "none in the journal"
is "$(grep -rac 'sk-fake-secret\|token-that-is-secret' /var/lib/kmi | grep -v ':0$')" "" "none in the state folder"

part "remove and purge"
DEBIAN_FRONTEND=noninteractive dpkg -r kmi >said 2>&1; is $? 0 "dpkg -r"
is "$(code $U/models)" 000 "nobody answers"
is "$(pgrep -x 'kmi-.*')" "" "no process is left"
ok "keys and state are" test -s /etc/kmi/auths/a.env -a -s /var/lib/kmi/state.json
is "$(systemctl --failed --no-legend | grep kmi)" "" "nothing has failed"
DEBIAN_FRONTEND=noninteractive dpkg -P kmi >said 2>&1; is $? 0 "dpkg -P"
systemctl daemon-reload
is "$(find /etc /usr /var /run -newer script \( -name kmi -o -name 'kmi[-._@]*' \) ! -name 'kmi-test*' 2>/dev/null | head)" "" \
	"nothing is left on the disk"
is "$(getent passwd kmi; getent group kmi)" "" "nor a user"
is "$(systemctl list-unit-files --no-legend 'kmi-*' | grep -v kmi-test)" "" "nor a unit"
kill $FAKE
echo "1..$n"
echo "# $SECONDS s"
exit $((failed > 0))
