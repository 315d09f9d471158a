# SPDX-License-Identifier: BSD-3-Clause
"""tools_reports_test.py: what AddressSanitizer, LeakSanitizer and Valgrind report of tools_test.c,
which is nothing, and of the misuses of tools_reports_program.c.

Also that addr2line finds the line of a refused call by its report.
"""

import functools
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest

ROOT = pathlib.Path(__file__).absolute().parent.parent
PROGRAM = ROOT / "test/tools_reports_program.c"
SUPPORT = [ROOT / f"test/support/{name}.c" for name in ("harness", "pools")]

CLANG = shutil.which("clang-19") or shutil.which("clang")
GCC = shutil.which("gcc")

# What Valgrind writes of a program without an error, and a pool nothing.
QUIET = re.compile(r"(==\d+== ?(Memcheck,|Copyright|Using Valgrind|Command: |HEAP SUMMARY| *(in use|total heap)|"
                   r"All heap blocks|LEAK SUMMARY| *(definitely|indirectly|possibly|still|suppressed)|Rerun with|"
                   r"For lists|Reachable blocks|To see them|For counts|ERROR SUMMARY: 0 errors|$))")


def run(*command, **environment):
    """Returns the exit status, and what was written to standard error."""
    done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False, text=True,
                          env={"PATH": os.environ["PATH"], **environment})
    return done.returncode, done.stderr


class ToolsReports(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.directory = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.directory.cleanup)

    @functools.cache
    def objects(self, compiler, *flags):
        """Returns the library, compiled with these flags."""
        self.assertIsNotNone(compiler, "a compiler is not installed")
        directory = tempfile.mkdtemp(dir=self.directory.name)
        sources = sorted((ROOT / "src").glob("*.c"))
        subprocess.run([compiler, "-std=c11", "-g", "-O1", *flags, f"-I{ROOT}/include", f"-I{ROOT}/src", "-c", *sources],
                       cwd=directory, check=True)
        return sorted(pathlib.Path(directory).glob("*.o"))

    def program(self, sources, compiler, *flags):
        """Returns a program of these sources and the library, compiled with these flags."""
        path = tempfile.mkdtemp(dir=self.directory.name) + "/program"
        subprocess.run([compiler, "-std=c11", "-g", "-O1", *flags, f"-I{ROOT}/include", f"-I{ROOT}", *sources,
                        *self.objects(compiler, *flags), "-ldl", "-o", path], check=True)
        return path

    def test_sanitizers_find_what_is_lost_and_nothing_else(self):
        for compiler in CLANG, GCC:
            for sanitizer in "leak", "address":
                with self.subTest(compiler=compiler, sanitizer=sanitizer):
                    flag = f"-fsanitize={sanitizer}"
                    tests = self.program([ROOT / "test/tools_test.c", *SUPPORT], compiler, flag)
                    self.assertEqual(run(tests), (0, ""))
                    program = self.program([PROGRAM], compiler, flag)
                    for options in "guard=0", "guard=1":
                        status, text = run(program, "lose_blocks", CORK_MEMPOOL_OPTIONS=options)
                        self.assertNotEqual(status, 0)
                        self.assertRegex(text, r"leak of \d+ byte")
                        if sanitizer == "address":
                            text = run(program, "read_freed", CORK_MEMPOOL_OPTIONS=options)[1]
                            self.assertIn("use-after-poison", text)

    def test_valgrind_says_nothing_but_of_misuse(self):
        if shutil.which("valgrind") is None:
            self.skipTest("valgrind is not installed")
        program = self.program([PROGRAM], GCC)
        # Of ranges as large as half a GiB Valgrind warns.
        for command in [self.program([ROOT / "test/tools_test.c", *SUPPORT], GCC)], [program, "use_half_a_gigabyte"]:
            status, text = run("valgrind", *command)
            self.assertEqual((status, [line for line in text.splitlines() if not QUIET.match(line)]), (0, []))
            self.assertIn("Memcheck", text)
        # It would take an object for a part of a piece of the heap.
        text = run("valgrind", program, "read_freed")[1]
        self.assertRegex(text, r"Invalid read(.*\n)*.* 0 bytes inside a block of size 4 free'd")

    def test_addr2line_finds_the_line_of_a_refused_call(self):
        if shutil.which("addr2line") is None:
            self.skipTest("addr2line is not installed")
        source = PROGRAM.read_text(encoding="utf-8").splitlines()
        line = 1 + next(i for i, text in enumerate(source) if "/* the second free */" in text)
        for kind, pattern in ("-no-pie", r"called at (0x[0-9a-f]+)"), ("-pie", r"called at .*\+(0x[0-9a-f]+)\)"):
            with self.subTest(kind=kind):
                program = self.program([PROGRAM], GCC, kind, "-fPIE" if kind == "-pie" else "-fno-pie")
                address = re.search(pattern, run(program, "free_twice")[1]).group(1)
                found = subprocess.run(["addr2line", "-e", program, address], capture_output=True, check=True, text=True)
                self.assertRegex(found.stdout, rf"{PROGRAM.name}:{line}\b")


if __name__ == "__main__":
    unittest.main()
