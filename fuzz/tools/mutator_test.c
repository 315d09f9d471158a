/* SPDX-License-Identifier: BSD-3-Clause */
#include "fuzz/targets/driver.h"

#include <string.h>

#include "test/support/harness.h"

/* It does no more than it must. */
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size)
{
    CHECK(size <= max_size);
    data[0] = size > 0 ? data[0] : 1;
    return size > 0 ? size : 1;
}

TEST(a_result_fits_and_is_the_same_for_the_same_seed)
{
    static const struct driver *const drivers[] = {&driver_model, &driver_oom};
    static uint8_t results[2][RUN_MAX_SIZE];
    for (unsigned seed = 0; seed < 8000; seed++) {
        const size_t max_size = seed % 3 == 0 ? RUN_MAX_SIZE : 1 + seed / 4 % 50;
        const size_t old_size = seed / 16 % (max_size + 1);
        size_t sizes[2];
        for (int i = 0; i < 2; i++) {
            memset(results[i], (int)(seed % 251), RUN_MAX_SIZE);
            sizes[i] = mutator_mutate(drivers[seed % 2], results[i], old_size, max_size, seed);
        }
        CHECK(sizes[0] >= 1 && sizes[0] <= max_size && sizes[0] == sizes[1]);
        CHECK(memcmp(results[0], results[1], RUN_MAX_SIZE) == 0);
    }
}

/* Whether some seed makes of "new 0;free 1 5;check 2;" a program of such text. */
static bool makes(const char *wanted)
{
    for (unsigned seed = 0; seed < 4000; seed++) {
        uint8_t data[RUN_MAX_SIZE] = {0, 16 * 4 + 1, 5, 0, 30 * 4 + 2};
        const size_t size = mutator_mutate(&driver_misuse, data, 5, sizeof(data), seed);
        struct program program = {data, size, 0, PROGRAM_MISUSE};
        struct operation operation;
        char text[OPERATION_TEXT_SIZE];
        const char *rest = wanted;
        while (program_next(&program, &operation)) {
            operation_print(&operation, text);
            strcat(text, ";");
            rest = strncmp(rest, text, strlen(text)) == 0 ? rest + strlen(text) : "no";
        }
        if (*rest == '\0') {
            return true;
        }
    }
    return false;
}

TEST(an_input_larger_than_allowed_loses_whole_operations)
{
    static const uint8_t old[] = {0, 16 * 4 + 1, 5, 0, 32 * 4 + 2, 7}; /* of 1, 3 and 2 bytes */
    unsigned seen = 0;
    for (unsigned seed = 0; seed < 4000; seed++) {
        uint8_t data[sizeof(old)];
        memcpy(data, old, sizeof(old));
        const size_t size = mutator_mutate(&driver_misuse, data, sizeof(old), 5, seed);
        CHECK(size >= 1 && size <= 5);
        seen |= size == 5 && memcmp(data, old + 1, 5) == 0 ? 1 : 0;
        seen |= size == 3 && data[0] == 0 && memcmp(data + 1, old + 4, 2) == 0 ? 2 : 0;
        seen |= size == 4 && memcmp(data, old, 4) == 0 ? 4 : 0;
        seen |= size == 2 && memcmp(data, old + 4, 2) == 0 ? 8 : 0;
    }
    CHECK(seen == 15);
}

TEST(operations_are_inserted_deleted_copied_repeated_and_changed)
{
    CHECK(makes("new 0;free 1 5;check 1;check 2;"));
    CHECK(makes("new 0;check 2;"));
    CHECK(makes("free 1 5;check 2;new 0;free 1 5;check 2;"));
    CHECK(makes("new 0;new 0;new 0;new 0;new 0;new 0;new 0;new 0;free 1 5;check 2;"));
    CHECK(makes("new 3;free 3 5;check 3;"));
    CHECK(makes("new 0;free 1 6;check 2;"));
    CHECK(makes("new 0;check 0;check 2;"));
}
