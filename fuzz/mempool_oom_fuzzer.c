/* SPDX-License-Identifier: BSD-3-Clause */
#include <string.h>

#include "progress.h"
#include "run.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The first eight bytes say which requests for memory are refused; the program follows. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct run_settings settings = {
        .subject = &subject_cork, .dialect = PROGRAM_OPTIONS, .is_retrying = true};
    const size_t head = sizeof(settings.failing_mask);
    progress_count();
    if (size >= head) {
        size = size < RUN_MAX_SIZE ? size : RUN_MAX_SIZE;
        memcpy(&settings.failing_mask, data, head);
        run_program(&settings, data + head, size - head);
    }
    return 0;
}
