# SPDX-License-Identifier: BSD-3-Clause
"""valgrind_test.py PROGRAM: what Valgrind's memcheck sees of each misuse.

PROGRAM is misuse_test, built without a sanitizer, and has default pools. Where a guarantee names
Valgrind, there must be that error where the misuse is; where a freed object is written or read, it
must name the block, with the stacks of its issue and its free. Where it does not, the verdict is
the default pool's, and Valgrind must be silent.
"""

import concurrent.futures
import os
import re
import shutil
import subprocess
import sys

import table

SIZES = ["1", "24"]

# What misuse_test prints of a misuse, and of all; and what begins Valgrind's lines.
_MISUSE = re.compile(r"^(\w+) \.\.\. ", re.MULTILINE)
_TOTALS = re.compile(r"^\d+ passed, \d+ failed, \d+ skipped\n\Z", re.MULTILINE)
_OWN = re.compile(r"==\d+==|--\d+--")


def run(program, size):
    """Returns the lines that come of each misuse; all the program's are under Valgrind at once,
    each in a child process."""
    # Inlined calls are not told apart: there are none.
    done = subprocess.run(["valgrind", "-q", "--vgdb=no", "--read-inline-info=no", program],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False, text=True,
                          env={**os.environ, "WATCHED_SIZE": size})
    start, *parts = _MISUSE.split(_TOTALS.sub("", done.stdout))
    if not parts:
        raise table.Error(f"valgrind cannot run the program:\n{start}")
    return {name: text.splitlines() for name, text in zip(parts[::2], parts[1::2])}


def errors_of(lines):
    """Returns the errors about memory, each a list of lines."""
    errors = []
    for line in lines:
        if re.match(r"Invalid |Conditional |Use of uninit", line):
            errors.append([])
        if errors:
            errors[-1].append(line)
    return errors


def is_of_misuse(error, verdict):
    """Says whether an error is the one that is expected, and about the misuse itself: not about
    the pool, nor about what takes the misuse back. Valgrind may call a function by its caller, and
    does not tell the lines of one that has a section of its own."""
    return (error[0].startswith(verdict)
            and re.search(r": (read|write)_byte \(|[(/](fixture|free|lifecycle|contents|bounds)\.c:\d+\)$", error[1]))


def has_both_stacks(error, size):
    """Says whether an error names a freed object, and who issued it and who freed it."""
    text = "\n".join(error)
    return (f"inside a block of size {size} free'd" in text and ": call_free (" in text
            and "Block was alloc'd at" in text and ": call_new (" in text)


def judge(misuse, size, guarantee, lines):
    """Returns None where what came of a misuse is what is guaranteed, or what is wrong."""
    own = [_OWN.sub("", line).strip() for line in lines if _OWN.match(line)]
    *said, end = [line for line in lines if not _OWN.match(line)]
    errors = errors_of(own)
    verdict = guarantee.get("VALGRIND", guarantee["DEFAULT"])
    if said == ["impossible"]:
        return None
    if "VALGRIND" in guarantee and verdict != "not a pool":
        found = [error for error in errors if is_of_misuse(error, verdict)]
        if not found:
            return "there is no such error about the misuse itself"
        if "freed_object_is_" in misuse and not has_both_stacks(found[0], size):
            return "the block's stacks are missing"
        return None
    if errors:
        return "Valgrind reports something"
    if verdict == "fault":
        return None if any("SIGSEGV" in line for line in own) else "there was no fault"
    if verdict in table.VERDICTS.values():
        return None if (said, end) == ([verdict], "ok") else "it came to another end"
    if not said or not said[0].startswith(f"cork_mempool: {verdict}: pool 0x"):
        return "there is no such message"
    return None


def main():
    program = os.path.abspath(sys.argv[1])
    if shutil.which("valgrind") is None:
        raise table.Error("valgrind is not installed")
    guarantees, seen = table.read(), set()
    count = failed = 0
    with concurrent.futures.ThreadPoolExecutor() as pool:
        for size, misuses in zip(SIZES, pool.map(run, [program] * len(SIZES), SIZES)):
            for misuse, (guarantee, *lines) in misuses.items():
                seen.add(guarantee)
                count += 1
                wrong = judge(misuse, size, guarantees[guarantee], lines)
                if wrong:
                    failed += 1
                    print(f"{misuse}, size {size}, \"{guarantee}\": {wrong}", *lines, sep="\n    ")
    if seen != guarantees.keys():
        raise table.Error(f"not the program's guarantees: {seen ^ guarantees.keys()}")
    print(f"{count - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except table.Error as error:
        print(error)
        sys.exit(2)
