# SPDX-License-Identifier: BSD-3-Clause
# Makes of the headers' comments such as Doxygen reads; only Doxygen sees what this writes.

# Nothing is said of guards and the licence, and of what is private; a pool's fields are.
/^\/\* SPDX/d
/^struct cork_mempool {$/,/^};$/{
    /^struct/b
    /^};/b
    d
}
/^\/\* Private/{
    :more
    /\*\/$/!{
        N
        b more
    }
    d
}
/^struct .*; \/\* see/d

# The first comment that stands on lines of its own is about the file.
1,/^ \*\/$/s|^/\*$|/** \\file|
s|^/\*$|/**|
s|^\( *\)/\* |\1/** |
# It shares the comment of the function before it.
s|^static inline void cork_mempool_set_done_object|/** \\copydoc cork_mempool_set_init_object */\n&|
# Behind a field.
s|\([;,]\) */\* |\1 /**< |
s|^\( *[A-Z_]* = [0-9]*\) */\* |\1 /**< |

s|^ \* Requires: | * \\pre |
s|^ \* Returns: | * \\return |
s|^ \* Aborts: | * \\par Aborts:\n * |
s|^ \* Units: | * \\par Units:\n * |
