/* SPDX-License-Identifier: BSD-3-Clause */
#include "region.h"

#include <stddef.h>
#include <stdint.h>

#include "annotate.h"
#include "source.h"

/* Where the first objects together are larger, the first region is a regular one. */
#define NURSERY_MAX_SIZE ((size_t)64 * 1024)

/* What the first regular region reserves, in bytes, by whether address space is scarce. */
#define RESERVED_SIZE        ((size_t)(UINT64_C(1) << 30))
#define RESERVED_SCARCE_SIZE ((size_t)64 * 1024)

/* What a source is asked for at most. Sanitizers' heaps abort at absurd sizes instead of refusing;
 * and where the operating system has just refused as much, the heap would ask it in vain. */
#define ACQUIRED_MAX_SIZE ((size_t)(UINT64_C(1) << 30))

/* The tables of a region, of which the first begins with the region's own struct, and where they
 * stand, in bytes from it. */
enum { TABLE_GROUPS, TABLE_WITHHELD, TABLE_RECORDS, TABLE_COUNT };
struct head {
    size_t tables[TABLE_COUNT];
    size_t size;
};

struct first_table {
    struct cork_mempool_region region;
    struct cork_mempool_group groups[];
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

/* Returns false where *count is as small as it may be; else makes it the next smaller to try. */
static bool halve(size_t *count, size_t least)
{
    if (*count <= least) {
        return false;
    }
    *count = at_least(*count / 2, least);
    return true;
}

/* The bytes of a table that slot_count slots use. */
static size_t table_size(const struct cork_mempool_geometry *geometry, int table, size_t slot_count)
{
    switch (table) {
    case TABLE_GROUPS:
        return offsetof(struct first_table, groups) +
               region_group_count(slot_count) * sizeof(struct cork_mempool_group);
    case TABLE_WITHHELD:
        return geometry->has_withheld ? region_group_count(slot_count) * sizeof(uint64_t) : 0;
    default:
        return geometry->has_records ? slot_count * sizeof(struct cork_mempool_record) : 0;
    }
}

/* Each part of the head begins at a multiple of unit. */
static struct head head_of(const struct cork_mempool_geometry *geometry, size_t slot_count,
                           size_t unit)
{
    struct head head;
    size_t size = 0;

    for (int table = 0; table < TABLE_COUNT; table++) {
        head.tables[table] = size;
        size = round_up(size + table_size(geometry, table, slot_count), unit);
    }
    head.size = size;
    return head;
}

static struct cork_mempool_region *region_init(void *memory, const struct head *head, char *base,
                                               size_t capacity,
                                               const struct cork_mempool_geometry *geometry)
{
    struct first_table *table = memory;
    void *withheld = (char *)memory + head->tables[TABLE_WITHHELD];
    void *records = (char *)memory + head->tables[TABLE_RECORDS];

    table->region = (struct cork_mempool_region){
        .base = base,
        .groups = table->groups,
        .withheld = geometry->has_withheld ? withheld : NULL,
        .records = geometry->has_records ? records : NULL,
        .capacity = capacity,
    };
    return &table->region;
}

/* The largest capacity that can be thought of: nothing that is computed for it wraps, nor twice a
 * region's size. A slot costs its stride, than which neither the alignment nor the lead is larger,
 * and of tables less than half a record more than a record. */
static size_t thinkable_count(const struct cork_mempool_geometry *geometry)
{
    const size_t record_size = geometry->has_records ? sizeof(struct cork_mempool_record) : 0;

    return SIZE_MAX / 8 / (geometry->stride + record_size);
}

/* From an address, the next that is a multiple of a power of two. */
static char *align(char *address, size_t alignment)
{
    return address + ((~(uintptr_t)address + 1) & (alignment - 1));
}

static struct cork_mempool_region *reserve(size_t capacity,
                                           const struct cork_mempool_geometry *geometry)
{
    if (capacity > thinkable_count(geometry)) {
        return NULL;
    }

    const size_t page = source_page_size();
    const struct head head = head_of(geometry, capacity, page);
    /* A reservation starts at a page; its first slot may have to start further on. */
    const size_t slack = geometry->alignment > page ? geometry->alignment : 0;
    const size_t slots_size = geometry->lead_size + capacity * geometry->stride + slack;
    const size_t memory_size = head.size + round_up(slots_size, page) + 3 * page;
    char *memory = source_reserve(memory_size);
    if (memory == NULL) {
        return NULL;
    }
    if (!source_commit(memory + page, page)) {
        source_release(memory, memory_size);
        return NULL;
    }

    char *slots = memory + page + head.size + page;
    char *base = align(slots, geometry->alignment) + geometry->lead_size;
    struct cork_mempool_region *region =
        region_init(memory + page, &head, base, capacity, geometry);
    region->memory = memory;
    region->memory_size = memory_size;
    region->origin = REGION_IS_RESERVED;
    annotate_reserved(memory, memory_size);
    return region;
}

static struct cork_mempool_region *acquire(size_t capacity,
                                           const struct cork_mempool_geometry *geometry,
                                           const struct cork_mempool_source *source,
                                           void *source_data)
{
    const struct head head = head_of(geometry, capacity, _Alignof(struct cork_mempool_group));
    const size_t slots_size = geometry->lead_size + capacity * geometry->stride;
    char *slots = source->acquire(source_data, slots_size, geometry->alignment);
    if (slots == NULL) {
        return NULL;
    }

    void *memory = source->acquire(source_data, head.size, _Alignof(struct cork_mempool_group));
    if (memory == NULL) {
        source->release(source_data, slots, slots_size);
        return NULL;
    }

    struct cork_mempool_region *region =
        region_init(memory, &head, slots + geometry->lead_size, capacity, geometry);
    region->usable_count = capacity;
    region->memory = slots;
    region->memory_size = slots_size;
    region->origin = REGION_IS_ACQUIRED;
    annotate_usable(slots, slots_size);
    return region;
}

struct cork_mempool_region *region_from_nursery(struct cork_mempool_region *region,
                                                struct cork_mempool_group *group,
                                                const struct cork_mempool_geometry *geometry)
{
    const size_t count = at_most(geometry->block_slots, GROUP_SLOTS);
    if (geometry->stride > NURSERY_MAX_SIZE / count) {
        return NULL;
    }

    const size_t size = geometry->lead_size + count * geometry->stride;
    char *slots = source_heap.acquire(NULL, size, geometry->alignment);
    if (slots == NULL) {
        return NULL;
    }
    annotate_usable(slots, size);
    *region = (struct cork_mempool_region){
        .base = slots + geometry->lead_size,
        .groups = group,
        .usable_count = count,
        .capacity = count,
        .memory = slots,
        .memory_size = size,
        .origin = REGION_IS_NURSERY,
    };
    return region;
}

/* The slots that are made usable at least, and as a multiple of which. */
static size_t unit_count(const struct cork_mempool_geometry *geometry)
{
    return geometry->period_slots != 0 ? geometry->period_slots : geometry->block_slots;
}

struct cork_mempool_region *region_from_os(struct cork_mempool_region *newest,
                                           const struct cork_mempool_geometry *geometry)
{
    const size_t first = source_is_scarce() ? RESERVED_SCARCE_SIZE : RESERVED_SIZE;
    const size_t older = newest == NULL ? 0 : newest->memory_size;
    const size_t least = unit_count(geometry);
    size_t capacity = at_least(at_least(2 * older, first) / geometry->stride, least);
    struct cork_mempool_region *region;

    while ((region = reserve(capacity, geometry)) == NULL) {
        if (!halve(&capacity, least)) {
            return NULL;
        }
    }
    if (!region_commit(region, geometry)) {
        region_release(region, geometry, NULL, NULL);
        return NULL;
    }
    region->older = newest;
    return region;
}

struct cork_mempool_region *region_from_source(struct cork_mempool_region *newest,
                                               const struct cork_mempool_geometry *geometry,
                                               const struct cork_mempool_source *source,
                                               void *source_data)
{
    const size_t most = at_most(ACQUIRED_MAX_SIZE / geometry->stride, thinkable_count(geometry));
    const size_t least = unit_count(geometry);
    const size_t older = newest == NULL ? 0 : newest->usable_count;
    size_t capacity = at_most(at_least(2 * older, least), most);
    struct cork_mempool_region *region;

    if (least > most) {
        return NULL;
    }
    while ((region = acquire(capacity, geometry, source, source_data)) == NULL) {
        if (!halve(&capacity, least)) {
            return NULL;
        }
    }
    region->older = newest;
    return region;
}

/* The bytes that a region of this capacity takes of a buffer; *slots: where its slots start. */
static size_t buffer_use(char *buffer, size_t capacity,
                         const struct cork_mempool_geometry *geometry, char **slots)
{
    const size_t unit = _Alignof(max_align_t);
    char *head_end = align(buffer, unit) + head_of(geometry, capacity, unit).size;

    *slots = align(head_end, geometry->alignment) + geometry->lead_size;
    return (size_t)(*slots - buffer) + capacity * geometry->stride;
}

size_t region_buffer_capacity(const void *buffer, size_t buffer_size,
                              const struct cork_mempool_geometry *geometry)
{
    size_t capacity = buffer_size / geometry->stride;
    size_t used;
    char *slots;

    if (capacity > thinkable_count(geometry)) {
        return 0;
    }
    /* Each round gives up no more slots than it takes to save what is too much. */
    while (capacity > 0 && (used = buffer_use((char *)(uintptr_t)buffer, capacity, geometry,
                                              &slots)) > buffer_size) {
        const size_t slot_size = geometry->stride + 2 * sizeof(struct cork_mempool_record);
        capacity -= at_most((used - buffer_size) / slot_size + 1, capacity);
    }
    return capacity;
}

struct cork_mempool_region *region_from_buffer(void *buffer, size_t buffer_size,
                                               const struct cork_mempool_geometry *geometry)
{
    const size_t unit = _Alignof(max_align_t);
    const size_t capacity = region_buffer_capacity(buffer, buffer_size, geometry);
    const struct head head = head_of(geometry, capacity, unit);
    char *slots;

    buffer_use(buffer, capacity, geometry, &slots);

    struct cork_mempool_region *region =
        region_init(align(buffer, unit), &head, slots, capacity, geometry);
    region->usable_count = capacity;
    region->memory = buffer;
    region->memory_size = buffer_size;
    region->origin = REGION_IS_BUFFER;
    annotate_usable(slots - geometry->lead_size, geometry->lead_size + capacity * geometry->stride);
    return region;
}

/* Commits the tables for slots up to end. */
static bool commit_head(struct cork_mempool_region *region, size_t end,
                        const struct cork_mempool_geometry *geometry)
{
    const size_t page = source_page_size();
    const struct head head = head_of(geometry, region->capacity, page);

    for (int table = 0; table < TABLE_COUNT; table++) {
        const size_t used = round_up(table_size(geometry, table, region->usable_count), page);
        const size_t needed = round_up(table_size(geometry, table, end), page);
        char *start = (char *)region + head.tables[table];

        if (needed > used && !source_commit(start + used, needed - used)) {
            return false;
        }
    }
    return true;
}

/* The pages that slots from first up to end need and those before do not have, with their lead. */
struct pages {
    uintptr_t slots; /* where the lead starts, or the first slot */
    uintptr_t from;
    uintptr_t to;
};

static struct pages pages_of(const struct cork_mempool_region *region, size_t first, size_t end,
                             const struct cork_mempool_geometry *geometry)
{
    const size_t page = source_page_size();
    const uintptr_t base = (uintptr_t)region->base;
    /* Without a lead, the slots before have the first page already, and perhaps live objects. */
    const bool has_lead = first == 0 || geometry->period_slots != 0;
    const uintptr_t slots = base + first * geometry->stride - (has_lead ? geometry->lead_size : 0);

    return (struct pages){
        .slots = slots,
        .from = has_lead ? round_down(slots, page) : round_up(slots, page),
        .to = round_up(base + end * geometry->stride, page),
    };
}

static char *address_in(const struct cork_mempool_region *region, uintptr_t address)
{
    return region->base + (ptrdiff_t)(address - (uintptr_t)region->base);
}

/* The pages of what lies between two guards and holds a slot, which is its first: a block, or all
 * slots up to end. */
static struct pages next_pages(const struct cork_mempool_region *region, size_t first, size_t end,
                               const struct cork_mempool_geometry *geometry)
{
    const bool is_guarded = geometry->period_slots != 0;

    return pages_of(region, first, is_guarded ? first + geometry->block_slots : end, geometry);
}

/* The slot behind those pages and the guard that follows, or end. */
static size_t next_first(size_t first, size_t end, const struct cork_mempool_geometry *geometry)
{
    return geometry->period_slots != 0 ? first + geometry->period_slots : end;
}

/* Guards the blocks of slots from first up to end from each other, before they are committed. */
static bool guard_blocks(const struct cork_mempool_region *region, size_t first, size_t end,
                         const struct cork_mempool_geometry *geometry)
{
    const size_t period = geometry->period_slots;

    if (!source_has_guards()) {
        return false;
    }
    for (size_t next = first + period; next < end; next += period) {
        const uintptr_t from = next_pages(region, next - period, end, geometry).to;
        const uintptr_t to = next_pages(region, next, end, geometry).from;

        if (!source_guard(address_in(region, from), to - from)) {
            return false;
        }
    }
    return true;
}

/* Slots of guarded pools are those of whole blocks, each with its guard. */
static bool commit_slots(struct cork_mempool_region *region, size_t first, size_t end,
                         const struct cork_mempool_geometry *geometry)
{
    const size_t period = geometry->period_slots;
    const uintptr_t from = next_pages(region, first, end, geometry).from;
    /* Where the last block ends; or without guards, period being 0, where no more slots do. */
    const uintptr_t to = next_pages(region, end - period, end, geometry).to;

    if (!source_commit(address_in(region, from), to - from)) {
        return false;
    }
    while (first < end) {
        const struct pages pages = next_pages(region, first, end, geometry);

        annotate_usable(address_in(region, pages.slots), pages.to - pages.slots);
        first = next_first(first, end, geometry);
    }
    return true;
}

/* The bytes of slots that are committed. */
static size_t committed_size(const struct cork_mempool_region *region,
                             const struct cork_mempool_geometry *geometry)
{
    const size_t end = region->usable_count;
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
    const size_t period = geometry->period_slots;
    const size_t first = region->usable_count;
    size_t end;

    if (period != 0) {
        end = first + count / period * period;
        if (!guard_blocks(region, first, end, geometry)) {
            /* What is not committed is a guard too, at the price of a mapping for each. */
            end = first + period;
        }
    } else {
        /* The last page may have room for more than was asked for. */
        const size_t page = source_page_size();
        const size_t base = (uintptr_t)region->base % page;
        const size_t size = round_up(base + (first + count) * geometry->stride, page) - base;

        end = at_most(size / geometry->stride, region->capacity);
    }
    if (!commit_head(region, end, geometry) || !commit_slots(region, first, end, geometry)) {
        return false;
    }
    region->usable_count = end;
    return true;
}

bool region_commit(struct cork_mempool_region *region, const struct cork_mempool_geometry *geometry)
{
    const size_t reserved_count = region->capacity - region->usable_count;
    const size_t least = at_most(unit_count(geometry), reserved_count);
    size_t count = at_most(at_least(region->usable_count, least), reserved_count);

    if (reserved_count == 0 || reserved_count < geometry->period_slots) {
        return false;
    }
    while (!commit(region, count, geometry)) {
        if (!halve(&count, least)) {
            return false;
        }
    }
    return true;
}

size_t region_discard(struct cork_mempool_region *region, size_t first, size_t end,
                      const struct cork_mempool_geometry *geometry)
{
    const size_t page = source_page_size();
    const uintptr_t base = (uintptr_t)region->base;
    const uintptr_t from = round_up(base + first * geometry->stride, page);
    const uintptr_t to = round_down(base + end * geometry->stride, page);

    if (region->origin != REGION_IS_RESERVED || from >= to) {
        return 0;
    }
    source_discard(region->base + (ptrdiff_t)(from - base), to - from);
    return to - from;
}

void region_scatter(struct cork_mempool_region *region,
                    const struct cork_mempool_geometry *geometry)
{
    const struct pages pages = next_pages(region, 0, region->usable_count, geometry);

    region_discard(region, region->carved_count, region->usable_count, geometry);
    source_scatter(address_in(region, pages.from), pages.to - pages.from);
}

void region_release(struct cork_mempool_region *region,
                    const struct cork_mempool_geometry *geometry,
                    const struct cork_mempool_source *source, void *source_data)
{
    /* All that has been announced to be usable: of a regular region, whole pages. */
    const size_t unit = region->origin == REGION_IS_RESERVED ? source_page_size() : 1;
    const size_t size = region->usable_count * geometry->stride;
    const uintptr_t end = round_up((uintptr_t)region->base + size, unit);
    const uintptr_t start = (uintptr_t)region->base - geometry->lead_size;

    annotate_unusable(region->base - geometry->lead_size, end - start);
    switch (region->origin) {
    case REGION_IS_NURSERY:
        source_heap.release(NULL, region->memory, region->memory_size);
        break;
    case REGION_IS_RESERVED:
        annotate_unreserved(region->memory, region->memory_size);
        source_release(region->memory, region->memory_size);
        break;
    case REGION_IS_ACQUIRED:
        /* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): its source is known */
        source->release(source_data, region->memory, region->memory_size);
        source->release(
            source_data, region,
            head_of(geometry, region->capacity, _Alignof(struct cork_mempool_group)).size);
        break;
    }
}

size_t region_memory_size(const struct cork_mempool_region *region,
                          const struct cork_mempool_geometry *geometry)
{
    const size_t unit = _Alignof(struct cork_mempool_group);
    const size_t page = source_page_size();
    size_t size;

    switch (region->origin) {
    case REGION_IS_RESERVED:
        size = 0;
        for (int table = 0; table < TABLE_COUNT; table++) {
            size += round_up(table_size(geometry, table, region->usable_count), page);
        }
        return size + committed_size(region, geometry);
    case REGION_IS_ACQUIRED:
        return head_of(geometry, region->capacity, unit).size + region->memory_size;
    default:
        return region->memory_size;
    }
}
