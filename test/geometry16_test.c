/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Geometry where words have 16 bits: every stride and every offset; and guards for every size, with
 * every alignment. src/geometry.c and src/geometry.h are compiled here with their own types
 * narrowed, and nothing else of them changed.
 */

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "internal.h"
#include "libcork/core/mempool.h"
#include "tools.h"

/* Of this file alone: the library's struct has wide fields. */
struct narrow_geometry {
    uint16_t stride;
    uint16_t inverse;
    uint16_t shift;
    uint16_t element_size;
    uint16_t alignment;
    uint16_t block_slots;
    uint16_t block_pitch;
    uint16_t redzone_size;
    unsigned tables;
};

#define cork_mempool_geometry narrow_geometry
#undef PTRDIFF_MAX
#define PTRDIFF_MAX INT16_MAX
#define size_t      uint16_t
#define uintptr_t   uint16_t
/* Words this narrow are computed with as int, and then cut off. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wpointer-to-int-cast"
#include "geometry.c"
#pragma GCC diagnostic pop
#undef size_t
#undef uintptr_t

#define WORDS 65536U

/* What a pool asks for. Larger words than the geometry's compute what should come of it. */
struct wish {
    unsigned size, alignment, block_size, redzone_size, page_size;
};

static void expect(bool is_so, const char *expected, const struct wish *wish, unsigned offset)
{
    if (!is_so) {
        fprintf(stderr,
                "size %u, alignment %u, block %u, redzone %u, page %u, offset %u: expected: %s\n",
                wish->size, wish->alignment, wish->block_size, wish->redzone_size, wish->page_size,
                offset, expected);
        exit(1);
    }
}

/* Of an offset that a slot starts at, its number; of any other, more than there can be slots. */
static void every_offset_is_told(const struct narrow_geometry *geometry, const struct wish *wish)
{
    const unsigned stride = geometry->stride;
    const unsigned slot_count = (WORDS + stride - 1) / stride;

    for (unsigned offset = 0; offset < WORDS; offset++) {
        const unsigned slot = geometry_slot_of(geometry, (uint16_t)offset);

        if (offset % stride == 0) {
            expect(slot == offset / stride, "the slot's number", wish, offset);
        } else {
            expect(slot >= slot_count, "no slot's number", wish, offset);
        }
    }
}

static unsigned larger(unsigned one, unsigned other)
{
    return one > other ? one : other;
}

static unsigned rounded(unsigned size, unsigned unit)
{
    return (size + unit - 1) / unit * unit;
}

/* The least number that both divide; neither is 0. */
static unsigned common_multiple(unsigned one, unsigned other)
{
    unsigned multiple = one;

    while (multiple % other != 0) {
        multiple += one;
    }
    return multiple;
}

/* What should come of a wish, in words in which nothing wraps. */
struct sizes {
    unsigned alignment, redzone_size, stride;
    unsigned block_size; /* at least */
    unsigned guard_size;
    unsigned unit; /* slots that are whole pages */
};

/* As malloc aligns, and as a type of this size can be aligned. */
static unsigned alignment_of_size(unsigned size)
{
    unsigned alignment = 1;

    while (alignment * 2 <= size && (alignment < 16 || size % (alignment * 2) == 0)) {
        alignment *= 2;
    }
    return alignment;
}

static struct sizes sizes_of(const struct wish *wish)
{
    const unsigned size = larger(wish->size, 1);
    const unsigned redzone_size = larger(wish->redzone_size, TOOLS_REDZONE_SIZE);
    struct sizes sizes;

    sizes.alignment = wish->alignment == 0 ? alignment_of_size(size) : wish->alignment;
    sizes.alignment = larger(sizes.alignment, TOOLS_ALIGNMENT);
    sizes.redzone_size = rounded(redzone_size, sizes.alignment);
    sizes.stride = rounded(size + redzone_size, sizes.alignment);
    if (wish->page_size != 0) {
        unsigned step = 1;

        /* The largest power of two that is no more than an eighth. */
        while (step * 16 <= sizes.stride) {
            step *= 2;
        }
        sizes.stride = rounded(sizes.stride, step);
        sizes.guard_size = larger(wish->page_size, sizes.alignment);
        sizes.unit = common_multiple(sizes.stride, wish->page_size);
    }
    sizes.block_size = larger(1, wish->block_size / sizes.stride) * sizes.stride;
    return sizes;
}

/* Half of the words are left to the arithmetic of slots, and a fourth to that of sizes. */
static bool is_too_large(const struct wish *wish, const struct sizes *sizes)
{
    const unsigned redzone_size = larger(wish->redzone_size, TOOLS_REDZONE_SIZE);

    if (larger(wish->size, 1) + redzone_size > INT16_MAX / 2 || sizes->alignment > INT16_MAX / 2) {
        return true;
    }
    return wish->page_size != 0 &&
           sizes->block_size + sizes->redzone_size + sizes->guard_size + sizes->unit - 1 >
               INT16_MAX;
}

/* Blocks of whole pages, each followed by a guard, in one line of slots; none is larger or smaller
 * than it must be. */
static void guards_are_right(const struct narrow_geometry *geometry, const struct wish *wish,
                             const struct sizes *sizes)
{
    const unsigned pitch = geometry->block_pitch;
    const unsigned pitch_size = pitch * geometry->stride;
    const unsigned used_size = geometry->redzone_size + geometry->block_slots * geometry->stride;
    const unsigned least_size = sizes->block_size + sizes->redzone_size + sizes->guard_size;

    expect(pitch_size % wish->page_size == 0, "whole pages from block to block", wish, 0);
    expect(used_size % wish->page_size == 0, "a block that ends with its last page", wish, 0);
    expect(pitch_size - used_size == sizes->guard_size, "nothing but a guard behind it", wish, 0);
    expect(geometry->block_slots * geometry->stride >= sizes->block_size, "a block", wish, 0);
    expect(geometry->redzone_size - sizes->redzone_size < geometry->stride, "a full one", wish, 0);
    expect(pitch_size - least_size < sizes->unit, "no page too many", wish, 0);
    for (unsigned first = 0; first < 3 * pitch && first + pitch < WORDS; first += pitch) {
        const unsigned end = first + geometry->block_slots;

        expect(!geometry_is_guard(geometry, (uint16_t)first), "a first slot", wish, first);
        expect(!geometry_is_guard(geometry, (uint16_t)(end - 1)), "a last slot", wish, end);
        expect(geometry_is_guard(geometry, (uint16_t)end), "a guard behind it", wish, end);
        expect(geometry_is_guard(geometry, (uint16_t)(first + pitch - 1)), "its end", wish, end);
    }
}

/* Says whether there is a geometry, which must be right. */
static bool geometry_is_right(const struct wish *wish, struct narrow_geometry *geometry)
{
    const struct sizes sizes = sizes_of(wish);

    geometry_init(geometry, (uint16_t)wish->size, (uint16_t)wish->alignment,
                  (uint16_t)wish->block_size, (uint16_t)wish->redzone_size,
                  (uint16_t)wish->page_size);
    expect((geometry->stride == 0) == is_too_large(wish, &sizes), "a stride, or none", wish, 0);
    if (geometry->stride == 0) {
        return false;
    }
    expect(geometry->stride == sizes.stride, "the stride", wish, 0);
    expect(geometry->element_size == larger(wish->size, 1), "the size", wish, 0);
    expect(geometry->alignment == sizes.alignment, "the alignment", wish, 0);
    expect(geometry->redzone_size >= sizes.redzone_size, "a redzone", wish, 0);
    expect(geometry->redzone_size % sizes.alignment == 0, "an aligned first slot", wish, 0);
    if (wish->page_size != 0) {
        guards_are_right(geometry, wish, &sizes);
    } else {
        expect(geometry->redzone_size == sizes.redzone_size, "no more", wish, 0);
        expect(geometry->block_slots == sizes.block_size / sizes.stride, "a block", wish, 0);
        expect(!geometry_is_guard(geometry, (uint16_t)(WORDS - 1)), "no guard", wish, 0);
    }
    return true;
}

/* Aligned to nothing, each size is its own stride, but where a sanitizer aligns it. */
static unsigned every_stride_divides(void)
{
    unsigned count = 0;

    for (unsigned size = 0; size < WORDS; size++) {
        const struct wish wish = {.size = size, .alignment = 1};
        struct narrow_geometry geometry;

        if (geometry_is_right(&wish, &geometry)) {
            every_offset_is_told(&geometry, &wish);
            count++;
        }
    }
    return count;
}

static unsigned every_wish_is_met(void)
{
    static const unsigned page_sizes[] = {0, 32, 256, 512};
    static const unsigned block_sizes[] = {0, 1000, 4096, 20000, WORDS - 1};
    struct narrow_geometry geometry;
    unsigned count = 0;

    for (unsigned size = 0; size < WORDS; size += 1 + (size > INT16_MAX / 2 ? 500 : 0)) {
        for (unsigned alignment = 0; alignment < WORDS; alignment += larger(1, alignment)) {
            for (unsigned i = 0; i < 5 * 4 * 2; i++) {
                const struct wish wish = {.size = size,
                                          .alignment = alignment,
                                          .block_size = block_sizes[i % 5],
                                          .redzone_size = i / 20 * 16,
                                          .page_size = page_sizes[i / 5 % 4]};

                count += geometry_is_right(&wish, &geometry);
            }
        }
    }
    return count;
}

int main(void)
{
    printf("%u strides, %u offsets each\n", every_stride_divides(), WORDS);
    printf("%u geometries\n", every_wish_is_met());
    return 0;
}
