# SPDX-License-Identifier: BSD-3-Clause
"""Makes a failing input of a fuzz test smaller by libFuzzer, and keeps how it fails.

Writes FILE.minimized, never FILE.
Exit code: 0; 1 where the input does not fail; 2 where something cannot be read, written or used.
"""

import argparse
import itertools
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

FUZZ = pathlib.Path(__file__).absolute().parents[1]
RUNS = 10000  # An input is small enough when so many mutations of it do not fail,
OTHERS = 50  # or so many one after the other fail in another way.

# What sanitizers, the model and the pool found. Addresses and counts differ where the failure is the same; the
# numbers of a violation's kind and of a call do not.
FINDING = re.compile(r"\b(?:cork_mempool|expected|runtime error|seen|SUMMARY): .*?(?= \(/|$)", re.MULTILINE)
NUMBER = re.compile(r"(?<!kind )(?<!call )\b(?:0x[0-9a-f]+|\d+)\b|\(nil\)")


def run(binary, *arguments):
    """Returns libFuzzer's findings, or None where it ends well."""
    # Looking up the names of functions takes longer than all else.
    options = {f"{name}_OPTIONS": os.environ.get(f"{name}_OPTIONS", "") + ":symbolize=0"
               for name in ("ASAN", "MSAN", "UBSAN")}
    process = subprocess.run([binary, "-timeout=10", *arguments], env={**os.environ, **options}, check=False,
                             stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                             errors="backslashreplace")
    findings = [NUMBER.sub("#", finding) for finding in FINDING.findall(process.stdout)]
    return findings if process.returncode != 0 else None


def minimize(binary, findings, output):
    """Makes the output smaller as long as libFuzzer finds how."""
    other_count = 0
    with tempfile.TemporaryDirectory() as scratch:
        smaller = pathlib.Path(scratch, "smaller")
        for seed in itertools.count(1):
            # libFuzzer's -minimize_crash=1 repeats this step, but takes any other failure as well.
            run(binary, "-minimize_crash_internal_step=1", f"-runs={RUNS}", f"-seed={seed}",
                f"-exact_artifact_path={smaller}", output)
            if not smaller.exists() or other_count == OTHERS:
                return
            other_count += 1
            if run(binary, smaller) == findings:
                shutil.copyfile(smaller, output)
                print(f"minimize: {output}: {output.stat().st_size} bytes", file=sys.stderr)
                other_count = 0
            smaller.unlink()


def find_binary(driver, file):
    """Returns the driver's libFuzzer; without a driver, the innermost folder that has one's name says which."""
    for name in [driver] if driver else [folder.name for folder in file.resolve().parents]:
        if re.fullmatch(r"\w+", name) and (FUZZ / f"{name}_bin").exists():
            return FUZZ / f"{name}_bin"
    reason = f"there is no driver {driver}" if driver else "no folder of it has a driver's name; give --driver"
    raise OSError(0, reason, str(file))


def main():
    parser = argparse.ArgumentParser(prog="minimize", allow_abbrev=False, description=__doc__.partition("\n")[0])
    parser.add_argument("--driver", metavar="NAME", help="the fuzz test; by default, a folder of FILE has its name")
    parser.add_argument("file", metavar="FILE", type=pathlib.Path, help="bytes that make it fail")
    options = parser.parse_args()
    try:
        # bazel run starts programs elsewhere, and says where it was called.
        os.chdir(os.environ.get("BUILD_WORKING_DIRECTORY", "."))
        options.file.read_bytes()
        binary = find_binary(options.driver, options.file)
        findings = run(binary, options.file)
        if findings is None:
            print(f"minimize: {options.file}: passes here: what fails may need the --config of another sanitizer, "
                  "or what ran before it", file=sys.stderr)
            return 1
        output = options.file.with_name(options.file.name + ".minimized")
        output.unlink(missing_ok=True)  # It may be a link to FILE.
        shutil.copyfile(options.file, output)
        minimize(binary, findings, output)
    except OSError as error:
        print(f"minimize: {error.filename}: {error.strerror}", file=sys.stderr)
        return 2
    print(f"{output}: {output.stat().st_size} bytes", *findings, sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
