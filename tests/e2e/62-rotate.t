#!/bin/bash
# kmi rotate, kmi unlock: which key, why, in the books and in the Kimi CLI's config.
. "$(dirname "$0")/lib.sh"
PATH=$BIN:$PATH
mkdir -p "$HOME"
keys a b c
export KMI_AUTO_ROTATE_E2E=0
active() { jq -r .active_index "$D/state/state.json"; }
rot() { kmi rotate "$@" >"$D/out" 2>"$D/err"; }
config=$HOME/.kimi/config.toml

rot
is $? 0 "kmi rotate"
has "$(cat "$D/out")" "b is the active key now: it is as good as a, and it is its turn" "where all tie, the next one in turn, and it says so"
is "$(active)" 1 "the books know"
has "$(cat "$D/out")" "dry run" "a dry run leaves the client's config alone"
ok "really" test ! -e "$config"
has "$(tail -n 1 "$D/state/logs/kmi.log")" '"action": "rotate"' "an audit event"
KMI_ROTATE_ON_TIE=0 kmi rotate >"$D/out"
has "$(cat "$D/out")" "b stays the active key: c is no better" "without KMI_ROTATE_ON_TIE it stays"
ok "no wider than 80 columns" eval '[ "$(wc -L <"$D/out")" -le 80 ]'
rot --json
is "$(jq -r '.label, .previous, .changed, .why' "$D/out" | tr '\n' ' ')" "c b true turn " "--json"
jq -c '.active_index = 7' "$D/state/state.json" >"$D/new" && mv "$D/new" "$D/state/state.json"
rot
has "$(cat "$D/out")" "a is the active key now: the key that was active is no longer in the pool" "an active key that is gone"
has "$(tail -n 1 "$D/state/logs/kmi.log")" '"from": "none", "to": "a"' "the audit event, too"
jq -c '.active_index = 3' "$D/state/state.json" >"$D/new" && mv "$D/new" "$D/state/state.json"
rot --json
is "$(jq -r '.label, .previous, .changed, .why' "$D/out" | tr '\n' ' ')" "a null true current_gone " "for scripts"
rot --to a
is "$? $(active)" "0 0" "--to"
rot --to aa
is "$? $(active)" "2 0" "an unknown label"
has "$(cat "$D/err")" "a" "has its nearest suggested"
rot --too a
is $? 2 "an unknown option"
rot auto --to a
is $? 2 "two modes at once"
rot auto off
is $? 2 "auto and off at once"
rot everything
is $? 2 "an argument that is none"

# by quota
fake_start
fake_script '[{"key": "sk-fake-a-000a", "path": "/usages", "do": {"body": {"json": {"limit": 100, "remaining": 30}}}},
 {"key": "sk-fake-b-000b", "path": "/usages", "do": {"body": {"json": {"limit": 100, "remaining": 80}}}},
 {"key": "sk-fake-c-000c", "path": "/usages", "do": {"body": {"json": {"limit": 100, "remaining": 10}}}}]'
kmi health >/dev/null
rot
has "$(cat "$D/out")" "b is the active key now: b has more of its quota left: 80 % against 30 % of a" "more quota wins, and it says so"
has "$(tr -s ' ' <"$D/out")" "* b sk-f***000b healthy never 0 ########.. 80 %" "the dashboard"

# the client's config
is "$(stat -c %a "$config")" 600 "the Kimi CLI's config is written, for its owner alone"
is "$(python3 -c 'import sys, tomllib; p = tomllib.load(open(sys.argv[1], "rb"))["providers"]["kimi-for-coding"]; print(p["type"], p["api_key"], p["base_url"])' "$config")" \
	"kimi sk-fake-b-000b $KMI_UPSTREAM_BASE_URL" "from nothing"
is "$(cat "$D/err")" "" "which is no error"
is "$(python3 -c 'import sys, tomllib; c = tomllib.load(open(sys.argv[1], "rb")); m = c["models"][c["default_model"]]; print(m["provider"], m["model"], m["max_context_size"])' "$config")" \
	"kimi-for-coding kimi-for-coding 262144" "with a model of it, without which no client starts"
has "$(cat "$D/out")" "written into $config" "and is said"
has "$(cat "$D/state/logs/kmi.log")" config_written "an audit event"
ok "without the key" eval '! grep -q sk-fake "$D/state/logs/kmi.log"'
ok "nor is it printed" eval '! grep -q sk-fake "$D/out"'
printf '# mine\r\ndefault_model = "x"\r\n[providers.other]\r\ntype = "openai"\r\napi_key = "theirs"\r\n[providers.kimi-for-coding]\r\nbase_url = "old" # here\r\napi_key = "old"\r\n[models.x]\r\nprovider = "other"\r\n' >"$config"
cp "$config" "$D/before"
mkdir -p "$HOME/.kimi-code"
echo 'default_model = "y"' >"$HOME/.kimi-code/config.toml"
rot --to a
sed "s#\"old\" \# here#\"$KMI_UPSTREAM_BASE_URL\" \# here#; s#api_key = \"old\"#api_key = \"sk-fake-a-000a\"#" "$D/before" >"$D/want"
ok "in place, every other byte as it was" cmp "$D/want" "$config"
ok "with a backup beside it" cmp "$D/before" "$config.bak"
ok "and what was there before the first time" cmp "$D/before" "$config.orig"
is "$(stat -c %a "$config.bak" "$config.orig" | tr '\n' ' ')" "600 600 " "for their owner alone"
rot --to b; rot --to a
ok "which stays" cmp "$D/before" "$config.orig"
has "$(cat "$HOME/.kimi-code/config.toml")" sk-fake-a-000a "and that of kimi-code, which is there"
rot --to a
has "$(cat "$D/out")" "$config has it already" "nothing to do is said"
ok "and no more than that" eval '! grep -q "others could" "$D/out"'
chmod 644 "$config"
rot --to a
is "$? $(stat -c %a "$config")" "0 600" "one that others can read is closed, though the key is there"
has "$(cat "$D/out")" "others could read $config" "and that is said"
# a toml key file is copied
printf 'default_model = "z"\n[providers.moonshot-ai]\ntype = "kimi"\napi_key = "sk-fake-t-000t"\nbase_url = "%s"\n' "$KMI_UPSTREAM_BASE_URL" >"$D/auths/t.toml"
rot --to t
ok "a .toml key file is copied" cmp "$D/auths/t.toml" "$config"
# a link between config and key file: the pool loses no key
cp "$D/auths/t.toml" "$D/before"
ln -sf "$D/auths/t.toml" "$config"
rot --to a
is $? 1 "a config that is a link to a key file is not written to"
ok "nor is that file" cmp "$D/before" "$D/auths/t.toml"
has "$(cat "$D/err")" "it is the key file of t too, by a link" "which is said"
rot --to t
is $? 0 "but there is nothing to say when it has the key"
rm "$config"; mv "$D/auths/t.toml" "$config"; ln -s "$config" "$D/auths/t.toml"
rot --to a
is $? 1 "nor is one that a key file is a link to"
ok "and holds the key" cmp "$D/before" "$config"
rm "$D/auths/t.toml"; cp "$config" "$D/auths/t.toml"
# a link stays one
mv "$config" "$D/elsewhere.toml"; ln -s "$D/elsewhere.toml" "$config"
rot --to b
ok "a link stays one" test -L "$config"
has "$(cat "$D/elsewhere.toml")" sk-fake-b-000b "and what it points to is written"
rm "$config" "$D/elsewhere.toml"; ln -s "$D/elsewhere.toml" "$config"
rot --to a
is "$? $(readlink "$config")" "0 $D/elsewhere.toml" "also one to a file that is not there"
has "$(cat "$D/elsewhere.toml")" sk-fake-a-000a "which is made"
chmod 644 "$D/elsewhere.toml"
rot --to a
is "$(stat -c %a "$D/elsewhere.toml")" 600 "and closed"
rm "$config"; ln -s "$D/nowhere/config.toml" "$config"
rot --to a
is "$? $(readlink "$config")" "1 $D/nowhere/config.toml" "one into a folder that is not there is left alone"
has "$(cat "$D/err")" "$D/nowhere" "and that is said"
has "$(cat "$D/err")" "hint: kmi rotate --to a writes it" "with what to do"
rm "$config"; ln -s config.toml "$config"
rot --to a
is "$? $(readlink "$config")" "1 config.toml" "so is one to itself"
rm "$config"
printf '[providers."managed:kimi-code"]\ntype = "kimi"\nbase_url = "x"\napi_key = ""\n[providers."managed:kimi-code".oauth]\nkey = "k"\n' >"$config"
rot --to a
has "$(cat "$D/out")" "until \`kimi logout\` it does not use this key" "a client that is logged in is told of"
rot --json --to a
is "$(jq -r '.logged_in[]' "$D/out")" "$config" "to scripts too"
printf '[providers.moonshot-ai]\n[providers.moonshot-ai.api_key]\nx = 1\n' >"$config"; cp "$config" "$D/before"
rot --to a
is $? 1 "a form that a value cannot be put into"
ok "is left alone" cmp "$D/before" "$config"
has "$(cat "$D/err")" "line 2: api_key is written in a form" "said where"
has "$(cat "$D/err")" "hint: take it out" "and what to do"
printf '[providers\n' >"$config"; cp "$config" "$D/before"
rot --to c
is "$? $(active)" "1 2" "one that does not parse fails, the rotation is done"
ok "it is left alone" cmp "$D/before" "$config"
has "$(cat "$D/err")" "is left as it was: line 1" "with file and line"
rot --to t
ok "also when a file would be copied over it" cmp "$D/before" "$config"
rm "$config"
KMI_WRITE_CONFIG=0 kmi rotate --to a >/dev/null
ok "not with KMI_WRITE_CONFIG=0" test ! -e "$config"
rm -rf "$HOME/.kimi"; : >"$HOME/.kimi"
rot --to b
is $? 1 "a folder that cannot be made"
ok "is said" test -s "$D/err"
rm -f "$HOME/.kimi" "$D/auths/t.toml"

# many at once: each takes a step of its own, and the config holds the key that the books name
keys d e f g h
mv "$D/state/health.json" "$D/keep.json"		# all tie
rot --to h
for i in 1 2 3 4 5 6 7 8; do kmi rotate --json >"$D/turn.$i" 2>&1 & turns[i]=$!; done
wait "${turns[@]}"
is "$(jq -rs 'map(.label) | sort | join(" ")' "$D"/turn.*)" "a b c d e f g h" "eight rotations at once take eight keys"
is "$(jq -rs 'map(.previous) | sort | join(" ")' "$D"/turn.*)" "a b c d e f g h" "each from where another went"
label=$(kmi status --json | jq -r .active_key)
has "$(cat "$config")" "sk-fake-$label-000$label" "the config is that of the last one"

# killed at any moment: config and backup are whole, and what was left beside them goes
whole() {	# whole FILE...: each holds a key, and is its owner's alone
	local f
	for f; do
		[ ! -e "$f" ] || { grep -q '^api_key = "sk-fake-.-000."$' "$f" && [ "$(stat -c %a "$f")" = 600 ]; } || return 1
	done
}
bad=0
for i in $(seq 60); do
	kmi-rotate --json >/dev/null 2>&1 &
	turn=$!
	sleep 0.00$((i % 8))$((i % 10))
	kill -9 $turn 2>/dev/null
	wait $turn 2>/dev/null
	whole "$config" "$config.bak" || bad=$((bad + 1))
done
is $bad 0 "60 rotations killed at any moment leave config and backup whole"
: >"$config.tmp.0123abcd"; : >"$config.bak.tmp.0123abcd"; : >"$config.tmp.mine"
touch -d '2 minutes ago' "$HOME"/.kimi/*.tmp.*
rot; rot		# the config may have the first one's key already
is "$? $(cd "$HOME/.kimi" && echo *)" "0 config.toml config.toml.bak config.toml.orig config.toml.tmp.mine" "and what they left beside them goes"
rm "$config.tmp.mine"

# a full disk
mkdir "$D/tiny"
sed 's/sk-fake-.-000./sk-fake-z-000z/' "$config" >"$D/before"
if unshare -m mount -t tmpfs -o size=64k none "$D/tiny" 2>/dev/null; then
	unshare -m sh -c 'mount -t tmpfs -o size=64k none "$1" && cp "$2" "$1"/config.toml && cp "$2" "$1"/config.toml.bak
		head -c 1000000 /dev/zero >"$1"/filler 2>/dev/null
		KIMI_SHARE_DIR=$1 kmi rotate --to f; echo "$?"; cd "$1"; cmp config.toml "$2"; cmp config.toml.bak "$2"; echo *' \
		sh "$D/tiny" "$D/before" >"$D/out" 2>"$D/err"
	is "$(tail -n 2 "$D/out" | tr '\n' ' ')" "1 config.toml config.toml.bak filler " "a full disk: both stay as they were, and nothing is left"
	has "$(cat "$D/err")" "config.toml is left as it was: write" "which is said"
else
	echo "# no mounts here: not tried on a full disk"
fi
rm "$D"/auths/[d-h].env
mv "$D/keep.json" "$D/state/health.json"
rot --to b
(
	exec 9>>"$D/state/state.json.lock"
	flock 9
	rot
	is "$?" 1 "a lock that nobody lets go of" >"$D/tap"
	has "$(cat "$D/err")" "fuser $D/state/state.json.lock" "says how to find who holds it" >>"$D/tap"
)
cat "$D/tap"
n=$((n + 2))

# automatic, on and off
rot auto
is $? 1 "automatic rotation has to be allowed"
has "$(cat "$D/err")" KMI_AUTO_ROTATE_ALLOWED=1 "and it says how"
export KMI_AUTO_ROTATE_ALLOWED=1
rot auto
is "$? $(jq -r .auto_rotate "$D/state/state.json")" "0 true" "auto"
rot auto --json
is "$(cat "$D/out")" '{"auto_rotate": true, "e2e": null}' "for scripts"
pool_start
chat; chat; chat
fake_wait 6
is "$(fake_keys 3)" "a b a" "goes round the healthy keys"
export KMI_PROXY_LISTEN=127.0.0.1:$PORT
KMI_AUTO_ROTATE_E2E=1 rot auto --json
is "$? $(cat "$D/out")" '0 {"auto_rotate": true, "e2e": "passed"}' "it is tried out for scripts, too"
fake_script '[{"path": "/models", "do": {"status": 418}}]'
KMI_AUTO_ROTATE_E2E=1 rot auto --json
is "$? $(cat "$D/out")" '1 {"auto_rotate": true, "e2e": "failed"}' "and a test that fails is a failure"
has "$(cat "$D/err")" "did not pass the test" "that is said"
fake_script '[]'
unset KMI_PROXY_LISTEN
rot off
is "$? $(jq -r .auto_rotate "$D/state/state.json")" "0 false" "off"
rot --to c
chat; chat
is "$(fake_keys 2)" "c c" "counts at once"

# unlock
fake_script '[{"key": "sk-fake-c-000c", "times": 1, "do": {"status": 429, "headers": [["Retry-After", "3000"]]}}, {"key": "sk-fake-a-000a", "times": 1, "do": {"status": 401}}]'
chat
is "$(kmi keys --json | jq -r '[.keys[] | select(.status == "exhausted" or .status == "blocked") | .label] | join(" ")')" "a c" "two locks"
rot --to c
has "$(cat "$D/out")" "c stays the active key" "a locked one can be named all the same"
has "$(cat "$D/out")" "it cannot serve now (rate limit, free in " "and it is said that it is"
echo 'KMI_KEY_DISABLED=1' >>"$D/auths/b.env"
rot --to b
is "$? $(active)" "1 2" "not one that is disabled"
has "$(cat "$D/err")" "take KMI_KEY_DISABLED out of $D/auths/b.env" "and it says how to change that"
sed -i /DISABLED/d "$D/auths/b.env"
kmi unlock cc >"$D/out" 2>"$D/err"
is $? 2 "unlock: an unknown label"
kmi unlock >"$D/out" 2>"$D/err"
is $? 2 "unlock: no label"
kmi unlock c --all >"$D/out" 2>"$D/err"
is $? 2 "unlock: a label and --all"
kmi unlock c >"$D/out"
is $? 0 "unlock"
has "$(cat "$D/out")" "c: unlocked (rate limit); it would have been free in " "it says what was lifted"
chat
is "$(fake_keys 1)" c "the running pool knows at once"
has "$(tail -n 1 "$D/state/logs/kmi.log")" '"action": "unlock"' "an audit event"
is "$(kmi unlock --all --json | jq -r '.unlocked[0].label')" a "--all"
is "$(kmi unlock --all)" "nothing was locked" "nothing to do is said"
# locks without an end, however they were written
for until in 9999-12-31T23:59:59Z 9999-01-01T00:00:00Z; do
	jq -c --arg u $until '.keys.a.blocked_until = $u | .keys.a.blocked_reason = "payment_required"' "$D/state/state.json" >"$D/new" && mv "$D/new" "$D/state/state.json"
	has "$(kmi keys | tr -s ' ')" "payment required, until unlocked" "$until is no number of days"
	is "$(kmi unlock a)" "a: unlocked (payment required); it was barred until somebody unlocks it" "nor when it is lifted"
done
jq -c '.keys.a.exhausted_until = "2099-01-01T00:00:00Z"' "$D/state/state.json" >"$D/new" && mv "$D/new" "$D/state/state.json"
out=$(kmi unlock a)
ok "a lock without a reason, for years" eval '[[ $out =~ ^"a: unlocked (nobody noted why); it would have been free in "[0-9]+" y"$ ]]'
jq -c '.keys["e\u001b[31m\n"] = {"blocked_until": "9999-12-31T23:59:59Z", "blocked_reason": "x\u001b[0m"}' "$D/state/state.json" >"$D/new" && mv "$D/new" "$D/state/state.json"
is "$(kmi unlock --all)" "e?[31m?: unlocked (x?[0m); it was barred until somebody unlocks it" "a terminal is told nothing by the books"
# an account's lock goes with any of its keys
printf 'KMI_API_KEY=sk-fake-x-000x\nKMI_KEY_ACCOUNT=one\n' >"$D/auths/x.env"
printf 'KMI_API_KEY=sk-fake-y-000y\nKMI_KEY_ACCOUNT=one\n' >"$D/auths/y.env"
fake_script '[{"key": "sk-fake-x-000x", "times": 1, "do": {"status": 429, "headers": [["Retry-After", "3000"]]}}]'
kmi rotate --to x >/dev/null
chat
is "$(kmi keys --json | jq -r '[.keys[] | select(.status == "exhausted") | .label] | join(" ")')" "x y" "an account's limit bars both its keys"
kmi unlock y >/dev/null
is "$(kmi keys --json | jq -r '[.keys[] | select(.status == "exhausted") | .label] | join(" ")')" "" "unlocking one frees both"
pool_stop

# a thousand keys, and none
rm "$D/state/health.json"
for i in {1000..1999}; do echo "KMI_API_KEY=sk-fake-$i-0000" >"$D/auths/k$i.env"; done
rot --to k1998
has "$(cat "$config")" sk-fake-1998-0000 "one of a thousand keys"
rot --json
is "$? $(jq -r .label "$D/out")" "0 k1999" "and the next"
ok "all are shown" eval '[ "$(kmi rotate | grep -c "  k1[0-9]* ")" = 1000 ]'
rm -f "$D"/auths/*
rot
is $? 1 "no keys at all"
has "$(cat "$D/err")" "put a key file there" "and what to do"
finish
