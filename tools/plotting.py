# SPDX-License-Identifier: BSD-3-Clause
"""Pictures, as SVG, by matplotlib: it may be missing, and the same picture is the same small file."""

import io
import os
import pathlib
import re
import subprocess
import sys

from fuzz_run import Refusal


def find_python(what):
    """Returns a Python that has matplotlib. That on the PATH need not be the distribution's."""
    for python in (sys.executable, "/usr/bin/python3"):
        command = [python, "-c", "import matplotlib"]
        if os.path.exists(python) and subprocess.run(command, capture_output=True).returncode == 0:
            return python
    raise Refusal(f"{what} needs matplotlib (on Debian: apt-get install python3-matplotlib)")


def pyplot():
    """Returns matplotlib's pyplot, for a Python that has it."""
    import matplotlib

    matplotlib.use("svg")
    # Otherwise identifiers are random, and each letter is a path.
    matplotlib.rcParams.update({"svg.hashsalt": "cork_mempool", "svg.fonttype": "none"})
    import matplotlib.pyplot

    return matplotlib.pyplot


def save(figure, path):
    """Writes a figure with two decimals and a line for each group of elements, not for each point."""
    figure.tight_layout()
    file = io.StringIO()
    nothing = dict.fromkeys(["Creator", "Date", "Format", "Type"])
    figure.savefig(file, format="svg", metadata=nothing)
    text = re.sub(r"\d+\.\d{3,}", lambda match: f"{float(match[0]):.2f}", file.getvalue())
    text = re.sub(r"\s+", " ", text).replace(" <g ", "\n<g ")
    pathlib.Path(path).write_text(text.strip() + "\n", encoding="utf-8")
