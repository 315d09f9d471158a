#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Builds the fuzz tests as OSS-Fuzz and ClusterFuzzLite would, and checks what they would check.

usage: oss_fuzz_check.py [BUILD...]
Exit code: 0, 1 where a check fails, 2 where nothing can be checked, 77 where all was skipped.
"""

import configparser
import os
import pathlib
import platform
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import zipfile

PROJECT = pathlib.Path(__file__).resolve().parents[2]
CLANG = os.environ.get("CC", "clang-19")
CLANGXX = re.sub(r"clang(?!.*clang)", "clang++", CLANG)
AFL_DRIVER = "/usr/lib/afl/libAFLDriver.a"
DOCKERFILE = ["FROM gcr.io/oss-fuzz-base/base-builder", "COPY . $SRC/cork_mempool", "WORKDIR $SRC/cork_mempool",
              "COPY .clusterfuzzlite/build.sh $SRC/"]

COMMON = "-O1 -fno-omit-frame-pointer -gline-tables-only -DFUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION"
# These end the process. Unsigned overflow does not: engines use it as coverage.
ERRORS = ("array-bounds,bool,builtin,enum,function,integer-divide-by-zero,null,object-size,return,"
          "returns-nonnull-attribute,shift,signed-integer-overflow,unreachable,vla-bound,vptr")
SANITIZERS = {
    "address": "-fsanitize=address -fsanitize-address-use-after-scope",
    "undefined": f"-fsanitize={ERRORS},unsigned-integer-overflow -fno-sanitize-recover={ERRORS}",
    "memory": "-fsanitize=memory -fsanitize-memory-track-origins",
    "coverage": "-fprofile-instr-generate -fcoverage-mapping",
}
BUILDS = [*SANITIZERS, "afl", "i386"]  # the last two with the sanitizer "address"
# Fewer calls of a sanitizer's runtime show that a part of a driver was built without the flags.
CALLS = {"address": ("asan", 1000), "undefined": ("ubsan", 168), "memory": ("msan", 1000)}


class Skipped(Exception):
    """Why a build cannot be made here."""


def require(condition, message):
    if not condition:
        raise AssertionError(message)


def run(command, cwd, environment):
    """Returns the exit code and all that a command wrote."""
    result = subprocess.run([str(word) for word in command], cwd=cwd, env=environment, check=False,
                            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return result.returncode, result.stdout.decode(errors="backslashreplace")


def environment_of(build, sanitizer, root):
    """Returns the environment of build.sh, with nothing of this process's but the PATH; where this
    machine has no compiler for a build that few machines need, it raises Skipped."""
    flags = f"{COMMON} {SANITIZERS[sanitizer]}"
    environment = {"PATH": os.environ["PATH"], "SANITIZER": sanitizer, "FUZZING_LANGUAGE": "c",
                   "ARCHITECTURE": "i386" if build == "i386" else "x86_64",
                   **{name: str(root / name.lower()) for name in ("SRC", "WORK", "OUT")}}
    if platform.machine() != "x86_64":
        raise Skipped(f"this is for x86-64 machines, not {platform.machine()}")
    if build == "afl":
        if not shutil.which("afl-fuzz") or not os.path.exists(AFL_DRIVER):
            raise Skipped("AFL++ is not installed (on Debian: afl++)")
        # Debian's AFL++ 4.04 does not see the attribute by which engine.h excepts the model.
        (root / "denied").write_text("src: fuzz/*\n")
        return {**environment, "FUZZING_ENGINE": "afl", "LIB_FUZZING_ENGINE": AFL_DRIVER,
                "CC": "afl-clang-fast", "CXX": "afl-clang-fast++", "CFLAGS": flags, "CXXFLAGS": flags,
                "AFL_QUIET": "1", "AFL_LLVM_DENYLIST": str(root / "denied")}
    flags += " -fsanitize=fuzzer-no-link"
    if build == "i386":
        # gcc-multilib, which has <asm/errno.h> where it is looked for, keeps no cross compilers.
        flags += " -m32 -idirafter /usr/include/x86_64-linux-gnu"
        includes = ["-include", "errno.h", "-include", "string", "-x", "c++", "/dev/null"]
        command = [CLANGXX, *flags.split(), *includes, "-shared", "-fPIC", "-o", "probe.so"]
        code, log = run(command, root, environment)
        if code != 0:
            packages = "libc6-dev-i386 lib32stdc++-$(gcc -dumpversion)-dev libclang-rt-19-dev"
            raise Skipped("nothing to build 32-bit programs with "
                          f"(on Debian: {packages}): {log.strip().splitlines()[-1]}")
    return {**environment, "FUZZING_ENGINE": "libfuzzer", "LIB_FUZZING_ENGINE": "-fsanitize=fuzzer",
            "CC": CLANG, "CXX": CLANGXX, "CFLAGS": flags, "CXXFLAGS": flags}


def build_in(root, environment):
    """Does what the Dockerfile says, and runs build.sh; returns a directory to which its output was moved.
    All else is gone."""
    lines = (PROJECT / ".clusterfuzzlite/Dockerfile").read_text().splitlines()
    require([line for line in lines if not line.startswith("#")] == DOCKERFILE,
            "the Dockerfile does not say what this check does")
    shutil.copytree(PROJECT, root / "src/cork_mempool", ignore=shutil.ignore_patterns(".git", "bazel-*"))
    shutil.copy(PROJECT / ".clusterfuzzlite/build.sh", root / "src")
    for name in ("work", "out"):
        (root / name).mkdir()
    code, log = run(["bash", "-eux", root / "src/build.sh"], root / "src/cork_mempool", environment)
    require(code == 0, f"build.sh: exit code {code}\n{log}")
    shutil.rmtree(root / "src")
    shutil.rmtree(root / "work")
    return (root / "out").rename(root / "moved")


def check_names(out):
    """Returns the drivers; there is one for each directory of the corpus, and all that it needs."""
    drivers = sorted(path.name for path in (PROJECT / "fuzz/targets/corpus").iterdir())
    expected = {driver + suffix for driver in drivers for suffix in ("", ".options", "_seed_corpus.zip")}
    found = {path.name for path in out.iterdir()}
    require(drivers and found == expected, f"$OUT has not what it should: {found ^ expected}")
    return drivers


def check_code(driver, build, sanitizer):
    """Returns how many calls of its sanitizer's runtime a driver has, in words."""
    code, listing = run(["objdump", "-d", "--no-show-raw-insn", driver], "/", os.environ)
    require(code == 0, f"objdump: {listing}")
    machine = "elf32-i386" if build == "i386" else "elf64-x86-64"
    require(f"file format {machine}\n" in listing, f"is not for {machine}")
    runtime, least = CALLS.get(sanitizer, ("", 0))
    count = len(re.findall(rf"\scall[ql]?\s+[0-9a-f]+ <__{runtime}", listing)) if runtime else 0
    require(count >= least, f"{count} calls of {runtime}, not {least} at least")
    return f"{count} calls of {runtime or 'no sanitizer'}"


def check_libfuzzer(driver, seeds, scratch):
    """Starts a driver as ClusterFuzz would, and runs its seeds; returns how many there are."""
    environment = {"UBSAN_OPTIONS": "silence_unsigned_overflow=1", "PATH": os.environ["PATH"],
                   "LLVM_PROFILE_FILE": str(scratch / "profile")}
    parser = configparser.ConfigParser()
    parser.read_string(driver.with_suffix(".options").read_text())
    require(parser.sections() == ["libfuzzer"], "its options have not the section libfuzzer")
    flags = [f"-{flag}={value}" for flag, value in parser["libfuzzer"].items()]
    code, log = run([driver, "-seed=1337", "-runs=4", *flags], scratch, environment)
    edges = re.search(r"INFO: Loaded \d+ module.*\((?:\d+ inline 8-bit counters|\d+ guards)\): (\d+)", log)
    require(code == 0 and "Done 4 runs" in log, f"does not start\n{log}")
    require("WARNING: unrecognized flag" not in log, f"its options are no options\n{log}")
    require(edges and int(edges[1]) >= 100, f"has hardly any edges\n{log}")
    code, log = run([driver, *seeds], scratch, environment)
    count = len(re.findall(r"^Executed .* in \d+ ms$", log, re.MULTILINE))
    require(code == 0 and count == len(seeds), f"runs {count} of {len(seeds)} seeds\n{log}")
    return f"{len(seeds)} seeds run"


def check_afl(driver, seeds, scratch):
    """Lets AFL++ fuzz for five seconds; returns what it says of them."""
    switches = ("I_DONT_CARE_ABOUT_MISSING_CRASHES", "NO_AFFINITY", "NO_UI", "SKIP_CPUFREQ")
    environment = {"PATH": os.environ["PATH"], **{"AFL_" + switch: "1" for switch in switches}}
    command = ["afl-fuzz", "-V", 5, "-i", seeds[0].parent, "-o", scratch / "findings", "--", driver]
    code, log = run(command, scratch, environment)
    require(code == 0 and "All set and ready to roll" in log, f"afl-fuzz: exit code {code}\n{log}")
    stats = dict(re.findall(r"(?m)^(\w+) *: (.*)", (scratch / "findings/default/fuzzer_stats").read_text()))
    require(int(stats["execs_done"]) > 0 and stats["saved_crashes"] == "0", f"finds crashes\n{log}")
    return f"{stats['execs_done']} executions under afl-fuzz, {stats['stability']} stable"


def check_driver(driver, build, sanitizer, scratch):
    """Returns what is worth telling of a driver with which all is well."""
    calls = check_code(driver, build, sanitizer)
    archive = driver.with_name(driver.name + "_seed_corpus.zip")
    with zipfile.ZipFile(archive) as packed:
        require(packed.testzip() is None and packed.namelist(), f"{archive.name} is damaged or empty")
        packed.extractall(scratch / "seeds")
    seeds = sorted((scratch / "seeds").iterdir())
    count = len(list((PROJECT / "fuzz/targets/corpus" / driver.name).iterdir()))
    require(len(seeds) == count, f"{archive.name} has {len(seeds)} seeds of {count}")
    facts = (check_afl if build == "afl" else check_libfuzzer)(driver, seeds, scratch)
    profile = scratch / "profile"
    require(build != "coverage" or profile.exists() and profile.stat().st_size > 0, "leaves no profile")
    return f"{calls}; {facts}"


def check(build, root):
    """Builds and checks; returns whether all is well."""
    sanitizer, what = build if build in SANITIZERS else "address", build
    root.mkdir()
    try:
        out = build_in(root, environment_of(build, sanitizer, root))
        for driver in check_names(out):
            what = f"{build} {driver}"
            facts = check_driver(out / driver, build, sanitizer, root / f"run-{driver}")
            print(f"ok      {what}: {facts}", flush=True)
    except (AssertionError, OSError, configparser.Error, zipfile.BadZipFile) as failure:
        first, *lines = str(failure).splitlines()
        print(f"FAILED  {what}: {first}", *lines[-60:], sep="\n", flush=True)
        return False
    return True


def main():
    builds = sys.argv[1:] or BUILDS
    known, programs = ", ".join(BUILDS), (CLANG, CLANGXX, "bash", "objdump")
    refusals = [f"{build} is no build: known are {known}" for build in builds if build not in BUILDS]
    refusals += [f"there is no program {program}" for program in programs if not shutil.which(program)]
    if refusals:
        print(f"oss_fuzz_check: {refusals[0]}", file=sys.stderr)
        return 2
    # Ends by an exception, so that the scratch directory goes where a caller stops this by SIGTERM.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    failed, skipped = False, 0
    with tempfile.TemporaryDirectory() as scratch:
        for build in builds:
            try:
                failed |= not check(build, pathlib.Path(scratch, build))
            except Skipped as reason:
                print(f"skipped {build}: {reason}", flush=True)
                skipped += 1
    return 1 if failed else 77 if skipped == len(builds) else 0


if __name__ == "__main__":
    sys.exit(main())
