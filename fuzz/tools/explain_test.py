# SPDX-License-Identifier: BSD-3-Clause
"""explain_test.py EXPLAIN DEFECTIVE: what explain shows, encodes and emits.

DEFECTIVE is explain with the subject of defect.c. The C that EXPLAIN emits for the whole corpus is
compiled and run, and must see what the fuzz tests see.
"""

import glob
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

EXPLAIN, DEFECTIVE = map(os.path.abspath, sys.argv[1:3])
CORPUS = "fuzz/corpus"
PROGRAM_DRIVERS = [
    "mempool_misuse_fuzzer",
    "mempool_model_fuzzer",
    "mempool_oom_fuzzer",
    "mempool_profiles_fuzzer",
]
COMPILER = next(filter(shutil.which, [os.environ.get("CC", "clang-19"), "clang", "cc"]))
OBJECTS = []  # the pool's, compiled once
FLAGS = ["-std=c11", "-O0", "-Wall", "-Wextra", "-Werror", "-Iinclude", "-Isrc"]

# Stand before the pool's functions, by the linker's --wrap.
BROKEN = {
    "cork_mempool_new": """
        void *__real_cork_mempool_new(void *pool);
        void *__wrap_cork_mempool_new(void *pool)
        {
            static int count;
            char *object = __real_cork_mempool_new(pool);
            return ++count == 4 ? object + 1 : object;
        }""",
    "cork_mempool_free": """
        void __real_cork_mempool_free(void *pool, void *object);
        void __wrap_cork_mempool_free(void *pool, void *object)
        {
            static int count;
            if (++count != 2) {
                __real_cork_mempool_free(pool, object);
            }
        }""",
}


def setUpModule():
    scratch = tempfile.TemporaryDirectory()
    unittest.addModuleCleanup(scratch.cleanup)
    # As explain is built.
    empty = os.path.join(scratch.name, "empty")
    pathlib.Path(empty).write_bytes(b"")
    emitted = explain("--driver", "mempool_model_fuzzer", "--emit-c", empty)
    FLAGS.extend(word for word in emitted.decode().split("\n")[1].split()
                 if word.startswith("-fsanitize"))
    for source in glob.glob("src/*.c"):
        OBJECTS.append(os.path.join(scratch.name, os.path.basename(source) + ".o"))
        subprocess.run([COMPILER, *FLAGS, "-c", source, "-o", OBJECTS[-1]], check=True)


def corpus(driver):
    return sorted(glob.glob(f"{CORPUS}/{driver}/*"))


def run(*command, **environment):
    return subprocess.run(
        command, capture_output=True, check=False, env={**os.environ, **environment})


def explain(*arguments):
    result = run(EXPLAIN, *arguments)
    if result.returncode != 0:
        raise AssertionError(f"explain {arguments}: {result.returncode}\n{result.stderr.decode()}")
    return result.stdout


def operations(text):
    """Returns what is no comment."""
    lines = (line.partition("#")[0].strip() for line in text.splitlines())
    return [line for line in lines if line]


class Scratch(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.scratch = pathlib.Path(scratch.name)

    def write(self, name, content):
        path = self.scratch / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return str(path)

    def encode(self, driver, text):
        return explain("--driver", driver, "--encode", self.write("text", text))

    def start_compiler(self, source, *options):
        """Starts to compile what explain emitted, by the options that it says it needs."""
        needed = [word for word in pathlib.Path(source).read_text().splitlines()[1].split()
                  if word.startswith("-Wl,")]
        return subprocess.Popen(
            [COMPILER, *FLAGS, source, *OBJECTS, *needed, *options, "-o",
             source + ".out"], stderr=subprocess.PIPE)

    def compile(self, source, *options):
        compiler = self.start_compiler(source, *options)
        self.assertEqual((compiler.communicate()[1].decode(), compiler.returncode), ("", 0))
        return source + ".out"


class EmittedPrograms(Scratch):
    def test_see_what_the_fuzz_tests_see(self):
        compilers = {}
        for driver in PROGRAM_DRIVERS:
            source = self.write(driver + ".c", explain(
                "--emit-c", "--outcomes", str(self.scratch / driver), *corpus(driver)))
            compilers[driver] = (source, self.start_compiler(source))
        for driver, (source, compiler) in compilers.items():
            with self.subTest(driver=driver):
                errors = compiler.communicate()[1].decode()
                self.assertEqual((errors, compiler.returncode), ("", 0))
                result = run(source + ".out", "-v")
                self.assertEqual((result.stderr.decode(), result.returncode), ("", 0))
                outcomes = (self.scratch / driver).read_bytes()
                self.assertGreaterEqual(outcomes.count(b"program "), len(corpus(driver)))
                self.assertEqual(result.stdout.splitlines(), outcomes.splitlines())

    def test_compile_each_by_itself(self):
        sources = [
            self.write(f"{driver}_{i}.c", explain("--emit-c", path))
            for driver in PROGRAM_DRIVERS for i, path in enumerate(corpus(driver))
        ]
        result = run(COMPILER, *FLAGS, "-fsyntax-only", *sources)
        self.assertEqual((result.stderr.decode(), result.returncode), ("", 0))

    def break_pool(self, source, function):
        """Returns how a program ends where one of the pool's functions is broken."""
        wrapper = self.write(function + ".c", BROKEN[function])
        return run(self.compile(source, wrapper, "-Wl,--wrap=" + function))

    def test_abort_where_an_outcome_differs(self):
        program = self.encode("mempool_model_fuzzer", "new_many 0 5\nfree_many 0 3 lifo\nnew 0\n")
        source = self.write("emitted.c", explain(
            "--driver", "mempool_model_fuzzer", "--emit-c", self.write("program", program)))
        self.assertEqual(run(self.compile(source)).returncode, 0)
        for function, expected in [
            ("cork_mempool_new", "at new_many 0 5: expected: an object is aligned"),
            ("cork_mempool_free", "at free_many 0 3 lifo: expected: stats count the live objects"),
        ]:
            with self.subTest(function=function):
                result = self.break_pool(source, function)
                self.assertEqual(result.returncode, -6)
                self.assertIn(expected, result.stderr.decode())

    def emit_failure(self, driver, text, defect):
        path = self.write("program", self.encode(driver, text))
        result = run(DEFECTIVE, "--driver", driver, "--emit-c", path, DEFECT=defect)
        self.assertEqual(result.returncode, 1)
        return self.write("emitted.c", result.stdout)

    def test_of_a_failure_demand_what_it_lacks(self):
        source = self.emit_failure(
            "mempool_profiles_fuzzer",
            "init_size 0 100\nnew_many 0 3\nfree_many 0 2 fifo\ntrim 0\nnew 0\n", "0")
        result = self.break_pool(source, "cork_mempool_new")
        self.assertIn("at new 0: expected: an object is aligned", result.stderr.decode())
        result = run(self.compile(source))
        self.assertIn("at new 0: expected: a failure before this", result.stderr.decode())

    def test_of_unrefused_misuse_demand_the_refusal(self):
        source = self.emit_failure("mempool_misuse_fuzzer", "new 0\nfree_twice 0 0\n", "3")
        result = self.break_pool(source, "cork_mempool_free")
        self.assertIn("at free_twice 0 0: expected: double free", result.stderr.decode())


class Encoding(Scratch):
    def test_what_explain_shows_is_what_it_encodes(self):
        for driver in PROGRAM_DRIVERS:
            shown = explain(*corpus(driver)).decode().split("# fuzz/corpus/")[1:]
            self.assertEqual(len(shown), len(corpus(driver)))
            again = [self.write(f"{driver}_{i}", self.encode(driver, "# " + text))
                     for i, text in enumerate(shown)]
            shown_again = explain("--driver", driver, *again).decode().split(f"# {self.scratch}")
            for text, text_again in zip(shown, shown_again[1:], strict=True):
                self.assertEqual(operations("# " + text_again), operations("# " + text))

    def test_a_deep_program_stays_as_it_is(self):
        shallow = self.encode("mempool_model_fuzzer", "new_many 1 9\n")
        text = "new_many 1 9\ndeep\n"
        deep = self.encode("mempool_model_fuzzer", text)
        self.assertEqual(deep[:len(shallow)], shallow)
        shown = explain("--driver", "mempool_model_fuzzer", self.write("deep", deep)).decode()
        self.assertEqual(operations(shown)[:2], ["deep", "new_many 1 9"])
        self.assertEqual(self.encode("mempool_model_fuzzer", shown), deep)

    def test_the_mask_comes_first(self):
        self.assertEqual(
            self.encode("mempool_oom_fuzzer", "new 0\nfailing 0x0102 # these\n"),
            bytes([2, 1, 0, 0, 0, 0, 0, 0, 0]))

    def test_goes_to_a_file(self):
        output = self.scratch / "bytes"
        text = self.write("text", "new 3\n")
        explain("--driver", "mempool_model_fuzzer", "--encode", "-o", str(output), text)
        self.assertEqual(output.read_bytes(), b"\3")


class Explanations(Scratch):
    def show(self, defect, driver, text):
        path = self.write("program", self.encode(driver, text))
        result = run(DEFECTIVE, "--driver", driver, path, DEFECT=defect)
        return result.returncode, result.stdout.decode()

    def test_a_crash_is_charged_to_its_operation(self):
        code, shown = self.show("1", "mempool_profiles_fuzzer",
                                "new_many 1 4\nfree 1 1\nclear 1\nnew 1\n")
        self.assertEqual(code, 1)
        self.assertRegex(shown, r"\nclear 1 +# clear: does not return\nnew 1 +# not reached\n")
        self.assertRegex(shown, r"knows 3 live and 1 freed")
        self.assertRegex(shown, r"\n# fails: ")

    def test_objects_are_named_by_birth(self):
        code, shown = self.show("0", "mempool_misuse_fuzzer",
                                "new_many 2 5\nfree 2 1\nfree_twice 2 0\nnew 2\n")
        self.assertEqual(code, 0)
        self.assertRegex(shown, r"new_many 2 5 +# .*new p2.a0..p2.a4\n")
        self.assertRegex(shown, r"free_twice 2 0 +# free p2.a0; free p2.a0: double free\n")
        self.assertRegex(shown, r"\nnew 2 +# new p2.a5\n")

    def test_options_are_shown(self):
        path = corpus("mempool_options_fuzzer")[0]
        self.assertIn(b".element_size = ", explain(path))


class BadInput(Scratch):
    def expect(self, message, *arguments):
        result = run(EXPLAIN, *arguments)
        self.assertEqual(result.returncode, 2)
        self.assertIn(message, result.stderr.decode())

    def test_is_refused_for_what_it_is(self):
        program = self.write("program", b"\0")
        wrong = self.write("wrong", "new 0\nfree 7 1\n")
        foreign = self.write("foreign", "trim 0\n")
        options = corpus("mempool_options_fuzzer")[0]
        self.expect("no folder of it has a driver's name", program)
        self.expect("there is no such driver", "--driver", "none", program)
        self.expect("No such file", "--driver", "mempool_model_fuzzer", "missing")
        self.expect("wrong: line 2, column 6: expected a pool, 0 to 3", "--driver",
                    "mempool_model_fuzzer", "--encode", wrong)
        self.expect("line 1, column 1: expected an operation that the driver's dialect has",
                    "--driver", "mempool_model_fuzzer", "--encode", foreign)
        self.expect("is no text", "--driver", "mempool_model_fuzzer", "--encode", program)
        self.expect("too short", "--driver", "mempool_oom_fuzzer", program)
        self.expect("has no programs", "--emit-c", options)
        self.expect("has no programs", "--encode", options)
        self.expect("usage: ", "--none", program)
        self.expect("usage: ")


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
