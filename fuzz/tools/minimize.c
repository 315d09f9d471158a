/* SPDX-License-Identifier: BSD-3-Clause */
#include "minimize.h"

#include <string.h>

#include "fuzz/engine.h"

ENGINE_BEGIN

static struct draft candidate;

struct encoded {
    const struct draft *draft;
    const struct subject *subject;
    uint8_t bytes[RUN_MAX_SIZE];
    size_t size;
};

static void run_encoded(void *encoded)
{
    const struct encoded *input = (const struct encoded *)encoded;
    driver_test(input->draft->driver, input->subject, input->bytes, input->size);
}

/* Returns: whether the draft can be said in bytes, and fails. */
static bool is_failing(struct minimizer *minimizer, const struct draft *draft)
{
    struct encoded encoded = {.draft = draft, .subject = minimizer->subject};
    encoded.size = draft_encode(draft, encoded.bytes);
    if (encoded.size == 0 && draft->count > 0) {
        return false;
    }
    trial_run(run_encoded, &encoded, minimizer->seconds, &minimizer->trial);
    minimizer->trial_count++;
    return minimizer->trial.is_failing;
}

/* Takes the candidate for the draft if it fails as the draft does. */
static bool accept(struct minimizer *minimizer, struct draft *draft)
{
    const bool is_same =
        is_failing(minimizer, &candidate) && strcmp(minimizer->trial.kind, minimizer->kind) == 0;
    if (is_same) {
        *draft = candidate;
    }
    if (minimizer->on_trial != NULL) {
        minimizer->on_trial(minimizer, draft);
    }
    return is_same;
}

/*
 * Leaves out operations: the complements of ddmin (Zeller and Hildebrandt, "Simplifying and
 * Isolating Failure-Inducing Input", IEEE Transactions on Software Engineering 28(2), 2002), from
 * halves to single operations. Its subsets are left out: a program's end alone hardly ever fails,
 * and its beginning is the complement of its end. Returns: whether any could be left out.
 */
static bool remove_operations(struct minimizer *minimizer, struct draft *draft)
{
    const size_t before = draft->count;
    for (size_t size = (before + 1) / 2; size > 0; size = size > 1 ? (size + 1) / 2 : 0) {
        for (size_t start = 0; start < draft->count;) {
            const size_t removed = size < draft->count - start ? size : draft->count - start;
            candidate = *draft;
            candidate.count -= removed;
            memmove(&candidate.operations[start], &candidate.operations[start + removed],
                    (candidate.count - start) * sizeof(struct operation));
            start += accept(minimizer, draft) ? 0 : size;
        }
    }
    return draft->count < before;
}

/* Operations that do less, or do the same with fewer operands; of those, the first are kept. */
static const struct {
    enum operation_kind from, to;
    size_t operand_count;
} simpler[] = {
    {OPERATION_NEW_MANY, OPERATION_NEW, 0},
    {OPERATION_FREE_MANY, OPERATION_FREE, 0},
    {OPERATION_REPLACE_MANY, OPERATION_FREE, 0},
    {OPERATION_REPLACE_MANY, OPERATION_NEW, 0},
    {OPERATION_FREE_TWICE, OPERATION_FREE, 1},
    {OPERATION_INIT_WITH, OPERATION_INIT_SIZE_EX, 2},
    {OPERATION_INIT_SIZE_EX, OPERATION_INIT_SIZE, 1},
    {OPERATION_INIT_EX, OPERATION_INIT, 1},
};

/* Returns: whether an operation has become a simpler one. */
static bool simplify_kind(struct minimizer *minimizer, struct draft *draft, size_t index)
{
    for (size_t i = 0; i < sizeof(simpler) / sizeof(simpler[0]); i++) {
        if (draft->operations[index].kind == simpler[i].from) {
            struct operation *operation = &candidate.operations[index];
            candidate = *draft;
            operation->kind = simpler[i].to;
            for (size_t j = simpler[i].operand_count; j < OPERATION_OPERAND_COUNT; j++) {
                operation->operands[j] = 0;
            }
            if (accept(minimizer, draft)) {
                return true;
            }
        }
    }
    return false;
}

static bool try_operand(struct minimizer *minimizer, struct draft *draft, size_t index, int which,
                        size_t value)
{
    if (value >= draft->operations[index].operands[which]) {
        return false;
    }
    candidate = *draft;
    candidate.operations[index].operands[which] = value;
    return accept(minimizer, draft);
}

/* Returns: whether an operand has become smaller: 0, 1, fewer bits, half of it, or by 1. Options
 * are independent bits, and one less may be more of them. */
static bool reduce_operand(struct minimizer *minimizer, struct draft *draft, size_t index,
                           int which)
{
    const struct operation *operation = &draft->operations[index];
    const size_t value = operation->operands[which];
    const bool is_bits = operation->kind == OPERATION_INIT_WITH && which == 2;
    if (value == 0 || try_operand(minimizer, draft, index, which, 0) ||
        (!is_bits && try_operand(minimizer, draft, index, which, 1))) {
        return value != 0;
    }
    for (unsigned bit = sizeof(size_t) * 8; bit-- > 0;) {
        if ((value >> bit & 1) != 0 &&
            try_operand(minimizer, draft, index, which, value ^ (size_t)1 << bit)) {
            return true;
        }
    }
    return !is_bits && (try_operand(minimizer, draft, index, which, value / 2) ||
                        try_operand(minimizer, draft, index, which, value - 1));
}

static bool reduce_operations(struct minimizer *minimizer, struct draft *draft)
{
    bool has_changed = false;
    for (size_t i = 0; i < draft->count; i++) {
        while (simplify_kind(minimizer, draft, i)) {
            has_changed = true;
        }
        for (int which = 0; which < OPERATION_OPERAND_COUNT; which++) {
            while (reduce_operand(minimizer, draft, i, which)) {
                has_changed = true;
            }
        }
    }
    return has_changed;
}

/* Returns: whether all operations of a pool have become those of a lower one. */
static bool lower_pools(struct minimizer *minimizer, struct draft *draft)
{
    for (unsigned pool = 1; pool < PROGRAM_POOL_COUNT; pool++) {
        for (unsigned lower = 0; lower < pool; lower++) {
            bool is_used = false;
            candidate = *draft;
            for (size_t i = 0; i < candidate.count; i++) {
                if (candidate.operations[i].pool == pool) {
                    candidate.operations[i].pool = lower;
                    is_used = true;
                }
            }
            if (is_used && accept(minimizer, draft)) {
                return true;
            }
        }
    }
    return false;
}

/* What stands before the operations. */
static bool reduce_head(struct minimizer *minimizer, struct draft *draft)
{
    bool has_changed = false;
    if (draft->is_deep) {
        candidate = *draft;
        candidate.is_deep = false;
        has_changed = accept(minimizer, draft);
    }
    if (draft->failing_mask != 0) {
        candidate = *draft;
        candidate.failing_mask = 0;
        has_changed |= accept(minimizer, draft);
    }
    for (unsigned bit = 64; bit-- > 0;) {
        if ((draft->failing_mask >> bit & 1) != 0) {
            candidate = *draft;
            candidate.failing_mask ^= UINT64_C(1) << bit;
            has_changed |= accept(minimizer, draft);
        }
    }
    return has_changed;
}

enum minimize_result minimize(struct minimizer *minimizer, struct draft *draft)
{
    minimizer->trial_count = 0;
    if (!is_failing(minimizer, draft)) {
        return MINIMIZE_PASSES;
    }
    memcpy(minimizer->kind, minimizer->trial.kind, sizeof(minimizer->kind));
    /* What a program may do is a matter of its hash, which changes with each change. */
    candidate = *draft;
    candidate.is_deep = true;
    if (!accept(minimizer, draft)) {
        candidate = *draft;
        if (!accept(minimizer, draft)) {
            return MINIMIZE_UNSTABLE;
        }
    }
    for (bool has_changed = true; has_changed;) {
        has_changed = remove_operations(minimizer, draft);
        has_changed |= reduce_head(minimizer, draft);
        has_changed |= lower_pools(minimizer, draft);
        has_changed |= reduce_operations(minimizer, draft);
    }
    return MINIMIZE_DONE;
}

ENGINE_END
