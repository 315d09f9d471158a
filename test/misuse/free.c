/* SPDX-License-Identifier: BSD-3-Clause */
#define _DEFAULT_SOURCE 1 /* MAP_ANONYMOUS */

/*
 * Frees of what is no live object.
 */

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fixture.h"
#include "misuse.h"

GUARANTEE("an object is freed twice: at once, later, around other calls", {ALL, "double free"})

MISUSE(object_is_freed_twice)
{
    call_free(&pool, object);
    call_free(&pool, object);
}

MISUSE(object_is_freed_twice_around_another)
{
    call_free(&pool, object);
    call_free(&pool, neighbour(1));
    call_free(&pool, object);
}

MISUSE(object_is_freed_twice_around_all_others)
{
    call_free(&pool, object);
    free_all();
    call_free(&pool, object);
}

MISUSE(last_object_of_a_pool_is_freed_twice)
{
    free_all_but(object, 1);
    call_free(&pool, object);
    call_free(&pool, object);
}

MISUSE(lone_object_is_freed_twice)
{
    init_other_pool(fixture_options());
    char *lone = call_new(&other_pool);
    /* With SHUFFLE, it may be in any slot. */
    expected.slot = (size_t)(lone - other_pool.oldest->base) / slot_size;
    call_free(&other_pool, lone);
    call_free(&other_pool, lone);
}

MISUSE(object_is_freed_twice_after_much_use)
{
    use_pool_much();
    call_free(&pool, object);
    call_free(&pool, object);
}

MISUSE(object_is_freed_twice_after_its_reuse)
{
    call_free(&pool, object);
    require(is_issued_again(object));
    call_free(&pool, object);
    call_free(&pool, object);
}

MISUSE(object_is_freed_after_clear)
{
    clear_pool();
    call_free(&pool, object);
}

MISUSE(object_is_freed_twice_around_trim)
{
    call_free(&pool, object);
    trim_pool();
    call_free(&pool, object);
}

static void free_the_object_at(void *turn, void *visited)
{
    if (visited == turn) {
        call_free(&pool, object);
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
    call_free(&pool, object);
    damage(object, object_size);
    call_free(&pool, object);
}

GUARANTEE("an object is freed twice, and its memory was issued again in between",
          {ALL, NOT_DETECTED})

MISUSE(object_is_freed_twice_around_its_reuse)
{
    call_free(&pool, object);
    const bool is_reissued = is_issued_again(object);
    call_free(&pool, object);
    note_effect(is_reissued && !cork_mempool_owns(&pool, object));
}

GUARANTEE("the same, but so soon that its memory would still be in quarantine",
          {QUARANTINE | PARANOID, "double free"}, {OTHERS, NOT_DETECTED})

/* Where the only free slot is the one just freed, nothing but a quarantine keeps it back. */
MISUSE(object_is_freed_twice_around_a_new_one)
{
    take_all_free_slots();
    call_free(&pool, object);
    char *next = call_new(&pool);
    call_free(&pool, object);
    note_effect(next == object && !cork_mempool_owns(&pool, next));
}

/* As many others as a quarantine has room for beside it. */
MISUSE(object_is_freed_twice_around_many_new_ones)
{
    static void *others[255];

    for (size_t i = 0; i < 255; i++) {
        others[i] = cork_mempool_new(&pool);
    }
    take_all_free_slots();
    call_free(&pool, object);
    for (size_t i = 0; i < 255; i++) {
        cork_mempool_free(&pool, others[i]);
    }
    take_all_free_slots();
    const bool is_reissued = cork_mempool_owns(&pool, object);
    call_free(&pool, object);
    note_effect(is_reissued && !cork_mempool_owns(&pool, object));
}

GUARANTEE("a pointer into an object is freed", {ALL, "free of an interior pointer"})

MISUSE(second_byte_is_freed)
{
    require(slot_size > 1);
    call_free(&pool, object + 1);
}

MISUSE(word_inside_an_object_is_freed)
{
    require(object_size > 8);
    call_free(&pool, object + 8);
}

MISUSE(middle_of_an_object_is_freed)
{
    require(object_size > 1);
    call_free(&pool, object + object_size / 2);
}

MISUSE(last_byte_of_an_object_is_freed)
{
    require(object_size > 1);
    call_free(&pool, object + object_size - 1);
}

MISUSE(byte_before_an_object_is_freed)
{
    require(slot_size > 1);
    call_free(&pool, object - 1);
}

MISUSE(inside_of_a_freed_object_is_freed)
{
    require(object_size > 1);
    call_free(&pool, object);
    call_free(&pool, object + object_size / 2);
}

GUARANTEE(
    "a pointer to the stack, to static data, to the heap, to nothing, or to another pool's object is freed",
    {ALL, "free of a foreign pointer"})

MISUSE(object_of_another_pool_is_freed)
{
    init_other_pool(fixture_options());
    call_free(&pool, call_new(&other_pool));
}

MISUSE(object_of_a_pool_of_another_size_is_freed)
{
    cork_mempool_init_size(&other_pool, 2 * object_size);
    call_free(&pool, call_new(&other_pool));
}

MISUSE(object_of_a_finalized_pool_is_freed)
{
    init_other_pool(fixture_options());
    void *orphan = call_new(&other_pool);
    call_free(&other_pool, orphan);
    cork_mempool_done(&other_pool);
    call_free(&pool, orphan);
}

MISUSE(pointer_to_the_stack_is_freed)
{
    char local[16] = {0};

    call_free(&pool, local);
}

MISUSE(pointer_to_static_data_is_freed)
{
    static char data[16];

    call_free(&pool, data);
}

MISUSE(pointer_to_the_heap_is_freed)
{
    void *other = calloc(1, object_size);

    call_free(&pool, other);
    free(other);
}

MISUSE(mapped_page_is_freed)
{
    call_free(&pool, mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
}

MISUSE(pool_is_freed_to_itself)
{
    call_free(&pool, &pool);
}

MISUSE(address_of_one_is_freed)
{
    call_free(&pool, (void *)(uintptr_t)1);
}

MISUSE(last_address_is_freed)
{
    call_free(&pool, (void *)UINTPTR_MAX);
}

/* What stands in an object that was never initialized, and is taken for a pointer. */
MISUSE(pointer_that_was_never_set_is_freed)
{
    uintptr_t bits;

    memset(&bits, 0xbe, sizeof(bits));
    call_free(&pool, (void *)bits);
}

MISUSE(object_is_freed_after_its_pool_was_initialized_again)
{
    init_pool_again();
    call_free(&pool, object);
}

MISUSE(pointer_is_freed_before_anything_was_issued)
{
    init_other_pool(fixture_options());
    call_free(&other_pool, object);
}

GUARANTEE("a pointer to where an object could be, but has not been, is freed",
          {ALL, "free of a slot never issued"})

MISUSE(slot_about_to_be_issued_is_freed)
{
    call_free(&pool, first_slot_never_issued());
}

MISUSE(slot_far_from_being_issued_is_freed)
{
    call_free(&pool, first_object + 128 * slot_size);
}

/* A slot so far behind those that have memory, in hundredths of the address space behind it that
 * is the pool's as well, unless that is scarce; that of guards and tables apart. */
static char *slot_behind_memory(size_t hundredths)
{
    const struct cork_mempool_stats stats = pool_stats();
    const size_t space_size = stats.reserved_size - stats.memory_size;
    const size_t used_count = stats.live_count + stats.free_count - fixture.heap_count;
    const size_t count = space_size / (slot_size + 32);

    require(space_size >= 64 * slot_size + 8 * (size_t)sysconf(_SC_PAGESIZE));
    return first_object + (used_count + count * hundredths / 100) * slot_size;
}

MISUSE(slot_of_memory_not_yet_in_use_is_freed)
{
    call_free(&pool, slot_behind_memory(1));
}

/* What protections note of a slot has no memory there either. */
MISUSE(slot_far_from_memory_in_use_is_freed)
{
    call_free(&pool, slot_behind_memory(50));
}

/* With GUARD, the first slot behind a block can never be issued. */
MISUSE(slot_behind_a_block_is_freed)
{
    const struct cork_mempool_stats stats = pool_stats();

    require(stats.reserved_size >= 2 * stats.block_size);
    call_free(&pool, first_object + stats.block_size / slot_size * slot_size);
}

GUARANTEE("NULL is freed; a pool is asked whether it owns what it does not", {ALL, ABSORBED})

MISUSE(null_is_freed)
{
    call_free(&pool, NULL);
}

MISUSE(pool_is_asked_whether_it_owns_what_it_does_not)
{
    call_free(&pool, object);
    note_effect(cork_mempool_owns(&pool, object));
    note_effect(slot_size > 1 && cork_mempool_owns(&pool, neighbour(1) + 1));
    note_effect(cork_mempool_owns(&pool, &pool));
    note_effect(cork_mempool_owns(&pool, NULL));
    note_effect(cork_mempool_owns(&pool, (void *)UINTPTR_MAX));
}
