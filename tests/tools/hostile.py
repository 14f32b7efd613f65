#!/usr/bin/env python3
"""hostile.py PORT DIR CASE...: one table of clients and upstreams that behave badly, each judged by what both ends saw.

PORT is kmi's; DIR is the test's folder (script.json and rec/ of the fake upstream). Without CASE: all of them.
Prints TAP lines without numbers or plan; the caller counts them.
"""
import gzip
import json
import os
import socket
import sys
import time

PORT, DIR = int(sys.argv[1]), sys.argv[2]
BASE = b"/kmi-rotor/v1"
HOST = b"Host: 127.0.0.1\r\n"


def script(*rules):
    """What the upstream does from now on; forgets what it did."""
    with open(DIR + "/script.new", "w") as f:
        json.dump(rules, f)
    os.rename(DIR + "/script.new", DIR + "/script.json")
    for name in ("log", "live"):
        open(f"{DIR}/rec/{name}.jsonl", "w").close()


def do(**action):
    return {"key": "*", "do": action}


def raw(text):
    return do(raw=text)


def upstream(count, seconds=5.0):
    """Waits for that many requests to have ended at the upstream; their lines."""
    end = time.monotonic() + seconds
    while True:
        with open(DIR + "/rec/log.jsonl") as f:
            seen = [json.loads(line) for line in f]
        if len(seen) >= count or time.monotonic() > end:
            return seen
        time.sleep(0.01)


def body_of(line):
    with open(f"{DIR}/rec/{line['n']:04d}.body", "rb") as f:
        return f.read()


def head_of(line):
    with open(f"{DIR}/rec/{line['n']:04d}.head", "rb") as f:
        return f.read()


def get(path=b"/x", headers=b"", version=b"HTTP/1.1", method=b"GET", host=HOST):
    return method + b" " + BASE + path + b" " + version + b"\r\n" + host + headers + b"\r\n"


class Client:
    def __init__(self, data=b"", timeout=10.0):
        self.s = socket.create_connection(("127.0.0.1", PORT), timeout=timeout)
        self.got = b""
        if data:
            self.s.sendall(data)

    def send(self, data):
        self.s.sendall(data)

    def more(self):
        """One piece; b"" at the end."""
        try:
            piece = self.s.recv(65536)
        except OSError as e:
            self.error = e
            piece = b""
        self.got += piece
        return piece

    def rest(self):
        while self.more():
            pass
        self.s.close()
        return self.got

    def until(self, mark):
        while mark not in self.got and self.more():
            pass
        return self.got


def talk(data, timeout=10.0):
    return Client(data, timeout).rest()


def status(answer):
    return int(answer[9:12]) if answer.startswith(b"HTTP/1.") else None


def body(answer):
    return answer.partition(b"\r\n\r\n")[2]


def ok(right, name, *facts):
    print("%s - %s" % ("ok" if right else "not ok", name))
    if not right:
        for fact in facts:
            print("# got: %r" % (fact,))
    sys.stdout.flush()


CLOSE = b"Connection: close\r\n"


# ---------------------------------------------------------------- clients

def refused_while_sending():
    script()
    c = Client(b"POST " + BASE + b"/x HTTP/1.1\r\n" + HOST + b"Content-Length: 900000000\r\n\r\n")
    for _ in range(40):     # a client that sends on and on and only then reads
        try:
            c.send(b"a" * 20000)
        except OSError:
            break
        time.sleep(0.1)
    ok(status(c.rest()) == 413, "refused early, but still sending after 4 s: the client gets the answer", c.got[:200])


def sends_for_ever():
    c = Client(b"POST " + BASE + b"/x HTTP/1.1\r\n" + HOST + b"Content-Length: 900000000\r\n\r\n")
    begin = time.monotonic()
    try:
        while time.monotonic() - begin < 90:
            c.send(b"a" * 100000)
            time.sleep(0.005)
    except OSError:
        pass
    took = time.monotonic() - begin
    ok(25 < took < 80, "one that never stops sending is not listened to for ever (%.0f s)" % took)


def pipelined_error():
    script(do(status=200, body="one"))
    got = talk(get() + b"POST " + BASE + b"/x HTTP/1.1\r\n" + HOST + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab" +
               get(b"/after"))
    ok(got.count(b"X-KMI-Request-Id") == 1 and got.count(b"\r\n\r\n") == 2 and b"HTTP/1.1 200" in got and b"HTTP/1.1 400" in got,
       "a good request, a bad one, another: 200, 400, and no more", got)
    ok(len(upstream(1, 0.5)) == 1, "and the upstream saw the first alone")


def expect_refused():
    script()
    got = talk(b"POST /elsewhere HTTP/1.1\r\n" + HOST + b"Content-Length: 5\r\nExpect: 100-continue\r\n\r\n")
    ok(status(got) == 404 and b"100 Continue" not in got, "Expect on a request that is refused: no 100, the refusal", got)


def expect_late():
    script(do(status=200, body="yes"))
    c = Client(b"POST " + BASE + b"/x HTTP/1.1\r\n" + HOST + CLOSE + b"Content-Length: 5\r\nExpect: 100-continue\r\n\r\n")
    c.until(b"\r\n\r\n")
    ok(c.got == b"HTTP/1.1 100 Continue\r\n\r\n", "Expect on one that is not: a 100, and nothing else yet", c.got)
    c.send(b"hello")
    ok(c.rest().endswith(b"yes") and body_of(upstream(1)[0]) == b"hello", "then the body and the answer", c.got)


def head_with_length():
    script(do(status=200, body="hello"))
    begin = time.monotonic()
    got = talk(get(method=b"HEAD", headers=CLOSE + b"Content-Length: 0\r\n"))
    ok(status(got) == 200 and body(got) == b"" and time.monotonic() - begin < 5, "HEAD with a length of 0: answered, no body",
       got)
    got = talk(get(method=b"HEAD", headers=CLOSE + b"Content-Length: 2\r\n") + b"{}")
    ok(status(got) == 200 and body(got) == b"" and time.monotonic() - begin < 5, "HEAD with a body: answered, no body", got)


def bodiless_then_next():
    for what, first in (("204", do(status=204)), ("304 with a length", raw("HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n")),
                        ("204 with a length", raw("HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n"))):
        script(dict(first, times=1), do(status=200, body="second"))
        got = talk(get() + get(headers=CLOSE))
        ok(body(got).startswith(b"HTTP/1.1 200") and got.endswith(b"second"), "%s, then another on the connection" % what, got)
    script(do(status=200, chunks=[{"data": "abc"}]))
    got = talk(get(method=b"HEAD") + get(method=b"HEAD", headers=CLOSE))
    ok(got.count(b"HTTP/1.1 200") == 2 and got.endswith(b"\r\n\r\n") and b"abc" not in got, "two HEADs of a chunked answer", got)


def http10():
    script(do(status=200, framing="length", body="hello"))
    c = Client(get(version=b"HTTP/1.0", headers=b"Connection: keep-alive\r\n"))
    c.until(b"hello")
    ok(b"connection: keep-alive" in c.got.lower(), "HTTP/1.0 that asks for it is kept", c.got)
    c.got = b""
    c.send(get(version=b"HTTP/1.0"))
    ok(c.rest().endswith(b"hello"), "and served again", c.got)
    script(do(status=200, chunks=[{"data": "hel"}, {"data": "lo"}]))
    got = talk(get(version=b"HTTP/1.0", headers=b"Connection: keep-alive\r\n"))
    ok(body(got) == b"hello" and b"chunked" not in got.lower(), "a chunked answer to HTTP/1.0: until close", got)
    script(do(status=200, chunks=[{"data": "hel"}, {"data": "lo"}], cut={"after_bytes": 3, "how": "close"}))
    c = Client(get(version=b"HTTP/1.0"))
    c.rest()
    ok(isinstance(getattr(c, "error", None), ConnectionResetError), "cut in the middle: a reset, for a close would look whole", c.got)


def odd_chunks():
    script(do(status=200, body="ok"))
    got = talk(b"POST " + BASE + b"/x HTTP/1.1\r\n" + HOST + CLOSE + b"Transfer-Encoding: chunked\r\nTrailer: X-T\r\n\r\n"
               b'5;name="v;\xc3\xa4"\r\nhello\r\n0006 \r\n, you!\r\n'.replace(b" \r\n", b"\r\n") + b"0\r\nX-T: 1\r\nContent-Length: 9\r\n\r\n")
    seen = upstream(1)
    ok(status(got) == 200 and seen and body_of(seen[0]) == b"hello, you!", "chunk extensions and trailers: the body arrives", got)
    ok(seen and b"X-T" not in head_of(seen[0]) and b"Content-Length: 11\r\n" in head_of(seen[0]), "they do not, and the length is the body's")
    for size in (b"7fffffffffffffff", b"ffffffff", b"8000000000000000", b"10000000000000000"):
        got = talk(b"POST " + BASE + b"/x HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n" + size + b"\r\n")
        ok(status(got) in (400, 413), "a chunk of %s bytes is refused at once" % size.decode(), got)


def byte_by_byte():
    script(do(status=200, body="ok"))
    c = Client()
    c.s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for b in b"POST " + BASE + b"/x HTTP/1.1\r\n" + HOST + CLOSE + b"Content-Length: 5\r\n\r\nhello":
        c.send(bytes([b]))
        time.sleep(0.002)
    ok(c.rest().endswith(b"ok") and body_of(upstream(1)[0]) == b"hello", "a request byte by byte", c.got)


def targets():
    script(do(status=200, body="ok"))
    for name, data, want in (
            ("bytes beyond ASCII in the path", get(b"/\xc3\xa4"), 400),
            ("an absolute target that is ours", b"GET http://127.0.0.1" + BASE + b"/x HTTP/1.1\r\n" + HOST + CLOSE + b"\r\n", 200),
            ("an absolute target of another host", b"GET http://evil.example" + BASE + b"/x HTTP/1.1\r\n" + HOST + CLOSE + b"\r\n", 403),
            ("a user's name in it", b"GET http://127.0.0.1@evil.example" + BASE + b"/x HTTP/1.1\r\n" + HOST + b"\r\n", 400),
            ("an https target", b"GET https://127.0.0.1" + BASE + b"/x HTTP/1.1\r\n" + HOST + b"\r\n", 400),
            ("OPTIONS *", b"OPTIONS * HTTP/1.1\r\n" + HOST + CLOSE + b"\r\n", 404),
            ("GET *", b"GET * HTTP/1.1\r\n" + HOST + b"\r\n", 400),
            ("a fragment", get(b"/x#y"), 400)):
        got = talk(data)
        ok(status(got) == want, "%s: %d" % (name, want), got[:200])


def odd_bytes():
    script(do(status=200, body="ok"))
    got = talk(get(b'/%0a%22}{"injected":1}', headers=CLOSE + b"X-High: \xff\xfe\xc3\xa4\r\nX-Tab: a\tb\r\nX-Semi: ;\r\nX-At: @/etc/passwd\r\n"))
    seen = upstream(1)
    head = head_of(seen[0]) if seen else b""
    ok(status(got) == 200 and b"X-High: \xff\xfe\xc3\xa4\r\n" in head and b"X-Tab: a\tb\r\n" in head and b"X-Semi: ;\r\n" in head
       and b"X-At: @/etc/passwd\r\n" in head, "header values travel on as bytes", head)
    with open(DIR + "/state/trace/trace.jsonl") as f:
        last = json.loads(f.readlines()[-1])
    ok("injected" not in last and last["endpoint"] == '/%0a%22}{"injected":1}', "a path that looks like JSON stays a path in the trace", last)


# ---------------------------------------------------------------- upstreams

def upstream_lengths():
    script(dict(raw("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhelloSMUGGLED"), times=1), do(status=200, body="second"))
    got = talk(get() + get(headers=CLOSE))
    ok(b"SMUGGLED" not in got and b"hello" in got and got.endswith(b"second"), "more bytes than Content-Length says: dropped, the next answer is clean", got)
    script(dict(raw("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello"), times=1), do(status=200, body="second"))
    got = talk(get() + get(headers=CLOSE))
    ok(got.endswith(b"second") and got.lower().count(b"content-length") <= got.count(b"HTTP/1.1 "),
       "a length given twice: the client is told one framing", got)
    script(raw("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 3\r\n\r\nhello"))
    got = talk(get(headers=CLOSE))
    ok(status(got) == 502, "two lengths that differ: a bad answer", got)
    script(raw("HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"))
    got = talk(get(headers=CLOSE))
    ok(status(got) == 502, "a length beside chunked: a bad answer", got)
    script(raw("HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nhello"))
    got = talk(get(headers=CLOSE))
    ok(b"-5" not in got.partition(b"\r\n\r\n")[0], "a negative length does not reach the client", got)
    script(raw("HTTP/1.1 200 OK\r\nX: 1\r\n\r\nuntil close"))
    got = talk(get(headers=CLOSE))
    ok(b"b\r\nuntil close\r\n0\r\n\r\n" in got, "no length at all: until close, chunked to the client", got)


def upstream_interim():
    script(raw([{"data": "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"},
                {"data": "HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\nX-Real: 1\r\n\r\nreal", "delay_ms": 50}]))
    got = talk(get(headers=CLOSE))
    ok(got.startswith(b"HTTP/1.1 200") and got.endswith(b"real") and b"Link:" not in got and got.count(b"HTTP/1.1") == 1,
       "interim answers are swallowed, the real one comes", got)


def upstream_chunks():
    script(raw('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;x="y"\r\nhello\r\n0\r\nX-Trailer: 1\r\n\r\n'))
    got = talk(get(headers=CLOSE))
    ok(body(got) == b"5\r\nhello\r\n0\r\n\r\n", "the upstream's chunk extensions and trailers end here", got)
    for what, answer in (("a chunk that is cut", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n9\r\nbro"),
                         ("a size that is none", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\n")):
        script(raw(answer))
        got = talk(get(headers=CLOSE))
        ok(b"hello" in got and not got.endswith(b"0\r\n\r\n"), "%s: what came, and no clean end" % what, got)
    script(do(status=500, framing="chunked", body={"repeat": "x", "bytes": 5000}, cut={"after_bytes": 100, "how": "close"}))
    got = talk(get(headers=CLOSE))
    ok(status(got) in (500, 502) and sum(1 for line in upstream(3) if line["status"] == 500) == 3, "an error that breaks off is still an error: others are tried", got[:200], len(upstream(3)))
    big = "".join("X-%d: %s\r\n" % (i, "v" * 1000) for i in range(400))
    script(raw("HTTP/1.1 200 OK\r\n" + big + "Content-Length: 2\r\n\r\nok"))
    got = talk(get(headers=CLOSE))
    ok(status(got) == 502, "an answer's head without measure: 502", got[:200])


def upstream_gzip_error():
    text = gzip.compress(json.dumps({"error": {"message": "insufficient balance, please recharge", "type": "permission_error"}}).encode())
    script({"key": "sk-fake-a-000a", "do": {"status": 403, "headers": [["Content-Encoding", "gzip"]], "body": {"hex": text.hex()}}},
           do(status=200, body="fine"))
    for _ in range(3):
        got = talk(get(headers=CLOSE))
        ok(got.endswith(b"fine"), "an error in gzip is read: the next key answers", got)
    ok(sum(1 for line in upstream(4) if line["status"] == 403) == 1, "and the first is not asked again")


def chunked_body_kept():
    script({"key": "*", "times": 1, "do": {"status": 500, "body": "no"}}, do(status=200, body="fine"))
    got = talk(b"POST " + BASE + b"/x HTTP/1.1\r\n" + HOST + CLOSE + b"Transfer-Encoding: chunked\r\n\r\n" +
               b"".join(b"%x\r\n%s\r\n" % (n, bytes([65 + n % 26]) * n) for n in range(1, 200)) + b"0\r\n\r\n")
    seen = upstream(2)
    ok(got.endswith(b"fine") and len(seen) == 2 and body_of(seen[0]) == body_of(seen[1]) and len(body_of(seen[0])) == 19900,
       "a chunked body goes out again whole with the next attempt", got, seen)


CASES = [pipelined_error, expect_refused, expect_late, head_with_length, bodiless_then_next, http10, odd_chunks, byte_by_byte,
         targets, odd_bytes, upstream_lengths, upstream_interim, upstream_chunks, upstream_gzip_error, chunked_body_kept,
         refused_while_sending]

for case in CASES if len(sys.argv) == 3 else [globals()[name] for name in sys.argv[3:]]:
    try:
        case()
    except Exception as e:      # the table goes on
        ok(False, case.__name__, repr(e))
