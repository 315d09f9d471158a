/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef FUZZ_MINIMIZE_H
#define FUZZ_MINIMIZE_H

/*
 * Makes a failing program small: no operation can be left out, and no operand made smaller as
 * minimize.c tries it, without that it fails in another way or not at all. What counts as the same
 * way is struct trial's kind. The same program becomes the same each time.
 */

#include <stdbool.h>
#include <stddef.h>

#include "draft.h"
#include "fuzz/subject.h"
#include "trial.h"

struct minimizer {
    const struct subject *subject;
    unsigned seconds; /* after which a trial hangs */
    /* Told after each trial how small the draft is by now; NULL: nobody is. */
    void (*on_trial)(const struct minimizer *minimizer, const struct draft *draft);
    /* What minimize finds. */
    struct trial trial; /* the last one */
    char kind[sizeof(((struct trial *)NULL)->kind)];
    size_t trial_count;
};

enum minimize_result {
    MINIMIZE_DONE,
    MINIMIZE_PASSES,   /* the program does not fail */
    MINIMIZE_UNSTABLE, /* it fails in different ways */
};

/* minimize changes a draft, which fails. */
enum minimize_result minimize(struct minimizer *minimizer, struct draft *draft);

#endif /* FUZZ_MINIMIZE_H */
