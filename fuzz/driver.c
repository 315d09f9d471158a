/* SPDX-License-Identifier: BSD-3-Clause */
#include "driver.h"

#include <string.h>

#include "engine.h"

ENGINE_BEGIN

static const unsigned plain[] = {0};

/* The model demands the same of a program whatever protects its pools, and that all are silent. */
static const unsigned profiles[] = {
    0,
    CORK_MEMPOOL_CANARY,
    CORK_MEMPOOL_SEAL,
    CORK_MEMPOOL_WIPE,
    CORK_MEMPOOL_SHUFFLE,
    CORK_MEMPOOL_QUARANTINE,
    CORK_MEMPOOL_GUARD,
    CORK_MEMPOOL_CALLSITES,
    CORK_MEMPOOL_PARANOID,
    CORK_MEMPOOL_PARANOID ^ CORK_MEMPOOL_WIPE ^ CORK_MEMPOOL_SEAL,
};

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

const struct driver driver_misuse = {.name = "mempool_misuse_fuzzer",
                                     .dialect = PROGRAM_MISUSE,
                                     .profile_count = 1,
                                     .profiles = plain};
const struct driver driver_model = {.name = "mempool_model_fuzzer",
                                    .dialect = PROGRAM_PLAIN,
                                    .profile_count = 1,
                                    .profiles = plain};
const struct driver driver_oom = {.name = "mempool_oom_fuzzer",
                                  .dialect = PROGRAM_OPTIONS,
                                  .has_mask = true,
                                  .profile_count = 1,
                                  .profiles = plain};
const struct driver driver_options = {.name = "mempool_options_fuzzer", .has_options = true};
const struct driver driver_profiles = {.name = "mempool_profiles_fuzzer",
                                       .dialect = PROGRAM_OPTIONS,
                                       .profile_count = COUNT_OF(profiles),
                                       .profiles = profiles};

const struct driver *driver_find(const char *name)
{
    static const struct driver *const drivers[] = {
        &driver_misuse, &driver_model, &driver_oom, &driver_options, &driver_profiles,
    };
    for (size_t i = 0; i < COUNT_OF(drivers); i++) {
        if (strcmp(drivers[i]->name, name) == 0) {
            return drivers[i];
        }
    }
    return NULL;
}

bool driver_decode(const struct driver *driver, const struct subject *subject, const uint8_t *data,
                   size_t size, size_t index, struct driver_run *run)
{
    const size_t head = driver->has_mask ? sizeof(run->settings.failing_mask) : 0;
    if (index >= driver->profile_count || size < head) {
        return false;
    }
    size = size < RUN_MAX_SIZE ? size : RUN_MAX_SIZE;
    *run = (struct driver_run){
        .settings = {.subject = subject,
                     .dialect = driver->dialect,
                     .protections = driver->profiles[index],
                     .is_retrying = driver->has_mask},
        .data = data + head,
        .size = size - head,
    };
    for (size_t i = 0; i < head; i++) {
        run->settings.failing_mask |= (uint64_t)data[i] << 8 * i;
    }
    return true;
}

ENGINE_END
