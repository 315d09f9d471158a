# SPDX-License-Identifier: BSD-3-Clause
"""Fuzzes the libcork that is installed, from nothing, until each defect that it has is found.

What was found is known from then on, so that it does not hide the next. Whatever else is found is a
failure, as is not to find a defect within its time. Exit code: 77 where libcork is not installed.
"""

import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time

BINARY = pathlib.Path(__file__).absolute().parents[1] / "mempool_model_fuzzer_libcork_bin"
SECONDS = 60
RUNS_AFTERWARDS = 20000
NOT_INSTALLED = 77

# The model's report, which ends with the program; and what tells the defects apart.
REPORT = re.compile(r"^libcork, pool .*\n(?:  .*\n)+", re.MULTILINE)
DEFECTS = {
    "misaligned": r"expected: objects are aligned\n  seen: 0x[0-9a-f]+, not a multiple of \d+\n",
    "oversized": r"expected: no memory can hold an object\n  seen: 0x8 of \d+ bytes\n",
    "wrapping": r"expected: no memory can hold an object\n  seen: 0x(?!8 )[0-9a-f]+ of \d{10,} bytes\n",
}


def fuzz(known, seed, flag):
    """Returns the fuzzer's exit code and log."""
    with tempfile.TemporaryDirectory() as scratch:
        done = subprocess.run([BINARY, f"-seed={seed}", "-timeout=10", flag, scratch], cwd=scratch, check=False,
                              env={**os.environ, "FUZZ_KNOWN_DEFECTS": ",".join(known)}, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, errors="backslashreplace")
    if skipped := re.search("^skipped:.*", done.stdout, re.MULTILINE):
        print(skipped[0])
        sys.exit(NOT_INSTALLED)
    return done.returncode, done.stdout


def find_next(known):
    """Finds a defect that is not known, and tells of it; returns its name."""
    start, seed, report = time.monotonic(), 0, None
    # A size that wraps may also make libcork hang: then the next seed may fare better.
    while report is None and (left := SECONDS - int(time.monotonic() - start)) > 0:
        seed += 1
        _, log = fuzz(known, seed, f"-max_total_time={left}")
        report = REPORT.search(log)
    found = [name for name, says in DEFECTS.items() if report and re.search(says, report[0])]
    if not found or found[0] in known:
        sys.exit(f"with {known} known, no other defect was found in {SECONDS} s:\n{log}")
    print(f"{found[0]}: found in {time.monotonic() - start:.1f} s\n{report[0]}", flush=True)
    return found[0]


def main():
    known = []
    for _ in DEFECTS:
        known.append(find_next(known))
    code, log = fuzz(known, 1, f"-runs={RUNS_AFTERWARDS}")
    if code != 0:
        sys.exit(f"with all defects known, there is another:\n{log}")
    print(f"and nothing else in {RUNS_AFTERWARDS} runs")


if __name__ == "__main__":
    main()
