/* SPDX-License-Identifier: BSD-3-Clause */
#pragma once

/*
 * A hash table from strings to numbers, whose entries come from a pool. It needs no more of the
 * pool than cork_mempool_init, _new, _free and _done.
 */

#include <stdbool.h>
#include <stddef.h>

#include <libcork/core.h>

struct hash_table_entry;

struct hash_table {
    struct cork_mempool entries;
    struct hash_table_entry **chains; /* NULL: there are none yet */
    size_t chain_count;               /* 0, or a power of two */
    size_t entry_count;
};

/* The table must stay where it is: so must a pool. */
void hash_table_init(struct hash_table *table);

/* Keys are the caller's, and must outlive their entries; done does not free them. */
void hash_table_done(struct hash_table *table);

/* Returns the key's value, which is 0 where the key is new, until the key is deleted; or NULL where
 * memory cannot be had: the table is then as it was. */
long *hash_table_get_or_create(struct hash_table *table, const char *key);

/* Returns the key's value, or NULL where the table has no such key. */
long *hash_table_get(const struct hash_table *table, const char *key);

/* Returns whether the table had the key. */
bool hash_table_delete(struct hash_table *table, const char *key);

/* Calls visit for each entry, in no particular order. */
void hash_table_map(const struct hash_table *table,
                    void (*visit)(void *user_data, const char *key, long value), void *user_data);
