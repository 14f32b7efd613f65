#!/bin/bash
# Secrets stay where they belong: every file that is written and every byte that is answered, over much of what can happen.
. "$(dirname "$0")/lib.sh"
PATH=$BIN:$PATH
keys a b
mkdir -p "$HOME" "$D/other"
echo 'KMI_API_KEY=fake-words-and-no-digits' >"$D/other/l.env"
ln -s "$D/other/l.env" "$D/auths/l.env"
# Somebody named a file by its key.
echo 'KMI_API_KEY=sk-fake-named-by-its-key' >"$D/auths/sk-fake-named-by-its-key.env"
fake_start
auto
token=fake-token-that-is-secret
printf '%s\n' "$token" >"$D/token"; chmod 600 "$D/token"
pool_start KMI_PROXY_TOKEN_FILE="$D/token"
export KMI_PROXY_LISTEN=127.0.0.1:$PORT
answers=$D/answers
: >"$answers"
with=(-H "Authorization: Bearer $token")
collect() { cat "$D/body" "$D/head" "$D/curl.err" "$D/state/state.json" >>"$answers" 2>/dev/null; }
chat; is "$CODE" 401 "no token, no answer"; collect
chat -H "Authorization: Bearer fake-wrong-token"; is "$CODE" 401 "nor with a wrong one"; collect
chat "${with[@]}"; is "$CODE" 200 "with the token from its file"; collect
for status in 400 401 402 403 404 429 500 503; do
	fake_script '[{"key": "*", "do": {"status": '$status'}}]'
	chat "${with[@]}"; collect
	kmi unlock --all >>"$answers" 2>&1
done
# An upstream that repeats the key it was given, in its body and in a header.
for k in a:sk-fake-a-000a b:sk-fake-b-000b l:fake-words-and-no-digits n:sk-fake-named-by-its-key; do
	fake_script '[{"key": "'"${k#*:}"'", "do": {"status": 401, "headers": [["X-Key", "'"${k#*:}"'"]], "body": "no such key: '"${k#*:}"', sorry"}}]'
	for _ in 1 2 3 4; do chat "${with[@]}"; collect; done
	kmi keys >>"$answers" 2>&1
	kmi unlock --all >>"$answers" 2>&1
done
fake_script '[{"key": "*", "do": {"status": 400, "headers": [["X-Key", "sk-fake-a-000a"]], "body": "no such key: sk-fake-a-000a, sorry"}}]'
chat "${with[@]}"; collect
is "$(cat "$D/body")" "no such key: **************, sorry" "an error body is as long as it was, without the key"
is "$(grep -i '^x-key' "$D/head" | tr -d '\r')" "X-Key: **************" "a header, too"
fake_script '[{"key": "*", "do": {"raw": "nonsense\r\n\r\n"}}]'; chat "${with[@]}"; collect
fake_script '[{"key": "*", "do": {"stall": true}}]'; ask /x "${with[@]}" -m 1; collect
fake_script '[]'
ask '/x?api_key=nothing' "${with[@]}" -H 'x-api-key: fake-client-key'; collect
for t in "keys" "keys --json" "status" "status --json" "config" "config --json" "health --refresh" "health --json" "rotate" "rotate --json" \
	"doctor" "doctor --json" "metrics" "unlock --all"; do
	# shellcheck disable=SC2086
	KMI_PROXY_TOKEN_FILE=$D/token kmi $t >>"$answers" 2>&1
done
printf 'KMI_API_KEY=sk-fake broken\n' >"$D/auths/bad.env"; kmi keys >>"$answers" 2>&1
for p in $(pgrep -P "$POOL") "$POOL"; do tr '\0' '\n' <"/proc/$p/cmdline"; tr '\0' '\n' <"/proc/$p/environ"; done >>"$answers" 2>/dev/null
pool_stop
cat "$D/pool.err" >>"$answers"
# A file's name is what its owner made it, and the cache of the pool has to know it.
rm -f "$D/state/pool.index"
for secret in sk-fake-a-000a sk-fake-b-000b fake-words-and-no-digits sk-fake-named-by-its-key "$token" fake-wrong-token fake-client-key "sk-fake broken"; do
	ok "not in an answer, an output or an environment: $secret" eval '! grep -qF "$secret" "$answers"'
	ok "not in a file of the state folder: $secret" eval '! grep -rqF "$secret" "$D/state"'
done
finish
