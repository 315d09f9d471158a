/* SPDX-License-Identifier: BSD-3-Clause */
#include "mutator.h"

#include <stdbool.h>
#include <string.h>

#include "engine.h"
#include "mutator_operand.h"
#include "program.h"
#include "run.h"

#if defined(__has_feature)
#if __has_feature(memory_sanitizer)
#include <sanitizer/msan_interface.h>
#define HAS_MEMORY_SANITIZER 1
#endif
#endif

/* libFuzzer's own mutator. Other engines have none to call, and mutate bytes besides. */
__attribute__((weak)) size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);

ENGINE_BEGIN

/* libFuzzer is not instrumented: MemorySanitizer does not know that it has written. */
static void from_libfuzzer(const uint8_t *bytes, size_t size)
{
#if defined(HAS_MEMORY_SANITIZER)
    __msan_unpoison(bytes, size);
#else
    (void)bytes;
    (void)size;
#endif
}

/* libFuzzer asks for something of two inputs as often as for something of one. That is too often
 * to splice: one time of so many is enough. */
#define SPLICES_ONE_IN 3

/* Short programs run fast and find about as much, so an input grows by so many bytes at most, but
 * for one time of so many. libFuzzer does not see to that itself where it is given a mutator. */
#define GROWTH       16
#define LARGE_ONE_IN 32

/* How often each is chosen, of their sum. */
static const unsigned char weights[MUTATION_COUNT] = {
    [MUTATION_INSERT] = 24, [MUTATION_DELETE] = 6,   [MUTATION_DUPLICATE] = 4,
    [MUTATION_SWAP] = 3,    [MUTATION_COPY] = 8,     [MUTATION_REPEAT] = 8,
    [MUTATION_POOL] = 6,    [MUTATION_OPERAND] = 20, [MUTATION_KIND] = 8,
    [MUTATION_SPLICE] = 8,  [MUTATION_HEAD] = 5,     [MUTATION_BYTES] = 16,
};

struct parts {
    const struct driver *driver;
    size_t max_size;
    size_t size;
    size_t head;  /* bytes before the program */
    size_t count; /* of operations */
    /* Where each begins, and where the last ends, which is at size. */
    size_t starts[RUN_MAX_SIZE + 1];
    /* Behind the end there is room for what is missing of the last operation. */
    uint8_t bytes[RUN_MAX_SIZE + OPERATION_BYTES_MAX];
};

/* Static, because they are large. The last is what is copied meanwhile. */
static struct parts work;
static struct parts donor;
static uint8_t copied[RUN_MAX_SIZE];

/* Finds the operations. The last, if bytes are missing, gets them, or goes where there is no room.
 * Returns: false where an input has less than a head. */
static bool cut(struct parts *input)
{
    struct driver_run run;
    struct operation operation;
    input->count = 0;
    if (!driver_decode(input->driver, NULL, input->bytes, input->size, 0, &run)) {
        return false;
    }
    memset(input->bytes + input->size, 0, OPERATION_BYTES_MAX);
    input->head = (size_t)(run.data - input->bytes);
    struct program program = {run.data, run.size + OPERATION_BYTES_MAX, 0, input->driver->dialect};
    while (program.position < run.size) {
        input->starts[input->count++] = input->head + program.position;
        program_next(&program, &operation);
    }
    input->starts[input->count] = input->head + program.position;
    if (input->starts[input->count] > input->max_size) {
        input->count--;
    }
    input->size = input->starts[input->count];
    return true;
}

static bool load(struct parts *input, const struct driver *driver, struct mutator_input from,
                 size_t max_size)
{
    input->driver = driver;
    input->max_size = max_size < RUN_MAX_SIZE ? max_size : RUN_MAX_SIZE;
    input->size = from.size < input->max_size ? from.size : input->max_size;
    if (input->size > 0) {
        memcpy(input->bytes, from.data, input->size);
        from_libfuzzer(input->bytes, input->size);
    }
    return cut(input);
}

/* Puts bytes, which are none of the input's, in the place of operations. What finds no room falls
 * off the end. */
static void replace(size_t first, size_t end, const uint8_t *bytes, size_t size)
{
    const size_t start = work.starts[first];
    const size_t old_rest = work.starts[end];
    const size_t room = work.max_size - start;
    size = size < room ? size : room;
    size_t rest_size = work.size - old_rest;
    rest_size = rest_size < room - size ? rest_size : room - size;
    memmove(work.bytes + start + size, work.bytes + old_rest, rest_size);
    memcpy(work.bytes + start, bytes, size);
    work.size = start + size + rest_size;
}

struct range {
    size_t first;
    size_t end;
};

/* A range of at least one operation, mostly short; count: how many there are, not 0. */
static struct range any_range(uint64_t *random, size_t count)
{
    size_t most = (size_t)1 << random_below(random, 7);
    most = random_below(random, 8) == 0 || most > count ? count : most;
    const size_t size = 1 + random_below(random, most);
    const size_t first = random_below(random, count - size + 1);
    return (struct range){first, first + size};
}

/* Returns: how many bytes are in copied. */
static size_t copy(const struct parts *input, struct range range)
{
    const size_t size = input->starts[range.end] - input->starts[range.first];
    memcpy(copied, input->bytes + input->starts[range.first], size);
    return size;
}

/* Operations that belong together are about the same pool. */
static unsigned pool_near(uint64_t *random, size_t index)
{
    if (index > work.count - 1 || random_below(random, 4) == 0) {
        index = work.count > 0 ? random_below(random, work.count) : 0;
    }
    const bool is_other = work.count == 0 || random_below(random, 8) == 0;
    return is_other ? (unsigned)random_below(random, PROGRAM_POOL_COUNT)
                    : work.bytes[work.starts[index]] % PROGRAM_POOL_COUNT;
}

static struct operation operation_at(size_t index)
{
    struct operation operation;
    struct program program = {work.bytes, work.size, work.starts[index], work.driver->dialect};
    program_next(&program, &operation);
    return operation;
}

/* How many objects of a pool are live before an operation, if none was refused. */
static size_t live_count(size_t index, unsigned pool)
{
    size_t count = 0;
    for (size_t i = 0; i < index; i++) {
        const struct operation operation = operation_at(i);
        if (operation.pool == pool) {
            count = operation_live_count(&operation, count);
        }
    }
    return count;
}

static void replace_operation(size_t index, const struct operation *operation)
{
    uint8_t bytes[OPERATION_BYTES_MAX];
    const size_t size = operation_encode(operation, work.driver->dialect, bytes);
    if (size > 0) {
        replace(index, index + 1, bytes, size);
    }
}

static void insert(uint64_t *random)
{
    const size_t index = random_below(random, work.count + 1);
    const size_t count = 1 + random_below(random, random_below(random, 4) == 0 ? 8 : 2);
    const unsigned pool = pool_near(random, index);
    const size_t live = live_count(index, pool);
    size_t size = 0;
    for (size_t i = 0; i < count; i++) {
        const struct operation operation =
            operation_random(random, work.driver->dialect, pool, live);
        size += operation_encode(&operation, work.driver->dialect, copied + size);
    }
    replace(index, index, copied, size);
}

static void swap(uint64_t *random)
{
    const size_t one = random_below(random, work.count);
    const size_t other = random_below(random, work.count);
    const size_t low = one < other ? one : other;
    const size_t high = one < other ? other : one;
    const size_t between = work.starts[high] - work.starts[low];
    if (low == high) {
        return;
    }
    /* The second, what is between, the first. */
    const size_t first_size = work.starts[low + 1] - work.starts[low];
    const size_t second_size = copy(&work, (struct range){high, high + 1});
    memcpy(copied + second_size, work.bytes + work.starts[low + 1], between - first_size);
    memcpy(copied + second_size + between - first_size, work.bytes + work.starts[low], first_size);
    replace(low, high + 1, copied, second_size + between);
}

static void repeat(uint64_t *random)
{
    const struct range range = any_range(random, work.count);
    const size_t size = copy(&work, range);
    size_t count = 1 + random_below(random, (size_t)2 << random_below(random, 6));
    size_t total = size;
    for (; count > 1 && total + size <= sizeof(copied); count--) {
        memcpy(copied + total, copied, size);
        total += size;
    }
    replace(range.end, range.end, copied, total);
}

static void change_pool(uint64_t *random)
{
    const struct range range = any_range(random, work.count);
    const unsigned pool = (unsigned)random_below(random, PROGRAM_POOL_COUNT);
    for (size_t i = range.first; i < range.end; i++) {
        uint8_t *byte = &work.bytes[work.starts[i]];
        *byte = (uint8_t)(*byte - *byte % PROGRAM_POOL_COUNT + pool);
    }
}

static void change_operand(uint64_t *random)
{
    /* Most operations have none to change. */
    for (int i = 0; i < 8; i++) {
        const size_t index = random_below(random, work.count);
        struct operation operation = operation_at(index);
        if (operation_perturb(&operation, random, live_count(index, operation.pool))) {
            replace_operation(index, &operation);
            return;
        }
    }
}

static void change_kind(uint64_t *random)
{
    const size_t index = random_below(random, work.count);
    const struct operation old = operation_at(index);
    struct operation operation =
        operation_random(random, work.driver->dialect, old.pool, live_count(index, old.pool));
    operation_keep_operands(&operation, &old);
    replace_operation(index, &operation);
}

static void splice(uint64_t *random)
{
    if (donor.count == 0) {
        return;
    }
    const size_t index = random_below(random, work.count + 1);
    struct range range = any_range(random, donor.count);
    size_t end = index;
    switch (random_below(random, 4)) {
    case 0: /* one's beginning and the other's end */
        range.end = donor.count;
        end = work.count;
        break;
    case 1: /* instead of as many */
        end += range.end - range.first;
        end = end < work.count ? end : work.count;
        break;
    }
    replace(index, end, copied, copy(&donor, range));
}

static void change_head(uint64_t *random)
{
    const size_t bit = work.head > 0 ? random_below(random, work.head * 8) : 0;
    if (work.head == 0) {
        return;
    }
    /* The more bits are set, the less comes of what follows. */
    switch (random_below(random, 8)) {
    case 0:
        memset(work.bytes, 0, work.head);
        break;
    case 1:
        memset(work.bytes, 0, work.head);
        work.bytes[bit / 8] = (uint8_t)(1U << bit % 8);
        break;
    case 2:
        work.bytes[bit / 8] = 0;
        break;
    case 3:
        work.bytes[bit / 8] = (uint8_t)random_next(random);
        break;
    default:
        work.bytes[bit / 8] ^= (uint8_t)(1U << bit % 8);
        break;
    }
}

static void mutate(enum mutation mutation, uint64_t *random)
{
    struct range range = {0, 0};
    size_t to;
    if (work.count > 0) {
        range = any_range(random, work.count);
    } else if (mutation != MUTATION_SPLICE && mutation != MUTATION_HEAD) {
        mutation = MUTATION_INSERT;
    }
    switch (mutation) {
    case MUTATION_DELETE:
        replace(range.first, range.end, copied, 0);
        break;
    case MUTATION_DUPLICATE:
        range.end = range.first + 1;
        replace(range.end, range.end, copied, copy(&work, range));
        break;
    case MUTATION_SWAP:
        swap(random);
        break;
    case MUTATION_COPY:
        to = random_below(random, work.count + 1);
        replace(to, to, copied, copy(&work, range));
        break;
    case MUTATION_REPEAT:
        repeat(random);
        break;
    case MUTATION_POOL:
        change_pool(random);
        break;
    case MUTATION_OPERAND:
        change_operand(random);
        break;
    case MUTATION_KIND:
        change_kind(random);
        break;
    case MUTATION_SPLICE:
        splice(random);
        break;
    case MUTATION_HEAD:
        change_head(random);
        break;
    default:
        insert(random);
        break;
    }
}

static enum mutation choose(uint64_t *random)
{
    size_t sum = 0;
    bool is_possible[MUTATION_COUNT];
    for (int i = 0; i < MUTATION_COUNT; i++) {
        is_possible[i] = (i != MUTATION_SPLICE || donor.count > 0) &&
                         (i != MUTATION_HEAD || work.head > 0) &&
                         (i != MUTATION_BYTES || LLVMFuzzerMutate != NULL);
        sum += is_possible[i] ? weights[i] : 0;
    }
    size_t chosen = random_below(random, sum);
    int i = 0;
    for (; !is_possible[i] || chosen >= weights[i]; i++) {
        chosen -= is_possible[i] ? weights[i] : 0;
    }
    return (enum mutation)i;
}

/* What is too short to have a head grows one of zeros. */
static void start(const struct driver *driver, struct mutator_input input,
                  struct mutator_input other, size_t max_size)
{
    load(&donor, driver, other, RUN_MAX_SIZE);
    bool is_whole = load(&work, driver, input, max_size);
    while (!is_whole && work.size < work.max_size) {
        work.bytes[work.size++] = 0;
        is_whole = cut(&work);
    }
    work.head = is_whole ? work.head : work.size;
}

static size_t finish(uint8_t *result, size_t max_size)
{
    if (work.size == 0 && max_size > 0) {
        work.bytes[work.size++] = 0;
    }
    if (work.size > 0) {
        memcpy(result, work.bytes, work.size);
    }
    return work.size;
}

static void step(enum mutation mutation, uint64_t *random)
{
    if (mutation == MUTATION_BYTES) {
        work.size = LLVMFuzzerMutate(work.bytes, work.size, work.max_size);
        from_libfuzzer(work.bytes, work.size);
    } else {
        mutate(mutation, random);
    }
    cut(&work);
}

size_t mutator_mutate(const struct driver *driver, struct mutator_input input,
                      struct mutator_input other, uint8_t *result, size_t max_size, uint64_t seed,
                      unsigned *done)
{
    uint64_t random = seed;
    const bool is_large = random_below(&random, LARGE_ONE_IN) == 0;
    *done = 0;
    max_size = is_large || max_size < input.size + GROWTH ? max_size : input.size + GROWTH;
    start(driver, input, other, max_size);
    do {
        /* Without room for a head there are no operations. */
        if (work.head == work.max_size) {
            break;
        }
        const enum mutation mutation = choose(&random);
        *done |= 1U << mutation;
        step(mutation, &random);
    } while (random_below(&random, 4) == 0);
    return finish(result, max_size);
}

size_t mutator_cross(const struct driver *driver, struct mutator_input input,
                     struct mutator_input other, uint8_t *result, size_t max_size, uint64_t seed)
{
    uint64_t random = ~seed;
    unsigned done;
    max_size = max_size < input.size + GROWTH ? max_size : input.size + GROWTH;
    if (random_below(&random, SPLICES_ONE_IN) != 0) {
        return mutator_mutate(driver, input, other, result, max_size, seed, &done);
    }
    start(driver, input, other, max_size);
    if (work.head < work.max_size) {
        step(MUTATION_SPLICE, &random);
    }
    return finish(result, max_size);
}

ENGINE_END
