#!/bin/bash
# The sandbox of a handler holds, and is in nobody's way; secrets stay where they belong.
. "$(dirname "$0")/lib.sh"
PATH=$BIN:$PATH
keys a b
mkdir -p "$HOME" "$D/other"
# Beside the folder of keys a handler may look, since that may be replaced at any time; so this is somewhere else.
private=$(mktemp -d "${TMPDIR:-/tmp}/kmi-private.XXXXXX")
trap 'rm -rf "$private"; cleanup' EXIT
echo private >"$private/id"
echo 'KMI_API_KEY=sk-fake-l-000l' >"$D/other/l.env"
ln -s "$D/other/l.env" "$D/auths/l.env"
fake_start
port=$(cat "$D/port")
closed=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
how() { grep -F "$1 " "$D/out" | sed "s|^$1 ||"; }

# What a handler must be able to do, and what not. The folder of the tests is not the place to stand in.
cd "$HOME" || exit 1
things=("read:$D/auths/a.env" "read:$D/auths/l.env" "make:$D/state/new" "write:$D/state/new" "remove:$D/state/new"
	"read:/etc/resolv.conf" "write:/dev/null" "run:/bin/true" "connect:$port"
	"read:$private/id" "write:$D/auths/a.env" "make:$D/auths/z.env" "remove:$D/auths/a.env" "make:$private/x" "make:/tmp/kmi-stepped-out.$$"
	"write:/etc/passwd" "connect:$closed")
"$TOOLS/step-out" "${things[@]}" >"$D/out" 2>"$D/err"
is $? 0 "the sandbox is entered"
version=$(head -n 1 "$D/out")
for t in "${things[@]:0:9}"; do is "$(how "$t")" ok "may ${t%%:*} $(basename "${t#*:}")"; done
if [ "$version" -gt 0 ]; then
	for t in "${things[@]:9:7}"; do is "$(how "$t")" "Permission denied" "may not ${t%%:*} $(basename "${t#*:}")"; done
	[ "$version" -lt 4 ] || is "$(how "connect:$closed")" "Permission denied" "may not connect elsewhere"
else
	note "this kernel has no Landlock: nothing is held back"
fi
rm -f "/tmp/kmi-stepped-out.$$" "$private/x"
KMI_SANDBOX=0 "$TOOLS/step-out" "read:$private/id" >"$D/out"
is "$(how "read:$private/id")" ok "KMI_SANDBOX=0 leaves it"
cd "$root" || exit 1

# ---- secrets: every file that is written and every byte that is answered, over much of what can happen
auto
token=fake-token-that-is-secret
printf '%s\n' "$token" >"$D/token"; chmod 600 "$D/token"
pool_start KMI_PROXY_TOKEN_FILE="$D/token"
export KMI_PROXY_LISTEN=127.0.0.1:$PORT
answers=$D/answers
: >"$answers"
with=(-H "Authorization: Bearer $token")
collect() { cat "$D/body" "$D/head" "$D/curl.err" >>"$answers" 2>/dev/null; }
chat; is "$CODE" 401 "no token, no answer"; collect
chat -H "Authorization: Bearer fake-wrong-token"; is "$CODE" 401 "nor with a wrong one"; collect
chat "${with[@]}"; is "$CODE" 200 "with the token from its file"; collect
for status in 400 401 402 403 404 429 500 503; do
	fake_script '[{"key": "*", "do": {"status": '$status'}}]'
	chat "${with[@]}"; collect
	kmi unlock --all >>"$answers" 2>&1
done
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
for secret in sk-fake-a-000a sk-fake-b-000b sk-fake-l-000l "$token" fake-wrong-token fake-client-key "sk-fake broken"; do
	ok "not in an answer, an output or an environment: $secret" eval '! grep -qF "$secret" "$answers"'
	ok "not in a file of the state folder: $secret" eval '! grep -rqF "$secret" "$D/state"'
done
finish
