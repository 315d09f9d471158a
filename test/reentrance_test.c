/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * Calls of a pool during another call of it: from its constructor, its destructor, its source, a
 * visitor, or a signal handler. Each is refused, once by an abort and once left by longjmp, after
 * which the pool goes on, and nothing is constructed or destructed twice.
 */

#define _DEFAULT_SOURCE /* setitimer */

#include <inttypes.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/time.h>

#include "test/support/harness.h"
#include "test/support/pools.h"

#define NAME         "reentrant"
#define SIZE         ((size_t)64)
#define SEED         UINT64_C(7)
#define OBJECT_COUNT 150 /* of a few regions */

enum place { NOWHERE, CONSTRUCTOR, DESTRUCTOR, ACQUIRE, RELEASE, VISITOR };

enum call { NEW, FREE, FREE_NULL, DONE, CLEAR, TRIM, VERIFY, STATS, OWNS, FOREACH, CALL_COUNT };

static struct cork_mempool mp;
static unsigned protections;
static char *objects[OBJECT_COUNT];

/* Where this call is made next. */
static enum place place;
static enum call call;

static jmp_buf refused;
static struct cork_mempool_violation seen;

static void visit_nothing(void *user_data, void *object)
{
    (void)user_data;
    (void)object;
}

static void make_call(struct cork_mempool *pool, void *object)
{
    switch (call) {
    case NEW:
        CHECK(cork_mempool_new(pool) != NULL);
        break;
    case FREE:
        cork_mempool_free(pool, object);
        break;
    case FREE_NULL:
        cork_mempool_free(pool, NULL);
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
        cork_mempool_foreach(pool, visit_nothing, NULL);
        break;
    }
}

static void *pointer_of_call(void)
{
    return call == FREE || call == OWNS ? objects[0] : NULL;
}

/* What a callback does besides its duty. */
static void come_to(enum place here)
{
    if (place == here) {
        place = NOWHERE;
        make_call(&mp, objects[0]);
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

static const struct cork_mempool_source source = {acquire, release};

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

static void begin(unsigned set, bool has_constructor)
{
    const struct cork_mempool_options options = {
        .name = NAME,
        .element_size = SIZE,
        .protections = set,
        .seed = SEED,
        .source = &source,
        .source_data = arena,
        .init_object = has_constructor ? construct : NULL,
        .done_object = has_constructor ? destruct : NULL,
        .user_data = has_constructor ? &mp : NULL,
    };

    place = NOWHERE;
    protections = set;
    CHECK(cork_mempool_init_with(&mp, &options));
    for (size_t i = 0; i < OBJECT_COUNT; i++) {
        objects[i] = cork_mempool_new(&mp);
        CHECK(objects[i] != NULL);
    }
}

static void free_from(size_t first)
{
    for (size_t i = first; i < OBJECT_COUNT; i++) {
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
    CHECK(cork_mempool_check(&mp));
    CHECK_EQUAL(stats_of(&mp).live_count, live_count + 3 * OBJECT_COUNT);
    cork_mempool_clear(&mp);
    cork_mempool_done(&mp);
    CHECK_EQUAL(constructed_count, 0);
}

static const char *report(void)
{
    static char text[256];
    char pointer[32] = "";
    char seed[32] = "";

    if (pointer_of_call() != NULL) {
        snprintf(pointer, sizeof(pointer), ", pointer 0x%" PRIxPTR, (uintptr_t)pointer_of_call());
    }
    if (protections != 0) {
        snprintf(seed, sizeof(seed), ", seed 0x%" PRIx64, SEED);
    }
    snprintf(text, sizeof(text),
             "cork_mempool: use during another call: pool 0x%" PRIxPTR
             " \"%s\"%s, element size %zu%s\n",
             (uintptr_t)&mp, NAME, pointer, SIZE, seed);
    return text;
}

static void leave(const struct cork_mempool_violation *violation)
{
    seen = *violation;
    CHECK_POINTER(violation->pool, &mp);
    longjmp(refused, 1);
}

/* Comes to a place by way of act, where the call is refused. */
static void call_is_refused(enum place there, void (*act)(void))
{
    place = there;
    CHECK_ABORTS(report(), act());
    memset(&seen, 0, sizeof(seen));
    cork_mempool_on_violation(leave);
    if (setjmp(refused) == 0) {
        act();
        test_fails(__FILE__, __LINE__, "call %d is not refused", (int)call);
    }
    cork_mempool_on_violation(NULL);
    CHECK_EQUAL(seen.kind, CORK_MEMPOOL_BUSY);
    CHECK_STRING(seen.message, "use during another call");
    CHECK_POINTER(seen.pointer, pointer_of_call());
    CHECK_EQUAL(seen.slot, CORK_MEMPOOL_NO_SLOT);
    CHECK_EQUAL(seen.element_size, SIZE);
}

static size_t issued_count;

static void new_until_refused(void)
{
    for (size_t i = 0; i < 10 * OBJECT_COUNT; i++) {
        CHECK(cork_mempool_new(&mp) != NULL);
        issued_count++;
    }
}

static void trim(void)
{
    cork_mempool_trim(&mp);
}

static void done(void)
{
    cork_mempool_done(&mp);
}

/* What combines with a source and a constructor. */
static const unsigned combining[] = {
    0,
    CORK_MEMPOOL_CANARY,
    CORK_MEMPOOL_SEAL | CORK_MEMPOOL_QUARANTINE,
    CORK_MEMPOOL_SHUFFLE | CORK_MEMPOOL_CALLSITES,
};

static void new_is_refused(enum place there, unsigned set, bool has_constructor)
{
    begin(set, has_constructor);
    free_from(OBJECT_COUNT - 20);
    issued_count = 0;
    call_is_refused(there, new_until_refused);
    use_and_end(OBJECT_COUNT - 20 + issued_count);
}

/* One object is live in the first region; all others are given back. */
static void trim_is_refused(enum place there, unsigned set, bool has_constructor)
{
    begin(set, has_constructor);
    free_from(1);
    call_is_refused(there, trim);
    use_and_end(1);
}

static void done_is_refused(enum place there, unsigned set, bool has_constructor)
{
    begin(set, has_constructor);
    free_from(0);
    call_is_refused(there, done);
    use_and_end(0);
}

static void each_call_is_refused(void (*is_refused)(enum place, unsigned, bool), enum place there,
                                 bool has_constructor)
{
    for (size_t i = 0; i < COUNT_OF(combining); i++) {
        for (call = 0; call < CALL_COUNT; call++) {
            is_refused(there, combining[i], has_constructor);
        }
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
    const struct cork_mempool_options options = {.element_size = SIZE,
                                                 .init_object = construct_in_a_copy};
    char text[128];

    CHECK(cork_mempool_init_with(&mp, &options));
    snprintf(text, sizeof(text),
             "cork_mempool: not a pool: pool 0x%" PRIxPTR ", moved from 0x%" PRIxPTR "\n",
             (uintptr_t)&moved, (uintptr_t)&mp);
    CHECK_ABORTS(text, (void)!cork_mempool_new(&mp));
    cork_mempool_done(&mp);
}

TEST(a_constructor_that_calls_its_pool_is_refused)
{
    each_call_is_refused(new_is_refused, CONSTRUCTOR, true);
}

TEST(a_destructor_that_calls_its_pool_in_trim_is_refused)
{
    each_call_is_refused(trim_is_refused, DESTRUCTOR, true);
}

TEST(a_destructor_that_calls_its_pool_in_done_is_refused)
{
    each_call_is_refused(done_is_refused, DESTRUCTOR, true);
}

TEST(a_source_that_calls_its_pool_when_memory_is_acquired_is_refused)
{
    each_call_is_refused(new_is_refused, ACQUIRE, false);
    each_call_is_refused(new_is_refused, ACQUIRE, true);
}

TEST(a_source_that_calls_its_pool_when_memory_is_released_is_refused)
{
    each_call_is_refused(trim_is_refused, RELEASE, false);
    each_call_is_refused(done_is_refused, RELEASE, false);
    each_call_is_refused(trim_is_refused, RELEASE, true);
    each_call_is_refused(done_is_refused, RELEASE, true);
}

/* The first memory that a pool asks for may be for other things than slots. */
TEST(a_source_that_calls_its_pool_before_there_is_any_memory_is_refused)
{
    for (size_t i = 0; i < COUNT_OF(combining); i++) {
        for (call = 0; call < CALL_COUNT; call++) {
            const struct cork_mempool_options options = {
                .name = NAME,
                .element_size = SIZE,
                .protections = combining[i],
                .seed = SEED,
                .source = &source,
                .source_data = arena,
            };

            protections = combining[i];
            CHECK(cork_mempool_init_with(&mp, &options));
            call_is_refused(ACQUIRE, new_until_refused);
            use_and_end(0);
        }
    }
}

/* Visitors. */

static void visit(void *user_data, void *object)
{
    (void)user_data;
    CHECK(object != NULL);
    come_to(VISITOR);
}

static void foreach (void)
{
    cork_mempool_foreach(&mp, visit, NULL);
}

TEST(a_visitor_that_does_more_than_new_and_free_is_refused)
{
    for (size_t i = 0; i < COUNT_OF(combining); i++) {
        for (call = DONE; call < CALL_COUNT; call++) {
            begin(combining[i], i % 2 == 0);
            call_is_refused(VISITOR, foreach);
            use_and_end(OBJECT_COUNT);
        }
    }
}

/* What is issued may be visited, so this comes to an end. */
static void replace(void *user_data, void *object)
{
    size_t *visited = user_data;

    if (++*visited <= OBJECT_COUNT) {
        CHECK(cork_mempool_new(&mp) != NULL);
        cork_mempool_free(&mp, object);
    }
    cork_mempool_free(&mp, NULL);
}

/* Frees the object, and of the first one others too, wherever they are. */
static void free_some(void *user_data, void *object)
{
    size_t *visited = user_data;

    if (++*visited == 1) {
        for (size_t i = 2; i < OBJECT_COUNT; i += 3) {
            cork_mempool_free(&mp, objects[i]);
            CHECK(objects[i] != object);
            objects[i] = NULL;
        }
    }
    cork_mempool_free(&mp, object);
}

TEST(a_visitor_may_issue_and_free)
{
    for (size_t i = 0; i < COUNT_OF(combining); i++) {
        size_t visited = 0;

        begin(combining[i] & ~CORK_MEMPOOL_SHUFFLE, true);
        cork_mempool_foreach(&mp, replace, &visited);
        CHECK(visited >= OBJECT_COUNT);
        CHECK_EQUAL(stats_of(&mp).live_count, OBJECT_COUNT);
        use_and_end(OBJECT_COUNT);
        begin(combining[i] & ~CORK_MEMPOOL_SHUFFLE, true);
        visited = 0;
        cork_mempool_foreach(&mp, free_some, &visited);
        CHECK_EQUAL(visited, OBJECT_COUNT - OBJECT_COUNT / 3);
        use_and_end(0);
    }
}

static void visit_with_new(void *user_data, void *object)
{
    (void)user_data;
    (void)object;
    new_until_refused();
}

static void foreach_with_new(void)
{
    cork_mempool_foreach(&mp, visit_with_new, NULL);
}

TEST(a_constructor_that_calls_its_pool_while_that_is_visited_is_refused)
{
    for (call = 0; call < CALL_COUNT; call++) {
        begin(0, true);
        issued_count = 0;
        call_is_refused(CONSTRUCTOR, foreach_with_new);
        use_and_end(OBJECT_COUNT + issued_count);
    }
}

/* Other pools share nothing with the one that is busy. */

static struct cork_mempool other;

static void use_other(void)
{
    void *object = cork_mempool_new(&other);

    CHECK(object != NULL);
    for (call = FREE_NULL; call < CALL_COUNT; call++) {
        if (call != DONE && call != CLEAR) {
            make_call(&other, object);
        }
    }
    cork_mempool_free(&other, object);
    CHECK(cork_mempool_new(&other) != NULL);
    cork_mempool_clear(&other);
    cork_mempool_done(&other);
    cork_mempool_init_size(&other, 100);
}

static int construct_with_other(void *user_data, void *object)
{
    (void)user_data;
    use_other();
    memset(object, 1, SIZE);
    return 0;
}

static void destruct_with_other(void *user_data, void *object)
{
    (void)user_data;
    (void)object;
    use_other();
}

static void *acquire_with_other(void *source_data, size_t size, size_t alignment)
{
    use_other();
    return acquire(source_data, size, alignment);
}

static void release_with_other(void *source_data, void *memory, size_t size)
{
    (void)source_data;
    (void)memory;
    (void)size;
    use_other();
}

TEST(another_pool_may_be_used_by_callbacks)
{
    static const struct cork_mempool_source source_with_other = {acquire_with_other,
                                                                 release_with_other};

    cork_mempool_init_size(&other, 100);
    for (size_t i = 0; i < COUNT_OF(combining); i++) {
        const struct cork_mempool_options options = {
            .element_size = SIZE,
            .protections = combining[i],
            .source = &source_with_other,
            .source_data = arena,
            .init_object = construct_with_other,
            .done_object = destruct_with_other,
        };

        CHECK(cork_mempool_init_with(&mp, &options));
        use_and_end(0);
    }
}

/* Signal handlers. The flag that shows them that the pool is busy is a plain one, which is there in
 * pools that do more than change a bit. */

static void look(int number)
{
    (void)number;
    (void)cork_mempool_owns(&mp, NULL);
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

TEST(a_signal_handler_that_enters_a_pool_with_protections_during_a_call_is_refused)
{
    const struct cork_mempool_options options = {
        .name = NAME,
        .element_size = (size_t)1 << 21,
        .protections = CORK_MEMPOOL_WIPE,
        .seed = SEED,
    };
    char text[256];

    if (TEST_UNDER_TSAN) {
        test_skip("signals come late");
    }
    CHECK(cork_mempool_init_with(&mp, &options));
    snprintf(text, sizeof(text),
             "cork_mempool: use during another call: pool 0x%" PRIxPTR
             " \"%s\", element size %zu, seed 0x7\n",
             (uintptr_t)&mp, NAME, options.element_size);
    CHECK_ABORTS(text, use_until_interrupted());
    cork_mempool_done(&mp);
}
