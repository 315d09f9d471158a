# SPDX-License-Identifier: BSD-3-Clause
"""Mutation testing: makes small changes to src/, and lists those that no test notices.

Each mutant differs from the library in one place. The tests in test/ that reach the place, and the
replays of fuzz/corpus, are run until one fails. What survives is explained in a list that is kept
with the code, or is a fault of the tests. Exit code: 0 where the list holds, 1 where not, 2 where
nothing could be found out.
"""

import argparse
import collections
import concurrent.futures
import json
import math
import os
import pathlib
import random
import shutil
import signal
import sys
import tempfile
import threading
import time

from fuzz_run import duration
from mutate_build import FLAGS, Builder
from mutate_judge import Judge, Processes, Stopped
from mutate_source import Refusal, Sources
from mutate_survivors import Survivors

TERMINAL_SECONDS = 0.2
PLAIN_SECONDS = 20

KILLED, SURVIVED, SAME, INVALID = "killed", "survived", "same code", "does not compile"


def progress(what, done, total, elapsed, rest="", width=None):
    """Returns a line about a step; with a width, one that fits into it and has a bar."""
    left = f", {duration(elapsed * (total - done) / done)} left" if done else ""
    line = f"{what}: {done}/{total} in {duration(elapsed)}{left}{rest}"
    if width is None:
        return line
    room = min(width - len(line) - 4, 30)
    if room >= 5:
        full = room * done // total
        line = f"[{'#' * full}{'.' * (room - full)}]  {line}"
    return line[:width]


def processor_seconds():
    """Returns what this process and its children that have ended took of the processors."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


class Display:
    """Writes lines, and on a terminal one below them that is rewritten in place."""

    def __init__(self):
        self.is_terminal = sys.stdout.isatty()
        self.due = 0
        self.shown = 0

    def line(self, text):
        sys.stdout.write("\r" + " " * self.shown + "\r" if self.shown else "")
        self.shown = 0
        print(text, flush=True)

    def start(self):
        self.due = time.monotonic() + (TERMINAL_SECONDS if self.is_terminal else PLAIN_SECONDS)

    def tick(self, *facts):
        if time.monotonic() < self.due:
            return
        self.start()
        if not self.is_terminal:
            self.line(progress(*facts))
            return
        text = progress(*facts, width=shutil.get_terminal_size().columns - 1)
        sys.stdout.write("\r" + text + " " * (self.shown - len(text)))
        sys.stdout.flush()
        self.shown = len(text)


class Run:
    """One run of the tool over the mutants that were asked for."""

    def __init__(self, options, sources, survivors, processes, scratch):
        self.options, self.sources, self.survivors = options, sources, survivors
        self.mutants = chosen(sources.mutants, options)
        self.processes, self.scratch = processes, scratch
        self.display = Display()
        self.judge = Judge(Builder(options.compiler, options.root, scratch), sources, processes)
        self.judge.leave_out(options.without, options.slowest)
        self.local = threading.local()
        # Per mutant of self.mutants: its verdict, and what more is known of it.
        self.verdicts = [None] * len(self.mutants)
        self.details = [""] * len(self.mutants)

    def _all(self, what, function, items, tell=lambda: ""):
        """Calls a function for each item, several at once, and shows how far it got."""
        items = list(items)
        start = time.monotonic()
        self.display.start()
        with concurrent.futures.ThreadPoolExecutor(self.options.jobs) as pool:
            try:
                waiting = {pool.submit(function, item) for item in items}
                while waiting:
                    done, waiting = concurrent.futures.wait(waiting, self.tick_seconds())
                    for future in done:
                        future.result()
                    finished = len(items) - len(waiting)
                    self.display.tick(what, finished, len(items), time.monotonic() - start, tell())
            except BaseException:
                self.processes.stop()
                pool.shutdown(cancel_futures=True)
                raise
        self.display.line(f"{what}: {len(items)} in {duration(time.monotonic() - start)}{tell()}")

    def tick_seconds(self):
        return TERMINAL_SECONDS if self.display.is_terminal else 1

    def _compile(self, number):
        if self.processes.is_stopped:
            raise Stopped
        if not hasattr(self.local, "directory"):
            self.local.directory = tempfile.mkdtemp(dir=self.scratch)
            self.judge.builder.copy_of_sources(self.local.directory)
        objects, digest = self.judge.compile(number, self.mutants[number], self.local.directory)
        if objects is None:
            self.verdicts[number] = INVALID
        elif digest is None:
            self.verdicts[number] = SAME
        self.compiled[number] = objects, digest

    def compile(self):
        """Compiles the mutants and finds those of the same code, each with the first of them."""
        self.compiled = [None] * len(self.mutants)
        self._all("compiling", self._compile, range(len(self.mutants)))
        self.firsts = {}
        first_of = {}
        for number, (_, digest) in enumerate(self.compiled):
            if self.verdicts[number] is None:
                self.firsts[number] = first_of.setdefault(digest, number)
        self.classes = collections.defaultdict(list)
        for number, first in self.firsts.items():
            self.classes[first].append(number)

    def _judge(self, first):
        case, detail = self.judge.judge(first, self.mutants[first], self.compiled[first][0])
        for number in self.classes[first]:
            self.verdicts[number] = KILLED if case else SURVIVED
            self.details[number] = self.judge.name(case) + f", {detail}" if case else detail
        if case is not None:
            return
        mutants = [self.mutants[number] for number in self.classes[first]]
        with self.lock:
            self.survived += 1
            if not self.survivors.explains_any(mutants):
                self.unexplained.append(first)
                self.display.line(f"{describe(mutants[0])}\n  ({detail} cases reach it)\n")

    def work(self):
        """Finds the verdicts on all mutants."""
        self.lock = threading.Lock()
        self.survived = 0
        self.unexplained = []
        self.judge.mark()
        self._all("running the tests", self.judge.measure, range(len(self.judge.programs)))
        self.compile()
        self._all("judging", self._judge, self.classes, lambda: f", {self.survived} survived")

    def report(self):
        """Prints what is wrong with the list, and the figures; returns the exit code."""
        faults = self._stale()
        for fault in faults:
            self.display.line(fault)
        counts = collections.Counter(self.verdicts[first] for first in self.classes)
        judged = sum(counts.values())
        others = collections.Counter(self.verdicts)
        explained = counts[SURVIVED] - len(self.unexplained)
        self.display.line(
            f"{len(self.mutants)} mutants: {others[INVALID]} do not compile, {others[SAME]} are the "
            f"same code as the library, {len(self.firsts) - judged} as other mutants; of the "
            f"{judged} left, {counts[KILLED]} are killed, {explained} survive as explained, "
            f"{len(self.unexplained)} survive; {processor_seconds():.0f} s of processor time"
        )
        return 1 if faults or self.unexplained else 0

    def _stale(self):
        faults = [
            f"{self.options.survivors}:{entry.line}: matches no mutant (any more):\n{entry}\n"
            for entry in self.survivors.unmatched(self.sources.mutants)
        ]
        for number, mutant in enumerate(self.mutants):
            entry = self.survivors.entry(mutant)
            if entry and self.verdicts[number] in (KILLED, INVALID):
                how = self.details[number] or self.verdicts[number]
                faults.append(f"{self.options.survivors}:{entry.line}: survives no more ({how}):\n{entry}\n")
        return faults

    def write(self, path):
        """Writes all verdicts as JSON."""
        results = []
        for mutant, verdict, detail in zip(self.mutants, self.verdicts, self.details):
            result = {"file": mutant.edit.file, "line": mutant.line, "column": mutant.column}
            result |= {"function": mutant.function, "original": mutant.original}
            result |= {"mutated": mutant.mutated, "verdict": verdict, "detail": detail}
            result["reason"] = getattr(self.survivors.entry(mutant), "reason", None)
            results.append(result)
        pathlib.Path(path).write_text(json.dumps(results, indent=1) + "\n")


def describe(mutant):
    """Returns a mutant as an entry of the list of survivors would have it, and where it is."""
    number = f"#{mutant.ordinal}" if mutant.ordinal > 1 else ""
    return (
        f"{mutant.edit.file}:{mutant.line}:{mutant.column}: survives\n"
        f"{mutant.edit.file} {mutant.function}\n- {mutant.original}\n+{number} {mutant.mutated}"
    )


def chosen(mutants, options):
    """Returns the mutants that the options ask for."""
    unknown = set(options.files) - {mutant.edit.file for mutant in mutants}
    if unknown:
        raise Refusal(f"{', '.join(sorted(unknown))}: no mutants there; files are named as src/pool.c")
    if options.files:
        mutants = [mutant for mutant in mutants if mutant.edit.file in options.files]
    if options.sample is not None and options.sample < len(mutants):
        picked = random.Random(options.seed).sample(range(len(mutants)), options.sample)
        mutants = [mutants[number] for number in sorted(picked)]
    return mutants


def positive(text):
    number = int(text) if text.isdecimal() else 0
    if number == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number, 1 or more")
    return number


def parse_arguments(arguments):
    here = pathlib.Path(__file__).resolve().parent
    parser = argparse.ArgumentParser(prog="mutate", description=__doc__, allow_abbrev=False)
    parser.add_argument("--files", nargs="+", default=[], metavar="FILE", help="only these, as src/pool.c")
    parser.add_argument("--sample", type=positive, metavar="N", help="only so many, picked at random")
    parser.add_argument("--seed", type=int, default=1, metavar="S", help="picks the sample (1)")
    parser.add_argument("--jobs", type=positive, default=len(os.sched_getaffinity(0)), metavar="N", help="at once (one a processor)")
    parser.add_argument("--list", action="store_true", help="print the mutants, and do nothing")
    parser.add_argument("--json", metavar="OUT", help="write every verdict there")
    parser.add_argument("--without", nargs="+", default=[], metavar="PROGRAM", help="leave test programs out, as misuse_test")
    parser.add_argument("--slowest", type=float, default=math.inf, metavar="SECONDS", help="leave out the tests' cases that take longer: fast, but more survive")
    parser.add_argument("--survivors", metavar="FILE", help="the list of those that are explained")
    parser.add_argument("--root", default=str(here.parent), help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    options.survivors = options.survivors or str(pathlib.Path(options.root, "tools/mutate_survivors.txt"))
    options.compiler = os.environ.get("CC", "clang-19")
    return options


def interrupt(*_):
    raise KeyboardInterrupt


def mutate(options, processes, scratch):
    """Does what the options say; returns the exit code."""
    survivors = Survivors(options.survivors)
    sources = Sources(options.compiler, FLAGS, options.root)
    if options.list:
        for mutant in chosen(sources.mutants, options):
            print(describe(mutant).replace(": survives\n", ":\n"), end="\n\n")
        return 0
    run = Run(options, sources, survivors, processes, pathlib.Path(scratch))
    run.work()
    code = run.report()
    if options.json:
        run.write(options.json)
    return code


def main():
    options = parse_arguments(sys.argv[1:])
    processes = Processes()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupt)
    try:
        with tempfile.TemporaryDirectory(prefix="mutate-") as scratch:
            return mutate(options, processes, scratch)
    except (Refusal, OSError) as refusal:
        print(f"mutate: {refusal}", file=sys.stderr)
        return 2
    except (KeyboardInterrupt, Stopped):
        print("\nmutate: interrupted", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
