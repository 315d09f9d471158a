/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

/* Reports: the end of a refused call. Callers have changed nothing, because a handler may leave by
 * longjmp. Calls of the pool that are in progress end before the handler runs. */

#include "internal.h"
#include "libcork/core/mempool_violation.h"
#include "slots.h"

/* How many live objects or damaged bytes a report shows. */
#define REPORT_SHOWN_MAX 16

/* report_violation describes a violation of a live pool; slot is what it is about, or NO_SLOT. */
struct cork_mempool_violation report_violation(const struct cork_mempool *mp,
                                               enum cork_mempool_violation_kind kind,
                                               struct slot slot) INTERNAL(report_violation);

/* report_refuse refuses the current call by message, handler, report and abort(). */
_Noreturn void report_refuse(struct cork_mempool_violation violation) INTERNAL(report_refuse);

/* report_refuse_state refuses a call on a pool that is not live, or is busy with another call.
 * pointer: the call's other argument, or NULL. */
_Noreturn void report_refuse_state(const struct cork_mempool *mp, const void *pointer)
    INTERNAL(report_refuse_state);

/* report_require_live returns the slot of a live object, or refuses what is none. */
struct slot report_require_live(const struct cork_mempool *mp, const void *ptr)
    INTERNAL(report_require_live);

/* report_refuse_leak refuses done, and lists the first live objects. */
_Noreturn void report_refuse_leak(const struct cork_mempool *mp) INTERNAL(report_refuse_leak);

/* report_warning writes about CORK_MEMPOOL_OPTIONS: what, length bytes of word, and rest. */
void report_warning(const char *what, const char *word, size_t length, const char *rest)
    INTERNAL(report_warning);

/* The return address of this thread's last call that entered report_require. */
extern THREAD_LOCAL const void *report_call_site INTERNAL(report_call_site);

/* report_require records site, the call's return address, for refusals of the call; and refuses it
 * unless the pool is live or in a state that the call allows. A pool that is not live lends
 * nothing, so every fast path ends on a slow one, which asks. */
static inline void report_require(const struct cork_mempool *mp, uint32_t allowed_state,
                                  const void *pointer, const void *site)
{
    report_call_site = site;
    if (UNLIKELY((mp->state != POOL_IS_LIVE && mp->state != allowed_state) || slots_is_moved(mp))) {
        report_refuse_state(mp, pointer);
    }
}

/* report_require_busy ends the process if a callback of the current call goes on after it was
 * refused a call, because that has ended this one, and the pool may have changed. */
static inline void report_require_busy(const struct cork_mempool *mp)
{
    if (UNLIKELY(mp->state != POOL_IS_BUSY)) {
        /* The handler would leave again, into a callback that has returned. */
        cork_mempool_on_violation(NULL);
        report_refuse(report_violation(mp, CORK_MEMPOOL_BUSY, NO_SLOT));
    }
}
