/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fixture.h"
#include "misuse.h"

/*
 * Commits one misuse in this process, for tools that watch it, and for whoever wants to see a
 * report:
 *
 *     misuse_program MISUSE [PROTECTIONS [SIZE]]
 *
 * PROTECTIONS is a number; without it, the pool has none. Prints what came of it, if it comes to
 * its end. Without arguments, prints all misuses, each with its guarantee.
 */

#define MISUSE_MAX 256

static const struct misuse *misuses[MISUSE_MAX];
static size_t misuse_count;

struct guarantee misuse_guarantee;

void misuse_register(struct misuse *misuse)
{
    if (misuse_count == MISUSE_MAX) {
        abort();
    }
    misuses[misuse_count++] = misuse;
}

void misuse_test(const struct misuse *misuse)
{
    (void)misuse;
}

static const char *verdict(void)
{
    if (outcome->is_impossible) {
        return "impossible";
    }
    if (outcome->complaint != NULL) {
        return outcome->complaint;
    }
    if (outcome->is_check_false) {
        return CHECK_FAILS;
    }
    return outcome->has_effect ? NOT_DETECTED : ABSORBED;
}

int main(int argc, char **argv)
{
    const char *const name = argc > 1 ? argv[1] : "";
    const unsigned protections = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 0) : 0;
    const size_t size = argc > 3 ? strtoul(argv[3], NULL, 10) : 64;

    for (size_t i = 0; i < misuse_count; i++) {
        if (strcmp(misuses[i]->name, name) == 0) {
            fixture_play(misuses[i]->commit, size != 0 ? size : 64, protections, 1);
            puts(verdict());
            return 0;
        }
    }
    for (size_t i = 0; i < misuse_count; i++) {
        printf("%s: %s\n", misuses[i]->name, misuses[i]->guarantee.text);
    }
    return argc > 1 ? 2 : 0;
}
