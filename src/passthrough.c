/* SPDX-License-Identifier: BSD-3-Clause */
#include "passthrough.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "source.h"

#define FIRST_CAPACITY 64

/* Fibonacci hashing (Knuth, The Art of Computer Programming, volume 3, section 6.4). */
static size_t hash_of(const void *object, size_t capacity)
{
    const uint64_t product = (uint64_t)(uintptr_t)object * UINT64_C(0x9e3779b97f4a7c15);

    return (size_t)(product >> 32) & (capacity - 1);
}

/* The object's place in the table, or the free one where it would be, which is also that of NULL.
 * The table is never full. */
static struct cork_mempool_passed *place_of(struct cork_mempool_passed *table, size_t capacity,
                                            const void *object)
{
    size_t i = hash_of(object, capacity);

    while (table[i].object != NULL && table[i].object != object) {
        i = (i + 1) & (capacity - 1);
    }
    return &table[i];
}

/* Puts the objects that are live, or that are not, into a new table, as long as there is room. */
static void copy(struct cork_mempool *mp, struct cork_mempool_passed *table, size_t capacity,
                 bool are_live)
{
    for (size_t i = 0; i < mp->passed_capacity && mp->passed_count < capacity / 4; i++) {
        const struct cork_mempool_passed *passed = &mp->passed[i];

        if (passed->object != NULL && (passed->slot != NULL) == are_live) {
            *place_of(table, capacity, passed->object) = *passed;
            mp->passed_count++;
        }
    }
}

/* A new table for the live objects and one more, and for as many others as are not in the way. */
static bool make_room(struct cork_mempool *mp)
{
    size_t capacity = FIRST_CAPACITY;
    size_t live_count = 0;

    for (size_t i = 0; i < mp->passed_capacity; i++) {
        live_count += mp->passed[i].slot != NULL;
    }
    while (capacity / 4 <= live_count) {
        capacity *= 2;
    }

    const size_t size = capacity * sizeof(struct cork_mempool_passed);
    struct cork_mempool_passed *table =
        source_heap.acquire(NULL, size, _Alignof(struct cork_mempool_passed));
    if (table == NULL) {
        return false;
    }
    memset(table, 0, size);
    mp->passed_count = 0;
    copy(mp, table, capacity, true);
    copy(mp, table, capacity, false);
    passthrough_done(mp);
    mp->passed = table;
    mp->passed_capacity = capacity;
    return true;
}

void *passthrough_new(struct cork_mempool *mp, void **slot)
{
    const size_t alignment = mp->object_alignment;

    if (mp->passed_count >= mp->passed_capacity / 2 && !make_room(mp)) {
        return NULL;
    }

    const size_t size = (mp->object_size + alignment - 1) & ~(alignment - 1);
    void *object = source_heap.acquire(NULL, size, alignment);
    if (object == NULL) {
        return NULL;
    }

    struct cork_mempool_passed *place = place_of(mp->passed, mp->passed_capacity, object);
    mp->passed_count += place->object == NULL;
    *place = (struct cork_mempool_passed){.object = object, .slot = slot};
    *slot = object;
    return object;
}

void passthrough_free(struct cork_mempool *mp, void **slot)
{
    place_of(mp->passed, mp->passed_capacity, *slot)->slot = NULL;
    source_heap.release(NULL, *slot, mp->object_size);
}

void **passthrough_find(const struct cork_mempool *mp, const void *object)
{
    return mp->passed == NULL ? NULL : place_of(mp->passed, mp->passed_capacity, object)->slot;
}

bool passthrough_knows(const struct cork_mempool *mp, const void *object)
{
    return mp->passed != NULL && place_of(mp->passed, mp->passed_capacity, object)->object != NULL;
}

void passthrough_done(struct cork_mempool *mp)
{
    source_heap.release(NULL, mp->passed, mp->passed_capacity * sizeof(struct cork_mempool_passed));
}
