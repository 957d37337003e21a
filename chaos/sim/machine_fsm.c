/* What node/state.c is to autonomyd, without threads and views that outlive a switch: one open store a node,
 * in "/node3/state.0" of the simulated disk. */
#include "chaos/sim/machine_fsm.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/disk.h"
#include "base/kv.h"
#include "chaos/sim/commands.h"
#include "chaos/sim/mutants.h"

#define PATH_BYTES    80u
#define FLUSH_ENTRIES 256u /* applied since the last flush: a node flushes now and then (node/flush.c) */

struct state {
    struct cluster_node *node;
    struct fsm *fsm;
    char folder[PATH_BYTES];
    const char *opening; /* the folder's name, while stale ones are removed */
    char cluster_id[CLUSTER_ID_BYTES];
    uint64_t generation;
    uint32_t unflushed;
};

struct fsm *cluster_fsm_of(const struct cluster_node *node)
{
    const struct state *state = node->state;
    return state == NULL ? NULL : state->fsm;
}

static void path_of(const struct cluster_node *node, const char *folder, char out[PATH_BYTES])
{
    snprintf(out, PATH_BYTES, "%s%s", node->disk, folder);
}

/* --- what consensus asks for
 * ------------------------------------------------------------------------------------------ */

/* A failure is nobody's business: the log has it all. */
static void flush_sometimes(struct cluster_node *node, uint32_t count)
{
    struct state *state = node->state;
    struct error error = {0};

    state->unflushed += count;
    if (state->unflushed < FLUSH_ENTRIES || cluster_random(node->cluster, 8) != 0)
        return;
    enum error_code code = fsm_flush(state->fsm, &error);
    if (code == ERROR_OK)
        state->unflushed = 0;
}

static enum error_code machine_apply(void *context, const struct entry *entries, uint32_t count,
                                     struct result *results, struct error *error)
{
    struct cluster_node *node = context;
    const struct cluster_watch *watch = &node->cluster->options.watch;

    if (cluster_store_busy(node))
        return error_set(error, ERROR_BUSY, "the store is busy");
    enum error_code code = fsm_apply(cluster_fsm_of(node), entries, count, results, error);
    if (code != ERROR_OK)
        return code;
    if (mutant_is("answers-mixed-up") && count > 1) {
        const struct result first = results[0];
        results[0] = results[1];
        results[1] = first;
    }
    for (uint32_t i = 0; i < count; i++)
        cluster_compare(node, &entries[i], 0);
    flush_sometimes(node, count);
    if (watch->applied != NULL)
        watch->applied(watch->context, node->number, entries, count, results);
    return ERROR_OK;
}

static void describe(const struct fsm *fsm, struct machine_state *out)
{
    struct fsm_state state;

    fsm_describe(fsm, &state);
    *out = (struct machine_state){.generation = state.generation,
                                  .index = state.index,
                                  .term = state.term,
                                  .configuration_index = state.configuration_index,
                                  .configuration_bytes = state.configuration.bytes,
                                  .schema = state.schema};
    memcpy(out->cluster_id, state.cluster_id, sizeof out->cluster_id);
    if (state.configuration.bytes > 0)
        memcpy(out->configuration, state.configuration.data, state.configuration.bytes);
    memcpy(out->digest, state.digest, sizeof out->digest);
}

static void machine_describe(void *context, struct machine_state *out)
{
    describe(cluster_fsm_of(context), out);
}

static enum error_code machine_flush(void *context, struct error *error)
{
    struct cluster_node *node = context;

    node->cluster->flushes++;
    if (mutant_is("snapshot-before-flush"))
        return ERROR_OK;
    return fsm_flush(cluster_fsm_of(node), error);
}

static void machine_elected(void *context, uint64_t node_id, uint64_t term, const char *cause,
                            uint64_t wall_ms, struct bytes *command)
{
    char json[200];

    (void)context;
    snprintf(json, sizeof json,
             "{\"node_id\": %" PRIu64 ", \"term\": %" PRIu64
             ", \"cause\": \"%s\", \"version\": \"0.1.0\", \"level\": %u}",
             node_id, term, cause, FSM_LEVEL);
    sim_command("leader.elected", "", "system", wall_ms, json, command);
}

static enum error_code machine_install(void *context, const char *folder, struct error *error)
{
    struct cluster_node *node = context;
    struct state *state = node->state;
    struct fsm *next = NULL;
    char path[PATH_BYTES];

    path_of(node, folder, path);
    enum error_code code = fsm_open(path, true, &next, error);
    if (code == ERROR_OK)
        code = fsm_identify(next, state->cluster_id, state->generation, error);
    if (code != ERROR_OK) {
        fsm_close(next);
        return code;
    }
    fsm_close(state->fsm);
    code = kv_destroy(state->folder, error);
    state->fsm = next;
    memcpy(state->folder, path, sizeof path);
    node->cluster->installs++;
    return code;
}

static bool machine_is_removed(void *context, uint64_t node_id)
{
    const struct cluster_node *node = context;
    const struct cluster_watch *watch = &node->cluster->options.watch;

    return watch->is_removed != NULL && watch->is_removed(watch->context, node->number, node_id);
}

static struct machine fsm_interface(struct cluster_node *node)
{
    return (struct machine){.context = node,
                            .apply = machine_apply,
                            .describe = machine_describe,
                            .flush = machine_flush,
                            .elected = machine_elected,
                            .fetch = cluster_fetch,
                            .install = machine_install,
                            .is_removed = machine_is_removed};
}

/* --- its life
 * ---------------------------------------------------------------------------------------------------------
 */

struct stale {
    struct cluster_node *node;
    const char *current;
    char found[8][PATH_BYTES];
    uint32_t count;
};

static void note_stale(void *context, const char *name)
{
    struct stale *stale = context;

    if (strncmp(name, "state.", 6) != 0 || strcmp(name, stale->current) == 0)
        return;
    CHECK(stale->count < 8, "%u stale stores", stale->count);
    path_of(stale->node, name, stale->found[stale->count++]);
}

static enum error_code remove_stale(struct cluster_node *node, const char *current, struct error *error)
{
    struct stale stale = {.node = node, .current = current};
    char folder[PATH_BYTES];

    snprintf(folder, sizeof folder, "%.*s", (int)strlen(node->disk) - 1, node->disk);
    enum error_code code = disk_list(folder, note_stale, &stale, error);
    for (uint32_t i = 0; i < stale.count && code == ERROR_OK; i++)
        code = disk_remove(stale.found[i], error);
    return code;
}

static enum error_code fsm_machine_open(struct cluster_node *node, const char *folder, struct error *error)
{
    if (node->state == NULL)
        node->state = memory_zero(1, sizeof(struct state));
    struct state *state = node->state;
    CHECK(state->fsm == NULL, "node %u is open", node->number);
    enum error_code code = remove_stale(node, folder, error);
    path_of(node, folder, state->folder);
    return code == ERROR_OK ? fsm_open(state->folder, true, &state->fsm, error) : code;
}

static enum error_code fsm_machine_identify(struct cluster_node *node, const char *cluster_id,
                                            uint64_t generation, struct error *error)
{
    struct state *state = node->state;

    snprintf(state->cluster_id, sizeof state->cluster_id, "%s", cluster_id);
    state->generation = generation;
    return fsm_identify(state->fsm, cluster_id, generation, error);
}

static void fsm_machine_close(struct cluster_node *node, bool crashed)
{
    struct state *state = node->state;
    struct error error = {0};

    if (state == NULL)
        return;
    enum error_code code = crashed ? ERROR_OK : fsm_flush(state->fsm, &error);
    (void)code; /* the log has it all */
    fsm_close(state->fsm);
    state->fsm = NULL;
}

static void fsm_machine_wipe(struct cluster_node *node)
{
    struct state *state = node->state;
    struct error error = {0};

    CHECK(kv_destroy(state->folder, &error) == ERROR_OK, "%s", error.message);
}

static void fsm_machine_free(struct cluster_node *node)
{
    free(node->state);
    node->state = NULL;
}

static uint64_t fsm_machine_applied(const struct cluster_node *node)
{
    struct fsm_state state;

    if (cluster_fsm_of(node) == NULL)
        return 0;
    fsm_describe(cluster_fsm_of(node), &state);
    return state.index;
}

/* Planted bugs: requests don't come along; a bit flips on the way, and nobody looks. */
static enum error_code spoil_copy(const char *path, struct error *error)
{
    struct kv *kv = NULL;
    const struct kv_options options = {0};
    enum error_code code = ERROR_OK;

    if (!mutant_is("requests-lost-at-snapshot") && !mutant_is("digest-not-checked"))
        return ERROR_OK;
    code = kv_open(path, &options, &kv, error);
    if (code != ERROR_OK)
        return code;
    struct kv_batch *batch = kv_batch_new();
    struct span key, value;
    if (mutant_is("requests-lost-at-snapshot")) {
        kv_batch_delete_range(batch, span_text("R"), span_text("S"));
        kv_batch_delete_range(batch, span_text("r"), span_text("s"));
    } else {
        struct kv_iterator *flags = kv_iterate(kv, NULL, span_text("f"), span_text("g"), false);
        if (kv_iterator_next(flags, &key, &value) && value.bytes > 0) {
            struct bytes flipped;
            bytes_init(&flipped, 0);
            bytes_append(&flipped, value.data, value.bytes);
            flipped.data[flipped.length - 1] ^= 1;
            kv_batch_put(batch, key, bytes_span(&flipped));
            bytes_done(&flipped);
        }
        code = kv_iterator_close(flags, error);
    }
    if (code == ERROR_OK)
        code = kv_write(kv, batch, (struct kv_write_options){0}, error);
    kv_batch_free(batch);
    kv_close(kv);
    return code;
}

/* As a transfer does: the copy is opened once, says of itself what it is, and is verified. */
static enum error_code fsm_machine_copy(struct cluster_node *node, const char *folder,
                                        struct cluster_node *source, struct machine_state *out,
                                        struct error *error)
{
    struct fsm *copy = NULL;
    char path[PATH_BYTES];

    path_of(node, folder, path);
    enum error_code code = disk_remove(path, error);
    if (code == ERROR_OK)
        code = fsm_checkpoint(cluster_fsm_of(source), path, error);
    if (code == ERROR_OK)
        code = spoil_copy(path, error);
    if (code == ERROR_OK)
        code = fsm_open(path, false, &copy, error);
    if (code != ERROR_OK)
        return code;
    describe(copy, out);
    code = fsm_verify(copy, error);
    fsm_close(copy);
    return code;
}

const struct cluster_machine cluster_fsm = {.interface = fsm_interface,
                                            .open = fsm_machine_open,
                                            .identify = fsm_machine_identify,
                                            .close = fsm_machine_close,
                                            .wipe = fsm_machine_wipe,
                                            .free = fsm_machine_free,
                                            .applied = fsm_machine_applied,
                                            .copy = fsm_machine_copy};
