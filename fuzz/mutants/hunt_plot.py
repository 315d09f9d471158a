# SPDX-License-Identifier: BSD-3-Clause
"""Draws the runs of a hunt, which it reads, as an SVG: a line for each mutant, a dot for each seed.

Arguments: the file to write, and the seconds after which a seed was given up.
"""

import json
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).absolute().parent.parent.parent / "tools"))
import plotting

FOUND, NOT_FOUND = "#1f77b4", "#d62728"


def rank(runs):
    """What is found soonest, at its median, comes first; what some seeds do not find, last."""
    seconds = sorted(run["seconds"] if run["is_found"] else float("inf") for run in runs)
    return seconds[len(seconds) // 2], seconds


def main():
    path, timeout = sys.argv[1], float(sys.argv[2])
    mutants = {}
    # They come as they were done, which is never the same.
    for run in sorted(json.load(sys.stdin), key=lambda run: (run["mutant"], run["seed"])):
        mutants.setdefault(run["mutant"], []).append(run)
    names = sorted(mutants, key=lambda name: rank(mutants[name]), reverse=True)

    figure, axes = plotting.pyplot().subplots(figsize=(9, 1.3 + 0.2 * len(names)))
    for is_found, marker, color in ((True, "o", FOUND), (False, "x", NOT_FOUND)):
        points = [
            (run["seconds"] if is_found else timeout, row)
            for row, name in enumerate(names)
            for run in mutants[name]
            if run["is_found"] == is_found
        ]
        label = "found" if is_found else f"not found in {timeout:.0f} s"
        if points:
            axes.scatter(*zip(*points), marker=marker, color=color, s=16, alpha=0.7, label=label)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.set_yticks(range(len(names)), [name.replace("_", " ") for name in names], fontsize=7)
    axes.set_ylim(-1, len(names))
    axes.set_xlabel("seconds from an empty corpus, one dot for each seed")
    axes.grid(axis="x", alpha=0.3)
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncol=2, frameon=False, fontsize=7)
    plotting.save(figure, path)


if __name__ == "__main__":
    main()
