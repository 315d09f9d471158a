/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef CORK_MEMPOOL_GEOMETRY_H
#define CORK_MEMPOOL_GEOMETRY_H

/*
 * Geometry: from the sizes that a caller asks for to the arithmetic of slots.
 *
 * Between guards lie blocks of slots. From a block to the next it is a whole number of slots, so
 * that all slots stand in one line; and of pages, so that each page belongs to a block or to a
 * guard. A block ends where its guard begins:
 *
 *     redzone | block_slots slots | guard | redzone | block_slots slots | guard | ...
 *     page    base                page    page      base + block_pitch * stride
 */

#include "bits.h"
#include "libcork/core/mempool.h"

/* Slots of a group, and the bits of its word that stand for them. */
#define GROUP_SLOTS 64
#define GROUP_BITS  (UINT64_MAX >> (64 - GROUP_SLOTS))

/* The bytes of a redzone that are used: two canaries, or what AddressSanitizer needs. */
#define REDZONE_SIZE 16

/* geometry_init works out the geometry of a pool; sizes no memory could hold give a stride of 0.
 * alignment is a power of two, or 0 for what element_size implies. Before, between and behind the
 * objects are redzone_size bytes at least. With a page_size that is not 0 there are guards, and
 * blocks are made larger than block_size as far as their pages have room. */
void geometry_init(struct cork_mempool_geometry *geometry, size_t element_size, size_t alignment,
                   size_t block_size, size_t redzone_size, size_t page_size)
    INTERNAL(geometry_init);

/* geometry_slot_of returns the slot that starts offset bytes after a region's base. Where none
 * does, it returns at least 2^w / stride, for words of w bits: more than any slot's number, so that
 * one comparison with a count of slots is a complete test (Granlund and Montgomery, "Division by
 * Invariant Integers using Multiplication", PLDI 1994, section 9; docs/design.md has the proof). */
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
    return geometry->block_pitch != 0 && slot % geometry->block_pitch >= geometry->block_slots;
}

/* geometry_object_count returns how many of a region's first slots are no guards. */
static inline size_t geometry_object_count(const struct cork_mempool_geometry *geometry,
                                           size_t slot_count)
{
    const size_t pitch = geometry->block_pitch;

    return pitch == 0 ? slot_count
                      : slot_count / pitch * geometry->block_slots +
                            bits_smaller(slot_count % pitch, geometry->block_slots);
}

#endif /* CORK_MEMPOOL_GEOMETRY_H */
