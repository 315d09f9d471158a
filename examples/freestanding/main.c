/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * Messages in a queue, on a machine without an operating system: the pool has one static buffer,
 * and there is no heap. The library is built with CORK_MEMPOOL_NO_OS_MEMORY, and so is this file.
 */

#include <libcork/core.h>

#include "board.h"

struct message {
    struct message *next;
    uint32_t time;
    unsigned char bytes[16];
};

/* The pool's own tables stand in the buffer too. */
static _Alignas(8) unsigned char memory[1024];
static struct cork_mempool pool;
static struct message *first;
static struct message **last = &first;

/* Each line of a report; without this function there would be none. */
void cork_mempool_write_report(const char *text, size_t size)
{
    board_write(text, size);
}

static bool send(uint32_t time)
{
    struct message *message = cork_mempool_new(&pool);

    if (message == NULL) {
        return false; /* The buffer is full: the sender has to wait. */
    }
    *message = (struct message){.time = time};
    *last = message;
    last = &message->next;
    return true;
}

static uint32_t receive(void)
{
    struct message *message = first;
    const uint32_t time = message->time;

    first = message->next;
    if (first == NULL) {
        last = &first;
    }
    cork_mempool_free(&pool, message);
    return time;
}

int main(void)
{
    static const char done[] = "as many messages received as sent\n";
    const struct cork_mempool_options options = {
        .name = "messages",
        .element_size = sizeof(struct message),
        .buffer = memory,
        .buffer_size = sizeof(memory),
        .protections = CORK_MEMPOOL_CANARY,
        .seed = 1, /* Else, there being no source of chance here, one that can be foreseen. */
    };
    uint32_t sent = 0, received = 0;

    if (!cork_mempool_init_with(&pool, &options)) {
        return 1;
    }
    for (unsigned round = 0; round < 10; round++) {
        while (send(sent)) {
            sent++;
        }
        while (first != NULL) {
            if (receive() != received++) {
                return 1;
            }
        }
    }
    if (sent < 100 || received != sent) {
        return 1;
    }
    cork_mempool_done(&pool);
    board_write(done, sizeof(done) - 1);
    return 0;
}
