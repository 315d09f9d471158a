/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * The workloads but for those that are programs. main.h includes this in each subject, so that what
 * the subject's users would have inlined is inlined here.
 *
 * Why the loops are written by hand, and not run by Google Benchmark: most workloads are phases of
 * one sequence over one population, whose state the next phase must find as the last one left it,
 * while a benchmark of that library is repeated until it has lasted long enough; allocators that
 * are preloaded need processes of their own, and what is compared is to be run alternately, across
 * those; and a population must be fresh where pages are touched for the first time.
 *
 * NULL is always checked for, as by any careful caller. bench_use keeps compilers from removing
 * what nobody looks at; it does not keep an inlined pool from living in registers.
 */

#include <stdint.h>
#include <string.h>

#include "measure.h"

#define BATCH_COUNT  100
#define CHURN_ROUNDS 2
#define CYCLE_MOST   16384
#define TRIM_ROUNDS  4

static inline uintptr_t *word_of(void *object)
{
    return (uintptr_t *)object;
}

static inline void *take(struct pool *pool)
{
    void *object = pool_new(pool);
    if (__builtin_expect(object == NULL, 0)) {
        bench_end_without_memory();
    }
    bench_use(object);
    return object;
}

/* Fills objects, each with something else, and looks whether each still has its own. */
static void check_objects(const struct bench_options *options, void **objects, size_t count)
{
    if (!options->is_checking) {
        return;
    }
    for (size_t i = 0; i < count; i++) {
        memset(objects[i], (int)(i & 0xff), options->size);
        memcpy(objects[i], &i, sizeof(i));
    }
    for (size_t i = 0; i < count; i++) {
        const unsigned char *bytes = (const unsigned char *)objects[i];
        const unsigned char *rest = bytes + sizeof(i);
        if (memcmp(bytes, &i, sizeof(i)) != 0 || *rest != (i & 0xff) ||
            memcmp(rest, rest + 1, options->size - sizeof(i) - 1) != 0) {
            bench_fail("an object was overwritten");
        }
    }
}

static void build(struct pool *pool, void **objects, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        objects[i] = take(pool);
        *word_of(objects[i]) = i;
    }
}

static void teardown(struct pool *pool, void **objects, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        pool_free(pool, objects[i]);
    }
}

static void run_small(const struct bench_options *options, struct pool *pool, void **objects)
{
    const size_t count = options->count * CHURN_ROUNDS;
    const size_t batches = count / BATCH_COUNT;
    struct bench_time start = bench_now();

    for (size_t i = 0; i < count; i++) {
        pool_free(pool, take(pool));
    }
    bench_lap(&start, "churn", count);

    for (size_t i = 0; i < batches; i++) {
        build(pool, objects, BATCH_COUNT);
        for (size_t j = BATCH_COUNT; j > 0; j--) {
            pool_free(pool, objects[j - 1]);
        }
    }
    bench_lap(&start, "lifo", batches * BATCH_COUNT);

    for (size_t i = 0; i < batches; i++) {
        build(pool, objects, BATCH_COUNT);
        teardown(pool, objects, BATCH_COUNT);
    }
    bench_lap(&start, "fifo", batches * BATCH_COUNT);

    build(pool, objects, BATCH_COUNT);
    check_objects(options, objects, BATCH_COUNT);
    teardown(pool, objects, BATCH_COUNT);
}

static void walk(struct bench_time *start, void **objects, size_t count)
{
    uint64_t sum = 0;
    *start = bench_now();
    for (size_t i = 0; i < count; i++) {
        sum += *word_of(objects[i]);
    }
    bench_lap(start, "walk", count);
    if (sum != (uint64_t)count * (count - 1) / 2) {
        bench_fail("the objects do not hold what was written");
    }
}

/* churn, lifo, fifo, build, replace, randfree, rebuild, walk, teardown, bytes per object. */
static void run_base(const struct bench_options *options)
{
    const size_t count = options->count;
    void **objects = (void **)bench_memory(count * sizeof(void *), true);
    const uint32_t *picks = bench_picks(count, count);
    const uint32_t *order = bench_order(count);
    const size_t resident = bench_resident();
    struct pool pool;
    pool_init(&pool, options->size);
    run_small(options, &pool, objects);

    struct bench_time start = bench_now();
    build(&pool, objects, count);
    bench_lap(&start, "build", count);
    bench_record("bytes", (double)(bench_resident() - resident) / (double)count);
    check_objects(options, objects, count);

    start = bench_now();
    for (size_t i = 0; i < count; i++) {
        pool_free(&pool, objects[picks[i]]);
        objects[picks[i]] = take(&pool);
    }
    bench_lap(&start, "replace", count);
    check_objects(options, objects, count);

    start = bench_now();
    for (size_t i = 0; i < count; i++) {
        pool_free(&pool, objects[order[i]]);
    }
    bench_lap(&start, "randfree", count);

    build(&pool, objects, count);
    bench_lap(&start, "rebuild", count);
    walk(&start, objects, count);
    check_objects(options, objects, count);

    start = bench_now();
    teardown(&pool, objects, count);
    pool_done(&pool);
    bench_lap(&start, "teardown", count);
}

/* Pools' whole lives, one after the other, until those of one length have taken 10 ns for each of
 * the options' count. The lives before these warm up. */
static void run_cycle(const struct bench_options *options)
{
    static const size_t counts[] = {1, 16, 64, 65, 100, 256, 1024, 4096, CYCLE_MOST};
    void **objects = (void **)bench_memory(CYCLE_MOST * sizeof(void *), true);
    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
        size_t lives = 0;
        double elapsed = 0;
        while (lives < 2 || elapsed < 10 * (double)options->count) {
            lives = 2 * lives + 1;
            const double start = bench_now().cpu;
            for (size_t life = 0; life < lives; life++) {
                struct pool pool;
                pool_init(&pool, options->size);
                build(&pool, objects, counts[i]);
                check_objects(options, objects, counts[i]);
                teardown(&pool, objects, counts[i]);
                pool_done(&pool);
            }
            elapsed = bench_now().cpu - start;
        }
        bench_record_at("cycle", counts[i], elapsed / (double)(lives * counts[i]));
    }
}

/* Frees least random ones of count objects, or up to more of them besides, and takes as many new
 * ones, again and again. Returns what a pair of a free and a new takes in the last round; the
 * rounds before it age the pool. more is a power of two less one. */
static double exchange(const struct bench_options *options, size_t count, size_t least,
                       uint32_t more, size_t pairs, size_t rounds)
{
    void **objects = (void **)bench_memory(count * sizeof(void *), true);
    const uint32_t *picks = bench_picks(pairs + least + more, UINT32_MAX);
    double start = 0;
    size_t done = 0;
    struct pool pool;
    pool_init(&pool, options->size);
    build(&pool, objects, count);
    for (size_t round = 0; round < rounds; round++) {
        start = bench_now().cpu;
        for (done = 0; done < pairs;) {
            const size_t end = done + least + (picks[done] & more);
            size_t live = count;
            for (; done < end; done++) {
                void **object = &objects[(uint64_t)picks[done] * live >> 32];
                pool_free(&pool, *object);
                *object = objects[--live];
            }
            while (live < count) {
                objects[live++] = take(&pool);
            }
        }
    }
    const double elapsed = bench_now().cpu - start;
    check_objects(options, objects, count);
    teardown(&pool, objects, count);
    pool_done(&pool);
    return elapsed / (double)done;
}

static void run_mid(const struct bench_options *options)
{
    static const size_t counts[] = {100, 600, 1000, 3000, 5000, 10000, 30000, 100000};
    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
        bench_record_at("mid", counts[i], exchange(options, counts[i], 2, 0, options->count, 2));
    }
}

/* On some machines a pair takes longer from the third million on. */
static void run_bursts(const struct bench_options *options)
{
    bench_record("bursts", exchange(options, options->count, 1, 63, 4 * options->count, 4));
}

/* Many pools, each of some objects, at once: time and memory of an object, and mappings. */
static void live_together(const struct bench_options *options, size_t each,
                          const char *const names[3])
{
    const size_t pool_count = options->count;
    const size_t count = pool_count * each;
    void **objects = (void **)bench_memory(count * sizeof(void *), true);
    const size_t before = bench_resident() + bench_page_tables();
    struct pool *pools = (struct pool *)bench_memory(pool_count * sizeof(pools[0]), false);
    struct bench_time start = bench_now();

    for (size_t i = 0; i < pool_count; i++) {
        pool_init(&pools[i], options->size);
        build(&pools[i], &objects[i * each], each);
    }
    const struct bench_time made = bench_now();
    const size_t memory = bench_resident() + bench_page_tables() - before;
    bench_record(names[1], (double)memory / (double)count);
    bench_record(names[2], (double)bench_mappings());
    check_objects(options, objects, count);
    const struct bench_time again = bench_now();
    start.cpu += again.cpu - made.cpu;
    start.wall += again.wall - made.wall;
    for (size_t i = 0; i < pool_count; i++) {
        teardown(&pools[i], &objects[i * each], each);
        pool_done(&pools[i]);
    }
    bench_lap(&start, names[0], count);
}

static void run_pools(const struct bench_options *options)
{
    static const char *const names[] = {"pools", "pools_bytes", "pools_mappings"};
    live_together(options, 1, names);
}

static void run_many(const struct bench_options *options)
{
    static const char *const names[] = {"many", "many_bytes", "many_mappings"};
    live_together(options, 100, names);
}

/* What it takes to look at the clock: a system call, which among a thousand objects counts. */
static double clock_cost(void)
{
    const size_t count = 10000;
    const double start = bench_now().cpu;
    for (size_t i = 0; i < count; i++) {
        (void)bench_now();
    }
    return (bench_now().cpu - start) / (double)count;
}

/* What new and free cost from a thousand objects to as many as there are to be. */
static void run_growth(const struct bench_options *options)
{
    const double besides = clock_cost();
    void **objects = (void **)bench_memory(options->count * sizeof(void *), true);
    for (size_t count = 1000; count <= options->count; count *= 10) {
        const size_t rounds = count < 100000 ? 100000 / count : 1;
        double first = 0, again = 0, frees = 0;
        for (size_t round = 0; round < rounds; round++) {
            struct pool pool;
            double times[5];
            pool_init(&pool, options->size);
            times[0] = bench_now().cpu;
            build(&pool, objects, count);
            times[1] = bench_now().cpu;
            check_objects(options, objects, count);
            times[2] = bench_now().cpu;
            teardown(&pool, objects, count);
            times[3] = bench_now().cpu;
            for (size_t i = 0; i < count; i++) {
                objects[i] = take(&pool);
            }
            times[4] = bench_now().cpu;
            first += times[1] - times[0] - besides;
            frees += times[3] - times[2] - besides;
            again += times[4] - times[3] - besides;
            teardown(&pool, objects, count);
            pool_done(&pool);
        }
        bench_record_at("growth_first", count, first / (double)(rounds * count));
        bench_record_at("growth_new", count, again / (double)(rounds * count));
        bench_record_at("growth_free", count, frees / (double)(rounds * count));
    }
}

static struct bench_ticked make_ticked(void)
{
    struct bench_ticked ticked = {NULL, 0, 0};
    ticked.counts = (uint32_t *)bench_memory(BENCH_TICKED_MAX * sizeof(uint32_t), true);
    return ticked;
}

static void *tick_new(struct pool *pool, struct bench_ticked *ticked)
{
    const uint64_t start = bench_ticks();
    void *object = take(pool);
    bench_tick(ticked, bench_ticks() - start);
    return object;
}

/* Records the clock's own cost, and returns nanoseconds per tick. */
static double calibrate(void)
{
    struct bench_ticked empty = make_ticked();
    const double wall = bench_now().wall;
    const uint64_t ticks = bench_ticks();
    for (size_t i = 0; i < 1000000; i++) {
        const uint64_t start = bench_ticks();
        bench_tick(&empty, bench_ticks() - start);
    }
    const double scale = (bench_now().wall - wall) / (double)(bench_ticks() - ticks);
    bench_record("clock", bench_ticked_at(&empty, 0.5) * scale);
    return scale;
}

static void record_tail(const struct bench_ticked *ticked, const char *const names[3], double scale)
{
    bench_record(names[0], bench_ticked_at(ticked, 0.5) * scale);
    bench_record(names[1], bench_ticked_at(ticked, 0.999) * scale);
    bench_record(names[2], (double)ticked->max * scale);
}

/* Each single operation of build and replace. */
static void run_tail(const struct bench_options *options)
{
    static const char *const new_names[] = {"new_p50", "new_p999", "new_max"};
    static const char *const free_names[] = {"free_p50", "free_p999", "free_max"};
    const size_t count = options->count;
    void **objects = (void **)bench_memory(count * sizeof(void *), true);
    const uint32_t *picks = bench_picks(count, count);
    struct bench_ticked news = make_ticked();
    struct bench_ticked frees = make_ticked();
    const double scale = calibrate();
    struct pool pool;

    pool_init(&pool, options->size);
    for (size_t i = 0; i < count; i++) {
        objects[i] = tick_new(&pool, &news);
        *word_of(objects[i]) = i;
    }
    for (size_t i = 0; i < count; i++) {
        const uint64_t start = bench_ticks();
        pool_free(&pool, objects[picks[i]]);
        bench_tick(&frees, bench_ticks() - start);
        objects[picks[i]] = tick_new(&pool, &news);
    }
    check_objects(options, objects, count);
    record_tail(&news, new_names, scale);
    record_tail(&frees, free_names, scale);
    teardown(&pool, objects, count);
    pool_done(&pool);
}

#if defined(POOL_HAS_TRIM)
/* What is resident in a fresh pool, and what after many objects came and went, and a trim. All is
 * recorded at the end: pages of code become resident too. */
static void run_trim(const struct bench_options *options)
{
    const size_t count = options->count;
    void **objects = (void **)bench_memory(count * sizeof(void *), true);
    const uint32_t *order = bench_order(count);
    const size_t besides = count * (sizeof(void *) + sizeof(order[0]));
    size_t peaks[TRIM_ROUNDS];
    size_t rests[TRIM_ROUNDS];
    struct pool pool;
    pool_init(&pool, options->size);
    build(&pool, objects, count / TRIM_ROUNDS);
    teardown(&pool, objects, count / TRIM_ROUNDS);
    pool_trim(&pool);
    pool_done(&pool);
    (void)bench_resident();

    pool_init(&pool, options->size);
    build(&pool, objects, 1);
    teardown(&pool, objects, 1);
    pool_trim(&pool);
    const size_t fresh = bench_resident() - besides;
    for (size_t round = 0; round < TRIM_ROUNDS; round++) {
        build(&pool, objects, count);
        check_objects(options, objects, count);
        peaks[round] = bench_resident() - besides;
        for (size_t i = 0; i < count; i++) {
            pool_free(&pool, objects[round % 2 == 0 ? i : order[i]]);
        }
        pool_trim(&pool);
        rests[round] = bench_resident() - besides;
    }
    pool_done(&pool);
    bench_record("trim_fresh", (double)fresh);
    bench_record("trim_first_peak", (double)peaks[0]);
    bench_record("trim_after", (double)rests[0]);
    bench_record("trim_last_peak", (double)peaks[TRIM_ROUNDS - 1]);
    bench_record("trim_last", (double)rests[TRIM_ROUNDS - 1]);
}
#endif
