/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * cork_mempool_init_with: what each option does, what stands for nothing, and what is refused; and
 * the environment's options.
 */

#define _GNU_SOURCE /* setenv, secure_getenv */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "test/support/memory.h"
#include "test/support/refusals.h"
#include "test/support/reports.h"

static struct cork_mempool mp;

TEST(objects_have_the_size_and_the_alignment_that_were_asked_for)
{
    static const size_t sizes[] = {1,  2,  3,  4,  6,  8,  12, 16,  20,  24,
                                   31, 32, 33, 48, 64, 96, 98, 100, 130, 5000};

    for (size_t i = 0; i < COUNT_OF(sizes) * PROTECTIONS_COUNT; i++) {
        const size_t size = sizes[i / PROTECTIONS_COUNT];
        const unsigned protections = all_protections[i % PROTECTIONS_COUNT];

        for (size_t alignment = 0; alignment <= 65536;
             alignment += alignment == 0 ? 1 : alignment) {
            const size_t needed = alignment != 0 ? alignment : alignment_needed(size);
            const size_t slot_size = type_slot_needed(size, needed);

            test_row("size %zu, alignment %zu, protections %#x", size, alignment, protections);
            INIT(&mp, .element_size = size, .alignment = alignment, .protections = protections);
            const struct cork_mempool_stats stats = stats_of(&mp);
            CHECK_EQUAL(stats.element_size, size);
            CHECK_EQUAL(stats.alignment, TEST_UNDER_ASAN && needed < 8 ? 8 : needed);
            CHECK_EQUAL(stats.slot_size % needed, 0);
            /* Protections may need more bytes. */
            CHECK(stats.slot_size == slot_size ||
                  (protections != 0 && stats.slot_size > slot_size));
            exercise(&mp, needed > 4096 ? 20 : 300);
        }
    }
}

/* Names are the pool's own, up to 39 bytes; of a longer one there are 36 and dots. */
TEST(what_options_stand_in_and_their_name_may_be_gone_after_init)
{
    for (size_t length = 0; length <= 45; length++) {
        const unsigned protections = all_protections[length % PROTECTIONS_COUNT];
        char name[50], expected[50];
        struct cork_mempool_options options = {.name = name,
                                               .element_size = 40,
                                               .alignment = 128,
                                               .max_objects = 7,
                                               .protections = protections,
                                               .seed = 0xabc};

        snprintf(name, sizeof(name), "%.*s", (int)length,
                 "orders of the day: 100% of all 0123456789 0123456789");
        snprintf(expected, sizeof(expected), length > 39 ? "%.36s..." : "%s", name);
        CHECK(cork_mempool_init_with(&mp, &options));
        memset(name, 'x', sizeof(name));
        memset(&options, 0xff, sizeof(options));
        RUN_UNTIL_REFUSED(cork_mempool_free(&mp, name));
        CHECK_STRING(seen.violation.pool_name, expected);
        CHECK_EQUAL(seen.violation.is_seeded, protections != 0);
        CHECK_EQUAL(seen.violation.seed, protections != 0 ? 0xabc : 0);
        seen.violation.call_site = NULL;
        CHECK_ABORTS(report_of(&seen.violation), cork_mempool_free(&mp, name));
        CHECK_EQUAL(stats_of(&mp).alignment, 128);
        exercise(&mp, 7);
    }
}

/* An accepted init takes no memory; a refused one leaves the struct byte for byte as it was. */
static void init_answers(bool is_accepted, const struct cork_mempool_options *options)
{
    static struct cork_mempool before;

    memset(&mp, 0xa5, sizeof(mp));
    before = mp;
    requests_start();
    errno = ODD_ERRNO;
    CHECK_EQUAL(cork_mempool_init_with(&mp, options), is_accepted);
    if (is_accepted) {
        CHECK(cork_mempool_check(&mp));
        CHECK_EQUAL(stats_of(&mp).reserved_size, 0);
        cork_mempool_done(&mp);
    } else {
        CHECK_EQUAL(memcmp(&before, &mp, sizeof(mp)), 0);
    }
    CHECK_EQUAL(errno, is_accepted ? ODD_ERRNO : EINVAL);
    requests_stop();
    CHECK_EQUAL(requests.count, 0);
}

#define ACCEPTED_IF(condition, ...)                                                                \
    (test_row("%s", #__VA_ARGS__), init_answers((condition), OPTIONS(__VA_ARGS__)))
#define ACCEPTED(...) ACCEPTED_IF(true, __VA_ARGS__)
#define REFUSED(...)  ACCEPTED_IF(false, __VA_ARGS__)

TEST(sizes_that_no_memory_could_hold_are_refused)
{
    REFUSED(.element_size = SIZE_MAX);
    REFUSED(.element_size = SIZE_MAX - 7);
    REFUSED(.element_size = SIZE_MAX - 4095);
    REFUSED(.element_size = SIZE_MAX / 2 + 1);
    REFUSED(.element_size = SIZE_MAX / 2 + 1, .alignment = 1);
    REFUSED(.element_size = 1, .alignment = SIZE_MAX / 2 + 1);
    for (size_t i = 0; i < COUNT_OF(all_protections); i++) {
        REFUSED(.element_size = SIZE_MAX, .protections = all_protections[i]);
        REFUSED(.element_size = SIZE_MAX - 15, .protections = all_protections[i]);
        ACCEPTED(.element_size = 1 << 20, .protections = all_protections[i]);
    }
    /* No address could be behind the guard. */
    REFUSED(.element_size = 1, .alignment = 1, .block_size = SIZE_MAX,
            .protections = CORK_MEMPOOL_GUARD);
    ACCEPTED(.element_size = 1, .alignment = 1, .block_size = SIZE_MAX);
}

TEST(an_alignment_that_is_not_a_power_of_two_is_refused)
{
    for (size_t alignment = 1; alignment < 5000; alignment++) {
        ACCEPTED_IF((alignment & (alignment - 1)) == 0, .element_size = 64, .alignment = alignment);
    }
    REFUSED(.alignment = SIZE_MAX);
    REFUSED(.alignment = SIZE_MAX / 2);
    REFUSED(.alignment = SIZE_MAX / 2 + 2);
}

static _Alignas(64) char room[4096];

TEST(memory_of_the_callers_that_is_incomplete_too_small_or_too_large_is_refused)
{
    const struct cork_mempool_source sources[] = {
        {NULL, NULL}, {plain_source.acquire, NULL}, {NULL, plain_source.release}};

    ACCEPTED(.element_size = 16, .buffer = room, .buffer_size = sizeof(room));
    REFUSED(.element_size = 16, .buffer = room);
    REFUSED(.element_size = 16, .buffer_size = sizeof(room));
    for (size_t i = 0; i < 3; i++) {
        REFUSED(.element_size = 1, .buffer = room, .buffer_size = SIZE_MAX >> i);
        REFUSED(.element_size = 16, .protections = CORK_MEMPOOL_SEAL, .buffer = room,
                .buffer_size = SIZE_MAX >> i);
    }
    REFUSED(.element_size = sizeof(room), .buffer = room, .buffer_size = sizeof(room));
    REFUSED(.element_size = 8, .alignment = 2 * sizeof(room), .buffer = room, .buffer_size = 64);
    ACCEPTED(.source = &plain_source);
    ACCEPTED(.source = &plain_source, .source_data = room);
    REFUSED(.source_data = room);
    REFUSED(.element_size = 16, .source = &plain_source, .buffer_size = 1);
    REFUSED(.source = &plain_source, .buffer = room, .buffer_size = sizeof(room));
    for (size_t i = 0; i < COUNT_OF(sources); i++) {
        REFUSED(.source = &sources[i]);
    }
}

static int construct_nothing(void *user_data, void *object)
{
    (void)user_data;
    (void)object;
    return 0;
}

TEST(protections_combine_but_no_guard_in_memory_of_the_callers_nor_wipe_of_constructed_objects)
{
    for (unsigned number = 0; number < SETS_COUNT; number++) {
        const unsigned set = set_of(number);
        const bool has_guards = (set & CORK_MEMPOOL_GUARD) != 0;
        const bool has_wipe = (set & CORK_MEMPOOL_WIPE) != 0;

        ACCEPTED(.protections = set, .user_data = room);
        ACCEPTED_IF(!has_guards, .protections = set, .buffer = room, .buffer_size = sizeof(room));
        ACCEPTED_IF(!has_guards, .protections = set, .source = &plain_source);
        ACCEPTED_IF(!has_wipe, .protections = set, .init_object = construct_nothing);
        ACCEPTED_IF(!has_wipe, .protections = set, .done_object = destruct_nothing);
        ACCEPTED_IF(!has_wipe, .protections = set, .init_object = construct_nothing,
                    .done_object = destruct_nothing);
    }
    for (unsigned bit = 7; bit < 32; bit++) {
        REFUSED(.protections = 1u << bit);
        REFUSED(.protections = 1u << bit | CORK_MEMPOOL_CANARY);
    }
    REFUSED(.protections = ~0u);
}

TEST(no_options_at_all_are_refused)
{
    init_answers(false, NULL);
}

/* CORK_MEMPOOL_OPTIONS. A process reads the variable once, so each setting has a process of its
 * own. */

#define VARIABLE         "CORK_MEMPOOL_OPTIONS"
#define ELEMENT_SIZE     48
#define WORD(name, word) {#word "=1", #word "=0", CORK_MEMPOOL_##name},

static const struct {
    const char *on, *off;
    unsigned protections;
} words[] = {CORK_MEMPOOL_PROTECTIONS_(WORD) WORD(PARANOID, paranoid)};

static const struct cork_mempool_options nothing;

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
    setenv(VARIABLE, text, 1);
    init(&mp, options);
    has(options, protections);
}

struct block {
    _Alignas(16) char bytes[ELEMENT_SIZE];
};

static void every_form_has(const char *text, unsigned protections)
{
    setenv(VARIABLE, text, 1);
    cork_mempool_init_ex(&mp, struct block, 4096);
    has(nothing, protections);
    cork_mempool_init_size(&mp, ELEMENT_SIZE);
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
    CHECK_PASSES((every_form_has("", 0), every_form_has("wipe=1", 0)));
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

static void every_pool_has_seed(const char *text, uint64_t seed)
{
    const struct cork_mempool_options options[] = {
        nothing, {.protections = CORK_MEMPOOL_SEAL}, {.seed = 99}};

    setenv(VARIABLE, text, 1);
    for (size_t i = 0; i < 3 * COUNT_OF(options); i++) {
        const uint64_t own = options[i % COUNT_OF(options)].seed;

        init(&mp, options[i % COUNT_OF(options)]);
        RUN_UNTIL_REFUSED(cork_mempool_free(&mp, &mp));
        cork_mempool_done(&mp);
        CHECK(seen.violation.is_seeded);
        CHECK_EQUAL(seen.violation.seed, own != 0 ? own : seed);
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

/* The report ends with the word's character number 256 at the latest, its quotation mark apart. */
static const char *left_out(const char *word)
{
    static const char before[] = "cork_mempool: " VARIABLE ": left out \"";
    static char text[1024];

    snprintf(
        text, sizeof(text),
        "%s%.*s\"; the words are canary, seal, wipe, shuffle, quarantine, guard, callsites and "
        "paranoid, each with =1 or =0, and seed=NUMBER\n",
        before, 257 - (int)sizeof(before), word);
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

TEST(a_long_word_that_is_not_known_is_cut_off_in_its_report)
{
    char word[3000] = "";

    for (size_t length = 200; length < sizeof(word); length += length < 220 ? 1 : 2779) {
        memset(word, 'x', length);
        CHECK_ABORTS(left_out(word), word_is_left_out("canary=1:callsites=1:%s", word));
    }
}

#define POOL_HAS(text, protections, ...)                                                           \
    CHECK_PASSES(pool_has((text), *OPTIONS(__VA_ARGS__), (protections)))

TEST(what_contradicts_the_options_of_a_pool_is_left_out_and_nothing_else)
{
    const unsigned paranoid = CORK_MEMPOOL_PARANOID;
    const unsigned without_wipe = paranoid & ~CORK_MEMPOOL_WIPE;
    const unsigned in_buffer = CORK_MEMPOOL_WIPE | CORK_MEMPOOL_SHUFFLE;

    POOL_HAS("wipe=1", 0, .init_object = construct_nothing);
    POOL_HAS("wipe=1", 0, .done_object = destruct_nothing);
    POOL_HAS("paranoid=1", without_wipe, .init_object = construct_nothing);
    POOL_HAS("paranoid=1:seal=1", without_wipe | CORK_MEMPOOL_SEAL,
             .done_object = destruct_nothing);
    POOL_HAS("guard=1", 0, .source = &plain_source);
    POOL_HAS("guard=1:canary=1", CORK_MEMPOOL_CANARY, .block_size = ((size_t)1 << 30) + 1);
    POOL_HAS("paranoid=1", paranoid & ~CORK_MEMPOOL_GUARD, .source = &plain_source);
    POOL_HAS("paranoid=1:seal=1", in_buffer, .buffer = room, .buffer_size = sizeof(room));
    POOL_HAS("paranoid=1", CORK_MEMPOOL_SHUFFLE, .buffer = room, .buffer_size = sizeof(room),
             .init_object = construct_nothing);
    POOL_HAS("paranoid=0:canary=0:seal=0", CORK_MEMPOOL_SEAL, .protections = CORK_MEMPOOL_SEAL);
    POOL_HAS("paranoid=0", paranoid, .protections = paranoid);
}

TEST(an_element_that_no_memory_could_hold_gives_null_whatever_the_environment_asks_for)
{
    for (size_t i = 0; i < 2 * COUNT_OF(words); i++) {
        CHECK_PASSES({
            setenv(VARIABLE, words[i / 2].on, 1);
            cork_mempool_init_size(&mp, SIZE_MAX >> i % 2);
            CHECK_POINTER(try_new(&mp), NULL);
            cork_mempool_done(&mp);
        });
    }
}
