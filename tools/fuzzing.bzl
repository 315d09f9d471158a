# SPDX-License-Identifier: BSD-3-Clause
"""Fuzz tests: each replays its corpus as a test, and fuzzes on demand."""

load("@rules_cc//cc:defs.bzl", "cc_binary")
load(":sanitizers.bzl", "RUNNING", "SANITIZERS", "sanitized", "sanitized_cc_test")
load(":scripts.bzl", "alias_executable", "here", "write_launcher")

_ChoiceInfo = provider("A build setting's value.", fields = ["value"])

def _choice_impl(ctx):
    value = ctx.build_setting_value
    if value not in ctx.attr.values:
        fail("%s=%s: known are %s" % (ctx.label, value, ", ".join(ctx.attr.values)))
    return _ChoiceInfo(value = value)

choice = rule(
    implementation = _choice_impl,
    doc = "A build setting with a few possible values.",
    attrs = {"values": attr.string_list(mandatory = True)},
    build_setting = config.string(flag = True),
)

def _fuzzing_transition_impl(settings, _attr):
    is_fuzzed = settings["//tools:fuzzing_engine"] == "libfuzzer"
    return sanitized(settings, settings["//tools:fuzzing_sanitizer"], is_fuzzed)

_fuzzing_transition = transition(
    implementation = _fuzzing_transition_impl,
    inputs = [
        "//command_line_option:copt",
        "//command_line_option:linkopt",
        "//tools:fuzzing_engine",
        "//tools:fuzzing_sanitizer",
    ],
    outputs = ["//command_line_option:copt", "//command_line_option:linkopt"],
)

def _fuzz_binary_impl(ctx):
    binary = ctx.attr.binary[0][DefaultInfo]
    return DefaultInfo(executable = alias_executable(ctx, binary), runfiles = binary.default_runfiles)

_fuzz_binary = rule(
    implementation = _fuzz_binary_impl,
    doc = "A binary instrumented for the chosen engine and sanitizer.",
    attrs = {
        "binary": attr.label(cfg = _fuzzing_transition, executable = True, mandatory = True),
        "_allowlist_function_transition": attr.label(
            default = "@bazel_tools//tools/allowlists/function_transition_allowlist",
        ),
    },
    executable = True,
)

def _directories(files):
    return {file.short_path.rpartition("/")[0]: True for file in files}.keys()

def _fuzz_run_impl(ctx):
    binary = here(ctx.executable.binary.short_path)
    corpus = [here(directory) for directory in _directories(ctx.files.corpus)]
    command = [binary] + corpus
    if ctx.attr._engine[_ChoiceInfo].value == "libfuzzer":
        command = ["python3", here(ctx.file._fuzz_run.short_path)] + command
    return DefaultInfo(
        executable = write_launcher(ctx, command),
        runfiles = ctx.runfiles(files = ctx.files.corpus + [ctx.file._fuzz_run])
            .merge(ctx.attr.binary[DefaultInfo].default_runfiles),
    )

_fuzz_run = rule(
    implementation = _fuzz_run_impl,
    doc = "Fuzzes with a binary of libFuzzer, or replays the corpus with one of the replay engine.",
    attrs = {
        "binary": attr.label(cfg = "target", executable = True, mandatory = True),
        "corpus": attr.label(mandatory = True),
        "_engine": attr.label(default = "//tools:fuzzing_engine", providers = [_ChoiceInfo]),
        "_fuzz_run": attr.label(default = "//tools:fuzz_run.py", allow_single_file = True),
    },
    executable = True,
)

def cc_fuzz_test(name, srcs, deps, corpus, sanitizers = SANITIZERS.keys(), **kwargs):
    """Defines a fuzz test: `srcs` with LLVMFuzzerTestOneInput, and the inputs worth keeping.

    Args:
      name: the test that replays the corpus; also in `name`_asan and so on, see sanitized_cc_test.
        `name`_bin fuzzes with libFuzzer, `name`_run does so comfortably, `name`_corpus is the inputs.
      srcs: the fuzz test's own sources.
      deps: what it needs, less its main function.
      corpus: the input files, in one directory, never none: a test of nothing would pass.
      sanitizers: which sanitizers to replay the corpus under; say why where it is not all of them.
      **kwargs: as for sanitized_cc_test; what concerns building is for `name`_bin too.
    """
    if not corpus:
        fail("cc_fuzz_test %s has an empty corpus" % name)
    replay = "//fuzz:replay"
    native.filegroup(name = name + "_corpus", srcs = corpus)
    sanitized_cc_test(
        name = name,
        srcs = srcs,
        args = {native.package_name() + "/" + file.rpartition("/")[0]: True for file in corpus}.keys(),
        data = [name + "_corpus"],
        sanitizers = sanitizers,
        deps = deps + [replay],
        **kwargs
    )

    building = {key: kwargs[key] for key in kwargs if key not in RUNNING + ["tags"]}
    cc_binary(
        name = name + "_raw",
        testonly = True,
        srcs = srcs,
        tags = ["manual"],
        deps = deps + select({
            "//tools:is_replaying": [replay],
            "//conditions:default": [],
        }),
        **building
    )
    _fuzz_binary(name = name + "_bin", testonly = True, binary = name + "_raw")
    _fuzz_run(
        name = name + "_run",
        testonly = True,
        binary = name + "_bin",
        corpus = name + "_corpus",
    )
