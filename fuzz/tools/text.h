/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef FUZZ_TEXT_H
#define FUZZ_TEXT_H

/*
 * Inputs of drivers as text. Text has an operation on each line, as operation_print writes it.
 * Three other lines may stand anywhere:
 *
 *     driver NAME   the driver
 *     failing 0x5   failing_mask, for a driver whose inputs begin with it
 *     deep          the program may do RUN_MAX_WORK
 *
 * How much a program may do is a matter of its bytes' hash, and other bytes that say the same have
 * another. So if the bytes of text that says "deep" have no such hash, a write is appended whose
 * operand leads to one.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fuzz/targets/driver.h"

/* text_encode makes bytes of text. Returns: whether it could, or else *error. */
bool text_encode(const struct driver *driver, const char *text, uint8_t bytes[RUN_MAX_SIZE],
                 size_t *size, struct program_error *error);

/* text_print prints the lines of text that says a run: "head" before each that is no operation,
 * "operation" before each that is one. */
void text_print(const struct driver *driver, const struct driver_run *run);

#endif /* FUZZ_TEXT_H */
