/* SPDX-License-Identifier: BSD-3-Clause */
#include "region.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "bits.h"
#include "os.h"
#include "tools.h"

/* Before the first slot of the heap's memory are bytes of zero where the C library looks for what
 * it wrote before a piece of its own, so that its free() does not take a pool's object for one. */
#define HEAP_LEAD_SIZE ((size_t)16)

/* Stacks of slots hold twice an index in 32 bits. */
#define INDEX_MAX_COUNT ((size_t)1 << 31)

/* The head of a reserved region that is no larger than this is of the heap, because its own pages
 * would cost a small pool a call of the system and page faults: a third of a life. */
#define HEAP_HEAD_MAX_SIZE ((size_t)64 * 1024)

/* Of tables, and of heads in memory that is not reserved. */
#define UNIT _Alignof(max_align_t)

/* Where the tables of a region stand, in bytes from the first, which begins with the region. */
struct head {
    size_t tables[REGION_TABLE_COUNT]; /* 0: the region has no such table, or it is the first */
    size_t zeroed_size;                /* of the tables that begin as zeros, which come first */
    size_t size;
};

struct first_table {
    struct cork_mempool_region region;
    struct cork_mempool_group groups[];
};

/* The bytes of a table that slot_count slots use. */
static size_t table_size(const struct cork_mempool_geometry *geometry, int table, size_t slot_count)
{
    if (table == REGION_GROUPS) {
        return offsetof(struct first_table, groups) +
               region_group_count(slot_count) * sizeof(struct cork_mempool_group);
    }
    if ((geometry->tables >> table & 1) == 0) {
        return 0;
    }
    switch (table) {
    case REGION_CHECKSUMS:
        return slot_count * sizeof(uint64_t);
    case REGION_SITES:
        return slot_count * sizeof(struct cork_mempool_sites);
    case REGION_RING:
        return slot_count == 0 ? 0 : QUARANTINE_MAX * sizeof(void *);
    case REGION_SHORT_RING:
        return bits_smaller(slot_count, QUARANTINE_MAX) * sizeof(void *);
    default:
        return region_group_count(slot_count) * sizeof(uint64_t);
    }
}

/* Each table begins at a multiple of unit. */
static struct head head_of(const struct cork_mempool_geometry *geometry, size_t slot_count,
                           size_t unit)
{
    struct head head = {.size = 0};

    for (unsigned left = geometry->tables | 1u << REGION_GROUPS; left != 0; left &= left - 1) {
        const int table = __builtin_ctz(left);

        head.tables[table] = head.size;
        head.size += bits_round_up(table_size(geometry, table, slot_count), unit);
        head.zeroed_size = table <= REGION_FRESH ? head.size : head.zeroed_size;
    }
    return head;
}

/* Whether a reserved region's head is in its own pages, with more of them for each table. */
static bool has_reserved_head(const struct cork_mempool_region *region)
{
    return (uintptr_t)region - (uintptr_t)region->memory < region->memory_size;
}

static void *table_at(void *memory, const struct head *head, int table)
{
    return head->tables[table] != 0 ? (char *)memory + head->tables[table] : NULL;
}

/* Makes a region at the begin of its head. */
static struct cork_mempool_region *region_init(struct first_table *first, const struct head *head,
                                               size_t capacity)
{
    const int ring = head->tables[REGION_RING] != 0 ? REGION_RING : REGION_SHORT_RING;

    first->region = (struct cork_mempool_region){
        .groups = first->groups,
        .held = table_at(first, head, REGION_HELD),
        .fresh = table_at(first, head, REGION_FRESH),
        .checksums = table_at(first, head, REGION_CHECKSUMS),
        .sites = table_at(first, head, REGION_SITES),
        .ring = table_at(first, head, ring),
        .reserved_count = capacity,
    };
    return &first->region;
}

size_t region_ring_capacity(const struct cork_mempool_region *region,
                            const struct cork_mempool_geometry *geometry)
{
    const size_t size = table_size(geometry, REGION_RING, region->reserved_count) +
                        table_size(geometry, REGION_SHORT_RING, region->reserved_count);

    return size / sizeof(void *);
}

/* A slot costs its stride, than which neither the alignment nor the redzone is larger, but for
 * guards a page; and of tables less than a word more than a record. */
static size_t max_count(const struct cork_mempool_geometry *geometry)
{
    return SIZE_MAX / 8 / (geometry->stride + sizeof(struct cork_mempool_sites) + 16);
}

size_t region_max_capacity(const struct cork_mempool_geometry *geometry)
{
    return bits_smaller(max_count(geometry), INDEX_MAX_COUNT);
}

static void release_reserved(struct cork_mempool_region *region,
                             const struct cork_mempool_geometry *geometry)
{
    const bool is_of_heap = !has_reserved_head(region);

    os_release(region->memory, region->memory_size);
    if (is_of_heap) {
        os_heap.release(NULL, region, head_of(geometry, region->reserved_count, UNIT).size);
    }
}

struct cork_mempool_region *region_reserve(size_t capacity, size_t committed,
                                           const struct cork_mempool_geometry *geometry)
{
    const size_t page = os_page_size();
    struct head head = head_of(geometry, capacity, UNIT);
    void *table = head.size > HEAP_HEAD_MAX_SIZE ? NULL : os_heap.acquire(NULL, head.size, UNIT);
    const bool is_of_heap = table != NULL;

    if (!is_of_heap) {
        head = head_of(geometry, capacity, page);
    }

    /* A reservation starts at a page; its first slot may have to start further on. */
    const size_t slack = geometry->alignment > page ? geometry->alignment : 0;
    const size_t slots_size = geometry->redzone_size + capacity * geometry->stride + slack;
    const size_t head_size = is_of_heap ? 0 : head.size + page;
    const size_t memory_size = head_size + bits_round_up(slots_size, page) + 2 * page;
    char *memory = os_reserve(memory_size);

    if (memory == NULL) {
        if (is_of_heap) {
            os_heap.release(NULL, table, head.size);
        }
        return NULL;
    }
    if (is_of_heap) {
        memset(table, 0, head.zeroed_size);
    } else if (os_commit(memory + page, page, memory_size)) {
        table = memory + page;
    } else {
        os_release(memory, memory_size);
        return NULL;
    }

    struct cork_mempool_region *region = region_init(table, &head, capacity);
    region->base = bits_align(memory + page + head_size, geometry->alignment);
    region->base += geometry->redzone_size;
    region->memory = memory;
    region->memory_size = memory_size;
    region->origin = REGION_IS_RESERVED;
    if (!region_commit(region, committed, geometry)) {
        release_reserved(region, geometry);
        return NULL;
    }
    tools_reserved(memory, memory_size);
    return region;
}

/* The heap is asked for more than it aligns, and for a lead before the first slot. */
static size_t acquired_size(size_t capacity, const struct cork_mempool_geometry *geometry,
                            bool is_heap)
{
    const size_t extra = is_heap ? HEAP_LEAD_SIZE + geometry->alignment : 0;

    return extra + geometry->redzone_size + capacity * geometry->stride;
}

/* Has a region's slots stand in memory that a source has given. */
static void use_acquired(struct cork_mempool_region *region, char *memory,
                         const struct cork_mempool_geometry *geometry, bool is_heap, int origin)
{
    char *slots = memory;

    if (is_heap) {
        slots = bits_align(memory + HEAP_LEAD_SIZE, geometry->alignment);
        memset(slots + geometry->redzone_size - HEAP_LEAD_SIZE, 0, HEAP_LEAD_SIZE);
    }
    region->base = slots + geometry->redzone_size;
    region->committed_count = region->reserved_count;
    region->memory = memory;
    region->memory_size = acquired_size(region->reserved_count, geometry, is_heap);
    region->origin = origin;
    tools_poison(memory, region->memory_size, true);
}

struct cork_mempool_region *region_from_heap(struct cork_mempool_region *region,
                                             struct cork_mempool_group *groups, size_t count,
                                             const struct cork_mempool_geometry *geometry)
{
    char *memory = os_heap.acquire(NULL, acquired_size(count, geometry, true), UNIT);

    if (memory == NULL) {
        return NULL;
    }
    memset(groups, 0, CORK_MEMPOOL_FIRST_GROUPS_ * sizeof(*groups));
    *region = (struct cork_mempool_region){.groups = groups, .reserved_count = count};
    use_acquired(region, memory, geometry, true, REGION_IS_FIRST);
    return region;
}

struct cork_mempool_region *region_acquire(size_t capacity,
                                           const struct cork_mempool_geometry *geometry,
                                           const struct cork_mempool_source *source,
                                           void *source_data, bool *is_misaligned)
{
    const bool is_heap = source == &os_heap;
    const size_t alignment = is_heap ? UNIT : geometry->alignment;
    const size_t size = acquired_size(capacity, geometry, is_heap);
    const struct head head = head_of(geometry, capacity, UNIT);
    char *memory = source->acquire(source_data, size, alignment);

    if (memory == NULL) {
        return NULL;
    }

    struct first_table *table = source->acquire(source_data, head.size, UNIT);
    *is_misaligned = !bits_is_aligned(memory, alignment) || !bits_is_aligned(table, UNIT);
    if (table == NULL || *is_misaligned) {
        source->release(source_data, memory, size);
        if (table != NULL) {
            source->release(source_data, table, head.size);
        }
        return NULL;
    }
    memset(table, 0, head.zeroed_size);
    struct cork_mempool_region *region = region_init(table, &head, capacity);
    use_acquired(region, memory, geometry, is_heap, REGION_IS_ACQUIRED);
    return region;
}

/* There is always room for fresh slots' table, because the environment may ask for protections of
 * which the caller did not know when it counted how many objects fit. */
static struct head buffer_head(const struct cork_mempool_geometry *geometry, size_t capacity)
{
    struct cork_mempool_geometry hooked = *geometry;

    hooked.tables |= 1u << REGION_FRESH;
    struct head head = head_of(&hooked, capacity, UNIT);
    if (hooked.tables != geometry->tables) {
        head.tables[REGION_FRESH] = 0;
    }
    return head;
}

/* Where the first slot of a region of this capacity is in a buffer. */
static char *buffer_base(char *buffer, size_t capacity,
                         const struct cork_mempool_geometry *geometry)
{
    char *head_end = bits_align(buffer, UNIT) + buffer_head(geometry, capacity).size;

    return bits_align(head_end, geometry->alignment) + geometry->redzone_size;
}

size_t region_buffer_capacity(void *buffer, size_t buffer_size,
                              const struct cork_mempool_geometry *geometry)
{
    size_t capacity = buffer_size / geometry->stride;

    if (capacity > max_count(geometry)) {
        return 0;
    }
    capacity = bits_smaller(capacity, INDEX_MAX_COUNT);
    /* Each round gives up no more slots than it takes to save what is too much: a slot saves its
     * stride, a unit of each table at most, and once the gap that aligns the slots. */
    while (capacity > 0) {
        const char *base = buffer_base(buffer, capacity, geometry);
        const size_t used = (size_t)(base - (char *)buffer) + capacity * geometry->stride;
        const size_t slot_size = 2 * geometry->stride + REGION_TABLE_COUNT * UNIT;

        if (used <= buffer_size) {
            break;
        }
        capacity -= bits_smaller((used - buffer_size) / slot_size + 1, capacity);
    }
    return capacity;
}

struct cork_mempool_region *region_from_buffer(void *buffer, size_t buffer_size,
                                               const struct cork_mempool_geometry *geometry)
{
    const size_t capacity = region_buffer_capacity(buffer, buffer_size, geometry);
    const struct head head = buffer_head(geometry, capacity);
    char *table = bits_align(buffer, UNIT);

    memset(table, 0, head.zeroed_size);
    struct cork_mempool_region *region = region_init((void *)table, &head, capacity);
    region->base = buffer_base(buffer, capacity, geometry);
    region->committed_count = capacity;
    region->memory = buffer;
    region->memory_size = buffer_size;
    region->origin = REGION_IS_BUFFER;
    tools_poison(region->base - geometry->redzone_size,
                 geometry->redzone_size + capacity * geometry->stride, true);
    return region;
}

/* Commits the tables for slots up to end. */
static bool commit_head(struct cork_mempool_region *region, size_t end,
                        const struct cork_mempool_geometry *geometry)
{
    const size_t page = os_page_size();
    const struct head head = head_of(geometry, region->reserved_count, page);

    for (int table = 0; table < REGION_TABLE_COUNT && has_reserved_head(region); table++) {
        const size_t committed = table_size(geometry, table, region->committed_count);
        const size_t used = bits_round_up(committed, page);
        const size_t needed = bits_round_up(table_size(geometry, table, end), page);
        char *start = (char *)region + head.tables[table];

        if (needed > used && !os_commit(start + used, needed - used, region->memory_size)) {
            return false;
        }
    }
    return true;
}

struct region_pages region_pages(const struct cork_mempool_region *region, size_t first, size_t end,
                                 const struct cork_mempool_geometry *geometry)
{
    const size_t page = os_page_size();
    const size_t pitch = geometry->block_pitch;
    const size_t last = pitch != 0 ? end - pitch + geometry->block_slots : end;
    const uintptr_t base = (uintptr_t)region->base;
    const uintptr_t start = base + first * geometry->stride;
    const uintptr_t from = first == 0 || pitch != 0
                               ? bits_round_down(start - geometry->redzone_size, page)
                               : bits_round_up(start, page);
    const uintptr_t to = bits_round_up(base + last * geometry->stride, page);

    return (struct region_pages){region->base + (ptrdiff_t)(from - base), to - from};
}

/* Guards the blocks of slots [first, end) from each other, before they are committed. */
static bool guard_blocks(const struct cork_mempool_region *region, size_t first, size_t end,
                         const struct cork_mempool_geometry *geometry)
{
    const size_t pitch = geometry->block_pitch;

    for (; first + pitch < end; first += pitch) {
        const struct region_pages block = region_pages(region, first, first + pitch, geometry);

        if (!os_guard(block.start + block.size, pitch * geometry->stride - block.size)) {
            return false;
        }
    }
    return true;
}

/* The bytes of slots that are committed. */
static size_t committed_size(const struct cork_mempool_region *region,
                             const struct cork_mempool_geometry *geometry)
{
    const size_t count = region->committed_count;
    const size_t pitch = geometry->block_pitch;

    return pitch != 0 ? count / pitch * region_pages(region, 0, pitch, geometry).size
                      : region_pages(region, 0, count, geometry).size;
}

/* There is always a page to commit: the last commit ended with the last slot that its last page
 * holds as a whole. */
static bool commit(struct cork_mempool_region *region, size_t count,
                   const struct cork_mempool_geometry *geometry)
{
    const size_t pitch = geometry->block_pitch;
    const size_t first = region->committed_count;
    size_t end;

    if (pitch != 0) {
        end = first + count / pitch * pitch;
        if (!guard_blocks(region, first, end, geometry)) {
            /* What is not committed is a guard too, at the price of a mapping for each. */
            end = first + pitch;
        }
    } else {
        /* The last page may have room for more than was asked for. */
        const size_t page = os_page_size();
        const size_t base = (uintptr_t)region->base % page;
        const size_t size = bits_round_up(base + (first + count) * geometry->stride, page) - base;

        end = bits_smaller(size / geometry->stride, region->reserved_count);
    }

    const struct region_pages pages = region_pages(region, first, end, geometry);
    if (!commit_head(region, end, geometry) ||
        !os_commit(pages.start, pages.size, region->memory_size)) {
        return false;
    }
    tools_poison(pages.start, pages.size, true);
    region->committed_count = end;
    return true;
}

bool region_commit(struct cork_mempool_region *region, size_t count,
                   const struct cork_mempool_geometry *geometry)
{
    const size_t left = region->reserved_count - region->committed_count;
    const size_t unit = bits_larger(geometry->block_pitch, geometry->block_slots);
    const size_t least = bits_smaller(unit, left);

    if (left == 0 || left < geometry->block_pitch) {
        return false;
    }
    count = bits_larger(bits_smaller(count, left), least);
    while (!commit(region, count, geometry)) {
        if (count == least) {
            return false;
        }
        count = bits_larger(count / 2, least);
    }
    return true;
}

void region_release(struct cork_mempool_region *region,
                    const struct cork_mempool_geometry *geometry,
                    const struct cork_mempool_source *source, void *source_data)
{
    struct region_pages pages;

    switch (region->origin) {
    case REGION_IS_RESERVED:
        pages = region_pages(region, 0, region->committed_count, geometry);
        tools_released(pages.start, pages.size);
        tools_unreserved(region->memory, region->memory_size);
        release_reserved(region, geometry);
        break;
    case REGION_IS_BUFFER:
        tools_released(region->memory, region->memory_size);
        break;
    default:
        KNOWN(source != NULL);
        tools_released(region->memory, region->memory_size);
        source->release(source_data, region->memory, region->memory_size);
        if (region->origin == REGION_IS_ACQUIRED) {
            const size_t size = head_of(geometry, region->reserved_count, UNIT).size;

            tools_released(region, size);
            source->release(source_data, region, size);
        }
        break;
    }
}

size_t region_head_size(const struct cork_mempool_region *region,
                        const struct cork_mempool_geometry *geometry)
{
    const bool has_head = region->origin == REGION_IS_ACQUIRED ||
                          (region->origin == REGION_IS_RESERVED && !has_reserved_head(region));

    return has_head ? head_of(geometry, region->reserved_count, UNIT).size : 0;
}

size_t region_memory_size(const struct cork_mempool_region *region,
                          const struct cork_mempool_geometry *geometry)
{
    const size_t size = region_head_size(region, geometry);
    size_t tables_size = 0;

    if (region->origin != REGION_IS_RESERVED) {
        return size + region->memory_size;
    }
    for (int table = 0; table < REGION_TABLE_COUNT && size == 0; table++) {
        const size_t used = table_size(geometry, table, region->committed_count);

        tables_size += bits_round_up(used, os_page_size());
    }
    return size + tables_size + committed_size(region, geometry);
}
