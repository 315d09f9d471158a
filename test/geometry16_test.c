/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The arithmetic of slots, where words have 16 bits: every stride, every offset. src/geometry.c and
 * src/geometry.h are compiled here with their own types narrowed, and nothing else of them changed.
 */

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "annotate.h"
#include "internal.h"
#include "libcork/core/mempool.h"

/* Of this file alone: the library's struct has wide fields. */
struct narrow_geometry {
    uint16_t stride;
    uint16_t inverse;
    uint16_t shift;
    uint16_t element_size;
    uint16_t alignment;
    uint16_t block_slots;
    uint16_t lead_size;
    uint16_t period_slots;
    bool has_withheld;
    bool has_records;
};

#define cork_mempool_geometry narrow_geometry
#undef PTRDIFF_MAX
#define PTRDIFF_MAX INT16_MAX
#define size_t      uint16_t
#define uintptr_t   uint16_t
/* Words this narrow are computed with as int, and then cut off. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#include "geometry.c"
#pragma GCC diagnostic pop
#undef size_t
#undef uintptr_t

#define WORDS 65536U

static void expect(bool is_so, const char *expected, unsigned stride, unsigned offset)
{
    if (!is_so) {
        fprintf(stderr, "stride %u, offset %u: expected: %s\n", stride, offset, expected);
        exit(1);
    }
}

/* Of an offset that a slot starts at, its number; of any other, more than there can be slots. */
static void every_offset_is_told(const struct narrow_geometry *geometry)
{
    const unsigned stride = geometry->stride;
    const unsigned slot_count = (WORDS + stride - 1) / stride;

    for (unsigned offset = 0; offset < WORDS; offset++) {
        const unsigned slot = geometry_slot_of(geometry, (uint16_t)offset);

        if (offset % stride == 0) {
            expect(slot == offset / stride, "the slot's number", stride, offset);
        } else {
            expect(slot >= slot_count, "no slot's number", stride, offset);
        }
    }
}

int main(void)
{
    struct narrow_geometry geometry;
    unsigned count = 0;

    /* Aligned to nothing, each size is its own stride, but where a sanitizer aligns it. */
    for (unsigned size = 1; size < WORDS; size++) {
        geometry_init(&geometry, (uint16_t)size, 1, 0, 0, 0);
        if (geometry.stride == 0) {
            expect(size > INT16_MAX / 2, "a stride", size, 0);
            continue;
        }
        expect(geometry.stride >= size && geometry.stride - size < geometry.alignment,
               "the size, aligned", geometry.stride, 0);
        every_offset_is_told(&geometry);
        count++;
    }
    printf("%u strides, %u offsets each\n", count, WORDS);
    return 0;
}
