/* SPDX-License-Identifier: BSD-3-Clause */
#include "crowd.h"

#include <stdint.h>

#include "harness.h"
#include "pools.h"
#include "requests.h"

static void take_one(struct crowd *crowd)
{
    const size_t number = crowd->count++;

    CHECK(number < COUNT_OF(crowd->objects));
    crowd->objects[number] = cork_mempool_new(&crowd->mp);
    CHECK(crowd->objects[number] != NULL);
    fill(crowd->objects[number], sizeof(struct person), number);
}

void crowd_gather(struct crowd *crowd)
{
    cork_mempool_init(&crowd->mp, struct person);
    crowd->count = 0;
    requests_start();
    for (size_t region = 0; region < CROWD_PLACE_COUNT / 2; region++) {
        requests_refuse(region == CROWD_RESERVED ? HEAP : MAPPINGS, REFUSE_FROM, 1);
        while (stats_of(&crowd->mp).region_count == region) {
            take_one(crowd);
        }
        crowd->places[2 * region] = crowd->count - 1;
        crowd->places[2 * region + 1] = crowd->count + (region < CROWD_RESERVED ? 1 : 20);
    }
    requests_stop();
    CHECK(requests.refused_count > 0 && requests.mapped_size > 0);
    for (size_t i = 0; i < 30; i++) {
        take_one(crowd);
    }
    CHECK_EQUAL(stats_of(&crowd->mp).region_count, CROWD_PLACE_COUNT / 2);
    crowd->unissued_count = stats_of(&crowd->mp).free_count;
    CHECK(crowd->unissued_count > 30);
}

void crowd_disperse(struct crowd *crowd)
{
    uint64_t random = test_seed();
    size_t live_count = 0;

    for (size_t i = 0; i < crowd->count; i++) {
        CHECK(crowd->objects[i] == NULL || is_filled(crowd->objects[i], sizeof(struct person), i));
        live_count += crowd->objects[i] != NULL;
    }
    CHECK(cork_mempool_check(&crowd->mp));
    CHECK_EQUAL(stats_of(&crowd->mp).live_count, live_count);
    for (size_t left = crowd->count; left > 0; left--) {
        const size_t i = (size_t)(test_random(&random) % left);

        cork_mempool_free(&crowd->mp, crowd->objects[i]);
        crowd->objects[i] = crowd->objects[left - 1];
    }
    exercise(&crowd->mp, crowd->count);
}
