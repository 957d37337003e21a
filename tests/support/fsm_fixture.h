/* A state machine in a folder of its own, and the log that it applies: what tests of fsm/ share.
 *
 * The log is kept, so that a test may apply it again: to another state machine, in other groups, or from
 * where a restart found the store. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "base/kv.h"
#include "base/schema.h"
#include "fsm/commands.h"
#include "fsm/fsm.h"
#include "fsm/result.h"

#define FIXTURE_ENTRIES_MAX 8192u
#define FIXTURE_START_MS    1767225600000ull /* 2026-01-01T00:00:00Z */

struct fixture_log {
    struct entry entries[FIXTURE_ENTRIES_MAX];
    uint32_t count;
    uint64_t term;
    uint64_t wall_ms; /* the leader's clock: tests move it */
};

struct fixture {
    char folder[64];
    char path[80]; /* of the store in it */
    struct fsm *fsm;
    struct fixture_log *log;
    struct arena arena;     /* a test's own */
    struct result *results; /* of the last group */
};

#define FIXTURE_FN static inline __attribute__((unused))

FIXTURE_FN struct fixture_log *fixture_log_new(void)
{
    struct fixture_log *log = memory_zero(1, sizeof(*log));
    log->term = 1;
    log->wall_ms = FIXTURE_START_MS;
    return log;
}

FIXTURE_FN void fixture_log_free(struct fixture_log *log)
{
    for (uint32_t i = 0; i < log->count; i++)
        free((void *)(uintptr_t)log->entries[i].data.data);
    free(log);
}

FIXTURE_FN uint64_t fixture_append(struct fixture_log *log, enum entry_type type, const void *data,
                                   size_t bytes)
{
    assert_true(log->count < FIXTURE_ENTRIES_MAX);
    uint8_t *copy = memory_new(bytes + 1);
    if (bytes > 0)
        memcpy(copy, data, bytes);
    const uint64_t index = log->count + 1;
    log->entries[log->count++] =
        (struct entry){.index = index, .term = log->term, .type = type, .data = span_of(copy, bytes)};
    return index;
}

/** Encodes a command from JSON, as HTTP does, and appends it. */
FIXTURE_FN uint64_t fixture_append_command(struct fixture_log *log, const char *name, const char *principal,
                                           const char *request_id, const char *json_text)
{
    struct error error = {0};
    const struct command_type *type = command_by_name(name);
    if (!type)
        fail_msg("no command is called %s", name);
    json_t *json = NULL;
    if (json_parse(span_text(json_text), &json, &error) != ERROR_OK)
        fail_msg("%s: %s", json_text, error.message);
    struct arena arena;
    arena_init(&arena, 16u * 1024u * 1024u);
    void *body = arena_new(&arena, type->schema->bytes);
    if (schema_from_json(type->schema, json, &arena, body, &error) != ERROR_OK)
        fail_msg("%s %s: %s", name, json_text, error.message);
    struct bytes encoded;
    bytes_init(&encoded, 0);
    if (command_encode(type, request_id, principal, log->wall_ms, body, &encoded, &error) != ERROR_OK)
        fail_msg("%s: %s", name, error.message);
    const uint64_t index = fixture_append(log, ENTRY_COMMAND, encoded.data, encoded.length);
    bytes_done(&encoded);
    arena_done(&arena);
    json_decref(json);
    return index;
}

FIXTURE_FN struct fixture *fixture_new(void)
{
    struct fixture *self = memory_zero(1, sizeof(*self));
    struct error error = {0};
    snprintf(self->folder, sizeof(self->folder), "/tmp/autonomy-fsm-XXXXXX");
    assert_non_null(mkdtemp(self->folder));
    snprintf(self->path, sizeof(self->path), "%s/state", self->folder);
    arena_init(&self->arena, 256u * 1024u * 1024u);
    self->log = fixture_log_new();
    self->results = memory_zero(FIXTURE_ENTRIES_MAX, sizeof(*self->results));
    if (fsm_open(self->path, true, &self->fsm, &error) != ERROR_OK)
        fail_msg("%s", error.message);
    return self;
}

FIXTURE_FN void fixture_free(struct fixture *self)
{
    struct error error = {0};
    fsm_close(self->fsm);
    assert_int_equal(kv_destroy(self->path, &error), ERROR_OK);
    rmdir(self->folder);
    arena_done(&self->arena);
    fixture_log_free(self->log);
    free(self->results);
    free(self);
}

FIXTURE_FN int fixture_set_up(void **state)
{
    *state = fixture_new();
    return 0;
}

FIXTURE_FN int fixture_tear_down(void **state)
{
    fixture_free(*state);
    return 0;
}

FIXTURE_FN struct fsm_state fixture_describe(const struct fixture *self)
{
    struct fsm_state state;
    fsm_describe(self->fsm, &state);
    return state;
}

/** Applies the next `count` entries of the log as one group. */
FIXTURE_FN void fixture_apply(struct fixture *self, uint32_t count)
{
    struct error error = {0};
    const uint64_t applied = fixture_describe(self).index;
    assert_true(applied + count <= self->log->count);
    if (fsm_apply(self->fsm, self->log->entries + applied, count, self->results, &error) != ERROR_OK)
        fail_msg("entries %llu .. %llu: %s", (unsigned long long)applied + 1,
                 (unsigned long long)applied + count, error.message);
}

/** Closes and opens: what was not flushed is gone, and comes again from the log. */
FIXTURE_FN void fixture_restart(struct fixture *self, bool flush)
{
    struct error error = {0};
    if (flush)
        assert_int_equal(fsm_flush(self->fsm, &error), ERROR_OK);
    fsm_close(self->fsm);
    self->fsm = NULL;
    if (fsm_open(self->path, false, &self->fsm, &error) != ERROR_OK)
        fail_msg("%s", error.message);
}

/** Appends one command and applies it. The result's body is valid until the next. */
FIXTURE_FN struct result fixture_run_as(struct fixture *self, const char *name, const char *principal,
                                        const char *request_id, const char *json_text)
{
    fixture_append_command(self->log, name, principal, request_id, json_text);
    fixture_apply(self, 1);
    return self->results[0];
}

FIXTURE_FN struct result fixture_run(struct fixture *self, const char *name, const char *json_text)
{
    return fixture_run_as(self, name, "oncall@example.com", "", json_text);
}

FIXTURE_FN json_t *fixture_json(struct span body)
{
    json_t *json = NULL;
    struct error error = {0};
    if (value_to_json(body, &json, &error) != ERROR_OK)
        fail_msg("%s", error.message);
    return json;
}

/** For messages and for comparing; a static buffer. */
FIXTURE_FN const char *fixture_json_text(struct span body)
{
    static char text[4096];
    json_t *json = fixture_json(body);
    char *dump = json_dumps(json, JSON_SORT_KEYS | JSON_ENCODE_ANY);
    snprintf(text, sizeof(text), "%s", dump);
    free(dump);
    json_decref(json);
    return text;
}

#define assert_result(answer, expected) fixture_expect((answer), (expected), __FILE__, __LINE__)
FIXTURE_FN void fixture_expect(struct result answer, uint32_t expected, const char *file, int line)
{
    if (answer.code == expected)
        return;
    fprintf(stderr, "result %s, expected %s: %s\n", result_name(answer.code), result_name(expected),
            fixture_json_text(answer.body));
    _fail(file, line);
}

/** One text member of a result's body. */
FIXTURE_FN const char *fixture_text(struct fixture *self, struct result result, const char *key)
{
    const char *text = NULL;
    if (!value_get_text(result.body, key, &self->arena, &text))
        fail_msg("no %s in %s", key, fixture_json_text(result.body));
    return text;
}

/* --- the audit trail, read --- */

struct fixture_records {
    struct fixture *fixture;
    struct audit_record rows[FIXTURE_ENTRIES_MAX];
    uint32_t count;
};

FIXTURE_FN const char *fixture_copy(struct fixture *self, const char *text)
{
    return text ? arena_text(&self->arena, text, strlen(text)) : NULL;
}

FIXTURE_FN struct span fixture_span_copy(struct fixture *self, struct span span)
{
    void *copy = arena_new(&self->arena, span.bytes + 1);
    memcpy(copy, span.data, span.bytes);
    return span_of(copy, span.bytes);
}

FIXTURE_FN bool fixture_record_visit(void *context, const struct audit_record *record)
{
    struct fixture_records *records = context;
    struct fixture *self = records->fixture;
    struct audit_record copy = *record;
    copy.event_name = fixture_copy(self, record->event_name);
    copy.action = fixture_copy(self, record->action);
    copy.actor = fixture_copy(self, record->actor);
    copy.approver = fixture_copy(self, record->approver);
    copy.reason = fixture_copy(self, record->reason);
    copy.resource_type = fixture_copy(self, record->resource_type);
    copy.resource = fixture_copy(self, record->resource);
    copy.request_id = fixture_copy(self, record->request_id);
    copy.prev_hash = fixture_span_copy(self, record->prev_hash);
    copy.hash = fixture_span_copy(self, record->hash);
    copy.fields = arena_new(&self->arena, (record->field_count + 1) * sizeof(*copy.fields));
    for (size_t i = 0; i < record->field_count; i++)
        copy.fields[i] = (struct field_pair){fixture_copy(self, record->fields[i].key),
                                             fixture_copy(self, record->fields[i].value)};
    assert_true(records->count < FIXTURE_ENTRIES_MAX);
    records->rows[records->count++] = copy;
    return true;
}

/** All records that match, oldest first; in the fixture's arena. */
FIXTURE_FN struct fixture_records *fixture_records(struct fixture *self, const struct audit_filter *filter)
{
    struct error error = {0};
    struct fixture_records *records = arena_new(&self->arena, sizeof(*records));
    records->fixture = self;
    struct view *view = view_open(self->fsm);
    const enum error_code code = view_audit(view, filter, true, 0, fixture_record_visit, records, &error);
    view_close(view);
    if (code != ERROR_OK)
        fail_msg("%s", error.message);
    return records;
}

/** How many records carry this event name and outcome. */
FIXTURE_FN uint32_t fixture_count(struct fixture *self, const char *event_name, uint32_t outcome)
{
    const struct audit_filter filter = {.event_type = event_name};
    const struct fixture_records *records = fixture_records(self, &filter);
    uint32_t count = 0;
    for (uint32_t i = 0; i < records->count; i++)
        count += records->rows[i].outcome == outcome;
    return count;
}

FIXTURE_FN const char *fixture_field(const struct audit_record *record, const char *key)
{
    for (size_t i = 0; i < record->field_count; i++)
        if (strcmp(record->fields[i].key, key) == 0)
            return record->fields[i].value;
    return NULL;
}
