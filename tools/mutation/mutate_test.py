# SPDX-License-Identifier: BSD-3-Clause
"""What mutate.py finds and says, on a library of a few lines."""

import contextlib
import io
import json
import pathlib
import shutil
import tempfile
import unittest.mock

import mutate

# Any that writes its syntax tree as JSON will do here.
mutate.COMPILER = next(filter(shutil.which, ("clang-19", "clang")), "clang-19")

LIBRARY = """\
#ifndef tools_sum
#define tools_sum(n) (void)0
#endif
#define LIKELY(condition) __builtin_expect(!!(condition), 1)
int sum;
int clamp(int n, int most) {
    volatile int unused = 3;
    return n > most ? most : n;
}
int count(int n, const int *end) {
    int result = 0;
    while (LIKELY(n > 0 && end)) {
        n -= 1;
        result++;
    }
    tools_sum(result);
    return result;
}
long between(const int *begin, const int *end) {
    tools_sum(2);
    return end - begin;
}
"""
TEST = """\
#include <stdio.h>
int clamp(int, int), count(int, const int *);
extern int sum;
int main(int argc, char **argv) {
    const int fails = clamp(3, 2) != 2 || clamp(1, 2) != 1 || count(3, &argc) != 3 || count(1, 0) != 0;
    printf("all ... %s\\n", fails ? "FAILED" : "ok (0.000 s)");
    return fails || (IS_TOLD && sum != 3);
}
"""


class Mutate(unittest.TestCase):
    def setUp(self):
        self.root = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
        for name, text in (("src/clamp.c", LIBRARY), ("include/none.h", ""), ("test.c", TEST)):
            (self.root / name).parent.mkdir(exist_ok=True)
            (self.root / name).write_text(text)
        words = {"plain": ["test.c", "-DIS_TOLD=0"], "told": ["test.c", "-DIS_TOLD=1"]}
        self.enterContext(unittest.mock.patch.multiple(
            mutate, ROOT=self.root, BUILDS={"plain": (), "told": ("-Dtools_sum(n)=sum += n",)},
            programs_of=lambda build: [mutate.Program("test", self.root, words[build], [], [])]))

    def check(self, status, said, *arguments):
        output = io.StringIO()
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
            self.assertEqual(mutate.main(arguments), status, output.getvalue())
        self.assertIn(said, output.getvalue())

    def test_verdicts(self):
        survivor = "7:27:\nsrc/clamp.c clamp\n- volatile int unused = 3;\n+ volatile int unused = 4;\n"
        self.check(1, survivor, f"--json={self.root}/out", "--floor=99")
        found = {(mutant["original"], mutant["mutated"]): (mutant["verdict"], mutant["case"])
                 for mutant in json.loads((self.root / "out").read_text())}
        for original, mutated, *verdict in (
            ("volatile int unused = 3;", "volatile int unused = 4;", "survived", ""),
            ("return n > most ? most : n;", "return n >= most ? most : n;", "same code", ""),
            ("return n > most ? most : n;", "return 0 ? most : n;", "killed", "plain: test all"),
            ("n -= 1;", "n -= 0;", "killed", "plain: test all"),  # It never ends.
            ("tools_sum(result);", "(void)0;", "killed", "told: test"),
            ("tools_sum(2);", "(void)0;", "survived", ""),
            ("return end - begin;", "return end + begin;", "does not compile", ""),
        ):
            self.assertEqual(found[original, mutated], tuple(verdict), mutated)

    def test_exit_codes(self):
        self.check(0, "3 mutants: 3 killed", "--sample=3", "--seed=4", "--floor=100")
        self.check(2, "mutate: no mutants in src/none.c", "--files", "src/none.c")
        (self.root / "test.c").write_text("int main(void) { return 1; }\n")
        self.check(2, "plain: test fails without mutation: exit code 1\n")
        self.check(2, f"Is a directory: '{self.root}'", f"--json={self.root}")

    def test_changes(self):
        mutants = mutate.Sources(mutate.COMPILER, self.root).mutants
        loop = ["!(LIKELY(n > 0 && end))", "0"] + [f"LIKELY({condition})" for condition in (
            "n > 0 || end", "n > 0", "end", "!(n > 0) && end", "n > 0 && !(end)", "n >= 0 && end",
            "n <= 0 && end", "n > 1 && end", "n > (-1) && end")]
        for line, changed in (
            ("while (LIKELY(n > 0 && end)) {", {f"while ({condition}) {{" for condition in loop}),
            ("n -= 1;", {"n += 1;", "n -= 2;", "n -= 0;", "(void)0;"}),
            ("result++;", {"result--;", "(void)0;"}),
            ("return end - begin;", {"return 0;", "return 1;", "return end + begin;"}),
            ("#define tools_sum(n) (void)0", set()),
        ):
            self.assertEqual({mutant.mutated for mutant in mutants if mutant.original == line}, changed)


if __name__ == "__main__":
    unittest.main()
