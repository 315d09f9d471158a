/* SPDX-License-Identifier: BSD-3-Clause */
#include "damage.h"

#include "geometry.h"
#include "libcork/core/mempool_options.h"
#include "libcork/core/mempool_violation.h"
#include "report.h"

static void set_canary(const struct cork_mempool *mp, char *address)
{
    tools_unpoison(address, CANARY_SIZE, mp->under_valgrind);
    memcpy(address, &mp->key, CANARY_SIZE);
    tools_poison(address, CANARY_SIZE, mp->under_valgrind);
}

static bool is_made(struct cork_mempool_region *region, size_t index)
{
    return index < region->extended_count &&
           (slots_made(region, index / GROUP_SLOTS) & slot_bit((struct slot){region, index})) != 0;
}

void damage_set_canaries(const struct cork_mempool *mp, struct slot slot)
{
    char *object = slot_start(mp, slot);

    if (slot.index == 0 || !is_made(slot.region, slot.index - 1)) {
        set_canary(mp, object - CANARY_SIZE);
    }
    set_canary(mp, object + mp->geometry.element_size);
    if (!is_made(slot.region, slot.index + 1)) {
        set_canary(mp, object + mp->geometry.stride - CANARY_SIZE);
    }
}

/* Refuses the current call because bytes at an address are not what they should be. */
static _Noreturn void refuse(const struct cork_mempool *mp, enum cork_mempool_violation_kind kind,
                             struct slot slot, const void *damaged, size_t size, const void *found,
                             const void *expected)
{
    struct cork_mempool_violation violation = report_violation(mp, kind, slot);

    violation.pointer = slot_start(mp, slot);
    violation.damaged = damaged;
    violation.damaged_size = size;
    violation.found = found;
    violation.expected = expected;
    report_refuse(violation);
}

void damage_refuse_canaries(const struct cork_mempool *mp, struct slot slot)
{
    const char *object = slot_start(mp, slot);
    const char *canary = object + mp->geometry.element_size;

    if (damage_canary_at(canary, mp->under_valgrind) == mp->key) {
        canary = object + mp->geometry.stride - CANARY_SIZE;
    }
    if (damage_canary_at(canary, mp->under_valgrind) == mp->key) {
        canary = object - CANARY_SIZE;
    }

    const uint64_t found = damage_canary_at(canary, mp->under_valgrind);
    refuse(mp, CORK_MEMPOOL_CANARY_DAMAGED, slot, canary, CANARY_SIZE, &found, &mp->key);
}

/* Shows the first bytes; where they should be zero, from the first one on that is not. */
void damage_refuse_contents(const struct cork_mempool *mp, struct slot slot)
{
    static const char zeros[REPORT_SHOWN_MAX];
    const bool is_wiped = (mp->protections & CORK_MEMPOOL_WIPE) != 0;
    const size_t size = mp->geometry.element_size;
    const char *contents = slot_start(mp, slot);
    char found[REPORT_SHOWN_MAX];
    size_t first = 0;

    tools_unpoison(contents, size, mp->under_valgrind);
    while (is_wiped && contents[first] == 0) {
        first++;
    }

    const size_t count = size - first < sizeof(found) ? size - first : sizeof(found);
    memcpy(found, contents + first, count);
    tools_poison(contents, size, mp->under_valgrind);
    refuse(mp, CORK_MEMPOOL_WRITE_AFTER_FREE, slot, contents + first, count, found,
           is_wiped ? zeros : NULL);
}

/* The two halves of a product, one upon the other: wyhash's way to mix two words in one step (Wang
 * Yi and others, "Modern Non-Cryptographic Hash Function and Pseudorandom Generator", 2021). */
static inline uint64_t fold(uint64_t left, uint64_t right)
{
#if defined(__SIZEOF_INT128__)
    __extension__ typedef unsigned __int128 uint128;
    const uint128 product = (uint128)left * right;

    return (uint64_t)product ^ (uint64_t)(product >> 64);
#else
    const uint64_t left_high = left >> 32, left_low = (uint32_t)left;
    const uint64_t right_high = right >> 32, right_low = (uint32_t)right;
    const uint64_t middle = left_high * right_low + (left_low * right_low >> 32);
    const uint64_t carry = (uint32_t)middle + left_low * right_high;

    return left * right ^ (left_high * right_high + (middle >> 32) + (carry >> 32));
#endif
}

/*
 * Two lanes of 16 bytes, because a step must wait for the one before it. The last 16 may overlap
 * those before, which does no harm. Only who knows the key can tell which two contents agree;
 * a word that is the key of its lane makes a product of 0, whatever came before.
 */
MAY_READ_UNINITIALIZED uint64_t damage_checksum_of(const struct cork_mempool *mp,
                                                   const char *contents, size_t size)
{
    const uint64_t key = bits_next(mp->key); /* the key itself stands in old canaries */
    const uint64_t other_key = bits_next(key);
    const char *end = contents + size;
    uint64_t even = key ^ (uintptr_t)contents;
    uint64_t odd = other_key;
    uint64_t last[2] = {0};

    for (; end - contents > 32; contents += 32) {
        even = fold(damage_word_at(contents) ^ key, damage_word_at(contents + 8) ^ even);
        odd = fold(damage_word_at(contents + 16) ^ other_key, damage_word_at(contents + 24) ^ odd);
    }
    if (end - contents > 16) {
        even = fold(damage_word_at(contents) ^ key, damage_word_at(contents + 8) ^ even);
    }
    if (size >= 16) {
        last[0] = damage_word_at(end - 16);
        last[1] = damage_word_at(end - 8);
    } else {
        memcpy(last, contents, size);
    }
    odd = fold(last[0] ^ other_key, last[1] ^ odd);

    return fold(even ^ other_key, odd ^ key);
}
