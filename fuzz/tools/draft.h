/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef FUZZ_DRAFT_H
#define FUZZ_DRAFT_H

/*
 * Drafts: inputs of drivers of programs, taken apart so that they can be shown as text.
 *
 * As text, a draft has an operation on each line, as operation_print writes it. Three other lines
 * may stand anywhere:
 *
 *     driver NAME   what input_read finds the driver by; draft_parse is told the driver
 *     failing 0x5   failing_mask, for a driver whose inputs begin with it
 *     deep          the program has a hash with which it may do RUN_MAX_WORK
 *
 * The hash is that of all bytes, and other bytes that say the same have another. So where a draft
 * is deep and its bytes have no such hash, two writes of the last operation's pool are appended
 * whose operands lead to one. A program that has one stays as it is.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fuzz/engine/program.h"
#include "fuzz/engine/run.h"
#include "fuzz/targets/driver.h"

struct draft {
    const struct driver *driver;
    uint64_t failing_mask;
    bool is_deep;
    size_t count;
    struct operation operations[RUN_MAX_SIZE];
};

/* draft_decode takes an input apart. */
void draft_decode(struct draft *draft, const struct driver *driver, const uint8_t *data,
                  size_t size);

/* draft_encode puts it together. Returns: its size; 0 where the dialect cannot say it, or there is
 * no room. */
size_t draft_encode(const struct draft *draft, uint8_t bytes[RUN_MAX_SIZE]);

/* draft_parse reads text. Returns: whether it could, or else *error. */
bool draft_parse(struct draft *draft, const struct driver *driver, const char *text,
                 struct program_error *error);

/* draft_print_head prints the lines that stand before the operations. */
void draft_print_head(const struct draft *draft);

#endif /* FUZZ_DRAFT_H */
