/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef FUZZ_SUBJECTS_OTHER_H
#define FUZZ_SUBJECTS_OTHER_H

/*
 * Pools that are not ours, told apart from ours: what implements one includes none of our other
 * headers, which may clash with its own. other.c makes a subject of it. A program has one.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

struct other {
    const char *name;
    size_t max_alignment; /* no object need be aligned to more, whatever its size */
    bool is_unseen;       /* it takes its memory where memory.c does not see it */
    /* block_size: 0 for the pool's own choice. Returns: NULL, with errno, where there is no memory.
     */
    void *(*make)(size_t element_size, size_t block_size);
    void *(*take)(void *pool); /* as malloc */
    void (*give)(void *pool, void *object);
    void (*unmake)(void *pool); /* when all objects have been given back */
};

/* other_is_known returns whether a defect is known: the environment variable FUZZ_KNOWN_DEFECTS has
 * its name. What is known is kept from the pool, and not found any more. */
static inline bool other_is_known(const char *defect)
{
    const char *known = getenv("FUZZ_KNOWN_DEFECTS");
    return known != NULL && strstr(known, defect) != NULL;
}

/* other_open returns the pool; or NULL, having said why on standard error: it is not installed. */
const struct other *other_open(void);

#ifdef __cplusplus
}
#endif

#endif /* FUZZ_SUBJECTS_OTHER_H */
