/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * A board with write, which is the operating system's here, and a debugger's with newlib on a
 * Cortex-M; and without memory: whoever asks for some, or gives it back, ends the program.
 */

#include "board.h"

#include <stdlib.h>
#include <unistd.h>

void board_write(const char *text, size_t size)
{
    while (size > 0) {
        const ssize_t written = write(STDOUT_FILENO, text, size);

        if (written <= 0) {
            abort();
        }
        text += written;
        size -= (size_t)written;
    }
}

static void *refuse(void)
{
    static const char line[] = "somebody asks for memory\n";

    board_write(line, sizeof(line) - 1);
    abort();
}

/* No header is asked: some declare these otherwise, and most do not have all of them. */
#define NO_MEMORY(name)                                                                            \
    void *board_has_no_##name(void) __asm__(#name);                                                \
    void *board_has_no_##name(void)                                                                \
    {                                                                                              \
        return refuse();                                                                           \
    }

NO_MEMORY(malloc)
NO_MEMORY(calloc)
NO_MEMORY(realloc)
NO_MEMORY(free)
NO_MEMORY(aligned_alloc)
NO_MEMORY(posix_memalign)
NO_MEMORY(memalign)
NO_MEMORY(mmap)
NO_MEMORY(mprotect)
NO_MEMORY(munmap)
NO_MEMORY(sbrk)
NO_MEMORY(_sbrk)
