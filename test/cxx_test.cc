/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * A user in C++11.
 */

#include <libcork/core.h>

#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <new>
#include <vector>

#include "test/support/harness.h"
#include "test/support/pools.h"

namespace
{

struct node {
    node *next;
    int value;
};

template <typename key, typename value> struct entry {
    key first;
    value second;
};

using pair = entry<char, node>;

/* 64 bytes that need no alignment of 64. */
struct words {
    void *pointers[64 / sizeof(void *)];
};

struct alignas(128) over_aligned {
    char bytes[256];
};

/* A class whose objects must be constructed and destroyed, and know if they are not. */
struct counted {
    explicit counted(int given) : self(this), number(given)
    {
        count++;
    }
    counted(const counted &) = delete;
    virtual ~counted()
    {
        count--;
    }

    static int count;
    const counted *self;
    int number;
};

int counted::count = 0;

/* Uses and ends a pool that was initialized for a type. */
template <typename type> void exercise_of(struct cork_mempool &mp)
{
    CHECK_EQUAL(stats_of(&mp).element_size, sizeof(type));
    CHECK_EQUAL(stats_of(&mp).alignment % alignof(type), 0);
    /* AddressSanitizer gets a gap behind each object. */
    CHECK(TEST_UNDER_ASAN || stats_of(&mp).slot_size == sizeof(type));
    exercise(&mp, 200);
}

template <typename type> void init_and_exercise()
{
    /* AddressSanitizer marks eight bytes at a time. */
    const std::size_t alignment = TEST_UNDER_ASAN && alignof(type) < 8 ? 8 : alignof(type);
    struct cork_mempool mp;

    cork_mempool_init(&mp, type);
    CHECK_EQUAL(stats_of(&mp).alignment, alignment);
    exercise_of<type>(mp);
    cork_mempool_init_ex(&mp, type, 10 * sizeof(type));
    CHECK(TEST_UNDER_ASAN || stats_of(&mp).block_size == 10 * sizeof(type));
    CHECK_EQUAL(stats_of(&mp).alignment, alignment);
    exercise_of<type>(mp);
}

void say(const struct cork_mempool_violation *violation)
{
    CHECK_STRING(violation->message, cork_mempool_violation_message(violation->kind));
    std::fprintf(stderr, "%s of a \"%s\"%s\n", violation->message, violation->pool_name,
                 violation->slot == CORK_MEMPOOL_NO_SLOT ? "" : " in a slot");
    std::abort();
}

} // namespace

TEST(macros_take_types_of_all_kinds_and_functions_any_size)
{
    struct cork_mempool mp;

    cork_mempool_init(&mp, struct node);
    exercise_of<node>(mp);
    cork_mempool_init(&mp, const node *const *);
    exercise_of<node *>(mp);
    cork_mempool_init(&mp, std::vector<node>);
    exercise_of<std::vector<node>>(mp);
    /* A comma would end the macro's argument; an alias has none. */
    cork_mempool_init(&mp, pair);
    exercise_of<pair>(mp);
    cork_mempool_init_ex(&mp, over_aligned[2], 4096);
    exercise_of<over_aligned[2]>(mp);
    cork_mempool_init(&mp, void (*)(int));
    exercise_of<void (*)(int)>(mp);
    cork_mempool_init_size(&mp, sizeof(node));
    exercise_of<node>(mp);
    cork_mempool_init_size_ex(&mp, sizeof(over_aligned), CORK_MEMPOOL_DEFAULT_BLOCK_SIZE);
    exercise_of<over_aligned>(mp);
}

TEST(macros_take_dependent_types)
{
    init_and_exercise<char>();
    init_and_exercise<int>();
    init_and_exercise<long double>();
    init_and_exercise<over_aligned>();
    init_and_exercise<std::map<int, int>>();
    init_and_exercise<entry<std::vector<int>, over_aligned>>();
    init_and_exercise<counted>();
    init_and_exercise<words>();
}

TEST(objects_are_constructed_in_place_and_misuse_is_told_to_a_handler)
{
    struct {
        char odd;
        struct cork_mempool pool;
    } owner;
    void *volatile foreign = &owner;
    counted *objects[500];

    cork_mempool_init(&owner.pool, counted);
    for (int i = 0; i < 500; i++) {
        void *memory = cork_mempool_new(&owner.pool);

        CHECK(memory != nullptr);
        objects[i] = new (memory) counted(i);
    }
    CHECK_EQUAL(counted::count, 500);
    for (int i = 0; i < 500; i++) {
        CHECK(objects[i]->self == objects[i] && objects[i]->number == i);
        objects[i]->~counted();
        cork_mempool_free(&owner.pool, objects[i]);
    }
    CHECK_EQUAL(counted::count, 0);
    cork_mempool_free(&owner.pool, nullptr);
    CHECK(cork_mempool_on_violation(say) == nullptr);
    CHECK_ABORTS("double free of a \"counted\" in a slot\n",
                 cork_mempool_free(&owner.pool, objects[0]));
    cork_mempool_done(&owner.pool);
    cork_mempool_init(&owner.pool, std::vector<node>);
    CHECK_ABORTS("free of a foreign pointer of a \"std::vector<node>\"\n",
                 cork_mempool_free(&owner.pool, foreign));
    CHECK(cork_mempool_on_violation(nullptr) == say);
    cork_mempool_done(&owner.pool);
}
