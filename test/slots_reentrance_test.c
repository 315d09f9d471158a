/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * Calls of a pool during another call of it: from its constructor, its destructor, its source, a
 * visitor, or a signal handler. Each is refused, once by an abort and once left by longjmp, after
 * which the pool goes on, and nothing is constructed or destructed twice.
 */

#define _DEFAULT_SOURCE /* setitimer */

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/time.h>

#include "test/support/harness.h"
#include "test/support/pools.h"
#include "test/support/refusals.h"
#include "test/support/reports.h"

#define NAME         "reentrant"
#define SIZE         ((size_t)64)
#define SEED         UINT64_C(7)
#define OBJECT_COUNT 150 /* of a few regions */

enum place { NOWHERE, CONSTRUCTOR, DESTRUCTOR, ACQUIRE, RELEASE, VISITOR };

enum call { NEW, FREE, FREE_NULL, DONE, CLEAR, TRIM, VERIFY, STATS, OWNS, FOREACH, CALL_COUNT };

static struct cork_mempool mp, other;
static char *objects[OBJECT_COUNT];

/* Where this call is made next; and whether all callbacks use the other pool. */
static enum place place;
static enum call call;
static bool other_is_used;

static void visit(void *user_data, void *object);

static void make_call(enum call what, struct cork_mempool *pool, void *object)
{
    switch (what) {
    case NEW:
        CHECK(cork_mempool_new(pool) != NULL);
        break;
    case FREE:
    case FREE_NULL:
        cork_mempool_free(pool, what == FREE ? object : NULL);
        break;
    case DONE:
        cork_mempool_done(pool);
        break;
    case CLEAR:
        cork_mempool_clear(pool);
        break;
    case TRIM:
        cork_mempool_trim(pool);
        break;
    case VERIFY:
        CHECK(cork_mempool_check(pool));
        break;
    case STATS:
        stats_of(pool);
        break;
    case OWNS:
        CHECK(cork_mempool_owns(pool, object));
        break;
    default:
        cork_mempool_foreach(pool, visit, NULL);
        break;
    }
}

/* Makes each call on the other pool, which shares nothing with the one that is busy. */
static void use_other(void)
{
    other_is_used = false;
    cork_mempool_init_size(&other, 100);
    for (size_t round = 0; round < 2; round++) {
        void *object = cork_mempool_new(&other);

        CHECK(object != NULL);
        for (enum call what = NEW; what < CALL_COUNT; what++) {
            if (what != FREE && what != DONE && what != CLEAR) {
                make_call(what, &other, object);
            }
        }
        cork_mempool_free(&other, object);
        cork_mempool_clear(&other);
    }
    cork_mempool_done(&other);
    other_is_used = true;
}

/* What a callback does besides its duty. */
static void come_to(enum place here)
{
    if (other_is_used) {
        use_other();
    }
    if (place == here) {
        place = NOWHERE;
        make_call(call, &mp, objects[0]);
    }
}

/* Memory is never used again: the pool loses a source's piece in whose place it was called. */
static _Alignas(4096) char arena[1 << 26];
static size_t arena_used;

static void *acquire(void *source_data, size_t size, size_t alignment)
{
    CHECK(source_data == arena);
    come_to(ACQUIRE);
    arena_used += (~arena_used + 1) % alignment;

    char *memory = arena + arena_used;
    CHECK(size <= sizeof(arena) - arena_used);
    arena_used += size;
    return memory;
}

static void release(void *source_data, void *memory, size_t size)
{
    CHECK(source_data == arena);
    (void)memory;
    (void)size;
    come_to(RELEASE);
}

/* Of each place in the arena where an object may start: whether one is constructed. */
static bool is_constructed[sizeof(arena) / 16];
static size_t constructed_count;

static int construct(void *user_data, void *object)
{
    const size_t number = (size_t)((char *)object - arena) / 16;

    CHECK(user_data == &mp);
    come_to(CONSTRUCTOR);
    CHECK(!is_constructed[number]);
    is_constructed[number] = true;
    constructed_count++;
    memset(object, 1, SIZE);
    return 0;
}

static void destruct(void *user_data, void *object)
{
    const size_t number = (size_t)((char *)object - arena) / 16;

    CHECK(user_data == &mp);
    CHECK(is_constructed[number]);
    is_constructed[number] = false;
    constructed_count--;
    come_to(DESTRUCTOR);
}

/* Makes a pool, issues objects, and frees those from live_count on. */
static void begin(unsigned protections, bool has_constructor, size_t count, size_t live_count)
{
    static const struct cork_mempool_source source = {acquire, release};

    CHECK(cork_mempool_init_with(&mp, OPTIONS(.name = NAME, .element_size = SIZE,
                                              .protections = protections, .seed = SEED,
                                              .source = &source, .source_data = arena,
                                              .init_object = has_constructor ? construct : NULL,
                                              .done_object = has_constructor ? destruct : NULL,
                                              .user_data = has_constructor ? &mp : NULL)));
    for (size_t i = 0; i < count; i++) {
        objects[i] = cork_mempool_new(&mp);
        CHECK(objects[i] != NULL);
    }
    for (size_t i = live_count; i < count; i++) {
        cork_mempool_free(&mp, objects[i]);
    }
}

/* After a refusal: the pool is whole, is used, and ends. */
static void use_and_end(size_t live_count)
{
    CHECK(cork_mempool_check(&mp));
    CHECK_EQUAL(stats_of(&mp).live_count, live_count);
    for (size_t i = 0; i < 3 * OBJECT_COUNT; i++) {
        CHECK(cork_mempool_new(&mp) != NULL);
    }
    cork_mempool_foreach(&mp, visit, NULL);
    CHECK(cork_mempool_check(&mp));
    CHECK_EQUAL(stats_of(&mp).live_count, live_count + 3 * OBJECT_COUNT);
    cork_mempool_clear(&mp);
    cork_mempool_done(&mp);
    CHECK_EQUAL(constructed_count, 0);
}

static const char *report(const void *pointer, size_t element_size, bool has_seed)
{
    static char text[256];
    char words[32] = "";

    if (pointer != NULL) {
        snprintf(words, sizeof(words), ", pointer 0x%" PRIxPTR, (uintptr_t)pointer);
    }
    snprintf(text, sizeof(text),
             "cork_mempool: use during another call: pool 0x%" PRIxPTR
             " \"%s\"%s, element size %zu%s\n",
             (uintptr_t)&mp, NAME, words, element_size, has_seed ? ", seed 0x7" : "");
    return text;
}

static size_t issued_count;

/* What a pool does when it calls back: new as often as it takes, or another call. */
static void act(enum call what)
{
    for (size_t i = 0; i < (what == NEW ? 10 * OBJECT_COUNT : 1); i++) {
        make_call(what, &mp, NULL);
        issued_count += what == NEW;
    }
}

static void visit(void *user_data, void *object)
{
    (void)user_data;
    CHECK(object != NULL);
    come_to(VISITOR);
    if (place == CONSTRUCTOR) {
        act(NEW);
    }
}

/* What combines with a source and a constructor. */
static const unsigned combining[] = {
    0,
    CORK_MEMPOOL_CANARY,
    CORK_MEMPOOL_SEAL | CORK_MEMPOOL_QUARANTINE,
    CORK_MEMPOOL_SHUFFLE | CORK_MEMPOOL_CALLSITES,
};

/* A place for calls, and how the pool comes there: with how many of count objects still live. */
struct way {
    enum place place;
    enum call act;
    size_t count, live_count;
};

static void call_is_refused(const struct way *way, unsigned protections, bool has_constructor)
{
    const void *pointer;

    begin(protections, has_constructor, way->count, way->live_count);
    pointer = call == FREE || call == OWNS ? objects[0] : NULL;
    issued_count = 0;
    place = way->place;
    CHECK_ABORTS(report(pointer, SIZE, protections != 0), act(way->act));
    RUN_UNTIL_REFUSED(act(way->act));
    CHECK_EQUAL(place, NOWHERE);
    CHECK_EQUAL(seen.violation.kind, CORK_MEMPOOL_BUSY);
    CHECK_STRING(seen.violation.message, "use during another call");
    CHECK_POINTER(seen.violation.pool, &mp);
    CHECK_POINTER(seen.violation.pointer, pointer);
    CHECK_EQUAL(seen.violation.slot, CORK_MEMPOOL_NO_SLOT);
    CHECK_EQUAL(seen.violation.element_size, SIZE);
    use_and_end(way->live_count + issued_count);
}

static void calls_are_refused(enum call first_call, struct way way)
{
    for (size_t i = 0; i < 2 * COUNT_OF(combining); i++) {
        const bool has_constructor = i % 2 != 0;

        for (call = first_call; call < CALL_COUNT; call++) {
            test_row("call %d, protections %#x, constructor %d", (int)call, combining[i / 2],
                     has_constructor);
            if (has_constructor || (way.place != CONSTRUCTOR && way.place != DESTRUCTOR)) {
                call_is_refused(&way, combining[i / 2], has_constructor);
            }
        }
    }
}

TEST(a_constructor_that_calls_its_pool_is_refused)
{
    calls_are_refused(NEW, (struct way){CONSTRUCTOR, NEW, OBJECT_COUNT, 130});
}

TEST(a_constructor_that_calls_its_pool_while_that_is_visited_is_refused)
{
    calls_are_refused(NEW, (struct way){CONSTRUCTOR, FOREACH, OBJECT_COUNT, OBJECT_COUNT});
}

TEST(a_destructor_that_calls_its_pool_is_refused)
{
    calls_are_refused(NEW, (struct way){DESTRUCTOR, TRIM, OBJECT_COUNT, 1});
    calls_are_refused(NEW, (struct way){DESTRUCTOR, DONE, OBJECT_COUNT, 0});
}

/* The first memory that a pool asks for may be for other things than slots. */
TEST(a_source_that_calls_its_pool_when_memory_is_acquired_is_refused)
{
    calls_are_refused(NEW, (struct way){ACQUIRE, NEW, 0, 0});
    calls_are_refused(NEW, (struct way){ACQUIRE, NEW, OBJECT_COUNT, 130});
}

TEST(a_source_that_calls_its_pool_when_memory_is_released_is_refused)
{
    calls_are_refused(NEW, (struct way){RELEASE, TRIM, OBJECT_COUNT, 1});
    calls_are_refused(NEW, (struct way){RELEASE, DONE, OBJECT_COUNT, 0});
}

TEST(a_visitor_that_does_more_than_new_and_free_is_refused)
{
    calls_are_refused(DONE, (struct way){VISITOR, FOREACH, OBJECT_COUNT, OBJECT_COUNT});
    for (call = NEW; call < DONE; call++) {
        begin(0, true, OBJECT_COUNT, OBJECT_COUNT);
        place = VISITOR;
        act(FOREACH);
        CHECK_EQUAL(place, NOWHERE);
        use_and_end(OBJECT_COUNT + (size_t)(call == NEW) - (size_t)(call == FREE));
    }
}

TEST(another_pool_may_be_used_by_callbacks)
{
    other_is_used = true;
    for (size_t i = 0; i < COUNT_OF(combining); i++) {
        begin(combining[i], true, 0, 0);
        use_and_end(0);
    }
}

static struct cork_mempool moved;

static int construct_in_a_copy(void *user_data, void *object)
{
    (void)user_data;
    (void)object;
    moved = mp;
    CHECK(cork_mempool_new(&moved) != NULL);
    return 0;
}

/* That it was moved is the graver mistake, and its regions are not those of the copy. */
TEST(a_pool_that_was_moved_during_a_call_is_no_pool)
{
    CHECK(cork_mempool_init_with(
        &mp, OPTIONS(.element_size = SIZE, .init_object = construct_in_a_copy)));
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
    const size_t size = (size_t)1 << 21;

    if (TEST_UNDER_TSAN) {
        test_skip("signals come late");
    }
    CHECK(cork_mempool_init_with(&mp, OPTIONS(.name = NAME, .element_size = size,
                                              .protections = CORK_MEMPOOL_WIPE, .seed = SEED)));
    CHECK_ABORTS(report(NULL, size, true), use_until_interrupted());
    cork_mempool_done(&mp);
}
