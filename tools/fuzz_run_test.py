# SPDX-License-Identifier: BSD-3-Clause
"""What fuzz_run.py makes of a shell script in the place of libFuzzer."""

import os
import subprocess
import sys
import tempfile
import unittest.mock

import fuzz_run

PULSE = "echo '#8192\tpulse  cov: 321 ft: 654 corp: 45/6789b lim: 256 exec/s: 4096 rss: 40Mb'; "
WRITTEN = "echo \"artifact_prefix='/c/'; Test unit written to /c/%s\"; "


class FuzzRun(unittest.TestCase):
    def setUp(self):
        self.here = self.enterContext(tempfile.TemporaryDirectory())
        os.environ.update(BUILD_WORKING_DIRECTORY=self.here, TMPDIR=self.here, XDG_CACHE_HOME=self.here,
                          COLUMNS="80", TERM="xterm")
        os.mkdir(f"{self.here}/tools")
        self.explain("import sys\nprint('text\\n# fails at:', *sys.argv[1:])\nprint('# seen: it')\nraise SystemExit(1)")

    def explain(self, script):
        with open(f"{self.here}/tools/explain.py", "w") as file:
            file.write(script)

    def write(self, name, script):
        with open(f"{self.here}/{name}_bin", "w", opener=lambda path, flags: os.open(path, flags, 0o700)) as file:
            file.write("#!/bin/sh\n" + script)

    def check(self, script, status, says, *arguments):
        self.write("t", script)
        command = [sys.executable, fuzz_run.__file__, f"{self.here}/t_bin", "seeds", *arguments]
        done = subprocess.run(command, capture_output=True, text=True)
        self.assertRegex(done.stdout + done.stderr, f"^{says}\n$")
        self.assertEqual(done.returncode, status)

    def test_only_findings_are_shown_and_the_end_is_judged(self):
        facts = r"0:00:00/0:01:00  8,192 executions  [\d,]+/s  321 edges  corpus 45"
        self.check(PULSE + WRITTEN % "slow-unit-1", 0, f".+\nart.+\nno crash: {facts}")
        self.check(PULSE + "echo boom; " + WRITTEN % "crash-1" + "printf end; exit 77", 1,
                   f".+\nboom\nart.+\nend\ncrash: {facts}\nThe input is in /c/crash-1\n"
                   "# fails at: --driver=t /c/crash-1\n# seen: it\n"
                   "To explain it: ./tools/bazel run --config=ubsan //fuzz:explain -- --driver=t /c/crash-1\n"
                   "To minimize it: ./tools/bazel run --config=ubsan //fuzz:minimize -- --driver=t /c/crash-1")
        self.check(PULSE + "exit 3", 1, f".+\nlibFuzzer failed with status 3: {facts}")
        self.check("exit 0", 1, ".+\nlibFuzzer failed with status 0: 0:00:00/0:01:00  0 executions .+")
        self.check(PULSE + "trap 'exit 72' INT; kill -INT $PPID; sleep 9 >/dev/null 2>&1 & wait", 0,
                   f".+\ninterrupted: {facts}")
        self.check(PULSE + "printf aaaaaaaa 1<>$FUZZ_EXECUTIONS_FILE", 0, ".+\nno .+  7,016,996,765,293,4.+")

    def test_a_crash_ends_with_what_failed_and_with_commands_of_the_same_build(self):
        self.check("# __msan_warning\n" + WRITTEN % "crash-1" + "exit 77", 1,
                   r"(.+\n)+To explain it: \S+ run --config=msan //fuzz:explain .+\n.+ --config=msan //fuzz:minimize .+")
        self.check("# __asan_report\n" + WRITTEN % "crash-1" + "exit 77", 1,
                   r"(.+\n)+To explain it: \S+ run //fuzz:explain .+\n.+ run //fuzz:minimize .+")
        reported = ("printf 'it, pool 3, all\n  expected: a\n  seen: b\n  program:\n    new 3\n    free 3 1\n'; "
                    + WRITTEN % "crash-1" + "exit 77")
        says = r"# fails at: free 3 1\n# pool:     3\n# expected: a\n# seen:     b\n"
        self.check(reported, 1, r"(.+\n)+The input .+\n# fails at: --driver=t .+\n# seen: it\nTo explain it: .+\n.+")
        self.explain("print('# passes here')")
        self.check(reported, 1, rf"(.+\n)+The input .+\n# passes here\n{says}To explain it: .+\nTo minimize it: .+")
        self.explain("raise SystemExit(2)")
        self.check(reported, 1, rf"(.+\n)+The input .+\n{says}To replay it: {self.here}/t_bin /c/crash-1")

    def test_arguments_are_understood_or_refused(self):
        self.check('echo "$@"', 1, ".+\n-.+/k-crashes/t/ -timeout=25 -max_total_time=0 -runs=1 -- /.+/k seeds\n"
                   ".+: 0:00:00  0 e.+", "--corpus_dir=k", "--timeout_secs=0", "--", "-runs=1", "--")
        self.check('echo "$@"', 1, ".+\n-.+ -max_total_time=60 /.+/k\n.+", "--no_seeds", "--corpus_dir=k")
        self.check("", 2, "fuzz_run: cannot use .+/t_bin: File exists", "--corpus_dir=t_bin")
        for argument, says in ("--timeout_secs=-1", "0 or more"), ("--timeout_secs=x", "'x'"), ("y", "y"):
            self.check("", 2, f"usage: .+\nfuzz_run: error: .+{says}", argument)

    def test_several_share_the_time_and_end_with_the_first_crash(self):
        for name in "a", "b", "c":
            self.write(name, PULSE + 'echo "$@"')
        self.write("d", PULSE + WRITTEN % "crash-1" + "exit 77")

        def run(names):
            drivers = [text for name in names for text in (f"{self.here}/{name}_bin", name)]
            return subprocess.run([sys.executable, fuzz_run.__file__, *drivers, "--timeout_secs=90"],
                                  capture_output=True, text=True)

        done = run("abc")
        self.assertEqual(done.returncode, 0)
        share = {1: 30, 2: 45}.get(os.cpu_count(), 90)  # in three rounds, two, or one
        for name in "a", "b", "c":
            self.assertRegex(done.stdout, f"-crashes/{name}/ .*-max_total_time={share} .* {name}\n")
            self.assertRegex(done.stdout, f"\nno crash: {name}: 0:00:00/")
        done = run("abd")
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stdout, "\ncrash: d: .+\nThe input is in /c/crash-1\n# fails at: .+\n.+\n.+\n.+\n$")

    def test_corpus_is_kept_in_a_cache_and_cleaned_of_what_libfuzzer_named(self):
        kept = f"{self.here}/cork_mempool/fuzz/t/corpus"
        self.check(f"touch {kept}/{'0a' * 20} {kept}/thesis; ls {kept}", 1,
                   f"fuzzing t, corpus in {kept}\n{'0a' * 20}\nthesis\n.+")
        self.check(f"ls {kept}", 1, ".+\nthesis\n.+", "--clean")
        os.environ["XDG_CACHE_HOME"] = "/dev/null"
        self.check("", 1, f"fuzzing t, corpus in {self.here}/cache-.+\n.+")

    def test_terminal_has_its_live_lines_rewritten(self):
        stream = unittest.mock.Mock(**{"isatty.return_value": True})
        display = fuzz_run.Display(stream)
        for display.due in (0, 0):
            display.tick(lambda width: fuzz_run.bar(0.5, width), lambda width: "a" * 999)
        display.write("end\n")
        live, erase = "[" + "#" * 15 + "." * 15 + "]  \n" + "a" * 79, "\r\x1b[A\x1b[J"
        written = [call.args[0] for call in stream.write.call_args_list]
        self.assertEqual(written, [live, erase + live, erase + "end\n"])


if __name__ == "__main__":
    unittest.main()
