/* SPDX-License-Identifier: BSD-3-Clause */
#define _GNU_SOURCE 1 /* dladdr */

#include "judge.h"

#include <dlfcn.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "misuses.h"

/* The report that is expected, line by line; a line is cut off at what the pool has room for. */
#define LINE_MAX_LENGTH 511

static char expected[32768];
static size_t expected_length;
static size_t line_start;

__attribute__((format(printf, 1, 2))) static void add(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    expected_length += (size_t)vsnprintf(expected + expected_length,
                                         sizeof(expected) - expected_length, format, arguments);
    va_end(arguments);
}

static void end_line(void)
{
    if (expected_length - line_start > LINE_MAX_LENGTH) {
        expected_length = line_start + LINE_MAX_LENGTH;
    }
    expected[expected_length++] = '\n';
    expected[expected_length] = '\0';
    line_start = expected_length;
}

static void add_site(const void *site)
{
    Dl_info info;

    add("0x%" PRIxPTR, (uintptr_t)site - 1);
    if (dladdr((const char *)site - 1, &info) == 0) {
        return;
    }

    const void *start = info.dli_sname != NULL ? info.dli_saddr : info.dli_fbase;
    add(" (%s+0x%" PRIxPTR ")", info.dli_sname != NULL ? info.dli_sname : info.dli_fname,
        (uintptr_t)site - 1 - (uintptr_t)start);
}

static void add_what(const struct evidence *evidence, const struct accusation *accusation)
{
    add("cork_mempool: %s: pool 0x%" PRIxPTR, cork_mempool_violation_message(accusation->kind),
        (uintptr_t)accusation->pool);
    if (accusation->name != NULL) {
        add(" \"%s\"", accusation->name);
    }
    if (accusation->moved_from != NULL) {
        add(", moved from 0x%" PRIxPTR, (uintptr_t)accusation->moved_from);
    }
    if (accusation->pointer != NULL) {
        add(", pointer 0x%" PRIxPTR, (uintptr_t)accusation->pointer);
    }
    if (accusation->slot != CORK_MEMPOOL_NO_SLOT) {
        add(", slot %zu", accusation->slot);
    }
    if (accusation->kind == CORK_MEMPOOL_LEAK) {
        add(", %zu live object%s", accusation->live_count, accusation->live_count == 1 ? "" : "s");
    }
    if (accusation->element_size != 0) {
        add(", element size %zu", accusation->element_size);
    }
    if (accusation->is_seeded) {
        add(", seed 0x%" PRIx64, evidence->seed);
    }
    end_line();
}

static void add_sites(const struct evidence *evidence, const struct accusation *accusation)
{
    if (!evidence->has_sites || !accusation->was_issued) {
        return;
    }
    add("cork_mempool: issued at ");
    add_site(evidence->new_site);
    if (accusation->was_freed) {
        add(", freed at ");
        add_site(evidence->free_site);
    }
    end_line();
}

static void add_bytes(const char *before, const unsigned char *bytes, size_t size)
{
    add("cork_mempool: %s", before);
    for (size_t i = 0; i < size; i++) {
        add(" %02x", bytes[i]);
    }
    end_line();
}

static const char *report_of(const struct evidence *evidence, const struct accusation *accusation)
{
    expected_length = 0;
    line_start = 0;
    add_what(evidence, accusation);
    add_sites(evidence, accusation);
    if (accusation->damaged != NULL) {
        add("cork_mempool: damage at 0x%" PRIxPTR, (uintptr_t)accusation->damaged);
        end_line();
        add_bytes("found   ", accusation->found, accusation->damaged_size);
        if (accusation->is_expected_known) {
            add_bytes("expected", accusation->expected, accusation->damaged_size);
        }
    }
    for (size_t i = 0; i < accusation->listed_count; i++) {
        add("cork_mempool: live object 0x%" PRIxPTR ", slot %zu",
            (uintptr_t)accusation->listed[i].pointer, accusation->listed[i].slot);
        if (evidence->has_sites) {
            add(", issued at ");
            add_site(evidence->new_site);
        }
        end_line();
    }
    if (!evidence->has_sites && accusation->kind != CORK_MEMPOOL_NEVER_ISSUED &&
        (accusation->slot != CORK_MEMPOOL_NO_SLOT || accusation->live_count != 0)) {
        add("cork_mempool: CORK_MEMPOOL_CALLSITES, or CORK_MEMPOOL_OPTIONS=callsites=1, tells where "
            "objects are issued and freed");
        end_line();
    }
    return expected;
}

static const char *judge_refusal(const struct trial *trial, const char *message)
{
    const struct evidence *evidence = trial->evidence;
    const struct accusation *accusation = NULL;

    for (size_t i = 0; i < evidence->accusation_count; i++) {
        const struct accusation *one = &evidence->accusations[i];
        if (strcmp(cork_mempool_violation_message(one->kind), message) == 0) {
            accusation = one;
        }
    }
    if (accusation == NULL) {
        return "the misuse does not expect such a message";
    }
    if (!evidence->was_refused) {
        return "nothing was refused";
    }
    if (!evidence->is_intact) {
        return "a bystander lost its contents";
    }
    if (!evidence->are_sites_right) {
        return "call sites are not where the calls are";
    }
    if (trial->escapes) {
        return trial->status == 0 && trial->text[0] == '\0' && evidence->is_as_before &&
                       !evidence->is_check_false
                   ? NULL
                   : "the pool is not as it was before the refused call";
    }
    if (!WIFSIGNALED(trial->status) || WTERMSIG(trial->status) != SIGABRT) {
        return "the process did not abort";
    }
    if (!trial->has_call) {
        return "the report does not say where the call was made";
    }
    return strcmp(trial->text, report_of(evidence, accusation)) == 0 ? NULL : expected;
}

/* What the machine tells of where a fault was: the byte, or its page. */
#if defined(__s390x__)
#define FAULT_UNIT ((uintptr_t)4096)
#else
#define FAULT_UNIT ((uintptr_t)1)
#endif

static const char *judge_fault(const struct trial *trial)
{
    const struct evidence *evidence = trial->evidence;
    const uintptr_t low = evidence->fault_low - evidence->fault_low % FAULT_UNIT;

    if (!WIFSIGNALED(trial->status) || WTERMSIG(trial->status) != SIGSEGV) {
        return "there was no fault";
    }
    /* Addresses of no possible page come as 0. */
    if (evidence->is_fault_expected && evidence->fault - low >= evidence->fault_end - low) {
        return "the fault was elsewhere";
    }
    return evidence->is_intact ? NULL : "a bystander lost its contents";
}

static const char *judge_survival(const struct trial *trial, const char *verdict)
{
    const struct evidence *evidence = trial->evidence;

    if (trial->status != 0 || !evidence->is_over || trial->text[0] != '\0') {
        return "the program did not go on to its end in silence";
    }
    if (!evidence->is_intact) {
        return "a bystander lost its contents";
    }
    if (evidence->is_check_false != (strcmp(verdict, CHECK_FAILS) == 0)) {
        return "cork_mempool_check says otherwise";
    }
    if (strcmp(verdict, CHECK_FAILS) != 0 &&
        evidence->is_harmed != (strcmp(verdict, NOT_DETECTED) == 0)) {
        return evidence->is_harmed ? "harm was done" : "no harm was done";
    }
    return NULL;
}

const char *judge(const struct trial *trial, const char *verdict)
{
    if (strcmp(verdict, FAULT) == 0) {
        return judge_fault(trial);
    }
    if (strcmp(verdict, ABSORBED) == 0 || strcmp(verdict, NOT_DETECTED) == 0 ||
        strcmp(verdict, CHECK_FAILS) == 0) {
        return judge_survival(trial, verdict);
    }
    return judge_refusal(trial, verdict);
}

/* The access that is reported must be the misuse's own, not one that the pool makes later. */
const char *judge_tool(const struct trial *trial, const char *verdict)
{
    const char *report = strstr(trial->text, verdict);
    const char *frame = report == NULL ? NULL : strstr(report, "#0 ");
    const char *end = frame == NULL ? NULL : strchr(frame, '\n');

    if (end == NULL) {
        return "there is no such report";
    }
    for (; frame < end; frame++) {
        if (strncmp(frame, " in poke ", 9) == 0 || strncmp(frame, " in peek ", 9) == 0) {
            return NULL;
        }
    }
    return "the report is not about the misuse itself";
}
