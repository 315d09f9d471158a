# SPDX-License-Identifier: BSD-3-Clause
"""Every workload of every subject that is here, with few objects, each of which must be intact.

How long anything takes is nobody's business here.
"""

import pathlib
import subprocess
import sys
import unittest

HERE = pathlib.Path(__file__).absolute().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "tools")]

import figures
import runs

# Few enough to compare each byte.
COUNT = 1000
# The figures of each group.
EXPECTED = {group: set(figures.GROUPS[group].figures) for group in figures.GROUPS}
EXPECTED["growth"] = {f"{name}_{COUNT}" for name in figures.GROWTH}


class Workloads(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.present, cls.missing, _ = runs.probe(figures.SUBJECTS)
        print("left out:", cls.missing or "nothing")

    def test_own_pools_and_malloc_are_always_here(self):
        self.assertLessEqual({*figures.OWN, "glibc"}, set(self.present))

    def test_every_workload_leaves_objects_intact_and_tells_its_figures(self):
        for name, group, size in runs.plan(self.present, figures.GROUPS, (16, 200), 1):
            with self.subTest(subject=name, group=group, size=size):
                found, reason = runs.run(name, group, size, COUNT, "check")
                self.assertIsNotNone(found, reason)
                told = {key for key in found if not key.endswith("_wall")} - {"optimized"}
                is_too_small = (size, group) == figures.IMPOSSIBLE
                self.assertEqual(told, set() if is_too_small else EXPECTED[group])

    def test_memory_is_that_of_the_objects_and_little_more(self):
        """A first word is written, so of an object that spans two pages one may be missing."""
        for name in self.present:
            with self.subTest(subject=name):
                found, _ = runs.run(name, "base", 1000, 20 * COUNT)
                self.assertGreater(found["bytes"], 1000)
                self.assertLess(found["bytes"], 5000)

    def test_protections_that_need_memory_are_turned_on(self):
        plain, _ = runs.run("default", "base", 64, 20 * COUNT)
        for name, more in (("canary", 7), ("callsites", 16), ("paranoid", 24)):
            found, _ = runs.run(name, "base", 64, 20 * COUNT)
            self.assertGreater(found["bytes"], plain["bytes"] + more, name)


class Programs(unittest.TestCase):
    def status(self, program, *arguments, **environment):
        process = subprocess.run(
            [HERE / program, *arguments], env=environment, capture_output=True, check=False
        )
        return process.returncode

    def test_bad_arguments_are_refused(self):
        self.assertEqual(self.status("malloc", "base", "16", "1000"), 0)
        for arguments in (
            (),
            ("base", "16"),
            ("sideways", "16", "1000"),
            ("base", "8", "1000"),
            ("base", "x", "1000"),
            ("base", "16", "-1"),
            ("base", "16", "1000", "", "chek"),
        ):
            self.assertEqual(self.status("malloc", *arguments), 2, arguments)
        self.assertEqual(self.status("cork", "base", "16", "1000", "nothing"), 2)

    def test_a_preload_without_effect_is_noticed(self):
        self.assertEqual(self.status("malloc", "base", "16", "1000", "jemalloc"), 2)
        library = figures.library(figures.SUBJECTS["jemalloc"])
        if library is not None:
            preload = {"LD_PRELOAD": library}
            self.assertEqual(self.status("malloc", "base", "16", "1000", "jemalloc", **preload), 0)


if __name__ == "__main__":
    unittest.main()
