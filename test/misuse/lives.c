/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "misuses.h"

static void leak(struct scene *s, size_t first, size_t count)
{
    give_all_but(s, first, count);
    accuse_leak(s);
    cork_mempool_done(&s->mp);
}

void pool_is_finalized_with_an_object_live(struct scene *s)
{
    leak(s, VICTIM, 1);
}

void pool_is_finalized_with_17_objects_live(struct scene *s)
{
    leak(s, VICTIM, 17);
}

void pool_is_finalized_with_all_objects_live(struct scene *s)
{
    leak(s, 0, MEMBER_COUNT);
}

void pool_is_finalized_before_anything_is_freed(struct scene *s)
{
    accuse_leak(s);
    cork_mempool_done(&s->mp);
}

static void visit(void *user_data, void *visited)
{
    (void)user_data;
    (void)visited;
}

static struct cork_mempool_stats stats;

/* Every call, with a pointer for those that take one, made on a pool that is not live. */
#define EACH_CALL(when)                                                                            \
    CALL(when, new_is_called, (void)!cork_mempool_new(mp), NULL)                                   \
    CALL(when, free_is_called, cork_mempool_free(mp, pointer), pointer)                            \
    CALL(when, free_of_null_is_called, cork_mempool_free(mp, NULL), NULL)                          \
    CALL(when, done_is_called, cork_mempool_done(mp), NULL)                                        \
    CALL(when, check_is_called, (void)!cork_mempool_check(mp), NULL)                               \
    CALL(when, stats_is_called, cork_mempool_stats(mp, &stats), NULL)                              \
    CALL(when, owns_is_called, (void)!cork_mempool_owns(mp, pointer), pointer)                     \
    CALL(when, foreach_is_called, cork_mempool_foreach(mp, visit, NULL), NULL)                     \
    CALL(when, clear_is_called, cork_mempool_clear(mp), NULL)                                      \
    CALL(when, trim_is_called, cork_mempool_trim(mp), NULL)

static struct cork_mempool *finalized(struct scene *s)
{
    give_all(s);
    cork_mempool_done(&s->mp);
    return &s->mp;
}

static struct cork_mempool *zeroed(struct scene *s)
{
    memset(&s->other, 0, sizeof(s->other));
    return &s->other;
}

/* A struct that was never written: its bytes make pointers that lead nowhere. */
static struct cork_mempool *unwritten(struct scene *s)
{
    memset(&s->other, 64, sizeof(s->other));
    return &s->other;
}

#define CALL(when, what, call, shown)                                                              \
    void what##_##when(struct scene *s)                                                            \
    {                                                                                              \
        void *pointer = object(s, VICTIM);                                                         \
        struct cork_mempool *mp = STATE(s);                                                        \
        (void)pointer;                                                                             \
        accuse_dead(s, KIND, mp, NAME, shown);                                                     \
        call;                                                                                      \
    }

#define STATE finalized
#define KIND  CORK_MEMPOOL_USE_AFTER_DONE
#define NAME  SCENE_NAME
EACH_CALL(after_done)
#undef STATE
#undef KIND
#undef NAME

#define STATE zeroed
#define KIND  CORK_MEMPOOL_USE_BEFORE_INIT
#define NAME  NULL
EACH_CALL(before_init)
#undef STATE
#undef KIND
#undef NAME

#define STATE unwritten
#define KIND  CORK_MEMPOOL_NOT_A_POOL
#define NAME  NULL
CALL(on_garbage, new_is_called, (void)!cork_mempool_new(mp), NULL)
CALL(on_garbage, done_is_called, cork_mempool_done(mp), NULL)
CALL(on_garbage, check_is_called, (void)!cork_mempool_check(mp), NULL)
CALL(on_garbage, stats_is_called, cork_mempool_stats(mp, &stats), NULL)
CALL(on_garbage, owns_is_called, (void)!cork_mempool_owns(mp, pointer), pointer)
CALL(on_garbage, clear_is_called, cork_mempool_clear(mp), NULL)
CALL(on_garbage, trim_is_called, cork_mempool_trim(mp), NULL)
CALL(on_garbage, foreach_is_called, cork_mempool_foreach(mp, visit, NULL), NULL)

/* The nearest that a program can come to a pool that lives on: its objects stay where they are. */
static void move(struct scene *s)
{
    memcpy(&s->other, &s->mp, sizeof(s->mp));
    s->is_moved = true;
}

void done_is_called_on_a_moved_pool(struct scene *s)
{
    give_all(s);
    move(s);
    accuse_dead(s, CORK_MEMPOOL_NOT_A_POOL, &s->other, NULL, NULL);
    cork_mempool_done(&s->other);
}

void check_is_called_on_a_moved_pool(struct scene *s)
{
    move(s);
    accuse_dead(s, CORK_MEMPOOL_NOT_A_POOL, &s->other, NULL, NULL);
    (void)!cork_mempool_check(&s->other);
}

void new_is_called_on_a_moved_pool(struct scene *s)
{
    give(s, VICTIM);
    move(s);
    accuse_dead(s, CORK_MEMPOOL_NOT_A_POOL, &s->other, NULL, NULL);
    take(&s->other);
}

/* Where it is not seen, the pool takes the object for a live one and its copy does not. */
void free_is_called_on_a_moved_pool(struct scene *s)
{
    /* Frees are fast, and look no further, where the last one was near. */
    give(s, VICTIM + 1);
    move(s);
    accuse_dead(s, CORK_MEMPOOL_NOT_A_POOL, &s->other, NULL, object(s, VICTIM));
    drop(&s->other, object(s, VICTIM));
    harm(s, true);
    s->members[VICTIM].is_live = false;
}

void live_pool_is_zeroed(struct scene *s)
{
    memset(&s->mp, 0, sizeof(s->mp));
    accuse_dead(s, CORK_MEMPOOL_USE_BEFORE_INIT, &s->mp, NULL, NULL);
    take(&s->mp);
}

/* The pool's memory is lost, and its objects are nobody's. */
static void abandon(struct scene *s)
{
    for (size_t i = 0; i < s->elder_count; i++) {
        s->elders[i].is_victim = true;
    }
    for (size_t i = 0; i < MEMBER_COUNT; i++) {
        sacrifice(s, i);
    }
}

void live_pool_is_initialized_again(struct scene *s)
{
    const struct cork_mempool_options options = scene_options(s);

    abandon(s);
    (void)!cork_mempool_init_with(&s->mp, &options);
    harm(s, !cork_mempool_owns(&s->mp, object(s, VICTIM)));
}

void object_is_freed_after_its_pool_was_initialized_again(struct scene *s)
{
    const struct cork_mempool_options options = scene_options(s);

    abandon(s);
    (void)!cork_mempool_init_with(&s->mp, &options);
    accuse(s, CORK_MEMPOOL_FOREIGN_POINTER, object(s, VICTIM));
    drop(&s->mp, object(s, VICTIM));
}

void free_list_is_overwritten(struct scene *s)
{
    static struct cork_mempool_group fake;

    s->mp.newest->free_list = &fake;
    verify(s);
    s->mp.newest->free_list = NULL;
    s->is_dead = true;
}

void stride_is_overwritten(struct scene *s)
{
    const size_t stride = s->mp.geometry.stride;

    s->mp.geometry.stride = stride + 1;
    verify(s);
    s->mp.geometry.stride = stride;
}

/* Callbacks that call their pool, which is busy. */
static int construct(void *user_data, void *constructed)
{
    (void)constructed;
    take(user_data);
    return 0;
}

static void destruct(void *user_data, void *destructed)
{
    (void)destructed;
    cork_mempool_trim(user_data);
}

static void *acquire(void *source_data, size_t size, size_t alignment)
{
    (void)size;
    (void)alignment;
    (void)!cork_mempool_check(source_data);
    return NULL;
}

static void release(void *source_data, void *memory, size_t size)
{
    (void)source_data;
    (void)size;
    free(memory);
}

static void *acquire_misaligned(void *source_data, size_t size, size_t alignment)
{
    (void)source_data;
    char *memory = malloc(size + alignment);
    return memory == NULL ? NULL : memory + 1;
}

static void release_misaligned(void *source_data, void *memory, size_t size)
{
    (void)source_data;
    (void)size;
    free((char *)memory - 1);
}

/* Options for another pool with callbacks: SEAL stands for what contradicts these. */
static struct cork_mempool_options options_with_callbacks(const struct scene *s)
{
    struct cork_mempool_options options = scene_options(s);

    if (scene_has(s, CORK_MEMPOOL_WIPE | CORK_MEMPOOL_GUARD)) {
        options.protections &= ~(CORK_MEMPOOL_WIPE | CORK_MEMPOOL_GUARD);
        options.protections |= CORK_MEMPOOL_SEAL;
    }
    return options;
}

void pool_is_called_by_its_constructor(struct scene *s)
{
    struct cork_mempool_options options = options_with_callbacks(s);

    options.init_object = construct;
    options.user_data = &s->other;
    harm(s, !cork_mempool_init_with(&s->other, &options));
    accuse_call(s, CORK_MEMPOOL_BUSY, &s->other, options.protections);
    take(&s->other);
}

void pool_is_called_by_its_destructor(struct scene *s)
{
    struct cork_mempool_options options = options_with_callbacks(s);

    options.done_object = destruct;
    options.user_data = &s->other;
    harm(s, !cork_mempool_init_with(&s->other, &options));
    accuse_call(s, CORK_MEMPOOL_BUSY, &s->other, options.protections);
    drop(&s->other, take(&s->other));
    cork_mempool_done(&s->other);
}

static void take_from_source(struct scene *s, const struct cork_mempool_source *source,
                             enum cork_mempool_violation_kind kind)
{
    struct cork_mempool_options options = options_with_callbacks(s);

    options.source = source;
    options.source_data = &s->other;
    harm(s, !cork_mempool_init_with(&s->other, &options));
    accuse_call(s, kind, &s->other, options.protections);
    take(&s->other);
}

void pool_is_called_by_its_source(struct scene *s)
{
    static const struct cork_mempool_source source = {acquire, release};

    take_from_source(s, &source, CORK_MEMPOOL_BUSY);
}

void source_gives_misaligned_memory(struct scene *s)
{
    static const struct cork_mempool_source source = {acquire_misaligned, release_misaligned};

    take_from_source(s, &source, CORK_MEMPOOL_BAD_SOURCE);
}

static void visit_and_trim(void *user_data, void *visited)
{
    (void)visited;
    cork_mempool_trim(user_data);
}

void pool_is_trimmed_while_visited(struct scene *s)
{
    accuse_call(s, CORK_MEMPOOL_BUSY, &s->mp, s->protections);
    cork_mempool_foreach(&s->mp, visit_and_trim, &s->mp);
}

static void visit_and_end(void *user_data, void *visited)
{
    drop(user_data, visited);
    cork_mempool_done(user_data);
}

void pool_is_finalized_while_visited(struct scene *s)
{
    struct cork_mempool_options options = scene_options(s);

    harm(s, !cork_mempool_init_with(&s->other, &options));
    take(&s->other);
    accuse_call(s, CORK_MEMPOOL_BUSY, &s->other, s->protections);
    cork_mempool_foreach(&s->other, visit_and_end, &s->other);
}
static void demand_nothing(struct scene *s)
{
    errno = 0;
    const void *none = take(&s->other);
    harm(s, none != NULL || errno != ENOMEM);
}

void more_objects_are_asked_for_than_the_limit(struct scene *s)
{
    struct cork_mempool_options options = scene_options(s);

    options.max_objects = 10;
    harm(s, !cork_mempool_init_with(&s->other, &options));
    for (size_t i = 0; i < options.max_objects; i++) {
        harm(s, take(&s->other) == NULL);
    }
    demand_nothing(s);
    cork_mempool_clear(&s->other);
    cork_mempool_done(&s->other);
}

void more_objects_are_asked_for_than_a_buffer_holds(struct scene *s)
{
    static char buffer[256 * 1024];
    struct cork_mempool_options options = scene_options(s);
    size_t count = 0;

    options.buffer = buffer;
    options.buffer_size = sizeof(buffer);
    options.protections &= ~CORK_MEMPOOL_GUARD;
    harm(s, !cork_mempool_init_with(&s->other, &options));
    while (take(&s->other) != NULL) {
        count++;
    }
    harm(s, count == 0);
    demand_nothing(s);
    cork_mempool_clear(&s->other);
    cork_mempool_done(&s->other);
}

void larger_objects_are_asked_for_than_memory_holds(struct scene *s)
{
    cork_mempool_init_size(&s->other, SIZE_MAX);
    demand_nothing(s);
    cork_mempool_init_size(&s->other, SIZE_MAX / 2 + 1);
    demand_nothing(s);
    cork_mempool_done(&s->other);
}

void objects_of_no_size_are_asked_for(struct scene *s)
{
    struct cork_mempool_options options = scene_options(s);

    options.element_size = 0;
    harm(s, !cork_mempool_init_with(&s->other, &options));
    char *one = take(&s->other);
    char *other = take(&s->other);
    poke(one, 1);
    poke(other, 2);
    harm(s, one == other || peek(one) != 1);
    cork_mempool_clear(&s->other);
    cork_mempool_done(&s->other);
}

static void demand_refusal(struct scene *s, const struct cork_mempool_options *options)
{
    errno = 0;
    harm(s, cork_mempool_init_with(&s->mp, options) || errno != EINVAL);
}

/* The scene's own pool is live: that it goes on shows that it was not touched. */
void options_contradict_each_other(struct scene *s)
{
    struct cork_mempool_options options = scene_options(s);

    options.protections |= 0x80u;
    demand_refusal(s, &options);
    options = scene_options(s);
    options.protections |= 0x8000u;
    demand_refusal(s, &options);
    options = scene_options(s);
    options.alignment = 3;
    demand_refusal(s, &options);
    options = scene_options(s);
    options.buffer_size = 4096;
    demand_refusal(s, &options);
    options = scene_options(s);
    options.element_size = SIZE_MAX / 2 + 1;
    demand_refusal(s, &options);
}
