/* Histories as JSON lines: reading. README.md describes the form; fields it doesn't name are passed over. */
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/check.h"
#include "chaos/check/history.h"
#include "chaos/check/table.h"

#define PATH_BYTES_MAX 4096u

struct reading {
    struct history *history;
    json_t *line;
    struct error *error;
    struct table followers;
};

static enum error_code malformed(struct reading *self, const char *what)
{
    return error_set(self->error, ERROR_CORRUPT, "%s", what);
}

static const char *text_of(json_t *object, const char *name)
{
    return json_string_value(json_object_get(object, name)); /* NULL when it isn't there */
}

static uint64_t number_of(json_t *object, const char *name)
{
    const json_int_t value = json_integer_value(json_object_get(object, name)); /* 0 when it isn't there */
    return value > 0 ? (uint64_t)value : 0;
}

static int64_t value_of(json_t *object)
{
    json_t *value = json_object_get(object, "value");
    return json_is_integer(value) ? json_integer_value(value) : HISTORY_NONE;
}

static uint64_t time_of(json_t *object, const char *name, uint64_t fallback)
{
    json_t *value = json_object_get(object, name);
    return json_is_integer(value) && json_integer_value(value) >= 0 ? (uint64_t)json_integer_value(value)
                                                                    : fallback;
}

/* --- operations --- */

static bool find_name(const char *name, const char *(*name_at)(uint32_t), uint32_t count, uint32_t *out)
{
    for (uint32_t i = 0; name != NULL && i < count; i++)
        if (strcmp(name_at(i), name) == 0) {
            *out = i;
            return true;
        }
    return false;
}

static const char *outcome_name(uint32_t outcome)
{
    return history_outcome_names[outcome];
}

static const char *phase_name(uint32_t phase)
{
    return history_phase_names[phase];
}

static enum error_code read_part(struct reading *self, json_t *object, const struct history_op *op,
                                 struct history_part *out)
{
    *out = (struct history_part){.key = text_of(object, "key"),
                                 .value = value_of(object),
                                 .expected_version = number_of(object, "expected_version"),
                                 .version = number_of(object, "version"),
                                 .halted = json_is_true(json_object_get(object, "halted"))};
    if (out->key == NULL)
        return malformed(self, "an operation's key is missing");
    if (op->kind == HISTORY_SET && out->value == HISTORY_NONE)
        return malformed(self, "a set without an integer as value");
    uint32_t phase = 0;
    if (op->kind == HISTORY_PLAN_READ && op->outcome == HISTORY_OK &&
        !find_name(text_of(object, "phase"), phase_name, HISTORY_PHASE_COUNT, &phase))
        return malformed(self, "a plan_read without a phase that plans have");
    if (op->kind == HISTORY_PLAN_READ)
        out->value = phase;
    if (op->kind == HISTORY_SWITCH_READ) {
        json_t *disabled = json_object_get(object, "disabled");
        if (op->outcome == HISTORY_OK && !json_is_boolean(disabled))
            return malformed(self, "a switch_read without disabled");
        out->value = json_is_true(disabled);
    }
    return ERROR_OK;
}

static enum error_code read_parts(struct reading *self, struct history_op *op)
{
    json_t *parts = json_object_get(self->line, "parts");
    if (parts == NULL && op->kind == HISTORY_APPEND && json_object_get(self->line, "key") == NULL)
        return ERROR_OK;
    const size_t count = parts != NULL ? json_array_size(parts) : 1;
    if (count == 0 || count > HISTORY_PARTS_MAX)
        return malformed(self, "parts isn't an array of 1 to 64");
    for (size_t i = 0; i < count; i++) {
        json_t *object = parts != NULL ? json_array_get(parts, i) : self->line;
        const enum error_code code = read_part(self, object, op, &op->parts[i]);
        if (code != ERROR_OK)
            return code;
    }
    op->part_count = (uint32_t)count;
    return ERROR_OK;
}

static enum error_code read_op(struct reading *self)
{
    struct history_part parts[HISTORY_PARTS_MAX];
    struct history_op op = {.client = (uint32_t)number_of(self->line, "client"),
                            .stale = json_is_true(json_object_get(self->line, "stale")),
                            .parts = parts,
                            .invoke_ns = time_of(self->line, "invoke_ns", HISTORY_NEVER),
                            .complete_ns = time_of(self->line, "complete_ns", HISTORY_NEVER),
                            .index = number_of(self->line, "index"),
                            .audit_seq = number_of(self->line, "audit_seq"),
                            .after_index = number_of(self->line, "after_index"),
                            .request = text_of(self->line, "request"),
                            .code = text_of(self->line, "code"),
                            .node = text_of(self->line, "node")};
    if (!find_name(text_of(self->line, "kind"), history_kind_name, HISTORY_KIND_COUNT, &op.kind))
        return malformed(self, "an operation of no kind that is known");
    if (!find_name(text_of(self->line, "outcome"), outcome_name, HISTORY_OUTCOME_COUNT, &op.outcome))
        return malformed(self, "outcome is none of ok, refused, unknown");
    if (op.outcome == HISTORY_UNKNOWN)
        op.complete_ns = HISTORY_NEVER;
    else if (op.invoke_ns == HISTORY_NEVER || op.complete_ns == HISTORY_NEVER ||
             op.complete_ns < op.invoke_ns)
        return malformed(self, "an answered operation without invoke_ns, or complete_ns after it");
    const enum error_code code = read_parts(self, &op);
    if (code == ERROR_OK)
        history_add(self->history, &op);
    return code;
}

/* --- the other lines --- */

static enum error_code read_meta(struct reading *self)
{
    struct history *history = self->history;
    history->about = history_text(history, text_of(self->line, "about"));
    history->request_prefix = history_text(history, text_of(self->line, "request_prefix"));
    history->audit_complete = json_is_true(json_object_get(self->line, "audit_complete"));
    history->recovery_ns = number_of(self->line, "recovery_ns");
    history->end_ns = number_of(self->line, "end_ns");
    return ERROR_OK;
}

static enum error_code read_register(struct reading *self)
{
    const struct history_register one = {text_of(self->line, "key"), value_of(self->line),
                                         number_of(self->line, "version")};
    if (one.key == NULL)
        return malformed(self, "a register without key");
    history_add_register(self->history, &one);
    return ERROR_OK;
}

static enum error_code read_fault(struct reading *self)
{
    const struct history_fault fault = {text_of(self->line, "name"), text_of(self->line, "node"),
                                        number_of(self->line, "begin_ns"),
                                        time_of(self->line, "end_ns", HISTORY_NEVER)};
    if (fault.name == NULL || fault.end_ns < fault.begin_ns)
        return malformed(self, "a fault without name, or that ends before it begins");
    history_add_fault(self->history, &fault);
    return ERROR_OK;
}

static enum error_code read_leader(struct reading *self)
{
    const struct history_leader leader = {number_of(self->line, "time_ns"), number_of(self->line, "term"),
                                          text_of(self->line, "node")};
    if (leader.node == NULL || leader.term == 0)
        return malformed(self, "a leader without node or term");
    history_add_leader(self->history, &leader);
    return ERROR_OK;
}

static enum error_code read_audit(struct reading *self)
{
    const struct history_audit record = {.seq = number_of(self->line, "seq"),
                                         .index = number_of(self->line, "index"),
                                         .request = text_of(self->line, "request"),
                                         .event = text_of(self->line, "event"),
                                         .resource = text_of(self->line, "resource"),
                                         .category = text_of(self->line, "category"),
                                         .success = json_is_true(json_object_get(self->line, "success"))};
    if (record.seq == 0)
        return malformed(self, "an audit record without seq");
    history_add_audit(self->history, &record);
    return ERROR_OK;
}

static enum error_code read_follower(struct reading *self)
{
    const struct history_follower follower = {text_of(self->line, "name"), text_of(self->line, "category")};
    if (follower.name == NULL)
        return malformed(self, "a follower without name");
    const uint32_t number = history_add_follower(self->history, &follower);
    if (!table_put(&self->followers, table_text(history_text(self->history, follower.name)), number, NULL))
        return malformed(self, "two followers of one name");
    return ERROR_OK;
}

static enum error_code read_event(struct reading *self)
{
    uint64_t follower;
    const char *name = history_text(self->history, text_of(self->line, "follower"));
    if (name == NULL || !table_get(&self->followers, table_text(name), &follower))
        return malformed(self, "an event of a follower that wasn't named before");
    const struct history_event event = {(uint32_t)follower, number_of(self->line, "seq"),
                                        number_of(self->line, "time_ns")};
    history_add_event(self->history, &event);
    return ERROR_OK;
}

static enum error_code read_bank(struct reading *self)
{
    json_t *keys = json_object_get(self->line, "keys");
    for (size_t i = 0; i < json_array_size(keys); i++) {
        const char *key = json_string_value(json_array_get(keys, i));
        if (key == NULL)
            return malformed(self, "a bank's key isn't a text");
        history_add_bank(self->history, key);
    }
    if (!json_is_integer(json_object_get(self->line, "sum")))
        return malformed(self, "a bank without sum");
    self->history->bank_sum = json_integer_value(json_object_get(self->line, "sum"));
    return ERROR_OK;
}

static enum error_code read_final(struct reading *self)
{
    const struct history_final final = {text_of(self->line, "node"), text_of(self->line, "digest"),
                                        number_of(self->line, "index"),
                                        !json_is_false(json_object_get(self->line, "chain_valid"))};
    if (final.node == NULL)
        return malformed(self, "a final without node");
    history_add_final(self->history, &final);
    return ERROR_OK;
}

static enum error_code read_state(struct reading *self)
{
    const struct history_state state = {text_of(self->line, "node"), text_of(self->line, "key"),
                                        value_of(self->line), number_of(self->line, "version")};
    if (state.node == NULL || state.key == NULL)
        return malformed(self, "a state without node or key");
    history_add_state(self->history, &state);
    return ERROR_OK;
}

static enum error_code read_environment(struct reading *self)
{
    const char *message = text_of(self->line, "message");
    self->history->environment = history_text(self->history, message != NULL ? message : "not said why");
    return ERROR_OK;
}

static enum error_code read_line(struct reading *self)
{
    static const struct {
        const char *type;
        enum error_code (*read)(struct reading *);
    } rows[] = {
        {"op", read_op},       {"event", read_event},       {"audit", read_audit},
        {"state", read_state}, {"fault", read_fault},       {"leader", read_leader},
        {"final", read_final}, {"register", read_register}, {"follower", read_follower},
        {"bank", read_bank},   {"history", read_meta},      {"environment", read_environment},
    };
    const char *type = text_of(self->line, "type");
    for (size_t i = 0; type != NULL && i < sizeof rows / sizeof rows[0]; i++)
        if (strcmp(rows[i].type, type) == 0)
            return rows[i].read(self);
    return malformed(self, "its type is none that is known");
}

static enum error_code read_lines(struct reading *self, FILE *file, const char *path)
{
    char *text = NULL;
    size_t capacity = 0;
    enum error_code code = ERROR_OK;
    ssize_t length;
    for (uint64_t number = 1; code == ERROR_OK && (length = getline(&text, &capacity, file)) > 0; number++) {
        json_error_t reason;
        if (length == 1 && text[0] == '\n')
            continue;
        self->line = json_loadb(text, (size_t)length, JSON_REJECT_DUPLICATES, &reason);
        code = self->line != NULL ? read_line(self) : malformed(self, reason.text);
        json_decref(self->line);
        if (code != ERROR_OK)
            error_prefix(self->error, "%s:%" PRIu64, path, number);
    }
    free(text);
    if (code == ERROR_OK && ferror(file))
        code = error_set(self->error, ERROR_IO, "%s can't be read: %s", path, strerror(errno));
    return code;
}

enum error_code history_read(const char *path, struct history **out, struct error *error)
{
    char file_path[PATH_BYTES_MAX];
    struct stat about;
    const bool folder = stat(path, &about) == 0 && S_ISDIR(about.st_mode);
    snprintf(file_path, sizeof file_path, "%s%s", path, folder ? "/history.jsonl" : "");
    FILE *file = fopen(file_path, "re");
    if (file == NULL)
        return error_set(error, errno == ENOENT ? ERROR_NOT_FOUND : ERROR_IO, "%s can't be read: %s",
                         file_path, strerror(errno));
    struct reading self = {.history = history_new(), .error = error};
    table_init(&self.followers);
    const enum error_code code = read_lines(&self, file, file_path);
    table_done(&self.followers);
    fclose(file);
    if (code == ERROR_OK)
        *out = self.history;
    else
        history_free(self.history);
    return code;
}
