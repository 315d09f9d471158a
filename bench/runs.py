# SPDX-License-Identifier: BSD-3-Clause
"""Runs the subjects' programs, alternately, and collects what they print."""

import os
import pathlib
import platform
import re
import shutil
import signal
import subprocess
import sys
import time
from datetime import timedelta

import figures
from fuzz_run import Display, bar

HERE = pathlib.Path(__file__).absolute().parent
IS_MISSING = 77
HAS_NO_MEMORY = 3
# Far more than any process takes.
TIMEOUT_SECONDS = 600


class Refusal(Exception):
    """Something was asked for that cannot be done."""


def parse(name, text):
    """Returns the figures that a program has printed."""
    found = {}
    for line in text.splitlines():
        words = line.split()
        try:
            figure, value = words[0], float(words[1])
        except (IndexError, ValueError):
            raise Refusal(f"{name} printed no figure: {line!r}") from None
        if len(words) != 2 or figure in found or not 0 <= value < float("inf"):
            raise Refusal(f"{name} printed no figure: {line!r}")
        found[figure] = value
    if not found:
        raise Refusal(f"{name} printed nothing")
    return found


def _executed(function, path, count):
    """Returns how many instructions were executed in a function, by all of its calls."""
    command = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null"]
    command += ["--collect-atstart=no", f"--toggle-collect=cork_mempool_{function}"]
    command += [HERE / "instructions", function, path, str(count)]
    process = subprocess.run(command, capture_output=True, text=True, check=False)
    collected = re.search(r"^==\d+== Collected : (\d+)$", process.stderr, re.MULTILINE)
    if process.returncode != 0 or collected is None:
        raise Refusal(f"instructions: status {process.returncode}:\n{process.stderr}")
    return int(collected[1])


def instructions(function, path):
    """Returns how many instructions a call executes, itself and its return included. What comes
    before and after is the same in two runs that differ in the number of calls alone; of these no
    two are alike with PARANOID, and all on any other path."""
    few, many = (1000, 2000) if path == "paranoid" else (10, 40)
    extra = _executed(function, path, many) - _executed(function, path, few)
    # The call itself is its caller's.
    return 1 + extra / (many - few)


def run(name, group, size, count, *arguments):
    """Returns the figures of one process; or None, and the reason, where its subject is missing or
    cannot have so many objects."""
    subject = figures.SUBJECTS[name]
    if group == "instructions":
        if not shutil.which("valgrind"):
            return None, "not installed (on Debian: valgrind)"
        functions = ("new", "free")
        return {f"instructions_{each}": instructions(each, subject.variant) for each in functions}, None
    environment = {key: os.environ[key] for key in os.environ if key != "CORK_MEMPOOL_OPTIONS"}
    # Drop settings of the user's that tune an allocator, because defaults are measured.
    for key in ("LD_PRELOAD", "MALLOC_CONF", "SCUDO_OPTIONS", "GLIBC_TUNABLES"):
        environment.pop(key, None)
    if subject.preload:
        library = figures.library(subject)
        if library is None:
            return None, f"not installed (on Debian: {subject.package})"
        environment["LD_PRELOAD"] = library
    command = [HERE / subject.program, group, str(size), str(count), subject.variant, *arguments]
    process = subprocess.run(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_SECONDS,
        check=False,
    )
    if process.returncode in (IS_MISSING, HAS_NO_MEMORY):
        return None, process.stderr.strip()
    if process.returncode != 0:
        raise Refusal(
            f"{name}, {group}, {size} bytes: status {process.returncode}: {process.stderr.strip()}"
        )
    return parse(name, process.stdout), None


def probe(names):
    """Returns those of the subjects that are here, why others are not, and whether all of it was
    optimized when it was built."""
    present, missing, is_optimized = [], {}, True
    for name in names:
        found, reason = run(name, "base", 16, 1000)
        if found is None:
            missing[name] = reason
        else:
            present.append(name)
            is_optimized = is_optimized and found["optimized"] == 1
    return present, missing, is_optimized


def plan(names, groups, sizes, repeats):
    """Returns what is to be run, in this order: all subjects of a group one after the other, from
    another one on in each repeat, so that whatever the machine does meanwhile hits all alike."""
    tasks = []
    for repeat in range(repeats):
        for size in sizes:
            for group in groups:
                if group in figures.ONCE and repeat > 0 or group == "instructions" and size != 64:
                    continue
                turns = [name for name in names if name in figures.GROUPS[group].subjects]
                first = repeat % max(len(turns), 1)
                tasks += [(name, group, size) for name in turns[first:] + turns[:first]]
    return tasks


def weight(task, is_quick):
    """Returns about how long a task takes, compared with others: something for each object, and for
    each of its bytes."""
    name, group, size = task
    return figures.count_of(name, group, size, is_quick) * (size + 300)


def progress(weights, done, elapsed, what, width):
    """Returns a line about the task that begins; see fuzz_run.Display."""
    share = sum(weights[:done]) / sum(weights)
    left = f", about {timedelta(0, elapsed * (1 - share) / share // 1)} left" if done else ""
    line = f"{done}/{len(weights)} in {timedelta(0, elapsed // 1)}{left}: {what}"
    return bar(share, (width or 0) - len(line)) + line


def measure(tasks, is_quick, wanted, samples, missing):
    """Adds to samples, by subject, size and figure, what the tasks give of the wanted workloads;
    and to missing what they do not give, with the reason."""
    display, start = Display(sys.stderr, 20), time.monotonic()
    weights = [weight(task, is_quick) for task in tasks]
    try:
        for done, (name, group, size) in enumerate(tasks):
            what = f"{name}, {group}, {size} bytes"
            elapsed = time.monotonic() - start
            display.tick(lambda width: progress(weights, done, elapsed, what, width))
            if what in missing:
                continue
            count = figures.count_of(name, group, size, is_quick)
            found, reason = run(name, group, size, count)
            if found is None:
                missing[what] = reason
                continue
            of_size = samples.setdefault(name, {}).setdefault(str(size), {})
            for key, value in found.items():
                if figures.FIGURES.get(key.removesuffix("_wall")) in wanted:
                    of_size.setdefault(key, []).append(value)
    except subprocess.TimeoutExpired as error:
        raise Refusal(f"{name}, {group}, {size} bytes: no end after {error.timeout} s") from error
    finally:
        display.write("")


def _first_line(path, prefix=""):
    try:
        for line in pathlib.Path(path).read_text().splitlines():
            if line.startswith(prefix):
                return line.removeprefix(prefix).strip(" \t:")
    except OSError:
        pass
    return "unknown"


def _output(*command):
    try:
        process = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return process.stdout.strip() if process.returncode == 0 else ""


def machine(names):
    """Returns what the figures depend on besides the subjects."""
    described = {
        "processor": _first_line("/proc/cpuinfo", "model name"),
        "processors": str(os.cpu_count()),
        "memory": _first_line("/proc/meminfo", "MemTotal"),
        "kernel": platform.release(),
        "load": _first_line("/proc/loadavg"),
        "huge pages": _first_line("/sys/kernel/mm/transparent_hugepage/enabled"),
        "compiler": next(iter(_output(os.environ.get("CC", "cc"), "--version").splitlines()), ""),
    }
    packages = [figures.SUBJECTS[name].package for name in names]
    for package in filter(None, packages):
        version = _output("dpkg-query", "-W", "-f=${Version}", package)
        if version:
            described[package] = version
    return described


def stop_on_signals():
    def interrupt(*_):
        raise KeyboardInterrupt

    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupt)
