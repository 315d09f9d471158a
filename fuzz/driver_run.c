/* SPDX-License-Identifier: BSD-3-Clause */
#define _POSIX_C_SOURCE 200809L /* O_CLOEXEC */

#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "driver.h"
#include "engine.h"
#include "options.h"

ENGINE_BEGIN

/* Returns: the counter, mapped until the process ends, or NULL. */
static _Atomic uint64_t *map_counter(void)
{
    const char *path = getenv("FUZZ_EXECUTIONS_FILE");
    if (path == NULL) {
        return NULL;
    }
    uint64_t count;
    void *counter = MAP_FAILED;
    int file = open(path, O_RDWR | O_CLOEXEC);
    if (file >= 0) {
        if (read(file, &count, sizeof(count)) == (ssize_t)sizeof(count)) {
            counter = mmap(NULL, sizeof(count), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
        }
        close(file);
    }
    if (counter == MAP_FAILED) {
        fprintf(stderr, "FUZZ_EXECUTIONS_FILE=%s: no file of 8 bytes that can be mapped\n", path);
        return NULL;
    }
    return counter;
}

void driver_count(void)
{
    static bool is_started;
    static _Atomic uint64_t *counter;
    if (!is_started) {
        is_started = true;
        counter = map_counter();
    }
    if (counter != NULL) {
        atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
    }
}

void driver_test(const struct driver *driver, const struct subject *subject, const uint8_t *data,
                 size_t size)
{
    struct driver_run run;
    driver_count();
    if (driver->has_options) {
        options_test(data, size);
    }
    for (size_t i = 0; driver_decode(driver, subject, data, size, i, &run); i++) {
        run_program(&run.settings, run.data, run.size);
    }
}

ENGINE_END
