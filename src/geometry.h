/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef CORK_MEMPOOL_GEOMETRY_H
#define CORK_MEMPOOL_GEOMETRY_H

/*
 * Geometry: from the sizes that a caller asks for to the arithmetic of slots.
 */

#include <stddef.h>
#include <stdint.h>

#include "internal.h"
#include "libcork/core/mempool.h"

/* Slots that one descriptor serves: the bits of its word. */
#define GROUP_SLOTS 64

/* The word of a group all of whose slots are meant. */
#define GROUP_BITS (UINT64_MAX >> (64 - GROUP_SLOTS))

/*
 * geometry_init works out the geometry of a pool; sizes no memory could hold give a stride of 0.
 * alignment is a power of two, or 0 for what element_size implies. Before, between and behind the
 * objects are gap_size bytes at least. A guard_size that is not 0 makes room for inaccessible pages
 * of that size between blocks.
 */
INTERNAL void geometry_init(struct cork_mempool_geometry *geometry, size_t element_size,
                            size_t alignment, size_t block_size, size_t gap_size,
                            size_t guard_size);

/*
 * geometry_slot_of returns the slot that starts offset bytes after a region's base. Where none
 * does, it returns a number that is larger than that of any slot: at least 2^w / stride for words
 * of w bits. So one comparison with a count of slots is a complete test.
 *
 * This is the test for exact division of Granlund and Montgomery, "Division by Invariant Integers
 * using Multiplication" (PLDI 1994), section 9: multiplication by odd's inverse permutes the words,
 * and maps the multiples of odd, and them alone, to the quotients; a remainder of 2^shift ends up
 * in the top bits by the rotation.
 */
static inline uintptr_t geometry_slot_of(const struct cork_mempool_geometry *geometry,
                                         uintptr_t offset)
{
    const uintptr_t product = offset * geometry->inverse;
    const size_t mask = sizeof(uintptr_t) * 8 - 1;

    return product >> (geometry->shift & mask) | product << (-geometry->shift & mask);
}

/* geometry_is_guard says whether a slot lies between blocks, where no object is ever issued. */
static inline bool geometry_is_guard(const struct cork_mempool_geometry *geometry, size_t slot)
{
    return geometry->period_slots != 0 && slot % geometry->period_slots >= geometry->block_slots;
}

#endif /* CORK_MEMPOOL_GEOMETRY_H */
