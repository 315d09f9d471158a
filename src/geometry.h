/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

/*
 * Geometry: from the sizes that a caller asks for to the arithmetic of slots.
 *
 * Blocks of slots lie between guards. The block pitch is a whole number of slots, because all slots
 * stand in one line; and of pages, because no page belongs to both a block and a guard. A block
 * ends where its guard begins:
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

/* geometry_init works out the geometry of a pool. The stride is 0 if no memory could hold the
 * sizes. alignment is a power of two, or 0: element_size implies it. At least redzone_size bytes
 * stand before, between and behind objects. If page_size is not 0 there are guards, and blocks
 * exceed block_size to fill their pages, but never object_count. */
void geometry_init(struct cork_mempool_geometry *geometry, size_t element_size, size_t alignment,
                   size_t block_size, size_t object_count, size_t redzone_size, size_t page_size)
    INTERNAL(geometry_init);

/* geometry_slot_of returns the slot that starts offset bytes after a region's base. If none does,
 * it returns a number above every slot's, at least 2^w / stride for words of w bits: one comparison
 * with a count of slots is a complete test. docs/design.md has the proof and its sources. */
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

/* geometry_object_count counts the non-guards among a region's first slots. */
static inline size_t geometry_object_count(const struct cork_mempool_geometry *geometry,
                                           size_t slot_count)
{
    const size_t pitch = geometry->block_pitch;

    return pitch == 0 ? slot_count
                      : slot_count / pitch * geometry->block_slots +
                            bits_smaller(slot_count % pitch, geometry->block_slots);
}
