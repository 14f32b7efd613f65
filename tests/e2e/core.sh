# core.sh: what must work whoever starts the handlers: s6, tcpserver, xinetd, inetd, a process a connection or a pool. Sourced
# after lib.sh by the tests of each.
#
#	keys a b; auto; fake_start; core_script
#	U=http://127.0.0.1:$PORT/kmi-rotor/v1 L=$U WAY=()		or, on a unix socket:
#	U=http://localhost/kmi-rotor/v1 L=unix:$S:/kmi-rotor/v1 WAY=(--unix-socket "$S")
#	core NAME BURST
#
# Requests take turns, streams are whole, BURST connections at once are all answered, kill -9 of some handlers costs nobody
# else anything, and the books say it all.
core_script() {
	fake_script '[{"path": "/slow", "do": {"sse": {"count": 5, "interval_ms": 20, "size": 16}}},
		{"path": "/long", "do": {"sse": {"count": 20, "interval_ms": 100, "size": 16}}}]'
}
descendants() { local p; for p in $(pgrep -P "$1"); do echo "$p"; descendants "$p"; done; }
# The handlers that this test has caused: not a pool's parent.
handlers() {
	local p
	for p in $(descendants $$); do
		[ "$(readlink "/proc/$p/exe")" = "$BIN/kmi-handle" ] && ! pgrep -P "$p" -x kmi-handle >/dev/null && echo "$p"
	done
}
long_streams() {	# long_streams COUNT: begins them, and waits until all have begun
	local i
	LONG=()
	rm -f "$D"/long.*
	for i in $(seq "$1"); do
		curl -sN -m 30 "${WAY[@]}" -d '{"stream": true}' "$U/long" >"$D/long.$i" 2>/dev/null &
		LONG+=($!)
	done
	for i in $(seq "$1"); do until_true 20 grep -q data: "$D/long.$i" || return 1; done
}
long_whole() { grep -l '^data: \[DONE\]' "$D"/long.* | wc -l; }

core() {
	local name=$1 burst=$2 before killed
	ok "$name: it listens" until_true 10 curl -s "${WAY[@]}" -o /dev/null "$U/"
	fake_reset
	for _ in 1 2 3 4; do ask /models "${WAY[@]}"; [ "$CODE" = 200 ] || break; done
	is "$CODE" 200 "$name: requests"
	is "$(fake_keys 4 | tr ' ' '\n' | sort | tr '\n' ' ')" "a a b b " "$name: rotation"
	ask /slow -d '{"stream": true}' "${WAY[@]}"
	is "$(grep . "$D/body" | tail -n 1)" "data: [DONE]" "$name: a stream"
	before=$(trace_lines)
	"$TOOLS/load" -K -c "$burst" -n "$burst" -t 60 --json "$L/models" >"$D/load.json"
	is "$(jq -c '[.status["200"], ([.errors[]] | add)]' "$D/load.json")" "[$burst,0]" "$name: $burst connections at once"
	ok "$name: each has its line" trace_wait $((before + burst))

	ok "$name: six streams" long_streams 6
	killed=$(handlers | head -n 3)
	# shellcheck disable=SC2086
	kill -9 $killed
	ask /models "${WAY[@]}"; is "$CODE" 200 "$name: three handlers are killed with -9, the next request is served"
	wait "${LONG[@]}"
	ok "$name: nobody else's stream is cut" test "$(long_whole)" -ge 3
	ask /models "${WAY[@]}"; is "$CODE" 200 "$name: and it goes on"
	is "$(jq -r '.keys | keys | join(" ")' "$D/state/state.json")" "a b" "$name: the books are whole"
	ok "$name: and so are the choices" eval '"$BIN/kmi" trace --verify >"$D/out" 2>&1'
}
