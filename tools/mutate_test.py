# SPDX-License-Identifier: BSD-3-Clause
"""What mutate.py finds and says, on a workspace of a few lines."""

import contextlib
import io
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest
import unittest.mock

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import mutate
import mutate_build
import mutate_source
import mutate_survivors

# Any that writes its syntax tree as JSON will do here.
COMPILERS = (os.environ.get("CC"), "clang-19", "clang")
COMPILER = next((name for name in COMPILERS if name and shutil.which(name)), None)

BUILD = """\
load("@rules_cc//cc:defs.bzl", "cc_library")
cc_library(name = "cork_mempool", srcs = glob(["src/*.c", "src/*.h"]))
"""
TESTS = """\
load("//tools:sanitizers.bzl", "sanitized_cc_test")
[sanitized_cc_test(name = name, srcs = [name + ".c"], deps = ["//:cork_mempool"])
 for name in ["clamp_test"]]
cc_test(name = "generated_test", srcs = ["made_elsewhere.c"], deps = ["//:cork_mempool"])
"""
CLAMP_H = """\
static inline int twice(int n)
{
    return n * 2;
}
int clamp(int n, int most);
int count(int n);
"""
CLAMP_C = """\
#include "clamp.h"
int clamp(int n, int most)
{
    volatile int unused = 3;
    if (n > most) {
        return most;
    }
    return n;
}
int count(int n)
{
    int sum = 0;
    while (n > 0) {
        n -= 1;
        sum += 1;
    }
    return sum;
}
"""
CLAMP_TEST = """\
#include <stdio.h>
#include <string.h>
#include "src/clamp.h"
#define FAILS(name, condition) (strstr(name, filter) != NULL && fails(name, condition))
static int fails(const char *name, int is_right)
{
    printf("%s ... %s\\n", name, is_right ? "ok (0.000 s)" : "FAILED");
    return !is_right;
}
int main(int argc, char **argv)
{
    const char *filter = argc > 1 ? argv[1] : "";
    return FAILS("clamps: all", clamp(3, 2) == 2 && clamp(1, 2) == 1 && clamp(0, 2) == 0) |
           FAILS("counts", count(3) == 3 && count(0) == 0) | FAILS("doubles", twice(3) == 6);
}
"""
ENTRY = "src/clamp.c clamp\n- volatile int unused = 3;\n+ volatile int unused = 4;\n"
LIST = f"""\
# Explained.

{ENTRY}+ volatile int unused = 2;
+ volatile int unused = 0;
+ volatile int unused = 1;
  equivalent: it is
  unused
"""
UNDER_TEST = """\
#include "under.h"
#define LIMIT 7
#define LIKELY(condition) __builtin_expect(!!(condition), 1)
unsigned long f(unsigned long a, unsigned long *b)
{
    if (LIKELY(a != LIMIT && b)) {
        *b = a << 3;
        b++;
    }
    for (; a > 0; a--) {
        if (a == 5)
            continue;
        a &= ~a;
    }
    return a ? 1 : 20;
}
"""


class Workspace(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.root = pathlib.Path(scratch.name, "workspace")
        self.temporary = pathlib.Path(scratch.name, "temporary")
        self.temporary.mkdir()

    def write(self, **texts):
        """Writes files, named with _ for / and with the last _ for a dot."""
        for name, text in texts.items():
            path = self.root / re.sub(r"_(?=[^_]*$)", ".", name).replace("_", "/", 1)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)


class Finding(Workspace):
    def setUp(self):
        super().setUp()
        self.write(src_under_c=UNDER_TEST, src_under_h="static inline int g(void) { return 3; }\n")
        self.found = mutate_source.Sources(COMPILER, mutate_build.FLAGS, self.root)

    def changes(self, line):
        return [m.mutated for m in self.found.mutants if m.original == line]

    def test_conditions_are_negated_decided_and_lose_operands(self):
        self.assertEqual(
            set(self.changes("if (LIKELY(a != LIMIT && b)) {")),
            {
                "if (!(LIKELY(a != LIMIT && b))) {",
                "if (0) {",
                "if (1) {",
                "if (LIKELY(a != LIMIT || b)) {",
                "if (LIKELY(a != LIMIT)) {",
                "if (LIKELY(b)) {",
                "if (LIKELY(!(a != LIMIT) && b)) {",
                "if (LIKELY(a != LIMIT && !(b))) {",
                "if (LIKELY(a == LIMIT && b)) {",
            },
        )

    def test_assignments_operators_and_constants_are_changed(self):
        self.assertEqual(
            set(self.changes("*b = a << 3;")),
            {"(void)0;", "*b = a >> 3;"} | {f"*b = a << {n};" for n in (0, 1, 2, 4)},
        )
        self.assertEqual(set(self.changes("b++;")), {"(void)0;", "b--;"})
        self.assertEqual(set(self.changes("a &= ~a;")), {"(void)0;", "a |= ~a;", "a &= a;"})

    def test_boundaries_move_in_loops(self):
        loop = self.changes("for (; a > 0; a--) {")
        for changed in ("a >= 0; a--", "a <= 0; a--", "a > 1; a--", "0; a--", "a > 0; a++"):
            self.assertIn(f"for (; {changed}) {{", loop)

    def test_jumps_are_deleted_and_results_replaced(self):
        self.assertEqual(self.changes("continue;"), ["(void)0;"])
        returned = set(self.changes("return a ? 1 : 20;"))
        self.assertLessEqual({"return 0;", "return 1;", "return a ? 1 : 21;"}, returned)

    def test_inline_functions_of_headers_are_code(self):
        self.assertTrue(any(m.edit.file == "src/under.h" for m in self.found.mutants))

    def test_definitions_of_macros_are_nobodys_code(self):
        self.assertFalse([m for m in self.found.mutants if m.original.startswith("#")])

    def test_equal_lines_are_told_apart(self):
        self.write(src_under_c="int f(int a)\n{\n    a++;\n    a++;\n    return a;\n}\n")
        mutants = mutate_source.Sources(COMPILER, mutate_build.FLAGS, self.root).mutants
        deleted = [m for m in mutants if m.original == "a++;" and m.mutated == "(void)0;"]
        self.assertEqual([m.ordinal for m in deleted], [1, 2])
        self.assertEqual(len({m.key() for m in mutants}), len(mutants))

    def test_schemata_have_each_mutant_and_the_original(self):
        text = self.found.schemata("src/under.c", dict(enumerate(self.found.mutants)))
        in_file = [m for m in self.found.mutants if m.edit.file == "src/under.c"]
        self.assertEqual(len(re.findall(r"^case \d+:$", text, re.MULTILINE)), len(in_file))
        self.assertEqual(len(re.findall(r"^default:$", text, re.MULTILINE)), 1)


class Listed(Workspace):
    def read(self, text):
        self.write(list_txt=text)
        return mutate_survivors.Survivors(self.root / "list.txt")

    def test_one_reason_serves_several_changes(self):
        text = "src/a.c f\n- x;\n+ y;\n+#2 y;\n- p;\n+ q;\n  speed: less\n  of it\n"
        entries = self.read(text).entries
        self.assertEqual(
            list(entries),
            [
                ("src/a.c", "f", "x;", "y;", 1),
                ("src/a.c", "f", "x;", "y;", 2),
                ("src/a.c", "f", "p;", "q;", 1),
            ],
        )
        self.assertEqual({entry.reason for entry in entries.values()}, {"speed: less of it"})

    def test_what_is_no_entry_is_refused(self):
        entry = "src/a.c f\n- x;\n+ y;\n"
        for text in (
            entry,
            entry + "  because: so\n",
            entry + "  speed:\n",
            "- x;\n+ y;\n  speed: so\n",
            "src/a.c f\n+ y;\n  speed: so\n",
            entry + "+ y;\n  speed: so\n",
        ):
            with self.assertRaises(mutate_source.Refusal, msg=text):
                self.read(text)


class Running(Workspace):
    def setUp(self):
        super().setUp()
        self.write(
            src_clamp_h=CLAMP_H,
            src_clamp_c=CLAMP_C,
            include_empty_h="",
            test_clamp_test_c=CLAMP_TEST,
            survivors_txt=LIST,
        )
        (self.root / "BUILD").write_text(BUILD)
        (self.root / "test/BUILD").write_text(TESTS)

    def start(self, *arguments):
        command = [sys.executable, mutate.__file__, f"--root={self.root}", *arguments]
        command += [f"--survivors={self.root}/survivors.txt"]
        environment = dict(os.environ, CC=COMPILER, TMPDIR=str(self.temporary))
        pipe = subprocess.PIPE
        return subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=environment)

    def run_it(self, *arguments):
        process = self.start(*arguments)
        output, errors = process.communicate()
        return process.returncode, output, errors

    def test_explained_survivors_are_no_fault(self):
        status, output, errors = self.run_it(f"--json={self.root}/out.json")
        self.assertEqual((status, errors), (0, ""), output)
        self.assertRegex(output, r"; 4 that differ .* survive, 0 of them unexplained;")
        self.assertNotRegex(output, r" 0 are the same code")
        verdicts = (self.root / "out.json").read_text()
        self.assertIn('"detail": "clamp_test clamps: all, failed"', verdicts)
        self.assertEqual(os.listdir(self.temporary), [])

    def test_an_unexplained_survivor_is_a_fault_and_printed_as_the_list_would_have_it(self):
        self.write(survivors_txt="")
        status, output, _ = self.run_it("--files", "src/clamp.c")
        self.assertEqual(status, 1)
        self.assertIn(f"src/clamp.c:4:27: survives\n{ENTRY}  (1 cases reach it)\n", output)

    def test_survivors_can_be_judged_again_alone(self):
        self.run_it(f"--json={self.root}/out.json")
        status, output, _ = self.run_it(f"--again={self.root}/out.json")
        self.assertEqual(status, 0)
        self.assertIn("\n4 mutants: 0 killed,", output)

    def test_an_entry_that_matches_nothing_is_a_fault(self):
        self.write(survivors_txt=LIST + "\nsrc/clamp.c clamp\n- gone;\n+ (void)0;\n  speed: old\n")
        status, output, _ = self.run_it()
        self.assertEqual(status, 1)
        self.assertIn("survivors.txt:14: matches no mutant (any more):\n", output)

    def test_an_entry_that_is_killed_is_a_fault(self):
        killed = "\nsrc/clamp.c clamp\n- if (n > most) {\n+ if (0) {\n  speed: never looked at\n"
        self.write(survivors_txt=LIST + killed)
        status, output, _ = self.run_it()
        self.assertEqual(status, 1)
        self.assertIn("survives no more (clamp_test clamps: all, failed):\n", output)
        self.write(survivors_txt=LIST + killed.replace("speed:", "sanitizer:"))
        self.assertEqual(self.run_it()[0], 0)

    def test_slow_cases_are_spared_for_what_is_not_explained(self):
        slow = "#include <unistd.h>\n" + CLAMP_TEST.replace("clamp(3, 2)", "!sleep(1) && clamp(3, 2)")
        killed = "\nsrc/clamp.c clamp\n- if (n > most) {\n+ if (0) {\n  speed: for this test\n"
        self.write(test_clamp_test_c=slow, survivors_txt=LIST + killed)
        status, output, _ = self.run_it(f"--json={self.root}/out.json")
        self.assertEqual(status, 0, output)
        verdicts = json.loads((self.root / "out.json").read_text())
        found = {verdict["key"][3]: verdict["verdict"] for verdict in verdicts}
        self.assertEqual((found["if (0) {"], found["if (1) {"]), ("survived", "killed"))

    def test_tests_that_fail_without_mutation_prove_nothing(self):
        self.write(test_clamp_test_c="int main(void) { return 1; }\n")
        status, _, errors = self.run_it()
        self.assertEqual(status, 2)
        self.assertIn("mutate: clamp_test fails without mutation: exit code 1\n", errors)

    def test_bad_input_is_named(self):
        for arguments, said in (
            (("--files", "src/none.c"), "src/none.c"),
            (("--without", "no_test"), "no_test"),
            (("--root=/dev/null",), "/dev/null"),
            (("--again=/dev/null",), "/dev/null"),
        ):
            status, _, errors = self.run_it(*arguments)
            self.assertEqual(status, 2)
            self.assertIn(said, errors)

    def test_a_sample_depends_on_its_seed_alone(self):
        samples = [self.run_it("--list", "--sample=5", f"--seed={seed}")[1] for seed in (1, 1, 2)]
        self.assertEqual(samples[0].count("\n\n"), 5)
        self.assertEqual(samples[0], samples[1])
        self.assertNotEqual(samples[0], samples[2])

    def test_an_interrupt_leaves_nothing_behind(self):
        self.write(test_clamp_test_c="#include <unistd.h>\nint main(void) { return sleep(600); }\n")
        process = self.start()
        while not list(self.temporary.glob("*/schemata-0")) and process.poll() is None:
            time.sleep(0.05)
        time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate()
        self.assertEqual((process.returncode, errors), (130, "\nmutate: interrupted\n"))
        self.assertEqual(os.listdir(self.temporary), [])
        for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                self.assertNotIn(str(self.temporary), path.read_text(errors="replace"))


class Progress(unittest.TestCase):
    def lines(self, done, total, elapsed, rest, widths):
        """Returns a step's lines of these widths."""
        display = mutate.Display(io.StringIO())
        with unittest.mock.patch("time.monotonic", return_value=0):
            display.start([1] * total, "judging: ")
        with unittest.mock.patch("time.monotonic", return_value=elapsed):
            return [display.progress(done, rest, width) for width in widths]

    def test_line_fits_every_width(self):
        widths = range(1, 200)
        for width, line in zip(widths, self.lines(1234, 5678, 3599, ", 99 survived", widths)):
            self.assertLessEqual(len(line), width)

    def test_bar_and_rest_follow_the_share_that_is_done(self):
        line = self.lines(25, 100, 60, "", [120])[0]
        expected = "[" + "#" * 7 + "." * 23 + "]  judging: 25/100 in 1m00s, about 3m00s left"
        self.assertIn(expected, line)


if __name__ == "__main__":
    if COMPILER is None:
        sys.exit("mutate_test: there is no clang-19 and no clang")
    unittest.main()
