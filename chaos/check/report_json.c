/* The verdict for machines. */
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "chaos/check/check_internal.h"
#include "chaos/check/report.h"

static json_t *count_json(uint64_t count)
{
    return json_integer((json_int_t)count);
}

static json_t *text_json(const char *text)
{
    json_t *value = text != NULL ? json_string(text) : NULL;
    return value != NULL ? value : json_null();
}

static json_t *operation_json(const struct history_op *op, uint32_t number)
{
    char text[DESCRIPTION_BYTES];
    op_describe(op, text);
    return json_pack("{s:i, s:i, s:s, s:s, s:s, s:o, s:o, s:o}", "number", (int)number, "client",
                     (int)op->client, "kind", history_kind_name(op->kind), "outcome",
                     history_outcome_names[op->outcome], "text", text, "invoke_ns", count_json(op->invoke_ns),
                     "complete_ns",
                     op->complete_ns == HISTORY_NEVER ? json_null() : count_json(op->complete_ns), "node",
                     text_json(op->node));
}

static json_t *check_json(const struct history *history, enum check_kind kind,
                          const struct check_result *result)
{
    json_t *operations = json_array();
    for (size_t i = 0; i < result->op_count; i++)
        json_array_append_new(operations, operation_json(&history->ops[result->ops[i]], result->ops[i]));
    json_t *one = json_pack("{s:s, s:s, s:s, s:o, s:o, s:o, s:o, s:o}", "name", check_name(kind), "verdict",
                            check_verdict_name(result->verdict), "property", check_text(kind), "looked_at",
                            count_json(result->looked_at), "objects", count_json(result->objects),
                            "violations", count_json(result->violations), "message",
                            result->message[0] != '\0' ? text_json(result->message) : json_null(),
                            "operations", operations);
    CHECK(one != NULL, "check %s has no JSON form", check_name(kind));
    return one;
}

static json_t *counts_json(const struct history *history)
{
    uint64_t outcomes[HISTORY_OUTCOME_COUNT] = {0}, reads = 0;
    for (size_t i = 0; i < history->op_count; i++) {
        outcomes[history->ops[i].outcome]++;
        reads += history_kind_reads(history->ops[i].kind);
    }
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "operations", count_json(history->op_count),
                     "reads", count_json(reads), "ok", count_json(outcomes[HISTORY_OK]), "refused",
                     count_json(outcomes[HISTORY_REFUSED]), "unknown", count_json(outcomes[HISTORY_UNKNOWN]),
                     "faults", count_json(history->fault_count), "events", count_json(history->event_count),
                     "audit_records", count_json(history->audit_count));
}

static json_t *availability_json(const struct history *history)
{
    size_t count;
    struct availability *rows = availability_of(history, &count);
    json_t *array = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append_new(
            array,
            json_pack("{s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "fault", rows[i].name, "times",
                      count_json(rows[i].times), "total_ms", count_json(rows[i].total_ns / 1000000),
                      "changes", count_json(rows[i].changes), "answered", count_json(rows[i].acknowledged),
                      "refused", count_json(rows[i].refused), "unknown", count_json(rows[i].unknown),
                      "longest_gap_ms", count_json(rows[i].longest_gap_ns / 1000000)));
    free(rows);
    return array;
}

struct json_t *report_json(const struct history *history, const struct check_report *report)
{
    json_t *checks = json_array();
    for (size_t i = 0; i < CHECK_KIND_COUNT; i++)
        json_array_append_new(checks, check_json(history, (enum check_kind)i, &report->results[i]));
    return json_pack("{s:s, s:o, s:o, s:o, s:o, s:o}", "verdict",
                     history->environment != NULL ? "environment" : check_verdict_name(report->verdict),
                     "environment", text_json(history->environment), "about", text_json(history->about),
                     "counts", counts_json(history), "checks", checks, "availability",
                     availability_json(history));
}

enum error_code report_write_json(const struct history *history, const struct check_report *report,
                                  const char *path, struct error *error)
{
    json_t *whole = report_json(history, report);
    CHECK(whole != NULL, "a verdict of %zu operations has no JSON form", history->op_count);
    const int failed = json_dump_file(whole, path, JSON_INDENT(1));
    json_decref(whole);
    if (failed != 0)
        return error_set(error, ERROR_IO, "%s can't be written: %s", path, strerror(errno));
    return ERROR_OK;
}
