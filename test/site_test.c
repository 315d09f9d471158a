/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * What a report makes of call sites, whatever the dynamic linker says of them.
 */

#define _GNU_SOURCE /* dladdr */

#include <dlfcn.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "test/support/harness.h"
#include "test/support/pools.h"
#include "test/support/refusals.h"

#define LINE_MAX_LENGTH 511
#define OFFSET          0x1e

/* What the dynamic linker says: link with -Wl,--wrap=dladdr. */
static int is_known;
static const char *file;
static const char *function;

int __wrap_dladdr(const void *address, Dl_info *info);

/* What is asked for is the call, not the address behind it. */
int __wrap_dladdr(const void *address, Dl_info *info)
{
    char *const start = (char *)(uintptr_t)address - OFFSET;

    *info = (Dl_info){.dli_fname = file, .dli_fbase = start};
    if (function != NULL) {
        *info = (Dl_info){.dli_fname = "no matter", .dli_sname = function, .dli_saddr = start};
    }
    return is_known;
}

/* Frees an object twice; the line about its sites must show each with what is said of it. */
static void sites_are_shown_with(const char *shown)
{
    const struct cork_mempool_violation *violation = &seen.violation;
    char sites[4096];
    char report[8192];

    subject_begin(CORK_MEMPOOL_CALLSITES, 16);
    subject_give(0, 1);
    CHECK(is_refused(FREE, subject.objects[0]));
    snprintf(sites, sizeof(sites),
             "cork_mempool: issued at 0x%" PRIxPTR "%s, freed at 0x%" PRIxPTR "%s",
             (uintptr_t)violation->new_site - 1, shown, (uintptr_t)violation->free_site - 1, shown);
    snprintf(report, sizeof(report),
             "cork_mempool: double free: pool 0x%" PRIxPTR " \"%s\", pointer 0x%" PRIxPTR
             ", slot 0, element size 16, seed 0x%" PRIx64 "\n%.*s\n",
             (uintptr_t)&subject.mp, SUBJECT_NAME, (uintptr_t)subject.objects[0],
             (uint64_t)SUBJECT_SEED, LINE_MAX_LENGTH, sites);
    CHECK_ABORTS(report, make(FREE, subject.objects[0]));
    subject_end(1);
}

TEST(a_site_in_a_function_with_a_name_is_told_by_that)
{
    is_known = 1;
    function = "its_function";
    sites_are_shown_with(" (its_function+0x1e)");
}

TEST(a_site_in_a_function_without_a_name_is_told_by_its_file)
{
    is_known = 1;
    file = "/its/file";
    sites_are_shown_with(" (/its/file+0x1e)");
}

TEST(a_site_in_no_file_is_told_by_its_address)
{
    sites_are_shown_with("");
}

TEST(a_line_about_sites_with_long_names_is_cut_off)
{
    static char name[1000];
    static char shown[sizeof(name) + 16];

    is_known = 1;
    function = name;
    for (size_t length = 150; length < sizeof(name) - 1; length += 25) {
        memset(name, 'n', length);
        snprintf(shown, sizeof(shown), " (%s+0x1e)", name);
        sites_are_shown_with(shown);
    }
}
