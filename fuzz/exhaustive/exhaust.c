/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Runs every program up to a length over a tiny pool, with groups of one, two and three slots.
 *
 *     exhaust [--depth=N] [--profile=NAME]
 *
 * --depth: operations of a program at most, instead of each profile's own; --profile: this one
 * instead of all.
 * Exit code: 0; 1 where a program fails, which is printed, the shortest there is; 2 where an
 * argument cannot be read. A free's number is the object's index. In a new's, bit i refuses request
 * i for memory, bit 5 also all later ones, and the bits above say from which slot SHUFFLE looks.
 */

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "exhaust_world.h"
#include "fuzz/engine/calls.h"
#include "fuzz/engine/misuse.h"
#include "region.h"

#define STATE_MAX ((size_t)1 << 21)
#define SET_SIZE  (2 * STATE_MAX)

size_t exhaust_group_slots;
const struct profile *profile;

/* Operations, which change the world. foreach frees each object. */
#define ACTIONS(X)                                                                                 \
    X(NEW, new, perform_new(argument))                                                             \
    X(FREE, free, calls_free_at(run, argument))                                                    \
    X(CLEAR, clear, calls_clear(run))                                                              \
    X(TRIM, trim, perform_trim())                                                                  \
    X(FOREACH, foreach, calls_foreach(run, 1))                                                     \
    X(DONE, done, calls_done(run, ORDER_FIFO))                                                     \
    X(INIT, init, perform_init())
#define NAME_OF(NAME, name, call) #name,
static const char *const action_names[] = {ACTIONS(NAME_OF)};
#define ACTION_OF(NAME, name, call) ACTION_##NAME,
enum action { ACTIONS(ACTION_OF) };

/* A state: its hash, and how it was first reached, by so many operations. */
__extension__ typedef unsigned __int128 hash;
static struct state {
    hash sum;
    uint32_t parent;
    uint16_t op;
    uint16_t depth;
} states[STATE_MAX];
static size_t state_count;

/* The states by their hashes, with open addressing: their numbers, from 1; 0: none. */
static uint32_t set[SET_SIZE];

/* The operations that lead to the state that the search is at, and one that is tried there. */
static uint16_t program[DEPTH_MAX + 1];
static unsigned program_length;
static uint32_t current; /* the number of that state */
static struct world search_state;

static hash add_words(hash sum, const void *words, size_t size)
{
    const hash factor = (hash)UINT64_C(0x9e3779b97f4a7c15) << 64 | UINT64_C(0xc2b2ae3d27d4eb4f);
    for (size_t i = 0; i < size; i += sizeof(uint64_t)) {
        uint64_t word;
        memcpy(&word, (const char *)words + i, sizeof(word));
        sum = (sum ^ word) * factor;
        sum ^= sum >> 64;
    }
    return sum;
}

static hash hash_world(void)
{
    hash sum = add_words(1, world_pool, sizeof(struct cork_mempool));
    sum = add_words(sum, &world.memory, offsetof(struct memory, size));
    for (size_t i = 0; i < run->model.slot_count; i++) {
        const struct model_slot *slot = &run->model.slots[i];
        const uint64_t word =
            4 * (uint64_t)slot->address + 2 * slot->is_live + (slot->fill == MODEL_FILL_UNKNOWN);
        sum = add_words(sum, &word, sizeof(word));
    }
    for (uint64_t pages = world.memory.usable; pages != 0; pages &= pages - 1) {
        sum = add_words(sum, world.memory.pages[__builtin_ctzll(pages)], PAGE_SIZE);
    }
    return sum;
}

/* Notes the state that the world is in, if it is a new one. */
static void add_state(uint16_t op)
{
    const hash sum = hash_world();
    size_t i = (size_t)sum % SET_SIZE;
    while (set[i] != 0 && states[set[i] - 1].sum != sum) {
        i = (i + 1) % SET_SIZE;
    }
    if (set[i] == 0) {
        expect(state_count < STATE_MAX, "there is room for all states");
        states[state_count++] = (struct state){sum, current, op, (uint16_t)program_length};
        set[i] = (uint32_t)state_count;
    }
}

/* Makes the world that of the profile, with a pool of zeros. */
static void begin_world(void)
{
    static const struct run_settings settings = {
        .subject = &subject_cork, .dialect = PROGRAM_MISUSE, .failing_mask = 1};
    /* The first init installs the subject's handler; the world begins before any. */
    subject_cork.init(&run->pools[1].storage, &(struct subject_init){.options.element_size = 1});
    memset(&world, 0, sizeof(world));
    memset(world.memory.pages, BANNED_BYTE, sizeof(world.memory.pages));
    run_start(run, &settings, NULL, 0, SIZE_MAX);
    run->model.left = memory_left;
    run->model.is_filled_by_address = true;
    memset(world_pool, 0, sizeof(*world_pool));
}

/* Overwrites what the pool writes before it reads it, so that states do not differ by it. */
static void forget_garbage(void)
{
    struct cork_mempool *mp = world_pool;
    struct cork_mempool_lent *lent = &mp->lent;
    char *stack = (char *)&lent->stack[lent->stack_count];
    memset(stack, BANNED_BYTE, (size_t)((char *)&mp->first_region - stack));
    if (!run->pools[0].is_initialized) {
        memset(&mp->cursor, BANNED_BYTE, (size_t)((char *)lent - (char *)&mp->cursor));
    }
    if (!run->pools[0].is_initialized || mp->oldest != &mp->first_region) {
        memset(&mp->first_region, BANNED_BYTE, sizeof(mp->first_region) + sizeof(mp->first_groups));
    }
}

/* The engine knows whether the pool did what it must; what only such a small world can tell is
 * added from here on. Tables that were committed without their slots are not counted. */
static bool is_counted(size_t counted, size_t size)
{
    return counted == size || (world.memory.has_uncounted && counted < size);
}

static void agree(void)
{
    calls_inspect(run, SIZE_MAX);
    model_compare(&run->model);
    const struct cork_mempool_stats *stats = &run->result.stats;
    const size_t resting_count = run_has(run, CORK_MEMPOOL_QUARANTINE) ? MODEL_REST : 0;
    expect(stats->free_count + resting_count >= run_known(run)->freed_count,
           "stats count freed objects");
    const size_t unmade_size = pool_requests->mapped_size - memory_committed(world.memory.reserved);
    expect(is_counted(stats->memory_size, world.memory.size - unmade_size), "stats count memory");
    expect(stats->reserved_size == world.memory.size, "stats count reserved memory");
}

static void perform_init(void)
{
    run->pools[0].init =
        (struct subject_init){.form = SUBJECT_INIT_WITH,
                              .options = {.element_size = profile->element_size,
                                          .alignment = 16, /* so that 112 bytes are a stride */
                                          .block_size = profile->block_size,
                                          .protections = profile->protections,
                                          .max_objects = profile->max_objects,
                                          .source = profile->has_source ? &memory_source : NULL,
                                          .seed = 7}};
    calls_init(run);
    world_pool->random = 0;
}

static void perform_new(unsigned argument)
{
    const size_t refused_count = pool_requests->refused_count;
    const size_t free_count = calls_stats(run)->free_count;
    while (run_has(run, CORK_MEMPOOL_SHUFFLE) &&
           (bits_mix(world_pool->random) & 63) != argument >> REFUSED_BITS) {
        world_pool->random++;
    }
    pool_requests->mask = argument % (1 << REFUSED_BITS);
    pool_requests->number = 0;
    calls_new(run);
    pool_requests->mask = 0;
    world_pool->random = 0;
    expect(run->model.slot_count < MODEL_SLOT_LIMIT, "a world has room for all its objects");
    expect(run->result.object != NULL || ((pool_requests->refused_count != refused_count ||
                                           run->pools[0].count == profile->max_objects) &&
                                          free_count == 0 && calls_stats(run)->free_count == 0),
           "new fails only for want of memory, and changes nothing");
}

/* What was never used of pieces of the heap: trim does not say that it gives this back. */
static size_t heap_unused_size(void)
{
    size_t size = 0;
    for (const struct cork_mempool_region *region = world_pool->oldest; region != NULL;
         region = region->newer) {
        if (!region->is_reserved && !profile->has_source) {
            size += (region->reserved_count - region->extended_count) * world_pool->geometry.stride;
        }
    }
    return size;
}

static void perform_trim(void)
{
    const size_t unused_size = heap_unused_size();
    calls_trim(run);
    expect(is_counted(run->result.size + unused_size - heap_unused_size(),
                      world.memory.returned + memory_committed(world.memory.purged)),
           "trim says how much it gave back");
}

/* Does an operation, and looks at everything afterwards. */
static void perform(uint16_t op)
{
    const enum action action = (enum action)(op >> 10);
    const unsigned argument = op & 1023;
    program[program_length++] = op;
    world.memory.returned = 0;
    world.memory.purged = 0;
#define DO(NAME, name, call)                                                                       \
    case ACTION_##NAME:                                                                            \
        call;                                                                                      \
        break;
    switch (action) {
        ACTIONS(DO)
    }
    world.memory.has_uncounted &= world.memory.usable != 0;
    forget_garbage();
    if (run->pools[0].is_initialized) {
        agree();
        expect(action != ACTION_TRIM || run->result.stats.region_count <= run->pools[0].count,
               "trim keeps no region without objects");
    }
    memory_verify();
}

/* Returns: how many requests were made that memory could meet. */
static size_t try(enum action action, unsigned argument)
{
    const uint16_t op = (uint16_t)(action << 10 | argument);
    perform(op);
    add_state(op);
    program_length--;
    const size_t number = pool_requests->number;
    memcpy(&world, &search_state, sizeof(world));
    return number;
}

/* Tries each operation that the state allows. */
static void try_all(void)
{
    size_t number = 0;
    for (unsigned i = 0; i < (run_has(run, CORK_MEMPOOL_SHUFFLE) ? exhaust_group_slots : 1); i++) {
        number = try(ACTION_NEW, i << REFUSED_BITS);
    }
    for (unsigned bits = 1; number != 0 && bits < 1 << REFUSED_BITS; bits++) {
        try(ACTION_NEW, bits);
    }
    for (unsigned i = 0; i < run->pools[0].count; i++) {
        try(ACTION_FREE, i);
    }
    for (unsigned i = ACTION_CLEAR; i < (run->pools[0].count > 0 ? ACTION_DONE : ACTION_INIT);
         i++) {
        try((enum action)i, 0);
    }
}

static void expect_unchanged(void)
{
    expect(memcmp(&world.memory, &search_state.memory, sizeof(world.memory)) == 0,
           "what is refused changes nothing");
}

/* Free refuses a pointer as of one of these kinds; where there are none, it is a live object. */
static void probe_pointer(const void *pointer, unsigned kinds, size_t slot)
{
    calls_make(run, SUBJECT_OWNS, pointer);
    expect(run->result.is_true == (kinds == 0), "a pool owns its live objects and nothing else");
    if (kinds != 0) {
        misuse_refuse_free(run, pointer, kinds);
        expect(run->result.violation.slot == slot, "a violation says of which slot");
        expect_unchanged();
    }
}

/* Every slot of a region, whatever it is, and what lies in it. */
static void probe_region(const struct cork_mempool_region *region, size_t number)
{
    const size_t stride = world_pool->geometry.stride;
    const char *start = region->base;
    for (size_t i = number; i < number + region->reserved_count; i++, start += stride) {
        const struct model_slot *slot = model_find(&run->model, 0, (uintptr_t)start);
        const bool is_live = slot != NULL && slot->is_live;
        const unsigned kind = slot == NULL ? KIND(NEVER_ISSUED) : KIND(DOUBLE_FREE);
        probe_pointer(start, is_live ? 0 : kind, i);
        probe_pointer(start + 1, KIND(INTERIOR_POINTER), i);
        probe_pointer(start + 16, KIND(INTERIOR_POINTER), i);
        probe_pointer(start + stride - 1, KIND(INTERIOR_POINTER), i);
    }
    probe_pointer(region->base - 1, KIND(FOREIGN_POINTER), CORK_MEMPOOL_NO_SLOT);
    probe_pointer(region->base - stride, KIND(FOREIGN_POINTER), CORK_MEMPOOL_NO_SLOT);
    probe_pointer(start, KIND(FOREIGN_POINTER), CORK_MEMPOOL_NO_SLOT);
}

/* All calls on what is no pool: by itself, or no longer. */
static void probe_dead(union subject_pool *storage, unsigned kind)
{
    for (unsigned call = 0; call < SUBJECT_CALL_COUNT; call++) {
        misuse_refuse_dead(run, storage, (enum subject_call)call, kind);
        expect_unchanged();
    }
}

/* A byte that was changed is found by all that looks at the whole pool, and at the object; where
 * trim has taken its page, and zeros are known to be left, by the new that issues it. */
static void probe_damage(void)
{
    for (size_t i = 0; i < run->pools[0].count && run_has(run, CORK_MEMPOOL_CANARY); i++) {
        for (size_t call = 0; call < 8; call++) {
            misuse_overrun(run, i, call % 4, call / 4 == 1);
        }
    }
    for (size_t i = 0; i < run->model.slot_count; i++) {
        const struct model_slot *slot = &run->model.slots[i];
        const bool is_purged = slot->fill == MODEL_FILL_UNKNOWN;
        const bool is_known = !slot->is_live && (!is_purged || run_has(run, CORK_MEMPOOL_WIPE));
        for (size_t call = is_purged ? 3 : 0; is_known && call < 4; call++) {
            for (size_t byte = 0; byte < 64; byte += 63) {
                misuse_write_freed(run, i, 4 * byte + call);
                memcpy(&world, &search_state, sizeof(world)); /* new has issued something else */
            }
        }
    }
}

/* Makes all calls that change nothing: those that ask, and those that are refused. */
static void probe(void)
{
    size_t number = 0;
    for (const struct cork_mempool_region *region = world_pool->oldest; region != NULL;
         region = region->newer) {
        probe_region(region, number);
        number += region->reserved_count;
    }
    calls_make(run, SUBJECT_FREE, NULL);
    probe_pointer(&world, KIND(FOREIGN_POINTER), CORK_MEMPOOL_NO_SLOT);
    probe_pointer(&number, KIND(FOREIGN_POINTER), CORK_MEMPOOL_NO_SLOT);
    calls_foreach(run, 0);
    misuse_leak(run);
    if (world_pool->newest != NULL) {
        probe_dead(&search_state.run.pools[0].storage, KIND(NOT_A_POOL));
    }
    for (size_t call = SUBJECT_DONE; call < SUBJECT_CALL_COUNT && run->pools[0].count > 0; call++) {
        misuse_misbehave(run, 4 * call + 2);
    }
    probe_damage();
    /* A call that was refused in the midst may have changed in which order slots are issued, which
     * makes no difference to anybody. */
    agree();
    memcpy(&world, &search_state, sizeof(world));
}

/* Makes the current state again. */
static void make_current(void)
{
    const unsigned long long calls = memory_calls;
    uint32_t state = current;
    begin_world();
    for (unsigned i = states[current].depth; i > 0; state = states[state].parent) {
        program[--i] = states[state].op;
    }
    for (program_length = 0; program_length < states[current].depth;) {
        perform(program[program_length]);
    }
    memory_calls = calls;
    expect(hash_world() == states[current].sum, "the same operations lead to the same state");
    memcpy(&search_state, &world, sizeof(world));
}

/* SIGABRT comes of the engine, which has printed what it expected and saw. */
static void on_signal(int number)
{
    if (number != SIGABRT) {
        fprintf(stderr, "  expected: a call %s\n  program:\n",
                number == SIGALRM ? "ends" : "stays within its memory");
    }
    for (unsigned i = 0; i < program_length; i++) {
        fprintf(stderr, "    %s %#x\n", action_names[program[i] >> 10], program[i] & 1023u);
    }
    fprintf(stderr, "  profile %s, groups of %zu\n", profile->name, exhaust_group_slots);
    _exit(1);
}

static void search(unsigned depth_max)
{
    begin_world();
    memset(set, 0, sizeof(set));
    state_count = 0;
    program_length = 0;
    add_state(0);
    for (current = 0; current < state_count && states[current].depth < depth_max; current++) {
        if (current % 256 == 0) {
            alarm(60); /* Where so many states take longer, a call hangs. */
        }
        make_current();
        if (run->pools[0].is_initialized) {
            probe();
            try_all();
        } else {
            probe_dead(&run->pools[0].storage,
                       world_pool->state == 0 ? KIND(USE_BEFORE_INIT) : KIND(USE_AFTER_DONE));
            try(ACTION_INIT, 0);
        }
    }
}

static int usage(const char *argument)
{
    fprintf(stderr, "exhaust: %s cannot be read\nusage: exhaust [--depth=1..%d] [--profile=NAME]\n",
            argument, DEPTH_MAX);
    for (profile = profiles; profile->name != NULL; profile++) {
        fprintf(stderr, "profile: %s\n", profile->name);
    }
    return 2;
}

int main(int argc, char **argv)
{
    static const int signals[] = {SIGALRM, SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};
    unsigned depth = 0;
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
    for (size_t i = 0; profiles[i / 3].name != NULL; i++) {
        profile = &profiles[i / 3];
        exhaust_group_slots = i % 3 + 1;
        if (name == NULL || strcmp(profile->name, name) == 0) {
            const clock_t begin = clock(); /* of the processor, whatever else runs */
            memory_calls = 0;
            search(depth != 0 ? depth : profile->depth);
            printf("%-16s %6zu %6u %10zu %12llu %8.1f\n", profile->name, exhaust_group_slots,
                   states[state_count - 1].depth, state_count, memory_calls,
                   (double)(clock() - begin) / CLOCKS_PER_SEC);
            fflush(stdout);
        }
    }
    return state_count == 0 ? usage(name) : 0;
}
