# SPDX-License-Identifier: BSD-3-Clause
"""Tests that are built as for a machine without an operating system."""

load("@rules_cc//cc:defs.bzl", "cc_test")
load(":sanitizers.bzl", "SANITIZERS", "sanitized_tests")
load(":scripts.bzl", "alias_executable")

def _without_os_memory_impl(_settings, _attr):
    return {"//:os_memory": False}

_without_os_memory = transition(
    implementation = _without_os_memory_impl,
    inputs = [],
    outputs = ["//:os_memory"],
)

def _embedded_test_impl(ctx):
    test = ctx.attr.test[0][DefaultInfo]
    return DefaultInfo(executable = alias_executable(ctx, test), runfiles = test.default_runfiles)

_embedded_test = rule(
    implementation = _embedded_test_impl,
    doc = "Runs a test as it is when everything in it is built with --//:os_memory=false.",
    attrs = {
        "test": attr.label(cfg = _without_os_memory, executable = True, mandatory = True),
        "_allowlist_function_transition": attr.label(
            default = "@bazel_tools//tools/allowlists/function_transition_allowlist",
        ),
    },
    test = True,
)

def embedded_cc_test(name, sanitizers = SANITIZERS.keys(), **kwargs):
    """Defines a cc_test that is built with --//:os_memory=false, whatever the command line says.

    Args:
      name: the test's name, also in `name`_asan and so on, see sanitized_cc_test. `name`_program is
        what it runs, which is not to be built otherwise.
      sanitizers: which sanitizers to run it under; say why where it is not all of them.
      **kwargs: as for cc_test.
    """
    cc_test(name = name + "_program", linkstatic = True, tags = ["manual"], **kwargs)
    _embedded_test(name = name, size = "small", test = name + "_program")
    sanitized_tests(name, sanitizers, size = "small")
