/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * cork_mempool_check on damaged pools, whose fields, private ones too, are given wrong values one
 * at a time. Each condition of the check has a damage here that no other condition notices.
 */

#include <string.h>

#include "test/support/pools.h"
#include "test/support/requests.h"

static struct cork_mempool pool;
static struct cork_mempool_geometry *const geometry = &pool.geometry;
static struct cork_mempool_cursor *const cursor = &pool.cursor;
static struct cork_mempool_lent *const lent = &pool.lent;
static struct cork_mempool_quarantine *const quarantine = &pool.quarantine;
static struct cork_mempool_region *first, *second, *third; /* the pool's; NULL: it has less */
static void *objects[4000];                                /* in the order in which they came */
static size_t object_count;

/* Gives a field each of these wrong values, which check must see, and then its own again. */
#define CHECK_SEES(field, ...)                                                                     \
    do {                                                                                           \
        const __typeof__(field) sound = (field);                                                   \
        const __typeof__(field) wrong[] = {__VA_ARGS__};                                           \
        for (size_t i_ = 0; i_ < COUNT_OF(wrong); i_++) {                                          \
            test_row("wrong value %zu of %s", i_, #field);                                         \
            field = wrong[i_];                                                                     \
            CHECK(!cork_mempool_check(&pool));                                                     \
        }                                                                                          \
        field = sound;                                                                             \
        CHECK(cork_mempool_check(&pool));                                                          \
    } while (0)

/* The same for fields of the pool's of which one alone would be noticed for another reason. */
#define CHECK_SEES_FORGERY(statements)                                                             \
    do {                                                                                           \
        const struct cork_mempool sound = pool;                                                    \
        test_row("%s", #statements);                                                               \
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
    first = pool.oldest;
    second = region_count < 2 ? NULL : first->newer;
    third = region_count < 3 ? NULL : second->newer;
}

static void begin_with(const struct cork_mempool_options *options, size_t region_count)
{
    CHECK(cork_mempool_init_with(&pool, options));
    object_count = 0;
    take_regions(region_count);
}

static void begin(unsigned protections, size_t region_count)
{
    begin_with(OPTIONS(.element_size = 112, .block_size = 36 * slot_needed(112),
                       .protections = protections),
               region_count);
}

static void begin_in_a_buffer(size_t count)
{
    static _Alignas(16) char buffer[1000 * 128];

    begin_with(OPTIONS(.element_size = 112, .buffer = buffer, .buffer_size = sizeof(buffer)), 1);
    take(count - 1);
}

static void finish(void)
{
    cork_mempool_clear(&pool);
    CHECK(cork_mempool_check(&pool));
    cork_mempool_done(&pool);
}

/*
 * Three regions; an object kept aside, which is of the first; a full stack, of the others; groups
 * of the first and the third region on the free list, but not of the second; and an active group
 * with fresh slots.
 */
static void populate(void)
{
    begin(0, 3);

    const size_t of_third = object_count - 1;
    take(600);
    for (size_t i = 0; i < object_count; i += 3) {
        /* So many less, that the stack is full in the middle of a group. */
        if (i < of_third || i > of_third + 30) {
            cork_mempool_free(&pool, objects[i]);
        }
    }
    CHECK(cork_mempool_check(&pool));
    CHECK_POINTER(lent->kept, objects[0]);
    CHECK_EQUAL(lent->stack_count, 64);
    CHECK(cursor->bits != 0 && cursor->is_never_issued);
    CHECK(pool.newest == third && pool.first_linked > third->base);
    CHECK(first->groups[1].next != NULL && second->groups[0].next == NULL);
}

static struct cork_mempool_region *copy_of(const struct cork_mempool_region *region)
{
    static struct cork_mempool_region copy;

    copy = *region;
    return &copy;
}

/* There are no regions yet to which a geometry would not fit. */
TEST(check_sees_damage_to_a_pool_without_memory)
{
    static struct cork_mempool_region elsewhere = {.base = (char *)64, .reserved_count = 1};

    begin(0, 0);
    CHECK_SEES(geometry->stride, geometry->stride + 16, 16);
    CHECK_SEES(geometry->inverse, geometry->inverse ^ 1, geometry->inverse ^ (UINTPTR_MAX / 2 + 1));
    CHECK_SEES(geometry->shift, geometry->shift + 1, geometry->shift - 1,
               geometry->shift + 8 * sizeof(size_t));
    CHECK_SEES(geometry->element_size, 0, geometry->stride + 1);
    CHECK_SEES(geometry->alignment, 0, 6, 256);
    CHECK_SEES(geometry->redzone_size, 8);
    CHECK_SEES(geometry->block_slots, 0);
    CHECK_SEES(geometry->block_pitch, 2048);
    CHECK_SEES(geometry->tables, 4);
    CHECK_SEES(pool.protections, CORK_MEMPOOL_CANARY, 1u << 30);
    CHECK_SEES(pool.callbacks.construct, (int (*)(void *, void *))finish);
    CHECK_SEES(pool.callbacks.destruct, (void (*)(void *, void *))finish);
    CHECK_SEES(pool.callbacks.object, &elsewhere);
    CHECK_SEES(pool.name[sizeof(pool.name) - 1], 'x');
    CHECK_SEES(pool.oldest, &elsewhere);
    CHECK_SEES(pool.root, &elsewhere);
    CHECK_SEES(pool.first_linked, (char *)&elsewhere);
    CHECK_SEES(cursor->bits, 1);
    CHECK_SEES(cursor->group, pool.first_groups);
    CHECK_SEES(lent->owner, &pool);
    CHECK_SEES(lent->kept, &elsewhere);
    CHECK_SEES(lent->stack_count, 1);
    for (size_t i = 0; i < 2; i++) {
        CHECK_SEES(pool.lookup[i], &elsewhere);
        CHECK_SEES(lent->counts[i], 1);
    }
    CHECK_SEES(quarantine->count, 1);
    CHECK_SEES_FORGERY(quarantine->count = SIZE_MAX; cursor->bits = 1);
    CHECK_SEES(quarantine->capacity, 1);
    finish();
    /* Hooks and tables must be those of the protections. */
    begin(CORK_MEMPOOL_SEAL, 0);
    CHECK_SEES(pool.hooks, (const void *)&pool, NULL);
    CHECK_SEES(pool.protections, CORK_MEMPOOL_WIPE, CORK_MEMPOOL_GUARD | CORK_MEMPOOL_SEAL,
               CORK_MEMPOOL_SEAL | 1u << 30);
    CHECK_SEES(geometry->tables, geometry->tables ^ 16);
    finish();
}

TEST(check_sees_damage_to_the_lists_of_regions)
{
    populate();
    CHECK_SEES(geometry->stride, 0);
    CHECK_SEES(pool.oldest, NULL, second);
    CHECK_SEES(pool.newest, NULL, second);
    CHECK_SEES(first->newer, third, NULL);
    CHECK_SEES(second->newer, first, second);
    CHECK_SEES(third->newer, first);
    finish();
}

/* All that follows from the newest region agrees with it, but another is newer. */
TEST(check_sees_that_the_newest_region_is_not_the_last)
{
    begin(CORK_MEMPOOL_SEAL, 2);
    take(second->committed_count - 1);
    CHECK_EQUAL(second->extended_count, second->committed_count);
    CHECK_SEES_FORGERY(pool.newest = first; pool.lookup[0] = pool.lookup[1] = first;
                       lent->bases[0] = lent->bases[1] = first->base;
                       lent->groups[0] = lent->groups[1] = first->groups;
                       cursor->is_never_issued = false);
    finish();
}

/* Trees that are right in all but one thing, and such in which no search would end. */
TEST(check_sees_damage_to_the_tree_of_regions)
{
    struct cork_mempool_region *root, *child, *inner, **below, **above, **place;
    struct cork_mempool_region added = {.reserved_count = 1};

    populate();
    root = pool.root;
    below = root->below[0] != NULL ? &root->below[0] : &root->below[1];
    child = *below;
    CHECK_SEES(pool.root, NULL, child);
    CHECK_SEES(*below, NULL, root);
    CHECK_SEES(root->below[1], root);
    added.base = root->base + 1;
    CHECK_SEES(root->below[0], root, &added);
    for (place = &pool.root; *place != NULL;) {
        place = &(*place)->below[0];
    }
    added.base = NULL;
    CHECK_SEES(*place, &added);
    /* The second region has nothing to do with what else is checked. */
    for (place = &pool.root; *place != second;) {
        place = second->base < (*place)->base ? &(*place)->below[0] : &(*place)->below[1];
    }
    CHECK_SEES(*place, copy_of(second));
    /* In a tree that is turned, searches would find all, but not as fast as they should. */
    above = below == &root->below[0] ? &child->below[1] : &child->below[0];
    inner = *above;
    CHECK_SEES_FORGERY(pool.root = child; *below = inner; *above = root);
    *below = child;
    *above = inner;
    finish();
}

static void regions_are_checked(void)
{
    static uint64_t words[100];

    for (struct cork_mempool_region *region = first; region != NULL; region = region->newer) {
        CHECK_SEES(region->base, region->base + region->memory_size, region->base + 1);
        CHECK_SEES(region->extended_count, region->committed_count + 1, region->extended_count - 1);
        CHECK_SEES(region->committed_count, region->reserved_count + 1,
                   region->is_reserved ? 0 : region->committed_count - 1);
        CHECK_SEES(region->reserved_count, region->committed_count - 1, SIZE_MAX / geometry->stride,
                   region->reserved_count + (SIZE_MAX >> geometry->shift) + 1);
        CHECK_SEES(region->first_number, region->first_number + 1);
        CHECK_SEES(region->memory, region->base + 1);
        CHECK_SEES(region->memory_size, 100);
        CHECK_SEES(region->held, words);
        CHECK_SEES(region->fresh, words);
        CHECK_SEES(region->checksums, words);
        CHECK_SEES(region->sites, (struct cork_mempool_sites *)(void *)words);
        CHECK_SEES(region->ring, (void **)words);
    }
}

TEST(check_sees_damage_to_a_region_of_each_kind)
{
    populate();
    regions_are_checked();
    finish();
    begin(0, 2);
    requests_start_lacking(NO_HEAP);
    take_regions(3);
    requests_stop();
    CHECK(requests.mapped_size > 0);
    regions_are_checked();
    for (size_t i = 0; i < 2; i++) {
        CHECK_SEES(pool.lookup[i], copy_of(pool.lookup[i])); /* no entry on the stack would tell */
    }
    finish();
    begin_in_a_buffer(1);
    regions_are_checked();
    finish();
}

TEST(check_sees_damage_to_a_region_with_tables)
{
    begin(CORK_MEMPOOL_SEAL | CORK_MEMPOOL_QUARANTINE | CORK_MEMPOOL_CALLSITES, 1);
    CHECK_SEES(first->held, NULL);
    CHECK_SEES(first->fresh, NULL);
    CHECK_SEES(first->checksums, NULL);
    CHECK_SEES(first->sites, NULL);
    CHECK_SEES(first->ring, NULL);
    take(64);
    CHECK((first->fresh[0] & 1) == 0);
    CHECK_SEES(first->fresh[0], first->fresh[0] | 1);
    /* Nothing is lent, so no copy tells. */
    CHECK(first->extended_count == first->committed_count && first->extended_count % 64 != 0);
    CHECK_SEES(first->extended_count, first->extended_count + 1);
    CHECK_SEES(lent->counts[0], first->extended_count);
    CHECK_SEES(pool.lookup[1], &pool.first_region);
    first->base++;
    CHECK_SEES_FORGERY(lent->bases[0]++);
    CHECK_SEES_FORGERY(lent->bases[0]++; lent->bases[1]++; cursor->base++); /* misaligned */
    first->base--;
    finish();
}

TEST(check_sees_damage_to_the_quarantine)
{
    uint64_t *held;
    void *live;

    begin(CORK_MEMPOOL_QUARANTINE, 2);
    live = objects[30];
    CHECK_SEES(quarantine->first, quarantine->capacity);
    memset(first->ring, 0, quarantine->capacity * sizeof(void *));
    for (size_t i = 0; i < 10; i++) {
        cork_mempool_free(&pool, objects[i]);
    }
    held = first->held;
    CHECK_EQUAL(held[0], 0x3ff);
    CHECK_EQUAL(quarantine->count, 10);
    CHECK_SEES(held[0], 0x7ff, 0x1ff);
    CHECK_SEES(first->ring[9], live, first->ring[8]);
    CHECK_SEES(quarantine->capacity, 0, 9);
    CHECK_SEES(quarantine->first, 1, quarantine->capacity);
    CHECK_SEES(quarantine->count, 9, SIZE_MAX);
    /* A slot in quarantine that new finds. */
    cork_mempool_trim(&pool);
    CHECK(first->groups[0].next != NULL && held[0] == 0);
    cork_mempool_free(&pool, live);
    CHECK_SEES(first->groups[0].free, first->groups[0].free | held[0]);
    finish();
}

TEST(check_sees_damage_to_guards)
{
    begin(CORK_MEMPOOL_GUARD | CORK_MEMPOOL_QUARANTINE, 0);
    CHECK_SEES(geometry->block_slots, geometry->block_pitch);
    CHECK_SEES(geometry->block_pitch, geometry->block_pitch + 1);
    const size_t guard = geometry->block_slots;

    take(guard + 1);
    const uint64_t others = ~((uint64_t)1 << guard % 64);
    CHECK_SEES(pool.oldest->held[guard / 64], pool.oldest->held[guard / 64] & others);
    CHECK_SEES(pool.oldest->fresh[guard / 64], pool.oldest->fresh[guard / 64] & others);
    CHECK_SEES(geometry->block_slots, geometry->block_slots - 1);
    CHECK_SEES_FORGERY(pool.oldest->ring[0] = pool.oldest->base + guard * geometry->stride;
                       quarantine->count = 1);
    finish();
}

/* An object's entry on the stack. */
static uint32_t entry_of(const struct cork_mempool_region *region, const void *object)
{
    const size_t index = (size_t)((const char *)object - region->base) / geometry->stride;

    return (uint32_t)index << 1 | (region == pool.lookup[1]);
}

static uint64_t lowest_bit(uint64_t bits)
{
    return bits & (~bits + 1);
}

TEST(check_sees_damage_to_what_is_lent)
{
    populate();
    CHECK_SEES(lent->owner, &pool + 1, NULL);
    CHECK_SEES_FORGERY(memset(lent, 0, offsetof(struct cork_mempool_lent, stack_count)));
    CHECK_SEES(cursor->base, cursor->base + geometry->stride);
    CHECK_SEES(cursor->group, cursor->group - 1);
    CHECK_SEES(cursor->group->free, cursor->group->free & ~lowest_bit(cursor->bits));
    CHECK_SEES(cursor->bits, cursor->bits | lowest_bit(~cursor->group->free));
    for (int i = 0; i < 2; i++) {
        CHECK_SEES(lent->bases[i], lent->bases[i] + 1);
        CHECK_SEES(lent->groups[i], lent->groups[i] + 1);
        CHECK_SEES(lent->counts[i], lent->counts[i] + 1, 0);
        CHECK_SEES(pool.lookup[i], NULL, pool.lookup[1 - i]);
    }
    CHECK_SEES(cursor->region, NULL, second);
    /* The kept object: no slot, a linked slot, one on the stack, and one never extended to. */
    CHECK_SEES(lent->kept, (char *)lent->kept + 1, &pool, (void *)(uintptr_t)1, objects[3],
               objects[60], third->base + third->extended_count * geometry->stride);
    finish();
}

TEST(check_sees_damage_to_the_stack)
{
    struct cork_mempool_group *group;
    const char *object, *next;
    size_t index;

    populate();
    /* The last entries are of a group that is linked too. */
    index = lent->stack[63] / 2;
    object = third->base + index * geometry->stride;
    next = cursor->base + (size_t)__builtin_ctzll(cursor->bits) * geometry->stride;
    group = &third->groups[index / 64];
    CHECK_EQUAL(lent->stack[63], entry_of(third, object));
    CHECK(group->next != NULL);
    CHECK_SEES(lent->stack_count, 63 - 30, UINT32_MAX);
    /* A live slot, one of the other region, one twice, none, and one that new takes next. */
    CHECK_SEES(lent->stack[63], entry_of(third, object + geometry->stride), lent->stack[63] ^ 1,
               lent->stack[62], UINT32_MAX, entry_of(third, next));
    CHECK_SEES(group->free, group->free & ~((uint64_t)1 << index % 64));
    finish();
}

/* A further entry, a right one, stands where a pool with a buffer uses nothing behind the stack. */
TEST(check_sees_that_the_stack_has_more_entries_than_it_has_room_for)
{
    begin_in_a_buffer(900);
    for (size_t i = 899; i >= 600; i--) {
        cork_mempool_free(&pool, objects[i]);
    }
    CHECK_EQUAL(lent->stack_count, 64);
    const uint32_t entry = entry_of(first, objects[600]);

    CHECK(first->groups[entry / 2 / 64].next != NULL);
    CHECK_SEES_FORGERY(memcpy(&pool.first_region, &entry, sizeof(entry)); lent->stack_count = 65);
    finish();
}

/* In pools with hooks new and free find nothing by themselves. */
TEST(check_sees_that_something_is_lent_where_hooks_forbid_it)
{
    begin(CORK_MEMPOOL_SEAL, 2);
    take(3);
    cork_mempool_free(&pool, objects[object_count - 1]);
    cork_mempool_free(&pool, objects[0]);
    const uint32_t entry = entry_of(second, objects[object_count - 1]);

    CHECK(lent->owner == NULL && cursor->bits != 0 && cursor->region == second);
    CHECK((cursor->bits >> entry / 2 % 64 & 1) == 0);
    CHECK_SEES(lent->kept, objects[1]);
    CHECK_SEES(cursor->fresh, lowest_bit(cursor->bits));
    CHECK_SEES_FORGERY(lent->stack[0] = entry; lent->stack_count = 1);
    CHECK_SEES(lent->counts[1], second->extended_count);
    CHECK_SEES(lent->owner, &pool);
    finish();
    /* Hooks of canaries lend new what is not fresh. */
    begin_with(OPTIONS(.element_size = 8, .block_size = 8192, .protections = CORK_MEMPOOL_CANARY),
               1);
    take(63);
    for (size_t i = 0; i < 64; i++) {
        cork_mempool_free(&pool, objects[i]);
    }
    take(2);
    CHECK(cursor->bits != 0);
    CHECK_SEES(first->fresh[0], first->fresh[0] | lowest_bit(cursor->bits));
    CHECK_SEES(lent->counts[0], first->extended_count);
    CHECK_SEES(cursor->fresh, lowest_bit(cursor->bits));
    /* The first is kept, the second is free in the active group, but the cursor does not name it.
     */
    cork_mempool_free(&pool, objects[64]);
    cork_mempool_free(&pool, objects[65]);
    CHECK_SEES_FORGERY(lent->stack[0] = entry_of(first, objects[65]); lent->stack_count = 1);
    finish();
}

/* The active group is one of an older region, and then one of the newest; it has no more slots. */
TEST(check_sees_damage_to_an_active_group_that_was_not_extended_last)
{
    begin(CORK_MEMPOOL_SEAL, 3);
    take(third->committed_count - 1);
    CHECK_EQUAL(third->extended_count, third->committed_count);
    cork_mempool_free(&pool, objects[0]);
    CHECK_POINTER(cork_mempool_new(&pool), objects[0]);
    CHECK(cursor->group == first->groups && cursor->bits == 0);
    CHECK_SEES(lent->owner, &pool); /* no fresh slot would tell */
    CHECK_SEES(cursor->is_never_issued, true);
    CHECK_SEES(cursor->group, cursor->group + 2);
    CHECK_SEES(cursor->bits, 1);
    CHECK_SEES(cursor->region, copy_of(first));
    cork_mempool_free(&pool, third->base);
    CHECK(pool.first_linked == third->base && third->groups->next == third->base);
    CHECK_SEES(pool.first_linked, second->base); /* which is not linked */
    CHECK_POINTER(cork_mempool_new(&pool), third->base);
    CHECK(cursor->group == third->groups);
    CHECK_SEES(cursor->is_never_issued, true);
    finish();
}

TEST(check_sees_damage_to_groups_and_their_free_list)
{
    struct cork_mempool_group *head;
    char *start, *next;

    populate();
    head = &first->groups[1];
    CHECK(first->extended_count % 64 != 0 && head->next != NULL);
    CHECK_SEES(head->free, head->free | (uint64_t)1 << first->extended_count % 64);
    CHECK_SEES(head->next, NULL);
    head = &second->groups[0];
    CHECK(head->next == NULL);
    CHECK_SEES(head->free, head->free | lowest_bit(~head->free)); /* which new would not find */
    CHECK_SEES(head->next, second->base);
    start = pool.first_linked;
    head = &third->groups[(size_t)(start - third->base) / geometry->stride / 64];
    next = head->next;
    CHECK(next != start);
    CHECK_SEES(pool.first_linked, NULL, next, start + 1, start + geometry->stride, (char *)&pool,
               third->base + (third->extended_count + 63) / 64 * 64 * geometry->stride);
    CHECK_SEES(head->next, start, (char *)(uintptr_t)1);
    head = &third->groups[(size_t)(next - third->base) / geometry->stride / 64];
    CHECK(head->next != NULL);
    CHECK_SEES(head->next, start); /* which must not hold up the check for ever */
    finish();
}
