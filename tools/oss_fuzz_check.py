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
import string
import subprocess
import sys
import tempfile
import typing
import zipfile

PROJECT = pathlib.Path(__file__).resolve().parent.parent
CLANG = os.environ.get("CC", "clang-19")
CLANGXX = re.sub(r"clang(?!.*clang)", "clang++", CLANG)
AFL_DRIVER = "/usr/lib/afl/libAFLDriver.a"
AFL_SECONDS = 5
LOG_LINES = 60
SKIPPED = 77

COMMON = "-O1 -fno-omit-frame-pointer -gline-tables-only -DFUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION"
# Errors end the process. Unsigned overflow is none: engines take it for coverage.
ERRORS = (
    "array-bounds,bool,builtin,enum,function,integer-divide-by-zero,null,object-size,return,"
    "returns-nonnull-attribute,shift,signed-integer-overflow,unreachable,vla-bound,vptr"
)
SANITIZERS = {
    "address": "-fsanitize=address -fsanitize-address-use-after-scope",
    "undefined": f"-fsanitize={ERRORS},unsigned-integer-overflow -fno-sanitize-recover={ERRORS}",
    "memory": "-fsanitize=memory -fsanitize-memory-track-origins",
    "coverage": "-fprofile-instr-generate -fcoverage-mapping",
}
# How many calls of each runtime an executable must and may have; of another, hardly any.
CALLS = {
    "address": {"asan": (1000, None), "ubsan": (0, 200), "msan": (0, 3)},
    "undefined": {"asan": (0, 0), "ubsan": (168, None), "msan": (0, 3)},
    "memory": {"asan": (0, 0), "ubsan": (0, 200), "msan": (1000, None)},
    "coverage": {"asan": (0, 0), "ubsan": (0, 200), "msan": (0, 3)},
}
LEAST_EDGES = 100
# e_machine of an ELF header.
MACHINES = {"x86_64": 62, "i386": 3}


class Build(typing.NamedTuple):
    sanitizer: str
    engine: str = "libfuzzer"
    architecture: str = "x86_64"


BUILDS = {
    "address": Build("address"),
    "undefined": Build("undefined"),
    "memory": Build("memory"),
    "coverage": Build("coverage"),
    "afl": Build("address", engine="afl"),
    "i386": Build("address", architecture="i386"),
}


class Failure(Exception):
    """What a check found."""


class Skipped(Exception):
    """Why a build cannot be made here."""


class Refusal(Exception):
    """Why nothing can be checked."""


def require(condition, message):
    if not condition:
        raise Failure(message)


def run(command, cwd, environment):
    """Returns the exit code and all that a command wrote."""
    result = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    return result.returncode, result.stdout.decode(errors="backslashreplace")


def environment_of(build, root):
    """Returns the environment of build.sh, with nothing of this process's but the PATH."""
    flags = [COMMON, SANITIZERS[build.sanitizer]]
    if build.engine == "libfuzzer":
        flags.append("-fsanitize=fuzzer-no-link")
    if build.architecture == "i386":
        # gcc-multilib, which has <asm/errno.h> where it is looked for, keeps no cross compilers.
        flags.append("-m32 -idirafter /usr/include/x86_64-linux-gnu")
    is_afl = build.engine == "afl"
    environment = {
        "PATH": os.environ["PATH"],
        "SRC": str(root / "src"),
        "WORK": str(root / "work"),
        "OUT": str(root / "out"),
        "SANITIZER": build.sanitizer,
        "FUZZING_ENGINE": build.engine,
        "FUZZING_LANGUAGE": "c",
        "ARCHITECTURE": build.architecture,
        "CC": "afl-clang-fast" if is_afl else CLANG,
        "CXX": "afl-clang-fast++" if is_afl else CLANGXX,
        "CFLAGS": " ".join(flags),
        "CXXFLAGS": " ".join(flags),
        "LIB_FUZZING_ENGINE": AFL_DRIVER if is_afl else "-fsanitize=fuzzer",
    }
    if is_afl:
        # Debian's AFL++ 4.04 does not see the attribute by which engine.h excepts the model.
        denied = root / "denied"
        denied.write_text("src: fuzz/*\n")
        environment.update(AFL_QUIET="1", AFL_LLVM_DENYLIST=str(denied))
    return environment


def skip_impossible(build, root, environment):
    """Raises Skipped where this machine has no compiler for a build that few machines need."""
    if platform.machine() != "x86_64":
        raise Skipped(f"this is for x86-64 machines, not {platform.machine()}")
    if build.engine == "afl":
        if not shutil.which("afl-fuzz") or not os.path.exists(AFL_DRIVER):
            raise Skipped("AFL++ is not installed (on Debian: afl++)")
    elif build.architecture == "i386":
        source = root / "probe.cc"
        source.write_text("#include <errno.h>\n#include <string>\nint probe(std::string s) { return errno; }\n")
        command = [CLANGXX, *environment["CXXFLAGS"].split(), "-shared", "-fPIC", source]
        code, log = run([*command, "-o", root / "probe.so"], root, environment)
        if code != 0:
            packages = "libc6-dev-i386 lib32stdc++-12-dev libclang-rt-19-dev"
            reason = log.strip().splitlines()[-1]
            raise Skipped(f"nothing to build 32-bit programs with (on Debian: {packages}): {reason}")


def play_dockerfile(root, environment):
    """Does what the Dockerfile says; returns the directory that it leaves build.sh in."""
    directory = root
    dockerfile = PROJECT / ".clusterfuzzlite/Dockerfile"
    for line in dockerfile.read_text().splitlines():
        words = [string.Template(word).substitute(environment) for word in line.split()]
        if not words or line.startswith("#") or words == ["FROM", "gcr.io/oss-fuzz-base/base-builder"]:
            continue
        if words[0] == "WORKDIR" and len(words) == 2:
            directory = pathlib.Path(words[1])
        elif words[0] == "COPY" and len(words) == 3 and (PROJECT / words[1]).is_dir():
            ignored = shutil.ignore_patterns(".git", "bazel-*")
            shutil.copytree(PROJECT / words[1], words[2], ignore=ignored)
        elif words[0] == "COPY" and len(words) == 3:
            shutil.copy(PROJECT / words[1], words[2])
        else:
            raise Failure(f"{dockerfile}: this check does not know: {line}")
    return directory


def build_in(root, build):
    """Runs build.sh; returns a directory to which its output was moved. All else is gone."""
    environment = environment_of(build, root)
    skip_impossible(build, root, environment)
    for name in ("SRC", "WORK", "OUT"):
        os.mkdir(environment[name])
    directory = play_dockerfile(root, environment)
    code, log = run(["bash", "-eux", root / "src/build.sh"], directory, environment)
    require(code == 0, f"build.sh: exit code {code}\n{log}")
    moved = root / "moved"
    os.rename(root / "out", moved)
    shutil.rmtree(root / "src")
    shutil.rmtree(root / "work")
    return moved


def check_names(out):
    """Returns the drivers; there is one for each directory of the corpus, and all that it needs."""
    drivers = sorted(path.name for path in (PROJECT / "fuzz/corpus").iterdir())
    expected = {
        name for driver in drivers for name in (driver, f"{driver}.options", f"{driver}_seed_corpus.zip")
    }
    found = {path.name for path in out.iterdir() if not path.name.endswith(".dict")}
    require(drivers and found == expected, f"$OUT has not what it should: {found ^ expected}")
    for driver in drivers:
        require(re.fullmatch(r"[A-Za-z0-9_-]+", driver), f"{driver} is no name for OSS-Fuzz")
    return drivers


def check_architecture(driver, build):
    header = driver.read_bytes()[:20]
    machine = int.from_bytes(header[18:20], "little")
    require(header[:4] == b"\x7fELF" and machine == MACHINES[build.architecture], f"is for {machine}")


def check_calls(driver, build):
    """Returns how many calls of each sanitizer's runtime there are, in words."""
    code, listing = run(["objdump", "-d", "--no-show-raw-insn", driver], "/", os.environ)
    require(code == 0, f"objdump: {listing}")
    found = re.findall(r"\scall[ql]?\s+[0-9a-f]+ <__(asan|ubsan|msan)", listing)
    for runtime, (least, most) in CALLS[build.sanitizer].items():
        count = found.count(runtime)
        require(
            count >= least and (most is None or count <= most),
            f"{count} calls of {runtime}, not from {least} to {most}",
        )
    return ", ".join(f"{found.count(name)} {name}" for name in ("asan", "ubsan", "msan"))


def flags_of(options):
    """Returns the libFuzzer flags that ClusterFuzz would take from a file."""
    parser = configparser.ConfigParser()
    parser.read_string(options.read_text())
    require(parser.sections() == ["libfuzzer"], f"{options.name} has not the section libfuzzer")
    return [f"-{flag}={value}" for flag, value in parser["libfuzzer"].items()]


def check_start(driver, scratch, environment):
    flags = flags_of(driver.with_suffix(".options"))
    code, log = run([driver, "-seed=1337", "-runs=4", *flags], scratch, environment)
    edges = re.search(r"INFO: Loaded \d+ module.*\((?:\d+ inline 8-bit counters|\d+ guards)\): (\d+)", log)
    require(code == 0 and "Done 4 runs" in log, f"does not start\n{log}")
    require("WARNING: unrecognized flag" not in log, f"its options are no options\n{log}")
    require(edges and int(edges[1]) >= LEAST_EDGES, f"has hardly any edges\n{log}")


def unpack_seeds(driver, scratch):
    archive = driver.with_name(driver.name + "_seed_corpus.zip")
    with zipfile.ZipFile(archive) as seeds:
        require(seeds.testzip() is None and seeds.namelist(), f"{archive.name} is damaged or empty")
        seeds.extractall(scratch)
    unpacked = sorted(path for path in scratch.iterdir())
    count = len(list((PROJECT / "fuzz/corpus" / driver.name).iterdir()))
    require(len(unpacked) == count, f"{archive.name} has {len(unpacked)} seeds of {count}")
    return unpacked


def check_seeds(driver, seeds, scratch, environment):
    code, log = run([driver, *seeds], scratch, environment)
    count = len(re.findall(r"^Executed .* in \d+ ms$", log, re.MULTILINE))
    require(code == 0 and count == len(seeds), f"runs {count} of {len(seeds)} seeds\n{log}")


def check_afl(driver, seeds, scratch):
    """Lets AFL++ fuzz for some seconds; returns what it says of them."""
    environment = {
        "PATH": os.environ["PATH"],
        "AFL_I_DONT_CARE_ABOUT_MISSING_CRASHES": "1",
        "AFL_NO_AFFINITY": "1",
        "AFL_NO_UI": "1",
        "AFL_SKIP_CPUFREQ": "1",
    }
    command = ["afl-fuzz", "-V", AFL_SECONDS, "-i", seeds[0].parent, "-o", scratch, "--", driver]
    code, log = run(command, scratch, environment)
    ready = "All set and ready to roll" in log
    require(code == 0 and ready, f"afl-fuzz: exit code {code}\n{log}")
    lines = (scratch / "default/fuzzer_stats").read_text().splitlines()
    stats = dict(map(str.strip, line.split(":", 1)) for line in lines)
    executions, stability = int(stats["execs_done"]), stats["stability"]
    require(executions > 0 and stats["saved_crashes"] == "0", f"finds crashes\n{log}")
    return f"{executions} executions under afl-fuzz, {stability} stable"


def check_driver(driver, build, scratch):
    """Returns what is worth telling of a driver with which all is well."""
    check_architecture(driver, build)
    facts = [check_calls(driver, build)]
    (scratch / "seeds").mkdir()
    seeds = unpack_seeds(driver, scratch / "seeds")
    if build.engine == "afl":
        (scratch / "findings").mkdir()
        facts.append(check_afl(driver, seeds, scratch / "findings"))
    else:
        environment = {"UBSAN_OPTIONS": "silence_unsigned_overflow=1", "PATH": os.environ["PATH"]}
        environment["LLVM_PROFILE_FILE"] = str(scratch / "profile")
        check_start(driver, scratch, environment)
        check_seeds(driver, seeds, scratch, environment)
        facts.append(f"{len(seeds)} seeds run")
        if build.sanitizer == "coverage":
            profile = scratch / "profile"
            require(profile.exists() and profile.stat().st_size > 0, "leaves no profile")
    return "; ".join(facts)


def tell_failure(what, failure):
    """Logs may be long: of them the end is told."""
    first, *lines = str(failure).splitlines()
    print(f"FAILED  {what}: {first}", *lines[-LOG_LINES:], sep="\n", flush=True)


def check(name, root):
    """Builds and checks; returns the number of failures."""
    build = BUILDS[name]
    root.mkdir()
    try:
        out = build_in(root, build)
        drivers = check_names(out)
    except Failure as failure:
        tell_failure(name, failure)
        return 1
    failures = 0
    for driver in drivers:
        scratch = root / f"run-{driver}"
        scratch.mkdir()
        try:
            print(f"ok      {name} {driver}: {check_driver(out / driver, build, scratch)}", flush=True)
        except (Failure, OSError, configparser.Error, zipfile.BadZipFile) as failure:
            tell_failure(f"{name} {driver}", failure)
            failures += 1
    return failures


def main():
    names = sys.argv[1:] or list(BUILDS)
    failures, skipped = 0, 0
    # So that nothing is left behind where something loses patience.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    try:
        for name in names:
            if name not in BUILDS:
                raise Refusal(f"{name} is no build: known are {', '.join(BUILDS)}")
        for program in (CLANG, CLANGXX, "bash", "objdump"):
            if not shutil.which(program):
                raise Refusal(f"there is no program {program}")
        with tempfile.TemporaryDirectory() as scratch:
            for name in names:
                try:
                    failures += check(name, pathlib.Path(scratch, name))
                except Skipped as reason:
                    print(f"skipped {name}: {reason}", flush=True)
                    skipped += 1
    except Refusal as refusal:
        print(f"oss_fuzz_check: {refusal}", file=sys.stderr)
        return 2
    if failures:
        return 1
    return SKIPPED if skipped == len(names) else 0


if __name__ == "__main__":
    sys.exit(main())
