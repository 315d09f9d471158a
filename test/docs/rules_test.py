# SPDX-License-Identifier: BSD-3-Clause
"""What docs_test.py must find wrong with a document, and what not."""

import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

import docs_test

PROGRAM = """\
#include <libcork/core.h>
int main(void)
{
    struct cork_mempool pool;
    cork_mempool_init(&pool, int);
    int *number = cork_mempool_new(&pool);
    cork_mempool_free(&pool, number);
    cork_mempool_done(&pool);
    return 0;
}
"""
REPORT = ("cork_mempool: double free: pool 0x1 \"int\", pointer 0x2, slot 0, element size 4\n"
          "cork_mempool: called at 0x3 (./program+0x4)\n"
          "cork_mempool: CORK_MEMPOOL_CALLSITES, or CORK_MEMPOOL_OPTIONS=callsites=1, tells where objects are issued and freed\n")


class Rules(unittest.TestCase):
    def wrong_with(self, *blocks):
        text = "".join(f"```{kind}\n{body}```\n\n" for kind, body in blocks)
        with tempfile.TemporaryDirectory() as directory:
            path = pathlib.Path(directory, "document.md")
            path.write_text(text, encoding="utf-8")
            document = docs_test.Document(path, directory)
            count, wrong = document.check()
        self.assertEqual(count, len(blocks))
        return "".join(map(str, wrong))

    def test_wrong_blocks_are_found(self):
        for message, *blocks in (
                ("no rule covers a block of \"\"", ("", "what is this\n")),
                ("no rule covers a block of \"rust\"", ("rust", "fn main() {}\n")),
                ("no rule covers the command frobnicate", ("sh", "frobnicate\n")),
                ("there is no command", ("sh", "# a comment\n")),
                ("yntax error", ("sh", "if true\n")),
                ("Bazel's option --config=no", ("sh", "./tools/bazel test --config=no //...\n")),
                ("has no option --no", ("sh", "./tools/bazel run //fuzz:exhaust -- --no=1\n")),
                ("has no option --no", ("sh", "fuzz/planted/planted.py --no=1\n")),
                ("there is no src/no.c", ("sh", "tools/mutate --files src/no.c\n")),
                ("tools/no cannot be run", ("sh", "tools/no\n")),
                ("ends with 1", ("sh", "cc -Iinclude -Isrc -c src/no.c\n")),
                ("does not compile", ("c", PROGRAM.replace("&pool, int)", "&pool, 4)"))),
                ("does not compile", ("c", "int unused = cork_mempool_no();\n")),
                ("ends with 1", ("c", PROGRAM.replace("return 0", "return 1"))),
                ("ends with 0, not by abort()", ("c", PROGRAM), ("report", REPORT)),
                ("shows", ("c", PROGRAM),
                 ("report cork_mempool_free", REPORT.replace("slot 0", "slot 1"))),
                ("there is no program", ("report", REPORT)),
                ("shows\nno\nbut", ("console", "$ echo yes\nno\n")),
                ("must begin with a command", ("console", "echo yes\n")),
                ("was never closed", ("starlark", "bazel_dep(\n")),
                ("the version is", ("starlark", "bazel_dep(name = \"cork_mempool\", version = \"9\")\n")),
                ("says nothing of cork_mempool", ("starlark", "bazel_dep(name = \"x\")\n")),
                ("there is no no_name", ("picture", "-> no_name\n")),
                ("there is no no.c", ("picture", "-> no.c\n")),
                ("nothing in this picture", ("picture", "-> nothing\n"))):
            with self.subTest(message=message):
                self.assertIn(message, self.wrong_with(*blocks))

    def test_right_blocks_pass(self):
        self.assertEqual(self.wrong_with(
            ("c", PROGRAM), ("report cork_mempool_free", REPORT), ("picture", "-> first_linked\n"),
            ("console", "$ echo 0x7f 0x8 0x7f\n0x1 0x2 0x1\n$ printf 'a\\nb\\nc\\n'\na\n...\nc\n")), "")

    def test_one_address_is_not_two(self):
        self.assertIn("shows", self.wrong_with(("console", "$ echo 0x1 0x2\n0x1 0x1\n")))

    def test_each_kind_of_violation_is_shown(self):
        header = pathlib.Path("include/libcork/core/mempool_violation.h").read_text(encoding="utf-8")
        messages = re.findall(r'^    CORK_MEMPOOL_\w+ = \d+,? +/\* "(.*)" \*/$', header, re.MULTILINE)
        self.assertGreaterEqual(len(messages), 10)
        shown = pathlib.Path("docs/hardening.md").read_text(encoding="utf-8")
        for message in messages:
            self.assertIn(f"\ncork_mempool: {message}: pool 0x", shown)

    def test_a_block_must_end(self):
        with self.assertRaises(docs_test.blocks.Error):
            docs_test.blocks.blocks_of("document.md", "```c\nint i;\n")

    def test_a_block_is_printed_by_its_number(self):
        with tempfile.TemporaryDirectory() as directory:
            path = pathlib.Path(directory, "document.md")
            path.write_text("```c\nint i;\n```\n```sh\nls\n```\n```c\nint j;\n```\n", encoding="utf-8")
            for words, status, output, errors in (
                    ((path, "c", "2"), 0, "int j;\n", ""),
                    ((path, "sh", "1"), 0, "ls\n", ""),
                    ((path, "c", "3"), 2, "", "has 2 blocks of c"),
                    ((path, "c", "0"), 2, "", "has 2 blocks of c"),
                    ((path, "c"), 2, "", "usage: "),
                    ((f"{path}.no", "c", "1"), 2, "", "No such file")):
                done = subprocess.run([sys.executable, docs_test.blocks.__file__, *words], text=True,
                                      capture_output=True, check=False)
                self.assertEqual((done.returncode, done.stdout), (status, output))
                self.assertIn(errors, done.stderr)

    def test_unknown_arguments_are_refused(self):
        for script, says, *words in (
                (docs_test.__file__, "there is no nope.md", "--write", "nope.md"),
                (docs_test.__file__, "there is no nope.md", "--all-but", "nope.md"),
                (docs_test.__file__, "arguments: --nope", "--nope", "README.md"),
                (docs_test.__file__, "no documents"),
                ("test/misuse/guarantees_test.py", "arguments: --nope", "--nope"),
                ("test/misuse/guarantees_test.py", "arguments: nope.md", "--write", "nope.md")):
            done = subprocess.run([sys.executable, script, *words], text=True, capture_output=True, check=False)
            self.assertEqual(done.returncode, 2, done.stdout)
            self.assertIn(says, done.stderr)


if __name__ == "__main__":
    unittest.main()
