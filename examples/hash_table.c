/* SPDX-License-Identifier: BSD-3-Clause */
#include "hash_table.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

struct hash_table_entry {
    struct hash_table_entry *next;
    const char *key;
    size_t hash;
    long value;
};

/* FNV-1a. */
static size_t hash_of(const char *key)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);

    for (; *key != '\0'; key++) {
        hash = (hash ^ (unsigned char)*key) * UINT64_C(0x100000001b3);
    }
    return (size_t)(hash ^ hash >> 32);
}

void hash_table_init(struct hash_table *table)
{
    cork_mempool_init(&table->entries, struct hash_table_entry);
    table->chains = NULL;
    table->chain_count = 0;
    table->entry_count = 0;
}

void hash_table_done(struct hash_table *table)
{
    for (size_t i = 0; i < table->chain_count; i++) {
        for (struct hash_table_entry *entry = table->chains[i], *next; entry != NULL;
             entry = next) {
            next = entry->next;
            cork_mempool_free(&table->entries, entry);
        }
    }
    cork_mempool_done(&table->entries);
    free(table->chains);
}

/* Returns where the pointer to the key's entry is, or where it would be; the table has chains. */
static struct hash_table_entry **find(const struct hash_table *table, const char *key, size_t hash)
{
    struct hash_table_entry **link = &table->chains[hash & (table->chain_count - 1)];

    while (*link != NULL && ((*link)->hash != hash || strcmp((*link)->key, key) != 0)) {
        link = &(*link)->next;
    }
    return link;
}

/* Makes chains of one entry each on average; returns false where memory cannot be had. */
static bool grow(struct hash_table *table)
{
    const size_t count = table->chain_count == 0 ? 16 : 2 * table->chain_count;
    struct hash_table_entry **chains = calloc(count, sizeof(*chains));

    if (chains == NULL) {
        return false;
    }
    for (size_t i = 0; i < table->chain_count; i++) {
        for (struct hash_table_entry *entry = table->chains[i], *next; entry != NULL;
             entry = next) {
            struct hash_table_entry **chain = &chains[entry->hash & (count - 1)];
            next = entry->next;
            entry->next = *chain;
            *chain = entry;
        }
    }
    free(table->chains);
    table->chains = chains;
    table->chain_count = count;
    return true;
}

long *hash_table_get_or_create(struct hash_table *table, const char *key)
{
    const size_t hash = hash_of(key);
    struct hash_table_entry *entry;

    if (table->entry_count == table->chain_count && !grow(table)) {
        return NULL;
    }
    struct hash_table_entry **link = find(table, key, hash);
    if (*link != NULL) {
        return &(*link)->value;
    }
    entry = cork_mempool_new(&table->entries);
    if (entry == NULL) {
        return NULL;
    }
    *entry = (struct hash_table_entry){.next = NULL, .key = key, .hash = hash, .value = 0};
    *link = entry;
    table->entry_count++;
    return &entry->value;
}

long *hash_table_get(const struct hash_table *table, const char *key)
{
    struct hash_table_entry *entry = NULL;

    if (table->chain_count != 0) {
        entry = *find(table, key, hash_of(key));
    }
    return entry != NULL ? &entry->value : NULL;
}

bool hash_table_delete(struct hash_table *table, const char *key)
{
    if (table->chain_count == 0) {
        return false;
    }
    struct hash_table_entry **link = find(table, key, hash_of(key));
    struct hash_table_entry *entry = *link;
    if (entry == NULL) {
        return false;
    }
    *link = entry->next;
    cork_mempool_free(&table->entries, entry);
    table->entry_count--;
    return true;
}

void hash_table_map(const struct hash_table *table,
                    void (*visit)(void *user_data, const char *key, long value), void *user_data)
{
    for (size_t i = 0; i < table->chain_count; i++) {
        for (const struct hash_table_entry *entry = table->chains[i]; entry != NULL;
             entry = entry->next) {
            visit(user_data, entry->key, entry->value);
        }
    }
}
