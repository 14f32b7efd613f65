#!/usr/bin/env python3
"""raw.py PORT: sends byte strings to kmi as they are and says what came back. A table of requests that must be refused.

Each case: a name, the bytes, the status that is due, and whether the connection must be closed after it.
Prints TAP lines without a plan; the caller counts them.
"""
import json
import socket
import sys

BASE = b"/kmi-rotor/v1"
HOST = b"Host: 127.0.0.1\r\n"


def get(path=b"/models", headers=b"", version=b"HTTP/1.1", host=HOST, method=b"GET"):
    return method + b" " + BASE + path + b" " + version + b"\r\n" + host + headers + b"\r\n"


def post(headers, body=b""):
    return b"POST " + BASE + b"/x HTTP/1.1\r\n" + HOST + headers + b"\r\n" + body


CASES = [
    ("two lengths that agree", post(b"Content-Length: 1\r\nContent-Length: 1\r\n", b"a"), 400),
    ("two lengths that differ", post(b"Content-Length: 1\r\nContent-Length: 2\r\n", b"ab"), 400),
    ("a list as length", post(b"Content-Length: 1, 1\r\n", b"a"), 400),
    ("length and chunked", post(b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", b"0\r\n\r\n"), 400),
    ("chunked and length", post(b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", b"0\r\n\r\n"), 400),
    ("a sign before the length", post(b"Content-Length: +1\r\n", b"a"), 400),
    ("a length beyond numbers", post(b"Content-Length: 99999999999999999999999\r\n"), 400),
    ("a coding that is not chunked", post(b"Transfer-Encoding: gzip\r\n"), 400),
    ("chunked twice", post(b"Transfer-Encoding: chunked, chunked\r\n", b"0\r\n\r\n"), 400),
    ("chunked spelt oddly", post(b"Transfer-Encoding: xchunked\r\n", b"0\r\n\r\n"), 400),
    ("chunked in HTTP/1.0", b"POST " + BASE + b"/x HTTP/1.0\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    ("a folded header", get(headers=b"X-A: 1\r\n 2\r\n"), 400),
    ("a bare LF", b"GET " + BASE + b"/models HTTP/1.1\n" + HOST + b"\r\n", 400),
    ("a bare LF in the headers", get(headers=b"X-A: 1\nX-B: 2\r\n"), 400),
    ("a bare CR", get(headers=b"X-A: 1\rX-B: 2\r\n"), 400),
    ("a NUL", get(headers=b"X-A: \0\r\n"), 400),
    ("space before the colon", get(headers=b"X-A : 1\r\n"), 400),
    ("no colon", get(headers=b"XA\r\n"), 400),
    ("a header without a name", get(headers=b": 1\r\n"), 400),
    ("a space in a header's name", get(headers=b"X A: 1\r\n"), 400),
    ("a bad chunk size", post(b"Transfer-Encoding: chunked\r\n", b"zz\r\n"), 400),
    ("a chunk size too large", post(b"Transfer-Encoding: chunked\r\n", b"ffffffffffffffffff\r\n"), 400),
    ("a chunk ended by a bare LF", post(b"Transfer-Encoding: chunked\r\n", b"1\na\n0\n\n"), 400),
    ("a chunk longer than its size", post(b"Transfer-Encoding: chunked\r\n", b"1\r\nabc\r\n0\r\n\r\n"), 400),
    ("headers over 64 KiB", get(headers=b"X-A: " + b"a" * 70000 + b"\r\n"), 431),
    ("too many headers", get(headers=b"".join(b"X-%d: 1\r\n" % i for i in range(600))), 431),
    ("a body over the cap", post(b"Content-Length: 2000000\r\n"), 413),
    ("a chunked body over the cap", post(b"Transfer-Encoding: chunked\r\n", b"180000\r\n" + b"a" * 0x180000 + b"\r\n"), 413),
    ("HTTP/2.0", get(version=b"HTTP/2.0"), 505),
    ("the preface of HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    ("HTTP/1.2", get(version=b"HTTP/1.2"), 505),
    ("CONNECT", b"CONNECT example.com:443 HTTP/1.1\r\n" + HOST + b"\r\n", 405),
    ("TRACE", get(method=b"TRACE"), 405),
    ("no Host", get(host=b""), 400),
    ("two Hosts", get(host=HOST + HOST), 400),
    ("a malformed Host", get(host=b"Host: a b\r\n"), 400),
    ("dot segments that leave", get(path=b"/../../secret"), 400),
    ("encoded ones", get(path=b"/%2e%2e/%2E%2e/secret"), 400),
    ("encoded slashes among them", get(path=b"/..%2f..%2fsecret"), 400),
    ("outside the base path", b"GET /other HTTP/1.1\r\n" + HOST + b"\r\n", 404),
    ("beside the base path", b"GET /kmi-rotor/v10/models HTTP/1.1\r\n" + HOST + b"\r\n", 404),
    ("another site's page", get(headers=b"Origin: https://evil.example\r\n"), 403),
    ("a request marked cross-site", get(headers=b"Sec-Fetch-Site: cross-site\r\n"), 403),
    ("a name that is not ours", get(host=b"Host: rebound.example\r\n"), 403),
]


def talk(port, data):
    s = socket.create_connection(("127.0.0.1", port), timeout=10)
    got = b""
    try:
        s.sendall(data)
    except OSError:
        pass
    try:
        while True:
            piece = s.recv(65536)
            if not piece:
                break
            got += piece
    except OSError as e:
        got += b"\n[%s]" % str(e).encode()
    s.close()
    return got


def main():
    port = int(sys.argv[1])
    for name, data, status in CASES:
        got = talk(port, data)
        head, _, body = got.partition(b"\r\n\r\n")
        try:
            told = json.loads(body)["error"]
            shaped = bool(told["message"]) and told["code"] is not None
        except (ValueError, KeyError):
            shaped = False
        right = head.startswith(b"HTTP/1.1 %d " % status) and shaped and b"connection: close" in head.lower()
        print("%s - %s: %d, in JSON, and the connection ends" % ("ok" if right else "not ok", name, status))
        if not right:
            print("# got: %r" % got[:300])


main()
