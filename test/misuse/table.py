# SPDX-License-Identifier: BSD-3-Clause
"""The table of misuse.def, for scripts."""

import re

POOLS = ["DEFAULT", "CANARY", "SEAL", "WIPE", "SHUFFLE", "QUARANTINE", "GUARD", "CALLSITES",
         "PARANOID"]
TOOLS = ["ASAN", "MSAN", "VALGRIND"]

VERDICTS = {
    "FAULT": "fault",
    "ABSORBED": "absorbed",
    "NOT_DETECTED": "not detected",
    "CHECK_FAILS": "check is false",
}

_LINE = re.compile(r'GUARANTEE\("(?P<text>.*)"\)$|'
                   r'ROW\((?P<misuse>\w+), (?P<profiles>[A-Z |]+), (?P<verdict>[A-Z_]+|".*")\)$')


class Error(Exception):
    """A line of the table that is not understood, or an incomplete table."""


def read(path):
    """Returns the table as a list of guarantees: pairs of a text and, by the names of misuses, the
    verdicts by profile. All of POOLS have one; of TOOLS, those that the table names."""
    guarantees = []
    with open(path, encoding="utf-8") as lines:
        for number, line in enumerate(_without_comments(lines.read()), 1):
            if not line:
                continue
            match = _LINE.match(line)
            if match is None or not (match["text"] or guarantees):
                raise Error(f"{path}:{number}: {line}")
            if match["text"]:
                guarantees.append((match["text"], {}))
                continue
            rows = guarantees[-1][1].setdefault(match["misuse"], {})
            verdict = VERDICTS.get(match["verdict"], match["verdict"].strip('"'))
            for profile in match["profiles"].split(" | "):
                rows[profile] = verdict
    for _, misuses in guarantees:
        for name, rows in misuses.items():
            misuses[name] = _complete(name, rows)
    return guarantees


def _without_comments(text):
    blank = re.sub(r"/\*.*?\*/", lambda match: "\n" * match[0].count("\n"), text, flags=re.DOTALL)
    return [line.strip() for line in blank.split("\n")]


def _complete(name, rows):
    rows = dict(rows)
    others = rows.pop("ALL", None) or rows.pop("OTHERS", None)
    for profile in POOLS:
        if profile not in rows and others is None:
            raise Error(f"{name}: nothing is said of {profile}")
        rows.setdefault(profile, others)
    return rows
