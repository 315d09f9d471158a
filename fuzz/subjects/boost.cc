// SPDX-License-Identifier: BSD-3-Clause

// boost::pool. An object is aligned for whatever has its size; one of 24 bytes to 8, not to 16.
// Its defect:
//   wrapping  a block's size wraps around, and less is allocated than is used

#include "other.h"

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <new>

#if __has_include(<boost/pool/pool.hpp>)
#include <boost/pool/pool.hpp>

typedef boost::pool<boost::default_user_allocator_malloc_free> Pool;

static void *make(size_t element_size, size_t block_size)
{
    const size_t largest = size_t(1) << 26;
    const size_t count = (block_size != 0 ? block_size : 4096) / element_size;
    if (other_is_known("wrapping") && (element_size > largest || block_size > largest)) {
        errno = ENOMEM;
        return nullptr;
    }
    void *memory = std::malloc(sizeof(Pool));
    return memory != nullptr ? new (memory) Pool(element_size, count != 0 ? count : 1) : nullptr;
}

static void *new_object(void *pool)
{
    return static_cast<Pool *>(pool)->malloc();
}

static void free_object(void *pool, void *object)
{
    static_cast<Pool *>(pool)->free(object);
}

static void done(void *pool)
{
    static_cast<Pool *>(pool)->~Pool();
    std::free(pool);
}

const struct other *other_open()
{
    static const struct other boost_pool = {"boost::pool", sizeof(void *), false, make,
                                            new_object,    free_object,    done};
    return &boost_pool;
}
#else
const struct other *other_open()
{
    std::fputs("skipped: Boost was not there to build with (on Debian: libboost-dev)\n", stderr);
    return nullptr;
}
#endif
