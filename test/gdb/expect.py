# SPDX-License-Identifier: BSD-3-Clause
"""Run by gdb where populated_pools.c stops: does what tools/gdb/cork_mempool.py shows agree with what
that program expects? Prints what does not, and a last line."""

import gdb


def wrong_owner(expectation):
    """Returns what is wrong; the pool is found by itself, and given by name."""
    address = int(expectation["address"])
    wanted = expectation["text"].string() if int(expectation["text"]) else "belongs to none of"
    pool = int(expectation["pool"])
    wrong = []
    for words in (f"{address:#x}", f"{address:#x} (struct\\ cork_mempool\\ *){pool:#x}"):
        said = gdb.execute(f"cork-mempool-owner {words}", to_string=True)
        if wanted not in said or ("none" not in wanted and f"pool {pool:#x}" not in said):
            wrong.append(f"cork-mempool-owner {words} should say \"{wanted}\", and said:\n{said}")
    return wrong


def wrong_pool(address, live):
    """Returns what is wrong with how a pool is shown."""
    said = gdb.execute(f"cork-mempool (struct\\ cork_mempool\\ *){address:#x} 1000", to_string=True)
    printed = gdb.execute(f"print *(struct cork_mempool *){address:#x}", to_string=True)
    wrong = []
    if said.count("\nlive object ") != live:
        wrong.append(f"{live} objects are live, and this is shown:\n{said}")
    if f": {live} live, element size" not in printed or f"pool {address:#x}" not in printed:
        wrong.append(f"{live} objects are live, and this is printed:\n{printed}")
    return wrong


def main():
    wrong = []
    all_expected = gdb.parse_and_eval("expected")
    expected = [all_expected[index] for index in range(int(gdb.parse_and_eval("expected_count")))]
    pools = {int(each["pool"]): int(each["live_count"]) for each in expected if int(each["text"])}
    for each in expected:
        wrong += wrong_owner(each)
    for pool in pools.items():
        wrong += wrong_pool(*pool)
    for name, state in (("finalized", "after done"), ("zeroed", "before init")):
        said = gdb.execute(f"cork-mempool &{name}", to_string=True)
        if not said.endswith(f": {state}\n"):
            wrong.append(f"{name} is {state}, and this is shown:\n{said}")
    pool = int(gdb.parse_and_eval("&overwritten"))
    for command in ("cork-mempool-owner 0x1", "cork-mempool-owner 0x1 &overwritten", "print overwritten"):
        said = gdb.execute(command, to_string=True)
        if f"pool {pool:#x} cannot be read: Cannot access memory" not in said:
            wrong.append(f"the pool at {pool:#x} is overwritten, and {command} says:\n{said}")
    print(*wrong, sep="\n")
    print(f"expected of {len(expected)} addresses, {len(pools)} pools: {len(wrong)} wrong")


main()
