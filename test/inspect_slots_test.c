/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * cork_mempool_check on pools with damage to what says which slots are free: groups, free lists,
 * the stack, the active group and what is lent.
 */

#include <stdint.h>
#include <string.h>

#include "test/support/check_sees.h"
#include "test/support/harness.h"
#include "test/support/pools.h"

static size_t index_of(const struct cork_mempool_region *region, const void *object)
{
    return (size_t)((const char *)object - region->base) / geometry->stride;
}

/* A slot's entry on the stack. */
static uint32_t entry_of(const struct cork_mempool_region *region, size_t index)
{
    return (uint32_t)index << 1 | (region == pool.lookup[1]);
}

static uint64_t lowest_bit(uint64_t bits)
{
    return bits & (~bits + 1);
}

TEST(check_sees_damage_to_what_is_lent)
{
    struct cork_mempool other;

    populate();
    CHECK_SEES(lent->owner, &other, NULL);
    CHECK_SEES(lent->base, lent->base + geometry->stride);
    CHECK_SEES(lent->group, lent->group - 1);
    CHECK_SEES(lent->group->free, lent->group->free & ~lowest_bit(lent->bits));
    CHECK_SEES(lent->bits, lent->bits | lowest_bit(~lent->group->free));
    CHECK_SEES(lent->split, lent->split + 1, NULL);
    for (int i = 0; i < 2; i++) {
        CHECK_SEES(lent->bases[i], lent->bases[i] + 1);
        CHECK_SEES(lent->groups[i], lent->groups[i] + 1);
        CHECK_SEES(lent->counts[i], lent->counts[i] + 1, 0);
        CHECK_SEES(pool.lookup[i], NULL, pool.lookup[1 - i]);
    }
    CHECK_SEES(cursor->bits, lent->bits);
    CHECK_SEES(cursor->region, NULL, second);
    CHECK_SEES(cursor->group, cursor->group - 1);
    /* The kept object: no slot, a linked slot, one on the stack, and one never extended to. */
    CHECK_SEES(lent->kept, (char *)lent->kept + 1, &pool, (void *)(uintptr_t)1, objects[3],
               objects[60], third->base + third->extended_count * geometry->stride);
    finish();
}

TEST(check_sees_damage_to_the_stack)
{
    struct cork_mempool_group *group;
    size_t index;

    populate();
    /* The last entries are of a group that is linked too. */
    index = lent->stack[63] / 2;
    group = &third->groups[index / 64];
    CHECK_EQUAL(lent->stack[63], entry_of(third, index));
    CHECK(group->next != NULL);
    CHECK_SEES(lent->stack_count, 63 - 30, UINT32_MAX);
    /* A live slot, one of the other region, one twice, none, and one that new takes next. */
    CHECK_SEES(lent->stack[63], entry_of(third, index + 1), lent->stack[63] ^ 1, lent->stack[62],
               UINT32_MAX,
               entry_of(third, index_of(third, lent->base) + (size_t)__builtin_ctzll(lent->bits)));
    CHECK_SEES(group->free, group->free & ~((uint64_t)1 << index % 64));
    finish();
}

/* Behind the stack is what a pool with a buffer does not use; there stands a further entry, a right
 * one. */
TEST(check_sees_that_the_stack_has_more_entries_than_it_has_room_for)
{
    uint32_t entry;
    size_t index;

    begin_in_a_buffer(900);
    for (size_t i = 899; i >= 600; i--) {
        cork_mempool_free(&pool, objects[i]);
    }
    CHECK_EQUAL(lent->stack_count, 64);
    index = index_of(first, objects[600]);
    CHECK(first->groups[index / 64].next != NULL);
    entry = entry_of(first, index);
    CHECK_SEES_FORGERY(memcpy(&pool.first_region, &entry, sizeof(entry)); lent->stack_count = 65);
    finish();
}

/* In pools with hooks new and free find nothing by themselves. */
TEST(check_sees_that_something_is_lent_where_hooks_forbid_it)
{
    size_t index;

    begin(CORK_MEMPOOL_SEAL, 2);
    take(3);
    cork_mempool_free(&pool, objects[object_count - 1]);
    cork_mempool_free(&pool, objects[0]);
    index = index_of(second, objects[object_count - 1]);
    CHECK(lent->owner == NULL && cursor->bits != 0 && cursor->region == second);
    CHECK((cursor->bits >> index % 64 & 1) == 0);
    CHECK_SEES(lent->kept, objects[1]);
    CHECK_SEES(lent->bits, cursor->bits);
    CHECK_SEES_FORGERY(lent->stack[0] = entry_of(second, index); lent->stack_count = 1);
    CHECK_SEES(lent->counts[1], second->extended_count);
    CHECK_SEES_FORGERY(lent->owner = &pool; lent->group = &second->groups[cursor->group];
                       lent->base = second->base + cursor->group * 64 * geometry->stride);
    finish();
    /* Hooks of canaries lend new what is not fresh. */
    begin_with(OPTIONS(.element_size = 8, .block_size = 8192, .protections = CORK_MEMPOOL_CANARY),
               1);
    take(63);
    for (size_t i = 0; i < 64; i++) {
        cork_mempool_free(&pool, objects[i]);
    }
    take(2);
    CHECK(lent->bits != 0);
    CHECK_SEES(first->fresh[0], first->fresh[0] | lowest_bit(lent->bits));
    finish();
}

/* The active group is one of an older region, and then one of the newest; it has no more slots. */
TEST(check_sees_damage_to_an_active_group_that_was_not_extended_last)
{
    size_t i = 0;

    begin(CORK_MEMPOOL_SEAL, 3);
    take(third->committed_count - 1);
    CHECK_EQUAL(third->extended_count, third->committed_count);
    cork_mempool_free(&pool, objects[0]);
    CHECK_POINTER(cork_mempool_new(&pool), objects[0]);
    CHECK(cursor->region == first && cursor->group == 0 && cursor->bits == 0);
    CHECK_SEES(cursor->is_fresh, true);
    CHECK_SEES(cursor->group, 2);
    CHECK_SEES(cursor->bits, 1);
    CHECK_SEES(cursor->region, copy_of(first));
    while (objects[i] != third->base) {
        i++;
    }
    cork_mempool_free(&pool, objects[i]);
    CHECK_POINTER(cork_mempool_new(&pool), objects[i]);
    CHECK(cursor->region == third && cursor->group == 0);
    CHECK_SEES(cursor->is_fresh, true);
    finish();
}

TEST(check_sees_damage_to_groups_and_their_free_list)
{
    struct cork_mempool_group *head, *next, *elsewhere;
    static _Alignas(16) char bytes[2 * sizeof(*head)];

    populate();
    head = &first->groups[1];
    CHECK(first->extended_count % 64 != 0 && head->next != NULL);
    CHECK_SEES(head->free, head->free | (uint64_t)1 << first->extended_count % 64);
    CHECK_SEES(head->next, NULL);
    head = &second->groups[0];
    CHECK(head->next == NULL);
    CHECK_SEES(head->free, head->free | lowest_bit(~head->free)); /* which new would not find */
    CHECK_SEES(head->next, head);
    head = third->free_list;
    next = head->next;
    CHECK(next != head);
    elsewhere = (void *)(bytes + (uintptr_t)head % sizeof(*head)); /* whole groups away */
    elsewhere->next = next;
    CHECK_SEES(third->free_list, NULL, next, elsewhere, (void *)((char *)head + 4));
    elsewhere->next = head;
    CHECK_SEES(third->free_list, elsewhere);
    CHECK_SEES(head->next, head, elsewhere, (void *)(uintptr_t)1);
    CHECK_SEES(next->next, head); /* which must not hold up the check for ever */
    finish();
}

/* Between groups, memory reads like one that ends the list. */
TEST(check_sees_a_free_list_of_what_is_no_group)
{
    struct cork_mempool_group *head;

    begin(CORK_MEMPOOL_SEAL, 3);
    take(200);
    head = third->groups;
    cork_mempool_free(&pool, third->base);
    CHECK(third->free_list == head && head->next == head && head[1].free == 0);
    CHECK_SEES(third->free_list, (void *)&head->next);
    finish();
}
