# SPDX-License-Identifier: BSD-3-Clause
"""Says what of src/ the tests and the corpora reach: lines, branches and conditions.

Runs tests, some of them under Valgrind too, and replays corpora, all built to count; merges what
they have counted; prints a summary, and each place that nothing has reached. A condition is reached
where it has been seen to decide alone what becomes of the whole decision: MC/DC.

Exit code: 0; 1 where something is not reached, or a test fails; 2 where something cannot be done.
With --tests-only and --corpus-only, nothing need be reached.
"""

import argparse
import concurrent.futures
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

from coverage_figures import KINDS, Figures

TOOLS = pathlib.Path(__file__).resolve().parent
RUNFILES = pathlib.Path(__file__).parent.parent
SECONDS_PER_RUN = 300


class Refusal(Exception):
    """Something was asked for that cannot be done."""


def parse_arguments(arguments):
    parser = argparse.ArgumentParser(prog="coverage", allow_abbrev=False)
    parser.add_argument("--html", metavar="DIR", help="write llvm-cov's pages of the source here")
    parser.add_argument("--summary", metavar="FILE", help="write what is printed here, too")
    only = parser.add_mutually_exclusive_group()
    only.add_argument("--tests-only", action="store_true", help="replay no corpora")
    only.add_argument("--corpus-only", action="store_true", help="run no tests")
    parser.add_argument("--library", help=argparse.SUPPRESS)
    for given_by_the_launcher in ("--test", "--watched", "--driver"):
        parser.add_argument(given_by_the_launcher, action="append", default=[],
                            help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


def compiler():
    return os.environ.get("CC", "clang-19")


def ask_compiler(question):
    return subprocess.run([compiler(), question], capture_output=True, check=True,
                          text=True).stdout.strip()


def find_llvm_tool(name):
    """Returns the path of a tool of the compiler's own LLVM, which alone reads what it writes, or
    None."""
    return shutil.which(ask_compiler(f"-print-prog-name={name}"))


def llvm_tool(name):
    """Returns the same, installed if need be."""
    try:
        if not find_llvm_tool(name):
            version = ask_compiler("-dumpversion").partition(".")[0]
            subprocess.run(["sh", "-c", '. "$1"; install_packages "$2" "$3"', "coverage",
                            TOOLS / "debian.sh", name, f"llvm-{version}"], check=True)
        path = find_llvm_tool(name)
    except (OSError, subprocess.CalledProcessError) as error:
        raise Refusal(f"{name} is missing: {error}") from error
    if path is None:
        raise Refusal(f"{name} is missing, although it was installed")
    return path


def runs_of(options):
    """Returns the command lines, by a name for each."""
    runs = {}
    if not options.corpus_only:
        for test in options.test + options.watched:
            runs[pathlib.Path(test).name] = [test]
        for test in options.watched:
            if not shutil.which("valgrind"):
                raise Refusal("valgrind, which some of the library is for, is not installed")
            runs["valgrind_" + pathlib.Path(test).name] = [
                "valgrind", "-q", "--error-exitcode=1", test]
    for driver in [] if options.tests_only else options.driver:
        name = pathlib.Path(driver).name
        runs[name] = [driver, RUNFILES / "fuzz/corpus" / name]
    return runs


def run(name, command, raw):
    """Runs a command, which leaves its profile in raw; returns what is wrong, or None."""
    environment = dict(os.environ, LLVM_PROFILE_FILE=f"{raw}/{name}-%m.profraw")
    environment.pop("CORK_MEMPOOL_OPTIONS", None)
    try:
        done = subprocess.run(command, cwd=RUNFILES, env=environment, check=False,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              timeout=SECONDS_PER_RUN)
    except subprocess.TimeoutExpired:
        return f"{name} takes more than {SECONDS_PER_RUN} s"
    if done.returncode != 0:
        return f"{name}: exit code {done.returncode}\n{done.stdout.decode(errors='replace')[-4000:]}"
    return None if list(raw.glob(f"{name}-*.profraw")) else f"{name} has left no profile"


def run_all(runs, raw):
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        return [wrong for wrong in pool.map(lambda item: run(*item, raw), runs.items()) if wrong]


def llvm(tool, *arguments, cwd=None):
    done = subprocess.run([llvm_tool(tool), *arguments], cwd=cwd, capture_output=True, check=False)
    # A profile of another build is but a warning to it, and then not counted.
    if done.returncode != 0 or done.stderr:
        raise Refusal(f"{tool} fails: {done.stderr.decode(errors='replace')}")
    return done.stdout


def table(figures):
    """Returns the summary's lines."""
    rows = [("file", *KINDS)]
    for file in [*figures.files(), None]:
        cells = []
        for kind in KINDS:
            reached, count = figures.count(kind, file)
            cells.append(f"{reached}/{count}" if count else "-")
        rows.append((file or "all", *cells))
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return [row[0].ljust(widths[0]) + "".join(
        "  " + cell.rjust(width) for cell, width in zip(row[1:], widths[1:])) for row in rows]


def gap_lines(figures, workspace):
    """Returns a line for each gap, with the line of the source."""
    lines = []
    for gap in figures.gaps():
        source = (workspace / gap.file).read_text().splitlines()[gap.line - 1].strip()
        lines.append(f"{gap.file}:{gap.line}: {gap.what}: {source}")
    return lines


def report(options, profile, workspace, caller):
    """Prints and writes what was asked for; returns whether all was reached."""
    library = str(pathlib.Path(options.library).absolute())
    merged = f"-instr-profile={profile}"
    figures = Figures(json.loads(llvm("llvm-cov", "export", library, merged, cwd=workspace)))
    if not figures.files():
        raise Refusal(f"{library} was not built to count")
    gaps = gap_lines(figures, workspace)
    text = "\n".join(gaps + table(figures)) + "\n"
    print(text, end="")
    if options.summary:
        pathlib.Path(caller, options.summary).write_text(text)
    if options.html:
        llvm("llvm-cov", "show", library, merged, "-format=html", "-show-mcdc", "-show-branches=count",
             "-ignore-filename-regex=(^|/)(bazel-out|include)/",
             f"-output-dir={pathlib.Path(caller, options.html).absolute()}", cwd=workspace)
    return not gaps


def main(arguments):
    options = parse_arguments(arguments)
    # bazel run starts programs elsewhere, and says where it was called, and for which workspace.
    workspace = os.environ.get("BUILD_WORKSPACE_DIRECTORY")
    if workspace is None:
        raise Refusal("run this by bazel run, for the source")
    with tempfile.TemporaryDirectory() as directory:
        raw = pathlib.Path(directory)
        profile = raw / "all.profdata"
        wrong = run_all(runs_of(options), raw)
        llvm("llvm-profdata", "merge", "-o", str(profile), *map(str, raw.glob("*.profraw")))
        is_complete = report(options, profile, pathlib.Path(workspace),
                             os.environ.get("BUILD_WORKING_DIRECTORY", "."))
    for failure in wrong:
        print(failure)
    is_demanded = not options.tests_only and not options.corpus_only
    return 1 if wrong or is_demanded and not is_complete else 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except (Refusal, OSError) as error:
        print(f"coverage: {error}", file=sys.stderr)
        sys.exit(2)
