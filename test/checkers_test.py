# SPDX-License-Identifier: BSD-3-Clause
"""checkers_test.py: what AddressSanitizer, LeakSanitizer, MemorySanitizer and Valgrind say of legal
pools with each protection, which is nothing; and that they would say something.

Also that addr2line finds the line of a refused call by its report.
"""

import itertools
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest

ROOT = pathlib.Path(__file__).absolute().parent.parent
PROGRAM = ROOT / "test/checkers_program.c"

HEADER = (ROOT / "include/libcork/core/mempool_options.h").read_text(encoding="utf-8")
PROTECTIONS = ["none", *re.findall(r"(?m)^ +X\(\w+, (\w+)\)", HEADER), "paranoid"]
# A caller's memory cannot have these.
OF_PAGES = {"guard", "paranoid"}

CLANG = shutil.which("clang-19") or shutil.which("clang")
GCC = shutil.which("gcc")


class Checkers(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.directory = tempfile.TemporaryDirectory()
        cls.programs = {}
        assert OF_PAGES < set(PROTECTIONS)

    @classmethod
    def tearDownClass(cls):
        cls.directory.cleanup()

    def program(self, compiler, *flags):
        """Returns the program, compiled once with these flags."""
        path = os.path.join(self.directory.name, f"program{len(self.programs)}")
        key = (compiler, flags)
        if key not in self.programs:
            self.assertIsNotNone(compiler, "a compiler is not installed")
            subprocess.run([compiler, "-std=c11", "-g", "-O1", *flags, f"-I{ROOT}/include", f"-I{ROOT}/src", PROGRAM,
                            *sorted((ROOT / "src").glob("*.c")), "-ldl", "-o", path], check=True)
            self.programs[key] = path
        return self.programs[key]

    def run_life(self, command, life, protection):
        """Returns the exit status and what was written."""
        run = subprocess.run([*command, life, protection], capture_output=True, check=False, text=True,
                             env={"PATH": os.environ["PATH"]})
        return run.returncode, run.stdout + run.stderr

    def expect_silence(self, command, *lives, but=()):
        for life, protection in itertools.product(lives, PROTECTIONS):
            if protection not in but:
                with self.subTest(life=life, protection=protection):
                    self.assertEqual(self.run_life(command, life, protection), (0, ""))

    def test_leak_sanitizer_alone_finds_what_is_lost_and_nothing_else(self):
        for compiler in CLANG, GCC:
            with self.subTest(compiler=compiler):
                command = [self.program(compiler, "-fsanitize=leak")]
                self.expect_silence(command, "live_on", "live_and_end")
                status, text = self.run_life(command, "lose_blocks", "none")
                self.assertNotEqual(status, 0)
                self.assertRegex(text, r"leak of \d+ byte")

    def test_address_sanitizer_finds_what_is_lost_and_nothing_else(self):
        for compiler in CLANG, GCC:
            with self.subTest(compiler=compiler):
                command = [self.program(compiler, "-fsanitize=address")]
                self.expect_silence(command, "live_on", "live_and_end")
                self.expect_silence(command, "give_back", but=OF_PAGES)
                for protection in "none", "guard":
                    self.assertRegex(self.run_life(command, "lose_blocks", protection)[1], r"leak of \d+ byte")
                    self.assertIn("use-after-poison", self.run_life(command, "read_freed", protection)[1])

    def test_memory_sanitizer_knows_a_callers_memory_as_it_was(self):
        command = [self.program(CLANG, "-fsanitize=memory")]
        self.expect_silence(command, "live_and_end")
        self.expect_silence(command, "give_back", but=OF_PAGES)

    def test_valgrind_says_nothing_but_of_misuse(self):
        if shutil.which("valgrind") is None:
            self.skipTest("valgrind is not installed")
        program = self.program(GCC)

        def lines(life, protection):
            status, text = self.run_life(["valgrind", program], life, protection)
            own = re.findall(r"^==\d+== ?(.*)", text, re.MULTILINE)
            return status, own, [line for line in text.splitlines() if not line.startswith("==")]

        quiet = re.compile(r"Memcheck,|Copyright|Using Valgrind|Command: |HEAP SUMMARY| *(in use|total heap)|"
                           r"All heap blocks|LEAK SUMMARY| *(definitely|indirectly|possibly|still|suppressed)|"
                           r"Rerun with|For lists|Reachable blocks|To see them|For counts|ERROR SUMMARY: 0 errors|$")
        for life, protection in itertools.product(("live_and_end", "give_back"), PROTECTIONS):
            if life != "give_back" or protection not in OF_PAGES:
                with self.subTest(life=life, protection=protection):
                    status, own, others = lines(life, protection)
                    self.assertEqual((status, others), (0, []))
                    self.assertEqual([line for line in own if not quiet.match(line)], [])
        # Valgrind warns of ranges as large as this.
        status, own, others = lines("live_large", "none")
        self.assertEqual((status, others), (0, []))
        self.assertEqual([line for line in own if not quiet.match(line)], [])
        self.assertTrue(any("Invalid read" in line for line in lines("read_freed", "none")[1]))

    def test_addr2line_finds_the_line_of_a_refused_call(self):
        if shutil.which("addr2line") is None:
            self.skipTest("addr2line is not installed")
        source = PROGRAM.read_text(encoding="utf-8").splitlines()
        line = 1 + next(i for i, text in enumerate(source) if "/* the second free */" in text)
        for kind, pattern in ("-no-pie", r"called at (0x[0-9a-f]+)"), ("-pie", r"called at .*\+(0x[0-9a-f]+)\)"):
            with self.subTest(kind=kind):
                program = self.program(GCC, kind, "-fPIE" if kind == "-pie" else "-fno-pie")
                address = re.search(pattern, self.run_life([program], "free_twice", "none")[1]).group(1)
                found = subprocess.run(["addr2line", "-e", program, address], capture_output=True, check=True, text=True)
                self.assertRegex(found.stdout, rf"checkers_program\.c:{line}\b")


if __name__ == "__main__":
    unittest.main()
