#!/usr/bin/env python3
"""How often a text stands in the memory of a process: memory.py PID TEXT. Root may ask; else only what may be looked into."""
import sys

pid, text = sys.argv[1], sys.argv[2].encode()
found = 0
with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", 0) as memory:
    for line in maps:
        span, rights, *rest = line.split()
        if "r" not in rights or (rest and rest[-1].startswith("[v")):
            continue
        start, end = (int(n, 16) for n in span.split("-"))
        try:
            memory.seek(start)
            found += memory.read(end - start).count(text)
        except OSError:
            pass
print(found)
