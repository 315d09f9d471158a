# SPDX-License-Identifier: BSD-3-Clause
"""guarantees_test.py README TABLE [--write]: README's guarantees are what the table of misuses says.

Between two lines "<!-- guarantees -->", README has a row for each guarantee of the table, in its
order, made by this script; with --write it is made anew. Misuses under one guarantee must all have
the same verdicts: the guarantee would say too much of some otherwise.
"""

import sys

import table

MARK = "<!-- guarantees -->\n"
HEAD = ["| misuse | by default | with protections | under tools |", "|---|---|---|---|"]
TOOL_NAMES = {"ASAN": "ASan", "MSAN": "MSan", "VALGRIND": "Valgrind"}


def verdict_text(verdict):
    """Returns a verdict as README has it: messages are code."""
    return verdict if verdict in table.VERDICTS.values() else f"`{verdict}`"


def cell(pairs):
    """Returns names with their verdicts, those of one verdict together."""
    names = {}
    for name, verdict in pairs:
        names.setdefault(verdict, []).append(name)
    return "; ".join(f"{', '.join(group)}: {verdict_text(verdict)}"
                     for verdict, group in names.items())


def row(text, verdicts):
    """Returns README's row for a guarantee."""
    default = verdicts["DEFAULT"]
    protections = [(f"`{name}`", verdicts[name]) for name in table.POOLS
                   if verdicts[name] != default]
    tools = [(TOOL_NAMES[name], verdicts[name]) for name in table.TOOLS
             if verdicts.get(name, default) != default]
    return f"| {text} | {verdict_text(default)} | {cell(protections)} | {cell(tools)} |"


def rows(guarantees):
    """Returns README's lines for all guarantees."""
    lines = list(HEAD)
    for text, misuses in guarantees:
        verdicts = list(misuses.values())
        for name, others in misuses.items():
            if others != verdicts[0]:
                raise table.Error(f"{name} is not like the others under \"{text}\"")
        lines.append(row(text, verdicts[0]))
    return lines


def main():
    readme, path = sys.argv[1:3]
    with open(readme, encoding="utf-8") as file:
        parts = file.read().split(MARK)
    if len(parts) != 3:
        print(f"{readme}: there are {len(parts) - 1} lines {MARK.strip()}, not 2")
        return 1
    wanted = rows(table.read(path))
    if sys.argv[3:] == ["--write"]:
        parts[1] = "\n".join(wanted) + "\n"
        with open(readme, "w", encoding="utf-8") as file:
            file.write(MARK.join(parts))
        return 0
    found = parts[1].splitlines()
    for line in found:
        if line not in wanted:
            print(f"{readme} has what the table has not:\n    {line}")
    for line in wanted:
        if line not in found:
            print(f"{readme} lacks what the table has:\n    {line}")
    if found == wanted:
        return 0
    print("guarantees_test.py README TABLE --write sets this right.")
    return 1


if __name__ == "__main__":
    sys.exit(main())
