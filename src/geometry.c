/* SPDX-License-Identifier: BSD-3-Clause */
#include "geometry.h"

#include <stddef.h>
#include <stdint.h>

static size_t lowest_bit(size_t size)
{
    return size & (~size + 1);
}

static size_t highest_bit(size_t size)
{
    return (size_t) (UINT64_C(1) << (63 - __builtin_clzll(size)));
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

    return own > malloced ? own : malloced;
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

void geometry_init(struct cork_mempool_geometry *geometry, size_t element_size, size_t block_size)
{
    const size_t size = element_size == 0 ? 1 : element_size;
    const size_t alignment = alignment_of(size);

    *geometry = (struct cork_mempool_geometry){
        .element_size = size, .alignment = alignment, .block_slots = 1};
    /* Nothing is larger than PTRDIFF_MAX; below that, rounding up cannot wrap. */
    if (size > PTRDIFF_MAX) {
        return;
    }
    geometry->stride = (size + alignment - 1) & ~(alignment - 1);
    geometry->shift = (size_t) __builtin_ctzll(geometry->stride);
    geometry->inverse = inverse_of(geometry->stride >> geometry->shift);
    if (block_size > geometry->stride) {
        geometry->block_slots = block_size / geometry->stride;
    }
}
