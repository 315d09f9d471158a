# SPDX-License-Identifier: BSD-3-Clause
"""What the figures of a run come to: tables, and a table of what is demanded of the pool.

A run is a dictionary, as it stands in the file of --json: "samples" has lists of values by subject,
size and figure.
"""

import json
import math
import statistics
import textwrap

import figures
from runs import Refusal


def load(path):
    """Returns the run in a file."""
    try:
        run = json.loads(path.read_text())
        for sizes in run["samples"].values():
            for size, of_size in sizes.items():
                int(size)
                for values in of_size.values():
                    if not values or not all(isinstance(value, (int, float)) for value in values):
                        raise ValueError("a figure without values")
        if not set(run["samples"]) <= set(figures.SUBJECTS):
            raise ValueError("an unknown subject")
        if not isinstance(run["machine"], dict) or not isinstance(run["missing"], dict):
            raise ValueError("no machine, or nothing about what is missing")
        int(run["repeats"]), bool(run["quick"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise Refusal(f"{path} holds no run: {error}") from error
    return run


class Medians:
    """The medians of a run."""

    def __init__(self, run):
        self.run = run
        self.sizes = sorted({int(size) for sizes in run["samples"].values() for size in sizes})
        self.subjects = [name for name in figures.SUBJECTS if name in run["samples"]]

    def get(self, subject, size, figure):
        """Returns a median, or None where there is none."""
        values = self.run["samples"].get(subject, {}).get(str(size), {}).get(figure)
        return statistics.median(values) if values else None

    def ratio(self, subject, other, size, figure):
        """Returns a figure of the subject divided by that of the other, or None."""
        of_subject, of_other = self.get(subject, size, figure), self.get(other, size, figure)
        return of_subject / of_other if of_subject is not None and of_other else None

    def figures(self, size):
        """Returns the names of the figures that there are of a size, in the order of FIGURES."""
        found = set()
        for subject in self.subjects:
            found |= set(self.run["samples"][subject].get(str(size), {}))
        return [name for name in figures.FIGURES if name in found]


def mean(values):
    """Returns the geometric mean."""
    values = list(values)
    return math.exp(sum(map(math.log, values)) / len(values))


def number(value):
    """Returns a figure with three digits."""
    if value is None:
        return "-"
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def table(head, rows):
    """Returns the lines of a table, which Markdown reads too."""
    lines = [head] + rows
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]

    def row(cells):
        padded = [cells[0].ljust(widths[0])]
        padded += [cell.rjust(width) for cell, width in zip(cells[1:], widths[1:])]
        return "| " + " | ".join(padded) + " |"

    rule = "|" + "|".join("-" * (width + 1) + (":" if i else "-") for i, width in enumerate(widths))
    return [row(head), rule + "|"] + [row(cells) for cells in rows]


def _tables(medians, names, text, head):
    """Returns a table of our pools, and one of others' beside the default pool, for each size. A
    ratio needs another subject."""
    lines, first = [], 2 if head == "ratio" else 1
    for size in medians.sizes:
        lines += [f"### Objects of {size} bytes", ""]
        for subjects in (figures.OWN, ("default", *figures.OTHERS)):
            subjects = [name for name in subjects if name in medians.subjects]
            rows = [
                [name] + [text(subject, size, name) for subject in subjects]
                for name in medians.figures(size)
                if name in names
            ]
            rows = [row for row in rows if set(row[first:]) - {"-"}]
            lines += table([head] + subjects, rows) + [""] if rows else []
    return lines


_CYCLE, _MID = figures.CYCLE, figures.MID
_EVERY = (*figures.TIMES, *_CYCLE, *_MID, "bursts")
_PROTECTED = [name for name in figures.PROTECTIONS if name != "guard"]

# What is demanded of the pool: figures of some subjects, divided by those of others, of which the
# best counts, or by another figure of the same subject, and what all of them are reduced to. How much
# each may be is not said here.
DEMANDS = (
    ("cycle to libcork: k = 1", "default", "libcork", "cycle_1", max),
    ("cycle to libcork: k = 16 to 1024, largest", "default", "libcork", _CYCLE[1:-2], max),
    ("cycle to libcork: k = 4096 and 16384, largest", "default", "libcork", _CYCLE[-2:], max),
    ("cycle to glibc: k = 16 to 4096, largest", "default", "glibc", _CYCLE[1:-1], max),
    ("cycle to glibc: k = 16384", "default", "glibc", _CYCLE[-1:], max),
    ("cycle: k = 65 to k = 64", "default", "cycle_64", "cycle_65", max),
    ("churn to libcork", "default", "libcork", "churn", max),
    ("lifo, fifo to libcork, largest", "default", "libcork", "lifo fifo", max),
    ("replace, lifetimes to libcork, largest", "default", "libcork", "replace lifetimes", max),
    ("bursts to libcork", "default", "libcork", "bursts", max),
    ("mid to libcork, mean", "default", "libcork", _MID, mean),
    ("mid to glibc, largest", "default", "glibc", _MID, max),
    ("cycle, mid, bursts, lifetimes to libcork, mean", "default", "libcork", figures.SMALL, mean),
    ("cycle, mid, bursts, lifetimes to glibc, mean", "default", "glibc", figures.SMALL, mean),
    ("churn ... teardown to libcork, mean", "default", "libcork", figures.BASE, mean),
    ("churn ... tree to libcork, mean", "default", "libcork", figures.TIMES, mean),
    ("churn ... tree to libcork, largest", "default", "libcork", figures.TIMES, max),
    ("all of these to the best unchecked, mean", "default", figures.UNCHECKED, _EVERY, mean),
    ("churn, lifo, fifo to boost, mean", "default", "boost", "churn lifo fifo", mean),
    ("churn ... tree to Scudo, mean", "default", "scudo", figures.TIMES, mean),
    ("pools: time to libcork", "default", "libcork", "pools", max),
    ("pools: memory to libcork", "default", "libcork", "pools_bytes", max),
    ("many: time to glibc", "default", "glibc", "many", max),
    ("many: memory to glibc", "default", "glibc", "many_bytes", max),
    ("many: mappings", "default", "", "many_mappings", max),
    ("bytes an object", "default", "", "bytes", max),
    ("new, of 10^4 to 10^7 to 10^3 objects, largest", "default", "growth_new_1000",
     figures.GROWTH["growth_new"][1:], max),
    ("free, likewise", "default", "growth_free_1000", figures.GROWTH["growth_free"][1:], max),
    ("after trim, to fresh", "default", "trim_fresh", "trim_after", max),
    ("last peak before trim, to first", "default", "trim_first_peak", "trim_last_peak", max),
    ("instructions of new", "default", "", "instructions_new", max),
    ("instructions of free", "default", "", "instructions_free", max),
    ("CANARY: bytes an object", "canary", "", "bytes", max),
    ("GUARD: bytes an object", "guard", "", "bytes", max),
    ("PARANOID: bytes an object", "paranoid", "", "bytes", max),
    ("PARANOID to Scudo: churn ... tree, largest", "paranoid", "scudo", figures.TIMES, max),
    ("PARANOID to Scudo: churn ... tree, mean", "paranoid", "scudo", figures.TIMES, mean),
    ("CANARY to default: lifo", "canary", "default", "lifo", max),
    ("GUARD to default: bytes", "guard", "default", "bytes", max),
    ("all but GUARD and PARANOID to default: cycle, k = 1 and 100, largest", _PROTECTED, "default",
     "cycle_1 cycle_100", max),
    *(
        (f"{name.upper()}: cycle, k = {k}, us a pool", name, "", f"cycle_{k}",
         lambda values, k=k: max(values) * k / 1000)
        for name in ("guard", "paranoid") for k in (1, 100)
    ),
)


def _words(names):
    return names.split() if isinstance(names, str) else names


def _reached(medians, sizes, subjects, over, names, reduce):
    """Returns what is reached of a demand, with a star where figures are missing."""
    found, is_whole = [], True
    for size in sizes:
        for subject in _words(subjects):
            for name in _words(names):
                if (size, name) == figures.IMPOSSIBLE:
                    continue
                own = medians.get(subject, size, name)
                if over in figures.FIGURES:
                    others = [medians.get(subject, size, over)]
                else:
                    others = [medians.get(other, size, name) for other in _words(over)]
                is_whole = is_whole and own is not None and None not in others
                best = min(filter(None, others), default=None if others else 1)
                if own is not None and best is not None:
                    found.append(own / best)
    return number(reduce(found)) + "*" * (not is_whole) if found else "-"


def demand_lines(medians):
    sizes = [[size] for size in medians.sizes]
    head = ["what"] + [f"{size} bytes" for size in medians.sizes]
    if len(sizes) > 1:
        sizes, head = sizes + [medians.sizes], head + ["all"]
    rows = [
        [what] + [_reached(medians, some, *demand) for some in sizes] for what, *demand in DEMANDS
    ]
    rows = [row for row in rows if set(row[1:]) != {"-"}]
    return table(head, rows) + ["", "*: not all of it was measured."] if rows else []


def lines(run):
    """Returns the lines of the whole report."""
    medians = Medians(run)
    described = "; ".join(f"{key}: {value}" for key, value in run["machine"].items())
    told = [f"Medians of {run['repeats']} repeats, all subjects in turn."]
    if run["quick"]:
        told += ["A quick run: the counts are too small for any conclusion."]
    if not run.get("optimized", True):
        told += ["Built without optimization: no figure means anything."]
    told += [f"Left out: {name}: {reason}." for name, reason in run["missing"].items()]

    def figure(subject, size, name):
        return number(medians.get(subject, size, name))

    def ratio(subject, size, name):
        if subject == "default":
            return figure(subject, size, name)
        return number(medians.ratio(subject, "default", size, name))

    result = ["## Ratios: of each to the default pool's figure; above 1, the default pool is better", ""]
    result += _tables(medians, figures.COMPARED, ratio, "ratio")
    result += ["## Figures: nanoseconds for each operation, bytes, or how many", ""]
    result += _tables(medians, figures.FIGURES, figure, "figure")
    result += ["## Demands", ""] + demand_lines(medians) + [""]
    return result + ["## The run", ""] + told + [""] + textwrap.wrap(described, 128)
