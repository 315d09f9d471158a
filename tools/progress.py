# SPDX-License-Identifier: BSD-3-Clause
"""How far something is: on a terminal in a line that is rewritten, elsewhere one now and then."""

import shutil
import time

from fuzz_run import duration

TERMINAL_SECONDS = 0.2
PLAIN_SECONDS = 20


class Display:
    """Writes lines, and below them how far a step is, which consists of tasks with weights."""

    def __init__(self, stream):
        self.stream = stream
        self.is_terminal = stream.isatty()
        self.interval = TERMINAL_SECONDS if self.is_terminal else PLAIN_SECONDS
        # The width of what is to be rewritten.
        self.shown = 0

    def start(self, weights, what=""):
        """Begins a step; its lines begin with `what`."""
        self.weights, self.what = weights, what
        self.begin = time.monotonic()
        self.due = self.begin + self.interval

    def elapsed(self):
        return time.monotonic() - self.begin

    def progress(self, done, rest="", width=None):
        """Returns a line; with a width, one that is as wide, with a bar where that has room."""
        elapsed = self.elapsed()
        share = sum(self.weights[:done]) / sum(self.weights)
        line = f"{self.what}{done}/{len(self.weights)} in {duration(elapsed)}"
        if done:
            line += f", about {duration(elapsed * (1 - share) / share)} left"
        line += rest
        if width is None:
            return line
        room = min(width - len(line) - 4, 30)
        if room >= 5:
            full = int(room * share)
            line = f"[{'#' * full}{'.' * (room - full)}]  {line}"
        return line[:width].ljust(width)

    def tick(self, done, rest=""):
        """Shows the progress where it is time to."""
        if time.monotonic() < self.due:
            return
        self.due = time.monotonic() + self.interval
        if not self.is_terminal:
            self.line(self.progress(done, rest))
            return
        self.shown = shutil.get_terminal_size().columns - 1
        self.stream.write("\r" + self.progress(done, rest, self.shown))
        self.stream.flush()

    def clear(self):
        """Removes what would be rewritten."""
        if self.shown:
            self.stream.write("\r" + " " * self.shown + "\r")
            self.stream.flush()
            self.shown = 0

    def line(self, text):
        self.clear()
        print(text, file=self.stream, flush=True)
