/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Runs every program up to a length over two tiny pools.
 *
 *     exhaust [--depth=N] [--states=N] [--groups=N] [--profile=NAME]
 *
 * --depth: operations of a program at most, instead of each profile's own; --states: stop a profile
 * after so many states; --groups: slots of a group, 1 to 3, instead of all of them; --profile: this
 * one instead of all.
 * Exit code: 0; 1 where a program fails, which is printed, the shortest there is; 2 where an
 * argument cannot be read.
 */

#define _POSIX_C_SOURCE 200809L /* unsetenv, clock_gettime */

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "exhaust_calls.h"
#include "exhaust_geometry.h"
#include "exhaust_search.h"

#define GROUPS_MAX 3

size_t exhaust_group_slots;
size_t exhaust_quarantine_max;

/*
 * Objects of 48 bytes, so that the stride has an odd factor, or of 64 with canaries; two to a
 * block. The first pool can have what its pieces hold: a nursery, HEAP(1), with two objects; and
 * regions that grow from two objects to four or five. The second pool has one block: it is there to
 * be another pool, with objects of its own.
 */
#define ELEMENT         .element_size = 48, .block_size = 2 * 48, .seed = 7
#define WITH_CANARY     .element_size = 48, .block_size = 2 * 64, .seed = 7
#define THREE           .element_size = 48, .block_size = 3 * 64, .seed = 7
#define HEAP(pages)     {true, pages}
#define RESERVED(pages) {false, pages}

static const struct exhaust_profile profiles[] = {
    {
        .name = "default",
        .options = {ELEMENT},
        .pieces = {{HEAP(1), RESERVED(7)}, {HEAP(1)}},
        .depths = {0, 15, 15},
    },
    {
        .name = "regions",
        .options = {ELEMENT},
        .pieces = {{HEAP(1), RESERVED(7), RESERVED(5)}, {HEAP(1)}},
        .depths = {12, 12, 12},
    },
    {
        .name = "heap",
        .options = {ELEMENT},
        .pieces = {{HEAP(1), HEAP(2), HEAP(2), RESERVED(5)}, {HEAP(1)}},
        .depths = {13, 13, 13},
    },
    {
        .name = "twins",
        .options = {ELEMENT},
        .pieces = {{HEAP(1), RESERVED(5)}, {HEAP(1), RESERVED(5)}},
        .depths = {0, 15, 15},
    },
    {
        .name = "limit",
        .options = {ELEMENT, .max_objects = 3},
        .pieces = {{HEAP(1), RESERVED(7)}, {HEAP(1)}},
    },
    {
        .name = "canary",
        .options = {WITH_CANARY, .protections = CORK_MEMPOOL_CANARY},
        .pieces = {{HEAP(2), RESERVED(8)}, {HEAP(2)}},
        .depths = {0, 16, 16},
    },
    {
        .name = "seal",
        .options = {ELEMENT, .protections = CORK_MEMPOOL_SEAL},
        .pieces = {{RESERVED(9)}, {RESERVED(6)}},
    },
    {
        .name = "seal-heap",
        .options = {ELEMENT, .protections = CORK_MEMPOOL_SEAL},
        .pieces = {{RESERVED(6), HEAP(1), HEAP(2)}, {HEAP(1), HEAP(2)}},
        .depths = {13, 13, 13},
    },
    {
        .name = "wipe",
        .options = {ELEMENT, .protections = CORK_MEMPOOL_WIPE},
        .pieces = {{HEAP(1), RESERVED(7)}, {HEAP(1)}},
        .depths = {14, 14, 14},
    },
    {
        .name = "shuffle",
        .options = {THREE, .protections = CORK_MEMPOOL_SHUFFLE},
        .pieces = {{HEAP(2), RESERVED(7)}, {HEAP(2)}},
        .depths = {13, 13, 13},
    },
    {
        .name = "quarantine",
        .options = {ELEMENT, .protections = CORK_MEMPOOL_QUARANTINE},
        .quarantine_max = 2,
        .pieces = {{RESERVED(10)}, {RESERVED(7)}},
        .depths = {14, 14, 14},
    },
    {
        .name = "rest-heap",
        .options = {ELEMENT, .protections = CORK_MEMPOOL_QUARANTINE},
        .quarantine_max = 2,
        .pieces = {{RESERVED(7), HEAP(1), HEAP(2)}, {HEAP(1), HEAP(2)}},
        .depths = {13, 13, 13},
    },
    {
        .name = "guard",
        .options = {ELEMENT, .protections = CORK_MEMPOOL_GUARD},
        .pieces = {{RESERVED(12), RESERVED(12)}, {RESERVED(12)}},
        .depths = {17, 0, 0},
    },
    {
        .name = "paranoid",
        .options = {THREE, .protections = CORK_MEMPOOL_PARANOID},
        .quarantine_max = 2,
        .pieces = {{RESERVED(16), RESERVED(16)}, {RESERVED(16)}},
        .depths = {11, 11, 11},
    },
};
#define PROFILE_COUNT (sizeof(profiles) / sizeof(profiles[0]))

struct row {
    const struct exhaust_profile *profile;
    size_t group_slots;
    struct search_result result;
    double seconds;
};

static struct {
    unsigned depth;
    size_t states;
    size_t group_slots;
    const char *profile;
} arguments = {.states = SIZE_MAX};

static const char *profile_name;
static double begin;
static double reported;

/* Seconds of the processor, which do not depend on what else runs. */
static double now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

static void progress(void)
{
    const bool is_terminal = isatty(STDOUT_FILENO);
    const double time = now();

    if (time - reported < (is_terminal ? 0.5 : 10)) {
        return;
    }
    reported = time;
    printf("%s%s, groups of %zu: %zu states, %.1f million transitions, %.1f million/s, depth %u%s",
           is_terminal ? "\r" : "", profile_name, exhaust_group_slots, search_result.states,
           (double)search_result.transitions * 1e-6,
           (double)search_result.transitions * 1e-6 / (time - begin), search_result.depth,
           is_terminal ? "   " : "\n");
    fflush(stdout);
}

static struct row search(const struct exhaust_profile *profile, size_t group_slots)
{
    const unsigned own = profile->depths[group_slots - 1];
    const unsigned depth = arguments.depth != 0 ? arguments.depth : own;
    const struct search_limits limits = {depth != 0 ? depth : 500, arguments.states};

    exhaust_group_slots = group_slots;
    profile_name = profile->name;
    begin = reported = now();
    calls_begin(profile);
    search_run(&limits, progress);
    return (struct row){profile, group_slots, search_result, now() - begin};
}

static void print_row(const struct row *row)
{
    printf("%s%-12s %6zu %6u %12zu %14llu %14llu %8.1f  %s\n",
           isatty(STDOUT_FILENO) ? "\r\033[K" : "", row->profile->name, row->group_slots,
           row->result.depth, row->result.states, (unsigned long long)row->result.transitions,
           (unsigned long long)row->result.refused, row->seconds,
           row->result.is_closed ? "closed" : "bounded");
    fflush(stdout);
}

static bool read_number(const char *argument, const char *name, size_t *number)
{
    const size_t length = strlen(name);
    char *end;

    if (strncmp(argument, name, length) != 0 || argument[length] < '1' || argument[length] > '9') {
        return false;
    }
    *number = strtoul(argument + length, &end, 10);
    return *end == '\0';
}

static bool read_argument(const char *argument)
{
    static const char profile[] = "--profile=";
    size_t depth = 0;

    if (read_number(argument, "--depth=", &depth)) {
        arguments.depth = depth > 500 ? 500 : (unsigned)depth;
        return true;
    }
    if (strncmp(argument, profile, sizeof(profile) - 1) == 0) {
        arguments.profile = argument + sizeof(profile) - 1;
        for (size_t i = 0; i < PROFILE_COUNT; i++) {
            if (strcmp(profiles[i].name, arguments.profile) == 0) {
                return true;
            }
        }
        return false;
    }
    if (read_number(argument, "--groups=", &arguments.group_slots)) {
        return arguments.group_slots <= GROUPS_MAX;
    }
    return read_number(argument, "--states=", &arguments.states);
}

static void print_usage(const char *argument)
{
    fprintf(stderr, "exhaust: %s cannot be read\n", argument);
    fprintf(stderr, "usage: exhaust [--depth=N] [--states=N] [--groups=1..3] [--profile=NAME]\n");
    fprintf(stderr, "profiles:");
    for (size_t i = 0; i < PROFILE_COUNT; i++) {
        fprintf(stderr, " %s", profiles[i].name);
    }
    fprintf(stderr, "\n");
}

int main(int argc, char **argv)
{
    uint64_t transitions = 0;
    uint64_t refused = 0;
    size_t states = 0;
    const double start = now();

    for (int i = 1; i < argc; i++) {
        if (!read_argument(argv[i])) {
            print_usage(argv[i]);
            return 2;
        }
    }
    unsetenv("CORK_MEMPOOL_OPTIONS");
    printf("%-12s %6s %6s %12s %14s %14s %8s\n", "profile", "groups", "depth", "states",
           "transitions", "refused", "seconds");
    for (size_t i = 0; i < PROFILE_COUNT; i++) {
        for (size_t slots = 1; slots <= GROUPS_MAX; slots++) {
            if ((arguments.profile != NULL && strcmp(profiles[i].name, arguments.profile) != 0) ||
                (arguments.group_slots != 0 && slots != arguments.group_slots)) {
                continue;
            }
            const struct row row = search(&profiles[i], slots);
            print_row(&row);
            transitions += row.result.transitions;
            refused += row.result.refused;
            states += row.result.states;
        }
    }
    printf("%-12s %6s %6s %12zu %14llu %14llu %8.1f\n", "all", "", "", states,
           (unsigned long long)transitions, (unsigned long long)refused, now() - start);
    return 0;
}
