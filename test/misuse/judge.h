/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef CORK_MEMPOOL_TEST_MISUSE_JUDGE_H
#define CORK_MEMPOOL_TEST_MISUSE_JUDGE_H

/*
 * The judge: whether what a process did, and wrote to standard error, is a verdict of the table.
 */

#include "scene.h"

struct trial {
    const struct evidence *evidence;
    int status;       /* as from waitpid */
    const char *text; /* what was written to standard error, less where the call was made: */
    bool has_call;
    bool escapes;
};

/* Returns NULL where the verdict is right, or what is wrong; valid until the next call. */
const char *judge(const struct trial *trial, const char *verdict);

/* Likewise for a verdict that names the report of a sanitizer. */
const char *judge_tool(const struct trial *trial, const char *verdict);

#endif /* CORK_MEMPOOL_TEST_MISUSE_JUDGE_H */
