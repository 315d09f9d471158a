/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef FUZZ_PROGRESS_H
#define FUZZ_PROGRESS_H

/*
 * progress_count adds 1 to the number of executed inputs: an uint64_t, in the machine's byte order,
 * at the start of the file that the environment variable FUZZ_EXECUTIONS_FILE names. Without the
 * variable, or where the file cannot be mapped, it does nothing. Several processes may share a
 * file.
 */
void progress_count(void);

#endif /* FUZZ_PROGRESS_H */
