# SPDX-License-Identifier: BSD-3-Clause
"""Mutation testing: makes small changes to src/, and lists those that no test notices.

Exit code: 0, 1 where the score is under the floor, 2 where nothing could be found out.
"""

import argparse
import collections
import concurrent.futures
import contextlib
import hashlib
import itertools
import json
import os
import pathlib
import random
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time

from mutate_source import FLAGS, Refusal, Sources, describe

ROOT = pathlib.Path(__file__).resolve().parents[2]
COMPILER = os.environ.get("CC", "clang-19")

# The builds of the tests, with the library's options. A survivor of the plain build is also judged in
# each other build where it compiles to other code: requests to Valgrind, for one, exist only there.
BUILDS = {"plain": (), "valgrind": (), "asan": ("-fsanitize=address", "-DNVALGRIND"),
          "msan": ("-fsanitize=memory", "-DNVALGRIND")}
UNDER_VALGRIND = {  # by label: a command and its arguments
    "//test:tools_test": (["valgrind", "-q", "--error-exitcode=1"], []),
    "//test/misuse:misuse_test_program": (["python3", "-B", ROOT / "test/misuse/valgrind_test.py"], []),
}
# No inlining, which would copy all mutants of a function into each of its callers; and no deletion of
# endless loops, which a mutant may make.
SCHEMATA_FLAGS = ("-O1", "-fno-inline", "-fno-finite-loops", "-Dalways_inline=noinline", "-ferror-limit=0")
DECLARATIONS = "extern int mutate_chosen; extern volatile unsigned char *mutate_reached;\n"
# Chooses the mutant, and maps the notes of reached statements to a file, by the system call because tests wrap mmap.
SCHEMATA_C = """
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>
int mutate_chosen = -1;
static unsigned char nowhere[COUNT];
volatile unsigned char *mutate_reached = nowhere;
__attribute__((constructor(101))) static void begin(void)
{
    const char *chosen = getenv("MUTATE_CHOSEN"), *path = getenv("MUTATE_REACHED");
    mutate_chosen = chosen == NULL ? -1 : atoi(chosen);
    if (path != NULL)
        mutate_reached = (void *)syscall(SYS_mmap, NULL, COUNT, PROT_READ | PROT_WRITE, MAP_SHARED,
                                         open(path, O_RDWR), 0L);
}
"""

# A test program: what the linker is told, less the library, and where; what it is run by, and with.
Program = collections.namedtuple("Program", "name directory words runner arguments")
# A case, or all of a program that names none. reached: per statement, 1 where the case comes by.
Case = collections.namedtuple("Case", "name command seconds reached")

groups = set()  # of the processes that run


def end(group):
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)


def run(command, seconds, **environment):
    """Runs a program within limits; returns its exit code, None where it took too long, and its output."""
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            ["prlimit", "--core=0", "--fsize=67108864", f"--cpu={seconds}", *command], start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.DEVNULL,
            env={**os.environ, **environment})
        groups.add(process.pid)
        ended = os.pidfd_open(process.pid)
        # prlimit limits processor time, because a busy machine makes slow what works; this is for what hangs.
        is_over = select.select([ended], [], [], 15 * seconds)[0]
        os.close(ended)
        # Kill the group before waiting for its leader: afterwards its number may belong to another.
        end(process.pid)
        groups.discard(process.pid)
        code = process.wait()
        output.seek(0)
        return code if is_over else None, output.read().decode(errors="replace")


def bazel(command, *arguments):
    command = [ROOT / "tools/bazel", command, "--noshow_progress", "--ui_event_filters=-info", *arguments]
    return subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout.split("\n")


def programs_of(build):
    """Has Bazel build the library's tests, and returns them."""
    suffix = "" if build == "plain" else f"_{build}"
    # Each test is a program; embedded_test's is built without the operating system.
    tests = bazel("query", f"attr(tags, '\\[{suffix[1:]}\\]', attr(src, '_program', kind('script_test rule', "
                           "//test/...))) except filter(embedded, //test/...)")[:-1]
    drivers = {f"//fuzz:{path.name}{suffix}": [path] for path in (ROOT / "fuzz/targets/corpus").iterdir()}
    labels = UNDER_VALGRIND if build == "valgrind" else [*tests, *drivers]
    bazel("build", *labels)
    execution_root, outputs = bazel("info", "execution_root")[0], bazel("info", "bazel-bin")[0]
    for label in labels:
        # A test is a link to a program, beside which the linker's arguments stand.
        binary = pathlib.Path(outputs, label.lstrip("/").replace(":", "/")).resolve()
        written = sorted(binary.parent.glob(f"{binary.name}-*.params"))
        if not written:
            raise Refusal(f"Bazel has left no arguments of the linker beside {binary}")
        words = written[0].read_text(encoding="utf-8").splitlines()
        kept = [word for word in words if not re.search(r"/_objs/cork_mempool/|libcork_mempool\.", word)]
        runner, arguments = UNDER_VALGRIND[label] if build == "valgrind" else ([], drivers.get(label, []))
        if kept != words:
            del kept[kept.index("-o") : kept.index("-o") + 2]
            yield Program(binary.name, execution_root, kept, runner, arguments)


class Run:
    """One run of the tool over some mutants, which are numbered."""

    def __init__(self, sources, mutants, jobs, scratch):
        self.sources, self.mutants, self.jobs, self.scratch = sources, mutants, jobs, scratch
        self.verdicts = dict.fromkeys(range(len(mutants)))  # and the cases that killed
        self.killers = collections.defaultdict(list)  # per function, the cases that failed, the latest first
        # What the compiler makes of the library, per build and unit; and mutants by what it makes of them.
        self.library, self.classes = {}, collections.defaultdict(list)

    def _all(self, what, function, items):
        """Returns what a function returns for each item, several at once; says now and then how far it is."""
        results = []
        with concurrent.futures.ThreadPoolExecutor(self.jobs) as pool:
            try:
                for count, result in enumerate(pool.map(function, items), 1):
                    results.append(result)
                    if count % 100 == 0 or count == len(items):
                        print(f"{what}: {count}/{len(items)}", file=sys.stderr)
            finally:
                # After a failure, begin nothing more, and end what runs.
                pool.shutdown(wait=False, cancel_futures=True)
                for group in list(groups):
                    end(group)
        return results

    def _directory(self, texts):
        """Returns a directory with the library, some of whose files have other texts."""
        directory = pathlib.Path(tempfile.mkdtemp(dir=self.scratch))
        for folder in ("include", "src"):
            shutil.copytree(ROOT / folder, directory / folder)
        for name, text in texts.items():
            (directory / name).write_bytes(text.encode("latin-1"))
        return directory

    def _compile(self, directory, unit, *flags):
        """Returns a unit's object, and the errors that are about mutants."""
        command = [COMPILER, *FLAGS, "-O2", "-w", *flags, "-c", unit, "-o", "-"]
        done = subprocess.run(command, cwd=directory, capture_output=True, check=False)
        errors = done.stderr.decode(errors="replace")
        broken = re.findall(r"^mutant-(\d+):\d+:\d+: error", errors, re.MULTILINE)
        if done.returncode != 0 and not broken:
            raise Refusal(f"{unit} does not compile: {errors[:2000]}")
        return done.stdout, set(map(int, broken))

    def _build(self, build, numbers):
        """Builds the tests with mutants to choose from; returns their cases, the quickest first."""
        mutants, broken = {number: self.mutants[number] for number in numbers}, None
        flags = (f"-DCOUNT={self.sources.statement_count}", *BUILDS[build], *SCHEMATA_FLAGS)
        units = [*self.sources.units, "schemata.c"]
        while broken != set():
            texts = {name: DECLARATIONS + file.schemata(mutants) for name, file in self.sources.files.items()}
            directory = self._directory(texts | {"schemata.c": SCHEMATA_C})
            compiled = self._all(f"{build}: compiling {len(mutants)} mutants",
                                 lambda unit: self._compile(directory, unit, *flags), units)
            broken = set().union(*(numbers for _, numbers in compiled))
            for number in broken:
                self.verdicts[number] = "does not compile", ""
                del mutants[number]
        objects = [directory / f"{unit}.o" for unit in units]
        for path, (code, _) in zip(objects, compiled):
            path.write_bytes(code)
        cases = self._all(f"{build}: running the tests",
                          lambda program: self._measure(build, program, objects), list(programs_of(build)))
        return sorted(itertools.chain(*cases), key=lambda case: (case.seconds, case.name))

    def _measure(self, build, program, objects):
        """Links a program, runs it without mutation, and returns its cases."""
        binary = pathlib.Path(tempfile.mkdtemp(dir=self.scratch), program.name)
        subprocess.run([COMPILER, *objects, *program.words, "-o", binary], cwd=program.directory, check=True)

        def measured(name, *arguments):
            notes, begin = binary.with_suffix(".notes"), time.monotonic()
            notes.write_bytes(bytes(self.sources.statement_count))
            # Only the plain build is limited: sanitizers map terabytes, and judge only its survivors.
            limits = ["prlimit", "--data=4294967296"] if build == "plain" else []
            command = (*limits, *program.runner, binary, *arguments)
            code, text = run(command, 600, MUTATE_REACHED=str(notes))
            if code != 0:
                raise Refusal(f"{build}: {name} fails without mutation: exit code {code}\n{text[-2000:]}")
            return Case(f"{build}: {name}", command, time.monotonic() - begin, notes.read_bytes()), text

        whole, text = measured(program.name, *program.arguments)
        # Case by case in the plain build only: few mutants reach the others, which take longer to measure.
        cases = re.findall(r"^(.+) \.\.\. ok", text, re.MULTILINE) if build == "plain" else []
        return [measured(f"{program.name} {case}", case)[0] for case in cases] or [whole]

    def _is_killed(self, number, cases):
        """Runs cases until one fails for a mutant; first those that failed for others of its function."""
        function = self.mutants[number].function
        likely = [case for case in self.killers[function] if case in cases]
        for case in dict.fromkeys(likely + cases):
            if run(case.command, round(1 + 8 * case.seconds), MUTATE_CHOSEN=str(number))[0] != 0:
                self.verdicts[number] = "killed", case.name
                self.killers[function] = [case, *(other for other in self.killers[function] if other != case)]
                return True
        return False

    def _judge(self, number, cases):
        """Judges a mutant in the plain build: by a second of cases, by its code, and by the other cases."""
        quick = sum(seconds <= 1 for seconds in itertools.accumulate(case.seconds for case in cases))
        if not self._is_killed(number, cases[:quick]):
            codes = self._compare(number)
            self.classes[codes].append(number)
            # Another of the same code may be judged already.
            if codes[0] and self.classes[codes][0] == number:
                self._is_killed(number, cases[quick:])

    def _compare(self, number):
        """Returns, per build that a mutant is judged in, the units whose code differs from the library's."""
        mutant, codes = self.mutants[number], []
        text = self.sources.files[mutant.file].text
        directory = self._directory({mutant.file: text[: mutant.begin] + mutant.text + text[mutant.end :]})
        for build in BUILDS if mutant.is_told else ["plain"]:
            codes.append([])
            for unit in [mutant.file] if mutant.file.endswith(".c") else self.sources.units:
                if (build, unit) not in self.library:
                    self.library[build, unit], _ = self._compile(ROOT, unit, *BUILDS[build])
                code, _ = self._compile(directory, unit, *BUILDS[build])
                if code != self.library[build, unit]:
                    codes[-1].append((unit, hashlib.sha256(code).digest()))
        shutil.rmtree(directory)
        return tuple(map(tuple, codes))

    def work(self):
        """Finds the verdicts on all mutants."""
        numbers = list(self.verdicts)
        for place, build in enumerate(BUILDS):
            cases = self._build(build, numbers) if numbers else []
            judge = self._is_killed if place else self._judge
            reaching = lambda number: [c for c in cases if c.reached[self.mutants[number].statement]]
            self._all(f"{build}: judging", lambda number: judge(number, reaching(number)),
                      [number for number in numbers if self.verdicts[number] is None])
            numbers = [alike[0] for codes, alike in self.classes.items()
                       if any(codes[place + 1 : place + 2]) and self.verdicts[alike[0]] is None]
        for codes, alike in self.classes.items():
            verdict = self.verdicts[alike[0]] or ("survived" if any(codes) else "same code", "")
            self.verdicts.update(dict.fromkeys(alike, verdict))

    def report(self, floor):
        """Prints the survivors and the score; returns the exit code."""
        counts = collections.Counter(verdict for verdict, _ in self.verdicts.values())
        survivors = [number for number, verdict in self.verdicts.items() if verdict[0] == "survived"]
        print(*(describe(self.mutants[number]) for number in survivors), sep="\n")
        if counts["killed"] + counts["survived"] == 0:
            raise Refusal(f"nothing can be judged of {len(self.mutants)} mutants")
        score = 100 * counts["killed"] / (counts["killed"] + counts["survived"])
        seconds = sum(os.times()[2:4])
        print(f"{len(self.mutants)} mutants: {counts['killed']} killed, {counts['survived']} survive, "
              f"{counts['same code']} are the same code, {counts['does not compile']} do not compile; "
              f"score {score:.1f} %, floor {floor:g} %; {seconds:.0f} s of processor time")
        return 1 if score < floor else 0


def chosen(mutants, options):
    """Returns the mutants that the options ask for."""
    unknown = set(options.files) - {mutant.file for mutant in mutants}
    if unknown:
        raise Refusal(f"no mutants in {', '.join(sorted(unknown))}; files are named as src/slots.c")
    mutants = [mutant for mutant in mutants if mutant.file in options.files or not options.files]
    numbers, count = range(len(mutants)), min(options.sample or len(mutants), len(mutants))
    return [mutants[number] for number in sorted(random.Random(options.seed).sample(numbers, count))]


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="mutate", description=__doc__, allow_abbrev=False)
    option, jobs = parser.add_argument, len(os.sched_getaffinity(0))
    option("--files", metavar="FILE", nargs="+", default=[], help="only these, as src/slots.c")
    option("--sample", metavar="N", type=int, help="only so many, picked at random")
    option("--seed", metavar="S", type=int, default=1, help="picks the sample (1)")
    option("--jobs", metavar="N", type=int, default=jobs, help="at once (one a processor)")
    option("--list", action="store_true", help="print the mutants, and do nothing")
    option("--json", metavar="OUT", help="write every verdict there")
    option("--floor", metavar="PERCENT", type=float, default=0, help="fail where the score is under it")
    options = parser.parse_args(arguments)
    if options.jobs < 1 or options.sample is not None and options.sample < 1:
        parser.error("--jobs and --sample are 1 or more")
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    os.environ.pop("CORK_MEMPOOL_OPTIONS", None)
    try:
        open(options.json or os.devnull, "a").close()  # refuses a bad path before an hour of work
        sources = Sources(COMPILER, ROOT)
        mutants = chosen(sources.mutants, options)
        if not any(mutant.is_told for mutant in sources.mutants):
            raise Refusal("src/ tells tools nothing, or by other names than mutate_source.py knows")
        if options.list:
            print(*map(describe, mutants), sep="\n")
            return 0
        with tempfile.TemporaryDirectory(prefix="mutate-") as scratch:
            tool = Run(sources, mutants, options.jobs, scratch)
            tool.work()
        if options.json:
            results = [mutant._asdict() | dict(zip(("verdict", "case"), tool.verdicts[number]))
                       for number, mutant in enumerate(mutants)]
            pathlib.Path(options.json).write_text(json.dumps(results, indent=1) + "\n")
        return tool.report(options.floor)
    except (Refusal, OSError, subprocess.CalledProcessError) as error:
        print(f"mutate: {str(error)[:2000]}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("mutate: interrupted", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
