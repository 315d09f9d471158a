# SPDX-License-Identifier: BSD-3-Clause
"""Draws edges over time, of runs that _run has logged, as an SVG: a panel for each driver.

Arguments: the file to write, and logs named DRIVER.SANITIZER.csv. Exit code: 2 where a log is none,
or nothing can be drawn.
"""

import csv
import os
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).absolute().parent.parent / "tools"))
import plotting
from fuzz_run import Refusal


def read(path):
    """Returns the seconds and the edges of a log."""
    try:
        with path.open(newline="") as file:
            rows = [(float(row["seconds"]), int(row["edges"])) for row in csv.DictReader(file)]
    except (OSError, ValueError, KeyError, TypeError, csv.Error) as error:
        raise Refusal(f"{path} is no log of a run: {error!r}") from error
    if not rows:
        raise Refusal(f"{path} is no log of a run: it is empty")
    # What is known at first is that of the seeds, a moment after the start.
    rows = [(max(seconds, 1), edges) for seconds, edges in rows if edges > 0]
    if not rows:
        raise Refusal(f"{path} is the log of a run that reached no edge")
    return zip(*rows)


def read_all(logs):
    """Returns for each driver its sanitizers, each with the seconds and the edges."""
    drivers = {}
    for log in logs:
        driver, _, sanitizer = log.stem.partition(".")
        drivers.setdefault(driver, []).append((sanitizer, *read(log)))
    return drivers


def draw(drivers, svg):
    plt = plotting.pyplot()
    figure, panels = plt.subplots(1, len(drivers), figsize=(3 * len(drivers), 3), squeeze=False)
    for axes, (driver, runs) in zip(panels[0], sorted(drivers.items())):
        for sanitizer, seconds, edges in sorted(runs):
            axes.step(seconds, edges, where="post", label=sanitizer, linewidth=1)
        axes.set_title(driver.replace("mempool_", "").replace("_fuzzer", ""), fontsize=9)
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter("{x:g}")
        axes.tick_params(labelsize=7)
        axes.set_xlabel("seconds", fontsize=7)
        axes.grid(alpha=0.3)
        axes.legend(fontsize=7, frameon=False)
    panels[0][0].set_ylabel("edges", fontsize=7)
    try:
        plotting.save(figure, svg)
    except OSError as error:
        raise Refusal(f"cannot write {svg}: {error.strerror}") from error


def main():
    caller = pathlib.Path(os.environ.get("BUILD_WORKING_DIRECTORY", "."))
    try:
        if len(sys.argv) < 3:
            raise Refusal("give the SVG to write, and logs")
        svg, *logs = [caller / argument for argument in sys.argv[1:]]
        drivers = read_all(logs)
        python = plotting.find_python("the picture")
        if python != sys.executable:
            os.execv(python, [python, *sys.argv])
        draw(drivers, svg)
    except Refusal as refusal:
        print(f"edges_plot: {refusal}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
