/* SPDX-License-Identifier: BSD-3-Clause */
#include "protect.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/auxv.h>

#include "annotate.h"
#include "libcork/core/mempool_options.h"
#include "passthrough.h"
#include "violation.h"

/*
 * What a call does depends on the pool's protections. The usual sets of them are constants to the
 * functions that are EXPANDED, so that each set has code of its own, without a choice to make.
 */
#define EXPANDED static inline __attribute__((always_inline))

static inline bool has(unsigned protections, unsigned protection)
{
    return (protections & protection) != 0;
}

static struct cork_mempool_record *record_of(struct cork_mempool_slot slot)
{
    return &slot.region->records[slot.index];
}

static uint64_t bit_of(struct cork_mempool_slot slot)
{
    return UINT64_C(1) << slot.index % GROUP_SLOTS;
}

static inline bool is_idle(const struct cork_mempool *mp, struct cork_mempool_slot slot)
{
    return (pool_idle_bits(mp, slot.region, slot.index / GROUP_SLOTS) & bit_of(slot)) != 0;
}

/* The finalizer of SplitMix64 (Steele, Lea and Flood, "Fast Splittable Pseudorandom Number
 * Generators", OOPSLA 2014): it permutes the words and leaves no bit where it was. */
static uint64_t mix(uint64_t word)
{
    word = (word ^ word >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    word = (word ^ word >> 27) * UINT64_C(0x94d049bb133111eb);
    return word ^ word >> 31;
}

/* The generator's next state, of which mix makes the next random number. */
static uint64_t next_state(uint64_t state)
{
    return state + UINT64_C(0x9e3779b97f4a7c15);
}

/* A seed that differs from process to process, from place to place, and from time to time. */
static uint64_t make_seed(const struct cork_mempool *mp)
{
    static _Atomic(uintptr_t) made_count;
    const void *random = (const void *)getauxval(AT_RANDOM);
    uint64_t seed = mix((uintptr_t)mp) + atomic_fetch_add(&made_count, 1);

    if (random != NULL) {
        uint64_t word;
        memcpy(&word, random, sizeof(word));
        seed = mix(seed) ^ word;
    }
    return mix(seed);
}

void protect_init(struct cork_mempool *mp)
{
    if (mp->seed == 0) {
        mp->seed = make_seed(mp);
    }
    mp->random = next_state(mp->seed);
    /* A string that is one byte too long ends in a zero, which must be seen as damage. */
    mp->key = mix(mp->random) | UINT64_C(0x0101010101010101);
}

static inline uint64_t word_at(const char *address)
{
    uint64_t word;

    memcpy(&word, address, sizeof(word));
    return word;
}

static inline uint64_t read_canary(const struct cork_mempool *mp, const char *address)
{
    annotate_look(mp, address, CANARY_SIZE);
    const uint64_t canary = word_at(address);
    annotate_look_away(mp, address, CANARY_SIZE);
    return canary;
}

static void write_canary(const struct cork_mempool *mp, char *address)
{
    annotate_look(mp, address, CANARY_SIZE);
    memcpy(address, &mp->key, CANARY_SIZE);
    annotate_look_away(mp, address, CANARY_SIZE);
}

/* Writes the canaries behind a new slot's object, and the one before it where it is no other's. */
static void write_canaries(const struct cork_mempool *mp, struct cork_mempool_slot slot)
{
    char *object = pool_start(mp, slot);

    if (slot.index == 0 || geometry_is_guard(&mp->geometry, slot.index - 1)) {
        write_canary(mp, object - CANARY_SIZE);
    }
    write_canary(mp, object + mp->geometry.element_size);
    write_canary(mp, object + mp->geometry.stride - CANARY_SIZE);
}

/* Refuses the current call because bytes at an address are not what they should be. */
static _Noreturn void refuse(const struct cork_mempool *mp, enum cork_mempool_violation_kind kind,
                             struct cork_mempool_slot slot, const void *damaged, size_t size,
                             const void *found, const void *expected)
{
    struct cork_mempool_violation violation = pool_violation(mp, kind, slot);

    violation.pointer = pool_object(mp, slot);
    violation.damaged = damaged;
    violation.damaged_size = size;
    violation.found = found;
    violation.expected = expected;
    violation_refuse(violation);
}

static _Noreturn NOINLINE void refuse_canaries(const struct cork_mempool *mp,
                                               struct cork_mempool_slot slot)
{
    const char *object = pool_start(mp, slot);
    const char *canary = object + mp->geometry.element_size;

    if (read_canary(mp, canary) == mp->key) {
        canary = object + mp->geometry.stride - CANARY_SIZE;
    }
    if (read_canary(mp, canary) == mp->key) {
        canary = object - CANARY_SIZE;
    }

    const uint64_t found = read_canary(mp, canary);
    refuse(mp, CORK_MEMPOOL_CANARY_DAMAGED, slot, canary, CANARY_SIZE, &found, &mp->key);
}

static inline void verify_canaries(const struct cork_mempool *mp, struct cork_mempool_slot slot)
{
    const char *object = pool_start(mp, slot);
    const uint64_t own = read_canary(mp, object + mp->geometry.element_size);
    const uint64_t shared = read_canary(mp, object + mp->geometry.stride - CANARY_SIZE);
    const uint64_t before = read_canary(mp, object - CANARY_SIZE);

    if (UNLIKELY(((own ^ mp->key) | (shared ^ mp->key) | (before ^ mp->key)) != 0)) {
        refuse_canaries(mp, slot);
    }
}

MAY_READ_UNINITIALIZED static inline uint64_t seal_step(uint64_t state, const char *word)
{
    uint64_t value;

    memcpy(&value, word, sizeof(value));
    state = (state ^ value) * UINT64_C(0x9e3779b97f4a7c15);
    return state ^ state >> 32;
}

/* A keyed checksum, never 0. Two lanes, because a step must wait for the one before it. Each step
 * permutes the states, so one changed word always changes the result. */
MAY_READ_UNINITIALIZED static uint64_t seal_of(const struct cork_mempool *mp, const char *contents,
                                               size_t size)
{
    uint64_t even = mp->key ^ (uintptr_t)contents;
    uint64_t odd = mp->key;
    uint64_t rest = 0;

    for (; size >= 16; size -= 16, contents += 16) {
        even = seal_step(even, contents);
        odd = seal_step(odd, contents + 8);
    }
    if (size >= 8) {
        even = seal_step(even, contents);
        contents += 8;
        size -= 8;
    }
    memcpy(&rest, contents, size);
    odd = seal_step(odd, (const char *)&rest);
    even = mix(even) + mix(odd);
    return even == 0 ? 1 : even;
}

/* Whether each byte is zero. The last word may overlap the one before it. */
static inline bool is_wiped(const char *contents, size_t size)
{
    const char *end = contents + size;
    uint64_t bits = 0;

    if (size < sizeof(bits)) {
        memcpy(&bits, contents, size);
        return bits == 0;
    }
    for (; end - contents >= 32; contents += 32) {
        bits |= word_at(contents) | word_at(contents + 8) | word_at(contents + 16) |
                word_at(contents + 24);
    }
    for (; end - contents > 8; contents += 8) {
        bits |= word_at(contents);
    }
    return (bits | word_at(end - 8)) == 0;
}

EXPANDED bool is_as_freed(const struct cork_mempool *mp, struct cork_mempool_slot slot,
                          unsigned protections)
{
    const size_t size = mp->geometry.element_size;
    const char *contents = pool_start(mp, slot);

    if (has(protections, CORK_MEMPOOL_WIPE)) {
        return is_wiped(contents, size);
    }
    return record_of(slot)->seal == 0 || record_of(slot)->seal == seal_of(mp, contents, size);
}

/* Shows the first bytes; where they should be zero, from the first one on that is not. */
static _Noreturn NOINLINE void refuse_written(const struct cork_mempool *mp,
                                              struct cork_mempool_slot slot)
{
    static const char zeros[VIOLATION_DUMP_MAX];
    const bool is_wiped = has(mp->protections, CORK_MEMPOOL_WIPE);
    const size_t size = mp->geometry.element_size;
    const char *contents = pool_start(mp, slot);
    char found[VIOLATION_DUMP_MAX];
    size_t first = 0;

    annotate_look(mp, contents, size);
    while (is_wiped && contents[first] == 0) {
        first++;
    }

    const size_t count = size - first < sizeof(found) ? size - first : sizeof(found);
    memcpy(found, contents + first, count);
    annotate_look_away(mp, contents, size);
    refuse(mp, CORK_MEMPOOL_WRITE_AFTER_FREE, slot, contents + first, count, found,
           is_wiped ? zeros : NULL);
}

/* slot: free or in quarantine, and issued before. */
EXPANDED void verify_contents(const struct cork_mempool *mp, struct cork_mempool_slot slot,
                              unsigned protections)
{
    const size_t size = mp->geometry.element_size;
    const char *contents = pool_start(mp, slot);

    if (!has(protections, CORK_MEMPOOL_WIPE | CORK_MEMPOOL_SEAL)) {
        return;
    }
    annotate_look(mp, contents, size);
    const bool is_sound = is_as_freed(mp, slot, protections);
    annotate_look_away(mp, contents, size);
    if (UNLIKELY(!is_sound)) {
        refuse_written(mp, slot);
    }
}

static void make_free(struct cork_mempool *mp, struct cork_mempool_slot slot)
{
    struct cork_mempool_group *group = &slot.region->groups[slot.index / GROUP_SLOTS];

    group->free |= bit_of(slot);
    pool_link(mp, group);
}

/* Makes the slot free that has been in quarantine for longest. */
static void end_rest(struct cork_mempool *mp)
{
    const struct cork_mempool_slot slot = mp->quarantine_first;

    mp->quarantine_first = record_of(slot)->next;
    mp->quarantine_count--;
    slot.region->withheld[slot.index / GROUP_SLOTS] &= ~bit_of(slot);
    make_free(mp, slot);
}

bool protect_open(struct cork_mempool *mp)
{
    while (!pool_open(mp)) {
        if (mp->quarantine_count == 0) {
            return false;
        }
        /* This will be issued next. What is wrong with it must be found while it still rests. */
        verify_contents(mp, mp->quarantine_first, mp->protections);
        end_rest(mp);
    }
    if (mp->open_is_new && has(mp->protections, CORK_MEMPOOL_CANARY)) {
        const size_t first = (size_t)(mp->open_group - mp->open_region->groups) * GROUP_SLOTS;

        for (uint64_t bits = mp->open; bits != 0; bits &= bits - 1) {
            const size_t index = first + (size_t)__builtin_ctzll(bits);
            write_canaries(mp, (struct cork_mempool_slot){mp->open_region, index});
        }
    }
    return true;
}

static bool construct(const struct cork_mempool *mp, void *object)
{
    return mp->init_object == NULL || mp->init_object(mp->user_data, object) == 0;
}

/* An object of the heap is constructed each time, because it does not outlive its free. */
static void *issue_passed(struct cork_mempool *mp, void **start)
{
    void *object = passthrough_new(mp, start);

    if (object == NULL) {
        errno = ENOMEM;
    } else if (construct(mp, object)) {
        return object;
    } else {
        const int saved_errno = errno;
        passthrough_free(mp, start);
        errno = saved_errno;
    }
    annotate_guarded_free(mp, start, sizeof(*start));
    return NULL;
}

/* One of the open group's slots that may be issued: the lowest, or any. */
EXPANDED struct cork_mempool_slot choose(struct cork_mempool *mp, unsigned protections)
{
    const size_t first = (size_t)(mp->open_group - mp->open_region->groups) * GROUP_SLOTS;
    uint64_t veiled = mp->veiled;
    unsigned skip = 0;

    if (has(protections, CORK_MEMPOOL_SHUFFLE)) {
        skip = mix(mp->random) & 63;
        veiled = veiled >> skip | veiled << (-skip & 63);
    }
    return (struct cork_mempool_slot){mp->open_region,
                                      first + (((unsigned)__builtin_ctzll(veiled) + skip) & 63)};
}

static NOINLINE bool open_veiled(struct cork_mempool *mp)
{
    const int saved_errno = errno;

    if (!protect_open(mp)) {
        errno = ENOMEM;
        return false;
    }
    errno = saved_errno;
    mp->veiled = mp->open;
    mp->open = 0;
    return true;
}

EXPANDED void *new_with(struct cork_mempool *mp, const void *site, unsigned protections)
{
    const size_t size = mp->geometry.element_size;

    if (UNLIKELY(mp->veiled == 0) && !open_veiled(mp)) {
        return NULL;
    }

    const struct cork_mempool_slot slot = choose(mp, protections);
    void *object = mp->open_base + slot.index % GROUP_SLOTS * mp->geometry.stride;
    if (!mp->open_is_new) {
        verify_contents(mp, slot, protections);
    }
    annotate_guarded_new(mp, object, size, mp->open_is_new);
    if (has(protections, CORK_MEMPOOL_PASSTHROUGH)) {
        object = issue_passed(mp, object);
    } else if (UNLIKELY(mp->open_is_new) && !construct(mp, object)) {
        annotate_guarded_free(mp, object, size);
        object = NULL;
    }
    if (UNLIKELY(object == NULL)) {
        return NULL;
    }
    if (has(protections, PROTECT_RECORDED)) {
        const bool is_noted = has(protections, CORK_MEMPOOL_CALLSITES);
        *record_of(slot) = (struct cork_mempool_record){.new_site = is_noted ? site : NULL};
    }
    if (has(protections, CORK_MEMPOOL_SHUFFLE)) {
        mp->random = next_state(mp->random);
    }
    mp->veiled &= ~bit_of(slot);
    return object;
}

void *protect_new(struct cork_mempool *mp, const void *site)
{
    switch (mp->protections) {
    case CORK_MEMPOOL_SEAL:
        return new_with(mp, site, CORK_MEMPOOL_SEAL);
    case CORK_MEMPOOL_WIPE:
        return new_with(mp, site, CORK_MEMPOOL_WIPE);
    case CORK_MEMPOOL_PARANOID:
        return new_with(mp, site, CORK_MEMPOOL_PARANOID);
    default:
        return new_with(mp, site, mp->protections);
    }
}

static void begin_rest(struct cork_mempool *mp, struct cork_mempool_slot slot)
{
    if (mp->quarantine_count == QUARANTINE_MAX) {
        end_rest(mp);
    }
    if (mp->quarantine_count == 0) {
        mp->quarantine_first = slot;
    } else {
        record_of(mp->quarantine_last)->next = slot;
    }
    mp->quarantine_last = slot;
    mp->quarantine_count++;
    slot.region->withheld[slot.index / GROUP_SLOTS] |= bit_of(slot);
}

static NOINLINE struct cork_mempool_slot find_far(struct cork_mempool *mp, const void *ptr)
{
    struct cork_mempool_slot slot;

    if (!pool_find(mp, ptr, &slot)) {
        pool_refuse_free(mp, ptr);
    }
    pool_approach(mp, slot.region);
    return slot;
}

/* The slot of a live object. */
EXPANDED struct cork_mempool_slot find(struct cork_mempool *mp, const void *ptr,
                                       unsigned protections)
{
    const uintptr_t offset = (uintptr_t)ptr - (uintptr_t)mp->base;
    const struct cork_mempool_slot slot = {mp->near_region,
                                           geometry_slot_of(&mp->geometry, offset)};

    if (LIKELY(slot.index < mp->veiled_count && !has(protections, CORK_MEMPOOL_PASSTHROUGH)) &&
        LIKELY(!is_idle(mp, slot))) {
        return slot;
    }
    return find_far(mp, ptr);
}

static void free_passed(struct cork_mempool *mp, struct cork_mempool_slot slot)
{
    if (mp->done_object != NULL) {
        mp->done_object(mp->user_data, pool_object(mp, slot));
    }
    passthrough_free(mp, pool_start(mp, slot));
}

EXPANDED void free_with(struct cork_mempool *mp, void *ptr, const void *site, unsigned protections)
{
    const size_t size = mp->geometry.element_size;
    const struct cork_mempool_slot slot = find(mp, ptr, protections);
    void *start = has(protections, CORK_MEMPOOL_PASSTHROUGH) ? pool_start(mp, slot) : ptr;

    if (has(protections, CORK_MEMPOOL_CANARY)) {
        verify_canaries(mp, slot);
    }
    if (has(protections, CORK_MEMPOOL_PASSTHROUGH)) {
        free_passed(mp, slot);
    }
    annotate_look(mp, start, size);
    if (has(protections, CORK_MEMPOOL_WIPE)) {
        memset(start, 0, size);
    }
    if (has(protections, CORK_MEMPOOL_CALLSITES)) {
        record_of(slot)->free_site = site;
    }
    if (has(protections, CORK_MEMPOOL_SEAL) && !has(protections, CORK_MEMPOOL_WIPE)) {
        record_of(slot)->seal = seal_of(mp, start, size);
    }
    annotate_guarded_free(mp, start, size);
    if (has(protections, CORK_MEMPOOL_QUARANTINE)) {
        begin_rest(mp, slot);
    } else {
        make_free(mp, slot);
    }
}

void protect_free(struct cork_mempool *mp, void *ptr, const void *site)
{
    if (UNLIKELY(ptr == NULL)) {
        return;
    }
    switch (mp->protections) {
    case CORK_MEMPOOL_CANARY:
        free_with(mp, ptr, site, CORK_MEMPOOL_CANARY);
        break;
    case CORK_MEMPOOL_SEAL:
        free_with(mp, ptr, site, CORK_MEMPOOL_SEAL);
        break;
    case CORK_MEMPOOL_WIPE:
        free_with(mp, ptr, site, CORK_MEMPOOL_WIPE);
        break;
    case CORK_MEMPOOL_PARANOID:
        free_with(mp, ptr, site, CORK_MEMPOOL_PARANOID);
        break;
    default:
        free_with(mp, ptr, site, mp->protections);
        break;
    }
}

void protect_end_quarantine(struct cork_mempool *mp)
{
    while (mp->quarantine_count > 0) {
        end_rest(mp);
    }
}

void protect_verify(const struct cork_mempool *mp)
{
    const unsigned verified = CORK_MEMPOOL_CANARY | CORK_MEMPOOL_SEAL | CORK_MEMPOOL_WIPE;
    const unsigned protections = mp->protections;
    struct cork_mempool_slot slot = {has(protections, verified) ? mp->newest : NULL, 0};

    for (; slot.region != NULL; slot.region = slot.region->older) {
        for (slot.index = 0; slot.index < slot.region->carved_count; slot.index++) {
            if (pool_is_new(mp, slot)) {
                continue;
            }
            if (has(protections, CORK_MEMPOOL_CANARY)) {
                verify_canaries(mp, slot);
            }
            if (is_idle(mp, slot)) {
                verify_contents(mp, slot, protections);
            }
        }
    }
}

void protect_destroy(const struct cork_mempool *mp, struct cork_mempool_region *region)
{
    struct cork_mempool_slot slot = {region, 0};

    if (mp->done_object == NULL || pool_is_passing(mp)) {
        return;
    }
    for (; slot.index < region->carved_count; slot.index++) {
        if (!pool_is_new(mp, slot)) {
            annotate_look(mp, pool_object(mp, slot), mp->geometry.element_size);
            mp->done_object(mp->user_data, pool_object(mp, slot));
        }
    }
}
