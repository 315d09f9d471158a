/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef FUZZ_PROGRAM_WORDS_H
#define FUZZ_PROGRAM_WORDS_H

/* What program.c and program_text.c share: the words of programs and the operands they take. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "program.h"

/* Kinds of operands, and the bytes that one takes. */
enum operand {
    NONE,
    SIZE,   /* 3: a class, and a number that means what the class says */
    TYPE,   /* 1: modulo SUBJECT_TYPE_COUNT */
    INDEX,  /* 2 */
    COUNT,  /* 1: see count_of_byte */
    ORDER,  /* 1 */
    LIMIT,  /* 1: the exponent of a power of two */
    CHOICE, /* 1 */
    OPTIONS /* 4 */
};

struct program_word {
    const char *name;
    unsigned first_code; /* up to the next word's */
    enum operand operands[OPERATION_OPERAND_COUNT];
};
extern const struct program_word program_words[OPERATION_KIND_COUNT];

/* operand_encode says which bytes mean a value. Returns: false where none do. */
bool operand_encode(enum operand operand, size_t value, uint32_t *bytes);

#endif /* FUZZ_PROGRAM_WORDS_H */
