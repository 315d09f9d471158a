/* SPDX-License-Identifier: BSD-3-Clause */
#include "exhaust_oracle.h"

#include <setjmp.h>
#include <string.h>

#include "libcork/core/mempool_inspect.h"

/* The last probe, and what came of it. */
static struct oracle_probe probe;

static bool is_expecting;
static jmp_buf escape;
static struct cork_mempool_object listed[ORACLE_LIVE_MAX];

static void on_violation(const struct cork_mempool_violation *refused)
{
    probe.violation = *refused;
    if (!is_expecting) {
        probe.is_unexpected = true;
        search_failed("no violation");
    }
    if (probe.violation.listed_count > 0) {
        expect(probe.violation.listed_count <= ORACLE_LIVE_MAX, "16 objects are listed at most");
        memcpy(listed, probe.violation.listed, probe.violation.listed_count * sizeof(listed[0]));
    }
    longjmp(escape, 1);
}

struct oracle_probe oracle_last_probe(void)
{
    return probe;
}

void oracle_begin(void)
{
    memset(&probe, 0, sizeof(probe));
    cork_mempool_on_violation(on_violation);
}

static void add_visit(void *user_data, void *object)
{
    struct oracle_visits *visits = user_data;

    expect(visits->count < ORACLE_LIVE_MAX, "foreach ends");
    visits->places[visits->count++] = (uint16_t)world_place(probe.world, object);
}

struct oracle_visits oracle_visit(struct world *world)
{
    struct oracle_visits visits = {.count = 0};
    struct world_places seen = {{0}};

    probe.world = world;
    cork_mempool_foreach(&world->head.pool, add_visit, &visits);
    for (size_t i = 0; i < visits.count; i++) {
        places_set(&seen, visits.places[i], true);
    }
    expect(visits.count == places_count(&seen) &&
               memcmp(&seen, &world->head.live, sizeof(seen)) == 0,
           "foreach visits each live object once");
    return visits;
}

static void ignore(void *user_data, void *object)
{
    (void)user_data;
    (void)object;
}

/* Returns: what owns says. */
static bool make_call(struct cork_mempool *mp, unsigned call, const void *pointer)
{
    struct cork_mempool_stats stats;

    switch (call) {
    case CALL_NEW:
        cork_mempool_new(mp);
        break;
    case CALL_FREE:
        cork_mempool_free(mp, (void *)(uintptr_t)pointer);
        break;
    case CALL_CLEAR:
        cork_mempool_clear(mp);
        break;
    case CALL_TRIM:
        cork_mempool_trim(mp);
        break;
    case CALL_DONE:
        cork_mempool_done(mp);
        break;
    case CALL_CHECK:
        return cork_mempool_check(mp);
    case CALL_STATS:
        cork_mempool_stats(mp, &stats);
        break;
    case CALL_OWNS:
        return cork_mempool_owns(mp, pointer);
    case CALL_FOREACH:
        cork_mempool_foreach(mp, ignore, NULL);
        break;
    }
    return true;
}

/* Makes a call. Returns: the kind of the violation it ended in, or 0. */
static unsigned attempt(struct world *world, struct cork_mempool *mp, unsigned call,
                        const void *pointer, unsigned kind)
{
    probe.world = world;
    probe.call = call;
    probe.pointer = pointer;
    probe.expected_kind = kind;
    probe.violation.kind = 0;
    search_result.transitions++;
    search_result.refused += kind != 0;
    world_enter(world, WORLD_REFUSE_NONE);
    is_expecting = true;
    if (setjmp(escape) == 0) {
        make_call(mp, call, pointer);
    }
    is_expecting = false;
    return (unsigned)probe.violation.kind;
}

static void expect_unchanged(const struct world *world)
{
    expect(world_is_same(world, search_world((unsigned)(world - worlds))),
           "what is refused changes nothing");
}

static void refuse(struct world *world, unsigned call, const void *pointer, unsigned kind)
{
    expect(attempt(world, &world->head.pool, call, pointer, kind) == kind,
           "the call is refused for what it is");
    expect(probe.violation.pool == &world->head.pool &&
               probe.violation.message == cork_mempool_violation_message(probe.violation.kind),
           "a violation says what was misused");
    expect_unchanged(world);
}

static void disown(struct world *world, const void *pointer)
{
    search_result.transitions++;
    expect(!cork_mempool_owns(&world->head.pool, pointer), "a pool owns nothing but live objects");
}

static void refuse_free(struct world *world, const void *pointer, unsigned kind, size_t slot)
{
    refuse(world, CALL_FREE, pointer, kind);
    expect(probe.violation.pointer == pointer && probe.violation.slot == slot,
           "a violation says which slot");
    disown(world, pointer);
}

/* Every slot of a region, whatever it is, and what lies in it. */
static void probe_region(struct world *world, const struct cork_mempool_region *region,
                         size_t number)
{
    const size_t stride = world->head.pool.geometry.stride;

    for (size_t i = 0; i < region->capacity; i++) {
        const char *start = region->base + i * stride;
        const size_t place = world_place(world, start);

        refuse_free(world, start + 1, CORK_MEMPOOL_INTERIOR_POINTER, number + i);
        refuse_free(world, start + stride - 1, CORK_MEMPOOL_INTERIOR_POINTER, number + i);
        refuse_free(world, start + WORLD_PLACE_SIZE, CORK_MEMPOOL_INTERIOR_POINTER, number + i);
        if (places_has(&world->head.live, place)) {
            search_result.transitions++;
            expect(cork_mempool_owns(&world->head.pool, start), "a pool owns its live objects");
        } else if (places_has(&world->head.freed, place)) {
            refuse_free(world, start, CORK_MEMPOOL_DOUBLE_FREE, number + i);
        } else {
            refuse_free(world, start, CORK_MEMPOOL_NEVER_ISSUED, number + i);
        }
    }
    refuse_free(world, region->base - 1, CORK_MEMPOOL_FOREIGN_POINTER, CORK_MEMPOOL_NO_SLOT);
    refuse_free(world, region->base - stride, CORK_MEMPOOL_FOREIGN_POINTER, CORK_MEMPOOL_NO_SLOT);
    refuse_free(world, region->base + region->capacity * stride, CORK_MEMPOOL_FOREIGN_POINTER,
                CORK_MEMPOOL_NO_SLOT);
}

static void probe_leak(struct world *world)
{
    const struct oracle_visits visits = oracle_visit(world);

    search_result.transitions++;
    if (visits.count == 0) {
        return;
    }
    refuse(world, CALL_DONE, NULL, CORK_MEMPOOL_LEAK);
    expect(probe.violation.live_count == visits.count &&
               probe.violation.listed_count == visits.count,
           "a leak report counts live objects");
    for (size_t i = 0; i < visits.count; i++) {
        expect(listed[i].pointer == world_pointer(world, visits.places[i]) &&
                   (i == 0 || listed[i].slot > listed[i - 1].slot),
               "a leak report lists live objects by their slots");
    }
}

static const unsigned all_calls[] = {CALL_NEW,   CALL_FREE,  CALL_CLEAR, CALL_TRIM,   CALL_DONE,
                                     CALL_CHECK, CALL_STATS, CALL_OWNS,  CALL_FOREACH};
#define ALL_CALLS_COUNT (sizeof(all_calls) / sizeof(all_calls[0]))

static void probe_dead(struct world *world)
{
    const unsigned kind = world->head.life == WORLD_IS_DONE ? CORK_MEMPOOL_USE_AFTER_DONE
                                                            : CORK_MEMPOOL_USE_BEFORE_INIT;

    for (size_t i = 0; i < ALL_CALLS_COUNT; i++) {
        refuse(world, all_calls[i], NULL, kind);
        refuse(world, all_calls[i], world, kind);
    }
}

/* A pool that was moved. The fast paths do not see it: new where something is open, and free of
 * what lies in the near region. */
static void probe_moved(struct world *world)
{
    static struct cork_mempool moved;
    const struct cork_mempool *mp = &world->head.pool;
    const void *stranger = &moved;

    if (mp->newest == NULL) {
        return;
    }
    for (size_t i = 0; i < ALL_CALLS_COUNT; i++) {
        const unsigned call = all_calls[i];

        if (call == CALL_NEW && mp->open != 0) {
            continue;
        }
        memcpy(&moved, mp, sizeof(moved));
        expect(attempt(world, &moved, call, stranger, CORK_MEMPOOL_NOT_A_POOL) ==
                   CORK_MEMPOOL_NOT_A_POOL,
               "a pool that was moved is refused");
        expect(probe.violation.pool == &moved && memcmp(&moved, mp, sizeof(moved)) == 0,
               "what is refused changes nothing");
        expect_unchanged(world);
    }
}

/* All that looks at the whole pool finds a byte that was changed, and so does what concerns it. */
static void probe_damage(struct world *world, unsigned char *byte, const void *object,
                         unsigned kind)
{
    static const unsigned calls[] = {CALL_CHECK, CALL_TRIM, CALL_CLEAR, CALL_DONE, CALL_FREE};
    const bool is_live = places_has(&world->head.live, world_place(world, object));
    const bool is_leaking = places_count(&world->head.live) > 0;

    for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
        if ((calls[i] == CALL_DONE && is_leaking) || (calls[i] == CALL_FREE && !is_live)) {
            continue;
        }
        *byte ^= 0x41;
        expect(attempt(world, &world->head.pool, calls[i], object, kind) == kind,
               "damage is found");
        *byte ^= 0x41;
        expect(probe.violation.damaged != NULL, "a violation says where the damage is");
        expect_unchanged(world);
    }
}

/* new finds it too, if this is what it would issue. It may have opened the slot's group by then,
 * which makes no difference to anybody. */
static void probe_damaged_new(struct world *world, unsigned char *byte, const void *object)
{
    struct cork_mempool_stats before;
    struct cork_mempool_stats after;

    cork_mempool_stats(&world->head.pool, &before);
    *byte ^= 0x41;
    const unsigned kind =
        attempt(world, &world->head.pool, CALL_NEW, object, CORK_MEMPOOL_WRITE_AFTER_FREE);
    *byte ^= 0x41;
    if (kind != 0) {
        cork_mempool_stats(&world->head.pool, &after);
        expect(kind == CORK_MEMPOOL_WRITE_AFTER_FREE && probe.violation.pointer == object,
               "damage is found where it is");
        expect(memcmp(&before, &after, sizeof(after)) == 0 && cork_mempool_check(&world->head.pool),
               "what is refused changes nothing");
        oracle_visit(world);
    }
    world_copy(world, search_world((unsigned)(world - worlds)));
}

static void probe_contents(struct world *world)
{
    const struct cork_mempool_options *options = &calls_profile()->options;
    const bool is_wiping = (options->protections & CORK_MEMPOOL_WIPE) != 0;

    if ((options->protections & CORK_MEMPOOL_CANARY) != 0) {
        FOR_PLACES(place, &world->head.live)
        {
            unsigned char *object = world_pointer(world, place);
            probe_damage(world, object - 1, object, CORK_MEMPOOL_CANARY_DAMAGED);
            probe_damage(world, object + options->element_size, object,
                         CORK_MEMPOOL_CANARY_DAMAGED);
        }
    }
    if (!is_wiping && (options->protections & CORK_MEMPOOL_SEAL) == 0) {
        return;
    }
    FOR_PLACES(place, &world->head.freed)
    {
        unsigned char *object = world_pointer(world, place);
        if (is_wiping || places_has(&world->head.kept, place)) {
            probe_damage(world, object, object, CORK_MEMPOOL_WRITE_AFTER_FREE);
            probe_damage(world, object + options->element_size - 1, object,
                         CORK_MEMPOOL_WRITE_AFTER_FREE);
            probe_damaged_new(world, object, object);
        }
    }
}

void calls_probe(struct world *world)
{
    if (world->head.life != WORLD_IS_LIVE) {
        probe_dead(world);
        return;
    }
    for (const struct cork_mempool_region *region = world->head.pool.newest; region != NULL;
         region = region->older) {
        size_t number = 0;
        for (const struct cork_mempool_region *older = region->older; older != NULL;
             older = older->older) {
            number += older->capacity;
        }
        probe_region(world, region, number);
    }
    expect(attempt(world, &world->head.pool, CALL_FREE, NULL, 0) == 0, "NULL is freed");
    expect_unchanged(world);
    disown(world, NULL);
    refuse_free(world, &probe, CORK_MEMPOOL_FOREIGN_POINTER, CORK_MEMPOOL_NO_SLOT);
    refuse_free(world, world, CORK_MEMPOOL_FOREIGN_POINTER, CORK_MEMPOOL_NO_SLOT);
    probe_leak(world);
    probe_moved(world);
    probe_contents(world);
}

void calls_probe_other(struct world *world, const struct world *other)
{
    if (world->head.life != WORLD_IS_LIVE) {
        return;
    }
    FOR_PLACES(place, &other->head.live)
    {
        refuse_free(world, world_pointer(other, place), CORK_MEMPOOL_FOREIGN_POINTER,
                    CORK_MEMPOOL_NO_SLOT);
    }
    FOR_PLACES(place, &other->head.freed)
    {
        refuse_free(world, world_pointer(other, place), CORK_MEMPOOL_FOREIGN_POINTER,
                    CORK_MEMPOOL_NO_SLOT);
    }
}
