# SPDX-License-Identifier: BSD-3-Clause
"""Decides whether the tests notice a mutant: runs those that reach it until one fails."""

import collections
import dataclasses
import hashlib
import math
import os
import pathlib
import re
import shutil
import signal
import subprocess
import threading
import time

from mutate_source import Refusal

CASE = re.compile(r"^(.+) \.\.\. (ok|skipped)", re.MULTILINE)
MEMORY_KIB = 4 << 20
FILE_KIB = 64 << 10
BASELINE_SECONDS = 300

# What marked sources are compiled with, and what maps their notes to a file, past the tests' mmap.
MARK_H = "extern volatile unsigned char *mutate_reached;\n"
MARK_C = """\
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

static unsigned char nowhere[COUNT];
volatile unsigned char *mutate_reached = nowhere;

__attribute__((constructor(101))) static void begin(void)
{
    const char *path = getenv("MUTATE_REACHED_FILE");
    int file = path == NULL ? -1 : open(path, O_RDWR);
    if (file >= 0) {
        mutate_reached = (volatile unsigned char *)syscall(SYS_mmap, NULL, COUNT,
                                                           PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
        close(file);
    }
}
"""


class Stopped(Exception):
    """The user has had enough."""


class Processes:
    """Runs programs within limits, each with all its children in a group that ends with it."""

    def __init__(self):
        self.lock = threading.Lock()
        self.running = set()
        self.is_stopped = False

    def run(self, command, cpu_seconds, wall_seconds, environment=None, output=subprocess.DEVNULL):
        """Returns the exit code, or None where it took too long, and what was written."""
        limits = f"ulimit -c 0; ulimit -t {cpu_seconds}; ulimit -d {MEMORY_KIB}; ulimit -f {FILE_KIB * 2}"
        with self.lock:
            if self.is_stopped:
                raise Stopped
            process = subprocess.Popen(
                ["sh", "-c", limits + '; exec "$@"', "sh", *command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
                env=environment,
                errors="replace",
            )
            self.running.add(process)
        text, code = "", None
        try:
            text, _ = process.communicate(timeout=wall_seconds)
            code = process.returncode
        except subprocess.TimeoutExpired:
            pass
        with self.lock:
            self._end(process)
            self.running.remove(process)
        process.wait()
        if self.is_stopped:
            raise Stopped
        return code, text

    @staticmethod
    def _end(process):
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass

    def stop(self):
        with self.lock:
            self.is_stopped = True
            for process in self.running:
                self._end(process)


@dataclasses.dataclass(frozen=True)
class Case:
    """A case of a test program, or all of a program that does not name its cases."""

    program: int
    name: str
    seconds: float
    reached: bytes  # per statement: 1 where the case comes by

    def command(self, binary, program):
        return [binary, self.name] if self.name else [binary, *program.arguments]


class Judge:
    """The tests, and what is known of them."""

    def __init__(self, builder, sources, processes):
        self.builder, self.sources, self.processes = builder, sources, processes
        self.scratch = builder.scratch
        self.library = builder.library()
        self.users = {name: builder.users(name) for name in sources.files}
        self.digests = {unit: _digest(path) for unit, path in self.library.items()}
        self.programs = builder.programs()
        if not self.programs:
            raise Refusal(f"{builder.root} has no tests in C")
        self.cases = []
        # The cases that have failed for a function's mutants, the latest first.
        self.killers = collections.defaultdict(collections.deque)

    def leave_out(self, names, slowest):
        """Leaves test programs out, and the cases of others that take longer than so many seconds."""
        self.slowest = slowest
        unknown = set(names) - {program.name for program in self.programs}
        if unknown:
            raise Refusal(f"{', '.join(sorted(unknown))}: no such test program")
        self.programs = [program for program in self.programs if program.name not in names]

    def mark(self):
        """Builds the library so that it notes which of its statements are reached."""
        directory = self.scratch / "marked"
        self.builder.copy_of_sources(directory)
        for name in self.sources.files:
            (directory / name).write_bytes(self.sources.marked(name).encode("latin-1"))
        (directory / "mark.h").write_text(MARK_H)
        (directory / "mark.c").write_text(MARK_C)
        count = f"-DCOUNT={len(self.sources.statements)}"
        units = dict.fromkeys(self.library, ("-include", "mark.h")) | {"mark.c": (count,)}
        self.marked = []
        for number, (unit, options) in enumerate(units.items()):
            self.marked.append(str(directory / f"{number}.o"))
            if not self.builder.compile(unit, self.marked[-1], options, directory):
                raise Refusal(f"{unit} does not compile with its statements marked")

    def measure(self, number):
        """Runs a program without mutation and adds its cases."""
        program = self.programs[number]
        binary = str(self.scratch / f"baseline-{number}")
        marked = str(self.scratch / f"marked-{number}")
        program.link(self.builder.compiler, self.library.values(), binary)
        program.link(self.builder.compiler, self.marked, marked)
        limits = BASELINE_SECONDS, BASELINE_SECONDS
        code, text = self.processes.run([binary, *program.arguments], *limits, output=subprocess.PIPE)
        if code != 0:
            raise Refusal(f"{program.name} fails without mutation: exit code {code}")
        names = [name for name, verdict in CASE.findall(text) if verdict == "ok"]
        for name in names or [""]:
            case = self._measure_case(number, name, marked, limits)
            if case.seconds <= self.slowest:
                self.cases.append(case)
        os.unlink(binary)
        os.unlink(marked)

    def _measure_case(self, number, name, binary, limits):
        notes = self.scratch / f"notes-{number}"
        notes.write_bytes(bytes(len(self.sources.statements)))
        case = Case(number, name, 0, b"")
        environment = dict(os.environ, MUTATE_REACHED_FILE=str(notes))
        start = time.monotonic()
        command = case.command(binary, self.programs[number])
        code, _ = self.processes.run(command, *limits, environment)
        if code != 0:
            raise Refusal(f"{self.programs[number].name} {name} fails with its statements marked")
        return Case(number, name, time.monotonic() - start, notes.read_bytes())

    def compile(self, number, mutant, directory):
        """Compiles a mutant in a worker's own copy of the sources.

        Returns its objects by their units, or None where it does not compile, and a digest that
        tells whether they differ from the library's and from other mutants'; None: they do not.
        """
        source = self.sources.files[mutant.edit.file]
        path = pathlib.Path(directory, mutant.edit.file)
        edit = mutant.edit
        text = source.text[: edit.begin] + edit.text + source.text[edit.end :]
        path.write_bytes(text.encode("latin-1"))
        objects, digests = {}, []
        try:
            for unit in self.users[edit.file]:
                output = str(self.scratch / f"{number}-{pathlib.Path(unit).name}.o")
                if not self.builder.compile(unit, output, directory=directory):
                    return None, None
                digest = _digest(output)
                if digest != self.digests[unit]:
                    objects[unit] = output
                    digests.append((unit, digest))
        finally:
            path.write_bytes(source.text.encode("latin-1"))
        return objects, tuple(digests) or None

    def reaching(self, mutant):
        """Returns the cases that reach a mutant, those first that are likely to notice it soon."""
        cases = [case for case in self.cases if case.reached[mutant.statement]]
        costs = collections.Counter()
        for case in cases:
            costs[case.program] += case.seconds
        cases.sort(key=lambda case: (costs[case.program], case.program, case.seconds))
        likely = [case for case in list(self.killers[mutant.function]) if case in cases]
        return likely + [case for case in cases if case not in likely]

    def judge(self, number, mutant, objects):
        """Returns the case that fails for a mutant, and how; or None and how many were run."""
        linked = {unit: objects.get(unit, path) for unit, path in self.library.items()}
        directory = self.scratch / f"mutant-{number}"
        directory.mkdir()
        try:
            cases = self.reaching(mutant)
            for case in cases:
                program = self.programs[case.program]
                binary = str(directory / program.name)
                if not os.path.exists(binary):
                    program.link(self.builder.compiler, linked.values(), binary)
                cpu_seconds = 2 + math.ceil(8 * case.seconds)
                # Far more, so that a busy machine kills nothing that works.
                code, _ = self.processes.run(case.command(binary, program), cpu_seconds, 15 * cpu_seconds)
                if code != 0:
                    self._remember(mutant, case)
                    return case, "timeout" if code is None else "failed"
            return None, len(cases)
        finally:
            shutil.rmtree(directory)

    def _remember(self, mutant, case):
        killers = self.killers[mutant.function]
        if case in killers:
            killers.remove(case)
        killers.appendleft(case)

    def name(self, case):
        return f"{self.programs[case.program].name} {case.name}".rstrip()


def _digest(path):
    return hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest()
