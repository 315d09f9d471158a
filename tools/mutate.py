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
import itertools
import json
import math
import os
import pathlib
import random
import signal
import sys
import tempfile
import threading

from fuzz_run import duration
from mutate_build import FLAGS, Builder
from mutate_judge import Judge, Processes, Stopped
from mutate_source import Refusal, Sources
from mutate_survivors import Survivors
from progress import Display

QUICK_SECONDS = 1

KILLED, SURVIVED, SAME, INVALID = "killed", "survived", "same code", "does not compile"


def processor_seconds():
    """Returns what this process and its children that have ended took of the processors."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


class Run:
    """One run of the tool over the mutants that were asked for."""

    def __init__(self, options, sources, survivors, processes, scratch):
        self.options, self.sources, self.survivors = options, sources, survivors
        self.mutants = chosen(sources.mutants, options)
        self.processes, self.scratch = processes, scratch
        self.display = Display(sys.stdout)
        self.judge = Judge(Builder(options.compiler, options.root, scratch), sources, processes)
        self.judge.leave_out(options.without, options.slowest)
        self.local = threading.local()
        self.lock = threading.Lock()
        self.classes = collections.defaultdict(list)
        self.survivors_count = self.unexplained = 0
        # Per mutant of self.mutants: its verdict, and what more is known of it.
        self.verdicts = [None] * len(self.mutants)
        self.details = [""] * len(self.mutants)

    def _all(self, what, function, items, tell=lambda: ""):
        """Calls a function for each item, several at once, and shows how far it got."""
        items = list(items)
        self.display.start([1] * len(items), f"{what}: ")
        with concurrent.futures.ThreadPoolExecutor(self.options.jobs) as pool:
            try:
                waiting = {pool.submit(function, item) for item in items}
                while waiting:
                    done, waiting = concurrent.futures.wait(waiting, min(self.display.interval, 1))
                    for future in done:
                        future.result()
                    self.display.tick(len(items) - len(waiting), tell())
            except BaseException:
                self.processes.stop()
                pool.shutdown(cancel_futures=True)
                raise
        self.display.line(f"{what}: {len(items)} in {duration(self.display.elapsed())}{tell()}")

    def _finish(self, numbers, verdict, detail):
        for number in numbers:
            self.verdicts[number] = verdict
            self.details[number] = detail

    def _reaching(self, mutant):
        """Returns the cases that reach a mutant: those that are quick together, and the others."""
        cases = self.judge.reaching(mutant)
        sums = itertools.accumulate(case.seconds for case in cases)
        count = sum(seconds <= QUICK_SECONDS for seconds in sums)
        return cases[:count], cases[count:]

    def _judge_quickly(self, number):
        mutant = self.mutants[number]
        case, how = self.judge.judge(number, mutant, self._reaching(mutant)[0])
        if case is not None:
            self._finish([number], KILLED, f"{self.judge.name(case)}, {how}")

    def _compile(self, number):
        if self.processes.is_stopped:
            raise Stopped
        if not hasattr(self.local, "directory"):
            self.local.directory = tempfile.mkdtemp(dir=self.scratch)
            self.judge.builder.copy_of_sources(self.local.directory)
        digest = self.judge.digest(number, self.mutants[number], self.local.directory)
        with self.lock:
            self.classes[digest].append(number)

    def _judge(self, numbers):
        """Judges mutants of the same code by the cases that they have not been judged by.

        What the list explains is taken at its word, which saves most of the time.
        """
        mutants = [self.mutants[number] for number in numbers]
        is_explained = self.survivors.explains_any(mutants)
        quick, slow = self._reaching(mutants[0])
        slow = [] if is_explained else slow
        case, how = self.judge.judge(numbers[0], mutants[0], slow)
        if case is not None:
            self._finish(numbers, KILLED, f"{self.judge.name(case)}, {how}")
            return
        reached = f"{len(quick) + len(slow)} cases reach it"
        self._finish(numbers, SURVIVED, reached)
        with self.lock:
            self.survivors_count += 1
            if not is_explained:
                self.unexplained += 1
                self.display.line(f"{describe(mutants[0])}\n  ({reached})\n")

    def work(self):
        """Finds the verdicts on all mutants."""
        broken = set()
        self.display.line(f"building {len(self.mutants)} mutants")
        self.judge.build(dict(enumerate(self.mutants)), broken)
        self._finish(broken, INVALID, "")
        self._all("running the tests", self.judge.measure, range(len(self.judge.programs)))
        self._all("judging quickly", self._judge_quickly, self._undecided())
        self._all("comparing code", self._compile, self._undecided())
        self._finish(self.classes.pop(None, []), SAME, "")
        classes = sorted(map(sorted, self.classes.values()))
        tell = lambda: f", {self.survivors_count} survived"
        self._all("judging the rest", self._judge, classes, tell)

    def _undecided(self):
        return [number for number, verdict in enumerate(self.verdicts) if verdict is None]

    def report(self):
        """Prints what is wrong with the list, and the figures; returns the exit code."""
        faults = self._stale()
        for fault in faults:
            self.display.line(fault)
        counts = collections.Counter(self.verdicts)
        self.display.line(
            f"{len(self.mutants)} mutants: {counts[KILLED]} killed, {counts[INVALID]} do not "
            f"compile, {counts[SAME]} are the same code as the library; {self.survivors_count} that "
            f"differ from it and from each other survive, {self.unexplained} of them unexplained; "
            f"{processor_seconds():.0f} s of processor time"
        )
        return 1 if faults or self.unexplained else 0

    def _stale(self):
        faults = [
            f"{self.options.survivors}:{entry.line}: matches no mutant (any more):\n{entry}\n"
            for entry in self.survivors.unmatched(self.sources.mutants)
        ]
        for number, mutant in enumerate(self.mutants):
            entry = self.survivors.entry(mutant)
            # What is undefined may be noticed without a sanitizer, too, by chance.
            is_chance = entry and entry.reason.startswith("sanitizer:")
            if entry and not is_chance and self.verdicts[number] in (KILLED, INVALID):
                how = self.details[number] or self.verdicts[number]
                place = f"{self.options.survivors}:{entry.line}"
                faults.append(f"{place}: survives no more ({how}):\n{entry}\n")
        return faults

    def write(self, path):
        """Writes all verdicts as JSON."""
        results = []
        for mutant, verdict, detail in zip(self.mutants, self.verdicts, self.details):
            result = {"file": mutant.edit.file, "line": mutant.line, "column": mutant.column}
            result |= {"key": mutant.key(), "verdict": verdict, "detail": detail}
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


def survivors_of(path):
    """Returns the keys of the mutants that survived in an earlier run."""
    try:
        results = json.loads(pathlib.Path(path).read_text())
        return {tuple(result["key"]) for result in results if result["verdict"] == SURVIVED}
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise Refusal(f"{path} does not have an earlier run's verdicts: {error}") from error


def chosen(mutants, options):
    """Returns the mutants that the options ask for."""
    unknown = set(options.files) - {mutant.edit.file for mutant in mutants}
    if unknown:
        raise Refusal(f"no mutants in {', '.join(sorted(unknown))}; files are named as src/pool.c")
    if options.files:
        mutants = [mutant for mutant in mutants if mutant.edit.file in options.files]
    if options.again:
        again = survivors_of(options.again)
        mutants = [mutant for mutant in mutants if mutant.key() in again]
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

    def option(name, metavar, text, **more):
        parser.add_argument(name, metavar=metavar, help=text, **more)

    processors = len(os.sched_getaffinity(0))
    option("--files", "FILE", "only these, as src/pool.c", nargs="+", default=[])
    option("--sample", "N", "only so many, picked at random", type=positive)
    option("--seed", "S", "picks the sample (1)", type=int, default=1)
    option("--jobs", "N", "at once (one a processor)", type=positive, default=processors)
    parser.add_argument("--list", action="store_true", help="print the mutants, and do nothing")
    option("--json", "OUT", "write every verdict there")
    option("--again", "OUT", "only those that survived in the run that wrote OUT")
    option("--without", "PROGRAM", "leave out tests, as misuse_test", nargs="+", default=[])
    slowest = "leave out the tests' cases that take longer: fast, but more survive"
    option("--slowest", "SECONDS", slowest, type=float, default=math.inf)
    option("--survivors", "FILE", "the explained ones", default=here / "mutate_survivors.txt")
    parser.add_argument("--root", default=str(here.parent), help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
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
    try:
        run.work()
        return run.report()
    finally:
        if options.json:
            run.write(options.json)


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
