/* SPDX-License-Identifier: BSD-3-Clause */
#define _POSIX_C_SOURCE 200809L /* ftruncate, O_CLOEXEC */

#include "progress.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine.h"

ENGINE_BEGIN

/* Returns: the counter, mapped until the process ends, or NULL. */
static _Atomic uint64_t *map_counter(const char *path)
{
    int file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (file < 0) {
        return NULL;
    }
    struct stat status;
    void *counter = MAP_FAILED;
    if (fstat(file, &status) == 0 &&
        (status.st_size >= (off_t)sizeof(uint64_t) || ftruncate(file, sizeof(uint64_t)) == 0)) {
        counter = mmap(NULL, sizeof(uint64_t), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    }
    close(file);
    return counter != MAP_FAILED ? counter : NULL;
}

void progress_count(void)
{
    static bool is_started;
    static _Atomic uint64_t *counter;
    if (!is_started) {
        is_started = true;
        const char *path = getenv("FUZZ_EXECUTIONS_FILE");
        counter = path != NULL && *path != '\0' ? map_counter(path) : NULL;
        if (path != NULL && *path != '\0' && counter == NULL) {
            perror(path);
        }
    }
    if (counter != NULL) {
        atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
    }
}

ENGINE_END
