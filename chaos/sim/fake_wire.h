/* A network in memory, under consensus/wire.h: one thread, virtual time, and whoever runs it decides what
 * arrives when.
 *
 * Frames are queued with a time of delivery drawn from a seed; they may be lost, doubled and overtake each
 * other. Links are cut one way at a time. A node that closes its wire is refused by all who had it as a peer.
 * A filter sees every frame before it is queued, for scripted schedules. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/clock.h"

struct fake_network;

struct fake_network_options {
    struct clock clock;
    uint64_t seed;
    uint32_t delay_min_ms, delay_max_ms;
    uint32_t loss_ppm, double_ppm;
    bool keep_order; /* frames of one link don't overtake each other */
    /** @return false: the frame is lost. NULL: all pass */
    bool (*filter)(void *context, uint64_t from, uint64_t to, struct span payload);
    void *context;
};

/** One at a time: wire_open() of all nodes joins the network that exists. */
struct fake_network *fake_network_new(const struct fake_network_options *options);
void fake_network_free(struct fake_network *self);
struct fake_network_options *fake_network_options(struct fake_network *self); /* may be changed at any time */
/** Cuts or mends the way of `from` to `to`. What is under way is lost with a cut. */
void fake_network_cut(struct fake_network *self, uint64_t from, uint64_t to, bool cut);
void fake_network_mend(struct fake_network *self); /* all links */
/** What is due for a paused node waits until it goes on, and a little longer. */
void fake_network_pause(struct fake_network *self, uint64_t node_id, bool pause);
uint64_t fake_network_next_ms(const struct fake_network *self); /* UINT64_MAX: nothing is under way */
/** Delivers the next thing that is due. @return the node that heard it, 0: nothing is due */
uint64_t fake_network_deliver(struct fake_network *self);
uint64_t fake_network_delivered(const struct fake_network *self); /* frames, in all */
