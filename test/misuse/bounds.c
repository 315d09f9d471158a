/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * Writes and reads beyond the bounds of objects.
 */

#include <string.h>

#include "misuse.h"

#define CANARY_SIZE 8

/* Up to the first byte of the next object. */
static size_t distance_to_next(void)
{
    return slot_size - object_size + 1;
}

/* Writes bytes, and makes the call that is to find so. Without canaries, only a check may meet the
 * damage: another call would find it as something else, or malloc would. */
static void write_outside(char *address, size_t size, void (*find)(void))
{
    damage(address, size);
    if (find != check_pool && !has(CORK_MEMPOOL_CANARY)) {
        mend_damage();
    }
    find();
}

static void write_behind(size_t size, void (*find)(void))
{
    write_outside(object + object_size, size, find);
}

GUARANTEE("bytes behind an object are written, and found so by free, check, clear or trim",
          {CANARY | PARANOID, "canary damaged"}, {OTHERS, NOT_DETECTED}, {ASAN, "use-after-poison"},
          {VALGRIND, "Invalid write"})

MISUSE_IS(byte_behind_an_object_is_written, write_behind(1, check_pool))
MISUSE_IS(eight_bytes_behind_an_object_are_written, write_behind(8, check_pool))
MISUSE_IS(write_runs_on_into_the_next_object, write_behind(distance_to_next(), check_pool))
MISUSE_IS(write_is_twice_as_long_as_the_object, write_behind(object_size, check_pool))
MISUSE_IS(overflow_is_there_when_the_object_is_freed, write_behind(1, free_object))
MISUSE_IS(overflow_is_there_when_the_pool_is_cleared, write_behind(1, clear_pool))
MISUSE_IS(overflow_is_there_when_the_pool_is_trimmed, write_behind(1, trim_pool))

MISUSE(string_is_a_zero_too_long)
{
    damage_with(object + object_size, 0);
    /* What was zero before has not changed, but was not the program's to write either. */
    note_effect(true);
    check_pool();
}

MISUSE(overflow_is_there_when_the_next_object_is_freed)
{
    expected.canary_owner = neighbour(1);
    expected.canary = neighbour(1) - CANARY_SIZE;
    write_behind(distance_to_next(), free_next);
}

GUARANTEE("bytes before an object are written", {CANARY | PARANOID, "canary damaged"},
          {OTHERS, NOT_DETECTED}, {ASAN, "use-after-poison"}, {VALGRIND, "Invalid write"})

/* The canary between two objects belongs to both; a check comes to the first of them first. */
static void write_before(size_t size, void (*find)(void), const char *owner)
{
    expected.canary_owner = owner;
    expected.canary = object - CANARY_SIZE;
    write_outside(object - size, size, find);
}

static void free_previous(void)
{
    call_free(&pool, neighbour(-1));
}

MISUSE_IS(byte_before_an_object_is_written, write_before(1, check_pool, neighbour(-1)))
MISUSE_IS(eight_bytes_before_an_object_are_written, write_before(8, check_pool, neighbour(-1)))
MISUSE_IS(underflow_is_there_when_the_object_is_freed, write_before(1, free_object, object))
MISUSE_IS(underflow_is_there_when_the_object_before_is_freed,
          write_before(1, free_previous, neighbour(-1)))

GUARANTEE("memory before the slots of a reserved region is written",
          {CANARY | PARANOID, "canary damaged"}, {OTHERS, FAULT}, {ASAN, "use-after-poison"},
          {VALGRIND, "Invalid write"})

/* Before a region's first object is a canary of its own; or what is left of a guarded block's
 * pages, and then no memory. */
MISUSE(byte_before_all_slots_is_written)
{
    const bool is_left = has(CORK_MEMPOOL_GUARD) && !has(CORK_MEMPOOL_CANARY);
    char *before = first_object - (is_left ? pool.geometry.redzone_size : 0) - 1;

    expect_fault(before, 1);
    damage(before, 1);
    expected.canary_owner = first_object;
    expected.canary = first_object - CANARY_SIZE;
    check_pool();
}

GUARANTEE("bytes from an object on into one that is free are written",
          {CANARY | PARANOID, "canary damaged"}, {SEAL | WIPE, "write after free"},
          {OTHERS, NOT_DETECTED}, {ASAN, "use-after-poison"}, {VALGRIND, "Invalid write"})

static void write_on_into_freed(void (*free_some)(void), void (*find)(void))
{
    free_some();
    damage(object + object_size, distance_to_next());
    expected.written = neighbour(1);
    find();
}

MISUSE_IS(write_runs_on_into_a_freed_object, write_on_into_freed(free_next, check_pool))
MISUSE_IS(write_runs_on_into_a_freed_object_before_done,
          write_on_into_freed(free_all, finalize_pool))

GUARANTEE("bytes behind an object are written with the canaries that are there, read elsewhere",
          {ALL, NOT_DETECTED}, {ASAN, "use-after-poison"}, {VALGRIND, "Invalid read"})

/* Canaries are the same everywhere in a pool; who can read one can write it. */
MISUSE(overflow_forges_the_canaries)
{
    const size_t size = distance_to_next() - 1;

    for (size_t i = object_size; i < object_size + size; i++) {
        damage_with(object + i, read_byte(neighbour(10) + i));
    }
    damage(neighbour(1), 1);
    check_pool();
}

GUARANTEE("a byte behind an object is written with what is there", {ALL, ABSORBED},
          {ASAN, "use-after-poison"}, {VALGRIND, "Invalid write"})

MISUSE(byte_behind_an_object_is_written_with_what_is_there)
{
    char *behind = object + object_size;

    damage_with(behind, read_byte(behind));
    check_pool();
}

GUARANTEE("a write skips the bytes behind an object and hits another", {ALL, NOT_DETECTED})

MISUSE_IS(write_skips_to_the_next_object,
          write_outside(neighbour(1) + object_size / 2, 1, check_pool))

static void read_outside(const char *address)
{
    (void)read_byte(address);
    note_effect(true);
}

GUARANTEE("bytes behind an object are read", {ALL, NOT_DETECTED}, {ASAN, "use-after-poison"},
          {VALGRIND, "Invalid read"})

MISUSE_IS(byte_behind_an_object_is_read, read_outside(object + object_size))

GUARANTEE("a slot never issued is read", {ALL, NOT_DETECTED}, {ASAN, "use-after-poison"},
          {VALGRIND, "Invalid read"})

MISUSE_IS(slot_never_issued_is_read, read_outside(first_slot_never_issued()))

GUARANTEE("a slot never issued is written", {ALL, NOT_DETECTED}, {ASAN, "use-after-poison"},
          {VALGRIND, "Invalid write"})

MISUSE_IS(slot_never_issued_is_written, write_outside(first_slot_never_issued(), 1, check_pool))

GUARANTEE("the page behind a block is read or written", {GUARD | PARANOID, FAULT},
          {OTHERS, NOT_DETECTED})

/* Takes objects until one stands behind an address, which is in the pool's memory then. Where
 * address space is scarce, that may take another region. */
static void take_objects_up_to(const char *address)
{
    const size_t region_count = stats_of(&pool).region_count;
    char *issued = object;

    for (size_t i = 0; i < 100000 && issued <= address; i++) {
        issued = cork_mempool_new(&pool);
        memset(issued, 1, object_size);
    }
    require(stats_of(&pool).region_count == region_count);
}

/* Wherever a block ends, an address on the first whole page that neither it nor the next block has
 * bytes on; without guards, not by chance that of a canary, but of an object's first byte. */
static char *address_behind_a_block(void)
{
    char *end = first_object + stats_of(&pool).block_size;
    char *page = end + (~(uintptr_t)end + 1) % page_size();
    char *address = page + page_size() / 2;

    take_objects_up_to(page + page_size());
    expect_fault(page, page_size());
    if (!has(CORK_MEMPOOL_GUARD)) {
        address -= (size_t)(address - first_object) % slot_size;
    }
    return address;
}

MISUSE_IS(page_behind_a_block_is_read, read_outside(address_behind_a_block()))
MISUSE_IS(page_behind_a_block_is_written, write_outside(address_behind_a_block(), 1, check_pool))

GUARANTEE(
    "a write runs on in a reserved region: the memory ends before anything but objects is hit",
    {ALL, FAULT}, {ASAN, "use-after-poison"}, {VALGRIND, "Invalid write"})

/* Behind all objects; then the memory ends, before anything else. */
MISUSE(write_runs_on_and_on)
{
    char *start = first_object + 128 * slot_size;

    expect_fault(start, (size_t)1 << 30);
    for (size_t i = 0; i < (size_t)1 << 30; i += page_size()) {
        write_byte(start + i, 1);
    }
}

MISUSE(write_runs_back_and_back)
{
    fixture.slot_count = 0;
    expect_fault(first_object - page_size(), page_size());
    /* What the test knows is spared, where it is in the way. */
    const uintptr_t end = object > (char *)&fixture ? (uintptr_t)(&fixture + 1) : page_size();
    for (char *byte = object; (uintptr_t)byte > end; byte--) {
        write_byte(byte, 1);
    }
}
