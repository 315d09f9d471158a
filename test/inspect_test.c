/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * cork_mempool_check on pools that a stray write has hit, and the guards that stop one. These
 * tests, and no others, know the private fields, for there is no other way to damage one at a time.
 */

#include <stdint.h>

#include "crowd.h"
#include "harness.h"
#include "pools.h"

static struct crowd crowd;

/* Damages a word, which check must see, and repairs it, after which check must be content. */
#define CHECK_SEES(field, damage)                                                                  \
    do {                                                                                           \
        const __typeof__(field) sound = (field);                                                   \
        field = damage;                                                                            \
        CHECK(!cork_mempool_check(&crowd.mp));                                                     \
        field = sound;                                                                             \
        CHECK(cork_mempool_check(&crowd.mp));                                                      \
    } while (0)

/* A crowd in which groups of all regions are on the free list, and the open group is the newest. */
static void gather(void)
{
    crowd_gather(&crowd);
    for (size_t i = 0; i < CROWD_PLACE_COUNT; i++) {
        cork_mempool_free(&crowd.mp, crowd.objects[crowd.places[i]]);
        crowd.objects[crowd.places[i]] = NULL;
    }
    CHECK(cork_mempool_check(&crowd.mp));
}

TEST(check_sees_damage_to_the_geometry)
{
    struct cork_mempool_geometry *geometry = &crowd.mp.geometry;

    gather();
    CHECK_SEES(geometry->stride, geometry->stride + 16);
    CHECK_SEES(geometry->stride, 16);
    CHECK_SEES(geometry->inverse, geometry->inverse ^ 1);
    CHECK_SEES(geometry->inverse, geometry->inverse ^ (UINTPTR_MAX / 2 + 1));
    CHECK_SEES(geometry->shift, geometry->shift + 1);
    CHECK_SEES(geometry->shift, geometry->shift - 1);
    CHECK_SEES(geometry->element_size, geometry->stride + 1);
    CHECK_SEES(geometry->alignment, 64);
    CHECK_SEES(geometry->block_slots, 0);
    crowd_disperse(&crowd);
}

TEST(check_sees_damage_to_the_open_group)
{
    struct cork_mempool *mp = &crowd.mp;

    gather();
    CHECK(mp->open != 0);
    CHECK_SEES(mp->open_base, mp->open_base + PERSON_SLOT);
    CHECK_SEES(mp->open_region, &mp->nursery);
    CHECK_SEES(mp->open_group, mp->open_group - 1);
    CHECK_SEES(mp->open_group, mp->open_group + 1);
    CHECK_SEES(mp->open_group, (struct cork_mempool_group *)(void *)((char *)mp->open_group + 1));
    CHECK_SEES(mp->open_group, NULL);
    CHECK_SEES(mp->open_group, &mp->nursery_group);
    CHECK(mp->open_group->free != UINT64_MAX);
    CHECK_SEES(mp->open, mp->open | (~mp->open_group->free & (mp->open_group->free + 1)));
    CHECK_SEES(mp->open_group->free, mp->open_group->free & (mp->open - 1));
    crowd_disperse(&crowd);
}

TEST(check_sees_damage_to_the_near_region)
{
    struct cork_mempool *mp = &crowd.mp;

    gather();
    CHECK(mp->slot_count != 0);
    CHECK_SEES(mp->base, mp->base + PERSON_SLOT);
    CHECK_SEES(mp->base, mp->base - 1);
    CHECK_SEES(mp->slot_count, mp->slot_count + 1);
    CHECK_SEES(mp->slot_count, mp->slot_count - 1);
    CHECK_SEES(mp->slot_count, 0);
    CHECK_SEES(mp->groups, mp->groups + 1);
    CHECK_SEES(mp->near_region, &mp->nursery);
    crowd_disperse(&crowd);
}

TEST(check_sees_damage_to_a_region)
{
    struct cork_mempool_region *region;

    gather();
    for (region = crowd.mp.newest; region != NULL; region = region->older) {
        CHECK_SEES(region->base, region->base + 1);
        CHECK_SEES(region->carved_count, region->usable_count + 1);
        CHECK_SEES(region->carved_count, region->carved_count - 1);
        CHECK_SEES(region->usable_count, region->capacity + 1);
        CHECK_SEES(region->usable_count, region->carved_count - 1);
        CHECK_SEES(region->capacity, region->usable_count - 1);
        if (region != crowd.mp.newest) {
            CHECK_SEES(region->carved_count, region->carved_count - 64);
        }
    }
    crowd_disperse(&crowd);
}

TEST(check_sees_damage_to_groups)
{
    gather();
    for (struct cork_mempool_region *region = crowd.mp.newest; region != NULL;
         region = region->older) {
        struct cork_mempool_group *last = &region->groups[(region->carved_count - 1) / 64];
        struct cork_mempool_group *first = region->groups;

        CHECK(first->free != 0 && (first->next == NULL) == (first == crowd.mp.open_group));
        CHECK_SEES(first->next, first->next == NULL ? first : NULL);
        if (region->carved_count % 64 != 0) {
            const uint64_t beyond = (uint64_t)1 << region->carved_count % 64;

            last->free |= beyond;
            CHECK(!cork_mempool_check(&crowd.mp));
            last->free &= ~beyond;
        }
    }
    CHECK(cork_mempool_check(&crowd.mp));
    crowd_disperse(&crowd);
}

TEST(check_sees_damage_to_the_free_list)
{
    struct cork_mempool *mp = &crowd.mp;
    struct cork_mempool_group *first;
    struct cork_mempool_group *second;
    struct cork_mempool_group elsewhere = {.free = 0};

    gather();
    first = mp->free_list;
    CHECK(first != NULL && first->next != first);
    second = first->next;
    elsewhere.next = first;
    CHECK_SEES(mp->free_list, NULL);
    CHECK_SEES(mp->free_list, second);
    CHECK_SEES(mp->free_list, &elsewhere);
    CHECK_SEES(mp->free_list, (struct cork_mempool_group *)(void *)((char *)first + 4));
    CHECK_SEES(first->next, first);
    CHECK_SEES(first->next, &elsewhere);
    CHECK_SEES(first->next, (struct cork_mempool_group *)(uintptr_t)1);
    /* A list that comes back to itself must not hold up the check for ever. */
    CHECK_SEES(second->next, first);
    crowd_disperse(&crowd);
}

/* There memory reads like a group that ends the list; but it is none. */
TEST(check_sees_a_free_list_of_what_is_between_or_behind_groups)
{
    struct cork_mempool *mp = &crowd.mp;
    void *objects[200];

    cork_mempool_init_size(mp, 24);
    take_objects(mp, objects, 64);
    take_objects(mp, objects + 64, 1);
    take_objects(mp, objects + 65, 135);
    give_objects(mp, objects + 64, 1);
    struct cork_mempool_group *const groups = mp->free_list;
    const size_t count = (mp->newest->carved_count + 63) / 64;
    CHECK(groups == mp->newest->groups && groups->next == groups);
    CHECK(count > 2 && groups[1].free == 0);
    CHECK_SEES(mp->free_list, (struct cork_mempool_group *)(void *)&groups->next);
    CHECK_SEES(mp->free_list, &groups[count]);
    give_objects(mp, objects, 64);
    give_objects(mp, objects + 65, 135);
    cork_mempool_done(mp);
}

TEST(check_sees_damage_to_a_pool_that_has_issued_all)
{
    struct cork_mempool *mp = &crowd.mp;
    void *objects[128];

    cork_mempool_init_size(mp, 24);
    take_objects(mp, objects, 128);
    CHECK_EQUAL(mp->open, 0);
    CHECK_EQUAL(stats_of(mp).slot_size, slot_needed(24));
    CHECK_SEES(mp->open_group, NULL);
    CHECK_SEES(mp->open_group, (struct cork_mempool_group *)(void *)((char *)mp->open_group + 1));
    CHECK_SEES(mp->geometry.stride, mp->geometry.stride + 16);
    CHECK_SEES(mp->newest->usable_count, mp->newest->capacity + 1);
    CHECK_SEES(mp->newest->older->carved_count, 0);
    give_objects(mp, objects, 128);
    cork_mempool_done(mp);
}

TEST(check_sees_damage_to_a_pool_without_memory)
{
    struct cork_mempool *mp = &crowd.mp;

    cork_mempool_init_size(mp, 16);
    CHECK_SEES(mp->geometry.alignment, 64);
    CHECK_SEES(mp->open, 1);
    CHECK_SEES(mp->veiled, 1);
    CHECK_SEES(mp->slot_count, 1);
    CHECK_SEES(mp->free_list, &mp->nursery_group);
    cork_mempool_done(mp);
}

TEST(check_sees_damage_to_a_pool_with_protections)
{
    const struct cork_mempool_options options = {
        .element_size = 24, .protections = CORK_MEMPOOL_SHUFFLE | CORK_MEMPOOL_QUARANTINE};
    struct cork_mempool *mp = &crowd.mp;
    void *objects[70];

    CHECK(cork_mempool_init_with(mp, &options));
    CHECK_SEES(mp->veiled, 1);
    take_objects(mp, objects, 70);
    cork_mempool_free(mp, objects[69]);
    CHECK(mp->veiled != 0 && mp->open_group == &mp->newest->groups[1] && mp->veiled_count != 0);
    /* What is free and what may be freed must be veiled, or it would be without the protections. */
    CHECK_SEES(mp->open, mp->veiled);
    mp->slot_count = mp->veiled_count;
    mp->veiled_count = 0;
    CHECK(!cork_mempool_check(mp));
    mp->veiled_count = mp->slot_count;
    mp->slot_count = 0;
    CHECK_SEES(mp->newest->withheld[1], mp->newest->withheld[1] | mp->veiled);
    give_objects(mp, objects, 69);
    cork_mempool_done(mp);
}

/* AddressSanitizer would have its say before the guards have theirs. */
__attribute__((no_sanitize("address"))) static void touch(const void *pointer)
{
    (void)*(volatile const char *)pointer;
}

TEST(a_run_over_slots_or_descriptors_faults_before_it_meets_others)
{
    static const char *around[8];
    size_t count = 0;

    crowd_gather(&crowd);
    for (struct cork_mempool_region *region = crowd.mp.newest; region != NULL;
         region = region->older) {
        const uintptr_t end = (uintptr_t)region->base + region->capacity * PERSON_SLOT;

        /* The oldest region is the nursery, and the newest comes from the heap: neither is guarded.
         */
        if (region != &crowd.mp.nursery && region != crowd.mp.newest) {
            around[count++] = (char *)region - 1;
            around[count++] = region->base - crowd.mp.geometry.lead_size - 1;
            around[count++] = (const char *)((end + 4095) / 4096 * 4096);
        }
    }
    CHECK_EQUAL(count, 6);
    for (size_t i = 0; i < count; i++) {
        CHECK_FAULTS(touch(around[i]));
    }
    CHECK_PASSES(touch(crowd.objects[crowd.places[2]]));
    crowd_disperse(&crowd);
}

/* Fast paths must be closed where protections have to do with what they do. */
TEST(check_sees_damage_to_the_veil_of_a_guarded_pool)
{
    const struct cork_mempool_options options = {.element_size = 24,
                                                 .protections = CORK_MEMPOOL_WIPE};
    struct cork_mempool *mp = &crowd.mp;
    void *objects[10];

    CHECK(cork_mempool_init_with(mp, &options));
    take_objects(mp, objects, COUNT_OF(objects));
    cork_mempool_free(mp, objects[0]);
    CHECK_EQUAL(mp->open, 0);
    CHECK_EQUAL(mp->slot_count, 0);
    CHECK(mp->veiled != 0 && mp->veiled_count != 0);
    CHECK_SEES(mp->open, mp->veiled);
    CHECK_SEES(mp->slot_count, 1);
    /* The sum is right, but where it stands is not. */
    mp->slot_count = mp->veiled_count;
    mp->veiled_count = 0;
    CHECK(!cork_mempool_check(mp));
    mp->veiled_count = mp->slot_count;
    mp->slot_count = 0;
    cork_mempool_clear(mp);
    cork_mempool_done(mp);
}

TEST(check_sees_that_a_slot_is_both_withheld_and_free)
{
    const struct cork_mempool_options options = {.element_size = 24,
                                                 .protections = CORK_MEMPOOL_QUARANTINE};
    struct cork_mempool *mp = &crowd.mp;
    void *objects[100];

    CHECK(cork_mempool_init_with(mp, &options));
    take_objects(mp, objects, COUNT_OF(objects));
    give_objects(mp, objects, 64);
    CHECK_EQUAL(mp->newest->withheld[0], UINT64_MAX);
    CHECK_SEES(mp->newest->groups[0].free, 1);
    /* This pool has an open word, for it guards its frees alone. */
    CHECK(mp->open != 0);
    CHECK_SEES(mp->slot_count, 1);
    cork_mempool_clear(mp);
    cork_mempool_done(mp);
}
