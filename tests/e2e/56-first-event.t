#!/bin/bash
# An event stream goes to the client from its first event on: an error there is an error, and another key is tried.
. "$(dirname "$0")/lib.sh"
keys a b
auto
fake_start
pool_start KMI_PROXY_RETRY_BASE_MS=1

again() {	# again SCRIPT: both keys fresh, key a's turn
	rm -rf "$D/state/trace" "$D/state/state.json"
	auto
	fake_reset
	fake_script "$1"
}
error() { echo "{\"error\": {\"message\": \"$2\", \"type\": \"$1\", \"code\": \"$1\"}}"; }
rate=$(error rate_limit_reached_error "organization max RPM: 20")
overload=$(error engine_overloaded_error "The engine is currently overloaded")
good='{"key": "*", "do": {"sse": {"count": 2}}}'
stream() { ask /chat/completions -N -m "${1:-10}" -d '{"stream": true}'; }
# seen: the seconds until each line arrived
seen() {
	curl -sN -m 15 -d '{"stream": true}' "$U/chat/completions" | python3 -c '
import sys, time
begin = time.monotonic()
for line in sys.stdin.buffer:
    if line.strip():
        print("%.1f %s" % (time.monotonic() - begin, line.decode().strip()[:60]), flush=True)' >"$D/seen"
}
when() { awk -v what="$1" 'index($0, what) {print $1; exit}' "$D/seen"; }
between() { awk "BEGIN {exit !(\"$1\" != \"\" && $1 + 0 >= $2 && $1 + 0 <= $3)}"; }

again "[{\"key\": \"sk-fake-a-000a\", \"do\": {\"preset\": \"sse-error-rate\"}}, $good]"
stream
is "$CODE $(tail -n 2 "$D/body" | head -1)" "200 data: [DONE]" "a stream that begins with an error: the next key's answer"
hasnt=$(grep -c error "$D/body")
is "$hasnt" 0 "nothing of the first one reaches the client"
trace_wait 1
is "$(trace_last 'attempts|map(.label + ":" + .verdict)|join(" ")')" "a:rate b:ok" "both are in the trace"
ok "the key is locked for it" test "$(state a exhausted_until)" != null
is "$(state a error_429)" 1 "and the error counted"

again "[{\"key\": \"sk-fake-a-000a\", \"do\": {\"sse\": [{\"data\": $rate}, {\"delay_ms\": 20000, \"data\": \"late\"}]}}, $good]"
stream 5
is "$CURL $(tail -n 2 "$D/body" | head -1)" "0 data: [DONE]" "an error event in a stream that stays open: not waited for"
fake_wait 2
is "$(jq -sc 'map(.aborted)' "$D/rec/log.jsonl")" "[true,false]" "and that stream is ended"

again "[{\"key\": \"*\", \"do\": {\"preset\": \"sse-error\"}}]"
stream
is "$CODE $(sed -n 's/^data: //p' "$D/body" | jq -r .error.type)" "200 engine_overloaded_error" "all keys answer so: the last answer as it came"
is "$(fake_count)" 3 "after the attempts that are allowed"

again "[{\"key\": \"*\", \"do\": {\"sse\": [{\"data\": $overload}, {\"delay_ms\": 1000, \"data\": \"more\"}]}}]"
stream
has "$BODY" "data: more" "also when the last one goes on after its error"

again "[{\"key\": \"sk-fake-a-000a\", \"do\": {\"sse\": [{\"comment\": \"ping\"}, {\"comment\": \"ping\"}, {\"delay_ms\": 300, \"data\": $overload}]}}, $good]"
stream
is "$(tail -n 2 "$D/body" | head -1)" "data: [DONE]" "comments before the error are no event"

again "[{\"key\": \"*\", \"do\": {\"sse\": [{\"comment\": \"ping\"}, {\"delay_ms\": 6000, \"data\": \"real\"}, {\"data\": \"[DONE]\"}]}}]"
seen
ok "comments alone pass after two seconds ($(when ': ping'))" between "$(when ': ping')" 1.5 "$(when real)-1"
ok "what follows when it comes ($(when real))" between "$(when real)" 4.5 14
fake_wait 1
is "$(fake_count)" 1 "and there was one attempt"

again "[{\"key\": \"*\", \"do\": {\"sse\": [{\"data\": \"first\"}, {\"delay_ms\": 3000, \"data\": \"second\"}]}}]"
seen
ok "the first event is there at once ($(when first))" between "$(when first)" 0 "$(when second)-2"

again "[{\"key\": \"sk-fake-a-000a\", \"do\": {\"sse\": [{\"comment\": \"ping\"}, \"x\"], \"cut\": {\"after_bytes\": 8, \"how\": \"close\"}}}, $good]"
stream
is "$CURL $(tail -n 2 "$D/body" | head -1)" "0 data: [DONE]" "cut before its first event: another key is tried"
trace_wait 1
is "$(trace_last 'attempts|map(.verdict)|join(" ")')" "server ok" "it was no answer"

printf 'event: x\ndata: {"a":\ndata: 1}\n\ndata: [DONE]\n\n' >"$D/want"
again '[{"key": "*", "do": {"headers": [["Content-Type", "text/event-stream"]], "chunks": [{"data": "event: x\nda"}, {"delay_ms": 200, "data": "ta: {\"a\":\ndata: 1}"}, {"delay_ms": 200, "data": "\n\ndata: [DONE]\n\n"}]}}]'
stream
ok "an event in pieces arrives as it was sent" cmp -s "$D/want" "$D/body"

again '[{"key": "*", "do": {"headers": [["Content-Type", "text/event-stream"]], "chunks": [{"data": {"repeat": "data: xxxxxxxxxxxxxxxx\n", "bytes": 20000}}, {"delay_ms": 4000, "data": "\n\n"}]}}]'
seen
ok "a first event without end is held for 8 KiB, not longer ($(when xxx))" between "$(when xxx)" 0 1.9

again '[{"key": "*", "do": {"headers": [["Content-Type", "text/event-stream"], ["Content-Encoding", "gzip"]], "chunks": [{"data": {"hex": "1f8b08"}}, {"delay_ms": 100, "data": {"hex": "0000"}}]}}]'
stream
is "$CODE $(wc -c <"$D/body")" "200 5" "a compressed stream passes as it is"
pool_stop
is $? 0 "the pool ends well"
finish
