/* SPDX-License-Identifier: BSD-3-Clause */

/* Programs as bytes, as operations and as text: each says the same as the others. */

#include "fuzz/engine/program.h"

#include <string.h>

#include "test/support/harness.h"

#define COUNT_OF(rows) (sizeof(rows) / sizeof((rows)[0]))

/* What bytes mean, is encoded and printed; both must mean it again. */
static void check_again(const uint8_t *bytes, enum program_dialect dialect, bool is_printed)
{
    uint8_t encoded[OPERATION_BYTES_MAX];
    char text[OPERATION_TEXT_SIZE];
    struct operation operation, again;
    struct program_error error;
    struct program program = {bytes, OPERATION_BYTES_MAX, 0, dialect};
    CHECK(program_next(&program, &operation));
    program = (struct program){encoded, operation_encode(&operation, dialect, encoded), 0, dialect};
    CHECK(program_next(&program, &again));
    CHECK_EQUAL(program.position, program.size);
    CHECK(memcmp(&again, &operation, sizeof(again)) == 0);
    if (is_printed) {
        operation_print(&operation, text);
        CHECK_EQUAL(operation_parse(text, &again, &error), PARSE_OPERATION);
        CHECK(memcmp(&again, &operation, sizeof(again)) == 0);
    }
}

TEST(every_first_byte_is_encoded_again)
{
    for (unsigned i = 0; i < 256 * (PROGRAM_MISUSE + 1); i++) {
        const uint8_t bytes[OPERATION_BYTES_MAX] = {(uint8_t)(i % 256)};
        check_again(bytes, (enum program_dialect)(i / 256), true);
    }
}

/* Two neighbouring bytes of an operation have all values below count; the others are 0. */
static void check_operands(unsigned code, unsigned first, unsigned count)
{
    for (unsigned value = 0; value < count; value++) {
        uint8_t bytes[OPERATION_BYTES_MAX + 1] = {(uint8_t)(code * 4)};
        bytes[first] = (uint8_t)value;
        bytes[first + 1] = (uint8_t)(value >> 8);
        check_again(bytes, PROGRAM_MISUSE, true);
    }
}

TEST(all_operands_of_one_byte_and_of_two_are_encoded_again)
{
    for (unsigned i = 0; i < 64 * (OPERATION_BYTES_MAX - 1); i++) {
        check_operands(i % 64, 1 + i / 64, 256);
    }
    check_operands(16, 1, 65536); /* free INDEX */
    check_operands(46, 3, 65536); /* the second INDEX of free_interior */
    check_operands(34, 1, 65536); /* free_many COUNT ORDER */
    check_operands(60, 7, 65536); /* half of OPTIONS */
    check_operands(60, 9, 65536);
}

/* A class of sizes is four neighbouring bytes or more: each class gets all numbers. Text takes
 * longer than all else: one of a few is printed. */
TEST(all_sizes_are_encoded_again)
{
    for (unsigned byte = 0; byte < 256; byte++) {
        for (unsigned number = byte % 4; number < 65536; number += 4) {
            const uint8_t bytes[OPERATION_BYTES_MAX] = {37 * 4, (uint8_t)byte, (uint8_t)number,
                                                        (uint8_t)(number >> 8)};
            check_again(bytes, PROGRAM_MISUSE, (byte + number * 256) % 257 == 0);
        }
    }
}

/* All that they mean is encoded, as the tests above see. */
TEST(what_no_bytes_of_a_dialect_mean_is_not_encoded)
{
    static const struct {
        enum program_dialect dialect;
        struct operation operation;
    } rows[] = {
        {PROGRAM_PLAIN, {OPERATION_TRIM, 0, {0}}},
        {PROGRAM_OPTIONS, {OPERATION_LEAK, 0, {0}}},
        {PROGRAM_MISUSE, {OPERATION_NEW, PROGRAM_POOL_COUNT, {0}}},
        {PROGRAM_MISUSE, {OPERATION_NEW, 0, {1}}},
        {PROGRAM_MISUSE, {OPERATION_FREE, 0, {65536}}},
        {PROGRAM_MISUSE, {OPERATION_NEW_MANY, 0, {0}}},
        {PROGRAM_MISUSE, {OPERATION_NEW_MANY, 0, {49}}},
        {PROGRAM_MISUSE, {OPERATION_FREE_MANY, 0, {1, 4}}},
        {PROGRAM_MISUSE, {OPERATION_FREE_MANY, 0, {1, 258}}},
        {PROGRAM_MISUSE, {OPERATION_INIT, 0, {16}}},
        {PROGRAM_MISUSE, {OPERATION_INIT_SIZE, 0, {65537}}},
        {PROGRAM_MISUSE, {OPERATION_INIT_SIZE, 0, {(1 << 20) + 16}}},
        {PROGRAM_MISUSE, {OPERATION_INIT_SIZE, 0, {SIZE_MAX - 0x8000}}},
        {PROGRAM_MISUSE, {OPERATION_LIMIT, 0, {4097}}},
        {PROGRAM_MISUSE, {OPERATION_FOREACH, 0, {256}}},
#if SIZE_MAX > UINT32_MAX
        {PROGRAM_MISUSE, {OPERATION_INIT_WITH, 0, {1, 1, (size_t)1 << 32}}},
#endif
    };
    uint8_t bytes[OPERATION_BYTES_MAX];
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        test_row("row %zu", i);
        CHECK_EQUAL(operation_encode(&rows[i].operation, rows[i].dialect, bytes), 0);
    }
}

TEST(spaces_and_comments_do_not_matter)
{
    static const char *const lines[] = {"", "   ", "# new 0", "\t# 1", "\n"};
    const struct operation expected = {OPERATION_FREE_MANY, 2, {3, ORDER_STRIDE + 4 * 5}};
    struct operation parsed;
    struct program_error error;
    for (size_t i = 0; i < COUNT_OF(lines); i++) {
        CHECK_EQUAL(operation_parse(lines[i], &parsed, &error), PARSE_NOTHING);
    }
    CHECK_EQUAL(operation_parse("\t free_many  2 0x3 stride 5# all\r\n", &parsed, &error),
                PARSE_OPERATION);
    CHECK(memcmp(&parsed, &expected, sizeof(parsed)) == 0);
}

TEST(a_line_that_is_no_operation_is_refused_where_it_is_wrong)
{
    static const struct {
        const char *line;
        unsigned column;
        const char *expected;
    } errors[] = {
        {"frob 0", 1, "the name of an operation"},
        {"  newer 0", 3, "the name of an operation"},
        {"new", 4, "a pool, 0 to 3"},
        {"new 4", 5, "a pool, 0 to 3"},
        {"new 0 1", 7, "nothing more"},
        {"new 0 init", 7, "nothing more"},
        {"free 1 65536", 8, "an index up to 65535"},
        {"free 1 1x", 8, "an index up to 65535"},
        {"new_many 0 49", 12, "a count: 1 to 48, 56 to 160 by eights, 256 or 1024"},
        {"init 0 double", 8, "one of subject.h's types in quotes, as \"double\""},
        {"free_many 0 1 stride", 15,
         "an order: lifo, fifo, or stride or random with a number up to 63"},
        {"reinit 0 random 64", 10,
         "an order: lifo, fifo, or stride or random with a number up to 63"},
        {"free 0 18446744073709551616", 8, "an index up to 65535"},
    };
    for (size_t i = 0; i < COUNT_OF(errors); i++) {
        struct operation parsed;
        struct program_error error;
        test_row("%s", errors[i].line);
        CHECK_EQUAL(operation_parse(errors[i].line, &parsed, &error), PARSE_FAILED);
        CHECK_EQUAL(error.column, errors[i].column);
        CHECK_STRING(error.expected, errors[i].expected);
    }
}
