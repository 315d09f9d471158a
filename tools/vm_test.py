# SPDX-License-Identifier: BSD-3-Clause
"""tools/vm.py, with stand-ins for what builds and runs a machine."""

import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

VM = pathlib.Path(__file__).parent / "vm.py"
MACHINE = "arm64-16k"


class Vm(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.path = pathlib.Path(scratch.name)
        self.kernel = self.path / "cache/cork_mempool/vm" / MACHINE / "kernel"
        self.kernel.parent.mkdir(parents=True)
        self.kernel.touch()
        (self.path / "bin").mkdir()
        (self.path / "program").write_text("a program")
        # What is compiled is the last word.
        self.stand_in("aarch64-linux-gnu-gcc", 'for last; do :; done; echo init >"$last"')
        self.stand_in("cpio", f"tr '\\0' '\\n' >'{self.path}/listing'; cat command >'{self.path}/words'")
        self.say("\nvm: begin\nhello\n\nvm: status 0\n")

    def stand_in(self, name, script):
        program = self.path / "bin" / name
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)

    def say(self, text):
        (self.path / "console").write_text(text)
        self.stand_in("qemu-system-aarch64", f"echo starting; cat '{self.path}/console'")

    def run_vm(self, *words):
        environment = {
            **os.environ,
            "PATH": f"{self.path}/bin:{os.environ['PATH']}",
            "XDG_CACHE_HOME": f"{self.path}/cache",
        }
        return subprocess.run(
            [sys.executable, VM, *words], cwd=self.path, env=environment, text=True, capture_output=True
        )

    def refused(self, message, *words):
        done = self.run_vm(*words)
        self.assertEqual(done.returncode, 2)
        self.assertIn(message, done.stderr)
        self.assertEqual(done.stdout, "")

    def test_output_and_exit_code_are_the_programs(self):
        done = self.run_vm(MACHINE, "program")
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "hello\n", ""))
        self.say("noise\nvm: begin\nvm: status 1\n\nvm: status 77\n")
        done = self.run_vm(MACHINE, "program")
        self.assertEqual((done.returncode, done.stdout), (77, "vm: status 1\n"))

    def test_what_arguments_name_is_in_the_machine_where_it_is_here(self):
        (self.path / "inputs").mkdir()
        (self.path / "inputs/one").touch()
        self.run_vm(MACHINE, "program", "--quick", "inputs", f"{self.path}/inputs")
        listing = (self.path / "listing").read_text().splitlines()
        self.assertIn("root/program", listing)
        self.assertIn("root/inputs/one", listing)
        self.assertIn(f"{self.path}/inputs/one"[1:], listing)
        words = (self.path / "words").read_text().split("\0")
        self.assertEqual(words, ["/root/program", "--quick", "inputs", f"{self.path}/inputs", ""])

    def test_a_machine_that_does_not_finish_is_told_of_with_its_last_words(self):
        self.say("Kernel panic: no init found")
        self.refused("Kernel panic", MACHINE, "program")
        self.say("\nvm: begin\nhello\n")
        self.refused("did not finish", MACHINE, "program")
        self.stand_in("qemu-system-aarch64", "echo no such processor >&2; exit 1")
        self.refused("no such processor", MACHINE, "program")

    def test_what_is_missing_is_named(self):
        self.refused("there is no program nothing", MACHINE, "nothing")
        self.refused("invalid choice: 'vax'", "vax", "program")
        self.refused("either a program is run", MACHINE)
        self.refused("either a program is run", "--install", MACHINE, "program")
        self.kernel.unlink()
        self.refused(f"--install {MACHINE}", MACHINE, "program")


if __name__ == "__main__":
    unittest.main()
