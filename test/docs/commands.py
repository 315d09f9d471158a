# SPDX-License-Identifier: BSD-3-Clause
"""What must hold of a command that a document shows, without running it: that there are such a
program and such an option, and that files of the repository which it names exist. Of targets, only
Bazel can tell: targets.sh asks it."""

import functools
import os
import pathlib
import re
import shlex
import subprocess
import sys

ROOT = pathlib.Path.cwd()  # the runfiles of a test, or the repository

# Where the options of a target's program, behind the --, and of a script stand that calls another.
_SOURCES = [
    (r"//bench", "bench/bench.py"),
    (r"//fuzz:coverage", "tools/coverage/coverage.py"),
    (r"//fuzz:exhaust", "fuzz/exhaustive/exhaust.c"),
    (r"//fuzz:explain", "fuzz/tools/explain.py"),
    (r"//fuzz:minimize", "fuzz/tools/minimize.py"),
    (r"//fuzz:(\w+_)?run", "tools/fuzz_run.py"),
    (r"tools/mutate", "tools/mutation/mutate.py"),
]

# Programs from elsewhere, whose options are not verified.
_OTHERS = ["$EDITOR", "aarch64-linux-gnu-gcc", "afl-fuzz", "ar", "arm-none-eabi-gcc", "cc", "cd", "echo",
           "export", "git", "pkg-config"]
_LIBFUZZER = ["-max_total_time", "-runs", "-seed", "-minimize_crash"]
_BAZEL_COMMANDS = ["build", "clean", "query", "run", "shutdown", "test"]


class Error(Exception):
    """What is wrong with a command."""


def _demand(condition, message):
    if not condition:
        raise Error(message)


def split(text):
    """Returns the simple commands of a script, each a list of words, without redirections."""
    check = subprocess.run(["sh", "-n"], input=text, capture_output=True, text=True, check=False)
    _demand(check.returncode == 0, check.stderr.strip())
    commands = []
    lines = text.replace("\\\n", " ").splitlines()
    # $(command), which is verified as a command of its own.
    inner = re.findall(r"\$\(([^()]*)\)", text)
    for line in [re.sub(r"\$\(([^()]*)\)", "$1", line) for line in lines] + inner:
        lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        words = []
        tokens = iter(list(lexer) + [";"])
        for token in tokens:
            if set(token) <= set(">"):
                next(tokens)
            elif set(token) <= set(";&|()") or token in "{}":
                while words and re.match(r"\w+=", words[0]):
                    del words[0]
                if words:
                    commands.append(words)
                words = []
            else:
                words.append(token)
    return commands


@functools.lru_cache(maxsize=None)
def _help_of(path):
    """Returns what a program's source says of its options; a script says more when it is asked."""
    text = (ROOT / path).read_text(encoding="utf-8")
    if path.endswith(".py"):
        text += subprocess.run([sys.executable, path, "--help"], capture_output=True, cwd=ROOT,
                               text=True, check=False).stdout
    return text


def _has_word(path, word):
    return re.search(rf"(?<![-\w]){re.escape(word)}(?![-\w])", _help_of(path)) is not None


def _check_options(words, is_known, program):
    for word in words:
        option = word.strip("[]").split("=")[0]
        if option.startswith("-"):
            _demand(is_known(option), f"{program} has no option {option}")


def _check_files(words):
    """Those that lie in the repository; capitals stand for any name."""
    for word in words:
        path = word.split("=", 1)[-1].replace("$PWD/", "").removeprefix("./")
        if re.search(r"\b[A-Z]+\b", path) or "/" not in path or path.startswith(("/", "bazel-bin/")):
            continue
        if (ROOT / path.split("/")[0]).exists():
            _demand(any(ROOT.glob(path)), f"there is no {path}")


def _check_bazel_options(options):
    rc = (ROOT / ".bazelrc").read_text(encoding="utf-8")
    for option in options:
        name, _, value = option.partition("=")
        is_known = option in ("-c", "opt") or name in ("--copt", "--linkopt") or (
            name == "--config" and re.search(rf"^build:{re.escape(value)} ", rc, re.MULTILINE))
        _demand(is_known, f"nothing is known of Bazel's option {option}")


def _check_bazel(words):
    arguments = words[words.index("--") + 1:] if "--" in words else []
    command, *words = words[:words.index("--")] if "--" in words else words
    _demand(command in _BAZEL_COMMANDS, f"nothing is known of Bazel's {command}")
    labels = [word for word in words if word.startswith("//")]
    _check_bazel_options([word for word in words if word not in labels])
    own = arguments[:arguments.index("--")] if "--" in arguments else arguments
    for label in labels if arguments else []:
        if label.endswith("_bin"):
            _check_options(own, lambda option: option in _LIBFUZZER, "libFuzzer")
            continue
        sources = [path for label_of, path in _SOURCES if re.fullmatch(label_of, label)]
        _demand(sources, f"nothing is known of {label}'s options")
        _check_options(own, lambda option: _has_word(sources[0], option), label)
    _check_files(arguments)


def _check_script(path, words):
    _demand((ROOT / path).is_file(), f"there is no {path}")
    sources = [path] + [source for name, source in _SOURCES if re.fullmatch(name, path)]
    _check_options(words, lambda option: any(_has_word(source, option) for source in sources), path)
    _check_files(words)


def check(words):
    """Raises Error where a command cannot be what it is meant to be, or no rule covers it."""
    program, *words = words
    if program == "./tools/bazel":
        _check_bazel(words)
    elif program in ("python3", "sh"):
        _check_script(words[0], words[1:])
    elif program.removeprefix("./").split("/")[0] in (".ci", "examples", "fuzz", "tools"):
        _demand(os.access(ROOT / program, os.X_OK), f"{program} cannot be run")
        _check_script(program.removeprefix("./"), words)
    else:
        _demand(program in _OTHERS, f"no rule covers the command {program}")
        _check_files(words)
