/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "geometry.h"
#include "hooks.h"
#include "libcork/core/mempool.h"
#include "libcork/core/mempool_options.h"
#include "os.h"
#include "region.h"
#include "report.h"
#include "slots.h"
#include "tools.h"

/* From CORK_MEMPOOL_OPTIONS and Valgrind: a set, or UINT32_MAX until it is known; and a seed, or 0,
 * in halves, because no machine needs a lock for them. */
static _Atomic(uint32_t) known_set = UINT32_MAX, known_seed[2];

#if defined(CORK_MEMPOOL_NO_OS_MEMORY)
#define read_environment() 0
#else

#define WORD(name, word) {#word "=0", 0, CORK_MEMPOOL_##name}, {#word "=1", CORK_MEMPOOL_##name, 0},

static const struct {
    const char *word;
    uint32_t on, off;
} words[] = {CORK_MEMPOOL_PROTECTIONS_(WORD) WORD(PARANOID, paranoid)};

/* Applies a word of the environment. Returns: false if it is not known. */
static bool apply(const char *text, size_t length, uint32_t *set, uint64_t *seed)
{
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (length == strlen(words[i].word) && memcmp(text, words[i].word, length) == 0) {
            *set = (*set | words[i].on) & ~words[i].off;
            return true;
        }
    }
    if (length < 6 || memcmp(text, "seed=", 5) != 0 || text[5] < '0') {
        return false;
    }

    char *end;
    errno = 0;
    const uint64_t number = strtoull(text + 5, &end, text[6] == 'x' ? 16 : 10);
    if (end != text + length || errno != 0) {
        return false;
    }
    *seed = number;
    return true;
}

/* Several threads may do this at once, because all find the same; one reports. */
static uint32_t read_environment(void)
{
    static atomic_flag is_reported = ATOMIC_FLAG_INIT;
    const bool is_first = !atomic_flag_test_and_set(&is_reported);
    const int saved_errno = errno;
    const char *text = os_environment("CORK_MEMPOOL_OPTIONS");
    bool has_unknown = false;
    uint32_t set = 0;
    uint64_t seed = 0;

    for (size_t length; text != NULL && *text != '\0'; text += length + (text[length] == ':')) {
        length = strcspn(text, ":");
        if (length > 0 && !apply(text, length, &set, &seed) && is_first) {
            has_unknown = true;
            report_warning("left out \"", text, length,
                           "\"; the words are canary, seal, wipe, shuffle, quarantine, guard, "
                           "callsites and paranoid, each with =1 or =0, and seed=NUMBER\n");
        }
    }
    if (has_unknown && set == 0) {
        report_warning("turns no protection on\n", "", 0, "");
    }
    set |= RUNNING_ON_VALGRIND != 0 ? UNDER_VALGRIND : 0;
    known_seed[0] = (uint32_t)seed;
    known_seed[1] = (uint32_t)(seed >> 32);
    known_set = set;
    errno = saved_errno;
    return set;
}

#endif

static bool has_constructed(const struct cork_mempool_options *options)
{
    return options->init_object != NULL || options->done_object != NULL;
}

/* Protections that the other options rule out. */
static uint32_t contradicted(const struct cork_mempool_options *options)
{
    return ~(uint32_t)(CORK_MEMPOOL_PARANOID | CORK_MEMPOOL_SEAL) |
           (options->buffer != NULL || options->source != NULL ? CORK_MEMPOOL_GUARD : 0) |
           (has_constructed(options) ? CORK_MEMPOOL_WIPE : 0);
}

/* Canaries need a redzone; so does Valgrind, to see overflows, but not at a buffer's expense. */
ALWAYS_INLINE void geometry_from(struct cork_mempool_geometry *geometry,
                                 const struct cork_mempool_options *options, size_t object_count)
{
    const uint32_t set = options->protections;
    const uint32_t redzoned = CORK_MEMPOOL_CANARY | (options->buffer == NULL ? UNDER_VALGRIND : 0);
    const bool is_hooked = set != 0 || has_constructed(options);

    geometry_init(geometry, options->element_size, options->alignment, options->block_size,
                  object_count, (set & redzoned) != 0 ? REDZONE_SIZE : 0,
                  (set & CORK_MEMPOOL_GUARD) != 0 ? os_page_size() : 0);
    geometry->tables = is_hooked ? hooks_tables(set, options->buffer != NULL) : 0;
}

static void init_random(struct cork_mempool *mp, uint64_t seed)
{
    static _Atomic(uintptr_t) init_count;

    if (seed == 0) {
        seed = (uint64_t)known_seed[1] << 32 | known_seed[0];
    }
    if (seed == 0) {
        /* Differs between processes, between pools, and between calls. */
        seed = bits_mix((uintptr_t)mp) + atomic_fetch_add(&init_count, 1);
        seed = bits_mix(bits_mix(seed) ^ os_random_word()) | 1;
    }
    mp->seed = seed;
    mp->random = bits_next(seed);
    /* No byte is 0, because a string one byte too long ends in a 0. Who reads a canary cannot work
     * out the seed, because this is no permutation. */
    mp->key = (bits_mix(mp->random) ^ mp->random) | UINT64_C(0x0101010101010101);
    mp->sum_key = bits_mix(~mp->random);
}

/* Initializes a pool by valid options and the environment. Inlined, because processors wait where
 * options are loaded in other widths than they were stored in: a tenth of a short lifecycle. */
ALWAYS_INLINE void init(struct cork_mempool *mp, struct cork_mempool_options *options)
{
    uint32_t set = known_set;

    if (UNLIKELY(set != 0)) {
        /* The caller has counted how many objects fit into a buffer. The heap serves pools of huge
         * blocks, of which address space may hold none, but it has no guards. */
        const uint32_t possible = options->buffer != NULL ? CORK_MEMPOOL_WIPE | CORK_MEMPOOL_SHUFFLE
                                  : options->block_size > (size_t)1 << 30
                                      ? ~(uint32_t)CORK_MEMPOOL_GUARD
                                      : UINT32_MAX;

        set = set == UINT32_MAX ? read_environment() : set;
        options->protections |= set & ((possible & ~contradicted(options)) | UNDER_VALGRIND);
    }
    memset(mp, 0, offsetof(struct cork_mempool, lent) + offsetof(struct cork_mempool_lent, stack));
    mp->state = POOL_IS_LIVE;
    mp->protections = options->protections;
    mp->objects_left = options->max_objects != 0 ? options->max_objects : SIZE_MAX;
    geometry_from(&mp->geometry, options, mp->objects_left);
    mp->memory.source = options->source != NULL ? options->source : &os_heap;
    mp->memory.data = options->source_data;
    mp->memory.buffer = options->buffer;
    mp->memory.buffer_size = options->buffer_size;
    mp->callbacks.construct = options->init_object;
    mp->callbacks.destruct = options->done_object;
    mp->callbacks.data = options->user_data;
    mp->hooks = mp->geometry.tables != 0 ? hooks_of(mp->protections) : NULL;
    if (options->name != NULL) {
        const size_t length = strlen(options->name);

        /* The pool may outlive the string. */
        mp->is_named = true;
        memcpy(mp->name, options->name, bits_smaller(length, sizeof(mp->name) - 1));
        if (length >= sizeof(mp->name)) {
            memset(mp->name + sizeof(mp->name) - 4, '.', 3);
        }
    }
    if ((options->protections & ~UNDER_VALGRIND) != 0) {
        init_random(mp, options->seed);
    }
}

void cork_mempool_init_type_(struct cork_mempool *mp, size_t type_size, size_t alignment,
                             size_t block_size, const char *name)
{
    init(mp, &(struct cork_mempool_options){.name = name,
                                            .element_size = type_size,
                                            .alignment = alignment,
                                            .block_size = block_size});
}

void cork_mempool_init_size_ex(struct cork_mempool *mp, size_t element_size, size_t block_size)
{
    cork_mempool_init_type_(mp, element_size, 0, block_size, NULL);
}

void cork_mempool_init_size(struct cork_mempool *mp, size_t element_size)
{
    cork_mempool_init_size_ex(mp, element_size, CORK_MEMPOOL_DEFAULT_BLOCK_SIZE);
}

static bool is_valid(const struct cork_mempool_options *options)
{
    const struct cork_mempool_source *source = options->source;
    const bool has_buffer = options->buffer != NULL;
    struct cork_mempool_geometry geometry;

    if ((options->protections & contradicted(options)) != 0 ||
        (options->alignment & (options->alignment - 1)) != 0 ||
        has_buffer != (options->buffer_size != 0) || options->buffer_size >= PTRDIFF_MAX / 2 ||
        (source == NULL ? options->source_data != NULL
                        : has_buffer || source->acquire == NULL || source->release == NULL)) {
        return false;
    }
    geometry_from(&geometry, options, SIZE_MAX);
    return geometry.stride != 0 &&
           (!has_buffer ||
            region_buffer_capacity(&geometry, options->buffer, options->buffer_size) > 0);
}

bool cork_mempool_init_with(struct cork_mempool *mp, const struct cork_mempool_options *options)
{
    if (options == NULL || !is_valid(options)) {
        errno = EINVAL;
        return false;
    }

    struct cork_mempool_options complete = *options;
    if (complete.block_size == 0) {
        complete.block_size = CORK_MEMPOOL_DEFAULT_BLOCK_SIZE;
    }
    init(mp, &complete);
    return true;
}
