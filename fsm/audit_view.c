#include "fsm/audit_view.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"

#define BUILT_IN_SWITCH "DISABLE_NEW" /* the one that the runbook's log is about */
#define RATE_WHOLE_BPS  10000u

static const struct {
    const char *name, *media_type;
} formats[AUDIT_FORMAT_COUNT] = {
    [AUDIT_FORMAT_JSON] = {"json", "application/json"},
    [AUDIT_FORMAT_JSONL] = {"jsonl", "application/x-ndjson"},
    [AUDIT_FORMAT_CSV] = {"csv", "text/csv; charset=utf-8; header=present"},
    [AUDIT_FORMAT_ROLLBACK] = {"rollback-jsonl", "application/x-ndjson"},
    [AUDIT_FORMAT_KILL_SWITCH] = {"kill-switch-log", "text/plain; charset=utf-8"},
};

bool audit_format_find(const char *name, enum audit_format *out)
{
    for (uint32_t i = 0; i < AUDIT_FORMAT_COUNT; i++) {
        if (strcmp(formats[i].name, name) != 0)
            continue;
        *out = (enum audit_format)i;
        return true;
    }
    return false;
}

const char *audit_format_name(enum audit_format format)
{
    return formats[format].name;
}

const char *audit_format_media_type(enum audit_format format)
{
    return formats[format].media_type;
}

/* --- small parts --- */

static const char *text_or_empty(const char *text)
{
    return text ? text : "";
}

static const char *field_of(const struct audit_record *record, const char *key)
{
    for (size_t i = 0; i < record->field_count; i++)
        if (strcmp(record->fields[i].key, key) == 0)
            return record->fields[i].value;
    return NULL;
}

static bool field_is(const struct audit_record *record, const char *key, const char *value)
{
    return strcmp(text_or_empty(field_of(record, key)), value) == 0;
}

/* "2026-01-02T03:04:05Z": jq's fromdate takes no fraction. */
static void time_whole(uint64_t wall_ms, char out[TIME_TEXT_BYTES])
{
    time_format(wall_ms, out);
    char *fraction = strchr(out, '.');
    CHECK(fraction != NULL, "%s has a fraction", out);
    strcpy(fraction, "Z");
}

static json_t *fields_json(const struct audit_record *record)
{
    json_t *json = json_object();
    for (size_t i = 0; i < record->field_count; i++)
        json_object_set_new(json, record->fields[i].key, json_string(text_or_empty(record->fields[i].value)));
    return json;
}

/** @param json  taken over */
static void append_json(struct bytes *out, json_t *json)
{
    char *text = json_dumps(json, JSON_COMPACT);
    CHECK(text != NULL, "a record is text and numbers");
    bytes_append_text(out, text);
    free(text);
    json_decref(json);
}

/* --- csv --- */

/* The first ten are what tools that read such exports know; ours follow. */
static const char csv_head[] =
    "timestamp,event_name,category,action,outcome,actor,resource_type,resource,source,fields_json,"
    "seq,index,term,reason,approver,request_id,prev_hash,hash\r\n";

/* RFC 4180: what holds a separator, a quote or a line break stands in quotes, a quote in it twice. Blanks at
 * the ends are quoted too, since some readers cut them off. */
static void csv_cell(struct bytes *out, const char *text, char after)
{
    const size_t length = strlen(text);
    const bool quoted = strpbrk(text, ",\"\r\n") != NULL || (length > 0 && (*text == ' ' || *text == '\t')) ||
                        (length > 0 && (text[length - 1] == ' ' || text[length - 1] == '\t'));
    if (quoted)
        bytes_append(out, "\"", 1);
    for (const char *at = text; *at != '\0'; at++) {
        if (*at == '"')
            bytes_append(out, "\"", 1);
        bytes_append(out, at, 1);
    }
    if (quoted)
        bytes_append(out, "\"", 1);
    if (after == '\n')
        bytes_append(out, "\r\n", 2);
    else
        bytes_append(out, &after, 1);
}

static void csv_number(struct bytes *out, uint64_t number)
{
    bytes_printf(out, "%" PRIu64 ",", number);
}

static void csv_hash(struct bytes *out, struct span hash, char after)
{
    char text[2 * DIGEST_BYTES + 1] = "";
    if (hash.bytes == DIGEST_BYTES)
        hex_encode(hash.data, hash.bytes, text);
    csv_cell(out, text, after);
}

static void csv_record(const struct audit_record *record, struct bytes *out)
{
    char time[TIME_TEXT_BYTES];
    struct bytes fields;
    time_format(record->timestamp, time);
    bytes_init(&fields, 0);
    append_json(&fields, fields_json(record));
    bytes_append(&fields, "", 1);

    csv_cell(out, time, ',');
    csv_cell(out, text_or_empty(record->event_name), ',');
    csv_cell(out, audit_category_name(record->category), ',');
    csv_cell(out, text_or_empty(record->action), ',');
    csv_cell(out, audit_outcome_name(record->outcome), ',');
    csv_cell(out, text_or_empty(record->actor), ',');
    csv_cell(out, text_or_empty(record->resource_type), ',');
    csv_cell(out, text_or_empty(record->resource), ',');
    csv_cell(out, audit_source_name(record->source), ',');
    csv_cell(out, (const char *)fields.data, ',');
    csv_number(out, record->seq);
    csv_number(out, record->index);
    csv_number(out, record->term);
    csv_cell(out, text_or_empty(record->reason), ',');
    csv_cell(out, text_or_empty(record->approver), ',');
    csv_cell(out, text_or_empty(record->request_id), ',');
    csv_hash(out, record->prev_hash, ',');
    csv_hash(out, record->hash, '\n');
    bytes_done(&fields);
}

/* --- decisions to roll back --- */

/* What the monitor decided carries its decision with it; a person who rolls a plan back decides "rollback".
 * `rollback execute` leaves a record of its own beside this one, which would count twice. */
static const char *decision_of(const struct audit_record *record)
{
    if (strcmp(record->event_name, "monitor.decision") == 0)
        return field_of(record, "decision");
    if (strcmp(record->event_name, "rollout.recovered") == 0 && record->outcome == AUDIT_SUCCESS &&
        field_is(record, "strategy", "rollback"))
        return "rollback";
    return NULL;
}

static json_t *number_of(const struct audit_record *record, const char *key)
{
    uint64_t number;
    const char *text = field_of(record, key);
    return text && parse_u64(text, INT64_MAX, &number) ? json_integer((json_int_t)number) : json_null();
}

/* A share of 1 from hundredths of a percent. */
static json_t *rate_of(const struct audit_record *record)
{
    uint64_t bps;
    const char *text = field_of(record, "error_rate_bps");
    return text && parse_u64(text, UINT32_MAX, &bps) ? json_real((double)bps / RATE_WHOLE_BPS) : json_null();
}

static json_t *evidence_of(const struct audit_record *record)
{
    const char *text = field_of(record, "evidence");
    json_t *evidence = NULL;
    struct error error = {0};
    if (text && json_parse(span_text(text), &evidence, &error) == ERROR_OK)
        return evidence;
    return fields_json(record);
}

static json_t *text_or_null(const char *text)
{
    return text && *text ? json_string(text) : json_null();
}

static bool rollback_record(const struct audit_record *record, struct bytes *out)
{
    char time[TIME_TEXT_BYTES];
    const char *decision = decision_of(record), *status = field_of(record, "status");
    const char *plan_id = field_of(record, "plan_id");
    if (!decision)
        return false;
    time_whole(record->timestamp, time);
    json_t *json = json_object();
    json_object_set_new(json, "timestamp", json_string(time));
    json_object_set_new(json, "ts_ms", json_integer((json_int_t)record->timestamp));
    json_object_set_new(json, "decision", json_string(decision));
    json_object_set_new(json, "reason", json_string(text_or_empty(record->reason)));
    json_object_set_new(json, "errorRate", rate_of(record));
    json_object_set_new(json, "failureCount", number_of(record, "failure_count"));
    json_object_set_new(json, "evidence", evidence_of(record));
    json_object_set_new(json, "status", json_string(status ? status : "executed"));
    json_object_set_new(json, "plan", text_or_null(plan_id ? plan_id : record->resource));
    json_object_set_new(json, "stage", text_or_null(field_of(record, "stage_id")));
    json_object_set_new(json, "actor", text_or_null(record->actor));
    json_object_set_new(json, "seq", json_integer((json_int_t)record->seq));
    append_json(out, json);
    bytes_append(out, "\n", 1);
    return true;
}

/* --- the kill switch's log --- */

/* Quotes and backslashes are escaped; what would break or hide a line is written as an escape. */
static void log_value(struct bytes *out, const char *key, const char *value)
{
    bytes_printf(out, " %s=\"", key);
    for (const char *at = text_or_empty(value); *at != '\0'; at++) {
        const unsigned char byte = (unsigned char)*at;
        if (byte == '"' || byte == '\\')
            bytes_printf(out, "\\%c", byte);
        else if (byte == '\n')
            bytes_append(out, "\\n", 2);
        else if (byte < 0x20 || byte == 0x7f)
            bytes_printf(out, "\\x%02x", byte);
        else
            bytes_append(out, at, 1);
    }
    bytes_append(out, "\"", 1);
}

static bool switch_record(const struct audit_record *record, struct bytes *out)
{
    char time[TIME_TEXT_BYTES];
    const bool reset = strcmp(record->event_name, "killswitch.reset") == 0;
    if (record->outcome != AUDIT_SUCCESS ||
        (!reset && strcmp(record->event_name, "killswitch.activated") != 0))
        return false;
    time_whole(record->timestamp, time);
    bytes_printf(out, "%s %s", time, reset ? "RESET" : "ACTIVATED");
    log_value(out, "reason", record->reason);
    log_value(out, "actor", record->actor);
    if (reset)
        log_value(out, "approver", record->approver);
    if (strcmp(text_or_empty(record->resource), BUILT_IN_SWITCH) != 0)
        log_value(out, "switch", record->resource);
    bytes_append(out, "\n", 1);
    return true;
}

/* --- */

void audit_format_head(enum audit_format format, struct bytes *out)
{
    if (format == AUDIT_FORMAT_CSV)
        bytes_append_text(out, csv_head);
}

bool audit_format_record(enum audit_format format, const struct audit_record *record, struct bytes *out)
{
    switch (format) {
    case AUDIT_FORMAT_JSONL:
        schema_to_line(&audit_schema, record, out);
        bytes_append(out, "\n", 1);
        return true;
    case AUDIT_FORMAT_CSV:
        csv_record(record, out);
        return true;
    case AUDIT_FORMAT_ROLLBACK:
        return rollback_record(record, out);
    case AUDIT_FORMAT_KILL_SWITCH:
        return switch_record(record, out);
    default:
        CHECK(false, "records of format %d stand in an array", (int)format);
    }
}
