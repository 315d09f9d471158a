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

#include "test/support/pools.h"

extern "C" {
#include "test/support/refusals.h"
}

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

/* Without the comma, which would end the macro's argument. */
using pair = entry<char, node>;

/* 64 bytes that need no alignment of 64. */
struct words {
    void *pointers[64 / sizeof(void *)];
};

struct alignas(128) over_aligned {
    char bytes[256];
};

/* A class whose objects must be constructed, and know where they were. */
struct placed {
    explicit placed(int given) : self(this), number(given)
    {
    }
    virtual ~placed() = default;

    const placed *self;
    int number;
};

/* Checks the figures of a pool that was initialized for a type, uses it and ends it. */
template <typename type> void exercise_of(struct cork_mempool &mp, std::size_t block_size)
{
    const struct cork_mempool_stats stats = stats_of(&mp);
    const std::size_t slot_size = type_slot_needed(sizeof(type), alignof(type));

    CHECK_EQUAL(stats.element_size, sizeof(type));
    /* AddressSanitizer marks eight bytes at a time. */
    CHECK_EQUAL(stats.alignment, TEST_UNDER_ASAN && alignof(type) < 8 ? 8 : alignof(type));
    CHECK_EQUAL(stats.slot_size, slot_size);
    CHECK_EQUAL(stats.block_size, block_size / slot_size * slot_size);
    exercise(&mp, 200);
}

#define CHECK_TYPE(type)                                                                           \
    do {                                                                                           \
        struct cork_mempool mp;                                                                    \
        cork_mempool_init(&mp, type);                                                              \
        exercise_of<type>(mp, CORK_MEMPOOL_DEFAULT_BLOCK_SIZE);                                    \
        cork_mempool_init_ex(&mp, type, 10 * sizeof(type) + 1000);                                 \
        exercise_of<type>(mp, 10 * sizeof(type) + 1000);                                           \
    } while (0)

template <typename type> void check_dependent_type()
{
    CHECK_TYPE(type);
}

void say(const struct cork_mempool_violation *violation)
{
    CHECK_STRING(violation->message, cork_mempool_violation_message(violation->kind));
    std::fprintf(stderr, "%s of a \"%s\"%s\n", violation->message, violation->pool_name,
                 violation->slot == CORK_MEMPOOL_NO_SLOT ? "" : " in a slot");
    std::abort();
}

} // namespace

TEST(macros_take_types_of_all_kinds)
{
    CHECK_TYPE(struct node);
    CHECK_TYPE(const node *const *);
    CHECK_TYPE(std::vector<node>);
    CHECK_TYPE(pair);
    CHECK_TYPE(over_aligned[2]);
    CHECK_TYPE(void (*)(int));
    check_dependent_type<char>();
    check_dependent_type<int>();
    check_dependent_type<long double>();
    check_dependent_type<over_aligned>();
    check_dependent_type<std::map<int, int>>();
    check_dependent_type<entry<std::vector<int>, over_aligned>>();
    check_dependent_type<placed>();
    check_dependent_type<words>();
}

TEST(objects_are_constructed_in_place_and_misuse_is_told_to_a_handler)
{
    struct cork_mempool mp;
    void *volatile foreign = &mp;
    placed *objects[500];

    cork_mempool_init(&mp, placed);
    for (int i = 0; i < 500; i++) {
        objects[i] = new (cork_mempool_new(&mp)) placed(i);
    }
    for (int i = 0; i < 500; i++) {
        CHECK(objects[i]->self == objects[i] && objects[i]->number == i);
        objects[i]->~placed();
        cork_mempool_free(&mp, objects[i]);
    }
    cork_mempool_free(&mp, nullptr);
    CHECK(cork_mempool_on_violation(say) == nullptr);
    CHECK_ABORTS("double free of a \"placed\" in a slot\n", cork_mempool_free(&mp, objects[0]));
    cork_mempool_done(&mp);
    cork_mempool_init(&mp, std::vector<node>);
    CHECK_ABORTS("free of a foreign pointer of a \"std::vector<node>\"\n",
                 cork_mempool_free(&mp, foreign));
    CHECK(cork_mempool_on_violation(nullptr) == say);
    cork_mempool_done(&mp);
    /* The functions beside the macros. */
    cork_mempool_init_size(&mp, sizeof(node));
    exercise(&mp, 200);
    cork_mempool_init_size_ex(&mp, sizeof(over_aligned), CORK_MEMPOOL_DEFAULT_BLOCK_SIZE);
    exercise(&mp, 200);
}

static bool is_to_throw;
static void *thrown_object;

static int construct_or_throw(void *, void *object)
{
    if (is_to_throw) {
        thrown_object = object;
        throw std::bad_alloc();
    }
    return 0;
}

static void visit_and_throw(void *, void *object)
{
    throw object;
}

TEST(an_exception_of_a_callback_ends_the_call_that_it_leaves)
{
    struct cork_mempool mp;
    struct cork_mempool_options options = {};
    void *object = nullptr, *visited = nullptr;

    options.init_object = construct_or_throw;
    CHECK(cork_mempool_init_with(&mp, &options));
    is_to_throw = true;
    try {
        object = cork_mempool_new(&mp);
    } catch (const std::bad_alloc &) {
        is_to_throw = false;
    }
    CHECK(object == nullptr && !is_to_throw);
    CHECK_FORBIDDEN(thrown_object);
    object = cork_mempool_new(&mp);
    try {
        cork_mempool_foreach(&mp, visit_and_throw, nullptr);
    } catch (void *thrown) {
        visited = thrown;
    }
    CHECK(visited == object && cork_mempool_check(&mp));
    cork_mempool_free(&mp, object);
    cork_mempool_done(&mp);
}

/* A refused call of a callback ends the call that it was made in. */
static void finalize_and_throw(void *user_data, void *object)
{
    struct cork_mempool *mp = static_cast<struct cork_mempool *>(user_data);

    CHECK_KIND(cork_mempool_clear(mp), CORK_MEMPOOL_BUSY);
    cork_mempool_clear(mp);
    cork_mempool_done(mp);
    throw object;
}

static int finalize_and_throw_instead(void *user_data, void *object)
{
    finalize_and_throw(user_data, object);
    return 0;
}

TEST(a_pool_that_was_finalized_stays_so_whatever_calls_end_afterwards)
{
    for (int is_constructor = 0; is_constructor < 2; is_constructor++) {
        struct cork_mempool mp;
        struct cork_mempool_options options = {};
        bool has_thrown = false;

        options.init_object = is_constructor ? finalize_and_throw_instead : nullptr;
        options.user_data = &mp;
        CHECK(cork_mempool_init_with(&mp, &options));
        try {
            CHECK(cork_mempool_new(&mp) != nullptr);
            cork_mempool_foreach(&mp, finalize_and_throw, &mp);
        } catch (void *) {
            has_thrown = true;
        }
        CHECK(has_thrown);
        CHECK_KIND(cork_mempool_clear(&mp), CORK_MEMPOOL_USE_AFTER_DONE);
    }
}
