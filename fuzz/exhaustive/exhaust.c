/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Runs every program up to a length over a tiny pool, with groups of one, two and three slots.
 *
 *     exhaust [--depth=N] [--profile=NAME]
 *
 * --depth: operations of a program at most, instead of each profile's own; --profile: this one
 * instead of all.
 * Exit code: 0; 1 where a program fails, which is printed, the shortest there is; 2 where an
 * argument cannot be read.
 */

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "exhaust.h"

#define DEPTH_MAX 255
#define STATE_MAX ((size_t)1 << 21)
#define SET_SIZE  (2 * STATE_MAX)

size_t exhaust_group_slots;
const struct profile *profile;

/*
 * Slots of 112 bytes, so that the stride has an odd factor, or of 128 between guards; two to a
 * block, or one, or three for SHUFFLE. H(1) is a region of up to two slots without tables, or the
 * tables of one; R(7), one of up to five.
 */
#define P(name)  CORK_MEMPOOL_##name
#define H(pages) {true, pages}
#define R(pages) {false, pages}
static const struct profile profiles[] = {
    {"default", 112, 224, 0, 0, false, 15, {H(1), R(7)}},
    {"regions", 112, 224, 0, 0, false, 14, {H(1), R(7), R(6)}},
    {"heap", 112, 224, 0, 0, false, 14, {H(1), H(1), H(2), H(1), H(1)}},
    {"source", 112, 112, 0, 0, true, 14, {H(1), H(1), H(1), H(1), H(1), H(1), H(1), H(1)}},
    {"limit", 112, 224, 0, 3, false, DEPTH_MAX, {H(1), R(7)}},
    {"canary", 96, 224, P(CANARY), 0, false, 14, {H(2), H(1), R(9)}},
    {"seal", 112, 224, P(SEAL), 0, false, DEPTH_MAX, {R(9)}},
    {"seal-heap", 112, 224, P(SEAL), 0, false, 14, {R(8), H(1), H(2), H(1), H(1)}},
    {"wipe", 112, 224, P(WIPE), 0, false, 14, {H(1), H(1), R(8)}},
    {"shuffle", 112, 336, P(SHUFFLE), 0, false, 14, {H(2), H(1), R(8)}},
    {"quarantine", 112, 224, P(QUARANTINE), 0, false, DEPTH_MAX, {H(1), R(9)}},
    {"quarantine-heap", 112, 224, P(QUARANTINE), 0, false, 15, {H(1), H(1), H(2), H(1), H(1)}},
    {"guard", 128, 256, P(GUARD), 0, false, 13, {R(8), R(11), R(13)}},
    {"paranoid", 112, 256, P(PARANOID), 0, false, 11, {H(1), R(18), R(18)}},
};
#define PROFILE_COUNT (sizeof(profiles) / sizeof(profiles[0]))

/* A state: how it was reached, and so many bits of its hash, to see that it is reached again. */
static struct state {
    uint32_t parent;
    uint16_t op;
    uint16_t check;
} states[STATE_MAX];
static size_t state_count;

/* The hashes of all states, with open addressing; 0: none. */
__extension__ typedef unsigned __int128 hash;
static hash *set;

/* The operations that lead to the state that the search is at, and one that is tried there. */
static uint16_t program[DEPTH_MAX + 1];
static unsigned program_length;
static uint32_t current; /* the number of that state */
struct world search_state;

static hash add_words(hash sum, const void *words, size_t size)
{
    const hash factor = (hash)UINT64_C(0x9e3779b97f4a7c15) << 64 | UINT64_C(0xc2b2ae3d27d4eb4f);
    uint64_t word;

    for (size_t i = 0; i < size; i += sizeof(word)) {
        memcpy(&word, (const char *)words + i, sizeof(word));
        sum = (sum ^ word) * factor;
        sum ^= sum >> 64;
    }
    return sum;
}

static hash hash_world(void)
{
    const struct model *model = &world.run.model;
    hash sum = add_words(1, world_pool(), sizeof(struct cork_mempool));

    sum = add_words(sum, &world.memory, offsetof(struct memory, has_uncounted));
    for (size_t i = 0; i < model->slot_count; i++) {
        const struct model_slot *slot = &model->slots[i];
        const uint64_t bits = slot->is_live + 2U * (slot->fill == CONTENTS_UNKNOWN);
        const uint64_t word = (uint64_t)slot->address << 2 | bits;
        sum = add_words(sum, &word, sizeof(word));
    }
    for (uint64_t pages = world.memory.usable; pages != 0; pages &= pages - 1) {
        sum = add_words(sum, world.memory.pages[__builtin_ctzll(pages)], PAGE_SIZE);
    }
    return sum + (sum == 0);
}

/* Notes the state that the world is in, if it is a new one. */
static void add_state(uint32_t parent, uint16_t op)
{
    const hash sum = hash_world();
    size_t i = (size_t)sum % SET_SIZE;

    while (set[i] != 0 && set[i] != sum) {
        i = (i + 1) % SET_SIZE;
    }
    if (set[i] == 0) {
        expect(state_count < STATE_MAX, "there is room for all states");
        set[i] = sum;
        states[state_count++] = (struct state){parent, op, (uint16_t)(sum >> 64)};
    }
}

static void perform(uint16_t op)
{
    program[program_length++] = op;
    oracle_perform((enum action)(op >> 10), op & 1023);
}

void search_try(enum action action, unsigned argument)
{
    perform((uint16_t)(action << 10 | argument));
    add_state(current, program[--program_length]);
    memcpy(&world, &search_state, sizeof(world));
}

/* Makes a state again, which is depth operations from the first. */
static void go_to(uint32_t state, unsigned depth)
{
    const unsigned long long calls = memory_calls;

    current = state;
    oracle_begin();
    for (unsigned i = depth; i > 0; state = states[state].parent) {
        program[--i] = states[state].op;
    }
    for (program_length = 0; program_length < depth;) {
        perform(program[program_length]);
    }
    memory_calls = calls;
    expect((uint16_t)(hash_world() >> 64) == states[current].check,
           "the same operations lead to the same state");
    memcpy(&search_state, &world, sizeof(world));
}

static void print_op(unsigned action, unsigned argument)
{
    static const char *const names[] = {"new", "free", "clear", "trim", "done", "foreach", "init"};
    const unsigned bits = action == ACTION_NEW ? argument % (1 << REFUSED_BITS) : 0;

    fprintf(stderr, "    %s", names[action]);
    if (action == ACTION_FREE) {
        fprintf(stderr, " %u", argument);
    } else if (argument != bits) {
        fprintf(stderr, ", shuffled from slot %u of the group on", argument >> REFUSED_BITS);
    }
    for (unsigned i = 0; i < REFUSED_BITS; i++) {
        if ((bits >> i & 1) != 0) {
            fprintf(stderr, ", request %u%s refused", i + 1, i + 1 < REFUSED_BITS ? "" : " and on");
        }
    }
    fprintf(stderr, "\n");
}

/* SIGABRT comes of the engine, which has printed what it expected and saw. */
static void on_signal(int number)
{
    alarm(0);
    if (number != SIGABRT) {
        fprintf(stderr, "  expected: a call %s\n  program:\n",
                number == SIGALRM ? "ends" : "stays within its memory");
    }
    for (unsigned i = 0; i < program_length; i++) {
        print_op(program[i] >> 10, program[i] & 1023);
    }
    fprintf(stderr, "  profile %s, groups of %zu\n", profile->name, exhaust_group_slots);
    _exit(1);
}

/* Returns: the depth that was reached. */
static unsigned search(unsigned depth_max)
{
    unsigned depth = 0;
    size_t level_end = 1;

    free(set);
    set = calloc(SET_SIZE, sizeof(*set));
    oracle_begin();
    expect(set != NULL, "there is memory for the search itself");
    state_count = 0;
    program_length = 0;
    add_state(0, 0);
    for (size_t state = 0; state < state_count && depth < depth_max; state++) {
        if (state % 256 == 0) {
            alarm(60); /* Where so many states take longer, a call hangs. */
        }
        go_to((uint32_t)state, depth);
        oracle_probe();
        oracle_expand();
        if (state + 1 == level_end && level_end < state_count) {
            depth++;
            level_end = state_count;
        }
    }
    alarm(0);
    return depth;
}

static int usage(const char *argument)
{
    fprintf(stderr, "exhaust: %s cannot be read\nusage: exhaust [--depth=1..%d] [--profile=NAME]\n",
            argument, DEPTH_MAX);
    for (size_t i = 0; i < PROFILE_COUNT; i++) {
        fprintf(stderr, "%s%s", i == 0 ? "profiles: " : ", ", profiles[i].name);
    }
    fprintf(stderr, "\n");
    return 2;
}

int main(int argc, char **argv)
{
    static const int signals[] = {SIGALRM, SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};
    unsigned reached, depth = 0;
    clock_t begin;
    const char *name = NULL;
    char rest;

    for (int i = 1; i < argc; i++) {
        if (strncmp(argv[i], "--profile=", 10) == 0) {
            name = argv[i] + 10;
        } else if (sscanf(argv[i], "--depth=%3u%c", &depth, &rest) != 1 || depth - 1 >= DEPTH_MAX) {
            return usage(argv[i]);
        }
    }
    for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
        signal(signals[i], on_signal);
    }
    printf("profile          groups  depth     states        calls  seconds\n");
    for (profile = profiles; profile < profiles + PROFILE_COUNT; profile++) {
        for (size_t slots = 1; slots <= 3; slots++) {
            if (name == NULL || strcmp(profile->name, name) == 0) {
                exhaust_group_slots = slots;
                memory_calls = 0;
                begin = clock(); /* of the processor, which does not depend on what else runs */
                reached = search(depth != 0 ? depth : profile->depth);
                printf("%-16s %6zu %6u %10zu %12llu %8.1f\n", profile->name, slots, reached,
                       state_count, memory_calls, (double)(clock() - begin) / CLOCKS_PER_SEC);
                fflush(stdout);
            }
        }
    }
    return state_count == 0 ? usage(name) : 0;
}
