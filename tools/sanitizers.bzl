# SPDX-License-Identifier: BSD-3-Clause
"""Tests built and run under each sanitizer, without a --config that one could forget."""

load("@rules_cc//cc:defs.bzl", "cc_test")
load(":scripts.bzl", "alias_executable")

# The sanitizers' names and the compiler's options for them; the linker wants the first.
SANITIZERS = {
    "asan": ["-fsanitize=address"],
    # vptr would need the C++ half of the runtime, which a C compiler does not link.
    "ubsan": ["-fsanitize=undefined", "-fno-sanitize=vptr", "-fno-sanitize-recover=all"],
    "msan": ["-fsanitize=memory", "-fsanitize-memory-track-origins"],
    "tsan": ["-fsanitize=thread"],
}

# With every sanitizer. Fortified functions would hide their arguments from it.
INSTRUMENTED = ["-g", "-O1", "-fno-omit-frame-pointer", "-U_FORTIFY_SOURCE"]

# For libFuzzer, which gains a tenth in speed from the better code.
_FUZZED = ["-fsanitize=fuzzer-no-link", "-O2"]

# What differs from the sanitizers' defaults.
_ENVIRONMENT = {
    "ASAN_OPTIONS": "detect_stack_use_after_return=1:strict_string_checks=1",
    "TSAN_OPTIONS": "halt_on_error=1",
    "UBSAN_OPTIONS": "print_stacktrace=1",
}

def sanitized(settings, sanitizer, is_fuzzed = False):
    """Chooses a sanitizer instead of whichever one the command line asks for.

    Args:
      settings: the configuration's copt and linkopt, by their labels.
      sanitizer: one of SANITIZERS, or empty for none.
      is_fuzzed: whether to instrument for libFuzzer, and to link it.

    Returns:
      the settings, by the same labels.
    """
    flags = SANITIZERS[sanitizer] if sanitizer else []
    copt = flags + INSTRUMENTED + (_FUZZED if is_fuzzed else [])
    linkopt = flags[:1] + (["-fsanitize=fuzzer"] if is_fuzzed else [])
    return {
        "//command_line_option:copt": _unsanitized(settings["//command_line_option:copt"]) + copt,
        "//command_line_option:linkopt": _unsanitized(settings["//command_line_option:linkopt"]) + linkopt,
    }

def _unsanitized(flags):
    return [flag for flag in flags if not flag.startswith("-fsanitize") and not flag.startswith("-fno-sanitize")]

def _sanitizer_transition_impl(settings, attr):
    return sanitized(settings, attr.sanitizer)

_sanitizer_transition = transition(
    implementation = _sanitizer_transition_impl,
    inputs = ["//command_line_option:copt", "//command_line_option:linkopt"],
    outputs = ["//command_line_option:copt", "//command_line_option:linkopt"],
)

def _sanitizer_test_impl(ctx):
    test = ctx.attr.test[0][DefaultInfo]
    environment = dict(_ENVIRONMENT)
    environment.update(ctx.attr.env)
    return [
        DefaultInfo(
            executable = alias_executable(ctx, test),
            runfiles = ctx.runfiles(files = ctx.files.data).merge(test.default_runfiles),
        ),
        testing.TestEnvironment(environment),
    ]

_sanitizer_test = rule(
    implementation = _sanitizer_test_impl,
    doc = "Runs a test as it is when everything in it is built with a sanitizer.",
    attrs = {
        "data": attr.label_list(allow_files = True),
        "env": attr.string_dict(),
        "sanitizer": attr.string(mandatory = True, values = SANITIZERS.keys()),
        "test": attr.label(cfg = _sanitizer_transition, executable = True, mandatory = True),
        "_allowlist_function_transition": attr.label(
            default = "@bazel_tools//tools/allowlists/function_transition_allowlist",
        ),
    },
    test = True,
)

# The attributes of a cc_test that say how it is run, not how it is built.
RUNNING = [
    "args",
    "data",
    "env",
    "exec_compatible_with",
    "flaky",
    "local",
    "shard_count",
    "size",
    "target_compatible_with",
    "timeout",
    "visibility",
]

def sanitized_cc_test(name, sanitizers = SANITIZERS.keys(), tags = [], **kwargs):
    """Defines the cc_test `name`, and `name`_asan, `name`_ubsan, `name`_msan and `name`_tsan.

    Args:
      name: the test's name.
      sanitizers: which of SANITIZERS to run it under; say why where it is not all of them.
      tags: the tests' tags; the sanitized ones have the sanitizer's name too.
      **kwargs: as for cc_test, linked statically unless they say otherwise.
    """
    kwargs.setdefault("linkstatic", True)
    cc_test(name = name, tags = tags, **kwargs)
    running = {key: kwargs[key] for key in RUNNING if key in kwargs}
    sanitized_tests(name, sanitizers, tags, **running)

def sanitized_tests(name, sanitizers = SANITIZERS.keys(), tags = [], **kwargs):
    """Defines `name`_asan and so on, for a test `name` of any kind.

    Args:
      name: the test's name.
      sanitizers: as for sanitized_cc_test.
      tags: the tests' tags, besides the sanitizer's name.
      **kwargs: how they are run, see RUNNING.
    """
    for sanitizer in sanitizers:
        _sanitizer_test(
            name = name + "_" + sanitizer,
            sanitizer = sanitizer,
            tags = tags + [sanitizer],
            test = name,
            **kwargs
        )

def _bazelrc_configs_impl(ctx):
    lines = ["build:instrumented --copt=" + flag for flag in INSTRUMENTED]
    for sanitizer, flags in SANITIZERS.items():
        prefix = "build:" + sanitizer
        lines += [prefix + " --copt=" + flag for flag in flags]
        lines += [prefix + " --linkopt=" + flags[0], prefix + " --config=instrumented"]
    configs = ctx.actions.declare_file(ctx.label.name)
    ctx.actions.write(output = configs, content = "\n".join(lines) + "\n")
    return DefaultInfo(files = depset([configs]), runfiles = ctx.runfiles(files = [configs]))

bazelrc_configs = rule(
    implementation = _bazelrc_configs_impl,
    doc = "The lines that .bazelrc must have to build as the tests above do.",
)
