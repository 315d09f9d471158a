/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * Legal lives of pools, for checkers_test.py, which has sanitizers and Valgrind watch them; and the
 * misuses by which it knows that they do.
 *
 * usage: checkers_program LIFE PROTECTION
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libcork/core.h>

#if defined(__has_feature)
#if __has_feature(memory_sanitizer)
#include <sanitizer/msan_interface.h>
#define FIRST_UNKNOWN(memory, size) __msan_test_shadow(memory, size)
#endif
#endif
#if !defined(FIRST_UNKNOWN)
#define FIRST_UNKNOWN(memory, size) ((void)(memory), (void)(size), -1)
#endif

/* More than the heap's pieces hold. */
#define COUNT 6000

struct node {
    struct node *next;
    char *name;
    char rest[200];
};

static struct cork_mempool pool;
static struct node *first;

static void expect(bool condition, const char *expected)
{
    if (!condition) {
        printf("expected: %s\n", expected);
        exit(1);
    }
}

static void init(unsigned protections, const struct cork_mempool_options *more)
{
    struct cork_mempool_options options = *more;

    options.protections = protections;
    expect(cork_mempool_init_with(&pool, &options), "the options are met");
}

/* All that a pool can do, twice. */
static void live_and_end(unsigned protections)
{
    static struct node *nodes[COUNT];

    init(protections, &(struct cork_mempool_options){.element_size = sizeof(struct node)});
    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < COUNT; i++) {
            nodes[i] = cork_mempool_new(&pool);
            memset(nodes[i], (int)i, sizeof(struct node));
        }
        for (size_t i = 0; i < COUNT; i += 2) {
            cork_mempool_free(&pool, nodes[i]);
        }
        expect(cork_mempool_check(&pool), "check is true");
        cork_mempool_trim(&pool);
        expect(cork_mempool_check(&pool), "check is true after trim");
        for (size_t i = 0; i < COUNT; i += 2) {
            nodes[i] = cork_mempool_new(&pool);
            nodes[i]->next = NULL;
        }
        cork_mempool_clear(&pool);
    }
    cork_mempool_done(&pool);
}

/* What is live at exit leads to blocks of the heap, which are no leaks. */
static void live_on(unsigned protections)
{
    init(protections, &(struct cork_mempool_options){.element_size = sizeof(struct node)});
    for (size_t i = 0; i < COUNT; i++) {
        struct node *node = cork_mempool_new(&pool);

        node->name = malloc(32);
        node->next = first;
        first = node;
    }
}

static void lose_blocks(unsigned protections)
{
    live_on(protections);
    for (int i = 0; i < 50; i++) {
        first->name = malloc(32);
    }
}

/* Objects of which each has its own pages, half a GiB in all. */
static void live_large(unsigned protections)
{
    const size_t size = (size_t)512 << 20;

    init(protections, &(struct cork_mempool_options){.element_size = 65536});
    for (size_t i = 0; i < size / 65536; i++) {
        *(int *)cork_mempool_new(&pool) = 1;
    }
    cork_mempool_clear(&pool);
    cork_mempool_done(&pool);
}

static void *acquire(void *source_data, size_t size, size_t alignment)
{
    const size_t unit = alignment < sizeof(void *) ? sizeof(void *) : alignment;
    void *memory = aligned_alloc(unit, (size + unit - 1) / unit * unit);

    (void)source_data;
    return memory == NULL ? NULL : memset(memory, 0, size);
}

static void release(void *source_data, void *memory, size_t size)
{
    (void)source_data;
    expect(FIRST_UNKNOWN(memory, size) < 0, "a source's memory is as it was");
    free(memory);
}

static void use_some(void)
{
    void *objects[100];

    for (size_t i = 0; i < 100; i++) {
        objects[i] = cork_mempool_new(&pool);
    }
    for (size_t i = 0; i < 100; i++) {
        cork_mempool_free(&pool, objects[i]);
    }
    cork_mempool_trim(&pool);
    cork_mempool_done(&pool);
}

/* Memory of the caller's, which it had initialized, and reads when it has it back. */
static void give_back(unsigned protections)
{
    static const struct cork_mempool_source source = {acquire, release};
    static char buffer[1 << 16];
    unsigned sum = 0;

    init(protections, &(struct cork_mempool_options){.element_size = 64, .source = &source});
    use_some();
    init(protections, &(struct cork_mempool_options){
                          .element_size = 64, .buffer = buffer, .buffer_size = sizeof(buffer)});
    use_some();
    expect(FIRST_UNKNOWN(buffer, sizeof(buffer)) < 0, "a buffer is as it was");
    for (size_t i = 0; i < sizeof(buffer); i++) {
        sum += (unsigned char)buffer[i];
    }
    expect(sum < 256 * sizeof(buffer), "bytes are bytes");
}

static void free_twice(unsigned protections)
{
    init(protections, &(struct cork_mempool_options){.element_size = 64});
    void *object = cork_mempool_new(&pool);

    cork_mempool_free(&pool, object);
    cork_mempool_free(&pool, object); /* the second free */
}

static void read_freed(unsigned protections)
{
    init(protections, &(struct cork_mempool_options){.element_size = 64});
    int *object = cork_mempool_new(&pool);
    int *volatile stale = object;

    *object = 1;
    cork_mempool_free(&pool, object);
    expect(*stale == 1 || *stale == 0, "a pool does not write to what is freed");
}

/* Returns the protections of a word; that of a pool without any is "none". */
static unsigned protections_of(const char *word)
{
#define KNOWN(NAME, name) {#name, CORK_MEMPOOL_##NAME},
    static const struct {
        const char *word;
        unsigned protections;
    } known[] = {
        {"none", 0}, {"paranoid", CORK_MEMPOOL_PARANOID}, CORK_MEMPOOL_PROTECTIONS_(KNOWN)};

    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (strcmp(word, known[i].word) == 0) {
            return known[i].protections;
        }
    }
    expect(false, "a protection, paranoid, or none");
    return 0;
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*life)(unsigned protections);
    } lives[] = {
        {"live_and_end", live_and_end}, {"live_on", live_on},     {"lose_blocks", lose_blocks},
        {"live_large", live_large},     {"give_back", give_back}, {"free_twice", free_twice},
        {"read_freed", read_freed},
    };

    for (size_t i = 0; argc == 3 && i < sizeof(lives) / sizeof(lives[0]); i++) {
        if (strcmp(argv[1], lives[i].name) == 0) {
            lives[i].life(protections_of(argv[2]));
            return 0;
        }
    }
    fprintf(stderr, "usage: checkers_program LIFE PROTECTION\n");
    return 2;
}
