# SPDX-License-Identifier: BSD-3-Clause
"""Tests built and run under each sanitizer, without a --config that one could forget."""

load("@rules_cc//cc:defs.bzl", "cc_binary")
load(":flags.bzl", "asked_for")
load(":scripts.bzl", "embedded_binary", "script_test")

def sanitized_cc_test(
        name,
        size,
        sanitizers = ["asan", "ubsan", "msan"],
        is_parallel = False,
        args = [],
        data = [],
        env = {},
        os_memory = True,
        tags = [],
        **kwargs):
    """Defines the test `name`, and `name`_asan and so on for its sanitizers.

    Args:
      name: the test's name; `name`_program is what all of them run.
      size: as for cc_test, and so are args, data and env.
      sanitizers: which to run it under; say why where it is fewer.
      is_parallel: True for threads, or processes that share memory: runs it under "tsan" too, which
        finds nothing in one thread.
      args: for all of them.
      data: for all of them.
      env: for all of them.
      os_memory: False builds them all with --//:os_memory=false.
      tags: the tests' tags; the sanitized ones have the sanitizer's name too.
      **kwargs: as for cc_binary.
    """
    program = name + "_program"
    cc_binary(name = program, testonly = True, tags = ["manual"], **kwargs)
    if not os_memory:
        embedded_binary(name = name + "_embedded", testonly = True, src = program, tags = ["manual"])
        program = name + "_embedded"
    for sanitizer in [""] + sanitizers + (["tsan"] if is_parallel else []):
        script_test(
            name = name + "_" + sanitizer if sanitizer else name,
            size = size,
            src = program,
            args = args,
            data = data,
            env = env,
            instrumentation = sanitizer or asked_for("none"),
            tags = tags + [sanitizer] if sanitizer else tags,
        )
