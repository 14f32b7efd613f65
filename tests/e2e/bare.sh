# bare.sh: one tool in an otherwise empty environment, in a folder of its own. Sourced by tests that need no proxy.
#
#	. "$(dirname "$0")/bare.sh"
#	bare kmi-keys [VARIABLE=VALUE...] -- ARGS	runs it; fills $out, $err, $code
#	ok 'what holds' eq "$out" 'this'		one TAP line; also has, hasnt, or any command
#
# The folder is $dir/work, HOME is $dir/home; the processes in `started` are ended.
set -u
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
bin=$(cd "$root/${BUILD:-build}/bin" && pwd) || exit 1
dir=$(mktemp -d)
started=()
sandbox=()
# A sanitizer reads and writes what our programs give up.
case ${BUILD:-} in *asan*) sandbox=(KMI_SANDBOX=0) ;; esac
trap 'for p in "${started[@]}"; do kill "$p" 2>/dev/null; done; rm -rf "$dir"' EXIT
mkdir -p "$dir/home/.kmi" "$dir/work"
cd "$dir/work" || exit 1

n=0
ok() {
	local name=$1; shift
	n=$((n + 1))
	if "$@"; then echo "ok $n - $name"; else echo "not ok $n - $name"; fi
}
eq() { [ "$1" = "$2" ] || { printf '# got %s\n# want %s\n' "$1" "$2"; return 1; }; }
has() { case $1 in *"$2"*) ;; *) printf '# got %s\n# want in it %s\n' "$1" "$2"; return 1;; esac; }
hasnt() { case $1 in *"$2"*) printf '# got %s\n# and no %s\n' "$1" "$2"; return 1;; esac; }
bare() {
	local tool=$1 env=()
	shift
	while [ "$1" != -- ]; do env+=("$1"); shift; done
	shift
	env -i "${sandbox[@]}" HOME="$dir/home" "${env[@]}" timeout 20 "$bin/$tool" "$@" >../out 2>../err
	code=$?
	out=$(cat ../out) err=$(cat ../err)
}
