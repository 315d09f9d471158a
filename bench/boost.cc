// SPDX-License-Identifier: BSD-3-Clause

// boost::pool as its users have it: a template, inlined.

#include "measure.h"

#include <cstdio>
#include <cstdlib>
#include <new>

#if defined(__has_include)
#if __has_include(<boost/pool/pool.hpp>)
#include <boost/pool/pool.hpp>
#define HAS_BOOST 1
#endif
#endif

#if defined(HAS_BOOST)

// Its lifetime is from pool_init to pool_done; workloads have it in memory like any C struct.
struct pool {
    alignas(boost::pool<>) unsigned char memory[sizeof(boost::pool<>)];
};

static inline boost::pool<> *boost_of(struct pool *pool)
{
    return reinterpret_cast<boost::pool<> *>(pool->memory);
}

static bool pool_open(const char *variant)
{
    return *variant == '\0';
}

static inline void pool_init(struct pool *pool, size_t size)
{
    new (pool->memory) boost::pool<>(size);
}

static inline void *pool_new(struct pool *pool)
{
    return boost_of(pool)->malloc();
}

static inline void pool_free(struct pool *pool, void *object)
{
    boost_of(pool)->free(object);
}

static inline void pool_done(struct pool *pool)
{
    boost_of(pool)->~pool();
}

#include "main.h"

#else

int main()
{
    std::fputs("skipped: Boost was not there to build with (on Debian: libboost-dev)\n", stderr);
    return BENCH_IS_MISSING;
}

#endif
