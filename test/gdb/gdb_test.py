# SPDX-License-Identifier: BSD-3-Clause
"""gdb_test.py PROGRAM: what tools/gdb/cork_mempool.py shows of a running program, and of its core.

Exit code: 77 where gdb is not installed, or may not trace.
"""

import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

NOT_INSTALLED = 77
HERE = pathlib.Path.cwd()
COMMANDS = ["source tools/gdb/cork_mempool.py", "source test/gdb/expect.py"]


def gdb(*arguments, commands):
    """Returns all output of gdb."""
    words = ["gdb", "-q", "-nx", "-batch", "-iex", "set auto-load off", "-iex", "set debuginfod enabled off"]
    for command in commands:
        words += ["-ex", command]
    run = subprocess.run([*words, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                         stderr=subprocess.STDOUT, text=True, check=False, cwd=HERE, timeout=120)
    return run.stdout


def is_right(title, output):
    """Says whether expect.py has run, and has found nothing wrong."""
    match = re.search(r"^expected of (\d+) addresses, (\d+) pools: 0 wrong$", output, re.MULTILINE)
    if match and int(match[1]) > 20 and int(match[2]) == 4:
        print(f"{title}: {match[0]}")
        return True
    print(f"{title}:\n{output}")
    return False


def main():
    program = sys.argv[1]
    if shutil.which("gdb") is None:
        print("gdb is not installed")
        return NOT_INSTALLED
    with tempfile.TemporaryDirectory() as directory:
        core = f"{directory}/core"
        output = gdb(program, commands=["break stop", "run", *COMMANDS, f"generate-core-file {core}"])
        if "Cannot trace" in output or "ptrace" in output:
            print("gdb may not trace programs here")
            return NOT_INSTALLED
        is_live_right = is_right("running", output)
        is_core_right = is_right("core", gdb(program, core, commands=COMMANDS))
    return 0 if is_live_right and is_core_right else 1


if __name__ == "__main__":
    sys.exit(main())
