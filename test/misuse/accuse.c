/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdlib.h>
#include <string.h>

#include "scene.h"

static struct accusation *add(struct scene *s, enum cork_mempool_violation_kind kind,
                              const void *pointer)
{
    if (s->evidence->accusation_count == ACCUSATION_MAX) {
        abort();
    }

    struct accusation *accusation = &s->evidence->accusations[s->evidence->accusation_count++];
    *accusation = (struct accusation){
        .kind = kind,
        .pool = &s->mp,
        .name = SCENE_NAME,
        .element_size = s->size,
        .is_seeded = s->protections != 0,
        .pointer = pointer,
        .slot = CORK_MEMPOOL_NO_SLOT,
    };
    if (!s->is_dead) {
        cork_mempool_stats(&s->mp, &s->before);
    }
    return accusation;
}

static void locate(const struct scene *s, struct accusation *accusation)
{
    const size_t offset = (size_t)((const char *)accusation->pointer - object(s, 0));

    accusation->slot = s->elder_count + offset / s->slot_size;
    for (size_t i = 0; i < MEMBER_COUNT; i++) {
        if (s->members[i].slot == accusation->slot) {
            accusation->was_issued = true;
            accusation->was_freed = !s->members[i].is_live;
        }
    }
}

void accuse(struct scene *s, enum cork_mempool_violation_kind kind, const void *pointer)
{
    struct accusation *accusation = add(s, kind, pointer);

    if (kind != CORK_MEMPOOL_FOREIGN_POINTER) {
        locate(s, accusation);
    }
}

void accuse_dead(struct scene *s, enum cork_mempool_violation_kind kind,
                 const struct cork_mempool *pool, const char *name, const void *pointer)
{
    s->is_dead = true;

    struct accusation *accusation = add(s, kind, pointer);
    accusation->pool = pool;
    accusation->moved_from = s->is_moved ? &s->mp : NULL;
    accusation->name = name;
    accusation->element_size = 0;
    accusation->is_seeded = false;
}

/* Of a call that has no pointer, and of a pool that is live. */
void accuse_call(struct scene *s, enum cork_mempool_violation_kind kind,
                 const struct cork_mempool *pool, unsigned protections)
{
    struct accusation *accusation = add(s, kind, NULL);

    accusation->pool = pool;
    accusation->is_seeded = protections != 0;
}

void accuse_other(struct scene *s, enum cork_mempool_violation_kind kind, const void *pointer,
                  size_t slot, bool was_freed)
{
    struct accusation *accusation = add(s, kind, pointer);

    accusation->pool = &s->other;
    accusation->slot = slot;
    accusation->was_issued = true;
    accusation->was_freed = was_freed;
}

/* Adds a live object to the list, which is in the order of slots and holds the first of them. */
static void list(struct accusation *accusation, const struct actor *actor)
{
    size_t i = accusation->listed_count;

    if (!actor->is_live) {
        return;
    }
    accusation->live_count++;
    if (i == LISTED_MAX && accusation->listed[i - 1].slot < actor->slot) {
        return;
    }
    i = i == LISTED_MAX ? i - 1 : accusation->listed_count++;
    for (; i > 0 && accusation->listed[i - 1].slot > actor->slot; i--) {
        accusation->listed[i] = accusation->listed[i - 1];
    }
    accusation->listed[i] = (struct cork_mempool_object){actor->object, actor->slot, NULL};
}

void accuse_leak(struct scene *s)
{
    struct accusation *accusation = add(s, CORK_MEMPOOL_LEAK, NULL);

    for (size_t i = 0; i < s->elder_count; i++) {
        list(accusation, &s->elders[i]);
    }
    for (size_t i = 0; i < MEMBER_COUNT; i++) {
        list(accusation, &s->members[i]);
    }
}

void accuse_canary(struct scene *s, size_t member, const char *canary)
{
    if (!scene_has(s, CORK_MEMPOOL_CANARY)) {
        return;
    }

    struct accusation *accusation = add(s, CORK_MEMPOOL_CANARY_DAMAGED, object(s, member));
    locate(s, accusation);
    accusation->damaged = canary;
    accusation->damaged_size = sizeof(s->canary);
    accusation->is_expected_known = true;
    memcpy(accusation->found, canary, sizeof(s->canary));
    memcpy(accusation->expected, s->canary, sizeof(s->canary));
}

/* Of a checksum it is only known that it differs, not where. */
void accuse_written(struct scene *s, size_t member)
{
    const bool is_wiped = scene_has(s, CORK_MEMPOOL_WIPE);
    const char *contents = object(s, member);
    size_t first = 0;

    if (!scene_has(s, CORK_MEMPOOL_WIPE | CORK_MEMPOOL_SEAL)) {
        return;
    }
    while (is_wiped && first < s->size && contents[first] == 0) {
        first++;
    }
    struct accusation *accusation = add(s, CORK_MEMPOOL_WRITE_AFTER_FREE, contents);
    locate(s, accusation);
    accusation->damaged = contents + first;
    accusation->damaged_size = s->size - first < 16 ? s->size - first : 16;
    accusation->is_expected_known = is_wiped;
    memcpy(accusation->found, contents + first, accusation->damaged_size);
}
