# SPDX-License-Identifier: BSD-3-Clause
"""What fuzz_run.py does by itself, and with a stand-in for libFuzzer."""

import contextlib
import io
import os
import pathlib
import stat
import struct
import subprocess
import sys
import tempfile
import types
import unittest
import unittest.mock

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import fuzz_run

PULSE = "#8192\tpulse  cov: 321 ft: 654 corp: 45/6789b lim: 256 exec/s: 4096 rss: 40Mb"


def figures(elapsed=0, executions=0, rate=0, edges=0, corpus=0):
    return types.SimpleNamespace(
        elapsed=lambda: elapsed,
        executions=lambda: executions,
        rate=lambda: rate,
        edges=edges,
        corpus=corpus,
    )


class Scratch(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.scratch = pathlib.Path(scratch.name)


class Listening(Scratch):
    def setUp(self):
        super().setUp()
        self.file = self.scratch / "executions"
        self.figures = fuzz_run.Figures(fuzz_run.Counter(self.file))

    def test_edges_and_corpus_come_from_the_latest_status_line(self):
        self.figures.hear(PULSE.replace("321", "3"))
        self.figures.hear(PULSE)
        self.figures.hear("INFO: -max_len is not provided")
        self.assertEqual((self.figures.edges, self.figures.corpus), (321, 45))

    def test_fork_mode_is_understood(self):
        self.figures.hear("#77: cov: 12 ft: 13 corp: 4 exec/s: 5 oom/timeout/crash: 0/0/0")
        self.assertEqual((self.figures.executions(), self.figures.edges), (77, 12))

    def test_executions_are_libfuzzers_until_the_fuzz_test_counts(self):
        self.figures.hear(PULSE)
        self.assertEqual(self.figures.executions(), 8192)
        with self.file.open("r+b") as file:
            file.write(struct.pack("=Q", 9000))
        self.assertEqual(self.figures.executions(), 9000)

    def test_a_slow_unit_is_no_crash(self):
        written = "artifact_prefix='/c/'; Test unit written to /c/"
        self.assertIsNone(fuzz_run.ARTIFACT.match(written + "slow-unit-0a"))
        self.assertEqual(fuzz_run.ARTIFACT.match(written + "crash-0a").group(1), "/c/crash-0a")


class Progress(unittest.TestCase):
    def test_line_fits_every_width(self):
        busy = figures(3599, 123456789012, 1234567, 12345, 6789)
        for width in range(1, 200):
            self.assertLessEqual(len(fuzz_run.progress(busy, 3600, width)), width)

    def test_bar_shows_the_share_of_time(self):
        line = fuzz_run.progress(figures(30, 5, 1, 2, 3), 60, 120)
        self.assertIn("[" + "#" * 15 + "." * 15 + "]", line)

    def test_elapsed_never_exceeds_total(self):
        self.assertTrue(fuzz_run.progress(figures(61), 60).startswith("1m00s/1m00s "))

    def test_without_end_there_is_neither_total_nor_bar(self):
        line = fuzz_run.progress(figures(7322), 0, 120)
        self.assertTrue(line.startswith("2h02m02s  0 executions"), line)
        self.assertNotIn("[", line)

    def test_rates_are_short(self):
        numbers = (0, 999, 1000, 99949, 123456, 2500000)
        self.assertEqual(
            [fuzz_run.abbreviated(number) for number in numbers],
            ["0", "999", "1.0k", "99.9k", "123k", "2.5M"],
        )


class Options(Scratch):
    def parse(self, *arguments):
        return fuzz_run.parse_arguments(list(arguments))

    def test_sixty_seconds_unless_told(self):
        self.assertEqual(self.parse().timeout_secs, 60)

    def test_what_follows_two_dashes_is_libfuzzers(self):
        options = self.parse("--timeout_secs=0", "--", "-max_len=4096", "--", "-runs=1")
        self.assertEqual(options.timeout_secs, 0)
        self.assertEqual(options.libfuzzer, ["-max_len=4096", "--", "-runs=1"])

    def test_impossible_options_are_refused_with_status_2(self):
        for argument in ("--timeout_secs=-1", "--timeout_secs=soon", "--time=1", "extra"):
            with self.assertRaises(SystemExit) as exit, contextlib.redirect_stderr(io.StringIO()):
                self.parse(argument)
            self.assertEqual(exit.exception.code, 2, argument)

    def test_a_file_is_refused_as_corpus(self):
        file = self.scratch / "file"
        file.touch()
        with self.assertRaises(fuzz_run.Refusal):
            fuzz_run.directories(self.parse(f"--corpus_dir={file}"), {})

    def test_corpus_is_relative_to_where_bazel_run_was_called(self):
        options = self.parse("--corpus_dir=kept")
        found = fuzz_run.directories(options, {"BUILD_WORKING_DIRECTORY": str(self.scratch)})
        self.assertEqual(found, (self.scratch / "kept", self.scratch / "kept-crashes"))

    def test_default_corpus_is_in_the_users_cache(self):
        options = self.parse("--target=t")
        cache = {"XDG_CACHE_HOME": str(self.scratch)}
        home = self.scratch / "cork_mempool/fuzz/t"
        found = fuzz_run.directories(options, cache)
        self.assertEqual(found, (home / "corpus", home / "crashes"))

    def test_a_home_that_is_no_directory_does_not_stop_anybody(self):
        with unittest.mock.patch("tempfile.gettempdir", return_value=str(self.scratch)):
            found = fuzz_run.default_directory("t", {"HOME": "/dev/null"})
        self.assertTrue(found.is_dir())

    def test_clean_deletes_only_what_libfuzzer_named(self):
        (self.scratch / ("0a" * 20)).touch()
        (self.scratch / "thesis.txt").touch()
        fuzz_run.clean(self.scratch)
        self.assertEqual(os.listdir(self.scratch), ["thesis.txt"])

    def test_options_file_becomes_flags_that_the_users_override(self):
        file = self.scratch / "t.options"
        file.write_text("[libfuzzer]\nmax_len = 64\ndict = t.dict\n[asan]\ndetect_leaks = 0\n")
        options = self.parse("--binary=b", f"--options={file}", "--seeds=s", "--", "-max_len=9")
        command = fuzz_run.command_line(options, "corpus", "crashes")
        self.assertLess(command.index("-max_len=64"), command.index("-max_len=9"))
        self.assertEqual(command[-2:], ["corpus", "s"])
        self.assertFalse([word for word in command if "dict" in word or "leaks" in word])


class Running(Scratch):
    def run_as_libfuzzer(self, script, *arguments):
        """Runs the shell script in place of the fuzzer; returns the status and the output."""
        binary = self.scratch / "fuzzer"
        binary.write_text("#!/bin/sh\n" + script)
        binary.chmod(binary.stat().st_mode | stat.S_IXUSR)
        command = [sys.executable, fuzz_run.__file__, "--target=t", f"--binary={binary}"]
        command += [f"--corpus_dir={self.scratch}/corpus", *arguments]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        return done.returncode, done.stdout

    def test_a_quiet_end_is_a_success(self):
        status, output = self.run_as_libfuzzer(f"echo '{PULSE}' >&2")
        self.assertEqual(status, 0)
        self.assertRegex(output, r"no crash: 8,192 executions in .*, 321 edges, corpus 45\n$")

    def test_a_crash_is_shown_with_its_input_and_the_way_to_replay_it(self):
        status, output = self.run_as_libfuzzer(
            "echo '==1==ERROR: boom'\n"
            "echo \"artifact_prefix='/c/'; Test unit written to /c/crash-1\"\nexit 77\n"
        )
        self.assertEqual(status, 1)
        self.assertIn("==1==ERROR: boom\n", output)
        self.assertTrue(output.endswith(f"To replay it: {self.scratch}/fuzzer /c/crash-1\n"))

    def test_a_fuzzer_that_fails_or_does_nothing_is_a_failure(self):
        self.assertEqual(self.run_as_libfuzzer(f"echo '{PULSE}'; exit 1")[0], 1)
        self.assertEqual(self.run_as_libfuzzer("exit 0")[0], 1)

    def test_a_log_has_a_line_for_each_change_and_the_end(self):
        script = f"echo '{PULSE}'; echo '{PULSE}'; echo '{PULSE.replace('321', '322')}'"
        log = self.scratch / "log"
        self.assertEqual(self.run_as_libfuzzer(script, f"--log={log}")[0], 0)
        header, *lines = log.read_text().splitlines()
        self.assertEqual(header, "seconds,executions,edges,corpus")
        figures = [line.split(",", 1)[1] for line in lines]
        self.assertEqual(figures, ["8192,321,45", "8192,322,45", "8192,322,45"])
        status, output = self.run_as_libfuzzer(script, f"--log={log}")
        self.assertEqual((status, log.read_text().count("seconds")), (2, 1))
        self.assertIn(f"cannot write {log}: File exists", output)

    def test_an_interrupt_ends_it_with_a_summary(self):
        status, output = self.run_as_libfuzzer(
            f"trap 'exit 72' INT; echo '{PULSE}'; kill -INT $PPID; sleep 10 >/dev/null 2>&1 & wait\n"
        )
        self.assertEqual(status, 0)
        self.assertIn("interrupted: 8,192 executions", output)


if __name__ == "__main__":
    unittest.main()
