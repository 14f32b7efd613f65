#!/usr/bin/env python3
"""Every text that people read has its Russian, with the same conversions; and what says so can fail. TAP."""
import copy
import json
import os
import subprocess
import sys

os.chdir(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
sys.path.insert(0, "tests/texts")
sys.dont_write_bytecode = True
import catalogue  # noqa: E402

count = 0


def ok(good, name, notes=()):
    global count
    count += 1
    print(f"{'ok' if good else 'not ok'} {count} - {name}")
    for note in () if good else notes:
        print(f"# {note}")


def finds(what, english, change, name):
    """With the catalogue changed so, `what` is said of `english`."""
    entries = copy.deepcopy(known)
    change(entries, [e for e in entries if e["english"].startswith(english)])
    said = [(w, text) for w, _, text in catalogue.faults(found, entries)]
    ok(any(w.startswith(what) and text.startswith(english) for w, text in said), name, said)


def drop(entries, which):
    for entry in which:
        entries.remove(entry)


def say(*russian):
    def change(_, which):
        which[0]["russian"] = list(russian)
    return change


dump = os.path.join(os.environ.get("BUILD", "build"), "tests/tools/texts-json")
known = json.loads(subprocess.run([dump], check=True, capture_output=True, text=True).stdout)
found = catalogue.texts_of_the_code()
faults = [f"{where}: {what}: {json.dumps(text, ensure_ascii=False)}" for what, where, text in catalogue.faults(found, known)]
ok(not faults and len(found) > 500, "every text is in the catalogue, none is stale, conversions are the same", faults)
finds("no translation", "out of memory", drop, "a text without a translation is found")
finds("no translation", "Please set KMI_PROXY_TOKEN", drop, "one put together by macros")
finds("no translation", "longest silence of the upstream", drop, "one in a table")
finds("no translation", "usage: kmi status", drop, "a usage text")
finds("no translation", "%lld usable", drop, "one that counts")
finds("no translation", "the head is not valid HTTP", drop, "one branch of a choice")
finds("no translation", "the chunked body is not valid", drop, "and the other")
finds("stale", "nobody says so", lambda all, _: all.append({"english": "nobody says so", "russian": ["никто"]}), "a stale one")
finds("twice", "out of memory", lambda all, which: all.append(which[0]), "one that is there twice")
finds("other conversions", "%s is damaged", say("%d повреждён"), "another conversion")
finds("other conversions", "%s, line %d", say("строка %d, %s"), "another order of conversions")
finds("other conversions", "%s, line %d", say("%2$d %s"), "some numbered, some not")
finds("a text that counts", "%lld usable", say("%lld", "%lld"), "a form too few")
finds("a text that counts", "out of memory", say("a", "b", "c"), "forms of what does not count")
finds("only one of the two ends", "nothing was locked", say("блокировок не было"), "a lost end of line")
entries = copy.deepcopy(known)
next(e for e in entries if e["english"] == "%s, line %d")["russian"] = ["строка %2$d, %1$s"]
ok(not [f for f in catalogue.faults(found, entries) if f[2] == "%s, line %d"], "another order is right when all are numbered")
print(f"1..{count}")
