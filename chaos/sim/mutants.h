/* Planted bugs, by name: `sim --mutant NAME` runs with one of them, and must find it.
 *
 * A mutant is either a rule of consensus/rules.h that is switched off, or a hook at one of the simulator's
 * seams, which asks mutant_is() whether it shall misbehave: the disk and the store (fake_disk.c, fake_kv.c),
 * the worker (fake_worker.c), the wire (fake_wire.c), and what lies between consensus and the state machine
 * (machine_fsm.c). The product itself has no mutants in it. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct mutant {
    const char *name;
    const char *how;    /* one line: what it does wrong */
    uint32_t rules_off; /* of consensus/rules.h; 0: a hook plants it */
};

/** By position; NULL past the last. */
const struct mutant *mutant_at(uint32_t position);
/** NULL: no mutant has this name. */
const struct mutant *mutant_find(const char *name);
/** From now on this one is planted; NULL: none. One at a time. */
void mutant_plant(const struct mutant *mutant);
/** For hooks: is this one planted? */
bool mutant_is(const char *name);
