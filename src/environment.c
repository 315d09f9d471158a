/* SPDX-License-Identifier: BSD-3-Clause */
#include "environment.h"

#if !defined(CORK_MEMPOOL_NO_OS_MEMORY)

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "libcork/core/mempool_options.h"
#include "os.h"
#include "report.h"
#include "tools.h"

/* Beside protections. */
#define IS_READ        0x80000000u
#define UNDER_VALGRIND 0x40000000u

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
    {"paranoid", CORK_MEMPOOL_PARANOID},
};

/* The value in "name=value", of length characters, or NULL where it is about another name. */
static const char *value_of(const char *assignment, size_t length, const char *name)
{
    const size_t name_length = strlen(name);

    return length > name_length + 1 && assignment[name_length] == '=' &&
                   memcmp(assignment, name, name_length) == 0
               ? assignment + name_length + 1
               : NULL;
}

static bool apply_seed(struct environment *environment, const char *value, const char *end)
{
    const int saved_errno = errno;
    const bool is_hexadecimal = value[0] == '0' && value[1] == 'x';
    char *rest;

    errno = 0;
    const uint64_t seed = strtoull(value, &rest, is_hexadecimal ? 16 : 10);
    const bool is_seed = *value >= '0' && rest == end && errno == 0;
    errno = saved_errno;
    if (is_seed) {
        environment->seed = seed;
    }
    return is_seed;
}

static bool apply(struct environment *environment, const char *assignment, size_t length)
{
    const char *end = assignment + length;
    const char *value = value_of(assignment, length, "seed");

    if (value != NULL) {
        return apply_seed(environment, value, end);
    }
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        value = value_of(assignment, length, words[i].word);
        if (value == NULL || value + 1 != end || (*value != '0' && *value != '1')) {
            continue;
        }
        if (*value == '1') {
            environment->protections |= words[i].protections;
        } else {
            environment->protections &= ~words[i].protections;
        }
        return true;
    }
    return false;
}

static struct environment parse(const char *text)
{
    struct environment environment = {.protections = 0};

    while (*text != '\0') {
        const size_t length = strcspn(text, ":");

        if (length > 0 && !apply(&environment, text, length)) {
            report_warning("CORK_MEMPOOL_OPTIONS: left out", text, length);
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
    /* In halves, which no machine needs a lock for. */
    static _Atomic(uint32_t) known_seed[2];
    uint32_t known = atomic_load(&known_protections);

    if (UNLIKELY((known & IS_READ) == 0)) {
        const char *text = os_environment("CORK_MEMPOOL_OPTIONS");
        const struct environment environment = parse(text != NULL ? text : "");

        known = environment.protections | IS_READ | (RUNNING_ON_VALGRIND != 0 ? UNDER_VALGRIND : 0);
        atomic_store(&known_seed[0], (uint32_t)environment.seed);
        atomic_store(&known_seed[1], (uint32_t)(environment.seed >> 32));
        atomic_store(&known_protections, known);
    }
    return (struct environment){
        .protections = known & ~(IS_READ | UNDER_VALGRIND),
        .under_valgrind = (known & UNDER_VALGRIND) != 0,
        .seed = (uint64_t)atomic_load(&known_seed[1]) << 32 | atomic_load(&known_seed[0]),
    };
}

#else

/* os_none.c has an environment that says nothing. */
typedef int environment_is_not_used;

#endif
