/* SPDX-License-Identifier: BSD-3-Clause */
#include "grow.h"

#include <errno.h>

#include "damage.h"
#include "libcork/core/mempool_options.h"
#include "os.h"
#include "region.h"
#include "report.h"
#include "slots.h"
#include "tools.h"

/* Pieces of the heap. The first is two blocks, or two groups, up to HEAP_FIRST_MAX_SIZE, or a slot;
 * the second is twice as large, unless the first is a slot. If both are small, the next takes
 * HEAP_KEPT_SIZE with its tables, because the C library returns pieces from 128 KiB on to the
 * system, and a pool that is made again would have page faults. The last has HEAP_MAX_SIZE. More
 * pieces would be more regions to search; larger ones would waste memory. */
#define HEAP_FIRST_MAX_SIZE ((size_t)64 * 1024)
#define HEAP_KEPT_SIZE      ((size_t)96 * 1024)
#define HEAP_MAX_SIZE       ((size_t)1024 * 1024)
#if !defined(HEAP_FIRST_FACTOR)
#define HEAP_FIRST_FACTOR CORK_MEMPOOL_FIRST_GROUPS_
#endif

/* A reservation is so many times as large as all regions before it together, or as large if address
 * space is scarce. After a refusal the next one is smaller by the same factor. */
#if !defined(RESERVED_FACTOR)
#define RESERVED_FACTOR   32
#define RESERVED_MIN_SIZE (16 * os_page_size())
#endif

/* The slots that a pool's regions have room for. */
static size_t reserved_count(const struct cork_mempool *mp)
{
    return mp->newest == NULL ? 0 : mp->newest->first_number + mp->newest->reserved_count;
}

/* Makes a region of the heap; or none, if the pool is too large or may not use the heap. */
static struct cork_mempool_region *from_heap(struct cork_mempool *mp)
{
    const size_t stride = mp->geometry.stride;
    const size_t older = reserved_count(mp);
    size_t count = bits_smaller(mp->geometry.block_slots, GROUP_SLOTS) * HEAP_FIRST_FACTOR;

    /* Valgrind would report objects as parts of a heap block. Guards need pages. */
    if ((mp->protections & UNDER_VALGRIND) != 0 || mp->geometry.block_pitch != 0 ||
        (older + 1) * stride > HEAP_MAX_SIZE) {
        return NULL;
    }
    if (older == 0) {
        /* It divides only if it must, because a division takes time. */
        if (count * stride > HEAP_FIRST_MAX_SIZE) {
            count = bits_larger(HEAP_FIRST_MAX_SIZE / stride, 1);
        }
    } else if (mp->newest == mp->oldest && older > 1) {
        count = 2 * older;
    } else {
        const size_t slot_size = stride + sizeof(struct cork_mempool_sites) + sizeof(uint64_t);
        const bool is_small = older * slot_size < HEAP_KEPT_SIZE / 2;

        count = is_small ? HEAP_KEPT_SIZE / slot_size : HEAP_MAX_SIZE / stride;
    }
    return region_acquire(mp, bits_smaller(count, mp->objects_left));
}

/* Makes a region of address space, or of the pool's source: the caller's, or as a last resort the
 * heap. A refused request is repeated for less, down to a block, which leaves the rest to others.
 */
static NOINLINE struct cork_mempool_region *from_os_or_source(struct cork_mempool *mp, bool is_os)
{
    const struct cork_mempool_geometry *geometry = &mp->geometry;
    const size_t stride = geometry->stride;
    const size_t least = bits_larger(geometry->block_pitch, geometry->block_slots);
    const size_t older = reserved_count(mp);
    size_t most = region_max_capacity(geometry);
    size_t count = mp->newest == NULL ? 0 : 2 * mp->newest->committed_count;
    struct cork_mempool_region *region = NULL;

    if (is_os) {
        const bool is_scarce = older > HEAP_MAX_SIZE / stride / 4 && os_is_scarce();

        count = is_scarce ? older : RESERVED_FACTOR * older;
        count = bits_larger(count, RESERVED_MIN_SIZE / stride);
        if ((mp->protections & UNDER_VALGRIND) != 0) {
            /* Valgrind warns of ranges of a quarter of a GiB, reservations included. */
            count = bits_smaller(count, (size_t)128 * 1024 * 1024 / stride);
        }
    } else if (mp->memory.source == &os_heap) {
        /* Heaps of sanitizers abort at absurd sizes instead of refusing them. */
        most = bits_smaller(most, ((size_t)1 << 30) / stride);
    }
    count = bits_smaller(bits_larger(count, least), most);
    while (region == NULL && count >= least) {
        region = is_os ? region_reserve(mp, count, older) : region_acquire(mp, count);
        count = count == least ? 0 : bits_larger(count / (is_os ? RESERVED_FACTOR : 2), least);
    }
    return region;
}

static struct cork_mempool_region *next_region(struct cork_mempool *mp)
{
    SLOTS_CALL call = slots_enter(mp);
    struct cork_mempool_region *region = NULL;

    if (mp->memory.buffer != NULL) {
        return mp->newest != NULL ? NULL : region_from_buffer(mp);
    }
    if (mp->memory.source == &os_heap) {
        region = from_heap(mp);
        region = region == NULL ? from_os_or_source(mp, true) : region;
    }
    /* The heap has no guards. */
    if (region == NULL && mp->geometry.block_pitch == 0) {
        region = from_os_or_source(mp, false);
        report_require_busy(mp);
    }
    return region;
}

/* Commits more slots; false if memory cannot be had. */
static NOINLINE bool grow(struct cork_mempool *mp)
{
    struct cork_mempool_region *newest = mp->newest;
    const void *site = report_call_site; /* a source may call other pools, which changes it */
    const int saved_errno = errno;
    const bool is_committed = newest != NULL && region_commit(mp, newest, newest->committed_count);
    struct cork_mempool_region *region = is_committed ? NULL : next_region(mp);

    errno = saved_errno;
    report_call_site = site;
    if (region == REGION_MISALIGNED) {
        report_refuse(report_violation(mp, CORK_MEMPOOL_BAD_SOURCE, NO_SLOT));
    }
    if (region != NULL) {
        slots_add_region(mp, region);
        if (newest == NULL) {
            mp->self = mp;
            tools_pool_begins(mp);
        }
    }
    return is_committed || region != NULL;
}

/* Makes a group with freed slots the active one; false if there is none. */
static bool open_freed(struct cork_mempool *mp)
{
    struct cork_mempool_cursor next = mp->cursor;

    /* Prefer the next group if all of it is free, because neighbours are used faster. */
    if (next.group != NULL && next.group->free == 0 &&
        next.group + 1 < next.region->groups + region_group_count(next.region->extended_count) &&
        next.group[1].free == GROUP_BITS) {
        next.group++;
        next.base += GROUP_SLOTS * mp->geometry.stride;
    }
    while (next.group == NULL || next.group->free == 0) {
        if (mp->first_linked == NULL) {
            return false;
        }

        const struct slot slot = slots_of(mp, mp->first_linked);
        next.region = slot.region;
        next.group = &slot.region->groups[slot.index / GROUP_SLOTS];
        next.base = mp->first_linked;
        mp->first_linked = next.group->next != next.base ? next.group->next : NULL;
        next.group->next = NULL;
    }
    next.bits = next.group->free;
    next.is_never_issued = false;
    mp->cursor = next;
    return true;
}

/* Extends the newest region by the rest of a group, and makes that the active group. If all of it
 * are guards, it has no slots. */
static void extend(struct cork_mempool *mp)
{
    struct cork_mempool_region *region = mp->newest;
    const size_t first = region->extended_count;
    const size_t index = first / GROUP_SLOTS;
    const size_t offset = first % GROUP_SLOTS;
    const size_t most = bits_smaller(region->committed_count - first, GROUP_SLOTS - offset);
    const size_t count = bits_smaller(most, mp->objects_left);

    KNOWN(count > 0);
    uint64_t bits = GROUP_BITS >> (GROUP_SLOTS - count) << offset;
    mp->objects_left -= count;
    region->extended_count += count;
    /* Tables of groups begin as zeros. */
    if (region->fresh != NULL) {
        region->fresh[index] |= bits;
    }
    for (size_t slot = first; mp->geometry.block_pitch != 0 && slot < first + count; slot++) {
        if (geometry_is_guard(&mp->geometry, slot)) {
            const uint64_t guard = slot_bit((struct slot){region, slot});

            region->held[index] |= guard;
            bits ^= guard;
            mp->objects_left++;
        }
    }
    region->groups[index].free |= bits;
    char *base = slot_start(mp, (struct slot){region, first - offset});
    mp->cursor = (struct cork_mempool_cursor){bits, 0, &region->groups[index], base, region, true};
}

/* Makes a group with slots that were never issued the active one; false if there is none. */
static bool open_never_issued(struct cork_mempool *mp)
{
    if (mp->objects_left == 0 || mp->geometry.stride == 0) {
        return false;
    }
    do {
        const struct cork_mempool_region *newest = mp->newest;

        if ((newest == NULL || newest->extended_count == newest->committed_count) && !grow(mp)) {
            return false;
        }
        extend(mp);
    } while (mp->cursor.bits == 0);
    return true;
}

bool grow_open(struct cork_mempool *mp)
{
    const struct cork_mempool_quarantine *quarantine = &mp->quarantine;

    while (!open_freed(mp) && !open_never_issued(mp)) {
        if (quarantine->count == 0) {
            errno = ENOMEM;
            return false;
        }
        /* Half of it, if memory was refused, because each request takes time. All is verified
         * before anything changes. */
        const bool was_refused = mp->objects_left != 0 && mp->memory.buffer == NULL;
        const size_t count = was_refused ? (quarantine->count + 1) / 2 : 1;

        for (size_t i = quarantine->first; i < quarantine->first + count; i++) {
            damage_verify_contents(mp, slots_of(mp, mp->oldest->ring[i % quarantine->capacity]),
                                   mp->protections);
        }
        for (size_t i = 0; i < count; i++) {
            slots_pop_quarantine(mp);
        }
    }
    return true;
}
