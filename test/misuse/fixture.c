/* SPDX-License-Identifier: BSD-3-Clause */
#include "fixture.h"

#include <setjmp.h>
#include <string.h>

#include "misuse.h"
#include "test/support/memory.h"
#include "test/support/refusals.h"

/* More than a group of 64 slots, so that all slots of the first are live, whatever their order. */
#define RESERVED_COUNT 70
#define OBJECT_INDEX   20

/* A block of so many slots at least; so the objects are neighbours, with GUARD as well. */
#define BLOCK_SLOTS 256

#define DAMAGE_MAX 100000
#define TAKEN_MAX  8192

struct cork_mempool pool, other_pool;
size_t object_size, slot_size;
char *object, *first_object;
struct expectation expected;
struct fixture fixture;

struct outcome *outcome;

static struct {
    char *address;
    unsigned char before;
} damaged[DAMAGE_MAX];
static size_t damaged_count;

/* The pool before the call that may be refused. */
static struct cork_mempool_stats stats_before;

static jmp_buf play_ends;

char *neighbour(ptrdiff_t n)
{
    return object + n * (ptrdiff_t)slot_size;
}

bool has(unsigned protections)
{
    return (fixture.protections & protections) != 0;
}

bool fixture_is_intact(void)
{
    for (size_t i = 0; i < fixture.slot_count; i++) {
        const struct tracked *tracked = &fixture.objects[i];

        if (tracked->is_live && !tracked->is_written &&
            !is_filled(tracked->start, object_size, 2 * i)) {
            return false;
        }
    }
    return true;
}

/* The object that an address is in, or NULL. */
static struct tracked *object_at(const void *address)
{
    for (size_t i = 0; i < fixture.slot_count; i++) {
        const char *start = fixture.objects[i].start;

        if (start != NULL && (uintptr_t)address - (uintptr_t)start < object_size) {
            return &fixture.objects[i];
        }
    }
    return NULL;
}

void expect_call_on(const struct cork_mempool *mp, const void *pointer)
{
    memcpy(&fixture.called, mp, sizeof(*mp));
    expected.pool = mp;
    expected.pointer = pointer;
}

void expect_fault(const char *address, size_t size)
{
    expected.fault = address;
    expected.fault_size = size;
}

/* After a call of the pool's that may have changed it. */
static void note_change(void)
{
    if (!fixture.is_visited) {
        stats_before = stats_of(&pool);
    }
}

__attribute__((noinline, section("issuing"))) void *call_new(struct cork_mempool *mp)
{
    expect_call_on(mp, NULL);

    void *const issued = cork_mempool_new(mp);
    if (mp == &pool) {
        note_change();
    }
    __asm__ volatile(""); /* so that no copy of this ends in a jump, which leaves no address here */
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
    __asm__ volatile(""); /* as in call_new */
}

__attribute__((noinline, section("freeing"))) void clear_pool(void)
{
    cork_mempool_clear(&pool);
    for (size_t i = 0; i < fixture.slot_count; i++) {
        fixture.objects[i].is_live = false;
    }
    note_change();
}

void free_object(void)
{
    call_free(&pool, object);
}

void free_next(void)
{
    call_free(&pool, neighbour(1));
}

void visit_pool(void (*visit)(void *user_data, void *visited), void *user_data)
{
    fixture.is_visited = true;
    cork_mempool_foreach(&pool, visit, user_data);
    fixture.is_visited = false;
    note_change();
}

void check_pool(void)
{
    if (!cork_mempool_check(&pool)) {
        outcome->verdict = CHECK_FAILS;
    }
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
    fixture.is_pool_gone = true;
}

void free_all_but(const char *kept, size_t count)
{
    for (size_t i = 0; i < fixture.slot_count; i++) {
        struct tracked *tracked = &fixture.objects[i];

        if (tracked->is_live && (uintptr_t)tracked->start - (uintptr_t)kept >= count * slot_size) {
            call_free(&pool, tracked->start);
        }
    }
}

void free_all(void)
{
    free_all_but(object, 0);
}

void take_all_free_slots(void)
{
    for (size_t left = stats_of(&pool).free_count; left > 0; left--) {
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

            CHECK(same == NULL || !same->is_live);
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

__attribute__((noinline, section("accessing"))) void write_byte(char *address, char value)
{
    *(volatile char *)address = value;
}

__attribute__((noinline, section("accessing"))) char read_byte(const char *address)
{
    return *(const volatile char *)address;
}

void damage_with(char *address, char value)
{
    struct tracked *const written = object_at(address);

    CHECK(damaged_count < DAMAGE_MAX);
    damaged[damaged_count].address = address;
    damaged[damaged_count].before = peek(address);
    note_effect(damaged[damaged_count++].before != (unsigned char)value);
    if (written != NULL) {
        written->is_written = true;
    }
    write_byte(address, value);
}

/* The change leaves no zero where zeros were, nor a byte as it was. */
void damage(char *address, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        damage_with(address + i, (char)(peek(address + i) ^ 0x5a));
    }
}

void mend_damage(void)
{
    while (damaged_count > 0) {
        damaged_count--;
        poke(damaged[damaged_count].address, damaged[damaged_count].before);
    }
}

void note_effect(bool is_so)
{
    if (is_so && strcmp(outcome->verdict, CHECK_FAILS) != 0) {
        outcome->verdict = NOT_DETECTED;
    }
}

void require(bool is_possible)
{
    if (!is_possible) {
        outcome->is_impossible = true;
        longjmp(play_ends, 1);
    }
}

struct cork_mempool_options fixture_options(void)
{
    return (struct cork_mempool_options){
        .name = FIXTURE_NAME,
        .element_size = object_size,
        .block_size = BLOCK_SLOTS * (object_size + 64),
        .protections = fixture.protections,
        .seed = test_seed(),
    };
}

void init_other_pool(struct cork_mempool_options options)
{
    CHECK(cork_mempool_init_with(&other_pool, &options));
    fixture.other_protections = options.protections;
}

void init_pool_again(void)
{
    const struct cork_mempool_options options = fixture_options();

    fixture.slot_count = 0;
    CHECK(cork_mempool_init_with(&pool, &options));
    note_change();
}

/* Takes an object, which is of the newest region, and fills it. */
static void take_object(void)
{
    char *const start = call_new(&pool);

    if (pool.newest != pool.oldest && fixture.heap_count == 0) {
        fixture.heap_count = fixture.slot_count;
    }
    const size_t slot = fixture.heap_count + (size_t)(start - pool.newest->base) / slot_size;
    CHECK(slot < COUNT_OF(fixture.objects));
    fixture.slot_count = slot < fixture.slot_count ? fixture.slot_count : slot + 1;
    fixture.objects[slot] = (struct tracked){.start = start, .is_live = true};
    fill(start, object_size, 2 * slot); /* even, so that no byte is 0 */
}

/* Takes objects of the heap until the pool has a reserved region, and then those of that. */
static void populate(void)
{
    const struct cork_mempool_options options = fixture_options();

    CHECK(cork_mempool_init_with(&pool, &options));
    slot_size = stats_of(&pool).slot_size;
    requests_start();
    do {
        take_object();
        /* A pool that has less than a MiB would take its next region from the heap too. */
        requests_refuse(HEAP, REFUSE_FROM, 1);
    } while (!is_reserved(pool.newest));
    for (size_t i = 1; i < RESERVED_COUNT; i++) {
        take_object();
    }
    requests_stop();
    first_object = pool.newest->base;
    object = first_object + OBJECT_INDEX * slot_size;
    if (has(CORK_MEMPOOL_CANARY)) {
        memcpy(fixture.canary, object + object_size, sizeof(fixture.canary));
    }
    expected = (struct expectation){
        .pool = &pool, .canary = object + object_size, .canary_owner = object, .written = object};
}

void fixture_play(void (*commit)(void), size_t size, unsigned protections)
{
    *outcome = (struct outcome){.verdict = ABSORBED};
    fixture = (struct fixture){.protections = protections};
    damaged_count = 0;
    object_size = size;
    populate();
    if (setjmp(play_ends) == 0) {
        commit();
    }
    if (outcome->is_impossible) {
        return;
    }
    CHECK(fixture_is_intact());
    mend_damage();
    if (!fixture.is_pool_gone) {
        check_pool();
        cork_mempool_clear(&pool);
        check_pool();
        cork_mempool_done(&pool);
    }
}

void fixture_leave(void)
{
    if (!fixture.is_pool_gone) {
        const struct cork_mempool_stats after = stats_of(&pool);

        CHECK(same_stats(&after, &stats_before));
    }
    fixture.is_visited = false;
    longjmp(play_ends, 1);
}
