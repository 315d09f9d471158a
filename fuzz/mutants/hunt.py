# SPDX-License-Identifier: BSD-3-Clause
"""Measures how long libFuzzer takes to find each mutant from an empty corpus, by fixed seeds.

Results are kept in a file as they come, and what is in it for the same binary is not measured
again: a hunt that was interrupted goes on where it ended.
"""

import argparse
import concurrent.futures
import fnmatch
import hashlib
import json
import os
import pathlib
import signal
import statistics
import struct
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../tools"))
import fuzz_run
import plotting

# Instead of an exit code: who destroys the heap may hang while it is reported.
HANGS = "hangs"


def positive(text):
    number = int(text) if text.isdecimal() else 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return number


def parse_arguments(arguments):
    parser = argparse.ArgumentParser(prog="hunt", allow_abbrev=False)
    parser.add_argument("--mutants", default="*", metavar="GLOB", help="those with such names (*)")
    parser.add_argument("--seeds", type=positive, default=5, metavar="N", help="seeds 1 to N (5)")
    parser.add_argument(
        "--timeout", type=positive, default=60, metavar="N", help="seconds a seed (60)"
    )
    parser.add_argument("--jobs", type=positive, default=2, metavar="N", help="at a time (2)")
    parser.add_argument("--json", metavar="OUT", help="keep the results in this file")
    parser.add_argument("--svg", metavar="OUT", help="draw the results; needs matplotlib")
    # What libFuzzer has besides to start, to end the last input and to write it down.
    parser.add_argument("--grace", type=positive, default=60, help=argparse.SUPPRESS)
    parser.add_argument("--root", type=pathlib.Path, required=True, help=argparse.SUPPRESS)
    parser.add_argument("--manifest", type=pathlib.Path, required=True, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    # bazel run starts programs elsewhere, and says where it was called.
    caller = os.environ.get("BUILD_WORKING_DIRECTORY", ".")
    home = fuzz_run.default_directory("hunt", os.environ) if options.json is None else None
    options.json = pathlib.Path(caller, options.json) if options.json else home / "results.json"
    options.svg = options.svg and pathlib.Path(caller, options.svg)
    return options


class Results:
    """The file of results: a list of runs, each with the mutant, its binary's hash, and the seed."""

    def __init__(self, path):
        self.path = path
        try:
            self.runs = json.loads(path.read_text())["runs"] if path.exists() else []
            self.runs = {(run["mutant"], run["binary"], run["seed"]): run for run in self.runs}
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise fuzz_run.Refusal(f"{path} holds no results of a hunt: {error!r}") from error

    def known(self, mutant, seed, timeout):
        """Returns a run that says what one with this timeout would, or None."""
        run = self.runs.get((mutant["name"], mutant["hash"], seed))
        if run is None or (not run["is_found"] and run["timeout"] < timeout):
            return None
        is_found = run["is_found"] and run["seconds"] <= timeout
        return dict(run, is_found=is_found, timeout=timeout)

    def add(self, run):
        """Keeps a run; the file is always whole."""
        self.runs[run["mutant"], run["binary"], run["seed"]] = run
        text = json.dumps({"runs": list(self.runs.values())}, indent=1)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            scratch = self.path.with_name(self.path.name + ".new")
            scratch.write_text(text + "\n")
            scratch.replace(self.path)
        except OSError as error:
            raise fuzz_run.Refusal(f"cannot write {self.path}: {error.strerror}") from error


class Hunter:
    """Runs libFuzzer; stop() ends all runs, from any thread."""

    def __init__(self, root, timeout, grace):
        self.root, self.timeout, self.grace = root, timeout, grace
        self.lock = threading.Lock()
        self.is_stopped = False
        self.processes = set()

    def stop(self):
        with self.lock:
            self.is_stopped = True
            for process in self.processes:
                process.kill()

    def _wait(self, command, environment):
        """Returns the exit code, HANGS, or None where stop() was called."""
        with self.lock:
            if self.is_stopped:
                return None
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=environment,
                # The terminal's Ctrl-C is for the hunt alone, which then stops all of them.
                start_new_session=True,
            )
            self.processes.add(process)
        try:
            code = process.wait(self.timeout + self.grace)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            code = HANGS
        with self.lock:
            self.processes.discard(process)
            return None if self.is_stopped else code

    def run(self, mutant, seed):
        """Returns what came of a run, or None where it was stopped."""
        with tempfile.TemporaryDirectory() as scratch:
            counter = pathlib.Path(scratch, "executions")
            artifacts = pathlib.Path(scratch, "artifacts")
            counter.write_bytes(bytes(8))
            artifacts.mkdir()
            command = [self.root / mutant["binary"], f"-seed={seed}", "-timeout=25"]
            command += [f"-max_total_time={self.timeout}", f"-artifact_prefix={artifacts}/"]
            environment = dict(os.environ, FUZZ_EXECUTIONS_FILE=str(counter))
            # Names and lines are not read by anybody here, and take longer than most finds.
            environment["ASAN_OPTIONS"] = "symbolize=0"
            start = time.monotonic()
            code = self._wait(command, environment)
            seconds = time.monotonic() - start
            if code is None:
                return None
            # A slow unit is kept, but ends nothing.
            found = [file.name for file in artifacts.iterdir() if "slow-unit-" not in file.name]
            executions = struct.unpack("=Q", counter.read_bytes())[0]
        if code == HANGS:
            code = int(bool(found))
        if executions == 0 or (code != 0) != bool(found):
            raise fuzz_run.Refusal(
                f"{mutant['name']}, seed {seed}: {mutant['binary']} ended with status {code} "
                f"after {executions} executions, and wrote {found or 'no input'}"
            )
        return {
            "mutant": mutant["name"],
            "driver": mutant["driver"],
            "binary": mutant["hash"],
            "seed": seed,
            "timeout": self.timeout,
            # Later, the last input is given the time to end, but it was not found in time.
            "is_found": bool(found) and seconds <= self.timeout,
            "seconds": round(seconds, 3),
            "executions": executions,
        }


def hunt(tasks, hunter, results, jobs):
    """Measures what tasks say; yields the runs as they come."""
    with concurrent.futures.ThreadPoolExecutor(jobs) as executor:
        futures = [executor.submit(hunter.run, mutant, seed) for mutant, seed in tasks]
        try:
            for future in concurrent.futures.as_completed(futures):
                run = future.result()
                results.add(run)
                yield run
        finally:
            for future in futures:
                future.cancel()
            hunter.stop()


def show_progress(done, total, run, start, jobs):
    outcome = "found" if run["is_found"] else "not found"
    left = (total - done) * run["timeout"] / jobs
    print(
        f"[{done}/{total}, {fuzz_run.duration(time.monotonic() - start)}, at most "
        f"{fuzz_run.duration(left)} left] {run['mutant']}, seed {run['seed']}: {outcome} "
        f"in {run['seconds']:.1f} s, {run['executions']:,} executions",
        flush=True,
    )


def median_of(runs, key):
    """The median, where what was not found counts as longer than anything; None: not found."""
    values = [run[key] if run["is_found"] else float("inf") for run in runs]
    median = statistics.median_high(values)
    return None if median == float("inf") else median


def figure(value, timeout):
    return f">{timeout}" if value is None else f"{value:.1f}"


def table(runs, timeout):
    """Returns lines about all mutants that were run, from those found first to those not found."""
    mutants = {}
    for run in runs:
        mutants.setdefault((run["mutant"], run["driver"]), []).append(run)
    rows = []
    for (name, driver), all_of in mutants.items():
        seconds = sorted(run["seconds"] for run in all_of if run["is_found"])
        median = median_of(all_of, "seconds")
        executions = median_of(all_of, "executions")
        longest = seconds[-1] if len(seconds) == len(all_of) else None
        row = [name, driver.removeprefix("mempool_").removesuffix("_fuzzer")]
        row += [f"{len(seconds)}/{len(all_of)}"]
        if seconds:
            row += [figure(value, timeout) for value in (median, seconds[0], longest)]
            row += ["" if executions is None else f"{executions:,}"]
        else:
            row += [f"not found in {timeout} s", "", "", ""]
        rows.append((median if median is not None else timeout + 1 - len(seconds) / 100, row))
    head = ["mutant", "driver", "found", "median s", "min", "max", "median executions"]
    lines = [head] + [row for _, row in sorted(rows, key=lambda pair: pair[0])]
    widths = [max(len(line[i]) for line in lines if i != 3 or line[4]) for i in range(len(head))]
    return ["  ".join(f"{cell:<{width}}" for cell, width in zip(line, widths)).rstrip() for line in lines]


def hash_of(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


def select(options):
    """Returns the mutants that are asked for, with the hashes of their binaries."""
    mutants = json.loads(options.manifest.read_text())["mutants"]
    chosen = [mutant for mutant in mutants if fnmatch.fnmatchcase(mutant["name"], options.mutants)]
    if not chosen:
        raise fuzz_run.Refusal(f"--mutants={options.mutants}: there is no such mutant")
    for mutant in chosen:
        mutant["hash"] = hash_of(options.root / mutant["binary"])
    return chosen


def draw(runs, options, python):
    plot = options.root / "fuzz/mutants/hunt_plot.py"
    command = [python, str(plot), str(options.svg), str(options.timeout)]
    process = subprocess.run(command, input=json.dumps(runs), text=True)
    if process.returncode != 0:
        raise fuzz_run.Refusal(f"{options.svg} could not be drawn")
    print(f"The picture is in {options.svg}")


def stop_on_signals():
    def interrupt(*_):
        raise KeyboardInterrupt

    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupt)


def measure(options):
    """Returns all runs that are asked for, as far as they could be made, and whether that is all."""
    mutants = select(options)
    results = Results(options.json)
    hunter = Hunter(options.root, options.timeout, options.grace)
    pairs = [(mutant, seed) for mutant in mutants for seed in range(1, options.seeds + 1)]
    runs = [results.known(*pair, options.timeout) for pair in pairs]
    tasks = [pair for pair, run in zip(pairs, runs) if run is None]
    runs = [run for run in runs if run is not None]
    print(f"{len(mutants)} mutants, {options.seeds} seeds, results in {options.json}:", end=" ")
    print(f"{len(runs)} of {len(pairs)} runs are known", flush=True)
    start = time.monotonic()
    try:
        for done, run in enumerate(hunt(tasks, hunter, results, options.jobs), 1):
            runs.append(run)
            show_progress(done, len(tasks), run, start, options.jobs)
    except KeyboardInterrupt:
        return runs, False
    return runs, True


def main():
    try:
        options = parse_arguments(sys.argv[1:])
        python = plotting.find_python("--svg") if options.svg else None
        stop_on_signals()
        runs, is_whole = measure(options)
        if runs:
            print("\n".join(table(runs, options.timeout)))
        if options.svg and runs:
            draw(runs, options, python)
        if not is_whole:
            print("interrupted; the same command goes on from here")
        return 0 if is_whole else 130
    except fuzz_run.Refusal as refusal:
        print(f"hunt: {refusal}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
