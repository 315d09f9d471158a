/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

/*
 * The engine runs programs on a subject, and compares each result with what a model expects. It is
 * a library in one direction: a part includes and calls only parts that stand above it.
 *
 *     subject    what is fuzzed, by a name, an init and a call; subject_cork is our pool
 *     program    the language: what bytes and text mean
 *     memory     what a subject's mappings consist of
 *     model      the oracle: which objects there are, and what the contract promises of them
 *     run_state  all that a run has; how it fails
 *     caller     what options name: sources, buffers, constructors
 *     refusal    whether misuse was refused for what it is
 *     calls      legal calls, of which the model is told
 *     misuse     calls that must be refused
 *     run        runs a program: operation by operation, by the parts above
 *
 * What stands between ENGINE_BEGIN and ENGINE_END is not instrumented for coverage, so that all
 * that a fuzzer collects is what it reaches in the subject. The model's paths even depend on
 * addresses. AddressSanitizer does not check it either, which saves a fifth of the time, but where
 * objects are touched: there it is checked, between ENGINE_BEGIN_CHECKED and ENGINE_END.
 *
 * ENGINE_IS_SEEN is defined where nothing can be seen of the subject: a fuzzer is then led by what
 * the engine does.
 */
#if defined(__clang__) && !defined(ENGINE_IS_SEEN)
#define ENGINE_PRAGMA(text) _Pragma(#text)
#define ENGINE_WITHOUT(...)                                                                        \
    ENGINE_PRAGMA(                                                                                 \
        clang attribute push(__attribute__((no_sanitize(__VA_ARGS__))), apply_to = function))
#define ENGINE_BEGIN         ENGINE_WITHOUT("coverage", "address")
#define ENGINE_BEGIN_CHECKED ENGINE_WITHOUT("coverage")
#define ENGINE_END           _Pragma("clang attribute pop")
#else
#define ENGINE_BEGIN
#define ENGINE_BEGIN_CHECKED
#define ENGINE_END
#endif
