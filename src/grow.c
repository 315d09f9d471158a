/* SPDX-License-Identifier: BSD-3-Clause */
#include "grow.h"

#include <stddef.h>
#include <stdint.h>

#include "bits.h"
#include "libcork/core/mempool_options.h"
#include "os.h"
#include "region.h"
#include "report.h"
#include "slots.h"
#include "tools.h"

/* The heap's pieces: the first is two blocks or groups of slots, the second twice, each next one 16
 * times as large as the last, up to this. More would be more lookups; less, memory that nobody
 * needs. The exhaustive search, which knows no large pools, lets them grow more slowly. */
#define HEAP_FIRST_MAX_SIZE ((size_t)64 * 1024)
#define HEAP_MAX_SIZE       ((size_t)1024 * 1024)
#define HEAP_SECOND_FACTOR  2
#if !defined(HEAP_FACTOR)
#define HEAP_FACTOR       16
#define HEAP_FIRST_FACTOR CORK_MEMPOOL_FIRST_GROUPS_
#endif

/* No piece is larger until all are half of it together: from 128 KiB on, by default, the C library
 * gives what is freed back to the system, and has page faults where it is taken again. A slot has
 * records too.
 */
#define HEAP_KEPT_SIZE   ((size_t)96 * 1024)
#define RECORDS_MAX_SIZE (sizeof(struct cork_mempool_sites) + sizeof(uint64_t))

/* A reservation is so many times what there is, or as large where address space is scarce. */
#if !defined(RESERVED_FACTOR)
#define RESERVED_FACTOR   32
#define RESERVED_MIN_SIZE (16 * os_page_size())
#endif

/* What a source is asked for at most. Sanitizers' heaps abort at absurd sizes instead of refusing;
 * and where the system has just refused as much, the heap would ask it in vain. */
#define ACQUIRED_MAX_SIZE ((size_t)(UINT64_C(1) << 30))

/* The slots that are made at once at least. */
static size_t unit_count(const struct cork_mempool_geometry *geometry)
{
    return bits_larger(geometry->block_pitch, geometry->block_slots);
}

/* The slots that a pool's regions have room for. */
static size_t reserved_count(const struct cork_mempool *mp)
{
    return mp->newest == NULL ? 0 : mp->newest->first_number + mp->newest->reserved_count;
}

/* Returns count, or how many of this size fit into most_size bytes, if these are fewer. It divides
 * only then, because a division takes time. */
static size_t at_most(size_t count, size_t size, size_t most_size)
{
    return size <= most_size && count * size <= most_size ? count : most_size / size;
}

/* Slots of the next piece of the heap; 0: it would be too large. */
static size_t heap_count(const struct cork_mempool *mp)
{
    const size_t stride = mp->geometry.stride;
    const struct cork_mempool_region *newest = mp->newest;

    if (newest == NULL) {
        const size_t count = bits_smaller(mp->geometry.block_slots, GROUP_SLOTS);
        return bits_smaller(at_most(count * HEAP_FIRST_FACTOR, stride, HEAP_FIRST_MAX_SIZE),
                            mp->objects_left);
    }

    const size_t older = reserved_count(mp);
    const size_t factor = newest->older == NULL ? HEAP_SECOND_FACTOR : HEAP_FACTOR;
    size_t count = newest->reserved_count * factor;

    if (older * stride > HEAP_MAX_SIZE) {
        return 0;
    }
    if (older * (stride + RECORDS_MAX_SIZE) < HEAP_KEPT_SIZE / 2) {
        count = at_most(count, stride + RECORDS_MAX_SIZE, HEAP_KEPT_SIZE);
        count = count > GROUP_SLOTS ? count / GROUP_SLOTS * GROUP_SLOTS : count;
    }
    return bits_smaller(at_most(count, stride, HEAP_MAX_SIZE), mp->objects_left);
}

/* Makes a region of the heap that is small, or none. */
static struct cork_mempool_region *from_heap(struct cork_mempool *mp)
{
    const bool is_first = mp->newest == NULL && mp->geometry.tables == 0;
    struct cork_mempool_region *first = is_first ? &mp->first_region : NULL;
    const size_t count = heap_count(mp);
    bool is_misaligned;

    /* Under Valgrind, objects would be taken for a part of what the heap has issued. Guards need
     * pages. */
    if (count == 0 || mp->under_valgrind || mp->geometry.block_pitch != 0) {
        return NULL;
    }
    return region_acquire(first, count, &mp->geometry, &os_heap, NULL, &is_misaligned);
}

static struct cork_mempool_region *from_os(struct cork_mempool *mp)
{
    const size_t least = unit_count(&mp->geometry);
    const size_t quiet =
        mp->under_valgrind ? bits_larger(TOOLS_RANGE_MAX / mp->geometry.stride, least) : SIZE_MAX;
    const size_t most = bits_smaller(region_max_capacity(&mp->geometry), quiet);
    const size_t older = reserved_count(mp);
    const size_t first = RESERVED_MIN_SIZE / mp->geometry.stride;
    const size_t factor =
        older <= HEAP_MAX_SIZE / mp->geometry.stride / 4 || !os_is_scarce() ? RESERVED_FACTOR : 1;
    size_t capacity = factor * bits_smaller(older, most / factor);

    capacity = bits_larger(capacity, bits_larger(first, least));
    if (least > most) {
        return NULL;
    }
    for (;;) {
        struct cork_mempool_region *region =
            region_reserve(bits_smaller(capacity, most), older, &mp->geometry);

        if (region == NULL && capacity > least) {
            /* Whoever is refused much takes no more than it needs, and leaves others the rest. */
            capacity = bits_larger(capacity / RESERVED_FACTOR, least);
            continue;
        }
        return region;
    }
}

/* Makes a region of the pool's source: the caller's, or where there is no other memory the heap. */
static struct cork_mempool_region *from_source(struct cork_mempool *mp, bool *is_misaligned)
{
    const size_t most =
        bits_smaller(ACQUIRED_MAX_SIZE / mp->geometry.stride, region_max_capacity(&mp->geometry));
    const size_t least = unit_count(&mp->geometry);
    const size_t newest = mp->newest == NULL ? 0 : mp->newest->committed_count;
    size_t capacity = bits_smaller(bits_larger(2 * newest, least), most);

    while (capacity >= least) {
        struct cork_mempool_region *region = region_acquire(
            NULL, capacity, &mp->geometry, mp->memory.source, mp->memory.data, is_misaligned);

        if (region != NULL || *is_misaligned || capacity == least) {
            return region;
        }
        capacity = bits_larger(capacity / 2, least);
    }
    return NULL;
}

static struct cork_mempool_region *next_region(struct cork_mempool *mp, bool *is_misaligned)
{
    struct cork_mempool_region *region = NULL;

    if (mp->memory.buffer != NULL) {
        return mp->newest != NULL
                   ? NULL
                   : region_from_buffer(mp->memory.buffer, mp->memory.buffer_size, &mp->geometry);
    }
    if (mp->memory.source == &os_heap) {
        region = from_heap(mp);
        region = region == NULL ? from_os(mp) : region;
    }
    return region == NULL ? from_source(mp, is_misaligned) : region;
}

/* The quarantine, which is empty, rests in the oldest region. */
static void use_ring(struct cork_mempool *mp)
{
    const struct cork_mempool_region *oldest = mp->oldest;
    const bool has_ring = oldest != NULL && oldest->ring != NULL;

    mp->quarantine = (struct cork_mempool_quarantine){
        .objects = has_ring ? oldest->ring : NULL,
        .capacity = has_ring ? region_ring_capacity(oldest, &mp->geometry) : 0};
}

static void add_region(struct cork_mempool *mp, struct cork_mempool_region *region)
{
    KNOWN(region != NULL);
    slots_add_region(mp, region);
    if (region == mp->oldest) {
        mp->self = mp;
        tools_pool_begins(mp);
        use_ring(mp);
    }
}

/* Commits slots that were not; false where memory cannot be had. */
static bool grow(struct cork_mempool *mp)
{
    struct cork_mempool_region *newest = mp->newest;
    struct cork_mempool_region *region;
    bool is_misaligned = false;

    if (mp->geometry.stride == 0) {
        return false;
    }
    if (newest != NULL && newest->origin == REGION_IS_RESERVED &&
        region_commit(newest, newest->committed_count, &mp->geometry)) {
        return true;
    }
    {
        SLOTS_CALL call = slots_enter(mp);
        const void *site = report_call_site; /* a source may be made of other pools */

        region = next_region(mp, &is_misaligned);
        report_call_site = site;
    }
    if (is_misaligned) {
        report_refuse(report_violation(mp, CORK_MEMPOOL_BAD_SOURCE, NO_SLOT));
    }
    if (region == NULL) {
        return false;
    }
    add_region(mp, region);
    return true;
}

bool grow_open(struct cork_mempool *mp)
{
    if (mp->newest != NULL && slots_open_freed(mp)) {
        return true;
    }
    if (mp->objects_left == 0) {
        return false;
    }
    /* Where all that is left of a group are guards, extending it opens nothing. */
    do {
        if (!slots_has_more(mp) && !grow(mp)) {
            return false;
        }
        slots_extend(mp);
    } while (mp->cursor.bits == 0);
    return true;
}

void grow_shrink(struct cork_mempool *mp, struct cork_mempool_region *region)
{
    struct cork_mempool_region *older = region->older;
    struct cork_mempool_region *newer = region->newer;

    for (size_t i = 0; i < region_group_count(region->extended_count); i++) {
        const uint64_t guards = region->held != NULL ? region->held[i] : 0;

        mp->objects_left += (size_t)__builtin_popcountll(slots_extended(region, i) & ~guards);
    }
    if (mp->cursor.region == region) {
        mp->cursor = (struct cork_mempool_cursor){.region = NULL};
    }
    *(older != NULL ? &older->newer : &mp->oldest) = newer;
    *(newer != NULL ? &newer->older : &mp->newest) = older;
    use_ring(mp);
}
