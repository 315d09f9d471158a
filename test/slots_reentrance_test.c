/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * Calls of a pool during another call of it: from its constructor, its destructor, its source, a
 * visitor, or a signal handler. Each is refused, once by an abort and once left by longjmp, after
 * which the pool goes on. Calls of another pool are not.
 */

#define _DEFAULT_SOURCE /* setitimer */

#include <signal.h>
#include <string.h>
#include <sys/time.h>

#include "test/support/memory.h"
#include "test/support/refusals.h"
#include "test/support/reports.h"

#define NAME         "reentrant"
#define SIZE         ((size_t)64)
#define OBJECT_COUNT 150 /* of a few regions */

enum place { NOWHERE, CONSTRUCTOR, DESTRUCTOR, ACQUIRE, RELEASE, VISITOR };

static struct cork_mempool mp;
static void *objects[3 * OBJECT_COUNT];

/* Where this call is made next. */
static enum place place;
static enum call call;

/* Makes each call on a pool that shares nothing with the one that is busy. */
static void use_another(void)
{
    struct cork_mempool another;

    cork_mempool_init_size(&another, 100);
    for (enum call what = NEW; what < DONE; what++) {
        make_call(what, &another, cork_mempool_new(&another));
    }
    clear_and_end(&another);
}

/* Whether a callback goes on when its call has been refused, and has. */
static bool goes_on, has_gone_on;

/* What a callback does besides its duty. */
static void come_to(enum place here)
{
    if (place == here) {
        place = NOWHERE;
        use_another();
        if (goes_on) {
            RUN_UNTIL_REFUSED(make_call(call, &mp, objects[0]));
            if (call == STATS) {
                clear_and_end(&mp);
            }
            has_gone_on = true;
        } else {
            make_call(call, &mp, objects[0]);
        }
    }
}

/* No pool gets memory twice: it loses a source's piece in whose place it was called. */
static _Alignas(4096) char arena[1 << 22];
static size_t arena_used;

static void *acquire(void *source_data, size_t size, size_t alignment)
{
    CHECK(source_data == arena);
    come_to(ACQUIRE);
    arena_used = (arena_used + alignment - 1) / alignment * alignment + size;
    CHECK(arena_used <= sizeof(arena));
    return arena + arena_used - size;
}

static void release(void *source_data, void *memory, size_t size)
{
    CHECK(source_data == arena);
    (void)memory;
    (void)size;
    come_to(RELEASE);
}

/* Of slots. One that is constructed twice is destructed once, and the other way round. */
static size_t constructed_count;
static void *last_object; /* that a callback got */

static int construct(void *user_data, void *object)
{
    CHECK(user_data == &mp && object != NULL);
    last_object = object;
    come_to(CONSTRUCTOR);
    constructed_count++;
    return 0;
}

static void destruct(void *user_data, void *object)
{
    CHECK(user_data == &mp && object != NULL && !has_gone_on);
    constructed_count--;
    last_object = object;
    come_to(DESTRUCTOR);
}

/* Makes a pool, issues objects, and frees those from live_count on. */
static void begin(unsigned protections, bool has_constructor, size_t count, size_t live_count)
{
    static const struct cork_mempool_source source = {acquire, release};

    arena_used = 0;
    INIT(&mp, .name = NAME, .element_size = SIZE, .protections = protections, .seed = 7,
         .source = &source, .source_data = arena, .init_object = has_constructor ? construct : NULL,
         .done_object = has_constructor ? destruct : NULL,
         .user_data = has_constructor ? &mp : NULL);
    take_objects(&mp, objects, count);
    free_objects(&mp, objects, live_count, count);
}

static size_t issued_count;

static void issue_many(void)
{
    for (size_t i = 0; i < 10 * OBJECT_COUNT; i++) {
        make_call(NEW, &mp, NULL);
        issued_count++;
    }
}

static void visit(void *user_data, void *object)
{
    (void)user_data;
    CHECK(object != NULL);
    come_to(VISITOR);
    if (place == CONSTRUCTOR) {
        issue_many();
    }
}

/* What a pool does when it calls back: new as often as it takes, or another call. */
static void act(enum call what)
{
    if (what == NEW) {
        issue_many();
    } else if (what == FOREACH) {
        cork_mempool_foreach(&mp, visit, NULL);
    } else {
        make_call(what, &mp, NULL);
    }
}

static struct cork_mempool_violation busy = {
    .kind = CORK_MEMPOOL_BUSY,
    .pool = &mp,
    .pool_name = NAME,
    .element_size = SIZE,
    .slot = CORK_MEMPOOL_NO_SLOT,
    .seed = 7,
};

/* Places for calls, and how a pool comes there: with how many of count objects still live. */
static const struct way {
    enum place place;
    enum call act;
    size_t count, live_count;
} ways[] = {
    {CONSTRUCTOR, NEW, OBJECT_COUNT, 130},
    {CONSTRUCTOR, FOREACH, OBJECT_COUNT, OBJECT_COUNT}, /* whose visitor calls new */
    {DESTRUCTOR, TRIM, OBJECT_COUNT, 1},
    {DESTRUCTOR, DONE, OBJECT_COUNT, 0},
    {ACQUIRE, NEW, 0, 0}, /* the first memory may be for other things than slots */
    {ACQUIRE, NEW, OBJECT_COUNT, 130},
    {RELEASE, TRIM, OBJECT_COUNT, 1},
    {RELEASE, DONE, OBJECT_COUNT, 0},
    {VISITOR, FOREACH, OBJECT_COUNT, OBJECT_COUNT},
};

static void call_is_refused(const struct way *way, unsigned protections, bool has_constructor)
{
    size_t extended_count = 0;

    begin(protections, has_constructor, way->count, way->live_count);
    busy.pointer = call == FREE || call == OWNS ? objects[0] : NULL;
    busy.protections = protections;
    busy.is_seeded = protections != 0;
    issued_count = 0;
    place = way->place;
    CHECK_ABORTS(report_of(&busy), act(way->act));
    RUN_UNTIL_REFUSED(act(way->act));
    CHECK_EQUAL(place, NOWHERE);
    CHECK_EQUAL(seen.count, 1);
    CHECK_STRING(violation_difference(&seen.violation, &busy), NULL);
    if (way->place == CONSTRUCTOR || way->place == DESTRUCTOR) {
        CHECK_FORBIDDEN(last_object);
    }
    /* The pool is whole, is used, and ends. */
    CHECK(cork_mempool_check(&mp));
    CHECK_EQUAL(stats_of(&mp).live_count, way->live_count + issued_count);
    for (struct cork_mempool_region *region = mp.oldest; region != NULL; region = region->newer) {
        extended_count += region->extended_count;
    }
    CHECK_EQUAL(mp.objects_left, SIZE_MAX - extended_count);
    take_objects(&mp, objects, COUNT_OF(objects));
    cork_mempool_foreach(&mp, visit, NULL);
    clear_and_end(&mp);
    CHECK_EQUAL(constructed_count, 0);
}

TEST(every_call_of_a_pool_during_another_of_it_is_refused_but_a_visitors_new_and_free)
{
    static const unsigned sets[] = {0, CORK_MEMPOOL_CANARY,
                                    CORK_MEMPOOL_SEAL | CORK_MEMPOOL_QUARANTINE,
                                    CORK_MEMPOOL_SHUFFLE | CORK_MEMPOOL_CALLSITES};

    for (size_t i = 0; i < COUNT_OF(ways) * COUNT_OF(sets) * 2; i++) {
        const struct way *way = &ways[i / 2 / COUNT_OF(sets)];
        const unsigned protections = sets[i / 2 % COUNT_OF(sets)];
        const bool has_constructor = i % 2 != 0;

        if (!has_constructor && (way->place == CONSTRUCTOR || way->place == DESTRUCTOR)) {
            continue;
        }
        for (call = way->place == VISITOR ? STATS : NEW; call < CALL_COUNT; call++) {
            test_row("place %d by call %d: call %d, protections %#x, constructor %d",
                     (int)way->place, (int)way->act, (int)call, protections, has_constructor);
            call_is_refused(way, protections, has_constructor);
        }
    }
}

static void is_not_called(const struct cork_mempool_violation *violation)
{
    CHECK(violation == NULL);
}

/* The refusal has ended the call that the callback is a part of. No object is destructed after
 * that, and no handler hears of it, which might leave again. */
TEST(a_callback_that_goes_on_in_a_call_that_is_over_ends_the_process_whatever_the_handler)
{
    goes_on = true;
    cork_mempool_on_violation(is_not_called);
    for (size_t i = 0; ways[i / 4].place != VISITOR; i++) {
        busy.protections = i % 2 == 0 ? 0 : CORK_MEMPOOL_CANARY;
        busy.is_seeded = i % 2 != 0;
        call = i / 2 % 2 == 0 ? NEW : STATS;
        test_row("place %d by call %d: call %d", (int)ways[i / 4].place, (int)ways[i / 4].act,
                 (int)call);
        begin(busy.protections, ways[i / 4].place != ACQUIRE, ways[i / 4].count,
              ways[i / 4].live_count);
        place = ways[i / 4].place;
        CHECK_ABORTS(report_of(&busy), act(ways[i / 4].act));
        place = NOWHERE;
        clear_and_end(&mp);
    }
}

static struct cork_mempool moved;

static int construct_in_a_copy(void *user_data, void *object)
{
    (void)user_data;
    (void)object;
    moved = mp;
    CHECK_KIND((void)!cork_mempool_new(&moved), CORK_MEMPOOL_NOT_A_POOL);
    CHECK(TEST_UNDER_MSAN || memcmp(&moved, &mp, sizeof(mp)) == 0);
    CHECK(cork_mempool_new(&moved) != NULL);
    return 0;
}

/* That it was moved is the graver mistake, and its regions are not those of the copy. */
TEST(a_pool_that_was_moved_during_a_call_is_no_pool)
{
    INIT(&mp, .element_size = SIZE, .init_object = construct_in_a_copy);
    CHECK_ABORTS(report_of(&(struct cork_mempool_violation){.kind = CORK_MEMPOOL_NOT_A_POOL,
                                                            .pool = &moved,
                                                            .moved_from = &mp,
                                                            .slot = CORK_MEMPOOL_NO_SLOT}),
                 (void)!cork_mempool_new(&mp));
    cork_mempool_done(&mp);
}

static void look(int number)
{
    (void)number;
    (void)!cork_mempool_owns(&mp, NULL);
}

static void use_until_interrupted(void)
{
    const struct itimerval often = {{0, 200}, {0, 200}};

    signal(SIGALRM, look);
    setitimer(ITIMER_REAL, &often, NULL);
    for (;;) {
        cork_mempool_free(&mp, cork_mempool_new(&mp));
    }
}

/* The flag that shows a signal handler that the pool is busy is a plain one, which is there in
 * pools that do more than change a bit. */
TEST(a_signal_handler_that_enters_a_pool_with_protections_during_a_call_is_refused)
{
    if (TEST_UNDER_TSAN) {
        test_skip("signals come late");
    }
    busy.element_size = (size_t)1 << 21;
    busy.is_seeded = true;
    INIT(&mp, .name = NAME, .element_size = busy.element_size, .protections = CORK_MEMPOOL_WIPE,
         .seed = 7);
    CHECK_ABORTS(report_of(&busy), use_until_interrupted());
    cork_mempool_done(&mp);
}
