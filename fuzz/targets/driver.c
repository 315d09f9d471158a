/* SPDX-License-Identifier: BSD-3-Clause */
#define _POSIX_C_SOURCE 200809L /* O_CLOEXEC */

#include "driver.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fuzz/engine/engine.h"

ENGINE_BEGIN

/* The model demands the same of a program whatever protects its pools, and that all are silent. */
#define PROTECTION_OF(NAME, word) CORK_MEMPOOL_##NAME,
static const unsigned profiles[] = {
    0,
    CORK_MEMPOOL_PROTECTIONS_(PROTECTION_OF) CORK_MEMPOOL_PARANOID,
    CORK_MEMPOOL_PARANOID ^ CORK_MEMPOOL_WIPE ^ CORK_MEMPOOL_SEAL,
};

const struct driver driver_misuse = {
    .name = "mempool_misuse_fuzzer", .dialect = PROGRAM_MISUSE, .profile_count = 1};
const struct driver driver_model = {
    .name = "mempool_model_fuzzer", .dialect = PROGRAM_PLAIN, .profile_count = 1};
const struct driver driver_oom = {
    .name = "mempool_oom_fuzzer", .dialect = PROGRAM_OPTIONS, .has_mask = true, .profile_count = 1};
const struct driver driver_options = {.name = "mempool_options_fuzzer", .has_options = true};
const struct driver driver_profiles = {.name = "mempool_profiles_fuzzer",
                                       .dialect = PROGRAM_OPTIONS,
                                       .profile_count = sizeof(profiles) / sizeof(profiles[0])};

const struct driver *driver_find(const char *name)
{
    static const struct driver *const drivers[] = {
        &driver_misuse, &driver_model, &driver_oom, &driver_options, &driver_profiles,
    };
    const struct driver *found = NULL;
    for (size_t i = 0; i < sizeof(drivers) / sizeof(drivers[0]); i++) {
        found = strcmp(drivers[i]->name, name) == 0 ? drivers[i] : found;
    }
    return found;
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
                     .protections = profiles[index],
                     .is_retrying = driver->has_mask},
        .data = data + head,
        .size = size - head,
    };
    for (size_t i = 0; i < head; i++) {
        run->settings.failing_mask |= (uint64_t)data[i] << 8 * i;
    }
    return true;
}

void driver_count(void)
{
    static bool is_started;
    static _Atomic uint64_t *counter; /* mapped until the process ends, or NULL */
    const char *path = is_started ? NULL : getenv("FUZZ_EXECUTIONS_FILE");
    is_started = true;
    if (path != NULL) {
        const int file = open(path, O_RDWR | O_CLOEXEC);
        void *start = mmap(NULL, sizeof(*counter), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
        counter = start != MAP_FAILED ? start : NULL;
        if (counter == NULL || lseek(file, 0, SEEK_END) < (off_t)sizeof(*counter)) {
            fprintf(stderr, "FUZZ_EXECUTIONS_FILE=%s: no file of 8 bytes to be mapped\n", path);
            counter = NULL;
        }
    }
    if (counter != NULL) {
        atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
    }
}

void driver_test(const struct driver *driver, const struct subject *subject, const uint8_t *data,
                 size_t size)
{
    static struct run state;
    struct driver_run run;
    driver_count();
    if (driver->has_options) {
        options_test(data, size);
    }
    for (size_t i = 0; driver_decode(driver, subject, data, size, i, &run); i++) {
        run_program(&state, &run.settings, run.data, run.size);
    }
}

ENGINE_END
