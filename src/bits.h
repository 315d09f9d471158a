/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

/* Bits: arithmetic. A unit and an alignment are powers of two. */

#include "internal.h"

static inline size_t bits_larger(size_t one, size_t other)
{
    return one > other ? one : other;
}

static inline size_t bits_smaller(size_t one, size_t other)
{
    return one < other ? one : other;
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

static inline char *bits_align(char *address, size_t alignment)
{
    return address + ((~(uintptr_t)address + 1) & (alignment - 1));
}

/*
 * Random numbers follow from a pool's seed alone, by SplitMix64 (Steele, Lea and Flood, "Fast
 * Splittable Pseudorandom Number Generators", OOPSLA 2014); they are no cryptography. bits_next
 * returns the generator's next state, the first being a seed. bits_mix makes a number of a state:
 * it permutes the words, and leaves no bit where it was.
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
