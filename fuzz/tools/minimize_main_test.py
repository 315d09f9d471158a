# SPDX-License-Identifier: BSD-3-Clause
"""minimize_main_test.py MINIMIZE: the files and exit codes of minimize, with the subject of defect.c."""

import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

MINIMIZE = os.path.abspath(sys.argv[1])
DRIVER = "mempool_profiles_fuzzer"

# new_many 0 17; clear 0: which crashes; new_many 1 17
CRASHING = bytes([32 * 4, 0xd0, 56 * 4, 32 * 4 + 1, 0xd0])
MINIMUM = bytes([32 * 4, 2, 56 * 4])


class Minimize(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.folder = pathlib.Path(scratch.name) / DRIVER
        self.folder.mkdir()
        self.input = self.folder / "crash"
        self.input.write_bytes(CRASHING)

    def minimize(self, code, *arguments):
        result = subprocess.run(
            [MINIMIZE, *map(str, arguments)], capture_output=True, check=False, text=True,
            env={**os.environ, "DEFECT": "1"})
        self.assertEqual(result.returncode, code, result.stderr)
        return result

    def test_writes_beside_the_input(self):
        result = self.minimize(0, self.input)
        self.assertEqual((self.folder / "crash.minimized").read_bytes(), MINIMUM)
        self.assertEqual(self.input.read_bytes(), CRASHING)
        self.assertRegex(result.stdout, rf"\A# fails: .*\ndriver {DRIVER}\nnew_many 0 3\nclear 0\n\Z")

    def test_writes_lines_where_there_is_no_terminal(self):
        lines = self.minimize(0, self.input).stderr.splitlines()
        self.assertRegex(lines[0], r"^minimize: 3 operations, \d+ trials$")
        self.assertRegex(lines[-1], r"crash.minimized: 2 operations after \d+ trials$")

    def test_a_minimum_stays_as_it_is(self):
        output = self.folder / "again"
        self.input.write_bytes(MINIMUM)
        self.minimize(0, "-o", output, self.input)
        self.assertEqual(output.read_bytes(), MINIMUM)

    def test_text_serves_as_well(self):
        text = f"# by hand\ndriver {DRIVER}\nnew_many 0 17\nclear 0\nnew_many 1 17\n"
        output = self.folder / "of_text"
        self.input.write_text(text)
        self.minimize(0, "-o", output, self.input)
        self.assertEqual(output.read_bytes(), MINIMUM)

    def test_never_writes_over_the_input(self):
        link = self.folder / "link"
        link.symlink_to(self.input)
        for output in (self.input, link):
            result = self.minimize(2, "-o", output, self.input)
            self.assertIn("never written over", result.stderr)
        self.assertEqual(self.input.read_bytes(), CRASHING)

    def test_what_does_not_fail_is_no_input(self):
        self.input.write_bytes(b"\0")
        result = self.minimize(1, self.input)
        self.assertIn("does not fail", result.stderr)
        self.assertEqual(list(self.folder.iterdir()), [self.input])

    def test_bad_input_is_refused_for_what_it_is(self):
        for message, *arguments in [
            ("No such file", self.folder / "missing"),
            ("there is no driver none", "--driver", "none", self.input),
            ("has no programs", "--driver", "mempool_options_fuzzer", self.input),
            ("usage: ", "--timeout", "0", self.input),
            ("usage: ", "--timeout", "1x", self.input),
            ("usage: ", "--none", "1", self.input),
            ("usage: ", "-o", "out"),
            ("usage: ",),
        ]:
            with self.subTest(message=message):
                self.assertIn(message, self.minimize(2, *arguments).stderr)
        self.assertIn("No such file or directory", self.minimize(
            2, "-o", self.folder / "none" / "out", self.input).stderr)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
