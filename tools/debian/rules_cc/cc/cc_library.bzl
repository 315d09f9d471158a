# SPDX-License-Identifier: BSD-3-Clause
"""cc_library as Bazel 4 has it built in."""

cc_library = native.cc_library
