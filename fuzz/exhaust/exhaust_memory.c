/* SPDX-License-Identifier: BSD-3-Clause */
#include "exhaust_memory.h"

#include <errno.h>
#include <string.h>

#include "exhaust_search.h"
#include "source.h"

#define FRESH_BYTE  0xa5 /* in memory from the heap */
#define BANNED_BYTE 0xee /* in pages that nobody may touch */

_Static_assert(sizeof(struct world_head) % sizeof(uint64_t) == 0, "hashed as words");

/* Both worlds' pieces. The pages before and behind each are nobody's. */
struct placed {
    struct world_piece piece;
    unsigned first_page;
};
static struct placed layouts[WORLD_COUNT][WORLD_PIECE_MAX];

static struct world *current;
struct world_requests world_requests;

static struct placed *layout_of(const struct world *world)
{
    return layouts[world - worlds];
}

static uint64_t pages_from(unsigned first, size_t count)
{
    return count == 0 ? 0 : UINT64_MAX >> (WORLD_PAGE_COUNT - count) << first;
}

static uint64_t pages_of(const struct placed *placed)
{
    return pages_from(placed->first_page, placed->piece.page_count);
}

/* The pages that size bytes from an address of the current world fill, or part of which they do. */
static uint64_t pages_at(const void *memory, size_t size)
{
    const size_t offset = (size_t)((const unsigned char *)memory - current->pages[0]);

    expect(offset % WORLD_PAGE_SIZE == 0 && offset < sizeof(current->pages) &&
               size <= sizeof(current->pages) - offset,
           "memory is asked for, or given back, by whole pages of the pool's own");
    return pages_from((unsigned)(offset / WORLD_PAGE_SIZE),
                      (size + WORLD_PAGE_SIZE - 1) / WORLD_PAGE_SIZE);
}

static void fill(struct world *world, uint64_t pages, int byte)
{
    for (; pages != 0; pages &= pages - 1) {
        memset(world->pages[__builtin_ctzll(pages)], byte, WORLD_PAGE_SIZE);
    }
}

static void set_usable(uint64_t pages, int byte)
{
    fill(current, pages & ~current->head.usable, byte);
    current->head.usable |= pages;
}

static void set_banned(uint64_t pages)
{
    fill(current, pages & current->head.usable, BANNED_BYTE);
    current->head.usable &= ~pages;
}

void world_lay_out(struct world *world, const struct world_piece *pieces)
{
    struct placed *layout = layout_of(world);
    unsigned page = 1;

    memset(&world->head, 0, sizeof(world->head));
    world->has_uncounted = false;
    memset(layout, 0, sizeof(layouts[0]));
    for (size_t i = 0; i < WORLD_PIECE_MAX && pieces[i].page_count != 0; i++) {
        layout[i] = (struct placed){pieces[i], page};
        page += pieces[i].page_count + 1;
    }
    expect(page <= WORLD_PAGE_COUNT, "a world has room for all its pieces");
    fill(world, UINT64_MAX, BANNED_BYTE);
}

void world_enter(struct world *world, unsigned refused_by)
{
    current = world;
    world_requests = (struct world_requests){.refused_by = refused_by};
}

void world_copy(struct world *to, const struct world *from)
{
    fill(to, to->head.usable & ~from->head.usable, BANNED_BYTE);
    to->head = from->head;
    to->has_uncounted = from->has_uncounted;
    for (uint64_t pages = from->head.usable; pages != 0; pages &= pages - 1) {
        const int page = __builtin_ctzll(pages);
        memcpy(to->pages[page], from->pages[page], WORLD_PAGE_SIZE);
    }
}

bool world_is_same(const struct world *one, const struct world *other)
{
    bool is_same = memcmp(&one->head, &other->head, sizeof(one->head)) == 0;

    for (uint64_t pages = one->head.usable; is_same && pages != 0; pages &= pages - 1) {
        const int page = __builtin_ctzll(pages);
        is_same = memcmp(one->pages[page], other->pages[page], WORLD_PAGE_SIZE) == 0;
    }
    return is_same;
}

bool world_is_untouched(const struct world *world)
{
    static unsigned char banned[WORLD_PAGE_SIZE];
    const struct placed *layout = layout_of(world);
    uint64_t pages = 1;

    banned[0] == BANNED_BYTE ? NULL : memset(banned, BANNED_BYTE, sizeof(banned));
    for (size_t i = 0; i < WORLD_PIECE_MAX; i++) {
        pages |= pages_of(&layout[i]) << 1 | pages_of(&layout[i]);
    }
    for (pages &= ~world->head.usable; pages != 0; pages &= pages - 1) {
        if (memcmp(world->pages[__builtin_ctzll(pages)], banned, sizeof(banned)) != 0) {
            return false;
        }
    }
    return true;
}

size_t world_used_size(const struct world *world)
{
    const struct placed *layout = layout_of(world);
    size_t size = 0;

    for (size_t i = 0; i < WORLD_PIECE_MAX; i++) {
        const uint64_t pages = pages_of(&layout[i]) & world->head.usable;
        size += layout[i].piece.is_heap ? world->head.sizes[i]
                                        : (size_t)__builtin_popcountll(pages) * WORLD_PAGE_SIZE;
    }
    return size;
}

size_t world_reserved_size(const struct world *world)
{
    size_t size = 0;

    for (size_t i = 0; i < WORLD_PIECE_MAX; i++) {
        size += world->head.sizes[i];
    }
    return size;
}

/* Whether a request that memory could meet is refused all the same. */
static bool is_refused(enum world_request kind)
{
    const unsigned by = world_requests.refused_by;
    const unsigned number = ++world_requests.possible;
    bool is_refused = number == by;

    if (by >= WORLD_REFUSE_KIND) {
        is_refused = kind == by - WORLD_REFUSE_KIND;
    } else if (by >= WORLD_REFUSE_FROM) {
        is_refused = number >= by - WORLD_REFUSE_FROM;
    }
    world_requests.refused += is_refused;
    return is_refused;
}

/* The smallest piece that is large enough, or NULL. */
static unsigned char *grant(enum world_request kind, size_t size)
{
    const struct placed *layout = layout_of(current);
    size_t best = WORLD_PIECE_MAX;

    world_requests.asked++;
    for (size_t i = 0; i < WORLD_PIECE_MAX; i++) {
        if (layout[i].piece.is_heap == (kind == WORLD_HEAP) && current->head.sizes[i] == 0 &&
            layout[i].piece.page_count >= (size + WORLD_PAGE_SIZE - 1) / WORLD_PAGE_SIZE &&
            (best == WORLD_PIECE_MAX ||
             layout[i].piece.page_count < layout[best].piece.page_count)) {
            best = i;
        }
    }
    errno = ENOMEM;
    if (best == WORLD_PIECE_MAX) {
        world_requests.refused++;
        return NULL;
    }
    if (is_refused(kind)) {
        return NULL;
    }
    current->head.sizes[best] = size;
    return current->pages[layout[best].first_page];
}

/* What the pool has at an address, which it gives back. */
static const struct placed *take_back(const void *memory, size_t size, bool is_heap)
{
    const struct placed *layout = layout_of(current);

    for (size_t i = 0; i < WORLD_PIECE_MAX; i++) {
        if (layout[i].piece.is_heap == is_heap && current->head.sizes[i] == size &&
            memory == current->pages[layout[i].first_page]) {
            current->head.sizes[i] = 0;
            return &layout[i];
        }
    }
    expect(false, "memory is given back as it was given");
    return NULL;
}

static void *heap_acquire(void *source_data, size_t size, size_t alignment)
{
    (void)source_data;
    expect(alignment <= WORLD_PAGE_SIZE && size > 0 && size % alignment == 0,
           "the heap is asked for what it can give");

    unsigned char *memory = grant(WORLD_HEAP, size);
    if (memory != NULL) {
        set_usable(pages_at(memory, size), FRESH_BYTE);
    }
    return memory;
}

static void heap_release(void *source_data, void *memory, size_t size)
{
    (void)source_data;
    if (memory == NULL) {
        return;
    }

    const struct placed *placed = take_back(memory, size, true);
    for (const unsigned char *byte = (unsigned char *)memory + size;
         (size_t)(byte - current->pages[0]) % WORLD_PAGE_SIZE != 0; byte++) {
        expect(*byte == FRESH_BYTE, "nothing behind memory from the heap is written");
    }
    set_banned(pages_of(placed));
    world_requests.returned += size;
}

const struct cork_mempool_source source_heap = {.acquire = heap_acquire, .release = heap_release};

size_t source_page_size(void)
{
    return WORLD_PAGE_SIZE;
}

/* So that fewer sizes are tried before one fits. */
bool source_is_scarce(void)
{
    return true;
}

void *source_reserve(size_t size)
{
    return grant(WORLD_RESERVE, size);
}

bool source_commit(void *pages, size_t size)
{
    const uint64_t wanted = pages_at(pages, size);
    const struct placed *layout = layout_of(current);
    bool is_own = false;

    for (size_t i = 0; i < WORLD_PIECE_MAX; i++) {
        is_own |= !layout[i].piece.is_heap && current->head.sizes[i] != 0 &&
                  (wanted & ~pages_of(&layout[i])) == 0;
    }
    expect(is_own, "only what is reserved is committed");
    world_requests.asked++;
    if (is_refused(WORLD_COMMIT)) {
        world_requests.is_commit_refused = true;
        errno = ENOMEM;
        return false;
    }
    set_usable(wanted & ~current->head.guards, 0);
    return true;
}

bool source_has_guards(void)
{
    return true;
}

bool source_guard(void *pages, size_t size)
{
    const uint64_t guards = pages_at(pages, size);

    expect((guards & current->head.usable) == 0, "what is usable is made no guard");
    current->head.guards |= guards;
    return true;
}

void source_discard(void *pages, size_t size)
{
    const uint64_t unwanted = pages_at(pages, size);

    expect((unwanted & ~current->head.usable) == 0, "only what is committed is discarded");
    fill(current, unwanted, 0);
    world_requests.returned += size;
}

void source_scatter(void *pages, size_t size)
{
    expect((pages_at(pages, size) & ~current->head.usable) == 0,
           "only what is committed is scattered");
}

void source_release(void *memory, size_t size)
{
    const struct placed *placed = take_back(memory, size, false);
    const uint64_t pages = pages_of(placed) & current->head.usable;

    world_requests.returned += (size_t)__builtin_popcountll(pages) * WORLD_PAGE_SIZE;
    set_banned(pages);
    current->head.guards &= ~pages_of(placed);
}
