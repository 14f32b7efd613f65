#!/bin/bash
# KMI_ROTATE_STRATEGY: conversations that stay on their key, and the key with most quota left.
. "$(dirname "$0")/lib.sh"
keys a b c d
auto
fake_start

talk() {	# talk BODY [CURL ARGUMENTS...]: which key served it
	ask /chat/completions -H 'Content-Type: application/json' -d "$1" "${@:2}"
	tr -d '\r' <"$D/head" | sed -n 's/^x-fake-key: 000//p'
}
keyed() { echo "{\"prompt_cache_key\": \"$1\", \"messages\": [{\"role\": \"user\", \"content\": \"turn $RANDOM\"}]}"; }
opened() { echo "{\"messages\": [{\"role\": \"user\", \"content\": \"$1\"}${2:-}]}"; }

pool_start KMI_ROTATE_STRATEGY=session
stayed=0
for s in $(seq 24); do
	first=$(talk "$(keyed "session-$s")")
	[ "$first" = "$(talk "$(keyed "session-$s")")" ] && [ "$first" = "$(talk "$(keyed "session-$s")")" ] && stayed=$((stayed + 1))
	echo "$first"
done >"$D/first"
trace_wait 72
is "$(jq -s 'group_by(.session) | map(map(.key_label) | unique | length) | [length, max]' -c "$D/state/trace/trace.jsonl")" "[24,1]" "24 conversations, each on one key"
is "$(sort -u "$D/first" | wc -l)" 4 "and all keys have some"
is "$(trace_last 'attempts[0].choice') $(trace_last rotation_index)" "session null" "the trace names the rule"
is "$(jq .rotation_index "$D/state/state.json")" 0 "no turn is taken"
one=$(talk "$(opened "tell me of bees")")
is "$(talk "$(opened "tell me of bees" ', {"role": "assistant", "content": "bzz"}, {"role": "user", "content": "more"}')")" "$one" "without a key of its own: by how the conversation began"
h=$(for i in 1 2 3 4 5; do talk "$(opened "$RANDOM")" -H 'X-Session-Id: mine'; done | sort -u | wc -l)
is "$h" 1 "or by a session header"
rm -rf "$D/state/trace"
for i in 1 2 3 4; do ask /models; done
trace_wait 4
is "$(jq -s 'map(.key_label) | unique | length' "$D/state/trace/trace.jsonl")" 4 "what has no session takes turns"

# a locked key lets go, and gets its own back
home=$(talk "$(keyed bees)")
fake_script "[{\"key\": \"sk-fake-$home-000$home\", \"do\": {\"preset\": \"rate-retry-after\"}}]"
away=$(talk "$(keyed bees)")
ok "a locked key lets go ($home, then $away)" test -n "$away" -a "$home" != "$away"
second=$(talk "$(keyed bees)")
is "$(talk "$(keyed bees)")" "$second" "the conversation has one other key meanwhile"
fake_script '[]'
until_true 10 eval '[ "$(talk "$(keyed bees)")" = '"$home"' ]'
is "$(talk "$(keyed bees)")" "$home" "and its first one again afterwards"
pool_stop

# keys of one account share its cache: a conversation stays with the account
rm -rf "$D/state/state.json"
auto
for k in a b c d; do printf 'KMI_API_KEY=sk-fake-%s-000%s\nKMI_KEY_ACCOUNT=%s\n' $k $k "$([ $k = d ] && echo two || echo one)" >"$D/auths/$k.env"; done
pool_start KMI_ROTATE_STRATEGY=session
two=0
for s in $(seq 40); do [ "$(talk "$(keyed "account-$s")")" = d ] && two=$((two + 1)); done
ok "an account with three keys has no more conversations than one with one ($two of 40)" test "$two" -ge 10 -a "$two" -le 30
pool_stop

# most-quota
rm -rf "$D/state"; mkdir "$D/state"; rm "$D"/auths/*
auto
keys a b c
used() { echo "{\"key\": \"sk-fake-$1-000$1\", \"path\": \"/usages\", \"do\": {\"body\": {\"json\": {\"usage\": {\"limit\": \"100\", \"used\": \"$2\"}}}}}"; }
fake_script "[$(used a 60), $(used b 20), $(used c 20)]"
export KMI_ROTATE_STRATEGY=most-quota
"$BIN/kmi-health" --refresh >"$D/health.out" 2>&1
pool_start
for i in $(seq 30); do ask /models; done
trace_wait 30
is "$(jq -s -c 'map(.key_label) | unique' "$D/state/trace/trace.jsonl")" '["b","c"]' "most quota left: two share the place, the third rests"
is "$(trace_last 'eligible|join(" ")') $(trace_last 'attempts[0].choice')" "b c a most_quota" "the trace says so"
fake_script "[$(used a 10), $(used b 70), $(used c 60)]"
"$BIN/kmi-health" --refresh >"$D/health.out" 2>&1
ask /models
trace_wait 31
is "$(trace_last key_label)" a "new figures count at once"
fake_script "[{\"key\": \"sk-fake-a-000a\", \"do\": {\"status\": 500, \"body\": \"no\"}}]"
ask /models
is "$CODE $(trace_wait 32; trace_last 'attempts|map(.label)|join(" ")')" "200 a c" "the next one is the next best"
pool_stop
finish
