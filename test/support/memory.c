/* SPDX-License-Identifier: BSD-3-Clause */
#define _DEFAULT_SOURCE /* read */

#include "memory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

unsigned without_guards(size_t number)
{
    return all_protections[number] & ~CORK_MEMPOOL_GUARD;
}

void *try_new(struct cork_mempool *mp)
{
    const struct requests before = requests;
    void *object;

    errno = ODD_ERRNO;
    object = cork_mempool_new(mp);
    CHECK_EQUAL(errno, object == NULL ? ENOMEM : ODD_ERRNO);
    if (object == NULL) {
        CHECK_EQUAL(requests.mapped_size, before.mapped_size);
        CHECK_EQUAL(requests.heap_count, before.heap_count);
        CHECK(cork_mempool_check(mp));
    }
    return object;
}

void expect_null(struct cork_mempool *mp)
{
    const struct cork_mempool_stats before = stats_of(mp);

    for (size_t i = 0; i < 3; i++) {
        CHECK_POINTER(try_new(mp), NULL);
    }

    const struct cork_mempool_stats after = stats_of(mp);

    CHECK(same_stats(&before, &after));
}

size_t take_until_null(struct cork_mempool *mp, void **objects, size_t count, size_t most)
{
    const size_t size = stats_of(mp).element_size;

    while ((objects[count] = try_new(mp)) != NULL) {
        fill(objects[count], size, count);
        CHECK(++count < most);
    }
    expect_null(mp);
    CHECK_EQUAL(stats_of(mp).live_count, count);
    return count;
}

void free_objects(struct cork_mempool *mp, void **objects, size_t first, size_t end)
{
    for (size_t i = first; i < end; i++) {
        cork_mempool_free(mp, objects[i]);
    }
}

void requests_finish(void)
{
    requests_stop();
    CHECK_EQUAL(requests.heap_count, 0);
    CHECK_EQUAL(requests.mapped_size, 0);
}

void finish(struct cork_mempool *mp, void **objects, size_t count)
{
    if (count == 0) {
        cork_mempool_clear(mp);
    } else {
        give_objects(mp, objects, count);
    }
    cork_mempool_done(mp);
    requests_finish();
}

bool is_reserved(const struct cork_mempool_region *region)
{
    return region->is_reserved;
}

const char *read_file(const char *name)
{
    static char text[1 << 20];
    const int file = open(name, O_RDONLY);
    size_t size = 0;
    ssize_t got;

    while ((got = read(file, text + size, sizeof(text) - 1 - size)) > 0) {
        size += (size_t)got;
    }
    close(file);
    CHECK(size < sizeof(text) - 1);
    text[size] = '\0';
    return text;
}

size_t usable_size(const char *start, const char *end)
{
    size_t size = 0;

    for (const char *line = read_file("/proc/self/maps"); *line != '\0';
         line = strchr(line, '\n') + 1) {
        char *rest;
        uintptr_t from = strtoull(line, &rest, 16);
        uintptr_t to = strtoull(rest + 1, &rest, 16);

        from = from < (uintptr_t)start ? (uintptr_t)start : from;
        to = to > (uintptr_t)end ? (uintptr_t)end : to;
        size += strncmp(rest, " rw-", 4) == 0 && from < to ? to - from : 0;
    }
    return size;
}

size_t resident_size(void)
{
    static const char before[] = "\nAnonymous:";

    if (UNDER_SANITIZER || TEST_UNDER_QEMU) {
        test_skip("not only the program's memory is resident here");
    }

    const char *line = strstr(read_file("/proc/self/smaps_rollup"), before);

    if (line == NULL) {
        test_skip("this system does not tell how much memory is resident");
    }
    return strtoull(line + strlen(before), NULL, 10) * 1024;
}
