#!/bin/bash
# kmi-status from outside: mode, who listens, keys, and alerts. TAP.
. "$(dirname "$0")/bare.sh"
mkdir _auths
status() { bare kmi-status KMI_PROXY_LISTEN="127.0.0.1:$port" "$@"; }
json() { python3 -c "import json; d=json.load(open('../out')); print(($1))"; }
alerts() { json "' '.join(a['message']+' ('+a['hint']+')' for a in d['alerts'])"; }
# listen ADDRESS [NAME]: somebody who listens there, under that name; sets $who to the process, $port to the port
listen() {
	python3 - "$1" "${2:-}" >../listening <<'P' &
import ctypes, socket, sys, time
where, name = sys.argv[1:]
if name:
    ctypes.CDLL(None).prctl(15, name.encode(), 0, 0, 0)
if where.startswith('/'):
    s = socket.socket(socket.AF_UNIX); s.bind(where); port = 0
else:
    s = socket.socket(socket.AF_INET6 if ':' in where else socket.AF_INET); s.bind((where, 0)); port = s.getsockname()[1]
s.listen()
print(port, flush=True)
time.sleep(60)
P
	who=$!
	started+=("$who")
	until [ -s ../listening ]; do sleep 0.02; done
	port=$(cat ../listening)
	: >../listening
}
stop() { kill "$1"; wait "$1" 2>/dev/null; }

# A port that is free for the moment
listen 127.0.0.1; stop "$who"

# Nothing yet
status -- --json
ok 'exit 0' eq "$code$err" 0
ok 'mode' eq "$(json "d['mode']")" dry-run
ok 'nobody listens' eq "$(json "d['proxy']")" "{'running': False, 'host': '127.0.0.1', 'port': $port, \
'url': 'http://127.0.0.1:$port/kmi-rotor/v1', 'pids': [], 'superserver': None, 'unit': None, 'daemon_log': '$dir/home/.kmi/logs/proxy.out'}"
ok 'no keys' eq "$(json "d['keys']['total'], d['active_key']")" "(0, None)"
ok 'said as an alert' has "$(alerts)" 'no usable key file in _auths'
ok 'settings' eq "$(json "d['upstream'], d['policy'], d['cache'], d['payment_block_seconds']")" \
    "('https://api.kimi.com/coding/v1', {'strict_usage_check': False, 'fail_open_on_empty_cache': True}, \
{'usage_refresh_seconds': 600, 'blocklist_recheck_seconds': 3600, 'blocklist_max': 3}, 3600)"
ok 'rotation' eq "$(json "d['rotation'], d['last_health_refresh']")" \
    "({'active_index': 0, 'rotation_index': 0, 'auto_rotate': False}, None)"
rmdir _auths
status -- --json
ok 'no folder is an alert, no failure' eq "$code $(alerts | grep -c 'KMI_AUTHS_DIR')" '0 1'
mkdir _auths

# Keys
for i in a b c d; do echo "KMI_API_KEY=sk-fake-$i-0001" >_auths/$i.env; done
echo KMI_KEY_DISABLED=1 >>_auths/d.env
echo nothing >_auths/e.env
cat >"$dir/home/.kmi/state.json" <<'E'
{"schema_version": 1, "active_index": 1, "rotation_index": 41, "auto_rotate": true,
"last_health_refresh": "2026-01-31T00:00:00Z", "keys": {
"a": {"blocked_until": "2999-01-01T00:00:00Z", "blocked_reason": "payment_required"},
"c": {"exhausted_until": "2999-01-01T00:00:00Z"}}}
E
status KMI_DRY_RUN=0 -- --json
ok 'keys are counted' eq "$(json "[d['keys'][x] for x in ('total', 'disabled', 'blocked', 'exhausted', 'usable', 'skipped')]")" \
    '[4, 1, 1, 1, 1, 1]'
ok 'live, active key' eq "$(json "d['mode'], d['active_key']")" "('live', 'b')"
ok 'the books' eq "$(json "d['rotation'], d['last_health_refresh']")" \
    "({'active_index': 1, 'rotation_index': 41, 'auto_rotate': True}, '2026-01-31T00:00:00Z')"
ok 'an alert: skipped' has "$(alerts)" '1 key file is skipped'
ok 'an alert: not allowed' has "$(alerts)" 'KMI_AUTO_ROTATE_ALLOWED=1'
ok 'no key' hasnt "$out" sk-fake
status KMI_AUTO_ROTATE_ALLOWED=1 --
ok 'automatic' has "$out" 'automatic: every request takes the next key'
ok 'no escape sequence into a pipe' hasnt "$out" $'\e'
rm _auths/b.env
status -- --json
ok 'an alert: nobody can serve' has "$(alerts)" 'no key can be used now'
printf '{"schema_version": 1, "keys": [' >"$dir/home/.kmi/state.json"
status -- --json
ok 'an unreadable state.json is an alert' eq "$code $(alerts | grep -c 'set aside as')" '0 1'

# Who listens
listen 127.0.0.1 kmi-handle
status -- --json
ok 'one of ours listens' eq "$(json "d['proxy']['running'], d['proxy']['pids']")" "(True, [$who])"
ok 'no alert about that' hasnt "$(alerts)" "$port"
status KMI_PROXY_LISTEN="0.0.0.0:$port" -- --json
ok 'a wildcard: the address to connect to' eq "$(json "d['proxy']['running'], d['proxy']['url']")" \
    "(True, 'http://127.0.0.1:$port/kmi-rotor/v1')"
status KMI_PROXY_LISTEN="[::1]:$port" -- --json
ok 'not on IPv6' eq "$(json "d['proxy']['running'], d['proxy']['host'], d['proxy']['url']")" \
    "(False, '::1', 'http://[::1]:$port/kmi-rotor/v1')"
echo "$who" >"$dir/home/.kmi/proxy.pid"
status --
ok 'in words' has "$out" "running, http://127.0.0.1:$port/kmi-rotor/v1, kmi-handle ($who)"
stop "$who"
status -- --json
ok 'a pid file that outlived its process' eq "$(json "d['proxy']['running'], d['proxy']['pids']")" '(False, [])'
echo $$ >"$dir/home/.kmi/proxy.pid"
status -- --json
ok 'or names a stranger' eq "$(json "d['proxy']['running']")" False
held=$port
listen "$dir/other.sock" kmi-handle
port=$held
echo "$who" >"$dir/home/.kmi/proxy.pid"
status -- --json
ok 'ours runs, but not there' eq "$(json "d['proxy']['running'], d['proxy']['pids']") $(alerts | grep -c 'nobody listens')" \
    "(True, [$who]) 1"
status KMI_PROXY_LISTEN="unix:$dir/other.sock" -- --json
ok 'a unix socket' eq "$(json "[d['proxy'][x] for x in ('running', 'host', 'port', 'url', 'pids')]")" \
    "[True, None, None, 'unix:$dir/other.sock', [$who]]"
stop "$who"
rm "$dir/home/.kmi/proxy.pid"
listen 127.0.0.1 nginx
status -- --json
ok 'somebody else is named' has "$(alerts)" "held by another program: nginx (process $who)"
status --
ok 'and not called ours' has "$out" 'not ours'
stop "$who"

# Broken things
status KMI_STATE_DIR=/proc/nowhere -- --json
ok 'a state folder that cannot be' eq "$code $(alerts | grep -c /proc/nowhere)" '0 1'
status KMI_PROXY_LISTEN=nonsense --
ok 'a bad setting: exit 2' eq "$code" 2
status -- --jsn
ok 'an unknown option: exit 2' eq "$code" 2
status -- --help
ok 'help' has "$out" 'usage: kmi status'
env -i "${sandbox[@]}" HOME="$dir/home" "$bin/kmi-status" >/dev/full 2>../err
ok 'a full disk is an error' eq "$? $(grep -c 'No space left' ../err)" '1 1'

# While the cache of the pool is true, nobody needs the key files: here, who may not read them.
rm -rf "$dir/home/.kmi"; mkdir "$dir/home/.kmi" ../others
for i in a b; do echo "KMI_API_KEY=sk-fake-$i-0001" >../others/$i.env; done
echo KMI_KEY_DISABLED=1 >>../others/b.env
others() {
	status KMI_AUTHS_DIR="$dir/others" -- --json
	json "[d['keys'][x] for x in ('total', 'usable', 'disabled', 'skipped')], d['active_key']"
}
one_request() {
	printf 'GET /kmi-rotor/v1/models HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n' |
	    env -i "${sandbox[@]}" HOME="$dir/home" KMI_AUTHS_DIR="$dir/others" KMI_ENFORCE_FILE_PERMS=0 timeout 20 "$bin/kmi-handle" >/dev/null 2>&1
}
one_request
ok 'known from the cache' eq "$(others)" "([2, 1, 1, 0], 'a')"
if [ "$(id -u)" = 0 ] && command -v setpriv >/dev/null; then
	cp "$bin/kmi-status" "$dir/"
	chmod 755 "$dir" "$dir/home" "$dir/kmi-status" ../others; chmod 600 ../others/*; one_request; chown -R 65534 "$dir/home/.kmi"
	bare_status() { setpriv --reuid 65534 --clear-groups env -i "${sandbox[@]}" HOME="$dir/home" KMI_AUTHS_DIR="$dir/others" "$dir/kmi-status" --json >../out 2>../err; }
	bare_status
	ok 'without reading a key file' eq "$(json "[d['keys'][x] for x in ('total', 'usable', 'disabled', 'skipped')], d['active_key']")" "([2, 1, 1, 0], 'a')"
fi
echo 'KMI_API_KEY=sk-fake-c-0001' >../others/c.env
ok 'a new file counts at once' eq "$(others)" "([3, 2, 1, 0], 'a')"
one_request
echo KMI_KEY_DISABLED=1 >>../others/c.env
ok 'and so does a changed one' eq "$(others)" "([3, 1, 2, 0], 'a')"
one_request
echo 'KMI_API_KEY=' >../others/d.env; one_request
ok 'one that is skipped' eq "$(others)" "([3, 1, 2, 1], 'a')"
echo 'KMI_API_KEY=sk-fake-d-0001' >../others/d.env
ok 'is looked at again' eq "$(others)" "([4, 2, 2, 0], 'a')"
echo "1..$n"
