#include "node/transfer.h"

#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <uv.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/disk.h"
#include "base/hash.h"
#include "base/logger.h"
#include "base/worker.h"
#include "fsm/fsm.h"

#define MANIFEST_BYTES_MAX  (8u * 1024u * 1024u)
#define FILES_MAX           100000u
#define ATTEMPTS_MAX        5 /* at one file */
#define RETRY_US            200000u
#define CONNECT_TIMEOUT_MS  2000L
#define MANIFEST_TIMEOUT_MS 60000L /* the other side flushes its store meanwhile */
#define SILENCE_BYTES       1L     /* less than so many bytes a second ... */
#define SILENCE_S           15L    /* ... for so long: the source is gone */
#define QUIET_MS            2000u  /* nothing came for so long: is the source alive at all? */
#define ALIVE_TIMEOUT_MS    2000L
#define TOLD_MS             10000u /* between two lines about a state that can't be had */
#define PATH_BYTES          2048u

struct transfer {
    struct worker *worker;
    struct worker_job job;
    struct transfer_request request;
    char *folder;
    bool busy;
    _Atomic bool closing;
    CURL *easy, *question; /* the worker's */
    const char *source;    /* being asked, and ... */
    uint64_t heard_ms;     /* ... when it gave a sign of life */
    curl_off_t heard_bytes;
    bool silent;
    uint64_t told_ms; /* the loop's */
    struct machine_state state;
    struct error error;
    struct fsm *opened; /* what was fetched, until it is taken: the worker's while busy, then the loop's */
    char *opened_folder;
};

/* --- one exchange
 * -------------------------------------------------------------------------------------------------------- */

struct sink { /* where a body goes */
    struct bytes *memory;
    int file;       /* -1: to memory */
    uint64_t from;  /* asked for by range */
    uint64_t bytes; /* of the whole file */
    uint64_t room;  /* that the manifest allows yet */
    CURL *easy;
    int failed; /* errno of a write that did */
};

/** A source that knows no ranges answers 200 with everything: from the beginning, then. */
static bool sink_restart(struct sink *sink)
{
    long status = 0;
    (void)curl_easy_getinfo(sink->easy, CURLINFO_RESPONSE_CODE, &status);
    if (sink->from == 0 || status != 200)
        return true;
    sink->from = 0;
    sink->room = sink->bytes;
    return ftruncate(sink->file, 0) == 0;
}

static size_t on_body(char *data, size_t size, size_t count, void *context)
{
    struct sink *sink = context;
    size_t bytes = size * count;
    if (sink->file < 0) {
        bytes_append(sink->memory, data, bytes);
        return sink->memory->overflow ? 0 : bytes;
    }
    if (!sink_restart(sink) || bytes > sink->room)
        return 0;
    size_t done = 0;
    while (done < bytes) {
        ssize_t written = write(sink->file, data + done, bytes - done);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0) {
            sink->failed = written < 0 ? errno : ENOSPC;
            return 0;
        }
        done += (size_t)written;
    }
    sink->room -= bytes;
    return bytes;
}

static uint64_t clock_ms(void)
{
    return uv_hrtime() / 1000000u;
}

static size_t drop_body(char *data, size_t size, size_t count, void *context)
{
    (void)data, (void)context;
    return size * count;
}

/** Any answer will do. A process that stands still takes connections, its kernel does that, but answers none.
 */
static bool source_answers(struct transfer *self)
{
    char url[PATH_BYTES];
    CURL *easy = self->question;
    curl_easy_reset(easy);
    snprintf(url, sizeof url, "%s/v1/health", self->source);
    (void)curl_easy_setopt(easy, CURLOPT_URL, url);
    (void)curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    (void)curl_easy_setopt(easy, CURLOPT_PROXY, "");
    (void)curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http");
    (void)curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, ALIVE_TIMEOUT_MS);
    (void)curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, drop_body);
    return curl_easy_perform(easy) == CURLE_OK;
}

/** Called about once a second, and whenever something comes. A checkpoint may take long to make; a source
 * that doesn't answer even a question about its health keeps us from asking the next one. */
static int on_progress(void *context, curl_off_t all, curl_off_t received, curl_off_t b, curl_off_t c)
{
    struct transfer *self = context;
    (void)all, (void)b, (void)c;
    if (atomic_load(&self->closing))
        return 1;
    if (received != self->heard_bytes) {
        self->heard_bytes = received;
        self->heard_ms = clock_ms();
    } else if (clock_ms() - self->heard_ms >= QUIET_MS) {
        self->silent = !source_answers(self);
        self->heard_ms = clock_ms();
    }
    return self->silent ? 1 : 0;
}

static enum error_code exchange(struct transfer *self, const char *url, bool post, uint64_t from,
                                struct sink *sink, long *status, struct error *error)
{
    char range[32], detail[CURL_ERROR_SIZE] = "";
    CURL *easy = self->easy;
    curl_easy_reset(easy);
    (void)curl_easy_setopt(easy, CURLOPT_URL, url);
    (void)curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    (void)curl_easy_setopt(easy, CURLOPT_PROXY, "");
    (void)curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http");
    (void)curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, detail);
    (void)curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_TIMEOUT_MS);
    (void)curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    (void)curl_easy_setopt(easy, CURLOPT_WRITEDATA, sink);
    (void)curl_easy_setopt(easy, CURLOPT_NOPROGRESS, 0L);
    (void)curl_easy_setopt(easy, CURLOPT_XFERINFOFUNCTION, on_progress);
    (void)curl_easy_setopt(easy, CURLOPT_XFERINFODATA, self);
    (void)curl_easy_setopt(easy, CURLOPT_FAILONERROR, sink->file >= 0 ? 1L : 0L);
    if (post) {
        (void)curl_easy_setopt(easy, CURLOPT_POST, 1L);
        (void)curl_easy_setopt(easy, CURLOPT_POSTFIELDS, "");
        (void)curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE, 0L);
        (void)curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, MANIFEST_TIMEOUT_MS);
    } else {
        (void)curl_easy_setopt(easy, CURLOPT_LOW_SPEED_LIMIT, SILENCE_BYTES);
        (void)curl_easy_setopt(easy, CURLOPT_LOW_SPEED_TIME, SILENCE_S);
    }
    if (from > 0) {
        snprintf(range, sizeof range, "%llu-", (unsigned long long)from);
        (void)curl_easy_setopt(easy, CURLOPT_RANGE, range);
    }
    self->silent = false;
    self->heard_bytes = 0;
    self->heard_ms = clock_ms();
    CURLcode code = curl_easy_perform(easy);
    (void)curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, status);
    if (atomic_load(&self->closing))
        return error_set(error, ERROR_CLOSED, "this node is stopping");
    if (self->silent)
        return error_set(error, ERROR_TIMEOUT, "%s: it stopped answering anything", url);
    if (code == CURLE_OPERATION_TIMEDOUT)
        return error_set(error, ERROR_TIMEOUT, "%s: %s", url, detail[0] ? detail : curl_easy_strerror(code));
    if (code != CURLE_OK)
        return error_set(error, ERROR_UNAVAILABLE, "%s: %s", url,
                         detail[0] ? detail : curl_easy_strerror(code));
    return ERROR_OK;
}

/* --- the manifest
 * ----------------------------------------------------------------------------------------------------------
 */

static uint64_t json_u64(const json_t *json, const char *key)
{
    json_int_t value = json_integer_value(json_object_get(json, key));
    return value > 0 ? (uint64_t)value : 0;
}

/** A name without any path in it: it becomes a file in our folder. */
static bool file_name_valid(const char *name)
{
    return name && name_valid(name) && strlen(name) < 100;
}

enum error_code transfer_manifest_check(const struct transfer_request *request, const json_t *json,
                                        struct error *error)
{
    const char *cluster_id = json_string_value(json_object_get(json, "cluster_id"));
    const char *checkpoint_id = json_string_value(json_object_get(json, "checkpoint_id"));
    size_t i;
    json_t *file;
    if (!checkpoint_id || !name_valid(checkpoint_id) || !json_is_array(json_object_get(json, "files")))
        return error_set(error, ERROR_CORRUPT, "the manifest has no checkpoint_id or no files");
    if (!cluster_id || strcmp(cluster_id, request->cluster_id) != 0 ||
        json_u64(json, "generation") != request->generation)
        return error_set(error, ERROR_CONFLICT, "it belongs to cluster %.40s, not to ours",
                         cluster_id ? cluster_id : "?");
    if (json_u64(json, "index") < request->index_min)
        return error_set(error, ERROR_CONFLICT, "it has applied %llu only, %llu is needed",
                         (unsigned long long)json_u64(json, "index"), (unsigned long long)request->index_min);
    if (json_u64(json, "schema") > FSM_SCHEMA)
        return error_set(error, ERROR_CONFLICT, "its store has schema %llu, this build knows %u",
                         (unsigned long long)json_u64(json, "schema"), FSM_SCHEMA);
    if (json_array_size(json_object_get(json, "files")) > FILES_MAX)
        return error_set(error, ERROR_TOO_BIG, "the manifest lists more than %u files", FILES_MAX);
    json_array_foreach(json_object_get(json, "files"), i, file)
    {
        const char *hash = json_string_value(json_object_get(file, "sha256"));
        uint8_t digest[DIGEST_BYTES];
        if (!file_name_valid(json_string_value(json_object_get(file, "name"))) || !hash ||
            !hex_decode(hash, digest, DIGEST_BYTES))
            return error_set(error, ERROR_CORRUPT, "row %zu of the manifest is no file", i);
    }
    return ERROR_OK;
}

static enum error_code manifest_fetch(struct transfer *self, const char *source, json_t **out,
                                      struct error *error)
{
    struct bytes text;
    char url[PATH_BYTES];
    long status = 0;
    json_t *json = NULL;
    bytes_init(&text, MANIFEST_BYTES_MAX);
    struct sink sink = {.memory = &text, .file = -1};
    snprintf(url, sizeof url, "%s/v1/internal/checkpoints", source);
    enum error_code code = exchange(self, url, true, 0, &sink, &status, error);
    if (code == ERROR_OK)
        code = json_parse(bytes_span(&text), &json, error);
    if (code == ERROR_OK && status >= 300) {
        const char *detail = json_string_value(json_object_get(json, "detail"));
        code = error_set(error, ERROR_UNAVAILABLE, "%s answered %ld: %.200s", source, status,
                         detail ? detail : "no reason");
    }
    if (code == ERROR_OK && transfer_manifest_check(&self->request, json, error) != ERROR_OK)
        code = error_prefix(error, "checkpoint of %s", source);
    bytes_done(&text);
    if (code == ERROR_OK)
        *out = json;
    else
        json_decref(json);
    return code;
}

/* --- files
 * -------------------------------------------------------------------------------------------------------------------
 */

static enum error_code disk_error(struct error *error, const char *path)
{
    int number = errno;
    return error_set(error, number == ENOSPC || number == EDQUOT ? ERROR_NO_SPACE : ERROR_IO, "%s: %s", path,
                     strerror(number));
}

/** @return ERROR_CORRUPT when the content isn't what the manifest says */
static enum error_code file_verify(const char *path, uint64_t bytes, const char *sha256, struct error *error)
{
    uint8_t buffer[65536], digest[DIGEST_BYTES];
    char hex[2 * DIGEST_BYTES + 1];
    struct hash *hash = hash_new();
    uint64_t total = 0;
    ssize_t count = 0;
    int file = open(path, O_RDONLY | O_CLOEXEC);
    while (file >= 0 && (count = read(file, buffer, sizeof buffer)) > 0) {
        hash_update(hash, buffer, (size_t)count);
        total += (uint64_t)count;
    }
    hash_finish(hash, digest);
    hash_free(hash);
    if (file < 0 || count < 0) {
        enum error_code code = disk_error(error, path);
        if (file >= 0)
            close(file);
        return code;
    }
    close(file);
    hex_encode(digest, DIGEST_BYTES, hex);
    if (total != bytes || strcmp(hex, sha256) != 0)
        return error_set(error, ERROR_CORRUPT,
                         "%s: %llu bytes with SHA-256 %s, the manifest says %llu and %s", path,
                         (unsigned long long)total, hex, (unsigned long long)bytes, sha256);
    return ERROR_OK;
}

/** One attempt: goes on where the last one ended. */
static enum error_code file_continue(struct transfer *self, const char *url, const char *path, uint64_t bytes,
                                     struct error *error)
{
    long status = 0;
    int file = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (file < 0)
        return disk_error(error, path);
    off_t have = lseek(file, 0, SEEK_END);
    if (have < 0 || (uint64_t)have > bytes)
        have = ftruncate(file, 0) == 0 ? 0 : -1;
    enum error_code code = have < 0 ? disk_error(error, path) : ERROR_OK;
    if (code == ERROR_OK && (uint64_t)have < bytes) {
        struct sink sink = {.file = file,
                            .from = (uint64_t)have,
                            .bytes = bytes,
                            .room = bytes - (uint64_t)have,
                            .easy = self->easy};
        code = exchange(self, url, false, (uint64_t)have, &sink, &status, error);
        errno = sink.failed;
        if (sink.failed != 0)
            code = disk_error(error, path);
    }
    if (code == ERROR_OK && fsync(file) != 0)
        code = disk_error(error, path);
    close(file);
    return code;
}

static enum error_code file_fetch(struct transfer *self, const char *source, const char *checkpoint_id,
                                  const json_t *row, struct error *error)
{
    const char *name = json_string_value(json_object_get(row, "name"));
    const char *sha256 = json_string_value(json_object_get(row, "sha256"));
    uint64_t bytes = json_u64(row, "bytes");
    char url[PATH_BYTES], path[PATH_BYTES];
    snprintf(url, sizeof url, "%s/v1/internal/checkpoints/%s/files/%s", source, checkpoint_id, name);
    snprintf(path, sizeof path, "%s/%s", self->folder, name);
    for (int attempt = 1;; attempt++) {
        enum error_code code = file_continue(self, url, path, bytes, error);
        if (code == ERROR_OK)
            code = file_verify(path, bytes, sha256, error);
        if (code == ERROR_OK)
            return ERROR_OK;
        if (code == ERROR_CORRUPT) /* another file of that name, or damaged on the way: from its beginning */
            (void)unlink(path);
        if (attempt == ATTEMPTS_MAX || code == ERROR_CLOSED || code == ERROR_NO_SPACE || code == ERROR_IO ||
            code == ERROR_TIMEOUT) /* the next source may be alive */
            return code;
        log_warn("transfer", "file again", "file=%s attempt=%d error=\"%s\"", name, attempt, error->message);
        if (code == ERROR_UNAVAILABLE)
            usleep(RETRY_US); /* a source that is starting again */
    }
}

struct leftovers {
    const json_t *files;
    const char *folder;
};

static void remove_leftover(void *context, const char *name)
{
    struct leftovers *leftovers = context;
    char path[PATH_BYTES];
    struct error error = {0};
    size_t i;
    json_t *row;
    json_array_foreach(leftovers->files, i, row)
    {
        if (strcmp(json_string_value(json_object_get(row, "name")), name) == 0)
            return;
    }
    snprintf(path, sizeof path, "%s/%s", leftovers->folder, name);
    if (disk_remove(path, &error) != ERROR_OK)
        log_warn("transfer", "leftover not removed", "path=%s error=\"%s\"", path, error.message);
}

static enum error_code folder_sync(const char *folder, struct error *error)
{
    int file = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (file < 0 || fsync(file) != 0) {
        enum error_code code = disk_error(error, folder);
        if (file >= 0)
            close(file);
        return code;
    }
    close(file);
    return ERROR_OK;
}

static void opened_close(struct transfer *self)
{
    fsm_close(self->opened);
    free(self->opened_folder);
    self->opened = NULL;
    self->opened_folder = NULL;
}

/** Opens what was fetched: it must say of itself what the manifest says, and be whole. The manifest's hashes
 * are of the files as the source has them: damage of its disk would come along. */
static enum error_code store_check(struct transfer *self, const json_t *manifest, struct error *error)
{
    struct fsm *fsm = NULL;
    struct fsm_state state;
    char digest[2 * DIGEST_BYTES + 1];
    enum error_code code = fsm_open(self->folder, false, &fsm, error);
    if (code != ERROR_OK)
        return code;
    fsm_describe(fsm, &state);
    hex_encode(state.digest, DIGEST_BYTES, digest);
    const char *expected = json_string_value(json_object_get(manifest, "digest"));
    self->state = (struct machine_state){.generation = state.generation,
                                         .index = state.index,
                                         .term = state.term,
                                         .configuration_index = state.configuration_index,
                                         .configuration_bytes = state.configuration.bytes,
                                         .schema = state.schema};
    memcpy(self->state.cluster_id, state.cluster_id, sizeof self->state.cluster_id);
    memcpy(self->state.digest, state.digest, sizeof self->state.digest);
    if (state.configuration.bytes > sizeof self->state.configuration)
        code = error_set(error, ERROR_CORRUPT, "its configuration has %zu bytes", state.configuration.bytes);
    else if (state.configuration.bytes > 0)
        memcpy(self->state.configuration, state.configuration.data, state.configuration.bytes);
    if (code == ERROR_OK &&
        (state.index != json_u64(manifest, "index") || !expected || strcmp(expected, digest) != 0))
        code = error_set(error, ERROR_CORRUPT,
                         "the fetched store is at index %llu with digest %s, the manifest says %llu and %s",
                         (unsigned long long)state.index, digest,
                         (unsigned long long)json_u64(manifest, "index"), expected ? expected : "none");
    if (code == ERROR_OK && fsm_verify(fsm, error) != ERROR_OK)
        code = error_prefix(error, "the source's store is damaged");
    if (code != ERROR_OK) {
        fsm_close(fsm);
        return code;
    }
    self->opened = fsm;
    self->opened_folder = text_copy(self->folder);
    return ERROR_OK;
}

static enum error_code fetch_from(struct transfer *self, const char *source, struct error *error)
{
    json_t *manifest = NULL, *row;
    size_t i;
    enum error_code code = manifest_fetch(self, source, &manifest, error);
    if (code != ERROR_OK)
        return code;
    const char *checkpoint_id = json_string_value(json_object_get(manifest, "checkpoint_id"));
    struct leftovers leftovers = {json_object_get(manifest, "files"), self->folder};
    log_info("transfer", "fetching", "source=%s checkpoint=%s index=%llu files=%zu", source, checkpoint_id,
             (unsigned long long)json_u64(manifest, "index"), json_array_size(leftovers.files));
    code = disk_folder_make(self->folder, error);
    if (code == ERROR_OK)
        code = disk_list(self->folder, remove_leftover, &leftovers, error);
    json_array_foreach(leftovers.files, i, row)
    {
        if (code == ERROR_OK)
            code = file_fetch(self, source, checkpoint_id, row, error);
    }
    if (code == ERROR_OK)
        code = store_check(self, manifest, error);
    if (code == ERROR_OK && (code = folder_sync(self->folder, error)) != ERROR_OK)
        opened_close(self);
    json_decref(manifest);
    return code;
}

/* --- the job
 * --------------------------------------------------------------------------------------------------------------------
 */

static void work(struct worker_job *job)
{
    struct transfer *self = (struct transfer *)((char *)job - offsetof(struct transfer, job));
    self->error = (struct error){0};
    opened_close(self); /* nobody took it, and the folder may be the same */
    (void)error_set(&self->error, ERROR_UNAVAILABLE, "no other node is known that could serve a checkpoint");
    for (uint32_t i = 0; i < self->request.source_count && !atomic_load(&self->closing); i++) {
        struct error error = {0};
        self->source = self->request.sources[i];
        enum error_code code = fetch_from(self, self->source, &error);
        if (code == ERROR_OK) /* attempts that failed left theirs */
            error = (struct error){0};
        self->error = error;
        if (code == ERROR_OK)
            return;
        log_warn("transfer", "not from here", "source=%s error=\"%s\"", self->request.sources[i],
                 error.message);
    }
}

/** What asked for the state asks again; without this line nobody would know why the node stays behind. */
static void tell_failure(struct transfer *self)
{
    char quoted[2 * ERROR_MESSAGE_BYTES];
    uint64_t now = clock_ms();
    if (self->error.code == ERROR_CLOSED || (self->told_ms != 0 && now - self->told_ms < TOLD_MS))
        return;
    self->told_ms = now;
    log_error("transfer", "the state can't be fetched from anybody",
              "sources=%u last_error=%s go_on=\"start another node that has the state, or name it in join:\"",
              self->request.source_count, logger_quote(self->error.message, quoted, sizeof quoted));
}

static void finish(struct worker_job *job)
{
    struct transfer *self = (struct transfer *)((char *)job - offsetof(struct transfer, job));
    if (self->error.code != ERROR_OK)
        tell_failure(self);
    free(self->folder);
    for (uint32_t i = 0; i < self->request.source_count; i++)
        free((char *)self->request.sources[i]);
    self->busy = false;
    bool good = self->error.code == ERROR_OK;
    if (good)
        log_info("transfer", "fetched and verified", "index=%llu", (unsigned long long)self->state.index);
    self->request.done(self->request.context, good ? &self->state : NULL, good ? NULL : &self->error);
}

static bool is_listed(const struct transfer *self, const char *source)
{
    for (uint32_t i = 0; i < self->request.source_count; i++)
        if (strcmp(self->request.sources[i], source) == 0)
            return true;
    return false;
}

void transfer_fetch(struct transfer *self, const struct transfer_request *request)
{
    CHECK(!self->busy, "one transfer at a time");
    CHECK(request->source_count <= TRANSFER_SOURCES_MAX, "%u sources", request->source_count);
    self->busy = true;
    self->request = *request;
    self->folder = text_copy(request->folder);
    self->request.source_count = 0;
    for (uint32_t i = 0; i < request->source_count; i++)
        if (!is_listed(self, request->sources[i]))
            self->request.sources[self->request.source_count++] = text_copy(request->sources[i]);
    self->job = (struct worker_job){.work = work, .done = finish};
    worker_submit(self->worker, &self->job);
}

struct fsm *transfer_take(struct transfer *self, const char *folder)
{
    struct fsm *fsm = NULL;
    if (self->busy || !self->opened || strcmp(self->opened_folder, folder) != 0)
        return NULL;
    fsm = self->opened;
    self->opened = NULL;
    opened_close(self);
    return fsm;
}

enum error_code transfer_open(struct uv_loop_s *loop, struct transfer **out, struct error *error)
{
    struct transfer *self = memory_zero(1, sizeof *self);
    if (worker_open(loop, "transfer", &self->worker, error) != ERROR_OK) {
        free(self);
        return error->code;
    }
    CHECK(curl_global_init(CURL_GLOBAL_DEFAULT) == 0, "libcurl has no memory");
    self->easy = curl_easy_init();
    self->question = curl_easy_init();
    CHECK(self->easy != NULL && self->question != NULL, "libcurl has no memory");
    *out = self;
    return ERROR_OK;
}

void transfer_close(struct transfer *self)
{
    if (!self)
        return;
    atomic_store(&self->closing, true);
    worker_close(self->worker);
    opened_close(self);
    curl_easy_cleanup(self->easy);
    curl_easy_cleanup(self->question);
    free(self);
}
