#!/usr/bin/env python3
"""fakekimi.py: a scripted stand-in for the Kimi API, for tests.

    fakekimi.py --cert server.pem --key server.key --script SCRIPT.json --record DIR
                [--port 0] [--port-file FILE] [--no-bodies] [--watch-pid PID]

HTTPS (HTTP/1.1, keep-alive) on 127.0.0.1. The port goes to FILE, whole and only when the fake is ready. It runs
until SIGTERM, or until the process that started it (or PID) is gone.

WHAT IT RECORDS, in DIR
  NNNN.head   request line and headers, byte for byte        NNNN.body   the body, decoded (when there is one)
  live.jsonl  a line when a request's head has arrived       log.jsonl   a line when it has ended or was aborted
  log.jsonl: n, conn, t_start, t_end (CLOCK_MONOTONIC), wall_start, wall_end, method, target, key, auth_form (bearer,
  x-api-key, both, null), body_len, status (null: none was sent), bytes_sent (head and body, before TLS), aborted and
  t_abort (the peer left before the answer was whole), tls_resumed, rule (index, null = default). --no-bodies: no
  .head/.body files. The line is written just AFTER the last byte went out: a client may be a moment earlier, so wait.

THE SCRIPT is a JSON list of rules, read again whenever the file changes (replace it with a rename; a broken one is
reported on stderr and the old rules stay). No file or [] = only defaults. The first rule that matches answers:
  {"key": "sk-fake-a", "path": "/chat", "method": "POST", "nth": 1, "times": 2, "do": {...}}
  key     exact, or "*" (as when absent)                path   matches /…base…/chat…, under whatever base
  nth     3, [2,5] or [2,null]: the n-th request of that key which fits key, path and method, counted since the script
          was read, also when an earlier rule answered it
  times   the rule answers that many requests, then steps aside            note   ignored

"do": everything optional; without a body, 2xx gives what the endpoint would say by itself, others an OpenAI error.
  preset    a known answer (--list-presets); what stands beside it overrides it, headers one by one
  status    200             headers  [["Retry-After", "7"], …], replacing defaults of that name; null value: removed
  body      DATA            framing  "length" | "chunked" | "close"           trailers  [[name, value]], chunked only
  chunks    [{"data": DATA, "delay_ms": 50}, …], the delay comes before the data
  sse       ["text", {"data": "text"|{json}, "event": "x", "comment": "x", "delay_ms": 50}, …]   or generated chat
            chunks {"count": 5, "interval_ms": 20, "size": 16}, with usage and [DONE]; "t" in each is CLOCK_MONOTONIC
  delay_ms  before the head hold_ms  between head and body
  cut       {"after_bytes": N, "how": "fin"|"close"|"rst"}: N body bytes go out (absent: all, but not the end that
            chunked wants), then TCP FIN without TLS close_notify, or with it, or a reset
  stall     true: never answer               close_before_answer  true or "fin"|"close"|"rst"
  close_after  true: answer whole, then close without having said so
  early_answer true: answer on the head alone, with Connection: close; what comes of the body is read for 2 s more
  raw       DATA or [{"data": DATA, "delay_ms": N}, …], verbatim: alone it is the whole answer and the connection is
            closed (keep_open: true leaves it open); beside status or a body it goes before the real answer (1xx)
  DATA      "text" | {"json": any} | {"repeat": "text", "bytes": N} | {"file": path} | {"hex": "0d0a"}

Each answer that is not raw has x-request-id and x-fake-key, the last four characters of the key that was used.
"""
import argparse
import asyncio
import fcntl
import json
import os
import re
import resource
import signal
import socket
import ssl
import struct
import sys
import termios
import time
import traceback
from http import HTTPStatus

PIECE = 65536
LINGER_S = 2.0
HEAD_MAX = 1 << 20

RULE_FIELDS = {"key", "path", "method", "nth", "times", "note", "do"}
DO_FIELDS = {"preset", "status", "headers", "body", "framing", "trailers", "chunks", "sse", "delay_ms", "hold_ms", "cut",
             "stall", "close_before_answer", "close_after", "early_answer", "raw", "keep_open"}
BODY_FIELDS = ("body", "chunks", "sse")


# ---------------------------------------------------------------- known answers

def error(message, kind, code=None):
    return {"json": {"error": {"message": message, "type": kind, "code": code or kind}}}


def refusal(status, message, kind, *headers):
    return {"status": status, "headers": [list(h) for h in headers], "body": error(message, kind)}


SPENT = {"usages": {"limit_5h": {"used_ratio": 1, "reset_time": "2099-01-06T13:33:02Z"},
                    "limit_7d": {"used_ratio": "0.4", "reset_time": "2099-01-09T15:23:13Z"}}}
NEWER = {"usages": {"limit_5h": {"used_ratio": 0.05, "reset_time": "2099-01-06T13:33:02Z"},
                    "limit_7d": {"used_ratio": "0.1", "reset_time": "2099-01-09T15:23:13Z"},
                    "limit_month_total": {"used_ratio": 0.1}, "limit_month_code": {}},
         "boosterWallet": {"balance": {"type": "BOOSTER", "amount": "1000", "amountLeft": "0"}}}
OLDER = {"user": {"userId": "u-1", "region": "REGION_CN", "membership": {"level": "LEVEL_ADVANCED"}},
         "usage": {"limit": "2048", "used": "214", "remaining": "1834", "resetTime": "2099-01-09T15:23:13.716839300Z"},
         "limits": [{"window": {"duration": 300, "timeUnit": "TIME_UNIT_MINUTE"},
                     "detail": {"limit": "200", "used": "50", "remaining": "150",
                                "resetTime": "2099-01-06T13:33:02Z"}}]}
BALANCE = {"code": 0, "data": {"available_balance": 49.58894, "voucher_balance": 46.58893, "cash_balance": 3.00001},
           "scode": "0x0", "status": True}

PRESETS = {
    "rate": refusal(429, "Your account org-fake request reached organization max RPM: 20, please try again later",
                    "rate_limit_reached_error"),
    "rate-retry-after": refusal(429, "Your account org-fake request reached organization max RPM: 20, please try again "
                                "later", "rate_limit_reached_error", ("Retry-After", "2")),
    "rate-reset": refusal(429, "Your account org-fake reached organization TPM rate limit, current: 1000001, limit: "
                          "1000000", "rate_limit_reached_error", ("X-RateLimit-Limit", "20"),
                          ("X-RateLimit-Remaining", "0"), ("X-RateLimit-Reset", "30")),
    "quota": refusal(403, "You've reached your weekly (7-day) usage limit. Your quota will be refreshed in the next "
                     "cycle. Upgrade to get more: https://www.kimi.com/code/console", "access_terminated_error"),
    "quota-cycle": refusal(403, "You've reached your usage limit for this billing cycle. Your quota will be refreshed "
                           "in the next cycle.", "access_terminated_error"),
    "quota-429": refusal(429, "You exceeded your current token quota: 0, please check your account balance",
                         "exceeded_current_quota_error"),
    "concurrency": refusal(403, "Too many concurrent requests for this account, please wait for others to finish",
                           "permission_error"),
    "concurrency-429": refusal(429, "Your account org-fake request reached organization max concurrency: 3 concurrent "
                               "requests, please try again later", "rate_limit_reached_error"),
    "overload": refusal(429, "The engine is currently overloaded, please try again later", "engine_overloaded_error"),
    "overload-503": refusal(503, "The engine is currently overloaded, please try again later",
                            "engine_overloaded_error"),
    "overload-529": refusal(529, "The engine is currently overloaded, please try again later",
                            "engine_overloaded_error"),
    "auth": refusal(401, "Invalid Authentication", "invalid_authentication_error"),
    "payment": refusal(402, "We're unable to verify your membership benefits at this time. Please ensure your "
                       "membership is active.", "payment_required"),
    "payment-403": refusal(403, "Your account has insufficient balance, please recharge your account",
                           "permission_error"),
    "payment-400": refusal(400, "Your subscription has expired, please check your plan and billing details",
                           "invalid_request_error"),
    "payment-zh": refusal(403, "账户余额不足,请充值后重试", "permission_error"),
    "ua-403": refusal(403, "Kimi For Coding is currently only available for Coding Agents such as Kimi CLI, Claude "
                      "Code, Roo Code, Kilo Code, etc.", "access_terminated_error"),
    "forbidden": refusal(403, "The API you are accessing is not open", "permission_denied_error"),
    "bad-request": refusal(400, "Invalid request: message content must not be empty", "invalid_request_error"),
    "not-found": refusal(404, "Not found the model kimi-nope or Permission denied", "resource_not_found_error"),
    "too-large": refusal(413, "Request Entity Too Large", "invalid_request_error"),
    "server-500": refusal(500, "Internal server error", "server_error"),
    "server-502": {"status": 502, "headers": [["Content-Type", "text/html"]],
                   "body": "<html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>\r\n"},
    "server-503": refusal(503, "Service temporarily unavailable", "server_error"),
    "server-504": {"status": 504, "headers": [["Content-Type", "text/html"]],
                   "body": "<html><head><title>504 Gateway Time-out</title></head><body>nginx</body></html>\r\n"},
    "sse-error": {"sse": [{"data": error("The engine is currently overloaded, please try again later",
                                         "engine_overloaded_error")["json"]}]},
    "sse-error-rate": {"sse": [{"data": error("Your account org-fake request reached organization max RPM: 20",
                                              "rate_limit_reached_error")["json"]}]},
    "usages-newer": {"body": {"json": NEWER}},
    "usages-older": {"body": {"json": OLDER}},
    "usages-spent": {"body": {"json": SPENT}},
    "balance": {"body": {"json": BALANCE}},
    "unasked-101": {"raw": "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\nnot http"},
    "garbage": {"raw": "\x00\x01 this is no HTTP answer\r\n\r\n"},
}


def data_bytes(d):
    """DATA of the script, as bytes."""
    if isinstance(d, str):
        return d.encode()
    if "json" in d:
        return json.dumps(d["json"], ensure_ascii=False, separators=(",", ":")).encode()
    if "repeat" in d:
        unit = d["repeat"].encode()
        return (unit * (d["bytes"] // len(unit) + 1))[:d["bytes"]]
    if "file" in d:
        with open(d["file"], "rb") as f:
            return f.read()
    if "hex" in d:
        return bytes.fromhex(d["hex"])
    raise ValueError(f"not DATA: {d!r}")


def sse_bytes(ev):
    if isinstance(ev, str):
        return f"data: {ev}\n\n".encode()
    out = ""
    if "comment" in ev:
        out += f": {ev['comment']}\n"
    if "event" in ev:
        out += f"event: {ev['event']}\n"
    if "data" in ev:
        d = ev["data"]
        out += "data: " + (d if isinstance(d, str) else json.dumps(d, ensure_ascii=False, separators=(",", ":"))) + "\n"
    return (out + "\n").encode()


def chat_usage(completion):
    return {"prompt_tokens": 19, "completion_tokens": completion, "total_tokens": 19 + completion, "cached_tokens": 7}


def chat_events(gen, model):
    """A chat stream of gen["count"] content chunks, as pieces; each is made late, so that "t" is the time of sending."""
    count, text = gen.get("count", 3), "x" * gen.get("size", 8)

    def chunk(delta, finish=None, **more):
        return sse_bytes({"data": {
            "id": "chatcmpl-fake", "object": "chat.completion.chunk", "created": int(time.time()), "model": model,
            "choices": [{"index": 0, "delta": delta, "finish_reason": finish}], "t": time.monotonic(), **more}})

    yield 0, lambda: chunk({"role": "assistant", "content": ""})
    for _ in range(count):
        yield gen.get("interval_ms", 0), lambda: chunk({"content": text})
    yield 0, lambda: chunk({}, "stop", usage=chat_usage(count)) + b"data: [DONE]\n\n"


MESSAGE_EVENTS = [
    {"event": "message_start", "data": {"type": "message_start", "message": {
        "id": "msg_fake", "type": "message", "role": "assistant", "content": [], "model": "kimi-for-coding",
        "stop_reason": None, "usage": {"input_tokens": 19, "cache_read_input_tokens": 7, "output_tokens": 0}}}},
    {"event": "content_block_start", "data": {"type": "content_block_start", "index": 0,
                                              "content_block": {"type": "text", "text": ""}}},
    {"event": "content_block_delta", "data": {"type": "content_block_delta", "index": 0,
                                              "delta": {"type": "text_delta", "text": "Hello from the fake."}}},
    {"event": "content_block_stop", "data": {"type": "content_block_stop", "index": 0}},
    {"event": "message_delta", "data": {"type": "message_delta", "delta": {"stop_reason": "end_turn"},
                                        "usage": {"output_tokens": 3}}},
    {"event": "message_stop", "data": {"type": "message_stop"}},
]


def default_answer(path, body):
    """What the endpoint says when no rule has another idea: an action."""
    if path.endswith("/models"):
        return {"body": {"json": {"object": "list", "data": [
            {"id": name, "object": "model", "created": 1735689600, "owned_by": "moonshot", "context_length": 262144,
             "supports_reasoning": True} for name in ("kimi-for-coding", "kimi-k2")]}}}
    if path.endswith("/usages"):
        return {"body": {"json": NEWER}}
    if path.endswith("/users/me/balance"):
        return {"body": {"json": BALANCE}}
    chat, messages = path.endswith("/chat/completions"), path.endswith("/messages")
    if not chat and not messages:
        return {"status": 404, "body": error("The requested resource was not found", "resource_not_found_error")}
    try:
        asked = json.loads(body)
    except ValueError:
        asked = None
    if not isinstance(asked, dict):
        return {"status": 400, "body": error("Invalid request: the body is no JSON object", "invalid_request_error")}
    model, stream = asked.get("model", "kimi-for-coding"), asked.get("stream") is True
    if chat:
        if stream:
            return {"sse": {"count": 3, "model": model}}
        return {"body": {"json": {
            "id": "chatcmpl-fake", "object": "chat.completion", "created": int(time.time()), "model": model,
            "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello from the fake."},
                         "finish_reason": "stop"}],
            "usage": chat_usage(3)}}}
    if stream:
        return {"sse": MESSAGE_EVENTS}
    return {"body": {"json": {
        "id": "msg_fake", "type": "message", "role": "assistant", "model": model, "stop_reason": "end_turn",
        "content": [{"type": "text", "text": "Hello from the fake."}],
        "usage": {"input_tokens": 19, "cache_read_input_tokens": 7, "output_tokens": 3}}}}


# ---------------------------------------------------------------- the script

def resolve(do):
    """An action with its preset worked in."""
    if "preset" not in do:
        return do
    base = PRESETS[do["preset"]]
    if any(f in do for f in BODY_FIELDS):
        base = {k: v for k, v in base.items() if k not in BODY_FIELDS}
    ours = {name.lower() for name, _ in do.get("headers", [])}
    headers = [h for h in base.get("headers", []) if h[0].lower() not in ours] + do.get("headers", [])
    return {**base, **do, "headers": headers}


class Rule:
    def __init__(self, index, d):
        if not isinstance(d, dict) or set(d) - RULE_FIELDS:
            raise ValueError(f"rule {index}: unknown fields {sorted(set(d) - RULE_FIELDS)}")
        do = d.get("do", {})
        if set(do) - DO_FIELDS:
            raise ValueError(f"rule {index}: unknown in do: {sorted(set(do) - DO_FIELDS)}")
        if do.get("preset", "rate") not in PRESETS:
            raise ValueError(f"rule {index}: no preset {do['preset']!r}")
        nth = d.get("nth", [1, None])
        self.lo, self.hi = (nth, nth) if isinstance(nth, int) else nth
        self.index, self.do = index, resolve(do)
        self.key, self.path, self.method = d.get("key", "*"), d.get("path", ""), d.get("method")
        self.left = d.get("times")
        self.seen = {}

    def fits(self, method, path, key):
        return self.key in ("*", key) and self.path in path and self.method in (None, method)

    def take(self, key):
        """Count this request; is it one that the rule answers? Asked of every rule that fits, used or not."""
        n = self.seen[key] = self.seen.get(key, 0) + 1
        return n >= self.lo and (self.hi is None or n <= self.hi) and self.left != 0


class Script:
    def __init__(self, path):
        self.path, self.stamp, self.rules = path, None, []
        self.load()

    def load(self):
        st = os.stat(self.path) if self.path and os.path.exists(self.path) else None
        stamp = st and (st.st_mtime_ns, st.st_ino, st.st_size)
        if stamp == self.stamp:
            return
        rules = []
        if st:
            with open(self.path, encoding="utf-8") as f:
                rules = [Rule(i, d) for i, d in enumerate(json.load(f))]
        self.stamp, self.rules = stamp, rules

    def choose(self, method, path, key):
        try:
            self.load()
        except (ValueError, TypeError, OSError) as e:
            print(f"fakekimi: {self.path}: {e}; the old rules stay", file=sys.stderr, flush=True)
        chosen = None
        for r in self.rules:
            if r.fits(method, path, key) and r.take(key) and chosen is None:
                chosen = r
        if chosen and chosen.left is not None:
            chosen.left -= 1
        return chosen


class Recorder:
    def __init__(self, folder, bodies):
        os.makedirs(folder, exist_ok=True)
        self.folder, self.bodies, self.n, self.conns = folder, bodies, 0, 0
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        self.log_fd = os.open(f"{folder}/log.jsonl", flags, 0o600)
        self.live_fd = os.open(f"{folder}/live.jsonl", flags, 0o600)

    def save(self, n, what, data):
        if self.bodies:
            with open(f"{self.folder}/{n:04d}.{what}", "wb") as f:
                f.write(data)

    @staticmethod
    def line(fd, obj):
        os.write(fd, json.dumps(obj).encode() + b"\n")


# ---------------------------------------------------------------- one connection

class Gone(Exception):
    """The peer has closed, or reset, its side."""


class Close(Exception):
    """The script wants this connection closed: how."""


class Conn(asyncio.Protocol):
    """TLS is done by hand over memory BIOs: asyncio's own neither tells when the last byte has left nor can end a
    connection with a FIN and no close_notify, and both are what a test of cut answers is about."""

    def __init__(self, fake):
        self.fake = fake
        self.inbuf, self.gone_at, self.eof, self.paused, self.waiter = bytearray(), None, False, False, None
        self.sent = 0

    # ---- callbacks of the event loop

    def connection_made(self, transport):
        self.transport = transport
        transport.set_write_buffer_limits(high=0)   # "paused" = not everything is in the kernel yet
        self.tls_in, self.tls_out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = self.fake.context.wrap_bio(self.tls_in, self.tls_out, server_side=True)
        self.handshaken = False
        self.fake.recorder.conns += 1
        self.number = self.fake.recorder.conns
        self.task = self.fake.loop.create_task(self.run())
        self.fake.tasks.add(self.task)
        self.task.add_done_callback(self.fake.tasks.discard)

    def data_received(self, data):
        self.tls_in.write(data)
        try:
            if not self.handshaken:
                self.tls.do_handshake()
                self.handshaken = True
            while piece := self.tls.read(PIECE):
                self.inbuf += piece
            self.leave()
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError:            # close_notify is the ordinary one; a refused certificate comes here too
            self.leave()
        self.push()
        self.kick()

    def eof_received(self):
        self.leave()
        return True                     # we close, when the task has seen it

    def connection_lost(self, exc):
        self.leave()

    def pause_writing(self):
        self.paused = True

    def resume_writing(self):
        self.paused = False
        self.kick()

    def leave(self):
        if self.gone_at is None:
            self.gone_at = time.monotonic()
        self.kick()

    def kick(self):
        if self.waiter and not self.waiter.done():
            self.waiter.set_result(None)

    # ---- for the task

    async def wait(self, seconds=None):
        """Until something happens on the socket, or the time is up."""
        if self.gone_at is not None:
            raise Gone
        self.waiter = self.fake.loop.create_future()
        timer = self.fake.loop.call_later(seconds, self.kick) if seconds is not None else None
        await self.waiter
        if timer:
            timer.cancel()
        if self.gone_at is not None:
            raise Gone

    async def sleep_ms(self, ms):
        end = time.monotonic() + ms / 1000
        while (left := end - time.monotonic()) > 0:
            await self.wait(left)

    def push(self):
        if data := self.tls_out.read():
            self.transport.write(data)

    async def send(self, data):
        for at in range(0, len(data), PIECE):
            if self.gone_at is not None:
                raise Gone
            piece = data[at:at + PIECE]
            self.tls.write(piece)
            self.push()
            self.sent += len(piece)
            while self.paused:
                await self.wait()

    async def close(self, how):
        if how == "rst":
            # A reset overtakes what is still in the send queue: let that arrive first.
            sock = self.transport.get_extra_info("socket")
            for _ in range(400):
                queued = struct.unpack("i", fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, b"\0" * 4))[0]
                if not queued or self.gone_at is not None:
                    break
                await asyncio.sleep(0.005)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.transport.abort()
            return
        if how == "close":
            try:
                self.tls.unwrap()
            except ssl.SSLError:
                pass                    # it waits for the peer's close_notify, which we do not
            self.push()
        if self.gone_at is None:
            # FIN first, and read on: closing with unread bytes in the queue would turn it into a reset.
            self.transport.write_eof()
            try:
                end = time.monotonic() + LINGER_S
                while (left := end - time.monotonic()) > 0:
                    await self.wait(left)
            except Gone:
                pass
        self.transport.close()

    async def run(self):
        how = "close"
        try:
            while await self.one_request():
                pass
        except Gone:
            pass
        except Close as e:
            how = e.args[0]
        except asyncio.CancelledError:
            self.transport.abort()
            return
        except Exception:               # a mistake in a script (a file that is not there): say so, do not hang the test
            traceback.print_exc()
            self.transport.abort()
            return
        await self.close(how)

    # ---- one request

    async def one_request(self):
        """Read and answer one; True: the connection may go on."""
        while (end := self.inbuf.find(b"\r\n\r\n")) < 0:
            if len(self.inbuf) > HEAD_MAX:
                raise Close("close")
            await self.wait()
        head = bytes(self.inbuf[:end + 4])
        del self.inbuf[:end + 4]

        rec = self.fake.recorder
        rec.n += 1
        lines = head.decode("latin-1").split("\r\n")[:-2]
        method, _, rest = lines[0].partition(" ")
        target, _, version = rest.rpartition(" ")
        headers = {}
        for l in lines[1:]:
            name, _, value = l.partition(":")
            headers.setdefault(name.strip().lower(), value.strip())
        bearer = headers.get("authorization", "")
        bearer = bearer[7:].strip() if bearer[:7].lower() == "bearer " else None
        api_key = headers.get("x-api-key")
        form = "both" if bearer and api_key else "bearer" if bearer else "x-api-key" if api_key else None
        self.req = r = {"n": rec.n, "conn": self.number, "t_start": time.monotonic(), "wall_start": time.time(),
                        "method": method, "target": target, "key": bearer or api_key, "auth_form": form}
        rec.save(r["n"], "head", head)
        rec.line(rec.live_fd, r)

        path = target.partition("?")[0]
        rule = self.fake.script.choose(method, path, r["key"])
        r.update(rule=rule.index if rule else None, tls_resumed=bool(self.tls.session_reused), status=None,
                 aborted=False, t_abort=None)
        self.sent, body, go_on = 0, bytearray(), False
        do = rule.do if rule else {}
        try:
            if not do.get("early_answer"):
                await self.read_body(headers, body)
            await self.answer(do, method, path, bytes(body))
            go_on = version == "HTTP/1.1" and headers.get("connection", "").lower() != "close"
        except Gone:
            r.update(aborted=True, t_abort=self.gone_at)
            raise
        except Close:
            if do.get("early_answer"):
                await self.read_late_body(headers, body)
            raise
        except asyncio.CancelledError:
            r["stopped"] = True         # SIGTERM in the middle of it
            raise
        finally:
            r.update(t_end=time.monotonic(), wall_end=time.time(), body_len=len(body), bytes_sent=self.sent)
            if body:
                rec.save(r["n"], "body", body)
            rec.line(rec.log_fd, r)
        return go_on

    async def take(self, n, out):
        """Move n bytes of the body to out, as they come."""
        while n > 0:
            if not self.inbuf:
                await self.wait()
            piece = self.inbuf[:n]
            out += piece
            del self.inbuf[:len(piece)]
            n -= len(piece)

    async def take_line(self):
        while (end := self.inbuf.find(b"\r\n")) < 0:
            await self.wait()
        line = bytes(self.inbuf[:end])
        del self.inbuf[:end + 2]
        return line

    async def read_body(self, headers, out, invite=True):
        chunked = headers.get("transfer-encoding", "").lower() == "chunked"
        length = headers.get("content-length", "0")
        if not chunked and length == "0":
            return
        if invite and headers.get("expect", "").lower() == "100-continue" and not self.inbuf:
            self.tls.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            self.push()
        try:
            if not chunked:
                await self.take(int(length), out)
                return
            while size := int((await self.take_line()).partition(b";")[0], 16):
                await self.take(size, out)
                await self.take_line()
            while await self.take_line():
                pass                    # trailers
        except ValueError:
            await self.send(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            self.req["status"] = 400
            raise Close("close") from None

    async def read_late_body(self, headers, out):
        """After an early answer: see what of the body still comes, so that the answer is not lost to a reset."""
        try:
            await asyncio.wait_for(self.read_body(headers, out, invite=False), LINGER_S)
        except (TimeoutError, Gone, Close):
            pass

    async def answer(self, do, method, path, body):
        await self.sleep_ms(do.get("delay_ms", 0))
        if do.get("stall"):
            while True:
                await self.wait()
        if how := do.get("close_before_answer"):
            raise Close("fin" if how is True else how)

        if "raw" in do and await self.answer_raw(do):
            return
        if not any(f in do for f in BODY_FIELDS):
            do = {**self.own_answer(do, path, body), **do}
        status = do.get("status", 200)
        pieces = self.pieces(do)
        bodiless = method == "HEAD" or status in (204, 304)
        framing = do.get("framing") or ("length" if "body" in do else "chunked")
        size = None
        if framing == "length":
            pieces = [(delay, data() if callable(data) else data) for delay, data in pieces]
            size = sum(len(data) for _, data in pieces)
        head, whole = self.head(do, status, framing, size)
        self.req["status"] = status

        cut = do.get("cut")
        left = cut.get("after_bytes") if cut else None
        if do.get("hold_ms") or bodiless or left == 0:
            await self.send(head)
            await self.sleep_ms(do.get("hold_ms", 0))
            head = b""
        if not bodiless:
            for delay_ms, data in pieces:
                if delay_ms:
                    if head:
                        await self.send(head)
                        head = b""
                    await self.sleep_ms(delay_ms)
                data = data() if callable(data) else data
                data = data if left is None else data[:left]
                if framing == "chunked" and data:
                    await self.send(head + b"%x\r\n" % len(data) + data + b"\r\n")
                elif data or head:
                    await self.send(head + data)
                head = b""
                if left is not None:
                    left -= len(data)
                    if left == 0:
                        break
            if head:
                await self.send(head)   # a list of no pieces
            if framing == "chunked" and not cut:
                trailers = "".join(f"{n}: {v}\r\n" for n, v in do.get("trailers", []))
                await self.send(b"0\r\n" + trailers.encode() + b"\r\n")
        if cut:
            raise Close(cut.get("how", "fin"))
        if framing == "close" or not whole or do.get("close_after") or do.get("early_answer"):
            raise Close("close")

    async def answer_raw(self, do):
        """Send what is to go out verbatim. True: that was the answer."""
        raw = do["raw"]
        left = do.get("cut", {}).get("after_bytes")
        alone = "status" not in do and not any(f in do for f in BODY_FIELDS)
        for piece in raw if isinstance(raw, list) else [{"data": raw}]:
            await self.sleep_ms(piece.get("delay_ms", 0))
            data = data_bytes(piece["data"])
            if alone and self.req["status"] is None and (m := re.match(rb"HTTP/1\.[01] (\d{3})", data)):
                self.req["status"] = int(m[1])
            if alone and left is not None:
                data, left = data[:left], left - min(left, len(data))
            await self.send(data)
        if alone and not do.get("keep_open"):
            raise Close(do["cut"].get("how", "fin") if "cut" in do else "close")
        return alone

    def own_answer(self, do, path, body):
        """The body for an action that names none."""
        status = do.get("status", 200)
        if 200 <= status < 300:
            return default_answer(path, body)
        return {"body": error(phrase(status), "fake_error")}

    def pieces(self, do):
        """The body as (delay_ms, bytes or a function that makes them when their time has come)."""
        if "body" in do:
            return [(0, data_bytes(do["body"]))]
        if "chunks" in do:
            return [(c.get("delay_ms", 0), data_bytes(c["data"])) for c in do["chunks"]]
        sse = do["sse"]
        if isinstance(sse, dict):
            return chat_events(sse, sse.get("model", "kimi-for-coding"))
        return [(e.get("delay_ms", 0) if isinstance(e, dict) else 0, sse_bytes(e)) for e in sse]

    def head(self, do, status, framing, size):
        """The head, and whether it leaves the connection open."""
        given = do.get("headers", [])
        names = {n.lower() for n, _ in given}
        lines = [("Content-Type", "text/event-stream; charset=utf-8" if "sse" in do else
                  "application/json; charset=utf-8"),
                 ("Date", time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime())),
                 ("x-request-id", f"fake-{self.req['n']:06d}"),
                 ("x-fake-key", (self.req["key"] or "")[-4:])]
        if "sse" in do:
            lines.append(("Cache-Control", "no-cache"))
        # A script that gives its own length or encoding (a wrong one, say) is taken at its word.
        if not names & {"content-length", "transfer-encoding"} and status != 204:
            if framing == "chunked":
                lines.append(("Transfer-Encoding", "chunked"))
            elif framing == "length":
                lines.append(("Content-Length", str(size)))
        if framing == "close" or do.get("early_answer"):
            lines.append(("Connection", "close"))
        lines = [l for l in lines if l[0].lower() not in names] + [l for l in given if l[1] is not None]
        text = f"HTTP/1.1 {status} {phrase(status)}\r\n" + "".join(f"{n}: {v}\r\n" for n, v in lines) + "\r\n"
        return text.encode(), ("connection", "close") not in {(n.lower(), v.lower()) for n, v in lines}


def phrase(status):
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"


# ---------------------------------------------------------------- the process

class Fake:
    def __init__(self, args):
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(args.cert, args.key)
        self.context.set_alpn_protocols(["http/1.1"])
        self.recorder = Recorder(args.record, not args.no_bodies)
        self.script = Script(args.script)
        self.tasks = set()

    async def serve(self, args):
        self.loop = asyncio.get_running_loop()
        stop = asyncio.Event()
        for sig in (signal.SIGTERM, signal.SIGINT):
            self.loop.add_signal_handler(sig, stop.set)
        server = await self.loop.create_server(lambda: Conn(self), "127.0.0.1", args.port, backlog=1024)
        port = server.sockets[0].getsockname()[1]
        if args.port_file:
            tmp = f"{args.port_file}.tmp{os.getpid()}"
            with open(tmp, "w", encoding="ascii") as f:
                f.write(f"{port}\n")
            os.rename(tmp, args.port_file)
        else:
            print(port, flush=True)
        while not stop.is_set() and self.wanted(args.watch_pid):
            try:
                await asyncio.wait_for(stop.wait(), 0.5)
            except TimeoutError:
                pass
        server.close()
        for t in self.tasks:
            t.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    @staticmethod
    def wanted(watched, parent=os.getppid()):
        if watched is None:
            return os.getppid() == parent
        return os.path.exists(f"/proc/{watched}")


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--cert", required=True)
    p.add_argument("--key", required=True)
    p.add_argument("--script", help="may be absent: defaults only")
    p.add_argument("--record", required=True, metavar="DIR")
    p.add_argument("--port", type=int, default=0)
    p.add_argument("--port-file", metavar="FILE")
    p.add_argument("--no-bodies", action="store_true", help="write no .head and .body files")
    p.add_argument("--watch-pid", type=int, help="live as long as PID, instead of the parent")
    if "--list-presets" in sys.argv[1:]:
        for name, do in PRESETS.items():
            print(f"{name:18} {do.get('status', '')}")
        return 0
    args = p.parse_args()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard if hard != resource.RLIM_INFINITY else soft, hard))
    try:
        fake = Fake(args)
    except (OSError, ValueError, TypeError) as e:
        print(f"fakekimi: {e}", file=sys.stderr)
        return 2
    asyncio.run(fake.serve(args))
    return 0


if __name__ == "__main__":
    sys.exit(main())
