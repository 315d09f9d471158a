# SPDX-License-Identifier: BSD-3-Clause
"""Runs the tests of test/ and the replays of fuzz/corpus on other machines and in other environments.

Each target is a compiler with its flags, and what runs its programs: qemu-user, where the machine is
another. What is not installed is named, and its targets are skipped. Exit code: 0 where all passed,
1 where a test failed or could not be built, 2 where nothing could be found out, 77 where every target
was skipped.
"""

import argparse
import collections
import concurrent.futures
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time

from cross_targets import TARGETS
from mutate_build import INCLUDES, Builder, name_of
from mutate_source import Refusal

ROOT = pathlib.Path(__file__).resolve().parent.parent
FAILED, UNKNOWN, SKIPPED = 1, 2, 77
# A test's processes have limits of their own, which end it long before.
SECONDS_PER_PROGRAM = 1200
LOG_LINES = 60
WARNINGS = ("-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wshadow", "-Werror")


class CrossBuilder(Builder):
    """Builds the tests for a target, those of C++ too where it has a compiler."""

    def __init__(self, target, scratch):
        flags = (*INCLUDES, "-O2", *target.flags)
        suffixes = (".c", ".cc") if target.cxx else (".c",)
        super().__init__(target.compiler, ROOT, scratch, flags, suffixes)
        self.target = target

    def compile(self, source, output, options=(), directory=None):
        language = ("-x", "c++", "-std=c++11") if source.endswith(".cc") else ("-std=c11",)
        warnings = WARNINGS if source.startswith("src/") else ()
        return super().compile(source, output, (*language, *warnings, *options), directory)

    def link(self, program, objects):
        """Returns the path of a linked program, and the linker's errors."""
        path = str(self.scratch / program.name)
        more = [self._object(source, ()) for source in self.target.more_sources]
        compiler = self.target.compiler if program.is_of_c else self.target.cxx
        command = program.command(compiler, [*objects, *more], path)
        command += [*self.target.flags, *self.target.link_flags]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        return path, done.stderr or "unknown" if done.returncode != 0 else ""


Result = collections.namedtuple("Result", "passed failed skipped inputs reasons log")


def judge(name, status, text):
    """Returns the result of a program that has ended with this exit status."""
    last = text.rstrip().rpartition("\n")[2]
    replayed = re.fullmatch(r"(\d+) inputs replayed", last)
    counts = re.fullmatch(r"(\d+) passed, (\d+) failed, (\d+) skipped", last)
    reasons = re.findall(r"^(\w+) \.\.\. \[(.*)\] skipped", text, re.MULTILINE)
    if status == 0 and replayed and int(replayed[1]) > 0:
        return Result(0, 0, 0, int(replayed[1]), [], "")
    if counts and status == (int(counts[2]) != 0):
        passed, failed, skipped = map(int, counts.groups())
        if skipped == len(reasons) and passed + failed + skipped > 0:
            log = f"{name}: {last}\n{text}" if failed else ""
            return Result(passed, failed, skipped, 0, reasons, log)
    return Result(0, 1, 0, 0, [], f"{name}: status {status}\n{text}")


def run(command, name):
    """Runs a program of the tests and returns its result."""
    try:
        done = subprocess.run(
            command,
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            errors="replace",
            timeout=SECONDS_PER_PROGRAM,
        )
    except subprocess.TimeoutExpired:
        return Result(0, 1, 0, 0, [], f"{name}: still running after {SECONDS_PER_PROGRAM} s")
    return judge(name, done.returncode, done.stdout)


def trial(target, scratch):
    """Returns why no program of a target can be built or run here: an empty string where it can."""
    compilers = [target.compiler, target.cxx] if target.cxx else [target.compiler]
    for compiler in compilers:
        output = str(scratch / "trial")
        language = "c++" if compiler == target.cxx else "c"
        command = [compiler, *target.flags, *target.link_flags, "-x", language, "-", "-o", output]
        text = "#include <errno.h>\nint main(void) { return errno; }\n"
        for words, given in ((command, text), ([*target.runner, output], "")):
            try:
                done = subprocess.run(words, cwd=ROOT, input=given, text=True, capture_output=True)
            except FileNotFoundError:
                return f"there is no {words[0]}"
            if done.returncode != 0:
                lines = done.stderr.strip().splitlines() or [f"status {done.returncode}"]
                return f"{words[0]} does not work: {lines[0]}"
    return ""


def set_up(target):
    """Installs what a target needs besides packages; returns why not, or an empty string."""
    print(f"{target.name}: {' '.join(target.setup)}", file=sys.stderr)
    done = subprocess.run(target.setup, cwd=ROOT, text=True, stderr=subprocess.PIPE)
    return done.stderr.strip() if done.returncode != 0 else ""


def require_programs(names, target):
    """Refuses names that no test of a target has."""
    with tempfile.TemporaryDirectory() as directory:
        known = {name_of(label) for label in CrossBuilder(target, pathlib.Path(directory)).labels()}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise Refusal(f"{target.name} has no test {' '.join(unknown)}, but {', '.join(sorted(known))}")


def test(target, scratch, jobs, only):
    """Builds and runs programs of a target, all or only these, and returns their results."""
    builder = CrossBuilder(target, scratch)
    objects = list(builder.library().values())

    def link_and_run(program):
        path, errors = builder.link(program, objects)
        if errors:
            return Result(0, 1, 0, 0, [], f"{program.name} does not link:\n{errors}")
        return run([*target.runner, path, *program.arguments], program.name)

    # Programs run while those after them are compiled.
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        running = [pool.submit(link_and_run, program) for program in builder.programs(only)]
        return [program.result() for program in running]


def report(target, results, seconds):
    """Prints what became of a target, and returns whether all passed."""
    passed, failed, skipped, inputs = (sum(column) for column in list(zip(*results))[:4])
    for result in results:
        if result.log:
            lines = result.log.rstrip().splitlines()
            print("\n".join(f"    {line}" for line in [lines[0], *lines[1:][-LOG_LINES:]]))
    reasons = collections.Counter(reason for result in results for _, reason in result.reasons)
    for reason, count in sorted(reasons.items()):
        print(f"    skipped: {count}: {reason}")
    verdict = "FAILED" if failed else "ok    "
    print(
        f"{verdict}  {target.name}: {passed} passed, {failed} failed, {skipped} skipped; "
        f"{inputs} inputs replayed; {seconds:.0f} s",
        flush=True,
    )
    return failed == 0


def parse_arguments():
    names = [target.name for target in TARGETS]
    width = max(map(len, names))
    listed = "\n".join(f"  {target.name:{width}}  {target.about}" for target in TARGETS)
    parser = argparse.ArgumentParser(
        prog="cross",
        description=__doc__,
        epilog=f"targets:\n{listed}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("targets", nargs="*", metavar="TARGET", help="which; default: all")
    parser.add_argument("--install", action="store_true", help="install what is missing, on Debian")
    parser.add_argument(
        "--only", action="append", default=[], metavar="PROGRAM", help="such as region_test; repeatable"
    )
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes at a time")
    parser.add_argument("--packages", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    unknown = [name for name in arguments.targets if name not in names]
    if unknown:
        parser.error(f"there is no target {' '.join(unknown)}; known are {', '.join(names)}")
    if arguments.jobs < 1:
        parser.error("--jobs must be at least 1")
    wanted = [target for target in TARGETS if target.name in (arguments.targets or names)]
    return arguments, wanted


def main():
    arguments, wanted = parse_arguments()
    failures, skipped = [], []
    packages = {}
    for target in wanted if arguments.only else ():
        require_programs(arguments.only, target)
    for target in wanted:
        with tempfile.TemporaryDirectory() as directory:
            scratch = pathlib.Path(directory)
            missing = trial(target, scratch)
            if missing and target.setup and arguments.install and not arguments.packages:
                missing = set_up(target) or trial(target, scratch)
            if arguments.packages:
                packages.update(dict.fromkeys(target.packages if missing else ()))
                continue
            if missing:
                skipped.append(target.name)
                needed = " ".join(target.packages)
                print(f"skipped {target.name}: {missing} (Debian: {needed}; or --install)")
                continue
            start = time.monotonic()
            try:
                results = test(target, scratch, arguments.jobs, arguments.only)
            except Refusal as refusal:
                results = [Result(0, 1, 0, 0, [], str(refusal))]
            if not report(target, results, time.monotonic() - start):
                failures.append(target.name)
    if arguments.packages:
        print(*packages)
        return 0
    passed = len(wanted) - len(failures) - len(skipped)
    print(f"{passed} targets passed, {len(failures)} failed, {len(skipped)} skipped", end="")
    print(f" ({', '.join(skipped)})" if skipped else "")
    if failures:
        return FAILED
    return SKIPPED if passed == 0 else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Refusal as refusal:
        print(f"cross: {refusal}", file=sys.stderr)
        sys.exit(UNKNOWN)
