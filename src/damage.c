/* SPDX-License-Identifier: BSD-3-Clause */
#include "damage.h"

#include "bits.h"
#include "libcork/core/mempool_violation.h"
#include "report.h"

static void set_canary(const struct cork_mempool *mp, char *address)
{
    tools_unpoison(address, CANARY_SIZE, mp->protections);
    memcpy(address, &mp->key, CANARY_SIZE);
    tools_poison(address, CANARY_SIZE, mp->protections);
}

/* Whether a slot is made. The index before 0 wraps around: it is none. */
static bool is_made(struct cork_mempool_region *region, size_t index)
{
    return index < region->extended_count &&
           (slots_made(region, index / GROUP_SLOTS) & slot_bit((struct slot){region, index})) != 0;
}

void damage_set_canaries(const struct cork_mempool *mp, struct slot slot)
{
    char *object = slot_start(mp, slot);

    if (!is_made(slot.region, slot.index - 1)) {
        set_canary(mp, object - CANARY_SIZE);
    }
    set_canary(mp, object + mp->geometry.element_size);
    if (!is_made(slot.region, slot.index + 1)) {
        set_canary(mp, object + mp->geometry.stride - CANARY_SIZE);
    }
}

void damage_refuse(const struct cork_mempool *mp, struct slot slot, const char *canary)
{
    static const char zeros[REPORT_SHOWN_MAX];
    const bool is_wiped = canary == NULL && (mp->protections & CORK_MEMPOOL_WIPE) != 0;
    const char *bytes = canary != NULL ? canary : slot_start(mp, slot);
    const size_t size = canary != NULL ? CANARY_SIZE : mp->geometry.element_size;
    struct cork_mempool_violation violation = report_violation(
        mp, canary != NULL ? CORK_MEMPOOL_CANARY_DAMAGED : CORK_MEMPOOL_WRITE_AFTER_FREE, slot);
    char found[REPORT_SHOWN_MAX];
    size_t first = 0;

    violation.pointer = slot_start(mp, slot);
    violation.expected = canary != NULL ? (const void *)&mp->key : is_wiped ? zeros : NULL;
    while (is_wiped && bytes[first] == 0) {
        first++;
    }
    violation.damaged = bytes + first;
    violation.damaged_size = bits_smaller(size - first, sizeof(found));
    violation.found = memcpy(found, violation.damaged, violation.damaged_size);
    /* The object's owner may have left bytes uninitialized. */
    TOOLS_MSAN(__msan_unpoison(found, sizeof(found)));
    tools_poison(bytes, size, mp->protections);
    report_refuse(violation);
}

/* Returns the halves of a product, XORed: wyhash's way to mix two words in one step (Wang Yi and
 * others, "Modern Non-Cryptographic Hash Function and Pseudorandom Generator", 2021). */
static inline uint64_t fold(uint64_t left, uint64_t right)
{
#if defined(__SIZEOF_INT128__)
    __extension__ const unsigned __int128 product = (unsigned __int128)left * right;

    return (uint64_t)product ^ (uint64_t)(product >> 64);
#else
    /* Two products of swapped words replace the upper half (aHash's way). */
    return left * __builtin_bswap64(right) ^ __builtin_bswap64(__builtin_bswap64(left) * right);
#endif
}

/*
 * Two lanes of 16 bytes, because each step of a lane waits for the one before. The last 16 may
 * overlap those before. Lanes start at secrets of their own, because products do not tell which
 * word came first. Only who knows the key can make two contents agree: a word that equals its
 * lane's key makes a product of 0, whatever came before.
 */
MAY_READ_UNINITIALIZED uint64_t damage_checksum_of(const struct cork_mempool *mp,
                                                   const char *contents, size_t size)
{
    const uint64_t key = mp->sum_key;
    const uint64_t other_key = bits_next(key);
    const char *end = contents + size;
    uint64_t even = key * UINT64_C(0xbf58476d1ce4e5b9) ^ (uintptr_t)contents;
    uint64_t odd = other_key * UINT64_C(0xbf58476d1ce4e5b9);
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
