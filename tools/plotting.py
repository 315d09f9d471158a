# SPDX-License-Identifier: BSD-3-Clause
"""Pictures, as SVG, by matplotlib: it may be missing, and the same picture is the same file."""

import os
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
    # Otherwise identifiers are random.
    matplotlib.rcParams["svg.hashsalt"] = "cork_mempool"
    import matplotlib.pyplot

    return matplotlib.pyplot


def save(figure, path):
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})
