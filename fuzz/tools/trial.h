/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef FUZZ_TRIAL_H
#define FUZZ_TRIAL_H

/* Trials: something that may crash or hang is done in a child process. */

#include <stdbool.h>
#include <stddef.h>

#define TRIAL_SECONDS 2 /* a child that uses the processor for longer hangs */

struct trial {
    bool is_failing;
    /* In one line how it failed: what a sanitizer, the model or the pool found, or the signal. */
    char kind[256];
    char report[1 << 18]; /* what it wrote to standard error, as far as there is room */
};

/* trial_run calls function in a child and waits for its end. */
void trial_run(void (*function)(void *argument), void *argument, struct trial *trial);

#endif /* FUZZ_TRIAL_H */
