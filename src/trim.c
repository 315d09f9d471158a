/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <string.h>

#include "damage.h"
#include "hooks.h"
#include "libcork/core/mempool_inspect.h"
#include "os.h"
#include "region.h"
#include "report.h"
#include "slots.h"
#include "tools.h"

/* Pages of one request to os_resident. */
#define PAGES_ONCE 1024

NOINLINE void cork_mempool_clear(struct cork_mempool *mp)
{
    struct slot slot = {mp->oldest, 0};

    report_require(mp, POOL_IS_LIVE, NULL, __builtin_return_address(0));
    hooks_verify(mp);
    if (mp->hooks != NULL) {
        for (; slots_next_live(mp, &slot); slot.index++) {
            mp->hooks->free(mp, slot_start(mp, slot), slot, __builtin_return_address(0));
        }
        return;
    }
    for (struct cork_mempool_region *region = mp->oldest; region != NULL; region = region->newer) {
        tools_poison(region->base, region->extended_count * mp->geometry.stride, 0);
        for (size_t i = 0; i < region_group_count(region->extended_count); i++) {
            region->groups[i].free = slots_extended(region, i);
        }
    }
    slots_renew(mp);
}

/* Makes slots from one up to end fresh and runs the destructor on their objects, because their
 * memory is about to be lost. If the destructor throws, it has still run once at most on each. */
static void unmake(struct cork_mempool *mp, struct slot slot, size_t end)
{
    for (; slots_next(&slot, slots_made, end); slot.index++) {
        void *object = slot_start(mp, slot);

        slot.region->fresh[slot.index / GROUP_SLOTS] |= slot_bit(slot);
        if (mp->callbacks.destruct != NULL) {
            tools_new(mp, object, false, mp->protections);
            mp->callbacks.object = object;
            mp->callbacks.destruct(mp->callbacks.data, object);
            report_require_busy(mp);
            slots_end_callback(&mp);
        }
    }
}

/* Returns whether no byte of a page is needed: in a table, by a made slot; in the slots, by a live
 * object or the canary before it. If so, it unmakes the page's slots. */
static bool give_up(struct cork_mempool *mp, struct cork_mempool_region *region, const char *table,
                    size_t size, const char *page)
{
    const bool is_table = table != region->base;
    const size_t before = is_table ? 0 : bits_smaller(mp->geometry.redzone_size, CANARY_SIZE);
    const uintptr_t from = (uintptr_t)page - (uintptr_t)table;
    const uintptr_t to = from + os_page_size() + before + size - 1;
    /* The redzone before the first slot is at negative offsets. */
    const struct slot first = {region, (intptr_t)from < 0 ? 0 : from / size};
    const size_t end = bits_smaller(to / size, region->extended_count);
    struct slot needed = first;

    if (slots_next(&needed, is_table ? slots_made : slots_live, end)) {
        return false;
    }
    unmake(mp, first, end);
    return true;
}

/* Purges the whole pages of some memory that are resident and that no slot needs; without a table,
 * only counts those that are resident, and what is no whole page. Returns: the bytes; 0 if the
 * system does not tell what is resident, because then all pages are purged. */
static size_t purge(struct cork_mempool *mp, struct cork_mempool_region *region, const char *table,
                    size_t size, struct region_pages memory)
{
    const size_t page = os_page_size();
    char *from = bits_align(memory.start, page);
    const char *end = memory.start + memory.size;
    unsigned char is_resident[PAGES_ONCE] = {0};
    const size_t whole_size = from < end ? (size_t)(end - from) / page * page : 0;
    size_t purged_size = table == NULL ? memory.size - whole_size : 0, number = 0;
    bool is_known = true;

    for (char *next = from; next <= end; next += page, number = (number + 1) % PAGES_ONCE) {
        const size_t count = bits_smaller((size_t)(end - next) / page, PAGES_ONCE);

        if (number == 0 && count > 0 && !os_resident(next, count, is_resident)) {
            memset(is_resident, 1, count);
            is_known = false;
        }
        if (count > 0 && (is_resident[number] & 1) != 0 &&
            (table == NULL || give_up(mp, region, table, size, next))) {
            continue;
        }
        if (from < next && (table == NULL || os_advise(from, (size_t)(next - from), OS_PURGE))) {
            purged_size += (size_t)(next - from);
        }
        from = next + page;
    }
    return is_known ? purged_size : 0;
}

static size_t purge_table(struct cork_mempool *mp, struct cork_mempool_region *region, void *table,
                          size_t size)
{
    const struct region_pages used = {table, region->extended_count * size};

    return table != NULL ? purge(mp, region, table, size, used) : 0;
}

/* Whether regions that are not reserved are pieces of the heap. */
static bool uses_heap(const struct cork_mempool *mp)
{
    return mp->memory.source == &os_heap && mp->memory.buffer == NULL;
}

/* Purges pages of a reservation or inside a piece of the heap; others' memory never. */
static size_t purge_region(struct cork_mempool *mp, struct cork_mempool_region *region)
{
    const struct region_pages slots = region_slots(mp, region);

    if (!region->is_reserved && (TOOLS_HEAP_HAS_TAGS ? true : !uses_heap(mp))) {
        return 0;
    }

    const size_t size = purge(mp, region, region->base, mp->geometry.stride, slots);
    if (region->is_reserved && size != 0) {
        /* Huge pages would fill the holes again. */
        os_advise(slots.start, slots.size, OS_NO_HUGE_PAGES);
    }
    return (TOOLS_HEAP_HAS_TAGS ? region->head_size != 0 : false)
               ? size
               : size + purge_table(mp, region, region->checksums, sizeof(*region->checksums)) +
                     purge_table(mp, region, region->sites, sizeof(*region->sites));
}

/* Counts the bytes that the release of a region gives back: of a source's, all; of others, those
 * used and resident. Purges pieces of the heap, because the C library may keep them. */
static size_t count_released(struct cork_mempool *mp, struct cork_mempool_region *region)
{
    const size_t unused_count = region->reserved_count - region->extended_count;
    const struct region_pages head = {(char *)region, region->head_size};
    const struct region_pages slots = region_slots(mp, region);
    char *memory = region->memory;
    struct region_pages used = {memory, (size_t)(slots.start - memory) + slots.size};

    if (!region->is_reserved && !uses_heap(mp)) {
        return mp->memory.buffer != NULL ? 0 : head.size + used.size;
    }
    used.size -= region->is_reserved ? 0 : unused_count * mp->geometry.stride;
    const size_t size = purge(mp, region, NULL, 0, used) + purge(mp, region, NULL, 0, head);
    if (!region->is_reserved) {
        purge_region(mp, region);
    }
    return size;
}

/* Releases regions without live objects, and purges others. Returns: the bytes, for trim. A handler
 * may leave a destructor or a source: the pool is valid then. */
static size_t give_back(struct cork_mempool *mp, bool is_trim)
{
    slots_recall(mp);
    SLOTS_CALL call = slots_enter(mp);
    struct cork_mempool_region **place = &mp->oldest, *region;
    size_t size = 0;

    call.is_renewing = true;
    while (mp->quarantine.count > 0) {
        slots_pop_quarantine(mp);
    }
    mp->quarantine = (struct cork_mempool_quarantine){.capacity = 0};
    while ((region = *place) != NULL) {
        const size_t end = region->extended_count;
        struct slot live = {region, 0};

        if (slots_next(&live, slots_live, end)) {
            size += purge_region(mp, region);
            place = &region->newer;
            continue;
        }
        unmake(mp, (struct slot){region, 0}, end);
        size += is_trim ? count_released(mp, region) : 0;
        /* The pool must not know the region when a source takes it back. */
        mp->objects_left += geometry_object_count(&mp->geometry, end);
        if (mp->cursor.region == region) {
            mp->cursor = (struct cork_mempool_cursor){.group = NULL};
        }
        *place = region->newer;
        region_release(mp, region);
        report_require_busy(mp);
    }
    return size;
}

NOINLINE size_t cork_mempool_trim(struct cork_mempool *mp)
{
    const int saved_errno = errno;

    report_require(mp, POOL_IS_LIVE, NULL, __builtin_return_address(0));
    hooks_verify(mp);

    const size_t size = give_back(mp, true);
    errno = saved_errno;
    return size;
}

NOINLINE void cork_mempool_done(struct cork_mempool *mp)
{
    report_require(mp, POOL_IS_LIVE, NULL, __builtin_return_address(0));
    if (slots_live_count(mp) != 0) {
        report_refuse_leak(mp);
    }
    if (mp->hooks != NULL) {
        hooks_verify(mp);
    }
    if (mp->callbacks.destruct != NULL || mp->memory.source != &os_heap) {
        give_back(mp, false);
    }
    for (struct cork_mempool_region *region; (region = mp->oldest) != NULL;) {
        mp->oldest = region->newer;
        region_release(mp, region);
    }
    memset(&mp->lent, 0, offsetof(struct cork_mempool_lent, bases));
    tools_pool_ends(mp);
    mp->state = POOL_IS_DONE;
}
