/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef CORK_MEMPOOL_REPORT_H
#define CORK_MEMPOOL_REPORT_H

/* Reports: the end of a refused call. Callers have changed nothing yet, because a handler may leave
 * by longjmp; calls that were in progress have ended then. */

#include "internal.h"
#include "libcork/core/mempool_violation.h"
#include "slots.h"

/* Live objects, or damaged bytes, that a report shows at most. */
#define REPORT_SHOWN_MAX 16

/* report_violation says what is known of a violation of a live pool, and of a slot or NO_SLOT. */
struct cork_mempool_violation report_violation(const struct cork_mempool *mp,
                                               enum cork_mempool_violation_kind kind,
                                               struct slot slot) INTERNAL(report_violation);

/* report_refuse refuses the current call by message, handler, report and abort(). */
_Noreturn void report_refuse(struct cork_mempool_violation violation) INTERNAL(report_refuse);

/* report_refuse_state refuses a call on what is no live pool, or busy with another call. pointer is
 * what the call was given besides the pool, or NULL; site, its return address. */
_Noreturn void report_refuse_state(const struct cork_mempool *mp, const void *pointer,
                                   const void *site) INTERNAL(report_refuse_state);

/* report_require_live returns the slot of a live object, or refuses what is none. */
struct slot report_require_live(const struct cork_mempool *mp, const void *ptr)
    INTERNAL(report_require_live);

/* report_refuse_leak refuses done, and lists the first live objects. */
_Noreturn void report_refuse_leak(const struct cork_mempool *mp) INTERNAL(report_refuse_leak);

/* report_warning says something about CORK_MEMPOOL_OPTIONS, and returns: what, perhaps a word of
 * it, and the rest of the line. */
void report_warning(const char *what, const char *word, size_t length, const char *rest)
    INTERNAL(report_warning);

/* The return address of this thread's last call that could be refused after report_require. */
extern THREAD_LOCAL const void *report_call_site INTERNAL(report_call_site);

/* report_require refuses any call but on a pool that is live or in another state which the call
 * allows, and has every later refusal of the call say where it was made. A pool that is neither
 * lends nothing, so that every fast path ends on a slow one, which asks. */
static inline void report_require(const struct cork_mempool *mp, uint32_t allowed_state,
                                  const void *pointer, const void *site)
{
    if (UNLIKELY((mp->state != POOL_IS_LIVE && mp->state != allowed_state) || slots_is_moved(mp))) {
        report_refuse_state(mp, pointer, site);
    }
    report_call_site = site;
}

#endif /* CORK_MEMPOOL_REPORT_H */
