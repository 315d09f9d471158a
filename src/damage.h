/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

/*
 * Damage: finds and refuses stray writes to redzones and freed objects. A freed object is all
 * zeros, or has a keyed checksum. Canaries, each the pool's key, stand behind an object and, shared
 * with its neighbour, before the next:
 *
 *     | shared | object 0 | own |   | shared | object 1 | own |   | shared | ...
 *
 * set is always the pool's field protections, which the compiler may know.
 */

#include <string.h>

#include "internal.h"
#include "libcork/core/mempool_options.h"
#include "slots.h"
#include "tools.h"

#define CANARY_SIZE 8

/* damage_refuse refuses the current call because a canary beside a slot's object is damaged, or if
 * that is NULL, the contents. What is damaged is unpoisoned, and is poisoned again. */
_Noreturn void damage_refuse(const struct cork_mempool *mp, struct slot slot, const char *canary)
    INTERNAL(damage_refuse);

/* damage_set_canaries writes the canaries around a fresh slot's object, except those shared with a
 * made neighbour, because they may be damaged. */
void damage_set_canaries(const struct cork_mempool *mp, struct slot slot)
    INTERNAL(damage_set_canaries);

/* damage_checksum_of returns a keyed checksum of contents. */
uint64_t damage_checksum_of(const struct cork_mempool *mp, const char *contents, size_t size)
    INTERNAL(damage_checksum_of);

MAY_READ_UNINITIALIZED static inline uint64_t damage_word_at(const char *address)
{
    uint64_t word;

    memcpy(&word, address, sizeof(word));
    return word;
}

static inline void damage_verify_canary(const struct cork_mempool *mp, struct slot slot,
                                        const char *canary, uint32_t set)
{
    tools_unpoison(canary, CANARY_SIZE, set);
    if (UNLIKELY(damage_word_at(canary) != mp->key)) {
        damage_refuse(mp, slot, canary);
    }
    tools_poison(canary, CANARY_SIZE, set);
}

/* damage_verify_canaries, with CANARY, refuses the current call if one around an object changed. */
static inline void damage_verify_canaries(const struct cork_mempool *mp, struct slot slot,
                                          const char *object, uint32_t set)
{
    if ((set & CORK_MEMPOOL_CANARY) != 0) {
        damage_verify_canary(mp, slot, object + mp->geometry.element_size, set);
        damage_verify_canary(mp, slot, object + mp->geometry.stride - CANARY_SIZE, set);
        damage_verify_canary(mp, slot, object - CANARY_SIZE, set);
    }
}

/* Whether each byte is zero. The last words may overlap those before. */
static inline bool damage_is_wiped(const char *contents, size_t size)
{
    const char *end = contents + size;
    uint64_t bits = 0;

    if (size < 8) {
        memcpy(&bits, contents, size);
        return bits == 0;
    }
    if (size < 16) {
        return (damage_word_at(contents) | damage_word_at(end - 8)) == 0;
    }
    for (; end - contents > 32; contents += 32) {
        bits |= damage_word_at(contents) | damage_word_at(contents + 8) |
                damage_word_at(contents + 16) | damage_word_at(contents + 24);
    }
    if (end - contents > 16) {
        bits |= damage_word_at(contents) | damage_word_at(contents + 8);
    }
    return (bits | damage_word_at(end - 16) | damage_word_at(end - 8)) == 0;
}

/* damage_verify_contents, with WIPE or SEAL, refuses the current call if a slot in quarantine or
 * free has changed since its free; with WIPE it may have been purged. */
static inline void damage_verify_contents(const struct cork_mempool *mp, struct slot slot,
                                          uint32_t set)
{
    const size_t size = mp->geometry.element_size;
    const char *contents = (const char *)slot_start(mp, slot);
    bool is_intact = true;

    tools_unpoison(contents, size, set);
    if ((set & CORK_MEMPOOL_WIPE) != 0) {
        is_intact = damage_is_wiped(contents, size);
    } else if ((set & CORK_MEMPOOL_SEAL) != 0) {
        is_intact = slot.region->checksums[slot.index] == damage_checksum_of(mp, contents, size);
    }
    if (UNLIKELY(!is_intact)) {
        damage_refuse(mp, slot, NULL);
    }
    tools_poison(contents, size, set);
}
