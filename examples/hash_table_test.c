/* SPDX-License-Identifier: BSD-3-Clause */
#include "hash_table.h"

#include <assert.h>
#include <stdio.h>

enum { COUNT = 20000 };

static char keys[COUNT][8];

static void add(void *user_data, const char *key, long value)
{
    long *sum = user_data;

    (void)key;
    *sum += value;
}

static void expect(const struct hash_table *table, int key, long value)
{
    const long *found = hash_table_get(table, keys[key]);

    assert(value < 0 ? found == NULL : found != NULL && *found == value);
}

static void try_empty(void)
{
    struct hash_table table;

    hash_table_init(&table);
    assert(hash_table_get(&table, "key") == NULL);
    assert(!hash_table_delete(&table, "key"));
    hash_table_map(&table, add, NULL);
    hash_table_done(&table);
}

int main(void)
{
    struct hash_table table;
    long sum = 0;

    try_empty();
    hash_table_init(&table);
    for (int i = 0; i < COUNT; i++) {
        snprintf(keys[i], sizeof(keys[i]), "%d", i);
        expect(&table, i, -1);
        *hash_table_get_or_create(&table, keys[i]) += i;
    }
    for (int i = 0; i < COUNT; i += 3) {
        assert(hash_table_delete(&table, keys[i]));
        assert(!hash_table_delete(&table, keys[i]));
    }
    for (int i = 0; i < COUNT; i++) {
        expect(&table, i, i % 3 == 0 ? -1 : i);
    }
    for (int i = 0; i < COUNT; i += 3) {
        *hash_table_get_or_create(&table, keys[i]) += i;
    }
    assert(table.entry_count == COUNT);
    assert(cork_mempool_check(&table.entries));
    hash_table_map(&table, add, &sum);
    assert(sum == (long)COUNT * (COUNT - 1) / 2);
    hash_table_done(&table);
    return 0;
}
