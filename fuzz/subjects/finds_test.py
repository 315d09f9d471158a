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

BINARY = pathlib.Path(__file__).parent.parent / "mempool_model_fuzzer_libcork_bin"
SEED = 1
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
    environment = dict(os.environ, FUZZ_KNOWN_DEFECTS=",".join(known))
    with tempfile.TemporaryDirectory() as scratch:
        corpus = pathlib.Path(scratch, "corpus")
        corpus.mkdir()
        command = [BINARY.absolute(), f"-seed={seed}", "-timeout=10", flag, corpus]
        result = subprocess.run(
            command,
            cwd=scratch,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
    return result.returncode, result.stdout.decode(errors="backslashreplace")


def find_next(known):
    """Finds a defect that is not known, and tells of it; returns its name.

    A size that wraps may also make libcork hang: then the next seed may fare better.
    """
    start = time.monotonic()
    log, seed = "", SEED
    while (left := SECONDS - int(time.monotonic() - start)) > 0:
        _, log = fuzz(known, seed, f"-max_total_time={left}")
        skipped = re.search("^skipped:.*", log, re.MULTILINE)
        if skipped:
            print(skipped[0])
            sys.exit(NOT_INSTALLED)
        report = REPORT.search(log)
        if report:
            break
        seed += 1
    found = [name for name, says in DEFECTS.items() if report and re.search(says, report[0])]
    if not found or found[0] in known:
        sys.exit(f"with {known} known, no other defect was found in {SECONDS} s:\n{log}")
    print(f"{found[0]}: found in {time.monotonic() - start:.1f} s\n{report[0]}", flush=True)
    return found[0]


def main():
    known = []
    while len(known) < len(DEFECTS):
        known.append(find_next(known))
    code, log = fuzz(known, SEED, f"-runs={RUNS_AFTERWARDS}")
    if code != 0:
        sys.exit(f"with all defects known, there is another:\n{log}")
    print(f"and nothing else in {RUNS_AFTERWARDS} runs")


if __name__ == "__main__":
    main()
