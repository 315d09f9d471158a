/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

/*
 * The reports that are expected, to the letter. Each is valid until the next is asked for. A name
 * of NULL is for a pool that has none.
 */

#include <libcork/core.h>

#define NO_NAME NULL

/* The report of a violation. Its message may be left out, and its call site: then so is the line
 * that says where the refused call was made, as CHECK_ABORTS wants it. */
const char *report_of(const struct cork_mempool_violation *violation);

/* Returns NULL if a violation says what it should, whatever its call sites; else a complaint, after
 * both reports have been written to standard error. */
const char *violation_difference(const struct cork_mempool_violation *seen,
                                 const struct cork_mempool_violation *expected);

/* The reports of pools without protections: of a refused call, of which no more is known than the
 * pool; of one with a pointer into a slot; and of a leak of objects[first] and those behind it. */
const char *pool_report(enum cork_mempool_violation_kind kind, const struct cork_mempool *mp,
                        const char *name);
const char *slot_report(enum cork_mempool_violation_kind kind, const struct cork_mempool *mp,
                        const char *name, const void *pointer, size_t slot);
const char *leak_report(const struct cork_mempool *mp, const char *name, size_t live_count,
                        void *const *objects, size_t first);

/* The number of the slot that a pointer lies in, or CORK_MEMPOOL_NO_SLOT. */
size_t slot_number_at(const struct cork_mempool *mp, const void *pointer);

/* Whether a pointer lies in no slot; regions of the heap may be each other's neighbours. */
bool is_foreign(const struct cork_mempool *mp, const void *pointer);
