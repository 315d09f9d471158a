/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * Regions of a buffer: how many objects a buffer holds, and that its pool has no other memory.
 */

#include "test/support/memory.h"

/* The buffer, with bytes on both sides that must stay as they are. */
#define MARGIN      4096
#define BUFFER_SIZE 65536
#define UNUSED      0 /* what fill fills it with */

/* What the environment may add in a buffer. */
#define ENVIRONMENT (CORK_MEMPOOL_WIPE | CORK_MEMPOOL_SHUFFLE)

static _Alignas(4096) unsigned char arena[MARGIN + BUFFER_SIZE + MARGIN];
static void *objects[BUFFER_SIZE];

/* Takes and frees all that a buffer has room for, again and again; says how much that is. Of what
 * is live trim gives nothing back, because the memory is not the pool's to give. In the last round,
 * which follows a trim of all, objects come in the order of their slots. */
static size_t use_up(struct cork_mempool *mp, const unsigned char *buffer, size_t buffer_size)
{
    const size_t size = stats_of(mp).element_size;
    const size_t alignment = stats_of(mp).alignment;
    size_t capacity = 0, kept = 0;

    for (size_t round = 0; round < 3; round++) {
        const size_t count = take_until_null(mp, objects, kept, COUNT_OF(objects));

        for (size_t i = 0; i < count; i++) {
            CHECK((uintptr_t)objects[i] >= (uintptr_t)buffer);
            CHECK((uintptr_t)objects[i] - (uintptr_t)buffer <= buffer_size - size);
            CHECK_EQUAL((uintptr_t)objects[i] % alignment, 0);
            CHECK(is_filled(objects[i], size, i));
        }
        CHECK(round == 0 || count == capacity);
        CHECK_EQUAL(stats_of(mp).free_count, 0);
        CHECK_EQUAL(stats_of(mp).region_count, 1);
        CHECK(stats_of(mp).memory_size <= buffer_size);
        capacity = count;
        kept = round == 0;
        free_objects(mp, objects, kept, count);
        CHECK(cork_mempool_trim(mp) == 0 || kept == 0);
        CHECK(cork_mempool_check(mp));
    }
    return capacity;
}

/* The capacity of a buffer at an offset, which is 0 where init refuses it. The next call writes to
 * all of it, which is the caller's again after done. */
static size_t capacity_of(size_t element_size, size_t alignment, unsigned protections,
                          size_t buffer_size, size_t offset)
{
    unsigned char *const buffer = arena + MARGIN + offset;
    unsigned char *const end = buffer + buffer_size;
    struct cork_mempool mp;
    size_t capacity = 0;

    CHECK(offset + buffer_size <= BUFFER_SIZE);
    fill(arena, sizeof(arena), UNUSED);
    requests_start();
    if (cork_mempool_init_with(&mp, OPTIONS(.element_size = element_size, .alignment = alignment,
                                            .protections = protections, .buffer = buffer,
                                            .buffer_size = buffer_size))) {
        capacity = use_up(&mp, buffer, buffer_size);
        CHECK(capacity > 0);
        cork_mempool_done(&mp);
    }
    requests_stop();
    CHECK_EQUAL(requests.count + requests.advice_count, 0);
    CHECK(is_filled(arena, capacity > 0 ? MARGIN + offset : sizeof(arena), UNUSED));
    CHECK(is_filled(end, (size_t)(arena + sizeof(arena) - end), UNUSED));
    return capacity;
}

/* What a canary takes of a slot, besides what the pool itself puts there. */
static size_t canary_size(unsigned protections)
{
    return (protections & CORK_MEMPOOL_CANARY) != 0 ? 16 - GAP_SIZE : 0;
}

/* Of each capacity, the smallest buffer ends with the last slot. A caller has counted how many fit,
 * so there are as many with what the environment may ask for. */
TEST(a_buffer_that_grows_holds_one_object_more_when_there_is_room_and_never_less)
{
    enum { RING = CORK_MEMPOOL_QUARANTINE, SUMS = CORK_MEMPOOL_SEAL | CORK_MEMPOOL_CALLSITES };
    static const struct {
        size_t element_size, alignment, step, limit, offset;
        unsigned protections;
    } cases[] = {{1, 0, 1, 500, 0, 0},
                 {8, 0, 1, 1500, 0, 0},
                 {24, 0, 1, 1500, 0, 0},
                 {24, 8, 5, 1500, 0, 0},
                 {100, 4, 3, 1500, 0, 0},
                 {64, 64, 1, 1500, 0, 0},
                 {64, 64, 8, 40000, 8, 0},
                 {256, 256, 8, 40000, 8, 0},
                 {1024, 1024, 8, 40000, 8, 0},
                 {256, 256, 8, 40000, 8, SUMS},
                 {1 << 14, 16, 512, 65024, 0, 0},
                 {2, 1, 1, 5000, 0, RING},
                 {2, 1, 1, 5000, 0, SUMS},
                 {24, 8, 1, 1500, 0, CORK_MEMPOOL_CANARY}};

    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        const size_t element_size = cases[i].element_size;
        const size_t alignment = cases[i].alignment;
        const size_t offset = cases[i].offset;
        const size_t slot_size =
            type_slot_needed(element_size + canary_size(cases[i].protections),
                             alignment != 0 ? alignment : alignment_needed(element_size));
        size_t before = 0, last_size = 0;

        for (size_t size = 1; size < cases[i].limit; size += cases[i].step) {
            test_row("element size %zu, buffer size %zu", element_size, size);
            const bool is_plain = cases[i].protections == 0 && size < 2000;
            const size_t expected =
                is_plain ? capacity_of(element_size, alignment, ENVIRONMENT, size, offset) : 0;
            const size_t capacity =
                capacity_of(element_size, alignment, cases[i].protections, size, offset);

            CHECK(!is_plain || capacity == expected);
            CHECK(capacity >= before);
            CHECK(cases[i].step > element_size || capacity <= before + 1);
            if (capacity > before) {
                const char *const end = (char *)objects[capacity - 1] + slot_size;
                const size_t left = (size_t)((char *)arena + MARGIN + offset + size - end);

                CHECK(left < cases[i].step);
                /* Another group costs a little more. */
                CHECK(before == 0 || element_size < 64 || cases[i].protections != 0 ||
                      size - last_size < 2 * slot_size + capacity / 65);
                last_size = size;
            }
            before = capacity;
        }
        CHECK(before > 0);
    }
}

/* The bytes that are kept of 64 slots, those in quarantine apart. */
static size_t tables_size(unsigned protections)
{
    const bool has_checksum = (protections & CORK_MEMPOOL_SEAL) != 0;
    const bool has_sites = (protections & CORK_MEMPOOL_CALLSITES) != 0;
    const bool is_held = (protections & CORK_MEMPOOL_QUARANTINE) != 0;

    return sizeof(struct cork_mempool_group) + (1 + is_held) * sizeof(uint64_t) +
           64 * (has_checksum * sizeof(uint64_t) + has_sites * 2 * sizeof(void *));
}

/* What a buffer holds besides its slots and their tables. */
#define OVERHEAD_MAX 512

TEST(a_buffer_of_any_size_at_any_address_holds_all_that_fits_with_any_alignment)
{
    static const size_t cases[][2] = {{1, 1},    {16, 16},  {24, 8},   {100, 4},
                                      {3000, 8}, {40, 256}, {40, 4096}}; /* and alignments */

    for (size_t i = 0; i < PROTECTIONS_COUNT * COUNT_OF(cases); i++) {
        const unsigned protections = without_guards(i / COUNT_OF(cases));
        const size_t element_size = cases[i % COUNT_OF(cases)][0];
        const size_t alignment = cases[i % COUNT_OF(cases)][1];
        const size_t group_size =
            64 * type_slot_needed(element_size + canary_size(protections), alignment) +
            tables_size(protections);
        const size_t ring_count = (protections & CORK_MEMPOOL_QUARANTINE) != 0 ? 256 : 0;

        for (size_t offset = 0; offset < 20; offset += offset < 10 ? 1 : 3) {
            for (size_t size = 1; size < 20000; size += size < 600 ? 97 : 5501) {
                const size_t capacity =
                    capacity_of(element_size, alignment, protections, size, offset);

                test_row("element size %zu, alignment %zu, protections %#x, buffer size %zu",
                         element_size, alignment, protections, size);
                CHECK((protections & ENVIRONMENT) == 0 || (protections & ~ENVIRONMENT) != 0 ||
                      capacity == capacity_of(element_size, alignment, 0, size, offset));

                const size_t overhead =
                    OVERHEAD_MAX + 2 * alignment +
                    sizeof(void *) * (capacity < ring_count ? capacity : ring_count);
                CHECK(size < overhead || capacity >= (size - overhead) * 64 / group_size);
            }
        }
    }
}
