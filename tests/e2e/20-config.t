#!/bin/bash
# kmi-config from outside: precedence, errors, secrets, the page that documents it all. TAP.
. "$(dirname "$0")/bare.sh"
config() { bare kmi-config USER=anna "$@"; }
json() { python3 -c "import json,sys; d=json.load(open('../out')); s={x['name']:x for x in d['settings']}; print($1)"; }

config --
ok 'the table is printed' eq "$code $err" '0 '
ok 'a row: name, value, source' has "$(printf '%s\n' "$out" | tr -s ' ')" 'KMI_PROXY_LISTEN 127.0.0.1:54123 default'
ok 'short values stay within 80 columns' eq "$(grep -v UPSTREAM_BASE_URL ../out | grep -v _DIR | awk 'length > 80')" ''
ok 'a long value comes last, where it cannot widen the rest' \
    has "$(tail -n 1 ../out)" 'https://api.kimi.com/coding/v1  default'

config -- --json
ok 'JSON: a setting' eq "$(json "s['KMI_DRY_RUN']")" \
    "{'name': 'KMI_DRY_RUN', 'value': '1', 'default': '1', 'source': 'default', 'file': None, 'line': None, 'secret': False}"
ok 'JSON: no warnings' eq "$(json "d['warnings']")" '[]'
ok 'the actor is the user' eq "$(json "s['KMI_AUDIT_ACTOR']['value']")" anna

# Each source outranks the one before.
value() { config "$@" -- --json; json "'%(value)s %(source)s %(line)s' % s['KMI_PROXY_IDLE_SECONDS']"; }
echo 'proxy_idle_seconds = 1' >"$dir/home/.kmi/kmi.config.toml"
ok '~/.kmi/kmi.config.toml' eq "$(value)" '1 kmi.config.toml 1'
printf '\nproxy_idle_seconds = 2\n' >kmi.config.toml
ok 'kmi.config.toml here comes instead' eq "$(value)" '2 kmi.config.toml 2'
printf '#\n#\nKMI_PROXY_IDLE_SECONDS=3 # three\n' >.env
ok '.env' eq "$(value)" '3 .env 3'
ok 'environment' eq "$(value KMI_PROXY_IDLE_SECONDS=4)" '4 environment None'
printf '#\nexport KMI_PROXY_IDLE_SECONDS="5"\n' >"$dir/named"
ok 'the file of KMI_ENV_PATH' eq "$(value KMI_PROXY_IDLE_SECONDS=4 KMI_ENV_PATH="$dir/named")" '5 KMI_ENV_PATH 2'
config KMI_ENV_PATH="$dir/named" -- --json
ok 'its name is told' eq "$(json "s['KMI_PROXY_IDLE_SECONDS']['file']")" "$dir/named"
config KMI_ENV_PATH="$dir/missing" --
ok 'a missing one is an error' eq "$code" 2
ok 'which names it' has "$err" "$dir/missing"
rm -f .env kmi.config.toml "$dir/home/.kmi/kmi.config.toml"

mkdir _auths
config -- auths_dir
ok '_auths in the working directory' eq "$out" _auths
rmdir _auths
config -- auths_dir
ok 'else the one at home' eq "$out" "$dir/home/.kimi/_auths"

# What is wrong is said once, whole.
config KMI_PROXY_RETRY_MAX=many --
ok 'a bad value: exit 2' eq "$code" 2
ok 'nothing on stdout' eq "$out" ''
ok 'variable, value, source, what is allowed' eq "$err" \
    'kmi-config: error: KMI_PROXY_RETRY_MAX is "many" (environment); allowed: a whole number from 0 to 100'
config KMI_PROXY_RETRY_MAX=101 --
ok 'out of range: exit 2' eq "$code" 2
echo 'KMI_LOCALE=fr' >.env
config --
ok 'file and line' has "$err" 'KMI_LOCALE is "fr" (.env, line 1); allowed: en or ru'
echo 'KMI_LOCALE="ru' >.env
config --
ok 'a file that is no dotenv: exit 2, with its line' eq "$code $(printf '%s' "$err" | grep -c '\.env: line 1')" '2 1'
rm .env
printf 'plain = "yes"\n' >kmi.config.toml
config --
ok 'a wrong type, with its line' has "$err" '(kmi.config.toml, line 1); allowed: true or false'
rm kmi.config.toml

# Unknown names
config KMI_DRYRUN=0 --
ok 'an unknown variable warns' eq "$code $err" \
    '0 kmi-config: warning: KMI_DRYRUN (environment) is no setting; did you mean KMI_DRY_RUN?'
config KMI_DRYRUN=0 -- --json
ok 'in JSON too, and only there' eq "$err$(json "len(d['warnings'])")" 1
config KMI_API_KEY=sk-fake KMI_KEY_LABEL=a KMI_KEY_PRIORITY=1 KMI_KEY_DISABLED=1 KMI_ACCOUNT_EMAIL=a KMI_EMAIL=a \
    KMI_KEY_ACCOUNT=a KMI_KEY_MAX_CONCURRENCY=1 KMI_KEY_MAX_RPM=1 --
ok 'variables of key files are known' eq "$code $err" '0 '
config -- PROXY_LISTN
ok 'an unknown setting: exit 2, the nearest named' eq "$code $err" '2 kmi-config: error: unknown setting PROXY_LISTN
kmi-config: hint: did you mean KMI_PROXY_LISTEN?'
config -- --jsn
ok 'an unknown option: exit 2, the nearest named' eq "$code $err" '2 kmi-config: error: unknown option --jsn
kmi-config: hint: did you mean --json?'

# Secrets
for args in '' --json PROXY_TOKEN --explain; do
	config KMI_PROXY_TOKEN=sk-fake-proxy-token -- $args
	ok "no token in kmi-config $args" hasnt "$out$err" fake
done
echo sk-fake-proxy-token >token && chmod 600 token
printf 'KMI_PROXY_TOKEN=\n\nKMI_PROXY_TOKEN_FILE=token\n' >.env
config -- --json
ok 'a token from a file: masked, and from where that is named' eq "$(json "[s['KMI_PROXY_TOKEN'][x] for x in ('value', 'source', 'file', 'line')]")" \
    "['***', '.env', '.env', 3]"
rm token .env
config KMI_PROXY_TOKEN='sk-fake proxy' --
ok 'nor in an error' eq "$code $(printf '%s' "$err" | grep -c fake)" '2 0'
config KMI_UPSTREAM_BASE_URL=https://u:sk-fake@h/ --
ok 'nor a password in a URL' eq "$code $(printf '%s' "$err" | grep -c fake)" '2 0'

# Output
config KMI_AUDIT_ACTOR=$'a\e[31mb' --
ok 'no escape sequence reaches the terminal' hasnt "$out" $'\e'
config -- kmi_proxy_base_path
ok 'one value, by any spelling' eq "$code $out" '0 /kmi-rotor/v1'
config -- --help
ok 'help' has "$out" 'usage: kmi config'
config NO_COLOR=1 -- no_color
ok 'the usual NO_COLOR' eq "$out" 1
env -i "${sandbox[@]}" HOME="$dir/home" "$bin/kmi-config" >/dev/full 2>../err
ok 'a full disk is an error' eq "$? $(grep -c 'No space left' ../err)" '1 1'

# The page names every setting with its default, and no other.
config -- --json
json "'\n'.join('| \`%s\` | %s' % (k, '\`%s\`' % v['default'] if v['default'] else 'empty') for k, v in s.items())" |
    sed -e "s/\`anna\`/\`\$USER\`/" -e 's/^| `KMI_AUTHS_DIR` .*/| `KMI_AUTHS_DIR` | `_auths`/' |
    while IFS= read -r row; do grep -qF -- "$row" "$root/docs/configuration.md" || echo "$row"; done >../missing
ok 'docs/configuration.md has every setting and its default' eq "$(cat ../missing)" ''
ok 'and no other' eq "$(grep -o '^| `KMI_[A-Z0-9_]*`' "$root/docs/configuration.md" | wc -l)" "$(json 'len(s)')"
config -- --explain
while read -r name lo hi; do
	grep -F "| \`$name\` |" "$root/docs/configuration.md" | grep -qF "| $lo to $hi |" || echo "$name $lo $hi"
done < <(printf '%s\n' "$out" | awk '/^KMI_/ { name = $1 } /whole number/ { print name, $(NF-2), $NF }') >../missing
ok 'and every range' eq "$(cat ../missing)" ''
echo "1..$n"
