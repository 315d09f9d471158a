/* SPDX-License-Identifier: BSD-3-Clause */
#include "progress.h"
#include "run.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The model demands the same of a program whatever protects its pools, and that all are silent. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const unsigned profiles[] = {
        0,
        CORK_MEMPOOL_CANARY,
        CORK_MEMPOOL_SEAL,
        CORK_MEMPOOL_WIPE,
        CORK_MEMPOOL_SHUFFLE,
        CORK_MEMPOOL_QUARANTINE,
        CORK_MEMPOOL_GUARD,
        CORK_MEMPOOL_CALLSITES,
        CORK_MEMPOOL_PASSTHROUGH,
        CORK_MEMPOOL_PARANOID,
        CORK_MEMPOOL_PARANOID ^ CORK_MEMPOOL_WIPE ^ CORK_MEMPOOL_SEAL,
    };
    progress_count();
    for (size_t i = 0; i < sizeof(profiles) / sizeof(profiles[0]); i++) {
        const struct run_settings settings = {
            .subject = &subject_cork, .dialect = PROGRAM_OPTIONS, .protections = profiles[i]};
        run_program(&settings, data, size < RUN_MAX_SIZE ? size : RUN_MAX_SIZE);
    }
    return 0;
}
