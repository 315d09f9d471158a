# SPDX-License-Identifier: BSD-3-Clause
"""For gdb: shows pools, their live objects, and who owns an address.

    (gdb) source tools/gdb/cork_mempool.py
    (gdb) cork-mempool POOL [COUNT]          a pool, its regions, and its first live objects (16)
    (gdb) cork-mempool-owner ADDRESS [POOL]  the slot that an address lies in, and its state
    (gdb) print POOL                         one line

POOL is an expression for a struct cork_mempool or a pointer to one. Without it, the owner is looked
for in the pools that variables hold or point to. The library must have been compiled
with -g. Nothing is called or changed in the program, so core files serve as well.
"""

import functools
import itertools

import gdb
import gdb.printing

GROUP_SLOTS = 64  # as in src/geometry.h
# As in src/slots.h.
STATES = {0: "before init", 0x506F6F6C: "live", 0x56697369: "live, visited by foreach",
          0x42757379: "live, in a call", 0x446F6E65: "after done"}
PROTECTIONS = ["CANARY", "SEAL", "WIPE", "SHUFFLE", "QUARANTINE", "GUARD", "CALLSITES"]
POINTER_MASK = (1 << 64) - 1
UNREADABLE = gdb.error, ArithmeticError  # because fields of a pool were overwritten


def is_pool(kind):
    return kind.strip_typedefs().unqualified().tag == "cork_mempool"


def pool_of(value):
    """Returns a pool from what an expression gave: itself, or what it points to."""
    kind = value.type.strip_typedefs()
    if kind.code == gdb.TYPE_CODE_PTR and is_pool(kind.target()):
        value = value.dereference()
    elif not is_pool(kind):
        raise gdb.GdbError(f"{kind} is not a struct cork_mempool, nor a pointer to one")
    return Pool(value)


class Slot:
    """A slot of a region, by its number there."""

    def __init__(self, region, index):
        self.region, self.index = region, index
        self.number = region.first + index
        self.start = region.base + index * region.pool.stride

    @property
    def state(self):
        pool, region = self.region.pool, self.region
        group, bit = divmod(self.index, GROUP_SLOTS)
        pitch = int(pool.geometry["block_pitch"])
        if pitch and self.index % pitch >= int(pool.geometry["block_slots"]):
            return "guard"
        if self.index >= region.extended or region.fresh(group) >> bit & 1:
            return "never issued"
        free, held = region.words(group)
        if free >> bit & 1:
            return "free"
        return "in quarantine" if held >> bit & 1 else "live"

    def sites(self):
        """Returns ", issued at ..." as far as it is known."""
        sites = self.region.value["sites"]
        if not int(sites) or self.state in ("guard", "never issued"):
            return ""
        own = sites[self.index]
        known = ("issued", int(own["new_site"])), ("freed", int(own["free_site"]))
        return "".join(f", {verb} at {place_of(site)}" for verb, site in known if site)


def place_of(site):
    """Returns a return address as its function and line; the call is before it."""
    found = gdb.find_pc_line(site - 1)
    block = gdb.block_for_pc(site - 1)
    function = block and (block.function or block.superblock and block.superblock.function)
    name = function.name if function else "?"
    if found.symtab is None:
        return f"{site:#x}"
    return f"{site:#x} ({name}, {found.symtab.filename}:{found.line})"


class Region:
    """A region of a pool."""

    def __init__(self, pool, value):
        self.pool, self.value = pool, value
        self.first, self.base = int(value["first_number"]), int(value["base"])
        self.extended, self.reserved = int(value["extended_count"]), int(value["reserved_count"])

    def fresh(self, group):
        """Returns the slots of a group that were never issued."""
        cursor = self.pool.value["cursor"]
        if not bool(cursor["is_never_issued"]):
            return 0
        is_active = int(cursor["group"]) == int(self.value["groups"][group].address)
        return int(cursor["bits"]) | int(cursor["fresh"]) if is_active else 0

    def words(self, group):
        """Returns a group's free slots, with the one that is kept aside, and those that are held."""
        free = int(self.value["groups"][group]["free"])
        kept, remainder = divmod(self.pool.kept - self.base, self.pool.stride)
        if remainder == 0 and kept < self.extended and kept // GROUP_SLOTS == group:
            free |= 1 << kept % GROUP_SLOTS
        held = self.value["held"]
        return free, int(held[group]) if int(held) else 0

    def groups(self):
        return [self.words(group) for group in range((self.extended + GROUP_SLOTS - 1) // GROUP_SLOTS)]

    def live_slots(self):
        for group, (free, held) in enumerate(self.groups()):
            first = group * GROUP_SLOTS
            for bit in range(min(GROUP_SLOTS, self.extended - first)):
                if not (free | held) >> bit & 1:
                    yield Slot(self, first + bit)

    def counts(self):
        """Returns how many slots are live, free, and held, of those that belong to groups."""
        free, held = (sum(bin(word).count("1") for word in words) for words in zip((0, 0), *self.groups()))
        return self.extended - free - held, free, held


class Pool:
    """A struct cork_mempool."""

    def __init__(self, value):
        self.value, address = value, value.address
        self.title = f"pool {int(address):#x}" if address is not None else "pool"
        self.geometry = value["geometry"]
        self.stride = int(self.geometry["stride"])
        self.kept = int(value["lent"]["kept"])
        self.state = STATES.get(int(value["state"]), "no pool, or overwritten")
        self.is_live = self.state.startswith("live")
        self.protections = [name for bit, name in enumerate(PROTECTIONS)
                            if int(value["protections"]) >> bit & 1]

    def regions(self):
        """Yields them in the order of their slots' numbers; each once, because links may be overwritten."""
        region, seen = self.value["oldest"], {0}
        while int(region) not in seen:
            seen.add(int(region))
            yield Region(self, region.dereference())
            region = region["newer"]

    def to_string(self):
        """Returns one line, which gdb prints: the fields are private."""
        text = self.title
        if bool(self.value["is_named"]):
            text += f" \"{self.value['name'].string(errors='replace')}\""
        if not self.is_live:
            return f"{text}: {self.state}"
        try:
            live = sum(region.counts()[0] for region in self.regions())
        except UNREADABLE as error:
            return f"{text} cannot be read: {error}"
        text += f": {live} live, element size {int(self.geometry['element_size'])}"
        if self.protections:
            text += f", {'|'.join(self.protections)}, seed {int(self.value['seed']):#x}"
        return text


def pools_in(value, depth=0):
    """Yields the pools that a variable is, has in it, or points to."""
    kind = value.type.strip_typedefs()
    if kind.code == gdb.TYPE_CODE_PTR and is_pool(kind.target()) and int(value):
        yield Pool(value.dereference())
    elif kind.code == gdb.TYPE_CODE_STRUCT and is_pool(kind):
        yield Pool(value)
    elif kind.code in (gdb.TYPE_CODE_STRUCT, gdb.TYPE_CODE_UNION) and depth < 4:
        for field in kind.fields():
            if hasattr(field, "bitpos"):
                yield from pools_in(value[field], depth + (not field.is_base_class))
    elif kind.code == gdb.TYPE_CODE_ARRAY and depth < 4:
        first, last = kind.range()
        if last - first < 4096:
            for index in range(first, last + 1):
                yield from pools_in(value[index], depth + 1)


def blocks():
    """Yields the blocks of all frames of all threads, and of their files, each with its frame."""
    for thread in gdb.selected_inferior().threads():
        thread.switch()
        frame = gdb.newest_frame()
        while frame is not None and frame.is_valid():
            try:
                block = frame.block()
            except RuntimeError:  # a function without debugging information
                block = None
            while block is not None:
                yield frame, block
                block = block.superblock
            frame = frame.older()


@functools.lru_cache(maxsize=1)
def names_of_pools(_):
    """Returns the names of variables whose type names a pool. gdb takes seconds to find them, so
    they are looked for again only where other files are loaded, which the argument tells."""
    lines = gdb.execute("info variables -q -n -t cork_mempool", to_string=True).splitlines()
    return {line.rstrip(";").split()[-1].lstrip("*").split("[")[0] for line in lines
            if line.endswith(";")}


def variables():
    """Yields the values of variables: of the calls that are going on, of the files in which these
    are, and of all others whose type says that they are pools."""
    current, seen = gdb.selected_thread(), set()
    try:
        for frame, block in blocks() if current else []:
            key = block.start, block.is_global, block.is_static  # a file's begin where its first function does
            is_local = not block.is_global and not block.is_static
            if is_local or key not in seen:
                seen.add(key)
                for symbol in block:
                    if symbol.is_variable or symbol.is_argument:
                        yield symbol.value(frame)
    finally:
        if current:
            current.switch()
    for name in names_of_pools(tuple(objfile.filename for objfile in gdb.objfiles())):
        for symbol in [*gdb.lookup_static_symbols(name), gdb.lookup_global_symbol(name)]:
            if symbol:
                yield symbol.value()


def known_pools():
    """Returns the live pools that variables lead to, each once."""
    pools = {}
    for value in variables():
        try:
            for pool in pools_in(value):
                if pool.is_live and pool.value.address is not None:
                    pools.setdefault(int(pool.value.address), pool)
        except gdb.error:
            continue  # a pointer that is not set yet, or a variable that is optimized out
    return list(pools.values())


def owner(pool, address):
    """Returns what is known of an address in a pool's memory, or None."""
    for region in pool.regions():
        offset = address - region.base
        if 0 <= offset < region.reserved * pool.stride:
            slot = Slot(region, offset // pool.stride)
            inside, size = offset % pool.stride, int(pool.geometry["element_size"])
            text = f"slot {slot.number}, {slot.state}, object {slot.start:#x}"
            if inside >= size:
                text += f", {inside - size} bytes behind its end"
            elif inside:
                text += f", {inside} bytes into it"
            return text + slot.sites()
        if 0 <= address - int(region.value["memory"]) < int(region.value["memory_size"]):
            return "memory of the pool in which no objects are: bookkeeping, or a guard"
    return None


class Command(gdb.Command):
    """A command of one or two words, whose comment begins with its usage."""

    def __init__(self):
        self.usage = self.__doc__.partition(":")[0]
        super().__init__(self.usage.split()[0], gdb.COMMAND_DATA, gdb.COMPLETE_EXPRESSION)

    def invoke(self, argument, _):
        words = gdb.string_to_argv(argument)
        if not 1 <= len(words) <= 2:
            raise gdb.GdbError(f"usage: {self.usage}")
        self.show(*map(gdb.parse_and_eval, words))


class Show(Command):
    """cork-mempool POOL [COUNT]: shows a pool, its regions, and its first live objects."""

    def show(self, value, count=16):
        pool = pool_of(value)
        print(pool.to_string())
        regions = list(pool.regions()) if pool.is_live else []
        for region in regions:
            live, free, held = region.counts()
            held_text = f", {held} held" if held else ""
            print(f"region {region.base:#x}: {'reserved, ' if region.value['is_reserved'] else ''}"
                  f"slots from {region.first}, {live} live, {free} free{held_text}, "
                  f"{region.reserved - region.extended} never used")
        slots = (slot for region in regions for slot in region.live_slots())
        for slot in itertools.islice(slots, int(count)):
            print(f"live object {slot.start:#x}, slot {slot.number}{slot.sites()}")
        if next(slots, None):
            print("... there are more")


class Owner(Command):
    """cork-mempool-owner ADDRESS [POOL]: shows which slot of which pool an address lies in."""

    def show(self, value, *pool):
        address = int(value) & POINTER_MASK
        pools = list(map(pool_of, pool)) or known_pools()
        for pool in pools:
            try:
                found = owner(pool, address) if pool.is_live else None
                if found:
                    print(f"{pool.to_string()}\n{found}")
                    return
            except UNREADABLE as error:
                print(f"{pool.title} cannot be read: {error}")
        print(f"{address:#x} belongs to none of {len(pools)} live pools")


printers = gdb.printing.RegexpCollectionPrettyPrinter("cork_mempool")
printers.add_printer("cork_mempool", "^cork_mempool$", Pool)
gdb.printing.register_pretty_printer(None, printers, replace=True)
Show()
Owner()
