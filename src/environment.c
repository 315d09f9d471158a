/* SPDX-License-Identifier: BSD-3-Clause */
#define _GNU_SOURCE 1 /* secure_getenv */

#include "environment.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "libcork/core/mempool_options.h"
#include "violation.h"

#define IS_READ 0x80000000u

static const struct {
    const char *word;
    uint32_t protections;
} words[] = {
    {"canary", CORK_MEMPOOL_CANARY},
    {"seal", CORK_MEMPOOL_SEAL},
    {"wipe", CORK_MEMPOOL_WIPE},
    {"shuffle", CORK_MEMPOOL_SHUFFLE},
    {"quarantine", CORK_MEMPOOL_QUARANTINE},
    {"guard", CORK_MEMPOOL_GUARD},
    {"callsites", CORK_MEMPOOL_CALLSITES},
    {"passthrough", CORK_MEMPOOL_PASSTHROUGH},
    {"paranoid", CORK_MEMPOOL_PARANOID},
};

/* Whether "name=value", of length characters, is about a word. */
static bool is_named(const char *assignment, size_t length, const char *word)
{
    const size_t word_length = strlen(word);

    return length > word_length + 1 && assignment[word_length] == '=' &&
           memcmp(assignment, word, word_length) == 0;
}

static bool apply(struct environment *environment, const char *assignment, size_t length)
{
    const char *end = assignment + length;
    char *rest;

    if (is_named(assignment, length, "seed")) {
        environment->seed = strtoull(assignment + strlen("seed="), &rest, 0);
        return rest == end;
    }
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (!is_named(assignment, length, words[i].word) || end[-2] != '=') {
            continue;
        }
        if (end[-1] == '1') {
            environment->protections |= words[i].protections;
            return true;
        }
        if (end[-1] == '0') {
            environment->protections &= ~words[i].protections;
            return true;
        }
    }
    return false;
}

static struct environment parse(const char *text)
{
    struct environment environment = {0, 0};

    while (*text != '\0') {
        const size_t length = strcspn(text, ":");

        if (length > 0 && !apply(&environment, text, length)) {
            violation_warn("CORK_MEMPOOL_OPTIONS: left out", text, length);
        }
        text += length;
        text += *text == ':';
    }
    return environment;
}

struct environment environment_options(void)
{
    /* Threads that come here at the same time, before any has finished, all find the same. */
    static _Atomic(uint32_t) known_protections;
    static _Atomic(uintptr_t) known_seed;
    struct environment environment = {.protections = atomic_load(&known_protections)};

    environment.seed = atomic_load(&known_seed);
    if ((environment.protections & IS_READ) == 0) {
        const char *text = secure_getenv("CORK_MEMPOOL_OPTIONS");

        environment = parse(text != NULL ? text : "");
        atomic_store(&known_seed, (uintptr_t)environment.seed);
        atomic_store(&known_protections, environment.protections | IS_READ);
    }
    environment.protections &= ~IS_READ;
    return environment;
}
