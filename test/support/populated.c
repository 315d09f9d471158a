/* SPDX-License-Identifier: BSD-3-Clause */
#include "populated.h"

#include <stdint.h>

#include "harness.h"
#include "pools.h"
#include "requests.h"

static void take_one(struct populated_pool *populated)
{
    const size_t number = populated->count++;

    CHECK(number < COUNT_OF(populated->objects));
    populated->objects[number] = cork_mempool_new(&populated->mp);
    CHECK(populated->objects[number] != NULL);
    fill(populated->objects[number], sizeof(struct element), number);
}

void populate(struct populated_pool *populated)
{
    cork_mempool_init(&populated->mp, struct element);
    populated->count = 0;
    requests_start();
    for (size_t region = 0; region < POPULATED_PLACE_COUNT / 2; region++) {
        requests_refuse(region == POPULATED_RESERVED ? HEAP : MAPPINGS, REFUSE_FROM, 1);
        while (stats_of(&populated->mp).region_count == region) {
            take_one(populated);
        }
        populated->places[2 * region] = populated->count - 1;
        populated->places[2 * region + 1] =
            populated->count + (region < POPULATED_RESERVED ? 1 : 20);
    }
    requests_stop();
    CHECK(requests.refused_count > 0 && requests.mapped_size > 0);
    for (size_t i = 0; i < 30; i++) {
        take_one(populated);
    }
    CHECK_EQUAL(stats_of(&populated->mp).region_count, POPULATED_PLACE_COUNT / 2);
    populated->unissued_count = stats_of(&populated->mp).free_count;
    CHECK(populated->unissued_count > 30);
}

void end_populated(struct populated_pool *populated)
{
    uint64_t random = test_seed();
    size_t live_count = 0;

    for (size_t i = 0; i < populated->count; i++) {
        CHECK(populated->objects[i] == NULL ||
              is_filled(populated->objects[i], sizeof(struct element), i));
        live_count += populated->objects[i] != NULL;
    }
    CHECK(cork_mempool_check(&populated->mp));
    CHECK_EQUAL(stats_of(&populated->mp).live_count, live_count);
    for (size_t left = populated->count; left > 0; left--) {
        const size_t i = (size_t)(test_random(&random) % left);

        cork_mempool_free(&populated->mp, populated->objects[i]);
        populated->objects[i] = populated->objects[left - 1];
    }
    exercise(&populated->mp, populated->count);
}
