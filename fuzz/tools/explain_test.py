# SPDX-License-Identifier: BSD-3-Clause
"""explain_test.py EXPLAIN DEFECTIVE: what explain shows and encodes.

DEFECTIVE is explain with the subject of defect.c.
"""

import glob
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

EXPLAIN, DEFECTIVE = map(os.path.abspath, sys.argv[1:3])
CORPUS = "fuzz/targets/corpus"
PROGRAM_DRIVERS = [
    "mempool_misuse_fuzzer",
    "mempool_model_fuzzer",
    "mempool_oom_fuzzer",
    "mempool_profiles_fuzzer",
]


def corpus(driver):
    return sorted(glob.glob(f"{CORPUS}/{driver}/*"))


def run(*command, **environment):
    return subprocess.run(
        command, capture_output=True, check=False, env={**os.environ, **environment})


def explain(*arguments):
    result = run(EXPLAIN, *arguments)
    if result.returncode != 0:
        raise AssertionError(f"explain {arguments}: {result.returncode}\n{result.stderr.decode()}")
    return result.stdout


def operations(text):
    """Returns what is no comment."""
    lines = (line.partition("#")[0].strip() for line in text.splitlines())
    return [line for line in lines if line]


class Scratch(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.scratch = pathlib.Path(scratch.name)

    def write(self, name, content):
        path = self.scratch / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return str(path)

    def encode(self, driver, text):
        return explain("--driver", driver, "--encode", self.write("text", text))


class Texts(Scratch):
    def test_what_explain_shows_it_reads(self):
        for driver in PROGRAM_DRIVERS:
            shown = explain(*corpus(driver)).decode().split("# fuzz/targets/corpus/")[1:]
            self.assertEqual(len(shown), len(corpus(driver)))
            again = [self.write(f"{driver}_{i}", "# " + text) for i, text in enumerate(shown)]
            shown_again = explain(*again).decode().split(f"# {self.scratch}")
            for text, text_again in zip(shown, shown_again[1:], strict=True):
                self.assertEqual(operations("# " + text_again), operations("# " + text))

    def test_a_deep_program_stays_as_it_is(self):
        shallow = self.encode("mempool_model_fuzzer", "new_many 1 9\n")
        text = "new_many 1 9\ndeep\n"
        deep = self.encode("mempool_model_fuzzer", text)
        self.assertEqual(deep[:len(shallow)], shallow)
        shown = explain("--driver", "mempool_model_fuzzer", self.write("deep", deep)).decode()
        self.assertEqual(operations(shown)[1:3], ["deep", "new_many 1 9"])
        self.assertEqual(self.encode("mempool_model_fuzzer", shown), deep)

    def test_the_mask_comes_first(self):
        self.assertEqual(
            self.encode("mempool_oom_fuzzer", "new 0\nfailing 0x0102 # these\n"),
            bytes([2, 1, 0, 0, 0, 0, 0, 0, 0]))

    def test_goes_to_a_file(self):
        output = self.scratch / "bytes"
        text = self.write("text", "new 3\n")
        explain("--driver", "mempool_model_fuzzer", "--encode", "-o", str(output), text)
        self.assertEqual(output.read_bytes(), b"\3")


class Explanations(Scratch):
    def show(self, defect, driver, text):
        """What is shown of text must be shown of its bytes, and of what is shown."""
        path = self.write("program", self.encode(driver, text))
        result = run(DEFECTIVE, "--driver", driver, path, DEFECT=defect)
        for again in [f"driver {driver}\n{text}".encode(), result.stdout]:
            again = run(DEFECTIVE, self.write("program", again), DEFECT=defect)
            self.assertEqual(again.returncode, result.returncode)
            self.assertEqual(*(re.sub(rb"0x\w{6,}|==\d+==", b"ADDRESS", each.stdout) for each in (again, result)))
        return result.returncode, result.stdout.decode()

    def test_a_crash_is_charged_to_its_operation(self):
        code, shown = self.show("1", "mempool_profiles_fuzzer",
                                "new_many 1 4\nfree 1 1\nclear 1\nnew 1\n")
        self.assertEqual(code, 1)
        self.assertRegex(shown, r"\nclear 1 +# clear: does not return\nnew 1 +# not reached\n")
        self.assertRegex(shown, r"knows 3 live and 1 freed")
        self.assertRegex(shown, r"\n# fails at clear 1: ")

    def test_a_difference_from_the_model_is_told(self):
        code, shown = self.show("0", "mempool_profiles_fuzzer",
                                "init_size 2 100\nnew_many 2 3\nfree_many 2 2 fifo\ntrim 2\n"
                                "new 2\nnew 1\n")
        self.assertEqual(code, 1)
        self.assertRegex(shown, r"\nnew 1 +# not reached\n")
        self.assertRegex(shown, r"\n# fails at new 2: expected: objects are aligned")
        self.assertRegex(shown, r"\n#   .*, pool 2, protections 0x0\n"
                                r"#     expected: objects are aligned\n#     seen: 0x.*, not a multiple of")

    def test_unrefused_misuse_is_told(self):
        code, shown = self.show("3", "mempool_misuse_fuzzer", "new 0\nfree_twice 0 0\n")
        self.assertEqual(code, 1)
        self.assertRegex(shown, r"\n# fails at free_twice 0 0: expected: misuse is refused for what it is")

    def test_a_hang_is_charged_to_its_operation(self):
        path = self.write("hanging", "driver mempool_model_fuzzer\nnew 0\nnew_many 0 2\nnew 0\n")
        self.assertRegex(run(DEFECTIVE, path, DEFECT="2").stdout.decode(), r"\n# fails at new_many 0 2: timeout\n")

    def test_what_a_sanitizer_finds_is_told(self):
        has_sanitizer = b"__asan_init" in pathlib.Path(DEFECTIVE).read_bytes()
        code, shown = self.show("4", "mempool_misuse_fuzzer", "new 0\nnew_many 0 2\n")
        self.assertEqual(code, 1 if has_sanitizer else 0)
        self.assertEqual("# fails at new_many 0 2: AddressSanitizer: heap-buffer-overflow" in shown, has_sanitizer)

    def test_objects_are_named_by_birth(self):
        code, shown = self.show("0", "mempool_misuse_fuzzer",
                                "new_many 2 5\nfree 2 1\nfree_twice 2 0\nnew 2\n")
        self.assertEqual(code, 0)
        self.assertRegex(shown, r"new_many 2 5 +# .*new p2.a0..p2.a4\n")
        self.assertRegex(shown, r"free_twice 2 0 +# free p2.a0; free p2.a0: double free\n")
        self.assertRegex(shown, r"\nnew 2 +# new p2.a5\n")

    def test_options_are_shown(self):
        path = corpus("mempool_options_fuzzer")[0]
        self.assertIn(b".element_size = ", explain(path))


class BadInput(Scratch):
    def expect(self, message, *arguments):
        result = run(EXPLAIN, *arguments)
        self.assertEqual(result.returncode, 2)
        self.assertIn(message, result.stderr.decode())

    def test_is_refused_for_what_it_is(self):
        program = self.write("program", b"\0")
        wrong = self.write("wrong", "new 0\nfree 7 1\n")
        foreign = self.write("foreign", "trim 0\n")
        options = corpus("mempool_options_fuzzer")[0]
        self.expect("no folder of it has a driver's name", program)
        self.expect("there is no driver none", "--driver", "none", program)
        self.expect("No such file", "--driver", "mempool_model_fuzzer", "missing")
        self.expect("unnamed: there is no driver none", self.write("unnamed", "# this\n\ndriver none\n"))
        self.expect("named: line 3, column 1: expected the name of an operation", self.write(
            "named", "driver mempool_model_fuzzer\nnew 0\nold 0\n"))
        self.expect("is no text", self.write("named", b"driver mempool_model_fuzzer\n\0"))
        self.expect("has no programs", self.write("named", "driver mempool_options_fuzzer\n"))
        self.expect("wrong: line 2, column 6: expected a pool, 0 to 3", "--driver",
                    "mempool_model_fuzzer", "--encode", wrong)
        self.expect("line 1, column 1: expected an operation that the driver's dialect has",
                    "--driver", "mempool_model_fuzzer", "--encode", foreign)
        self.expect("is no text", "--driver", "mempool_model_fuzzer", "--encode", program)
        self.expect("too short", "--driver", "mempool_oom_fuzzer", program)
        self.expect("has no programs", "--encode", options)
        self.expect("usage: ", "--none", program)
        self.expect("usage: ")


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
