# SPDX-License-Identifier: BSD-3-Clause
"""What explain.py shows and encodes; of failures, by a tracer of a subject that has defects, see defect.c."""

import contextlib
import io
import os
import pathlib
import re
import tempfile
import unittest

import explain

# Not resolved: a Bazel test sees links to the files, and the tracer stands beside the links.
explain.TRACER = pathlib.Path(__file__).absolute().parents[1] / "defective_tracer"
CORPUS = pathlib.Path("fuzz/targets/corpus")
MISUSE, MODEL, OOM, PROFILES = (f"mempool_{name}_fuzzer" for name in ("misuse", "model", "oom", "profiles"))
IS_ASAN = b"__asan_report" in explain.TRACER.read_bytes()


def operations(text):
    """Returns what is no comment."""
    lines = (line.partition("#")[0].strip() for line in text.splitlines())
    return [line for line in lines if line]


class Explain(unittest.TestCase):
    def setUp(self):
        self.scratch = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))

    def write(self, name, content):
        path = self.scratch / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return str(path)

    def explain(self, *arguments, status=0, defect=""):
        """Returns all that it writes."""
        os.environ["DEFECT"] = defect
        written = io.TextIOWrapper(io.BytesIO(), write_through=True)
        with contextlib.redirect_stdout(written), contextlib.redirect_stderr(written):
            code = explain.main(*map(str, arguments))
        written = written.buffer.getvalue()
        self.assertEqual(code, status, written[-2000:])
        return written

    def encode(self, driver, text):
        return self.explain(self.write("text", text), "--encode", "--driver", driver)

    def show(self, defect, driver, text, *says):
        """What is shown of text must be shown of its bytes, and of what is shown."""
        status = 1 if any("# fails at" in pattern for pattern in says) else 0
        path = self.write("program", self.encode(driver, text))
        shown = self.explain("--driver", driver, path, status=status, defect=defect)
        for again in [f"driver {driver}\n{text}", shown]:
            again = self.explain(self.write("program", again), status=status, defect=defect)
            self.assertEqual(*(re.sub(rb"0x\w{6,}|==\d+==", b"ADDRESS", each) for each in (again, shown)))
        for pattern in says:
            self.assertRegex(shown.decode(), pattern)

    def test_what_explain_shows_it_reads(self):
        for driver in (MISUSE, MODEL, OOM, PROFILES):
            for file in sorted(CORPUS.glob(f"{driver}/*"))[::5]:
                shown = self.explain(file)
                again = self.explain(self.write("again", shown))
                self.assertEqual(operations(again.decode()), operations(shown.decode()))

    def test_a_deep_program_stays_as_it_is(self):
        shallow, deep = self.encode(MODEL, "new_many 1 9\n"), self.encode(MODEL, "new_many 1 9\ndeep\n")
        self.assertEqual(deep[:len(shallow)], shallow)
        shown = self.explain("--driver", MODEL, self.write("deep", deep)).decode()
        self.assertRegex(" ".join(operations(shown)[1:]), r"^deep new_many 1 9 write 1 \d+$")
        self.assertEqual(self.encode(MODEL, shown), deep)

    def test_the_mask_comes_first(self):
        self.assertEqual(self.encode(OOM, "new 0\nfailing 0x0102 # these\n"), bytes([2, 1, 0, 0, 0, 0, 0, 0, 0]))

    def test_a_crash_is_charged_to_its_operation(self):
        self.show("crash", PROFILES, "new_many 1 4\nfree 1 1\nclear 1\nnew 1\n",
                  r"\nclear 1 +# clear: does not return\nnew 1 +# not reached\n", r"knows 3 live and 1 freed",
                  r"\n# fails at: clear 1\n# pool:     1\n# expected: every call returns.*\n"
                  r"# seen:     (SUMMARY: AddressSanitizer: SEGV|signal: Segmentation).*\n$")

    def test_a_difference_from_the_model_is_told_last(self):
        self.show("misaligned", PROFILES,
                  "init_size 2 100\nnew_many 2 3\nfree_many 2 2 fifo\ntrim 2\nnew 2\nnew 1\n",
                  r"\nnew 1 +# not reached\n",
                  r"\n# fails at: new 2\n# pool:     2\n# expected: objects are aligned\n"
                  r"# seen:     0x\w+, not a multiple of \d+\n$")

    def test_a_hang_is_charged_to_its_operation(self):
        path = self.write("hanging", f"driver {MODEL}\nnew 0\nnew_many 0 2\nnew 0\n")
        shown = self.explain(path, status=1, defect="hang").decode()
        self.assertRegex(shown, r"\n# fails at: new_many 0 2\n(.*\n){2}# seen:     timeout\n$")

    def test_what_a_sanitizer_finds_is_told_or_that_this_build_passes(self):
        self.show("overflow", MISUSE, "new 0\nnew_many 0 2\n",
                  r"\n# .*ERROR: AddressSanitizer: (.*\n)*# fails at: new_many 0 2\n(.*\n){2}"
                  r"# seen:     SUMMARY: AddressSanitizer: heap-buffer-overflow.*\n$"
                  if IS_ASAN else r"\n# passes here: .*\n$")

    def test_objects_are_named_by_birth_and_other_addresses_by_the_object_they_are_near(self):
        self.show("", MISUSE,
                  "new_many 2 5\nfree 2 1\nfree_twice 2 0\nnew 2\nfree_interior 2 0 6\nfree_foreign 2 6\n"
                  "free_foreign 2 10\nfree_foreign 2 12\nowns 2 0\nfree_null 2\nwrite 2 1\n",
                  r"new_many 2 5 +# .*new p2.a0..p2.a4\n",
                  r"\nfree_twice 2 0 +# free p2.a0; free p2.a0: double free\nnew 2 +# new p2.a5\n",
                  r"\nfree_interior 2 0 6 +# free p2.a\d\+7: free of an interior pointer\n",
                  r"\nfree_foreign 2 6 +# free p2.a\d-1: .*\nfree_foreign 2 10 +# free 0x2: .*\n"
                  r"free_foreign 2 12 +# free 0x\w{6,}: .*\nowns 2 0 +# owns NULL: false; .*owns p2.a4: true; .*\n"
                  r"free_null 2 +# free NULL\nwrite 2 1 +# write p2.a2\n")

    def test_what_the_same_happens_to_neighbours_is_told_once_and_no_more_than_six_times(self):
        self.show("", MISUSE,
                  "new_many 0 40\nfree_many 0 3 fifo\nfree_many 0 3 lifo\nfree_many 0 9 stride 3\n"
                  "new_many 1 2\nfree 1 0\nowns 1 0\n",
                  r"\nfree_many 0 3 fifo +# free p0.a0..p0.a2\n",
                  r"\nfree_many 0 3 lifo +# free p0.a39..p0.a37\n",
                  r"\nfree_many 0 9 stride 3 +# free \S+(; free \S+){5}; and 3 more\n",
                  r"\nowns 1 0 +# .*; owns p1.a0: false; owns p1.a1: true\n")

    def test_why_new_gives_nothing_is_told(self):
        self.show("", MISUSE,
                  "init_with 0 16 4096 0x0000c000\nnew_many 0 2\ninit_with 1 16 4096 0xff812000\nnew_many 1 3\n",
                  r"\nnew_many 0 2 +# new p0.a0; new: NULL, not constructed\n",
                  r"\nnew_many 1 3 +# new p1.a0..p1.a1; new: NULL, no memory\n")

    def test_damage_is_told(self):
        self.show("", MISUSE, "init_with 0 64 4096 0x01000001\nnew 0\noverflow 0 0 3\n",
                  r"# invert 1 bytes at p0.a0\+64; free p0.a0: canary damaged; invert 1 bytes at p0.a0\+64\n",
                  r"\n# pool 0: {.element_size = 64, .block_size = 4096, .protections = 0x1, .seed = 1}\n")

    def test_of_runs_that_pass_the_first_is_shown(self):
        self.show("", PROFILES, "new 0\n", r"^# \S+: 1 bytes\ndriver ")

    def test_options_are_shown(self):
        path = min(CORPUS.glob("mempool_options_fuzzer/*"))
        self.assertRegex(self.explain(path).decode(), r"\n# options +# init, \{\.element_size = .*\n(.*\n)*# passes")

    def test_a_call_in_a_callback_is_shown(self):
        self.show("", MISUSE, "init_with 0 16 4096 0x00008000\nnew 0\nmisbehave 0 4\n",
                  r"\ninit_with 0 16 4096 0x00008000\nnew 0 +# new p0.a0\n",
                  r"\nmisbehave 0 4 +# new: use during another call; free p0.a0: does not return\n",
                  r"# pool 0: {.element_size = 16, .block_size = 4096, .* = 1, .done_object = 1}\n")

    def run_of(self, *events):
        return explain.Run("\n".join([
            "run 0x10", "operation free 0", "run 0x20", "operation new 0", "step", "call 1 0 0x0 init, element size 1",
            "return 1 0 0x0 ", "stats 0 one\ttwo", "call 1 0 0x0 new", "return 1 0 0x50000 ", "call 1 0 0x0 new",
            "return 1 0 0x51000 ", *events]))

    def test_a_pool_is_told_of_from_init_to_done(self):
        run = self.run_of()
        self.assertEqual(run.head, [", protections 0x20"])
        self.assertEqual(run.state(), ["# pool 0: element size 1", "#   one", "#   two"])
        run_of_another = self.run_of("call 1 0 0x0 init, element size 2", "return 1 0 0x0 ")
        self.assertEqual(run_of_another.state(), ["# pool 0: element size 2"])
        run_to_done = self.run_of("end", "call 1 0 0x0 done", "return 1 0 0x0 ")
        self.assertEqual(run_to_done.state(), [])
        self.assertEqual(list(run_to_done.lines(False))[-3:], run.state())

    def test_an_address_is_told_by_the_object_before_it_or_the_first(self):
        for address, name in [(0x50010, "p0.a0+16"), (0x50ff8, "p0.a0+4088"), (0x4ffff, "p0.a0-1"),
                              (0x60fff, "p0.a1+65535"), (0x61000, "0x61000"), (0, "NULL")]:
            self.assertEqual(self.run_of().locate("0", address), name)
        self.assertEqual(self.run_of("call 1 0 0x0 new", "return 1 0 0x70000 ").locate("0", 0x6fff8), "p0.a2-8")
        self.assertEqual(self.run_of("call 1 0 0x0 init", "return 1 0 0x0 ").locate("0", 0x50000), "0x50000")

    def test_files_are_refused_for_what_they_are(self):
        for says, content, *arguments in [
            ("no folder of it has a driver's name; give --driver", "\0"),
            ("there is no driver none", "\0", "--driver", "none"),
            ("there is no driver none", "# this\n\ndriver none\n"),
            ("is no text", "\0", "--encode", f"--driver={MODEL}"),
            ("is no text", f"driver {MODEL}\n\0"),
            ("too short for an input of mempool_oom_fuzzer", "\0", "--driver=mempool_oom_fuzzer"),
            ("mempool_options_fuzzer has no programs: its inputs are options", "driver mempool_options_fuzzer\n"),
            ("line 2, column 1: expected the name of an operation", f"driver {MODEL}\ndriver none\n"),
            ("line 2, column 1: expected the name of an operation", f"driver {MODEL}\nfailing 0x5\n"),
            ("line 3, column 6: expected a pool, 0 to 3", f"driver {MODEL}\nnew 0\nfree 7 1\n"),
            ("line 2, column 1: expected an operation that the driver's dialect has", f"driver {MODEL}\ntrim 0\n"),
            ("line 4098, column 1: expected the end: an input has at most 4096 bytes",
             f"driver {MODEL}\n" + "new 0\n" * 4097),
        ]:
            path = self.write("input", content)
            self.assertEqual(self.explain(path, *arguments, status=2).decode(), f"explain: {path}: {says}\n")
        self.assertTrue(self.explain("missing", status=2).startswith(b"explain: missing: No such file"))


if __name__ == "__main__":
    unittest.main()
