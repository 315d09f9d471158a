# SPDX-License-Identifier: BSD-3-Clause
"""valgrind_test.py PROGRAM: what Valgrind's memcheck sees of each misuse.

PROGRAM is misuse_test, built without a sanitizer, and has default pools. Where a guarantee names
Valgrind, there must be that error where the misuse is; where a freed object is written or read, it
must name the block, with the stacks of its issue and its free. Where it does not, the verdict is
the default pool's, and Valgrind must be silent; of these, one misuse stands for all of its
guarantee.
"""

import concurrent.futures
import os
import re
import shutil
import subprocess
import sys

import table

SIZES = [1, 24]

# Reports that are not about memory, and go to the same stream.
_OWN = re.compile(r"^(==|--)\d+(==|--) ?")


def is_usable(program):
    """Says whether Valgrind can run the program at all."""
    if shutil.which("valgrind") is None:
        print("valgrind is not installed")
        return False
    _, output, own, pools = run_one(program, "null_is_freed", 1)
    if output != "absorbed":
        print("valgrind cannot run the program:", *own, *pools, sep="\n")
        return False
    return True


def run_one(program, misuse, size):
    """Returns the program's exit status and output, Valgrind's lines, and the pool's."""
    # Inlined calls are not told apart: there are none.
    run = subprocess.run(["valgrind", "-q", "--vgdb=no", "--read-inline-info=no", program, misuse],
                         capture_output=True, check=False, text=True,
                         env={**os.environ, "WATCHED_MISUSE": misuse, "WATCHED_SIZE": str(size)})
    output = re.search(rf"^{misuse} \.\.\. (.*)$", run.stdout, re.MULTILINE)
    own, pools = [], []
    for line in run.stderr.splitlines():
        match = _OWN.match(line)
        if match:
            own.append(line[match.end():])
        else:
            pools.append(line)
    return run.returncode, output[1] if output else run.stdout, own, pools


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
    the pool, nor about what takes the misuse back. Valgrind may call a function by its caller."""
    return (error[0].startswith(verdict)
            and re.search(r"[(/](fixture|free|lifecycle|contents|bounds)\.c:\d+\)$", error[1]))


def has_both_stacks(error, size):
    """Says whether an error names a freed object, and who issued it and who freed it."""
    text = "\n".join(error)
    return (f"inside a block of size {size} free'd" in text and ": call_free (" in text
            and "Block was alloc'd at" in text and ": call_new (" in text)


def judge(misuse, size, verdict, is_tools, outcome):
    """Returns None where the outcome is the verdict, or what is wrong."""
    status, output, own, pools = outcome
    errors = errors_of(own)
    if output == "impossible":
        return None
    if is_tools and verdict != "not a pool":
        found = [error for error in errors if is_of_misuse(error, verdict)]
        if not found:
            return "there is no such error about the misuse itself"
        if "freed_object_is_" in misuse and not has_both_stacks(found[0], size):
            return "the block's stacks are missing"
        return None
    if verdict == "fault":
        return None if any("SIGSEGV" in line for line in own) else "there was no fault"
    if verdict in table.VERDICTS.values():
        if errors or pools:
            return "it was not silent"
        return None if (status, output) == (0, verdict) else "it came to another end"
    if not pools or not pools[0].startswith(f"cork_mempool: {verdict}: pool 0x"):
        return "there is no such message"
    return "Valgrind reports something" if errors else None


def misuses_of(program):
    """Returns the misuses that Valgrind is to watch, each with its guarantee's verdicts."""
    guarantees, seen = table.read(), set()
    listed = subprocess.run([program], capture_output=True, check=True, text=True,
                            env={**os.environ, "WATCHED_MISUSE": ""}).stdout
    for misuse, guarantee in re.findall(r"^(\w+) \.\.\. (.*)$", listed, re.MULTILINE):
        if guarantee not in seen or "VALGRIND" in guarantees[guarantee]:
            yield misuse, guarantees[guarantee]
        seen.add(guarantee)
    if seen != guarantees.keys():
        raise table.Error(f"not the program's guarantees: {seen ^ guarantees.keys()}")


def main():
    program = os.path.abspath(sys.argv[1])
    if not is_usable(program):
        return 2
    trials = []
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for misuse, verdicts in misuses_of(program):
            for size in SIZES:
                trials.append((misuse, verdicts, size,
                               pool.submit(run_one, program, misuse, size)))
        failed = 0
        for misuse, verdicts, size, run in trials:
            is_tools = "VALGRIND" in verdicts
            verdict = verdicts["VALGRIND" if is_tools else "DEFAULT"]
            wrong = judge(misuse, size, verdict, is_tools, run.result())
            if wrong:
                failed += 1
                status, output, own, pools = run.result()
                print(f"{misuse}, size {size}, should be \"{verdict}\": {wrong}\n"
                      f"status {status}, output \"{output}\"", *own, *pools, sep="\n    ")
    print(f"{len(trials) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
