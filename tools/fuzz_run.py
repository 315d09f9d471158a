# SPDX-License-Identifier: BSD-3-Clause
"""Runs a libFuzzer binary: keeps its corpus between runs, shows its progress, reports its crash."""

import argparse
import collections
import configparser
import mmap
import os
import pathlib
import pwd
import queue
import re
import shlex
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time

TERMINAL_SECONDS = 0.2
PLAIN_SECONDS = 5
RATE_SECONDS = 3

STATUS = re.compile(r"#(\d+)[:\s].*?cov: (\d+) .*?corp: (\d+)")
# A slow unit is kept, but ends nothing.
ARTIFACT = re.compile(r"artifact_prefix=.*; Test unit written to ((?!.*slow-unit-).*)")
# What libFuzzer writes whether or not anything is wrong.
CHATTER = re.compile(
    r"#\d+[:\s]|INFO: |\s*NEW_FUNC\[|\s*NEW_PC: |Done \d+ runs|Dictionary: |Running: |Executed |stat::"
    r'|WARNING: no interesting inputs|###### |".*" # Uses: '
    r"|==\d+== libFuzzer: run interrupted"
)
FOUND_BY_LIBFUZZER = re.compile(r"[0-9a-f]{40}")


class Refusal(Exception):
    """Something was asked for that cannot be done."""


class Counter:
    """The executions so far, counted by the fuzz test in a file that it maps: 8 bytes, native."""

    def __init__(self, path):
        path.write_bytes(bytes(8))
        with path.open("r+b") as file:
            self.memory = mmap.mmap(file.fileno(), 8)

    def value(self):
        return struct.unpack("=Q", self.memory[:])[0]


class Figures:
    """What is known of a run. libFuzzer counts aloud at powers of two only, the counter always."""

    def __init__(self, counter):
        self.counter = counter
        self.start = time.monotonic()
        self.said = self.edges = self.corpus = 0
        self.recent = collections.deque([(self.start, 0)])

    def hear(self, line):
        status = STATUS.match(line)
        if status:
            self.said, self.edges, self.corpus = map(int, status.groups())

    def elapsed(self):
        return time.monotonic() - self.start

    def executions(self):
        return self.counter.value() or self.said

    def rate(self):
        """Executions per second of the last few seconds."""
        now, executions = time.monotonic(), self.executions()
        self.recent.append((now, executions))
        while len(self.recent) > 2 and now - self.recent[1][0] >= RATE_SECONDS:
            self.recent.popleft()
        then, before = self.recent[0]
        return (executions - before) / max(now - then, 0.001)


class Log:
    """A table of a run in a file: a line whenever edges or inputs kept have changed, and the end."""

    COLUMNS = "seconds,executions,edges,corpus"

    def __init__(self, path):
        self.noted = None
        try:
            self.file = open(path, "x") if path else open(os.devnull, "w")
        except OSError as error:
            raise Refusal(f"cannot write {path}: {error.strerror}") from error
        self.file.write(self.COLUMNS + "\n")

    def note(self, figures, is_end=False):
        if (figures.edges, figures.corpus) != self.noted or is_end:
            self.noted = figures.edges, figures.corpus
            self.file.write("%.1f,%d,%d,%d\n" % (figures.elapsed(), figures.executions(), *self.noted))
            self.file.flush()


def abbreviated(number):
    """Returns a number in at most five characters, as far as that goes."""
    for unit in ("", "k", "M", "G"):
        if number < 1000 or unit == "G":
            break
        number /= 1000
    return f"{number:.1f}{unit}" if unit and number < 100 else f"{number:.0f}{unit}"


def duration(seconds):
    minutes, seconds = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}h{minutes:02}m{seconds:02}s"
    return f"{minutes}m{seconds:02}s" if minutes else f"{seconds}s"


def progress(figures, total, width=None):
    """Returns a line about the run; with a width, one that fits into it and has a bar."""
    elapsed = min(figures.elapsed(), total or float("inf"))
    clock = duration(elapsed) + ("/" + duration(total) if total else "")
    facts = (
        f"{figures.executions():,} executions  {abbreviated(figures.rate())}/s  "
        f"{figures.edges} edges  corpus {figures.corpus}"
    )
    if width is None:
        return f"{clock}  {facts}"
    bar = ""
    room = min(width - len(clock) - len(facts) - 6, 30)
    if total and room >= 5:
        done = int(room * elapsed / total)
        bar = "[" + "#" * done + "." * (room - done) + "]  "
    return f"{clock}  {bar}{facts}"[:width]


class Display:
    """Writes lines, and below them, on a terminal, one that is rewritten in place."""

    def __init__(self, figures, total):
        self.figures, self.total = figures, total
        self.terminal = sys.stdout.isatty()
        self.seconds = TERMINAL_SECONDS if self.terminal else PLAIN_SECONDS
        self.due = time.monotonic() + self.seconds
        self.shown = 0

    def clear(self):
        if self.shown:
            sys.stdout.write("\r" + " " * self.shown + "\r")
            self.shown = 0

    def line(self, text):
        self.clear()
        print(text, flush=True)

    def tick(self):
        if time.monotonic() < self.due:
            return
        self.due = time.monotonic() + self.seconds
        if not self.terminal:
            self.line(progress(self.figures, self.total))
            return
        # A terminal moves to the next line when its last column is written.
        text = progress(self.figures, self.total, shutil.get_terminal_size().columns - 1)
        sys.stdout.write("\r" + text + " " * (self.shown - len(text)))
        sys.stdout.flush()
        self.shown = len(text)


def whole_seconds(text):
    try:
        seconds = int(text)
    except ValueError:
        seconds = -1
    if seconds < 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds, 0 or more")
    return seconds


def parse_arguments(arguments):
    """Returns the options; libfuzzer has what follows a lone --."""
    split = arguments.index("--") if "--" in arguments else len(arguments)
    parser = argparse.ArgumentParser(
        prog="fuzz_run",
        usage="%(prog)s [--timeout_secs=N] [--corpus_dir=DIR] [--clean] [--log=FILE] "
        "[-- LIBFUZZER_FLAG...]",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--timeout_secs",
        type=whole_seconds,
        default=60,
        metavar="N",
        help="stop after N seconds, 0 for never (60)",
    )
    parser.add_argument(
        "--corpus_dir", metavar="DIR", help="keep the corpus here, crashes in DIR-crashes"
    )
    parser.add_argument(
        "--clean", action="store_true", help="first delete what earlier runs have found"
    )
    parser.add_argument(
        "--log", metavar="FILE", help="write here what edges there were when; FILE must be new"
    )
    for given_by_the_launcher in ("--target", "--binary", "--dict", "--options"):
        parser.add_argument(given_by_the_launcher, help=argparse.SUPPRESS)
    parser.add_argument("--seeds", action="append", default=[], help=argparse.SUPPRESS)
    options = parser.parse_args(arguments[:split])
    options.libfuzzer = arguments[split + 1 :]
    return options


def default_directory(target, environment):
    """Returns the directory of a target's corpus and crashes: the first that can be made."""
    home = environment.get("HOME")
    if not home:
        try:
            home = pwd.getpwuid(os.getuid()).pw_dir
        except KeyError:
            home = "/nonexistent"
    caches = [
        pathlib.Path(environment.get("XDG_CACHE_HOME") or home + "/.cache"),
        pathlib.Path(tempfile.gettempdir(), f"cache-{os.getuid()}"),
    ]
    for cache in caches:
        directory = cache / "cork_mempool/fuzz" / target
        try:
            directory.mkdir(parents=True, exist_ok=True)
            return directory
        except OSError as error:
            reason = error
    raise Refusal(f"nowhere to keep the corpus: {reason}")


def directories(options, environment):
    """Returns the directories of the corpus and the crashes, which exist then."""
    if options.corpus_dir is None:
        home = default_directory(options.target, environment)
        corpus, crashes = home / "corpus", home / "crashes"
    else:
        # bazel run starts programs elsewhere, and says where it was called.
        caller = environment.get("BUILD_WORKING_DIRECTORY", ".")
        corpus = pathlib.Path(caller, options.corpus_dir).absolute()
        crashes = corpus.with_name(corpus.name + "-crashes")
    for directory in (corpus, crashes):
        try:
            directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise Refusal(f"cannot make the directory {directory}: {error.strerror}") from error
        if not os.access(directory, os.R_OK | os.W_OK | os.X_OK):
            raise Refusal(f"cannot read and write in {directory}")
    return corpus, crashes


def clean(corpus):
    """Deletes what libFuzzer has added, by its names, and nothing else: DIR may be anything."""
    for file in corpus.iterdir():
        if FOUND_BY_LIBFUZZER.fullmatch(file.name):
            file.unlink()


def flags_of(options_file):
    """Returns the [libfuzzer] section of a file for ClusterFuzz as libFuzzer's flags."""
    parser = configparser.ConfigParser()
    try:
        with open(options_file) as file:
            parser.read_file(file)
    except (OSError, configparser.Error) as error:
        raise Refusal(f"cannot read {options_file}: {error}") from error
    section = parser["libfuzzer"] if "libfuzzer" in parser else {}
    return [f"-{flag}={value}" for flag, value in section.items() if flag != "dict"]


def command_line(options, corpus, crashes):
    """Returns the command; later flags win, and libFuzzer writes to the first directory only."""
    command = [options.binary, f"-artifact_prefix={crashes}/", "-timeout=25"]
    command += flags_of(options.options) if options.options else []
    command += [f"-dict={options.dict}"] if options.dict else []
    command += [f"-max_total_time={options.timeout_secs}"]
    return command + options.libfuzzer + [str(corpus)] + options.seeds


class Fuzzer:
    """The running libFuzzer, its output as a queue of lines that ends with None."""

    def __init__(self, command, counter_file, environment):
        environment = dict(environment, FUZZ_EXECUTIONS_FILE=str(counter_file))
        environment.setdefault("UBSAN_OPTIONS", "print_stacktrace=1")
        self.interrupted = False
        self.process = None
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._interrupt)
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=environment,
        )
        self.lines = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()
        if self.interrupted:
            self._interrupt()

    def _read(self):
        for line in self.process.stdout:
            self.lines.put(line.decode(errors="backslashreplace").rstrip("\n"))
        self.lines.put(None)

    def _interrupt(self, *_):
        self.interrupted = True
        if self.process:
            self.process.send_signal(signal.SIGINT)


def follow(fuzzer, figures, display, log):
    """Shows the run until it ends; returns the file with the input that ended it, if one did."""
    artifact = None
    while True:
        try:
            line = fuzzer.lines.get(timeout=display.seconds / 2)
        except queue.Empty:
            display.tick()
            continue
        if line is None:
            log.note(figures, is_end=True)
            display.clear()
            return artifact
        figures.hear(line)
        log.note(figures)
        written = ARTIFACT.match(line)
        artifact = written.group(1) if written else artifact
        if not CHATTER.match(line):
            display.line(line)
        display.tick()


def summary(figures, outcome):
    elapsed = figures.elapsed()
    executions = figures.executions()
    return (
        f"{outcome}: {executions:,} executions in {elapsed:.1f} s "
        f"({executions / max(elapsed, 0.001):,.0f}/s), {figures.edges} edges, "
        f"corpus {figures.corpus}"
    )


def fuzz(options, environment, scratch):
    """Fuzzes as the options say; returns the exit code."""
    corpus, crashes = directories(options, environment)
    # bazel run starts programs elsewhere, and says where it was called.
    caller = environment.get("BUILD_WORKING_DIRECTORY", ".")
    log = Log(options.log and pathlib.Path(caller, options.log))
    if options.clean:
        clean(corpus)
    command = command_line(options, corpus, crashes)
    counter_file = pathlib.Path(scratch, "executions")
    figures = Figures(Counter(counter_file))
    display = Display(figures, options.timeout_secs)
    display.line(f"fuzzing {options.target}, corpus in {corpus}")
    fuzzer = Fuzzer(command, counter_file, environment)
    try:
        artifact = follow(fuzzer, figures, display, log)
    finally:
        if fuzzer.process.poll() is None:
            fuzzer.process.kill()
    code = fuzzer.process.wait()

    if artifact:
        binary = os.path.realpath(options.binary)
        display.line(summary(figures, "crash"))
        display.line(f"The input is in {artifact}")
        display.line(f"To replay it: {shlex.join([binary, artifact])}")
        return 1
    if fuzzer.interrupted:
        display.line(summary(figures, "interrupted"))
        return 0
    if code != 0 or figures.executions() == 0:
        display.line(summary(figures, f"libFuzzer failed with status {code}"))
        return 1
    display.line(summary(figures, "no crash"))
    return 0


def main():
    options = parse_arguments(sys.argv[1:])
    try:
        with tempfile.TemporaryDirectory() as scratch:
            return fuzz(options, os.environ, scratch)
    except Refusal as refusal:
        print(f"fuzz_run: {refusal}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
