# SPDX-License-Identifier: BSD-3-Clause
"""What stands in more than one place is the same there: the version of MODULE.bazel, and the protections of
mempool_options.h, which gdb's script must know without that file."""

import json
import pathlib
import re
import unittest

SEMANTIC = r"(?:0|[1-9]\d*)\.(?:0|[1-9]\d*)\.(?:0|[1-9]\d*)(?:-[0-9A-Za-z.-]+)?"


def read(path):
    return pathlib.Path(path).read_text(encoding="utf-8")


class Copies(unittest.TestCase):
    def test_version_is_semantic_and_begins_the_changelog(self):
        version = re.search(r'^module\(.*?version = "(.*?)"', read("MODULE.bazel"), re.DOTALL | re.MULTILINE)[1]
        self.assertRegex(version, f"^{SEMANTIC}$")
        head = re.search(r"^## (.*)$", read("CHANGELOG.md"), re.MULTILINE)[1]
        self.assertRegex(head, rf"^\[Unreleased\]: {re.escape(version)}$|"
                               rf"^\[{re.escape(version)}\] - \d{{4}}-\d\d-\d\d$")

    def test_gdb_knows_each_protection(self):
        header = read("include/libcork/core/mempool_options.h")
        protections = re.findall(r"^ +X\((\w+), \w+\)", header, re.MULTILINE)
        self.assertIn("CANARY", protections)
        self.assertIn(f"\nPROTECTIONS = {json.dumps(protections)}\n", read("tools/gdb/cork_mempool.py"))


if __name__ == "__main__":
    unittest.main()
