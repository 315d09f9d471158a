/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

/*
 * run_program runs a program on a subject beside the model. Where the subject does not do what the
 * model expects, it prints what was expected and what was seen, and the program up to there, and
 * aborts. It allocates nothing, and the same program does the same each time.
 *
 * A pool that is used before its first init has an implied one. What cannot be done is left out:
 * free without live objects, new beyond the limits below.
 */

#include <stddef.h>
#include <stdint.h>

#include "run_state.h"

#define RUN_MAX_SIZE 4096 /* bytes of a program that are worth running */

/* After so much work a program is ended. A unit is about a call for a small object, 0.1 us; pages
 * that are touched first and requests for memory take longer and count for more. One program of 8
 * may do four times as much, one of 64 sixteen times, and so on up to RUN_MAX_WORK: a fuzzer meets
 * long programs, and spends half as much on each length as on the one below. The hash decides; with
 * this one a program may do most. */
#define RUN_MIN_WORK  128
#define RUN_MAX_WORK  32768
#define RUN_DEEP_HASH 54321

/* run_max_work returns what a program may do. */
size_t run_max_work(const uint8_t *data, size_t size);

/* *run is overwritten: nothing in it outlives the program. */
void run_program(struct run *run, const struct run_settings *settings, const uint8_t *data,
                 size_t size);
