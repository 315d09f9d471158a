/* SPDX-License-Identifier: BSD-3-Clause */
#include <stddef.h>
#include <stdint.h>

#include "progress.h"
#include "run.h"
#include "subject.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Long inputs are cut here because not every engine knows of limits. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    progress_count();
    run_program(&subject_cork, data, size < RUN_MAX_SIZE ? size : RUN_MAX_SIZE);
    return 0;
}
