/* The trace: what happened, hashed as it happens, so that two runs can be compared by one line. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "chaos/sim/sim_internal.h"

void trace_init(struct trace *self, bool print)
{
    *self = (struct trace){.hash = hash_new(), .print = print};
}

static void print(const struct event *event)
{
    char node[16] = "-";

    if (event->node < CLUSTER_NODES_MAX)
        snprintf(node, sizeof node, "%u", event->node);
    fprintf(stderr, "%10.3f s  node %-2s %-18s %" PRIu64 " %" PRIu64 "\n", (double)event->ms / 1000, node,
            event->kind, event->a, event->b);
}

void trace_add(struct trace *self, uint64_t ms, const char *kind, uint32_t node, uint64_t a, uint64_t b)
{
    struct event event = {.ms = ms, .kind = kind, .node = node, .a = a, .b = b};
    uint8_t packed[28];

    put_u64(packed, ms);
    put_u32(packed + 8, node);
    put_u64(packed + 12, a);
    put_u64(packed + 20, b);
    hash_update(self->hash, packed, sizeof packed);
    hash_update(self->hash, kind, strlen(kind) + 1);
    self->last[self->count++ % SIM_EVENTS_SHOWN] = event;
    if (self->print)
        print(&event);
}

void trace_print_last(const struct trace *self)
{
    uint64_t first = self->count < SIM_EVENTS_SHOWN ? 0 : self->count - SIM_EVENTS_SHOWN;

    fprintf(stderr, "the last of %" PRIu64 " events:\n", self->count);
    for (uint64_t i = first; i < self->count; i++)
        print(&self->last[i % SIM_EVENTS_SHOWN]);
}

void trace_done(struct trace *self, uint8_t out[DIGEST_BYTES])
{
    hash_finish(self->hash, out);
    hash_free(self->hash);
}
