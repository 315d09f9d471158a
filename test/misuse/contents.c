/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * Uses of objects that are freed, or not written yet.
 */

#include <string.h>

#include "misuse.h"

GUARANTEE("a freed object is written, and found so by check, new, clear, trim or done",
          {SEAL | WIPE | PARANOID, "write after free"}, {OTHERS, NOT_DETECTED},
          {ASAN, "use-after-poison"}, {VALGRIND, "Invalid write"})

/* Frees the object, writes some of its bytes, and makes the call that is to find so. */
static void write_freed(size_t first, size_t count, void (*find)(void))
{
    free_object();
    damage(object + first, count);
    find();
}

static void issue_again(void)
{
    (void)is_issued_again(object);
}

MISUSE_IS(first_byte_of_a_freed_object_is_written, write_freed(0, 1, check_pool))
MISUSE_IS(middle_of_a_freed_object_is_written, write_freed(object_size / 2, 1, check_pool))
MISUSE_IS(last_byte_of_a_freed_object_is_written, write_freed(object_size - 1, 1, check_pool))
MISUSE_IS(whole_of_a_freed_object_is_written, write_freed(0, object_size, check_pool))
MISUSE_IS(freed_object_is_written_before_reuse, write_freed(object_size / 2, 1, issue_again))
MISUSE_IS(freed_object_is_written_before_clear, write_freed(object_size / 2, 1, clear_pool))
MISUSE_IS(freed_object_is_written_before_trim, write_freed(object_size / 2, 1, trim_pool))

/* As by a loop over an array of stale pointers. */
MISUSE(all_freed_objects_are_written)
{
    for (ptrdiff_t i = 20; i < 40; i++) {
        call_free(&pool, neighbour(i));
    }
    for (ptrdiff_t i = 20; i < 40; i++) {
        damage(neighbour(i), object_size);
    }
    expected.written = neighbour(20);
    check_pool();
}

MISUSE(freed_object_is_written_long_after)
{
    free_object();
    use_pool_much();
    damage(object, 1);
    check_pool();
}

MISUSE(freed_object_is_written_before_done)
{
    free_object(); /* first, so that Valgrind names it, and no neighbour */
    free_all();
    damage(object + object_size / 2, 1);
    finalize_pool();
}

GUARANTEE("a zero is written to a freed object, where WIPE has left nothing else",
          {SEAL, "write after free"}, {WIPE | PARANOID, ABSORBED}, {OTHERS, NOT_DETECTED},
          {ASAN, "use-after-poison"}, {VALGRIND, "Invalid write"})

MISUSE(zero_is_written_to_a_freed_object)
{
    free_object();
    damage_with(object + object_size / 2, 0);
    check_pool();
}

GUARANTEE("a freed object is written with what is there", {ALL, ABSORBED},
          {ASAN, "use-after-poison"}, {VALGRIND, "Invalid write"})

MISUSE(freed_object_is_written_with_what_is_there)
{
    free_object();
    char *byte = object + object_size / 2;
    damage_with(byte, read_byte(byte));
    check_pool();
}

GUARANTEE("a freed object is made a link, to have a target issued in its stead",
          {SEAL | WIPE | PARANOID, "write after free"}, {OTHERS, ABSORBED},
          {ASAN, "use-after-poison"}, {VALGRIND, "Invalid write"})

/* As an allocator would be attacked that keeps its free list in the objects. */
MISUSE(freed_object_is_made_a_link_to_a_target)
{
    char *target = neighbour(10);

    require(object_size >= sizeof(target));
    free_object();
    for (size_t i = 0; i < sizeof(target); i++) {
        damage_with(object + i, ((const char *)&target)[i]);
    }
    outcome->verdict = is_issued_again(object) ? ABSORBED : NOT_DETECTED;
    check_pool();
}

GUARANTEE("a freed object is written after its memory was issued again", {ALL, NOT_DETECTED})

MISUSE(freed_object_is_written_after_reuse)
{
    free_object();
    require(is_issued_again(object));
    memset(object, 7, object_size);
    damage(object, 1);
    check_pool();
}

GUARANTEE("the same, but so soon that its memory is still in quarantine", {QUARANTINE, ABSORBED},
          {PARANOID, "write after free"}, {OTHERS, NOT_DETECTED})

MISUSE(freed_object_is_written_after_a_new_one)
{
    take_all_free_slots();
    free_object();
    char *next = call_new(&pool);
    memset(next, 7, object_size);
    damage_with(object, 8);
    outcome->verdict = next[0] == 7 ? ABSORBED : NOT_DETECTED;
    check_pool();
}

GUARANTEE("a freed object is read", {WIPE | PARANOID, ABSORBED}, {OTHERS, NOT_DETECTED},
          {ASAN, "use-after-poison"}, {VALGRIND, "Invalid read"})

static void read_freed(size_t index)
{
    const char before = object[index];

    free_object();
    note_effect(read_byte(object + index) == before);
}

MISUSE_IS(first_byte_of_a_freed_object_is_read, read_freed(0))
MISUSE_IS(last_byte_of_a_freed_object_is_read, read_freed(object_size - 1))

GUARANTEE("a freed object is read after its memory was issued again", {ALL, NOT_DETECTED})

MISUSE(freed_object_is_read_after_reuse)
{
    free_object();
    (void)is_issued_again(object);
    memset(object, 7, object_size);
    note_effect(read_byte(object) == 7);
}

GUARANTEE("a new object is read for what its memory's last owner left there",
          {WIPE | PARANOID, ABSORBED}, {OTHERS, NOT_DETECTED})

MISUSE(new_object_is_read_for_what_the_last_owner_left)
{
    const char before = object[0];

    free_object();
    (void)is_issued_again(object);
    note_effect(read_byte(object) == before);
}

GUARANTEE("it is foreseen where the next objects will lie", {SHUFFLE | PARANOID, ABSORBED},
          {OTHERS, NOT_DETECTED})

/* As by an attacker, who prepares memory for them. */
MISUSE(next_objects_are_foreseen)
{
    const char *first = call_new(&pool);
    size_t foreseen_count = 0;

    for (size_t i = 1; i <= 8; i++) {
        foreseen_count += call_new(&pool) == first + i * slot_size;
    }
    note_effect(foreseen_count == 8);
}

GUARANTEE("a new object is read before it was written", {ALL, NOT_DETECTED},
          {MSAN, "use-of-uninitialized-value"},
          {VALGRIND, "Conditional jump or move depends on uninitialised value(s)"})

/* The program's further way depends on what nobody has written. */
MISUSE(new_object_is_read_before_it_was_written)
{
    if (read_byte(call_new(&pool)) != 0) {
        check_pool();
    }
    note_effect(true);
}

GUARANTEE("an object of a reserved region is read after its pool was finalized", {ALL, FAULT},
          {VALGRIND, "Invalid read"})

MISUSE(object_is_read_after_done)
{
    free_all();
    finalize_pool();
    expect_fault(object, object_size);
    read_byte(object);
}

GUARANTEE("an object of a reserved region is written after done or trim has given the region back",
          {ALL, FAULT}, {VALGRIND, "Invalid write"})

static void write_after(void (*give_back)(void))
{
    free_all();
    give_back();
    expect_fault(object, object_size);
    write_byte(object, 1);
}

MISUSE_IS(object_is_written_after_done, write_after(finalize_pool))
MISUSE_IS(object_is_written_after_its_memory_was_given_back, write_after(trim_pool))
