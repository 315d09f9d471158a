/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <string.h>

#include "exhaust_world.h"
#include "os.h"

/* The system is told more than it needs to know. */
#pragma GCC diagnostic ignored "-Wunused-parameter"

#define FRESH_BYTE 0xa5 /* in memory from the heap */

/*
 * Slots of 112 bytes, so that the stride has an odd factor, or of 128 between guards; two to a
 * block, or one, or three for SHUFFLE. H(1) is a region of up to two slots without tables, or the
 * tables of one; R(7), one of up to five.
 */
#define P(name)  CORK_MEMPOOL_##name
#define H(pages) {true, pages}
#define R(pages) {false, pages}
const struct profile profiles[] = {
    {"default", 112, 224, 0, 0, false, 15, {H(1), R(7)}},
    {"regions", 112, 224, 0, 0, false, 14, {H(1), R(7), R(6)}},
    {"heap", 112, 224, 0, 0, false, 14, {H(1), H(1), H(2), H(1), H(1)}},
    {"source", 112, 112, 0, 0, true, 14, {H(1), H(1), H(1), H(1), H(1), H(1), H(1), H(1)}},
    {"limit", 112, 224, 0, 3, false, DEPTH_MAX, {H(1), R(7)}},
    {"canary", 96, 224, P(CANARY), 0, false, 14, {H(2), H(1), R(9)}},
    {"seal", 112, 224, P(SEAL), 0, false, DEPTH_MAX, {R(9)}},
    {"seal-heap", 112, 224, P(SEAL), 0, false, 14, {R(8), H(1), H(2), H(1), H(1)}},
    {"wipe", 112, 224, P(WIPE), 0, false, 14, {H(1), H(1), R(8)}},
    {"shuffle", 112, 336, P(SHUFFLE), 0, false, 14, {H(2), H(1), R(8)}},
    {"quarantine", 112, 224, P(QUARANTINE), 0, false, DEPTH_MAX, {H(1), R(9)}},
    {"quarantine-heap", 112, 224, P(QUARANTINE), 0, false, 15, {H(1), H(1), H(2), H(1), H(1)}},
    {"guard", 128, 256, P(GUARD), 0, false, 13, {R(8), R(11), R(13)}},
    {"paranoid", 112, 256, P(PARANOID), 0, false, 11, {H(1), R(18), R(18)}},
    {.name = NULL},
};

struct world world;
unsigned long long memory_calls;

/* In the place of requests.c: all requests are the only pool's. */
void requests_count(struct requests *account)
{
    memory_calls += account != NULL;
}

/* The pages that size bytes from a page on fill, or part of which they do. */
static uint64_t pages_at(const void *memory, size_t size)
{
    const size_t offset = (uintptr_t)memory - (uintptr_t)world.memory.pages;
    expect(offset % PAGE_SIZE == 0 && size - 1 < sizeof(world.memory.pages) - offset,
           "pages are whole");
    return UINT64_MAX >> (64 - (size + PAGE_SIZE - 1) / PAGE_SIZE) << offset / PAGE_SIZE;
}

static void fill(uint64_t pages, int byte)
{
    for (; pages != 0; pages &= pages - 1) {
        memset(world.memory.pages[__builtin_ctzll(pages)], byte, PAGE_SIZE);
    }
}

void memory_verify(void)
{
    for (size_t i = 0; i < PAGE_COUNT; i++) {
        const unsigned char *page = world.memory.pages[i];
        expect((world.memory.usable >> i & 1) != 0 ||
                   (page[0] == BANNED_BYTE && memcmp(page, page + 1, PAGE_SIZE - 1) == 0),
               "only memory that the pool has is written");
    }
}

size_t memory_committed(uint64_t pages)
{
    return (size_t)__builtin_popcountll(pages & world.memory.usable) * PAGE_SIZE;
}

enum model_left memory_left(uintptr_t address)
{
    const uintptr_t canary = address - (run_has(run, CORK_MEMPOOL_CANARY) ? 8 : 0);
    const uintptr_t start = canary - canary % PAGE_SIZE;
    const size_t size = address + world_pool->geometry.stride - start;
    const uint64_t pages = pages_at((const void *)start, size) & world.memory.usable;
    if (pages == 0) {
        return MODEL_LEFT_NOTHING;
    }
    return (pages & world.memory.purged) != 0 ? MODEL_LEFT_MEMORY : MODEL_LEFT_ALL;
}

/* Counts a request, and says whether to refuse it. Those that memory could meet have numbers; the
 * largest number is all later ones' too. */
static bool is_refused(bool is_possible)
{
    const bool is_refused = !is_possible || (pool_requests->mask >> pool_requests->number & 1) != 0;
    pool_requests->number += is_possible && pool_requests->number < REFUSED_BITS - 1;
    pool_requests->count++;
    pool_requests->refused_count += is_refused;
    errno = is_refused ? ENOMEM : errno;
    return is_refused;
}

/* Pieces are placed from both ends in turns, so that a newer region may be a lower one. The pages
 * before and behind each are nobody's. */
static unsigned char *grant(bool is_heap, size_t size)
{
    size_t low = 1;
    size_t high = PAGE_COUNT - 1;
    size_t best = 0;
    size_t best_count = SIZE_MAX;
    for (size_t i = 0; profile->pieces[i].page_count != 0; i++) {
        const size_t count = profile->pieces[i].page_count;
        const size_t page = i % 2 == 0 ? low : high - count;
        expect(low + count < high, "a world has room for all its pieces");
        low += i % 2 == 0 ? count + 1 : 0;
        high -= i % 2 == 0 ? 0 : count + 1;
        if (profile->pieces[i].is_heap == is_heap && world.memory.sizes[page] == 0 &&
            size <= count * PAGE_SIZE && count < best_count) {
            best = page;
            best_count = count;
        }
    }
    if (is_refused(best != 0)) {
        return NULL;
    }
    unsigned char *memory = world.memory.pages[best];
    world.memory.sizes[best] = size;
    world.memory.size += size;
    pool_requests->heap_count += is_heap;
    pool_requests->mapped_size += is_heap ? 0 : size;
    *(is_heap ? &world.memory.usable : &world.memory.reserved) |= pages_at(memory, size);
    fill(pages_at(memory, size), is_heap ? FRESH_BYTE : BANNED_BYTE);
    return memory;
}

static void take_back(const void *memory, size_t size, bool is_heap)
{
    const uint64_t pages = pages_at(memory, size);
    uint64_t *given = &world.memory.sizes[__builtin_ctzll(pages)];
    expect(*given == size && (pages & world.memory.reserved) == (is_heap ? 0 : pages),
           "memory is given back as it was given");
    *given = 0;
    world.memory.size -= size;
    pool_requests->heap_count -= is_heap;
    pool_requests->mapped_size -= is_heap ? 0 : size;
    world.memory.returned += is_heap ? size : memory_committed(pages);
    fill(pages, BANNED_BYTE);
    world.memory.usable &= ~pages;
    world.memory.reserved &= ~pages;
    world.memory.guards &= ~pages;
}

static void *heap_acquire(void *source_data, size_t size, size_t alignment)
{
    expect(size > 0 && alignment <= PAGE_SIZE, "the heap is asked for what it can give");
    void *memory = grant(true, size);
    run->pools[0].source_count = pool_requests->count;
    return memory;
}

static void heap_release(void *source_data, void *memory, size_t size)
{
    for (const unsigned char *byte = (unsigned char *)memory + size;
         ((uintptr_t)byte - (uintptr_t)world.memory.pages) % PAGE_SIZE != 0; byte++) {
        expect(*byte == FRESH_BYTE, "nothing behind memory from the heap is written");
    }
    run->pools[0].released_size += size;
    take_back(memory, size, true);
}

const struct cork_mempool_source os_heap = {.acquire = heap_acquire, .release = heap_release};
const struct cork_mempool_source memory_source = {.acquire = heap_acquire, .release = heap_release};

void *os_reserve(size_t size)
{
    return grant(false, size);
}

void os_release(void *memory, size_t size)
{
    take_back(memory, size, false);
}

bool os_commit(void *pages, size_t size)
{
    const uint64_t wanted = pages_at(pages, size) & ~world.memory.guards;
    expect((wanted & ~world.memory.reserved) == 0, "only what is reserved is committed");
    if (is_refused(true)) {
        world.memory.has_uncounted = true;
        return false;
    }
    fill(wanted & ~world.memory.usable, 0);
    world.memory.usable |= wanted;
    return true;
}

bool os_advise(void *pages, size_t size, enum os_advice advice)
{
    const uint64_t advised = pages_at(pages, size);
    const uint64_t of_heap = advice == OS_PURGE ? world.memory.usable : 0;
    expect((advised & ~world.memory.reserved & ~of_heap) == 0,
           "what is advised upon is the pool's");
    if (advice == OS_GUARD) {
        expect((advised & world.memory.usable) == 0, "what is usable is made no guard");
        if (is_refused(true)) {
            return false;
        }
        world.memory.guards |= advised;
    } else if (advice == OS_PURGE) {
        fill(advised & world.memory.usable, 0);
        world.memory.purged |= advised & world.memory.usable;
    }
    return true;
}

bool os_resident(const void *pages, size_t count, unsigned char *is_resident)
{
    const unsigned char *page = pages;
    for (size_t i = 0; i < count; i++, page += PAGE_SIZE) {
        is_resident[i] = memory_committed(pages_at(page, PAGE_SIZE)) != 0;
    }
    return true;
}

/* The rest of a system has one answer each: there is no chance, no environment, no report. */
#define ANSWERS(function, answer)                                                                  \
    function                                                                                       \
    {                                                                                              \
        return answer;                                                                             \
    }

ANSWERS(size_t os_page_size(void), PAGE_SIZE)
ANSWERS(bool os_is_scarce(void), true)
ANSWERS(uint64_t os_random_word(void), 0)
ANSWERS(const char *os_environment(const char *name), NULL)
ANSWERS(void os_write_report(const char *text, size_t size), )
ANSWERS(const char *os_symbol(const void *address, uintptr_t *start), NULL)
