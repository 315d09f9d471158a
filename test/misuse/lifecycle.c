/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * Calls at the wrong time, and what a whole pool is asked or told wrongly.
 */

#include <errno.h>
#include <string.h>

#include "misuse.h"

GUARANTEE("a pool is finalized while objects are live; the first 16 are listed",
          {ALL, "leak at done"})

static void finalize_with(const char *first, size_t count)
{
    free_all_but(first, count);
    cork_mempool_done(&pool);
}

MISUSE_IS(pool_is_finalized_with_an_object_live, finalize_with(object, 1))
MISUSE_IS(pool_is_finalized_with_17_objects_live, finalize_with(object, 17))
MISUSE_IS(pool_is_finalized_with_all_objects_live, finalize_with(first_object, 128))
MISUSE_IS(pool_is_finalized_before_anything_is_freed, cork_mempool_done(&pool))

/* A call on a pool that is not live, with the pointer that its report shows. */
#define CALL(state, name, pointer, call)                                                           \
    MISUSE(name##_##state)                                                                         \
    {                                                                                              \
        struct cork_mempool *const mp = state();                                                   \
                                                                                                   \
        expect_call_on(mp, pointer);                                                               \
        call;                                                                                      \
    }

#define EACH_CALL_BUT_FREE(STATE)                                                                  \
    CALL(STATE, new_is_called, NULL, (void)!cork_mempool_new(mp))                                  \
    CALL(STATE, done_is_called, NULL, cork_mempool_done(mp))                                       \
    CALL(STATE, check_is_called, NULL, (void)!cork_mempool_check(mp))                              \
    CALL(STATE, stats_is_called, NULL, cork_mempool_stats(mp, &(struct cork_mempool_stats){0}))    \
    CALL(STATE, owns_is_called, object, (void)!cork_mempool_owns(mp, object))                      \
    CALL(STATE, foreach_is_called, NULL, cork_mempool_foreach(mp, destruct_nothing, NULL))         \
    CALL(STATE, clear_is_called, NULL, cork_mempool_clear(mp))                                     \
    CALL(STATE, trim_is_called, NULL, cork_mempool_trim(mp))

#define EACH_CALL(STATE)                                                                           \
    EACH_CALL_BUT_FREE(STATE)                                                                      \
    CALL(STATE, free_is_called, object, cork_mempool_free(mp, object))                             \
    CALL(STATE, free_of_null_is_called, NULL, cork_mempool_free(mp, NULL))

GUARANTEE("a finalized pool is used", {ALL, "use after done"})

static struct cork_mempool *after_done(void)
{
    free_all();
    finalize_pool();
    return &pool;
}

EACH_CALL(after_done)

GUARANTEE("a zeroed pool is used, or one that was zeroed while it was live",
          {ALL, "use before init"})

static struct cork_mempool *before_init(void)
{
    return memset(&other_pool, 0, sizeof(other_pool));
}

EACH_CALL(before_init)

MISUSE(live_pool_is_zeroed)
{
    memset(&pool, 0, sizeof(pool));
    fixture.is_pool_gone = true;
    call_new(&pool);
}

GUARANTEE("a pool that was never written is used, but for free", {ALL, "not a pool"})

/* The bytes make pointers that lead nowhere. */
static struct cork_mempool *on_garbage(void)
{
    return memset(&other_pool, 64, sizeof(other_pool));
}

EACH_CALL_BUT_FREE(on_garbage)

GUARANTEE("a pool was moved after its first object, and is asked for one, finalized or checked",
          {ALL, "not a pool"})

/* The nearest that a program can come to a pool that lives on: its objects stay where they are. */
static struct cork_mempool *moved_after(void (*call)(void))
{
    call();
    memcpy(&other_pool, &pool, sizeof(pool));
    expected.moved_from = &pool;
    expect_call_on(&other_pool, NULL);
    return &other_pool;
}

MISUSE_IS(new_is_called_on_a_moved_pool, call_new(moved_after(free_object)))
MISUSE_IS(done_is_called_on_a_moved_pool, cork_mempool_done(moved_after(free_all)))
MISUSE_IS(check_is_called_on_a_moved_pool, (void)!cork_mempool_check(moved_after(check_pool)))

GUARANTEE("a pool was moved after its first object, which is freed to the copy",
          {DEFAULT, NOT_DETECTED}, {OTHERS, "not a pool"}, {VALGRIND, "not a pool"})

MISUSE(free_is_called_on_a_moved_pool)
{
    /* Frees are fast, and look no further, where the last one was near. */
    call_free(moved_after(free_next), object);
    /* The pool takes the object for a live one, and its copy does not. */
    note_effect(true);
    fixture.is_pool_gone = true;
}

GUARANTEE(
    "a pool is called by its own constructor, destructor or source; trimmed or finalized while it is visited",
    {ALL, "use during another call"})

static int construct_and_call_new(void *mp, void *constructed)
{
    (void)constructed;
    call_new(mp);
    return 0;
}

/* For a destructor, or for visits. */
static void trim(void *mp, void *visited)
{
    (void)visited;
    cork_mempool_trim(mp);
}

static void *acquire_and_check(void *source_data, size_t size, size_t alignment)
{
    (void)!cork_mempool_check(&other_pool);
    return plain_source.acquire(source_data, size, alignment);
}

static void *acquire_misaligned(void *source_data, size_t size, size_t alignment)
{
    char *memory = plain_source.acquire(source_data, size + alignment, alignment);

    return memory == NULL ? NULL : memory + 1;
}

static void release_misaligned(void *source_data, void *memory, size_t size)
{
    plain_source.release(source_data, (char *)memory - 1, size);
}

/* Takes an object from another pool, with callbacks; SEAL stands for what contradicts these. */
static void *new_with(int (*construct)(void *, void *), void (*destruct)(void *, void *),
                      void *(*acquire)(void *, size_t, size_t))
{
    static struct cork_mempool_source source = {NULL, release_misaligned};
    struct cork_mempool_options options = fixture_options();

    if (has(CORK_MEMPOOL_WIPE | CORK_MEMPOOL_GUARD)) {
        options.protections &= ~(CORK_MEMPOOL_WIPE | CORK_MEMPOOL_GUARD);
        options.protections |= CORK_MEMPOOL_SEAL;
    }
    options.init_object = construct;
    options.done_object = destruct;
    options.user_data = &other_pool;
    source.acquire = acquire;
    options.source = acquire == NULL ? NULL : &source;
    init_other_pool(options);
    return call_new(&other_pool);
}

MISUSE_IS(pool_is_called_by_its_constructor, new_with(construct_and_call_new, NULL, NULL))
MISUSE_IS(pool_is_called_by_its_source, new_with(NULL, NULL, acquire_and_check))

MISUSE(pool_is_called_by_its_destructor)
{
    call_free(&other_pool, new_with(NULL, trim, NULL));
    cork_mempool_done(&other_pool);
}

MISUSE_IS(pool_is_trimmed_while_visited, visit_pool(trim, &pool))

static void free_and_finalize(void *mp, void *visited)
{
    call_free(mp, visited);
    cork_mempool_done(mp);
}

MISUSE(pool_is_finalized_while_visited)
{
    init_other_pool(fixture_options());
    call_new(&other_pool);
    cork_mempool_foreach(&other_pool, free_and_finalize, &other_pool);
}

GUARANTEE("a source gives memory that is not aligned as it was asked for",
          {ALL, "misaligned memory from a source"})

MISUSE_IS(source_gives_misaligned_memory, new_with(NULL, NULL, acquire_misaligned))

GUARANTEE("a live pool is initialized again", {ALL, NOT_DETECTED})

MISUSE(live_pool_is_initialized_again)
{
    init_pool_again();
    note_effect(!cork_mempool_owns(&pool, object));
}

GUARANTEE("a pool's own counts or links are overwritten, so that they contradict each other",
          {ALL, CHECK_FAILS})

MISUSE(free_list_is_overwritten)
{
    static char fake;

    pool.first_linked = &fake;
    check_pool();
    fixture.is_pool_gone = true;
}

MISUSE(stride_is_overwritten)
{
    pool.geometry.stride++;
    check_pool();
    pool.geometry.stride--;
}

GUARANTEE(
    "more is asked for than a limit, a buffer or memory holds: NULL, ENOMEM; objects of no size take a byte; contradictory options: false, EINVAL",
    {ALL, ABSORBED})

static void take_one_too_many_and_end(void)
{
    errno = 0;
    const void *issued = call_new(&other_pool);
    note_effect(issued != NULL || errno != ENOMEM);
    clear_and_end(&other_pool);
}

MISUSE(more_objects_are_asked_for_than_the_limit)
{
    struct cork_mempool_options options = fixture_options();

    options.max_objects = 10;
    init_other_pool(options);
    for (size_t i = 0; i < options.max_objects; i++) {
        note_effect(call_new(&other_pool) == NULL);
    }
    take_one_too_many_and_end();
}

MISUSE(more_objects_are_asked_for_than_a_buffer_holds)
{
    static char buffer[256 * 1024];
    struct cork_mempool_options options = fixture_options();

    options.buffer = buffer;
    options.buffer_size = sizeof(buffer);
    options.protections &= ~CORK_MEMPOOL_GUARD;
    init_other_pool(options);
    note_effect(call_new(&other_pool) == NULL);
    while (call_new(&other_pool) != NULL) {
    }
    take_one_too_many_and_end();
}

MISUSE(larger_objects_are_asked_for_than_memory_holds)
{
    cork_mempool_init_size(&other_pool, SIZE_MAX);
    take_one_too_many_and_end();
    cork_mempool_init_size(&other_pool, SIZE_MAX / 2 + 1);
    take_one_too_many_and_end();
}

MISUSE(objects_of_no_size_are_asked_for)
{
    struct cork_mempool_options options = fixture_options();

    options.element_size = 0;
    init_other_pool(options);
    char *one = call_new(&other_pool);
    char *other = call_new(&other_pool);
    write_byte(one, 1);
    write_byte(other, 2);
    note_effect(one == other || read_byte(one) != 1);
    clear_and_end(&other_pool);
}

/* The pool that is not initialized is live: that it goes on shows that it was not touched. */
MISUSE(options_contradict_each_other)
{
    struct cork_mempool_options wrong[5];

    for (size_t i = 0; i < COUNT_OF(wrong); i++) {
        wrong[i] = fixture_options();
    }
    wrong[0].protections |= 0x80u;
    wrong[1].protections |= 0x8000u;
    wrong[2].alignment = 3;
    wrong[3].buffer_size = 4096;
    wrong[4].element_size = SIZE_MAX / 2 + 1;
    for (size_t i = 0; i < COUNT_OF(wrong); i++) {
        errno = 0;
        note_effect(cork_mempool_init_with(&pool, &wrong[i]) || errno != EINVAL);
    }
}
