/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef CORK_MEMPOOL_TEST_MISUSE_MISUSES_H
#define CORK_MEMPOOL_TEST_MISUSE_MISUSES_H

/*
 * The table of misuse.def for C. A misuse is a function that the table names; a row is what must
 * come of it with some profiles.
 */

#include <stdbool.h>
#include <stddef.h>

#include "scene.h"

/* Profiles. The first nine are what options ask of a pool; a tool's is a default pool under it. */
enum {
    DEFAULT = 0x1,
    CANARY = 0x2,
    SEAL = 0x4,
    WIPE = 0x8,
    SHUFFLE = 0x10,
    QUARANTINE = 0x20,
    GUARD = 0x40,
    CALLSITES = 0x80,
    PARANOID = 0x100,
    ALL = 0x1ff, /* of these */
    ASAN = 0x200,
    MSAN = 0x400,
    VALGRIND = 0x800,
    OTHERS = 0x1000 /* those of ALL that no other row of the misuse names */
};

/* Verdicts; any other is a message: of the pool's, or with a tool's profile of the tool's. */
#define FAULT        "fault"          /* an access to no memory ends the process */
#define ABSORBED     "absorbed"       /* no harm is done */
#define NOT_DETECTED "not detected"   /* it takes effect, and the program goes on */
#define CHECK_FAILS  "check is false" /* so says cork_mempool_check */

/* Comments for the reader of the table, and for docs/guarantees.md. */
#define GUARANTEE(text)

#define ROW(misuse, profiles, verdict) misuse_function misuse;
#include "misuse.def"
#undef ROW

struct row {
    const char *name;
    const char *title;
    misuse_function *misuse;
    unsigned profiles; /* as in the table */
    const char *verdict;
};

extern const struct row rows[];
extern const size_t row_count;

#define PROFILE_COUNT 9

extern const struct profile {
    const char *name;
    unsigned protections;
} profiles[PROFILE_COUNT];

#define SIZE_COUNT 6

extern const size_t sizes[SIZE_COUNT];

/* The profiles of a row, OTHERS resolved. */
unsigned row_profiles(const struct row *row);

#endif /* CORK_MEMPOOL_TEST_MISUSE_MISUSES_H */
