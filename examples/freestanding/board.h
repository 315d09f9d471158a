/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

/*
 * The board: what the example needs besides the library.
 */

#include <stddef.h>

/* board_write sends text to whoever looks after the board. */
void board_write(const char *text, size_t size);
