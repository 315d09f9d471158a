/* SPDX-License-Identifier: BSD-3-Clause */
#include "exhaust_calls.h"

#include <errno.h>
#include <string.h>

#include "exhaust_geometry.h"
#include "exhaust_oracle.h"
#include "libcork/core/mempool_inspect.h"

/* Pages for the tables of a block. */
#define UNCOUNTED_MAX 4

static const struct exhaust_profile *profile;

/* What makes SHUFFLE look from the lowest, the second and the third slot of a group on. */
static uint64_t random_words[3];

static bool has(unsigned protections)
{
    return (profile->options.protections & protections) != 0;
}

const struct exhaust_profile *calls_profile(void)
{
    return profile;
}

/* The byte that an object at a place is filled with: never 0, and its neighbours' is another. */
static void write_object(struct world *world, size_t place)
{
    memset(world_pointer(world, place), (int)(place % 255 + 1), profile->options.element_size);
}

static bool is_written(const struct world *world, size_t place, int byte)
{
    const unsigned char *object = world_pointer(world, place);
    const size_t size = profile->options.element_size;

    return object[0] == byte && memcmp(object, object + 1, size - 1) == 0;
}

/* Whether the pool's figure is right. Pages for tables that were committed stay so where those for
 * slots were then refused; nobody counts them until they are needed. */
static bool is_counted(const struct world *world, size_t counted, size_t size)
{
    return counted == size || (world->has_uncounted && counted < size &&
                               size - counted <= UNCOUNTED_MAX * WORLD_PAGE_SIZE);
}

static void agree(struct world *world)
{
    struct cork_mempool_stats stats;

    if (world->head.life != WORLD_IS_LIVE) {
        return;
    }
    expect(cork_mempool_check(&world->head.pool), "check is true");
    cork_mempool_stats(&world->head.pool, &stats);
    expect(stats.live_count == places_count(&world->head.live), "stats count live objects");
    expect(stats.free_count + world->head.resting_count >= places_count(&world->head.freed),
           "stats count freed objects");
    expect(is_counted(world, stats.memory_size, world_used_size(world)) &&
               stats.reserved_size == world_reserved_size(world),
           "stats give the memory that the pool has");
    FOR_PLACES(place, &world->head.live)
    {
        expect(is_written(world, place, (int)(place % 255 + 1)), "live objects are untouched");
    }
}

/* Whether an object at a place would share memory with a live one, or with what is not the pool's.
 */
static bool is_room(const struct world *world, size_t place)
{
    const size_t count = (profile->options.element_size + WORLD_PLACE_SIZE - 1) / WORLD_PLACE_SIZE;

    for (size_t i = 0; i < count; i++) {
        const size_t page = (place + i) * WORLD_PLACE_SIZE / WORLD_PAGE_SIZE;
        if (page >= WORLD_PAGE_COUNT || (world->head.usable >> page & 1) == 0) {
            return false;
        }
    }
    for (size_t i = place < count ? 0 : place - count + 1; i < place + count; i++) {
        if (places_has(&world->head.live, i)) {
            return false;
        }
    }
    return true;
}

/* A new object that was at rest: the oldest one, and only because there was nothing else. */
static void end_rest(struct world *world, size_t place, size_t free_count)
{
    for (size_t i = 0; i < world->head.resting_count; i++) {
        if (world->head.resting[i] == place) {
            expect(i == 0 && free_count == 0,
                   "the oldest leaves quarantine, if nothing else is free");
            world->head.resting_count--;
            memmove(&world->head.resting[0], &world->head.resting[1],
                    sizeof(world->head.resting) - sizeof(world->head.resting[0]));
            world->head.resting[WORLD_RESTING_MAX - 1] = 0;
            return;
        }
    }
}

static void begin_rest(struct world *world, size_t place)
{
    if (has(CORK_MEMPOOL_QUARANTINE)) {
        if (world->head.resting_count == exhaust_quarantine_max) {
            end_rest(world, world->head.resting[0], 0);
        }
        world->head.resting[world->head.resting_count++] = (uint16_t)place;
    }
}

static void is_issued(struct world *world, void *object)
{
    const size_t place = world_place(world, object);

    expect(object == world_pointer(world, place), "objects are aligned");
    expect(is_room(world, place), "objects are the pool's memory and nobody else's");
    if (places_has(&world->head.kept, place)) {
        expect(is_written(world, place, has(CORK_MEMPOOL_WIPE) ? 0 : (int)(place % 255 + 1)),
               has(CORK_MEMPOOL_WIPE) ? "freed objects are wiped"
                                      : "objects keep their contents from free to new");
    }
    places_set(&world->head.freed, place, false);
    places_set(&world->head.kept, place, false);
    places_set(&world->head.live, place, true);
    write_object(world, place);
}

static size_t count_free(const struct world *world)
{
    struct cork_mempool_stats stats;

    cork_mempool_stats(&world->head.pool, &stats);
    return stats.free_count;
}

static void *perform_new(struct world *world, unsigned arg)
{
    const size_t free_count = count_free(world);
    const size_t resting_count = world->head.resting_count;
    const size_t live_count = places_count(&world->head.live);
    const size_t most = profile->options.max_objects;

    if (has(CORK_MEMPOOL_SHUFFLE)) {
        world->head.pool.random = random_words[arg / 128];
    }
    world_enter(world, arg % 128);
    errno = 0;
    void *object = cork_mempool_new(&world->head.pool);
    world->has_uncounted |= world_requests.is_commit_refused;
    expect(free_count == 0 || world_requests.asked == 0, "what is free is issued first");
    if (object == NULL) {
        expect(errno == ENOMEM, "errno says that memory cannot be had");
        expect(world_requests.refused > 0 || live_count == most,
               "new fails only if memory was refused");
        expect(free_count + resting_count == 0, "new does not fail if an object is free");
        expect(count_free(world) == 0, "new that fails changes nothing");
    } else {
        expect(errno == 0, "new that succeeds leaves errno alone");
        expect(most == 0 || live_count < most, "no more are live than the limit");
        end_rest(world, world_place(world, object), free_count);
        is_issued(world, object);
        expect(world_requests.asked != 0 || free_count == 0 || count_free(world) == free_count - 1,
               "stats count what is free");
    }
    if (has(CORK_MEMPOOL_SHUFFLE)) {
        world->head.pool.random = random_words[0];
    }
    return object;
}

static void is_freed(struct world *world, size_t place)
{
    places_set(&world->head.live, place, false);
    places_set(&world->head.freed, place, true);
    places_set(&world->head.kept, place, true);
    begin_rest(world, place);
}

static void perform_free(struct world *world, size_t place)
{
    const size_t idle_count = count_free(world) + world->head.resting_count;

    cork_mempool_free(&world->head.pool, world_pointer(world, place));
    is_freed(world, place);
    expect(count_free(world) + world->head.resting_count == idle_count + 1,
           "stats count what is free");
}

static void perform_clear(struct world *world)
{
    const struct oracle_visits visits = oracle_visit(world);

    cork_mempool_clear(&world->head.pool);
    for (size_t i = 0; i < visits.count; i++) {
        is_freed(world, visits.places[i]);
    }
}

static void free_visited(void *user_data, void *object)
{
    struct world *world = user_data;

    expect(places_has(&world->head.live, world_place(world, object)), "live objects are visited");
    perform_free(world, world_place(world, object));
}

static void perform_trim(struct world *world)
{
    struct cork_mempool_stats stats;

    world_enter(world, WORLD_REFUSE_NONE);
    const size_t size = cork_mempool_trim(&world->head.pool);
    expect(is_counted(world, size, world_requests.returned), "trim says how much it gave back");
    world->has_uncounted &= world->head.usable != 0;
    memset(world->head.resting, 0, sizeof(world->head.resting));
    world->head.resting_count = 0;
    FOR_PLACES(place, &world->head.freed)
    {
        const size_t page = place * WORLD_PLACE_SIZE / WORLD_PAGE_SIZE;
        places_set(&world->head.freed, place, (world->head.usable >> page & 1) != 0);
    }
    memset(&world->head.kept, 0, sizeof(world->head.kept));
    cork_mempool_stats(&world->head.pool, &stats);
    expect(stats.live_count != 0 || world->head.usable == 0, "trim leaves nothing that is unused");
}

static void perform_done(struct world *world)
{
    world_enter(world, WORLD_REFUSE_NONE);
    cork_mempool_done(&world->head.pool);
    expect(world->head.usable == 0 && world_reserved_size(world) == 0,
           "done gives all memory back");
    memset(&world->head.freed, 0, sizeof(world->head.freed));
    memset(&world->head.kept, 0, sizeof(world->head.kept));
    memset(world->head.resting, 0, sizeof(world->head.resting));
    world->head.resting_count = 0;
    world->has_uncounted = false;
    world->head.life = WORLD_IS_DONE;
}

static void perform_init(struct world *world)
{
    expect(cork_mempool_init_with(&world->head.pool, &profile->options), "the options are met");
    if (has(CORK_MEMPOOL_SHUFFLE)) {
        world->head.pool.random = random_words[0];
    }
    world->head.life = WORLD_IS_LIVE;
}

static size_t live_place(const struct world *world, unsigned number)
{
    size_t place = places_next(&world->head.live, 0);

    while (number-- > 0) {
        place = places_next(&world->head.live, place + 1);
    }
    return place;
}

/* Returns: the place of the object that the call was about, or WORLD_PLACE_COUNT. */
static size_t perform(struct exhaust_op op)
{
    struct world *world = &worlds[op.world];
    void *object;
    size_t place = WORLD_PLACE_COUNT;

    search_result.transitions++;
    world_enter(world, WORLD_REFUSE_NONE);
    switch (op.call) {
    case CALL_INIT:
        perform_init(world);
        break;
    case CALL_NEW:
        object = perform_new(world, op.arg);
        place = object == NULL ? WORLD_PLACE_COUNT : world_place(world, object);
        break;
    case CALL_FREE:
        place = live_place(world, op.arg);
        perform_free(world, place);
        break;
    case CALL_FREE_ALL:
        cork_mempool_foreach(&world->head.pool, free_visited, world);
        expect(places_count(&world->head.live) == 0, "foreach visits all live objects");
        break;
    case CALL_CLEAR:
        perform_clear(world);
        break;
    case CALL_TRIM:
        perform_trim(world);
        break;
    case CALL_DONE:
        perform_done(world);
        break;
    }
    return place;
}

void calls_perform(struct exhaust_op op)
{
    perform(op);
    agree(&worlds[op.world]);
}

static void expand_new(unsigned world)
{
    const unsigned choices =
        has(CORK_MEMPOOL_SHUFFLE) && exhaust_group_slots > 1 ? (unsigned)exhaust_group_slots : 1;

    for (unsigned choice = 0; choice < choices; choice++) {
        search_try((struct exhaust_op){world, CALL_NEW, choice * 128});
    }
    const unsigned possible = world_requests.possible;
    for (unsigned i = 0; possible > 0 && i < WORLD_REFUSE_END; i++) {
        const bool is_number = i < WORLD_REFUSE_FROM && i >= WORLD_REFUSE_ONE && i <= possible;
        const bool is_from = i > WORLD_REFUSE_FROM && i <= WORLD_REFUSE_FROM + possible;
        if (is_number || is_from || i >= WORLD_REFUSE_KIND) {
            search_try((struct exhaust_op){world, CALL_NEW, i});
        }
    }
}

void calls_expand(unsigned world)
{
    const struct world *now = search_world(world);
    const unsigned live_count = (unsigned)places_count(&now->head.live);

    if (now->head.life != WORLD_IS_LIVE) {
        search_try((struct exhaust_op){world, CALL_INIT, 0});
        return;
    }
    expand_new(world);
    for (unsigned i = 0; i < live_count; i++) {
        search_try((struct exhaust_op){world, CALL_FREE, i});
    }
    if (live_count > 0) {
        search_try((struct exhaust_op){world, CALL_FREE_ALL, 0});
        search_try((struct exhaust_op){world, CALL_CLEAR, 0});
    } else {
        search_try((struct exhaust_op){world, CALL_DONE, 0});
    }
    search_try((struct exhaust_op){world, CALL_TRIM, 0});
}

/* Tries numbers until one makes SHUFFLE begin at each slot of a group, as its answers tell. */
static void find_random_words(void)
{
    struct world *world = &worlds[0];
    const size_t group_slots = exhaust_group_slots;
    unsigned found = 1;

    if (!has(CORK_MEMPOOL_SHUFFLE) || group_slots == 1) {
        return;
    }
    for (uint64_t random = 1; found + 1 < 1U << group_slots; random++) {
        world_lay_out(world, profile->pieces[0]);
        perform_init(world);
        world->head.pool.random = random;
        world_enter(world, WORLD_REFUSE_NONE);
        const char *object = cork_mempool_new(&world->head.pool);
        expect(object != NULL && random < 100000, "SHUFFLE begins at any slot of a group");
        const size_t first = (size_t)(object - world->head.pool.open_base);
        const size_t slot = first / world->head.pool.geometry.stride;
        if ((found >> slot & 1) == 0) {
            random_words[slot] = random;
            found |= 1U << slot;
        }
        if (slot == 0) {
            random_words[0] = random;
        }
    }
}

void calls_begin(const struct exhaust_profile *begun)
{
    profile = begun;
    exhaust_quarantine_max = begun->quarantine_max;
    oracle_begin();
    find_random_words();
    for (unsigned i = 0; i < WORLD_COUNT; i++) {
        world_lay_out(&worlds[i], profile->pieces[i]);
    }
}
