#!/bin/bash
# kmi-trace's live screen, driven through tmux: small and large windows, a resize, its keys, the trace rotated under it.
. "$(dirname "$0")/lib.sh"
command -v tmux >/dev/null || skip_all "tmux is not there"
TR=$D/state/trace/trace.jsonl
mux() { tmux -S "$D/mux" -f /dev/null "$@"; }
trap 'mux kill-server 2>/dev/null; cleanup' EXIT
page() { mux capture-pane -p -t t; }
shows() { page | grep -qF -- "$1"; }
hides() { ! shows "$1"; }
widest() { page | awk '{ if (length($0) > n) n = length($0) } END { print n + 0 }'; }

keys a b c
auto
pool_start KMI_DRY_RUN=1
export LC_ALL=C.UTF-8
mux new-session -d -s keep 'sleep 1000'	# a server that goes with its last session is in the way of the next one
mux new-session -d -s t -x 80 -y 24 "$BIN/kmi-trace --window 10; echo ended \$?; sleep 60"
ok "begins without a trace" until_true 10 shows 'no request yet'
ok "warming up" shows 'warming up 0/10'
for i in {1..4}; do chat; done
ok "requests come" until_true 10 shows 'warming up 4/10'
ok "answers by status" shows '2xx 4'
ok "confidence" shows 'confidence'
ok "a bar for each key" shows '####'
ok "a new line is marked" eval "page | grep -q '^> *[0-9][0-9]:'"
ok "and lit" eval 'mux capture-pane -p -e -t t | grep -q "\[[0-9;]*7[;m]"'
ok "the help line" shows 'q quit  p pause  / filter'
is "$(page | wc -l)" 24 "80x24: the screen is full"
ok "80x24: nothing is wider" test "$(widest)" -le 80
for i in {1..6}; do chat; done
ok "the window is full" until_true 10 shows 'the last 10'
trace_wait 10
ok "the newest is on top" until_true 5 eval "page | grep -m 1 chat/completions | grep -q ' 200  $(trace_last key_label) '"
ok "the light goes out" until_true 10 eval "! page | grep -q '^> *[0-9][0-9]:'"

# keys
mux send-keys -t t p
ok "paused" until_true 5 shows PAUSED
chat
ok "and counts what comes" until_true 5 shows 'PAUSED, 1 new'
mux send-keys -t t Space
ok "goes on" until_true 5 hides PAUSED
mux send-keys -t t / b Enter
ok "filtered by key" until_true 5 shows 'only: b'
is "$(page | grep 'chat/completions' | grep -vc '  b  ')" 0 "no other key is shown"
mux send-keys -t t c
ok "all again" until_true 5 hides 'only:'
mux send-keys -t t f 4xx Enter
ok "filtered by status" until_true 5 shows 'only: 4xx'
ok "nothing is left, which is said" shows 'none of the requests is such a one'
is "$(page | grep -c 'chat/completions')" 0 "none of them was"
mux send-keys -t t Escape
ok "Esc shows all" until_true 5 hides 'only:'

# sizes
mux resize-window -t t -x 200 -y 60
ok "200x60: drawn anew" until_true 5 eval '[ "$(page | wc -l)" = 60 ] && page | tail -n 1 | grep -q "q quit"'
ok "200x60: nothing is wider" test "$(widest)" -le 200
mux resize-window -t t -x 40 -y 10
ok "40x10: drawn anew" until_true 5 eval '[ "$(page | wc -l)" = 10 ] && page | tail -n 1 | grep -q "q quit"'
ok "40x10: nothing is wider" test "$(widest)" -le 40
ok "40x10: three requests have room" until_true 5 eval '[ "$(page | grep -c ":[0-9][0-9]  200  [abc] ")" = 3 ]'
is "$(page | tail -n 1)" "q quit  p pause  / filter  arrows older" "40x10: the help in whole words"
mux resize-window -t t -x 32 -y 10
ok "32x10: the help in whole pieces" until_true 5 eval '[ "$(page | tail -n 1)" = "q quit  p pause  / filter" ]'
mux resize-window -t t -x 20 -y 5
sleep 0.3
ok "20x5: it lives" kill -0 "$(mux display-message -p -t t '#{pane_pid}')"
mux resize-window -t t -x 80 -y 24
ok "and back" until_true 5 shows 'q quit'

# the trace under it
mv "$TR" "$TR.1"
ask /after-rotation
ok "the trace was rotated" until_true 5 shows /after-rotation
printf 'garbage\n' >>"$TR"
ok "a corrupt line is counted" until_true 5 shows '1 corrupt line'
printf '%s\n' '{"ts": "2026-02-02 15:30:00 +0300", "key_label": "x\u001b[31m\u009b2Jy", "status": 200}' >>"$TR"
ok "control characters of a label are harmless" until_true 5 shows 'x?[31m?2Jy'
mux resize-window -t t -x 80 -y 24
printf '%s\n' '{"ts": "'"$(date -u '+%F %T +0000')"'", "key_label": "a-label-that-somebody-made-long", "status": 200, "method": "POST", "endpoint": "/x", "latency_ms": 5}' \
	'{"ts": "2026-02-02 15:30:00 +0300", "key_label": "очень-длинная-метка", "status": 200, "method": "POST", "endpoint": "/x", "latency_ms": 123456}' >>"$TR"
ok "long labels are cut, and say so" until_true 5 shows '  200  очень-длинн…'
is "$(page | grep '  200  .* ms  ' | sed 's/ ms  .*//' | while IFS= read -r l; do echo ${#l}; done | sort -u | wc -l)" 1 "columns stand under each other"
ok "what did not end today has its date" shows '02-02 12:30  200'
last=$(tail -n 1 "$TR")
for i in {1..10000}; do printf '%s\n' "${last/\"latency_ms\": 123456/\"latency_ms\": $i}"; done >"$D/many"
cat "$D/many" >>"$TR"
ok "10,000 lines at once" until_true 5 shows ' 10000 ms '
ask /after-rotation
mux send-keys -t t q
ok "q quits: exit 0" until_true 5 shows 'ended 0'
mux kill-session -t t

mux new-session -d -s t -x 80 -y 24 "NO_COLOR=1 $BIN/kmi-trace; sleep 60"
ok "NO_COLOR: a screen" until_true 10 shows 'q quit'
is "$(mux capture-pane -p -e -t t | grep -c $'\e\[[0-9;]*3[0-7]m')" 0 "but no colours"
mux kill-session -t t
mux new-session -d -s t -x 80 -y 24 "TERM=dumb $BIN/kmi-trace --lines 2; sleep 60"
ok "TERM=dumb: lines" until_true 10 shows /after-rotation
ok "no screen" hides 'q quit'
ok "not wider than the window" test "$(page | wc -l)" -le 24
mux kill-session -t t
for option in --plain --follow -f; do
	mux new-session -d -s t -x 80 -y 24 "$BIN/kmi-trace $option --lines 2; sleep 60"
	ok "$option: lines" until_true 10 shows /after-rotation
	ok "$option: no screen" hides 'q quit'
	mux kill-session -t t
done
mux new-session -d -s t -x 80 -y 24 "$BIN/kmi-trace; echo ended \$?; sleep 60"
until_true 10 shows 'q quit'
kill -TERM "$(pgrep -P "$(mux display-message -p -t t '#{pane_pid}')" -x kmi-trace)"
ok "SIGTERM: the terminal is given back" until_true 5 shows 'ended 0'
finish
