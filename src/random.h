/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef CORK_MEMPOOL_RANDOM_H
#define CORK_MEMPOOL_RANDOM_H

/*
 * Random: numbers that follow from a pool's seed alone, by SplitMix64 (Steele, Lea and Flood, "Fast
 * Splittable Pseudorandom Number Generators", OOPSLA 2014). They decide what an attacker is not to
 * foresee; they are no cryptography.
 */

#include <stdint.h>

#include "internal.h"

/* random_mix permutes the words and leaves no bit where it was. Of a state of the generator it
 * makes a random number. */
static inline uint64_t random_mix(uint64_t word)
{
    word = (word ^ word >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    word = (word ^ word >> 27) * UINT64_C(0x94d049bb133111eb);
    return word ^ word >> 31;
}

/* random_next returns the generator's next state; the first one is a seed. */
static inline uint64_t random_next(uint64_t state)
{
    return state + UINT64_C(0x9e3779b97f4a7c15);
}

#endif /* CORK_MEMPOOL_RANDOM_H */
