/* SPDX-License-Identifier: BSD-3-Clause */
#define _DEFAULT_SOURCE 1 /* sigaction, siginfo_t */

#include "scene.h"

#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "test/support/requests.h"

/* A block of so many slots at least; so the members are neighbours, with GUARD as well. */
#define BLOCK_SLOTS 256

#define HELD_MAX 8192

static struct scene *current;
static jmp_buf escape;

/* Where reports say that clear has freed its objects. */
static const void *clear_site;

static unsigned char pattern(size_t slot)
{
    return (unsigned char)((slot * 37 + 11) | 1);
}

static bool is_intact(const struct scene *s, const struct actor *actor)
{
    const unsigned char *bytes = (const unsigned char *)actor->object;

    if (!actor->is_live || actor->is_victim) {
        return true;
    }
    for (size_t i = 0; i < s->size; i++) {
        if (bytes[i] != pattern(actor->slot)) {
            return false;
        }
    }
    return true;
}

static bool are_bystanders_intact(const struct scene *s)
{
    bool is_so = true;

    for (size_t i = 0; i < s->elder_count; i++) {
        is_so = is_so && is_intact(s, &s->elders[i]);
    }
    for (size_t i = 0; i < MEMBER_COUNT; i++) {
        is_so = is_so && is_intact(s, &s->members[i]);
    }
    return is_so;
}

bool scene_has(const struct scene *s, unsigned protections)
{
    return (s->protections & protections) != 0;
}

char *object(const struct scene *s, size_t member)
{
    return s->members[member].object;
}

/* A function of which there is one copy, and so one place that it calls the pool from. */
#if __has_attribute(noipa)
#define ONE_SITE __attribute__((noipa))
#else
#define ONE_SITE __attribute__((noinline))
#endif

ONE_SITE void *take(struct cork_mempool *mp)
{
    void *volatile object = cork_mempool_new(mp);

    return object;
}

ONE_SITE void drop(struct cork_mempool *mp, void *ptr)
{
    volatile bool is_done = false;

    cork_mempool_free(mp, ptr);
    is_done = true;
    (void)is_done;
}

__attribute__((noinline)) void poke(char *address, char value)
{
    *(volatile char *)address = value;
}

__attribute__((noinline)) char peek(const char *address)
{
    return *(const volatile char *)address;
}

/* What a misuse changes is read before, which no sanitizer need know. */
__attribute__((noinline, no_sanitize_address)) static char spy(const char *address)
{
    return *(const volatile char *)address;
}

void give(struct scene *s, size_t member)
{
    drop(&s->mp, object(s, member));
    s->members[member].is_live = false;
}

void give_all_but(struct scene *s, size_t first, size_t count)
{
    for (size_t i = 0; i < s->elder_count; i++) {
        drop(&s->mp, s->elders[i].object);
        s->elders[i].is_live = false;
    }
    for (size_t i = 0; i < MEMBER_COUNT; i++) {
        if (s->members[i].is_live && (i < first || i >= first + count)) {
            give(s, i);
        }
    }
}

void give_all(struct scene *s)
{
    give_all_but(s, 0, 0);
}

ONE_SITE static void sweep(struct cork_mempool *mp)
{
    volatile bool is_done = false;

    cork_mempool_clear(mp);
    is_done = true;
    (void)is_done;
}

void clear(struct scene *s)
{
    sweep(&s->mp);
    s->evidence->free_site = clear_site;
    for (size_t i = 0; i < ELDER_MAX; i++) {
        s->elders[i].is_live = false;
    }
    for (size_t i = 0; i < MEMBER_COUNT; i++) {
        s->members[i].is_live = false;
    }
}

void fill_up(struct scene *s)
{
    struct cork_mempool_stats stats;

    for (cork_mempool_stats(&s->mp, &stats); stats.free_count > 0; stats.free_count--) {
        take(&s->mp);
    }
}

/* Objects that are held are not issued again before others; ever more are, until slots of which
 * the turn comes last have their turn. */
bool reissue(struct scene *s, const char *address)
{
    static void *held[HELD_MAX];

    for (size_t count = 256; count <= HELD_MAX; count *= 2) {
        for (size_t i = 0; i < count; i++) {
            cork_mempool_stats(&s->mp, &s->before);
            held[i] = take(&s->mp);
            if (held[i] == address) {
                return true;
            }
            for (size_t j = 0; j < MEMBER_COUNT; j++) {
                harm(s, s->members[j].is_live && held[i] == s->members[j].object);
            }
        }
        for (size_t i = 0; i < count; i++) {
            drop(&s->mp, held[i]);
        }
    }
    return false;
}

void verify(struct scene *s)
{
    if (!cork_mempool_check(&s->mp)) {
        s->evidence->is_check_false = true;
    }
}

void spoil_with(struct scene *s, char *address, char value)
{
    const char before = spy(address);

    if (s->spoilt_count == SPOILT_MAX) {
        abort();
    }
    s->spoilt[s->spoilt_count++] = (struct spoilt){address, before};
    poke(address, value);
    harm(s, before != value);
}

/* The change leaves no zero where zeros were, nor a byte as it was. */
void spoil(struct scene *s, char *address)
{
    spoil_with(s, address, (char)(spy(address) ^ 0x5a));
}

void unspoil(struct scene *s)
{
    while (s->spoilt_count > 0) {
        const struct spoilt *spoilt = &s->spoilt[--s->spoilt_count];

        *spoilt->address = spoilt->before;
    }
}

void sacrifice(struct scene *s, size_t member)
{
    s->members[member].is_victim = true;
}

void harm(struct scene *s, bool is_harmed)
{
    s->evidence->is_harmed |= is_harmed;
}

bool is_impossible(struct scene *s, bool is_impossible)
{
    s->evidence->is_impossible |= is_impossible;
    return is_impossible;
}

void expect_fault(struct scene *s, const char *low, size_t size)
{
    s->evidence->is_fault_expected = true;
    s->evidence->fault_low = (uintptr_t)low;
    s->evidence->fault_end = (uintptr_t)low + size;
}

static void observe(const struct cork_mempool_violation *violation)
{
    (void)violation;
    current->evidence->was_refused = true;
    current->evidence->is_intact = are_bystanders_intact(current);
}

static void observe_and_escape(const struct cork_mempool_violation *violation)
{
    observe(violation);
    longjmp(escape, 1);
}

/* Returning meets the fault again, which then ends the process. */
static void observe_fault(int number, siginfo_t *info, void *context)
{
    (void)context;
    current->evidence->fault = (uintptr_t)info->si_addr;
    current->evidence->is_intact = are_bystanders_intact(current);
    signal(number, SIG_DFL);
}

/* The addresses behind the calls in take and drop, as the pool tells them to handlers. */
static void observe_sites(const struct cork_mempool_violation *violation)
{
    current->evidence->new_site = violation->new_site;
    current->evidence->free_site = violation->free_site;
    longjmp(escape, 1);
}

static void observe_clear_site(const struct cork_mempool_violation *violation)
{
    clear_site = violation->free_site;
    longjmp(escape, 1);
}

static bool is_within(const void *site, uintptr_t function)
{
    return (uintptr_t)site - function < 256;
}

static void learn_sites(struct scene *s)
{
    static struct cork_mempool mp;
    const struct cork_mempool_options options = {.element_size = 8,
                                                 .protections = CORK_MEMPOOL_CALLSITES};

    cork_mempool_on_violation(observe_sites);
    if (setjmp(escape) == 0) {
        (void)!cork_mempool_init_with(&mp, &options);
        void *object = take(&mp);
        drop(&mp, object);
        drop(&mp, object);
    }
    cork_mempool_on_violation(observe_clear_site);
    if (setjmp(escape) == 0) {
        void *object = take(&mp);
        sweep(&mp);
        drop(&mp, object);
    }
    cork_mempool_done(&mp);
    s->evidence->has_sites = (s->protections & CORK_MEMPOOL_CALLSITES) != 0;
    s->evidence->are_sites_right = is_within(s->evidence->new_site, (uintptr_t)take) &&
                                   is_within(s->evidence->free_site, (uintptr_t)drop);
}

static int compare(const void *one, const void *other)
{
    const char *a = ((const struct actor *)one)->object;
    const char *b = ((const struct actor *)other)->object;

    return (a > b) - (a < b);
}

struct cork_mempool_options scene_options(const struct scene *s)
{
    return (struct cork_mempool_options){
        .name = SCENE_NAME,
        .element_size = s->size,
        .block_size = BLOCK_SLOTS * (s->size + 64),
        .protections = s->protections,
        .seed = s->seed,
    };
}

/* Slots are counted from the lowest address of the oldest region. */
static void number_slots(struct scene *s, const struct actor *taken, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        *(i < s->elder_count ? &s->elders[i] : &s->members[i - s->elder_count]) = taken[i];
    }
    qsort(s->elders, s->elder_count, sizeof(s->elders[0]), compare);
    qsort(s->members, MEMBER_COUNT, sizeof(s->members[0]), compare);
    for (size_t i = 0; i < count; i++) {
        const bool is_elder = i < s->elder_count;
        struct actor *actor = is_elder ? &s->elders[i] : &s->members[i - s->elder_count];
        const char *first = is_elder ? s->elders[0].object : s->members[0].object;

        actor->slot =
            (size_t)(actor->object - first) / s->slot_size + (is_elder ? 0 : s->elder_count);
        memset(actor->object, pattern(actor->slot), s->size);
    }
}

static void open_scene(struct scene *s)
{
    static struct actor taken[ELDER_MAX + MEMBER_COUNT];
    const struct cork_mempool_options options = scene_options(s);
    struct cork_mempool_stats stats;
    size_t count = 0;

    if (!cork_mempool_init_with(&s->mp, &options)) {
        abort();
    }
    requests_start();
    while (count < s->elder_count + MEMBER_COUNT) {
        taken[count] = (struct actor){.object = take(&s->mp), .slot = count, .is_live = true};
        cork_mempool_stats(&s->mp, &stats);
        if (stats.region_count == 2 && s->elder_count == 0) {
            s->elder_count = count;
        }
        count++;
        /* A pool that has less than a MiB would take its next region from the heap too. */
        requests_refuse(HEAP, REFUSE_FROM, 1);
    }
    requests_stop();
    s->slot_size = stats.slot_size;
    number_slots(s, taken, count);
    if (scene_has(s, CORK_MEMPOOL_CANARY)) {
        memcpy(s->canary, object(s, 0) + s->size, sizeof(s->canary));
    }
}

static void close_scene(struct scene *s)
{
    s->evidence->is_intact = are_bystanders_intact(s);
    if (!s->is_dead) {
        verify(s);
        cork_mempool_clear(&s->mp);
        verify(s);
        cork_mempool_done(&s->mp);
    }
    s->evidence->is_over = true;
}

/* Damaged memory would be found again. */
static bool is_damage(const struct evidence *evidence)
{
    for (size_t i = 0; i < evidence->accusation_count; i++) {
        if (evidence->accusations[i].kind == CORK_MEMPOOL_CANARY_DAMAGED ||
            evidence->accusations[i].kind == CORK_MEMPOOL_WRITE_AFTER_FREE) {
            return true;
        }
    }
    return false;
}

static void resume(struct scene *s)
{
    struct cork_mempool_stats after;

    cork_mempool_on_violation(observe);
    s->evidence->is_as_before = true;
    if (s->is_dead) {
        return;
    }
    cork_mempool_stats(&s->mp, &after);
    s->evidence->is_as_before = memcmp(&after, &s->before, sizeof(after)) == 0;
    if (!is_damage(s->evidence)) {
        unspoil(s);
        close_scene(s);
    }
}

void scene_play(struct scene *s, misuse_function *misuse, size_t size, unsigned protections,
                uint64_t seed, bool escapes, struct evidence *evidence)
{
    struct sigaction action = {.sa_flags = SA_SIGINFO};

    memset(s, 0, sizeof(*s));
    current = s;
    s->size = size;
    s->protections = protections;
    s->seed = seed;
    s->evidence = evidence;
    evidence->seed = seed;
    learn_sites(s);
    action.sa_sigaction = observe_fault;
    sigaction(SIGSEGV, &action, NULL);
    cork_mempool_on_violation(escapes ? observe_and_escape : observe);
    open_scene(s);
    if (setjmp(escape) == 0) {
        misuse(s);
        unspoil(s);
        close_scene(s);
    } else {
        resume(s);
    }
}
