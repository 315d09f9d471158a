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

/* Where the tables of a region stand, in bytes from the first. */
struct head {
    size_t tables[REGION_TABLE_COUNT];
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
        return bits_smaller(slot_count, QUARANTINE_MAX) * sizeof(void *);
    default:
        return region_group_count(slot_count) * sizeof(uint64_t);
    }
}

/* Each table begins at a multiple of unit. */
static struct head head_of(const struct cork_mempool_geometry *geometry, size_t slot_count,
                           size_t unit)
{
    struct head head;
    size_t size = 0;

    for (int table = 0; table < REGION_TABLE_COUNT; table++) {
        head.tables[table] = size;
        size = bits_round_up(size + table_size(geometry, table, slot_count), unit);
    }
    head.size = size;
    return head;
}

/* The head of a reserved region. One that is small is committed at once, because each table that
 * has pages of its own costs a small pool a call of the system and a page fault. */
#define HEAD_WHOLE_MAX_SIZE ((size_t)64 * 1024)

static bool is_head_whole(const struct cork_mempool_geometry *geometry, size_t capacity)
{
    return head_of(geometry, capacity, _Alignof(max_align_t)).size <= HEAD_WHOLE_MAX_SIZE;
}

static struct head reserved_head(const struct cork_mempool_geometry *geometry, size_t capacity)
{
    const size_t page = os_page_size();
    const bool is_whole = is_head_whole(geometry, capacity);
    struct head head = head_of(geometry, capacity, is_whole ? _Alignof(max_align_t) : page);

    head.size = bits_round_up(head.size, page);
    return head;
}

static void *table_at(void *memory, const struct head *head, int table,
                      const struct cork_mempool_geometry *geometry)
{
    return (geometry->tables >> table & 1) != 0 ? (char *)memory + head->tables[table] : NULL;
}

static struct cork_mempool_region *region_init(void *memory, const struct head *head, char *base,
                                               size_t capacity,
                                               const struct cork_mempool_geometry *geometry)
{
    struct first_table *table = memory;

    table->region = (struct cork_mempool_region){
        .base = base,
        .groups = table->groups,
        .held = table_at(memory, head, REGION_HELD, geometry),
        .fresh = table_at(memory, head, REGION_FRESH, geometry),
        .checksums = table_at(memory, head, REGION_CHECKSUMS, geometry),
        .sites = table_at(memory, head, REGION_SITES, geometry),
        .reserved_count = capacity,
    };
    return &table->region;
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

struct cork_mempool_region *region_reserve(size_t capacity, size_t committed,
                                           const struct cork_mempool_geometry *geometry)
{
    const size_t page = os_page_size();
    const struct head head = reserved_head(geometry, capacity);
    const size_t head_size = is_head_whole(geometry, capacity) ? head.size : page;
    /* A reservation starts at a page; its first slot may have to start further on. */
    const size_t slack = geometry->alignment > page ? geometry->alignment : 0;
    const size_t slots_size = geometry->redzone_size + capacity * geometry->stride + slack;
    const size_t memory_size = head.size + bits_round_up(slots_size, page) + 3 * page;
    char *memory = os_reserve(memory_size);

    if (memory == NULL) {
        return NULL;
    }
    if (!os_commit(memory + page, head_size, memory_size)) {
        os_release(memory, memory_size);
        return NULL;
    }

    char *slots = memory + page + head.size + page;
    char *base = bits_align(slots, geometry->alignment) + geometry->redzone_size;
    struct cork_mempool_region *region =
        region_init(memory + page, &head, base, capacity, geometry);
    region->memory = memory;
    region->memory_size = memory_size;
    region->origin = REGION_IS_RESERVED;
    tools_reserved(memory, memory_size);
    if (!region_commit(region, committed, geometry)) {
        region_release(region, geometry, NULL, NULL);
        return NULL;
    }
    return region;
}

/* The heap is asked for more than it aligns, and for a lead before the first slot. */
static size_t heap_slots_size(size_t count, const struct cork_mempool_geometry *geometry)
{
    return HEAP_LEAD_SIZE + geometry->redzone_size + geometry->alignment + count * geometry->stride;
}

static char *heap_base(char *memory, const struct cork_mempool_geometry *geometry)
{
    char *base = bits_align(memory + HEAP_LEAD_SIZE, geometry->alignment) + geometry->redzone_size;

    memset(base - HEAP_LEAD_SIZE, 0, HEAP_LEAD_SIZE);
    return base;
}

struct cork_mempool_region *region_from_heap(struct cork_mempool_region *region,
                                             struct cork_mempool_group *group, size_t count,
                                             const struct cork_mempool_geometry *geometry)
{
    const size_t size = heap_slots_size(count, geometry);
    char *memory = os_heap.acquire(NULL, size, _Alignof(max_align_t));

    if (memory == NULL) {
        return NULL;
    }
    *region = (struct cork_mempool_region){
        .base = heap_base(memory, geometry),
        .groups = group,
        .committed_count = count,
        .reserved_count = count,
        .memory = memory,
        .memory_size = size,
        .origin = REGION_IS_FIRST,
    };
    tools_acquired(memory, size);
    return region;
}

struct cork_mempool_region *region_acquire(size_t capacity,
                                           const struct cork_mempool_geometry *geometry,
                                           const struct cork_mempool_source *source,
                                           void *source_data, bool *is_misaligned)
{
    const size_t unit = _Alignof(max_align_t);
    const bool is_heap = source == &os_heap;
    const size_t alignment = is_heap ? unit : geometry->alignment;
    const struct head head = head_of(geometry, capacity, unit);
    const size_t slots_size = is_heap ? heap_slots_size(capacity, geometry)
                                      : geometry->redzone_size + capacity * geometry->stride;
    char *slots = source->acquire(source_data, slots_size, alignment);
    if (slots == NULL) {
        return NULL;
    }

    void *memory = source->acquire(source_data, head.size, unit);
    *is_misaligned = !bits_is_aligned(slots, alignment) || !bits_is_aligned(memory, unit);
    if (memory == NULL || *is_misaligned) {
        source->release(source_data, slots, slots_size);
        if (memory != NULL) {
            source->release(source_data, memory, head.size);
        }
        return NULL;
    }

    char *base = is_heap ? heap_base(slots, geometry) : slots + geometry->redzone_size;
    struct cork_mempool_region *region = region_init(memory, &head, base, capacity, geometry);
    region->committed_count = capacity;
    region->memory = slots;
    region->memory_size = slots_size;
    region->origin = REGION_IS_ACQUIRED;
    tools_acquired(slots, slots_size);
    return region;
}

/* There is always room for fresh slots' table, because the environment may ask for protections of
 * which the caller did not know when it counted how many objects fit. */
static struct head buffer_head(const struct cork_mempool_geometry *geometry, size_t capacity)
{
    struct cork_mempool_geometry hooked = *geometry;

    hooked.tables |= 1u << REGION_FRESH;
    return head_of(&hooked, capacity, _Alignof(max_align_t));
}

/* The bytes that a region of this capacity takes of a buffer; *slots: where its slots start. */
static size_t buffer_use(char *buffer, size_t capacity,
                         const struct cork_mempool_geometry *geometry, char **slots)
{
    char *head = bits_align(buffer, _Alignof(max_align_t));
    char *head_end = head + buffer_head(geometry, capacity).size;

    *slots = bits_align(head_end, geometry->alignment) + geometry->redzone_size;
    return (size_t)(*slots - buffer) + capacity * geometry->stride;
}

size_t region_buffer_capacity(const void *buffer, size_t buffer_size,
                              const struct cork_mempool_geometry *geometry)
{
    size_t capacity = buffer_size / geometry->stride;
    size_t used;
    char *slots;

    if (capacity > max_count(geometry)) {
        return 0;
    }
    capacity = bits_smaller(capacity, INDEX_MAX_COUNT);
    /* Each round gives up no more slots than it takes to save what is too much: a slot saves its
     * stride, what tables say of it, and once the gap that aligns the slots. */
    while (capacity > 0 && (used = buffer_use((char *)(uintptr_t)buffer, capacity, geometry,
                                              &slots)) > buffer_size) {
        const size_t slot_size = 2 * geometry->stride + 3 * sizeof(struct cork_mempool_sites);
        capacity -= bits_smaller((used - buffer_size) / slot_size + 1, capacity);
    }
    return capacity;
}

struct cork_mempool_region *region_from_buffer(void *buffer, size_t buffer_size,
                                               const struct cork_mempool_geometry *geometry,
                                               struct cork_mempool_quarantine *quarantine)
{
    const size_t unit = _Alignof(max_align_t);
    const size_t capacity = region_buffer_capacity(buffer, buffer_size, geometry);
    const struct head head = buffer_head(geometry, capacity);
    char *slots;

    buffer_use(buffer, capacity, geometry, &slots);

    struct cork_mempool_region *region =
        region_init(bits_align(buffer, unit), &head, slots, capacity, geometry);
    *quarantine = (struct cork_mempool_quarantine){
        .objects = table_at(region, &head, REGION_RING, geometry),
        .capacity = bits_smaller(capacity, QUARANTINE_MAX),
    };
    region->committed_count = capacity;
    region->memory = buffer;
    region->memory_size = buffer_size;
    region->origin = REGION_IS_BUFFER;
    tools_acquired(slots - geometry->redzone_size,
                   geometry->redzone_size + capacity * geometry->stride);
    return region;
}

/* Commits the tables for slots up to end. */
static bool commit_head(struct cork_mempool_region *region, size_t end,
                        const struct cork_mempool_geometry *geometry)
{
    const size_t page = os_page_size();
    const struct head head = reserved_head(geometry, region->reserved_count);

    if (is_head_whole(geometry, region->reserved_count)) {
        return true;
    }
    for (int table = 0; table < REGION_TABLE_COUNT; table++) {
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

/* Pages, as addresses. */
struct pages {
    uintptr_t from;
    uintptr_t to;
};

/* The pages that slots [first, end) are the first to need, with the redzone before them; with
 * guards, those of a block that begins with first. */
static struct pages pages_of(const struct cork_mempool_region *region, size_t first, size_t end,
                             const struct cork_mempool_geometry *geometry)
{
    const size_t page = os_page_size();
    const uintptr_t base = (uintptr_t)region->base;
    const uintptr_t start = base + first * geometry->stride;
    const bool is_begun = first != 0 && geometry->block_pitch == 0;

    return (struct pages){
        .from = is_begun ? bits_round_up(start, page)
                         : bits_round_down(start - geometry->redzone_size, page),
        .to = bits_round_up(base + end * geometry->stride, page),
    };
}

/* pages_of what lies between two guards: a block, or all slots up to end. */
static struct pages next_pages(const struct cork_mempool_region *region, size_t first, size_t end,
                               const struct cork_mempool_geometry *geometry)
{
    const bool is_guarded = geometry->block_pitch != 0;

    return pages_of(region, first, is_guarded ? first + geometry->block_slots : end, geometry);
}

/* The slot behind those pages and the guard that follows, or end. */
static size_t next_first(size_t first, size_t end, const struct cork_mempool_geometry *geometry)
{
    return geometry->block_pitch != 0 ? first + geometry->block_pitch : end;
}

static char *address_in(const struct cork_mempool_region *region, uintptr_t address)
{
    return region->base + (ptrdiff_t)(address - (uintptr_t)region->base);
}

/* Guards the blocks of slots [first, end) from each other, before they are committed. */
static bool guard_blocks(const struct cork_mempool_region *region, size_t first, size_t end,
                         const struct cork_mempool_geometry *geometry)
{
    const size_t pitch = geometry->block_pitch;

    for (size_t next = first + pitch; next < end; next += pitch) {
        const uintptr_t from = next_pages(region, next - pitch, end, geometry).to;
        const uintptr_t to = next_pages(region, next, end, geometry).from;

        if (!os_guard(address_in(region, from), to - from)) {
            return false;
        }
    }
    return true;
}

/* Slots of guarded pools are those of whole blocks, each with its guard. There is always a page to
 * commit: the last commit ended with the last slot that its last page holds as a whole. */
static bool commit_slots(struct cork_mempool_region *region, size_t first, size_t end,
                         const struct cork_mempool_geometry *geometry)
{
    const uintptr_t from = next_pages(region, first, end, geometry).from;
    /* Where the last block ends; or without guards, the pitch being 0, where no more slots do. */
    const uintptr_t to = next_pages(region, end - geometry->block_pitch, end, geometry).to;

    if (!os_commit(address_in(region, from), to - from, region->memory_size)) {
        return false;
    }
    while (first < end) {
        const struct pages pages = next_pages(region, first, end, geometry);

        tools_acquired(address_in(region, pages.from), pages.to - pages.from);
        first = next_first(first, end, geometry);
    }
    return true;
}

/* The bytes of slots that are committed. */
static size_t committed_size(const struct cork_mempool_region *region,
                             const struct cork_mempool_geometry *geometry)
{
    const size_t end = region->committed_count;
    size_t size = 0;

    for (size_t first = 0; first < end; first = next_first(first, end, geometry)) {
        const struct pages pages = next_pages(region, first, end, geometry);

        size += pages.to - pages.from;
    }
    return size;
}

static bool commit(struct cork_mempool_region *region, size_t count,
                   const struct cork_mempool_geometry *geometry)
{
    const size_t pitch = geometry->block_pitch;
    const size_t first = region->committed_count;
    size_t end;

    if (pitch != 0) {
        end = first + count / pitch * pitch;
        if (end > first + pitch && !guard_blocks(region, first, end, geometry)) {
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
    if (!commit_head(region, end, geometry) || !commit_slots(region, first, end, geometry)) {
        return false;
    }
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

size_t region_purge(struct cork_mempool_region *region, size_t first, size_t end,
                    const struct cork_mempool_geometry *geometry)
{
    const size_t page = os_page_size();
    const uintptr_t base = (uintptr_t)region->base;
    const uintptr_t from = bits_round_up(base + first * geometry->stride, page);
    const uintptr_t to = bits_round_down(base + end * geometry->stride, page);

    if (region->origin != REGION_IS_RESERVED || from >= to) {
        return 0;
    }
    os_purge(address_in(region, from), to - from);
    return to - from;
}

void region_no_huge_pages(struct cork_mempool_region *region,
                          const struct cork_mempool_geometry *geometry)
{
    const struct pages pages = next_pages(region, 0, region->committed_count, geometry);

    region_purge(region, region->extended_count, region->committed_count, geometry);
    os_no_huge_pages(address_in(region, pages.from), pages.to - pages.from);
}

void region_release(struct cork_mempool_region *region,
                    const struct cork_mempool_geometry *geometry,
                    const struct cork_mempool_source *source, void *source_data)
{
    const size_t unit = _Alignof(max_align_t);

    switch (region->origin) {
    case REGION_IS_RESERVED:
        for (size_t first = 0; first < region->committed_count;
             first = next_first(first, region->committed_count, geometry)) {
            const struct pages pages = next_pages(region, first, region->committed_count, geometry);
            tools_released(address_in(region, pages.from), pages.to - pages.from);
        }
        tools_unreserved(region->memory, region->memory_size);
        os_release(region->memory, region->memory_size);
        break;
    case REGION_IS_BUFFER:
        tools_released(region->base - geometry->redzone_size,
                       geometry->redzone_size + region->reserved_count * geometry->stride);
        break;
    case REGION_IS_FIRST:
        tools_released(region->memory, region->memory_size);
        os_heap.release(NULL, region->memory, region->memory_size);
        break;
    default:
        KNOWN(source != NULL);
        tools_released(region->memory, region->memory_size);
        source->release(source_data, region->memory, region->memory_size);
        source->release(source_data, region, head_of(geometry, region->reserved_count, unit).size);
        break;
    }
}

/* The bytes of a reserved region's tables that are committed. */
static size_t committed_head_size(const struct cork_mempool_region *region,
                                  const struct cork_mempool_geometry *geometry)
{
    const size_t page = os_page_size();
    size_t size = 0;

    if (is_head_whole(geometry, region->reserved_count)) {
        return reserved_head(geometry, region->reserved_count).size;
    }
    for (int table = 0; table < REGION_TABLE_COUNT; table++) {
        size += bits_round_up(table_size(geometry, table, region->committed_count), page);
    }
    return size;
}

size_t region_memory_size(const struct cork_mempool_region *region,
                          const struct cork_mempool_geometry *geometry)
{
    switch (region->origin) {
    case REGION_IS_RESERVED:
        return committed_head_size(region, geometry) + committed_size(region, geometry);
    case REGION_IS_ACQUIRED:
        return region->memory_size +
               head_of(geometry, region->reserved_count, _Alignof(max_align_t)).size;
    default:
        return region->memory_size;
    }
}
