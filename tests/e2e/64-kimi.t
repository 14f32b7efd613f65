#!/bin/bash
# kmi kimi: the Kimi CLI is sent through the proxy; kmi metrics: the pool in figures.
. "$(dirname "$0")/lib.sh"
PATH=$BIN:$PATH
keys a b
mkdir -p "$D/clients" "$HOME"
cat >"$D/clients/kimi" <<'K'
#!/bin/bash
# Stands for the real one: it goes where its variables tell it.
if [ "${1-}" = ask ]; then
	curl -sS -m 10 -H "Authorization: Bearer $KIMI_API_KEY" "$KIMI_BASE_URL/models"
	exit
fi
printf '%s\n' "$#" "$@"
env | grep -E '^(KIMI|KMI|NO_PROXY|no_proxy)' | sort
exit 7
K
chmod +x "$D/clients/kimi"

# An address of its own: at the usual one the user's proxy may run.
KMI_PROXY_LISTEN=127.0.0.1:1 kmi kimi chat >"$D/out" 2>"$D/err"
is $? 1 "nobody listens: it does not start"
has "$(cat "$D/err")" "kmi proxy" "and says what to do"
fake_start
auto
pool_start
export KMI_PROXY_LISTEN=127.0.0.1:$PORT
PATH=$BIN:/usr/bin:/bin kmi kimi >"$D/out" 2>"$D/err"
is $? 1 "no Kimi CLI there"
has "$(cat "$D/err")" "neither kimi nor kimi-cli nor kimi-code" "is said"
PATH=$D/clients:$PATH
mkdir -p "$D/decoys/kimi" "$D/decoys2"
printf '#!/bin/sh\n' >"$D/decoys2/kimi"
ln -s "$D/none" "$D/decoys2/kimi-cli"
PATH=$D/decoys:$D/decoys2:$PATH kmi kimi >"$D/out" 2>"$D/err"
is "$? $(head -1 "$D/out")" "7 0" "a folder, a file that cannot be run, a link to nothing: passed over"
NO_PROXY=example.com kmi kimi a 'b c' --help -- >"$D/out"
is $? 7 "its exit status is passed on"
is "$(head -5 "$D/out" | tr '\n' '|')" "4|a|b c|--help|--|" "its arguments untouched"
base=http://127.0.0.1:$PORT/kmi-rotor/v1
for v in KIMI_BASE_URL KIMI_CODE_BASE_URL KIMI_MODEL_BASE_URL; do
	has "$(cat "$D/out")" "$v=$base" "$v"
done
has "$(cat "$D/out")" "KIMI_WEB_SEARCH_BASE_URL=$base/search" "the search, with its whole address"
has "$(cat "$D/out")" "KIMI_WEB_FETCH_BASE_URL=$base/fetch" "and fetching"
has "$(cat "$D/out")" "NO_PROXY=example.com,127.0.0.1,localhost,::1" "an HTTP proxy is not asked for it"
has "$(cat "$D/out")" "KIMI_MODEL_NAME=kimi-for-coding" "a model, where none is set"
has "$(cat "$D/out")" "KIMI_MODEL_MAX_CONTEXT_SIZE=262144" "with its context"
ok "no key of the pool" eval '! grep -q sk-fake "$D/out"'
KIMI_MODEL_NAME=mine kmi kimi >"$D/out"
has "$(cat "$D/out")" "KIMI_MODEL_NAME=mine" "one that is set stays"
ok "and has the context it has" eval '! grep -q CONTEXT_SIZE "$D/out"'
kmi kimi -- --help >"$D/out"
is "$(head -2 "$D/out" | tr '\n' '|')" "1|--help|" "behind -- its own help"
kmi kimi --help >"$D/out"
has "$(cat "$D/out")" "usage: kmi kimi" "alone, ours"
kmi kimi ask >"$D/out"
has "$(cat "$D/out")" '"object"' "a request goes through the proxy"
is "$(fake_last key)" sk-fake-a-000a "with a key of the pool"
KMI_PROXY_TOKEN=fake-token kmi kimi >"$D/out"
has "$(cat "$D/out")" "KIMI_API_KEY=fake-token" "the proxy's token is the client's key"
mkdir "$HOME/.kimi"
printf '[providers."managed:kimi-code"]\ntype = "kimi"\n[providers."managed:kimi-code".oauth]\nkey = "k"\n' >"$HOME/.kimi/config.toml"
KMI_PROXY_TOKEN=fake-token kmi kimi 2>"$D/err" >"$D/out"
is "$?" 7 "one that is logged in"
has "$(cat "$D/err")" "sends its login instead of KMI_PROXY_TOKEN" "is warned of the token"
kmi kimi 2>"$D/err" >"$D/out"
is "$? $(cat "$D/err")" "7 " "and not without one"
rm -r "$HOME/.kimi"
KMI_PROXY_LISTEN=unix:$D/sock kmi kimi 2>"$D/err"
is $? 1 "a unix socket cannot be called"
has "$(cat "$D/err")" KMI_PROXY_LISTEN= "and what can"
ln -s "$BIN/kmi-kimi" "$D/kimi_robin"
"$D/kimi_robin" x >"$D/out"
is "$? $(head -2 "$D/out" | tr '\n' '|')" "7 1|x|" "as kimi_robin"

# metrics
fake_script '[{"key": "sk-fake-b-000b", "do": {"status": 429, "headers": [["Retry-After", "3000"]]}}]'
chat; chat; chat
printf 'KMI_API_KEY=sk-fake-q-000q\nKMI_KEY_LABEL="quo\\"te\\\\d"\n' >"$D/auths/q.env"
kmi metrics >"$D/out"
is $? 0 "kmi metrics"
python3 - "$D/out" <<'P'
import re, sys
lines = open(sys.argv[1], encoding="utf-8").read().split("\n")
assert lines[-1] == "" and lines[-2] == "# EOF", "it ends in # EOF"
known, seen, family = {}, set(), None
for line in lines[:-2]:
    if line.startswith("# HELP "):
        continue
    if line.startswith("# TYPE "):
        _, _, family, kind = line.split(" ")
        assert family not in known, "a family is told once: " + family
        known[family] = kind
        continue
    m = re.fullmatch(r'([a-z_]+)(\{((?:[a-z_]+="(?:[^"\\\n]|\\["\\n])*",?)*)\})? (-?[0-9.]+(?:e[+-][0-9]+)?)', line)
    assert m, "not a sample: " + line
    assert m[1] == family + ("_total" if known[family] == "counter" else ""), "outside its family: " + line
    assert (m[1], m[3]) not in seen, "twice: " + line
    seen.add((m[1], m[3]))
P
is $? 0 "it is well-formed"
has "$(cat "$D/out")" 'kmi_key_errors_total{label="b",kind="429"} 1' "errors by kind"
summary=$(kmi trace --summary --json)
is "$(sed -n 's/^kmi_trace_requests{status="2xx"} //p' "$D/out")" "$(jq .statuses.\"2xx\" <<<"$summary")" "requests of the trace"
is "$(sed -n 's/^kmi_trace_answers{label="a"} //p' "$D/out")" "$(jq .counts.a <<<"$summary")" "by key"
is "$(sed -n 's/^kmi_trace_tokens{kind="prompt"} //p' "$D/out")" "$(jq -s 'map(.prompt_tokens // 0) | add' "$D/state/trace/trace.jsonl")" "their tokens"
is "$(sed -n 's/^kmi_trace_bytes{direction="out"} //p' "$D/out")" "$(jq -s 'map(.bytes_out // 0) | add' "$D/state/trace/trace.jsonl")" "and bytes"
is "$(sed -n 's/^kmi_trace_latency_seconds{quantile="1"} //p' "$D/out" | awk '{ print $1 * 1000 }')" "$(jq .latency_ms.max <<<"$summary")" "the slowest"
has "$(cat "$D/out")" 'kmi_keys{status="exhausted"} 1' "keys by status"
has "$(cat "$D/out")" 'label="quo\"te\\d"' "labels are escaped"
ok "no secret" eval '! grep -q sk-fake "$D/out"'
kmi metrics --output "$D/kmi.prom"
is "$? $(stat -c %a "$D/kmi.prom")" "0 644" "--output is for everybody"
kmi metrics --output "$D/none/kmi.prom" 2>"$D/err"
is $? 1 "a folder that is not there"
cp "$D/state/state.json" "$D/keep.json"
sed 's/"schema_version": 1/"schema_version": 9/' "$D/keep.json" >"$D/state/state.json"
cp "$D/kmi.prom" "$D/before"
kmi metrics --output "$D/kmi.prom" 2>"$D/err"
is $? 1 "books that cannot be read"
has "$(cat "$D/err")" "state.json: schema_version is 9" "are said"
has "$(cat "$D/err")" "kmi doctor" "with what to do"
ok "and the file is left as it was" cmp "$D/before" "$D/kmi.prom"
is "$(kmi metrics 2>/dev/null)" "" "nothing is printed"
echo '{"schema_version": 1, "keys": {' >"$D/state/state.json"
kmi metrics >"$D/out" 2>"$D/err"
is "$? $(cat "$D/out")" "1 " "nor of such as are damaged"
has "$(cat "$D/err")" "set aside as $D/state/state.json.corrupt" "which are set aside"
cp "$D/keep.json" "$D/state/state.json"
mv "$D/state/trace/trace.jsonl" "$D/trace.jsonl"; mkdir "$D/state/trace/trace.jsonl"
kmi metrics >"$D/out" 2>"$D/err"
is "$? $(cat "$D/out")" "1 " "a trace that cannot be read"
ok "is said" test -s "$D/err"
rmdir "$D/state/trace/trace.jsonl"; mv "$D/trace.jsonl" "$D/state/trace/trace.jsonl"
kmi metrics x 2>"$D/err"
is $? 2 "an argument that is none"
pool_stop
finish
