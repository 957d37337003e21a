/* Histories as JSON lines: writing. What isn't known is left out. */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "chaos/check/history.h"

static void set_text(json_t *object, const char *name, const char *text)
{
    if (text != NULL)
        json_object_set_new(object, name, json_string(text));
}

static void set_number(json_t *object, const char *name, uint64_t number)
{
    if (number != 0 && number <= INT64_MAX)
        json_object_set_new(object, name, json_integer((json_int_t)number));
}

static void set_time(json_t *object, const char *name, uint64_t time_ns)
{
    if (time_ns <= INT64_MAX)
        json_object_set_new(object, name, json_integer((json_int_t)time_ns));
}

static void set_value(json_t *object, int64_t value)
{
    if (value != HISTORY_NONE)
        json_object_set_new(object, "value", json_integer(value));
}

static json_t *begin(const char *type)
{
    json_t *line = json_object();
    CHECK(line != NULL, "no line of type %s", type);
    set_text(line, "type", type);
    return line;
}

/* @return false: the file took no more */
static bool end(FILE *file, json_t *line)
{
    char *text = json_dumps(line, JSON_COMPACT);
    CHECK(text != NULL, "a line has no JSON form");
    const bool written = fputs(text, file) >= 0 && fputc('\n', file) >= 0;
    free(text);
    json_decref(line);
    return written;
}

static void set_part(json_t *object, const struct history_op *op, const struct history_part *part)
{
    set_text(object, "key", part->key);
    if (history_kind_object(op->kind) == HISTORY_FLAG)
        set_value(object, part->value);
    set_number(object, "expected_version", part->expected_version);
    set_number(object, "version", part->version);
    if (op->kind == HISTORY_PLAN_READ && op->outcome == HISTORY_OK) {
        set_text(object, "phase", history_phase_names[part->value]);
        json_object_set_new(object, "halted", json_boolean(part->halted));
    }
    if (op->kind == HISTORY_SWITCH_READ && op->outcome == HISTORY_OK)
        json_object_set_new(object, "disabled", json_boolean(part->value != 0));
}

static json_t *op_line(const struct history_op *op)
{
    json_t *line = begin("op");
    json_object_set_new(line, "client", json_integer(op->client));
    set_text(line, "kind", history_kind_name(op->kind));
    if (op->stale)
        json_object_set_new(line, "stale", json_true());
    if (op->part_count == 1) {
        set_part(line, op, &op->parts[0]);
    } else if (op->part_count > 1) {
        json_t *parts = json_array();
        for (uint32_t i = 0; i < op->part_count; i++) {
            json_t *part = json_object();
            set_part(part, op, &op->parts[i]);
            json_array_append_new(parts, part);
        }
        json_object_set_new(line, "parts", parts);
    }
    set_text(line, "request", op->request);
    set_text(line, "node", op->node);
    set_time(line, "invoke_ns", op->invoke_ns);
    set_time(line, "complete_ns", op->complete_ns);
    set_text(line, "outcome", history_outcome_names[op->outcome]);
    set_text(line, "code", op->code);
    set_number(line, "index", op->index);
    set_number(line, "audit_seq", op->audit_seq);
    set_number(line, "after_index", op->after_index);
    return line;
}

static json_t *meta_line(const struct history *self)
{
    json_t *line = begin("history");
    set_text(line, "about", self->about);
    set_text(line, "request_prefix", self->request_prefix);
    json_object_set_new(line, "audit_complete", json_boolean(self->audit_complete));
    set_number(line, "recovery_ns", self->recovery_ns);
    set_number(line, "end_ns", self->end_ns);
    return line;
}

static bool write_surroundings(const struct history *self, FILE *file)
{
    bool good = end(file, meta_line(self));
    if (self->environment != NULL) {
        json_t *line = begin("environment");
        set_text(line, "message", self->environment);
        good = end(file, line) && good;
    }
    for (size_t i = 0; i < self->register_count; i++) {
        json_t *line = begin("register");
        set_text(line, "key", self->registers[i].key);
        set_value(line, self->registers[i].value);
        set_number(line, "version", self->registers[i].version);
        good = end(file, line) && good;
    }
    for (size_t i = 0; i < self->fault_count; i++) {
        json_t *line = begin("fault");
        set_text(line, "name", self->faults[i].name);
        set_text(line, "node", self->faults[i].node);
        set_time(line, "begin_ns", self->faults[i].begin_ns);
        set_time(line, "end_ns", self->faults[i].end_ns);
        good = end(file, line) && good;
    }
    for (size_t i = 0; i < self->leader_count; i++) {
        json_t *line = begin("leader");
        set_time(line, "time_ns", self->leaders[i].time_ns);
        set_text(line, "node", self->leaders[i].node);
        set_number(line, "term", self->leaders[i].term);
        good = end(file, line) && good;
    }
    return good;
}

static bool write_followers(const struct history *self, FILE *file)
{
    bool good = true;
    for (size_t i = 0; i < self->follower_count; i++) {
        json_t *line = begin("follower");
        set_text(line, "name", self->followers[i].name);
        set_text(line, "category", self->followers[i].category);
        good = end(file, line) && good;
    }
    for (size_t i = 0; i < self->event_count; i++) {
        json_t *line = begin("event");
        set_text(line, "follower", self->followers[self->events[i].follower].name);
        set_number(line, "seq", self->events[i].seq);
        set_time(line, "time_ns", self->events[i].time_ns);
        good = end(file, line) && good;
    }
    return good;
}

static bool write_trail(const struct history *self, FILE *file)
{
    bool good = true;
    for (size_t i = 0; i < self->audit_count; i++) {
        const struct history_audit *record = &self->audit[i];
        json_t *line = begin("audit");
        set_number(line, "seq", record->seq);
        set_number(line, "index", record->index);
        set_text(line, "request", record->request);
        set_text(line, "event", record->event);
        set_text(line, "resource", record->resource);
        set_text(line, "category", record->category);
        json_object_set_new(line, "success", json_boolean(record->success));
        good = end(file, line) && good;
    }
    return good;
}

static bool write_ends(const struct history *self, FILE *file)
{
    bool good = true;
    if (self->bank_count > 0) {
        json_t *line = begin("bank"), *keys = json_array();
        for (size_t i = 0; i < self->bank_count; i++)
            json_array_append_new(keys, json_string(self->bank[i].key));
        json_object_set_new(line, "keys", keys);
        json_object_set_new(line, "sum", json_integer(self->bank_sum));
        good = end(file, line);
    }
    for (size_t i = 0; i < self->final_count; i++) {
        json_t *line = begin("final");
        set_text(line, "node", self->finals[i].node);
        set_text(line, "digest", self->finals[i].digest);
        set_number(line, "index", self->finals[i].index);
        json_object_set_new(line, "chain_valid", json_boolean(self->finals[i].chain_valid));
        good = end(file, line) && good;
    }
    for (size_t i = 0; i < self->state_count; i++) {
        json_t *line = begin("state");
        set_text(line, "node", self->states[i].node);
        set_text(line, "key", self->states[i].key);
        set_value(line, self->states[i].value);
        set_number(line, "version", self->states[i].version);
        good = end(file, line) && good;
    }
    return good;
}

enum error_code history_write(const struct history *self, const char *path, struct error *error)
{
    FILE *file = fopen(path, "we");
    if (file == NULL)
        return error_set(error, ERROR_IO, "%s can't be written: %s", path, strerror(errno));
    bool good = write_surroundings(self, file);
    for (size_t i = 0; i < self->op_count; i++)
        good = end(file, op_line(&self->ops[i])) && good;
    good = write_followers(self, file) && write_trail(self, file) && write_ends(self, file) && good;
    if (fclose(file) != 0 || !good)
        return error_set(error, ERROR_IO, "%s can't be written: %s", path, strerror(errno));
    return ERROR_OK;
}
