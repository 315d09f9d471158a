/* SPDX-License-Identifier: BSD-3-Clause */
#include "misuses.h"

#include <string.h>

#define ROW(misuse, profiles, verdict) {#misuse, #misuse ": " #profiles, misuse, profiles, verdict},
const struct row rows[] = {
#include "misuse.def"
};
#undef ROW

const size_t row_count = sizeof(rows) / sizeof(rows[0]);

const struct profile profiles[PROFILE_COUNT] = {
    {"default", 0},
    {"canary", CORK_MEMPOOL_CANARY},
    {"seal", CORK_MEMPOOL_SEAL},
    {"wipe", CORK_MEMPOOL_WIPE},
    {"shuffle", CORK_MEMPOOL_SHUFFLE},
    {"quarantine", CORK_MEMPOOL_QUARANTINE},
    {"guard", CORK_MEMPOOL_GUARD},
    {"callsites", CORK_MEMPOOL_CALLSITES},
    {"paranoid", CORK_MEMPOOL_PARANOID},
};

const size_t sizes[SIZE_COUNT] = {1, 8, 24, 64, 1000, 5000};

unsigned row_profiles(const struct row *row)
{
    unsigned named = 0;

    if ((row->profiles & OTHERS) == 0) {
        return row->profiles;
    }
    for (size_t i = 0; i < row_count; i++) {
        if (strcmp(rows[i].name, row->name) == 0) {
            named |= rows[i].profiles;
        }
    }
    return (row->profiles | (ALL & ~named)) & ~(unsigned)OTHERS;
}
