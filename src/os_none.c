/* SPDX-License-Identifier: BSD-3-Clause */
#include "libcork/core/mempool_violation.h"
#include "os.h"

#if defined(CORK_MEMPOOL_NO_OS_MEMORY)

/* Each function always returns the same. */
#pragma GCC diagnostic ignored "-Wunused-parameter"
#define ANSWERS(function, answer)                                                                  \
    function                                                                                       \
    {                                                                                              \
        return answer;                                                                             \
    }

ANSWERS(static void *acquire(void *source_data, size_t size, size_t alignment), NULL)
ANSWERS(static void release(void *source_data, void *memory, size_t size), )
ANSWERS(size_t os_page_size(void), (size_t)PTRDIFF_MAX + 1)
ANSWERS(bool os_is_scarce(void), true)
ANSWERS(void *os_reserve(size_t size), NULL)
ANSWERS(bool os_commit(void *pages, size_t size), false)
ANSWERS(bool os_advise(void *pages, size_t size, enum os_advice advice), false)
ANSWERS(bool os_resident(const void *pages, size_t count, unsigned char *is_resident), false)
ANSWERS(void os_release(void *memory, size_t size), )
ANSWERS(uint64_t os_random_word(void), 0)
ANSWERS(const char *os_symbol(const void *address, uintptr_t *start), NULL)

const struct cork_mempool_source os_heap = {.acquire = acquire, .release = release};

/* For programs that define no other. */
ANSWERS(__attribute__((weak)) void cork_mempool_write_report(const char *text, size_t size), )

void os_write_report(const char *text, size_t size)
{
    cork_mempool_write_report(text, size);
}

#endif
