#!/bin/bash
# kmi-trace in scripts: lines, filters, following, the summary, the proof (which must catch what was altered), one request's story.
. "$(dirname "$0")/lib.sh"
T=$BIN/kmi-trace
TR=$D/state/trace/trace.jsonl
trace() { timeout 30 "$T" "$@" >"$D/out" 2>"$D/err"; code=$?; OUT=$(cat "$D/out") ERR=$(cat "$D/err"); }

trace --no-follow
is "$code$OUT$ERR" 0 "no trace yet: nothing, and no error"
trace --verify
is "$code $OUT" "0 the trace has no line yet: there is nothing to prove" "nothing is not wrong"
trace --summary --json
is "$code $(jq -c '[.total, .confidence, .latency_ms.p50]' "$D/out")" '0 [0,null,null]' "a summary of nothing"

keys a b c d e
auto
fake_start
fake_script '[{"key": "sk-fake-c-000c", "times": 1, "do": {"preset": "server-500"}}]'
pool_start
for i in {1..20}; do chat; done
trace_wait 20
cp "$TR" "$D/whole"

# ---- lines
trace --no-follow --lines 3
is "$code $(wc -l <"$D/out") $(sed -n '$p' "$D/out" | grep -c "$(trace_last key_label)")" "0 3 1" "the last three, the newest last"
trace --no-follow --json --lines 20
ok "--json: the lines as they are" cmp -s "$D/out" "$D/whole"
trace --no-follow --key a --json --all
is "$(jq -s 'length > 2 and all(.attempts | any(.label == "a"))' "$D/out")" true "--key"
trace --no-follow --key A
is "$code$OUT" 0 "a key that nobody has: nothing"
has "$ERR" "no request was of a key A; did you mean a?" "and it is said, with the nearest"
trace --summary --key zzzzzz
has "$ERR" "no request was of a key zzzzzz" "in the summary, too"
trace --no-follow --status 5xx --all
is "$code$OUT" 0 "--status: no answer was a 5xx"
trace --no-follow --status 2xx --since 10m
is "$(wc -l <"$D/out")" 20 "--since 10m takes all of them"
trace --no-follow --since 2999-01-01
is "$code$OUT" 0 "--since a day to come takes none"
for when in 2h 1d 2026-01-31 '2026-01-31 10:00' 2026-01-31T10:00:00Z; do
	trace --no-follow --since "$when"
	is "$code$ERR" 0 "--since $when is understood"
done
for when in 10x yesterday 2026-02-31 '' 99; do
	trace --no-follow --since "$when"
	is "$code" 2 "--since '$when' is not"
	has "$ERR" '10m, 2h, 1d' "and the forms are named"
done
has "$OUT$ERR" 2026-01-31T10:00:00Z "the long one, too"
trace --status 9xx
is "$code" 2 "a status that is none"
trace --sumary
is "$code $(grep -c 'did you mean --summary' "$D/err")" '2 1' "a typing error is guessed"
trace --summary --verify
is "$code" 2 "two questions at once"
for option in '--since 10m' '--key a' '--status 4xx' '--window 5' '--lines 5'; do
	trace --verify $option
	is "$code $(grep -c -e "${option% *} does not go with it" "$D/err")" '2 1' "--verify with $option is refused"
	trace --why 0123abcd $option
	is "$code" 2 "--why too"
done
trace --summary --lines 5
is "$code $(grep -c -e '--window N' "$D/err")" '2 1' "--summary with --lines: --window is meant"
trace --lines x
is "$code" 2 "a number that is none"
trace --no-follow --all --lines 5
is "$code $(grep -c 'give one' "$D/err")" '2 1' "all, and five"

# ---- hostile bytes
printf '%s\n' '{"ts": "2026-02-02 15:30:00 +0300", "method": "GET\u001b[2J", "endpoint": "/\u009b31m\u0007", "status": 200}' >>"$TR"
trace --no-follow --lines 1
is "$(tr -d '\n' <"$D/out" | LC_ALL=C grep -c '[[:cntrl:]]')" 0 "control characters of a client do not reach the terminal"
cp "$D/whole" "$TR"
{ echo garbage; head -c 300000 /dev/zero | tr '\0' x; echo; printf '{"half'; } >>"$TR"
trace --no-follow --lines 2
is "$code $(wc -l <"$D/out") $(grep -c '3 lines of the trace cannot be read' "$D/err")" '0 2 1' "lines that cannot be read: passed over, counted, said once"
cp "$D/whole" "$TR"

# ---- summary
trace --summary --json
is "$(jq -c '[.total, (.counts | add), (.choices | map(.chosen) | add), .statuses["2xx"], .retried, .confidence > 90]' "$D/out")" \
	'[20,20,20,20,1,true]' "totals; rotation was fair, though a key rested"
is "$(jq '.chi_square_p > 0.9 and .latency_ms.p50 >= 0 and .latency_ms.p50 <= .latency_ms.max' "$D/out")" true "figures"
trace --summary --window 5 --json
is "$(jq -c '[.total, .window, .warming_up]' "$D/out")" '[5,5,false]' "--window: the last five"
trace --summary --key a --json
is "$(jq -c '[.total > 2, .confidence, .chi_square_p]' "$D/out")" '[true,null,null]' "of one key's requests no confidence is told: they are its own"
trace --summary --status 2xx
has "$OUT" "none: only some of the requests are looked at" "nor of some statuses"
# figure WHAT CONFIDENCE-IS: 600 choices as a chooser of that kind would make them
figure() {
	python3 - "$1" >"$TR" <<-'P'
	import json, random, sys, time
	random.seed(7)
	kind, turn = sys.argv[1], 0
	for i in range(600):
	    keys = [k for k in "abcde" if not (k == "c" and 100 <= i < 400)]	# c is in cooldown for half of the time
	    if kind == "many":
	        keys = ["k%02d" % n for n in range(12)]
	    label = keys[turn % len(keys)]
	    if kind == "first":
	        label = keys[0]
	    elif kind == "never-e":
	        label = keys[turn % (len(keys) - 1)]
	    elif kind == "twice-a":
	        label = (keys + ["a"])[turn % (len(keys) + 1)]
	    elif kind == "in-spite":
	        label = "abcde"[turn % 5]
	    elif kind == "dice":
	        label = random.choice(keys)
	    turn += 1
	    print(json.dumps({"ts": time.strftime("%Y-%m-%d %H:%M:%S +0000", time.gmtime()), "request_id": "%032x" % i, "key_label": label,
	        "account": label, "status": 200, "rotation_index": i, "eligible": keys, "passed": 0, "latency_ms": 1,
	        "attempts": [{"label": label, "account": label, "choice": "turn", "status": 200, "verdict": "ok", "ms": 1}]}))
	P
	trace --summary --json
	is "$(jq "$2" "$D/out")" true "$1: $2 ($(jq -c '[.confidence, .chi_square_p]' "$D/out"))"
}
figure fair '.confidence > 99 and .chi_square_p > 0.99'
figure many '.confidence == 100 and .chi_square_p > 0.99'
figure dice '.confidence > 90 and .chi_square_p > 0.01'
figure first '.confidence < 30 and .chi_square_p < 0.001'
figure never-e '.confidence < 80 and .chi_square_p < 0.001'
figure twice-a '.confidence < 90 and .chi_square_p < 0.001'
figure in-spite '.confidence < 92 and .chi_square_p < 0.001'
cp "$D/whole" "$TR"
trace --summary --window 50
has "$OUT" 'warming up 20/50' "not enough for a window, yet"

# ---- the proof
trace --verify
is "$code" 0 "all right"
has "$OUT" '20 of 20' "every one recomputed"
wrong() {	# wrong NAME PART: what was done to $TR must be found
	trace --verify
	is "$code" 1 "$1: exit 1"
	has "$OUT" "$2" "$1: the reason"
	trace --verify --json
	is "$code $(jq -c '[.ok, (.first_wrong.request_id | length)]' "$D/out")" '1 [false,32]' "$1: --json names the request"
	cp "$D/whole" "$TR"
}
third=$(sed -n 3p "$TR" | jq -r .request_id)
sed -i '3s/"key_label": "[a-e]"/"key_label": "z"/' "$TR"; wrong "a key_label altered" "key_label is z"
sed -i '5s/"key_label": "[a-e]"/"key_label": "z"/; 5s/"label": "[a-e]"/"label": "z"/' "$TR"; wrong "key and attempt altered" "was that of"
sed -i '3s/"eligible": \["a", "b"/"eligible": ["b", "a"/' "$TR"; wrong "an eligible list altered" "$third"
sed -i '3s/"d", "e"\]/"d", "f"]/' "$TR"; wrong "a label that was not chosen altered" "its sum does not fit"
sed -i '3s/"rotation_index": 2/"rotation_index": 7/' "$TR"; wrong "a turn altered" "$third"
sed -i 3d "$TR"; trace --verify
is "$code" 0 "a line that is not there yet may be that of a request that still runs"
has "$OUT" "1 turn is not there yet" "and is told"
has "$OUT" "right so far" "and the answer is no plain right"
cp "$D/whole" "$TR"
# ---- the end: no gap, but state.json knows better
before() { sed -i "s/\"last_used\": \"[^\"]*\"/\"last_used\": \"$1\"/" "$D/state/state.json"; }
head -n 17 "$D/whole" >"$TR"; trace --verify
is "$code $(grep -c 'right so far' "$D/out")" "0 1" "three lines removed at the end just now: they may yet come"
has "$OUT" "3 turns after the last line are not there yet" "which is told"
trace --verify --json
is "$code $(jq -c '[.ok, .missing_at_end.turns, .missing_at_end.counts_as_wrong]' "$D/out")" "0 [true,3,false]" "in --json, too"
cp "$D/state/state.json" "$D/books"
sed -i "s/\"ts\": \"[^\"]*\"/\"ts\": \"$(date -u -d '2 days ago' '+%F %T +0000')\"/" "$TR"
before "$(date -u -d '1 day ago' '+%FT%TZ')"
trace --verify
is "$code $(grep -c 'INCOMPLETE' "$D/out")" "1 1" "a day later they do not"
has "$OUT" "state.json counts 3 turns after the last line" "which is told"
trace --verify --json
is "$code $(jq -c '[.ok, .first_wrong, .missing_at_end.turns, .missing_at_end.counts_as_wrong]' "$D/out")" "1 [false,null,3,true]" "in --json, too"
: >"$TR"; trace --verify
is "$code" 0 "the trace may be emptied"
has "$OUT" "the trace has no line" "which is told"
echo '{"keys": ' >"$D/state/state.json"; cp "$D/whole" "$TR"; trace --verify
is "$code $(grep -c 'is not known' "$D/out")" "0 1" "books that cannot be read: the end is not known"
ok "and they are left as they are" test "$(cat "$D/state/state.json")" = '{"keys": '
cp "$D/books" "$D/state/state.json"
# Two days later it should be there.
sed -i "s/\"ts\": \"[^\"]*\"/\"ts\": \"$(date -u -d '2 days ago' '+%F %T +0000')\"/" "$TR"
cp "$TR" "$D/recent"; mv "$D/whole" "$D/now"; mv "$D/recent" "$D/whole"
sed -i 3d "$TR"; wrong "a line removed" "turn 2 is missing"
sed -i 3,5d "$TR"; wrong "three lines removed" "turns 2 to 4 are missing"
mv "$D/now" "$D/whole"; cp "$D/whole" "$TR"
sed -i 3p "$TR"; wrong "a line doubled" "twice"
sed -i '3s/"choice": "turn"/"choice": "again"/' "$TR"; wrong "a rule altered" "as if it were another one"
retried=$(grep -n '"other_account"' "$TR" | cut -d: -f1)
sed -i "${retried}s/\"account\": \"d\"/\"account\": \"c\"/2" "$TR"; wrong "an account altered" "but the last attempt was on"
sed -i '4s/"account": "[a-e]"/"account": "z"/' "$TR"; wrong "the account altered" "account is z"
jq -c . "$D/whole" >"$TR"
trace --verify
is "$code" 0 "written by another program, but the same: right"
cp "$D/whole" "$TR"

# ---- one request
id=$(grep '"other_account"' "$TR" | jq -r .request_id)
trace --why "${id:0:10}"
is "$code" 0 "the beginning of an id is enough"
for part in '5 keys were fit: a, b, c, d, e' 'attempt 1: c, its turn' '500, a fault of the server' 'attempt 2: d, another account' \
	'200, served' 'the client got 200' 'the choice was right'; do
	has "$OUT" "$part" "told: $part"
done
trace --why "$(echo "${id:0:10}" | tr a-f A-F)"
is "$code" 0 "in capitals, too"
trace --why ffffffffffff
is "$code" 1 "no such request"
trace --why 'x; rm'
is "$code" 2 "no id at all"
is "$(grep -c sk-fake "$D/out" "$D/err" | grep -vc ':0')" 0 "no key is shown"

# ---- rotated files, state made anew, keys that come and go
head -n 8 "$D/whole" >"$TR.1"
tail -n +9 "$D/whole" >"$TR"
trace --verify
is "$code" 0 "the older file belongs to it"
trace --no-follow --all --json
ok "in one order" cmp -s "$D/out" "$D/whole"
rm "$TR.1"
trace --verify
is "$code" 0 "the older file was deleted: what is left is right"
cp "$D/whole" "$TR"
rm "$D/state/state.json"
auto
for i in {1..7}; do chat; done
trace_wait 27
trace --verify
is "$code" 0 "state.json made anew: the rotation begins at 0"
has "$OUT" 'began anew' "which is said"
sed -i "24d; s/\"ts\": \"[^\"]*\"/\"ts\": \"$(date -u -d '2 days ago' '+%F %T +0000')\"/" "$TR"
trace --verify
is "$code" 1 "a line removed after that is found"
rm -f "$TR"
for i in {1..40}; do echo "KMI_API_KEY=sk-fake-n$i-000x" >"$D/auths/n$i.env"; done
sleep 3.1
for i in {1..30}; do chat; done
trace_wait 30
trace --verify
is "$code $(grep -c '30 of 30' "$D/out")" '0 1' "more keys than a line lists"
bytes=$(tail -n 1 "$TR" | wc -c)
note "a line: $bytes bytes"
ok "their set is named" test -e "$D/state/trace/sets/$(trace_last eligible.set).json"
set=$D/state/trace/sets/$(trace_last eligible.set).json
cp "$set" "$D/set"
sed -i 's/"n7", "n8"/"n8", "n7"/' "$set"
trace --verify
is "$code $(grep -c 'was changed' "$D/out")" '1 1' "a set that was altered is found by its name"
rm "$set"
trace --verify
is "$code $(grep -c 'not say enough' "$D/out")" '0 1' "one that is gone proves nothing, and is said"
cp "$D/set" "$set"

# ---- keys at a limit, manual mode
pool_stop
rm -rf "$D/state/trace" "$D"/auths/n*.env
echo KMI_KEY_MAX_RPM=1 >>"$D/auths/b.env"
pool_start
for i in {1..12}; do chat; done
trace_wait 12
ok "some were passed over" jq -es 'any(.passed > 0)' "$TR"
trace --verify
is "$code" 0 "and that is right"
pool_stop
rm -rf "$D/state/trace"
pool_start KMI_AUTO_ROTATE_ALLOWED=0
for i in {1..3}; do chat; done
trace_wait 3
trace --verify
is "$code $(grep -c '3 of 3' "$D/out")" '0 1' "manual mode"
cp "$TR" "$D/whole"
sed -i '2s/"[a]"/"z"/; 2s/"key_label": "a"/"key_label": "z"/; 2s/"label": "a"/"label": "z"/' "$TR"
wrong "manual mode, a key that was not fit" "$(sed -n 2p "$TR" | jq -r .request_id)"

# ---- following
rm -rf "$D/state/trace"
timeout 60 "$T" --json >"$D/follow" 2>"$D/follow.err" &
F=$!
started+=($F)
sleep 0.3
got() { [ "$(wc -l <"$D/follow")" -ge "$1" ]; }
chat; ok "a file made later is followed" until_true 5 got 1
chat; ok "and goes on" until_true 5 got 2
mv "$TR" "$TR.1"; chat; ok "rotated under it" until_true 5 got 3
: >"$TR"; chat; ok "emptied" until_true 5 got 4
rm "$TR"; chat; ok "deleted" until_true 5 got 5
rm -rf "$D/state/trace"; sleep 0.1; chat; ok "the whole folder deleted" until_true 5 got 6
is "$(jq -s '[.[].request_id] | length == (unique | length)' "$D/follow")" true "no line twice"
late=$(python3 - "$TR" "$D/follow" <<'P'
import os, sys, time
line = open(sys.argv[1]).readlines()[-1]
worst = 0
for i in range(20):
    before = os.path.getsize(sys.argv[2])
    fd = os.open(sys.argv[1], os.O_WRONLY | os.O_APPEND)
    start = time.monotonic()
    os.write(fd, line.encode())
    while os.path.getsize(sys.argv[2]) == before and time.monotonic() - start < 5:
        time.sleep(0.001)
    worst = max(worst, time.monotonic() - start) if i else 0
    os.close(fd)
print(int(worst * 1000))
P
)
note "a line shows $late ms after it was written, at worst"
ok "soon" test "$late" -lt 500
ticks() { awk '{print $14 + $15}' "/proc/$1/stat"; }
P=$(pgrep -P "$F" || echo "$F")
t0=$(ticks "$P"); sleep 1
is "$(($(ticks "$P") - t0))" 0 "no work while nothing happens"
kill "$F"
"$T" --json --lines 1 | head -n 1 >/dev/null &
H=$!
chat; chat
ok "ends when nobody reads" until_true 5 eval "! kill -0 $H"
TERM=dumb trace --no-follow --lines 1
is "$code" 0 "TERM=dumb"
is "$("$T" --no-follow >/dev/full 2>/dev/null; echo $?)" 1 "a full disk is an error"
has "$("$T" --help)" 'usage: kmi trace' "help"
"$BIN/kmi" --trace </dev/null >"$D/old" 2>&1 &
O=$!
started+=($O)
ok "kmi --trace, as the older tool had it" until_true 5 test -s "$D/old"
finish
