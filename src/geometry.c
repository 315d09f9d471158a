/* SPDX-License-Identifier: BSD-3-Clause */
#include "geometry.h"

#include <stddef.h>
#include <stdint.h>

#include "annotate.h"

static size_t larger(size_t one, size_t other)
{
    return one > other ? one : other;
}

static size_t lowest_bit(size_t size)
{
    return size & (~size + 1);
}

static size_t highest_bit(size_t size)
{
    return (size_t)(UINT64_C(1) << (63 - __builtin_clzll(size)));
}

/*
 * The alignment that malloc owes to a request of this size (C11 7.22.3: any type that fits), and
 * besides what any type of exactly this size can ask for: a type's size is a multiple of its
 * alignment, so its alignment divides the lowest bit of its size.
 */
static size_t alignment_of(size_t size)
{
    const size_t own = lowest_bit(size);
    const size_t fitting = highest_bit(size);
    const size_t malloced = fitting < _Alignof(max_align_t) ? fitting : _Alignof(max_align_t);

    return larger(own, malloced);
}

/* Newton's iteration; odd is its own inverse modulo 8, and each step doubles the right bits. */
static uintptr_t inverse_of(uintptr_t odd)
{
    uintptr_t inverse = odd;

    for (unsigned bits = 3; bits < sizeof(uintptr_t) * 8; bits *= 2) {
        inverse *= 2 - odd * inverse;
    }
    return inverse;
}

static size_t round_up(size_t size, size_t alignment)
{
    return (size + alignment - 1) & ~(alignment - 1);
}

void geometry_init(struct cork_mempool_geometry *geometry, size_t element_size, size_t alignment,
                   size_t block_size, size_t gap_size, size_t guard_size)
{
    const size_t size = element_size == 0 ? 1 : element_size;
    const size_t wanted = alignment == 0 ? alignment_of(size) : alignment;
    const size_t aligned = larger(wanted, ANNOTATE_ALIGNMENT);

    gap_size = larger(gap_size, ANNOTATE_GAP_SIZE);
    *geometry = (struct cork_mempool_geometry){
        .element_size = size, .alignment = aligned, .block_slots = 1};
    /* Nothing is larger than PTRDIFF_MAX; below a quarter of the words, nothing here can wrap. */
    if (size > PTRDIFF_MAX / 2 - gap_size || aligned > PTRDIFF_MAX / 2) {
        return;
    }
    geometry->stride = round_up(size + gap_size, aligned);
    geometry->shift = (size_t)__builtin_ctzll(geometry->stride);
    geometry->inverse = inverse_of(geometry->stride >> geometry->shift);
    geometry->lead_size = round_up(gap_size, aligned);
    if (block_size > geometry->stride) {
        geometry->block_slots = block_size / geometry->stride;
    }
    if (guard_size != 0) {
        /* Wherever a block ends, three pages hold a whole one that neither it nor the lead of the
         * next block reaches into. */
        const size_t room = 3 * guard_size + geometry->lead_size;
        if (__builtin_add_overflow(geometry->block_slots, room / geometry->stride + 1,
                                   &geometry->period_slots)) {
            geometry->stride = 0;
        }
    }
}
