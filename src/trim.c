/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "bits.h"
#include "damage.h"
#include "geometry.h"
#include "grow.h"
#include "hooks.h"
#include "libcork/core/mempool_inspect.h"
#include "os.h"
#include "region.h"
#include "report.h"
#include "slots.h"
#include "tools.h"

/* Pages that the system is asked about at once. */
#define PAGES_ONCE 1024

/* Frees all live objects of a pool without hooks, a group at a time. */
static void clear_region(struct cork_mempool *mp, struct cork_mempool_region *region)
{
#if TOOLS_HEAR_OF_OBJECTS
    struct slot slot = {region, 0};

    for (; slots_next_live(mp, &slot) && slot.region == region; slot.index++) {
        tools_free(mp, slot_start(mp, slot), false);
    }
#endif
    for (size_t i = 0; i < region_group_count(region->extended_count); i++) {
        region->groups[i].free = slots_extended(region, i);
        slots_link(mp, region, i);
    }
}

NOINLINE void cork_mempool_clear(struct cork_mempool *mp)
{
    struct slot slot = {mp->oldest, 0};

    report_require(mp, NULL, __builtin_return_address(0));
    hooks_verify(mp);
    if (mp->hooks != NULL) {
        for (; slots_next_live(mp, &slot); slot.index++) {
            mp->hooks->free(mp, slot_start(mp, slot), slot);
        }
        return;
    }
    slots_recall(mp);
    for (; slot.region != NULL; slot.region = slot.region->newer) {
        clear_region(mp, slot.region);
    }
    slots_lend(mp);
}

static bool is_unused(const struct cork_mempool_region *region)
{
    const size_t end = region->extended_count;

    return slots_next(region, slots_live, 0, end) == end;
}

/* Some bytes of each slot of a region. */
struct records {
    char *start;   /* of slot 0's */
    size_t size;   /* from slot to slot */
    size_t before; /* bytes before a slot's that belong to it too */
    uint64_t (*needed)(const struct cork_mempool_region *region, size_t group); /* by such slots */
};

/* The slots of a region that have bytes in some pages: from the one that is returned up to end. */
static size_t slots_in(const struct cork_mempool_region *region, const struct records *records,
                       const char *start, size_t size, size_t *end)
{
    const uintptr_t from = (uintptr_t)start - (uintptr_t)records->start;
    const uintptr_t to = from + size + records->before + records->size - 1;

    /* The redzone before the first slot is at negative offsets. */
    *end = (intptr_t)to < 0 ? 0 : bits_smaller(to / records->size, region->extended_count);
    return (intptr_t)from < 0 ? 0 : from / records->size;
}

/* Gives pages back that no slot needs; what has been made of slots there is lost. */
static size_t purge_run(struct cork_mempool *mp, struct cork_mempool_region *region,
                        const struct records *records, char *start, size_t size)
{
    size_t end;
    const size_t first = slots_in(region, records, start, size, &end);

    if (size != 0 && records->needed == slots_live) {
        hooks_unmake(mp, region, first, end);
    }
    return size != 0 && os_purge(start, size) ? size : 0;
}

static bool is_needed(const struct cork_mempool_region *region, const struct records *records,
                      const char *start, size_t size)
{
    size_t end;
    const size_t first = slots_in(region, records, start, size, &end);

    return slots_next(region, records->needed, first, end) < end;
}

/* Gives those pages of a region back that the system has and no slot needs.
 * Where it does not tell, all may be there, and how much that is is unknown. */
static size_t purge(struct cork_mempool *mp, struct cork_mempool_region *region,
                    const struct records *records, struct region_pages pages)
{
    const size_t page = os_page_size();
    char *from = pages.start;
    char *to = pages.start + pages.size;
    unsigned char is_resident[PAGES_ONCE];
    size_t purged_size = 0, number = 0;
    bool is_known = true;

    for (char *next = from; next < to; next += page, number = (number + 1) % PAGES_ONCE) {
        const size_t count = bits_smaller((size_t)(to - next) / page, PAGES_ONCE);

        if (number == 0 && !os_resident(next, count, is_resident)) {
            memset(is_resident, 1, count);
            is_known = false;
        }
        if (is_resident[number] == 0 || is_needed(region, records, next, page)) {
            purged_size += purge_run(mp, region, records, from, (size_t)(next - from));
            from = next + page;
        }
    }
    purged_size += purge_run(mp, region, records, from, (size_t)(to - from));
    return is_known ? purged_size : 0;
}

/* The whole pages between two addresses, first to the end of the last. */
static struct region_pages pages_between(char *start, char *end)
{
    const size_t page = os_page_size();
    char *first = bits_align(start, page);
    char *last = end - ((uintptr_t)end & (page - 1));

    return (struct region_pages){first, first < last ? (size_t)(last - first) : 0};
}

/* Gives those of a table's pages back where no slot is made of anything. */
static size_t purge_table(struct cork_mempool *mp, struct cork_mempool_region *region, void *table,
                          size_t record_size)
{
    const struct records records = {table, record_size, 0, slots_made};

    if (table == NULL) {
        return 0;
    }

    char *end = (char *)table + region->extended_count * record_size;
    return purge(mp, region, &records, pages_between(table, end));
}

/* Whether a region is a piece of the heap of which pages may be purged. */
static bool is_of_heap(const struct cork_mempool *mp, const struct cork_mempool_region *region)
{
#if TOOLS_HEAP_HAS_TAGS
    (void)mp;
    (void)region;
    return false;
#else
    return mp->memory.source == &os_heap && mp->memory.buffer == NULL &&
           region->origin != REGION_IS_RESERVED;
#endif
}

/* Gives pages of a reserved region back, or whole ones inside a piece of the heap. */
static size_t purge_region(struct cork_mempool *mp, struct cork_mempool_region *region)
{
    const struct records slots = {region->base, mp->geometry.stride,
                                  bits_smaller(mp->geometry.redzone_size, CANARY_SIZE), slots_live};
    const bool is_reserved = region->origin == REGION_IS_RESERVED;
    char *end = region->base + region->committed_count * mp->geometry.stride;
    struct region_pages pages = pages_between(region->base, end);

    if (is_reserved) {
        pages = region_pages(region, 0, region->committed_count, &mp->geometry);
    } else if (!is_of_heap(mp, region)) {
        return 0;
    }

    const size_t size = purge(mp, region, &slots, pages);
    if (is_reserved && size != 0) {
        /* The system would fill the holes again. */
        os_no_huge_pages(pages.start, pages.size);
    }
    return size + purge_table(mp, region, region->checksums, sizeof(*region->checksums)) +
           purge_table(mp, region, region->sites, sizeof(*region->sites));
}

/* The bytes from one address to another that are in memory; 0 where the system does not tell. */
static size_t resident_size(const char *from, const char *to)
{
    const size_t page = os_page_size();
    unsigned char is_resident[PAGES_ONCE];
    size_t resident_count = 0;

    for (; from < to; from += PAGES_ONCE * page) {
        const size_t count = bits_smaller((size_t)(to - from) / page, PAGES_ONCE);

        if (os_resident(from, count, is_resident)) {
            for (size_t i = 0; i < count; i++) {
                resident_count += is_resident[i];
            }
        }
    }
    return resident_count * page;
}

/* The bytes that the release of a region gives back: of reservations, what is in memory; of the
 * heap, what has been used. */
static size_t release_size(const struct cork_mempool *mp, const struct cork_mempool_region *region)
{
    const struct cork_mempool_geometry *geometry = &mp->geometry;
    const size_t unused_count = region->reserved_count - region->extended_count;

    if (region->origin == REGION_IS_RESERVED) {
        const struct region_pages slots =
            region_pages(region, 0, region->committed_count, geometry);

        return region_head_size(region, geometry) +
               resident_size(region->memory, slots.start + slots.size);
    }
    return region_memory_size(region, geometry) -
           (is_of_heap(mp, region) ? unused_count * geometry->stride : 0);
}

NOINLINE size_t cork_mempool_trim(struct cork_mempool *mp)
{
    const int saved_errno = errno;
    size_t size = 0;

    report_require(mp, NULL, __builtin_return_address(0));
    hooks_verify(mp);

    slots_recall(mp);
    SLOTS_CHANGE change = slots_enter(mp);
    struct cork_mempool_region *region, *newer;

    hooks_empty_quarantine(mp);
    for (region = mp->oldest; region != NULL; region = newer) {
        newer = region->newer;
        if (is_unused(region)) {
            hooks_unmake(mp, region, 0, region->extended_count);
            size += release_size(mp, region);
            if (is_of_heap(mp, region)) {
                /* The C library may keep the memory, but without its pages. */
                purge_region(mp, region);
            }
            grow_shrink(mp, region);
            region_release(region, &mp->geometry, mp->memory.source, mp->memory.data);
        } else {
            size += purge_region(mp, region);
        }
    }
    errno = saved_errno;
    return size;
}
