/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * CORK_MEMPOOL_OPTIONS. A process reads the variable once, so each setting has a process of its
 * own.
 */

#define _GNU_SOURCE /* setenv, secure_getenv */

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "test/support/harness.h"
#include "test/support/pools.h"
#include "test/support/refusals.h"

#define VARIABLE     "CORK_MEMPOOL_OPTIONS"
#define ELEMENT_SIZE 48

#define WORD(name, word) {#word "=1", #word "=0", CORK_MEMPOOL_##name},

static const struct {
    const char *on, *off;
    unsigned protections;
} words[] = {CORK_MEMPOOL_PROTECTIONS_(WORD) WORD(PARANOID, paranoid)};

static const struct cork_mempool_options nothing;
static struct cork_mempool mp;

static void set_variable(const char *text)
{
    CHECK_EQUAL(setenv(VARIABLE, text, 1), 0);
}

/* The C library's gives nothing to a program that runs with another user's rights (setuid). */
static bool is_setuid;

char *secure_getenv(const char *name)
{
    return is_setuid ? NULL : getenv(name);
}

static void init(struct cork_mempool *pool, struct cork_mempool_options options)
{
    options.element_size = ELEMENT_SIZE;
    errno = ODD_ERRNO;
    CHECK(cork_mempool_init_with(pool, &options));
    CHECK_EQUAL(errno, ODD_ERRNO);
}

/* The pool works as one that asks for these protections itself; it is finalized. */
static void has(struct cork_mempool_options options, unsigned protections)
{
    struct cork_mempool asking;

    RUN_UNTIL_REFUSED(cork_mempool_free(&mp, &mp));
    CHECK_EQUAL(seen.violation.protections, protections);
    CHECK_EQUAL(seen.violation.is_seeded, protections != 0);
    options.protections = protections;
    init(&asking, options);
    CHECK_EQUAL(
        memcmp(&mp.geometry, &asking.geometry, offsetof(struct cork_mempool_geometry, tables)), 0);
    CHECK_EQUAL(mp.geometry.tables, asking.geometry.tables);
    CHECK_POINTER(mp.hooks, asking.hooks);
    cork_mempool_done(&asking);
    exercise(&mp, 50);
}

static void pool_has(const char *text, struct cork_mempool_options options, unsigned protections)
{
    set_variable(text);
    init(&mp, options);
    has(options, protections);
}

struct block {
    _Alignas(16) char bytes[ELEMENT_SIZE];
};

static void every_form_has(const char *text, unsigned protections)
{
    set_variable(text);
    cork_mempool_init(&mp, struct block);
    has(nothing, protections);
    cork_mempool_init_ex(&mp, struct block, 4096);
    has(nothing, protections);
    cork_mempool_init_size(&mp, ELEMENT_SIZE);
    has(nothing, protections);
    cork_mempool_init_size_ex(&mp, ELEMENT_SIZE, 4096);
    has(nothing, protections);
    pool_has(text, nothing, protections);
}

TEST(words_turn_protections_on_and_off_one_after_another_in_pools_of_every_form)
{
    char text[64];

    CHECK_PASSES(every_form_has("", 0));
    CHECK_PASSES(every_form_has(":", 0));
    CHECK_PASSES(every_form_has(":::::", 0));
    CHECK_PASSES(every_form_has("canary=1:seal=1:wipe=1:shuffle=1:quarantine=1:guard=1:callsites=1",
                                CORK_MEMPOOL_PARANOID | CORK_MEMPOOL_SEAL));
    for (size_t i = 0; i < COUNT_OF(words); i++) {
        const unsigned one = words[i].protections;

        CHECK_PASSES(every_form_has(words[i].on, one));
        CHECK_PASSES(every_form_has(words[i].off, 0));
        for (size_t j = 0; j < COUNT_OF(words); j++) {
            const unsigned other = words[j].protections;

            snprintf(text, sizeof(text), "%s:%s", words[i].on, words[j].on);
            CHECK_PASSES(every_form_has(text, one | other));
            snprintf(text, sizeof(text), ":%s::%s:", words[i].on, words[j].off);
            CHECK_PASSES(every_form_has(text, one & ~other));
        }
    }
}

TEST(the_variable_is_read_once)
{
    every_form_has("canary=1", CORK_MEMPOOL_CANARY);
    every_form_has("wipe=1", CORK_MEMPOOL_CANARY);
    unsetenv(VARIABLE);
    init(&mp, nothing);
    has(nothing, CORK_MEMPOOL_CANARY);
}

TEST(the_variable_is_not_read_in_a_program_with_the_rights_of_another_user)
{
    is_setuid = true;
    every_form_has("paranoid=1:what is this", 0);
}

static uint64_t seed_with(struct cork_mempool_options options)
{
    init(&mp, options);
    RUN_UNTIL_REFUSED(cork_mempool_free(&mp, &mp));
    cork_mempool_done(&mp);
    CHECK(seen.violation.is_seeded);
    return seen.violation.seed;
}

static void every_pool_has_seed(const char *text, uint64_t seed)
{
    set_variable(text);
    for (size_t i = 0; i < 3; i++) {
        CHECK_EQUAL(seed_with(nothing), seed);
        CHECK_EQUAL(seed_with((struct cork_mempool_options){.protections = CORK_MEMPOOL_SEAL}),
                    seed);
        CHECK_EQUAL(seed_with((struct cork_mempool_options){.seed = 99}), 99);
    }
}

TEST(a_seed_of_up_to_64_bits_is_that_of_every_pool_that_has_none)
{
    CHECK_PASSES(every_pool_has_seed("canary=1:seed=7", 7));
    CHECK_PASSES(every_pool_has_seed("seed=0x1f:shuffle=1", 0x1f));
    CHECK_PASSES(every_pool_has_seed("seed=9:shuffle=1", 9));
    CHECK_PASSES(every_pool_has_seed("seed=010:shuffle=1", 10));
    CHECK_PASSES(every_pool_has_seed("seed=1:seal=1:seed=4294967295", 4294967295));
    CHECK_PASSES(every_pool_has_seed("canary=1:seed=0xfedcba9876543210", 0xfedcba9876543210));
    CHECK_PASSES(every_pool_has_seed("canary=1:seed=4294967296", 4294967296));
}

/* Words that are not known. */

static const char *left_out(const char *word)
{
    static char text[1024];

    snprintf(text, sizeof(text),
             "cork_mempool: %s: left out \"%s\"; the words are canary, seal, wipe, shuffle, "
             "quarantine, guard, callsites and paranoid, each with =1 or =0, and seed=NUMBER\n",
             VARIABLE, word);
    return text;
}

/* Ends by abort, as a child must whose standard error is compared. */
static void word_is_left_out(const char *format, const char *word)
{
    char text[4096];

    snprintf(text, sizeof(text), format, word);
    every_form_has(text, CORK_MEMPOOL_CANARY | CORK_MEMPOOL_CALLSITES);
    abort();
}

TEST(a_word_that_is_not_known_is_reported_once_and_left_out)
{
    char unknown[] = "canary|canary=|canary=2|canary=10|canary=01|canary=yes|Canary=1|canaries=1|"
                     "canar=1| canary=1|canary=1 |canary =1|canaryx1|canary=1,x=1|canary;|"
                     "seal|seal==1|seal=0=1|wipe=-1|wipe=no=1|shuffle=0x|guards=1|guard=0,canary=1|"
                     "paranoid|passthrough=1|=1|=|1|x|no=1|hello world|"
                     "seed|seed=|seed=x|seed=1x|seeds=1|seed=0x|seed=-5|seed=+5|seed= 5|seed=a|"
                     "seedx1|seed=18446744073709551616|seed=0x10000000000000000";

    for (const char *word = strtok(unknown, "|"); word != NULL; word = strtok(NULL, "|")) {
        CHECK_ABORTS(left_out(word), word_is_left_out("canary=1:%s:callsites=1", word));
        CHECK_ABORTS(left_out(word), word_is_left_out("%s:callsites=1:canary=1", word));
        CHECK_ABORTS(left_out(word), word_is_left_out("callsites=1:canary=1:%s", word));
    }
    CHECK_ABORTS(left_out("seed=x"), (every_pool_has_seed("canary=1:seed=5:seed=x", 5), abort()));
}

/* Who has no protection because of it is told that too. */
TEST(a_variable_without_a_word_that_is_known_turns_nothing_on)
{
    char text[2048];

    snprintf(text, sizeof(text), "%scork_mempool: %s: turns no protection on\n",
             left_out("canaries=1"), VARIABLE);
    CHECK_ABORTS(text, (every_form_has("canaries=1", 0), abort()));
    CHECK_ABORTS(text, (every_form_has("canary=1:canaries=1:canary=0", 0), abort()));
}

/* The report of a word ends with its 256th character at the latest, its quotation mark apart. */
TEST(a_long_word_that_is_not_known_is_cut_off_in_its_report)
{
    const size_t shown = 256 - (size_t)(strchr(left_out(""), '"') + 1 - left_out(""));
    const size_t lengths[] = {shown - 1, shown, shown + 1, 2999};

    for (size_t i = 0; i < COUNT_OF(lengths); i++) {
        char word[3000] = "";
        char start[256] = "";

        memset(word, 'x', lengths[i]);
        memset(start, 'x', lengths[i] < shown ? lengths[i] : shown);
        CHECK_ABORTS(left_out(start), word_is_left_out("canary=1:callsites=1:%s", word));
    }
}

/* What contradicts a pool's options is left out, and all the rest is not. */

static _Alignas(64) char buffer[4096];

TEST(what_contradicts_the_options_of_a_pool_is_left_out)
{
    static const struct {
        const char *text;
        struct cork_mempool_options options;
        unsigned protections;
    } cases[] = {
        {"wipe=1", {.init_object = construct_nothing}, 0},
        {"wipe=1", {.done_object = destruct_nothing}, 0},
        {"paranoid=1",
         {.init_object = construct_nothing},
         CORK_MEMPOOL_PARANOID & ~CORK_MEMPOOL_WIPE},
        {"paranoid=1:seal=1",
         {.done_object = destruct_nothing},
         (CORK_MEMPOOL_PARANOID & ~CORK_MEMPOOL_WIPE) | CORK_MEMPOOL_SEAL},
        {"guard=1", {.source = &plain_source}, 0},
        {"paranoid=1", {.source = &plain_source}, CORK_MEMPOOL_PARANOID & ~CORK_MEMPOOL_GUARD},
        {"paranoid=1:seal=1",
         {.buffer = buffer, .buffer_size = sizeof(buffer)},
         CORK_MEMPOOL_WIPE | CORK_MEMPOOL_SHUFFLE},
        {"paranoid=0:canary=0:seal=0", {.protections = CORK_MEMPOOL_SEAL}, CORK_MEMPOOL_SEAL},
        {"paranoid=0", {.protections = CORK_MEMPOOL_PARANOID}, CORK_MEMPOOL_PARANOID},
    };

    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        CHECK_PASSES(pool_has(cases[i].text, cases[i].options, cases[i].protections));
    }
}

/* How many objects a buffer of each size holds; 0 where it is refused. */
static void count_capacities(const char *text, size_t *capacities)
{
    set_variable(text);
    for (size_t size = 0; size < sizeof(buffer); size += 11) {
        if (cork_mempool_init_with(&mp, OPTIONS(.element_size = ELEMENT_SIZE, .buffer = buffer,
                                                .buffer_size = size))) {
            while (cork_mempool_new(&mp) != NULL) {
                capacities[size]++;
            }
            cork_mempool_clear(&mp);
            cork_mempool_done(&mp);
        }
    }
}

static void capacities_are(const char *text, const size_t *expected)
{
    static size_t capacities[sizeof(buffer)];

    count_capacities(text, capacities);
    CHECK_EQUAL(memcmp(capacities, expected, sizeof(capacities)), 0);
}

/* The caller of a pool in a buffer has counted on how many objects it holds. */
TEST(a_buffer_holds_as_many_objects_whatever_the_environment_asks_for)
{
    const size_t most = sizeof(buffer);
    size_t *const capacities = mmap(NULL, most * sizeof(size_t), PROT_READ | PROT_WRITE,
                                    MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    CHECK(capacities != MAP_FAILED);
    CHECK_PASSES(count_capacities("", capacities));
    CHECK(capacities[4092] > 50);
    CHECK_PASSES(capacities_are("paranoid=1:seal=1", capacities));
    for (size_t i = 0; i < COUNT_OF(words); i++) {
        CHECK_PASSES(capacities_are(words[i].on, capacities));
    }
}

static void no_memory_could_hold(const char *text, size_t element_size)
{
    set_variable(text);
    cork_mempool_init_size(&mp, element_size);
    CHECK_POINTER(cork_mempool_new(&mp), NULL);
    CHECK_EQUAL(errno, ENOMEM);
    CHECK(cork_mempool_check(&mp));
    cork_mempool_done(&mp);
}

TEST(an_element_that_no_memory_could_hold_gives_null_whatever_the_environment_asks_for)
{
    for (size_t i = 0; i < COUNT_OF(words); i++) {
        CHECK_PASSES(no_memory_could_hold(words[i].on, SIZE_MAX));
        CHECK_PASSES(no_memory_could_hold(words[i].on, SIZE_MAX / 2));
    }
}
