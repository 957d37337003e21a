/* The state machine of the schedule tests: it remembers every entry. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/hash.h"
#include "chaos/sim/cluster_tiny.h"

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

static struct tiny *tiny_of(const struct cluster_node *node)
{
    return node->state;
}

static struct store *find_store(struct tiny *tiny, const char *folder)
{
    for (uint32_t i = 0; i < tiny->store_count; i++)
        if (strcmp(tiny->stores[i]->folder, folder) == 0)
            return tiny->stores[i];
    return NULL;
}

static struct store *make_store(struct tiny *tiny, const char *folder)
{
    struct store *store = find_store(tiny, folder);

    if (store == NULL) {
        CHECK(tiny->store_count < CLUSTER_STORES_MAX, "%u stores", tiny->store_count);
        store = store_new(folder);
        tiny->stores[tiny->store_count++] = store;
    }
    return store;
}

static enum error_code tiny_open(struct cluster_node *node, const char *folder, struct error *error)
{
    (void)error;
    if (node->state == NULL)
        node->state = memory_zero(1, sizeof(struct tiny));
    struct tiny *tiny = node->state;
    tiny->store = make_store(tiny, folder);
    for (uint32_t i = tiny->store_count; i > 0; i--) {
        if (tiny->stores[i - 1] == tiny->store)
            continue;
        store_free(tiny->stores[i - 1]);
        tiny->stores[i - 1] = tiny->stores[--tiny->store_count];
    }
    return ERROR_OK;
}

static void tiny_wipe(struct cluster_node *node)
{
    struct tiny *tiny = node->state;

    for (uint32_t i = 0; i < tiny->store_count; i++)
        store_free(tiny->stores[i]);
    *tiny = (struct tiny){0};
}

static void tiny_free(struct cluster_node *node)
{
    if (node->state == NULL)
        return;
    tiny_wipe(node);
    free(node->state);
    node->state = NULL;
}

/* A power cut keeps what was flushed, and perhaps more, always a prefix. */
static void tiny_close(struct cluster_node *node, bool crashed)
{
    struct store *store = tiny_of(node)->store;

    if (crashed)
        store_cut(store, store->flushed + cluster_random(node->cluster, store->count - store->flushed + 1));
    else
        store->flushed = store->count;
}

static uint64_t tiny_applied(const struct cluster_node *node)
{
    return node->state == NULL || tiny_of(node)->store == NULL ? 0 : tiny_of(node)->store->count;
}

static enum error_code machine_apply(void *context, const struct entry *entries, uint32_t count,
                                     struct result *results, struct error *error)
{
    struct cluster_node *node = context;
    struct store *store = tiny_of(node)->store;

    if (cluster_store_busy(node))
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
        cluster_compare(node, entry, record->id);
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
    describe(node->cluster, tiny_of(node)->store, out);
}

static enum error_code machine_flush(void *context, struct error *error)
{
    struct cluster_node *node = context;

    (void)error;
    if (node->crashing)
        return ERROR_OK;
    tiny_of(node)->store->flushed = tiny_of(node)->store->count;
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

static enum error_code machine_install(void *context, const char *folder, struct error *error)
{
    struct cluster_node *node = context;
    struct store *store = find_store(node->state, folder);

    if (store == NULL)
        return error_set(error, ERROR_NOT_FOUND, "no folder %s", folder);
    tiny_of(node)->store = store;
    node->cluster->installs++;
    return ERROR_OK;
}

static struct machine tiny_interface(struct cluster_node *node)
{
    return (struct machine){.context = node,
                            .apply = machine_apply,
                            .describe = machine_describe,
                            .flush = machine_flush,
                            .elected = machine_elected,
                            .fetch = cluster_fetch,
                            .install = machine_install};
}

static enum error_code tiny_copy(struct cluster_node *node, const char *folder,
                                 struct cluster_node *source_node, struct machine_state *out,
                                 struct error *error)
{
    const struct store *source = tiny_of(source_node)->store;
    struct store *store = make_store(node->state, folder);

    (void)error;
    store_cut(store, 0);
    memcpy(store->records, source->records, source->count * sizeof *source->records);
    store->count = store->flushed = source->count;
    for (uint32_t i = 0; i < source->change_count; i++)
        store_change(store, source->changes[i].index, bytes_span(&source->changes[i].payload));
    describe(node->cluster, source, out);
    return ERROR_OK;
}

const struct cluster_machine cluster_tiny = {.interface = tiny_interface,
                                             .open = tiny_open,
                                             .close = tiny_close,
                                             .wipe = tiny_wipe,
                                             .free = tiny_free,
                                             .applied = tiny_applied,
                                             .copy = tiny_copy};
