# SPDX-License-Identifier: BSD-3-Clause
"""What edges_plot.py refuses, and that it draws the same logs as the same file.

Exit code of Pictures: 77 where matplotlib is not installed.
"""

import os
import pathlib
import subprocess
import sys
import tempfile
import unittest
import xml.etree.ElementTree

HERE = pathlib.Path(__file__).absolute().parent
sys.path.insert(0, str(HERE.parent / "tools"))
import plotting
from fuzz_run import Refusal

NOT_INSTALLED = 77

HEAD = "seconds,executions,edges,corpus\n"
GOOD = HEAD + "0.0,0,0,0\n0.1,48,679,47\n7.5,9000,701,52\n"


class Case(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.root = pathlib.Path(scratch.name)

    def plot(self, *arguments):
        """Returns the exit code and what was said."""
        command = [sys.executable, HERE / "edges_plot.py", *arguments]
        # Matplotlib says where it cannot keep its cache, and reads its user's settings.
        environment = dict(os.environ, MPLCONFIGDIR=str(self.root))
        environment["BUILD_WORKING_DIRECTORY"] = str(self.root)
        process = subprocess.run(command, env=environment, capture_output=True, text=True)
        self.assertEqual(process.stdout, "")
        return process.returncode, process.stderr

    def log(self, driver, text):
        name = f"mempool_{driver}_fuzzer.asan.csv"
        (self.root / name).write_text(text)
        return name


class Refusals(Case):
    def test_bad_logs_are_refused_by_name(self):
        good = self.log("model", GOOD)
        for text, why in (
            ("", "is no log of a run: it is empty"),
            (HEAD, "is no log of a run: it is empty"),
            ("seconds,executions\n0.1,48\n", "is no log of a run: KeyError('edges')"),
            (HEAD + "0.1,48,many,47\n", "is no log of a run: ValueError("),
            (HEAD + "0.1\n", "is no log of a run: TypeError("),
            (HEAD + "0" * 200000 + ",48,679,47\n", "is no log of a run: Error("),
            (HEAD + "0.0,0,0,0\n9.0,0,0,0\n", "is the log of a run that reached no edge"),
        ):
            with self.subTest(text=text):
                bad = self.log("oom", text)
                code, errors = self.plot("edges.svg", good, bad)
                self.assertEqual(code, 2, errors)
                self.assertTrue(errors.startswith(f"edges_plot: {self.root / bad} {why}"), errors)
                self.assertEqual(errors.count("\n"), 1)
                self.assertFalse((self.root / "edges.svg").exists())

    def test_missing_logs_are_refused(self):
        self.assertEqual(self.plot("e.svg"), (2, "edges_plot: give the SVG to write, and logs\n"))
        code, errors = self.plot("edges.svg", "nowhere.csv")
        self.assertEqual(code, 2, errors)
        self.assertIn(f"edges_plot: {self.root}/nowhere.csv is no log of a run", errors)


class Pictures(Case):
    @classmethod
    def setUpClass(cls):
        try:
            plotting.find_python("a picture")
        except Refusal as refusal:
            print(f"skipped: {refusal}")
            sys.exit(NOT_INSTALLED)

    def test_same_logs_are_the_same_file(self):
        logs = [self.log(driver, GOOD) for driver in ("model", "oom")]
        pictures = []
        for name, drawn in (("one.svg", logs), ("two.svg", logs), ("less.svg", logs[:1])):
            self.assertEqual(self.plot(name, *drawn), (0, ""))
            pictures.append((self.root / name).read_bytes())
        one, two, less = pictures
        self.assertEqual(one, two)
        self.assertNotEqual(one, less)
        self.assertIn("svg", xml.etree.ElementTree.fromstring(one).tag)

    def test_picture_that_cannot_be_written_is_refused(self):
        said = f"edges_plot: cannot write {self.root}/nowhere/e.svg: No such file or directory\n"
        self.assertEqual(self.plot("nowhere/e.svg", self.log("model", GOOD)), (2, said))


if __name__ == "__main__":
    unittest.main()
