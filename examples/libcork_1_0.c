/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * A program for libcork 1.0. It is built with this library, which is given
 * -include libcork/compat/mempool_1_0.h, and with libcork itself; both must print the same.
 */

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <libcork/core.h>

#define COUNT 5000

/* Constructed once, then used again and again. */
struct session {
    int magic;
    int uses;
    struct session *next;
};

struct tally {
    const char *name;
    int live_count; /* constructed, and not destructed */
    int use_count;  /* of all that were destructed */
    int is_counted_twice;
};

static void session_init(void *user_data, void *object)
{
    struct tally *tally = user_data;
    struct session *session = object;

    session->magic = 4711;
    session->uses = 0;
    tally->live_count++;
}

static void session_done(void *user_data, void *object)
{
    struct tally *tally = user_data;
    struct session *session = object;

    tally->is_counted_twice |= session->magic != 4711;
    session->magic = 0;
    tally->live_count--;
    tally->use_count += session->uses;
}

static void tally_free(void *user_data)
{
    struct tally *tally = user_data;

    printf("%s: %d left constructed, %d uses%s\n", tally->name, tally->live_count, tally->use_count,
           tally->is_counted_twice ? ", some twice" : "");
    free(tally);
}

static struct tally *tally_new(const char *name)
{
    struct tally *tally = calloc(1, sizeof(struct tally));

    if (tally == NULL) {
        abort();
    }
    tally->name = name;
    return tally;
}

/* The same in each run, and with each C library. */
static unsigned next_random(void)
{
    static uint32_t state = 1;

    state = state * 1664525 + 1013904223;
    return state >> 16;
}

static void use(struct session *session)
{
    if (session->magic != 4711) {
        printf("a session that was not constructed\n");
    }
    session->uses++;
}

/* Half of the sessions are returned at random and taken out again, which must all stay constructed.
 */
static void use_sessions(struct cork_mempool *pool)
{
    static struct session *sessions[COUNT];

    for (int i = 0; i < COUNT; i++) {
        sessions[i] = cork_mempool_new_object(pool);
        use(sessions[i]);
    }
    for (int i = 0; i < COUNT * 10; i++) {
        const unsigned chosen = next_random() % COUNT;

        cork_mempool_free_object(pool, sessions[chosen]);
        sessions[chosen] = cork_mempool_new_object(pool);
        use(sessions[chosen]);
    }
    for (int i = 0; i < COUNT; i++) {
        cork_mempool_free_object(pool, sessions[i]);
    }
}

static void try_callbacks(void)
{
    struct cork_mempool *pool = cork_mempool_new(struct session);

    cork_mempool_set_user_data(pool, tally_new("set apart"), tally_free);
    cork_mempool_set_init_object(pool, session_init);
    cork_mempool_set_done_object(pool, session_done);
    use_sessions(pool);
    printf("before the pool is freed\n");
    cork_mempool_free(pool);

    pool = cork_mempool_new_ex(struct session, 1000);
    cork_mempool_set_callbacks(pool, tally_new("replaced"), tally_free, session_init, session_done);
    cork_mempool_set_user_data(pool, tally_new("in its stead"), tally_free);
    use_sessions(pool);
    cork_mempool_free(pool);

    pool = cork_mempool_new(struct session);
    cork_mempool_set_callbacks(pool, tally_new("unused"), tally_free, session_init, session_done);
    cork_mempool_free(pool);
}

/* Objects do not overlap, and keep what is written to them. */
static void try_size(struct cork_mempool *pool, size_t size)
{
    static unsigned char *objects[COUNT];
    void (*finish)(struct cork_mempool *) = cork_mempool_free;
    unsigned sum = 0;

    for (int i = 0; i < COUNT; i++) {
        objects[i] = cork_mempool_new_object(pool);
        for (size_t byte = 0; byte < size; byte++) {
            objects[i][byte] = (unsigned char)(i + (int)byte);
        }
    }
    for (int i = 0; i < COUNT; i++) {
        for (size_t byte = 0; byte < size; byte++) {
            sum += objects[i][byte] == (unsigned char)(i + (int)byte);
        }
        sum += (uintptr_t)objects[i] % (size < sizeof(void *) ? 1 : sizeof(void *)) != 0;
        cork_mempool_free_object(pool, objects[i]);
    }
    printf("size %zu: %u\n", size, sum);
    finish(pool);
}

int main(void)
{
    try_callbacks();
    try_size(cork_mempool_new_size(8), 8);
    try_size(cork_mempool_new_size(24), 24);
    try_size(cork_mempool_new_size_ex(200, 65536), 200);
    try_size(cork_mempool_new(uint64_t), sizeof(uint64_t));
    return 0;
}
