/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef FUZZ_ENGINE_H
#define FUZZ_ENGINE_H

/*
 * What stands between ENGINE_BEGIN and ENGINE_END is not instrumented for coverage, so that all
 * that a fuzzer collects is what it reaches in the subject. The model's paths even depend on
 * addresses.
 */
#if defined(__clang__)
#define ENGINE_BEGIN                                                                               \
    _Pragma("clang attribute push(__attribute__((no_sanitize(\"coverage\"))), apply_to = function)")
#define ENGINE_END _Pragma("clang attribute pop")
#else
#define ENGINE_BEGIN
#define ENGINE_END
#endif

#endif /* FUZZ_ENGINE_H */
