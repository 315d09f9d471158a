/* SPDX-License-Identifier: BSD-3-Clause */
#include "random.h"

#include <stdatomic.h>
#include <stddef.h>
#include <string.h>

#if !defined(CORK_MEMPOOL_NO_OS_MEMORY)
#include <sys/auxv.h>

/* What the kernel chose at random for this process, or NULL. */
static const void *random_bytes(void)
{
    return (const void *)getauxval(AT_RANDOM);
}
#else
static const void *random_bytes(void)
{
    return NULL;
}
#endif

uint64_t random_seed(const void *place)
{
    static _Atomic(uintptr_t) made_count;
    const void *random = random_bytes();
    uint64_t seed = random_mix((uintptr_t)place) + atomic_fetch_add(&made_count, 1);

    if (random != NULL) {
        uint64_t word;
        memcpy(&word, random, sizeof(word));
        seed = random_mix(seed) ^ word;
    }
    seed = random_mix(seed);
    return seed == 0 ? 1 : seed;
}
