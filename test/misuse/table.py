# SPDX-License-Identifier: BSD-3-Clause
"""What the misuses guarantee, for scripts: read from the text of the files they stand in."""

import pathlib
import re

FILES = [pathlib.Path(__file__).with_name(name)
         for name in ("free.c", "lifecycle.c", "contents.c", "bounds.c")]
_OPTIONS = pathlib.Path(__file__).parents[2] / "include/libcork/core/mempool_options.h"
POOLS = ["DEFAULT", *re.findall(r"^ +X\((\w+)", _OPTIONS.read_text(encoding="utf-8"), re.MULTILINE),
         "PARANOID"]
TOOLS = ["ASAN", "MSAN", "VALGRIND"]

VERDICTS = {
    "FAULT": "fault",
    "ABSORBED": "absorbed",
    "NOT_DETECTED": "not detected",
    "CHECK_FAILS": "check is false",
}

_GUARANTEE = re.compile(r'^GUARANTEE\(\s*"(?P<text>[^"]*)",(?P<verdicts>(?:\s*\{[^}]*\},?)+)\)$',
                        re.MULTILINE)
_VERDICT = re.compile(r'\{(?P<profiles>[A-Z |\n]+),\s*(?P<verdict>[A-Z_]+|"[^"]*")\}')


class Error(Exception):
    """A guarantee that is not understood, or not complete."""


def read():
    """Returns, by the texts of guarantees, their verdicts by profile. All of POOLS have one; of
    TOOLS, those that the guarantee names."""
    guarantees = {}
    for path in FILES:
        text = path.read_text(encoding="utf-8")
        found = list(_GUARANTEE.finditer(text))
        if len(found) != text.count("\nGUARANTEE("):
            raise Error(f"{path}: {text.count(chr(10) + 'GUARANTEE(') - len(found)} guarantees are"
                        " not understood")
        for match in found:
            if match["text"] in guarantees:
                raise Error(f"{path}: \"{match['text']}\" is there twice")
            guarantees[match["text"]] = _complete(match["text"], match["verdicts"])
    return guarantees


def _complete(text, verdicts):
    named = {}
    for match in _VERDICT.finditer(verdicts):
        verdict = VERDICTS.get(match["verdict"], match["verdict"].strip('"'))
        for profile in map(str.strip, match["profiles"].split("|")):
            if profile in named or profile not in TOOLS and named.keys() & {"ALL", "OTHERS"}:
                raise Error(f"\"{text}\": what comes of {profile} has been said before")
            named[profile] = verdict
    others = named.pop("ALL", None) or named.pop("OTHERS", None)
    for profile in POOLS:
        if profile not in named and others is None:
            raise Error(f"\"{text}\": nothing is said of {profile}")
        named.setdefault(profile, others)
    return named
