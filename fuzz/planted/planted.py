#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Demands that the committed corpora find every planted bug; or measures how soon fuzzing does.

A planted bug is a file DRIVER/FILE/NAME.patch beside this script, or NAME.asan.patch where only
AddressSanitizer sees the bug: a patch of src/FILE, which fuzz/targets/corpus/DRIVER must find. Its first
line says what is wrong. A control is the same build without a patch, and must be silent.
Exit code: 1 where a bug or a control fails, 2 for bad usage.
"""

import argparse
import collections
import concurrent.futures
import fnmatch
import os
import pathlib
import re
import resource
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time

# Not resolved: a Bazel test sees links to the files that it declares.
PLANTED = pathlib.Path(__file__).absolute().parent
ROOT = PLANTED.parents[1]
CORPUS = ROOT / "fuzz/targets/corpus"
ANEW = "make it anew, by docs/fuzzing/planted.md"

# -w: a bug may well be one that compilers warn of. The rest is as in tools/build/flags.bzl, less -g.
FLAGS = ["-std=c11", "-w", "-fno-omit-frame-pointer", "-U_FORTIFY_SOURCE", f"-I{ROOT}", f"-I{ROOT}/include"]

PROCESSOR_SECONDS = 5  # of a replay, which takes one; what hangs takes more
MAX_REPLAY_SECONDS = 120  # by the wall clock, for what waits
GRACE_SECONDS = 60  # libFuzzer's, to start and to write down the last input

# The replay names each input before it runs: the last is what ended it, unless it says more after that.
INPUT = re.compile(r"^replay: running (.*)$(?!(?:.*\n)*(?:replay: |\d+ inputs replayed))", re.MULTILINE)
REASON = re.compile(r"^ *(?:expected: |SUMMARY: )(.*?)(?: \(/.*)?$", re.MULTILINE)


class Failure(Exception):
    """Why something cannot be built, or is not as it must be."""


# The sanitizer is "asan" or empty. A control has no patch.
Bug = collections.namedtuple("Bug", "driver sanitizer name file patch", defaults=("control", None, None))


def find_bugs():
    for patch in sorted(PLANTED.rglob("*.patch")):
        match = re.fullmatch(r"(\w+)/(\w+\.[ch])/(\w+)(\.asan)?\.patch", str(patch.relative_to(PLANTED)))
        if not match or not (CORPUS / match[1]).is_dir():
            raise Failure(f"{patch} is not DRIVER/FILE/NAME.patch or DRIVER/FILE/NAME.asan.patch")
        yield Bug(match[1], "asan" if match[4] else "", match[3], match[2], patch)


def execute(command, directory, seconds=None):
    """Returns the status and the output of a program that may crash; the status is None if it hangs."""
    try:
        # Finding a bug is enough; naming its lines of code takes longer.
        process = subprocess.run(command, cwd=directory, env={**os.environ, "ASAN_OPTIONS": "symbolize=0"},
                                 stdin=subprocess.DEVNULL, errors="backslashreplace", timeout=seconds,
                                 stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    except subprocess.TimeoutExpired:
        return None, f"no end after {seconds} s"
    return process.returncode, process.stdout


def run(*command, directory=ROOT, complaint=None):
    """Returns what a command writes, which must succeed."""
    status, output = execute(command, directory)
    if status != 0:
        raise Failure(f"{complaint or ' '.join(map(str, command))}:\n{output.strip()}")
    return output


class Builder:
    """Compiles for all bugs the library, the engine, the replay and the drivers, and for each bug what it changes."""

    def __init__(self, compiler, scratch, is_fuzzing, sanitizers, executor):
        self.compiler, self.scratch, self.is_fuzzing = compiler, scratch, is_fuzzing
        self.objects = {}  # of each sanitizer, by sources
        paths = [path for room in ("src", "fuzz/engine", "fuzz/targets") for path in sorted(ROOT.glob(f"{room}/*.c"))]
        requests = "test/support/requests.c"
        sources = [str(path.relative_to(ROOT)) for path in paths] + [requests]
        for sanitizer in sorted(sanitizers):
            print(f"compiling {len(sources)} files, {sanitizer or 'plain'}", flush=True)
            output = scratch / (sanitizer or "plain")
            output.mkdir()
            objects = executor.map(lambda source: self.compile(source, sanitizer, ROOT, output), sources)
            self.objects[sanitizer] = dict(zip(sources, objects))
        names = run("nm", self.objects[sanitizer][requests])
        self.wraps = ["-Wl,--wrap=" + name for name in re.findall(r" T __wrap_(\w+)", names)]

    def compile(self, source, sanitizer, tree, output):
        compiled = output / (source.replace("/", "_") + ".o")
        flags = FLAGS + ["-fsanitize=address"] * bool(sanitizer)
        flags += ["-fsanitize=fuzzer-no-link", "-O2"] * self.is_fuzzing
        run(self.compiler, *flags, "-MMD", "-c", source, "-o", compiled, directory=tree)
        return compiled

    def compile_patched(self, bug, tree):
        """Returns the objects of all sources that a patch changes, or that include what it changes."""
        shutil.copytree(ROOT / "src", tree / "src", copy_function=shutil.copyfile)
        text = bug.patch.read_text()
        if re.match(r"\n|---|\+\+\+|diff |@@", text):
            raise Failure(f"the first line of {bug.patch} must say what is wrong")
        if re.findall(r"^\+\+\+ (\S+)", text, re.MULTILINE) != [f"b/src/{bug.file}"]:
            raise Failure(f"{bug.patch} must change src/{bug.file} and nothing else: {ANEW}")
        run("patch", "--quiet", "--forward", "--reject-file=-", tree / "src" / bug.file, bug.patch,
            complaint=f"{bug.patch} does not apply to src/{bug.file} any longer: {ANEW}, or delete it")
        return {source: self.compile(source, bug.sanitizer, tree, tree)
                for source, compiled in self.objects[bug.sanitizer].items()
                if f"src/{bug.file}" in compiled.with_suffix(".d").read_text().split()}

    def build(self, bug, directory):
        """Returns a program: libFuzzer, or the replay."""
        objects = dict(self.objects[bug.sanitizer])
        if bug.patch:
            objects.update(self.compile_patched(bug, directory))
        others = [f"fuzz/targets/{path.name}.c" for path in CORPUS.iterdir() if path.name != bug.driver]
        for source in others + ["fuzz/targets/replay.c"] * self.is_fuzzing:
            del objects[source]
        sanitizers = ["-fsanitize=fuzzer"] * self.is_fuzzing + ["-fsanitize=address"] * bool(bug.sanitizer)
        run(self.compiler, *sanitizers, *objects.values(), *self.wraps, "-ldl", "-o", directory / "program")
        return directory / "program"


def replay(program, bug):
    """Returns what the corpus found, or raises Failure."""
    command = ["prlimit", f"--cpu={PROCESSOR_SECONDS}", program, CORPUS / bug.driver]
    status, output = execute(command, program.parent, MAX_REPLAY_SECONDS)
    found, reason = INPUT.search(output), REASON.search(output)
    if bug.patch and status == 0:
        raise Failure(f"NOT FOUND by its corpus: {bug.patch.read_text().splitlines()[0]}")
    if status == 0:
        return output.splitlines()[-1]
    if not bug.patch or not found:
        raise Failure(f"ended with status {status}:\n{output[-2000:]}")
    return f"found by {os.path.basename(found[1])}: {reason[1] if reason else f'status {status}'}"


def hunt(program, options):
    """Returns how soon libFuzzer finds a bug from an empty corpus."""
    times = []
    for seed in range(1, options.seeds + 1):
        found = program.with_name(f"found{seed}")
        # What is slow, but ends, would be kept too.
        command = [program, f"-seed={seed}", f"-max_total_time={options.hunt}", "-timeout=25",
                   "-report_slow_units=26", f"-exact_artifact_path={found}", *options.flags]
        begin = time.monotonic()
        status, output = execute(command, program.parent, options.hunt + GRACE_SECONDS)
        seconds = time.monotonic() - begin
        if "WARNING: unrecognized flag" in output:
            raise Failure(re.search(r"unrecognized flag '.*?'", output)[0])
        # What has destroyed the heap may hang while it is reported.
        if status is not None and (status != 0) != found.exists():
            raise Failure(f"seed {seed}: libFuzzer ended with status {status}:\n{output[-2000:]}")
        times += [seconds] if found.exists() and seconds <= options.hunt else []
    told = ", ".join(f"{seconds:.1f}" for seconds in sorted(times))
    return f"found by {len(times)} of {options.seeds} seeds" + f", after {told} s" * bool(times)


def judge_all(bugs, builder, options, executor):
    """Prints a line for each bug and each control; returns how many failed."""
    def judge(bug):
        name = f"{bug.name} ({bug.driver}{', asan' * bool(bug.sanitizer)})"
        try:
            with tempfile.TemporaryDirectory(dir=builder.scratch) as directory:
                program = builder.build(bug, pathlib.Path(directory))
                return f"{name}: {hunt(program, options) if options.hunt else replay(program, bug)}"
        except Failure as failure:
            return f"FAILED: {name}: {failure}"

    kinds = {(bug.driver, sanitizer) for bug in bugs for sanitizer in builder.objects if not options.hunt}
    tasks = [Bug(*kind) for kind in sorted(kinds)] + bugs
    failure_count = 0
    for done, line in enumerate(executor.map(judge, tasks), 1):
        failure_count += line.startswith("FAILED: ")
        print(f"[{done}/{len(tasks)}] {line}", flush=True)
    print(f"{len(bugs)} planted bugs, {len(kinds)} controls, {failure_count} failed")
    return failure_count


def positive(text):
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return int(text)


def main():
    parser = argparse.ArgumentParser(allow_abbrev=False, description=__doc__.partition("\n")[0])
    parser.add_argument("--only", metavar="GLOB", default="*", help="bugs with such names")
    parser.add_argument("--jobs", metavar="N", type=positive, default=os.cpu_count(), help="at a time")
    parser.add_argument("--hunt", metavar="SECONDS", type=positive, help="fuzz each so long, from nothing")
    parser.add_argument("--seeds", metavar="N", type=positive, default=5, help="hunt with seeds 1 to N (5)")
    parser.add_argument("--flags", type=shlex.split, default=[], help="hunt with these of libFuzzer")
    options = parser.parse_args()
    compiler = os.environ.get("CC") or next(filter(shutil.which, ["clang-19", "clang"]), "clang-19")
    if not shutil.which(compiler):
        parser.error(f"there is no {compiler}; CC names another compiler")
    # Bugs crash. SIGTERM removes the scratch directory as Ctrl-C does.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        bugs = [bug for bug in find_bugs() if fnmatch.fnmatchcase(bug.name, options.only)]
        if not bugs:
            parser.error(f"{PLANTED} has no patch with a name as {options.only}")
        with tempfile.TemporaryDirectory(dir=os.environ.get("TEST_TMPDIR")) as scratch, \
                concurrent.futures.ThreadPoolExecutor(options.jobs) as executor:
            sanitizers = {bug.sanitizer for bug in bugs}
            builder = Builder(compiler, pathlib.Path(scratch), bool(options.hunt), sanitizers, executor)
            return 1 if judge_all(bugs, builder, options, executor) else 0
    except Failure as failure:
        print(f"planted: {failure}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
