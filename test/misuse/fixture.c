/* SPDX-License-Identifier: BSD-3-Clause */
#include "fixture.h"

#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include "test/support/requests.h"

/* More than a group of 64 slots, so that all slots of the first are live, whatever their order. */
#define RESERVED_COUNT 70
#define OBJECT_INDEX   20

/* A block of so many slots at least; so the objects are neighbours, with GUARD as well. */
#define BLOCK_SLOTS 256

#define DAMAGE_MAX 16384
#define TAKEN_MAX  8192

struct cork_mempool pool, other_pool;
size_t object_size, slot_size;
char *object, *first_object, *last_object;
struct expectation expected;
struct fixture fixture;

static struct outcome own_outcome;
struct outcome *outcome = &own_outcome;

static struct {
    char *address;
    char before;
} damaged[DAMAGE_MAX];
static size_t damaged_count;

/* The pool before the call that may be refused. */
static struct cork_mempool_stats stats_before;

enum exit { EXIT_IMPOSSIBLE = 1, EXIT_REFUSED, EXIT_DAMAGED };
static jmp_buf exits;

char *neighbour(ptrdiff_t n)
{
    return object + n * (ptrdiff_t)slot_size;
}

bool has(unsigned protections)
{
    return (fixture.protections & protections) != 0;
}

static unsigned char pattern(size_t slot)
{
    return (unsigned char)((slot * 37 + 11) | 1);
}

bool fixture_is_intact(void)
{
    for (size_t i = 0; i < fixture.count; i++) {
        const struct tracked *tracked = &fixture.objects[i];
        const unsigned char *bytes = (const unsigned char *)tracked->start;

        if (tracked->is_live && !tracked->is_written &&
            (bytes[0] != pattern(tracked->slot) ||
             memcmp(bytes, bytes + 1, object_size - 1) != 0)) {
            return false;
        }
    }
    return true;
}

/* The object that an address is in, or NULL. */
static struct tracked *object_at(const void *address)
{
    for (size_t i = 0; i < fixture.count; i++) {
        if ((uintptr_t)address - (uintptr_t)fixture.objects[i].start < object_size) {
            return &fixture.objects[i];
        }
    }
    return NULL;
}

static void complain_unless(bool is_so, const char *complaint)
{
    if (!is_so && outcome->complaint == NULL) {
        outcome->complaint = complaint;
    }
}

void expect_call_on(const struct cork_mempool *mp, const void *pointer)
{
    memcpy(&fixture.called, mp, sizeof(*mp));
    expected.pool = mp;
    expected.pointer = pointer;
}

/* After a call of the pool's that has changed it. */
static void note_change(void)
{
    if (!fixture.is_in_row) {
        stats_before = pool_stats();
    }
}

__attribute__((noinline, section("issuing"))) void *call_new(struct cork_mempool *mp)
{
    expect_call_on(mp, NULL);

    void *const issued = cork_mempool_new(mp);
    if (mp == &pool) {
        note_change();
    }
    return issued;
}

__attribute__((noinline, section("freeing"))) void call_free(struct cork_mempool *mp, void *pointer)
{
    expect_call_on(mp, pointer);
    struct tracked *const freed = object_at(pointer);
    cork_mempool_free(mp, pointer);
    if (freed != NULL) {
        freed->is_live = false;
    }
    if (mp == &pool) {
        note_change();
    }
}

__attribute__((noinline, section("freeing"))) void clear_pool(void)
{
    cork_mempool_clear(&pool);
    for (size_t i = 0; i < fixture.count; i++) {
        fixture.objects[i].is_live = false;
    }
    note_change();
}

void visit_pool(void (*visit)(void *user_data, void *visited), void *user_data)
{
    fixture.is_in_row = true;
    cork_mempool_foreach(&pool, visit, user_data);
    fixture.is_in_row = false;
    note_change();
}

void check_pool(void)
{
    outcome->is_check_false |= !cork_mempool_check(&pool);
}

void trim_pool(void)
{
    cork_mempool_trim(&pool);
    note_change();
}

void finalize_pool(void)
{
    cork_mempool_done(&pool);
    damaged_count = 0;
    lose_pool();
}

void lose_pool(void)
{
    fixture.is_pool_gone = true;
}

struct cork_mempool_stats pool_stats(void)
{
    struct cork_mempool_stats stats;

    cork_mempool_stats(&pool, &stats);
    return stats;
}

void free_all_but(const char *kept, size_t count)
{
    fixture.is_in_row = true;
    for (size_t i = 0; i < fixture.count; i++) {
        struct tracked *tracked = &fixture.objects[i];

        if (tracked->is_live && (uintptr_t)tracked->start - (uintptr_t)kept >= count * slot_size) {
            call_free(&pool, tracked->start);
        }
    }
    fixture.is_in_row = false;
    note_change();
}

void free_all(void)
{
    free_all_but(object, 0);
}

void take_all_free_slots(void)
{
    for (size_t left = pool_stats().free_count; left > 0; left--) {
        (void)!cork_mempool_new(&pool);
    }
    note_change();
}

void use_pool_much(void)
{
    for (size_t i = 0; i < 1000; i++) {
        cork_mempool_free(&pool, cork_mempool_new(&pool));
    }
    note_change();
}

char *first_slot_never_issued(void)
{
    char *slot = first_object + 64 * slot_size;

    while (object_at(slot) != NULL) {
        slot += slot_size;
    }
    return slot;
}

/* Objects that are held are not issued again before others; ever more are, until slots of which
 * the turn comes last have their turn. */
bool is_issued_again(const char *slot)
{
    static void *held[TAKEN_MAX];

    for (size_t count = 256; count <= TAKEN_MAX; count *= 2) {
        for (size_t i = 0; i < count; i++) {
            const struct tracked *const same = object_at(held[i] = call_new(&pool));

            complain_unless(same == NULL || !same->is_live, "a live object was issued");
            if (held[i] == slot) {
                return true;
            }
        }
        for (size_t i = 0; i < count; i++) {
            call_free(&pool, held[i]);
        }
    }
    return false;
}

__attribute__((noinline)) void write_byte(char *address, char value)
{
    *(volatile char *)address = value;
}

__attribute__((noinline)) char read_byte(const char *address)
{
    return *(const volatile char *)address;
}

__attribute__((noinline, no_sanitize_address)) char spied_byte(const char *address)
{
    return *(const volatile char *)address;
}

void damage_with(char *address, char value)
{
    struct tracked *const written = object_at(address);

    if (damaged_count == DAMAGE_MAX) {
        abort();
    }
    if (written != NULL) {
        written->is_written = true;
    }
    damaged[damaged_count].address = address;
    damaged[damaged_count].before = spied_byte(address);
    note_effect(damaged[damaged_count++].before != value);
    write_byte(address, value);
}

/* The change leaves no zero where zeros were, nor a byte as it was. */
void damage(char *address, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        damage_with(address + i, (char)(spied_byte(address + i) ^ 0x5a));
    }
}

__attribute__((no_sanitize_address)) void mend_damage(void)
{
    while (damaged_count > 0) {
        damaged_count--;
        *damaged[damaged_count].address = damaged[damaged_count].before;
    }
}

void give_up_contents(void)
{
    for (size_t i = 0; i < fixture.count; i++) {
        fixture.objects[i].is_written = true;
    }
}

void note_effect(bool is_so)
{
    outcome->has_effect |= is_so;
}

void require(bool is_possible)
{
    if (!is_possible) {
        longjmp(exits, EXIT_IMPOSSIBLE);
    }
}

void expect_fault(const char *address, size_t size)
{
    outcome->is_fault_expected = true;
    outcome->fault_low = (uintptr_t)address;
    outcome->fault_end = (uintptr_t)address + size;
}

struct cork_mempool_options fixture_options(void)
{
    return (struct cork_mempool_options){
        .name = FIXTURE_NAME,
        .element_size = object_size,
        .block_size = BLOCK_SLOTS * (object_size + 64),
        .protections = fixture.protections,
        .seed = fixture.seed,
    };
}

void init_other_pool(struct cork_mempool_options options)
{
    if (!cork_mempool_init_with(&other_pool, &options)) {
        abort();
    }
    fixture.other_protections = options.protections;
}

void init_pool_again(void)
{
    const struct cork_mempool_options options = fixture_options();

    give_up_contents();
    (void)!cork_mempool_init_with(&pool, &options);
    note_change();
}

static int compare_starts(const void *one, const void *other)
{
    const char *a = ((const struct tracked *)one)->start;
    const char *b = ((const struct tracked *)other)->start;

    return (a > b) - (a < b);
}

/* Slots are counted from the lowest address of a region, in the order of regions. */
static void number_objects(size_t first, size_t end)
{
    qsort(&fixture.objects[first], end - first, sizeof(fixture.objects[0]), compare_starts);
    for (size_t i = first; i < end; i++) {
        struct tracked *tracked = &fixture.objects[i];

        tracked->slot = first + (size_t)(tracked->start - fixture.objects[first].start) / slot_size;
        memset(tracked->start, pattern(tracked->slot), object_size);
    }
}

/* Guarded pools, and those under Valgrind, are reserved from the start: 2 in src/region.h. */
static bool begins_in_heap(void)
{
    return pool.oldest != NULL && pool.oldest->origin != 2;
}

/* Takes objects of the heap until the pool has another region, and then those of that. */
static void populate(void)
{
    const struct cork_mempool_options options = fixture_options();

    if (!cork_mempool_init_with(&pool, &options)) {
        abort();
    }
    requests_start();
    while (fixture.count < fixture.heap_count + RESERVED_COUNT ||
           (fixture.heap_count == 0 && begins_in_heap())) {
        fixture.objects[fixture.count] =
            (struct tracked){.start = call_new(&pool), .is_live = true};
        if (pool.newest != pool.oldest && fixture.heap_count == 0) {
            fixture.heap_count = fixture.count;
        }
        fixture.count++;
        /* A pool that has less than a MiB would take its next region from the heap too. */
        requests_refuse(HEAP, REFUSE_FROM, 1);
    }
    requests_stop();
    slot_size = pool_stats().slot_size;
    number_objects(0, fixture.heap_count);
    number_objects(fixture.heap_count, fixture.count);
    first_object = fixture.objects[fixture.heap_count].start;
    last_object = fixture.objects[fixture.count - 1].start;
    object = first_object + OBJECT_INDEX * slot_size;
    if (has(CORK_MEMPOOL_CANARY)) {
        memcpy(fixture.canary, object + object_size, sizeof(fixture.canary));
    }
    expected = (struct expectation){.pool = &pool,
                                    .slot = CORK_MEMPOOL_NO_SLOT,
                                    .canary = object + object_size,
                                    .canary_owner = object,
                                    .written = object};
}

static void end_pool(void)
{
    complain_unless(fixture_is_intact(), "an object lost its contents at the end");
    mend_damage();
    if (!fixture.is_pool_gone) {
        check_pool();
        cork_mempool_clear(&pool);
        check_pool();
        cork_mempool_done(&pool);
    }
    outcome->is_over = true;
}

void fixture_play(void (*commit)(void), size_t size, unsigned protections, uint64_t seed)
{
    memset(outcome, 0, sizeof(*outcome));
    fixture = (struct fixture){.protections = protections, .seed = seed};
    damaged_count = 0;
    fixture.is_in_row = true;
    object_size = size;
    populate();
    fixture.is_in_row = false;
    note_change();
    switch (setjmp(exits)) {
    case 0:
        commit();
        end_pool();
        break;
    case EXIT_IMPOSSIBLE:
        outcome->is_impossible = true;
        break;
    case EXIT_REFUSED:
        end_pool();
        break;
    default: /* The damage would be found again. */
        break;
    }
}

void fixture_leave(bool may_go_on)
{
    if (!fixture.is_pool_gone) {
        const struct cork_mempool_stats after = pool_stats();

        complain_unless(memcmp(&after, &stats_before, sizeof(after)) == 0,
                        "a refused call changed the pool");
    }
    longjmp(exits, may_go_on ? EXIT_REFUSED : EXIT_DAMAGED);
}
