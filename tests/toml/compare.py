#!/usr/bin/env python3
"""compare.py TOOL CASES: one TAP line for every case of the toml-test suite.

A valid document must give the JSON beside it, type by type; an invalid one
must be refused with the line of its fault. Where the suite lists what belongs
to TOML 1.0, only that is run.
"""
import json
import math
import os
import re
import subprocess
import sys


def same_float(got, want):
    got, want = float(got), float(want)
    return got == want or (math.isnan(got) and math.isnan(want))


def moment(text):
    """A date or time in a form that is equal when the instant and its offset are."""
    text = re.sub(r"(\.\d*?)0+(?!\d)", r"\1", text.upper().replace(" ", "T"))
    return re.sub(r"[+-]00:00$", "Z", text.replace(".Z", "Z").rstrip("."))


def same(got, want):
    if isinstance(want, list):
        return isinstance(got, list) and len(got) == len(want) and all(map(same, got, want))
    if not isinstance(want, dict) or not isinstance(got, dict) or got.keys() != want.keys():
        return False
    if set(want) != {"type", "value"} or not isinstance(want["type"], str):
        return all(same(got[k], want[k]) for k in want)
    if got["type"] != want["type"]:
        return False
    if want["type"] == "float":
        return same_float(got["value"], want["value"])
    if "date" in want["type"] or "time" in want["type"]:
        return moment(got["value"]) == moment(want["value"])
    return got["value"] == want["value"]


# Lists came later than some cases: this one is of TOML 1.1.
NOT_1_0 = {"valid/string/escape-esc"}


def cases(folder):
    listed = os.path.join(folder, "files-toml-1.0.0")
    if os.path.exists(listed):
        with open(listed, encoding="utf-8") as f:
            names = f.read().split()
    else:
        names = [os.path.relpath(os.path.join(d, name), folder)
                 for d, _, files in os.walk(folder) for name in files]
    names = {n[:-5] for n in names if n.endswith(".toml") and n.split("/")[0] in ("valid", "invalid")}
    return sorted(names - NOT_1_0)


def fault(tool, folder, case):
    """None when the case goes as it must, else why not."""
    with open(os.path.join(folder, case + ".toml"), "rb") as f:
        run = subprocess.run([tool], stdin=f, capture_output=True, timeout=20, check=False)
    message = run.stderr.decode("utf-8", "replace").strip()
    if case.startswith("invalid/"):
        if run.returncode != 1:
            return f"accepted (exit {run.returncode})"
        return None if re.match(r"line [1-9]\d*: \S", message) else "refused without a line: " + message
    if run.returncode != 0:
        return f"exit {run.returncode}: {message}"
    with open(os.path.join(folder, case + ".json"), encoding="utf-8") as f:
        want = json.load(f)
    got = json.loads(run.stdout)
    return None if same(got, want) else "got " + json.dumps(got)


def main():
    tool, folder = sys.argv[1:]
    names = cases(folder)
    failed = 0
    for i, case in enumerate(names, 1):
        why = fault(tool, folder, case)
        failed += why is not None
        print(f"{'not ' if why else ''}ok {i} - {case}")
        if why:
            print("# " + why)
    print(f"1..{len(names)}")
    return 1 if failed or not names else 0


if __name__ == "__main__":
    sys.exit(main())
