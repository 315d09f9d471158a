/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

/*
 * The mappings that a subject takes, simulated under AddressSanitizer. test/support/requests.h
 * counts and refuses them.
 *
 * A mapping costs the kernel some thirty microseconds from first to last, which is more than all
 * the rest of a program. AddressSanitizer knows for itself what may be touched; with it, mappings
 * are given out of one large one whose pages are used over and over: unpoisoned when they are made
 * accessible, cleared and poisoned when they are unmapped. This also gives each run of a program
 * the same addresses. In all other builds the calls reach the kernel.
 */

/* Only the first call does something. */
void memory_start(void);
