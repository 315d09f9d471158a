/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <string.h>

#include "exhaust_world.h"
#include "os.h"

/* The system is told more than it needs to know. */
#pragma GCC diagnostic ignored "-Wunused-parameter"

#define FRESH_BYTE  0xa5 /* in memory from the heap */
#define BANNED_BYTE 0xee /* in pages that nobody may touch */

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
struct asked asked;
unsigned long long memory_calls;

/* Whose requests count; NULL: nobody's. */
static struct requests *current;

void requests_count(struct requests *account)
{
    current = account;
    memory_calls += account != NULL;
}

/* Where the profile's pieces are. The pages before and behind each are nobody's. */
static size_t first_pages[PIECE_MAX];

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

/* Pieces are placed from both ends in turns, so that a newer region may be a lower one. */
void memory_lay_out(void)
{
    size_t low = 1;
    size_t high = PAGE_COUNT - 1;
    memset(&world.memory, 0, sizeof(world.memory));
    memset(world.memory.pages, BANNED_BYTE, sizeof(world.memory.pages));
    for (size_t i = 0; profile->pieces[i].page_count != 0; i++) {
        const size_t count = profile->pieces[i].page_count;
        expect(low + count < high, "a world has room for all its pieces");
        first_pages[i] = i % 2 == 0 ? low : high - count;
        low += i % 2 == 0 ? count + 1 : 0;
        high -= i % 2 == 0 ? 0 : count + 1;
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

static size_t committed_size(uint64_t pages)
{
    return (size_t)__builtin_popcountll(pages & world.memory.usable) * PAGE_SIZE;
}

size_t memory_size(bool with_reserved)
{
    size_t size = with_reserved ? 0 : committed_size(world.memory.reserved);
    for (size_t i = 0; i < PIECE_MAX; i++) {
        size += with_reserved || profile->pieces[i].is_heap ? world.memory.sizes[i] : 0;
    }
    return size;
}

enum model_left memory_left(uintptr_t address)
{
    const size_t canary_size = run_has(&world.run, CORK_MEMPOOL_CANARY) ? 8 : 0;
    const size_t offset = address - (uintptr_t)world.memory.pages;
    const size_t first = (offset - canary_size) / PAGE_SIZE;
    const size_t last = (offset + world_pool()->geometry.stride - 1) / PAGE_SIZE;
    if (offset >= sizeof(world.memory.pages) ||
        (world.memory.usable >> offset / PAGE_SIZE & 1) == 0) {
        return MODEL_LEFT_NOTHING;
    }
    const uint64_t pages = UINT64_MAX >> (63 - (last - first)) << first;
    return (asked.purged & pages) != 0 ? MODEL_LEFT_MEMORY : MODEL_LEFT_ALL;
}

/* Whether a request that memory could meet is refused all the same. */
static bool is_refused(void)
{
    const unsigned number = asked.possible++;
    const unsigned bit = number < REFUSED_BITS ? number : REFUSED_BITS - 1;
    const bool is_refused = (asked.refused_bits >> bit & 1) != 0;
    current->refused_count += is_refused;
    return is_refused;
}

static unsigned char *grant(bool is_heap, size_t size)
{
    const struct piece *best = NULL;
    current->count++;
    for (const struct piece *piece = profile->pieces; piece->page_count != 0; piece++) {
        if (piece->is_heap == is_heap && world.memory.sizes[piece - profile->pieces] == 0 &&
            size <= piece->page_count * PAGE_SIZE &&
            (best == NULL || piece->page_count < best->page_count)) {
            best = piece;
        }
    }
    current->refused_count += best == NULL;
    if (best == NULL || is_refused()) {
        errno = ENOMEM;
        return NULL;
    }
    world.memory.sizes[best - profile->pieces] = size;
    return world.memory.pages[first_pages[best - profile->pieces]];
}

static void take_back(const void *memory, size_t size, bool is_heap)
{
    const uint64_t pages = pages_at(memory, size);
    size_t i = 0;
    while (i < PIECE_MAX && memory != world.memory.pages[first_pages[i]]) {
        i++;
    }
    expect(i < PIECE_MAX && profile->pieces[i].is_heap == is_heap && world.memory.sizes[i] == size,
           "memory is given back as it was given");
    world.memory.sizes[i] = 0;
    /* What was purged had been given back before. */
    asked.returned += is_heap ? size - committed_size(pages & asked.purged) : committed_size(pages);
    fill(pages, BANNED_BYTE);
    world.memory.usable &= ~pages;
    world.memory.reserved &= ~pages;
    world.memory.guards &= ~pages;
}

static void *heap_acquire(void *source_data, size_t size, size_t alignment)
{
    expect(size > 0 && alignment <= PAGE_SIZE, "the heap is asked for what it can give");
    unsigned char *memory = grant(true, size);
    world.run.pools[0].source_count = current->count;
    if (memory != NULL) {
        current->heap_count++;
        fill(pages_at(memory, size), FRESH_BYTE);
        world.memory.usable |= pages_at(memory, size);
    }
    return memory;
}

static void heap_release(void *source_data, void *memory, size_t size)
{
    for (const unsigned char *byte = (unsigned char *)memory + size;
         ((uintptr_t)byte - (uintptr_t)world.memory.pages) % PAGE_SIZE != 0; byte++) {
        expect(*byte == FRESH_BYTE, "nothing behind memory from the heap is written");
    }
    current->heap_count--;
    world.run.pools[0].released_size += size;
    take_back(memory, size, true);
}

const struct cork_mempool_source os_heap = {.acquire = heap_acquire, .release = heap_release};
const struct cork_mempool_source memory_source = {.acquire = heap_acquire, .release = heap_release};

void *os_reserve(size_t size)
{
    void *memory = grant(false, size);
    if (memory != NULL) {
        current->mapped_size += size;
        world.memory.reserved |= pages_at(memory, size);
    }
    return memory;
}

void os_release(void *memory, size_t size)
{
    current->mapped_size -= size;
    take_back(memory, size, false);
}

bool os_commit(void *pages, size_t size, size_t reserved_size)
{
    const uint64_t wanted = pages_at(pages, size) & ~world.memory.guards;
    expect((wanted & ~world.memory.reserved) == 0, "only what is reserved is committed");
    current->count++;
    if (is_refused()) {
        world.memory.has_uncounted = true;
        errno = ENOMEM;
        return false;
    }
    fill(wanted & ~world.memory.usable, 0);
    world.memory.usable |= wanted;
    return true;
}

bool os_guard(void *pages, size_t size)
{
    const bool is_made = !is_refused();
    expect((pages_at(pages, size) & world.memory.usable) == 0, "what is usable is made no guard");
    world.memory.guards |= is_made ? pages_at(pages, size) : 0;
    return is_made;
}

bool os_purge(void *pages, size_t size)
{
    const uint64_t purged = pages_at(pages, size) & world.memory.usable;
    expect((pages_at(pages, size) & ~world.memory.reserved & ~world.memory.usable) == 0,
           "only what is the pool's is purged");
    fill(purged, 0);
    asked.purged |= purged;
    asked.returned += committed_size(purged);
    return true;
}

bool os_resident(const void *pages, size_t count, unsigned char *is_resident)
{
    const uint64_t usable = pages_at(pages, count * PAGE_SIZE) & world.memory.usable;
    const size_t first = ((uintptr_t)pages - (uintptr_t)world.memory.pages) / PAGE_SIZE;
    for (size_t i = 0; i < count; i++) {
        is_resident[i] = usable >> (first + i) & 1;
    }
    return true;
}

void os_no_huge_pages(void *pages, size_t size)
{
    expect((pages_at(pages, size) & ~world.memory.reserved) == 0,
           "only what is reserved is advised upon");
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
