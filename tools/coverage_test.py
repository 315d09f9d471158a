# SPDX-License-Identifier: BSD-3-Clause
"""The gaps of a small program, as the compiler and its llvm-cov tell of them."""

import json
import pathlib
import shutil
import subprocess
import tempfile
import unittest

import coverage
from coverage_figures import KINDS, Figures

FLAGS = ["-O1", "-fprofile-instr-generate", "-fcoverage-mapping", "-fcoverage-mcdc",
         "-fcoverage-compilation-dir=."]

HEADER = """\
#define PROBABLY(condition) __builtin_expect(!!(condition), 1)
static inline int larger(int a, int b)
{
    return a > b ? a : b;
}
"""

# Each compiled copy of larger has only seen one outcome.
OTHER = """\
#include "program.h"
int other(int a) { return larger(a, 5); }
"""

PROGRAM = """\
#include "program.h"
int other(int a);
static int both(int a, int b)
{
    if (a && b) {
        return 1;
    }
    return 0;
}
static int either(int a, int b)
{
    if (PROBABLY(a || b)) {
        return 1;
    }
    return 0;
}
int main(int count, char **arguments)
{
    (void)arguments;
    other(9);
    larger(1, 2);
    both(1, 1);
    both(1, 0);
    return either(count, 0) - 1;
}
"""

GAPS = [
    ("program.c", 5, "a branch at column 9 is never false"),
    ("program.c", 5, "condition 1 of 2 never decides alone"),
    ("program.c", 12, "a branch in a macro is never false"),  # of the macro itself
    ("program.c", 12, "a branch in a macro is never false"),  # of a
    ("program.c", 12, "a branch in a macro is never false"),  # of b
    ("program.c", 12, "a branch in a macro is never true"),
    ("program.c", 12, "condition 1 of 2 never decides alone"),
    ("program.c", 12, "condition 2 of 2 never decides alone"),
    ("program.c", 15, "not executed"),
]


class Gaps(unittest.TestCase):
    def figures(self, directory):
        for name, text in (("program.h", HEADER), ("other.c", OTHER), ("program.c", PROGRAM)):
            (directory / name).write_text(text)
        subprocess.run([coverage.compiler(), *FLAGS, "program.c", "other.c", "-o", "program"],
                       cwd=directory, check=True)
        subprocess.run(["./program"], cwd=directory, check=True)
        coverage.llvm("llvm-profdata", "merge", "-o", "all", "default.profraw", cwd=directory)
        return Figures(json.loads(coverage.llvm("llvm-cov", "export", "program",
                                                "-instr-profile=all", cwd=directory)))

    def test_gaps_stand_where_the_source_has_them(self):
        if not shutil.which(coverage.compiler()) or not coverage.find_llvm_tool("llvm-cov"):
            self.skipTest(f"there is no {coverage.compiler()} with its llvm-cov")
        with tempfile.TemporaryDirectory() as directory:
            figures = self.figures(pathlib.Path(directory))
        self.assertEqual([(gap.file, gap.line, gap.what) for gap in figures.gaps()], GAPS)
        self.assertEqual([figures.count(kind) for kind in KINDS], [(23, 24), (7, 12), (1, 4)])
        self.assertEqual(figures.count("branches", "program.h"), (2, 2))


if __name__ == "__main__":
    unittest.main()
