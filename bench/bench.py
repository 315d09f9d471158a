# SPDX-License-Identifier: BSD-3-Clause
"""Measures cork_mempool, its protections and what else one could use, and compares them.

docs/performance.md says what the workloads are. Exit code: 0, or 130 where the run was interrupted,
and what there was so far is told; 1 where a subject failed; 2 where nothing could be measured.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).absolute().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "tools")]

import figures
import report
import runs
from runs import Refusal

REPEATS, QUICK_REPEATS = 5, 3


def names_of(known, what):
    """Returns a type of arguments: names of those that are known, with commas between them."""

    def parse(text):
        names = text.split(",")
        unknown = [name for name in names if name not in known]
        if unknown:
            all_known = ", ".join(map(str, known))
            raise argparse.ArgumentTypeError(f"no such {what}: {unknown[0]}; known are {all_known}")
        return [name for name in known if name in names]

    return parse


def repeats(text):
    number = int(text) if text.isdecimal() else 0
    if not 1 <= number <= 1000:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 to 1000")
    return number


def parse_arguments(arguments):
    parser = argparse.ArgumentParser(prog="bench", allow_abbrev=False)
    for option, known in (
        ("sizes", [str(size) for size in figures.SIZES]),
        ("workloads", list(figures.WORKLOADS)),
        ("subjects", list(figures.SUBJECTS)),
    ):
        parser.add_argument(
            "--" + option,
            type=names_of(known, option[:-1]),
            default=known,
            metavar="NAME,...",
            help=f"of {', '.join(known)} (all)",
        )
    parser.add_argument("--repeats", type=repeats, metavar="N", help=f"how often ({REPEATS})")
    parser.add_argument("--quick", action="store_true", help="few objects, for a try")
    parser.add_argument("--json", metavar="OUT", help="write the run to this file")
    parser.add_argument("--svg", metavar="DIR", help="draw the run; needs matplotlib")
    parser.add_argument("--from", dest="source", metavar="IN", help="a run's file, instead of a run")
    # tools/bazel installs, before Bazel builds.
    parser.add_argument("--install", action="store_true", help="first install Debian's packages")
    options = parser.parse_args(arguments)
    options.repeats = options.repeats or (QUICK_REPEATS if options.quick else REPEATS)
    # bazel run starts programs elsewhere, and says where it was called.
    caller = os.environ.get("BUILD_WORKING_DIRECTORY", ".")
    for name in ("json", "svg", "source"):
        path = getattr(options, name)
        setattr(options, name, path and pathlib.Path(caller, path))
    return options


def _chart(directory, name, title, x, axes, series):
    kind = "bars" if x and isinstance(x[0], str) else "curves"
    series = {key: values for key, values in series.items() if any(v is not None for v in values)}
    words = {"path": str(directory / (name + ".svg")), "kind": kind, "title": title}
    return dict(words, x=x, xlabel=axes[0], ylabel=axes[1], series=series)


def charts(run, directory):
    """Returns what is to be drawn of a run."""
    medians = report.Medians(run)
    own = [name for name in figures.OWN if name in medians.subjects]
    others = [name for name in figures.OTHERS if name in medians.subjects]
    result = []
    for size in medians.sizes:
        names = [name for name in medians.figures(size) if name in figures.DRAWN]
        for file, subjects in (("protections", own), ("peers", others)):
            ratios = {
                subject: [medians.ratio(subject, "default", size, name) for name in names]
                for subject in subjects
                if subject != "default"
            }
            title = f"Objects of {size} bytes, divided by the default pool's; above 1, the default pool is better"
            axes = ("", "ratio")
            result.append(_chart(directory, f"{file}_{size}", title, names, axes, ratios))
        for growth, at_counts in figures.GROWTH.items():
            at_counts = [name for name in medians.figures(size) if name in at_counts]
            counts = [int(name.rpartition("_")[2]) for name in at_counts]
            curves = {
                subject: [medians.get(subject, size, name) for name in at_counts]
                for subject in ("default", *others)
            }
            title = f"{growth}, objects of {size} bytes"
            axes = ("objects", "ns for each operation")
            result.append(_chart(directory, f"{growth}_{size}", title, counts, axes, curves))
    return [chart for chart in result if chart["series"]]


def find_python():
    """Returns a Python that has matplotlib. That on the PATH need not be the distribution's."""
    for python in (sys.executable, "/usr/bin/python3"):
        if os.path.exists(python):
            command = [python, "-c", "import matplotlib"]
            if subprocess.run(command, capture_output=True, check=False).returncode == 0:
                return python
    raise Refusal("--svg needs matplotlib (on Debian: apt-get install python3-matplotlib)")


def draw(run, directory, python):
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Refusal(f"cannot make {directory}: {error.strerror}") from error
    text = json.dumps(charts(run, directory))
    process = subprocess.run([python, HERE / "draw.py"], input=text, text=True, check=False)
    if process.returncode != 0:
        raise Refusal(f"the pictures in {directory} could not be drawn")
    print(f"The pictures are in {directory}")


def write(run, path):
    try:
        path.write_text(json.dumps(run) + "\n")
    except OSError as error:
        raise Refusal(f"cannot write {path}: {error.strerror}") from error
    print(f"The run is in {path}")


def require_writable(path):
    """Finds out before a run, not after it."""
    try:
        with path.open("a"):
            pass
    except OSError as error:
        raise Refusal(f"cannot write {path}: {error.strerror}") from error


def measure(options):
    """Returns a run, and the exit code."""
    present, missing, is_optimized = runs.probe(options.subjects)
    for name, reason in missing.items():
        print(f"left out: {name}: {reason}", file=sys.stderr)
    if not present:
        raise Refusal("none of the subjects is here")
    if not is_optimized and not options.quick:
        raise Refusal("not optimized: ./tools/bazel run -c opt //bench (or --quick, for a try)")
    groups = [
        group
        for group in figures.GROUPS
        if any(figures.WORKLOADS[name] == group for name in options.workloads)
    ]
    tasks = runs.plan(present, groups, [int(size) for size in options.sizes], options.repeats)
    if not tasks:
        raise Refusal("none of these workloads is for any of these subjects")
    run = {
        "machine": runs.machine(present),
        "command": "bench " + " ".join(sys.argv[1:]),
        "repeats": options.repeats,
        "quick": options.quick,
        "optimized": is_optimized,
        "missing": missing,
        "samples": {},
    }
    try:
        runs.measure(tasks, options.quick, options.workloads, run["samples"], missing)
    except KeyboardInterrupt:
        print("interrupted; what there is so far:", file=sys.stderr)
        return run, 130
    except Refusal as refusal:
        print(f"bench: {refusal}; what there is so far:", file=sys.stderr)
        return run, 1
    return run, 0


def main():
    options = parse_arguments(sys.argv[1:])
    try:
        python = find_python() if options.svg else None
        runs.stop_on_signals()
        if options.source:
            run, code = report.load(options.source), 0
        else:
            if options.json:
                require_writable(options.json)
            run, code = measure(options)
        if run["samples"]:
            print("\n".join(report.lines(run)))
            if options.json:
                write(run, options.json)
            if options.svg:
                draw(run, options.svg, python)
        return code
    except KeyboardInterrupt:
        return 130
    except Refusal as refusal:
        print(f"bench: {refusal}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
