# SPDX-License-Identifier: BSD-3-Clause
"""The C and C++ rules that Bazel 4 has built in, as this project and Bazel's own tools load them."""

cc_binary = native.cc_binary
cc_import = native.cc_import
cc_library = native.cc_library
cc_proto_library = native.cc_proto_library
cc_test = native.cc_test
cc_toolchain = native.cc_toolchain
cc_toolchain_suite = native.cc_toolchain_suite
objc_library = native.objc_library
