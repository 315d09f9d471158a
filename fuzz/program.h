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
 *     32..33  new_many      COUNT       new, so many times
 *     34..35  free_many     COUNT ORDER free, so many times
 *     36      replace_many  COUNT ORDER free one and new, so many times
 *     37      init_size     SIZE        free all objects and done; init with an element size
 *     38      init_size_ex  SIZE SIZE   the same with an element size and a block size
 *     39      init          TYPE        the same with a type
 *     40      init_ex       TYPE SIZE   the same with a type and a block size
 *     41      reinit        ORDER       free all objects and done; init as before
 *     42      limit         LIMIT       from now to its done, refuse the pool larger mappings
 *     43      fail          COUNT       of the pool's next requests for memory, refuse that one
 *     44..55  reserved for misuse that must be refused; until then as free
 *     56..59  reserved for more failing requests for memory; until then as new
 *     60..63  reserved for options of pools; until then as new
 *
 * The encoder uses the first code of an operation and the plainest form of an operand. An encoded
 * program thus keeps its meaning when a reserved code is given one.
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
    OPERATION_FREE_MANY,
    OPERATION_REPLACE_MANY,
    OPERATION_INIT_SIZE,
    OPERATION_INIT_SIZE_EX,
    OPERATION_INIT,
    OPERATION_INIT_EX,
    OPERATION_REINIT,
    OPERATION_LIMIT,
    OPERATION_FAIL,
    OPERATION_KIND_COUNT
};

/* Which live object is freed next: ORDER is a kind plus 4 times an argument. */
enum order_kind {
    ORDER_LIFO,   /* the youngest */
    ORDER_FIFO,   /* the oldest */
    ORDER_STRIDE, /* leaving out as many as the argument says, round and round */
    ORDER_RANDOM  /* any; the argument is the seed */
};

#define PROGRAM_POOL_COUNT  4
#define OPERATION_MAX_SIZE  7  /* bytes of an encoded operation */
#define OPERATION_TEXT_SIZE 96 /* bytes that hold any operation's text */

struct operation {
    enum operation_kind kind;
    unsigned pool;      /* below PROGRAM_POOL_COUNT */
    size_t operands[2]; /* those that the kind has; the others are 0 */
};

/* struct program is a position in a program's bytes, which stay the caller's. */
struct program {
    const uint8_t *data;
    size_t size;
    size_t position;
};

/* program_next decodes the next operation. Returns: false at the end. */
bool program_next(struct program *program, struct operation *operation);

/*
 * operation_encode is the inverse of program_next.
 * Returns: the number of bytes; 0 where the language cannot say an operand.
 */
size_t operation_encode(const struct operation *operation, uint8_t bytes[OPERATION_MAX_SIZE]);

/* operation_print writes an operation's name, pool and operands, split by spaces. */
void operation_print(const struct operation *operation, char text[OPERATION_TEXT_SIZE]);

#endif /* FUZZ_PROGRAM_H */
