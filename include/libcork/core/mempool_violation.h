/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef LIBCORK_CORE_MEMPOOL_VIOLATION_H
#define LIBCORK_CORE_MEMPOOL_VIOLATION_H

/*
 * Violations: what a pool does when it is misused.
 *
 * Each kind of violation has one fixed message. The pool calls the handler, if there is one; if
 * that returns, or there is none, the pool writes a report to standard error and calls abort().
 * Parts of a report after the message are left out if they are not known. For example:
 *
 *     cork_mempool: double free: pool 0x7ffc40 "node", pointer 0x7f21a0, slot 1, element size 16
 *     cork_mempool: called at 0x401a6f (main+0x8f)
 *
 * In a pool with protections, the first line ends with the seed. With CORK_MEMPOOL_CALLSITES,
 * another line says where the object was issued and freed; without it, the last one says how to
 * have that told. For damage, three lines say where it is, and which bytes were found and expected
 * there. For a leak, the first line counts the live objects, and the first 16 have a line each.
 *
 * Addresses of code are those of calls, for addr2line; file and offset replace unknown symbols.
 *
 * The report is made on the stack and sent by write(2): nothing is allocated, and no lock is taken
 * but that of the dynamic linker, which knows the names of call sites.
 *
 * With protections or constructed objects, "use during another call" also refuses a call from a
 * second thread or signal handler, as far as a plain flag shows it; never if all lock correctly.
 */

#include <libcork/core/mempool.h>

#if defined(__cplusplus)
extern "C" {
#endif

/* enum cork_mempool_violation_kind numbers the kinds. A number never changes its meaning. */
enum cork_mempool_violation_kind {
    CORK_MEMPOOL_DOUBLE_FREE = 1,       /* "double free" */
    CORK_MEMPOOL_INTERIOR_POINTER = 2,  /* "free of an interior pointer" */
    CORK_MEMPOOL_FOREIGN_POINTER = 3,   /* "free of a foreign pointer" */
    CORK_MEMPOOL_NEVER_ISSUED = 4,      /* "free of a slot never issued" */
    CORK_MEMPOOL_LEAK = 5,              /* "leak at done" */
    CORK_MEMPOOL_USE_AFTER_DONE = 6,    /* "use after done" */
    CORK_MEMPOOL_USE_BEFORE_INIT = 7,   /* "use before init" */
    CORK_MEMPOOL_NOT_A_POOL = 8,        /* "not a pool" */
    CORK_MEMPOOL_CANARY_DAMAGED = 9,    /* "canary damaged" */
    CORK_MEMPOOL_WRITE_AFTER_FREE = 10, /* "write after free" */
    CORK_MEMPOOL_BUSY = 11,             /* "use during another call" */
    CORK_MEMPOOL_BAD_SOURCE = 12        /* "misaligned memory from a source" */
};

/* The value of slot if no slot is known. */
#define CORK_MEMPOOL_NO_SLOT SIZE_MAX

/* struct cork_mempool_object is one live object of a pool. */
struct cork_mempool_object {
    const void *pointer;  /* what cork_mempool_new returned */
    size_t slot;          /* its number, counted over the pool */
    const void *new_site; /* with CORK_MEMPOOL_CALLSITES, where it was issued; else NULL */
};

/* struct cork_mempool_violation says what was refused. It is valid during the handler's call. */
struct cork_mempool_violation {
    enum cork_mempool_violation_kind kind; /* what was done wrong */
    const char *message;                   /* cork_mempool_violation_message(kind) */
    const struct cork_mempool *pool;       /* the pool that was misused */
    const char *pool_name;                 /* its name, or NULL; of over 39 bytes, 36 and "..." */
    size_t element_size;                   /* 0 if the pool is not live */
    const void *pointer;                   /* what was passed; or the damaged object; or NULL */
    size_t slot; /* the slot it lies in, counted over the pool; or CORK_MEMPOOL_NO_SLOT */

    /* With CORK_MEMPOOL_CALLSITES, return addresses; else, and if there was no such call, NULL. */
    const void *new_site;  /* of the call that issued the slot's object */
    const void *free_site; /* of the call that freed it; NULL also while it is live */

    bool is_seeded; /* the pool has protections */
    uint64_t seed;  /* then, of its random decisions; else unspecified */

    /* For CORK_MEMPOOL_CANARY_DAMAGED and CORK_MEMPOOL_WRITE_AFTER_FREE. */
    const void *damaged;  /* where damage was found */
    size_t damaged_size;  /* bytes at found, and at expected; at most 16 */
    const void *found;    /* a copy of what is there */
    const void *expected; /* what should be there; NULL if only a checksum is known */

    /* For CORK_MEMPOOL_LEAK: how many objects are live, and the first of them by their slots. */
    size_t live_count;
    size_t listed_count;                      /* at most 16 */
    const struct cork_mempool_object *listed; /* these objects */

    const void *call_site;  /* the return address of the call that is refused */
    const void *moved_from; /* where the pool was before it was moved too late; or NULL */
    unsigned protections;   /* CORK_MEMPOOL_CANARY | ...; 0 if the pool is not live */
};

/* cork_mempool_violation_handler is the type of handlers. Returning from one goes on to abort(). */
typedef void cork_mempool_violation_handler(const struct cork_mempool_violation *violation);

/*
 * cork_mempool_on_violation installs the handler of all pools of the process; NULL, the default,
 * stands for none. It may be installed from any thread at any time; it runs on the thread that
 * misused a pool. Calls of that pool have ended then, but no calls of other pools. A handler may
 * call cork_mempool_check, _stats, _owns and _foreach on a pool that is live and in no call. It may
 * leave by longjmp, if it leaves no call of another pool, and none that a signal handler or second
 * thread has made; then the pool is open for use. (If a constructor, destructor or source made the
 * call and goes on, the process aborts.) One that misuses a pool is called for that too; after 256
 * violations, each in memory less than a MiB below the last, be it on another stack, the next is
 * reported behind the first, and the process aborts.
 * Returns: the handler before, or NULL.
 */
cork_mempool_violation_handler *cork_mempool_on_violation(cork_mempool_violation_handler *handler);

/* cork_mempool_violation_message returns a kind's fixed message, a constant; NULL if it is none. */
const char *cork_mempool_violation_message(enum cork_mempool_violation_kind kind);

#if defined(CORK_MEMPOOL_NO_OS_MEMORY)
/* cork_mempool_write_report gets each line of a report, instead of write(2): size bytes, the last
 * of which is a newline. The program may define it; the library's is weak and writes nothing. */
void cork_mempool_write_report(const char *text, size_t size);
#endif

#if defined(__cplusplus)
} /* extern "C" */
#endif

#endif /* LIBCORK_CORE_MEMPOOL_VIOLATION_H */
