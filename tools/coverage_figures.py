# SPDX-License-Identifier: BSD-3-Clause
"""What of a program was reached, out of what `llvm-cov export` says of it.

A function of a header is compiled in many places: it counts once, and what any of its copies
reaches is reached. What stands in a macro's argument stands, for the compiler, in the macro; here
it stands where the macro is used.
"""

import collections
import itertools

KINDS = ("lines", "branches", "conditions")

# What llvm-cov calls the kinds of regions and of branches.
_EXPANSION, _CONDITION = 1, 6

# Whether something was reached, where it stands, and what to say where it was not.
Item = collections.namedtuple("Item", "reached file line what")


class Function:
    """A function, its branches and decisions, and where they stand."""

    def __init__(self, record):
        self.names = record["filenames"]
        self.branches = record["branches"]
        self.decisions = record["mcdc_records"]
        first, _, last, *_ = record["regions"][0]
        self.lines = range(first, last + 1)
        self._uses = {region[6]: (region[5], region[0])
                      for region in record["regions"] if region[7] == _EXPANSION}

    def is_macro(self, number):
        return number in self._uses

    def place(self, number, line):
        """Returns the file and the line of what stands in file `number`, perhaps a macro's."""
        while number in self._uses:
            number, line = self._uses[number]
        return self.names[number], line

    def conditions(self):
        """Yields each decision with its conditions' branches. It does not say in which file it
        stands, and in a macro that is used twice there may be two in the same place."""
        seen = collections.Counter()
        for *span, _, _, independent in self.decisions:
            inside = collections.defaultdict(list)
            for branch in self.branches:
                if branch[8] == _CONDITION and span[:2] <= branch[:2] and branch[2:4] <= span[2:]:
                    inside[branch[6]].append(branch)
            branches = list(inside.values())[seen[tuple(span)]]
            seen[tuple(span)] += 1
            yield branches, independent


def _lines(segments):
    """Yields each line that has code, and whether it was reached: as llvm-cov has it, if any of
    the regions was that start there, or the one that the line starts in."""
    before = None
    by_line = {line: list(group) for line, group in itertools.groupby(segments, lambda s: s[0])}
    for line in range(segments[0][0], segments[-1][0] + 1) if segments else ():
        here = by_line.get(line, [])
        starts = [count for _, _, count, has_count, is_entry, is_gap in here
                  if has_count and is_entry and not is_gap]
        is_skipped = bool(here) and not here[0][3] and here[0][4]
        if not is_skipped and (starts or before is not None and before[3]):
            yield line, any(starts) or (before is not None and before[3] and before[2] > 0)
        before = here[-1] if here else before


class Figures:
    """All items, by kind and by what all copies of a function share."""

    def __init__(self, export):
        self.items = {kind: {} for kind in KINDS}
        bodies = collections.defaultdict(set)
        for record in export["data"][0]["functions"]:
            function = Function(record)
            bodies[function.names[0]].update(function.lines)
            self._add_branches(function)
            self._add_conditions(function)
        for file in export["data"][0]["files"]:
            name = file["filename"]
            for line, reached in _lines(file["segments"]):
                if line in bodies[name]:
                    self._add("lines", (name, line), Item(reached, name, line, "not executed"))

    def _add(self, kind, identity, item):
        known = self.items[kind].get(identity)
        if known is None or item.reached:
            self.items[kind][identity] = item

    def _add_branches(self, function):
        seen = collections.Counter()
        for line, column, _, _, *counts, number, _, _ in function.branches:
            place = function.place(number, line)
            identity = (place, line, column, seen[place, line, column])
            seen[place, line, column] += 1
            where = "in a macro" if function.is_macro(number) else f"at column {column}"
            for count, outcome in zip(counts, ("true", "false")):
                item = Item(count > 0, *place, f"a branch {where} is never {outcome}")
                self._add("branches", identity + (outcome,), item)

    def _add_conditions(self, function):
        for branches, independent in function.conditions():
            first = branches[0]
            for index, reached in enumerate(independent):
                branch = branches[min(index, len(branches) - 1)]
                place = function.place(branch[6], branch[0])
                what = f"condition {index + 1} of {len(independent)} never decides alone"
                identity = (function.place(first[6], first[0]), first[:2], index)
                self._add("conditions", repr(identity), Item(reached, *place, what))

    def files(self):
        return sorted({item.file for items in self.items.values() for item in items.values()})

    def count(self, kind, file=None):
        """Returns how many items of a kind were reached, and how many there are."""
        items = [item for item in self.items[kind].values() if file in (None, item.file)]
        return sum(item.reached for item in items), len(items)

    def gaps(self):
        """Returns the items that were not reached, in the order of the source."""
        return sorted((item for items in self.items.values() for item in items.values()
                       if not item.reached), key=lambda item: (item.file, item.line, item.what))
