/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

/*
 * What the tests of memory share: where a pool's memory comes from, how much there is of it, and
 * whether it all goes back.
 */

#include "pools.h"
#include "requests.h"

/* Sanitizers with memory and mappings of their own. */
#define UNDER_SANITIZER (TEST_UNDER_ASAN || TEST_UNDER_MSAN || TEST_UNDER_TSAN)

/* One of all_protections, less the guards that memory of the caller's cannot have. */
unsigned without_guards(size_t number);

/* One call of cork_mempool_new: NULL comes with errno ENOMEM and a valid pool that has taken no
 * memory, and an object with errno as it was. */
void *try_new(struct cork_mempool *mp);

/* Checks that a pool gives NULL, each time that it is asked. */
void expect_null(struct cork_mempool *mp);

/* Takes objects[count] and those behind it, and fills them, until there is no memory; returns how
 * many there are then, which must be less than most. */
size_t take_until_null(struct cork_mempool *mp, void **objects, size_t count, size_t most);

/* Frees objects[first] up to objects[end]. */
void free_objects(struct cork_mempool *mp, void **objects, size_t first, size_t end);

/* Ends the counting of requests, and checks that nothing that was taken is kept. */
void requests_finish(void);

/* Finalizes a pool, and checks the same. Its live objects are count that take_objects has filled,
 * which are first checked and freed; or with a count of 0 any, which are cleared. */
void finish(struct cork_mempool *mp, void **objects, size_t count);

/* Says whether a region is address space of the system's. */
bool is_reserved(const struct cork_mempool_region *region);

/* What a file holds, read without asking for memory; of those that the kernel makes up. */
const char *read_file(const char *name);

/* The bytes from start up to end that may be read and written. */
size_t usable_size(const char *start, const char *end);

/* The bytes of memory that this process alone has, to the page. The test is skipped where there
 * are others than the program's. */
size_t resident_size(void);
