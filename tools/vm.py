#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Runs a program in a virtual machine with a kernel of its own: see --help.

The machine is made by qemu-system for this one program, which must be linked statically. It has no
disk: the program, and the files and directories that its arguments name, are in an initramfs at
the paths that they have here, seen from the current directory. Standard output and error come back
as one, the exit code is the program's. Kernels are Debian's, kept in ~/.cache/cork_mempool/vm.
"""

import argparse
import dataclasses
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

UNKNOWN = 2
SECONDS = 1200
INIT = pathlib.Path(__file__).resolve().parent / "vm_init.c"
MIRROR = "http://deb.debian.org/debian"
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
# Of these nothing but the kernel's own panics is printed.
QUIET = "quiet loglevel=1 panic=-1 rdinit=/init"


@dataclasses.dataclass(frozen=True)
class Machine:
    """A processor and a kernel."""

    architecture: str  # as Debian calls it
    suite: str  # of Debian
    kernel: str  # the package that depends on the newest
    compiler: str
    command: tuple
    console: str


MACHINES = {
    "arm64-16k": Machine(
        "arm64",
        "trixie",
        "linux-image-arm64-16k",
        "aarch64-linux-gnu-gcc",
        ("qemu-system-aarch64", "-M", "virt", "-cpu", "neoverse-n1"),
        "ttyAMA0",
    ),
    "ppc64le-64k": Machine(
        "ppc64el",
        "bookworm",
        "linux-image-powerpc64le",
        "powerpc64le-linux-gnu-gcc",
        ("qemu-system-ppc64", "-M", "pseries", "-vga", "none"),
        "hvc0",
    ),
}


class Refusal(Exception):
    """Something that was asked for cannot be done."""


def kernel_path(name):
    cache = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache")
    return cache / "cork_mempool" / "vm" / name / "kernel"


def run(command, **options):
    """Returns what a command prints; it must succeed."""
    try:
        done = subprocess.run(command, capture_output=True, **options)
    except FileNotFoundError as error:
        raise Refusal(f"there is no {command[0]}") from error
    if done.returncode != 0:
        errors = done.stderr.decode(errors="replace").strip()
        raise Refusal(f"{command[0]} ends with {done.returncode}: {errors}")
    return done.stdout


def install(name):
    """Fetches a machine's kernel with apt, whose signatures it verifies; nothing is installed."""
    machine = MACHINES[name]
    with tempfile.TemporaryDirectory() as directory:
        scratch = pathlib.Path(directory)
        for part in ("state/lists/partial", "cache/archives/partial"):
            (scratch / part).mkdir(parents=True)
        (scratch / "state/status").touch()
        source = f"deb [arch={machine.architecture} signed-by={KEYRING}] {MIRROR} {machine.suite} main\n"
        (scratch / "sources.list").write_text(source)
        options = [
            f"Dir::State={scratch}/state",
            f"Dir::State::status={scratch}/state/status",
            f"Dir::Cache={scratch}/cache",
            f"Dir::Etc::sourcelist={scratch}/sources.list",
            "Dir::Etc::sourceparts=-",
            f"APT::Architecture={machine.architecture}",
            f"APT::Architectures={machine.architecture}",
            # Who fetches as root could not write here otherwise.
            "APT::Sandbox::User=root",
        ]
        options = [word for option in options for word in ("-o", option)]
        run(["apt-get", *options, "-q", "update"])
        depends = run(["apt-cache", *options, "depends", machine.kernel]).decode()
        kernels = re.findall(r"Depends: (linux-image-\d\S*)", depends)
        if not kernels:
            raise Refusal(f"{machine.kernel} depends on no kernel:\n{depends}")
        run(["apt-get", *options, "-q", "download", kernels[0]], cwd=scratch)
        package = next(scratch.glob("*.deb"))
        run(["dpkg-deb", "--extract", package, scratch / "package"])
        path = kernel_path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        found = [*scratch.glob("package/boot/vmlinu*")]
        if len(found) != 1:
            raise Refusal(f"{package.name} has {len(found)} kernels, not one")
        shutil.move(found[0], path.with_suffix(".new"))
        path.with_suffix(".new").rename(path)


def initramfs(machine, words, scratch):
    """Returns the path of an archive with all that a command needs."""
    root = scratch / "root"
    home = root / "root"
    home.mkdir(parents=True)
    run([machine.compiler, "-static", "-O2", INIT, "-o", root / "init"])
    for path in filter(pathlib.Path.exists, map(pathlib.Path, filter(None, words[1:]))):
        # Relative paths are those of /root there.
        target = root / path.relative_to("/") if path.is_absolute() else home / path
        copy = shutil.copytree if path.is_dir() else shutil.copy2
        target.parent.mkdir(parents=True, exist_ok=True)
        copy(path, target)
    program = home / pathlib.Path(words[0]).name
    shutil.copy2(words[0], program)
    inside = [f"/root/{program.name}", *words[1:]]
    (root / "command").write_bytes(b"".join(os.fsencode(word) + b"\0" for word in inside))
    names = sorted(path.relative_to(root) for path in root.rglob("*"))
    listing = b"".join(os.fsencode(name) + b"\0" for name in names)
    archive = scratch / "initramfs"
    archive.write_bytes(run(["cpio", "-o", "-0", "-H", "newc", "-R", "0:0"], input=listing, cwd=root))
    return archive


def execute(name, words):
    """Runs a program in a machine, prints what it prints, and returns its exit code."""
    machine = MACHINES[name]
    kernel = kernel_path(name)
    if not kernel.exists():
        raise Refusal(f"{name} has no kernel yet: {sys.argv[0]} --install {name}")
    if not pathlib.Path(words[0]).is_file():
        raise Refusal(f"there is no program {words[0]}")
    with tempfile.TemporaryDirectory() as directory:
        archive = initramfs(machine, words, pathlib.Path(directory))
        command = [*machine.command, "-smp", "2", "-m", "4G", "-nic", "none", "-nographic"]
        command += ["-no-reboot", "-kernel", kernel, "-initrd", archive]
        command += ["-append", f"console={machine.console} {QUIET}"]
        try:
            console = run(command, stdin=subprocess.DEVNULL, timeout=SECONDS)
        except subprocess.TimeoutExpired as error:
            raise Refusal(f"{name} was still on after {SECONDS} s") from error
    found = re.search(rb"\nvm: begin\n(.*)\nvm: status (\d+)\n", console, re.DOTALL)
    if not found:
        text = console.decode(errors="replace").strip()
        raise Refusal(f"{name} did not finish; its console ends with:\n{text[-2000:]}")
    sys.stdout.buffer.write(found[1])
    return int(found[2])


def main():
    names = ", ".join(MACHINES)
    parser = argparse.ArgumentParser(
        prog="vm.py",
        usage="%(prog)s MACHINE PROGRAM [ARGUMENT...]\n       %(prog)s --install MACHINE",
        description=__doc__,
        epilog=f"machines: {names}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--install", action="store_true", help="fetch the machine's kernel")
    parser.add_argument("machine", metavar="MACHINE", choices=MACHINES)
    parser.add_argument("command", metavar="PROGRAM", nargs=argparse.REMAINDER)
    arguments = parser.parse_args()
    if bool(arguments.command) == arguments.install:
        parser.error("either a program is run, or a kernel is installed")
    if arguments.install:
        install(arguments.machine)
        return 0
    return execute(arguments.machine, arguments.command)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Refusal as refusal:
        print(f"vm.py: {refusal}", file=sys.stderr)
        sys.exit(UNKNOWN)
