# SPDX-License-Identifier: BSD-3-Clause
"""What is measured, of what, and what is demanded of it."""

import collections
import glob
import platform

SIZES = (16, 64, 256, 1000)

# command: of the program beside this file; preload: patterns of the library's file, the first of
# which there is such a file counts.
Subject = collections.namedtuple("Subject", "program variant package preload")

_PROTECTIONS = ("canary", "seal", "wipe", "shuffle", "quarantine", "guard", "callsites")
OWN = ("default", *_PROTECTIONS, "paranoid")
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


# What a process runs: one or more workloads, over count objects, or quick_count for a try.
Group = collections.namedtuple("Group", "count quick_count subjects")
# It measures no time, and is the same each time.
ONCE = ("trim",)
POOLS = (*OWN, "libcork", "boost")
GROUPS = {
    "base": Group(1000000, 20000, tuple(SUBJECTS)),
    "lifetimes": Group(250000, 20000, tuple(SUBJECTS)),
    "hash": Group(250000, 20000, tuple(SUBJECTS)),
    "tree": Group(125000, 20000, tuple(SUBJECTS)),
    # These two mean nothing where there are no pools. Their counts are their own.
    "pools": Group(10000, 10000, POOLS),
    "first": Group(1000, 1000, POOLS),
    "tail": Group(250000, 20000, tuple(SUBJECTS)),
    "growth": Group(10000000, 100000, tuple(SUBJECTS)),
    "trim": Group(1000000, 20000, ("default", "paranoid")),
}

# Nobody has memory for ten million objects of every size, nor time for them with protections.
GROWTH_BYTES = 1 << 30
PROTECTED_GROWTH = 1000000


def count_of(name, group, size, is_quick):
    count = GROUPS[group].quick_count if is_quick else GROUPS[group].count
    if group == "growth":
        while count * size > GROWTH_BYTES:
            count //= 10
        if name in OWN and name != "default":
            count = min(count, PROTECTED_GROWTH)
    return count


# Of a figure: the workload that a user asks for to get it, and what it is in.
Figure = collections.namedtuple("Figure", "group workload unit")
FIGURES = {}


def _figures(group, workload, unit, *names):
    for name in names or (workload,):
        FIGURES[name] = Figure(group, workload, unit)


for _name in "churn lifo fifo build replace randfree rebuild walk teardown".split():
    _figures("base", _name, "ns")
_figures("base", "bytes", "bytes")
_figures("lifetimes", "lifetimes", "ns")
_figures("hash", "hash", "ns", "hash", "hash_find")
_figures("tree", "tree", "ns", "tree", "tree_find")
_figures("pools", "pools", "ns")
_figures("pools", "pools", "bytes", "pools_bytes")
_figures("first", "first", "ns")
_figures("tail", "tail", "ns", "new_p50", "new_p999", "new_max", "free_p50", "free_p999", "free_max")
_figures("tail", "tail", "ns", "clock")
GROWTH = ("growth_first", "growth_new", "growth_free")
_figures("growth", "growth", "ns", *GROWTH)
TRIM = ("trim_fresh", "trim_first_peak", "trim_after", "trim_last_peak", "trim_last")
_figures("trim", "trim", "bytes", *TRIM)

WORKLOADS = {figure.workload: figure.group for figure in FIGURES.values()}

# What verdicts compare, as far as it is a time for each operation; its parts count with the whole.
TIMES = tuple("churn lifo fifo build replace randfree rebuild walk teardown".split())
TIMES += ("lifetimes", "hash", "tree")


def figure_of(name):
    """Returns the figure that a program calls so, or None. Those of growth have a count behind."""
    head, _, count = name.rpartition("_")
    if head in GROWTH and count.isdecimal():
        return FIGURES[head]
    return None if name in GROWTH else FIGURES.get(name)


# The most that a verdict's figure may be; None: it is told, and not judged.
DEMANDS = {
    "libcork, largest": 1.0,
    "libcork, mean": 0.4,
    "best unchecked, mean": 1.0,
    "boost, churn": 5.0,
    "boost, lifo": 1.5,
    "boost, fifo": 1.5,
    "scudo, mean": 0.15,
    "paranoid to scudo, mean": None,
    "bytes beyond 16": 0.5,
    "growth of new": 2.0,
    "growth of free": 2.0,
    "pools, time": 1.5,
    "pools, bytes": 1.5,
    "trim, resident": 1.05,
    "trim, bounded": 1.05,
}
