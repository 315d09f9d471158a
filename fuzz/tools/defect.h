/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef FUZZ_DEFECT_H
#define FUZZ_DEFECT_H

#include "fuzz/subject.h"

/* Subjects that test the tools: cork_mempool with a defect each, that takes a few calls to show. */
enum defect {
    /* Where a pool is trimmed after two frees and with a live object, the next new of at least 100
     * bytes gives an object a byte off; without a free, trim crashes. */
    DEFECT_MISALIGNED,
    /* A clear of three live objects or more crashes. */
    DEFECT_CRASH,
    /* A third object never comes. */
    DEFECT_HANG,
    /* A double free in quarantine is not refused. */
    DEFECT_SILENCE,
    /* A new with a live object writes behind an allocation: a sanitizer finds it. */
    DEFECT_OVERFLOW,
    /* A new with 199 live objects crashes. */
    DEFECT_LATE
};

/* The defect that subject_defective has; by default, that of the environment's DEFECT's number. */
extern enum defect defect;

extern const struct subject subject_defective;

#endif /* FUZZ_DEFECT_H */
