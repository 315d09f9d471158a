# SPDX-License-Identifier: BSD-3-Clause
"""Fuzz tests: each replays its corpus as a test, and fuzzes on demand."""

load(":flags.bzl", "asked_for")
load(":sanitizers.bzl", "sanitized_cc_test")
load(":scripts.bzl", "script_binary")

def cc_fuzz_test(name, corpus, deps, **kwargs):
    """Defines a fuzz test: sources with LLVMFuzzerTestOneInput, and the inputs worth keeping.

    Args:
      name: the test that replays the corpus; also in `name`_asan and so on, see sanitized_cc_test.
        `name`_bin fuzzes with libFuzzer, `name`_run does so comfortably, `name`_corpus is the inputs.
      corpus: the input files, never none: a test of nothing would pass.
      deps: what it needs, less its main function.
      **kwargs: as for sanitized_cc_test.
    """
    if not corpus:
        fail("cc_fuzz_test %s has an empty corpus" % name)
    native.filegroup(name = name + "_corpus", srcs = corpus)
    folders = {native.package_name() + "/" + file.rpartition("/")[0]: None for file in corpus}.keys()
    sanitized_cc_test(
        name = name,
        args = folders,
        data = [name + "_corpus"],
        # With libFuzzer, its main function wins over this one, because it is linked first.
        deps = deps + ["//fuzz:replay"],
        **kwargs
    )
    script_binary(
        name = name + "_bin",
        testonly = True,
        src = name + "_program",
        instrumentation = asked_for("asan"),
        is_fuzzer = select({
            "//tools/build:replay": False,
            "//conditions:default": True,
        }),
    )
    script_binary(
        name = name + "_run",
        testonly = True,
        src = select({
            "//tools/build:replay": name + "_bin",
            "//conditions:default": "//tools:fuzz_run.py",
        }),
        args = select({
            "//tools/build:replay": folders,
            "//conditions:default": ["$(rootpath %s_bin)" % name] + folders,
        }),
        data = [
            name + "_bin",
            name + "_corpus",
            "//fuzz:explain",
        ],
    )
