/* SPDX-License-Identifier: BSD-3-Clause */
#define _DEFAULT_SOURCE 1 /* MAP_ANONYMOUS */

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "misuses.h"

static void free_twice(struct scene *s, size_t member)
{
    accuse(s, CORK_MEMPOOL_DOUBLE_FREE, object(s, member));
    drop(&s->mp, object(s, member));
}

void object_is_freed_twice(struct scene *s)
{
    give(s, VICTIM);
    free_twice(s, VICTIM);
}

void object_is_freed_twice_around_another(struct scene *s)
{
    give(s, VICTIM);
    give(s, VICTIM + 1);
    free_twice(s, VICTIM);
}

void object_is_freed_twice_around_all_others(struct scene *s)
{
    give(s, VICTIM);
    give_all(s);
    free_twice(s, VICTIM);
}

void last_object_of_a_pool_is_freed_twice(struct scene *s)
{
    give_all_but(s, VICTIM, 1);
    give(s, VICTIM);
    free_twice(s, VICTIM);
}

void object_is_freed_twice_after_it_was_overwritten(struct scene *s)
{
    give(s, VICTIM);
    for (size_t i = 0; i < s->size; i++) {
        spoil(s, object(s, VICTIM) + i);
    }
    free_twice(s, VICTIM);
}

void object_is_freed_after_clear(struct scene *s)
{
    clear(s);
    free_twice(s, VICTIM);
}

void object_is_freed_twice_around_trim(struct scene *s)
{
    give(s, VICTIM);
    cork_mempool_trim(&s->mp);
    free_twice(s, VICTIM);
}

static void visit_and_give(void *user_data, void *visited)
{
    struct scene *s = user_data;

    if (visited == object(s, VICTIM)) {
        give(s, VICTIM);
    }
}

static void visit_and_drop(void *user_data, void *visited)
{
    struct scene *s = user_data;

    if (visited == object(s, VICTIM + 1)) {
        drop(&s->mp, object(s, VICTIM));
    }
}

void object_is_freed_twice_while_visited(struct scene *s)
{
    cork_mempool_foreach(&s->mp, visit_and_give, s);
    accuse(s, CORK_MEMPOOL_DOUBLE_FREE, object(s, VICTIM));
    cork_mempool_foreach(&s->mp, visit_and_drop, s);
}

void object_is_freed_twice_after_much_use(struct scene *s)
{
    for (size_t i = 0; i < 1000; i++) {
        drop(&s->mp, take(&s->mp));
    }
    give(s, VICTIM);
    free_twice(s, VICTIM);
}

void lone_object_is_freed_twice(struct scene *s)
{
    const struct cork_mempool_options options = scene_options(s);

    (void)!cork_mempool_init_with(&s->other, &options);
    void *lone = take(&s->other);
    /* With SHUFFLE, the slot of a first object is any of its group. */
    void *others[63];
    size_t slot = 0;
    for (size_t i = 0; i < 63; i++) {
        others[i] = take(&s->other);
        slot += (uintptr_t)others[i] < (uintptr_t)lone;
    }
    for (size_t i = 0; i < 63; i++) {
        drop(&s->other, others[i]);
    }
    drop(&s->other, lone);
    accuse_other(s, CORK_MEMPOOL_DOUBLE_FREE, lone, slot, true);
    drop(&s->other, lone);
}

/* Where the only free slot is the one just freed, nothing but a quarantine keeps it back. */
void object_is_freed_twice_around_a_new_one(struct scene *s)
{
    fill_up(s);
    give(s, VICTIM);
    void *next = take(&s->mp);
    free_twice(s, VICTIM);
    harm(s, next == object(s, VICTIM) && !cork_mempool_owns(&s->mp, next));
}

/* As many others as a quarantine has room for beside it. */
void object_is_freed_twice_around_many_new_ones(struct scene *s)
{
    static void *others[255];

    for (size_t i = 0; i < 255; i++) {
        others[i] = take(&s->mp);
    }
    fill_up(s);
    give(s, VICTIM);
    for (size_t i = 0; i < 255; i++) {
        drop(&s->mp, others[i]);
    }
    fill_up(s);
    const bool is_reissued = cork_mempool_owns(&s->mp, object(s, VICTIM));
    free_twice(s, VICTIM);
    harm(s, is_reissued && !cork_mempool_owns(&s->mp, object(s, VICTIM)));
}

void object_is_freed_twice_around_its_reuse(struct scene *s)
{
    give(s, VICTIM);
    const bool is_reissued = reissue(s, object(s, VICTIM));
    drop(&s->mp, object(s, VICTIM));
    harm(s, is_reissued && !cork_mempool_owns(&s->mp, object(s, VICTIM)));
}

static void free_inside(struct scene *s, ptrdiff_t offset)
{
    char *inside = object(s, VICTIM) + offset;

    accuse(s, CORK_MEMPOOL_INTERIOR_POINTER, inside);
    drop(&s->mp, inside);
}

void second_byte_is_freed(struct scene *s)
{
    if (!is_impossible(s, s->slot_size == 1)) {
        free_inside(s, 1);
    }
}

void middle_of_an_object_is_freed(struct scene *s)
{
    if (!is_impossible(s, s->size == 1)) {
        free_inside(s, (ptrdiff_t)s->size / 2);
    }
}

void last_byte_of_an_object_is_freed(struct scene *s)
{
    if (!is_impossible(s, s->size == 1)) {
        free_inside(s, (ptrdiff_t)s->size - 1);
    }
}

void byte_before_an_object_is_freed(struct scene *s)
{
    if (!is_impossible(s, s->slot_size == 1)) {
        free_inside(s, -1);
    }
}

void word_inside_an_object_is_freed(struct scene *s)
{
    if (!is_impossible(s, s->size <= 8)) {
        free_inside(s, 8);
    }
}

void inside_of_a_freed_object_is_freed(struct scene *s)
{
    if (!is_impossible(s, s->size == 1)) {
        give(s, VICTIM);
        free_inside(s, (ptrdiff_t)s->size / 2);
    }
}

static void free_foreign(struct scene *s, void *pointer)
{
    accuse(s, CORK_MEMPOOL_FOREIGN_POINTER, pointer);
    drop(&s->mp, pointer);
}

void object_of_another_pool_is_freed(struct scene *s)
{
    const struct cork_mempool_options options = scene_options(s);

    (void)!cork_mempool_init_with(&s->other, &options);
    free_foreign(s, take(&s->other));
}

void object_of_a_pool_of_another_size_is_freed(struct scene *s)
{
    cork_mempool_init_size(&s->other, 2 * s->size);
    free_foreign(s, take(&s->other));
}

void object_of_a_finalized_pool_is_freed(struct scene *s)
{
    const struct cork_mempool_options options = scene_options(s);

    (void)!cork_mempool_init_with(&s->other, &options);
    void *orphan = take(&s->other);
    drop(&s->other, orphan);
    cork_mempool_done(&s->other);
    free_foreign(s, orphan);
}

void pointer_to_the_stack_is_freed(struct scene *s)
{
    char local[16] = {0};

    free_foreign(s, local);
}

void pointer_to_static_data_is_freed(struct scene *s)
{
    static char data[16];

    free_foreign(s, data);
}

void pointer_to_the_heap_is_freed(struct scene *s)
{
    void *other = calloc(1, s->size);

    free_foreign(s, other);
    free(other);
}

void mapped_page_is_freed(struct scene *s)
{
    free_foreign(s, mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
}

void pool_is_freed_to_itself(struct scene *s)
{
    free_foreign(s, &s->mp);
}

void address_of_one_is_freed(struct scene *s)
{
    free_foreign(s, (void *)(uintptr_t)1);
}

void last_address_is_freed(struct scene *s)
{
    free_foreign(s, (void *)UINTPTR_MAX);
}

/* What stands in an object that was never initialized, and is taken for a pointer. */
void pointer_that_was_never_set_is_freed(struct scene *s)
{
    uintptr_t bits;

    memset(&bits, 0xbe, sizeof(bits));
    free_foreign(s, (void *)bits);
}

static void free_new_slot(struct scene *s, size_t index)
{
    char *slot = object(s, 0) + index * s->slot_size;

    accuse(s, CORK_MEMPOOL_NEVER_ISSUED, slot);
    drop(&s->mp, slot);
}

/* Of the second group, whose slots are there to be issued, but not all have been. */
void slot_about_to_be_issued_is_freed(struct scene *s)
{
    size_t index = 64;

    for (size_t i = 0; i < MEMBER_COUNT; i++) {
        if (object(s, i) == object(s, 0) + index * s->slot_size) {
            index++;
        }
    }
    free_new_slot(s, index);
}

void slot_far_from_being_issued_is_freed(struct scene *s)
{
    free_new_slot(s, 128);
}

void slot_of_memory_not_yet_in_use_is_freed(struct scene *s)
{
    struct cork_mempool_stats stats;

    cork_mempool_stats(&s->mp, &stats);
    /* Some address space behind the memory is the pool's as well, unless that is scarce; that of
     * guards and tables apart. */
    const size_t space = stats.reserved_size - stats.memory_size;
    if (!is_impossible(s, space < 64 * s->slot_size + 8 * (size_t)sysconf(_SC_PAGESIZE))) {
        free_new_slot(s, MEMBER_COUNT + stats.free_count + 10);
    }
}

/* With GUARD, the first slot behind a block can never be issued. */
void slot_behind_a_block_is_freed(struct scene *s)
{
    struct cork_mempool_stats stats;

    cork_mempool_stats(&s->mp, &stats);
    if (!is_impossible(s, stats.reserved_size < 2 * stats.block_size)) {
        free_new_slot(s, stats.block_size / stats.slot_size);
    }
}

void null_is_freed(struct scene *s)
{
    drop(&s->mp, NULL);
}

void pool_is_asked_whether_it_owns_what_it_does_not(struct scene *s)
{
    give(s, VICTIM);
    harm(s, cork_mempool_owns(&s->mp, object(s, VICTIM)));
    harm(s, s->slot_size > 1 && cork_mempool_owns(&s->mp, object(s, VICTIM + 1) + 1));
    harm(s, cork_mempool_owns(&s->mp, s));
    harm(s, cork_mempool_owns(&s->mp, NULL));
    harm(s, cork_mempool_owns(&s->mp, (void *)UINTPTR_MAX));
}
