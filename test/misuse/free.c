/* SPDX-License-Identifier: BSD-3-Clause */
#define _DEFAULT_SOURCE 1 /* MAP_ANONYMOUS */

/*
 * Frees of what is no live object.
 */

#include <stdlib.h>
#include <sys/mman.h>

#include "misuse.h"

GUARANTEE("an object is freed twice: at once, later, around other calls", {ALL, "double free"})

MISUSE(object_is_freed_twice)
{
    free_object();
    free_object();
}

static void free_twice_around(void (*others)(void))
{
    free_object();
    others();
    free_object();
}

MISUSE_IS(object_is_freed_twice_around_another, free_twice_around(free_next))
MISUSE_IS(object_is_freed_twice_around_all_others, free_twice_around(free_all))
MISUSE_IS(object_is_freed_twice_around_trim, free_twice_around(trim_pool))

MISUSE(last_object_of_a_pool_is_freed_twice)
{
    free_all_but(object, 1);
    free_object();
    free_object();
}

MISUSE(lone_object_is_freed_twice)
{
    init_other_pool(fixture_options());
    void *lone = call_new(&other_pool);
    call_free(&other_pool, lone);
    call_free(&other_pool, lone);
}

MISUSE(object_is_freed_twice_after_much_use)
{
    use_pool_much();
    free_object();
    free_object();
}

MISUSE(object_is_freed_twice_after_its_reuse)
{
    free_object();
    require(is_issued_again(object));
    free_object();
    free_object();
}

MISUSE(object_is_freed_after_clear)
{
    clear_pool();
    free_object();
}

static void free_the_object_at(void *turn, void *visited)
{
    if (visited == turn) {
        free_object();
    }
}

MISUSE(object_is_freed_twice_while_visited)
{
    visit_pool(free_the_object_at, object);
    visit_pool(free_the_object_at, neighbour(1));
}

GUARANTEE("the same, and its memory was overwritten in between", {ALL, "double free"},
          {ASAN, "use-after-poison"}, {VALGRIND, "Invalid write"})

MISUSE(object_is_freed_twice_after_it_was_overwritten)
{
    free_object();
    damage(object, object_size);
    free_object();
}

GUARANTEE("an object is freed twice, and its memory was issued again in between",
          {ALL, NOT_DETECTED})

/* Frees the object a second time; the effect, where it was issued again, is that its new owner's
 * is no longer live. */
static void free_again(bool is_reissued)
{
    free_object();
    note_effect(is_reissued && !cork_mempool_owns(&pool, object));
}

MISUSE(object_is_freed_twice_around_its_reuse)
{
    free_object();
    free_again(is_issued_again(object));
}

GUARANTEE("the same, but so soon that its memory would still be in quarantine",
          {QUARANTINE | PARANOID, "double free"}, {OTHERS, NOT_DETECTED})

/* Where the only free slot is the one just freed, nothing but a quarantine keeps it back. */
MISUSE(object_is_freed_twice_around_a_new_one)
{
    take_all_free_slots();
    free_object();
    free_again(call_new(&pool) == object);
}

/* As many others as a quarantine has room for beside it. */
MISUSE(object_is_freed_twice_around_many_new_ones)
{
    static void *others[255];

    for (size_t i = 0; i < 255; i++) {
        others[i] = cork_mempool_new(&pool);
    }
    take_all_free_slots();
    free_object();
    for (size_t i = 0; i < 255; i++) {
        cork_mempool_free(&pool, others[i]);
    }
    take_all_free_slots();
    free_again(cork_mempool_owns(&pool, object));
}

GUARANTEE("a pointer into an object is freed", {ALL, "free of an interior pointer"})

/* Frees what is so far from the object's start, unless an object is so small that another starts
 * there. */
static void free_at(size_t distance)
{
    require(distance % slot_size != 0);
    call_free(&pool, object + distance);
}

MISUSE_IS(second_byte_is_freed, free_at(1))
MISUSE_IS(word_inside_an_object_is_freed, free_at(8))
MISUSE_IS(middle_of_an_object_is_freed, free_at(object_size / 2))
MISUSE_IS(last_byte_of_an_object_is_freed, free_at(object_size - 1))
MISUSE_IS(byte_before_an_object_is_freed, free_at(slot_size - 1))

MISUSE(inside_of_a_freed_object_is_freed)
{
    free_object();
    free_at(object_size / 2);
}

GUARANTEE(
    "a pointer to the stack, to static data, to the heap, to nothing, or to another pool's object is freed",
    {ALL, "free of a foreign pointer"})

static void free_of_other_pool(size_t size)
{
    struct cork_mempool_options options = fixture_options();

    options.element_size = size;
    init_other_pool(options);
    call_free(&pool, call_new(&other_pool));
}

MISUSE_IS(object_of_another_pool_is_freed, free_of_other_pool(object_size))
MISUSE_IS(object_of_a_pool_of_another_size_is_freed, free_of_other_pool(2 * object_size))

MISUSE(object_of_a_finalized_pool_is_freed)
{
    init_other_pool(fixture_options());
    void *orphan = call_new(&other_pool);
    call_free(&other_pool, orphan);
    cork_mempool_done(&other_pool);
    call_free(&pool, orphan);
}

MISUSE_IS(pointer_to_the_heap_is_freed, call_free(&pool, calloc(1, object_size)))
MISUSE_IS(pointer_to_the_stack_is_freed, call_free(&pool, (char[16]){0}))
MISUSE_IS(pointer_to_static_data_is_freed, call_free(&pool, &object_size))
MISUSE_IS(pool_is_freed_to_itself, call_free(&pool, &pool))
MISUSE_IS(mapped_page_is_freed,
          call_free(&pool, mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)))
MISUSE_IS(address_of_one_is_freed, call_free(&pool, (void *)(uintptr_t)1))
MISUSE_IS(last_address_is_freed, call_free(&pool, (void *)UINTPTR_MAX))

/* Bytes 0xbe, as an object may have that was never initialized. */
MISUSE_IS(pointer_that_was_never_set_is_freed,
          call_free(&pool, (void *)(UINTPTR_MAX / 0xff * 0xbe)))

MISUSE(object_is_freed_after_its_pool_was_initialized_again)
{
    init_pool_again();
    free_object();
}

MISUSE(pointer_is_freed_before_anything_was_issued)
{
    init_other_pool(fixture_options());
    call_free(&other_pool, object);
}

GUARANTEE("a pointer to where an object could be, but has not been, is freed",
          {ALL, "free of a slot never issued"})

/* A slot so far behind those that have memory, in hundredths of the address space behind it that
 * is the pool's as well, unless that is scarce; that of guards and tables apart. */
static char *slot_behind_memory(size_t hundredths)
{
    const struct cork_mempool_stats stats = stats_of(&pool);
    const size_t space_size = stats.reserved_size - stats.memory_size;
    const size_t used_count = stats.live_count + stats.free_count - fixture.heap_count;
    const size_t count = space_size / (slot_size + 32);

    require(space_size >= 64 * slot_size + 8 * page_size());
    return first_object + (used_count + count * hundredths / 100) * slot_size;
}

MISUSE_IS(slot_about_to_be_issued_is_freed, call_free(&pool, first_slot_never_issued()))
MISUSE_IS(slot_far_from_being_issued_is_freed, call_free(&pool, first_object + 128 * slot_size))
MISUSE_IS(slot_of_memory_not_yet_in_use_is_freed, call_free(&pool, slot_behind_memory(1)))

/* What protections note of a slot has no memory there either. */
MISUSE_IS(slot_far_from_memory_in_use_is_freed, call_free(&pool, slot_behind_memory(50)))

/* With GUARD, the first slot behind a block can never be issued. */
MISUSE(slot_behind_a_block_is_freed)
{
    const struct cork_mempool_stats stats = stats_of(&pool);

    require(stats.reserved_size >= 2 * stats.block_size);
    call_free(&pool, first_object + stats.block_size / slot_size * slot_size);
}

GUARANTEE("NULL is freed; a pool is asked whether it owns what it does not", {ALL, ABSORBED})

MISUSE_IS(null_is_freed, call_free(&pool, NULL))

MISUSE(pool_is_asked_whether_it_owns_what_it_does_not)
{
    free_object();
    note_effect(cork_mempool_owns(&pool, object));
    note_effect(slot_size > 1 && cork_mempool_owns(&pool, neighbour(1) + 1));
    note_effect(cork_mempool_owns(&pool, &pool));
    note_effect(cork_mempool_owns(&pool, NULL));
    note_effect(cork_mempool_owns(&pool, (void *)UINTPTR_MAX));
}
