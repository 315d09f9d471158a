/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef FUZZ_OPTIONS_H
#define FUZZ_OPTIONS_H

/* Byte strings that stand for arbitrary options of one pool. */

#include <stddef.h>
#include <stdint.h>

/* options_test demands that init_with takes them or refuses them as its header says, and that a
 * pool of them serves. Where that is not so, it prints the options and aborts. */
void options_test(const uint8_t *data, size_t size);

/* options_print prints them to standard output. */
void options_print(const uint8_t *data, size_t size);

#endif /* FUZZ_OPTIONS_H */
