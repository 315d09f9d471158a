/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * Workloads that are like programs: objects that die at any age, a hash table with chained nodes, a
 * binary tree. main.h includes this in each subject, behind workloads.h.
 */

/* An object lives for 1 to 2^LIFETIME_BITS deaths of others, each power of two as often. */
#define LIFETIME_BITS 20
/* One object in so many is missing at any time. */
#define VACANT_PART 32
#define NOBODY      UINT32_MAX

/* When whose life ends: for each of the next deaths a list of objects, by their numbers. */
struct calendar {
    uint32_t *first;
    uint32_t *next;
    uint64_t state;
};

static void enter(struct calendar *calendar, size_t now, uint32_t object)
{
    const uint64_t mixed = bench_random(&calendar->state);
    const size_t most = (size_t)1 << (mixed >> 32) % (LIFETIME_BITS + 1);
    const size_t death = (now + 1 + mixed % most) % ((size_t)1 << LIFETIME_BITS);
    calendar->next[object] = calendar->first[death];
    calendar->first[death] = object;
}

/* Fills two arrays of count: which object dies next, and which is born then. The objects that are
 * born first are vacant at the start: the first ones. */
static void schedule(uint32_t *deaths, uint32_t *births, size_t count)
{
    const size_t days = (size_t)1 << LIFETIME_BITS;
    struct calendar calendar;
    calendar.first = (uint32_t *)bench_memory(days * sizeof(uint32_t), true);
    calendar.next = (uint32_t *)bench_memory(count * sizeof(uint32_t), true);
    calendar.state = 3;
    memset(calendar.first, 0xff, days * sizeof(uint32_t));
    const size_t vacant = count / VACANT_PART;
    for (size_t i = 0; i < vacant; i++) {
        births[i] = (uint32_t)i;
    }
    for (size_t i = vacant; i < count; i++) {
        enter(&calendar, 0, (uint32_t)i);
    }

    size_t done = 0;
    for (size_t day = 1; done < count; day++) {
        uint32_t *first = &calendar.first[day % days];
        while (*first != NOBODY && done < count) {
            const uint32_t object = *first;
            *first = calendar.next[object];
            deaths[done] = object;
            if (done + vacant < count) {
                births[done + vacant] = object;
            }
            enter(&calendar, day, births[done]);
            done++;
        }
    }
}

/* A churn at high occupancy. */
static void run_lifetimes(const struct bench_options *options)
{
    const size_t count = options->count;
    const size_t vacant = count / VACANT_PART;
    void **objects = (void **)bench_memory(count * sizeof(void *), true);
    uint32_t *deaths = (uint32_t *)bench_memory(count * sizeof(uint32_t), true);
    uint32_t *births = (uint32_t *)bench_memory(count * sizeof(uint32_t), true);
    struct pool pool;
    schedule(deaths, births, count);
    pool_init(&pool, options->size);
    build(&pool, objects, count);
    check_objects(options, objects, count);
    teardown(&pool, objects, vacant);

    struct bench_time start = bench_now();
    for (size_t i = 0; i < count; i++) {
        pool_free(&pool, objects[deaths[i]]);
        void *object = take(&pool);
        *word_of(object) = i;
        objects[births[i]] = object;
    }
    bench_lap(&start, "lifetimes", count);

    for (size_t i = 0; i < vacant; i++) {
        objects[deaths[count - vacant + i]] = take(&pool);
    }
    check_objects(options, objects, count);
    teardown(&pool, objects, count);
    pool_done(&pool);
}

/* A node of a hash table, at the start of an object. */
struct chained {
    struct chained *next;
    uintptr_t key;
};

/* So many keys in a row belong to one chain. */
#define CHAIN_KEYS 4

static void insert_chained(struct pool *pool, struct chained **chains, uintptr_t key)
{
    struct chained **chain = &chains[key / CHAIN_KEYS];
    struct chained *node = (struct chained *)take(pool);
    node->next = *chain;
    node->key = key;
    *chain = node;
}

static struct chained **find_chained(struct chained **chains, uintptr_t key)
{
    struct chained **link = &chains[key / CHAIN_KEYS];
    while (*link != NULL && (*link)->key != key) {
        link = &(*link)->next;
    }
    if (*link == NULL) {
        bench_fail("a key is not in the hash table");
    }
    return link;
}

static void remove_chained(struct pool *pool, struct chained **chains, uintptr_t key)
{
    struct chained **link = find_chained(chains, key);
    struct chained *node = *link;
    *link = node->next;
    pool_free(pool, node);
}

/* A hash table is filled and emptied in a random order, so that what is free lies anywhere. Then it
 * is filled chain by chain, and all is looked up, in a random order again. */
static void run_hash(const struct bench_options *options)
{
    const size_t count = options->count;
    const uint32_t *order = bench_order(count);
    struct chained **chains =
        (struct chained **)bench_memory((count / CHAIN_KEYS + 1) * sizeof(chains[0]), true);
    struct pool pool;
    pool_init(&pool, options->size);

    struct bench_time start = bench_now();
    const struct bench_time whole = start;
    for (size_t i = 0; i < count; i++) {
        insert_chained(&pool, chains, order[i]);
    }
    for (size_t i = 0; i < count; i++) {
        remove_chained(&pool, chains, order[count - 1 - i]);
    }
    for (size_t i = 0; i < count; i++) {
        insert_chained(&pool, chains, i);
    }
    start = bench_now();
    for (size_t i = 0; i < count; i++) {
        (void)find_chained(chains, order[i]);
    }
    bench_lap(&start, "hash_find", count);
    for (size_t i = 0; i < count; i++) {
        remove_chained(&pool, chains, i);
    }
    start = whole;
    bench_lap(&start, "hash", 5 * count);
    pool_done(&pool);
}

/* A node of a binary tree, at the start of an object. */
struct node {
    struct node *children[2];
    uintptr_t key;
};

static void insert_node(struct pool *pool, struct node **link, uintptr_t key)
{
    while (*link != NULL) {
        link = &(*link)->children[key > (*link)->key];
    }
    struct node *node = (struct node *)take(pool);
    node->children[0] = NULL;
    node->children[1] = NULL;
    node->key = key;
    *link = node;
}

static void find_node(const struct node *node, uintptr_t key)
{
    while (node != NULL && node->key != key) {
        node = node->children[key > node->key];
    }
    if (node == NULL) {
        bench_fail("a key is not in the tree");
    }
}

/* Makes a balanced tree of the keys from first on, each node before what is below it. */
static struct node *make_tree(struct pool *pool, uintptr_t first, size_t count)
{
    if (count == 0) {
        return NULL;
    }
    struct node *node = (struct node *)take(pool);
    const size_t half = count / 2;
    node->key = first + half;
    node->children[0] = make_tree(pool, first, half);
    node->children[1] = make_tree(pool, first + half + 1, count - half - 1);
    return node;
}

/* Returns how many nodes there were. */
static size_t free_tree(struct pool *pool, struct node *node)
{
    if (node == NULL) {
        return 0;
    }
    const size_t count =
        1 + free_tree(pool, node->children[0]) + free_tree(pool, node->children[1]);
    pool_free(pool, node);
    return count;
}

/* A tree grows by keys in a random order, is searched and freed; then it is made again, balanced,
 * and searched. */
static void run_tree(const struct bench_options *options)
{
    const size_t count = options->count;
    const uint32_t *order = bench_order(count);
    struct node *root = NULL;
    struct pool pool;
    if (options->size < sizeof(struct node)) {
        return;
    }
    pool_init(&pool, options->size);

    struct bench_time start = bench_now();
    const struct bench_time whole = start;
    for (size_t i = 0; i < count; i++) {
        insert_node(&pool, &root, order[i]);
    }
    for (size_t i = 0; i < count; i++) {
        find_node(root, order[i]);
    }
    size_t freed = free_tree(&pool, root);
    root = make_tree(&pool, 0, count);
    start = bench_now();
    for (size_t i = 0; i < count; i++) {
        find_node(root, order[i]);
    }
    bench_lap(&start, "tree_find", count);
    freed += free_tree(&pool, root);
    start = whole;
    bench_lap(&start, "tree", 6 * count);
    if (freed != 2 * count) {
        bench_fail("the tree has lost nodes");
    }
    pool_done(&pool);
}
