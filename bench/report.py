# SPDX-License-Identifier: BSD-3-Clause
"""What the figures of a run come to: tables, and what was demanded beside what was reached.

A run is a dictionary, as it stands in the file of --json: "samples" has lists of values by subject,
size and figure.
"""

import json
import math
import statistics

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
        self.is_quick = run["quick"]

    def get(self, subject, size, figure):
        """Returns a median, or None where there is none."""
        values = self.run["samples"].get(subject, {}).get(str(size), {}).get(figure)
        return statistics.median(values) if values else None

    def ratio(self, subject, other, size, figure):
        """Returns a figure of the subject divided by that of the other, or None."""
        of_subject, of_other = self.get(subject, size, figure), self.get(other, size, figure)
        return of_subject / of_other if of_subject is not None and of_other else None

    def ratios(self, subject, others, names=figures.TIMES):
        """Returns a ratio for each cell of a size and a figure: to the best of others."""
        cells = {}
        for size in figures.SIZES:
            for name in names:
                found = [self.ratio(subject, other, size, name) for other in others]
                found = [ratio for ratio in found if ratio is not None]
                if found:
                    cells[size, name] = max(found)
        return cells

    def figures(self, size):
        """Returns the names of the figures that there are of a size, in the order of FIGURES."""
        found = set()
        for subject in self.subjects:
            found |= set(self.run["samples"][subject].get(str(size), {}))
        return [name for name in figures.FIGURES if name in found]

    def counts(self, size):
        """Returns the counts that growth was measured at."""
        found = set()
        for subject in self.subjects:
            for name in self.run["samples"][subject].get(str(size), {}):
                if name.startswith(figures.GROWTH[0] + "_") and not name.endswith("_wall"):
                    found.add(int(name.rpartition("_")[2]))
        return sorted(found)


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


def _part(medians, size, subjects, cell, head):
    subjects = [name for name in subjects if name in medians.subjects]
    rows = []
    for name in medians.figures(size):
        cells = [number(cell(subject, size, name)) for subject in subjects]
        if any(text != "-" for text in cells):
            rows.append([name] + cells)
    return table([head] + subjects, rows) + [""] if rows and subjects else []


def _tables(medians, cell, head):
    lines = []
    for size in medians.sizes:
        lines += [f"### Objects of {size} bytes", ""]
        lines += _part(medians, size, figures.OWN, cell, head)
        lines += _part(medians, size, ("default", *figures.OTHERS), cell, head)
    return lines


def _growth(medians):
    lines = []
    for size in medians.sizes:
        counts = medians.counts(size)
        for growth in figures.GROWTH if counts else ():
            lines += [f"### {growth}, objects of {size} bytes", ""]
            rows = [
                [subject]
                + [number(medians.get(subject, size, f"{growth}_{count}")) for count in counts]
                for subject in medians.subjects
            ]
            lines += table(["ns"] + [f"{count:,}" for count in counts], rows) + [""]
    return lines


def _of_ratios(cells, sizes, names, reduce):
    """Returns what is reached, and how many of the cells are missing."""
    if not cells:
        return None, None
    return reduce(cells.values()), len(sizes) * len(names) - len(cells)


# A tree's node does not fit into 16 bytes.
_IMPOSSIBLE = 1


def _against(medians, subject, others, reduce, names=figures.TIMES):
    others = [name for name in others if name in medians.subjects]
    cells = medians.ratios(subject, others, names)
    reached, missing = _of_ratios(cells, figures.SIZES, names, reduce)
    if missing is not None and "tree" in names:
        missing -= _IMPOSSIBLE
    return reached, missing


def _flatness(medians, growth):
    """Returns the largest of a growth's figures divided by the smallest, at its worst size."""
    worst, missing = None, 0
    for size in figures.SIZES:
        counts = medians.counts(size)
        values = [medians.get("default", size, f"{growth}_{count}") for count in counts]
        values = [value for value in values if value]
        if len(values) < 2:
            missing += 1
        else:
            worst = max(worst or 0, max(values) / min(values))
    return worst, missing


def _trim(medians, after, before):
    ratios = [
        medians.get("default", size, after) / medians.get("default", size, before)
        for size in figures.SIZES
        if medians.get("default", size, before) and medians.get("default", size, after) is not None
    ]
    return (max(ratios) if ratios else None), len(figures.SIZES) - len(ratios)


def _bytes(medians):
    reached = medians.get("default", 16, "bytes")
    return (None, None) if reached is None else (reached - 16, 0)


def verdicts(run):
    """Returns for each demand: its name, the most it may be, what is reached or None, and how many
    cells it lacks."""
    medians = Medians(run)
    unchecked = [name for name in figures.UNCHECKED if name in medians.subjects]
    # The best of some is not the best of all.
    absent = len(figures.UNCHECKED) - len(unchecked)
    reached, missing = _against(medians, "default", unchecked, mean)
    found = {
        "libcork, largest": _against(medians, "default", ["libcork"], max),
        "libcork, mean": _against(medians, "default", ["libcork"], mean),
        "best unchecked, mean": (reached, missing if missing is None else missing + absent),
        "scudo, mean": _against(medians, "default", ["scudo"], mean),
        "paranoid to scudo, mean": _against(medians, "paranoid", ["scudo"], mean),
        "bytes beyond 16": _bytes(medians),
        "growth of new": _flatness(medians, "growth_new"),
        "growth of free": _flatness(medians, "growth_free"),
        "pools, time": _against(medians, "default", ["libcork"], max, ("pools",)),
        "pools, bytes": _against(medians, "default", ["libcork"], max, ("pools_bytes",)),
        "trim, resident": _trim(medians, "trim_after", "trim_fresh"),
        "trim, bounded": _trim(medians, "trim_last_peak", "trim_first_peak"),
    }
    for name in ("churn", "lifo", "fifo"):
        found[f"boost, {name}"] = _against(medians, "default", ["boost"], mean, (name,))
    return [(name, most, *found[name]) for name, most in figures.DEMANDS.items()]


_MEANINGS = {
    "libcork, largest": "time to libcork's, the largest of all workloads and sizes",
    "libcork, mean": "the same, geometric mean",
    "best unchecked, mean": "time to the best unchecked peer's in each, geometric mean",
    "boost, churn": "churn to inlined boost::pool's, geometric mean",
    "boost, lifo": "lifo to the same",
    "boost, fifo": "fifo to the same",
    "scudo, mean": "time to Scudo's, geometric mean",
    "paranoid to scudo, mean": "PARANOID's time to Scudo's, geometric mean",
    "bytes beyond 16": "bytes per object of 16 bytes, beyond these",
    "growth of new": "new of 10^3 to 10^7 objects, largest to smallest, worst size",
    "growth of free": "free, likewise",
    "pools, time": "ten thousand pools of one object, time to libcork's, largest",
    "pools, bytes": "the same, resident memory",
    "trim, resident": "resident after freeing all and trim, to a fresh pool, largest",
    "trim, bounded": "resident at the last of some peaks, to the first, largest",
}


def judgement(most, reached, missing, is_quick):
    if reached is None:
        return "not measured"
    if most is None:
        return "told only"
    if reached > most:
        return "NOT MET"
    if is_quick:
        return "met, in a quick run"
    return "met" if missing == 0 else f"met, {missing} missing"


def verdict_lines(run):
    rows = []
    for name, most, reached, missing in verdicts(run):
        words = [_MEANINGS[name], "-" if most is None else f"{most:.3f}", "-" if reached is None else f"{reached:.3f}"]
        rows.append(words + [judgement(most, reached, missing, run["quick"])])
    return table(["what", "demanded at most", "reached", "verdict"], rows)


def lines(run):
    """Returns the lines of the whole report."""
    medians = Medians(run)
    described = [f"* {key}: {value}" for key, value in run["machine"].items()]
    told = [f"Medians of {run['repeats']} repeats, all subjects in turn."]
    if run["quick"]:
        told += ["A quick run: the counts are too small for any conclusion."]
    if not run.get("optimized", True):
        told += ["Built without optimization: no figure means anything."]
    told += [f"Left out: {name}: {reason}." for name, reason in run["missing"].items()]

    def of_default(subject, size, figure):
        return medians.ratio(subject, "default", size, figure)

    result = ["## Ratios: each divided by the default pool's; above 1, the default pool is better", ""]
    result += _tables(medians, of_default, "ratio")
    result += ["## Figures: nanoseconds for each operation, or bytes", ""]
    result += _tables(medians, medians.get, "ns, bytes")
    if any(map(medians.counts, medians.sizes)):
        result += ["## Growth: nanoseconds for each operation, by the number of objects", ""]
        result += _growth(medians)
    result += ["## Verdict", ""] + verdict_lines(run) + [""]
    return result + ["## The run", ""] + told + [""] + described
