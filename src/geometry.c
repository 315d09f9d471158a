/* SPDX-License-Identifier: BSD-3-Clause */
#include "geometry.h"

#include "tools.h"

/* The alignment that malloc owes to a request of this size (C11 7.22.3: any type that fits), and
 * what a type of exactly this size can ask for: a size is a multiple of its type's alignment. */
static size_t alignment_of(size_t size)
{
    const size_t malloced = bits_smaller(bits_highest(size), _Alignof(max_align_t));
    const size_t lowest_bit = size & (~size + 1);

    return bits_larger(lowest_bit, malloced);
}

/* Newton's iteration: odd is its own inverse modulo 8, and each step squares the error (Hurchalla,
 * "An Improved Integer Modular Multiplicative Inverse (modulo 2^w)", 2022). */
static uintptr_t inverse_of(uintptr_t odd)
{
    uintptr_t inverse = odd;

    for (uintptr_t error = 1 - odd * odd; error != 0; error *= error) {
        inverse *= 1 + error;
    }
    return inverse;
}

/* Puts guards between blocks. Each has a page at least, and the alignment, because all else is a
 * multiple of that. Sets stride to 0 if a block exceeds the address space. */
static void add_guards(struct cork_mempool_geometry *geometry, size_t object_count,
                       size_t page_size)
{
    const size_t unit_slots = bits_larger(page_size >> geometry->shift, 1);
    const size_t unit_size = unit_slots * geometry->stride;
    const size_t extra = geometry->redzone_size + page_size + unit_size - 1;
    size_t size = geometry->block_slots * geometry->stride;

    if (__builtin_add_overflow(size, extra, &size) || size > PTRDIFF_MAX) {
        geometry->stride = 0;
        return;
    }
    size = size / unit_size * unit_size;
    geometry->block_pitch = size / geometry->stride;
    const size_t block_slots = (size - page_size - geometry->redzone_size) / geometry->stride;
    geometry->block_slots = bits_smaller(block_slots, object_count);
    /* What is left over belongs to the guard, in whole pages. */
    size -= page_size + geometry->redzone_size + geometry->block_slots * geometry->stride;
    geometry->redzone_size += size & (page_size - 1);
}

void geometry_init(struct cork_mempool_geometry *geometry, size_t element_size, size_t alignment,
                   size_t block_size, size_t object_count, size_t redzone_size, size_t page_size)
{
    const size_t size = element_size == 0 ? 1 : element_size;
    const size_t wanted = alignment == 0 ? alignment_of(size) : alignment;
    const size_t aligned = bits_larger(wanted, TOOLS_ALIGNMENT);
    const size_t redzone = bits_larger(redzone_size, TOOLS_REDZONE_SIZE);

    *geometry = (struct cork_mempool_geometry){
        .element_size = size, .alignment = aligned, .block_slots = 1};
    /* No object is larger than PTRDIFF_MAX; sums of sizes below its half cannot overflow. */
    if (size > PTRDIFF_MAX / 2 - redzone || (aligned | page_size) > PTRDIFF_MAX / 2) {
        return;
    }
    geometry->stride = bits_round_up(size + redzone, aligned);
    if (page_size != 0 && geometry->stride >= 8) {
        /* An eighth more at most, to shorten blocks. */
        geometry->stride = bits_round_up(geometry->stride, bits_highest(geometry->stride / 8));
    }
    geometry->shift = (size_t)__builtin_ctzll(geometry->stride);
    geometry->inverse = inverse_of(geometry->stride >> geometry->shift);
    geometry->redzone_size = bits_round_up(redzone, aligned);
    geometry->block_slots = bits_larger(block_size / geometry->stride, 1);
    if (page_size != 0) {
        add_guards(geometry, object_count, page_size);
    }
    geometry->block_slots = bits_smaller(geometry->block_slots, object_count);
}
