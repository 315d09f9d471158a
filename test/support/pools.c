/* SPDX-License-Identifier: BSD-3-Clause */
#include "pools.h"

#include <stdalign.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define ALONE(name, word) CORK_MEMPOOL_##name,

const unsigned all_protections[PROTECTIONS_COUNT] = {
    0,
    CORK_MEMPOOL_PROTECTIONS_(ALONE) /* and: */
        CORK_MEMPOOL_SEAL |
        CORK_MEMPOOL_QUARANTINE | CORK_MEMPOOL_SHUFFLE,
    CORK_MEMPOOL_PARANOID,
    CORK_MEMPOOL_PARANOID | CORK_MEMPOOL_SEAL,
};

unsigned set_of(unsigned number)
{
    unsigned set = 0;

    for (; number != 0; number &= number - 1) {
        set |= all_protections[1 + __builtin_ctz(number)];
    }
    return set;
}

size_t page_size(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

struct cork_mempool_stats stats_of(const struct cork_mempool *mp)
{
    struct cork_mempool_stats stats;

    cork_mempool_stats(mp, &stats);
    return stats;
}

bool same_stats(const struct cork_mempool_stats *a, const struct cork_mempool_stats *b)
{
    return memcmp(a, b, sizeof(*a)) == 0;
}

static unsigned char pattern(size_t number)
{
    return (unsigned char)(number * 37 + 11);
}

void fill(void *object, size_t size, size_t number)
{
    memset(object, pattern(number), size);
}

bool is_filled(const void *object, size_t size, size_t number)
{
    const unsigned char *bytes = object;

    return bytes[0] == pattern(number) && memcmp(bytes, bytes + 1, size - 1) == 0;
}

size_t alignment_needed(size_t size)
{
    size_t alignment = 1;

    while (alignment <= size / 2 &&
           (alignment < alignof(max_align_t) || size % (alignment * 2) == 0)) {
        alignment *= 2;
    }
    return alignment;
}

size_t slot_needed(size_t size)
{
    return type_slot_needed(size, alignment_needed(size));
}

size_t type_slot_needed(size_t size, size_t alignment)
{
    if (TEST_UNDER_ASAN) {
        alignment = alignment < 8 ? 8 : alignment;
        size += GAP_SIZE;
    }
    return (size + alignment - 1) / alignment * alignment;
}

bool regions_are_small(void)
{
    struct rlimit limit;

    CHECK_EQUAL(getrlimit(RLIMIT_AS, &limit), 0);
    return TEST_UNDER_ASAN || SIZE_MAX <= UINT32_MAX || limit.rlim_cur != RLIM_INFINITY;
}

void make_regions_small(void)
{
    struct rlimit limit;

    CHECK_EQUAL(getrlimit(RLIMIT_AS, &limit), 0);
    limit.rlim_cur -= limit.rlim_cur == RLIM_INFINITY;
    CHECK_EQUAL(setrlimit(RLIMIT_AS, &limit), 0);
}

void take_objects(struct cork_mempool *mp, void **objects, size_t count)
{
    const struct cork_mempool_stats before = stats_of(mp);

    for (size_t i = 0; i < count; i++) {
        objects[i] = cork_mempool_new(mp);
        CHECK(objects[i] != NULL);
        CHECK_EQUAL((uintptr_t)objects[i] % before.alignment, 0);
        fill(objects[i], before.element_size, i);
    }
    CHECK_EQUAL(stats_of(mp).live_count, before.live_count + count);
    CHECK(cork_mempool_check(mp));
}

void give_objects(struct cork_mempool *mp, void **objects, size_t count)
{
    const struct cork_mempool_stats before = stats_of(mp);

    for (size_t i = 0; i < count; i++) {
        CHECK(is_filled(objects[i], before.element_size, i));
        cork_mempool_free(mp, objects[i]);
    }
    CHECK_EQUAL(stats_of(mp).live_count, before.live_count - count);
    CHECK(cork_mempool_check(mp));
}

void clear_and_end(struct cork_mempool *mp)
{
    cork_mempool_clear(mp);
    cork_mempool_done(mp);
}

void make_call(enum call call, struct cork_mempool *mp, void *object)
{
    if (call == NEW) {
        CHECK(cork_mempool_new(mp) != NULL);
    } else if (call == FREE || call == FREE_NULL) {
        cork_mempool_free(mp, call == FREE ? object : NULL);
    } else if (call == STATS) {
        stats_of(mp);
    } else if (call == OWNS) {
        CHECK(cork_mempool_owns(mp, object));
    } else if (call == FOREACH) {
        cork_mempool_foreach(mp, destruct_nothing, NULL);
    } else if (call == VERIFY) {
        CHECK(cork_mempool_check(mp));
    } else if (call == CLEAR) {
        cork_mempool_clear(mp);
    } else if (call == TRIM) {
        cork_mempool_trim(mp);
    } else {
        cork_mempool_done(mp);
    }
}

void exercise(struct cork_mempool *mp, size_t count)
{
    void **objects = malloc(count * sizeof(*objects));

    CHECK(objects != NULL);
    take_objects(mp, objects, count);
    CHECK_EQUAL(stats_of(mp).live_count, count);
    give_objects(mp, objects, count);
    cork_mempool_done(mp);
    free(objects);
}

void destruct_nothing(void *user_data, void *object)
{
    (void)user_data;
    (void)object;
}

static void *acquire(void *source_data, size_t size, size_t alignment)
{
    (void)source_data;
    return aligned_alloc(alignment, size);
}

static void release(void *source_data, void *memory, size_t size)
{
    (void)source_data;
    (void)size;
    free(memory);
}

const struct cork_mempool_source plain_source = {acquire, release};
