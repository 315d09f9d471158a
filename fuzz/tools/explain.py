# SPDX-License-Identifier: BSD-3-Clause
"""Shows what inputs of the fuzz tests say and do, or makes bytes of text.

A FILE is bytes, or text as explain writes it. Of an input that stands for several runs, it shows the first that
fails, or the first if none does. An object is called by its pool and by how many the pool issued before: p0.a17.
Exit code: 0; 1 where an input fails; 2 where something cannot be read or makes no sense.
"""

import argparse
import dataclasses
import itertools
import math
import os
import pathlib
import re
import resource
import signal
import subprocess
import sys

TRACER = pathlib.Path(__file__).absolute().parents[1] / "tracer"
SECONDS = 2  # of the processor, which pass no faster on a machine that is busy; what takes more hangs
FAR = 1 << 16  # so many bytes from its objects, an address has nothing to do with a pool
EFFECTS_MAX = 6  # of an operation that are shown; the others are counted

NAMED = re.compile(rb"(?:\s|#.*\n)*driver (\S+)")  # how text begins
DRIVER = re.compile(r"mempool_\w+_fuzzer")
ZERO = re.compile(r", \.\w+ = (?:0|0x0|\(nil\))(?=[,}])")  # of options, which are the default


@dataclasses.dataclass
class Effect:
    """Something that an operation did, mostly to something with a name."""
    what: str
    name: str = ""
    result: str = ""


def tell(effects):
    """Returns effects as text: as one where the same happens to objects born one after the other, and no more than
    EFFECTS_MAX."""
    groups = []
    for effect in effects:
        pool, _, birth = effect.name.partition(".a")
        kind = (effect.what, pool, effect.result)
        birth = int(birth) if birth.isdecimal() else math.inf
        if groups and groups[-1][0] == kind and abs(groups[-1][2] - birth) == 1:
            groups[-1][2:] = birth, f"..{effect.name}"
        else:
            groups.append([kind, f"{effect.what} {effect.name}".rstrip(), birth, ""])
    texts = [start + end + f": {kind[2]}" * bool(kind[2]) for kind, start, _, end in groups]
    return "; ".join(texts[:EFFECTS_MAX] + [f"and {len(texts) - EFFECTS_MAX} more"] * (len(texts) > EFFECTS_MAX))


class Run:
    """What the last run did of those that tracer.c tells of."""

    def __init__(self, output):
        protections, *events = re.split("^run ", ZERO.sub("", output), flags=re.MULTILINE)[-1].splitlines()
        self.head = [f", protections {protections}" if int(protections, 16) else ""]
        self.operations, self.steps, self.end = [], [], None  # a step is the effects of an operation
        self.on_head, self.on_operation = self.head.append, self.operations.append
        self.objects = {}  # by addresses: names
        self.pools, self.births = {}, {}  # lines that tell of each; how many objects it has issued
        self.calls, self.pool = {}, "0"
        for event in events:
            word, _, rest = event.partition(" ")
            getattr(self, f"on_{word}")(rest)

    def on_step(self, _):
        self.steps.append([])

    def on_end(self, _):
        self.end = self.state()
        self.operations.insert(len(self.steps), "# the end")
        self.steps.append([])

    def on_touch(self, text):
        pool, address, what = text.split(" ", 2)
        self.steps[-1].append(Effect(what, self.locate(pool, int(address, 16))))

    def on_call(self, text):
        number, self.pool, address, what = text.split(" ", 3)
        name = self.locate(self.pool, int(address, 16)) if what in ("free", "owns") else ""
        self.calls[number] = Effect(what, name, "does not return")
        self.steps[-1].append(self.calls[number])

    def on_return(self, text):
        number, pool, address, result = text.split(" ", 3)
        effect = self.calls[number]
        effect.result = result
        is_quiet = (effect.what, result) in (("stats", ""), ("check", "true"))
        if effect.what.startswith("init"):
            self.objects = {place: name for place, name in self.objects.items() if name[1] != pool}
            self.pools[pool] = [f"# pool {pool}: {effect.what.removeprefix('init, ')}"]
            # An operation that is about init has said so.
            is_quiet = not result and "init" in self.operation()
        elif effect.what == "new" and not result:
            birth = self.births[pool] = self.births.get(pool, -1) + 1
            effect.name = self.objects[int(address, 16)] = f"p{pool}.a{birth}"
        elif effect.what == "done" and not result:
            self.pools.pop(pool, None)
        if is_quiet:
            self.steps[-1].remove(effect)

    def on_stats(self, text):
        pool, stats = text.split(" ", 1)
        self.pools.get(pool, [])[1:] = [f"#   {line}" for line in stats.split("\t")]

    def operation(self):
        """Returns the last that began."""
        return self.operations[len(self.steps) - 1].removeprefix("# ") if self.steps else "the start"

    def locate(self, pool, address):
        """Returns an object's name; or by which of the pool's objects an address is: the last before it, or the first
        behind."""
        if address in self.objects:
            return self.objects[address]
        near = min((place for place, name in self.objects.items() if name[1] == pool), default=-FAR,
                   key=lambda place: (not 0 <= address - place < FAR, abs(address - place)))
        if abs(address - near) >= FAR:
            return f"{address:#x}" if address else "NULL"
        return f"{self.objects[near]}{address - near:+d}"

    def state(self):
        """Returns the lines that tell of the pools."""
        return [line for _, lines in sorted(self.pools.items()) for line in lines]

    def lines(self, is_failing):
        for text, effects in itertools.zip_longest(self.operations, self.steps):
            told = "not reached" if effects is None else tell(effects)
            yield f"{text:<32}  # {told}" if told else text
        yield from self.state() if is_failing or self.end is None else self.end


def limit():
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS + 1))


def trace(path, command, driver, data):
    """Returns how tracer.c ends, and what it writes."""
    process = subprocess.run([TRACER, command, driver], preexec_fn=limit, input=data, check=False,
                             capture_output=True)
    report = process.stderr.decode(errors="backslashreplace")
    if process.returncode == 2:
        raise OSError(0, report.strip(), path)
    return process.returncode, process.stdout, report


def failure(status, report, run):
    """Returns the lines that tell how a run failed: at last the model's difference, or what else was reported."""
    if told := re.search(r", pool (\d), .*\n  expected: (.*)\n  seen: (.*)", report):
        lines, (pool, expected, seen) = [], told.groups()
    else:
        # Of AddressSanitizer's report, few can read what follows.
        lines, pool = report.partition("Shadow bytes")[0].splitlines(), run.pool
        expected = "every call returns, and nothing is reported"
        # What a sanitizer or the pool found; the first tells most.
        found = re.search("runtime error: .*", report) or re.search("(SUMMARY|cork_mempool): .*", report)
        seen = "timeout" if -status in (signal.SIGXCPU, signal.SIGKILL) else found[0] if found else \
            f"signal: {signal.strsignal(-status)}" if status < 0 else f"exit code {status}"
    return [*lines, f"fails at: {run.operation()}", f"pool:     {pool}", f"expected: {expected}", f"seen:     {seen}"]


def explain(path, data, driver):
    """Prints a program, and what came of it. Returns: whether it fails."""
    status, output, report = trace(path, "trace", driver, data)
    run = Run(output.decode())
    end = failure(status, report, run) if status != 0 else [
        "passes here: what fails may need the --config of another sanitizer, or what ran before it"]
    print(f"# {path}: {len(data)} bytes{run.head[0]}", *run.head[1:], *run.lines(status != 0),
          *(f"# {line}" for line in end), sep="\n")
    return status != 0


def use(options, path):
    """Explains a file, or encodes it. Returns: whether it fails."""
    data = path.read_bytes()
    named = NAMED.match(data)
    folders = filter(DRIVER.fullmatch, (folder.name for folder in path.resolve().parents))
    driver = options.driver or (named[1].decode() if named else next(folders, None))
    if driver is None:
        raise OSError(0, "no folder of it has a driver's name; give --driver", path)
    if named or options.encode:
        if b"\0" in data:
            raise OSError(0, "is no text", path)
        data = trace(path, "encode", driver, data)[1]
    if options.encode:
        sys.stdout.buffer.write(data)
    return not options.encode and explain(path, data, driver)


def main(*arguments):
    parser = argparse.ArgumentParser(prog="explain", allow_abbrev=False, description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--driver", metavar="NAME", help="the fuzz test; by default, text or a folder has its name")
    parser.add_argument("--encode", action="store_true", help="write the bytes that each FILE, a text, says")
    parser.add_argument("files", metavar="FILE", nargs="+", type=pathlib.Path)
    options = parser.parse_args(arguments)
    try:
        # bazel run starts programs elsewhere, and says where it was called.
        os.chdir(os.environ.get("BUILD_WORKING_DIRECTORY", "."))
        are_failing = [use(options, file) for file in options.files]
        return 1 if any(are_failing) else 0
    except OSError as error:
        print(f"explain: {error.filename}: {error.strerror}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
