/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "misuses.h"

/*
 * Plays one misuse in this process, for tools that watch it, and for whoever wants to see a report:
 *
 *     misuse_program MISUSE [PROFILE [SIZE]]
 *
 * Prints what came of it, if it comes to its end.
 */

static const char *verdict_of(const struct evidence *evidence)
{
    if (evidence->is_impossible) {
        return "impossible";
    }
    if (!evidence->is_intact) {
        return "a bystander lost its contents";
    }
    if (evidence->is_check_false) {
        return CHECK_FAILS;
    }
    return evidence->is_harmed ? NOT_DETECTED : ABSORBED;
}

static const struct row *find_row(const char *name)
{
    for (size_t i = 0; i < row_count; i++) {
        if (strcmp(rows[i].name, name) == 0) {
            return &rows[i];
        }
    }
    fprintf(stderr, "no misuse is called \"%s\"; these are:\n", name);
    for (size_t i = 0; i < row_count; i++) {
        if (i == 0 || strcmp(rows[i].name, rows[i - 1].name) != 0) {
            fprintf(stderr, "%s\n", rows[i].name);
        }
    }
    exit(2);
}

static unsigned find_protections(const char *name)
{
    for (size_t i = 0; i < PROFILE_COUNT; i++) {
        if (strcmp(profiles[i].name, name) == 0) {
            return profiles[i].protections;
        }
    }
    fprintf(stderr, "no profile is called \"%s\"\n", name);
    exit(2);
}

int main(int argc, char **argv)
{
    static struct scene scene;
    static struct evidence evidence;
    const struct row *row = find_row(argc > 1 ? argv[1] : "");
    const unsigned protections = find_protections(argc > 2 ? argv[2] : "default");
    const size_t size = argc > 3 ? strtoul(argv[3], NULL, 10) : 64;

    scene_play(&scene, row->misuse, size != 0 ? size : 64, protections, 1, false, &evidence);
    puts(verdict_of(&evidence));
    return 0;
}
