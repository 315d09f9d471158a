# SPDX-License-Identifier: BSD-3-Clause
"""The options of sanitizers, of libFuzzer and of coverage, and the transition that builds with them."""

SANITIZERS = ["asan", "ubsan", "msan", "tsan"]

# Options of the compiler, by instrumentation; the first is one of the linker too.
_INSTRUMENTATIONS = {
    "none": [],
    "asan": ["-fsanitize=address"],
    # vptr would need the C++ half of the runtime, which a C compiler does not link.
    "ubsan": ["-fsanitize=undefined", "-fno-sanitize=vptr", "-fno-sanitize-recover=all"],
    "msan": ["-fsanitize=memory"],
    "tsan": ["-fsanitize=thread"],
    # The last makes reports name files by their paths in the workspace.
    "coverage": [
        "-fprofile-instr-generate",
        "-fcoverage-mapping",
        "-fcoverage-mcdc",
        "-fcoverage-compilation-dir=.",
    ],
}

# Added to each. Fortified functions would hide their arguments from sanitizers.
_INSTRUMENTED = ["-gdwarf-4", "-O1", "-fno-omit-frame-pointer", "-U_FORTIFY_SOURCE"]

# Added for libFuzzer, because -O2 makes it a tenth faster.
_FUZZED = ["-fsanitize=fuzzer-no-link", "-O2"]

# For tests that run: what must differ from the sanitizers' defaults.
ENVIRONMENT = {
    "ASAN_OPTIONS": "detect_stack_use_after_return=1:strict_string_checks=1",
    "TSAN_OPTIONS": "halt_on_error=1",
    "UBSAN_OPTIONS": "print_stacktrace=1",
}

def asked_for(default):
    """Returns the sanitizer of the command line's --config, or else the default."""
    return select(dict(
        {"//tools/build:" + sanitizer: sanitizer for sanitizer in SANITIZERS},
        **{"//conditions:default": default}
    ))

def _transition_impl(settings, attr):
    flags = _INSTRUMENTATIONS[attr.instrumentation]
    copt = flags + (_INSTRUMENTED if flags else []) + (_FUZZED if attr.is_fuzzer else [])
    first = ["-O1"] if str(settings[_MODE]) == "fastbuild" else []  # tests at -O0 take several times longer
    linkopt = flags[:1] + (["-fsanitize=fuzzer"] if attr.is_fuzzer else [])
    return {
        "//command_line_option:copt": first + settings["//command_line_option:copt"] + copt,
        "//command_line_option:linkopt": settings["//command_line_option:linkopt"] + linkopt,
    }

_MODE = "//command_line_option:compilation_mode"  # no string in Bazel 4
_OPTIONS = ["//command_line_option:copt", "//command_line_option:linkopt"]

# The transition must read no build setting: for Bazel 4 that makes another configuration, even where
# the setting has its default, whose files then overwrite those of the first.
instrumented = transition(implementation = _transition_impl, inputs = _OPTIONS + [_MODE], outputs = _OPTIONS)

# Attributes that a rule with this transition must have.
INSTRUMENTED_ATTRS = {
    "instrumentation": attr.string(default = "none", values = _INSTRUMENTATIONS.keys()),
    "is_fuzzer": attr.bool(doc = "Whether to link libFuzzer."),
}
