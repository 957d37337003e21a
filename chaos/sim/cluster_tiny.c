/* The state machine of the schedule tests: it remembers every entry, and compares with what others have
 * applied. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/hash.h"
#include "chaos/sim/cluster_internal.h"

static struct store *store_new(const char *folder)
{
    struct store *store = memory_zero(1, sizeof *store);

    snprintf(store->folder, sizeof store->folder, "%s", folder);
    store->records = memory_zero(CLUSTER_INDEX_MAX, sizeof *store->records);
    store->changes = memory_zero(CLUSTER_INDEX_MAX / 64, sizeof *store->changes);
    return store;
}

static void store_free(struct store *store)
{
    for (uint32_t i = 0; i < store->change_count; i++)
        bytes_done(&store->changes[i].payload);
    free(store->changes);
    free(store->records);
    free(store);
}

static void store_cut(struct store *store, uint64_t count)
{
    store->count = count;
    while (store->change_count > 0 && store->changes[store->change_count - 1].index > count)
        bytes_done(&store->changes[--store->change_count].payload);
}

static void store_change(struct store *store, uint64_t index, struct span payload)
{
    CHECK(store->change_count < CLUSTER_INDEX_MAX / 64, "%u configurations", store->change_count);
    store->changes[store->change_count].index = index;
    bytes_init(&store->changes[store->change_count].payload, 0);
    bytes_append(&store->changes[store->change_count++].payload, payload.data, payload.bytes);
}

static struct store *find_store(struct cluster_node *node, const char *folder)
{
    for (uint32_t i = 0; i < node->store_count; i++)
        if (strcmp(node->stores[i]->folder, folder) == 0)
            return node->stores[i];
    return NULL;
}

void cluster_open_store(struct cluster_node *node, const char *folder)
{
    node->store = find_store(node, folder);
    if (node->store == NULL) {
        CHECK(node->store_count < CLUSTER_STORES_MAX, "%u stores", node->store_count);
        node->store = store_new(folder);
        node->stores[node->store_count++] = node->store;
    }
    /* Others are left from interrupted transfers. */
    for (uint32_t i = node->store_count; i > 0; i--) {
        if (node->stores[i - 1] == node->store)
            continue;
        store_free(node->stores[i - 1]);
        node->stores[i - 1] = node->stores[--node->store_count];
    }
}

void cluster_free_stores(struct cluster_node *node)
{
    for (uint32_t i = 0; i < node->store_count; i++)
        store_free(node->stores[i]);
    node->store_count = 0;
    node->store = NULL;
}

/* A power cut keeps what was flushed, and perhaps more, always a prefix. */
void cluster_crash_stores(struct cluster_node *node)
{
    struct store *store = node->store;
    uint64_t kept = store->flushed + cluster_random(node->cluster, store->count - store->flushed + 1);

    store_cut(store, kept);
}

/* Every node must apply the same at one index, always. */
static void compare(struct cluster_node *node, uint64_t index, const struct record *record)
{
    struct cluster *self = node->cluster;
    struct record *known = &self->committed[index];

    CHECK(index < CLUSTER_INDEX_MAX, "index %" PRIu64, index);
    if (known->type == 0) {
        *known = *record;
        if (index > self->committed_last)
            self->committed_last = index;
        if (record->id == 0)
            return;
        struct proposal_note *note = &self->proposals[record->id];
        if (note->committed != 0)
            cluster_report(self, "proposal %" PRIu64 " is at %" PRIu64 " and at %" PRIu64, record->id,
                           note->committed, index);
        if (note->fate == CLUSTER_REFUSED)
            cluster_report(self, "proposal %" PRIu64 " was refused and is at %" PRIu64, record->id, index);
        note->committed = index;
    } else if (known->type != record->type || known->term != record->term || known->hash != record->hash) {
        cluster_report(self,
                       "node %u applied at %" PRIu64 " term %" PRIu64
                       " hash %08x; before it was term %" PRIu64 " hash %08x",
                       node->number, index, record->term, record->hash, known->term, known->hash);
    }
}

static enum error_code machine_apply(void *context, const struct entry *entries, uint32_t count,
                                     struct result *results, struct error *error)
{
    struct cluster_node *node = context;
    struct store *store = node->store;

    if (cluster_random(node->cluster, 200) == 0)
        return error_set(error, ERROR_BUSY, "the store is busy");
    for (uint32_t i = 0; i < count; i++) {
        const struct entry *entry = &entries[i];
        struct record *record = &store->records[store->count];
        if (entry->index != store->count + 1)
            cluster_report(node->cluster, "node %u applied %" PRIu64 " after %" PRIu64, node->number,
                           entry->index, store->count);
        *record = (struct record){.term = entry->term,
                                  .type = (uint8_t)entry->type,
                                  .hash = crc32c(0, entry->data.data, entry->data.bytes)};
        if (entry->type == ENTRY_COMMAND && entry->data.bytes >= 9 &&
            ((const uint8_t *)entry->data.data)[0] == 'P')
            record->id = get_u64((const uint8_t *)entry->data.data + 1);
        else if (entry->type == ENTRY_COMMAND)
            snprintf(node->last_elected, sizeof node->last_elected, "%.*s", (int)entry->data.bytes,
                     (const char *)entry->data.data);
        store->count++;
        if (entry->type == ENTRY_CHANGE)
            store_change(store, entry->index, entry->data);
        compare(node, entry->index, record);
        results[i] = (struct result){.index = entry->index};
    }
    return ERROR_OK;
}

static void describe(const struct cluster *self, const struct store *store, struct machine_state *out)
{
    *out = (struct machine_state){.generation = 1, .index = store->count, .schema = 1};
    memcpy(out->cluster_id, self->cluster_id, sizeof out->cluster_id);
    if (store->count > 0)
        out->term = store->records[store->count - 1].term;
    if (store->change_count == 0)
        return;
    const struct bytes *payload = &store->changes[store->change_count - 1].payload;
    out->configuration_index = store->changes[store->change_count - 1].index;
    memcpy(out->configuration, payload->data, payload->length);
    out->configuration_bytes = payload->length;
}

static void machine_describe(void *context, struct machine_state *out)
{
    const struct cluster_node *node = context;
    describe(node->cluster, node->store, out);
}

static enum error_code machine_flush(void *context, struct error *error)
{
    struct cluster_node *node = context;

    (void)error;
    if (node->crashing)
        return ERROR_OK;
    node->store->flushed = node->store->count;
    node->cluster->flushes++;
    return ERROR_OK;
}

static void machine_elected(void *context, uint64_t node_id, uint64_t term, const char *cause,
                            uint64_t wall_ms, struct bytes *command)
{
    (void)context;
    (void)wall_ms;
    bytes_printf(command, "%016" PRIx64 " %" PRIu64 " %s", node_id, term, cause);
}

static void machine_fetch(void *context, const char *folder, uint64_t index_min,
                          void (*done)(void *done_context, const struct machine_state *state,
                                       const struct error *error),
                          void *done_context)
{
    struct cluster_node *node = context;
    struct fetch *fetch = memory_zero(1, sizeof *fetch);

    *fetch = (struct fetch){.next = node->cluster->fetches,
                            .due_ms = node->cluster->now_ms + 1 + cluster_random(node->cluster, 100),
                            .life = node->life,
                            .index_min = index_min,
                            .node = node,
                            .done = done,
                            .context = done_context};
    snprintf(fetch->folder, sizeof fetch->folder, "%s", folder);
    node->cluster->fetches = fetch;
}

static enum error_code machine_install(void *context, const char *folder, struct error *error)
{
    struct cluster_node *node = context;
    struct store *store = find_store(node, folder);

    if (store == NULL)
        return error_set(error, ERROR_NOT_FOUND, "no folder %s", folder);
    node->store = store;
    node->cluster->installs++;
    return ERROR_OK;
}

struct machine cluster_machine(struct cluster_node *node)
{
    return (struct machine){.context = node,
                            .apply = machine_apply,
                            .describe = machine_describe,
                            .flush = machine_flush,
                            .elected = machine_elected,
                            .fetch = machine_fetch,
                            .install = machine_install};
}

/* --- state transfers
 * ------------------------------------------------------------------------------------------------- */

uint64_t cluster_fetch_next_ms(const struct cluster *self)
{
    uint64_t at_ms = UINT64_MAX;

    for (const struct fetch *fetch = self->fetches; fetch != NULL; fetch = fetch->next)
        if (fetch->due_ms < at_ms)
            at_ms = fetch->due_ms;
    return at_ms;
}

/* Any other node that has applied enough may serve. */
static const struct store *find_source(struct cluster *self, const struct fetch *fetch)
{
    uint32_t start = (uint32_t)cluster_random(self, self->count);

    for (uint32_t i = 0; i < self->count; i++) {
        const struct cluster_node *node = &self->nodes[(start + i) % self->count];
        if (node != fetch->node && node->consensus != NULL && !node->paused &&
            node->store->count >= fetch->index_min)
            return node->store;
    }
    return NULL;
}

static void copy_store(struct cluster_node *node, const char *folder, const struct store *source)
{
    struct store *store = find_store(node, folder);

    if (store == NULL) {
        CHECK(node->store_count < CLUSTER_STORES_MAX, "%u stores", node->store_count);
        store = node->stores[node->store_count++] = store_new(folder);
    }
    store_cut(store, 0);
    memcpy(store->records, source->records, source->count * sizeof *source->records);
    store->count = store->flushed = source->count;
    for (uint32_t i = 0; i < source->change_count; i++)
        store_change(store, source->changes[i].index, bytes_span(&source->changes[i].payload));
}

static void finish_fetch(struct cluster *self, struct fetch *fetch)
{
    const struct store *source = find_source(self, fetch);
    struct machine_state state;
    struct error error = {0};

    if (fetch->life != fetch->node->life || fetch->node->consensus == NULL)
        return;
    if (source == NULL) {
        error_set(&error, ERROR_UNAVAILABLE, "no node has applied %" PRIu64, fetch->index_min);
        fetch->done(fetch->context, NULL, &error);
        return;
    }
    copy_store(fetch->node, fetch->folder, source);
    describe(self, source, &state);
    fetch->done(fetch->context, &state, NULL);
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
