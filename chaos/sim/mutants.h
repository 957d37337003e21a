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
    const char *how;       /* one line: what it does wrong */
    uint32_t rules_off;    /* of consensus/rules.h; 0: a hook plants it */
    const char *caught_by; /* checks with `|` between: it must be one of these */
    uint32_t seeds;        /* seeds 1 to this one: one of them must catch it */
    const char *faults;    /* that help; NULL: all */
    uint32_t nodes;        /* 0: drawn */
    const char *scenario;  /* of cluster_scenarios.c, played instead; NULL: none */
    bool schedule;         /* random schedules (cluster_schedule.c) are played instead */
};

/** By position; NULL past the last. */
const struct mutant *mutant_at(uint32_t position);
/** NULL: no mutant has this name. */
const struct mutant *mutant_find(const char *name);
/** From now on this one is planted; NULL: none. One at a time. */
void mutant_plant(const struct mutant *mutant);
/** For hooks: is this one planted? */
bool mutant_is(const char *name);

/** Plays seeds 1, 2, ... of each mutant (or of the one) until one catches it; prints a table.
 * @param jobs  mutants at a time  @return false: one was not caught in time, or by another check */
bool mutants_table(const char *only, uint32_t jobs);
