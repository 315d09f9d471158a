# SPDX-License-Identifier: BSD-3-Clause
"""The gaps of a small program, as the compiler and its llvm-cov tell of them."""

import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest

import coverage

FLAGS = ["-O1", "-fprofile-instr-generate", "-fcoverage-mapping", "-fcoverage-mcdc",
         "-fcoverage-compilation-dir=."]

# Each compiled copy of larger has only seen one outcome.
SOURCES = {"program.h": """\
#define PROBABLY(condition) __builtin_expect(!!(condition), 1)
static inline int larger(int a, int b)
{
    return a > b ? a : b;
}
""", "other.c": """\
#include "program.h"
int other(int a) { return larger(a, 5); }
""", "program.c": """\
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
"""}

GAPS = """\
program.c 5 a branch at column 9 is never false
program.c 5 condition 1 of 2 never decides alone
program.c 12 a branch in a macro is never false
program.c 12 a branch in a macro is never false
program.c 12 a branch in a macro is never false
program.c 12 a branch in a macro is never true
program.c 12 condition 1 of 2 never decides alone
program.c 12 condition 2 of 2 never decides alone
program.c 15 not executed
file       lines  branches  conditions
other.c      1/1         -           -
program.c  19/20      5/10         1/4
program.h    3/3       2/2           -
all        23/24      7/12         1/4
"""


class Gaps(unittest.TestCase):
    def test_gaps_stand_where_the_source_has_them(self):
        compiler = os.environ.get("CC", "clang-19")
        if not shutil.which(compiler) or not shutil.which(coverage.ask_compiler("-print-prog-name=llvm-cov")):
            self.skipTest(f"there is no {compiler} with its llvm-cov")
        directory = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
        for name, text in SOURCES.items():
            (directory / name).write_text(text)
        subprocess.run([compiler, *FLAGS, "program.c", "other.c", "-o", "program"], cwd=directory, check=True)
        subprocess.run(["./program"], cwd=directory, check=True)
        coverage.llvm("llvm-profdata", "merge", "-o", "all", "default.profraw", cwd=directory)
        figures = coverage.figures_of("program", "all", directory)
        gaps = [f"{gap.file} {gap.line} {gap.what}" for gap in figures.gaps()]
        self.assertEqual("\n".join(gaps + figures.table()) + "\n", GAPS)


if __name__ == "__main__":
    unittest.main()
