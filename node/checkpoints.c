#include "node/checkpoints.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "base/disk.h"
#include "base/hash.h"
#include "base/logger.h"
#include "base/worker.h"

#define PATH_BYTES 1300u

struct checkpoint {
    struct worker_job job;
    struct checkpoint *next;
    struct checkpoints *owner;
    char id[33], folder[PATH_BYTES];
    json_t *manifest; /* once made; not changed afterwards */
    uint64_t read_ms;
    bool ready, removing;
    struct error error;
    void (*done)(void *context, const struct json_t *manifest, const struct error *error);
    void *context;
};

struct checkpoints {
    char folder[1100];
    struct state *state;
    struct worker *worker;
    struct clock clock;
    uint32_t count;       /* the loop's, removing ones included */
    pthread_mutex_t lock; /* guards the list, read_ms, ready */
    struct checkpoint *list;
};

static uint64_t now_of(const struct checkpoints *self)
{
    return self->clock.monotonic_ms(self->clock.context);
}

/* --- making one: on the worker
 * -------------------------------------------------------------------------------------------- */

struct listing {
    struct checkpoint *checkpoint;
    json_t *files;
};

/** RocksDB's own lock and chatter are not part of the state. */
static bool is_state_file(const char *name)
{
    return name[0] != '.' && strcmp(name, "LOCK") != 0 && strncmp(name, "LOG", 3) != 0;
}

static void list_file(void *context, const char *name)
{
    struct listing *listing = context;
    struct checkpoint *checkpoint = listing->checkpoint;
    char path[PATH_BYTES + 256], hex[2 * DIGEST_BYTES + 1];
    uint8_t buffer[65536], digest[DIGEST_BYTES];
    uint64_t bytes = 0;
    ssize_t count = 0;
    if (!is_state_file(name) || checkpoint->error.code != ERROR_OK)
        return;
    snprintf(path, sizeof path, "%s/%s", checkpoint->folder, name);
    int file = open(path, O_RDONLY | O_CLOEXEC);
    struct hash *hash = hash_new();
    while (file >= 0 && (count = read(file, buffer, sizeof buffer)) > 0) {
        hash_update(hash, buffer, (size_t)count);
        bytes += (uint64_t)count;
    }
    hash_finish(hash, digest);
    hash_free(hash);
    if (file < 0 || count < 0)
        (void)error_set(&checkpoint->error, ERROR_IO, "checkpoint: %s: %s", path, strerror(errno));
    if (file >= 0)
        close(file);
    hex_encode(digest, DIGEST_BYTES, hex);
    json_array_append_new(listing->files, json_pack("{s:s, s:I, s:s}", "name", name, "bytes",
                                                    (json_int_t)bytes, "sha256", hex));
}

/** What the checkpoint says of itself: the store it was made from has moved on. */
static json_t *describe(struct checkpoint *self)
{
    struct fsm *fsm = NULL;
    struct fsm_state state;
    char digest[2 * DIGEST_BYTES + 1];
    if (fsm_open(self->folder, false, &fsm, &self->error) != ERROR_OK)
        return NULL;
    fsm_describe(fsm, &state);
    hex_encode(state.digest, DIGEST_BYTES, digest);
    char *configuration = memory_new(2 * state.configuration.bytes + 1);
    hex_encode(state.configuration.data, state.configuration.bytes, configuration);
    json_t *json = json_pack("{s:s, s:s, s:I, s:I, s:I, s:I, s:s, s:s, s:i}", "checkpoint_id", self->id,
                             "cluster_id", state.cluster_id, "generation", (json_int_t)state.generation,
                             "index", (json_int_t)state.index, "term", (json_int_t)state.term,
                             "configuration_index", (json_int_t)state.configuration_index, "configuration",
                             configuration, "digest", digest, "schema", (int)state.schema);
    free(configuration);
    fsm_close(fsm);
    return json;
}

static void make_work(struct worker_job *job)
{
    struct checkpoint *self = (struct checkpoint *)job;
    struct state_hold *hold = state_hold(self->owner->state);
    enum error_code code = fsm_checkpoint(state_held(hold), self->folder, &self->error);
    state_release(self->owner->state, hold);
    if (code != ERROR_OK)
        return;
    json_t *manifest = describe(self);
    if (!manifest)
        return;
    struct listing listing = {.checkpoint = self, .files = json_array()};
    struct error error = {0};
    if (disk_list(self->folder, list_file, &listing, &error) != ERROR_OK)
        self->error = error;
    json_object_set_new(manifest, "files", listing.files);
    self->manifest = manifest;
}

/* --- the list
 * ------------------------------------------------------------------------------------------------------------------
 */

static void unlink_checkpoint(struct checkpoints *self, struct checkpoint *checkpoint)
{
    pthread_mutex_lock(&self->lock);
    struct checkpoint **link = &self->list;
    while (*link != checkpoint)
        link = &(*link)->next;
    *link = checkpoint->next;
    pthread_mutex_unlock(&self->lock);
}

static void remove_work(struct worker_job *job)
{
    struct checkpoint *self = (struct checkpoint *)job;
    struct error error = {0};
    if (disk_remove(self->folder, &error) != ERROR_OK)
        log_warn("checkpoints", "not removed", "folder=%s error=\"%s\"", self->folder, error.message);
}

static void remove_done(struct worker_job *job)
{
    struct checkpoint *self = (struct checkpoint *)job;
    self->owner->count--;
    json_decref(self->manifest);
    free(self);
}

static void remove_later(struct checkpoint *self)
{
    unlink_checkpoint(self->owner, self);
    self->job = (struct worker_job){.work = remove_work, .done = remove_done};
    worker_submit(self->owner->worker, &self->job);
}

static void make_done(struct worker_job *job)
{
    struct checkpoint *self = (struct checkpoint *)job;
    bool good = self->error.code == ERROR_OK;
    pthread_mutex_lock(&self->owner->lock);
    self->ready = good;
    self->read_ms = now_of(self->owner);
    pthread_mutex_unlock(&self->owner->lock);
    self->done(self->context, good ? self->manifest : NULL, good ? NULL : &self->error);
    if (!good)
        remove_later(self);
}

enum error_code checkpoints_make(struct checkpoints *self,
                                 void (*done)(void *context, const struct json_t *manifest,
                                              const struct error *error),
                                 void *context, struct error *error)
{
    if (self->count >= CHECKPOINTS_MAX)
        return error_set(error, ERROR_BUSY, "%u checkpoints are being fetched already; retry later",
                         self->count);
    if (disk_folder_make(self->folder, error) != ERROR_OK)
        return error->code;
    struct checkpoint *checkpoint = memory_zero(1, sizeof *checkpoint);
    checkpoint->owner = self;
    checkpoint->done = done;
    checkpoint->context = context;
    random_id(checkpoint->id);
    snprintf(checkpoint->folder, sizeof checkpoint->folder, "%s/%s", self->folder, checkpoint->id);
    checkpoint->job = (struct worker_job){.work = make_work, .done = make_done};
    pthread_mutex_lock(&self->lock);
    checkpoint->next = self->list;
    self->list = checkpoint;
    pthread_mutex_unlock(&self->lock);
    self->count++;
    worker_submit(self->worker, &checkpoint->job);
    return ERROR_OK;
}

static bool names(const json_t *manifest, const char *file)
{
    size_t i;
    json_t *row;
    json_array_foreach(json_object_get(manifest, "files"), i, row)
    {
        if (strcmp(json_string_value(json_object_get(row, "name")), file) == 0)
            return true;
    }
    return false;
}

enum error_code checkpoints_file(struct checkpoints *self, const char *checkpoint_id, const char *file,
                                 struct bytes *path, struct error *error)
{
    enum error_code code = ERROR_NOT_FOUND;
    pthread_mutex_lock(&self->lock);
    for (struct checkpoint *at = self->list; at; at = at->next) {
        if (!at->ready || strcmp(at->id, checkpoint_id) != 0 || !names(at->manifest, file))
            continue;
        at->read_ms = now_of(self);
        bytes_printf(path, "%s/%s", at->folder, file);
        code = ERROR_OK;
    }
    pthread_mutex_unlock(&self->lock);
    if (code != ERROR_OK)
        return error_set(error, code, "no file \"%.80s\" of a checkpoint \"%.40s\"; ask for a new checkpoint",
                         file, checkpoint_id);
    return ERROR_OK;
}

void checkpoints_sweep(struct checkpoints *self)
{
    uint64_t now = now_of(self);
    struct checkpoint *stale = NULL;
    pthread_mutex_lock(&self->lock);
    for (struct checkpoint *at = self->list; at && !stale; at = at->next)
        if (at->ready && now >= at->read_ms + CHECKPOINT_UNREAD_MS)
            stale = at;
    pthread_mutex_unlock(&self->lock);
    if (stale)
        remove_later(stale);
}

struct checkpoints *checkpoints_open(const char *data_dir, struct state *state, struct worker *worker,
                                     struct clock clock)
{
    struct checkpoints *self = memory_zero(1, sizeof *self);
    snprintf(self->folder, sizeof self->folder, "%s/checkpoints", data_dir);
    self->state = state;
    self->worker = worker;
    self->clock = clock;
    CHECK(pthread_mutex_init(&self->lock, NULL) == 0, "a mutex needs only memory");
    return self;
}

void checkpoints_close(struct checkpoints *self)
{
    if (!self)
        return;
    while (self->list) {
        struct checkpoint *checkpoint = self->list;
        self->list = checkpoint->next;
        json_decref(checkpoint->manifest);
        free(checkpoint);
    }
    struct error error = {0};
    if (disk_remove(self->folder, &error) != ERROR_OK)
        log_warn("checkpoints", "not removed", "folder=%s error=\"%s\"", self->folder, error.message);
    pthread_mutex_destroy(&self->lock);
    free(self);
}
