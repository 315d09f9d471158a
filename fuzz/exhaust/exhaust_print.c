/* SPDX-License-Identifier: BSD-3-Clause */
#include <stddef.h>
#include <stdio.h>

#include "exhaust_calls.h"
#include "exhaust_geometry.h"
#include "exhaust_oracle.h"

static const char *call_name(unsigned call)
{
    static const char *const names[] = {"init",  "new",  "free",   "free by foreach",
                                        "clear", "trim", "done",   "check",
                                        "stats", "owns", "foreach"};
    return names[call];
}

/* An object of a program is called by the pool and the number of the new that issued it last. */
struct names {
    unsigned news[WORLD_COUNT];
    unsigned objects[WORLD_COUNT][WORLD_PLACE_COUNT];
};

static void print_pointer(const struct names *names, const void *pointer)
{
    for (unsigned i = 0; i < WORLD_COUNT; i++) {
        const unsigned char *byte = pointer;
        if (byte < worlds[i].pages[0] || byte >= worlds[i].pages[0] + sizeof(worlds[i].pages)) {
            continue;
        }
        size_t place = world_place(&worlds[i], byte);
        while (place > 0 && names->objects[i][place] == 0) {
            place--;
        }
        fprintf(stderr, "%c%u + %td", "ab"[i], names -> objects[i][place],
                byte - (unsigned char *)world_pointer(&worlds[i], place));
        return;
    }
    fprintf(stderr, "%p", pointer);
}

static void print_refused(unsigned by)
{
    static const char *const kinds[] = {"heap", "reservation", "commit"};

    if (by >= WORLD_REFUSE_KIND) {
        fprintf(stderr, ", every %s refused", kinds[by - WORLD_REFUSE_KIND]);
    } else if (by > WORLD_REFUSE_FROM) {
        fprintf(stderr, ", memory refused from request %u on", by - WORLD_REFUSE_FROM);
    } else if (by > 0) {
        fprintf(stderr, ", memory request %u refused", by);
    }
}

/* The worlds are made again from the start, so that it is known which object is where. */
static void print_op(struct names *names, struct exhaust_op op)
{
    const char pool = "ab"[op.world];
    struct world *world = &worlds[op.world];
    size_t place = places_next(&world->head.live, 0);

    fprintf(stderr, "  %s %c", call_name(op.call), pool);
    for (unsigned i = op.arg; op.call == CALL_FREE && i > 0; i--) {
        place = places_next(&world->head.live, place + 1);
    }
    if (op.call == CALL_FREE && place < WORLD_PLACE_COUNT) {
        fprintf(stderr, "%u", names->objects[op.world][place]);
    } else if (op.call == CALL_NEW) {
        fprintf(stderr, "%u", ++names->news[op.world]);
        print_refused(op.arg % 128);
        if (op.arg >= 128) {
            fprintf(stderr, ", shuffled from slot %u of the group on", op.arg / 128);
        }
    }
    fprintf(stderr, "\n");
}

/* Makes the program again, but for the last call where it was that which failed. */
static void print_program(const struct exhaust_op *program, size_t count, bool is_probing,
                          struct names *names)
{
    for (size_t i = 0; i < count; i++) {
        const struct world *world = &worlds[program[i].world];
        const struct world_places before = world->head.live;

        print_op(names, program[i]);
        if (i + 1 == count && !is_probing) {
            return;
        }
        calls_perform(program[i]);
        FOR_PLACES(place, &world->head.live)
        {
            if (!places_has(&before, place)) {
                names->objects[program[i].world][place] = names->news[program[i].world];
            }
        }
    }
}

void calls_print(const struct exhaust_op *program, size_t count, bool is_probing)
{
    static struct names names;
    static bool is_again;
    const struct oracle_probe probe = oracle_last_probe();

    if (is_again) {
        fprintf(stderr, "  (does not fail the same way twice)\n");
        return;
    }
    is_again = true;
    fprintf(stderr, "\nprofile %s, groups of %zu:\n", calls_profile()->name, exhaust_group_slots);
    calls_begin(calls_profile());
    print_program(program, count, is_probing, &names);
    if (is_probing) {
        fprintf(stderr, "  %s %c: ", call_name(probe.call), "ab"[probe.world == &worlds[1]]);
        print_pointer(&names, probe.pointer);
        fprintf(stderr, "\nmust be: %s\n",
                probe.expected_kind == 0 ? "allowed"
                                         : cork_mempool_violation_message(probe.expected_kind));
    }
    if (probe.violation.kind != 0 && (is_probing || probe.is_unexpected)) {
        fprintf(stderr, "was: %s, pointer ", probe.violation.message);
        print_pointer(&names, probe.violation.pointer);
        fprintf(stderr, "\n");
    }
}
