/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdio.h>
#include <string.h>

#include "engine.h"
#include "program.h"
#include "subject.h"

ENGINE_BEGIN

#define NAME(number, type) "\"" #type "\"",
static const char *const types[SUBJECT_TYPE_COUNT] = {SUBJECT_TYPES(NAME)};
#define EXPECTED_OF(name, size, expected) expected,
static const char *const operands_expected[] = {OPERANDS(EXPECTED_OF)};
static const char *const orders[] = {"lifo", "fifo", "stride", "random"};

/* Sizes near the largest are told as the distance to it, which reads better. */
static int print_operand(enum operand operand, size_t value, char *text, size_t size)
{
    if (operand == OPERAND_NONE) {
        return 0;
    } else if (operand == OPERAND_TYPE) {
        return snprintf(text, size, " %s", types[value]);
    } else if (operand == OPERAND_ORDER) {
        return value <= ORDER_FIFO ? snprintf(text, size, " %s", orders[value])
                                   : snprintf(text, size, " %s %zu", orders[value % 4], value / 4);
    } else if (operand == OPERAND_OPTIONS) {
        return snprintf(text, size, " 0x%08zx", value);
    } else if (operand == OPERAND_SIZE && SIZE_MAX - value < 0x8000) {
        return snprintf(text, size, " SIZE_MAX-%zu", SIZE_MAX - value);
    }
    return snprintf(text, size, " %zu", value);
}

void operation_print(const struct operation *operation, char text[OPERATION_TEXT_SIZE])
{
    const struct operation_row *row = &operation_rows[operation->kind];
    int end = snprintf(text, OPERATION_TEXT_SIZE, "%s %u", row->name, operation->pool);
    for (int i = 0; i < OPERATION_OPERAND_COUNT; i++) {
        end += print_operand(row->operands[i], operation->operands[i], text + end,
                             OPERATION_TEXT_SIZE - (size_t)end);
    }
}

static void skip_spaces(const char **text)
{
    while (**text == ' ' || **text == '\t' || **text == '\r') {
        ++*text;
    }
}

static bool is_end(const char *text)
{
    return *text == '\0' || *text == '\n' || *text == '#';
}

/* Takes a word that is followed by a space or by the end. */
static bool take_word(const char **text, const char *word)
{
    const size_t size = strlen(word);
    const char *behind = *text + size;
    if (strncmp(*text, word, size) != 0 || (strchr(" \t\r", *behind) == NULL && !is_end(behind))) {
        return false;
    }
    *text = behind;
    skip_spaces(text);
    return true;
}

/* Takes a number, decimal or with 0x, that fits and is followed by a space or by the end. */
static bool take_number(const char **text, size_t *number)
{
    static const char digits[] = "0123456789abcdef";
    const unsigned base = strncmp(*text, "0x", 2) == 0 ? 16 : 10;
    const char *position = *text + (base == 16 ? 2 : 0);
    const char *first = position;
    const char *digit;
    size_t value = 0;
    while (*position != '\0' && (digit = memchr(digits, *position, base)) != NULL) {
        const size_t units = (size_t)(digit - digits);
        if (value > (SIZE_MAX - units) / base) {
            return false;
        }
        value = value * base + units;
        position++;
    }
    if (position == first || !take_word(&position, "")) {
        return false;
    }
    *number = value;
    *text = position;
    return true;
}

/* Takes a type, or a kind of order, of which the last two have an argument. */
static bool take_named(enum operand operand, const char **text, size_t *value)
{
    const bool is_type = operand == OPERAND_TYPE;
    const size_t count = is_type ? SUBJECT_TYPE_COUNT : ORDER_RANDOM + 1;
    size_t argument = 0;
    *value = 0;
    while (*value < count && !take_word(text, is_type ? types[*value] : orders[*value])) {
        ++*value;
    }
    if (*value == count || (!is_type && *value > ORDER_FIFO && !take_number(text, &argument))) {
        return false;
    }
    *value += 4 * argument;
    return argument <= UINT8_MAX / 4;
}

/* Returns: whether an operand has been taken that bytes can say. */
static bool take_operand(enum operand operand, const char **text, size_t *value)
{
    uint32_t bytes;
    const bool is_distance = operand == OPERAND_SIZE && strncmp(*text, "SIZE_MAX-", 9) == 0;
    if (operand == OPERAND_NONE) {
        return true;
    } else if (operand == OPERAND_TYPE || operand == OPERAND_ORDER) {
        return take_named(operand, text, value);
    }
    *text += is_distance ? 9 : 0;
    if (!take_number(text, value)) {
        return false;
    }
    *value = is_distance ? SIZE_MAX - *value : *value;
    return operand_encode(operand, *value, &bytes);
}

/* Returns: what should stand where *text has got to, or NULL. */
static const char *parse(const char **text, struct operation *operation)
{
    unsigned kind = 0;
    size_t pool;
    while (kind < OPERATION_KIND_COUNT && !take_word(text, operation_rows[kind].name)) {
        kind++;
    }
    if (kind == OPERATION_KIND_COUNT) {
        return "the name of an operation";
    }
    const char *start = *text;
    if (!take_number(text, &pool) || pool >= PROGRAM_POOL_COUNT) {
        *text = start;
        return "a pool, 0 to 3";
    }
    *operation = (struct operation){.kind = (enum operation_kind)kind, .pool = (unsigned)pool};
    for (int i = 0; i < OPERATION_OPERAND_COUNT; i++) {
        const enum operand operand = operation_rows[kind].operands[i];
        start = *text;
        if (!take_operand(operand, text, &operation->operands[i])) {
            *text = start;
            return operands_expected[operand];
        }
    }
    return is_end(*text) ? NULL : operands_expected[OPERAND_NONE];
}

enum parse_result operation_parse(const char *line, struct operation *operation,
                                  struct program_error *error)
{
    const char *text = line;
    skip_spaces(&text);
    if (is_end(text)) {
        return PARSE_NOTHING;
    }
    error->expected = parse(&text, operation);
    error->column = (unsigned)(text - line) + 1;
    return error->expected == NULL ? PARSE_OPERATION : PARSE_FAILED;
}

ENGINE_END
