/* SPDX-License-Identifier: BSD-3-Clause */
#include "progress.h"
#include "run.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Long inputs are cut here because not every engine knows of limits. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct run_settings settings = {.subject = &subject_cork,
                                                 .dialect = PROGRAM_MISUSE};
    progress_count();
    run_program(&settings, data, size < RUN_MAX_SIZE ? size : RUN_MAX_SIZE);
    return 0;
}
