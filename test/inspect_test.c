/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * cork_mempool_check on pools that a stray write has hit, and the guards that stop one. These
 * tests, and no others, know the private fields, for there is no other way to damage one at a time.
 * Each of check's conditions has a damage here that nothing but this condition notices.
 */

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "test/support/crowd.h"
#include "test/support/harness.h"
#include "test/support/pools.h"

static struct cork_mempool pool;
static struct crowd crowd;
static void *objects[1400];
static size_t object_count;

/* Damages a word, which check must see, and repairs it, after which check must be content. */
#define CHECK_SEES_IN(mp, field, damage)                                                           \
    do {                                                                                           \
        const __typeof__(field) sound = (field);                                                   \
        field = damage;                                                                            \
        CHECK(!cork_mempool_check(mp));                                                            \
        field = sound;                                                                             \
        CHECK(cork_mempool_check(mp));                                                             \
    } while (0)

#define CHECK_SEES(field, damage) CHECK_SEES_IN(&pool, field, damage)

/* The same where one word would be noticed for another reason too. */
#define CHECK_SEES_FORGERY(statements)                                                             \
    do {                                                                                           \
        const struct cork_mempool sound = pool;                                                    \
        statements;                                                                                \
        CHECK(!cork_mempool_check(&pool));                                                         \
        pool = sound;                                                                              \
    } while (0)

static void take(size_t count)
{
    for (size_t i = 0; i < count; i++) {
        CHECK(object_count < COUNT_OF(objects));
        objects[object_count] = cork_mempool_new(&pool);
        CHECK(objects[object_count++] != NULL);
    }
}

/* Takes objects until there are so many regions. */
static void take_regions(size_t region_count)
{
    while (stats_of(&pool).region_count < region_count) {
        take(1);
    }
}

static void init(unsigned protections)
{
    const struct cork_mempool_options options = {.element_size = 112, .protections = protections};

    CHECK(cork_mempool_init_with(&pool, &options));
    object_count = 0;
}

static void finish(void)
{
    cork_mempool_clear(&pool);
    CHECK(cork_mempool_check(&pool));
    cork_mempool_done(&pool);
}

/*
 * Three regions; an object kept aside, which is of the first; a full stack, of the others; groups
 * of the first and the third region on free lists, but not of the second; and an active group with
 * fresh slots.
 */
static void populate(void)
{
    size_t third;

    init(0);
    take_regions(3);
    third = object_count - 1;
    take(600);
    for (size_t i = 0; i < object_count; i += 3) {
        /* So many less, that the stack is full in the middle of a group. */
        if (i < third || i > third + 30) {
            cork_mempool_free(&pool, objects[i]);
        }
    }
    CHECK(cork_mempool_check(&pool));
    CHECK_POINTER(pool.lent.kept, objects[0]);
    CHECK_EQUAL(pool.lent.stack_count, 64);
    CHECK(pool.lent.bits != 0 && pool.cursor.is_fresh);
    CHECK(pool.oldest->free_list != NULL && pool.oldest->newer->free_list == NULL);
    CHECK(pool.newest->free_list != NULL && pool.newest->older == pool.oldest->newer);
    CHECK(pool.linked == pool.newest && pool.newest->next_linked == pool.oldest);
}

static size_t index_of(const struct cork_mempool_region *region, const void *object)
{
    return (size_t)((const char *)object - region->base) / pool.geometry.stride;
}

/* What the stack has of a slot. */
static uint32_t entry_of(const struct cork_mempool_region *region, size_t index)
{
    return (uint32_t)index << 1 | (region == pool.lookup[1]);
}

static uint64_t lowest_bit(uint64_t bits)
{
    return bits & (~bits + 1);
}

static int construct(void *user_data, void *object)
{
    (void)user_data;
    (void)object;
    return 0;
}

static void destruct(void *user_data, void *object)
{
    (void)user_data;
    (void)object;
}

static void geometry_is_checked(void)
{
    struct cork_mempool_geometry *geometry = &pool.geometry;

    CHECK_SEES(geometry->stride, geometry->stride + 16);
    CHECK_SEES(geometry->stride, 16);
    CHECK_SEES(geometry->inverse, geometry->inverse ^ 1);
    CHECK_SEES(geometry->inverse, geometry->inverse ^ (UINTPTR_MAX / 2 + 1));
    CHECK_SEES(geometry->shift, geometry->shift + 1);
    CHECK_SEES(geometry->shift, geometry->shift - 1);
    CHECK_SEES(geometry->shift, geometry->shift + 8 * sizeof(size_t));
    CHECK_SEES(geometry->element_size, 0);
    CHECK_SEES(geometry->element_size, geometry->stride + 1);
    CHECK_SEES(geometry->alignment, 0);
    CHECK_SEES(geometry->alignment, 6);
    CHECK_SEES(geometry->alignment, 256);
    CHECK_SEES(geometry->redzone_size, 8);
    CHECK_SEES(geometry->block_slots, 0);
    CHECK_SEES(geometry->block_pitch, 2048);
}

TEST(check_sees_damage_to_the_geometry)
{
    populate();
    geometry_is_checked();
    CHECK_SEES(pool.geometry.stride, 0);
    finish();
}

/* Where there are no regions that fit no more. */
TEST(check_sees_damage_to_a_pool_without_memory)
{
    static struct cork_mempool_region elsewhere = {.base = (char *)64, .reserved_count = 1};

    init(0);
    geometry_is_checked();
    CHECK_SEES(pool.geometry.tables, 4);
    CHECK_SEES(pool.protections, CORK_MEMPOOL_CANARY);
    CHECK_SEES(pool.under_valgrind, true);
    CHECK_SEES(pool.callbacks.construct, construct);
    CHECK_SEES(pool.callbacks.destruct, destruct);
    CHECK_SEES(pool.name[sizeof(pool.name) - 1], 'x');
    CHECK_SEES(pool.oldest, &elsewhere);
    CHECK_SEES(pool.root, &elsewhere);
    CHECK_SEES(pool.linked, &elsewhere);
    CHECK_SEES(pool.lookup[0], &elsewhere);
    CHECK_SEES(pool.lookup[1], &elsewhere);
    CHECK_SEES(pool.cursor.bits, 1);
    CHECK_SEES(pool.lent.owner, &pool);
    CHECK_SEES(pool.lent.kept, &elsewhere);
    CHECK_SEES(pool.lent.bits, 1);
    CHECK_SEES(pool.lent.counts[0], 1);
    CHECK_SEES(pool.lent.counts[1], 1);
    CHECK_SEES(pool.lent.stack_count, 1);
    CHECK_SEES(pool.quarantine.count, 1);
    cork_mempool_done(&pool);
}

TEST(check_sees_that_hooks_and_tables_are_not_those_of_the_protections)
{
    const struct cork_mempool_hooks *hooks;

    init(CORK_MEMPOOL_CANARY);
    hooks = pool.hooks;
    cork_mempool_done(&pool);
    init(CORK_MEMPOOL_SEAL);
    CHECK_SEES(pool.hooks, hooks);
    CHECK_SEES(pool.hooks, NULL);
    CHECK_SEES(pool.protections, CORK_MEMPOOL_WIPE);
    CHECK_SEES(pool.protections, CORK_MEMPOOL_GUARD | CORK_MEMPOOL_SEAL);
    CHECK_SEES(pool.under_valgrind, !pool.under_valgrind);
    CHECK_SEES(pool.geometry.tables, pool.geometry.tables ^ 16);
    cork_mempool_done(&pool);
}

TEST(check_sees_damage_to_the_list_of_regions)
{
    struct cork_mempool_region copy;
    struct cork_mempool_region *second;

    populate();
    second = pool.oldest->newer;
    CHECK_SEES(pool.oldest, NULL);
    CHECK_SEES(pool.oldest, second);
    CHECK_SEES(pool.newest, NULL);
    CHECK_SEES(pool.newest, second);
    CHECK_SEES(pool.oldest->newer, pool.newest);
    CHECK_SEES(pool.oldest->newer, NULL);
    CHECK_SEES(second->newer, pool.oldest);
    CHECK_SEES(second->newer, second);
    CHECK_SEES(pool.newest->newer, pool.oldest);
    CHECK_SEES(pool.oldest->older, pool.newest);
    CHECK_SEES(second->older, NULL);
    copy = *pool.oldest;
    CHECK_SEES(second->older, &copy);
    finish();
}

/* All that follows from it agrees with it, but not that there is another behind. */
TEST(check_sees_that_the_newest_region_is_not_the_last)
{
    struct cork_mempool_region *first;

    init(CORK_MEMPOOL_SEAL);
    take_regions(2);
    first = pool.oldest;
    take(pool.newest->committed_count - 1);
    CHECK(pool.newest != first && pool.newest->extended_count == pool.newest->committed_count);
    CHECK_SEES_FORGERY(pool.newest = first; pool.lookup[0] = first; pool.lookup[1] = NULL;
                       pool.lent.split = (char *)UINTPTR_MAX; pool.lent.bases[0] = first->base;
                       pool.lent.groups[0] = first->groups; pool.cursor.is_fresh = false);
    finish();
}

/* A tree that is right in all but one thing, and one in which no search would end. */
TEST(check_sees_damage_to_the_tree_of_regions)
{
    struct cork_mempool_region *root, *child, **place;
    struct cork_mempool_region copy;

    populate();
    root = pool.root;
    place = root->lower != NULL ? &root->lower : &root->higher;
    child = *place;
    CHECK_SEES(pool.root, NULL);
    CHECK_SEES(pool.root, child);
    CHECK_SEES(*place, NULL);
    CHECK_SEES(*place, root);
    CHECK_SEES(root->lower, root);
    CHECK_SEES(root->higher, root);
    copy = (struct cork_mempool_region){.base = root->base + 1, .reserved_count = 1};
    CHECK_SEES(root->lower, &copy);
    copy.base = NULL;
    for (place = &pool.root; *place != NULL;) {
        place = &(*place)->lower;
    }
    CHECK_SEES(*place, &copy); /* a region too many */
    /* The second region has nothing to do with what else is checked. */
    copy = *pool.oldest->newer;
    for (place = &pool.root; *place != pool.oldest->newer;) {
        place = copy.base < (*place)->base ? &(*place)->lower : &(*place)->higher;
    }
    CHECK_SEES(*place, &copy);
    finish();
}

/* Searches would find all, but not as fast as they should. */
TEST(check_sees_that_the_tree_of_regions_is_turned)
{
    struct cork_mempool_region *root, *child, *between;
    bool is_lower;

    populate();
    root = pool.root;
    is_lower = root->lower != NULL;
    child = is_lower ? root->lower : root->higher;
    between = is_lower ? child->higher : child->lower;
    pool.root = child;
    *(is_lower ? &root->lower : &root->higher) = between;
    *(is_lower ? &child->higher : &child->lower) = root;
    CHECK(!cork_mempool_check(&pool));
    *(is_lower ? &child->higher : &child->lower) = between;
    *(is_lower ? &root->lower : &root->higher) = child;
    pool.root = root;
    CHECK(cork_mempool_check(&pool));
    finish();
}

static void region_is_checked(const struct cork_mempool *mp, struct cork_mempool_region *region)
{
    static uint64_t words[100];
    static struct cork_mempool_sites sites[1];

    CHECK_SEES_IN(mp, region->base, region->base + region->memory_size);
    CHECK_SEES_IN(mp, region->extended_count, region->committed_count + 1);
    CHECK_SEES_IN(mp, region->extended_count, region->extended_count - 1);
    CHECK_SEES_IN(mp, region->committed_count, region->reserved_count + 1);
    CHECK_SEES_IN(mp, region->committed_count, region->extended_count - 1);
    CHECK_SEES_IN(mp, region->reserved_count, region->committed_count - 1);
    CHECK_SEES_IN(mp, region->reserved_count, SIZE_MAX / mp->geometry.stride);
    CHECK_SEES_IN(mp, region->first_number, region->first_number + 1);
    CHECK_SEES_IN(mp, region->memory, region->base + 1);
    CHECK_SEES_IN(mp, region->memory_size, 100);
    CHECK_SEES_IN(mp, region->held, words);
    CHECK_SEES_IN(mp, region->fresh, words);
    CHECK_SEES_IN(mp, region->checksums, words);
    CHECK_SEES_IN(mp, region->sites, sites);
}

TEST(check_sees_damage_to_a_region_of_each_kind)
{
    struct cork_mempool_region *region;

    crowd_gather(&crowd);
    for (region = crowd.mp.newest; region != NULL; region = region->older) {
        region_is_checked(&crowd.mp, region);
    }
    crowd_disperse(&crowd);
    populate();
    for (region = pool.newest; region != NULL; region = region->older) {
        region_is_checked(&pool, region);
        CHECK_SEES(region->base, region->base + 1);
    }
    finish();
}

TEST(check_sees_damage_to_a_region_with_tables)
{
    init(CORK_MEMPOOL_SEAL | CORK_MEMPOOL_QUARANTINE | CORK_MEMPOOL_CALLSITES);
    take(10);
    CHECK_SEES(pool.newest->held, NULL);
    CHECK_SEES(pool.newest->fresh, NULL);
    CHECK_SEES(pool.newest->checksums, NULL);
    CHECK_SEES(pool.newest->sites, NULL);
    /* Of what nothing is lent, no copy tells. */
    CHECK(pool.newest->extended_count == pool.newest->committed_count);
    CHECK(pool.newest->extended_count % 64 != 0);
    CHECK_SEES(pool.newest->extended_count, pool.newest->extended_count + 1);
    CHECK_SEES(pool.lent.counts[0], pool.newest->extended_count);
    CHECK_SEES(pool.lookup[1], &pool.first_region);
    pool.newest->base++;
    CHECK_SEES_FORGERY(pool.lent.bases[0]++);
    pool.newest->base--;
    finish();
}

TEST(check_sees_damage_to_what_is_lent)
{
    struct cork_mempool *mp = &pool;
    struct cork_mempool_region *second;
    struct cork_mempool other;

    populate();
    second = mp->oldest->newer;
    CHECK_SEES(mp->lent.owner, &other);
    CHECK_SEES(mp->lent.owner, NULL);
    CHECK_SEES(mp->lent.base, mp->lent.base + mp->geometry.stride);
    CHECK_SEES(mp->lent.group, mp->lent.group - 1);
    CHECK_SEES(mp->lent.split, mp->lent.split + 1);
    CHECK_SEES(mp->lent.split, NULL);
    for (int i = 0; i < 2; i++) {
        CHECK_SEES(mp->lent.bases[i], mp->lent.bases[i] + 1);
        CHECK_SEES(mp->lent.groups[i], mp->lent.groups[i] + 1);
        CHECK_SEES(mp->lent.counts[i], mp->lent.counts[i] + 1);
        CHECK_SEES(mp->lent.counts[i], 0);
        CHECK_SEES(mp->lookup[i], NULL);
        CHECK_SEES(mp->lookup[i], mp->lookup[1 - i]);
    }
    CHECK_SEES(mp->cursor.bits, mp->lent.bits);
    CHECK_SEES(mp->cursor.region, NULL);
    CHECK_SEES(mp->cursor.region, second);
    CHECK_SEES(mp->cursor.group, mp->cursor.group - 1);
    finish();
}

TEST(check_sees_damage_to_the_kept_object)
{
    struct cork_mempool *mp = &pool;
    char *kept;

    populate();
    kept = mp->lent.kept;
    CHECK_SEES(mp->lent.kept, kept + 1);
    CHECK_SEES(mp->lent.kept, mp);
    CHECK_SEES(mp->lent.kept, (void *)(uintptr_t)1);
    CHECK_SEES(mp->lent.kept, objects[3]);  /* linked */
    CHECK_SEES(mp->lent.kept, objects[60]); /* on the stack */
    CHECK_SEES(mp->lent.kept, mp->newest->base + mp->newest->extended_count * mp->geometry.stride);
    finish();
}

TEST(check_sees_damage_to_the_stack)
{
    struct cork_mempool *mp = &pool;
    uint32_t *stack = mp->lent.stack;
    struct cork_mempool_region *newest;
    struct cork_mempool_group *group;
    size_t index;

    populate();
    newest = mp->newest;
    /* The last entries are of a group that is linked too. */
    index = stack[63] / 2;
    group = &newest->groups[index / 64];
    CHECK_EQUAL(stack[63], entry_of(newest, index));
    CHECK(group->next != NULL);
    CHECK_SEES(mp->lent.stack_count, 63 - 30);
    CHECK_SEES(mp->lent.stack_count, UINT32_MAX);
    CHECK_SEES(stack[63], entry_of(newest, index + 1)); /* a live slot */
    CHECK_SEES(stack[63], stack[63] ^ 1);               /* the other region */
    CHECK_SEES(stack[63], stack[62]);                   /* twice */
    CHECK_SEES(stack[63], UINT32_MAX);                  /* nothing */
    CHECK_SEES(stack[63], entry_of(newest, index_of(newest, mp->lent.base) +
                                               (size_t)__builtin_ctzll(mp->lent.bits)));
    CHECK_SEES(group->free, group->free & ~((uint64_t)1 << index % 64));
    finish();
}

static void *source_acquire(void *source_data, size_t size, size_t alignment)
{
    (void)source_data;
    return aligned_alloc(alignment, size);
}

static void source_release(void *source_data, void *memory, size_t size)
{
    (void)source_data;
    (void)size;
    free(memory);
}

/* Behind the stack is what this pool does not use; there is an entry too many, which is right. */
TEST(check_sees_that_the_stack_has_more_entries_than_it_has_room_for)
{
    static const struct cork_mempool_source source = {source_acquire, source_release};
    const struct cork_mempool_options options = {.element_size = 112, .source = &source};
    uint32_t entry;

    CHECK(cork_mempool_init_with(&pool, &options));
    object_count = 0;
    take(900);
    for (size_t i = 1; i <= 300; i++) {
        cork_mempool_free(&pool, objects[object_count - i]);
    }
    CHECK_EQUAL(pool.lent.stack_count, 64);
    const size_t index = index_of(pool.newest, objects[object_count - 300]);

    CHECK(pool.newest->groups[index / 64].next != NULL);
    entry = entry_of(pool.newest, index);
    CHECK_SEES_FORGERY(memcpy(&pool.first_region, &entry, sizeof(entry));
                       pool.lent.stack_count = 65);
    finish();
}

/* In pools with hooks new and free find nothing by themselves. */
TEST(check_sees_that_something_is_lent_where_hooks_forbid_it)
{
    struct cork_mempool *mp = &pool;
    struct cork_mempool_region *region;
    size_t index;

    init(CORK_MEMPOOL_SEAL);
    take_regions(2);
    take(3);
    cork_mempool_free(mp, objects[object_count - 1]);
    cork_mempool_free(mp, objects[0]);
    region = mp->newest;
    index = index_of(region, objects[object_count - 1]);
    CHECK(mp->lent.owner == NULL && mp->cursor.bits != 0 && mp->cursor.region == region);
    CHECK((mp->cursor.bits >> index % 64 & 1) == 0);
    CHECK_SEES(mp->lent.kept, objects[1]);
    CHECK_SEES(mp->lent.bits, mp->cursor.bits);
    CHECK_SEES_FORGERY(mp->lent.stack[0] = entry_of(region, index); mp->lent.stack_count = 1);
    CHECK_SEES(mp->lent.counts[1], region->extended_count);
    CHECK_SEES_FORGERY(mp->lent.owner = mp; mp->lent.group = &region->groups[mp->cursor.group];
                       mp->lent.base = region->base + mp->cursor.group * 64 * mp->geometry.stride);
    finish();
}

/* The active group is one of an older region, and then one of the newest; it has no more slots. */
TEST(check_sees_damage_to_an_active_group_that_was_not_extended_last)
{
    struct cork_mempool *mp = &pool;
    struct cork_mempool_region copy;
    size_t i;

    init(CORK_MEMPOOL_SEAL);
    take_regions(3);
    take(mp->newest->committed_count - 1);
    CHECK(mp->newest->extended_count == mp->newest->committed_count);
    cork_mempool_free(mp, objects[0]);
    CHECK_POINTER(cork_mempool_new(mp), objects[0]);
    CHECK(mp->cursor.region == mp->oldest && mp->cursor.group == 0 && mp->cursor.bits == 0);
    CHECK_SEES(mp->cursor.is_fresh, true);
    CHECK_SEES(mp->cursor.group, 1);
    CHECK_SEES(mp->cursor.bits, 1);
    copy = *mp->oldest;
    CHECK_SEES(mp->cursor.region, &copy);
    for (i = 0; objects[i] != mp->newest->base; i++) {
    }
    cork_mempool_free(mp, objects[i]);
    CHECK_POINTER(cork_mempool_new(mp), objects[i]);
    CHECK(mp->cursor.region == mp->newest && mp->cursor.group == 0);
    CHECK_SEES(mp->cursor.is_fresh, true);
    finish();
}

/* Nothing is on the stack that would tell. */
TEST(check_sees_that_a_lookup_region_is_not_the_region)
{
    struct cork_mempool_region copy;

    init(0);
    take_regions(3);
    for (size_t i = 0; i < 2; i++) {
        copy = *pool.lookup[i];
        CHECK_SEES(pool.lookup[i], &copy);
    }
    finish();
    init(0);
    take(1);
    CHECK_SEES(pool.lent.split, pool.newest->base);
    CHECK_SEES(pool.lookup[0], NULL);
    finish();
}

TEST(check_sees_damage_to_groups)
{
    struct cork_mempool_region *first, *second;

    populate();
    first = pool.oldest;
    second = first->newer;
    CHECK(first->extended_count < 64 && first->groups[0].next != NULL);
    CHECK_SEES(first->groups[0].free, first->groups[0].free | (uint64_t)1 << first->extended_count);
    CHECK_SEES(first->groups[0].next, NULL);
    CHECK_SEES(second->groups[0].next, &second->groups[0]);
    /* A free slot to which nothing leads. */
    CHECK(second->groups[0].next == NULL);
    CHECK_SEES(second->groups[0].free,
               second->groups[0].free | lowest_bit(~second->groups[0].free));
    /* What comes next is not free. */
    CHECK_SEES(pool.lent.group->free, pool.lent.group->free & ~lowest_bit(pool.lent.bits));
    CHECK_SEES(pool.lent.bits, pool.lent.bits | lowest_bit(~pool.lent.group->free));
    finish();
}

TEST(check_sees_damage_to_the_free_list_of_a_region)
{
    struct cork_mempool_region *region;
    struct cork_mempool_group *first, *second;
    static _Alignas(16) char bytes[2 * sizeof(*first)];
    struct cork_mempool_group *elsewhere;

    populate();
    region = pool.newest;
    first = region->free_list;
    CHECK(first != NULL && first->next != first);
    second = first->next;
    CHECK_SEES(region->free_list, NULL);
    CHECK_SEES(region->free_list, second);
    elsewhere = (void *)(bytes + (uintptr_t)first % sizeof(*first)); /* whole groups away */
    elsewhere->next = second;
    CHECK_SEES(region->free_list, elsewhere);
    elsewhere->next = first;
    CHECK_SEES(region->free_list, elsewhere);
    CHECK_SEES(region->free_list, (struct cork_mempool_group *)(void *)((char *)first + 4));
    CHECK_SEES(first->next, first);
    CHECK_SEES(first->next, elsewhere);
    CHECK_SEES(first->next, (struct cork_mempool_group *)(uintptr_t)1);
    /* A list that comes back to itself must not hold up the check for ever. */
    CHECK_SEES(second->next, first);
    finish();
}

/* There memory reads like a group that ends the list; but it is none. */
TEST(check_sees_a_free_list_of_what_is_between_groups)
{
    struct cork_mempool_region *region;
    struct cork_mempool_group *groups;

    init(CORK_MEMPOOL_SEAL);
    take_regions(3);
    take(200);
    region = pool.newest;
    groups = region->groups;
    cork_mempool_free(&pool, region->base);
    CHECK(region->free_list == groups && groups->next == groups);
    CHECK_EQUAL(groups[1].free, 0);
    CHECK_SEES(region->free_list, (struct cork_mempool_group *)(void *)&groups->next);
    finish();
}

TEST(check_sees_damage_to_the_list_of_regions_with_free_lists)
{
    struct cork_mempool_region *first, *second;
    struct cork_mempool_region copy;

    populate();
    first = pool.oldest;
    second = first->newer;
    CHECK_SEES(pool.linked, NULL);
    CHECK_SEES(pool.linked, first);
    CHECK_SEES(pool.newest->next_linked, NULL);
    CHECK_SEES(first->next_linked, pool.newest);
    CHECK_SEES(first->next_linked, first);
    copy = *pool.newest;
    CHECK_SEES(pool.linked, &copy);
    second->next_linked = first;
    CHECK_SEES(pool.linked, second);
    finish();
}

TEST(check_sees_damage_to_fresh_slots)
{
    init(CORK_MEMPOOL_SEAL);
    take(10);
    CHECK((pool.newest->fresh[0] & 1) == 0);
    CHECK_SEES(pool.newest->fresh[0], pool.newest->fresh[0] | 1);
    finish();
}

TEST(check_sees_damage_to_the_quarantine)
{
    struct cork_mempool_quarantine *quarantine = &pool.quarantine;
    uint64_t *held;
    void *live;

    init(CORK_MEMPOOL_QUARANTINE);
    take_regions(2);
    live = objects[30];
    CHECK_SEES(quarantine->first, quarantine->capacity);
    memset(quarantine->objects, 0, quarantine->capacity * sizeof(void *));
    for (size_t i = 0; i < 10; i++) {
        cork_mempool_free(&pool, objects[i]);
    }
    held = pool.oldest->held;
    CHECK_EQUAL(held[0], 0x3ff);
    CHECK_EQUAL(quarantine->count, 10);
    CHECK_SEES(held[0], 0x7ff);
    CHECK_SEES(held[0], 0x1ff);
    CHECK_SEES_FORGERY(quarantine->objects = NULL);
    CHECK_SEES(quarantine->objects[9], live);
    CHECK_SEES(quarantine->objects[9], quarantine->objects[8]);
    CHECK_SEES(quarantine->objects[0], NULL);
    CHECK_SEES(quarantine->capacity, 0);
    CHECK_SEES(quarantine->capacity, 9);
    CHECK_SEES(quarantine->first, 1);
    CHECK_SEES(quarantine->first, quarantine->capacity);
    CHECK_SEES(quarantine->count, 9);
    CHECK_SEES(quarantine->count, SIZE_MAX);
    /* A slot that is found by new before it has rested. */
    cork_mempool_trim(&pool);
    CHECK(pool.oldest->groups[0].next != NULL && held[0] == 0);
    cork_mempool_free(&pool, live);
    CHECK_SEES(pool.oldest->groups[0].free, pool.oldest->groups[0].free | held[0]);
    finish();
}

TEST(check_sees_damage_to_guards)
{
    struct cork_mempool_geometry *geometry = &pool.geometry;
    struct cork_mempool_region *region;
    size_t guard;

    init(CORK_MEMPOOL_GUARD);
    guard = geometry->block_slots;
    for (size_t i = 0; i <= guard; i++) {
        CHECK(cork_mempool_new(&pool) != NULL);
    }
    region = pool.oldest;
    CHECK((region->held[guard / 64] >> guard % 64 & 1) != 0);
    CHECK_SEES(region->held[guard / 64], region->held[guard / 64] & ~((uint64_t)1 << guard % 64));
    CHECK_SEES(geometry->block_slots, geometry->block_slots - 1);
    CHECK_SEES(geometry->block_pitch, 0);
    finish();
    init(CORK_MEMPOOL_GUARD);
    CHECK_SEES(geometry->block_slots, geometry->block_pitch);
    CHECK_SEES(geometry->block_pitch, geometry->block_pitch + 1);
    cork_mempool_done(&pool);
}

/* AddressSanitizer would have its say before the guards have theirs. */
__attribute__((no_sanitize("address"))) static void touch(const void *pointer)
{
    (void)*(volatile const char *)pointer;
}

TEST(a_run_over_slots_or_descriptors_faults_before_it_meets_others)
{
    const struct cork_mempool_region *reserved;
    uintptr_t end;

    crowd_gather(&crowd);
    reserved = crowd.mp.newest->older;
    end = (uintptr_t)reserved->base + reserved->reserved_count * PERSON_SLOT;
    CHECK_FAULTS(touch((char *)reserved - 1));
    CHECK_FAULTS(touch(reserved->base - crowd.mp.geometry.redzone_size - 1));
    CHECK_FAULTS(touch((const char *)((end + page_size() - 1) / page_size() * page_size())));
    CHECK_PASSES(touch(reserved));
    CHECK_PASSES(touch(reserved->base));
    crowd_disperse(&crowd);
}

/* What is lent to new without a hook has canaries. */
TEST(check_sees_a_fresh_slot_that_is_lent)
{
    CHECK(cork_mempool_init_with(
        &pool, &(const struct cork_mempool_options){
                   .element_size = 8, .block_size = 8192, .protections = CORK_MEMPOOL_CANARY}));
    take_objects(&pool, objects, 64);
    give_objects(&pool, objects, 64);
    objects[0] = cork_mempool_new(&pool);
    objects[1] = cork_mempool_new(&pool);
    CHECK(pool.lent.bits != 0);
    CHECK_SEES(pool.newest->fresh[0], pool.newest->fresh[0] | (pool.lent.bits & -pool.lent.bits));
    cork_mempool_clear(&pool);
    cork_mempool_done(&pool);
}
