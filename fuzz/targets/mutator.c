/* SPDX-License-Identifier: BSD-3-Clause */
#include "driver.h"

#include <string.h>

#include "fuzz/engine/engine.h"

/* Tells MemorySanitizer that libFuzzer, which is not instrumented, has written something. */
__attribute__((weak)) void __msan_unpoison(const volatile void *memory, size_t size);

ENGINE_BEGIN

/* Short programs run fast and find about as much, so an input grows by so many bytes at most, but
 * for one time of so many. libFuzzer does not see to that itself where it is given a mutator. */
#define GROWTH       16
#define LARGE_ONE_IN 32

static struct {
    const struct driver *driver;
    uint64_t random;
    size_t max_size;
    size_t size;
    size_t count;                    /* of operations */
    size_t starts[RUN_MAX_SIZE + 1]; /* where each begins, and where the last ends */
    uint8_t bytes[RUN_MAX_SIZE];
    uint8_t copied[RUN_MAX_SIZE]; /* operations on their way to another place */
} work;

static size_t below(size_t count)
{
    work.random = work.random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (size_t)(work.random >> 33) % count;
}

/* Finds the operations. What is missing before them is filled with zeros. Returns: false where
 * there is no room for that. */
static bool cut(void)
{
    const size_t head_size = work.driver->head_size;
    struct operation operation;
    if (__msan_unpoison != NULL) {
        __msan_unpoison(work.bytes, work.size);
    }
    if (head_size > work.max_size) {
        return false;
    }
    while (work.size < head_size) {
        work.bytes[work.size++] = 0;
    }
    work.count = 0;
    work.starts[0] = head_size;
    struct program program = {work.bytes, work.size, head_size, work.driver->dialect};
    while (program_next(&program, &operation)) {
        work.starts[++work.count] = program.position;
    }
    return true;
}

/* Puts copied bytes in the place of operations. What finds no room falls off the end. */
static void replace(size_t first, size_t end, size_t size)
{
    const size_t start = work.starts[first];
    const size_t room = work.max_size - start;
    size_t rest_size = work.size - work.starts[end];
    size = size < room ? size : room;
    rest_size = rest_size < room - size ? rest_size : room - size;
    memmove(work.bytes + start + size, work.bytes + work.starts[end], rest_size);
    memcpy(work.bytes + start, work.copied, size);
    work.size = start + size + rest_size;
}

/* Makes operations up, mostly of the pool of the one before them. Returns: their size. */
static size_t make_up(size_t index)
{
    const size_t count = 1 + below(below(4) == 0 ? 8 : 2);
    const unsigned near = index > 0 ? work.bytes[work.starts[index - 1]] % PROGRAM_POOL_COUNT : 0;
    const unsigned pool = below(4) == 0 ? (unsigned)below(PROGRAM_POOL_COUNT) : near;
    size_t size = 0;
    for (size_t i = 0; i < count; i++) {
        struct operation operation;
        struct program program = {work.copied + size, OPERATION_BYTES_MAX, 0, work.driver->dialect};
        for (size_t j = 0; j < OPERATION_BYTES_MAX; j++) {
            work.copied[size + j] = (uint8_t)below(256);
        }
        work.copied[size] = (uint8_t)(below(64) * PROGRAM_POOL_COUNT + pool);
        program_next(&program, &operation);
        size += program.position;
    }
    return size;
}

/* Copies operations. Returns: their size. */
static size_t copy(size_t first, size_t end, size_t times)
{
    const size_t size = work.starts[end] - work.starts[first];
    size_t total = 0;
    for (; times > 0 && size <= sizeof(work.copied) - total; times--, total += size) {
        memcpy(work.copied + total, work.bytes + work.starts[first], size);
    }
    return total;
}

static void change_operand(size_t index)
{
    const size_t size = work.starts[index + 1] - work.starts[index];
    if (size > 1) {
        uint8_t *byte = &work.bytes[work.starts[index] + 1 + below(size - 1)];
        *byte = (uint8_t)(below(2) == 0 ? below(256) : *byte + below(3) - 1);
    }
}

static void change_pool(size_t first, size_t end)
{
    const size_t pool = below(PROGRAM_POOL_COUNT);
    for (size_t i = first; i < end; i++) {
        uint8_t *byte = &work.bytes[work.starts[i]];
        *byte = (uint8_t)(*byte - *byte % PROGRAM_POOL_COUNT + pool);
    }
}

/* A change of the operations from first up to end, which are mostly few. */
static void mutate(size_t first, size_t end)
{
    const size_t to = below(work.count + 1);
    const size_t change = below(16);
    if (change == 0) {
        replace(first, end, 0);
    } else if (change < 3) {
        replace(to, to, copy(first, end, 1));
    } else if (change < 5) {
        replace(end, end, copy(first, end, 1 + below((size_t)2 << below(6))));
    } else if (change == 5) {
        change_pool(first, end);
    } else if (change < 8) {
        replace(first, first + 1, make_up(first));
    } else if (change < 11) {
        change_operand(first);
    } else if (change == 11 && work.driver->head_size > 0) {
        work.bytes[below(work.driver->head_size)] ^= (uint8_t)(1U << below(8));
    } else {
        replace(to, to, make_up(to));
    }
}

static void step(void)
{
    if (!cut() || below(8) == 0 || work.driver->run == run_options) {
        work.size = LLVMFuzzerMutate(work.bytes, work.size, work.max_size);
    } else if (work.count == 0) {
        replace(0, 0, make_up(0));
    } else {
        const size_t first = below(work.count);
        const size_t size = 1 + below((size_t)1 << below(7));
        mutate(first, size < work.count - first ? first + size : work.count);
    }
}

/* Leaves out operations until the input has the size that libFuzzer allows, which is less than it
 * has under -minimize_crash. Cutting its end off instead would mostly lose what fails. */
static void leave_out(size_t max_size)
{
    while (work.size > max_size && cut() && work.count > 0) {
        const size_t first = below(work.count);
        const size_t count = 1 + below((size_t)1 << below(10));
        replace(first, count < work.count - first ? first + count : work.count, 0);
    }
    work.size = work.size < max_size ? work.size : max_size;
}

size_t mutator_mutate(const struct driver *driver, uint8_t *data, size_t size, size_t max_size,
                      unsigned seed)
{
    work.driver = driver;
    work.random = seed;
    if (below(LARGE_ONE_IN) != 0 && max_size > size + GROWTH) {
        max_size = size + GROWTH;
    }
    work.max_size = RUN_MAX_SIZE;
    work.size = size < RUN_MAX_SIZE ? size : RUN_MAX_SIZE;
    memcpy(work.bytes, data, work.size);
    leave_out(max_size);
    work.max_size = max_size < RUN_MAX_SIZE ? max_size : RUN_MAX_SIZE;
    bool is_done = size > max_size && below(2) == 0;
    while (!is_done) {
        step();
        is_done = below(4) != 0;
    }
    if (work.size == 0) {
        work.bytes[work.size++] = 0;
    }
    memcpy(data, work.bytes, work.size);
    return work.size;
}

ENGINE_END
