/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef CORK_MEMPOOL_DAMAGE_H
#define CORK_MEMPOOL_DAMAGE_H

/*
 * Damage: what shows that bytes were written that nobody may write, and its refusal.
 *
 * Canaries: behind each object are its own canary, then perhaps bytes without a meaning, then one
 * that it shares with its neighbour. Each is the pool's key.
 *
 *     | before | object 0 | own |   | shared | object 1 | own |   | shared | ...
 *
 * Contents: what has been freed is all zero, or has a keyed checksum.
 *
 * under_valgrind is what the pool's field says, where the compiler may know it.
 */

#include <string.h>

#include "internal.h"
#include "libcork/core/mempool.h"
#include "slots.h"
#include "tools.h"

#define CANARY_SIZE         8
#define CANARY_REDZONE_SIZE (2 * CANARY_SIZE)

/* damage_refuse_canaries and damage_refuse_contents refuse the current call, and show what is
 * wrong with a slot whose damage has been seen. */
_Noreturn void damage_refuse_canaries(const struct cork_mempool *mp, struct slot slot)
    INTERNAL(damage_refuse_canaries);
_Noreturn void damage_refuse_contents(const struct cork_mempool *mp, struct slot slot)
    INTERNAL(damage_refuse_contents);

/* damage_set_canaries writes the canaries around a fresh slot's object, but for those that it
 * shares with a neighbour that has canaries, which may be damaged. */
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

static inline uint64_t damage_canary_at(const char *address, bool under_valgrind)
{
    tools_unpoison(address, CANARY_SIZE, under_valgrind);
    const uint64_t canary = damage_word_at(address);
    tools_poison(address, CANARY_SIZE, under_valgrind);
    return canary;
}

/* damage_verify_canaries refuses the current call where a canary around an object has changed. */
static inline void damage_verify_canaries(const struct cork_mempool *mp, struct slot slot,
                                          const char *object, bool under_valgrind)
{
    const char *end = object + mp->geometry.stride;
    const uint64_t own = damage_canary_at(object + mp->geometry.element_size, under_valgrind);
    const uint64_t shared = damage_canary_at(end - CANARY_SIZE, under_valgrind);
    const uint64_t before = damage_canary_at(object - CANARY_SIZE, under_valgrind);

    if (UNLIKELY(((own ^ mp->key) | (shared ^ mp->key) | (before ^ mp->key)) != 0)) {
        damage_refuse_canaries(mp, slot);
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

/* damage_verify_contents refuses the current call where a slot, which is free or in quarantine and
 * not fresh, does not hold what it held after its free. */
static inline void damage_verify_contents(const struct cork_mempool *mp, struct slot slot,
                                          bool is_wiped, bool under_valgrind)
{
    const size_t size = mp->geometry.element_size;
    const char *contents = (const char *)slot_start(mp, slot);

    tools_unpoison(contents, size, under_valgrind);
    const bool is_intact =
        is_wiped ? damage_is_wiped(contents, size)
                 : slot.region->checksums[slot.index] == damage_checksum_of(mp, contents, size);
    tools_poison(contents, size, under_valgrind);
    if (UNLIKELY(!is_intact)) {
        damage_refuse_contents(mp, slot);
    }
}

#endif /* CORK_MEMPOOL_DAMAGE_H */
