/* SPDX-License-Identifier: BSD-3-Clause */
#include "region.h"

#include <string.h>

#include "os.h"
#include "tools.h"

/* Zeros before the first slot of a piece of the heap, where the C library looks for the size of a
 * piece, so that its free() notices a pool's object. */
#define HEAP_LEAD_SIZE ((size_t)16)

/* Stacks of slots hold twice an index in 32 bits. */
#define INDEX_MAX_COUNT ((size_t)1 << 31)

/* Up to this size the head (all tables) of a reserved region comes from the heap, because pages of
 * its own would cost a system call and page faults: a third of a small pool's lifecycle. */
#define HEAP_HEAD_MAX_SIZE ((size_t)64 * 1024)

/* The alignment of tables in heads that are not reserved. */
#define UNIT _Alignof(max_align_t)

/* The bytes of a table for slot_count slots, rounded up to a multiple of unit. */
static size_t table_size(const struct cork_mempool_geometry *geometry, int table, size_t slot_count,
                         size_t unit)
{
    const size_t group_count = region_group_count(slot_count);
    const bool is_there = table == REGION_GROUPS || (geometry->tables >> table & 1) != 0;
    const size_t sizes[REGION_TABLE_COUNT] = {
        [REGION_GROUPS] =
            sizeof(struct cork_mempool_region) + group_count * sizeof(struct cork_mempool_group),
        [REGION_HELD] = group_count * sizeof(uint64_t),
        [REGION_FRESH] = group_count * sizeof(uint64_t),
        [REGION_RING] = slot_count == 0 ? 0 : QUARANTINE_MAX * sizeof(void *),
        [REGION_SHORT_RING] = bits_smaller(slot_count, QUARANTINE_MAX) * sizeof(void *),
        [REGION_CHECKSUMS] = slot_count * sizeof(uint64_t),
        [REGION_SITES] = slot_count * sizeof(struct cork_mempool_sites),
    };

    return is_there ? bits_round_up(sizes[table], unit) : 0;
}

/* The bytes of a head whose tables begin at multiples of unit. */
static size_t head_size(const struct cork_mempool_geometry *geometry, size_t slot_count,
                        size_t unit)
{
    size_t size = 0;

    for (int table = 0; table < REGION_TABLE_COUNT; table++) {
        size += table_size(geometry, table, slot_count, unit);
    }
    return size;
}

/* Makes a region at the start of its head. */
static void region_init(struct cork_mempool_region *region, size_t capacity,
                        const struct cork_mempool_geometry *geometry, size_t unit)
{
    void *tables[REGION_TABLE_COUNT];
    char *end = (char *)region;

    for (int table = 0; table < REGION_TABLE_COUNT; table++) {
        const size_t size = table_size(geometry, table, capacity, unit);

        tables[table] = size != 0 ? end : NULL;
        end += size;
        /* Reserved pages are zeros, and few are committed yet. */
        if (table == REGION_FRESH && unit == UNIT) {
            memset(region, 0, (size_t)(end - (char *)region));
        }
    }
    *region = (struct cork_mempool_region){
        .groups = (struct cork_mempool_group *)(region + 1),
        .held = tables[REGION_HELD],
        .fresh = tables[REGION_FRESH],
        .checksums = tables[REGION_CHECKSUMS],
        .sites = tables[REGION_SITES],
        .ring = tables[tables[REGION_RING] != NULL ? REGION_RING : REGION_SHORT_RING],
        .reserved_count = capacity,
    };
}

size_t region_ring_capacity(const struct cork_mempool *mp, const struct cork_mempool_region *region)
{
    return (table_size(&mp->geometry, REGION_RING, region->reserved_count, 1) +
            table_size(&mp->geometry, REGION_SHORT_RING, region->reserved_count, 1)) /
           sizeof(void *);
}

/* A slot needs its stride, and in tables less than a record and a word. Alignment, redzone and
 * guards are no larger than a stride or a page. */
size_t region_max_capacity(const struct cork_mempool_geometry *geometry)
{
    const size_t slot_size = geometry->stride + sizeof(struct cork_mempool_sites) + 16;

    return bits_smaller(SIZE_MAX / 8 / slot_size, INDEX_MAX_COUNT);
}

struct cork_mempool_region *region_reserve(const struct cork_mempool *mp, size_t capacity,
                                           size_t committed)
{
    const struct cork_mempool_geometry *geometry = &mp->geometry;
    const size_t page = os_page_size();
    const size_t size = head_size(geometry, capacity, UNIT);
    void *head = size > HEAP_HEAD_MAX_SIZE ? NULL : os_heap.acquire(NULL, size, UNIT);
    const bool is_of_heap = head != NULL;

    /* A reservation is aligned to pages; its first slot may need more. */
    const size_t slack = geometry->alignment > page ? geometry->alignment : 0;
    const size_t slots_size = geometry->redzone_size + capacity * geometry->stride + slack;
    const size_t pages_size = is_of_heap ? 0 : head_size(geometry, capacity, page) + page;
    const size_t memory_size = pages_size + bits_round_up(slots_size, page) + 2 * page;
    char *memory = os_reserve(memory_size);

    if (memory != NULL && (is_of_heap || os_commit(memory + page, page))) {
        struct cork_mempool_region *region = is_of_heap ? head : (void *)(memory + page);

        region_init(region, capacity, geometry, is_of_heap ? UNIT : page);
        region->base = bits_align(memory + page + pages_size, geometry->alignment);
        region->base += geometry->redzone_size;
        region->memory = memory;
        region->memory_size = memory_size;
        region->head_size = is_of_heap ? size : 0;
        region->is_reserved = true;
        if (region_commit(mp, region, committed)) {
            return region;
        }
    }
    if (memory != NULL) {
        os_release(memory, memory_size);
    }
    if (is_of_heap) {
        os_heap.release(NULL, head, size);
    }
    return NULL;
}

struct cork_mempool_region *region_acquire(struct cork_mempool *mp, size_t capacity)
{
    const struct cork_mempool_geometry *geometry = &mp->geometry;
    const struct cork_mempool_source *source = mp->memory.source;
    const bool is_heap = source == &os_heap;
    /* The heap aligns less than may be needed. */
    const size_t extra = is_heap ? HEAP_LEAD_SIZE + geometry->alignment : 0;
    const size_t size = geometry->redzone_size + capacity * geometry->stride + extra;
    char *memory = source->acquire(mp->memory.data, size, geometry->alignment);
    char *slots = memory;
    struct cork_mempool_region *region = &mp->first_region;
    size_t tables_size = 0;

    if (memory == NULL) {
        return NULL;
    }
    if (is_heap) {
        slots = bits_align(memory + HEAP_LEAD_SIZE, geometry->alignment);
        memset(slots + geometry->redzone_size - HEAP_LEAD_SIZE, 0, HEAP_LEAD_SIZE);
    }
    if (is_heap && mp->newest == NULL && geometry->tables == 0 &&
        capacity <= CORK_MEMPOOL_FIRST_GROUPS_ * GROUP_SLOTS) {
        memset(mp->first_groups, 0, sizeof(mp->first_groups));
        memset(region, 0, sizeof(*region));
        region->groups = mp->first_groups;
        region->reserved_count = capacity;
    } else {
        tables_size = head_size(geometry, capacity, UNIT);
        region = source->acquire(mp->memory.data, tables_size, UNIT);
        const bool is_misaligned =
            (uintptr_t)slots % geometry->alignment != 0 || (uintptr_t)region % UNIT != 0;
        if (region == NULL || is_misaligned) {
            source->release(mp->memory.data, memory, size);
            if (region != NULL) {
                source->release(mp->memory.data, region, tables_size);
            }
            return is_misaligned ? REGION_MISALIGNED : NULL;
        }
        region_init(region, capacity, geometry, UNIT);
    }
    region->base = slots + geometry->redzone_size;
    region->committed_count = capacity;
    region->memory = memory;
    region->memory_size = size;
    region->head_size = tables_size;
    tools_poison(memory, size, mp->protections);
    return region;
}

/* Returns the first slot in a buffer of a region with this capacity. The table of fresh slots
 * always has room, because the environment may add protections after the caller has counted how
 * many objects fit. */
static char *buffer_base(char *buffer, size_t capacity,
                         const struct cork_mempool_geometry *geometry)
{
    struct cork_mempool_geometry hooked = *geometry;

    hooked.tables |= 1u << REGION_FRESH;
    char *head_end = bits_align(buffer, UNIT) + head_size(&hooked, capacity, UNIT);

    return bits_align(head_end, geometry->alignment) + geometry->redzone_size;
}

size_t region_buffer_capacity(const struct cork_mempool_geometry *geometry, void *buffer,
                              size_t buffer_size)
{
    size_t capacity = bits_smaller(buffer_size / geometry->stride, region_max_capacity(geometry));

    /* No round drops more slots than it must: a slot less saves its stride, at most a unit of each
     * table, and at most another stride by alignment. */
    for (;;) {
        const char *base = buffer_base(buffer, capacity, geometry);
        const size_t used = (size_t)(base - (char *)buffer) + capacity * geometry->stride;
        const size_t slot_size = 2 * geometry->stride + REGION_TABLE_COUNT * UNIT;

        if (capacity == 0 || used <= buffer_size) {
            return capacity;
        }
        capacity -= bits_smaller((used - buffer_size) / slot_size + 1, capacity);
    }
}

struct cork_mempool_region *region_from_buffer(const struct cork_mempool *mp)
{
    const struct cork_mempool_geometry *geometry = &mp->geometry;
    char *buffer = mp->memory.buffer;
    const size_t capacity = region_buffer_capacity(geometry, buffer, mp->memory.buffer_size);
    struct cork_mempool_region *region = (void *)bits_align(buffer, UNIT);

    region_init(region, capacity, geometry, UNIT);
    region->base = buffer_base(buffer, capacity, geometry);
    region->committed_count = capacity;
    region->memory = buffer;
    region->memory_size = mp->memory.buffer_size;
    tools_poison(region->base - geometry->redzone_size,
                 geometry->redzone_size + capacity * geometry->stride, mp->protections);
    return region;
}

/* Commits the tables for slots up to end. */
static bool commit_head(struct cork_mempool_region *region, size_t end,
                        const struct cork_mempool_geometry *geometry)
{
    const size_t page = os_page_size();
    char *start = (char *)region;

    for (int table = 0; table < REGION_TABLE_COUNT; table++) {
        const size_t used = table_size(geometry, table, region->committed_count, page);
        const size_t needed = table_size(geometry, table, end, page);

        if (needed > used && !os_commit(start + used, needed - used)) {
            return false;
        }
        start += table_size(geometry, table, region->reserved_count, page);
    }
    return true;
}

/* Returns the pages that slots [first, end) of a reserved region are the first to need, with the
 * redzone before them. With guards, the slots are whole blocks with their guards; the last guard is
 * left out. */
static struct region_pages pages_of(const struct cork_mempool *mp,
                                    const struct cork_mempool_region *region, size_t first,
                                    size_t end)
{
    const struct cork_mempool_geometry *geometry = &mp->geometry;
    const size_t page = os_page_size();
    const size_t pitch = geometry->block_pitch;
    const size_t last = pitch != 0 ? end - pitch + geometry->block_slots : end;
    const uintptr_t base = (uintptr_t)region->base;
    const uintptr_t start = base + first * geometry->stride;
    const uintptr_t redzone = start - bits_smaller(geometry->redzone_size, REDZONE_SIZE);
    const uintptr_t from =
        first == 0 || pitch != 0 ? redzone & ~(page - 1) : bits_round_up(start, page);
    const uintptr_t to = bits_round_up(base + last * geometry->stride, page);

    return (struct region_pages){region->base + (ptrdiff_t)(from - base), to - from};
}

/* Keeps the guard behind the block of a slot inaccessible, even if it is committed. */
static bool set_guard(const struct cork_mempool *mp, struct cork_mempool_region *region,
                      size_t first)
{
    const size_t pitch = mp->geometry.block_pitch;
    const struct region_pages block = pages_of(mp, region, first, first + pitch);

    return os_advise(block.start + block.size, pitch * mp->geometry.stride - block.size, OS_GUARD);
}

bool region_commit(const struct cork_mempool *mp, struct cork_mempool_region *region, size_t count)
{
    const size_t pitch = mp->geometry.block_pitch;
    const size_t stride = mp->geometry.stride;
    const size_t first = region->committed_count;
    const size_t left = region->reserved_count - first;
    /* Each guard costs a system call, although the commit may be refused. */
    const size_t most = pitch != 0 ? bits_smaller(left, 64 * pitch) : left;
    const size_t least = bits_smaller(bits_larger(pitch, mp->geometry.block_slots), left);
    size_t end = first + pitch;

    if (left == 0 || left < pitch) {
        return false;
    }
    count = bits_larger(bits_smaller(count, most), least);
    if (pitch == 0) {
        /* The last page may have room for more: so the next commit always needs a page. */
        const struct region_pages used = pages_of(mp, region, 0, first + count);
        const size_t size = (size_t)(used.start + used.size - region->base);

        end = bits_smaller(size / stride, region->reserved_count);
    }
    /* Uncommitted pages are guards too, but each costs a mapping. */
    const bool has_guards = pitch != 0 && count >= 2 * pitch;
    const bool is_joined = has_guards && first != 0 && set_guard(mp, region, first - pitch);
    while (has_guards && end + pitch <= first + count && set_guard(mp, region, end - pitch)) {
        end += pitch;
    }

    const struct region_pages pages = pages_of(mp, region, first, end);
    const struct region_pages all = pages_of(mp, region, is_joined ? first - pitch : first, end);
    if ((region->head_size == 0 && !commit_head(region, end, &mp->geometry)) ||
        !os_commit(all.start, all.size)) {
        return count > least && region_commit(mp, region, count / 2);
    }
    tools_poison(pages.start, pages.size, mp->protections);
    region->committed_count = end;
    return true;
}

struct region_pages region_slots(const struct cork_mempool *mp,
                                 const struct cork_mempool_region *region)
{
    return region->is_reserved ? pages_of(mp, region, 0, region->committed_count)
                               : (struct region_pages){region->memory, region->memory_size};
}

void region_release(const struct cork_mempool *mp, struct cork_mempool_region *region)
{
    const struct cork_mempool_source *source = mp->memory.source;
    const struct region_pages slots = region_slots(mp, region);
    const size_t head_size = region->head_size;

    tools_released(slots.start, slots.size, mp->protections);
    if (region->is_reserved) {
        os_release(region->memory, region->memory_size);
    } else if (mp->memory.buffer == NULL) {
        source->release(mp->memory.data, region->memory, region->memory_size);
    }
    if (head_size != 0) {
        tools_released(region, head_size, mp->protections);
        source->release(mp->memory.data, region, head_size);
    }
}

size_t region_memory_size(const struct cork_mempool *mp, const struct cork_mempool_region *region)
{
    const size_t pitch = mp->geometry.block_pitch;
    const size_t count = region->committed_count;
    const size_t unguarded = pitch != 0 ? pitch : count;

    if (!region->is_reserved) {
        return region->head_size + region->memory_size;
    }
    return (region->head_size != 0 ? region->head_size
                                   : head_size(&mp->geometry, count, os_page_size())) +
           count / unguarded * pages_of(mp, region, 0, unguarded).size;
}
