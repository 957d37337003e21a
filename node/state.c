#include "node/state.h"

#include <jansson.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/disk.h"
#include "base/kv.h"
#include "base/logger.h"
#include "node/version.h"

#define COMMAND_ARENA_BYTES (1024u * 1024u)
#define REMOVED_MAX         1024u /* ids remembered between two looks; past it every look reads the store */
#define REMOVED_REFRESH_MS  200u  /* handshakes ask often, members leave seldom */
#define PATH_BYTES          1200u

struct state_hold { /* one store and how many hold it */
    struct state_hold *next;
    struct fsm *fsm;
    char folder[PATH_BYTES];
    uint32_t count; /* views, workers, and one for being current */
    bool replaced;  /* its folder goes with its last reader */
};

struct open_view {
    struct open_view *next;
    struct view *view;
    struct state_hold *hold;
};

struct state {
    struct state_options options;
    char data_dir[1024];
    const char *opening; /* the folder, while state_open() runs */
    char cluster_id[CLUSTER_ID_BYTES];
    uint64_t generation;

    pthread_mutex_t lock; /* guards what follows */
    struct state_hold *current;
    struct open_view *views;

    /* is_removed(): the loop thread's */
    uint64_t removed[REMOVED_MAX];
    uint32_t removed_count;
    uint64_t removed_index, removed_at_ms;
    struct histogram apply_us; /* the loop thread's, too */
};

/* --- holding stores
 * ------------------------------------------------------------------------------------------------ */

struct state_hold *state_hold(struct state *self)
{
    pthread_mutex_lock(&self->lock);
    struct state_hold *hold = self->current;
    hold->count++;
    pthread_mutex_unlock(&self->lock);
    return hold;
}

struct fsm *state_held(struct state_hold *hold)
{
    return hold->fsm;
}

void state_release(struct state *self, struct state_hold *hold)
{
    struct error error = {0};
    pthread_mutex_lock(&self->lock);
    CHECK(hold->count > 0, "%s is held", hold->folder);
    bool last = --hold->count == 0;
    pthread_mutex_unlock(&self->lock);
    if (!last)
        return;
    fsm_close(hold->fsm);
    if (hold->replaced && kv_destroy(hold->folder, &error) != ERROR_OK)
        log_warn("state", "replaced store not removed", "folder=%s error=\"%s\"", hold->folder,
                 error.message);
    free(hold);
}

struct view *state_view(struct state *self)
{
    struct open_view *entry = memory_zero(1, sizeof *entry);
    entry->hold = state_hold(self);
    entry->view = view_open(entry->hold->fsm);
    struct view *view = entry->view;
    pthread_mutex_lock(&self->lock);
    entry->next = self->views;
    self->views = entry;
    pthread_mutex_unlock(&self->lock);
    return view;
}

void state_view_close(struct state *self, struct view *view)
{
    if (!view)
        return;
    pthread_mutex_lock(&self->lock);
    struct open_view **link = &self->views;
    while (*link && (*link)->view != view)
        link = &(*link)->next;
    struct open_view *entry = *link;
    CHECK(entry != NULL, "a view is closed once");
    *link = entry->next;
    pthread_mutex_unlock(&self->lock);
    view_close(view);
    state_release(self, entry->hold);
    free(entry);
}

/* --- what consensus asks for
 * ------------------------------------------------------------------------------------------ */

static enum error_code machine_apply(void *context, const struct entry *entries, uint32_t count,
                                     struct result *results, struct error *error)
{
    struct state *self = context;
    CHECK(self->current != NULL, "the store is open before consensus starts");
    uint64_t began_us = clock_monotonic_us();
    enum error_code code = fsm_apply(self->current->fsm, entries, count, results, error);
    if (code == ERROR_INVALID)
        return error_prefix(error,
                            "this build can't apply what the cluster committed; install the version that "
                            "the other nodes run");
    if (code != ERROR_OK)
        return code;
    histogram_add(&self->apply_us, histogram_times_us, clock_monotonic_us() - began_us);
    struct fsm_state state;
    fsm_describe(self->current->fsm, &state);
    const struct fsm_records records = fsm_records(self->current->fsm);
    self->options.on_applied(self->options.context, state.index, state.audit_seq, &records);
    return ERROR_OK;
}

const struct histogram *state_apply_times(const struct state *self)
{
    return &self->apply_us;
}

static void machine_describe(void *context, struct machine_state *out)
{
    struct state *self = context;
    struct fsm_state state;
    fsm_describe(self->current->fsm, &state);
    *out = (struct machine_state){.generation = state.generation,
                                  .index = state.index,
                                  .term = state.term,
                                  .configuration_index = state.configuration_index,
                                  .configuration_bytes = state.configuration.bytes,
                                  .schema = state.schema};
    memcpy(out->cluster_id, state.cluster_id, sizeof out->cluster_id);
    CHECK(state.configuration.bytes <= sizeof out->configuration, "a configuration of %zu bytes",
          state.configuration.bytes);
    if (state.configuration.bytes > 0)
        memcpy(out->configuration, state.configuration.data, state.configuration.bytes);
    memcpy(out->digest, state.digest, sizeof out->digest);
}

static enum error_code machine_flush(void *context, struct error *error)
{
    struct state *self = context;
    struct state_hold *hold = state_hold(self);
    enum error_code code = fsm_flush(hold->fsm, error);
    state_release(self, hold);
    return code;
}

static void machine_elected(void *context, uint64_t node_id, uint64_t term, const char *cause,
                            uint64_t wall_ms, struct bytes *command)
{
    struct error error = {0};
    size_t start = command->length;
    (void)context;
    json_t *body =
        json_pack("{s:I, s:I, s:s, s:s, s:i}", "node_id", (json_int_t)node_id, "term", (json_int_t)term,
                  "cause", cause, "version", NODE_VERSION, "level", (int)FSM_LEVEL);
    CHECK(command_make("leader.elected", AUDIT_ORCHESTRATOR, "", SYSTEM_PRINCIPAL, body, command, &error) ==
              ERROR_OK,
          "%s", error.message);
    command_stamp(command->data + start, command->length - start, wall_ms, FSM_LEVEL);
}

static void machine_fetch(void *context, const char *folder, uint64_t index_min,
                          void (*done)(void *done_context, const struct machine_state *state,
                                       const struct error *error),
                          void *done_context)
{
    struct state *self = context;
    self->options.fetch(self->options.context, folder, index_min, done, done_context);
}

static struct state_hold *hold_open(struct state *self, const char *folder, struct error *error)
{
    struct state_hold *hold = memory_zero(1, sizeof *hold);
    snprintf(hold->folder, sizeof hold->folder, "%s/%s", self->data_dir, folder);
    hold->count = 1;
    hold->fsm = self->options.take(self->options.context, hold->folder);
    if (hold->fsm || fsm_open(hold->folder, true, &hold->fsm, error) == ERROR_OK)
        return hold;
    free(hold);
    return NULL;
}

static enum error_code machine_install(void *context, const char *folder, struct error *error)
{
    struct state *self = context;
    uint64_t began_us = clock_monotonic_us();
    struct state_hold *next = hold_open(self, folder, error);
    if (!next)
        return error->code;
    if (self->cluster_id[0] != 0 &&
        fsm_identify(next->fsm, self->cluster_id, self->generation, error) != ERROR_OK) {
        fsm_close(next->fsm);
        free(next);
        return error->code;
    }
    struct state_hold *old = self->current;
    pthread_mutex_lock(&self->lock);
    self->current = next;
    old->replaced = true;
    pthread_mutex_unlock(&self->lock);
    self->options.retire(self->options.context, old);
    struct fsm_state state;
    fsm_describe(next->fsm, &state);
    log_info("state", "installed", "folder=%s index=%llu us=%llu", folder, (unsigned long long)state.index,
             (unsigned long long)(clock_monotonic_us() - began_us));
    self->options.on_applied(self->options.context, state.index, state.audit_seq, NULL);
    return ERROR_OK;
}

static void removed_refresh(struct state *self)
{
    struct view *view = state_view(self);
    struct arena arena;
    struct member_info *members = NULL;
    struct error error = {0};
    uint32_t count = 0;
    arena_init(&arena, 16u << 20);
    if (view_member_list(view, &arena, &members, &count, &error) == ERROR_OK) {
        self->removed_count = 0;
        self->removed_index = view_index(view);
        for (uint32_t i = 0; i < count && self->removed_count < REMOVED_MAX; i++)
            if (members[i].removed)
                self->removed[self->removed_count++] = members[i].node_id;
    }
    arena_done(&arena);
    state_view_close(self, view);
}

static bool machine_is_removed(void *context, uint64_t node_id)
{
    struct state *self = context;
    struct fsm_state state;
    uint64_t now = self->options.clock.monotonic_ms(self->options.clock.context);
    fsm_describe(self->current->fsm, &state);
    if (state.index != self->removed_index &&
        (self->removed_at_ms == 0 || now >= self->removed_at_ms + REMOVED_REFRESH_MS)) {
        self->removed_at_ms = now;
        removed_refresh(self);
    }
    for (uint32_t i = 0; i < self->removed_count; i++)
        if (self->removed[i] == node_id)
            return true;
    return false;
}

struct machine state_machine(struct state *self)
{
    return (struct machine){.context = self,
                            .apply = machine_apply,
                            .describe = machine_describe,
                            .flush = machine_flush,
                            .elected = machine_elected,
                            .fetch = machine_fetch,
                            .install = machine_install,
                            .is_removed = machine_is_removed};
}

/* --- open and close
 * ------------------------------------------------------------------------------------------------------ */

static void remove_if_stale(void *context, const char *name)
{
    struct state *self = context;
    char path[PATH_BYTES];
    struct error error = {0};
    bool is_state = strncmp(name, "state.", 6) == 0 && strcmp(name, self->opening) != 0;
    if (!is_state && strcmp(name, "checkpoints") != 0)
        return;
    snprintf(path, sizeof path, "%s/%s", self->data_dir, name);
    if (disk_remove(path, &error) == ERROR_OK)
        log_info("state", "removed what an earlier run left", "folder=%s", path);
    else
        log_warn("state", "stale folder not removed", "folder=%s error=\"%s\"", path, error.message);
}

struct state *state_new(const struct state_options *options)
{
    struct state *self = memory_zero(1, sizeof *self);
    self->options = *options;
    snprintf(self->data_dir, sizeof self->data_dir, "%s", options->data_dir);
    CHECK(pthread_mutex_init(&self->lock, NULL) == 0, "a mutex needs only memory");
    return self;
}

void state_free(struct state *self)
{
    if (!self)
        return;
    CHECK(self->current == NULL, "the store is closed before");
    pthread_mutex_destroy(&self->lock);
    free(self);
}

enum error_code state_open(struct state *self, const char *folder, struct error *error)
{
    CHECK(self->current == NULL, "opened once");
    self->opening = folder;
    enum error_code code = disk_list(self->data_dir, remove_if_stale, self, error);
    if (code == ERROR_OK && !(self->current = hold_open(self, folder, error)))
        code = error->code;
    if (code != ERROR_CORRUPT)
        return code;
    char said[ERROR_MESSAGE_BYTES];
    snprintf(said, sizeof said, "%s", error->message);
    return error_set(
        error, code,
        "%.250s; to go on: mv %s/%s %s/damaged.%s and start again, the log or another node fills a new store",
        said, self->data_dir, folder, self->data_dir, folder);
}

enum error_code state_identify(struct state *self, const char *cluster_id, uint64_t generation,
                               struct error *error)
{
    snprintf(self->cluster_id, sizeof self->cluster_id, "%s", cluster_id);
    self->generation = generation;
    return fsm_identify(self->current->fsm, cluster_id, generation, error);
}

void state_describe(const struct state *self, struct fsm_state *out)
{
    fsm_describe(self->current->fsm, out);
}

void state_close(struct state *self)
{
    struct error error = {0};
    if (!self || !self->current)
        return;
    CHECK(self->views == NULL, "every view is closed before the state is");
    CHECK(self->current->count == 1, "%u hold the store", self->current->count);
    if (fsm_flush(self->current->fsm, &error) != ERROR_OK)
        log_warn("state", "flush failed", "error=\"%s\"", error.message); /* the log has it all */
    state_release(self, self->current);
    self->current = NULL;
}

/* --- commands of the node itself
 * ------------------------------------------------------------------------------------------- */

enum error_code command_make(const char *name, enum audit_source source, const char *request_id,
                             const char *principal, struct json_t *body, struct bytes *out,
                             struct error *error)
{
    const struct command_type *type = command_by_name(name);
    CHECK(type != NULL, "\"%s\" is a command", name);
    CHECK(body != NULL, "\"%s\" has a body", name);
    struct arena arena;
    arena_init(&arena, COMMAND_ARENA_BYTES);
    void *record = arena_new(&arena, type->schema->bytes);
    enum error_code code = schema_from_json(type->schema, body, &arena, record, error);
    if (code == ERROR_OK)
        code = command_encode_from(type, source, request_id, principal, 0, record, out, error);
    arena_done(&arena);
    json_decref(body);
    return code;
}
