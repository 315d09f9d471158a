/* SPDX-License-Identifier: BSD-3-Clause */
#include <libcork/core.h>

extern "C" int populate_all(void *inherited);

int main()
{
    struct base {
        struct cork_mempool pool;
    };
    struct : base {
    } object;
    return populate_all(&object.pool);
}
