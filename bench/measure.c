/* SPDX-License-Identifier: BSD-3-Clause */
#define _GNU_SOURCE 1 /* MAP_ANONYMOUS, MAP_POPULATE */

#include "measure.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define FIGURES_MAX 64
#define NAME_SIZE   32

static struct {
    char name[NAME_SIZE];
    double value;
} figures[FIGURES_MAX];
static size_t figure_count;

void bench_fail(const char *what)
{
    fprintf(stderr, "bench: %s\n", what);
    exit(1);
}

void bench_end_without_memory(void)
{
    fprintf(stderr, "no memory for so many objects\n");
    exit(BENCH_HAS_NO_MEMORY);
}

static size_t number_of(const char *text, size_t least, size_t most)
{
    char *end;
    errno = 0;
    const unsigned long number = strtoul(text, &end, 10);
    if (errno != 0 || *text < '0' || *text > '9' || *end != '\0' || number < least ||
        number > most) {
        fprintf(stderr, "bench: %s is not a number from %zu to %zu\n", text, least, most);
        exit(2);
    }
    return number;
}

struct bench_options bench_arguments(int argc, char **argv)
{
    struct bench_options options = {.variant = ""};
    if (argc < 4 || argc > 6 || (argc == 6 && strcmp(argv[5], "check") != 0)) {
        fprintf(stderr, "usage: %s WORKLOAD SIZE COUNT [VARIANT] [check]\n", argv[0]);
        exit(2);
    }
    options.workload = argv[1];
    options.size = number_of(argv[2], 16, 4096);
    /* At least one round of a hundred objects, in a quarter of the population too. */
    options.count = number_of(argv[3], 1000, 100000000);
    if (argc > 4) {
        options.variant = argv[4];
    }
    options.is_checking = argc == 6;
    return options;
}

void *bench_memory(size_t size, bool is_resident)
{
    const int flags = MAP_PRIVATE | MAP_ANONYMOUS | (is_resident ? MAP_POPULATE : 0);
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, flags, -1, 0);
    if (memory == MAP_FAILED) {
        bench_fail("no memory for the workload itself");
    }
    return memory;
}

/* Returns the bytes that a file of /proc/self has in KiB behind a key. */
static size_t bytes_behind(const char *path, const char *key)
{
    char text[4096];
    const int file = open(path, O_RDONLY);
    const ssize_t length = file >= 0 ? read(file, text, sizeof(text) - 1) : -1;
    if (file >= 0) {
        close(file);
    }
    text[length > 0 ? length : 0] = '\0';
    const char *line = strstr(text, key);
    if (line == NULL) {
        bench_fail("/proc/self does not tell what memory is in use");
    }
    return strtoul(line + strlen(key), NULL, 10) * 1024;
}

size_t bench_resident(void)
{
    /* statm is a little behind: the kernel adds up its counters late. */
    return bytes_behind("/proc/self/smaps_rollup", "\nAnonymous:");
}

size_t bench_page_tables(void)
{
    return bytes_behind("/proc/self/status", "\nVmPTE:");
}

size_t bench_mappings(void)
{
    char text[4096];
    size_t count = 0;
    const int file = open("/proc/self/maps", O_RDONLY);
    if (file < 0) {
        bench_fail("/proc/self/maps does not tell what is mapped");
    }
    for (ssize_t length; (length = read(file, text, sizeof(text))) > 0;) {
        for (ssize_t i = 0; i < length; i++) {
            count += text[i] == '\n';
        }
    }
    close(file);
    return count;
}

void bench_record(const char *name, double value)
{
    if (figure_count == FIGURES_MAX) {
        bench_fail("too many figures");
    }
    snprintf(figures[figure_count].name, NAME_SIZE, "%s", name);
    figures[figure_count++].value = value;
}

void bench_record_at(const char *name, size_t number, double value)
{
    char whole[NAME_SIZE];
    snprintf(whole, sizeof(whole), "%s_%zu", name, number);
    bench_record(whole, value);
}

void bench_print(void)
{
    for (size_t i = 0; i < figure_count; i++) {
        printf("%s %.4f\n", figures[i].name, figures[i].value);
    }
    if (fflush(stdout) != 0) {
        bench_fail("the figures cannot be written");
    }
}

uint64_t bench_random(uint64_t *state)
{
    /* Steele, Lea and Flood's SplitMix64. */
    uint64_t mixed = *state += 0x9e3779b97f4a7c15;
    mixed = (mixed ^ mixed >> 30) * 0xbf58476d1ce4e5b9;
    mixed = (mixed ^ mixed >> 27) * 0x94d049bb133111eb;
    return mixed ^ mixed >> 31;
}

uint32_t *bench_picks(size_t count, size_t limit)
{
    uint64_t state = 1;
    uint32_t *picks = bench_memory(count * sizeof(picks[0]), true);
    for (size_t i = 0; i < count; i++) {
        picks[i] = (uint32_t)(bench_random(&state) % limit);
    }
    return picks;
}

uint32_t *bench_order(size_t count)
{
    uint64_t state = 2;
    uint32_t *order = bench_memory(count * sizeof(order[0]), true);
    for (size_t i = 0; i < count; i++) {
        const size_t other = bench_random(&state) % (i + 1);
        order[i] = order[other];
        order[other] = (uint32_t)i;
    }
    return order;
}

void bench_lap(struct bench_time *start, const char *name, size_t count)
{
    char wall_name[NAME_SIZE];
    const struct bench_time now = bench_now();
    bench_record(name, (now.cpu - start->cpu) / (double)count);
    snprintf(wall_name, sizeof(wall_name), "%s_wall", name);
    bench_record(wall_name, (now.wall - start->wall) / (double)count);
    *start = bench_now();
}

double bench_ticked_at(const struct bench_ticked *ticked, double fraction)
{
    uint64_t seen = 0;
    for (uint64_t ticks = 0; ticks < BENCH_TICKED_MAX - 1; ticks++) {
        seen += ticked->counts[ticks];
        if ((double)seen >= fraction * (double)ticked->count) {
            return (double)ticks;
        }
    }
    return (double)ticked->max;
}
