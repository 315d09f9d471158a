# SPDX-License-Identifier: BSD-3-Clause
"""Says what of src/ the tests and the corpora reach: lines, branches and conditions.

Runs tests, some of them under Valgrind too, and replays corpora, all built to count; merges what
they have counted; prints a summary, and each place that nothing has reached. A condition is reached
where it has been seen to decide alone what becomes of the whole decision: MC/DC.

Exit code: 0; 1 where something is not reached, or a test fails; 2 where something cannot be done.
With --tests-only and --corpus-only, nothing need be reached.
"""

import argparse
import collections
import concurrent.futures
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

PACKAGES = pathlib.Path(__file__).resolve().parents[1] / "debian/packages.sh"
RUNFILES = pathlib.Path(__file__).absolute().parents[2]
SECONDS_PER_RUN = 300
KINDS = ("lines", "branches", "conditions")
# What llvm-cov calls the kinds of regions and of branches.
EXPANSION, CONDITION = 1, 6

# Whether something was reached, where it stands, and what to say where it was not.
Item = collections.namedtuple("Item", "reached file line what")


class Refusal(Exception):
    """Something was asked for that cannot be done."""


class Figures:
    """What was reached, as llvm-cov exports it. A function of a header is compiled in many places: it
    counts once, and what any of its copies reaches is reached. What stands in a macro's argument
    stands, for the compiler, in the macro; here it stands where the macro is used."""

    def __init__(self, functions, lcov):
        self.items = {kind: {} for kind in KINDS}
        bodies = collections.defaultdict(set)
        for function in functions:
            first, _, last, *_ = function["regions"][0]
            bodies[function["filenames"][0]].update(range(first, last + 1))
            self._add_function(function)
        for key, _, value in (record.partition(":") for record in lcov.splitlines()):
            if key == "SF":
                file = value
            elif key == "DA":
                line, count = map(int, value.split(","))
                if line in bodies[file]:  # and not in a macro's definition
                    self._add("lines", (file, line), Item(count > 0, file, line, "not executed"))

    def _add(self, kind, identity, item):
        known = self.items[kind].get(identity)
        if known is None or item.reached:
            self.items[kind][identity] = item

    def _add_function(self, function):
        uses = {region[6]: (region[5], region[0])
                for region in function["regions"] if region[7] == EXPANSION}

        def place(number, line):
            """Returns the file and the line of what stands in file `number`, perhaps a macro's."""
            while number in uses:
                number, line = uses[number]
            return function["filenames"][number], line

        seen = collections.Counter()
        for line, column, _, _, *counts, number, _, _ in function["branches"]:
            identity = (place(number, line), line, column)
            seen[identity] += 1
            where = "in a macro" if number in uses else f"at column {column}"
            for count, outcome in zip(counts, ("true", "false")):
                item = Item(count > 0, *identity[0], f"a branch {where} is never {outcome}")
                self._add("branches", (*identity, seen[identity], outcome), item)
        for *span, _, _, independent in function["mcdc_records"]:
            # In which file a decision stands is not said: in a macro that is used twice, two are alike.
            inside = collections.defaultdict(list)
            for branch in function["branches"]:
                if branch[8] == CONDITION and span[:2] <= branch[:2] and branch[2:4] <= span[2:]:
                    inside[branch[6]].append(branch)
            branches = list(inside.values())[seen[tuple(span)]]
            seen[tuple(span)] += 1
            first = branches[0]
            for index, reached in enumerate(independent):
                branch = branches[min(index, len(branches) - 1)]
                what = f"condition {index + 1} of {len(independent)} never decides alone"
                identity = (place(first[6], first[0]), *first[:2], index)
                self._add("conditions", identity, Item(reached, *place(branch[6], branch[0]), what))

    def all(self):
        return [item for items in self.items.values() for item in items.values()]

    def gaps(self):
        """Returns the items that were not reached, in the order of the source."""
        return sorted((item for item in self.all() if not item.reached), key=lambda item: item[1:])

    def table(self):
        """Returns the summary's lines: of each kind, how many items were reached, and how many there are."""
        rows = [("file", *KINDS)]
        for file in [*sorted({item.file for item in self.all()}), "all"]:
            kinds = [[item.reached for item in self.items[kind].values() if file in ("all", item.file)]
                     for kind in KINDS]
            rows.append((file, *(f"{sum(kind)}/{len(kind)}" if kind else "-" for kind in kinds)))
        widths = [max(map(len, column)) for column in zip(*rows)]
        return [row[0].ljust(widths[0]) + "".join(
            "  " + cell.rjust(width) for cell, width in zip(row[1:], widths[1:])) for row in rows]


def ask_compiler(question):
    command = [os.environ.get("CC", "clang-19"), question]
    return subprocess.run(command, capture_output=True, check=True, text=True).stdout.strip()


def llvm(tool, *arguments, cwd=None):
    """Runs a tool of the compiler's own LLVM, which alone reads what it writes, installed if need be;
    returns what it prints."""
    try:
        if not shutil.which(ask_compiler(f"-print-prog-name={tool}")):
            package = "llvm-" + ask_compiler("-dumpversion").partition(".")[0]
            script = '. "$1"; install_packages "$2" "$3"'
            subprocess.run(["sh", "-c", script, "coverage", PACKAGES, tool, package], check=True)
        command = [ask_compiler(f"-print-prog-name={tool}"), *arguments]
        done = subprocess.run(command, cwd=cwd, capture_output=True, check=False)
    except (OSError, subprocess.CalledProcessError) as error:
        raise Refusal(f"{tool} is missing: {error}") from error
    # A profile of another build is but a warning to it, and then not counted.
    if done.returncode != 0 or done.stderr:
        raise Refusal(f"{tool} fails: {done.stderr.decode(errors='replace')}")
    return done.stdout.decode(errors="replace")


def figures_of(binary, profile, cwd):
    source = ("export", binary, f"-instr-profile={profile}")
    functions = json.loads(llvm("llvm-cov", *source, cwd=cwd))["data"][0]["functions"]
    return Figures(functions, llvm("llvm-cov", *source, "-format=lcov", "-skip-branches", cwd=cwd))


def runs_of(options):
    """Returns the command lines, by a name for each."""
    runs = {}
    if not options.corpus_only:
        runs = {pathlib.Path(test).name: [test] for test in options.tests + options.watched}
        for test in options.watched:
            if not shutil.which("valgrind"):
                raise Refusal("valgrind, which some of the library is for, is not installed")
            runs["valgrind_" + pathlib.Path(test).name] = ["valgrind", "-q", "--error-exitcode=1", test]
    for driver in [] if options.tests_only else options.drivers:
        name = pathlib.Path(driver).name
        runs[name] = [driver, RUNFILES / "fuzz/targets/corpus" / name]
    return runs


def run(name, command, raw):
    """Runs a command, which leaves its profile in raw; returns what is wrong, or None."""
    environment = dict(os.environ, LLVM_PROFILE_FILE=f"{raw}/{name}-%m.profraw")
    environment.pop("CORK_MEMPOOL_OPTIONS", None)
    try:
        done = subprocess.run(command, cwd=RUNFILES, env=environment, check=False, timeout=SECONDS_PER_RUN,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    except subprocess.TimeoutExpired:
        return f"{name} takes more than {SECONDS_PER_RUN} s"
    if done.returncode != 0:
        return f"{name}: exit code {done.returncode}\n{done.stdout.decode(errors='replace')[-4000:]}"
    return None if list(raw.glob(f"{name}-*.profraw")) else f"{name} has left no profile"


def report(options, profile, workspace, caller):
    """Prints the gaps and the table, and writes what was asked for; returns whether all was reached."""
    library = next((str(RUNFILES / path) for path in options.library if path.endswith(".so")), None)
    if library is None:
        raise Refusal(f"no shared library among {options.library}")
    figures = figures_of(library, profile, workspace)
    if not figures.all():
        raise Refusal(f"{library} was not built to count")
    gaps = figures.gaps()
    for gap in gaps:
        source = (workspace / gap.file).read_text().splitlines()[gap.line - 1].strip()
        print(f"{gap.file}:{gap.line}: {gap.what}: {source}")
    print("\n".join(figures.table()))
    if options.html:
        llvm("llvm-cov", "show", library, f"-instr-profile={profile}", "-format=html", "-show-mcdc",
             "-show-branches=count", "-ignore-filename-regex=(^|/)(bazel-out|include)/",
             f"-output-dir={(caller / options.html).absolute()}", cwd=workspace)
    return not gaps


def main(arguments):
    parser = argparse.ArgumentParser(prog="coverage", allow_abbrev=False)
    parser.add_argument("--html", metavar="DIR", help="write llvm-cov's pages of the source here")
    only = parser.add_mutually_exclusive_group()
    only.add_argument("--tests-only", action="store_true", help="replay no corpora")
    only.add_argument("--corpus-only", action="store_true", help="run no tests")
    for given_by_bazel in ("--library", "--tests", "--watched", "--drivers"):
        parser.add_argument(given_by_bazel, nargs="*", default=[], help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    # bazel run starts programs elsewhere, and says where it was called, and for which workspace.
    workspace = os.environ.get("BUILD_WORKSPACE_DIRECTORY")
    if workspace is None:
        raise Refusal("run this by bazel run, for the source")
    caller = pathlib.Path(os.environ.get("BUILD_WORKING_DIRECTORY", "."))
    with tempfile.TemporaryDirectory() as directory:
        raw = pathlib.Path(directory)
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            wrong = [*filter(None, pool.map(lambda item: run(*item, raw), runs_of(options).items()))]
        llvm("llvm-profdata", "merge", "-o", f"{raw}/all.profdata", *map(str, raw.glob("*.profraw")))
        is_complete = report(options, f"{raw}/all.profdata", pathlib.Path(workspace), caller)
    print("\n".join(wrong), end="\n" if wrong else "")
    return 1 if wrong or not (is_complete or options.tests_only or options.corpus_only) else 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except (Refusal, OSError) as error:
        print(f"coverage: {error}", file=sys.stderr)
        sys.exit(2)
