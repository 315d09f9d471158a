/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

/*
 * Programs: byte strings that stand for sequences of operations on up to four pools.
 *
 * Every byte string is a program. An operation is one byte, code * 4 + pool, and its operands,
 * little-endian; bytes that are missing at the end read as zero. The tables below are the whole
 * language: bytes, text and the engine's dispatch follow from them.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The kinds of operands: how many bytes one takes, and what a text may say. */
#define OPERANDS(X)                                                                                \
    X(NONE, 0, "nothing more")                                                                     \
    /* A class, and a number that means what the class says. */                                    \
    X(SIZE, 3, "a size: up to 65535, or a multiple of 16 up to 1048576, or SIZE_MAX-32767 and up") \
    X(TYPE, 1, "one of subject.h's types in quotes, as \"double\"")                                \
    X(INDEX, 2, "an index up to 65535")                                                            \
    X(COUNT, 1, "a count: 1 to 48, 56 to 160 by eights, 256 or 1024")                              \
    /* Which live object is freed next: an enum order_kind plus 4 times an argument. */            \
    X(ORDER, 1, "an order: lifo, fifo, or stride or random with a number up to 63")                \
    X(LIMIT, 1, "a limit: a power of two from 4096 to 2147483648")                                 \
    X(CHOICE, 1, "a choice up to 255")                                                             \
    X(OPTIONS, 4, "options: a number of 32 bits, as 0x00000001")

#define OPERAND_OF(name, size, expected) OPERAND_##name,
enum operand { OPERANDS(OPERAND_OF) };
#undef OPERAND_OF

/*
 * The operations: name, the first of the codes, which go on to the next row's, and operands.
 *
 * The dialect of plain programs has no rows from free_twice on: there, the codes 44 to 55 mean free
 * and 56 to 63 new, so that its programs make sense to pools without options. The dialect with
 * options has the rows from clear on; the dialect of misuse has all.
 */
#define OPERATIONS(X)                                                                              \
    /* Issues an object and fills it. */                                                           \
    X(NEW, new, 0, NONE, NONE, NONE)                                                               \
    /* Frees a live object; an index counts modulo their number. */                                \
    X(FREE, free, 16, INDEX, NONE, NONE)                                                           \
    /* Fills a live object anew. */                                                                \
    X(WRITE, write, 28, INDEX, NONE, NONE)                                                         \
    /* Compares all objects and checks all pools. */                                               \
    X(CHECK, check, 30, NONE, NONE, NONE)                                                          \
    X(FREE_NULL, free_null, 31, NONE, NONE, NONE)                                                  \
    X(NEW_MANY, new_many, 32, COUNT, NONE, NONE)                                                   \
    /* Does reinit and new, so many times: short lives of a few objects. */                        \
    X(LIVES, lives, 33, COUNT, NONE, NONE)                                                         \
    X(FREE_MANY, free_many, 34, COUNT, ORDER, NONE)                                                \
    /* Frees one object and issues one, so many times. */                                          \
    X(REPLACE_MANY, replace_many, 36, COUNT, ORDER, NONE)                                          \
    /* The inits free all objects and end the pool first. Element size; block size. */             \
    X(INIT_SIZE, init_size, 37, SIZE, NONE, NONE)                                                  \
    X(INIT_SIZE_EX, init_size_ex, 38, SIZE, SIZE, NONE)                                            \
    X(INIT, init, 39, TYPE, NONE, NONE)                                                            \
    X(INIT_EX, init_ex, 40, TYPE, SIZE, NONE)                                                      \
    /* Frees all objects in an order, ends the pool and initializes it as before. */               \
    X(REINIT, reinit, 41, ORDER, NONE, NONE)                                                       \
    /* Refuses the pool larger mappings from now to its done. */                                   \
    X(LIMIT, limit, 42, LIMIT, NONE, NONE)                                                         \
    /* Refuses one of the pool's next requests for memory. */                                      \
    X(FAIL, fail, 43, COUNT, NONE, NONE)                                                           \
    /* Misuse, up to leak, must be refused and change nothing. This frees a live object twice. */  \
    X(FREE_TWICE, free_twice, 44, INDEX, NONE, NONE)                                               \
    /* Frees an object that was freed at any time. */                                              \
    X(FREE_FREED, free_freed, 45, INDEX, NONE, NONE)                                               \
    /* Frees a pointer into an object or behind it. */                                             \
    X(FREE_INTERIOR, free_interior, 46, INDEX, INDEX, NONE)                                        \
    /* Frees a pointer that is not the pool's. */                                                  \
    X(FREE_FOREIGN, free_foreign, 48, CHOICE, NONE, NONE)                                          \
    /* Frees the slot behind the last that was issued. */                                          \
    X(FREE_UNISSUED, free_unissued, 49, NONE, NONE, NONE)                                          \
    /* Writes behind a live object, before one, to a freed one; the choice says which call must    \
     * find it. */                                                                                 \
    X(OVERFLOW, overflow, 50, INDEX, CHOICE, NONE)                                                 \
    X(UNDERFLOW, underflow, 51, INDEX, CHOICE, NONE)                                               \
    X(WRITE_FREED, write_freed, 52, INDEX, CHOICE, NONE)                                           \
    /* Uses a pool before init, after done, or moved. */                                           \
    X(USE_DEAD, use_dead, 53, CHOICE, NONE, NONE)                                                  \
    /* Uses a pool from its callback, or misaligns memory for it. */                               \
    X(MISBEHAVE, misbehave, 54, CHOICE, NONE, NONE)                                                \
    /* Ends a pool with live objects. */                                                           \
    X(LEAK, leak, 55, NONE, NONE, NONE)                                                            \
    X(CLEAR, clear, 56, NONE, NONE, NONE)                                                          \
    X(TRIM, trim, 57, NONE, NONE, NONE)                                                            \
    /* Visits all objects, and of so many frees one; 0: none. */                                   \
    X(FOREACH, foreach, 58, CHOICE, NONE, NONE)                                                    \
    /* Asks for a live object, and for what is none. */                                            \
    X(OWNS, owns, 59, INDEX, NONE, NONE)                                                           \
    /* Does as init_size_ex, with options. */                                                      \
    X(INIT_WITH, init_with, 60, SIZE, SIZE, OPTIONS)

#define OPERATION_OF(NAME, name, code, first, second, third) OPERATION_##NAME,
enum operation_kind { OPERATIONS(OPERATION_OF) OPERATION_KIND_COUNT };
#undef OPERATION_OF

/* Each dialect says all that the one before it says. */
enum program_dialect { PROGRAM_PLAIN, PROGRAM_OPTIONS, PROGRAM_MISUSE };

/*
 * OPTIONS, from the lowest bit: 7 of protections; 1 without meaning; 4 of alignment, 2^(n-1), or 0
 * for the default; 2 that say where memory comes from (LITTLE: of a source that grants little at a
 * time, in blocks of 64 bytes); 2 of constructor, which is there from 2 on
 * and with 3 fails at times; 8 of how many objects may be live, from 128 on; 8 of seed, and of a
 * buffer's size.
 */
enum program_memory { PROGRAM_OS, PROGRAM_LITTLE, PROGRAM_SOURCE, PROGRAM_BUFFER };

enum order_kind {
    ORDER_LIFO,   /* the youngest */
    ORDER_FIFO,   /* the oldest */
    ORDER_STRIDE, /* leaving out as many as the argument says, round and round */
    ORDER_RANDOM  /* any; the argument is the seed */
};

#define PROGRAM_POOL_COUNT      4
#define OPERATION_OPERAND_COUNT 3
#define OPERATION_TEXT_SIZE     96 /* bytes that hold any operation's text */
#define OPERATION_BYTES_MAX     11

struct operation {
    enum operation_kind kind;
    unsigned pool; /* below PROGRAM_POOL_COUNT */
    /* Those that the kind has; the others are 0. */
    size_t operands[OPERATION_OPERAND_COUNT];
};

/* operation_is_init says whether an operation initializes its pool anew. */
bool operation_is_init(const struct operation *operation);

/* struct program is a position in a program's bytes, which stay the caller's. */
struct program {
    const uint8_t *data;
    size_t size;
    size_t position;
    enum program_dialect dialect;
};

/* program_next decodes the next operation. Returns: false at the end. */
bool program_next(struct program *program, struct operation *operation);

/*
 * operation_encode is the inverse: program_next decodes the operation from the bytes. All operands
 * are written out, though bytes at the end of a program may be missing.
 * Returns: how many bytes, or 0 where the dialect has no bytes that say this.
 */
size_t operation_encode(const struct operation *operation, enum program_dialect dialect,
                        uint8_t bytes[OPERATION_BYTES_MAX]);

/* operation_print writes an operation's name, pool and operands, split by spaces. */
void operation_print(const struct operation *operation, char text[OPERATION_TEXT_SIZE]);

/* struct program_error says where a line is wrong. */
struct program_error {
    unsigned column; /* from 1 */
    const char *expected;
};

enum parse_result { PARSE_OPERATION, PARSE_NOTHING, PARSE_FAILED };

/*
 * operation_parse reads what operation_print writes. Words may be any number of spaces apart; a #
 * begins a comment. What it reads can be encoded in the dialect that says most.
 * Returns: PARSE_NOTHING where the line is empty but for a comment; PARSE_FAILED with *error.
 */
enum parse_result operation_parse(const char *line, struct operation *operation,
                                  struct program_error *error);
