/* SPDX-License-Identifier: BSD-3-Clause */
#include "region.h"

#include <stddef.h>
#include <stdint.h>

#include "source.h"

/* Where the first objects together are larger, the first region is a regular one. */
#define NURSERY_MAX_SIZE ((size_t) 64 * 1024)

/* What the first regular region reserves, in bytes, by whether address space is scarce. */
#define RESERVED_SIZE        ((size_t) (UINT64_C(1) << 30))
#define RESERVED_SCARCE_SIZE ((size_t) 1 << 20)

/* What the heap is asked for at most. Sanitizers' heaps abort at absurd sizes instead of refusing;
 * and where the operating system has just refused as much, the heap would ask it in vain. */
#define HEAP_MAX_SIZE ((size_t) (UINT64_C(1) << 30))

/* A region and its descriptors, where they are one piece of memory. */
struct head {
    struct cork_mempool_region region;
    struct cork_mempool_group groups[];
};

/* The parts of a reservation, in bytes; each is a whole number of pages. */
struct layout {
    size_t page_size; /* of a guard: one before, one between and one behind the two parts */
    size_t head_size;
    size_t slots_size;
    size_t memory_size;
};

static size_t round_up(size_t size, size_t unit)
{
    return (size + unit - 1) & ~(unit - 1);
}

static size_t round_down(size_t size, size_t unit)
{
    return size & ~(unit - 1);
}

static size_t at_least(size_t count, size_t least)
{
    return count < least ? least : count;
}

static size_t at_most(size_t count, size_t most)
{
    return count > most ? most : count;
}

/* Returns false where *count is as small as it may be; else the next smaller count to try. */
static bool halve(size_t *count, size_t least)
{
    if (*count <= least) {
        return false;
    }
    *count = at_least(*count / 2, least);
    return true;
}

static size_t head_size(size_t slot_count)
{
    return offsetof(struct head, groups) +
           region_group_count(slot_count) * sizeof(struct cork_mempool_group);
}

/* Returns false where a size_t cannot hold the address space that capacity slots need. */
static bool layout_init(struct layout *layout, size_t capacity,
                        const struct cork_mempool_geometry *geometry)
{
    const size_t page = source_page_size();
    /* A reservation starts at a page; its first slot may have to start further on. */
    const size_t slack = geometry->alignment > page ? geometry->alignment : 0;
    size_t size;

    /* This bounds the whole: descriptors take a quarter of a byte for a slot, which is one byte at
     * least, and some pages more. */
    if (__builtin_mul_overflow(capacity, geometry->stride, &size) ||
        __builtin_add_overflow(size, slack, &size) || size > SIZE_MAX / 4) {
        return false;
    }
    layout->page_size = page;
    layout->head_size = round_up(head_size(capacity), page);
    layout->slots_size = round_up(size, page);
    layout->memory_size = layout->head_size + layout->slots_size + 3 * page;
    return true;
}

static struct cork_mempool_region *reserve(size_t capacity,
                                           const struct cork_mempool_geometry *geometry)
{
    struct layout layout;
    if (!layout_init(&layout, capacity, geometry)) {
        return NULL;
    }

    char *memory = source_reserve(layout.memory_size);
    if (memory == NULL) {
        return NULL;
    }

    struct head *head = (struct head *) (void *) (memory + layout.page_size);
    if (!source_commit(head, layout.page_size)) {
        source_release(memory, layout.memory_size);
        return NULL;
    }

    char *slots = (char *) head + layout.head_size + layout.page_size;
    const size_t skipped = (~(uintptr_t) slots + 1) & (geometry->alignment - 1);
    head->region = (struct cork_mempool_region){
        .base = slots + skipped,
        .groups = head->groups,
        .capacity = capacity,
        .memory = memory,
        .memory_size = layout.memory_size,
        .origin = REGION_IS_RESERVED,
    };
    return &head->region;
}

static struct cork_mempool_region *take(size_t capacity,
                                        const struct cork_mempool_geometry *geometry)
{
    const size_t slots_size = capacity * geometry->stride;
    char *slots = source_take(slots_size, geometry->alignment);
    if (slots == NULL) {
        return NULL;
    }

    struct head *head = source_take(head_size(capacity), _Alignof(struct head));
    if (head == NULL) {
        source_give(slots);
        return NULL;
    }
    head->region = (struct cork_mempool_region){
        .base = slots,
        .groups = head->groups,
        .usable_count = capacity,
        .capacity = capacity,
        .memory = slots,
        .memory_size = slots_size,
        .origin = REGION_IS_HEAP,
    };
    return &head->region;
}

struct cork_mempool_region *region_from_nursery(struct cork_mempool_region *region,
                                                struct cork_mempool_group *group,
                                                const struct cork_mempool_geometry *geometry)
{
    const size_t count = at_most(geometry->block_slots, GROUP_SLOTS);
    if (geometry->stride > NURSERY_MAX_SIZE / count) {
        return NULL;
    }

    char *slots = source_take(count * geometry->stride, geometry->alignment);
    if (slots == NULL) {
        return NULL;
    }
    *region = (struct cork_mempool_region){
        .base = slots,
        .groups = group,
        .usable_count = count,
        .capacity = count,
        .memory = slots,
        .memory_size = count * geometry->stride,
        .origin = REGION_IS_NURSERY,
    };
    return region;
}

struct cork_mempool_region *region_from_os(struct cork_mempool_region *newest,
                                           const struct cork_mempool_geometry *geometry)
{
    const size_t first = source_is_scarce() ? RESERVED_SCARCE_SIZE : RESERVED_SIZE;
    const size_t older = newest == NULL ? 0 : at_most(newest->memory_size, SIZE_MAX / 2);
    size_t capacity = at_least(2 * older, first) / geometry->stride;
    struct cork_mempool_region *region;

    capacity = at_least(capacity, geometry->block_slots);
    while ((region = reserve(capacity, geometry)) == NULL) {
        if (!halve(&capacity, geometry->block_slots)) {
            return NULL;
        }
    }
    if (!region_commit(region, geometry)) {
        region_release(region);
        return NULL;
    }
    region->older = newest;
    return region;
}

struct cork_mempool_region *region_from_heap(struct cork_mempool_region *newest,
                                             const struct cork_mempool_geometry *geometry)
{
    const size_t most = HEAP_MAX_SIZE / geometry->stride;
    const size_t older = newest == NULL ? 0 : newest->usable_count;
    size_t capacity = at_most(at_least(older, geometry->block_slots), most);
    struct cork_mempool_region *region;

    if (geometry->block_slots > most) {
        return NULL;
    }
    while ((region = take(capacity, geometry)) == NULL) {
        if (!halve(&capacity, geometry->block_slots)) {
            return NULL;
        }
    }
    region->older = newest;
    return region;
}

static bool commit(struct cork_mempool_region *region, size_t count,
                   const struct cork_mempool_geometry *geometry)
{
    const size_t page = source_page_size();
    const size_t stride = geometry->stride;
    const size_t slots_start = round_down(region->usable_count * stride, page);
    const size_t slots_end = round_up((region->usable_count + count) * stride, page);
    /* The last page may have room for more than was asked for. */
    const size_t usable_count = at_most(slots_end / stride, region->capacity);
    const size_t head_start = round_up(head_size(region->usable_count), page);
    const size_t head_end = round_up(head_size(usable_count), page);

    if (head_end > head_start && !source_commit((char *) region + head_start, head_end - head_start)) {
        return false;
    }
    if (!source_commit(region->base + slots_start, slots_end - slots_start)) {
        return false;
    }
    region->usable_count = usable_count;
    return true;
}

bool region_commit(struct cork_mempool_region *region, const struct cork_mempool_geometry *geometry)
{
    const size_t reserved_count = region->capacity - region->usable_count;
    const size_t least = at_most(geometry->block_slots, reserved_count);
    size_t count = at_most(at_least(region->usable_count, least), reserved_count);

    if (reserved_count == 0) {
        return false;
    }
    while (!commit(region, count, geometry)) {
        if (!halve(&count, least)) {
            return false;
        }
    }
    return true;
}

void region_release(struct cork_mempool_region *region)
{
    /* A copy: the region may stand in the memory that is given back. */
    const struct cork_mempool_region released = *region;

    if (released.origin == REGION_IS_RESERVED) {
        source_release(released.memory, released.memory_size);
        return;
    }
    source_give(released.memory);
    if (released.origin == REGION_IS_HEAP) {
        source_give(region);
    }
}

size_t region_memory_size(const struct cork_mempool_region *region,
                          const struct cork_mempool_geometry *geometry)
{
    const size_t page = source_page_size();

    switch (region->origin) {
    case REGION_IS_RESERVED:
        return round_up(head_size(region->usable_count), page) +
               round_up(region->usable_count * geometry->stride, page);
    case REGION_IS_HEAP:
        return head_size(region->capacity) + region->memory_size;
    default:
        return region->memory_size;
    }
}
