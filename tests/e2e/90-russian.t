#!/bin/bash
# What people read, in both languages: golden pages, help of every command, errors, a client's errors; and what programs
# read, which is the same in both. UPDATE=1 writes the golden files anew; look at the difference before it is kept.
. "$(dirname "$0")/lib.sh"
golden=$root/tests/golden
PATH=$BIN:$PATH
export KMI_AUTHS_DIR=auths KMI_STATE_DIR=state USER=anna LANG=C LC_ALL=C TERM=dumb KMI_PROXY_LISTEN=127.0.0.1:1
rm -rf "$D/auths"
mkdir "$D/auths"
one() { printf 'KMI_API_KEY=sk-fake-%s-12345678\n%s\n' "$1" "$2" >"$D/auths/$1.env"; }
one anna ''
one boris 'KMI_KEY_ACCOUNT=семья'
one clara 'KMI_KEY_DISABLED=1'
one dora 'KMI_KEY_LABEL=Дора
KMI_KEY_PRIORITY=5'
one egon 'KMI_KEY_ACCOUNT=семья'
printf 'KMI_API_KEY="sk-fake\n' >"$D/auths/x.env"
printf '{"providers": {\n' >"$D/auths/y.json"
printf 'a = 1\n' >"$D/auths/z.toml"
state_with_locks() {
	local until
	until=$(date -u -d '+500 days 12 hours' +%FT%TZ)
	cat >"$D/state/state.json" <<-EOF
	{"schema_version": 1, "keys": {
	"anna": {"exhausted_until": "$until", "request_count": 7},
	"boris": {"blocked_until": "$until", "blocked_reason": "payment_required"}}}
	EOF
}
# The sandbox is off under a sanitizer.
still() { sed -e 's/ *$//' -e '/^KMI_SANDBOX  /d'; }
wide() { LC_ALL=C.UTF-8 grep -E '^.{81}' "$@"; }

# page NAME COMMAND...: the page in both languages is as it is kept
page() {
	local name=$1 language
	shift
	state_with_locks
	for language in en ru; do
		KMI_LOCALE=$language "$@" 2>"$D/err" </dev/null | still >"$D/page"
		[ -s "$D/page" ] || cat "$D/err"
		[ -n "${UPDATE:-}" ] && cp "$D/page" "$golden/$name.$language"
		is "$(diff "$golden/$name.$language" "$D/page" 2>&1)" "" "$name, $language: as in tests/golden"
	done
}
page kmi kmi --help
page keys kmi keys --plain
page status kmi status --plain
page config kmi config
page explain kmi config --explain
page health kmi health --cached --plain

# Columns stand under each other, and on a terminal nothing is wider than it.
cat >"$D/columns.py" <<'EOF'
import sys
rows = open(sys.argv[1], encoding="utf-8").read().split("\n\n")[0].replace("\r", "").splitlines()
at = rows[0].index("СТАТУС")
print(len(rows), {row[at - 2:at] for row in rows}, {row[at] != " " for row in rows})
EOF
KMI_LOCALE=ru kmi keys --plain >"$D/page"
is "$(python3 "$D/columns.py" "$D/page")" "6 {'  '} {True}" "letters of two bytes take one column, also where the system knows no UTF-8"
for c in 'keys' 'status' 'health --cached' 'config'; do
	KMI_LOCALE=ru TERM=xterm script -qec "stty cols 80 rows 24; kmi $c" /dev/null </dev/null 2>&1 |
		sed 's/\x1b\[[0-9;]*m//g; s/\r//g' >"$D/page"
	is "$(wide "$D/page" | grep -v '  https://')" "" "kmi $c: within a terminal of 80 columns"
	ok "and it says something" grep -q '[а-я]' "$D/page"
done

# Help: the same flags in both languages, and not an English line in the Russian one.
flags() { grep -Eo -- '(^|[^a-zA-Z0-9-])--?[a-z][a-z0-9_-]*' | grep -o -- '-.*' | sort -u; }
for c in $(kmi help | sed -n 's/^  \([a-z][a-z0-9-]*\)  .*/\1/p'); do
	[ "$c" = kimi ] && [ ! -x "$BIN/kmi-kimi" ] && continue
	kmi "$c" --help >"$D/en" 2>"$D/err"
	is $? 0 "kmi $c --help"
	KMI_LOCALE=ru kmi "$c" --help >"$D/ru" 2>>"$D/err"
	is "$(flags <"$D/ru")" "$(flags <"$D/en")" "kmi $c --help: the same flags in Russian"
	is "$(grep -v '[а-яё]' "$D/ru" | grep -E '[a-z]+ [a-z]+ [a-z]+' | grep -v -- ' kmi ')" "" "kmi $c --help: every line is Russian"
	is "$(wide -h "$D/en" "$D/ru")" "" "kmi $c --help: within 80 columns"
	[ -n "${UPDATE:-}" ] && cp "$D/ru" "$golden/help-$c.ru" && cp "$D/en" "$golden/help-$c.en"
	is "$(diff "$golden/help-$c.en" "$D/en" 2>&1; diff "$golden/help-$c.ru" "$D/ru" 2>&1)" "" "kmi $c --help: as in tests/golden"
done

# What programs read is one, whatever the language.
json() {
	local language
	for language in en ru; do
		state_with_locks
		KMI_LOCALE=$language kmi "$@" 2>/dev/null </dev/null | sed 's/"pids": \[[^]]*\]//; s/"[0-9T:-]*Z"/""/g' >"$D/json.$language"
	done
	is "$(cat "$D/json.ru")" "$(cat "$D/json.en")" "kmi $*: the same in both languages"
	ok "and not empty" test -s "$D/json.en"
}
json keys --json
json status --json
json health --cached --json
KMI_LOCALE=en kmi config --json | sed '/KMI_LOCALE/d; s/"KMI_LOCALE"[^}]*}//' >"$D/json.en"
KMI_LOCALE=ru kmi config --json | sed '/KMI_LOCALE/d; s/"KMI_LOCALE"[^}]*}//' >"$D/json.ru"
is "$(cat "$D/json.ru")" "$(cat "$D/json.en")" "kmi config --json: the same in both languages"
KMI_DRYRUN=1 KMI_LOCALE=ru kmi config --json >"$D/out" 2>"$D/err"
is "$(jq -r '.warnings[0]' "$D/out")" "KMI_DRYRUN (environment) is no setting; did you mean KMI_DRY_RUN?" "a warning in it"

# The same for our shell scripts.
is "$("$BIN/kmi-text" 'a %s b %2$s %% %d 100% %9$s|%0$s' x y)" 'a x b y % %d 100% |' "kmi-text fills in what is asked for"
is "$(KMI_LOCALE=ru "$BIN/kmi-text" 'unknown option %s' '-%s')" "неизвестный параметр -%s" "and translates the text alone"

# Errors, from wherever the language is set.
fails() { "$@" >"$D/out" 2>"$D/err"; CODE=$?; }
export KMI_LOCALE=ru
fails kmi stats; is "$CODE $(cat "$D/err")" "2 kmi: ошибка: неизвестная команда stats
kmi: подсказка: возможно, имелось в виду status?" "a wrong command"
fails kmi --status --all; is "$CODE $(head -n 1 "$D/err")" "2 kmi: ошибка: --status и --all — два режима; укажите один" "two modes"
fails kmi keys --jsn; is "$CODE $(head -n 1 "$D/err")" "2 kmi-keys: ошибка: неизвестный параметр --jsn" "a wrong flag"
fails env KMI_PROXY_RETRY_MAX=many "$BIN/kmi" keys; is "$CODE $(cat "$D/err")" \
	"2 kmi-keys: ошибка: KMI_PROXY_RETRY_MAX имеет значение \"many\" (окружение); допустимо: целое число от 0 до 100" "a bad value"
fails env KMI_AUTHS_DIR=nowhere "$BIN/kmi" keys; is "$CODE $(head -n 1 "$D/err")" \
	"1 kmi-keys: ошибка: не удалось открыть каталог nowhere: нет такого файла или каталога" "what the system says"
fails sh -c 'exec kmi status >/dev/full'; has "$(cat "$D/err")" "на устройстве нет места" "a full disk"
fails env KMI_DRYRUN=1 "$BIN/kmi" keys; has "$(cat "$D/err")" \
	"kmi-keys: предупреждение: нет настройки KMI_DRYRUN (окружение); возможно, имелось в виду KMI_DRY_RUN?" "an unknown name"
unset KMI_LOCALE
echo 'locale = "ru"' >kmi.config.toml
fails kmi status; has "$(cat "$D/out")" "режим" "a file sets the language"
fails kmi help; has "$(cat "$D/out")" "КОМАНДА" "for help"
fails kmi stats; has "$(cat "$D/err")" "неизвестная команда" "for a wrong command"
fails kmi keys --jsn; has "$(cat "$D/err")" "неизвестный параметр" "for a wrong flag"
fails env KMI_RETRY_MAX=many "$BIN/kmi" status; has "$(cat "$D/err")" "предупреждение: нет настройки KMI_RETRY_MAX" "for a warning"
fails env KMI_PROXY_RETRY_MAX=many "$BIN/kmi" status; has "$(cat "$D/err")" "допустимо: целое число" "for an error in another source"
fails env KMI_LOCALE=en "$BIN/kmi" status; has "$(cat "$D/out")" "mode " "the environment outranks it"
rm kmi.config.toml
fails env KMI_LOCALE=fr "$BIN/kmi" keys; is "$CODE $(cat "$D/err")" \
	'2 kmi-keys: error: KMI_LOCALE is "fr" (environment); allowed: en or ru' "a language there is none of"

# A client: message and hint are for people, the rest is for programs; the log stays as it is.
unset KMI_PROXY_LISTEN
rm -rf "$D/state"; mkdir "$D/state"
export KMI_AUTHS_DIR=$D/auths KMI_STATE_DIR=$D/state
pool_start KMI_LOCALE=ru KMI_PROXY_TOKEN=sk-fake-token
ask /models
is "$CODE $(jq -r '.error.type + " " + .error.code' "$D/body")" "401 authentication_error invalid_proxy_token" "a client's error: type and code"
is "$(jq -r .error.message "$D/body")" "прокси требует токен: в запросе его нет или он другой" "its message"
has "$(jq -r .error.hint "$D/body")" "Передавайте значение KMI_PROXY_TOKEN" "its hint"
curl -s -o "$D/body" "http://127.0.0.1:$PORT/else" -H 'X-KMI-Proxy-Token: sk-fake-token'
is "$(jq -r '.error.code + ": " + .error.message' "$D/body")" "not_found: здесь ничего нет; базовый путь прокси — /kmi-rotor/v1" "one with a value in it"
exec 3<>"/dev/tcp/127.0.0.1/$PORT"
printf 'GET / HTTP/1.1\r\nHost: a\r\n b\r\n\r\n' >&3
has "$(timeout 5 cat <&3)" "перенос строки заголовка" "one before there is a request"
exec 3>&-
until_true 5 test -s "$D/state/logs/kmi.log"
is "$(cat "$D"/state/logs/kmi.log "$D"/state/trace/trace.jsonl | grep -c '[а-яё]')" 0 "log and trace are in English"
finish
