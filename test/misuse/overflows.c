/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include "misuses.h"

static size_t page_size(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

/* Before a call that verifies nothing but canaries: without them, the damage would be found as
 * something else, or by malloc. */
static void spare_others(struct scene *s)
{
    if (!scene_has(s, CORK_MEMPOOL_CANARY)) {
        unspoil(s);
    }
}

/* Counted from the end of the object; what is spoilt need not be an object. */
static void overflow(struct scene *s, size_t from, size_t size)
{
    sacrifice(s, VICTIM + 1);
    for (size_t i = from; i < from + size; i++) {
        spoil(s, object(s, VICTIM) + s->size + i);
    }
}

static void overflow_and_accuse(struct scene *s, size_t size)
{
    overflow(s, 0, size);
    accuse_canary(s, VICTIM, object(s, VICTIM) + s->size);
}

/* Up to the first byte of the next object. */
static size_t reach(const struct scene *s)
{
    return s->slot_size - s->size + 1;
}

void byte_behind_an_object_is_written(struct scene *s)
{
    overflow_and_accuse(s, 1);
    verify(s);
}

void eight_bytes_behind_an_object_are_written(struct scene *s)
{
    overflow_and_accuse(s, 8);
    verify(s);
}

void write_runs_on_into_the_next_object(struct scene *s)
{
    overflow_and_accuse(s, reach(s));
    verify(s);
}

void write_is_twice_as_long_as_the_object(struct scene *s)
{
    overflow_and_accuse(s, s->size);
    verify(s);
}

void string_is_a_zero_too_long(struct scene *s)
{
    sacrifice(s, VICTIM + 1);
    spoil_with(s, object(s, VICTIM) + s->size, 0);
    /* What was zero before has not changed, but was not the program's to write either. */
    harm(s, true);
    accuse_canary(s, VICTIM, object(s, VICTIM) + s->size);
    verify(s);
}

void overflow_is_there_when_the_object_is_freed(struct scene *s)
{
    overflow_and_accuse(s, 1);
    spare_others(s);
    give(s, VICTIM);
}

void overflow_is_there_when_the_next_object_is_freed(struct scene *s)
{
    overflow(s, 0, reach(s));
    accuse_canary(s, VICTIM + 1, object(s, VICTIM + 1) - 8);
    spare_others(s);
    give(s, VICTIM + 1);
}

void overflow_is_there_when_the_pool_is_cleared(struct scene *s)
{
    overflow_and_accuse(s, 1);
    spare_others(s);
    clear(s);
}

void overflow_is_there_when_the_pool_is_trimmed(struct scene *s)
{
    overflow_and_accuse(s, 1);
    spare_others(s);
    cork_mempool_trim(&s->mp);
}

/* Canaries are the same everywhere in a pool; who can read one can write it. */
void overflow_forges_the_canaries(struct scene *s)
{
    const char *gap = object(s, VICTIM + 10) + s->size;
    char *behind = object(s, VICTIM) + s->size;

    sacrifice(s, VICTIM + 1);
    for (size_t i = 0; i < reach(s) - 1; i++) {
        spoil_with(s, behind + i, peek(gap + i));
    }
    spoil(s, behind + reach(s) - 1);
    verify(s);
}

void write_skips_to_the_next_object(struct scene *s)
{
    overflow(s, s->slot_size - s->size + s->size / 2, 1);
    verify(s);
}

void byte_behind_an_object_is_written_with_what_is_there(struct scene *s)
{
    char *behind = object(s, VICTIM) + s->size;

    spoil_with(s, behind, peek(behind));
    verify(s);
}

/* The next object is free: its contents have a guardian as well. */
void write_runs_on_into_a_freed_object(struct scene *s)
{
    give(s, VICTIM + 1);
    overflow_and_accuse(s, reach(s));
    if (!scene_has(s, CORK_MEMPOOL_CANARY)) {
        accuse_written(s, VICTIM + 1);
    }
    verify(s);
}

void stale_pointer_runs_on_before_done(struct scene *s)
{
    give_all(s);
    overflow_and_accuse(s, reach(s));
    if (!scene_has(s, CORK_MEMPOOL_CANARY)) {
        accuse_written(s, VICTIM + 1);
    }
    s->spoilt_count = 0;
    cork_mempool_done(&s->mp);
    s->is_dead = true;
}

static void underflow(struct scene *s, size_t size)
{
    sacrifice(s, VICTIM - 1);
    for (size_t i = 1; i <= size; i++) {
        spoil(s, object(s, VICTIM) - i);
    }
}

/* The canary between two objects belongs to both; a check comes to the first of them first. */
void byte_before_an_object_is_written(struct scene *s)
{
    underflow(s, 1);
    accuse_canary(s, VICTIM - 1, object(s, VICTIM) - 8);
    verify(s);
}

void eight_bytes_before_an_object_are_written(struct scene *s)
{
    underflow(s, 8);
    accuse_canary(s, VICTIM - 1, object(s, VICTIM) - 8);
    verify(s);
}

void underflow_is_there_when_the_object_is_freed(struct scene *s)
{
    underflow(s, 1);
    accuse_canary(s, VICTIM, object(s, VICTIM) - 8);
    spare_others(s);
    give(s, VICTIM);
}

void underflow_is_there_when_the_object_before_is_freed(struct scene *s)
{
    underflow(s, 1);
    accuse_canary(s, VICTIM - 1, object(s, VICTIM) - 8);
    spare_others(s);
    give(s, VICTIM - 1);
}

/* Before a region's first object is a canary of its own; or what is left of a guarded block's
 * pages, and then no memory. */
void byte_before_all_slots_is_written(struct scene *s)
{
    const bool has_canary = scene_has(s, CORK_MEMPOOL_CANARY);
    const bool is_guarded = scene_has(s, CORK_MEMPOOL_GUARD);
    const size_t left = is_guarded && !has_canary ? s->mp.geometry.redzone_size : 0;
    char *before = object(s, 0) - left - 1;

    expect_fault(s, before, 1);
    spoil(s, before);
    accuse_canary(s, 0, object(s, 0) - 8);
    verify(s);
}

void byte_behind_an_object_is_read(struct scene *s)
{
    (void)peek(object(s, VICTIM) + s->size);
    harm(s, true);
}

static size_t first_unissued(const struct scene *s)
{
    size_t index = 64;

    for (size_t i = 0; i < MEMBER_COUNT; i++) {
        index += object(s, i) == object(s, 0) + index * s->slot_size;
    }
    return index;
}

void slot_never_issued_is_written(struct scene *s)
{
    spoil(s, object(s, 0) + first_unissued(s) * s->slot_size);
    verify(s);
}

void slot_never_issued_is_read(struct scene *s)
{
    (void)peek(object(s, 0) + first_unissued(s) * s->slot_size);
    harm(s, true);
}

/* An object of the pool stands behind that address, so it lies in the pool's memory. */
static void take_beyond(struct scene *s, const char *address)
{
    struct cork_mempool_stats stats;

    cork_mempool_stats(&s->mp, &stats);
    const size_t region_count = stats.region_count;
    for (size_t i = 0; i < 100000; i++) {
        char *issued = take(&s->mp);

        /* Where address space is scarce, more than one region may be needed: then it may not. */
        cork_mempool_stats(&s->mp, &stats);
        if (is_impossible(s, stats.region_count > region_count)) {
            return;
        }
        memset(issued, 1, s->size);
        if (issued > address) {
            return;
        }
    }
}

/* Wherever a block ends, an address on the first whole page that neither it nor the next block has
 * bytes on; without guards, not by chance that of a canary, but of an object's first byte. */
static char *address_behind_a_block(struct scene *s)
{
    struct cork_mempool_stats stats;

    cork_mempool_stats(&s->mp, &stats);

    char *end = object(s, 0) + stats.block_size;
    char *page = end + (~(uintptr_t)end + 1) % page_size();
    char *address = page + page_size() / 2;
    take_beyond(s, page + page_size());
    expect_fault(s, page, page_size());
    if (!scene_has(s, CORK_MEMPOOL_GUARD)) {
        address -= (size_t)(address - object(s, 0)) % s->slot_size;
    }
    return address;
}

void page_behind_a_block_is_written(struct scene *s)
{
    char *address = address_behind_a_block(s);

    if (!s->evidence->is_impossible) {
        spoil(s, address);
        verify(s);
    }
}

void page_behind_a_block_is_read(struct scene *s)
{
    const char *address = address_behind_a_block(s);

    if (!s->evidence->is_impossible) {
        (void)peek(address);
        harm(s, true);
    }
}

/* From the last object on there is no bystander; then the memory ends, before anything else. */
void write_runs_on_and_on(struct scene *s)
{
    char *start = object(s, MEMBER_COUNT - 1) + s->slot_size;

    expect_fault(s, start, (size_t)1 << 30);
    for (size_t i = 0; i < (size_t)1 << 30; i += page_size()) {
        poke(start + i, 1);
    }
}

void write_runs_back_and_back(struct scene *s)
{
    for (size_t i = 0; i < MEMBER_COUNT; i++) {
        sacrifice(s, i);
    }
    expect_fault(s, object(s, 0) - page_size(), page_size());
    /* The scene itself is spared, where it is in the way. */
    const uintptr_t end = object(s, VICTIM) > (char *)s ? (uintptr_t)s : page_size();
    for (char *address = object(s, VICTIM); (uintptr_t)address > end; address--) {
        poke(address, 1);
    }
}
