/* SPDX-License-Identifier: BSD-3-Clause */
#include "program.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine.h"
#include "subject.h"

ENGINE_BEGIN

#define BYTES_OF(name, size, expected) size,
static const unsigned operand_bytes[] = {OPERANDS(BYTES_OF)};

#define ROW_OF(NAME, name, code, first, second, third)                                             \
    {code, {OPERAND_##first, OPERAND_##second, OPERAND_##third}},
static const struct row {
    unsigned first_code;
    enum operand operands[OPERATION_OPERAND_COUNT];
} rows[OPERATION_KIND_COUNT] = {OPERATIONS(ROW_OF)};

bool operation_is_init(const struct operation *operation)
{
    return (operation->kind >= OPERATION_INIT_SIZE && operation->kind <= OPERATION_INIT_EX) ||
           operation->kind == OPERATION_INIT_WITH;
}

static enum operation_kind kind_of_code(unsigned code, enum program_dialect dialect)
{
    unsigned kind = OPERATION_KIND_COUNT - 1;
    while (rows[kind].first_code > code) {
        kind--;
    }
    if (kind >= OPERATION_CLEAR && dialect < PROGRAM_OPTIONS) {
        return OPERATION_NEW;
    }
    if (kind >= OPERATION_FREE_TWICE && kind <= OPERATION_LEAK && dialect < PROGRAM_MISUSE) {
        return OPERATION_FREE;
    }
    return (enum operation_kind)kind;
}

#define SIZE_OF_PAGE ((size_t)4096)
#define NEAR_HALF    (SIZE_MAX / 2 - 0x4000)
#define CLASS_LARGE  0xf8
#define CLASS_ABSURD 0xfc

/* Classes of sizes favour those that are interesting. */
static size_t size_of_bytes(unsigned class, unsigned number)
{
    if (class < 0x08) {
        return number;
    } else if (class < 0x78) {
        return number % 65;
    } else if (class < 0xa8) {
        return number % 512;
    } else if (class < 0xc4) { /* a power of two up to 32 KiB, or a neighbour of one */
        return ((size_t)1 << number % 16) + number / 16 % 3 - 1;
    } else if (class < 0xcc) { /* within 32 bytes of one to four pages */
        return SIZE_OF_PAGE * (1 + number % 4) + number / 4 % 65 - 32;
    } else if (class < 0xe0) { /* a multiple of 8 below a page */
        return (size_t)number % 512 * 8;
    } else if (class < CLASS_LARGE) { /* a page divided by up to 32, or a neighbour of that */
        return SIZE_OF_PAGE / (1 + number % 32) + number / 32 % 3 - 1;
    } else if (class < CLASS_ABSURD) { /* a multiple of 16 up to 1 MiB */
        return ((size_t)number + 1) * 16;
    } /* within 32 KiB of SIZE_MAX, or within 16 KiB of half of it */
    return number < 0x8000 ? SIZE_MAX - number : NEAR_HALF + (number - 0x8000);
}

/* 1 to 48 by ones, 56 to 160 by eights, 256, 1024: a random count is mostly small. */
static size_t count_of_byte(unsigned byte)
{
    if (byte < 0xd0) {
        return byte % 16 + 1;
    } else if (byte < 0xf0) {
        return byte - 0xd0 + 17;
    }
    return byte < 0xfe ? (byte - 0xf0) * 8 + 56 : (byte - 0xfe) * 768 + 256;
}

static size_t operand_of_bytes(enum operand operand, unsigned bytes)
{
    switch (operand) {
    case OPERAND_SIZE:
        return size_of_bytes(bytes & 0xff, bytes >> 8);
    case OPERAND_TYPE:
        return bytes % SUBJECT_TYPE_COUNT;
    case OPERAND_COUNT:
        return count_of_byte(bytes);
    case OPERAND_ORDER:
        return bytes % 4 <= ORDER_FIFO ? bytes % 4 : bytes;
    case OPERAND_LIMIT:
        return SIZE_OF_PAGE << bytes % 20;
    default:
        return bytes;
    }
}

static unsigned next_bytes(struct program *program, unsigned count)
{
    unsigned bytes = 0;
    for (unsigned i = 0; i < count && program->position < program->size; i++) {
        bytes |= (unsigned)program->data[program->position++] << 8 * i;
    }
    return bytes;
}

bool program_next(struct program *program, struct operation *operation)
{
    if (program->position >= program->size) {
        return false;
    }
    unsigned byte = next_bytes(program, 1);
    *operation =
        (struct operation){.kind = kind_of_code(byte / 4, program->dialect), .pool = byte % 4};
    for (int i = 0; i < OPERATION_OPERAND_COUNT; i++) {
        const enum operand operand = rows[operation->kind].operands[i];
        operation->operands[i] =
            operand_of_bytes(operand, next_bytes(program, operand_bytes[operand]));
    }
    return true;
}

/* Of the classes that mean a value, the one that says it most plainly. */
static uint32_t bytes_of_size(size_t value)
{
    if (value <= 0xffff) {
        return (uint32_t)value << 8;
    } else if (value <= (size_t)1 << 20) {
        return CLASS_LARGE | (uint32_t)(value / 16 - 1) << 8;
    }
    const size_t number =
        value - NEAR_HALF < 0x8000 ? value - NEAR_HALF + 0x8000 : SIZE_MAX - value;
    return CLASS_ABSURD | (uint32_t)(number & 0xffff) << 8;
}

/* Returns: false where no bytes mean a value. */
static bool encode(enum operand operand, size_t value, uint32_t *bytes)
{
    const unsigned count = operand_bytes[operand];
    *bytes = operand == OPERAND_SIZE ? bytes_of_size(value) : (uint32_t)value;
    if (count == 1) {
        *bytes = 0;
        while (*bytes < UINT8_MAX && operand_of_bytes(operand, *bytes) != value) {
            ++*bytes;
        }
    }
    return operand_of_bytes(operand, *bytes) == value && (uint64_t)*bytes >> 8 * count == 0;
}

size_t operation_encode(const struct operation *operation, enum program_dialect dialect,
                        uint8_t bytes[OPERATION_BYTES_MAX])
{
    const struct row *row = &rows[operation->kind];
    size_t size = 1;
    if (kind_of_code(row->first_code, dialect) != operation->kind ||
        operation->pool >= PROGRAM_POOL_COUNT) {
        return 0;
    }
    bytes[0] = (uint8_t)(row->first_code * 4 + operation->pool);
    for (int i = 0; i < OPERATION_OPERAND_COUNT; i++) {
        uint32_t value;
        if (!encode(row->operands[i], operation->operands[i], &value)) {
            return 0;
        }
        for (unsigned j = 0; j < operand_bytes[row->operands[i]]; j++, value >>= 8) {
            bytes[size++] = (uint8_t)value;
        }
    }
    return size;
}

#define NAME_OF(NAME, name, code, first, second, third) #name,
static const char *const names[] = {OPERATIONS(NAME_OF)};
#define TYPE_OF(number, type) "\"" #type "\"",
static const char *const types[] = {SUBJECT_TYPES(TYPE_OF)};
#define EXPECTED_OF(name, size, expected) expected,
static const char *const operands_expected[] = {OPERANDS(EXPECTED_OF)};
static const char *const orders[] = {"lifo", "fifo", "stride", "random"};

/* Sizes near the largest are told as the distance to it, which reads better. */
static int print_operand(enum operand operand, size_t value, char *text, size_t size)
{
    if (operand == OPERAND_TYPE) {
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
    const struct row *row = &rows[operation->kind];
    int end = snprintf(text, OPERATION_TEXT_SIZE, "%s %u", names[operation->kind], operation->pool);
    for (int i = 0; i < OPERATION_OPERAND_COUNT && row->operands[i] != OPERAND_NONE; i++) {
        end += print_operand(row->operands[i], operation->operands[i], text + end,
                             OPERATION_TEXT_SIZE - (size_t)end);
    }
}

#define SPACES " \t\r"

static bool is_end(const char *text)
{
    return *text == '\0' || *text == '\n' || *text == '#';
}

/* Takes a word that is followed by a space or by the end. */
static bool take_word(const char **text, const char *word)
{
    const size_t size = strlen(word);
    const char *behind = *text + size;
    if (strncmp(*text, word, size) != 0 || (strchr(SPACES, *behind) == NULL && !is_end(behind))) {
        return false;
    }
    *text = behind + strspn(behind, SPACES);
    return true;
}

/* Takes a number, decimal or with 0x, that fits and is followed by a space or by the end. */
static bool take_number(const char **text, size_t *number)
{
    const char *start = *text;
    char *end;
    errno = 0;
    const unsigned long long value = strtoull(start, &end, strncmp(start, "0x", 2) == 0 ? 16 : 10);
    *text = end;
    *number = (size_t)value;
    return *start >= '0' && *start <= '9' && errno == 0 && *number == value && take_word(text, "");
}

/* Takes one of so many words. Returns: its number, or their count where there is none. */
static size_t take_one(const char **text, const char *const *words, size_t count)
{
    size_t number = 0;
    while (number < count && !take_word(text, words[number])) {
        number++;
    }
    return number;
}

/* Returns: whether an operand has been taken that bytes can say. */
static bool take_operand(enum operand operand, const char **text, size_t *value)
{
    uint32_t bytes;
    size_t argument = 0;
    if (operand == OPERAND_TYPE) {
        *value = take_one(text, types, SUBJECT_TYPE_COUNT);
    } else if (operand == OPERAND_ORDER) {
        *value = take_one(text, orders, ORDER_RANDOM + 1);
        if (*value > ORDER_FIFO && (!take_number(text, &argument) || argument > UINT8_MAX / 4)) {
            return false;
        }
        *value += 4 * argument;
    } else if (operand != OPERAND_NONE) {
        const bool is_distance = operand == OPERAND_SIZE && strncmp(*text, "SIZE_MAX-", 9) == 0;
        *text += is_distance ? 9 : 0;
        if (!take_number(text, value)) {
            return false;
        }
        *value = is_distance ? SIZE_MAX - *value : *value;
    }
    return encode(operand, *value, &bytes);
}

/* Returns: what should stand at *text, which is moved there; or NULL. */
static const char *parse(const char **text, struct operation *operation)
{
    const char *rest = *text;
    size_t pool;
    const size_t kind = take_one(&rest, names, OPERATION_KIND_COUNT);
    if (kind == OPERATION_KIND_COUNT) {
        return "the name of an operation";
    }
    *text = rest;
    if (!take_number(&rest, &pool) || pool >= PROGRAM_POOL_COUNT) {
        return "a pool, 0 to 3";
    }
    *operation = (struct operation){.kind = (enum operation_kind)kind, .pool = (unsigned)pool};
    for (int i = 0; i < OPERATION_OPERAND_COUNT; i++) {
        const enum operand operand = rows[kind].operands[i];
        *text = rest;
        if (!take_operand(operand, &rest, &operation->operands[i])) {
            return operands_expected[operand];
        }
    }
    *text = rest;
    return is_end(rest) ? NULL : operands_expected[OPERAND_NONE];
}

enum parse_result operation_parse(const char *line, struct operation *operation,
                                  struct program_error *error)
{
    const char *text = line + strspn(line, SPACES);
    if (is_end(text)) {
        return PARSE_NOTHING;
    }
    error->expected = parse(&text, operation);
    error->column = (unsigned)(text - line) + 1;
    return error->expected == NULL ? PARSE_OPERATION : PARSE_FAILED;
}

ENGINE_END
