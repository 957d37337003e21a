/* State transfers: a checkpoint of any other node arrives some time after it was asked for. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "chaos/sim/cluster_internal.h"

void cluster_fetch(void *context, const char *folder, uint64_t index_min,
                   void (*done)(void *done_context, const struct machine_state *state,
                                const struct error *error),
                   void *done_context)
{
    struct cluster_node *node = context;
    struct fetch *fetch = memory_zero(1, sizeof *fetch);
    uint32_t fetch_max_ms =
        node->cluster->options.fetch_max_ms == 0 ? 100 : node->cluster->options.fetch_max_ms;

    *fetch = (struct fetch){.next = node->cluster->fetches,
                            .due_ms = node->cluster->now_ms + 1 + cluster_random(node->cluster, fetch_max_ms),
                            .life = node->life,
                            .index_min = index_min,
                            .node = node,
                            .done = done,
                            .context = done_context};
    snprintf(fetch->folder, sizeof fetch->folder, "%s", folder);
    node->cluster->fetches = fetch;
}

uint64_t cluster_fetch_next_ms(const struct cluster *self)
{
    uint64_t at_ms = UINT64_MAX;

    for (const struct fetch *fetch = self->fetches; fetch != NULL; fetch = fetch->next)
        if (fetch->due_ms < at_ms)
            at_ms = fetch->due_ms;
    return at_ms;
}

/* Any other node that has applied enough may serve. */
static struct cluster_node *find_source(struct cluster *self, const struct fetch *fetch)
{
    uint32_t start = (uint32_t)cluster_random(self, self->count);

    for (uint32_t i = 0; i < self->count; i++) {
        struct cluster_node *node = &self->nodes[(start + i) % self->count];
        if (node != fetch->node && node->consensus != NULL && !node->paused && !node->dead &&
            self->machine->applied(node) >= fetch->index_min)
            return node;
    }
    return NULL;
}

static void finish_fetch(struct cluster *self, struct fetch *fetch)
{
    struct cluster_node *source = find_source(self, fetch);
    struct machine_state state;
    struct error error = {0};

    if (fetch->life != fetch->node->life || fetch->node->consensus == NULL)
        return;
    if (source == NULL) {
        error_set(&error, ERROR_UNAVAILABLE, "no node has applied %" PRIu64, fetch->index_min);
        fetch->done(fetch->context, NULL, &error);
        return;
    }
    bool copied = self->machine->copy(fetch->node, fetch->folder, source, &state, &error) == ERROR_OK;
    fetch->done(fetch->context, copied ? &state : NULL, copied ? NULL : &error);
}

void cluster_fetch_run(struct cluster *self)
{
    struct fetch **at = &self->fetches;

    while (*at != NULL && (*at)->due_ms > self->now_ms)
        at = &(*at)->next;
    if (*at == NULL)
        return;
    struct fetch *fetch = *at;
    *at = fetch->next;
    finish_fetch(self, fetch);
    free(fetch);
}

void cluster_forget_fetches(struct cluster_node *node)
{
    struct fetch **at = &node->cluster->fetches;

    while (*at != NULL) {
        struct fetch *fetch = *at;
        if (fetch->node != node) {
            at = &fetch->next;
            continue;
        }
        *at = fetch->next;
        free(fetch);
    }
}
