/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * The main function of a subject, which has defined before it includes this:
 *
 *   struct pool  what its users keep of a pool
 *   pool_open    makes ready for a variant; returns false where it is none, and ends the program
 *                with BENCH_IS_MISSING where there is no such subject here
 *   pool_init, pool_new, pool_free, pool_done
 *   POOL_HAS_TRIM and pool_trim, or neither
 *
 * It runs one workload on one size, in a process of its own, and prints a line for each figure:
 * nanoseconds for each operation, unless bench.py knows the figure as another.
 */

#include <stdio.h>
#include <string.h>

#include "measure.h"

#include "workloads.h"

#include "programs.h"

static const struct {
    const char *name;
    void (*run)(const struct bench_options *options);
} workloads[] = {
    {"base", run_base},     {"lifetimes", run_lifetimes}, {"hash", run_hash},
    {"tree", run_tree},     {"cycle", run_cycle},         {"mid", run_mid},
    {"bursts", run_bursts}, {"many", run_many},           {"pools", run_pools},
    {"tail", run_tail},     {"growth", run_growth},
#if defined(POOL_HAS_TRIM)
    {"trim", run_trim},
#endif
};

int main(int argc, char **argv)
{
    const struct bench_options options = bench_arguments(argc, argv);
    if (!pool_open(options.variant)) {
        fprintf(stderr, "bench: there is no variant %s\n", options.variant);
        return 2;
    }
    for (size_t i = 0; i < sizeof(workloads) / sizeof(workloads[0]); i++) {
        if (strcmp(options.workload, workloads[i].name) == 0) {
            workloads[i].run(&options);
#if defined(__OPTIMIZE__)
            bench_record("optimized", 1);
#else
            bench_record("optimized", 0);
#endif
            bench_print();
            return 0;
        }
    }
    fprintf(stderr, "bench: there is no workload %s\n", options.workload);
    return 2;
}
