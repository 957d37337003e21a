/* One simulated run: nodes of the real consensus/ and fsm/ over a simulated disk, network and clock, clients
 * that use them, faults that meet them, checks that look at all of it. One thread, virtual time, and one seed
 * that decides everything.
 *
 * Files: sim.c (a run from beginning to end), config.c (what a seed draws), clients.c (what clients ask and
 * are told), model.c (what was committed, and what it means), faults.c (what goes wrong, and when), keeper.c
 * (who starts nodes again), wire_watch.c (what nodes promise each other), checks.c (what can only be told at
 * the end), trace.c (what happened, and its hash), main.c (arguments and processes). */
#pragma once

#include "base/hash.h"
#include "chaos/sim/cluster.h"
#include "chaos/sim/random.h"

#define SIM_CLIENTS_MAX  8u
#define SIM_FLAGS        4u
#define SIM_SWITCHES     2u
#define SIM_REGISTERS    (SIM_FLAGS + SIM_SWITCHES)
#define SIM_EVENTS_SHOWN 60u
#define SIM_FAULT_KINDS  32u

struct sim_options {
    uint64_t seed;
    uint64_t minutes;                        /* of virtual time, before everything is mended; 0: 3 */
    uint32_t nodes;                          /* 0: the seed draws it */
    uint32_t faults;                         /* bits by fault_names(): the seed draws among them */
    uint32_t rules_off;                      /* of consensus/rules.h */
    const char *mutant;                      /* "": none */
    const struct cluster_scenario *scenario; /* play this instead, or: */
    bool schedule;                           /* a random schedule over nodes with a tiny state machine */
    bool trace;                              /* print every event */
    const bool *skip;                        /* faults to leave out, by their place in the schedule */
    uint32_t skip_count;
};

/* What one seed draws for itself: the swarm. */
struct sim_config {
    uint32_t nodes, clients;
    uint32_t election_timeout_ms, heartbeat_ms;
    uint32_t snapshot_entries, trailing_entries;
    uint32_t delay_min_ms, delay_max_ms, sync_max_ms, fetch_max_ms;
    uint32_t loss_ppm, double_ppm;
    bool keep_order;
    uint32_t think_ms,
        beat_ms; /* between two requests of a client; all begin at multiples of a beat: groups */
    uint32_t fault_every_ms, fault_lasts_ms, restart_ms;
    uint32_t faults; /* the kinds that this seed uses */
};

struct sim_report { /* what a run leaves behind: plain data, sent to the parent process */
    uint64_t seed;
    uint8_t hash[DIGEST_BYTES];
    uint64_t virtual_ms, events, committed, acknowledged, reads, faults, restarts, installs, snapshots,
        elections;
    uint32_t nodes;
    bool violated;
    uint32_t fault_count; /* in the schedule */
    uint32_t met[SIM_FAULT_KINDS];
    char violation[512]; /* "<check>: <what>" */
};

/** Plays the seed. @return false: there was a violation; schedule and last events are printed */
bool sim_run(const struct sim_options *options, struct sim_report *report);

/** The faults by name; NULL past the last. */
const char *sim_fault_name(uint32_t kind);
