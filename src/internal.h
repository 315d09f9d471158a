/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef CORK_MEMPOOL_INTERNAL_H
#define CORK_MEMPOOL_INTERNAL_H

/*
 * What every room of src/ needs: the usual types, names for the linker, hints for compilers, and
 * arithmetic. INTERNAL ends the declaration of what rooms share, and keeps it from everybody else:
 * a shared library does not export it; a static one cannot hide it, so the linker knows it by a
 * name that no program has.
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
 * time: any other allocates a variable when it is first used, which is while a report is made. Of
 * such variables all these libraries have room for 512 bytes at least together. */
#if defined(CORK_MEMPOOL_NO_OS_MEMORY)
#define THREAD_LOCAL
#else
#define THREAD_LOCAL __attribute__((tls_model("initial-exec"))) _Thread_local
#endif

/* NOINLINE keeps a slow path's registers and stack out of the fast path that calls it, and gives a
 * function that asks where it was called from a call of its own, whatever the linker may inline. */
#define NOINLINE __attribute__((noinline))

/* Arithmetic: a unit and an alignment are powers of two. */
static inline size_t bits_larger(size_t one, size_t other)
{
    return one > other ? one : other;
}

static inline size_t bits_smaller(size_t one, size_t other)
{
    return one < other ? one : other;
}

static inline size_t bits_lowest(size_t size)
{
    return size & (~size + 1);
}

/* size is not 0. */
static inline size_t bits_highest(size_t size)
{
    return (size_t)(UINT64_C(1) << (63 - __builtin_clzll(size)));
}

static inline size_t bits_round_up(size_t size, size_t unit)
{
    return (size + unit - 1) & ~(unit - 1);
}

/* bits_align returns the first address from this one on that is a multiple of alignment. */
static inline char *bits_align(char *address, size_t alignment)
{
    return address + ((~(uintptr_t)address + 1) & (alignment - 1));
}

/*
 * Random numbers follow from a pool's seed alone, by SplitMix64 (Steele, Lea and Flood, "Fast
 * Splittable Pseudorandom Number Generators", OOPSLA 2014). They decide what an attacker is not to
 * foresee; they are no cryptography. bits_mix permutes the words and leaves no bit where it was: of
 * a state of the generator it makes a number. bits_next returns the next state; the first one is a
 * seed.
 */
static inline uint64_t bits_mix(uint64_t word)
{
    word = (word ^ word >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    word = (word ^ word >> 27) * UINT64_C(0x94d049bb133111eb);
    return word ^ word >> 31;
}

static inline uint64_t bits_next(uint64_t state)
{
    return state + UINT64_C(0x9e3779b97f4a7c15);
}

#endif /* CORK_MEMPOOL_INTERNAL_H */
