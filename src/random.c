/* SPDX-License-Identifier: BSD-3-Clause */
#include "random.h"

#include <stdatomic.h>
#include <stddef.h>
#include <string.h>
#include <sys/auxv.h>

uint64_t random_seed(const void *place)
{
    static _Atomic(uintptr_t) made_count;
    const void *random = (const void *)getauxval(AT_RANDOM);
    uint64_t seed = random_mix((uintptr_t)place) + atomic_fetch_add(&made_count, 1);

    if (random != NULL) {
        uint64_t word;
        memcpy(&word, random, sizeof(word));
        seed = random_mix(seed) ^ word;
    }
    seed = random_mix(seed);
    return seed == 0 ? 1 : seed;
}
