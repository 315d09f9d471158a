# SPDX-License-Identifier: BSD-3-Clause
"""Runs libFuzzer binaries: keeps their corpora between runs, shows their progress, reports a crash.
Several share the time and the processors; the first crash ends all.
Exit code: 0; 1 where there was a crash or a fuzzer failed; 2 where something cannot be done."""

import argparse
import mmap
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from datetime import timedelta

STATUS = re.compile(r"#(\d+)[:\s].*?cov: (\d+) .*?corp: (\d+)")
# libFuzzer keeps slow inputs too, but goes on after them.
ARTIFACT = re.compile(r"artifact_prefix=.*; Test unit written to ((?!.*slow-unit-).*)")
# What the model writes; its last line but those that begin otherwise is the operation that failed.
REPORT = re.compile(r".*, pool (\d), .*\n  expected: (.*)\n  seen: (.*)\n  program:\n(?:    .*\n)*    (.*)\n")
# What libFuzzer writes whether or not anything is wrong.
CHATTER = re.compile(
    r"#\d+[:\s]|INFO: |\s*NEW_FUNC\[|\s*NEW_PC: |Done \d+ runs|Dictionary: |Running: |Executed |stat::"
    r'|WARNING: no interesting inputs|###### |".*" # Uses: |==\d+== libFuzzer: run interrupted')


def bar(share, room):
    """Returns a bar of at most 30 steps and two spaces; nothing where there is no room for 5."""
    steps = min(room - 4, 30)
    return f"[{'#' * int(steps * share):.<{steps}}]  " if steps >= 5 else ""


class Display:
    """Writes text and, below it, live lines: a terminal's are rewritten in place at each tick, elsewhere they
    are written every few seconds. A live line is a function of a terminal's width, or of None."""

    def __init__(self, stream, seconds=5):
        self.stream, self.live_count = stream, 0
        self.is_terminal = stream.isatty() and os.environ.get("TERM") != "dumb"
        self.seconds = 0.2 if self.is_terminal else seconds
        self.due = time.monotonic() + self.seconds

    def write(self, text, live_count=0):
        """Replaces the live lines by text, the last lines of which may live."""
        erase = "\r" + "\x1b[A" * (self.live_count - 1) + "\x1b[J" if self.live_count else ""
        self.live_count = live_count
        self.stream.write(erase + text)
        self.stream.flush()

    def tick(self, *lines):
        if time.monotonic() < self.due:
            return
        self.due = time.monotonic() + self.seconds
        # A terminal goes to the next line when its last column is written.
        width = shutil.get_terminal_size().columns - 1 if self.is_terminal else None
        text = "\n".join(line(width)[:width] for line in lines)
        self.write(text if self.is_terminal else text + "\n", len(lines) * self.is_terminal)


class Fuzzer:
    """A libFuzzer that runs, and what is known of it."""

    def __init__(self, options, driver, seconds):
        self.target, self.binary, seeds, corpus = driver
        self.title = f"{self.target}: " if len(options.drivers) > 1 else ""
        self.seconds, self.start, self.is_over = seconds, time.monotonic(), False
        self.executions = self.edges = self.corpus = 0
        self.artifact, self.rest, self.log, self.recent = None, b"", "", [(0, 0)]
        # libFuzzer tells of executions at powers of two; the fuzz test counts each in this file.
        self.file = tempfile.NamedTemporaryFile()
        self.file.truncate(8)
        self.counter = memoryview(mmap.mmap(self.file.fileno(), 8)).cast("Q")
        # Later flags win; libFuzzer writes to the first directory only.
        self.process = subprocess.Popen(
            [self.binary, f"-artifact_prefix={corpus}-crashes/{self.target}/", "-timeout=25",
             f"-max_total_time={self.seconds}", *options.libfuzzer, corpus, *([] if options.no_seeds else [seeds])],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            env={"UBSAN_OPTIONS": "print_stacktrace=1", **os.environ, "FUZZ_EXECUTIONS_FILE": self.file.name})
        os.set_blocking(self.process.stdout.fileno(), False)

    def read(self):
        """Takes what was printed since the last time; returns what of it people should read."""
        if not self.is_over and self.process.poll() is not None:
            self.is_over, self.end = True, time.monotonic()
        *lines, self.rest = (self.rest + (self.process.stdout.read() or b"")).split(b"\n")
        lines += [self.rest] if self.is_over and self.rest else []
        lines = [line.decode(errors="backslashreplace") for line in lines]
        for line in lines:
            if status := STATUS.match(line):
                self.executions, self.edges, self.corpus = map(int, status.groups())
            if artifact := ARTIFACT.match(line):
                self.artifact = artifact[1]
        self.executions = self.counter[0] or self.executions
        text = "".join(line + "\n" for line in lines if not CHATTER.match(line))
        self.log += text
        return text

    def progress(self, width=None):
        """Returns a live line, with the rate of the last seconds; when all is over, of all."""
        now = (self.end if self.is_over else time.monotonic()) - self.start
        then, before = (0, 0) if self.is_over else self.recent[0]
        self.recent = self.recent[-15:] + [(now, self.executions)]
        rate = (self.executions - before) / max(now - then, 0.001)
        facts = f"{self.executions:,} executions  {rate:,.0f}/s  {self.edges} edges  corpus {self.corpus}"
        if self.seconds == 0:
            return f"{self.title}{timedelta(0, now // 1)}  {facts}"
        now = min(now, self.seconds)
        times = f"{self.title}{timedelta(0, now // 1)}/{timedelta(0, self.seconds)}  "
        return times + bar(now / self.seconds, (width or 0) - len(times + facts)) + facts


def parse_arguments(*arguments):
    """Returns the options, with the drivers that the launcher gives, each a binary and its seeds; libfuzzer
    has what follows a lone --."""
    split = arguments.index("--") if "--" in arguments else len(arguments)
    usage = "%(prog)s [--timeout_secs=N] [--corpus_dir=DIR] [--clean] [--no_seeds] [-- LIBFUZZER_FLAG...]"
    parser = argparse.ArgumentParser(prog="fuzz_run", usage=usage, allow_abbrev=False, description=__doc__)
    parser.add_argument("--timeout_secs", type=int, default=60, metavar="N", help="in all; 0 for ever (60)")
    parser.add_argument("--corpus_dir", metavar="DIR", help="keep the corpus here, crashes in DIR-crashes")
    parser.add_argument("--clean", action="store_true", help="first delete what earlier runs have found")
    parser.add_argument("--no_seeds", action="store_true", help="begin without the committed corpus")
    given = 0
    while given < split and re.fullmatch("[^-].*_bin", arguments[given]):
        given += 2
    options = parser.parse_args(arguments[given:split], argparse.Namespace(libfuzzer=arguments[split + 1:]))
    options.drivers = list(zip(arguments[:given:2], arguments[1:given:2]))
    if options.timeout_secs < 0:
        parser.error(f"--timeout_secs={options.timeout_secs}: must be 0 or more")
    return options


def corpus_directory(options, target):
    """Returns the first directory that can be used, made if need be, with one for crashes beside it."""
    caches = [os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"),
              f"{tempfile.gettempdir()}/cache-{os.getuid()}"]
    choices = [f"{cache}/cork_mempool/fuzz/{target}/corpus" for cache in caches]
    if options.corpus_dir is not None:
        # bazel run starts programs elsewhere, and says where it was called.
        caller = os.environ.get("BUILD_WORKING_DIRECTORY", "")
        several = target if len(options.drivers) > 1 else ""
        choices = [os.path.abspath(os.path.join(caller, options.corpus_dir, several))]
    for corpus in choices:
        try:
            for directory in (corpus, f"{corpus}-crashes/{target}"):
                os.makedirs(directory, exist_ok=True)
                os.listdir(directory)
                tempfile.TemporaryFile(dir=directory).close()
            return corpus
        except OSError as error:
            reason = error
    raise reason


def prepare(options, display):
    """Makes the corpora, and says where they are; returns, of each driver, all that a Fuzzer takes."""
    drivers = []
    for binary, seeds in options.drivers:
        target = os.path.basename(binary).removesuffix("_bin")
        corpus = corpus_directory(options, target)
        for name in os.listdir(corpus) if options.clean else []:
            # libFuzzer names what it keeps so; the directory may have anything else.
            if re.fullmatch("[0-9a-f]{40}", name):
                os.unlink(os.path.join(corpus, name))
        display.write(f"fuzzing {target}, corpus in {corpus}\n")
        drivers.append((target, binary, seeds, corpus))
    return drivers


def config_of(binary):
    """Returns the option that builds other tools with a fuzzer's sanitizer; for the default's there is none."""
    with open(binary, "rb") as file:
        content = file.read()
    return "" if b"__asan_report" in content else " --config=" + ("msan" if b"__msan_warning" in content else "ubsan")


def explain(fuzzer):
    """Returns how the input of a crash fails, and the commands that tell more of it."""
    arguments = [f"--driver={fuzzer.target}", fuzzer.artifact]
    tool = os.path.join(os.path.dirname(fuzzer.binary), "tools/explain.py")
    done = subprocess.run([sys.executable, tool, *arguments], check=False, stdout=subprocess.PIPE, text=True)
    outcome = re.search(r"^# (fails at|passes)(.|\n)*", done.stdout, re.MULTILINE)
    outcome = outcome[0] if outcome else ""
    report = REPORT.search(fuzzer.log)
    if done.returncode != 1 and report:
        pool, expected, seen, operation = report.groups()
        outcome += f"# fails at: {operation}\n# pool:     {pool}\n# expected: {expected}\n# seen:     {seen}\n"
    if done.returncode == 2:  # It has said why: this is no fuzz test of our pool.
        return f"{outcome}To replay it: {shlex.join([os.path.realpath(fuzzer.binary), fuzzer.artifact])}\n"
    bazel, arguments = f"./tools/bazel run{config_of(fuzzer.binary)} //fuzz:", shlex.join(arguments)
    return f"{outcome}To explain it: {bazel}explain -- {arguments}\nTo minimize it: {bazel}minimize -- {arguments}\n"


def conclude(fuzzer, is_interrupted, display):
    """Says how a fuzzer has ended. Returns: whether that is as it should be."""
    outcome = "crash" if fuzzer.artifact else "interrupted" if is_interrupted else "no crash"
    if outcome == "no crash" and (fuzzer.process.returncode != 0 or fuzzer.executions == 0):
        outcome = f"libFuzzer failed with status {fuzzer.process.returncode}"
    display.write(f"{outcome}: {fuzzer.progress()}\n")
    if fuzzer.artifact:
        display.write(f"The input is in {fuzzer.artifact}\n{explain(fuzzer)}")
    return outcome in ("interrupted", "no crash")


def fuzz(options):
    """Fuzzes as the options say; returns the exit code."""
    signals = []
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *caught: signals.append(caught))
    display = Display(sys.stdout)
    waiting, running, over = prepare(options, display), [], []
    places = len(waiting) if options.timeout_secs == 0 else min(len(waiting), os.cpu_count() or 1)
    rounds = -(-len(waiting) // places)
    seconds = -(-options.timeout_secs // rounds)

    def is_ending():
        return signals or any(fuzzer.artifact for fuzzer in over)

    try:
        while running or (waiting and not is_ending()):
            while waiting and len(running) < places:
                running.append(Fuzzer(options, waiting.pop(0), seconds))
            time.sleep(0.1)
            for fuzzer in list(running):
                if is_ending():
                    fuzzer.process.send_signal(signal.SIGINT)
                if text := fuzzer.read():
                    display.write(text)
                if fuzzer.is_over:
                    running.remove(fuzzer)
                    over.append(fuzzer)
            display.tick(*(fuzzer.progress for fuzzer in running))
    finally:
        for fuzzer in running:
            fuzzer.process.kill()
    # A crash is told last.
    over.sort(key=lambda fuzzer: fuzzer.artifact is not None)
    return 0 if all([conclude(fuzzer, is_ending(), display) for fuzzer in over]) else 1


if __name__ == "__main__":
    try:
        sys.exit(fuzz(parse_arguments(*sys.argv[1:])))
    except OSError as error:
        print(f"fuzz_run: cannot use {error.filename}: {error.strerror}", file=sys.stderr)
        sys.exit(2)
