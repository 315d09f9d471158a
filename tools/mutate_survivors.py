# SPDX-License-Identifier: BSD-3-Clause
"""The list of mutants that may survive, each with the reason.

A file and a function; under it the lines of a mutant, without and with its change; and, indented,
why no test can be asked to notice it. One reason may serve several changes. Empty lines divide;
lines that begin with a # are comments. Where the same lines occur more than once in a function,
+#2 stands for the second place instead of +.

A reason begins with its kind. equivalent: nothing differs that the contract speaks of. speed: of
calls, or of address space. unreachable: only where something fails that cannot be made to fail.
sanitizer: seen only under a sanitizer or Valgrind, or only by chance, as what is undefined may show
or not; that such an entry is noticed does not make it stale.
"""

import dataclasses
import pathlib
import re

from mutate_source import Refusal

KINDS = ("equivalent", "speed", "unreachable", "sanitizer")
REASON = re.compile(rf"({'|'.join(KINDS)}): \S")
MUTATED = re.compile(r"\+(?:#([2-9]\d*))? (.*)")


@dataclasses.dataclass
class Entry:
    """A mutant that may survive."""

    line: int
    key: tuple
    reason: str = ""

    def __str__(self):
        file, function, original, mutated, ordinal = self.key
        number = f"#{ordinal}" if ordinal > 1 else ""
        return f"{file} {function}\n- {original}\n+{number} {mutated}\n  {self.reason}"


class Survivors:
    """The list, read from its file."""

    def __init__(self, path):
        self.path = path
        self.entries = {}
        try:
            text = pathlib.Path(path).read_text()
        except (OSError, UnicodeDecodeError) as error:
            raise Refusal(f"cannot read {path}: {error}") from error
        block = []
        for number, line in enumerate(text.splitlines() + [""], 1):
            if line.strip() and not line.startswith("#"):
                block.append((number, line.rstrip()))
            elif block and not line.strip():
                self._read(block)
                block = []

    def _refuse(self, line, why):
        raise Refusal(f"{self.path}:{line}: {why}")

    def _read(self, block):
        number, head = block[0]
        place = head.split()
        if len(place) != 2 or head[0] in "-+ ":
            self._refuse(number, "a file and a function begin an entry")
        original, pending = None, []
        for number, line in block[1:]:
            mutated = MUTATED.fullmatch(line)
            if line.startswith("- "):
                original = line[2:]
            elif mutated and original is not None:
                key = (*place, original, mutated.group(2), int(mutated.group(1) or 1))
                pending.append(Entry(number, key))
                if self.entries.setdefault(key, pending[-1]) is not pending[-1]:
                    self._refuse(number, "this mutant is listed twice")
            elif line.startswith("  ") and pending:
                for entry in pending:
                    entry.reason = f"{entry.reason} {line.strip()}".strip()
            else:
                self._refuse(number, "neither - nor + nor a reason that follows them")
        if not pending or not REASON.match(pending[-1].reason):
            kinds = ", ".join(KINDS)
            self._refuse(number, f"an entry ends with its reason: one of {kinds}, a colon, and why")

    def entry(self, mutant):
        """Returns the entry of a mutant, or None."""
        return self.entries.get(mutant.key())

    def explains_any(self, mutants):
        return any(self.entry(mutant) for mutant in mutants)

    def unmatched(self, mutants):
        keys = {mutant.key() for mutant in mutants}
        return [entry for key, entry in self.entries.items() if key not in keys]
