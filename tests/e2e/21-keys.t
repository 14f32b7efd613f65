#!/bin/bash
# kmi-keys from outside: the pool, its order, what is skipped and why, masks, exit codes, terminals. TAP.
. "$(dirname "$0")/bare.sh"
mkdir _auths
keys() { bare kmi-keys "$@"; }
json() { python3 -c "import json; d=json.load(open('../out')); k={x['label']:x for x in d['keys']}; s={x['source']:x['reason'] for x in d['skipped']}; print(($1))"; }
squeezed() { printf '%s\n' "$out" | tr -s ' '; }
state() { mkdir -p "$dir/home/.kmi"; cat >"$dir/home/.kmi/state.json"; }

keys --
ok 'no key file: exit 1, and where to put one' eq "$code $out $err" '1  kmi-keys: error: no usable key file in _auths
kmi-keys: hint: put a key file there, such as main.env with KMI_API_KEY=...'
echo 'KMI_API_KEY=' >_auths/a.env
keys --
ok 'a file without a key: exit 1, and what to do' has "$code $err" '1 kmi-keys: error: no usable key file in _auths
kmi-keys: hint: mend one of those that `kmi keys` lists as skipped'
keys -- --json
ok 'it is the one that was skipped' eq "$(json "list(s)")" "['_auths/a.env']"
rm _auths/a.env
rmdir _auths
keys --
ok 'no folder: exit 1, with the remedy' eq "$code $(printf '%s' "$err" | grep -c 'KMI_AUTHS_DIR')" '1 1'
keys -- --json
ok 'no folder: JSON all the same' eq "$code $(json "d['keys'], len(s)")" '1 ([], 1)'
mkdir _auths

# The pool
printf 'KMI_API_KEY=sk-fake-anna-0001\nKMI_ACCOUNT_EMAIL=anna@example.com\n' >_auths/anna.env
keys -- --json
ok 'a key, whole' eq "$(json "k['anna']")" "{'index': 0, 'label': 'anna', 'account': 'anna', 'source': '_auths/anna.env', \
'key': 'sk-f***0001', 'key_hash': '$(printf %s sk-fake-anna-0001 | sha256sum | cut -c 1-12)', \
'base_url': 'https://api.kimi.com/coding/v1', 'email': 'anna@example.com', 'priority': 0, 'disabled': False, \
'status': 'warn', 'reason': 'usage unknown', 'until': None}"
ok 'exit 0, nothing on stderr' eq "$code$err" 0
keys --
ok 'columns that say nothing are left out' hasnt "$out" ACCOUNT
ok 'nor priorities' hasnt "$out" PRIORITY
mkdir _auths/sub _auths/.hidden _auths/sub/deep
printf '[providers.x]\napi_key = "sk-fake-boris-0002"\nbase_url = "https://b.example/v1/"\n' >_auths/Boris_config.toml
echo '{"providers": {"x": {"api_key": "sk-fake-clara-0003"}}}' >_auths/sub/clara.json.bak
printf 'KMI_API_KEY=sk-fake-zoe-0004\nKMI_KEY_PRIORITY=5\nKMI_KEY_ACCOUNT=anna\n' >_auths/sub/zoe.env
printf 'KMI_API_KEY=sk-fake-dan-0005\nKMI_KEY_DISABLED=on\n' >_auths/dan.env
echo 'KMI_API_KEY=sk-fake-hidden' >_auths/.hidden/h.env
echo 'KMI_API_KEY=sk-fake-hidden' >_auths/.h.env
echo 'KMI_API_KEY=sk-fake-deep' >_auths/sub/deep/d.env
echo 'KMI_API_KEY=sk-fake-text' >_auths/notes.txt
keys -- --json
ok 'order: priority, then label' eq "$(json "' '.join(k)")" 'zoe anna Boris clara dan'
ok 'index is the place in the pool' eq "$(json "[x['index'] for x in d['keys']]")" '[0, 1, 2, 3, 4]'
ok 'its own address' eq "$(json "k['Boris']['base_url']")" https://b.example/v1
ok 'an account that is shared' eq "$(json "k['zoe']['account'], k['zoe']['priority']")" "('anna', 5)"
ok 'disabled' eq "$(json "k['dan']['disabled'], k['dan']['status']")" "(True, 'disabled')"
ok 'nothing skipped' eq "$(json "d['skipped']")" '[]'
keys --
ok 'a row' has "$(squeezed)" 'zoe anna sk-f***0004 warn usage unknown 5 sub/zoe.env'
ok 'the summary' has "$out" '5 keys in _auths: 4 usable, 1 disabled'
ok 'no escape sequence into a pipe' hasnt "$out" $'\e'

# Locks
state <<E
{"schema_version": 1, "keys": {
"anna": {"blocked_until": "2999-01-01T00:00:00Z", "blocked_reason": "payment_required"},
"clara": {"exhausted_until": "$(date -u -d '+250 seconds' +%FT%TZ)"}, "Boris": {"exhausted_until": "2020-01-01T00:00:00Z"}}}
E
keys -- --json
ok 'a blocked key' eq "$(json "[k['anna'][x] for x in ('status', 'reason', 'until')]")" \
    "['blocked', 'payment_required', '2999-01-01T00:00:00Z']"
ok 'bars the other key of its account' eq "$(json "k['zoe']['status']")" blocked
ok 'an exhausted key' eq "$(json "k['clara']['status']")" exhausted
ok 'a lock that is over bars nobody' eq "$(json "k['Boris']['status']") $code" 'warn 0'
keys --
ok 'in words' has "$(squeezed)" 'payment required, free in'
ok 'in minutes' has "$out" 'free in 4 min'
rm _auths/Boris_config.toml
keys --
ok 'none usable: exit 1' eq "$code" 1
rm _auths/sub/zoe.env
printf '{"schema_version": 99}' >"$dir/home/.kmi/state.json"
keys --
ok 'a newer state.json is said, and costs no key' eq "$code $(printf '%s' "$err" | grep -c 'state.json: schema_version')" '0 1'
ok 'and is left alone' eq "$(cat "$dir/home/.kmi/state.json")" '{"schema_version": 99}'
rm "$dir/home/.kmi/state.json"

# What is skipped
rm -r _auths && mkdir _auths || exit 1
echo 'KMI_API_KEY=sk-fake-good-0001' >_auths/a.env
cp _auths/a.env _auths/b.env
printf 'KMI_API_KEY=sk-fake-other-1\nKMI_KEY_LABEL=a\n' >_auths/c.env
printf '[providers.x]\n\napi_key = "sk-fake-broken\n' >_auths/d.toml
printf 'KMI_API_KEY=sk-fake-latin1\nX=\351\n' >_auths/e.env
printf 'KMI_API_KEY=sk-fake-\320\272\n' >_auths/f.env
printf 'KMI_API_KEY=sk-fake-url\nKMI_UPSTREAM_BASE_URL=http://u:sk-fake-password@h/\n' >_auths/g.env
mkfifo _auths/h.env
truncate -s 50M _auths/i.json
ln -s nowhere _auths/j.env
ln -s /dev/zero _auths/k.env
printf 'X=1\n' >_auths/l.env
ln -s a.env _auths/m.env
keys -- --json
ok 'one good key is enough' eq "$code $(json "' '.join(k)")" '0 a'
for pair in b.env:same c.env:taken d.toml:'line 3' e.env:UTF-8 f.env:ASCII g.env:https h.env:'not a regular' i.json:bytes \
    j.env:'No such file' k.env:'not a regular' l.env:'no KMI_API_KEY' m.env:same; do
	ok "skipped: $pair" has "$(json "s['_auths/${pair%%:*}']")" "${pair#*:}"
done
ok 'no key, no password' hasnt "$out" sk-fake
keys --
ok 'reasons stand below the table' has "$(squeezed)" 'h.env not a regular file'
ok 'no key, no password there' hasnt "$out$err" sk-fake
printf 'KMI_API_KEY=sk-fake-url\nKMI_UPSTREAM_BASE_URL=https://evil.example/\n' >_auths/g.env
keys KMI_UPSTREAM_ALLOWLIST=api.kimi.com,x.example -- --json
ok 'an address that is not allowed' has "$(json "s['_auths/g.env']")" evil.example

# Changes count at once.
echo 'KMI_API_KEY=sk-fake-good-0009' >_auths/a.env
keys -- --json
ok 'a changed file' eq "$(json "k['a']['key']")" 'sk-f***0009'

# A terminal
rm -r _auths && mkdir _auths || exit 1
for i in 1 2 3; do echo "KMI_API_KEY=sk-fake-key-000$i" >"_auths/a-rather-long-name-of-a-person-$i.env"; done
echo 'KMI_API_KEY=sk-fake-red' >"_auths/$(printf 'x\033[31m').env"
screen() {	# screen COLUMNS [VARIABLE=VALUE...]: what a terminal of that width is sent
	local columns=$1; shift
	env -i "${sandbox[@]}" HOME="$dir/home" PATH="$PATH" TERM=xterm "$@" \
	    script -qec "stty cols $columns; $bin/kmi-keys" /dev/null </dev/null | tr -d '\r'
}
ok 'colours on a terminal' has "$(screen 80)" $'\e[33mwarn'
for width in 20 50 80; do
	ok "no wider than a window of $width" eq "$(screen $width | sed 's/\x1b\[[0-9;]*m//g' | awk "length > $width")" ''
done
ok 'NO_COLOR' hasnt "$(screen 80 NO_COLOR=1)" $'\e'
ok 'KMI_PLAIN' hasnt "$(screen 80 KMI_PLAIN=1)" $'\e'
ok 'TERM=dumb' hasnt "$(screen 80 TERM=dumb)" $'\e'
keys --
ok 'no escape sequence of a file name reaches a terminal' hasnt "$out" $'\e'
keys -- --plain
ok '--plain is text' eq "$code $(printf '%s' "$out" | grep -c 'sk-f\*')" '0 3'

# Many
rm -r _auths && mkdir _auths || exit 1
for i in $(seq 10000); do echo "KMI_API_KEY=sk-fake-many-$i" >"_auths/$i.env"; done
SECONDS=0
keys -- --json
ok '10,000 files' eq "$code $(json "len(k)")" '0 10000'
ok 'in seconds' [ "$SECONDS" -lt 5 ]

# Calls
keys -- --help
ok 'help' has "$out" 'usage: kmi keys'
keys -- --jsn
ok 'an unknown option: exit 2' eq "$code" 2
keys -- more
ok 'an argument: exit 2' eq "$code" 2
keys KMI_PLAIN=perhaps --
ok 'a bad setting: exit 2' eq "$code" 2
env -i "${sandbox[@]}" HOME="$dir/home" "$bin/kmi-keys" >/dev/full 2>../err
ok 'a full disk is an error' eq "$? $(grep -c 'write output' ../err)" '1 1'

# The example folder is what it says.
keys KMI_AUTHS_DIR="$root/_auths.example" -- --json
ok 'the example: every file gives a key' eq "$code $(json "' '.join(k) + str(s)")" '0 anna anna-second boris clara{}'
ok 'two of one account' eq "$(json "k['anna-second']['account']")" anna
ok 'with their people' eq "$(json "k['anna']['email'], k['boris']['email'], k['clara']['email']")" \
    "('anna@example.com', 'boris@example.com', 'clara@example.com')"
ok 'and no key that could be real' eq "$(grep -rhoE 'sk-[A-Za-z0-9-]+' "$root/_auths.example" | grep -v '^sk-fake-')" ''
echo "1..$n"
