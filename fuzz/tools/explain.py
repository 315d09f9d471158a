# SPDX-License-Identifier: BSD-3-Clause
"""Shows what inputs of the fuzz tests say and do, or makes bytes of text.

A FILE is bytes, or text as explain writes it. Of an input that stands for several runs, it shows the first that
fails, or the first if none does. An object is called by its pool and by how many the pool issued before: p0.a17.
Exit code: 0; 1 where an input fails; 2 where something cannot be read or makes no sense.
"""

import argparse
import contextlib
import os
import pathlib
import re
import resource
import signal
import subprocess
import sys

TRACER = pathlib.Path(__file__).absolute().parents[1] / "tracer"
SECONDS = 2  # of the processor, which pass no faster on a machine that is busy; what takes more hangs
SLEEP_FACTOR = 10  # so many times more by the clock, for what sleeps
EFFECTS_MAX = 6  # of an operation that are shown; the others are counted

NAMED = re.compile(rb"(?:\s|#.*\n)*driver (\S+)")  # how text begins
DRIVER = re.compile(r"mempool_\w+_fuzzer")
# What a sanitizer or the pool found, in the order of how much it tells.
FINDINGS = [re.compile(before + ".*") for before in ("runtime error: ", "SUMMARY: ", "cork_mempool: ")]


class Unusable(Exception):
    """What is wrong with a file."""


class Effect:
    """Something that an operation did: to something with a name, which is an object if it was born, or to neighbours
    by birth."""

    def __init__(self, what, name="", born=None):
        self.what, self.result = what, ""
        self.is_of(name, born)

    def is_of(self, name, born):
        self.names, self.born = [name, name], [born, born]

    def takes(self, other):
        """Says whether the other is the same of the next neighbour; it is then a part of this one."""
        last, born = self.born[1], other.born[0]
        if not last or not born or (self.what, self.result, last[0]) != (other.what, other.result, born[0]) or \
                abs(born[1] - last[1]) != 1:
            return False
        self.names[1], self.born[1] = other.names[0], born
        return True

    def __str__(self):
        names = "..".join(dict.fromkeys(self.names))
        return f"{self.what} {names}".rstrip() + (f": {self.result}" if self.result else "")


class Run:
    """What the last run did of those that tracer.c tells of."""

    def __init__(self, events):
        self.on_run("0x00")
        for event in events:
            word, _, rest = event.partition(" ")
            handler = getattr(self, f"on_{word}", None)
            if handler:
                handler(rest)
            else:
                self.head.append(event)  # options, not an event

    def on_run(self, protections):
        self.head = [f", protections {protections}" if int(protections, 16) else ""]
        self.operations, self.steps, self.end = [], [], None
        self.places, self.objects = [], {}  # ranges with names; by addresses, pools and births
        self.options, self.stats, self.slot_sizes, self.births = {}, {}, {}, {}  # by pools
        self.calls, self.pool = {}, "0"

    def on_head(self, text):
        self.head.append(text)

    def on_operation(self, text):
        self.operations.append(text)

    def on_place(self, text):
        start, end, name = text.split(" ", 2)
        self.places.append((int(start, 16), int(end, 16), name))

    def on_step(self, _):
        self.steps.append([])

    def on_end(self, _):
        self.end = self.state()
        self.steps.append([])

    def on_touch(self, text):
        pool, address, what = text.split(" ", 2)
        self.steps[-1].append(Effect(what, *self.locate(pool, int(address, 16))))

    def on_call(self, text):
        number, self.pool, address, what = text.split(" ", 3)
        is_pointed = what in ("free", "owns")
        effect = Effect(what, *(self.locate(self.pool, int(address, 16)) if is_pointed else ()))
        effect.result = "does not return"
        self.calls[number] = effect
        self.steps[-1].append(effect)

    def on_return(self, text):
        number, pool, address, result = text.split(" ", 3)
        effect = self.calls[number]
        effect.result = result
        is_quiet = (effect.what, result) in (("stats", ""), ("check", "true"))
        if effect.what.startswith("init"):
            self.objects = {place: born for place, born in self.objects.items() if born[0] != pool}
            # An operation that is about init has said so.
            is_quiet = not result and "init" in self.operation()
        elif effect.what == "new" and not result:
            self.births[pool] = self.births.get(pool, -1) + 1
            self.objects[int(address, 16)] = pool, self.births[pool]
            effect.is_of(*self.locate(pool, int(address, 16)))
        elif effect.what == "done" and not result:
            self.options.pop(pool, None)
        if is_quiet:
            self.steps[-1].remove(effect)

    def on_options(self, text):
        pool, self.options[pool] = text.split(" ", 1)
        self.stats.pop(pool, None)

    def on_stats(self, text):
        pool, slot_size, self.stats[pool] = text.split(" ", 2)
        self.slot_sizes[pool] = int(slot_size)

    def operation(self):
        """Returns the last that began."""
        if self.end is not None:
            return "the end"
        return self.operations[len(self.steps) - 1] if self.steps else "the start"

    def locate(self, pool, address):
        """Returns an address's name, and of what was born if it is an object."""
        word, *operands = self.operation().split()
        choice = int(operands[1]) % 8 if word == "free_foreign" else None
        if address < 4096:
            return f"address {address}" if address else "NULL", None
        if choice in (0, 1):
            return ("the heap", "the stack")[choice], None
        if address in self.objects:
            return "p{}.a{}".format(*self.objects[address]), self.objects[address]
        places = [place for place, born in self.objects.items() if born[0] == pool]
        below = max((place for place in places if place < address), default=None)
        above = min((place for place in places if place > address), default=None)
        size = self.slot_sizes.get(pool, 0)
        near = below if below and (not above or address - below <= size) else above
        for start, end, name in self.places if not near or abs(address - near) > size else []:
            if start <= address < end:
                return name + (f" + {address - start}" if "pool" in name else ""), None
        return "p{}.a{}{:+d}".format(*self.objects[near], address - near) if near else "elsewhere", None

    def state(self):
        """Returns the lines that tell of the pools."""
        lines = []
        for pool in sorted(self.options):
            lines.append(f"# pool {pool}: {self.options[pool]}")
            lines += [f"#   {line}" for line in self.stats.get(pool, "").split("\t") if line]
        return lines

    def lines(self, is_failing):
        reached = len(self.steps) - (self.end is not None)
        for text, effects in zip([*self.operations[:reached], "# the end"], self.steps):
            told = []
            for effect in effects:
                if not told or not told[-1].takes(effect):
                    told.append(effect)
            more = [f"and {len(told) - EFFECTS_MAX} more"] if len(told) > EFFECTS_MAX else []
            yield f"{text:<32}  # {'; '.join([*map(str, told[:EFFECTS_MAX]), *more])}" if told else text
        for text in self.operations[reached:]:
            yield f"{text:<32}  # not reached"
        yield from self.state() if is_failing or self.end is None else self.end


def limit():
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS + 1))


def trace(path, command, driver, data):
    """Returns how tracer.c ends, and what it writes."""
    process = subprocess.Popen([TRACER, command, driver], preexec_fn=limit, stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        output, report = process.communicate(data, timeout=SECONDS * SLEEP_FACTOR)
    except subprocess.TimeoutExpired:
        process.kill()
        output, report = process.communicate()
    report = report.decode(errors="backslashreplace")
    if process.returncode == 2:
        raise Unusable(f"{path}: {report.strip()}")
    return process.returncode, output, report


def failure(status, report, run):
    """Returns the lines that tell how a run failed: at last the model's difference, or what else was reported."""
    pool, expected, seen = (re.search(line, report) for line in (r", pool (\d), ", "expected: (.*)", "seen: (.*)"))
    lines = []
    pool = pool[1] if pool else run.pool
    if expected:
        expected, seen = expected[1], seen[1] if seen else "something else"
    else:
        # Of AddressSanitizer's report, few can read what follows.
        lines = report.partition("Shadow bytes")[0].splitlines()
        expected = "every call returns, and nothing is reported"
        found = next(filter(None, (finding.search(report) for finding in FINDINGS)), None)
        seen = "timeout" if status in (-signal.SIGXCPU, -signal.SIGKILL) else found[0] if found else \
            f"signal: {signal.strsignal(-status)}" if status < 0 else f"exit code {status}"
    return [*lines, f"fails at: {run.operation()}", f"pool:     {pool}", f"expected: {expected}", f"seen:     {seen}"]


def explain(path, data, driver):
    """Prints a program, and what came of it. Returns: whether it fails."""
    status, output, report = trace(path, "trace", driver, data)
    run = Run(output.decode().splitlines())
    end = failure(status, report, run) if status != 0 else [
        "passes here: what fails may need the --config of another sanitizer, or what ran before it"]
    print(f"# {path}: {len(data)} bytes{run.head[0]}", *run.head[1:], *run.lines(status != 0),
          *(f"# {line}" for line in end), sep="\n")
    return status != 0


def use(options, path):
    """Explains a file, or encodes it. Returns: whether it fails."""
    data = path.read_bytes()
    named = NAMED.match(data)
    folders = [folder.name for folder in path.resolve().parents if DRIVER.fullmatch(folder.name)]
    driver = options.driver or (named[1].decode() if named else folders[0] if folders else None)
    if driver is None:
        raise Unusable(f"{path}: no folder of it has a driver's name; give --driver")
    if named or options.encode:
        if b"\0" in data:
            raise Unusable(f"{path}: is no text")
        data = trace(path, "encode", driver, data)[1]
    if options.encode:
        sys.stdout.flush()
        sys.stdout.buffer.write(data)
    return not options.encode and explain(path, data, driver)


def main(*arguments):
    parser = argparse.ArgumentParser(prog="explain", allow_abbrev=False, description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--driver", metavar="NAME", help="the fuzz test; by default, text or a folder has its name")
    parser.add_argument("--encode", action="store_true", help="write the bytes that each FILE, a text, says")
    parser.add_argument("-o", metavar="OUT", help="write to a file")
    parser.add_argument("files", metavar="FILE", nargs="+")
    options = parser.parse_args(arguments)
    try:
        # bazel run starts programs elsewhere, and says where it was called.
        os.chdir(os.environ.get("BUILD_WORKING_DIRECTORY", "."))
        with contextlib.ExitStack() as stack:
            if options.o:
                stack.enter_context(contextlib.redirect_stdout(stack.enter_context(open(options.o, "w"))))
            return 1 if any([use(options, pathlib.Path(file)) for file in options.files]) else 0
    except OSError as error:
        print(f"explain: {error.filename}: {error.strerror}", file=sys.stderr)
    except Unusable as error:
        print(f"explain: {error}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
