/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * What is refused, in this build: each mistake is made in a process of its own, which must end with
 * the report that is expected.
 */

#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <libcork/core.h>

#if defined(__has_feature)
#define HAS_FEATURE(feature) __has_feature(feature)
#else
#define HAS_FEATURE(feature) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || HAS_FEATURE(address_sanitizer)
#define UNDER_ASAN 1
#else
#define UNDER_ASAN 0
#endif

struct node {
    struct node *next;
    volatile int value;
};

static void free_twice(struct cork_mempool *pool, struct node *node)
{
    cork_mempool_free(pool, node);
    cork_mempool_free(pool, node);
}

static void read_freed(struct cork_mempool *pool, struct node *node)
{
    cork_mempool_free(pool, node);
    printf("read %d from a freed object\n", node->value);
}

static void read_behind(struct cork_mempool *pool, struct node *node)
{
    (void)pool;
    printf("read %d from behind an object\n", node[1].value);
}

typedef void misuse(struct cork_mempool *pool, struct node *node);

static void make(misuse *misuse, int report)
{
    struct cork_mempool pool;
    struct node *node;

    dup2(report, STDERR_FILENO);
    cork_mempool_init(&pool, struct node);
    node = cork_mempool_new(&pool);
    node->value = 1;
    misuse(&pool, node);
    _exit(0);
}

/* Returns 0, or 1 where the process has ended well, or without a report that has these words. */
static int expect(const char *name, misuse *misuse, const char *words)
{
    static char report[100000];
    size_t size = 0;
    ssize_t count;
    int ends[2];
    int status;

    fflush(stdout);
    if (pipe(ends) != 0) {
        perror("pipe");
        return 1;
    }
    const pid_t child = fork();
    if (child == 0) {
        make(misuse, ends[1]);
    }
    close(ends[1]);
    while (size < sizeof(report) - 1 &&
           (count = read(ends[0], report + size, sizeof(report) - 1 - size)) > 0) {
        size += (size_t)count;
    }
    close(ends[0]);
    report[size] = '\0';
    if (child < 0 || waitpid(child, &status, 0) != child || status == 0 ||
        strstr(report, words) == NULL) {
        printf("FAILED: %s: no \"%s\" in the report:\n%s\n", name, words, report);
        return 1;
    }
    printf("%s: %s\n", name, words);
    return 0;
}

int main(void)
{
    int failed = expect("double free", free_twice, "cork_mempool: double free");

    if (UNDER_ASAN) {
        failed +=
            expect("read of a freed object", read_freed, "AddressSanitizer: use-after-poison");
        failed +=
            expect("read behind an object", read_behind, "AddressSanitizer: use-after-poison");
    }
    return failed != 0;
}
