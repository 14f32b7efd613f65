#!/bin/bash
# A key is in memory from its file's last reading until the upstream has it; the proxy's token goes to no program of others.
. "$(dirname "$0")/lib.sh"
. "$root/tests/e2e/tls.sh"
PATH=$BIN:$PATH
export ASAN_OPTIONS=$ASAN_OPTIONS:detect_leaks=0 KMI_LOCALE=en
token=fake-token-that-is-secret
times() { python3 "$root/tests/tools/memory.py" "$1" "$2"; }
with=(-H "Authorization: Bearer $token")

# ---- keys
if [ "$(id -u)" != 0 ] || [ "$(times $$ "$token" 2>/dev/null || echo 0)" = 0 ]; then
	note "only root looks into the memory of processes: those that have a key do not let their user either"
elif [[ ${BUILD:-} = *asan* ]]; then
	note "a sanitizer keeps what was freed"
else
	key=sk-fake-some-key-that-is-long-enough-to-be-found
	# Large enough for buffers to grow while they hold it.
	more=$(printf 'x%.0s' {1..3000})
	kinds=(env toml json)
	printf '# %s\nKMI_API_KEY="%s"\n' "$more" "$key-env" >"$D/auths/env.env"
	printf '# %s\n[providers.a]\napi_key = "%s"\nother = "%s"\n' "$more" "$key-toml" "$more" >"$D/auths/toml.toml"
	printf '{"providers": {"a": {"other": "%s", "api_key": "\\u0073%s"}}}' "$more" "${key#s}-json" >"$D/auths/json.json"
	auto
	fake_start
	pool_start KMI_PROXY_TOKEN=$token
	handler() { pgrep -P "$POOL" -x kmi-handle | head -n 1; }
	for k in "${kinds[@]}"; do chat "${with[@]}"; is "$CODE" 200 "a request"; done
	is "$(times "$(handler)" "$key")" 0 "no key is left in the handler, of .env, .toml or .json"
	is "$(times "$POOL" "$key")" 0 "the process that accepts has seen none"
	fake_script '[{"key": "*", "do": {"status": 401}}]'
	chat "${with[@]}"
	is "$CODE $(times "$(handler)" "$key")" "401 0" "nor after keys were refused, one after the other"
	kmi unlock --all >/dev/null
	fake_script '[{"key": "*", "do": {"close_before_answer": "rst"}}]'
	chat "${with[@]}"
	is "$CODE $(times "$(handler)" "$key")" "502 0" "nor when the upstream broke off"
	fake_script '[{"key": "*", "do": {"sse": {"count": 40, "interval_ms": 100}}}]'
	chat "${with[@]}" -N >/dev/null &
	asking=$!
	ok "an answer streams" until_true 5 eval '[ "$(wc -c <"$D/body")" -gt 100 ]'
	is "$(times "$(handler)" "$key")" 0 "nor while an answer streams"
	kill $asking; wait $asking 2>/dev/null
	fake_script '[]'
	pool_stop

	tls_start KMI_PROXY_TOKEN=$token
	is "$(tls_code "${with[@]}" "$T/models")" 200 "by TLS"
	tls_silent
	ok "a connection" until_true 10 eval 'child=$(pgrep -P "$TLS" -x kmi-tls)'
	sleep 0.3
	is "$(times "$child" "$key") $(times "$child" "$token")" "0 0" "the process of a connection of TLS has neither a key nor the token"
	is "$(times "$TLS" "$key")" 0 "its parent no key"
	kill $SILENT
	tls_stop
fi

# ---- the token, in what programs of others are given
mkdir "$D/strangers"
for p in curl openssl tail kimi systemctl journalctl awk sort; do
	real=$(command -v $p || echo /bin/true)
	printf '#!/bin/sh\nenv >>"%s/seen.%s"\nexec %s "$@"\n' "$D" "$p" "$real" >"$D/strangers/$p"
	chmod +x "$D/strangers/$p"
done
rm -f "$D/auths"/*
keys a b
auto
export KMI_PROXY_TOKEN=$token KMI_DRY_RUN=1 KMI_PROXY_LISTEN=127.0.0.1:$(free_port)
PATH=$D/strangers:$PATH
unset KMI_PROXY_TLS_CERT KMI_PROXY_TLS_KEY
kmi proxy >"$D/out" 2>&1; is $? 0 "kmi proxy"
kmi e2e -n 6 --pause 0 >"$D/out" 2>&1; is $? 0 "kmi e2e, with the token"
kmi proxy-logs --no-follow >/dev/null 2>&1
kmi doctor >/dev/null 2>&1
kmi kimi --version >/dev/null 2>&1
kmi tls selfsigned "$D/cert.pem" "$D/key.pem" >/dev/null 2>&1
kmi proxy-stop -y >/dev/null; is $? 0 "kmi proxy-stop"
for p in curl openssl tail awk; do
	ok "$p was run" test -s "$D/seen.$p"
	ok "and not given the token" eval '! grep -q "$token" "$D/seen.$p"'
done
ok "the Kimi CLI has it as its key" grep -q "^[A-Z_]*API_KEY=$token" "$D/seen.kimi"
ok "alone" eval '! grep -q "^KMI_PROXY_TOKEN=" "$D/seen.kimi"'
for p in systemctl journalctl; do ok "$p is not given it" eval '! grep -qs "$token" "$D/seen.$p"'; done
finish
