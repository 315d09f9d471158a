# SPDX-License-Identifier: BSD-3-Clause
"""docs_test.py [--write] [--all-but] DOCUMENT...: every fenced block of the documents, or of all
but these, is compiled, run or checked.

What is done with a block follows from the first word behind its fence, and is said at the function
of that name below. A block that has none of these words fails. --write puts what was seen in the
place of what a document shows, where a line of three dots does not stand for a part of it.
Exit code: 77 where a program is missing that the documents show, 2 where a document is missing or
an option unknown.
"""

import argparse
import ast
import atexit
import functools
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

import blocks
import commands

ROOT = commands.ROOT
NOT_INSTALLED = 77
STRICT = ["-std=c11", "-g", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wshadow", "-Werror"]
TIMEOUT = 120


class Scratch:
    """A directory with a copy of the repository, compilers by the names that documents use, and the
    last program that the document has shown."""

    def __init__(self, directory):
        self.path = pathlib.Path(directory)
        for name in ("include", "src", "tools", "docs", "fuzz"):
            if (ROOT / name).exists():
                shutil.copytree(ROOT / name, self.path / name, symlinks=False, dirs_exist_ok=True)
        programs = self.path / "bin"
        programs.mkdir()
        compilers = [os.environ.get("CC", "clang-19"), "clang-19", "clang"]
        compiler = next(filter(shutil.which, compilers), None)
        if compiler is None:
            print("docs_test.py: there is no clang")
            sys.exit(2)
        for name in ("cc", "clang"):
            (programs / name).symlink_to(shutil.which(compiler))
        # Runs what the test has as data, where bazel run would build it.
        bazel = self.path / "tools/bazel"
        bazel.unlink(missing_ok=True)
        bazel.write_text('#!/bin/sh\nlabel=${2#//}; shift 3\n'
                         f'exec "{ROOT}/$(echo "$label" | tr : /)" "$@"\n', encoding="utf-8")
        bazel.chmod(0o755)
        symbolizer = subprocess.run([compiler, "-print-prog-name=llvm-symbolizer"],
                                    capture_output=True, text=True, check=True).stdout.strip()
        self.environment = {
            **{name: value for name, value in os.environ.items()
               if not name.startswith(("CORK_MEMPOOL_", "ASAN_", "MSAN_", "UBSAN_"))},
            "PATH": f"{programs}:{os.environ['PATH']}:{os.path.dirname(symbolizer)}",
            "LC_ALL": "C",
            "HOME": directory,
        }

    def run(self, command, **options):
        """Returns the exit code and all output of a command, with paths from here."""
        result = subprocess.run(command, cwd=self.path, env=self.environment, timeout=TIMEOUT,
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=False,
                                stderr=subprocess.STDOUT, text=True, errors="replace", **options)
        return result.returncode, result.stdout.replace(f"{self.path}/", "")

    def compile(self, source, *options):
        """Returns the compiler's complaints. The source is kept as program.c."""
        (self.path / "program.c").write_text(source, encoding="utf-8")
        return self.run(["cc", *STRICT, "-Iinclude", "program.c", *options])[1]


@functools.lru_cache(maxsize=None)
def library():
    """Returns the library's object files; they are compiled once, and gone at the end."""
    directory = tempfile.TemporaryDirectory()
    atexit.register(directory.cleanup)
    scratch = Scratch(directory.name)
    status, output = scratch.run("mkdir objects && cd objects && "
                                 "cc -g -O1 -I../include -I../src -c ../src/*.c", shell=True)
    if status != 0:
        raise blocks.Error(f"the library does not compile:\n{output}")
    return sorted(map(str, scratch.path.glob("objects/*.o")))


class Document:
    """The blocks of a document, one after the other."""

    def __init__(self, path, directory):
        self.path = path
        self.directory = directory
        self.text = (ROOT / path).read_text(encoding="utf-8")
        self.program = None
        self.is_dirty = False

    @functools.cached_property
    def scratch(self):
        return Scratch(self.directory)

    def check(self):
        """Returns how many blocks there are, and what is wrong with them."""
        wrong = []
        found = blocks.blocks_of(self.path, self.text)
        for number, block in enumerate(found):
            rule = RULES.get(block.kind)
            following = found[number + 1].kind if number + 1 < len(found) else ""
            try:
                if rule is None:
                    raise block.error(f"no rule covers a block of \"{block.kind}\"; there are "
                                      + ", ".join(RULES))
                rule(self, block, following)
            except (commands.Error, SyntaxError) as error:
                wrong.append(block.error(str(error)))
            except blocks.Error as error:
                wrong.append(error)
        return len(found), wrong

    def compare(self, block, before, shown, seen):
        """Demands that what is shown behind some text was seen; or shows it, where that is asked
        for."""
        if blocks.expression_of(shown).fullmatch(seen):
            return
        if WRITES and "\n...\n" not in "\n" + shown:
            text = block.text.replace(before + shown, before + seen, 1)
            self.text = self.text.replace(block.text, text, 1)
            block.lines = text.splitlines()
            self.is_dirty = True
            return
        raise block.error(f"shows\n{shown}but this was seen:\n{seen}")


def c_block(document, block, following):
    """c: compiles without a warning. What has a main function is linked with the library and run:
    it must succeed, unless a block follows that shows what comes of it. Other code stands at file
    scope if it defines a function, else in one."""
    source = block.text
    if "int main(" not in source:
        if not re.search(r"^\{", source, re.MULTILINE):
            source = f"void snippet(void);\nvoid snippet(void)\n{{\n{source}\n}}\n"
        source = f"#include <libcork/core.h>\n{source}"
        complaints = document.scratch.compile(source, "-fsyntax-only", "-Wno-unused-variable")
        document.program = None
    else:
        complaints = document.scratch.compile(source, *library(), "-o", "program")
        document.program = source
    if complaints:
        raise block.error(f"does not compile:\n{complaints}")
    if document.program is not None and following not in ("report", "console"):
        status, output = document.scratch.run(["./program"])
        if status != 0:
            raise block.error(f"ends with {status}:\n{output}")


def report_block(document, block, _):
    """report [WORDS]: what the program before it prints before it aborts. With WORDS, its line that
    has them stands there twice."""
    source = document.program
    if source is None:
        raise block.error("there is no program before this report")
    if block.options:
        words = " ".join(block.options)
        source, count = re.subn(rf"^(.*{re.escape(words)}.*\n)", r"\1\1", source, flags=re.MULTILINE)
        if count != 1:
            raise block.error(f"the program has {count} lines with {words}, not one")
    complaints = document.scratch.compile(source, *library(), "-o", "program")
    if complaints:
        raise block.error(f"does not compile:\n{complaints}")
    status, output = document.scratch.run(["./program"])
    if status != -6:
        raise block.error(f"the program ends with {status}, not by abort():\n{output}")
    document.compare(block, "", block.text, output)


def console_block(document, block, _):
    """console: each line that begins with "$ " is run by a shell, in a copy of the repository that
    has the last program of the document as program.c and ./program; what it prints must follow."""
    parts = re.split(r"^\$ (.*(?:(?<=\\)\n.*)*)\n", block.text, flags=re.MULTILINE)
    if parts[0] or len(parts) < 3:
        raise block.error("must begin with a command")
    for command, shown in zip(parts[1::2], parts[2::2]):
        for words in commands.split(command):
            if words[0].startswith("./tools/bazel"):
                commands.check(words)
            elif not shutil.which(words[0], path=document.scratch.environment["PATH"]) and \
                    not words[0].startswith(("./", "cd")):
                print(f"{words[0]} is not installed")
                sys.exit(NOT_INSTALLED)
        seen = document.scratch.run(["sh", "-c", command])[1]
        # Some shells report that their last command was aborted.
        seen = re.sub(r"^Aborted.*\n", "", seen, flags=re.MULTILINE)
        document.compare(block, f"$ {command}\n", shown, seen)


def sh_block(document, block, _):
    """sh: one that calls nothing but the compiler is run; of others, each command must be one that
    there is, with such options, targets and files."""
    found = commands.split(block.text)
    if not found:
        raise block.error("there is no command in it")
    if all(words[0] == "cc" for words in found):
        status, output = document.scratch.run(["sh", "-euc", block.text])
        if status != 0 or output:
            raise block.error(f"ends with {status}:\n{output}")
        return
    for words in found:
        commands.check(words)


def starlark_block(_, block, __):
    """starlark: parses (as Python, which it is a part of), and gives our module its version."""
    module = (ROOT / "MODULE.bazel").read_text(encoding="utf-8")
    version = re.search(r'version = "(.*?)"', module)[1]
    for call in [node for node in ast.walk(ast.parse(block.text)) if isinstance(node, ast.Call)]:
        values = {keyword.arg: ast.literal_eval(keyword.value) for keyword in call.keywords}
        if call.func.id == "bazel_dep" and values["name"] == "cork_mempool" \
                and values["version"] != version:
            raise block.error(f"the version is {version}")
    if '"cork_mempool"' not in block.text and '"@cork_mempool"' not in block.text:
        raise block.error("says nothing of cork_mempool")


def picture_block(_, block, __):
    """picture: what looks like a name or a file of ours is one; and there must be one."""
    sources = "".join(path.read_text(encoding="utf-8") for folder in ("include", "src")
                      for path in sorted((ROOT / folder).rglob("*.[ch]")))
    names = set(re.findall(r"[a-z]\w*_\w+", block.text))
    for name in names:
        if not re.search(rf"\b{name}\b", sources) and not any(ROOT.rglob(name)):
            raise block.error(f"there is no {name} in src/ or include/")
    files = set(re.findall(r"[\w/]*\w\.[ch]\b|\bfuzz/[a-z]+", block.text))
    for file in files:
        if not (ROOT / "src" / file).exists() and not (ROOT / file).exists():
            raise block.error(f"there is no {file}")
    if not names and not files:
        raise block.error("nothing in this picture can be verified")


RULES = {
    "c": c_block,
    "report": report_block,
    "console": console_block,
    "sh": sh_block,
    "starlark": starlark_block,
    "picture": picture_block,
}
WRITES = "--write" in sys.argv


def broken_links(path):
    """Returns what is wrong with a document's links to files."""
    text = (ROOT / path).read_text(encoding="utf-8")
    targets = re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", text)
    return [f"{path}: there is no {target}" for target in targets
            if not (ROOT / path).parent.joinpath(target).exists()]


def main():
    parser = argparse.ArgumentParser(prog="docs_test.py", allow_abbrev=False)
    parser.add_argument("--write", action="store_true", help="put what was seen in the place of what is shown")
    parser.add_argument("--all-but", action="store_true", help="all documents but those named")
    parser.add_argument("documents", nargs="*", metavar="DOCUMENT", help="such as docs/debugging.md")
    options = parser.parse_args()
    documents = options.documents
    missing = [path for path in documents if not (ROOT / path).is_file()]
    if missing:
        parser.error(f"there is no {' '.join(missing)}")
    if options.all_but:
        found = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]
        documents = sorted({str(path.relative_to(ROOT)) for path in found} - set(documents))
    if not documents:
        parser.error("no documents")
    total, wrong = 0, []
    for path in documents:
        with tempfile.TemporaryDirectory() as directory:
            document = Document(path, directory)
            count, errors = document.check()
        if document.is_dirty:
            (ROOT / path).write_text(document.text, encoding="utf-8")
        total += count
        wrong += [str(error) for error in errors] + broken_links(path)
    print(*wrong, sep="\n")
    print(f"{total} blocks in {len(documents)} documents, {len(wrong)} wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
