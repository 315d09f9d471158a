# SPDX-License-Identifier: BSD-3-Clause
"""The sanitizers' configs in .bazelrc say what tools/sanitizers.bzl says."""

import pathlib
import unittest

WORKSPACE = pathlib.Path(__file__).parent.parent


class Configs(unittest.TestCase):
    def test_bazelrc_and_sanitizers_bzl_agree(self):
        wanted = (WORKSPACE / "tools/bazelrc_configs").read_text().splitlines()
        names = {line.split()[0] for line in wanted}
        lines = (WORKSPACE / ".bazelrc").read_text().splitlines()
        found = [line for line in lines if line.split()[:1] and line.split()[0] in names]
        self.assertCountEqual(found, wanted)


if __name__ == "__main__":
    unittest.main()
