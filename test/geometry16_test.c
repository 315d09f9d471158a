/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Geometry where words have 16 bits: every stride and every offset; and guards for every size, with
 * every alignment. src/geometry.c is compiled here, with all that it includes of the library, where
 * words are narrowed; nothing else is changed.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#undef PTRDIFF_MAX
#define PTRDIFF_MAX INT16_MAX
#define size_t      uint16_t
#define uintptr_t   uint16_t
/* Words this narrow are computed with as int, and then cut off. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wpointer-to-int-cast"
#pragma GCC diagnostic ignored "-Wtautological-compare"
#pragma GCC diagnostic ignored "-Wtype-limits"
#include "geometry.c"
#pragma GCC diagnostic pop
#undef size_t
#undef uintptr_t

#define WORDS 65536U

/* What a pool asks for, and what should come of it, in words in which nothing wraps. */
static struct {
    unsigned size, alignment, block_size, redzone_size, page_size;
} asked;

static struct {
    unsigned alignment, redzone_size, stride;
    unsigned block_size; /* at least */
    unsigned guard_size;
    unsigned unit; /* bytes of slots that are whole pages */
} due;

static struct cork_mempool_geometry geometry;

#define EXPECT(condition) expect(condition, #condition)

static void expect(bool holds, const char *condition)
{
    if (!holds) {
        fprintf(stderr, "size %u, alignment %u, block %u, redzone %u, page %u: %s is false\n",
                asked.size, asked.alignment, asked.block_size, asked.redzone_size, asked.page_size,
                condition);
        exit(1);
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

/* As malloc aligns, and as a type of this size can be aligned. */
static unsigned alignment_of_size(unsigned size)
{
    unsigned alignment = 1;

    while (alignment * 2 <= size && (alignment < 16 || size % (alignment * 2) == 0)) {
        alignment *= 2;
    }
    return alignment;
}

/* Works out what is due; says whether it is too large: half of the words are left to the arithmetic
 * of slots, and a fourth to that of sizes. */
static bool is_too_large(void)
{
    const unsigned size = larger(asked.size, 1);
    const unsigned redzone_size = larger(asked.redzone_size, TOOLS_REDZONE_SIZE);

    due.alignment = asked.alignment == 0 ? alignment_of_size(size) : asked.alignment;
    due.alignment = larger(due.alignment, TOOLS_ALIGNMENT);
    due.redzone_size = rounded(redzone_size, due.alignment);
    due.stride = rounded(size + redzone_size, due.alignment);
    due.guard_size = 0;
    due.unit = 1;
    if (asked.page_size != 0) {
        unsigned step = 1;

        /* The largest power of two that is no more than an eighth. */
        while (step * 16 <= due.stride) {
            step *= 2;
        }
        due.stride = rounded(due.stride, step);
        due.guard_size = larger(asked.page_size, due.alignment);
        for (due.unit = due.stride; due.unit % asked.page_size != 0;) {
            due.unit += due.stride;
        }
    }
    due.block_size = larger(1, asked.block_size / due.stride) * due.stride;
    return size + redzone_size > INT16_MAX / 2 || due.alignment > INT16_MAX / 2 ||
           (asked.page_size != 0 &&
            due.block_size + due.redzone_size + due.guard_size + due.unit - 1 > INT16_MAX);
}

static bool is_guard(unsigned slot)
{
    return geometry_is_guard(&geometry, (uint16_t)slot);
}

/* Blocks of whole pages, each followed by a guard, in one line of slots; none is larger or smaller
 * than it must be. */
static void expect_guards(void)
{
    const unsigned pitch = geometry.block_pitch;
    const unsigned slots_size = geometry.block_slots * geometry.stride;
    const unsigned used_size = geometry.redzone_size + slots_size;
    const unsigned pitch_size = pitch * geometry.stride;

    EXPECT(pitch_size % asked.page_size == 0);
    EXPECT(used_size % asked.page_size == 0);
    EXPECT(pitch_size > used_size && (pitch_size - used_size) % due.guard_size == 0);
    EXPECT(slots_size >= due.block_size);
    EXPECT(geometry.redzone_size - due.redzone_size < due.guard_size);
    EXPECT(pitch_size - due.guard_size - due.redzone_size - slots_size < geometry.stride);
    EXPECT(pitch_size - (due.block_size + due.redzone_size + due.guard_size) < due.unit);
    for (unsigned first = 0; first < 3 * pitch && first + pitch < WORDS; first += pitch) {
        const unsigned end = first + geometry.block_slots;

        EXPECT(!is_guard(first) && !is_guard(end - 1));
        EXPECT(is_guard(end) && is_guard(first + pitch - 1));
    }
}

/* Says whether there is a geometry, which must be right. */
static bool expect_geometry(void)
{
    const bool is_none = is_too_large();

    geometry_init(&geometry, (uint16_t)asked.size, (uint16_t)asked.alignment,
                  (uint16_t)asked.block_size, UINT16_MAX, (uint16_t)asked.redzone_size,
                  (uint16_t)asked.page_size);
    EXPECT((geometry.stride == 0) == is_none);
    if (is_none) {
        return false;
    }
    EXPECT(geometry.stride == due.stride);
    EXPECT(geometry.element_size == larger(asked.size, 1));
    EXPECT(geometry.alignment == due.alignment);
    EXPECT(geometry.redzone_size >= due.redzone_size);
    EXPECT(geometry.redzone_size % due.alignment == 0);
    if (asked.page_size != 0) {
        expect_guards();
    } else {
        EXPECT(geometry.redzone_size == due.redzone_size);
        EXPECT(geometry.block_slots == due.block_size / due.stride);
        EXPECT(!is_guard(WORDS - 1));
    }
    return true;
}

/* Of an offset that a slot starts at, its number; of any other, more than there can be slots. */
static void expect_every_slot(void)
{
    const struct cork_mempool_geometry narrow = geometry;
    const unsigned stride = narrow.stride;
    const unsigned slot_count = (WORDS + stride - 1) / stride;

    for (unsigned offset = 0; offset < WORDS; offset++) {
        const unsigned slot = geometry_slot_of(&narrow, (uint16_t)offset);

        EXPECT(offset % stride == 0 ? slot == offset / stride : slot >= slot_count);
    }
}

int main(void)
{
    static const unsigned page_sizes[] = {0, 32, 256, 512};
    static const unsigned block_sizes[] = {0, 1000, 4096, 20000, WORDS - 1};
    unsigned stride_count = 0, geometry_count = 0;

    /* Aligned to nothing, each size is its own stride, but where a sanitizer aligns it. */
    for (asked.alignment = 1; asked.size < WORDS; asked.size++) {
        if (expect_geometry()) {
            expect_every_slot();
            stride_count++;
        }
    }
    for (unsigned size = 0; size<WORDS; size += size> INT16_MAX / 2 ? 501 : 1) {
        for (unsigned alignment = 0; alignment < WORDS; alignment += larger(1, alignment)) {
            for (unsigned i = 0; i < 5 * 4 * 2; i++) {
                asked.size = size;
                asked.alignment = alignment;
                asked.block_size = block_sizes[i % 5];
                asked.page_size = page_sizes[i / 5 % 4];
                asked.redzone_size = i / 20 * 16;
                geometry_count += expect_geometry();
            }
        }
    }
    printf("%u strides, %u offsets each; %u geometries\n", stride_count, WORDS, geometry_count);
    return 0;
}
