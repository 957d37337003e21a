/* Who has spoken as which node id: the memory that tells a restart from an impostor.
 *
 * Invariants:
 *   (1) One entry an id; ids are never used again, so an id has one data folder, and a folder one latest
 * start. (2) While two processes claim one id, neither is heard: which of them is right can't be known here.
 * Each attempt of either keeps the other out for WIRE_RIVAL_MS; when one falls silent for so long, the other
 * is heard again.
 * (3) What a node acknowledged and what is committed never leaves its log: a node that
 * comes back with less runs from an older copy of its folder. This is known to who led meanwhile, and as long
 * as its process lives. */
#pragma once

#include <stdint.h>

#include "consensus/wire_frame.h"

#define WIRE_SEEN_MAX 128u   /* ids remembered; the one heard longest ago goes first */
#define WIRE_RIVAL_MS 10000u /* several reconnects fit in */

struct wire_birth {
    char incarnation[33];
    uint64_t start_counter;
    uint64_t nonce;
};

struct wire_seen_entry {
    uint64_t node_id; /* 0: free */
    struct wire_birth current;
    uint64_t alive_ms; /* its last attempt or end of connection */
    bool contested;
    uint64_t rival_ms; /* last attempt of another process under this id */
    uint64_t holds;    /* index up to which it acknowledged what is committed */
};

struct wire_seen {
    struct wire_seen_entry entries[WIRE_SEEN_MAX];
};

enum wire_verdict {
    WIRE_ADMIT,
    WIRE_ADMIT_NEWER,       /* it started anew: what is left of its earlier start goes */
    WIRE_REFUSE_OLDER,      /* a later start was seen */
    WIRE_REFUSE_BOTH,       /* two processes under one id */
    WIRE_REFUSE_ROLLED_BACK /* its log ends before what it acknowledged */
};

/** Judges somebody who says hello, and remembers it.
 *
 * @param living  connections of that id that are open now */
enum wire_verdict wire_seen_judge(struct wire_seen *self, const struct wire_hello *hello, uint32_t living,
                                  uint64_t now_ms);
/** It acknowledged everything up to `index`, and that is committed. */
void wire_seen_holds(struct wire_seen *self, uint64_t node_id, uint64_t index);
/** A connection of this id ended: its process was alive until now. */
void wire_seen_alive(struct wire_seen *self, uint64_t node_id, uint64_t now_ms);
