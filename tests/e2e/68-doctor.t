#!/bin/bash
# kmi doctor: setups broken by hand, each named with its remedy.
#
#	68-doctor.t            the tests
#	68-doctor.t --page     docs/doctor.md: what it said to each
page=
[ "${1-}" = --page ] && page=1
. "$(dirname "$0")/lib.sh"
PATH=$BIN:$PATH
mkdir -p "$HOME"
text=() title=

# On the page the folders of this test are somebody's home.
neutral() {
	local fake
	fake=$(cat "$D/port" 2>/dev/null || echo 0)
	sed -e "s#$D/home#~#g; s#$D/state#~/.kmi#g; s#$D/auths#~/.kimi/_auths#g; s#$D#~#g; s#127.0.0.1:${PORT:-0}#127.0.0.1:54123#g" \
		-e "s#the host 127.0.0.1 is#the host api.kimi.com is#; s#https://127.0.0.1:$fake#https://api.kimi.com#g; s#:\\(${PORT:-0}\\|$fake\\|${free:-0}\\)\\b#:54123#g" \
		-e 's#(process [0-9]*)#(process 4711)#; s#process [0-9]* holds#process 4711 holds#; s#kill -CONT [0-9]*#kill -CONT 4711#' \
		-e 's#python3#nginx#; s#corrupt\.[0-9]*#corrupt.20261121081500#; s#[0-9]\{4\}-[0-9-]* [0-9:]* +0000#2026-12-01 12:00:00 +0000#'
}
# What is not as it should be: a healthy setup is shown once, at the top of the page.
news() { awk '/^  ok/ || !NF { next } /^[0-9]/ { print; next } /^[^ ]/ { heading = $0; next } heading { print heading; heading = "" } { print }' "$D/out"; }
# breaks NAME WHAT-WAS-DONE FINDING [REMEDY]: runs the doctor on a setup that was just broken
breaks() {
	kmi doctor "${options[@]}" >"$D/out" 2>"$D/err"
	code=$?
	if [ "$page" ]; then
		printf '\n## %s\n\n%s\n\n    $ kmi doctor\n' "$1" "$2"
		news | neutral | sed 's/^/    /'
	fi
	has "$(tr -s ' \n' ' ' <"$D/out")" "$3" "$1"
	[ -z "${4-}" ] || has "$(tr -s ' \n' ' ' <"$D/out")" "$4" "... and what to do"
	is "$code" "${want_code:-1}" "... exit status"
}
options=()
[ "$page" ] && { exec 5>&1; exec 1>/dev/null; exec 1>&5; ok() { :; }; is() { :; }; has() { :; }; }
[ "$page" ] && cat <<'M'
# kmi doctor, on setups that are broken

Each of these was made by hand, and this is what `kmi doctor` said to it; the lines that begin with `ok` are left out.
The page is written by `tests/e2e/68-doctor.t --page`, which as a test checks the same setups.
M

keys anna bea
chmod 700 "$D/state" "$D/auths"
fake_start
pool_start
export KMI_PROXY_LISTEN=127.0.0.1:$PORT KIMI_BASE_URL=http://127.0.0.1:$PORT/kmi-rotor/v1
chat
kmi health >/dev/null
kmi doctor >"$D/out"
is $? 0 "a healthy setup"
has "$(cat "$D/out")" "all is well" "is told so"
ok "no wider than 100 columns in a pipe" eval '[ "$(wc -L <"$D/out")" -le 100 ]'
if [ "$page" ]; then
	printf '\n## Nothing\n\nA healthy setup, for comparison, with all its lines.\n\n    $ kmi doctor\n'
	neutral <"$D/out" | sed 's/^/    /; s/ *$//'
fi

KMI_DRY_RUN=maybe want_code=2 breaks "A value that is none" '`KMI_DRY_RUN=maybe` in the environment.' \
	'KMI_DRY_RUN is "maybe" (environment); allowed' "nothing starts before"
printf 'KMI_DRY_RUN=0\nKMI_PROXY_TOKEN="open\n' >"$D/.env"
want_code=2 breaks "A .env that does not parse" 'A quote is missing in the one of the working directory.' ".env: line 2" "nothing starts before"
rm "$D/.env"
KMI_UPSTREAM_ALLOWLIST=example.com KMI_TIMEZONE=Mars KMI_PROXY_MAX_RPS=-1 want_code=2 breaks "Several at once" \
	'A host that the allowlist does not have, a zone that is none, a number below 0.' "KMI_PROXY_MAX_RPS is" "KMI_TIMEZONE is"
KMI_DRY_RUN=maybe kmi doctor --clear-blocklist >"$D/out"
is $? 2 "no orders are carried out on settings that are wrong"
has "$(cat "$D/out")" "left as they are" "which is said"
KMI_PROXY_LISEN=x want_code=0 breaks "A misspelt setting" '`KMI_PROXY_LISEN` instead of `KMI_PROXY_LISTEN`.' \
	KMI_PROXY_LISEN KMI_PROXY_LISTEN
mv "$D/auths" "$D/away"
breaks "No folder of keys" 'The folder of key files was moved away.' "there are no keys" "KMI_AUTHS_DIR"
mv "$D/away" "$D/auths"
printf 'KMI_API_KEY=\n' >"$D/auths/carl.env"; printf '[providers.x\n' >"$D/auths/dora.toml"
want_code=0 breaks "Key files that give no key" 'One without a key, one with a bracket missing.' "dora.toml is skipped: line 1" "mend the file"
rm "$D/auths/carl.env" "$D/auths/dora.toml"
chmod 644 "$D/auths/bea.env"
want_code=0 breaks "A key that others may read" '`chmod 644` on a key file.' "others may read $D/auths/bea.env" "chmod 600"
chmod 600 "$D/auths/bea.env"
fake_script '[{"key": "sk-fake-anna-000anna", "do": {"status": 401}}, {"key": "sk-fake-bea-000bea", "do": {"status": 402}}]'
chat
breaks "No key can be used" 'One key answers 401, the other 402.' "none of the 2 keys can be used" "top the account up, then \`kmi unlock bea\`"
fake_script '[]'
is "$(kmi doctor --recheck-keys --json | jq -r .ok)" true "--recheck-keys: a key that answers well is free again"
kmi doctor --clear-blocklist >/dev/null
is "$(kmi keys --json | jq -r '[.keys[].until] | map(select(.)) | length')" 0 "--clear-blocklist: and so is the other"
held=127.0.0.1:$(cat "$D/port")
KMI_PROXY_LISTEN=$held KIMI_BASE_URL=http://$held/kmi-rotor/v1 breaks "A port that another program holds" 'Something else listens where the proxy should.' \
	"is held by another program: python3" "KMI_PROXY_LISTEN="
free=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
KMI_PROXY_LISTEN=127.0.0.1:$free KIMI_BASE_URL=http://127.0.0.1:$free/kmi-rotor/v1 want_code=0 \
	breaks "The proxy is not running" 'It was stopped.' "the proxy is not running" "kmi proxy starts it"
KMI_PROXY_LISTEN=0.0.0.0:$PORT breaks "Open to the network, without anything" '`KMI_PROXY_LISTEN=0.0.0.0:54123`, and no more.' \
	"not encrypted" "KMI_PROXY_TOKEN"
touch "$D/cert.pem" "$D/key.pem"; chmod 600 "$D/key.pem"
KMI_PROXY_TLS_CERT=$D/cert.pem KMI_PROXY_TLS_KEY=$D/key.pem breaks "A certificate that is none" 'Both files are empty.' "$D/cert.pem"
KIMI_BASE_URL=https://api.kimi.com/coding/v1 want_code=0 breaks "A client that goes past the proxy" '`KIMI_BASE_URL` leads to the upstream itself.' \
	"KIMI_BASE_URL does not lead to the proxy" "kmi kimi"
http_proxy=http://proxy.example:3128 want_code=0 breaks "An HTTP proxy in the environment" '`http_proxy` is set, `NO_PROXY` is not.' \
	"through another HTTP proxy" "NO_PROXY=127.0.0.1"
mkdir -p "$HOME/.kimi"; printf 'default_model = "x\n' >"$HOME/.kimi/config.toml"
want_code=0 breaks "A config of the Kimi CLI that does not parse" 'A quote is missing in it.' "config.toml is no valid TOML: line 1" "mend that line"
client() {	# client BASE_URL API_KEY
	printf 'default_model = "k"\n[models.k]\nprovider = "managed:kimi-code"\nmodel = "kimi-for-coding"\n\n[providers."managed:kimi-code"]\ntype = "kimi"\nbase_url = "%s"\napi_key = "%s"\n' \
		"$1" "$2" >"$HOME/.kimi/config.toml"
}
client https://api.kimi.com/coding/v1 sk-fake-bea-000bea
KIMI_BASE_URL= want_code=0 breaks "The Kimi CLI goes straight to Kimi" 'Its config has a key of the pool and the address of Kimi, as `kmi rotate` writes it; no variable says otherwise.' \
	"goes straight to https://api.kimi.com/coding/v1 with the key bea, past the proxy" "if that is meant, all is well"
kmi doctor >"$D/out"
has "$(tr -s ' \n' ' ' <"$D/out")" "in this shell KIMI_BASE_URL outranks it" "a variable that leads to the proxy is stronger"
client https://api.kimi.com/coding/v1 sk-fake-mine-0000
has "$(KIMI_BASE_URL='' kmi doctor | tr -s ' \n' ' ')" "with a key or a login of its own" "a key that is none of the pool's"
client http://127.0.0.1:1/kmi-rotor/v1 sk-fake-mine-0000
KIMI_BASE_URL= want_code=0 breaks "The Kimi CLI is sent to where no proxy is" 'The port in its config is an old one.' \
	"leads to http://127.0.0.1:1/kmi-rotor/v1, and the proxy is not there" "base_url = \"http://127.0.0.1:$PORT/kmi-rotor/v1\""
for url in "http://127.0.0.1:$PORT/kmi-rotor/v1" "http://localhost:$PORT/kmi-rotor/v1/"; do
	client "$url" any
	has "$(KIMI_BASE_URL='' kmi doctor | tr -s ' \n' ' ')" "config.toml leads to the proxy" "a config that leads to the proxy: $url"
done
for url in "http://127.0.0.1:${PORT}1/kmi-rotor/v1" "http://127.0.0.1:$PORT/kmi-rotor/v11" "http://127.0.0.1:$PORT"; do
	client "$url" any
	has "$(KIMI_BASE_URL='' kmi doctor | tr -s ' \n' ' ')" "and the proxy is not there" "one that does not, though it looks like it: $url"
done
client "http://127.0.0.1:$PORT/kmi-rotor/v1" any
KIMI_BASE_URL= KMI_PROXY_TOKEN=sk-fake-token want_code=0 breaks "The Kimi CLI has another token" \
	'The proxy asks for one, and the `api_key` in the config is something else.' "its api_key is not the token" "KMI_PROXY_TOKEN"
ok "no token is shown" eval '! grep -q sk-fake "$D/out"'
printf 'theme = "dark"\n' >"$HOME/.kimi/config.toml"
has "$(KIMI_BASE_URL='' kmi doctor | tr -s ' \n' ' ')" "names no provider of Kimi" "a config without a provider"
rm "$HOME/.kimi/config.toml"
chmod 644 "$D/state/state.json" "$D/state/trace/trace.jsonl"
ok "in a closed folder no file is open" eval '! kmi doctor | grep -q "read or written by others"'
chmod 755 "$D/state" "$D/state/trace"
want_code=0 breaks "Books that others may read" '`chmod 755` on the state folder, `chmod 644` on `state.json` and the trace.' "3 files of the state folder may be read or written by others" "chmod -R go= "
chmod 700 "$D/state" "$D/state/trace"
chmod 600 "$D/state/state.json" "$D/state/trace/trace.jsonl"
if [ "$(id -u)" = 0 ]; then
	chown 65534 "$D/state/state.json.lock"
	breaks "A file of another user" '`state.json.lock` was made by another user, or by sudo.' "belongs to another user than the folder: " "sudo chown -R"
	chown 0 "$D/state/state.json.lock"
fi
cp "$D/state/state.json" "$D/keep.json"
mkdir "$D/loop"; ln -s state.json "$D/loop/state.json"
KMI_STATE_DIR=$D/loop kmi doctor >"$D/out" 2>&1
has "$(tr -s ' \n' ' ' <"$D/out")" "state.json: Too many levels of symbolic links -> make it yours to read" "a state.json that cannot be opened"
rm -r "$D/loop"
echo '{"schema_version": 1, "keys": {' >"$D/state/state.json"
chat
want_code=0 breaks "A damaged state.json" 'It was cut short, then a request came.' "was set aside as state.json.corrupt" "delete it"
rm -f "$D"/state/state.json.corrupt* "$D/state/logs/kmi.log"
sed 's/"schema_version": 1/"schema_version": 9/' "$D/keep.json" >"$D/state/state.json"
breaks "A state.json of a newer kmi" 'Its `schema_version` is 9.' "state.json:" "a newer kmi wrote it"
cp "$D/keep.json" "$D/state/state.json"
flock "$D/state/state.json.lock" sleep 60 &
L=$!
started+=($L)
until_true 5 eval '! flock -n "$D/state/state.json.lock" true'
breaks "A process that sits on the lock" 'It locked `state.json.lock` and sleeps.' "holds the lock of state.json" "kill -CONT"
pkill -P $L; kill $L 2>/dev/null; wait $L 2>/dev/null
printf '{"ts": "2026-' >>"$D/state/trace/trace.jsonl"
want_code=0 breaks "A torn trace line" 'A crash in the middle of a write.' "trace lines cannot be read" "a crash or a full disk"
rm -f "$D/state/trace/trace.jsonl"; chat
SSL_CERT_DIR=$D/none breaks "No certificate authorities" '`SSL_CERT_DIR` names a folder that is not there.' "no certificate authority is trusted" "ca-certificates"
KMI_UPSTREAM_CA_FILE=$D/nothing.pem breaks "A CA file that is not there" '`KMI_UPSTREAM_CA_FILE` names nothing.' "which cannot be read"
if [ "$(id -u)" = 0 ] && unshare -m true 2>/dev/null; then
	export D code options want_code page
	mkdir -p "$D/tiny"
	cat >"$D/full.sh" <<-'S'
		mount -t tmpfs -o size=64k none "$D/tiny" && chmod 700 "$D/tiny"
		umask 077; head -c 1000000 /dev/zero >"$D/tiny/filler" 2>/dev/null
		KMI_STATE_DIR=$D/tiny kmi doctor
	S
	unshare -m bash "$D/full.sh" >"$D/out" 2>&1
	has "$(tr -s ' \n' ' ' <"$D/out")" "is full" "A full disk"
	if [ "$page" ]; then
		printf '\n## A full disk\n\nThe state folder lies on a disk without room.\n\n    $ kmi doctor\n'
		news | neutral | sed "s#~/tiny#~/.kmi#g; s/^/    /"
	fi
fi
KMI_AUTO_ROTATE_ALLOWED=1 kmi rotate auto >/dev/null 2>&1
want_code=0 breaks "Rotation that is not allowed" 'It was switched on, then `KMI_AUTO_ROTATE_ALLOWED` was taken away.' "switched on but not allowed" "KMI_AUTO_ROTATE_ALLOWED=1"
kmi rotate off >/dev/null
rm -f "$D"/state/health.json*
KMI_REQUIRE_USAGE_BEFORE_REQUEST=1 KMI_FAIL_OPEN_ON_EMPTY_CACHE=0 breaks "A strict policy without figures" \
	'`KMI_REQUIRE_USAGE_BEFORE_REQUEST=1`, closed while nothing is known.' "no request is served" "kmi health"

ok "--json is one document" eval 'kmi doctor --json | jq -e ".findings | length > 5"'
kmi doctor --recheck-keys --clear-blocklist 2>"$D/err"
is $? 2 "two orders at once are refused"
kmi doctor --rechek-keys 2>"$D/err"
is $? 2 "an unknown option"
has "$(cat "$D/err")" "--recheck-keys" "has its nearest suggested"
ok "no secret in any of it" eval '! kmi doctor | grep -q sk-fake'
pool_stop
[ "$page" ] && exit 0
finish
