#!/bin/sh
# tcpserver (ucspi-tcp): one kmi-handle a connection; more than 200 (-c) wait in the backlog (-b). Run it under a supervisor, as
# the user kmi; settings are those of /etc/kmi/kmi.env.
exec tcpserver -H -R -D -l 0 -b 4096 -c 200 127.0.0.1 54123 /usr/local/libexec/kmi/kmi-handle
