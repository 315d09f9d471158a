# SPDX-License-Identifier: BSD-3-Clause
"""Fenced blocks of Markdown, and how what they show is compared with what is seen.

blocks.py DOCUMENT KIND NUMBER prints a document's block: the first of a kind is number 1. Exit code:
2 where there is none.
"""

import re
import sys

_FENCE = re.compile(r"^(`{3,}|~{3,})\s*(.*?)\s*$")
_ADDRESS = re.compile(r"0x[0-9A-Fa-f]+")


class Error(Exception):
    """What is wrong with a document, and in which line."""


class Block:
    """A fenced block: its info string in words, and its lines between the fences."""

    def __init__(self, path, number, info):
        self.path = path
        self.number = number  # of the line of its first fence
        self.kind, *self.options = info.split() or [""]
        self.lines = []

    @property
    def text(self):
        return "".join(line + "\n" for line in self.lines)

    def error(self, message):
        return Error(f"{self.path}:{self.number}: {message}")


def blocks_of(path, text):
    """Returns a document's blocks, in its order."""
    blocks, block, fence = [], None, None
    for number, line in enumerate(text.splitlines(), 1):
        match = _FENCE.match(line.strip())
        if block is None and match:
            fence = match[1]
            block = Block(path, number, match[2])
        elif block is not None and match and not match[2] and match[1].startswith(fence):
            blocks.append(block)
            block = None
        elif block is not None:
            block.lines.append(line)
    if block is not None:
        raise block.error("this block does not end")
    return blocks


def expression_of(shown):
    """Returns an expression for what is shown: addresses may be others, but what is one address in
    what is shown must be one; a line of three dots stands for any lines, and three dots within a
    line for any part of it; processes have any number."""
    names = {}

    def address(match):
        name = names.get(match[0])
        if name:
            return f"(?P={name})"
        names[match[0]] = name = f"address{len(names)}"
        return f"(?P<{name}>0x[0-9A-Fa-f]+)"

    lines = []
    for line in shown.splitlines():
        if line == "...":
            lines.append(r"(?:.*\n)*?")  # the fewest that will do
            continue
        line = re.sub(r"==\d+==", "==0==", line)
        end, words = 0, []
        for match in _ADDRESS.finditer(line):
            words += [re.escape(line[end:match.start()]), address(match)]
            end = match.end()
        words.append(re.escape(line[end:]))
        text = "".join(words).replace("==0==", r"==\d+==").replace(re.escape("..."), ".*")
        lines.append(text + r"\n")
    return re.compile("".join(lines))


def main():
    if len(sys.argv) != 4 or not sys.argv[3].isdecimal():
        print("usage: blocks.py DOCUMENT KIND NUMBER", file=sys.stderr)
        return 2
    path, kind, number = sys.argv[1:]
    try:
        with open(path, encoding="utf-8") as file:
            found = [block for block in blocks_of(path, file.read()) if block.kind == kind]
    except (Error, OSError) as error:
        print(f"blocks.py: {error}", file=sys.stderr)
        return 2
    if not 1 <= int(number) <= len(found):
        print(f"blocks.py: {path} has {len(found)} blocks of {kind}", file=sys.stderr)
        return 2
    print(found[int(number) - 1].text, end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
