/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef CORK_MEMPOOL_SOURCE_H
#define CORK_MEMPOOL_SOURCE_H

/*
 * Source: where memory comes from. Address space, with pages committed one by one, from the
 * operating system; and smaller pieces, ready to use, from the heap.
 */

#include <stdbool.h>
#include <stddef.h>

#include "internal.h"
#include "libcork/core/mempool_options.h"

/*
 * Built with CORK_MEMPOOL_NO_OS_MEMORY, the library knows no operating system and no heap: every
 * request is refused, and pools have the memory that their options give them.
 */
#if defined(CORK_MEMPOOL_NO_OS_MEMORY)
#define SOURCE_HAS_OS false
#else
#define SOURCE_HAS_OS true
#endif

/* source_heap is the heap. */
INTERNAL extern const struct cork_mempool_source source_heap;

/* source_page_size returns the unit of source_commit; a power of two. */
INTERNAL size_t source_page_size(void);

/* source_is_scarce says whether address space is limited, so that little should be reserved. */
INTERNAL bool source_is_scarce(void);

/* source_reserve returns size bytes of address space that nobody may touch, or NULL. */
INTERNAL void *source_reserve(size_t size);

/* source_commit makes whole pages of a reservation usable, for good; those that are stay so. */
INTERNAL bool source_commit(void *pages, size_t size);

/* source_has_guards says whether the operating system may have what source_guard needs. */
INTERNAL bool source_has_guards(void);

/*
 * source_guard makes whole pages of a reservation inaccessible for good, though they are committed
 * together with others later. To be called where source_has_guards.
 * Returns: false where the operating system has no such guards.
 */
INTERNAL bool source_guard(void *pages, size_t size);

/* source_discard gives the memory of committed pages back; they read as zeros from then on. */
INTERNAL void source_discard(void *pages, size_t size);

/* source_scatter keeps the operating system from making huge pages of committed ones. */
INTERNAL void source_scatter(void *pages, size_t size);

/* source_release gives a whole reservation back. */
INTERNAL void source_release(void *memory, size_t size);

#endif /* CORK_MEMPOOL_SOURCE_H */
