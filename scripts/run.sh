#!/bin/sh
# make run: builds kmi, starts the proxy in dry run on the example keys, and shows what it does.
# Everything it writes is below build/run, so no real state or key is touched. Repeat it as often as you like.
set -eu
cd "$(dirname "$0")/.."
scripts/packages.sh build run
echo "building ..."
make --no-print-directory -s -j"$(nproc)" all >/dev/null

dir=$PWD/build/run
kmi=$PWD/build/bin/kmi
mkdir -p "$dir/home"
for v in $(env | sed -n 's/^\(KMI_[A-Z_]*\)=.*/\1/p'); do
	[ "$v" = KMI_PROXY_LISTEN ] || unset "$v"
done
export HOME="$dir/home" KMI_STATE_DIR="$dir/state" KMI_AUTHS_DIR="$PWD/_auths.example" KMI_DRY_RUN=1
export KMI_ENFORCE_FILE_PERMS=0 KMI_AUTO_ROTATE_ALLOWED=1
listen=${KMI_PROXY_LISTEN:-127.0.0.1:54123}
# The example rotates over its keys, so that the table shows more than one at work.
mkdir -p "$dir/state"
[ -e "$dir/state/state.json" ] || echo '{"schema_version": 1, "auto_rotate": true, "keys": {}}' >"$dir/state/state.json"

cd "$dir"
"$kmi" proxy
url=http://$listen/kmi-rotor/v1
ask() {
	curl -sS -m 10 -H 'Content-Type: application/json' "$url/chat/completions" -d "$1"
}

echo
echo "A chat request:"
ask '{"model": "kimi-for-coding", "messages": [{"role": "user", "content": "Hello, who are you?"}]}' | cut -c1-400
echo
echo "The same as a stream (its last lines):"
ask '{"model": "kimi-for-coding", "stream": true, "messages": [{"role": "user", "content": "And now piece by piece"}]}' |
	grep . | tail -n 3 | cut -c1-160
sleep 0.2
echo
echo "What the trace says of that request:"
tail -n 1 "$dir/state/trace/trace.jsonl"
echo
echo "The keys:"
"$kmi" keys --plain
cat <<END

The proxy goes on running. To use it from this terminal's tools:
    export KMI_STATE_DIR=$KMI_STATE_DIR KMI_AUTHS_DIR=$KMI_AUTHS_DIR KMI_AUTO_ROTATE_ALLOWED=1
    $kmi status
To stop it:
    KMI_STATE_DIR=$KMI_STATE_DIR $kmi proxy-stop
To go live: stop it, put a key file of your own into ~/.kimi/_auths, then, in a new terminal,
    KMI_DRY_RUN=0 $kmi proxy
README.md has the rest.
END
