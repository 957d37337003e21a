/* Opening: what is on the disk is read whole, checked whole, and only then believed. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/hash.h"
#include "consensus/log_internal.h"

#define NODE_ID_MAX        ((1ull << 53) - 1) /* what every JSON reader keeps */
#define MEMORY_BYTES_STORE (32u * 1024u * 1024u)

static char *path_in(const char *folder, const char *name)
{
    size_t bytes = strlen(folder) + strlen(name) + 2;
    char *path = memory_new(bytes);
    snprintf(path, bytes, "%s/%s", folder, name);
    return path;
}

static char *parent_of(const char *folder)
{
    char *parent = text_copy(folder);
    char *slash = strrchr(parent, '/');
    if (slash && slash != parent && slash[1] != '\0') {
        *slash = '\0';
        return parent;
    }
    free(parent);
    return path_in(folder, "..");
}

static struct log *log_new(const struct log_options *options)
{
    struct log *self = memory_zero(1, sizeof(*self));
    self->options = *options;
    self->folder = text_copy(options->folder);
    self->data_folder = parent_of(options->folder);
    self->mark_path = path_in(self->data_folder, "mark");
    self->reserve_path = path_in(self->data_folder, "reserve");
    self->gathered = kv_batch_new();
    self->sync.batch = kv_batch_new();
    bytes_init(&self->mark_job.content, DISK_SMALL_BYTES_MAX);
    log_memory_reset(self, 0);
    return self;
}

static void log_free(struct log *self)
{
    log_memory_reset(self, 0);
    kv_close(self->kv);
    kv_batch_free(self->gathered);
    kv_batch_free(self->sync.batch);
    bytes_done(&self->mark_job.content);
    free(self->cache.items);
    free(self->runs);
    free(self->changes);
    free(self->folder);
    free(self->data_folder);
    free(self->mark_path);
    free(self->reserve_path);
    free(self);
}

/* Says what is wrong and how to go on. A node that has forgotten what it promised or acknowledged must not
 * vote under its old id. */
static enum error_code damaged(const struct log *self, struct error *error, const char *format, ...)
    PRINTF(3, 4);
static enum error_code damaged(const struct log *self, struct error *error, const char *format, ...)
{
    char what[200];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(what, sizeof(what), format, arguments);
    va_end(arguments);
    return error_set(
        error, ERROR_CORRUPT,
        "the log in %.80s is damaged: %s. It must not vote any more: move it away (mv %.80s "
        "%.80s.damaged-$(date +%%s)), take this node out (autonomy ha members remove NAME --reason "
        "REASON) and start it with `join:` configured",
        self->folder, what, self->data_folder, self->data_folder);
}

/* --- reading and checking
 * ------------------------------------------------------------------------------------------------ */

static enum error_code read_records(struct log *self, struct error *error)
{
    struct error cause = {0};
    enum error_code code = log_get_meta(self, &cause);
    if (code == ERROR_NOT_FOUND)
        return damaged(self, error, "it doesn't say whose it is");
    if (code == ERROR_OK)
        code = log_get_state_folder(self, &cause);
    if (code == ERROR_NOT_FOUND)
        return damaged(self, error, "it doesn't name its state folder");
    if (code == ERROR_OK)
        code = log_get_snapshot(self, &cause);
    if (code == ERROR_NOT_FOUND) /* none was taken yet */
        code = ERROR_OK;
    if (code == ERROR_CORRUPT)
        return damaged(self, error, "%s", cause.message);
    if (code)
        *error = cause;
    return code;
}

static enum error_code add_stored(struct log *self, const struct entry *entry, bool first,
                                  struct error *error)
{
    if (first) {
        if (entry->index == 0 || entry->index > self->snapshot.index + 1)
            return damaged(self, error, "it begins at entry %" PRIu64 ", its snapshot ends at %" PRIu64,
                           entry->index, self->snapshot.index);
        log_memory_reset(self, entry->index - 1);
    }
    if (entry->index != self->last_index + 1)
        return damaged(self, error, "after entry %" PRIu64 " comes entry %" PRIu64, self->last_index,
                       entry->index);
    uint64_t term_before = self->run_count ? self->runs[self->run_count - 1].term : 0;
    if (entry->term < term_before || entry->term > self->term)
        return damaged(self, error,
                       "entry %" PRIu64 " has term %" PRIu64 ", between %" PRIu64 " and %" PRIu64,
                       entry->index, entry->term, term_before, self->term);
    log_memory_add(self, entry->index, entry->term, entry->type, entry->data);
    return ERROR_OK;
}

static enum error_code read_entries(struct log *self, struct error *error)
{
    uint8_t first_key[LOG_KEY_BYTES];
    struct span key, value;
    struct entry entry;
    struct error cause = {0};
    enum error_code code = ERROR_OK;
    bool first = true;
    log_memory_reset(self, self->snapshot.index);
    struct kv_iterator *iterator =
        kv_iterate(self->kv, NULL, log_entry_key(0, first_key), log_entries_limit(), false);
    while (code == ERROR_OK && kv_iterator_next(iterator, &key, &value)) {
        code = log_entry_decode(key, value, &entry, &cause);
        if (code)
            code = damaged(self, error, "%s", cause.message);
        else
            code = add_stored(self, &entry, first, error);
        first = false;
    }
    enum error_code closing = kv_iterator_close(iterator, &cause);
    if (code)
        return code;
    if (closing == ERROR_CORRUPT)
        return damaged(self, error, "%s", cause.message);
    if (closing)
        *error = cause;
    return closing;
}

/* The snapshot against the entries that still stand behind it. */
static enum error_code check_snapshot(const struct log *self, struct error *error)
{
    uint64_t index = self->snapshot.index;
    if (self->last_index < index)
        return damaged(self, error, "it ends at %" PRIu64 ", before its snapshot at %" PRIu64,
                       self->last_index, index);
    if (self->snapshot.term > self->term)
        return damaged(self, error, "its snapshot has term %" PRIu64 ", it has seen %" PRIu64,
                       self->snapshot.term, self->term);
    for (size_t i = 0; i < self->run_count; i++) {
        uint64_t end = i + 1 < self->run_count ? self->runs[i + 1].first : self->last_index + 1;
        if (index >= self->runs[i].first && index < end && self->runs[i].term != self->snapshot.term)
            return damaged(self, error, "entry %" PRIu64 " has term %" PRIu64 ", in the snapshot %" PRIu64,
                           index, self->runs[i].term, self->snapshot.term);
    }
    return ERROR_OK;
}

static enum error_code compare_mark(struct log *self, const struct log_mark_record *mark, struct error *error)
{
    if (mark->node_id != self->identity.node_id || !mark->incarnation ||
        strcmp(mark->incarnation, self->identity.incarnation) != 0)
        return damaged(self, error, "its mark belongs to another node or another copy (%s)", self->mark_path);
    if (self->last_index < mark->index)
        return damaged(self, error, "it ends at %" PRIu64 ", before its mark: %" PRIu64 " was committed here",
                       self->last_index, mark->index);
    uint64_t term = log_term_of(self, mark->index);
    if (mark->index > 0 && term != 0 && term != mark->term)
        return damaged(self, error, "entry %" PRIu64 " has term %" PRIu64 ", in its mark %" PRIu64,
                       mark->index, term, mark->term);
    if (mark->current_term > self->term)
        return damaged(self, error, "it knows term %" PRIu64 ", its mark knows %" PRIu64, self->term,
                       mark->current_term);
    if (mark->current_term == self->term && mark->vote != 0 && mark->vote != self->vote)
        return damaged(self, error,
                       "in term %" PRIu64 " it voted %" PRIu64 ", says its mark, and knows of %" PRIu64,
                       self->term, mark->vote, self->vote);
    self->mark_index = mark->index;
    self->mark_term = mark->term;
    return ERROR_OK;
}

static enum error_code check_mark(struct log *self, struct error *error)
{
    struct bytes content;
    struct arena arena;
    struct log_mark_record mark = {0};
    struct error cause = {0};
    bytes_init(&content, 0);
    arena_init(&arena, 4 * DISK_SMALL_BYTES_MAX);
    enum error_code code = disk_small_read(self->mark_path, &content, &cause);
    if (code == ERROR_OK)
        code = log_mark_decode(bytes_span(&content), &arena, &mark, &cause);
    if (code == ERROR_OK)
        code = compare_mark(self, &mark, error);
    else if (code == ERROR_NOT_FOUND && self->last_index == 0 && self->term == 0)
        code = ERROR_OK; /* it stopped between making the store and making the mark */
    else if (code == ERROR_NOT_FOUND || code == ERROR_CORRUPT)
        code = damaged(self, error, "its mark can't be read: %s", cause.message);
    else
        *error = cause;
    arena_done(&arena);
    bytes_done(&content);
    return code;
}

static enum error_code load(struct log *self, struct error *error)
{
    enum error_code code = read_records(self, error);
    if (code == ERROR_OK)
        code = read_entries(self, error);
    if (code == ERROR_OK)
        code = check_snapshot(self, error);
    return code ? code : check_mark(self, error);
}

/* --- the first start
 * ------------------------------------------------------------------------------------------------------- */

static enum error_code create(struct log *self, struct error *error)
{
    do
        random_bytes(&self->identity.node_id, sizeof(self->identity.node_id));
    while ((self->identity.node_id &= NODE_ID_MAX) == 0);
    random_id(self->identity.incarnation);
    snprintf(self->state_folder, sizeof(self->state_folder), "state.0");
    struct kv_batch *batch = kv_batch_new();
    log_put_meta(self, batch);
    log_put_state_folder(self->state_folder, batch);
    enum error_code code = log_write_now(self, batch, error);
    kv_batch_free(batch);
    return code;
}

/* True when nothing was ever stored: a new folder, or one whose first start ended before its first write. */
static bool is_blank(struct log *self)
{
    struct span key, value;
    bool blank;
    if (disk_exists(self->mark_path))
        return false;
    struct kv_iterator *iterator = kv_iterate(self->kv, NULL, span_of(NULL, 0), span_of(NULL, 0), false);
    blank = !kv_iterator_next(iterator, &key, &value);
    return kv_iterator_close(iterator, NULL) == ERROR_OK && blank;
}

/* --- opening
 * ---------------------------------------------------------------------------------------------------------------
 */

static enum error_code open_store(struct log *self, bool read_only, bool point_in_time, struct error *error)
{
    struct kv_options options = {.create = !read_only && !disk_exists(self->mark_path),
                                 .wal = true,
                                 .read_only = read_only,
                                 .recover_point_in_time = point_in_time,
                                 .memory_bytes = MEMORY_BYTES_STORE};
    enum error_code code = kv_open(self->folder, &options, &self->kv, error);
    if (code == ERROR_NO_SPACE && disk_reserve_release(self->reserve_path) > 0)
        code = kv_open(self->folder, &options, &self->kv, error);
    return code;
}

/* The strict mode refused. What a crash tears is the end of the write-ahead log; kv_open() checks that
 * nothing whole follows what it leaves out. First without touching anything, to see that the mark is covered.
 */
static enum error_code open_torn(struct log *self, struct error *error)
{
    struct error cause = *error;
    enum error_code code = open_store(self, true, true, error);
    if (code == ERROR_OK)
        code = load(self, error);
    kv_close(self->kv);
    self->kv = NULL;
    if (code == ERROR_OK)
        return open_store(self, false, true, error);
    return code == ERROR_CORRUPT ? damaged(self, error, "%s", cause.message) : code;
}

static enum error_code open_checked(struct log *self, struct error *error)
{
    enum error_code code = disk_folder_make(self->folder, error);
    if (code == ERROR_OK)
        code = open_store(self, false, false, error);
    if (code == ERROR_CORRUPT && !self->kv)
        code = open_torn(self, error);
    if (code == ERROR_NOT_FOUND)
        return damaged(self, error, "there is a mark (%s), but no entry", self->mark_path);
    if (code)
        return code;
    if (is_blank(self)) {
        code = create(self, error);
        if (code)
            return code;
    }
    return load(self, error);
}

/* Every start has a number, so that two processes with one identity can be told apart. */
static enum error_code count_start(struct log *self, struct error *error)
{
    struct kv_batch *batch = kv_batch_new();
    self->identity.start_counter++;
    log_put_meta(self, batch);
    enum error_code code = log_write_now(self, batch, error);
    kv_batch_free(batch);
    return code ? code : log_mark_write_now(self, error);
}

enum error_code log_open(const struct log_options *options, struct log **out, struct error *error)
{
    struct error ignored;
    struct log *self = log_new(options);
    enum error_code code = open_checked(self, error ? error : &ignored);
    if (code == ERROR_OK)
        code = count_start(self, error);
    if (code) {
        log_free(self);
        return code;
    }
    /* Without room for the reserve the node still starts: it reads, and refuses writes until there is space.
     */
    self->reserve_held = options->reserve_bytes == 0 ||
                         disk_reserve_make(self->reserve_path, options->reserve_bytes, NULL) == ERROR_OK;
    log_check(self);
    *out = self;
    return ERROR_OK;
}

void log_close(struct log *self)
{
    if (!self)
        return;
    self->muted = true;
    worker_drain(self->options.worker);
    while (self->unheard) {
        struct log_read_job *read = self->unheard;
        self->unheard = read->next;
        log_entries_free(read->entries, read->entry_count);
        free(read);
    }
    if (!self->failed && !self->mark_written)
        (void)!log_mark_write_now(self, NULL); /* the older mark holds less, and is as true */
    log_free(self);
}
