/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What emit.c writes before the programs that it emits: of the sections below those that they need.
 * OBJECT_COUNT stands before it: the most objects that a pool issues.
 */
/* section: base */

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libcork/core.h>

#define POOL_COUNT 4
#define UNUSED     __attribute__((unused))

/* The pools, and the objects that each has issued, from the first to the last. */
static struct {
    struct cork_mempool pool;
    size_t size, alignment, count;
    char *a[OBJECT_COUNT];
    bool is_live[OBJECT_COUNT];
} p[POOL_COUNT];

static const char *program, *step = "the start";
static bool is_verbose;

/* The pool that is called, or POOL_COUNT. */
UNUSED static unsigned current = POOL_COUNT;
#define CALL(i, call) (current = (i), call, current = POOL_COUNT)

#define SAY(...) (is_verbose ? (void)printf(__VA_ARGS__) : (void)0)

static void expect(bool is_so, const char *expected)
{
    if (!is_so) {
        fprintf(stderr, "%s: at %s: expected: %s\n", program, step, expected);
        abort();
    }
}

UNUSED static void start(const char *name)
{
    program = name;
    for (unsigned i = 0; i < POOL_COUNT; i++) {
        p[i].count = 0;
    }
    SAY("program %s\n", name);
}

/* Only the ends of large objects are written and compared. */
static bool is_byte_used(const char *object, size_t size, size_t offset, unsigned char value)
{
    return (offset >= 128 && offset < size - 128) || (unsigned char)object[offset] == value;
}

static unsigned char value_of(unsigned i, size_t birth)
{
    return (unsigned char)(birth * 37 + i * 59 + 1);
}

static void fill(unsigned i, size_t birth)
{
    const size_t size = p[i].size;
    const size_t window = size < 128 ? size : 128;
    memset(p[i].a[birth], value_of(i, birth), window);
    memset(p[i].a[birth] + size - window, value_of(i, birth), window);
}

static void compare(unsigned i, size_t birth)
{
    const size_t size = p[i].size;
    for (size_t offset = 0; offset < size; offset++) {
        if (size > 256 && offset == 128) {
            offset = size - 128;
        }
        expect(is_byte_used(p[i].a[birth], size, offset, value_of(i, birth)),
               "a live object keeps its contents");
    }
}

UNUSED static void write_object(unsigned i, size_t birth)
{
    compare(i, birth);
    fill(i, birth);
}

static size_t live_count(unsigned i)
{
    size_t count = 0;
    for (size_t birth = 0; birth < p[i].count; birth++) {
        count += p[i].is_live[birth];
    }
    return count;
}

/* After init. */
UNUSED static void begin(unsigned i, size_t size, size_t alignment)
{
    p[i].size = size;
    p[i].alignment = alignment;
    SAY("init %u\n", i);
}

UNUSED static void init_with(unsigned i, const struct cork_mempool_options *options, bool is_met)
{
    expect(cork_mempool_init_with(&p[i].pool, options) == is_met,
           is_met ? "options are accepted" : "options are refused");
    if (!is_met) {
        SAY("init %u: refused\n", i);
    }
}

UNUSED static void new_object(unsigned i)
{
    const size_t birth = p[i].count++;
    CALL(i, p[i].a[birth] = cork_mempool_new(&p[i].pool));
    expect(p[i].a[birth] != NULL, "new gives an object");
    expect((uintptr_t)p[i].a[birth] % p[i].alignment == 0, "an object is aligned");
    p[i].is_live[birth] = true;
    fill(i, birth);
    SAY("new %u: object\n", i);
}

UNUSED static void new_objects(unsigned i, size_t count)
{
    for (; count > 0; count--) {
        new_object(i);
    }
}

UNUSED static void new_fails(unsigned i, int error)
{
    void *object = NULL;
    errno = 0;
    CALL(i, object = cork_mempool_new(&p[i].pool));
    expect(object == NULL, "new gives NULL");
    expect(errno == error, "new says why");
    SAY("new %u: NULL\n", i);
}

UNUSED static void free_object(unsigned i, size_t birth)
{
    compare(i, birth);
    p[i].is_live[birth] = false;
    CALL(i, cork_mempool_free(&p[i].pool, p[i].a[birth]));
    SAY("free %u\n", i);
}

/* From first on, each step births after the one before. */
UNUSED static void free_range(unsigned i, size_t first, ptrdiff_t step_size, size_t count)
{
    for (; count > 0; count--) {
        free_object(i, first);
        first += (size_t)step_size;
    }
}

UNUSED static void free_null(unsigned i)
{
    CALL(i, cork_mempool_free(&p[i].pool, NULL));
    SAY("free %u\n", i);
}

/* The pool finds itself in order, and counts its live objects. */
UNUSED static void sound(unsigned i)
{
    struct cork_mempool_stats stats;
    expect(cork_mempool_check(&p[i].pool), "check is true");
    cork_mempool_stats(&p[i].pool, &stats);
    expect(stats.live_count == live_count(i), "stats count the live objects");
    expect(stats.element_size == p[i].size, "stats tell the element size");
}

UNUSED static void compare_all(void)
{
    for (unsigned i = 0; i < POOL_COUNT; i++) {
        for (size_t birth = 0; birth < p[i].count; birth++) {
            if (p[i].is_live[birth]) {
                compare(i, birth);
            }
        }
    }
}

UNUSED static void done(unsigned i)
{
    CALL(i, cork_mempool_done(&p[i].pool));
    SAY("done %u\n", i);
}

UNUSED static void trim(unsigned i)
{
    CALL(i, cork_mempool_trim(&p[i].pool));
    SAY("trim %u\n", i);
}

UNUSED static void clear(unsigned i)
{
    for (size_t birth = 0; birth < p[i].count; birth++) {
        p[i].is_live[birth] = false;
    }
    CALL(i, cork_mempool_clear(&p[i].pool));
    SAY("clear %u\n", i);
}

UNUSED static void owns(unsigned i, const void *pointer, bool is_owned)
{
    expect(cork_mempool_owns(&p[i].pool, pointer) == is_owned,
           is_owned ? "the pool owns it" : "the pool does not own it");
    SAY("owns %u: %s\n", i, is_owned ? "true" : "false");
}
/* section: violations */

#include <setjmp.h>

enum call { NEW, FREE, DONE, CHECK, STATS, OWNS, FOREACH, CLEAR, TRIM };
UNUSED static const char *const call_names[] = {
    "new", "free", "done", "check", "stats", "owns", "foreach", "clear", "trim",
};

static jmp_buf before_call;
static enum cork_mempool_violation_kind kind_seen;
static struct cork_mempool dead; /* all zeros, or a copy of a pool */

static void leave_call(const struct cork_mempool_violation *violation)
{
    kind_seen = violation->kind;
    longjmp(before_call, 1);
}

static void ignore(void *user_data, void *object)
{
    (void)user_data;
    (void)object;
}

static void make(struct cork_mempool *mp, enum call call, void *pointer)
{
    struct cork_mempool_stats stats;
    switch (call) {
    case NEW:
        cork_mempool_new(mp);
        break;
    case FREE:
        cork_mempool_free(mp, pointer);
        break;
    case DONE:
        cork_mempool_done(mp);
        break;
    case CHECK:
        cork_mempool_check(mp);
        break;
    case STATS:
        cork_mempool_stats(mp, &stats);
        break;
    case OWNS:
        cork_mempool_owns(mp, pointer);
        break;
    case FOREACH:
        cork_mempool_foreach(mp, ignore, NULL);
        break;
    case CLEAR:
        cork_mempool_clear(mp);
        break;
    case TRIM:
        cork_mempool_trim(mp);
        break;
    }
}

/* A call that must be refused; the handler leaves it, and nothing has changed. */
UNUSED static void refused(unsigned i, struct cork_mempool *mp, enum call call, void *pointer,
                           enum cork_mempool_violation_kind kind)
{
    kind_seen = (enum cork_mempool_violation_kind)0;
    cork_mempool_on_violation(leave_call);
    current = i;
    if (setjmp(before_call) == 0) {
        make(mp, call, pointer);
    }
    current = POOL_COUNT;
    cork_mempool_on_violation(NULL);
    expect(kind_seen == kind, cork_mempool_violation_message(kind));
    SAY("%s %u: %s\n", call_names[call], i, cork_mempool_violation_message(kind));
}

UNUSED static struct cork_mempool *zeroed(void)
{
    memset(&dead, 0, sizeof(dead));
    return &dead;
}

UNUSED static struct cork_mempool *copied(unsigned i)
{
    dead = p[i].pool;
    return &dead;
}
/* section: damage */

/* Inverts bytes that nobody may touch. */
#if defined(__clang__)
__attribute__((no_sanitize("address", "memory"), noinline))
#else
__attribute__((no_sanitize("address"), noinline))
#endif
static void
damage(char *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        ((volatile unsigned char *)bytes)[i] ^= 0xff;
    }
}
/* section: foreign */

/* Memory that is no pool's. */
UNUSED static char foreign[64];
UNUSED static void *foreign_heap;
/* section: visit */

static struct {
    unsigned pool;
    size_t visited_count, freed_count;
    const size_t *freed; /* by their birth */
} visit;

static void visit_object(void *user_data, void *object)
{
    (void)user_data;
    visit.visited_count++;
    for (size_t i = 0; i < visit.freed_count; i++) {
        if (p[visit.pool].a[visit.freed[i]] == object) {
            const unsigned caller = current;
            free_object(visit.pool, visit.freed[i]);
            current = caller;
        }
    }
}

/* Visits all live objects, and frees some. */
UNUSED static void visit_all(unsigned i, size_t freed_count, const size_t *freed)
{
    const size_t expected_count = live_count(i);
    visit.pool = i;
    visit.visited_count = 0;
    visit.freed_count = freed_count;
    visit.freed = freed;
    CALL(i, cork_mempool_foreach(&p[i].pool, visit_object, NULL));
    expect(visit.visited_count == expected_count, "all live objects are visited");
    SAY("foreach %u: %zu\n", i, visit.visited_count);
}
/* section: refusals */

/* Of the requests for memory that are made for a pool after its init, which are refused. */
static struct memory {
    size_t request_count;
    size_t largest_mapping; /* 0: none is too large */
    size_t failing_request; /* 0: none */
    uint64_t failing_mask;  /* bit i: those whose number has the remainder i by 64 */
} memory[POOL_COUNT + 1];

/* From now on. */
UNUSED static void refuse(unsigned i, size_t largest_mapping, size_t failing_request,
                          uint64_t failing_mask)
{
    memory[i].largest_mapping = largest_mapping;
    memory[i].failing_request = failing_request;
    memory[i].failing_mask = failing_mask;
}

UNUSED static bool is_refused(size_t mapping_size)
{
    struct memory *of = &memory[current];
    const size_t number = ++of->request_count;
    if (current == POOL_COUNT ||
        (number != of->failing_request && (of->failing_mask >> number % 64 & 1) == 0 &&
         (of->largest_mapping == 0 || mapping_size <= of->largest_mapping))) {
        return false;
    }
    errno = ENOMEM;
    return true;
}
/* section: wraps */

#include <sys/mman.h>
#include <sys/types.h>

/* The linker has these called instead of what they are named after. */
#define WRAP(result, name, parameters)                                                             \
    result __real_##name parameters;                                                               \
    result __wrap_##name parameters;                                                               \
    result __wrap_##name parameters

WRAP(void *, mmap, (void *address, size_t size, int protection, int flags, int file, off_t offset))
{
    return is_refused(size) ? MAP_FAILED
                            : __real_mmap(address, size, protection, flags, file, offset);
}

WRAP(int, mprotect, (void *address, size_t size, int protection))
{
    return is_refused(0) ? -1 : __real_mprotect(address, size, protection);
}

/* Guards that are no mappings, which not every kernel has: as in the fuzz tests, there are none. */
WRAP(int, madvise, (void *address, size_t size, int advice))
{
    return advice == 102 ? -1 : __real_madvise(address, size, advice);
}

WRAP(void *, malloc, (size_t size))
{
    return is_refused(0) ? NULL : __real_malloc(size);
}

WRAP(void *, calloc, (size_t count, size_t size))
{
    return is_refused(0) ? NULL : __real_calloc(count, size);
}

WRAP(void *, aligned_alloc, (size_t alignment, size_t size))
{
    return is_refused(0) ? NULL : __real_aligned_alloc(alignment, size);
}
/* section: source */

/* A source of memory that refuses the pool what it was refused. */
static void *acquire(void *source_data, size_t size, size_t alignment)
{
    const unsigned caller = current;
    const size_t unit = alignment > 16 ? alignment : 16;
    void *result = NULL;
    (void)source_data;
    if (size < SIZE_MAX / 2 && !is_refused(0)) {
        current = POOL_COUNT;
        result = aligned_alloc(unit, (size + unit - 1) / unit * unit);
        current = caller;
    }
    if (result != NULL) {
        memset(result, 0xa5, size < 4096 ? size : 4096);
    }
    return result;
}

static void release(void *source_data, void *memory_taken, size_t size)
{
    (void)source_data;
    (void)size;
    free(memory_taken);
}

static const struct cork_mempool_source source = {acquire, release};
/* section: buffers */

static _Alignas(4096) char buffers[POOL_COUNT][6 * 4096];
/* section: constructors */

static size_t construct_counts[POOL_COUNT];

static int construct(void *user_data, void *object)
{
    ++*(size_t *)user_data;
    *(char *)object = 0x55;
    return 0;
}

UNUSED static int construct_at_times(void *user_data, void *object)
{
    if (*(size_t *)user_data % 3 == 1) {
        ++*(size_t *)user_data;
        errno = EDOM;
        return -1;
    }
    return construct(user_data, object);
}

static void destruct(void *user_data, void *object)
{
    (void)user_data;
    (void)object;
}
/* section: types */

struct subject_line {
    _Alignas(64) unsigned char bytes[64];
};
struct subject_lines {
    _Alignas(128) unsigned char bytes[384];
};
struct subject_pages {
    _Alignas(4096) unsigned char bytes[8192];
};
/* section: programs */
