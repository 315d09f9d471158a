/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef CORK_MEMPOOL_TEST_REPORTS_H
#define CORK_MEMPOOL_TEST_REPORTS_H

/*
 * The reports that are expected, to the letter. Each is valid until the next of its kind is asked
 * for. A name of NULL is for a pool that has none.
 */

#include <stdbool.h>
#include <stddef.h>

#include <libcork/core.h>

#define NO_NAME NULL

/* Where a pool was before it was moved, for pool_report and dead_pointer_report; or NULL. */
extern const struct cork_mempool *reported_origin;

/* Of what is known no more than the pool. */
const char *pool_report(const char *message, const struct cork_mempool *mp, const char *name);

/* Of a call with a pointer, of a pool that is not live. */
const char *dead_pointer_report(const char *message, const struct cork_mempool *mp,
                                const char *name, const void *pointer);

/* Whether a pointer lies in no slot; regions of the heap may be each other's neighbours. */
bool is_foreign(const struct cork_mempool *mp, const void *pointer);

/* Of a pointer that lies in no slot. */
const char *pointer_report(const char *message, const struct cork_mempool *mp, const char *name,
                           const void *pointer);

/* Of a pointer into a slot. */
const char *slot_report(const char *message, const struct cork_mempool *mp, const char *name,
                        const void *pointer, size_t slot);

/* Of live objects; those that are listed are objects[first], objects[first + step] and so on. */
const char *leak_report(const struct cork_mempool *mp, const char *name, size_t live_count,
                        void *const *objects, size_t first, size_t step);

#endif /* CORK_MEMPOOL_TEST_REPORTS_H */
