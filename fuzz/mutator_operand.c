/* SPDX-License-Identifier: BSD-3-Clause */
#include "mutator_operand.h"

#include "engine.h"
#include "program_words.h"
#include "subject.h"

ENGINE_BEGIN

#define SIZE_OF_PAGE        ((size_t)4096)
#define COUNT_OF(array)     (sizeof(array) / sizeof((array)[0]))
#define PICK(random, array) ((array)[random_below((random), COUNT_OF(array))])

/* Steele, Lea and Flood, "Fast Splittable Pseudorandom Number Generators" (OOPSLA 2014). */
uint64_t random_next(uint64_t *random)
{
    uint64_t z = *random += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

size_t random_below(uint64_t *random, size_t count)
{
    return (size_t)(random_next(random) % count);
}

/* A number, or a neighbour of it. */
static size_t around(uint64_t *random, size_t number)
{
    return number + random_below(random, 3) - 1;
}

/* other: the operation's other size, or 0. Blocks are made of elements, and groups of 64. */
static size_t edge_of_size(uint64_t *random, size_t old, size_t other)
{
    static const size_t counts[] = {1, 2, 3, 16, 32, 63, 64, 65, 127, 128, 129};
    switch (random_below(random, 8)) {
    case 0:
        return around(random, old);
    case 1:
        return around(random, (size_t)1 << random_below(random, 17));
    case 2:
        return around(random, SIZE_OF_PAGE * (1 + random_below(random, 4)));
    case 3:
        return around(random, SIZE_OF_PAGE / (1 + random_below(random, 65)));
    case 4:
        return around(random, (other != 0 ? other : old) * PICK(random, counts));
    case 5:
        return around(random, other / PICK(random, counts));
    case 6:
        return random_below(random, 65);
    default:
        return (random_below(random, 2) == 0 ? SIZE_MAX : SIZE_MAX / 2) -
               random_below(random, 0x4000);
    }
}

static size_t edge_of_index(uint64_t *random, size_t old, size_t live)
{
    static const size_t indices[] = {0, 1, 62, 63, 64, 65, 127, 128, 65535};
    switch (random_below(random, 4)) {
    case 0:
        return around(random, old);
    case 1:
        return PICK(random, indices);
    case 2:
        return live > 0 ? live - 1 : 0;
    default:
        return random_below(random, live + 1);
    }
}

static size_t edge_of_count(uint64_t *random, size_t old)
{
    static const size_t counts[] = {1,  2,  3,  4,  15,  16,  17,  31,  32,  33,
                                    47, 48, 56, 64, 120, 128, 136, 160, 256, 1024};
    return random_below(random, 3) == 0 ? around(random, old) : PICK(random, counts);
}

/* See program.h: protections, alignment, memory, constructor, limit, seed. */
static size_t edge_of_options(uint64_t *random, size_t old)
{
    static const struct {
        unsigned shift;
        uint32_t mask;
    } fields[] = {{0, 0xff}, {0, 0xff}, {8, 0xf}, {12, 3}, {14, 3}, {16, 0xff}, {24, 0xff}};
    const size_t field = random_below(random, COUNT_OF(fields));
    const uint32_t mask = fields[field].mask << fields[field].shift;
    const uint32_t bits = (uint32_t)random_next(random) & mask;
    switch (random_below(random, 4)) {
    case 0:
        return old & ~(size_t)mask;
    case 1:
        return old | mask;
    case 2:
        return old ^ ((size_t)1 << (fields[field].shift + random_below(random, 8)) & mask);
    default:
        return (old & ~(size_t)mask) | bits;
    }
}

static size_t edge_of_byte(uint64_t *random, size_t old)
{
    static const size_t bytes[] = {0, 1, 2, 3, 4, 5, 127, 128, 254, 255};
    switch (random_below(random, 4)) {
    case 0:
        return old ^ (size_t)1 << random_below(random, 8);
    case 1:
        return around(random, old);
    case 2:
        return PICK(random, bytes);
    default:
        return random_below(random, 256);
    }
}

static size_t edge_of(const struct operation *operation, int index, uint64_t *random, size_t live)
{
    const enum operand *operands = program_words[operation->kind].operands;
    const size_t old = operation->operands[index];
    switch (operands[index]) {
    case SIZE:
        /* Types have sizes too, but which one is not known here. */
        return edge_of_size(random, old,
                            operands[1 - index] == SIZE ? operation->operands[1 - index] : 0);
    case TYPE:
        return random_below(random, SUBJECT_TYPE_COUNT);
    case INDEX:
        return edge_of_index(random, old, live);
    case COUNT:
        return edge_of_count(random, old);
    case ORDER:
        return random_below(random, 2) == 0 ? random_below(random, 4) : random_below(random, 256);
    case LIMIT:
        return SIZE_OF_PAGE << random_below(random, 20);
    case OPTIONS:
        return edge_of_options(random, old);
    case CHOICE:
    case NONE:
        break;
    }
    return edge_of_byte(random, old);
}

/* Not all values have bytes: tries a few. */
static bool perturb(struct operation *operation, int index, uint64_t *random, size_t live)
{
    const enum operand operand = program_words[operation->kind].operands[index];
    const size_t old = operation->operands[index];
    for (int i = 0; i < 8; i++) {
        const size_t value = edge_of(operation, index, random, live);
        uint32_t bytes;
        if (value != old && operand_encode(operand, value, &bytes)) {
            operation->operands[index] = value;
            return true;
        }
    }
    return false;
}

static int operand_count(enum operation_kind kind)
{
    int count = 0;
    while (count < OPERATION_OPERAND_COUNT && program_words[kind].operands[count] != NONE) {
        count++;
    }
    return count;
}

bool operation_perturb(struct operation *operation, uint64_t *random, size_t live)
{
    const int count = operand_count(operation->kind);
    return count > 0 && perturb(operation, (int)random_below(random, (size_t)count), random, live);
}

/* As likely as the bytes that say them, so that all kinds appear as often as in random bytes. */
struct operation operation_random(uint64_t *random, enum program_dialect dialect, unsigned pool,
                                  size_t live)
{
    uint8_t bytes[OPERATION_BYTES_MAX];
    struct operation operation;
    struct program program = {bytes, sizeof(bytes), 0, dialect};
    do {
        for (size_t i = 0; i < sizeof(bytes); i++) {
            bytes[i] = (uint8_t)random_next(random);
        }
        program.position = 0;
        program_next(&program, &operation);
        /* What is said by many bytes is soon there, and copied. */
    } while (operation.kind <= OPERATION_WRITE && random_below(random, 2) == 0);
    operation.pool = pool;
    for (int i = 0; i < operand_count(operation.kind); i++) {
        if (random_below(random, 2) == 0) {
            perturb(&operation, i, random, live);
        }
    }
    return operation;
}

void operation_keep_operands(struct operation *operation, const struct operation *from)
{
    const enum operand *operands = program_words[operation->kind].operands;
    const enum operand *old = program_words[from->kind].operands;
    for (int i = 0; i < OPERATION_OPERAND_COUNT; i++) {
        if (operands[i] == old[i]) {
            operation->operands[i] = from->operands[i];
        }
    }
}

size_t operation_live_count(const struct operation *operation, size_t live)
{
    const size_t count = operation->operands[0];
    switch (operation->kind) {
    case OPERATION_NEW:
        return live + 1;
    case OPERATION_NEW_MANY:
        return live + count;
    case OPERATION_FREE:
        return live > 0 ? live - 1 : 0;
    case OPERATION_FREE_MANY:
        return live > count ? live - count : 0;
    case OPERATION_REPLACE_MANY:
        return live > 0 ? live : count;
    case OPERATION_INIT_SIZE:
    case OPERATION_INIT_SIZE_EX:
    case OPERATION_INIT:
    case OPERATION_INIT_EX:
    case OPERATION_INIT_WITH:
    case OPERATION_REINIT:
    case OPERATION_CLEAR:
        return 0;
    default:
        return live;
    }
}

ENGINE_END
