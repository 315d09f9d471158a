/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdint.h>
#include <string.h>

#include "misuses.h"

/* What finds a write: a call that verifies the memory which was written to. */
static void find_by_check(struct scene *s)
{
    verify(s);
}

static void find_by_done(struct scene *s)
{
    cork_mempool_done(&s->mp);
    s->is_dead = true;
}

static void find_by_clear(struct scene *s)
{
    clear(s);
}

static void find_by_trim(struct scene *s)
{
    cork_mempool_trim(&s->mp);
}

static void find_by_reuse(struct scene *s)
{
    (void)reissue(s, object(s, VICTIM));
}

static void write_freed(struct scene *s, size_t offset, size_t size, void (*find)(struct scene *))
{
    give(s, VICTIM);
    for (size_t i = 0; i < size; i++) {
        spoil(s, object(s, VICTIM) + offset + i);
    }
    accuse_written(s, VICTIM);
    find(s);
}

void first_byte_of_a_freed_object_is_written(struct scene *s)
{
    write_freed(s, 0, 1, find_by_check);
}

void middle_of_a_freed_object_is_written(struct scene *s)
{
    write_freed(s, s->size / 2, 1, find_by_check);
}

void last_byte_of_a_freed_object_is_written(struct scene *s)
{
    write_freed(s, s->size - 1, 1, find_by_check);
}

void whole_of_a_freed_object_is_written(struct scene *s)
{
    write_freed(s, 0, s->size, find_by_check);
}

void freed_object_is_written_before_reuse(struct scene *s)
{
    write_freed(s, s->size / 2, 1, find_by_reuse);
}

void freed_object_is_written_before_clear(struct scene *s)
{
    write_freed(s, s->size / 2, 1, find_by_clear);
}

void freed_object_is_written_before_trim(struct scene *s)
{
    write_freed(s, s->size / 2, 1, find_by_trim);
}

void freed_object_is_written_before_done(struct scene *s)
{
    give(s, VICTIM);
    give_all(s);
    spoil(s, object(s, VICTIM) + s->size / 2);
    accuse_written(s, VICTIM);
    /* Afterwards there is no byte left to be set right. */
    s->spoilt_count = 0;
    find_by_done(s);
}

void freed_object_is_written_long_after(struct scene *s)
{
    give(s, VICTIM);
    for (size_t i = 0; i < 1000; i++) {
        drop(&s->mp, take(&s->mp));
    }
    spoil(s, object(s, VICTIM));
    accuse_written(s, VICTIM);
    verify(s);
}

/* Everything that is free is overwritten, as by a loop over an array of stale pointers. */
void all_freed_objects_are_written(struct scene *s)
{
    for (size_t i = 40; i < 60; i++) {
        give(s, i);
    }
    for (size_t i = 40; i < 60; i++) {
        for (size_t j = 0; j < s->size; j++) {
            poke(object(s, i) + j, 1);
        }
    }
    harm(s, true);
    accuse_written(s, 40);
    verify(s);
}

void zero_is_written_to_a_freed_object(struct scene *s)
{
    give(s, VICTIM);
    spoil_with(s, object(s, VICTIM) + s->size / 2, 0);
    accuse_written(s, VICTIM);
    verify(s);
}

void freed_object_is_written_with_what_is_there(struct scene *s)
{
    give(s, VICTIM);
    char *byte = object(s, VICTIM) + s->size / 2;
    spoil_with(s, byte, peek(byte));
    verify(s);
}

/* As an allocator would be attacked that keeps its free list in the objects. */
void freed_object_is_made_a_link_to_a_target(struct scene *s)
{
    char *target = object(s, VICTIM + 10);

    if (is_impossible(s, s->size < sizeof(target))) {
        return;
    }
    give(s, VICTIM);
    for (size_t i = 0; i < sizeof(target); i++) {
        poke(object(s, VICTIM) + i, ((const char *)&target)[i]);
    }
    accuse_written(s, VICTIM);
    harm(s, !reissue(s, object(s, VICTIM)));
    verify(s);
}

/* A stale pointer to an object of which the slot is another's by now, or would be. */
void stale_pointer_is_written_after_a_new_object(struct scene *s)
{
    fill_up(s);
    give(s, VICTIM);
    char *next = take(&s->mp);
    memset(next, 7, s->size);
    spoil(s, object(s, VICTIM));
    s->evidence->is_harmed = next[0] != 7;
    accuse_written(s, VICTIM);
    verify(s);
}

void stale_pointer_is_written_after_reuse(struct scene *s)
{
    give(s, VICTIM);
    harm(s, !reissue(s, object(s, VICTIM)));
    memset(object(s, VICTIM), 7, s->size);
    s->evidence->is_harmed = false;
    spoil(s, object(s, VICTIM));
    verify(s);
}

/* Reads; each takes effect where the bytes tell what the object held. */
static void read_freed(struct scene *s, size_t offset)
{
    const char before = *(object(s, VICTIM) + offset);

    give(s, VICTIM);
    harm(s, peek(object(s, VICTIM) + offset) == before);
}

void first_byte_of_a_freed_object_is_read(struct scene *s)
{
    read_freed(s, 0);
}

void last_byte_of_a_freed_object_is_read(struct scene *s)
{
    read_freed(s, s->size - 1);
}

void new_object_is_read_for_what_the_last_owner_left(struct scene *s)
{
    const char before = peek(object(s, VICTIM));

    give(s, VICTIM);
    reissue(s, object(s, VICTIM));
    harm(s, peek(object(s, VICTIM)) == before);
}

void stale_pointer_is_read_after_reuse(struct scene *s)
{
    give(s, VICTIM);
    reissue(s, object(s, VICTIM));
    memset(object(s, VICTIM), 7, s->size);
    harm(s, peek(object(s, VICTIM)) == 7);
}

/* Where the next objects will lie is what an attacker prepares memory for. */
void next_objects_are_foreseen(struct scene *s)
{
    const char *last = take(&s->mp);
    bool is_foreseen = true;

    for (size_t i = 0; i < 8; i++) {
        const char *next = take(&s->mp);

        is_foreseen = is_foreseen && next == last + s->slot_size;
        last = next;
    }
    harm(s, is_foreseen);
}

/* The program's further way depends on what nobody has written. */
void new_object_is_read_before_it_was_written(struct scene *s)
{
    const char *first = take(&s->mp);
    volatile int count = 0;

    if (peek(first) != 0) {
        count++;
    }
    harm(s, true);
}

static char *victim_without_memory(struct scene *s)
{
    char *victim = object(s, VICTIM);

    give_all(s);
    expect_fault(s, victim, s->size);
    return victim;
}

void object_is_read_after_done(struct scene *s)
{
    const char *victim = victim_without_memory(s);

    cork_mempool_done(&s->mp);
    s->is_dead = true;
    peek(victim);
}

void object_is_written_after_done(struct scene *s)
{
    char *victim = victim_without_memory(s);

    cork_mempool_done(&s->mp);
    s->is_dead = true;
    poke(victim, 1);
}

void object_is_written_after_its_memory_was_given_back(struct scene *s)
{
    char *victim = victim_without_memory(s);

    cork_mempool_trim(&s->mp);
    poke(victim, 1);
}
