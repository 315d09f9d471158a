# SPDX-License-Identifier: BSD-3-Clause
"""Draws charts, which it reads, as SVG. It needs matplotlib, which the caller need not have.

A chart has a path, a title, what is on its axes, and lists of values by series: bars over names,
which start at 1, or curves over numbers, the first of which is ours. A value may be null.
"""

import io
import json
import pathlib
import re
import sys

import matplotlib

matplotlib.use("svg")
# The same chart is the same file; text stays text.
matplotlib.rcParams.update({"svg.hashsalt": "cork_mempool", "svg.fonttype": "none"})
import matplotlib.pyplot as plt

# More names than that do not stand beside each other.
NAMES = 13


def color_of(number):
    return plt.get_cmap("tab20")(2 * number % 20 + number // 10)


def draw_bars(axes, chart, part):
    names, series = chart["x"][part], chart["series"]
    width = 0.85 / len(series)
    for number, (name, values) in enumerate(series.items()):
        values = values[part]
        places = [i + (number - (len(series) - 1) / 2) * width for i in range(len(names))]
        # From 1 on, upwards and downwards.
        bars = [(place, value - 1) for place, value in zip(places, values) if value is not None]
        axes.bar(*zip(*bars or [(0, 0)]), width=width, bottom=1, color=color_of(number + 1), label=name)
    axes.set_xticks(range(len(names)), names, fontsize=7)
    axes.axhline(1, color="black", linewidth=0.6)
    axes.grid(axis="y", alpha=0.3)


def draw_curves(axes, chart):
    for number, (name, values) in enumerate(chart["series"].items()):
        points = [(x, value) for x, value in zip(chart["x"], values) if value is not None]
        width = 2.5 if number == 0 else 1
        axes.plot(*zip(*points), marker="o", ms=3, lw=width, color=color_of(number), label=name)
    axes.set_xscale("log")
    axes.grid(alpha=0.3)


def save(figure, path):
    """Writes a figure with two decimals and a line for each group of elements, not for each point."""
    figure.tight_layout()
    file = io.StringIO()
    nothing = dict.fromkeys(["Creator", "Date", "Format", "Type"])
    figure.savefig(file, format="svg", metadata=nothing)
    text = re.sub(r"\d+\.\d{3,}", lambda match: f"{float(match[0]):.2f}", file.getvalue())
    text = re.sub(r"\s+", " ", text).replace(" <g ", "\n<g ")
    pathlib.Path(path).write_text(text.strip() + "\n", encoding="utf-8")


def draw(chart):
    is_bars = chart["kind"] == "bars"
    rows = range(0, len(chart["x"]) if is_bars else 1, NAMES)
    figure, plots = plt.subplots(len(rows), figsize=(10, 1.5 + 3 * len(rows)), squeeze=False)
    for axes, first in zip(plots[:, 0], rows):
        if is_bars:
            draw_bars(axes, chart, slice(first, first + NAMES))
        else:
            draw_curves(axes, chart)
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(plt.LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter("{x:g}")
        axes.set_xlabel(chart["xlabel"])
        axes.set_ylabel(chart["ylabel"])
    top = plots[0, 0]
    top.set_title(chart["title"], fontsize=10, loc="left", pad=34)
    top.legend(loc="lower left", bbox_to_anchor=(0, 1), ncol=9, frameon=False, fontsize=8)
    save(figure, chart["path"])
    plt.close(figure)


def main():
    for chart in json.load(sys.stdin):
        draw(chart)


if __name__ == "__main__":
    main()
