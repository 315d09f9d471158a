/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * CORK_MEMPOOL_OPTIONS. The variable is read once in a process, so each setting has a process of
 * its own; what it has turned on is found out by what the pool does.
 */

#define _GNU_SOURCE /* setenv, fchmod, execl */

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "test/support/harness.h"
#include "test/support/pools.h"
#include "test/support/refusals.h"
#include "test/support/requests.h"

#define VARIABLE     "CORK_MEMPOOL_OPTIONS"
#define ELEMENT_SIZE 48
#define OBJECT_MAX   8000

static const struct {
    const char *word;
    unsigned protections;
} words[] = {
    {"canary", CORK_MEMPOOL_CANARY},
    {"seal", CORK_MEMPOOL_SEAL},
    {"wipe", CORK_MEMPOOL_WIPE},
    {"shuffle", CORK_MEMPOOL_SHUFFLE},
    {"quarantine", CORK_MEMPOOL_QUARANTINE},
    {"guard", CORK_MEMPOOL_GUARD},
    {"callsites", CORK_MEMPOOL_CALLSITES},
    {"paranoid", CORK_MEMPOOL_PARANOID},
};

static char *objects[OBJECT_MAX];
static size_t object_count;

static void set_variable(const char *text)
{
    CHECK_EQUAL(setenv(VARIABLE, text, 1), 0);
}

/* What a pool with objects shows of itself, by one misuse or another that is refused. */

static bool has_canaries(void)
{
    const unsigned char before = peek(objects[0] + ELEMENT_SIZE);
    bool is_found;

    poke(objects[0] + ELEMENT_SIZE, before ^ 0xffu);
    is_found = is_refused(FREE, objects[0]);
    poke(objects[0] + ELEMENT_SIZE, before);
    if (!is_found) {
        objects[0] = cork_mempool_new(&subject.mp);
        fill(objects[0], ELEMENT_SIZE, 0);
    }
    return is_found;
}

/* Whether addresses go up and down, and how often they leave out a block's guard. */
static bool is_shuffled(void)
{
    size_t descent_count = 0;

    for (size_t i = 1; i < 64; i++) {
        descent_count += (uintptr_t)objects[i] < (uintptr_t)objects[i - 1];
    }
    return descent_count > 5;
}

static int compare(const void *one, const void *other)
{
    const uintptr_t a = (uintptr_t)*(char *const *)one;
    const uintptr_t b = (uintptr_t)*(char *const *)other;

    return (a > b) - (a < b);
}

static size_t slots_of_a_block(void)
{
    return stats_of(&subject.mp).block_size / stats_of(&subject.mp).slot_size;
}

/* Whether no more objects than those of a block stand without a page between them; there are more
 * than that in some region. */
static bool is_guarded(void)
{
    size_t run = 1;
    size_t longest = 1;

    qsort(objects, object_count, sizeof(*objects), compare);
    for (size_t i = 1; i < object_count; i++) {
        const size_t distance = (uintptr_t)objects[i] - (uintptr_t)objects[i - 1];

        run = distance < page_size() ? run + 1 : 1;
        longest = run > longest ? run : longest;
    }
    return longest <= slots_of_a_block();
}

static unsigned contents_after_free(char *object)
{
    unsigned found = 0;
    size_t zero_count = 0;

    fill(object, ELEMENT_SIZE, 1);
    cork_mempool_free(&subject.mp, object);
    for (size_t i = 0; i < ELEMENT_SIZE; i++) {
        zero_count += peek(object + i) == 0;
    }
    if (zero_count == ELEMENT_SIZE) {
        return CORK_MEMPOOL_WIPE;
    }
    poke(object + 9, peek(object + 9) ^ 1u);
    found = is_refused(VERIFY, NULL) ? CORK_MEMPOOL_SEAL : 0;
    poke(object + 9, peek(object + 9) ^ 1u);
    return found;
}

static bool is_at_rest(const char *object)
{
    for (size_t i = 0; i < 300; i++) {
        char *const other = cork_mempool_new(&subject.mp);

        if (other == NULL || other == object) {
            return false;
        }
        fill(other, ELEMENT_SIZE, i);
    }
    return true;
}

/* The protections of the subject's pool, which has just been initialized; finalizes it. */
static unsigned protections_of_pool(void)
{
    unsigned found = 0;

    object_count = 2 * slots_of_a_block() + 300;
    CHECK(object_count <= OBJECT_MAX);
    take_objects(&subject.mp, (void **)objects, object_count);
    CHECK(is_refused(DONE, NULL));
    found |= seen.listed[0].new_site != NULL ? CORK_MEMPOOL_CALLSITES : 0;
    found |= is_shuffled() ? CORK_MEMPOOL_SHUFFLE : 0;
    found |= is_guarded() ? CORK_MEMPOOL_GUARD : 0;
    found |= has_canaries() ? CORK_MEMPOOL_CANARY : 0;
    found |= contents_after_free(objects[1]);
    found |= is_at_rest(objects[1]) ? CORK_MEMPOOL_QUARANTINE : 0;
    cork_mempool_clear(&subject.mp);
    cork_mempool_done(&subject.mp);
    return found;
}

/* Where WIPE is on it does SEAL's work. */
static unsigned effect_of(unsigned set)
{
    return (set & CORK_MEMPOOL_WIPE) != 0 ? set & ~CORK_MEMPOOL_SEAL : set;
}

static unsigned protections_with(struct cork_mempool_options options)
{
    options.element_size = ELEMENT_SIZE;
    errno = ODD_ERRNO;
    CHECK(cork_mempool_init_with(&subject.mp, &options));
    CHECK_EQUAL(errno, ODD_ERRNO);
    return protections_of_pool();
}

static const struct cork_mempool_options nothing;

/* What protections_of_pool can tell must be known before what it tells means anything. */
TEST(the_protections_of_a_pool_can_be_told)
{
    unsetenv(VARIABLE);
    for (unsigned set = 0; set < SETS_COUNT; set++) {
        CHECK_EQUAL(protections_with((struct cork_mempool_options){.protections = set}),
                    effect_of(set));
    }
}

struct block {
    char bytes[ELEMENT_SIZE];
};

static void every_form_has(const char *text, unsigned expected)
{
    set_variable(text);
    cork_mempool_init(&subject.mp, struct block);
    CHECK_EQUAL(protections_of_pool(), expected);
    cork_mempool_init_ex(&subject.mp, struct block, 4096);
    CHECK_EQUAL(protections_of_pool(), expected);
    cork_mempool_init_size(&subject.mp, ELEMENT_SIZE);
    CHECK_EQUAL(protections_of_pool(), expected);
    cork_mempool_init_size_ex(&subject.mp, ELEMENT_SIZE, 4096);
    CHECK_EQUAL(protections_of_pool(), expected);
    CHECK_EQUAL(protections_with(nothing), expected);
}

TEST(each_word_turns_its_protection_on_in_pools_of_every_form)
{
    for (size_t i = 0; i < COUNT_OF(words); i++) {
        char text[64];

        snprintf(text, sizeof(text), "%s=1", words[i].word);
        CHECK_PASSES(every_form_has(text, words[i].protections));
        snprintf(text, sizeof(text), "%s=0", words[i].word);
        CHECK_PASSES(every_form_has(text, 0));
    }
}

TEST(words_are_obeyed_one_after_another)
{
    for (size_t i = 0; i < COUNT_OF(words) - 1; i++) {
        const unsigned one = words[i].protections;

        for (size_t j = 0; j < COUNT_OF(words) - 1; j++) {
            const unsigned other = words[j].protections;
            char text[64];

            snprintf(text, sizeof(text), "%s=1:%s=1", words[i].word, words[j].word);
            CHECK_PASSES(every_form_has(text, effect_of(one | other)));
            snprintf(text, sizeof(text), ":%s=1::%s=0:", words[i].word, words[j].word);
            CHECK_PASSES(every_form_has(text, one & ~other));
        }
    }
}

TEST(an_empty_variable_says_nothing)
{
    CHECK_PASSES(every_form_has("", 0));
    CHECK_PASSES(every_form_has(":", 0));
    CHECK_PASSES(every_form_has(":::::", 0));
}

TEST(a_word_of_0_takes_nothing_from_what_a_pool_asks_for)
{
    set_variable("paranoid=0:canary=0:seal=0");
    CHECK_EQUAL(protections_with((struct cork_mempool_options){.protections = CORK_MEMPOOL_SEAL}),
                CORK_MEMPOOL_SEAL);
    CHECK_EQUAL(
        protections_with((struct cork_mempool_options){.protections = CORK_MEMPOOL_PARANOID}),
        CORK_MEMPOOL_PARANOID);
}

TEST(the_variable_is_read_once)
{
    set_variable("canary=1");
    CHECK_EQUAL(protections_with(nothing), CORK_MEMPOOL_CANARY);
    set_variable("wipe=1");
    CHECK_EQUAL(protections_with(nothing), CORK_MEMPOOL_CANARY);
    unsetenv(VARIABLE);
    CHECK_EQUAL(protections_with(nothing), CORK_MEMPOOL_CANARY);
}

/* Seeds. */

static uint64_t seed_with(struct cork_mempool_options options)
{
    errno = ODD_ERRNO;
    CHECK(cork_mempool_init_with(&subject.mp, &options));
    CHECK_EQUAL(errno, ODD_ERRNO);
    CHECK(is_refused(FREE, objects));
    cork_mempool_done(&subject.mp);
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

TEST(a_seed_is_that_of_every_pool_that_has_none)
{
    CHECK_PASSES(every_pool_has_seed("canary=1:seed=7", 7));
    CHECK_PASSES(every_pool_has_seed("seed=0x1f:shuffle=1", 0x1f));
    CHECK_PASSES(every_pool_has_seed("seed=9:shuffle=1", 9));
    CHECK_PASSES(every_pool_has_seed("seed=010:shuffle=1", 10));
    CHECK_PASSES(every_pool_has_seed("seed=1:seal=1:seed=4294967295", 4294967295));
}

TEST(a_seed_may_have_64_bits)
{
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
    static const char *const unknown[] = {
        "canary",
        "canary=",
        "canary=2",
        "canary=10",
        "canary=01",
        "canary=yes",
        "Canary=1",
        "canaries=1",
        "canar=1",
        " canary=1",
        "canary=1 ",
        "canary =1",
        "=1",
        "=",
        "1",
        "x",
        "guards=1",
        "seal",
        "wipe=-1",
        "paranoid",
        "seed",
        "seed=",
        "seed=x",
        "seed=1x",
        "seeds=1",
        "canary=1,x=1",
        "canary;",
        "no=1",
        "seed=0x",
        "passthrough=1",
        "shuffle=0x",
        "hello world",
        "seed=-5",
        "seed=+5",
        "seed= 5",
        "seed=a",
        "seed=18446744073709551616",
        "seed=0x10000000000000000",
        "canaryx1",
        "seedx1",
    };

    for (size_t i = 0; i < COUNT_OF(unknown); i++) {
        CHECK_ABORTS(left_out(unknown[i]), word_is_left_out("canary=1:%s:callsites=1", unknown[i]));
        CHECK_ABORTS(left_out(unknown[i]), word_is_left_out("%s:callsites=1:canary=1", unknown[i]));
        CHECK_ABORTS(left_out(unknown[i]), word_is_left_out("callsites=1:canary=1:%s", unknown[i]));
    }
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
    char word[3000];
    char start[256];

    memset(word, 'x', sizeof(word));
    for (size_t length = shown - 1; length <= shown + 1; length++) {
        snprintf(start, sizeof(start), "%.*s", (int)(length < shown ? length : shown), word);
        word[length] = '\0';
        CHECK_ABORTS(left_out(start), word_is_left_out("canary=1:callsites=1:%s", word));
        word[length] = 'x';
    }
    snprintf(start, sizeof(start), "%.*s", (int)shown, word);
    word[sizeof(word) - 1] = '\0';
    CHECK_ABORTS(left_out(start), word_is_left_out("canary=1:callsites=1:%s", word));
}

TEST(a_word_with_more_than_one_value_is_not_known)
{
    static const char *const unknown[] = {"seal==1", "seal=0=1", "wipe=no=1", "guard=0,canary=1"};

    for (size_t i = 0; i < COUNT_OF(unknown); i++) {
        CHECK_ABORTS(left_out(unknown[i]), word_is_left_out("canary=1:%s:callsites=1", unknown[i]));
    }
}

static void seed_survives(void)
{
    every_pool_has_seed("canary=1:seed=5:seed=x", 5);
    abort();
}

TEST(a_seed_that_is_left_out_changes_no_other)
{
    CHECK_ABORTS(left_out("seed=x"), seed_survives());
}

/* What contradicts a pool's options is left out, and all the rest is not. */

static int construct(void *user_data, void *object)
{
    (void)user_data;
    memset(object, 1, ELEMENT_SIZE);
    return 0;
}

static void destruct(void *user_data, void *object)
{
    (void)user_data;
    (void)object;
}

static void pool_has(const char *text, struct cork_mempool_options options, unsigned expected)
{
    set_variable(text);
    CHECK_EQUAL(protections_with(options), effect_of(expected));
}

TEST(wipe_is_left_out_where_objects_are_constructed)
{
    const struct cork_mempool_options constructed = {.init_object = construct};
    const struct cork_mempool_options destructed = {.done_object = destruct};
    const unsigned rest = CORK_MEMPOOL_PARANOID & ~CORK_MEMPOOL_WIPE;

    CHECK_PASSES(pool_has("wipe=1", constructed, 0));
    CHECK_PASSES(pool_has("wipe=1", destructed, 0));
    CHECK_PASSES(pool_has("paranoid=1", constructed, rest));
    CHECK_PASSES(pool_has("paranoid=1:seal=1", destructed, rest | CORK_MEMPOOL_SEAL));
}

static void *acquire(void *source_data, size_t size, size_t alignment)
{
    (void)source_data;
    return aligned_alloc(alignment, size);
}

static void release(void *source_data, void *memory, size_t size)
{
    (void)source_data;
    (void)size;
    free(memory);
}

TEST(guard_is_left_out_where_a_source_is_the_callers)
{
    static const struct cork_mempool_source source = {acquire, release};
    const struct cork_mempool_options options = {.source = &source};

    CHECK_PASSES(pool_has("guard=1", options, 0));
    CHECK_PASSES(pool_has("paranoid=1", options, CORK_MEMPOOL_PARANOID & ~CORK_MEMPOOL_GUARD));
}

/* The caller of a pool in a buffer has counted on how many objects it holds. */
static size_t capacity_of(size_t buffer_size)
{
    static _Alignas(64) char buffer[4096];
    const struct cork_mempool_options options = {
        .element_size = ELEMENT_SIZE, .buffer = buffer, .buffer_size = buffer_size};
    size_t count = 0;

    if (!cork_mempool_init_with(&subject.mp, &options)) {
        return 0;
    }
    while ((objects[count] = cork_mempool_new(&subject.mp)) != NULL) {
        fill(objects[count], ELEMENT_SIZE, count);
        count++;
    }
    give_objects(&subject.mp, (void **)objects, count);
    cork_mempool_done(&subject.mp);
    return count;
}

static void capacities_are(const char *text, const size_t *capacities)
{
    set_variable(text);
    for (size_t i = 0; i < 4096; i += 11) {
        CHECK_EQUAL(capacity_of(i), capacities[i]);
    }
}

TEST(a_buffer_holds_as_many_objects_whatever_the_environment_asks_for)
{
    static size_t capacities[4096];
    static _Alignas(64) char buffer[1 << 16];
    const struct cork_mempool_options options = {.buffer = buffer, .buffer_size = sizeof(buffer)};
    int channel[2];

    unsetenv(VARIABLE);
    CHECK_EQUAL(pipe(channel), 0);
    if (fork() == 0) {
        /* The variable is not read in this process, but in those below. */
        for (size_t i = 0; i < 4096; i += 11) {
            const size_t capacity = capacity_of(i);
            CHECK_EQUAL(write(channel[1], &capacity, sizeof(capacity)), sizeof(capacity));
        }
        _exit(0);
    }
    for (size_t i = 0; i < 4096; i += 11) {
        CHECK_EQUAL(read(channel[0], &capacities[i], sizeof(size_t)), sizeof(size_t));
    }
    CHECK_EQUAL(wait(NULL) > 0, true);
    CHECK(capacities[4092] > 50);
    for (size_t i = 0; i < COUNT_OF(words); i++) {
        char text[64];

        snprintf(text, sizeof(text), "%s=1", words[i].word);
        CHECK_PASSES(capacities_are(text, capacities));
    }
    CHECK_PASSES(capacities_are("paranoid=1:seal=1", capacities));
    CHECK_PASSES(pool_has("paranoid=1", options, CORK_MEMPOOL_WIPE | CORK_MEMPOOL_SHUFFLE));
}

/* A copy of this program that runs with its owner's rights. */
static void copy_program(const char *path)
{
    static char bytes[1 << 16];
    const int from = open("/proc/self/exe", O_RDONLY);
    const int to = open(path, O_WRONLY | O_CREAT | O_EXCL, 0700);
    ssize_t size;

    CHECK(from >= 0 && to >= 0);
    while ((size = read(from, bytes, sizeof(bytes))) > 0) {
        CHECK_EQUAL(write(to, bytes, (size_t)size), size);
    }
    CHECK_EQUAL(fchmod(to, 04755), 0);
    close(from);
    close(to);
}

/* In a sandbox there may be no other user. */
#define NO_OTHER_USER 77

static void run_as_nobody(const char *path, const char *test)
{
    set_variable("paranoid=1:what is this");
    if (setuid(65534) != 0) {
        _exit(NO_OTHER_USER);
    }
    execl(path, path, "--here", test, (char *)NULL);
    _exit(1);
}

TEST(the_variable_is_not_read_in_a_program_with_the_rights_of_another_user)
{
    char directory[] = "/tmp/environment_test.XXXXXX";
    char path[64];
    int status;

    if (getauxval(AT_SECURE) != 0) {
        CHECK(getenv(VARIABLE) != NULL);
        CHECK_EQUAL(protections_with(nothing), 0);
        return;
    }
    if (TEST_UNDER_QEMU) {
        test_skip("the kernel does not run programs of another machine, with whatever rights");
    }
    if (geteuid() != 0) {
        test_skip("only root has another user's rights to give");
    }
    CHECK(mkdtemp(directory) != NULL);
    CHECK_EQUAL(chmod(directory, 0755), 0);
    snprintf(path, sizeof(path), "%s/program", directory);
    copy_program(path);
    if (fork() == 0) {
        run_as_nobody(path, __func__);
    }
    CHECK(wait(&status) > 0);
    unlink(path);
    rmdir(directory);
    if (WIFEXITED(status) && WEXITSTATUS(status) == NO_OTHER_USER) {
        test_skip("there is no other user here");
    }
    CHECK_EQUAL(status, 0);
}

static void no_memory_could_hold(const char *text)
{
    static const size_t sizes[] = {SIZE_MAX, SIZE_MAX / 2};
    struct cork_mempool mp;

    set_variable(text);
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        cork_mempool_init_size(&mp, sizes[i]);
        CHECK_POINTER(cork_mempool_new(&mp), NULL);
        CHECK_EQUAL(errno, ENOMEM);
        CHECK(cork_mempool_check(&mp));
        cork_mempool_done(&mp);
    }
}

TEST(an_element_that_no_memory_could_hold_gives_null_whatever_the_environment_asks_for)
{
    for (size_t i = 0; i < COUNT_OF(words); i++) {
        char text[64];

        snprintf(text, sizeof(text), "%s=1", words[i].word);
        CHECK_PASSES(no_memory_could_hold(text));
    }
}
