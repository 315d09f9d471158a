/* SPDX-License-Identifier: BSD-3-Clause */
/* The oracle: what can be done to the world, and whether the pool did what it must. */

#include <errno.h>
#include <setjmp.h>
#include <string.h>

#include "exhaust.h"
#include "libcork/core/mempool_inspect.h"
#include "random.h"
#include "region.h"

struct probe probe;

static struct cork_mempool *const mp = &world.pool;
static jmp_buf escape;
static struct cork_mempool_object listed[OBJECT_MAX];

static bool has(unsigned protections)
{
    return (profile->protections & protections) != 0;
}

static unsigned char *start_of(const struct object *object)
{
    return (unsigned char *)world.pages + object->offset;
}

static bool is_usable(size_t offset)
{
    return offset < sizeof(world.pages) && (world.usable >> offset / PAGE_SIZE & 1) != 0;
}

/* The byte that an object is filled with: never 0, and its neighbours' is another. */
static int byte_of(const struct object *object)
{
    return (int)(object->offset / 16 % 255 + 1);
}

static bool is_filled(const struct object *object, int byte)
{
    const unsigned char *start = start_of(object);

    return start[0] == byte && memcmp(start, start + 1, profile->element_size - 1) == 0;
}

/* The index of the first object that is not below an address. */
static size_t index_of(const void *pointer)
{
    size_t i = 0;

    while (i < world.object_count && (const void *)start_of(&world.objects[i]) < pointer) {
        i++;
    }
    return i;
}

/* The state of the object that starts at an address; 0: none was issued there. */
static unsigned state_at(const void *pointer)
{
    const struct object *object = &world.objects[index_of(pointer)];

    return start_of(object) == pointer ? object->state : 0;
}

static size_t live_count(void)
{
    size_t count = 0;

    for (const struct object *object = world.objects; object->state != 0; object++) {
        count += object->state == OBJECT_IS_LIVE;
    }
    return count;
}

static size_t resting_count(void)
{
    return (size_t)(world.resting[0] != 0) + (world.resting[1] != 0);
}

static struct cork_mempool_stats stats_now(void)
{
    struct cork_mempool_stats stats;

    cork_mempool_stats(mp, &stats);
    return stats;
}

/* Overwrites what the pool will not read before it writes it, so that states do not differ by it.
 */
static void forget_garbage(void)
{
    struct cork_mempool_lent *lent = &mp->lent;
    char *stack = (char *)&lent->stack[lent->stack_count];

    memset(stack, 0xee, (size_t)((char *)&mp->first_region - stack));
    if (world.life == LIFE_IS_DONE) {
        memset(&mp->cursor, 0xee, (size_t)((char *)lent - (char *)&mp->cursor));
        mp->newest = NULL;
    }
    if (mp->newest == NULL || mp->oldest != &mp->first_region) {
        memset(&mp->first_region, 0xee, sizeof(mp->first_region) + sizeof(mp->first_group));
    }
}

/* Pages for tables that were committed before those for slots were refused are not counted. */
static bool is_counted(size_t counted, size_t size)
{
    return counted == size || (world.has_uncounted && counted < size);
}

static void agree(void)
{
    const struct cork_mempool_stats stats = stats_now();
    const size_t freed_count = world.object_count - live_count();

    expect(cork_mempool_check(mp), "check is true");
    expect(stats.live_count == live_count(), "stats count live objects");
    expect(stats.free_count + resting_count() >= freed_count, "stats count freed objects");
    expect(is_counted(stats.memory_size, memory_size(false)), "stats count memory");
    expect(stats.reserved_size == memory_size(true), "stats count reserved memory");
    for (const struct object *object = world.objects; object->state != 0; object++) {
        expect(object->state != OBJECT_IS_LIVE || is_filled(object, byte_of(object)),
               "live objects are untouched");
    }
}

/* An object was in quarantine, perhaps. */
static void end_rest(size_t offset, size_t free_count)
{
    expect(offset != world.resting[1], "the oldest leaves quarantine first");
    if (offset == world.resting[0]) {
        expect(free_count == 0 || (profile->max_objects != 0 && free_count <= resting_count()),
               "an object leaves quarantine only if nothing else is free");
        world.resting[0] = world.resting[1];
        world.resting[1] = 0;
    }
}

static void issue(size_t offset, size_t size)
{
    const size_t i = index_of((unsigned char *)world.pages + offset);
    struct object *object = &world.objects[i];

    expect(offset % 16 == 0 && is_usable(offset) && is_usable(offset + size - 1), "it is a slot");
    if (i == world.object_count || object->offset != offset) {
        expect(world.object_count + 1 < OBJECT_MAX, "a world has room for all its objects");
        memmove(object + 1, object, (world.object_count++ - i) * sizeof(*object));
        *object = (struct object){(uint32_t)offset, 0};
    }
    expect(i == 0 || object[-1].offset + size <= offset, "objects do not overlap");
    expect(object[1].state == 0 || offset + size <= object[1].offset, "objects do not overlap");
    expect(object->state != OBJECT_IS_LIVE, "an object that is live is not issued");
    expect(object->state != OBJECT_IS_INTACT ||
               is_filled(object, has(CORK_MEMPOOL_WIPE) ? 0 : byte_of(object)),
           "objects keep their contents from free to new, or are wiped");
    object->state = OBJECT_IS_LIVE;
    memset(start_of(object), byte_of(object), size);
}

static void perform_new(unsigned arg)
{
    const size_t free_count = stats_now().free_count;
    const size_t most = profile->max_objects;

    while (has(CORK_MEMPOOL_SHUFFLE) && (random_mix(mp->random) & 63) != arg >> REFUSED_BITS) {
        mp->random++;
    }
    requests = (struct requests){.refused_bits = arg % (1 << REFUSED_BITS)};
    errno = 0;
    unsigned char *object = cork_mempool_new(mp);
    mp->random = 0;
    expect(errno == (object == NULL ? ENOMEM : 0), "errno says whether memory could be had");
    expect(object == NULL || (free_count != 0) == (requests.asked == 0),
           "what is free is issued before memory is asked for, and counted");
    if (object == NULL) {
        expect(requests.refused > 0 || live_count() == most, "new fails only for want of memory");
        expect(free_count + resting_count() == 0, "new does not fail if an object is free");
        expect(stats_now().free_count == 0, "new that fails changes nothing");
        return;
    }
    end_rest((size_t)(object - (unsigned char *)world.pages), free_count);
    issue((size_t)(object - (unsigned char *)world.pages), profile->element_size);
    expect(most == 0 || live_count() <= most, "no more are live than the limit");
    expect(free_count == 0 || stats_now().free_count == free_count - 1, "stats count what is free");
}

/* Frees an object; or only notes that it is freed, where another call does that. */
static void free_visited(void *is_noted, void *pointer)
{
    struct object *object = &world.objects[index_of(pointer)];

    expect(state_at(pointer) == OBJECT_IS_LIVE, "live objects are visited, each once");
    if (is_noted == NULL) {
        cork_mempool_free(mp, pointer);
    }
    object->state = OBJECT_IS_INTACT;
    if (has(CORK_MEMPOOL_QUARANTINE)) {
        if (resting_count() == 2) {
            end_rest(world.resting[0], 0);
        }
        world.resting[resting_count()] = object->offset;
    }
}

static void visit_all(void *is_noted)
{
    cork_mempool_foreach(mp, free_visited, is_noted);
    expect(live_count() == 0, "foreach visits all live objects");
}

/* Whether trim has taken anything of a slot, or of the canary before it. */
static bool is_purged(size_t offset)
{
    const size_t first = (offset - (has(CORK_MEMPOOL_CANARY) ? 8 : 0)) / PAGE_SIZE;
    const size_t last = (offset + mp->geometry.stride - 1) / PAGE_SIZE;

    return (requests.purged >> first & UINT64_MAX >> (63 - (last - first))) != 0;
}

/* Quarantine has ended, and objects whose memory has been given back are no more. */
static void end_memory(void)
{
    const struct object *object = world.objects;

    world.object_count = 0;
    for (; object->state != 0; object++) {
        if (is_usable(object->offset)) {
            world.objects[world.object_count++] = (struct object){
                object->offset, is_purged(object->offset) ? OBJECT_IS_FREED : object->state};
        }
    }
    memset(&world.objects[world.object_count], 0,
           (OBJECT_MAX - world.object_count) * sizeof(world.objects[0]));
    memset(world.resting, 0, sizeof(world.resting));
    world.has_uncounted &= world.usable != 0;
}

static void init(void)
{
    const struct cork_mempool_options options = {
        .element_size = profile->element_size,
        .alignment = 16, /* so that 112 bytes are a stride */
        .block_size = profile->block_size,
        .protections = profile->protections,
        .max_objects = profile->max_objects,
        .source = profile->has_source ? &memory_source : NULL,
        .seed = 7};

    expect(cork_mempool_init_with(mp, &options), "the options are met");
    mp->random = 0;
    world.life = LIFE_IS_LIVE;
}

/* What the pieces of the heap without live objects have that was never used: trim does not say that
 * it gives this back. */
static size_t heap_unused_size(void)
{
    size_t size = 0;

    for (const struct cork_mempool_region *region = mp->oldest;
         region != NULL && !profile->has_source; region = region->newer) {
        const char *end = region->base + region->reserved_count * mp->geometry.stride;
        size_t live = 0;

        for (const struct object *object = world.objects; object->state != 0; object++) {
            const char *start = (const char *)start_of(object);

            live += start >= region->base && start < end && object->state == OBJECT_IS_LIVE;
        }
        if (live == 0 && region->origin != REGION_IS_RESERVED) {
            size += (region->reserved_count - region->extended_count) * mp->geometry.stride;
        }
    }
    return size;
}

void oracle_perform(unsigned call, unsigned arg)
{
    size_t unused_size;

    search_calls++;
    requests = (struct requests){.asked = 0};
    switch (call) {
    case CALL_INIT:
        init();
        break;
    case CALL_NEW:
        perform_new(arg);
        break;
    case CALL_FREE:
        free_visited(NULL, (unsigned char *)world.pages + arg * 16);
        break;
    case CALL_FOREACH:
        visit_all(NULL);
        break;
    case CALL_CLEAR:
        visit_all(&world);
        cork_mempool_clear(mp);
        break;
    case CALL_TRIM:
        unused_size = heap_unused_size();
        expect(is_counted(cork_mempool_trim(mp) + unused_size, requests.returned),
               "trim says how much it gave back");
        end_memory();
        expect(live_count() != 0 || world.usable == 0, "trim leaves nothing that is unused");
        break;
    case CALL_DONE:
        cork_mempool_done(mp);
        expect(world.usable == 0 && memory_size(true) == 0, "done gives all memory back");
        end_memory();
        world.life = LIFE_IS_DONE;
        break;
    }
    forget_garbage();
    if (world.life == LIFE_IS_LIVE) {
        agree();
    }
    memory_verify();
}

void oracle_expand(void)
{
    if (world.life != LIFE_IS_LIVE) {
        search_try(CALL_INIT, 0);
        return;
    }
    for (unsigned choice = 0; choice < (has(CORK_MEMPOOL_SHUFFLE) ? exhaust_group_slots : 1);
         choice++) {
        search_try(CALL_NEW, choice << REFUSED_BITS);
    }
    for (unsigned bits = 1; requests.possible != 0 && bits < 1 << REFUSED_BITS; bits++) {
        search_try(CALL_NEW, bits);
    }
    for (size_t i = 0; i < world.object_count; i++) {
        if (world.objects[i].state == OBJECT_IS_LIVE) {
            search_try(CALL_FREE, world.objects[i].offset / 16);
        }
    }
    search_try(CALL_FOREACH, 0);
    search_try(CALL_CLEAR, 0);
    search_try(CALL_TRIM, 0);
    if (live_count() == 0) {
        search_try(CALL_DONE, 0);
    }
}

static void on_violation(const struct cork_mempool_violation *refused)
{
    probe.violation = *refused;
    expect(probe.is_running, "no violation");
    for (size_t i = 0; i < refused->listed_count; i++) {
        listed[i] = refused->listed[i];
    }
    longjmp(escape, 1);
}

static void make_call(struct cork_mempool *pool, unsigned call, void *pointer)
{
    struct cork_mempool_stats stats;

#define MAKE(name, text, call_)                                                                    \
    case CALL_##name:                                                                              \
        call_;                                                                                     \
        break;
    switch (call) {
        CALLS(MAKE)
    }
}

static void call_visiting(void *user_data, void *object)
{
    (void)user_data;
    (void)object;
    make_call(mp, probe.call, probe.pointer);
}

/* Makes a call, by itself or from a visitor. Returns: the violation that it ended in, or 0. */
static unsigned attempt(struct cork_mempool *pool, bool is_visiting, unsigned call,
                        const void *pointer, unsigned kind)
{
    static struct cork_mempool none;

    search_calls++;
    /* The library takes a refusal for one by a handler that is still running, if it comes from
     * further down the stack than those before. This one does not, and shows that none runs. */
    probe.is_running = true;
    if (setjmp(escape) == 0) {
        cork_mempool_free(&none, NULL);
    }
    probe = (struct probe){.is_running = true,
                           .is_visiting = is_visiting,
                           .call = call,
                           .pointer = (void *)(uintptr_t)pointer,
                           .expected_kind = kind};
    requests = (struct requests){.asked = 0};
    if (setjmp(escape) == 0) {
        is_visiting ? cork_mempool_foreach(pool, call_visiting, NULL)
                    : make_call(pool, call, probe.pointer);
    }
    probe.is_running = false;
    probe.is_done = true;
    return (unsigned)probe.violation.kind;
}

static void refuse(unsigned call, const void *pointer, unsigned kind)
{
    expect(attempt(mp, false, call, pointer, kind) == kind, "the call is refused for what it is");
    expect(probe.violation.pool == (kind == 0 ? NULL : mp), "a violation says which pool it is of");
    expect(memcmp(&world, &search_state, sizeof(world)) == 0, "what is refused changes nothing");
}

static void refuse_free(const void *pointer, unsigned kind, size_t slot)
{
    refuse(CALL_FREE, pointer, kind);
    expect(probe.violation.pointer == pointer && probe.violation.slot == slot, "it says of what");
    expect(!cork_mempool_owns(mp, pointer), "a pool owns nothing but live objects");
}

static void refuse_foreign(const void *pointer)
{
    refuse_free(pointer, CORK_MEMPOOL_FOREIGN_POINTER, CORK_MEMPOOL_NO_SLOT);
}

/* Makes a call that is refused in the midst, of itself or of foreach: they may have changed in
 * which order slots are issued, which makes no difference to anybody. */
static void refuse_within(bool is_visiting, unsigned call, const void *pointer, unsigned kind,
                          unsigned char *damaged)
{
    const struct cork_mempool_stats before = stats_now();

    *damaged ^= 0x41;
    const unsigned seen = attempt(mp, is_visiting, call, pointer, kind);
    *damaged ^= 0x41;
    const struct cork_mempool_stats after = stats_now();
    expect(cork_mempool_check(mp), "check is true after a refusal");
    /* new may have had a slot to issue that is not damaged. */
    if (seen != 0 || call != CALL_NEW) {
        expect(seen == kind, "the call is refused for what it is");
        expect(memcmp(&before, &after, sizeof(after)) == 0, "what is refused changes nothing");
    }
    memcpy(&world, &search_state, sizeof(world));
}

/* Every slot of a region, whatever it is, and what lies in it. */
static void probe_region(const struct cork_mempool_region *region, size_t number)
{
    const size_t stride = mp->geometry.stride;
    const char *start = region->base;

    for (size_t i = number; i < number + region->reserved_count; i++, start += stride) {
        const unsigned state = state_at(start);

        refuse_free(start + 1, CORK_MEMPOOL_INTERIOR_POINTER, i);
        refuse_free(start + 16, CORK_MEMPOOL_INTERIOR_POINTER, i);
        refuse_free(start + stride - 1, CORK_MEMPOOL_INTERIOR_POINTER, i);
        if (state == OBJECT_IS_LIVE) {
            expect(cork_mempool_owns(mp, start), "a pool owns its live objects");
        } else if (state == 0) {
            refuse_free(start, CORK_MEMPOOL_NEVER_ISSUED, i);
        } else {
            refuse_free(start, CORK_MEMPOOL_DOUBLE_FREE, i);
        }
    }
    refuse_foreign(region->base - 1);
    refuse_foreign(region->base - stride);
    refuse_foreign(start);
}

static void probe_leak(void)
{
    const size_t count = live_count();

    visit_all(&world);
    memcpy(&world, &search_state, sizeof(world));
    if (count == 0) {
        return;
    }
    refuse(CALL_DONE, NULL, CORK_MEMPOOL_LEAK);
    expect(probe.violation.live_count == count && probe.violation.listed_count == count,
           "a leak report counts and lists live objects");
    for (size_t i = 0; i < count; i++) {
        expect(state_at(listed[i].pointer) == OBJECT_IS_LIVE, "a leak report lists live objects");
        expect(i == 0 || listed[i].slot > listed[i - 1].slot, "a leak report lists by slots");
    }
}

/* A pool that was moved, of which the fast path of free sees nothing; and one in foreach. */
static void probe_calls(void)
{
    static struct cork_mempool moved;
    const unsigned kind = CORK_MEMPOOL_NOT_A_POOL;
    unsigned char unchanged;

    for (unsigned call = CALL_NEW; call < CALL_INIT; call++) {
        moved = *mp;
        if (mp->newest != NULL) {
            expect(attempt(&moved, false, call, &moved, kind) == kind, "a moved pool is refused");
        }
        if (live_count() > 0 && call > CALL_FREE) {
            refuse_within(true, call, NULL, CORK_MEMPOOL_BUSY, &unchanged);
        }
    }
}

/* A byte that was changed is found by all that looks at the whole pool, and at the object; where
 * trim has taken its page, and zeros are known to be left, by the new that issues it. */
static void probe_damage(const struct object *object)
{
    const bool is_live = object->state == OBJECT_IS_LIVE;
    const bool is_purged = object->state == OBJECT_IS_FREED;
    const unsigned kind = is_live ? CORK_MEMPOOL_CANARY_DAMAGED : CORK_MEMPOOL_WRITE_AFTER_FREE;
    unsigned char *start = start_of(object);
    unsigned char *end = start + profile->element_size;

    if (!has(is_live     ? CORK_MEMPOOL_CANARY
             : is_purged ? CORK_MEMPOOL_WIPE
                         : CORK_MEMPOOL_WIPE | CORK_MEMPOOL_SEAL)) {
        return;
    }
    for (unsigned call = CALL_NEW; call <= (is_purged ? CALL_NEW : CALL_CHECK); call++) {
        if (call != (is_live ? CALL_NEW : CALL_FREE) && (call != CALL_DONE || live_count() == 0)) {
            refuse_within(false, call, start, kind, start - is_live);
            refuse_within(false, call, start, kind, end - !is_live);
        }
    }
}

void oracle_probe(void)
{
    const unsigned dead_kind =
        world.life == LIFE_IS_DONE ? CORK_MEMPOOL_USE_AFTER_DONE : CORK_MEMPOOL_USE_BEFORE_INIT;
    size_t number = 0;

    if (world.life != LIFE_IS_LIVE) {
        for (unsigned call = CALL_NEW; call < CALL_INIT; call++) {
            refuse(call, &world, dead_kind);
        }
        return;
    }
    for (struct cork_mempool_region *region = mp->oldest; region != NULL; region = region->newer) {
        probe_region(region, number);
        number += region->reserved_count;
    }
    refuse(CALL_FREE, NULL, 0);
    refuse_foreign(&world);
    refuse_foreign(&probe);
    probe_leak();
    probe_calls();
    for (size_t i = 0; i < world.object_count; i++) {
        probe_damage(&world.objects[i]);
    }
}

void oracle_begin(void)
{
    cork_mempool_on_violation(on_violation);
    memory_lay_out();
}
