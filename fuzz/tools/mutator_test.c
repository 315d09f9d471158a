/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * The mutator: whatever it makes is whole operations, within its room, and the same each time.
 */

#include "fuzz/mutator.h"

#include <string.h>

#include "test/harness.h"

#define MUTATIONS_PER_DRIVER 10000
#define CHAINS_PER_DRIVER    100 /* inputs are begun anew so many times */

static const struct driver *const drivers[] = {&driver_misuse, &driver_model, &driver_oom,
                                               &driver_profiles};
#define DRIVER_COUNT (sizeof(drivers) / sizeof(drivers[0]))

/* What the engine would define: any bytes in place of the last. */
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size)
{
    static uint8_t byte;
    const size_t least = size > 0 ? size - 1 : 0;
    for (size = least; size < max_size && size < least + 2; size++) {
        data[size] = byte += 37;
    }
    return size;
}

static struct mutator_input input_of(const uint8_t *data, size_t size)
{
    return (struct mutator_input){data, size};
}

/* Encoding all operations anew must take as many bytes: none of the last one's are missing. */
static size_t check_whole(const struct driver *driver, const uint8_t *data, size_t size)
{
    struct driver_run run;
    struct operation operation;
    size_t encoded_size = 0;
    size_t count = 0;
    if (!driver_decode(driver, NULL, data, size, 0, &run)) {
        return 0;
    }
    struct program program = {run.data, run.size, 0, driver->dialect};
    for (; program_next(&program, &operation); count++) {
        uint8_t bytes[OPERATION_BYTES_MAX];
        encoded_size += operation_encode(&operation, driver->dialect, bytes);
    }
    CHECK_EQUAL(encoded_size, run.size);
    return count;
}

/* Mutates a growing input again and again, beside another that was it before. */
static void check_chain(const struct driver *driver, uint64_t *random, unsigned *all_done)
{
    static uint8_t data[RUN_MAX_SIZE + 1];
    static uint8_t other[RUN_MAX_SIZE];
    const size_t max_size = 16 + test_random(random) % (RUN_MAX_SIZE - 15);
    size_t size = 0;
    size_t other_size = 0;
    for (int i = 0; i < MUTATIONS_PER_DRIVER / CHAINS_PER_DRIVER; i++) {
        const uint64_t seed = test_random(random);
        unsigned done;
        data[max_size] = 0xa5;
        if (seed % 8 == 0) {
            uint8_t crossed[RUN_MAX_SIZE];
            size = mutator_cross(driver, input_of(data, size), input_of(other, other_size), crossed,
                                 max_size, seed);
            memcpy(data, crossed, size);
        } else {
            size = mutator_mutate(driver, input_of(data, size), input_of(other, other_size), data,
                                  max_size, seed, &done);
            *all_done |= done;
        }
        CHECK(size > 0 && size <= max_size && data[max_size] == 0xa5);
        check_whole(driver, data, size);
        if (seed % 4 == 0) {
            memcpy(other, data, size);
            other_size = size;
        }
    }
}

TEST(whatever_is_mutated_stays_whole_operations_within_its_room)
{
    for (size_t i = 0; i < DRIVER_COUNT; i++) {
        uint64_t random = test_seed();
        unsigned done = 0;
        for (int j = 0; j < CHAINS_PER_DRIVER; j++) {
            check_chain(drivers[i], &random, &done);
        }
        const unsigned head = drivers[i]->has_mask ? 0 : 1U << MUTATION_HEAD;
        CHECK_EQUAL(done | head, (1U << MUTATION_COUNT) - 1);
    }
}

TEST(the_least_room_is_enough)
{
    static const uint8_t init_with[OPERATION_BYTES_MAX] = {60 * 4};
    for (size_t i = 0; i < DRIVER_COUNT; i++) {
        for (size_t max_size = 0; max_size < 24; max_size++) {
            for (uint64_t seed = 0; seed < 1000; seed++) {
                const size_t size = seed % (OPERATION_BYTES_MAX + 1);
                uint8_t data[24] = {0};
                unsigned done;
                memset(data + max_size, 0xa5, sizeof(data) - max_size);
                const size_t result = mutator_mutate(
                    drivers[i], input_of(init_with, size < max_size ? size : max_size),
                    input_of(init_with, sizeof(init_with)), data, max_size, seed, &done);
                CHECK(result <= max_size && (result > 0 || max_size == 0));
                CHECK(max_size == sizeof(data) || data[max_size] == 0xa5);
                check_whole(drivers[i], data, result);
            }
        }
    }
}

TEST(the_same_seed_makes_the_same)
{
    const uint8_t program[] = {0, 33 * 4, 7, 16 * 4, 1, 0, 37 * 4, 0, 24, 0, 35 * 4, 3, 2, 2};
    unsigned differing_count = 0;
    for (uint64_t seed = 0; seed < 1000; seed++) {
        uint8_t results[3][64];
        size_t sizes[3];
        unsigned done;
        for (int i = 0; i < 3; i++) {
            /* Bytes are the engine's, and are not the seed's alone. */
            sizes[i] = mutator_mutate(&driver_model, input_of(program, sizeof(program)),
                                      input_of(program, 6), results[i], sizeof(results[i]),
                                      seed + (i == 2), &done);
            if ((done >> MUTATION_BYTES & 1) != 0) {
                sizes[i] = 0;
            }
        }
        CHECK_EQUAL(sizes[0], sizes[1]);
        CHECK(memcmp(results[0], results[1], sizes[0]) == 0);
        differing_count += sizes[0] != sizes[2] || memcmp(results[0], results[2], sizes[0]) != 0;
    }
    CHECK(differing_count > 900);
}

/* The text of all operations, a line each. */
static void print_program(const uint8_t *data, size_t size, char *text)
{
    struct program program = {data, size, 0, PROGRAM_MISUSE};
    struct operation operation;
    while (program_next(&program, &operation)) {
        operation_print(&operation, text);
        text += strlen(text);
        *text++ = '\n';
    }
    *text = '\0';
}

/* Whether a mutation, done alone, ever makes a program of another. */
static bool makes(enum mutation mutation, const char *expected)
{
    static const uint8_t program[] = {0, 16 * 4 + 1, 5, 0, 30 * 4 + 2};
    static const uint8_t other[] = {57 * 4 + 3};
    for (uint64_t seed = 0; seed < 100000; seed++) {
        uint8_t result[64];
        char text[sizeof(result) * OPERATION_TEXT_SIZE];
        unsigned done;
        const size_t size =
            mutator_mutate(&driver_misuse, input_of(program, sizeof(program)),
                           input_of(other, sizeof(other)), result, sizeof(result), seed, &done);
        print_program(result, size, text);
        if (done == 1U << mutation && strcmp(text, expected) == 0) {
            return true;
        }
    }
    return false;
}

TEST(each_mutation_does_what_its_name_says)
{
    /* More than a few repeats of one time each would make. */
    static char repeated[16 * 6 + 20];
    for (int i = 0; i < 16; i++) {
        strcat(repeated, "new 0\n");
    }
    strcat(repeated, "free 1 5\ncheck 2\n");
    CHECK(makes(MUTATION_INSERT, "new 0\nfree 1 5\ntrim 1\ncheck 2\n"));
    CHECK(makes(MUTATION_DELETE, "new 0\ncheck 2\n"));
    CHECK(makes(MUTATION_DELETE, "check 2\n"));
    CHECK(makes(MUTATION_DUPLICATE, "new 0\nfree 1 5\nfree 1 5\ncheck 2\n"));
    CHECK(makes(MUTATION_SWAP, "check 2\nfree 1 5\nnew 0\n"));
    CHECK(makes(MUTATION_SWAP, "free 1 5\nnew 0\ncheck 2\n"));
    CHECK(makes(MUTATION_COPY, "new 0\nfree 1 5\ncheck 2\nnew 0\nfree 1 5\n"));
    CHECK(makes(MUTATION_REPEAT, repeated));
    CHECK(makes(MUTATION_POOL, "new 3\nfree 3 5\ncheck 3\n"));
    CHECK(makes(MUTATION_OPERAND, "new 0\nfree 1 65\ncheck 2\n"));
    CHECK(makes(MUTATION_KIND, "new 0\nfree_twice 1 5\ncheck 2\n"));
    CHECK(makes(MUTATION_SPLICE, "new 0\ntrim 3\n"));
    CHECK(makes(MUTATION_SPLICE, "new 0\ntrim 3\nfree 1 5\ncheck 2\n"));
}
