# SPDX-License-Identifier: BSD-3-Clause
"""cc_binary as Bazel 4 has it built in."""

cc_binary = native.cc_binary
