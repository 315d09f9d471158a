# SPDX-License-Identifier: BSD-3-Clause
"""guarantees_test.py [--write]: documents promise what the misuses' guarantees say. It runs where
the project's root is.

Between two lines "<!-- guarantees -->", docs/guarantees.md has a row for each guarantee, in their
order; README.md has some of these rows. --write makes both anew; README keeps its choice, which its
first column tells. Exit code: 1 where a document is wrong, 2 where it is missing, or an argument is
unknown.
"""

import argparse
import sys

import table

ALL, SOME = "docs/guarantees.md", "README.md"
MARK = "<!-- guarantees -->\n"
HEAD = ["| misuse | by default | with protections | under tools |", "|---|---|---|---|"]
TOOL_NAMES = {"ASAN": "ASan", "MSAN": "MSan", "VALGRIND": "Valgrind"}


def verdict_text(verdict):
    """Returns a verdict as documents have it: messages are code."""
    return verdict if verdict in table.VERDICTS.values() else f"`{verdict}`"


def cell(pairs):
    """Returns names with their verdicts, those of one verdict together."""
    names = {}
    for name, verdict in pairs:
        names.setdefault(verdict, []).append(name)
    return "; ".join(f"{', '.join(group)}: {verdict_text(verdict)}"
                     for verdict, group in names.items())


def row(text, verdicts):
    """Returns the row of a guarantee."""
    default = verdicts["DEFAULT"]
    protections = [(f"`{name}`", verdicts[name]) for name in table.POOLS
                   if verdicts[name] != default]
    if len(protections) == len(table.POOLS) - 1 and len({verdict for _, verdict in protections}) == 1:
        protections = [("any of them", protections[0][1])]
    tools = [(TOOL_NAMES[name], verdicts[name]) for name in table.TOOLS
             if verdicts.get(name, default) != default]
    return f"| {text} | {verdict_text(default)} | {cell(protections)} | {cell(tools)} |"


def misuse_of(line):
    return line.split(" | ")[0]


def is_right(document, lines, has_all):
    """Says whether a document has these rows, all or some; or writes them, where that is asked for."""
    with open(document, encoding="utf-8") as file:
        parts = file.read().split(MARK)
    if len(parts) != 3:
        print(f"{document}: there are {len(parts) - 1} lines {MARK.strip()}, not 2")
        return False
    found = parts[1].splitlines()
    chosen = {misuse_of(line) for line in found if line not in HEAD}
    if not has_all:
        unknown = chosen - {misuse_of(line) for line in lines}
        if unknown or not chosen:
            print(f"{document} has no rows, or rows that no guarantee has:", *unknown, sep="\n    ")
            return False
        lines = [line for line in lines if misuse_of(line) in chosen]
    wanted = HEAD + lines
    if found == wanted:
        return True
    if "--write" in sys.argv:
        parts[1] = "".join(line + "\n" for line in wanted)
        with open(document, "w", encoding="utf-8") as file:
            file.write(MARK.join(parts))
        return True
    print(f"{document} is not what the guarantees say:")
    print(*[f"  - {line}" for line in found if line not in wanted], sep="\n")
    print(*[f"  + {line}" for line in wanted if line not in found], sep="\n")
    print("python3 test/misuse/guarantees_test.py --write sets this right.")
    return False


def main():
    parser = argparse.ArgumentParser(prog="guarantees_test.py", allow_abbrev=False)
    parser.add_argument("--write", action="store_true", help="make the tables anew")
    parser.parse_args()
    try:
        found = [row(*guarantee) for guarantee in table.read().items()]
        right = [is_right(ALL, found, True), is_right(SOME, found, False)]
    except (table.Error, OSError) as error:
        print(f"guarantees_test.py: {error}")
        return 2
    return 0 if all(right) else 1


if __name__ == "__main__":
    sys.exit(main())
