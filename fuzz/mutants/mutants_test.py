# SPDX-License-Identifier: BSD-3-Clause
"""Demands of each mutant that its driver's corpus finds it, and of what is no mutant that it does not."""

import argparse
import concurrent.futures
import json
import os
import pathlib
import re
import subprocess
import sys

# The replay's own limit is for one input, and comes first.
MAX_SECONDS = 120

# What a replay says when an input has made it end; it says nothing of the kind where it cannot run.
INPUT = re.compile(r"^replay: the input was (.*)$", re.MULTILINE)
REASON = re.compile(r"^ *(?:expected: |SUMMARY: )(.*?)(?: \(/.*)?$", re.MULTILINE)


def description_of(patch):
    """Returns the first line of a patch, which says what is wrong, or None where it does not."""
    first = patch.read_text().partition("\n")[0]
    return None if not first or first.startswith(("---", "+++", "diff ", "@@")) else first


def replay(mutant, root):
    """Returns the exit code of a replay of the corpus, and what it wrote."""
    # What was found is enough; to name the lines of code takes longer than to find it.
    environment = dict(os.environ, ASAN_OPTIONS="symbolize=0")
    command = [root / mutant["binary"], root / "fuzz/corpus" / mutant["driver"]]
    try:
        process = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=environment,
            timeout=MAX_SECONDS,
        )
    except subprocess.TimeoutExpired:
        return None, f"no end after {MAX_SECONDS} s\n"
    return process.returncode, process.stdout.decode(errors="backslashreplace")


def verdict_on(mutant, root):
    """Returns whether a mutant is as it must be, and a line about it."""
    name = f"{mutant['name']} ({mutant['driver']})"
    code, output = replay(mutant, root)
    found = INPUT.search(output)
    if not mutant["patch"]:
        return code == 0, f"{name}: {output.splitlines()[-1]}"
    description = description_of(root / mutant["patch"])
    if description is None:
        return False, f"{name}: the first line of {mutant['patch']} must say what is wrong"
    if code == 0:
        return False, f"{name}: NOT FOUND by its corpus: {description}"
    if not found:
        return False, f"{name}: ended with status {code}, but by no input: {output[-500:]}"
    reason = REASON.search(output)
    reason = reason.group(1) if reason else f"status {code}"
    return True, f"{name}: found by {os.path.basename(found.group(1))}: {reason}"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--root", type=pathlib.Path, required=True)
    parser.add_argument("--manifest", type=pathlib.Path, required=True)
    options = parser.parse_args()
    mutants = json.loads(options.manifest.read_text())["mutants"]

    bad_count = 0
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as executor:
        for is_good, line in executor.map(lambda mutant: verdict_on(mutant, options.root), mutants):
            print("ok    " if is_good else "FAILED", line, flush=True)
            bad_count += not is_good
    patch_count = sum(mutant["patch"] != "" for mutant in mutants)
    print(f"{patch_count} mutants, {len(mutants) - patch_count} controls, {bad_count} failed")
    return 1 if bad_count or not patch_count else 0


if __name__ == "__main__":
    sys.exit(main())
