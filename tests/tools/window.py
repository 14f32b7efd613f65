#!/usr/bin/env python3
"""Runs a command on a terminal of so many columns, and tells what of its output is wider.

    window.py COLUMNS COMMAND [ARGUMENTS...]

stdout and stderr are the terminal. What the command wrote goes to stdout, without escape sequences; each line
that is wider than the window goes to stderr, and the exit code is 1 (125: the command could not be run; else 0, whatever the command's
own was). A line that is one word, such as a URL or a path, may be wider: it must stay whole to be copied.
"""
import fcntl, os, pty, re, struct, sys, termios, unicodedata


def columns(text):
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def run(width, command):
    pid, fd = pty.fork()
    if pid == 0:
        try:
            fcntl.ioctl(1, termios.TIOCSWINSZ, struct.pack("HHHH", 24, width, 0, 0))
            null = os.open("/dev/null", os.O_RDONLY)
            os.dup2(null, 0)
            os.execvp(command[0], command)
        finally:
            os._exit(125)
    out = b""
    while True:
        try:
            piece = os.read(fd, 65536)
        except OSError:
            break
        if not piece:
            break
        out += piece
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", out.decode("utf-8", "replace").replace("\r\n", "\n")), code


def main():
    width = int(sys.argv[1])
    text, code = run(width, sys.argv[2:])
    sys.stdout.write(text)
    if code == 125:
        return 125
    bad = 0
    for line in text.split("\n"):
        line = line.split("\r")[-1]
        if columns(line) > width and len(line.split()) > 1:
            sys.stderr.write("%d: %s\n" % (columns(line), line))
            bad = 1
    return bad


sys.exit(main())
