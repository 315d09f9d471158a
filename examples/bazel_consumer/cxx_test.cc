// SPDX-License-Identifier: BSD-3-Clause
#include <libcork/core.h>

#include <cassert>
#include <new>
#include <string>

int main()
{
    struct cork_mempool pool;
    cork_mempool_init(&pool, std::string);
    void *memory = cork_mempool_new(&pool);
    assert(memory != nullptr);
    std::string *text = new (memory) std::string("a text that is too long to be held in place");
    assert(text->size() == 43);
    text->~basic_string();
    cork_mempool_free(&pool, text);
    cork_mempool_done(&pool);
    return 0;
}
