/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef FUZZ_PROGRAM_H
#define FUZZ_PROGRAM_H

/*
 * Programs: byte strings that stand for sequences of operations on up to four pools.
 *
 * Every byte string is a program. An operation is one byte, code * 4 + pool, and its operands,
 * little-endian; bytes that are missing at the end read as zero. The 64 codes:
 *
 *      0..15  new                       issue an object and fill it
 *     16..27  free          INDEX       free a live object, counted modulo their number
 *     28..29  write         INDEX       fill a live object anew
 *     30      check                     look at all objects and all pools
 *     31      free_null                 free NULL
 *     32      new_many      COUNT       new, so many times
 *     33      lives         COUNT       reinit and new, so many times: short lives of a few objects
 *     34..35  free_many     COUNT ORDER free, so many times
 *     36      replace_many  COUNT ORDER free one and new, so many times
 *     37      init_size     SIZE        free all objects and done; init with an element size
 *     38      init_size_ex  SIZE SIZE   the same with an element size and a block size
 *     39      init          TYPE        the same with a type
 *     40      init_ex       TYPE SIZE   the same with a type and a block size
 *     41      reinit        ORDER       free all objects and done; init as before
 *     42      limit         LIMIT       from now to its done, refuse the pool larger mappings
 *     43      fail          COUNT       of the pool's next requests for memory, refuse that one
 *
 * What the others mean depends on the dialect. In the plain one 44..55 are free, 56..63 are new, so
 * that its programs make sense to pools without options. With options:
 *
 *     56      clear                     free all objects at once
 *     57      trim                      give unused memory back
 *     58      foreach       CHOICE      visit all objects, and of so many free one; 0: none
 *     59      owns          INDEX       ask for a live object, and for what is none
 *     60..63  init_with     SIZE SIZE OPTIONS  as init_size_ex, with options
 *
 * With misuse besides; each must be refused, and changes nothing. Bits of CHOICE say which call:
 *
 *     44      free_twice    INDEX       free a live object, and again
 *     45      free_freed    INDEX       free an object that was freed at any time
 *     46..47  free_interior INDEX INDEX free what lies in an object or behind it
 *     48      free_foreign  CHOICE      free what is not the pool's
 *     49      free_unissued             free the slot behind the last that was issued
 *     50      overflow      INDEX CHOICE   write behind a live object
 *     51      underflow     INDEX CHOICE   write before a live object
 *     52      write_freed   INDEX CHOICE   write to a freed object
 *     53      use_dead      CHOICE      use a pool before init, after done, or moved
 *     54      misbehave     CHOICE      use a pool from its callback, or misalign memory for it
 *     55      leak                      done with live objects
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum operation_kind {
    OPERATION_NEW,
    OPERATION_FREE,
    OPERATION_WRITE,
    OPERATION_CHECK,
    OPERATION_FREE_NULL,
    OPERATION_NEW_MANY,
    OPERATION_LIVES,
    OPERATION_FREE_MANY,
    OPERATION_REPLACE_MANY,
    OPERATION_INIT_SIZE,
    OPERATION_INIT_SIZE_EX,
    OPERATION_INIT,
    OPERATION_INIT_EX,
    OPERATION_REINIT,
    OPERATION_LIMIT,
    OPERATION_FAIL,
    OPERATION_FREE_TWICE,
    OPERATION_FREE_FREED,
    OPERATION_FREE_INTERIOR,
    OPERATION_FREE_FOREIGN,
    OPERATION_FREE_UNISSUED,
    OPERATION_OVERFLOW,
    OPERATION_UNDERFLOW,
    OPERATION_WRITE_FREED,
    OPERATION_USE_DEAD,
    OPERATION_MISBEHAVE,
    OPERATION_LEAK,
    OPERATION_CLEAR,
    OPERATION_TRIM,
    OPERATION_FOREACH,
    OPERATION_OWNS,
    OPERATION_INIT_WITH,
    OPERATION_KIND_COUNT
};

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

/* Which live object is freed next: ORDER is a kind plus 4 times an argument. */
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

/* struct program_error says where a text is wrong. */
struct program_error {
    unsigned line; /* from 1, as column */
    unsigned column;
    const char *expected;
};

enum parse_result { PARSE_OPERATION, PARSE_NOTHING, PARSE_FAILED };

/*
 * operation_parse reads what operation_print writes. Words may be any number of spaces apart; a #
 * begins a comment. What it reads can be encoded in the dialect that says most.
 * Returns: PARSE_NOTHING where the line is empty but for a comment; PARSE_FAILED with *error, but
 *          for its line.
 */
enum parse_result operation_parse(const char *line, struct operation *operation,
                                  struct program_error *error);

#endif /* FUZZ_PROGRAM_H */
