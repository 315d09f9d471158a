# SPDX-License-Identifier: BSD-3-Clause
"""What minimize.py leaves of inputs that fail by the defects of defect.c."""

import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

import minimize

# Not resolved: a Bazel test sees links to the files, and the drivers stand beside the links.
MINIMIZE = pathlib.Path(__file__).absolute().with_name("minimize.py")

# Operations of pool 3, whose objects have 1,000 bytes, and others of pool 0; program.h has their codes.
NEW, NEW_MANY, FREE, CLEAR, TRIM = (bytes([code * 4 + 3]) for code in (0, 32, 16, 56, 57))
NOISE = bytes(range(0, 112, 4)) * 2
OFF = NEW * 3 + (FREE + bytes(2)) * 2 + TRIM + NEW


class Minimize(unittest.TestCase):
    def setUp(self):
        scratch = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()), "defective")
        scratch.mkdir()
        self.input, self.output = scratch / "crash", scratch / "crash.minimized"

    def minimize(self, data, code, says, *arguments, **environment):
        self.input.write_bytes(data)
        done = subprocess.run([sys.executable, MINIMIZE, *(arguments or [self.input])],
                              env={**os.environ, **environment}, capture_output=True, text=True, check=False)
        self.assertRegex(done.stdout + done.stderr, says)
        self.assertEqual(done.returncode, code)
        self.assertEqual(self.input.read_bytes(), data)

    def test_fewest_operations_that_crash_are_left(self):
        self.minimize(NOISE + NEW_MANY + b"\2" + CLEAR + NOISE, 0,
                      r"minimized: \d bytes\nSUMMARY: AddressSanitizer: SEGV\n", DEFECT="crash")
        self.assertLessEqual(self.output.stat().st_size, 4)

    def test_another_failure_of_fewer_operations_is_not_taken(self):
        self.minimize(NOISE + OFF + NOISE, 0,
                      r"\nexpected: objects are aligned\nseen: #, not a multiple of #\n", DEFECT="misaligned")
        self.assertLessEqual(self.output.stat().st_size, len(OFF))
        self.assertGreater(self.output.stat().st_size, len(TRIM))

    def test_what_only_a_sanitizer_sees_is_kept(self):
        self.output.symlink_to(self.input)
        self.minimize(NOISE, 0, "SUMMARY: AddressSanitizer: heap-buffer-overflow", DEFECT="overflow")
        self.assertLessEqual(self.output.stat().st_size, 2)

    def test_kinds_are_told_apart_by_their_numbers_alone(self):
        self.assertEqual(minimize.NUMBER.sub("#", "kind 12, call 3 with 0x7f, slot 4, (nil)"),
                         "kind 12, call 3 with #, slot #, #")

    def test_an_input_that_passes_is_said_to(self):
        self.minimize(NEW, 1, f"minimize: {self.input}: passes here: ", DEFECT="crash")
        self.assertFalse(self.output.exists())

    def test_what_cannot_be_read_is_named(self):
        missing = self.input.with_name("missing")
        for arguments, says in [
            ([missing], f"minimize: {missing}: No such file"),
            ([self.input.parent], "Is a directory"),
            ([__file__], f"{__file__}: no folder of it has a driver's name; give --driver"),
            (["--driver", "none", self.input], f"{self.input}: there is no driver none"),
        ]:
            with self.subTest(says):
                self.minimize(NEW, 2, says, *arguments)


if __name__ == "__main__":
    unittest.main()
