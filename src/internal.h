/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

/*
 * What every room of src/ needs: the usual types, names for the linker, and hints for compilers.
 * INTERNAL ends the declaration of what rooms share. A shared library does not export that; a
 * static one cannot hide it, so the linker gets a name that no program uses.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define INTERNAL_STRING(text) #text
#define INTERNAL_LABEL(prefix, name)                                                               \
    __asm__(INTERNAL_STRING(prefix) "cork_mempool_" #name "_") __attribute__((visibility("hidden")))
#define INTERNAL(name) INTERNAL_LABEL(__USER_LABEL_PREFIX__, name)

#define LIKELY(condition)   __builtin_expect(!!(condition), 1)
#define UNLIKELY(condition) __builtin_expect(!!(condition), 0)

/* Tells compilers that a condition holds; nothing checks it. */
#if defined(__clang__)
#define KNOWN(condition) __builtin_assume(condition)
#else
#define KNOWN(condition) ((condition) ? (void)0 : __builtin_unreachable())
#endif

/* Makes a function's speed independent of the code before it. */
#define CACHELINE_ALIGNED __attribute__((aligned(64)))

/* Without a system there are no threads. In a library opened at run time, glibc allocates variables
 * of other models at their first use, here while a report is made. Those of initial-exec are not;
 * all such libraries share 512 bytes at least. musl has no such model there, and needs none. */
#if defined(CORK_MEMPOOL_NO_OS_MEMORY)
#define THREAD_LOCAL
#elif defined(__GLIBC__)
#define THREAD_LOCAL __attribute__((tls_model("initial-exec"))) _Thread_local
#else
#define THREAD_LOCAL _Thread_local
#endif

/* Makes a large function a part of its callers, where it is compiled with what they know. */
#define ALWAYS_INLINE static inline __attribute__((always_inline))

/* Keeps a slow path's registers and stack out of the fast path that calls it. Functions that ask
 * for their return address need it too, because a linker may inline them. */
#define NOINLINE __attribute__((noinline))
