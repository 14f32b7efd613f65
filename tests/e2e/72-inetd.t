#!/bin/bash
# The examples in units/inetd, as they are but for paths, port and user: tcpserver, xinetd, openbsd-inetd. What must
# work (core.sh), with more connections at once than any of them takes by default. xinetd and inetd may lie in build/superservers
# (scripts/packages.sh unpack): to install them would start them.
. "$(dirname "$0")/lib.sh"
. "$root/tests/e2e/core.sh"
keys a b
auto
fake_start
core_script
WAY=()
export PATH=$PATH:/usr/sbin:$root/build/superservers/usr/sbin
LIBS=$root/build/superservers/usr/lib/$(uname -m)-linux-gnu:$root/build/superservers/lib/$(uname -m)-linux-gnu
ME=$(id -un)
# What inetd leaves of the environment is little: the settings go where every process of this test looks.
env | grep '^KMI_' >"$D/.env"

free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
config() { sed "s|/usr/local/libexec/kmi|$BIN|g; s|54123|$PORT|g; s|\bkmi \(/\)|$ME \1|; s|= kmi\$|= $ME|" "$root/units/inetd/$1"; }
here() {	# here NAME COMMAND...: whether it can be run, with the libraries unpacked beside it
	command -v "$2" >/dev/null && ! LD_LIBRARY_PATH=$LIBS ldd "$(command -v "$2")" | grep -q 'not found' && return
	n=$((n + 1)); echo "ok $n # SKIP $1 is not here"
	return 1
}
known() {	# known NAME: whoever it is, somebody runs it
	is "$(KMI_PROXY_LISTEN=127.0.0.1:$PORT "$BIN/kmi" status --json | jq -r .proxy.superserver)" other "$1: kmi status knows"
}

PORT=$(free_port) U=http://127.0.0.1:$PORT/kmi-rotor/v1; L=$U
if here tcpserver tcpserver; then
	config tcpserver.sh >"$D/tcpserver.sh"
	sh "$D/tcpserver.sh" 2>"$D/tcpserver.err" &
	started+=($!)
	core tcpserver 300
	known tcpserver
fi

PORT=$(free_port) U=http://127.0.0.1:$PORT/kmi-rotor/v1; L=$U
if here xinetd xinetd; then
	config xinetd.conf >"$D/xinetd.conf"
	LD_LIBRARY_PATH=$LIBS xinetd -dontfork -f "$D/xinetd.conf" -pidfile "$D/xinetd.pid" >"$D/xinetd.err" 2>&1 &
	started+=($!)
	core xinetd 120
	known xinetd
fi

PORT=$(free_port) U=http://127.0.0.1:$PORT/kmi-rotor/v1; L=$U
if here inetd inetd; then
	config inetd.conf >"$D/inetd.conf"
	LD_LIBRARY_PATH=$LIBS inetd -i -E "$D/inetd.conf" >"$D/inetd.err" 2>&1 &
	started+=($!)
	core inetd 300
	known inetd
fi
finish
