/* SPDX-License-Identifier: BSD-3-Clause */
#define _DEFAULT_SOURCE 1

#include "exhaust_search.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "exhaust_calls.h"

#define DEPTH_MAX 512

/* Where so many states take longer than this, a call hangs. */
#define MAX_SECONDS 60

struct world worlds[WORLD_COUNT];
struct search_result search_result;

/* A state: how it was reached, and so many bits of its hash, to see that it is reached again. */
struct state {
    uint32_t parent;
    uint16_t op;
    uint16_t check;
};

struct hash {
    uint64_t low; /* 0 in a set: no state */
    uint64_t high;
};

static struct state *states;
static size_t state_capacity;

/* The hashes of all states, with open addressing. */
static struct hash *set;
static size_t set_capacity; /* a power of two */

/* The states on the way to the current one, as they are. */
static struct world path[DEPTH_MAX + 1][WORLD_COUNT];
static struct hash path_hashes[DEPTH_MAX + 1][WORLD_COUNT];
static uint32_t path_states[DEPTH_MAX + 1];
static unsigned path_depth;

static struct exhaust_op current_op; /* what is tried in the current state */
static bool is_trying;
static bool is_limited;

static void *resized(void *memory, size_t count, size_t size)
{
    memory = realloc(memory, count * size);
    if (memory == NULL) {
        fprintf(stderr, "exhaust: out of memory\n");
        exit(2);
    }
    return memory;
}

static unsigned pack(struct exhaust_op op)
{
    return op.world << 15 | op.call << 10 | op.arg;
}

static struct exhaust_op unpack(unsigned packed)
{
    return (struct exhaust_op){packed >> 15, packed >> 10 & 31, packed & 1023};
}

static inline uint64_t step(uint64_t lane, uint64_t word, uint64_t factor)
{
    lane = (lane ^ word) * factor;
    return lane ^ lane >> 32;
}

/* Each word goes into two lanes of 64 bits, by different odd factors; even and odd words take
 * turns, because a step must wait for the one before it. */
struct lanes {
    uint64_t even[2];
    uint64_t odd[2];
};

static inline struct lanes add_words(struct lanes lanes, const void *words, size_t size)
{
    for (size_t i = 0; i < size; i += 16) {
        uint64_t pair[2] = {0, 0};
        memcpy(pair, (const char *)words + i, size - i < 16 ? 8 : 16);
        lanes.even[0] = step(lanes.even[0], pair[0], UINT64_C(0x9e3779b97f4a7c15));
        lanes.even[1] = step(lanes.even[1], pair[0], UINT64_C(0xc2b2ae3d27d4eb4f));
        lanes.odd[0] = step(lanes.odd[0], pair[1], UINT64_C(0xbf58476d1ce4e5b9));
        lanes.odd[1] = step(lanes.odd[1], pair[1], UINT64_C(0x94d049bb133111eb));
    }
    return lanes;
}

static struct hash finish(struct lanes lanes)
{
    const uint64_t low =
        step(lanes.even[0], lanes.odd[0] << 1 | lanes.odd[0] >> 63, UINT64_C(0xd6e8feb86659fd93));
    const uint64_t high =
        step(lanes.even[1], lanes.odd[1] << 1 | lanes.odd[1] >> 63, UINT64_C(0xff51afd7ed558ccd));

    return (struct hash){low, high};
}

static struct hash hash_world(const struct world *world)
{
    struct lanes lanes = {{1, 2}, {3, 4}};

    lanes = add_words(lanes, &world->head, sizeof(world->head));
    for (uint64_t pages = world->head.usable; pages != 0; pages &= pages - 1) {
        lanes = add_words(lanes, world->pages[__builtin_ctzll(pages)], WORLD_PAGE_SIZE);
    }
    return finish(lanes);
}

static struct hash hash_both(const struct hash hashes[WORLD_COUNT])
{
    struct hash hash =
        finish(add_words((struct lanes){{1, 2}, {3, 4}}, hashes, WORLD_COUNT * sizeof(*hashes)));

    hash.low += hash.low == 0;
    return hash;
}

static bool insert(struct hash hash)
{
    size_t i = (size_t)hash.high & (set_capacity - 1);

    while (set[i].low != 0) {
        if (set[i].low == hash.low && set[i].high == hash.high) {
            return false;
        }
        i = (i + 1) & (set_capacity - 1);
    }
    set[i] = hash;
    return true;
}

static void make_set(size_t capacity)
{
    struct hash *old = set;
    const size_t old_capacity = set_capacity;

    set_capacity = capacity;
    set = calloc(capacity, sizeof(*set));
    if (set == NULL) {
        fprintf(stderr, "exhaust: out of memory\n");
        exit(2);
    }
    for (size_t i = 0; i < old_capacity; i++) {
        if (old[i].low != 0) {
            insert(old[i]);
        }
    }
    free(old);
}

/* Notes a state if it is a new one. */
static void add_state(struct hash hash, uint32_t parent, struct exhaust_op op)
{
    if (!insert(hash)) {
        return;
    }
    if (search_result.states == state_capacity) {
        state_capacity = state_capacity == 0 ? 1 << 16 : 2 * state_capacity;
        states = resized(states, state_capacity, sizeof(*states));
    }
    states[search_result.states++] = (struct state){parent, (uint16_t)pack(op), (uint16_t)hash.low};
    if (search_result.states > set_capacity / 2) {
        make_set(2 * set_capacity);
    }
}

/* Makes the worlds the state at the end of the path. */
static void arrive(uint32_t state)
{
    path_states[path_depth] = state;
    for (unsigned i = 0; i < WORLD_COUNT; i++) {
        world_copy(&path[path_depth][i], &worlds[i]);
        path_hashes[path_depth][i] = hash_world(&worlds[i]);
    }
}

/* Goes to a state, which is depth operations from the first, from the last one that is on the path
 * already. */
static void go_to(uint32_t state, unsigned depth)
{
    uint32_t way[DEPTH_MAX + 1];
    unsigned known = depth;

    for (uint32_t i = state; known > path_depth || path_states[known] != i; i = states[i].parent) {
        way[known--] = i;
    }
    for (unsigned i = 0; i < WORLD_COUNT; i++) {
        world_copy(&worlds[i], &path[known][i]);
    }
    for (path_depth = known; path_depth < depth;) {
        const uint32_t next = way[path_depth + 1];
        const uint64_t transitions = search_result.transitions;

        current_op = unpack(states[next].op);
        is_trying = true;
        calls_perform(current_op);
        is_trying = false;
        search_result.transitions = transitions;
        path_depth++;
        arrive(next);
        expect((uint16_t)hash_both(path_hashes[path_depth]).low == states[next].check,
               "the same operations lead to the same state");
    }
}

void search_try(struct exhaust_op op)
{
    struct world *world = &worlds[op.world];
    struct hash hashes[WORLD_COUNT];

    current_op = op;
    is_trying = true;
    calls_perform(op);
    expect(world_is_untouched(world), "only memory that the pool has is written");
    memcpy(hashes, path_hashes[path_depth], sizeof(hashes));
    hashes[op.world] = hash_world(world);
    if (path_depth < DEPTH_MAX && !is_limited) {
        add_state(hash_both(hashes), path_states[path_depth], op);
    }
    world_copy(world, &path[path_depth][op.world]);
    is_trying = false;
}

const struct world *search_world(unsigned world)
{
    return &path[path_depth][world];
}

/* Tries everything in a state. What does not depend on the other world was tried before, unless the
 * last operation changed it. */
static void expand(uint32_t state)
{
    const unsigned changed = state == 0 ? 0 : unpack(states[state].op).world;

    for (unsigned i = 0; i < WORLD_COUNT; i++) {
        if (state == 0 || i == changed) {
            calls_probe(&worlds[i]);
        }
        calls_probe_other(&worlds[i], &worlds[1 - i]);
        expect(world_is_untouched(&worlds[i]), "only memory that the pool has is written");
    }
    for (unsigned i = 0; i < WORLD_COUNT; i++) {
        calls_expand(i);
    }
}

static void on_signal(int number)
{
    search_failed(number == SIGALRM ? "a call ends" : "a call stays within its memory");
}

/* The handler has a stack of its own: a call that never ends may have used up the other. */
static void catch_signals(void)
{
    static const int signals[] = {SIGALRM, SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};
    static char memory[1 << 16];
    const stack_t stack = {.ss_sp = memory, .ss_size = sizeof(memory)};
    const struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_ONSTACK};

    sigaltstack(&stack, NULL);
    for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
        sigaction(signals[i], &action, NULL);
    }
}

static void reset(void)
{
    catch_signals();
    memset(&search_result, 0, sizeof(search_result));
    free(set);
    set = NULL;
    set_capacity = 0;
    make_set(1 << 16);
    path_depth = 0;
    is_limited = false;
}

void search_run(const struct search_limits *limits, void (*progress)(void))
{
    size_t level_end = 1;

    reset();
    arrive(0);
    add_state(hash_both(path_hashes[0]), 0, (struct exhaust_op){0, 0, 0});
    for (size_t state = 0; state < search_result.states; state++) {
        if (state == level_end) {
            search_result.depth++;
            level_end = search_result.states;
        }
        if (search_result.depth >= limits->depth) {
            break;
        }
        is_limited = search_result.states >= limits->states;
        if (is_limited) {
            break;
        }
        go_to((uint32_t)state, search_result.depth);
        if (state % 256 == 0) {
            alarm(MAX_SECONDS);
            progress();
        }
        expand((uint32_t)state);
        search_result.is_closed = state + 1 == search_result.states;
    }
    alarm(0);
}

void search_failed(const char *expected)
{
    struct exhaust_op program[DEPTH_MAX + 1];
    size_t count = 0;

    alarm(0);
    fflush(stdout);
    for (unsigned depth = 1; depth <= path_depth; depth++) {
        program[count++] = unpack(states[path_states[depth]].op);
    }
    if (is_trying) {
        program[count++] = current_op;
    }
    calls_print(program, count, !is_trying);
    fprintf(stderr, "expected: %s\n", expected);
    fflush(stderr);
    _exit(1);
}
