/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * Prints how often each word of standard input stands there, with a hash table and two pools.
 *
 * usage: word_count <FILE
 */

#include <stdio.h>
#include <string.h>

#include "hash_table.h"

/* Longer words are cut in pieces. */
#define WORD_SIZE 32

static void print(void *user_data, const char *word, long count)
{
    (void)user_data;
    printf("%7ld %s\n", count, word);
}

/* Returns false where memory cannot be had. */
static bool count(struct hash_table *counts, struct cork_mempool *words, const char *word)
{
    long *found = hash_table_get(counts, word);

    if (found == NULL) {
        char *copy = cork_mempool_new(words);
        if (copy == NULL) {
            return false;
        }
        found = hash_table_get_or_create(counts, memcpy(copy, word, strlen(word) + 1));
        if (found == NULL) {
            cork_mempool_free(words, copy);
            return false;
        }
    }
    ++*found;
    return true;
}

static void free_word(void *user_data, const char *word, long count)
{
    (void)count;
    cork_mempool_free(user_data, (char *)word);
}

int main(void)
{
    struct hash_table counts;
    struct cork_mempool words;
    char word[WORD_SIZE];
    bool is_counted = true;

    hash_table_init(&counts);
    cork_mempool_init(&words, char[WORD_SIZE]);
    while (is_counted && scanf("%31s", word) == 1) {
        is_counted = count(&counts, &words, word);
    }
    hash_table_map(&counts, print, NULL);
    hash_table_map(&counts, free_word, &words);
    hash_table_done(&counts);
    cork_mempool_done(&words);
    if (!is_counted) {
        perror("word_count");
    }
    return !is_counted;
}
