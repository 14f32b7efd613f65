#!/bin/bash
# Clients and upstreams that behave badly: framing at its edges, endless senders, edits by hand, too few descriptors.
. "$(dirname "$0")/lib.sh"
keys a b c
auto
fake_start
pool_start KMI_PROXY_MAX_BODY_MB=1
python3 "$root/tests/tools/hostile.py" "$PORT" "$D" sends_for_ever >"$D/endless" &
E=$!
started+=($E)
while IFS= read -r line; do
	case $line in
	ok*) n=$((n + 1)); echo "ok $n ${line#ok }" ;;
	not*) n=$((n + 1)); failed=$((failed + 1)); echo "not ok $n ${line#not ok }" ;;
	*) echo "$line" ;;
	esac
done < <(python3 "$root/tests/tools/hostile.py" "$PORT" "$D"; tail --pid=$E -f /dev/null; cat "$D/endless")
pool_stop
finish
