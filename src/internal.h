/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef CORK_MEMPOOL_INTERNAL_H
#define CORK_MEMPOOL_INTERNAL_H

/*
 * What every room of src/ needs: the usual types, names for the linker, and hints for compilers.
 * INTERNAL ends the declaration of what rooms share: a shared library does not export it, and a
 * static one, which cannot hide it, gives it a name for the linker that no program has.
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

/* Tells analyzers what must hold, where they cannot know that it does. */
#if defined(__clang__)
#define KNOWN(condition) __builtin_assume(condition)
#else
#define KNOWN(condition) ((condition) ? (void)0 : __builtin_unreachable())
#endif

/* So that the speed of a function does not depend on what precedes it. */
#define CACHELINE_ALIGNED __attribute__((aligned(64)))

/* Where there is no system, there are no threads. The model is for libraries that are opened at run
 * time, which have room for 512 bytes of such variables: any other allocates a variable
 * when it is first used, which is while a report is made. */
#if defined(CORK_MEMPOOL_NO_OS_MEMORY)
#define THREAD_LOCAL
#elif defined(__GLIBC__)
#define THREAD_LOCAL __attribute__((tls_model("initial-exec"))) _Thread_local
#else
#define THREAD_LOCAL _Thread_local
#endif

/* Keeps a slow path's registers and stack out of the fast path that calls it, and gives a function
 * that asks where it was called from a call of its own, whatever the linker may inline. */
#define NOINLINE __attribute__((noinline))

#endif /* CORK_MEMPOOL_INTERNAL_H */
