/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * What LeakSanitizer is told of reservations, where it is there; here the test stands in for it.
 */

#include "test/support/pools.h"
#include "test/support/requests.h"

static size_t registered_size;

#if !TEST_UNDER_ASAN /* which has the real ones */
void __lsan_register_root_region(const void *memory, size_t size);
void __lsan_unregister_root_region(const void *memory, size_t size);

void __lsan_register_root_region(const void *memory, size_t size)
{
    CHECK(memory != NULL);
    registered_size += size;
}

void __lsan_unregister_root_region(const void *memory, size_t size)
{
    CHECK(memory != NULL);
    registered_size -= size;
}
#endif

TEST(all_reservations_are_known_to_who_looks_for_leaks)
{
    static void *objects[30000];

    if (TEST_UNDER_ASAN) {
        test_skip("AddressSanitizer has the real one");
    }
    for (size_t i = 0; i < COUNT_OF(all_protections); i++) {
        struct cork_mempool mp;

        INIT(&mp, .element_size = 64, .protections = all_protections[i]);
        requests_start();
        take_objects(&mp, objects, COUNT_OF(objects));
        CHECK(registered_size > 0);
        CHECK_EQUAL(registered_size, requests.mapped_size);
        /* It would fault at guards that the list of mappings does not show. */
        CHECK_EQUAL(requests.guard_size, 0);
        give_objects(&mp, objects, COUNT_OF(objects));
        cork_mempool_done(&mp);
        requests_stop();
        CHECK_EQUAL(registered_size, 0);
    }
}
