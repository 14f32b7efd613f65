#!/usr/bin/env python3
"""Compares the Russian catalogue with the texts in the code.

    catalogue.py DUMP            names every text that is missing, stale or has other conversions; exit 1 then
    catalogue.py DUMP --missing  prints entries to fill in for lib/base/text_ru.c

DUMP is the catalogue as JSON, printed by the program texts-json. The code is read after the preprocessor, so that
texts put together by macros are found as they are; N_() leaves its mark there (see lib/base/text.h). Collected is every
string literal that is itself an argument, or a branch of ?: in one, of a function of TEXTS, at the place given there;
and what a `static const char usage[]` says. In the shell scripts of bin: what stands after `say ` or `usage=`.
"""
import errno
import glob
import json
import os
import re
import subprocess
import sys

LAST = -1
# Function: which of its arguments are texts (from 0).
TEXTS = {
    "text_say": (0,), "text_in": (1,), "text_mark": (0,), "text_plural": (1, 2),
    "fail_set": (2,), "fail_sys": (1,), "fail_hint": (1,),
    "program_say": (0,), "program_warn": (1,), "program_usage": (1,), "program_unknown": (3,),
    "doctor_found": (2,), "doctor_remedy": (1,),
    # Helpers of one file, which translate what they are given.
    "bad": (LAST,), "bad_at": (LAST,), "finish": (LAST,), "lost": (LAST,),
}
TOKEN = re.compile(r'''
    (?P<line>^\#\ (?P<number>\d+)\ "(?P<file>[^"]*)".*$)
  | (?P<string>"(?:[^"\\\n]|\\.)*")
  | (?P<char>'(?:[^'\\\n]|\\.)*')
  | (?P<name>[A-Za-z_]\w*)
  | (?P<newline>\n)
  | (?P<blank>[ \t\r\f]+)
  | (?P<other>.)
''', re.X | re.M)
USAGE = re.compile(r'\bchar\s+usage\w*\[\]\s*=\s*((?:"(?:[^"\\\n]|\\.)*"\s*|\#.*\n)+);')
SHELL = re.compile(r"""(?:\bsay |^usage=)(?:'([^']*)'|"([^"$`\\]*)")""", re.M)
CONVERSION = re.compile(r"%(?:(\d+)\$)?([-+ #0]*)(\*|\d+)?(?:\.(\*|\d+))?(hh|h|ll|l|z|j|t)?([diouxXeEfgGcsp%])")
# What gai_strerror() says.
RESOLVER = {"Name or service not known", "Temporary failure in name resolution", "No address associated with hostname",
            "Non-recoverable failure in name resolution", "Servname not supported for ai_socktype"}
ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "a": "\a", "b": "\b", "f": "\f", "v": "\v", "0": "\0"}
FLAGS = ["-std=c11", "-D_GNU_SOURCE", "-DTEXT_COLLECT", '-DKMI_VERSION="0"', '-DKMI_LIBEXEC="/"', "-iquote", "lib",
         "-isystem", "/usr/share/include"]


def literal(token):
    def one(m):
        if m[1].startswith("x"):
            return chr(int(m[1][1:], 16))
        if m[1][0] in "01234567":
            return chr(int(m[1], 8))
        return ESCAPES.get(m[1], m[1])

    text = re.sub(r"\\(x[0-9a-fA-F]+|[0-7]{1,3}|.)", one, token[1:-1])
    # "\xe2\x80\x94" in the code is one letter of UTF-8
    return text if all(ord(c) > 255 or ord(c) < 128 for c in text) else text.encode("latin-1").decode("utf-8", "replace")


def tokens(source):
    name, line = "?", 1
    for m in TOKEN.finditer(source):
        if m["line"]:
            name, line = m["file"], int(m["number"]) - 1
        elif m["newline"]:
            line += 1
        elif not m["blank"]:
            yield m.lastgroup if m.lastgroup != "file" else "line", m[0], f"{name}:{line}"


def collect(source, found):
    """found: text -> (where, kind); kind is "text", "one" or "many"."""
    stack = []          # open brackets: [function or None, argument index, literals [(argument, text, where)]]
    before, joined = "", False
    for kind, token, where in tokens(source):
        if kind == "string":
            if joined and stack:
                stack[-1][2][-1][1] += literal(token)
            elif stack:
                stack[-1][2].append([stack[-1][1], literal(token), where])
            joined = True
            before = ""
            continue
        joined = False
        if token in ("(", "[", "{"):
            stack.append([before if token == "(" else None, 0, []])
        elif token in (")", "]", "}") and stack:
            function, last, literals = stack.pop()
            if function == "" and token == ")" and stack:      # plain brackets, as in (a ? "b" : "c")
                stack[-1][2] += [[stack[-1][1], text, at] for _, text, at in literals]
            for argument, text, at in literals:
                places = [last if p == LAST else p for p in TEXTS.get(function, ())]
                if argument in places:
                    kind = ("one", "many")[argument - 1] if function == "text_plural" else "text"
                    if kind == "many" or text not in found:
                        found[text] = (at, kind)
        elif token == "," and stack:
            stack[-1][1] += 1
        before = token if kind == "name" else ""


def ours(source):
    """Without what comes from the system's headers."""
    parts = re.split(r'^(?=# \d+ ")', source, flags=re.M)
    return "".join(p for p in parts if not re.match(r'# \d+ "[/<]', p))


def texts_of_the_code():
    found = {}
    for path in sorted(glob.glob("lib/*/*.c") + glob.glob("bin/*.c")):
        if path.endswith("/text_ru.c"):
            continue
        source = ours(subprocess.run([os.environ.get("CC", "cc"), "-E", *FLAGS, path], check=True, capture_output=True,
                                     text=True).stdout)
        collect(source, found)
        for m in USAGE.finditer(source):
            text = "".join(literal(s) for s in re.findall(r'^\s*("(?:[^"\\\n]|\\.)*")', m[1], re.M))
            found.setdefault(text, (path, "text"))
    for path in sorted(glob.glob("bin/*.sh")):
        with open(path, encoding="utf-8") as f:
            for m in SHELL.finditer(f.read()):
                found.setdefault(m[1] or m[2], (path, "text"))
    return found


def needs_no_translation(text):
    return not re.search(r"[A-Za-z]", CONVERSION.sub("", text))


def conversions(text):
    """The conversions in the order of their arguments; None when numbered and plain ones are mixed."""
    all_of_it = [m for m in CONVERSION.finditer(text) if m[6] != "%"]
    numbered = [m for m in all_of_it if m[1]]
    if numbered and len(numbered) != len(all_of_it):
        return None
    if numbered:
        all_of_it.sort(key=lambda m: int(m[1]))
        if [int(m[1]) for m in all_of_it] != list(range(1, len(all_of_it) + 1)):
            return None
    return [((m[3] or "") == "*", (m[4] or "") == "*", m[5] or "", m[6]) for m in all_of_it]


def faults(found, catalogue):
    system = {os.strerror(number) for number in errno.errorcode} | RESOLVER
    seen = set()
    for entry in catalogue:
        english, russian = entry["english"], entry["russian"]
        where, kind = found.get(english, ("lib/base/text_ru.c", None))
        if english in seen:
            yield "twice in the catalogue", where, english
        seen.add(english)
        if kind is None and english not in system:
            yield "stale: in the catalogue and not in the code", where, english
        if kind == "one" or len(russian) != (3 if kind == "many" else 1):
            yield "a text that counts has three forms, under the English one for many; another has one", where, english
        for form in russian:
            if conversions(form) != conversions(english):
                yield f"other conversions ({form!r})", where, english
            if english.endswith("\n") != form.endswith("\n"):
                yield "only one of the two ends its line", where, english
    for text, (where, kind) in found.items():
        if kind != "one" and text not in seen and not needs_no_translation(text):
            yield "no translation", where, text


def main():
    with open(sys.argv[1], encoding="utf-8") as f:
        catalogue = json.load(f)
    found = texts_of_the_code()
    known = {entry["english"] for entry in catalogue}
    if "--missing" in sys.argv:
        last = None
        for text, (where, kind) in found.items():
            if kind == "one" or text in known or needs_no_translation(text):
                continue
            name = where.rsplit(":", 1)[0]
            if name != last:
                print(f"\n\t/* {name} */")
            last = name
            quoted = json.dumps(text, ensure_ascii=False)
            print(f"\t{{ {quoted}, {{ {', '.join([quoted] * (3 if kind == 'many' else 1))} }} }},")
        return 0
    bad = list(faults(found, catalogue))
    for what, where, text in bad:
        print(f"{where}: {what}: {json.dumps(text, ensure_ascii=False)}")
    print(f"{len(found)} texts in the code, {len(catalogue)} in the catalogue, {len(bad)} faults", file=sys.stderr)
    return 1 if bad or not found else 0


if __name__ == "__main__":
    sys.exit(main())
