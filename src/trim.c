/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <string.h>

#include "damage.h"
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
    for (struct cork_mempool_region *region = mp->oldest; region != NULL; region = region->newer) {
        tools_poison(region->base, region->extended_count * mp->geometry.stride, false);
        for (size_t i = 0; i < region_group_count(region->extended_count); i++) {
            region->groups[i].free = slots_extended(region, i);
            slots_link(mp, region, i);
        }
    }
    slots_lend(mp);
}

/* Some bytes of each slot of a region. */
struct records {
    char *start;   /* of slot 0's */
    size_t size;   /* from slot to slot */
    size_t before; /* bytes before a slot's that belong to it too */
    uint64_t (*needed)(const struct cork_mempool_region *region, size_t group); /* by such slots */
};

/* Whether a page has no byte of a slot that is needed; what has been made of its slots is lost. */
static bool give_up(struct cork_mempool *mp, struct cork_mempool_region *region,
                    const struct records *records, const char *page)
{
    const uintptr_t from = (uintptr_t)page - (uintptr_t)records->start;
    const uintptr_t to = from + os_page_size() + records->before + records->size - 1;
    /* The redzone before the first slot is at negative offsets. */
    const size_t first = (intptr_t)from < 0 ? 0 : from / records->size;
    const size_t end = bits_smaller(to / records->size, region->extended_count);

    if (slots_next(region, records->needed, first, end) < end) {
        return false;
    }
    if (records->needed == slots_live) {
        hooks_unmake(mp, region, first, end);
    }
    return true;
}

/* Gives those of the whole pages between two addresses back that the system has and no slot needs;
 * without records, only says how much the system has. Where it does not tell, all may be there, and
 * how much that is is unknown. */
static size_t purge(struct cork_mempool *mp, struct cork_mempool_region *region,
                    const struct records *records, char *start, char *end)
{
    const size_t page = os_page_size();
    char *from = bits_align(start, page);
    char *to = end - ((uintptr_t)end & (page - 1));
    unsigned char is_resident[PAGES_ONCE] = {0};
    size_t purged_size = 0, number = 0;
    bool is_known = true;

    for (char *next = from; next <= to; next += page, number = (number + 1) % PAGES_ONCE) {
        const size_t count = bits_smaller((size_t)(to - next) / page, PAGES_ONCE);

        if (number == 0 && next < to && !os_resident(next, count, is_resident)) {
            memset(is_resident, 1, count);
            is_known = false;
        }
        if (next < to && (is_resident[number] & 1) != 0 &&
            (records == NULL || give_up(mp, region, records, next))) {
            continue;
        }

        const size_t size = (size_t)(next - from);
        if (size != 0 && (records == NULL || os_advise(from, size, OS_PURGE))) {
            purged_size += size;
        }
        from = next + page;
    }
    return is_known ? purged_size : 0;
}

/* Gives those of a table's pages back where no slot is made of anything. */
static size_t purge_table(struct cork_mempool *mp, struct cork_mempool_region *region, void *table,
                          size_t record_size)
{
    const struct records records = {table, record_size, 0, slots_made};

    return table == NULL ? 0
                         : purge(mp, region, &records, table,
                                 (char *)table + region->extended_count * record_size);
}

/* Whether a region is a piece of the heap of which pages may be purged. */
static bool is_of_heap(const struct cork_mempool *mp, const struct cork_mempool_region *region)
{
    const bool is_heaps =
        mp->memory.source == &os_heap && mp->memory.buffer == NULL && !region->is_reserved;

    return TOOLS_HEAP_HAS_TAGS ? false : is_heaps;
}

/* Gives pages of a reserved region back, or whole ones inside a piece of the heap. */
static size_t purge_region(struct cork_mempool *mp, struct cork_mempool_region *region)
{
    const struct records slots = {region->base, mp->geometry.stride,
                                  bits_smaller(mp->geometry.redzone_size, CANARY_SIZE), slots_live};
    char *end = region->base + region->committed_count * mp->geometry.stride;
    size_t size;

    if (region->is_reserved) {
        const struct region_pages pages = region_pages(mp, region, 0, region->committed_count);

        size = purge(mp, region, &slots, pages.start, pages.start + pages.size);
        if (size != 0) {
            /* The system would fill the holes again. */
            os_advise(pages.start, pages.size, OS_NO_HUGE_PAGES);
        }
    } else if (is_of_heap(mp, region)) {
        size = purge(mp, region, &slots, region->base, end);
    } else {
        return 0;
    }
    return size + purge_table(mp, region, region->checksums, sizeof(*region->checksums)) +
           purge_table(mp, region, region->sites, sizeof(*region->sites));
}

/* The bytes that the release of a region gives back: of reservations, what is in memory; of the
 * heap, what has been used. */
static size_t release_size(struct cork_mempool *mp, struct cork_mempool_region *region)
{
    const size_t unused_count = region->reserved_count - region->extended_count;

    if (region->is_reserved) {
        const struct region_pages slots = region_pages(mp, region, 0, region->committed_count);

        return region->head_size +
               purge(mp, region, NULL, region->memory, slots.start + slots.size);
    }
    return region_memory_size(mp, region) -
           (is_of_heap(mp, region) ? unused_count * mp->geometry.stride : 0);
}

NOINLINE size_t cork_mempool_trim(struct cork_mempool *mp)
{
    const int saved_errno = errno;
    size_t size = 0;

    report_require(mp, NULL, __builtin_return_address(0));
    hooks_verify(mp);

    slots_recall(mp);
    SLOTS_CHANGE change = slots_enter(mp);
    struct cork_mempool_region **place = &mp->oldest, *region;

    hooks_empty_quarantine(mp);
    while ((region = *place) != NULL) {
        const size_t end = region->extended_count;

        if (slots_next(region, slots_live, 0, end) == end) {
            hooks_unmake(mp, region, 0, end);
            size += release_size(mp, region);
            if (is_of_heap(mp, region)) {
                /* The C library may keep the memory, but without its pages. */
                purge_region(mp, region);
            }
            grow_shrink(mp, place);
        } else {
            size += purge_region(mp, region);
            place = &region->newer;
        }
    }
    errno = saved_errno;
    return size;
}
