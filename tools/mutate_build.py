# SPDX-License-Identifier: BSD-3-Clause
"""Builds the C tests as their BUILD files say, without Bazel: thousands of times, a file each."""

import ast
import builtins
import pathlib
import re
import shutil
import subprocess

from mutate_source import Refusal

LIBRARY = "//:cork_mempool"
PACKAGES = ("", "test", "test/misuse", "fuzz")
TESTS = ("cc_test", "sanitized_cc_test")
INCLUDES = ("-I.", "-Iinclude", "-Isrc")
FLAGS = ("-std=c11", *INCLUDES)
OPTIMIZED = (*FLAGS, "-O2", "-w")


def read_package(root, package):
    """Returns the rules of a BUILD file by their labels: Starlark is Python, as far as these go."""
    directory = pathlib.Path(root, package)
    path = directory / "BUILD"
    rules = {}

    def glob(patterns, **_):
        found = {file for pattern in patterns for file in directory.glob(pattern) if file.is_file()}
        return sorted(str(file.relative_to(directory)) for file in found)

    def recorder(kind):
        def record(*_, name=None, **attributes):
            rules[f"//{package}:{name}"] = dict(attributes, kind=kind, package=package)

        return record

    try:
        tree = ast.parse(path.read_text(), str(path))
        functions = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call)]
        calls = {function.id for function in functions if isinstance(function, ast.Name)}
        names = {kind: recorder(kind) for kind in calls if not hasattr(builtins, kind)}
        exec(compile(tree, str(path), "exec"), dict(names, glob=glob))
    except Exception as error:
        raise Refusal(f"cannot read {path}: {error}") from error
    return rules


def _label(name, package):
    if name.startswith("//"):
        return name if ":" in name else f"{name}:{name.rpartition('/')[2]}"
    return f"//{package}:{name.lstrip(':')}"


def name_of(label):
    return label.rpartition(":")[2]


class Program:
    """A test that is linked with the library again and again, and run."""

    def __init__(self, name, is_of_c, before, after, arguments):
        self.name = name
        self.is_of_c = is_of_c
        self.before = before  # what the linker is told before the library's objects
        self.after = after
        self.arguments = arguments

    def command(self, compiler, objects, output):
        return [compiler, *self.before, *objects, *self.after, "-lpthread", "-o", output]

    def link(self, compiler, objects, output):
        command = self.command(compiler, objects, output)
        subprocess.run(command, check=True, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL)


class Builder:
    """Compiles the library and its tests from a workspace into a scratch directory."""

    def __init__(self, compiler, root, scratch, flags=OPTIMIZED, suffixes=(".c",)):
        self.compiler, self.root, self.scratch = compiler, pathlib.Path(root), pathlib.Path(scratch)
        self.flags, self.suffixes = flags, suffixes
        self.rules = {}
        for package in PACKAGES:
            if pathlib.Path(root, package, "BUILD").exists():
                self.rules.update(read_package(root, package))
        if LIBRARY not in self.rules:
            raise Refusal(f"{root}/BUILD has no {LIBRARY}")
        self.objects = {}
        self.archives = {}

    def compile(self, source, output, options=(), directory=None):
        """Returns the errors of a compilation: an empty string where there are none."""
        command = [self.compiler, *self.flags, *options, "-c", source, "-o", output]
        directory = directory or self.root
        done = subprocess.run(command, cwd=directory, stderr=subprocess.PIPE, errors="replace")
        return done.stderr or "unknown" if done.returncode != 0 else ""

    def _object(self, file, options):
        if (file, options) not in self.objects:
            output = str(self.scratch / f"{len(self.objects)}-{pathlib.Path(file).name}.o")
            errors = self.compile(file, output, options)
            if errors:
                raise Refusal(f"{file} does not compile: {errors}")
            self.objects[file, options] = output
        return self.objects[file, options]

    def _own_objects(self, rule):
        sources = [str(pathlib.Path(rule["package"], source)) for source in rule.get("srcs", [])]
        options = tuple(rule.get("copts", []))
        options += tuple("-D" + define for define in rule.get("local_defines", []))
        return [self._object(file, options) for file in sources if file.endswith(self.suffixes)]

    def _archive(self, label):
        if label not in self.archives:
            output = str(self.scratch / (re.sub(r"\W", "_", label) + ".a"))
            find = [self.compiler, "-print-prog-name=ar"]
            archiver = subprocess.check_output(find, text=True).strip()
            subprocess.run([archiver, "rcs", output, *self._own_objects(self.rules[label])], check=True)
            self.archives[label] = output
        return self.archives[label]

    def _needs(self, label):
        """Returns the labels that a rule needs, itself first."""
        found = [label]
        for need in found:
            rule = self.rules.get(need)
            if rule is None:
                raise Refusal(f"{need} is in none of the BUILD files that this tool reads")
            needs = [_label(name, rule["package"]) for name in rule.get("deps", [])]
            found += [need for need in needs if need not in found]
        return found

    def _is_readable(self, rule):
        """Whether all sources are there, in a language that this builds."""
        sources = [self.root / rule["package"] / source for source in rule["srcs"]]
        suffixes = (*self.suffixes, ".h")
        return all(source.suffix in suffixes and source.exists() for source in sources)

    def _program(self, label):
        rule = self.rules[label]
        before, archives, options = self._own_objects(rule), [], list(rule.get("linkopts", []))
        needs = self._needs(label)[1:]
        if rule["kind"] == "cc_fuzz_test":
            needs.append("//fuzz:replay")
        for need in needs:
            if need != LIBRARY:
                options += self.rules[need].get("linkopts", [])
                if self.rules[need].get("alwayslink"):
                    before += self._own_objects(self.rules[need])
                elif self.rules[need].get("srcs"):
                    archives.append(self._archive(need))
        inputs = [self.root / rule["package"] / file for file in rule.get("corpus", [])]
        folders = sorted({str(path.parent) for path in inputs})
        after = ["-Wl,--start-group", *archives, "-Wl,--end-group", *options]
        is_of_c = all(source[-2:] in (".c", ".h") for source in rule["srcs"])
        return Program(name_of(label), is_of_c, before, after, folders)

    def labels(self):
        """Yields the labels of the library's tests: fuzz tests, and the others but those of the fuzz
        tests' own tools."""
        for label, rule in self.rules.items():
            kinds = TESTS if rule["package"] != "fuzz" else ("cc_fuzz_test",)
            if (
                rule["kind"] in kinds
                and "manual" not in rule.get("tags", [])
                and self._is_readable(rule)
                and LIBRARY in self._needs(label)
            ):
                yield label

    def programs(self, names=()):
        """Builds, but does not link, the tests, all or those of these names, and yields each when it
        is built."""
        for label in self.labels():
            if not names or name_of(label) in names:
                yield self._program(label)

    def library(self):
        """Returns the library's objects by their sources."""
        rule = self.rules[LIBRARY]
        return {file: self._object(file, ()) for file in rule["srcs"] if file[-2:] == ".c"}

    def users(self, file):
        """Returns the library's sources that a file of it is part of."""
        units = [unit for unit in self.rules[LIBRARY]["srcs"] if unit.endswith(".c")]
        if file in units:
            return [file]
        using = []
        for unit in units:
            command = [self.compiler, *FLAGS, "-MM", unit]
            if file in subprocess.check_output(command, cwd=self.root, text=True).split():
                using.append(unit)
        return using

    def copy_of_sources(self, directory):
        """Copies the library's sources to where they can be mutated."""
        for folder in ("include", "src"):
            shutil.copytree(self.root / folder, pathlib.Path(directory, folder))
