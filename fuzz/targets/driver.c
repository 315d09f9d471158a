/* SPDX-License-Identifier: BSD-3-Clause */
#define _POSIX_C_SOURCE 200809L /* O_CLOEXEC */

#include "driver.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
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

const struct driver driver_misuse = {"mempool_misuse_fuzzer", run_program, PROGRAM_MISUSE, 0, 1};
const struct driver driver_model = {"mempool_model_fuzzer", run_program, PROGRAM_PLAIN, 0, 1};
const struct driver driver_oom = {"mempool_oom_fuzzer", run_program, PROGRAM_OPTIONS, 8, 1};
const struct driver driver_options = {"mempool_options_fuzzer", run_options, PROGRAM_OPTIONS, 0, 1};
const struct driver driver_profiles = {"mempool_profiles_fuzzer", run_program, PROGRAM_OPTIONS, 0,
                                       sizeof(profiles) / sizeof(profiles[0])};

struct run_settings driver_settings(const struct driver *driver, const struct subject *subject,
                                    const uint8_t *data, size_t index)
{
    struct run_settings settings = {.subject = subject,
                                    .dialect = driver->dialect,
                                    .protections = profiles[index],
                                    .is_retrying = driver->head_size > 0};
    for (size_t i = 0; i < driver->head_size; i++) {
        settings.failing_mask |= (uint64_t)data[i] << 8 * i;
    }
    return settings;
}

static void count(void)
{
    static _Atomic uint64_t unshared;
    static _Atomic uint64_t *counter; /* set by the first call */
    if (counter == NULL) {
        const char *path = getenv("FUZZ_EXECUTIONS_FILE");
        const int file = open(path != NULL ? path : "", O_RDWR | O_CLOEXEC);
        void *start = mmap(NULL, sizeof(*counter), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
        const bool is_shared = start != MAP_FAILED && lseek(file, 0, SEEK_END) >= 8;
        if (path != NULL && !is_shared) {
            fprintf(stderr, "FUZZ_EXECUTIONS_FILE=%s: no file of 8 bytes to be mapped\n", path);
        }
        counter = is_shared ? start : &unshared;
    }
    atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

void driver_test(const struct driver *driver, const struct subject *subject, const uint8_t *data,
                 size_t size)
{
    static struct run run;
    const size_t head_size = driver->head_size;
    count();
    /* Not every engine knows of limits. */
    size = size < RUN_MAX_SIZE ? size : RUN_MAX_SIZE;
    for (size_t i = 0; size >= head_size && i < driver->profile_count; i++) {
        const struct run_settings settings = driver_settings(driver, subject, data, i);
        driver->run(&run, &settings, data + head_size, size - head_size);
    }
}

ENGINE_END
