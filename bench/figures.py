# SPDX-License-Identifier: BSD-3-Clause
"""What is measured, and of what."""

import collections
import glob
import pathlib
import platform
import re

SIZES = (16, 64, 256, 1000)

# program: beside this file; variant: its argument; package: of Debian; preload: patterns of the
# allocator's file, of which the first that matches counts.
Subject = collections.namedtuple("Subject", "program variant package preload")

_HEADER = pathlib.Path(__file__).absolute().parents[1] / "include/libcork/core/mempool_options.h"
PROTECTIONS = tuple(re.findall(r"(?m)^ +X\(\w+, (\w+)\)", _HEADER.read_text(encoding="utf-8")))
OWN = ("default", *PROTECTIONS, "paranoid")
_LIBRARIES = f"/usr/lib/{platform.machine()}-linux-gnu"


def _malloc(variant, package, *preload):
    return Subject("malloc", variant, package, preload)


SUBJECTS = {name: Subject("cork", name, None, ()) for name in OWN}
SUBJECTS.update(
    libcork=Subject("libcork", "", "libcork16", ()),
    boost=Subject("boost", "", "libboost-dev", ()),
    glibc=_malloc("libc.so", "libc6"),
    jemalloc=_malloc("jemalloc", "libjemalloc2", _LIBRARIES + "/libjemalloc.so.2"),
    mimalloc=_malloc("mimalloc", "libmimalloc2.0", _LIBRARIES + "/libmimalloc.so.*"),
    tcmalloc=_malloc("tcmalloc", "libtcmalloc-minimal4", _LIBRARIES + "/libtcmalloc_minimal.so.4*"),
    scudo=_malloc(
        "scudo",
        "libclang-rt-19-dev",
        "/usr/lib/llvm-19/lib/clang/*/lib/linux/"
        f"libclang_rt.scudo_standalone-{platform.machine()}.so",
    ),
)
OTHERS = tuple(name for name in SUBJECTS if name not in OWN)
UNCHECKED = tuple(name for name in OTHERS if name != "scudo")


def library(subject):
    """Returns the file to preload for a subject, or None."""
    return next((file for pattern in subject.preload for file in sorted(glob.glob(pattern))), None)


def _at(name, *counts):
    return tuple(f"{name}_{count}" for count in counts)


CYCLE = _at("cycle", 1, 16, 64, 65, 100, 256, 1024, 4096, 16384)
MID = _at("mid", 100, 600, 1000, 3000, 5000, 10000, 30000, 100000)
_COUNTS = tuple(10**exponent for exponent in range(3, 8))
GROWTH = {name: _at(name, *_COUNTS) for name in ("growth_first", "growth_new", "growth_free")}

# What a process runs, over count objects, or quick_count for a try, and the figures that it gives.
Group = collections.namedtuple("Group", "count quick_count subjects figures")
ALL = tuple(SUBJECTS)
BASE = tuple("churn lifo fifo build replace randfree rebuild walk teardown".split())
_TAIL = "new_p50 new_p999 new_max free_p50 free_p999 free_max clock"
_TRIM = "trim_fresh trim_first_peak trim_after trim_last_peak trim_last"
GROUPS = {
    "base": Group(1000000, 20000, ALL, (*BASE, "bytes")),
    "lifetimes": Group(250000, 20000, ALL, ("lifetimes",)),
    "hash": Group(250000, 20000, ALL, ("hash", "hash_find")),
    "tree": Group(125000, 20000, ALL, ("tree", "tree_find")),
    # Its count is how long each of its figures is measured, in objects of 10 ns.
    "cycle": Group(500000, 20000, ALL, CYCLE),
    # Pairs of a free and a new.
    "mid": Group(200000, 20000, ALL, MID),
    "bursts": Group(250000, 20000, ALL, ("bursts",)),
    # Pools of a hundred objects, and of one, which means nothing where there are no pools.
    "many": Group(20000, 1000, ("default", *OTHERS), ("many", "many_bytes", "many_mappings")),
    "pools": Group(
        10000, 1000, (*OWN, "libcork", "boost"), ("pools", "pools_bytes", "pools_mappings")
    ),
    "tail": Group(250000, 20000, ALL, tuple(_TAIL.split())),
    "growth": Group(
        _COUNTS[-1], 100000, ("default", "paranoid", *OTHERS), sum(GROWTH.values(), ())
    ),
    "trim": Group(1000000, 20000, ("default", "paranoid"), tuple(_TRIM.split())),
    # How many are executed by a new and a free, of 64 bytes.
    "instructions": Group(1, 1, ("default", "paranoid"), ("instructions_new", "instructions_free")),
}
# They measure no time, and are the same each time.
ONCE = ("trim", "instructions")

# Nobody has memory for ten million objects of every size, nor time for them where much is checked.
MOST_BYTES = 1 << 30
CHECKED_GROWTH = 1000000


def count_of(name, group, size, is_quick):
    count = GROUPS[group].quick_count if is_quick else GROUPS[group].count
    while count * size * (100 if group == "many" else 1) > MOST_BYTES:
        count //= 10
    if group == "growth" and name not in ("default", *UNCHECKED):
        count = min(count, CHECKED_GROWTH)
    return count


def _workload(group, figure):
    """Returns what a user asks for to get a figure."""
    return figure if group == "base" else group


# The workload of each figure, and the group of each workload.
FIGURES = {name: _workload(group, name) for group in GROUPS for name in GROUPS[group].figures}
WORKLOADS = {_workload(group, name): group for group in GROUPS for name in GROUPS[group].figures}

# What is compared, as far as it is a time for each operation; its parts count with the whole. A
# node of a tree does not fit into 16 bytes.
TIMES = (*BASE, "lifetimes", "hash", "tree")
SMALL = (*CYCLE, *MID, "bursts", "lifetimes")
IMPOSSIBLE = (16, "tree")
DRAWN = (*TIMES, "bytes", "bursts", "many", "many_bytes")
DRAWN += _at("cycle", 1, 16, 64, 100, 1024, 16384) + _at("mid", 100, 1000, 10000, 100000)
# Figures that tables of ratios have; all others stand in the tables of figures.
COMPARED = (*TIMES, "bytes", "bursts", "many", "many_bytes", "new_p999")
COMPARED += _at("cycle", 1, 64, 1024, 16384) + _at("mid", 100, 3000, 100000)
