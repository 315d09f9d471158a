# SPDX-License-Identifier: BSD-3-Clause
"""instructions_test.py: how many instructions a new and a free execute, call and return included.

Callgrind counts what is executed in a function and below it. Two runs that differ in the number of
calls alone differ by these calls: what comes before and after is the same in both, to the last
instruction. The library is built without Valgrind's requests, or its pools would know that they are
watched. The figures are those of x86-64 and of the compiler that tools/bazel chooses; others are
printed, but no ceiling is known for them.
"""

import pathlib
import platform
import re
import shutil
import subprocess
import unittest

PROGRAM = pathlib.Path(__file__).absolute().with_name("instructions")

# By default all calls take the same path, within one group of slots. With PARANOID no two are alike.
COUNTS = {"default": (10, 40), "paranoid": (1000, 2000)}

# To be lowered with each improvement, never raised.
CEILINGS = {
    ("new", "default"): 14,
    ("free", "default"): 25,
    ("new", "paranoid"): 137,
    ("free", "paranoid"): 129,
}

# The call itself is its caller's.
CALL = 1


def executed(function, variant, count):
    """Returns how many instructions were executed in a function, by all of its calls."""
    command = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null"]
    command += ["--collect-atstart=no", f"--toggle-collect=cork_mempool_{function}"]
    command += [PROGRAM, function, variant, str(count)]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    collected = re.search(r"^==\d+== Collected : (\d+)$", run.stderr, re.MULTILINE)
    if run.returncode != 0 or collected is None:
        raise AssertionError(f"status {run.returncode}:\n{run.stderr}")
    return int(collected[1])


class Instructions(unittest.TestCase):
    def test_new_and_free_execute_no_more_than_their_ceilings(self):
        self.assertTrue(shutil.which("valgrind"), "valgrind is not installed")
        for (function, variant), ceiling in CEILINGS.items():
            with self.subTest(function=function, variant=variant):
                few, many = COUNTS[variant]
                extra = executed(function, variant, many) - executed(function, variant, few)
                figure = CALL + extra / (many - few)
                print(f"{function}, {variant}: {figure:.1f} instructions, at most {ceiling}")
                # Nothing was counted, or not what was called.
                self.assertGreater(figure, CALL + 2)
                if platform.machine() == "x86_64":
                    self.assertLessEqual(figure, ceiling)


if __name__ == "__main__":
    unittest.main()
