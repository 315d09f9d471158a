/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Runs every program up to a length over a tiny pool, with groups of one, two and three slots.
 *
 *     exhaust [--depth=N] [--profile=NAME]
 *
 * --depth: operations of a program at most, instead of each profile's own; --profile: this one
 * instead of all.
 * Exit code: 0; 1 where a program fails, which is printed, the shortest there is; 2 where an
 * argument cannot be read. Of a new, bit i says that its request i for memory was refused, bit 5
 * also all later ones.
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
#include "random.h"
#include "region.h"

#define STATE_MAX ((size_t)1 << 21)
#define SET_SIZE  (2 * STATE_MAX)

size_t exhaust_group_slots;
const struct profile *profile;

/* Operations, which change the world. new has an argument: the refused bits, and for SHUFFLE the
 * slot of a group to look from, shifted by these; and free: the object's index. foreach frees. */
enum action {
    ACTION_NEW,
    ACTION_FREE,
    ACTION_CLEAR,
    ACTION_TRIM,
    ACTION_DONE,
    ACTION_FOREACH,
    ACTION_INIT
};

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
    const struct model *model = &world.run.model;
    hash sum = add_words(1, world_pool(), sizeof(struct cork_mempool));
    sum = add_words(sum, &world.memory, offsetof(struct memory, has_uncounted));
    for (size_t i = 0; i < model->slot_count; i++) {
        const struct model_slot *slot = &model->slots[i];
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

/* The oracle: what can be done to the world. Whether the pool did what it must, the engine knows;
 * what only such a small world can tell, is added here. */
static struct run *const run = &world.run;

/* Makes the world that of the profile, with a pool of zeros. */
static void begin_world(void)
{
    static const struct run_settings settings = {
        .subject = &subject_cork, .dialect = PROGRAM_MISUSE, .failing_mask = 1};
    /* The first init installs the subject's handler; the world begins before any. */
    subject_cork.init(&run->pools[1].storage, &(struct subject_init){.options.element_size = 1});
    memory_lay_out();
    memset(run->pools, 0, sizeof(run->pools));
    run_start(run, &settings, NULL, 0, SIZE_MAX);
    run->model.left = memory_left;
    run->model.is_filled_by_address = true;
    memset(world_pool(), 0, sizeof(*world_pool()));
}

/* Overwrites what the pool writes before it reads it, so that states do not differ by it. */
static void forget_garbage(void)
{
    struct cork_mempool *mp = world_pool();
    struct cork_mempool_lent *lent = &mp->lent;
    char *stack = (char *)&lent->stack[lent->stack_count];
    memset(stack, 0xee, (size_t)((char *)&mp->first_region - stack));
    if (!run->pools[0].is_initialized) {
        memset(&mp->cursor, 0xee, (size_t)((char *)lent - (char *)&mp->cursor));
        mp->newest = NULL;
    }
    if (mp->newest == NULL || mp->oldest != &mp->first_region) {
        memset(&mp->first_region, 0xee, sizeof(mp->first_region) + sizeof(mp->first_groups));
    }
}

/* Pages for tables that were committed before those for slots were refused are not counted. */
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
    expect(is_counted(stats->memory_size, memory_size(false)), "stats count memory");
    expect(stats->reserved_size == memory_size(true), "stats count reserved memory");
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
    world_pool()->random = 0;
}

static void perform_new(unsigned argument)
{
    const struct requests *account = &run->pools[0].memory;
    const size_t refused_count = account->refused_count;
    const size_t free_count = calls_stats(run)->free_count;
    struct cork_mempool *mp = world_pool();
    while (run_has(run, CORK_MEMPOOL_SHUFFLE) &&
           (random_mix(mp->random) & 63) != argument >> REFUSED_BITS) {
        mp->random++;
    }
    asked = (struct asked){.refused_bits = argument % (1 << REFUSED_BITS)};
    calls_new(run);
    mp->random = 0;
    expect(run->model.slot_count < MODEL_SLOT_LIMIT, "a world has room for all its objects");
    const bool is_issued = run->result.object != NULL;
    expect(is_issued || account->refused_count != refused_count ||
               run->pools[0].count == profile->max_objects,
           "new fails only for want of memory");
    expect(is_issued || (free_count == 0 && calls_stats(run)->free_count == 0),
           "new does not fail if an object is free, and changes nothing");
}

/* What the pieces of the heap without live objects have that was never used: trim does not say that
 * it gives this back. */
static size_t heap_unused_size(void)
{
    const size_t stride = world_pool()->geometry.stride;
    size_t size = 0;
    for (const struct cork_mempool_region *region = world_pool()->oldest; region != NULL;
         region = region->newer) {
        bool is_unused = region->origin != REGION_IS_RESERVED && !profile->has_source;
        for (size_t i = 0; i < run->model.slot_count; i++) {
            const struct model_slot *slot = &run->model.slots[i];
            is_unused &= !slot->is_live ||
                         slot->address - (uintptr_t)region->base >= region->reserved_count * stride;
        }
        size += is_unused ? (region->reserved_count - region->extended_count) * stride : 0;
    }
    return size;
}

static void perform_trim(void)
{
    const size_t unused_size = heap_unused_size();
    /* Pages that were committed for slots whose own were refused. */
    calls_trim(run, world.memory.has_uncounted ? sizeof(world.memory.pages) : 0);
    expect(is_counted(run->result.size + unused_size, asked.returned),
           "trim says how much it gave back");
    expect(run->pools[0].count != 0 || world.memory.usable == 0,
           "trim leaves nothing that is unused");
}

/* Does an operation, and looks at everything afterwards. */
static void perform(uint16_t op)
{
    program[program_length++] = op;
    asked = (struct asked){.refused_bits = 0};
#define DO(ACTION, calls)                                                                          \
    case ACTION_##ACTION:                                                                          \
        calls;                                                                                     \
        break;
    switch ((enum action)(op >> 10)) {
        DO(INIT, perform_init())
        DO(NEW, perform_new(op & 1023))
        DO(FREE, calls_free_at(run, op & 1023))
        DO(FOREACH, calls_foreach(run, 1))
        DO(CLEAR, calls_clear(run))
        DO(TRIM, perform_trim())
        DO(DONE, calls_done(run, ORDER_FIFO))
    }
    expect(run->pools[0].is_initialized || (world.memory.usable == 0 && memory_size(true) == 0),
           "done gives all memory back");
    world.memory.has_uncounted &= world.memory.usable != 0;
    forget_garbage();
    if (run->pools[0].is_initialized) {
        agree();
    }
    memory_verify();
}

static void try(enum action action, unsigned argument)
{
    const uint16_t op = (uint16_t)(action << 10 | argument);
    perform(op);
    add_state(op);
    program_length--;
    memcpy(&world, &search_state, sizeof(world));
}

/* Tries each operation that the state allows. */
static void try_all(void)
{
    if (!run->pools[0].is_initialized) {
        try(ACTION_INIT, 0);
        return;
    }
    for (unsigned i = 0; i < (run_has(run, CORK_MEMPOOL_SHUFFLE) ? exhaust_group_slots : 1); i++) {
        try(ACTION_NEW, i << REFUSED_BITS);
    }
    for (unsigned bits = 1; asked.possible != 0 && bits < 1 << REFUSED_BITS; bits++) {
        try(ACTION_NEW, bits);
    }
    for (unsigned i = 0; i < run->pools[0].count; i++) {
        try(ACTION_FREE, i);
    }
    for (unsigned action = ACTION_CLEAR; action <= ACTION_FOREACH; action++) {
        if (action != ACTION_DONE || run->pools[0].count == 0) {
            try((enum action)action, 0);
        }
    }
}

static void expect_unchanged(void)
{
    expect(memcmp(&world.memory, &search_state.memory, sizeof(world.memory)) == 0,
           "what is refused changes nothing");
}

static void expect_owned(const void *pointer, bool is_owned)
{
    calls_make(run, SUBJECT_OWNS, (void *)(uintptr_t)pointer);
    expect(run->result.is_true == is_owned, "a pool owns its live objects and nothing else");
}

static void refuse_free(const void *pointer, unsigned kinds, size_t slot)
{
    misuse_refuse_free(run, pointer, kinds);
    expect(run->result.violation.slot == slot, "a violation says of which slot");
    expect_owned(pointer, false);
    expect_unchanged();
}

/* Every slot of a region, whatever it is, and what lies in it. */
static void probe_region(const struct cork_mempool_region *region, size_t number)
{
    const size_t stride = world_pool()->geometry.stride;
    const char *start = region->base;
    for (size_t i = number; i < number + region->reserved_count; i++, start += stride) {
        const struct model_slot *slot = model_find(&run->model, 0, (uintptr_t)start);
        refuse_free(start + 1, KIND(INTERIOR_POINTER), i);
        refuse_free(start + 16, KIND(INTERIOR_POINTER), i);
        refuse_free(start + stride - 1, KIND(INTERIOR_POINTER), i);
        if (slot != NULL && slot->is_live) {
            expect_owned(start, true);
        } else {
            refuse_free(start, slot == NULL ? KIND(NEVER_ISSUED) : KIND(DOUBLE_FREE), i);
        }
    }
    refuse_free(region->base - 1, KIND(FOREIGN_POINTER), CORK_MEMPOOL_NO_SLOT);
    refuse_free(region->base - stride, KIND(FOREIGN_POINTER), CORK_MEMPOOL_NO_SLOT);
    refuse_free(start, KIND(FOREIGN_POINTER), CORK_MEMPOOL_NO_SLOT);
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
    static union subject_pool moved;
    const struct cork_mempool *mp = world_pool();
    size_t number = 0;
    if (!run->pools[0].is_initialized) {
        probe_dead(&run->pools[0].storage,
                   mp->state == 0 ? KIND(USE_BEFORE_INIT) : KIND(USE_AFTER_DONE));
        return;
    }
    for (const struct cork_mempool_region *region = mp->oldest; region != NULL;
         region = region->newer) {
        probe_region(region, number);
        number += region->reserved_count;
    }
    calls_make(run, SUBJECT_FREE, NULL);
    refuse_free(&world, KIND(FOREIGN_POINTER), CORK_MEMPOOL_NO_SLOT);
    refuse_free(&number, KIND(FOREIGN_POINTER), CORK_MEMPOOL_NO_SLOT);
    calls_foreach(run, 0);
    misuse_leak(run);
    if (mp->newest != NULL) {
        moved = run->pools[0].storage;
        probe_dead(&moved, KIND(NOT_A_POOL));
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

/* Makes a state again. */
static void go_to(uint32_t state)
{
    const unsigned long long calls = memory_calls;
    current = state;
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
    static const char *const names[] = {"new", "free", "clear", "trim", "done", "foreach", "init"};
    if (number != SIGABRT) {
        fprintf(stderr, "  expected: a call %s\n  program:\n",
                number == SIGALRM ? "ends" : "stays within its memory");
    }
    for (unsigned i = 0; i < program_length; i++) {
        const unsigned action = program[i] >> 10;
        const unsigned argument = program[i] & 1023;
        fprintf(stderr, "    %s", names[action]);
        if (action == ACTION_FREE) {
            fprintf(stderr, " %u", argument);
        } else if (argument != 0) {
            fprintf(stderr, ", shuffled from slot %u, refused requests 0x%02x",
                    argument >> REFUSED_BITS, argument % (1 << REFUSED_BITS));
        }
        fprintf(stderr, "\n");
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
    for (uint32_t state = 0; state < state_count && states[state].depth < depth_max; state++) {
        if (state % 256 == 0) {
            alarm(60); /* Where so many states take longer, a call hangs. */
        }
        go_to(state);
        probe();
        try_all();
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
