/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

/*
 * Pools that are not ours. A program has one: a file that defines other_open, and includes none of
 * our other headers, which may clash with its own. other.c makes a subject of it.
 */

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

struct other {
    const char *name;
    size_t max_alignment; /* no object need be aligned to more, whatever its size */
    bool is_unseen;       /* it takes its memory where requests.c does not see it */
    /* block_size: 0 for the pool's own choice. Returns: NULL, with errno, without memory. */
    void *(*make)(size_t element_size, size_t block_size);
    void *(*new_object)(void *pool);
    void (*free_object)(void *pool, void *object);
    void (*done)(void *pool); /* when all objects have been freed */
};

/* other_open returns the pool; or NULL, having said why: it is not installed. */
const struct other *other_open(void);

/* other_is_known, of other.c, returns whether a defect is known: the environment's
 * FUZZ_KNOWN_DEFECTS has its name. What is known is kept from the pool, and not found any more. */
bool other_is_known(const char *defect);

#ifdef __cplusplus
}
#endif
