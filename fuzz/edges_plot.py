# SPDX-License-Identifier: BSD-3-Clause
"""Draws edges over time, of runs that _run has logged, as an SVG: a panel for each driver.

Arguments: the file to write, and logs named DRIVER.SANITIZER.csv.
"""

import csv
import os
import pathlib
import sys


def refuse(reason):
    print(f"edges_plot: {reason}", file=sys.stderr)
    sys.exit(2)


try:
    import matplotlib
except ImportError:
    # That on the PATH need not be the distribution's.
    if sys.executable == "/usr/bin/python3" or not os.path.exists("/usr/bin/python3"):
        refuse("needs matplotlib (on Debian: apt-get install python3-matplotlib)")
    os.execv("/usr/bin/python3", ["/usr/bin/python3", *sys.argv])

matplotlib.use("svg")
matplotlib.rcParams["svg.hashsalt"] = "edges"
import matplotlib.pyplot as plt


def read(path):
    """Returns the seconds and the edges of a log."""
    try:
        with path.open(newline="") as file:
            rows = [(float(row["seconds"]), int(row["edges"])) for row in csv.DictReader(file)]
    except (OSError, ValueError, KeyError, TypeError) as error:
        refuse(f"{path} is no log of a run: {error!r}")
    if not rows:
        refuse(f"{path} is no log of a run: it is empty")
    # What is known at first is that of the seeds, a moment after the start.
    return zip(*[(max(seconds, 1), edges) for seconds, edges in rows if edges > 0])


def main():
    if len(sys.argv) < 3:
        refuse("give the SVG to write, and logs")
    caller = pathlib.Path(os.environ.get("BUILD_WORKING_DIRECTORY", "."))
    svg, *logs = [caller / argument for argument in sys.argv[1:]]
    drivers = {}
    for log in logs:
        driver, _, sanitizer = log.stem.partition(".")
        drivers.setdefault(driver, []).append((sanitizer, *read(log)))

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
    figure.tight_layout()
    figure.savefig(svg, metadata={"Date": None})


if __name__ == "__main__":
    main()
