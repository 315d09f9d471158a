/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * What a Cortex-M reads first, at address 0: where its stack begins, and where its program does,
 * which is newlib's start here, that calls main. For qemu-system-arm -M mps2-an385.
 */

#include <stdint.h>

#define STACK_END 0x20010000u /* 64 KiB of the board's second memory */

void _start(void);

struct vectors {
    uintptr_t stack_end;
    void (*start)(void);
};

extern const struct vectors board_vectors;

__attribute__((section(".vectors"))) const struct vectors board_vectors = {STACK_END, _start};
