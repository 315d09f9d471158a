# SPDX-License-Identifier: BSD-3-Clause
"""Decides whether the tests notice a mutant: runs those that reach it until one fails."""

import collections
import dataclasses
import hashlib
import math
import os
import pathlib
import re
import signal
import subprocess
import threading
import time

from mutate_source import Refusal

CASE = re.compile(r"^(.+) \.\.\. (ok|skipped)", re.MULTILINE)
MEMORY_KIB = 4 << 20
FILE_BLOCKS = 1 << 17  # of 512 bytes
BASELINE_SECONDS = 300

# The mutants of a function that is expanded wherever it is called would be expanded too. And a loop
# that never ends must not be taken for one that does nothing.
SCHEMATA_OPTIONS = (
    "-O1",
    "-fno-inline",
    "-fno-finite-loops",
    "-Dalways_inline=noinline",
    "-ferror-limit=0",
)
BROKEN_MUTANT = re.compile(r"^mutant-(\d+):\d+:\d+: error", re.MULTILINE)

# Included before everything else; and what chooses the mutant, and maps the notes of what is
# reached to a file, past the mmap that tests replace.
SCHEMATA_H = """\
extern int mutate_chosen;
extern volatile unsigned char *mutate_reached;
"""
SCHEMATA_C = """\
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

static unsigned char nowhere[COUNT];
volatile unsigned char *mutate_reached = nowhere;
int mutate_chosen = -1;

__attribute__((constructor(101))) static void begin(void)
{
    const char *chosen = getenv("MUTATE_CHOSEN");
    const char *path = getenv("MUTATE_REACHED");
    int file = path == NULL ? -1 : open(path, O_RDWR);

    mutate_chosen = chosen == NULL ? -1 : atoi(chosen);
    if (file >= 0) {
        long map = syscall(SYS_mmap, NULL, COUNT, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
        mutate_reached = (volatile unsigned char *)map;
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
        limits = {"c": 0, "t": cpu_seconds, "d": MEMORY_KIB, "f": FILE_BLOCKS}
        script = "".join(f"ulimit -{name} {value}; " for name, value in limits.items())
        with self.lock:
            if self.is_stopped:
                raise Stopped
            process = subprocess.Popen(
                ["sh", "-c", script + 'exec "$@"', "sh", *command],
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
        self.programs = list(builder.programs())
        if not self.programs:
            raise Refusal(f"{builder.root} has no tests in C")
        self.cases = []
        # The cases that have failed for a function's mutants, the latest first.
        self.killers = collections.defaultdict(collections.deque)

    def leave_out(self, names, slowest):
        """Leaves out test programs, and the cases of others that take more than some seconds."""
        self.slowest = slowest
        unknown = set(names) - {program.name for program in self.programs}
        if unknown:
            raise Refusal(f"{', '.join(sorted(unknown))}: no such test program")
        self.programs = [program for program in self.programs if program.name not in names]

    def build(self, mutants, broken):
        """Builds the library with some numbered mutants in it, to choose from when it is run.

        Adds the numbers of those that do not compile to broken.
        """
        directory = self.scratch / "schemata"
        self.builder.copy_of_sources(directory)
        (directory / "schemata.h").write_text(SCHEMATA_H)
        (directory / "schemata.c").write_text(SCHEMATA_C)
        count = f"-DCOUNT={len(self.sources.statements)}"
        units = dict.fromkeys(self.library, ("-include", "schemata.h", *SCHEMATA_OPTIONS))
        for name in self.sources.files:
            self._write_schemata(directory, name, mutants, broken)
        self.schemata = []
        for number, (unit, options) in enumerate((units | {"schemata.c": (count,)}).items()):
            self.schemata.append(str(directory / f"{number}.o"))
            while errors := self.builder.compile(unit, self.schemata[-1], options, directory):
                found = {int(mutant) for mutant in BROKEN_MUTANT.findall(errors)} - broken
                if not found:
                    raise Refusal(f"{unit} does not compile with its mutants: {errors[:2000]}")
                broken |= found
                for name in {mutants[mutant].edit.file for mutant in found}:
                    self._write_schemata(directory, name, mutants, broken)

    def _write_schemata(self, directory, name, mutants, broken):
        sound = {number: mutant for number, mutant in mutants.items() if number not in broken}
        text = self.sources.schemata(name, sound)
        (directory / name).write_bytes(text.encode("latin-1"))

    def _binary(self, program):
        return str(self.scratch / f"schemata-{program}")

    def measure(self, number):
        """Runs a program without mutation and adds its cases."""
        program = self.programs[number]
        binary = self._binary(number)
        program.link(self.builder.compiler, self.schemata, binary)
        limits = BASELINE_SECONDS, BASELINE_SECONDS
        command = [binary, *program.arguments]
        code, text = self.processes.run(command, *limits, output=subprocess.PIPE)
        if code != 0:
            raise Refusal(f"{program.name} fails without mutation: exit code {code}\n{text[-2000:]}")
        names = [name for name, verdict in CASE.findall(text) if verdict == "ok"]
        for name in names or [""]:
            case = self._measure_case(number, name, limits)
            if case.seconds <= self.slowest:
                self.cases.append(case)

    def _measure_case(self, number, name, limits):
        notes = self.scratch / f"notes-{number}"
        notes.write_bytes(bytes(len(self.sources.statements)))
        case = Case(number, name, 0, b"")
        environment = dict(os.environ, MUTATE_REACHED=str(notes))
        start = time.monotonic()
        code, _ = self.processes.run(self._command(case), *limits, environment)
        if code != 0:
            raise Refusal(f"{self.programs[number].name} {name} fails without mutation, alone")
        return Case(number, name, time.monotonic() - start, notes.read_bytes())

    def _command(self, case):
        return case.command(self._binary(case.program), self.programs[case.program])

    def reaching(self, mutant):
        """Returns the cases that reach a mutant, the quickest first."""
        cases = [case for case in self.cases if case.reached[mutant.statement]]
        return sorted(cases, key=lambda case: (case.seconds, case.program, case.name))

    def judge(self, number, mutant, cases):
        """Returns the first of some cases that fails for a mutant, and how; or None and None."""
        killers = self.killers[mutant.function]
        likely = [case for case in list(killers) if case in cases]
        environment = dict(os.environ, MUTATE_CHOSEN=str(number))
        for case in dict.fromkeys(likely + cases):
            cpu_seconds = math.ceil(0.5 + 8 * case.seconds)
            # Far more, so that a busy machine kills nothing that works.
            limits = cpu_seconds, 15 * cpu_seconds
            code, _ = self.processes.run(self._command(case), *limits, environment)
            if code != 0:
                self._remember(mutant, case)
                return case, "timeout" if code is None else "failed"
        return None, None

    def digest(self, number, mutant, directory):
        """Compiles a mutant in a worker's own copy of the sources.

        Returns what tells whether its code differs from other mutants'; None: not from the library.
        """
        path = pathlib.Path(directory, mutant.edit.file)
        output = str(self.scratch / f"{number}.o")
        digests = []
        path.write_bytes(self.sources.mutated(mutant).encode("latin-1"))
        for unit in self.users[mutant.edit.file]:
            errors = self.builder.compile(unit, output, directory=directory)
            if errors:
                raise Refusal(f"mutant {number} compiles only beside others: {errors}")
            digest = _digest(output)
            if digest != self.digests[unit]:
                digests.append((unit, digest))
        path.write_bytes(self.sources.files[mutant.edit.file].text.encode("latin-1"))
        return tuple(digests) or None

    def _remember(self, mutant, case):
        killers = self.killers[mutant.function]
        if case in killers:
            killers.remove(case)
        killers.appendleft(case)

    def name(self, case):
        return f"{self.programs[case.program].name} {case.name}".rstrip()


def _digest(path):
    return hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest()
