# SPDX-License-Identifier: BSD-3-Clause
"""What the tests are built for by tools/cross, and how they are run there."""

import dataclasses

STRICT = ("-O3", "-flto", "-fstrict-aliasing", "-Wstrict-aliasing=2")

# A limit that is never reached makes the pool reserve little at a time. qemu-user writes down every
# page of a reservation, so that a gigabyte takes it milliseconds and megabytes, again and again.
NEVER_REACHED = ("prlimit", f"--as={1 << 46}")


@dataclasses.dataclass(frozen=True)
class Target:
    """A compiler with its flags, and what runs its programs."""

    name: str
    about: str
    packages: tuple  # of Debian
    compiler: str
    flags: tuple = ()
    link_flags: tuple = ()
    cxx: str = ""  # the compiler of C++; empty: there is none
    runner: tuple = ()
    more_sources: tuple = ()  # linked with every test
    setup: tuple = ()  # what installs the rest, once the packages are there


def emulated(name, about, triple, package, qemu, runner=()):
    """Returns a target that Debian has cross compilers for, run by qemu-user."""
    return Target(
        name,
        about,
        (f"g++-{package}", "qemu-user"),
        f"{triple}-gcc",
        ("-DTEST_UNDER_QEMU=1",),
        cxx=f"{triple}-g++",
        runner=(*runner, qemu, "-L", f"/usr/{triple}"),
    )


def virtual(name, about, triple, package, qemu):
    """Returns a target that runs under a kernel of its own, one machine for each program."""
    return Target(
        name,
        about,
        (f"g++-{package}", qemu, "cpio"),
        f"{triple}-gcc",
        ("-DSECONDS_PER_TEST=500",),
        ("-static",),
        cxx=f"{triple}-g++",
        runner=("tools/vm.py", name),
        setup=("tools/vm.py", "--install", name),
    )


def paged(kib):
    """Returns a target whose pages are larger than the machine's, as far as a program can see."""
    return Target(
        f"pages{kib}k",
        f"pages of {kib} KiB, simulated (test/pages.c)",
        ("gcc",),
        "gcc",
        (f"-DSIMULATED_PAGE_SIZE={kib * 1024}",),
        ("-Wl,--wrap=sysconf",),
        more_sources=("test/pages.c",),
    )


TARGETS = (
    Target("gcc", "gcc as it is here", ("g++",), "gcc", cxx="g++"),
    Target("clang", "clang", ("clang-19",), "clang-19", cxx="clang++-19"),
    Target("strict", "gcc " + " ".join(STRICT), ("g++",), "gcc", STRICT, STRICT, cxx="g++"),
    Target("static", "glibc, linked statically", ("g++",), "gcc", link_flags=("-static",), cxx="g++"),
    # Linked statically, the tests would count what musl's own functions ask each other for.
    Target("musl", "musl", ("musl-tools",), "musl-gcc"),
    Target(
        "i386",
        "32 bits, native",
        ("libc6-dev-i386", "lib32stdc++-12-dev"),
        "gcc",
        # Without Debian's gcc-multilib, which no cross compiler may stand beside, gcc lacks <asm/>.
        ("-m32", "-idirafter", "/usr/include/x86_64-linux-gnu"),
        cxx="g++",
    ),
    emulated("arm64", "64 bits", "aarch64-linux-gnu", "aarch64-linux-gnu", "qemu-aarch64", NEVER_REACHED),
    emulated("armhf", "32 bits", "arm-linux-gnueabihf", "arm-linux-gnueabihf", "qemu-arm"),
    emulated("riscv64", "64 bits", "riscv64-linux-gnu", "riscv64-linux-gnu", "qemu-riscv64", NEVER_REACHED),
    emulated("s390x", "64 bits, big-endian", "s390x-linux-gnu", "s390x-linux-gnu", "qemu-s390x", NEVER_REACHED),
    paged(16),
    paged(64),
    virtual(
        "arm64-16k",
        "64 bits, a kernel with pages of 16 KiB",
        "aarch64-linux-gnu",
        "aarch64-linux-gnu",
        "qemu-system-arm",
    ),
    virtual(
        "ppc64le-64k",
        "64 bits, a kernel with pages of 64 KiB",
        "powerpc64le-linux-gnu",
        "powerpc64le-linux-gnu",
        "qemu-system-ppc",
    ),
    Target(
        "commit-limit",
        "no more than 1 GiB may be made writable (RLIMIT_DATA)",
        ("gcc",),
        "gcc",
        runner=("prlimit", f"--data={1 << 30}"),
    ),
    Target(
        "space-limit",
        "2 GiB of address space (RLIMIT_AS)",
        ("gcc",),
        "gcc",
        runner=("prlimit", f"--as={1 << 31}"),
    ),
)
