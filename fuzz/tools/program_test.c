/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * Programs as bytes, as operations and as text: each says the same as the others.
 */

#include "fuzz/engine/program.h"

#include <string.h>

#include "test/support/harness.h"

static void check_same(const struct operation *actual, const struct operation *expected)
{
    CHECK_EQUAL(actual->kind, expected->kind);
    CHECK_EQUAL(actual->pool, expected->pool);
    CHECK(memcmp(actual->operands, expected->operands, sizeof(actual->operands)) == 0);
}

/* Encodes an operation and decodes that. */
static void check_encoding(const struct operation *operation, enum program_dialect dialect)
{
    uint8_t bytes[OPERATION_BYTES_MAX];
    struct operation decoded;
    const size_t size = operation_encode(operation, dialect, bytes);
    struct program program = {bytes, size, 0, dialect};
    CHECK(program_next(&program, &decoded));
    CHECK_EQUAL(program.position, size);
    check_same(&decoded, operation);
}

static void check_text(const struct operation *operation)
{
    char text[OPERATION_TEXT_SIZE];
    struct operation parsed;
    struct program_error error;
    operation_print(operation, text);
    CHECK_EQUAL(operation_parse(text, &parsed, &error), PARSE_OPERATION);
    check_same(&parsed, operation);
}

TEST(every_first_byte_is_encoded_again)
{
    for (unsigned dialect = PROGRAM_PLAIN; dialect <= PROGRAM_MISUSE; dialect++) {
        for (unsigned byte = 0; byte < 256; byte++) {
            const uint8_t bytes[OPERATION_BYTES_MAX] = {(uint8_t)byte};
            struct operation operation;
            struct program program = {bytes, sizeof(bytes), 0, (enum program_dialect)dialect};
            CHECK(program_next(&program, &operation));
            check_encoding(&operation, (enum program_dialect)dialect);
            check_text(&operation);
        }
    }
}

/* Some bytes of an operation's operands have a value, from first on; the others are 0. */
static void check_operand(unsigned code, unsigned first, unsigned count, uint32_t value)
{
    uint8_t bytes[OPERATION_BYTES_MAX] = {(uint8_t)(code * 4)};
    struct operation operation;
    for (unsigned i = 0; i < count; i++) {
        bytes[first + i] = (uint8_t)(value >> 8 * i);
    }
    struct program program = {bytes, sizeof(bytes), 0, PROGRAM_MISUSE};
    program_next(&program, &operation);
    check_encoding(&operation, PROGRAM_MISUSE);
    /* Text of sizes takes longer than all else: one of a few. */
    if (count < 3 || value % 257 == 0) {
        check_text(&operation);
    }
}

static void check_operands(unsigned code, unsigned first, unsigned count)
{
    for (uint32_t value = 0; value < UINT32_C(1) << 8 * count; value++) {
        check_operand(code, first, count, value);
    }
}

TEST(all_operands_of_one_byte_are_encoded_again)
{
    for (unsigned code = 0; code < 64; code++) {
        for (unsigned first = 1; first < OPERATION_BYTES_MAX; first++) {
            check_operands(code, first, 1);
        }
    }
}

TEST(all_operands_of_two_bytes_are_encoded_again)
{
    check_operands(16, 1, 2); /* free INDEX */
    check_operands(46, 3, 2); /* the second INDEX of free_interior */
    check_operands(34, 1, 2); /* free_many COUNT ORDER */
    check_operands(60, 7, 2); /* half of OPTIONS */
    check_operands(60, 9, 2);
}

/* A class of sizes is four neighbouring bytes or more: each class gets all numbers. */
TEST(all_sizes_are_encoded_again)
{
    for (uint32_t byte = 0; byte < 256; byte++) {
        for (uint32_t number = byte % 4; number < 65536; number += 4) {
            check_operand(37, 1, 3, byte | number << 8);
        }
    }
}

TEST(what_no_bytes_mean_is_not_encoded)
{
    static const struct operation operations[] = {
        {OPERATION_NEW, PROGRAM_POOL_COUNT, {0}},
        {OPERATION_NEW, 0, {1}},
        {OPERATION_FREE, 0, {65536}},
        {OPERATION_NEW_MANY, 0, {0}},
        {OPERATION_NEW_MANY, 0, {49}},
        {OPERATION_FREE_MANY, 0, {1, 4}},
        {OPERATION_FREE_MANY, 0, {1, 258}},
        {OPERATION_INIT, 0, {16}},
        {OPERATION_INIT_SIZE, 0, {65537}},
        {OPERATION_INIT_SIZE, 0, {(1 << 20) + 16}},
        {OPERATION_INIT_SIZE, 0, {SIZE_MAX - 0x8000}},
        {OPERATION_LIMIT, 0, {4097}},
        {OPERATION_FOREACH, 0, {256}},
#if SIZE_MAX > UINT32_MAX
        {OPERATION_INIT_WITH, 0, {1, 1, (size_t)1 << 32}},
#endif
    };
    uint8_t bytes[OPERATION_BYTES_MAX];
    for (size_t i = 0; i < sizeof(operations) / sizeof(operations[0]); i++) {
        CHECK_EQUAL(operation_encode(&operations[i], PROGRAM_MISUSE, bytes), 0);
    }
}

TEST(a_dialect_has_no_bytes_for_what_it_cannot_say)
{
    const struct operation leak = {OPERATION_LEAK, 0, {0}};
    const struct operation trim = {OPERATION_TRIM, 0, {0}};
    uint8_t bytes[OPERATION_BYTES_MAX];
    CHECK_EQUAL(operation_encode(&leak, PROGRAM_MISUSE, bytes), 1);
    CHECK_EQUAL(operation_encode(&leak, PROGRAM_OPTIONS, bytes), 0);
    CHECK_EQUAL(operation_encode(&trim, PROGRAM_OPTIONS, bytes), 1);
    CHECK_EQUAL(operation_encode(&trim, PROGRAM_PLAIN, bytes), 0);
}

TEST(spaces_and_comments_do_not_matter)
{
    static const char *const lines[] = {"", "   ", "# new 0", "\t# 1", "\n"};
    const struct operation expected = {OPERATION_FREE_MANY, 2, {3, ORDER_STRIDE + 4 * 5}};
    struct operation parsed;
    struct program_error error;
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        CHECK_EQUAL(operation_parse(lines[i], &parsed, &error), PARSE_NOTHING);
    }
    CHECK_EQUAL(operation_parse("\t free_many  2 0x3 stride 5# all\r\n", &parsed, &error),
                PARSE_OPERATION);
    check_same(&parsed, &expected);
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
    for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
        struct operation parsed;
        struct program_error error;
        CHECK_EQUAL(operation_parse(errors[i].line, &parsed, &error), PARSE_FAILED);
        CHECK_EQUAL(error.column, errors[i].column);
        CHECK_STRING(error.expected, errors[i].expected);
    }
}
