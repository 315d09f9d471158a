# SPDX-License-Identifier: BSD-3-Clause
"""Tests and drivers built to count what of the library they reach, and what runs and judges them.

`bazel coverage` does not know MC/DC, nor the processes that end in abort.
"""

load(":scripts.bzl", "here", "write_launcher")

_LINKED = ["-fprofile-instr-generate"]

# Files are known by their paths in the workspace.
_COMPILED = _LINKED + ["-O1", "-fcoverage-mapping", "-fcoverage-mcdc", "-fcoverage-compilation-dir=."]

def _counting_transition_impl(settings, _attr):
    return {
        "//command_line_option:copt": settings["//command_line_option:copt"] + _COMPILED,
        "//command_line_option:linkopt": settings["//command_line_option:linkopt"] + _LINKED,
    }

_counting_transition = transition(
    implementation = _counting_transition_impl,
    inputs = ["//command_line_option:copt", "//command_line_option:linkopt"],
    outputs = ["//command_line_option:copt", "//command_line_option:linkopt"],
)

def _coverage_impl(ctx):
    words = ["python3", here(ctx.file._coverage.short_path)]
    library = [file for file in ctx.files.library if file.extension == "so"]
    words += ["--library=" + here(file.short_path) for file in library]
    words += ["--test=" + here(file.short_path) for file in ctx.files.tests]
    words += ["--watched=" + here(file.short_path) for file in ctx.files.watched]
    words += ["--driver=" + here(file.short_path) for file in ctx.files.drivers]
    runfiles = ctx.runfiles(files = library + ctx.files.corpora + [ctx.file._coverage, ctx.file._debian])
    for target in ctx.attr.tests + ctx.attr.watched + ctx.attr.drivers:
        runfiles = runfiles.merge(target[DefaultInfo].default_runfiles)
    return DefaultInfo(executable = write_launcher(ctx, words), runfiles = runfiles)

coverage = rule(
    implementation = _coverage_impl,
    doc = "Runs tests and replays corpora, and says what of the library they reach.",
    attrs = {
        "corpora": attr.label_list(doc = "The drivers' inputs, which stand in corpus/DRIVER."),
        "drivers": attr.label_list(cfg = _counting_transition),
        "library": attr.label(cfg = _counting_transition, mandatory = True),
        "tests": attr.label_list(cfg = _counting_transition),
        "watched": attr.label_list(cfg = _counting_transition, doc = "Tests that are run under Valgrind too."),
        "_allowlist_function_transition": attr.label(
            default = "@bazel_tools//tools/allowlists/function_transition_allowlist",
        ),
        "_coverage": attr.label(default = "//tools:coverage.py", allow_single_file = True),
        "_debian": attr.label(default = "//tools:debian.sh", allow_single_file = True),
    },
    executable = True,
)
