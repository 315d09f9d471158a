# SPDX-License-Identifier: BSD-3-Clause
"""What hunt.py makes of libFuzzer's ends, with stand-ins for it, and what it keeps."""

import json
import os
import pathlib
import signal
import stat
import subprocess
import sys
import tempfile
import time
import unittest

HUNT = pathlib.Path(__file__).absolute().with_name("hunt.py")

# Each notes its seed, and counts five executions.
STAND_IN = """#!/bin/sh
for argument; do
    case $argument in
    -seed=*) seed=${argument#*=} ;;
    -artifact_prefix=*) artifacts=${argument#*=} ;;
    esac
done
echo "$seed" >>"$0.seeds"
printf '\\005\\0\\0\\0\\0\\0\\0\\0' >"$FUZZ_EXECUTIONS_FILE"
"""
ENDS = {
    "found": 'echo input >"${artifacts}crash-1"; exit 77\n',
    "not_found": 'echo input >"${artifacts}slow-unit-1"; exit 0\n',
    "broken": "exit 1\n",
    "endless": '[ "$seed" -eq 1 ] || exec sleep 1000\n',
}


class Hunting(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.root = pathlib.Path(scratch.name)
        mutants = []
        for name, end in ENDS.items():
            binary = self.root / name
            binary.write_text(STAND_IN + end)
            binary.chmod(stat.S_IRWXU)
            mutants.append({"name": name, "driver": "d", "binary": name, "patch": "p"})
        self.manifest = self.root / "manifest.json"
        self.manifest.write_text(json.dumps({"mutants": mutants}))
        self.results = self.root / "results.json"

    def start(self, mutants, *arguments):
        command = [sys.executable, HUNT, f"--root={self.root}", f"--manifest={self.manifest}"]
        command += [f"--json={self.results}", f"--mutants={mutants}", *arguments]
        environment = dict(os.environ, BUILD_WORKING_DIRECTORY=str(self.root))
        pipe = subprocess.PIPE
        return subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=environment)

    def hunt(self, mutants, *arguments):
        process = self.start(mutants, *arguments)
        output, errors = process.communicate(timeout=60)
        return process.returncode, output, errors

    def seeds_of(self, name):
        path = self.root / (name + ".seeds")
        return sorted(path.read_text().split()) if path.exists() else []

    def test_the_table_tells_found_from_not_found(self):
        code, output, errors = self.hunt("*found", "--seeds=3", "--timeout=7")
        self.assertEqual((code, errors), (0, ""))
        self.assertRegex(output, r"\nfound +d +3/3 +[0-9.]+ +[0-9.]+ +[0-9.]+ +5\n")
        self.assertRegex(output, r"\nnot_found +d +0/3 +not found in 7 s\n")

    def test_what_is_known_is_not_measured_again(self):
        self.hunt("found", "--seeds=2")
        code, output, _ = self.hunt("found", "--seeds=3")
        self.assertEqual((code, self.seeds_of("found")), (0, ["1", "2", "3"]))
        self.assertIn("\nfound ", output)

    def test_another_binary_is_measured_again(self):
        self.hunt("found", "--seeds=1")
        with (self.root / "found").open("a") as binary:
            binary.write("# another\n")
        self.hunt("found", "--seeds=1")
        self.assertEqual(self.seeds_of("found"), ["1", "1"])

    def test_what_was_not_found_is_measured_again_for_longer(self):
        self.hunt("not_found", "--seeds=1", "--timeout=5")
        self.hunt("not_found", "--seeds=1", "--timeout=4")
        self.assertEqual(self.seeds_of("not_found"), ["1"])
        self.hunt("not_found", "--seeds=1", "--timeout=6")
        self.assertEqual(self.seeds_of("not_found"), ["1", "1"])

    def test_an_interrupted_hunt_ends_its_runs_and_goes_on_later(self):
        process = self.start("endless", "--seeds=2")
        while not self.results.exists() or len(self.seeds_of("endless")) < 2:
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=60)
        self.assertEqual((process.returncode, errors), (130, ""))
        self.assertRegex(output, r"\nendless +d +0/1 ")
        self.assertEqual([run["seed"] for run in json.loads(self.results.read_text())["runs"]], [1])

    def test_a_binary_that_does_not_end_has_found_what_it_wrote(self):
        code, output, errors = self.hunt("endless", "--seeds=2", "--timeout=1", "--grace=1")
        self.assertEqual((code, errors), (0, ""))
        self.assertRegex(output, r"endless, seed 2: not found in [2-9]")

    def test_a_binary_that_fails_without_an_input_is_no_find(self):
        code, _, errors = self.hunt("broken", "--seeds=1")
        self.assertEqual(code, 2)
        self.assertIn("broken, seed 1: broken ended with status 1", errors)

    def test_bad_input_is_refused(self):
        self.results.write_text("{}")
        code, _, errors = self.hunt("found")
        self.assertEqual(code, 2)
        self.assertIn("results.json holds no results of a hunt", errors)
        code, _, errors = self.hunt("none_of_this_name")
        self.assertEqual(code, 2)
        self.assertIn("there is no such mutant", errors)
        self.assertEqual(self.hunt("found", "--seeds=0")[0], 2)


if __name__ == "__main__":
    unittest.main()
