/* The audit trail as JSON lines, csv and the two files of the kill-switch runbook. */
#include "support/fsm_fixture.h"

#include <jansson.h>

#include "fsm/audit_view.h"

static struct audit_record record_of(const char *event, uint32_t outcome, const char *reason)
{
    static const uint8_t hash[DIGEST_BYTES] = {0xab};
    return (struct audit_record){
        .seq = 7,
        .index = 9,
        .term = 2,
        .timestamp = 1760000000678u,
        .category = AUDIT_FLAGS,
        .outcome = outcome,
        .event_name = event,
        .action = "do",
        .actor = "ann@example.com",
        .approver = "bob@example.com",
        .reason = reason,
        .resource_type = "kill_switch",
        .resource = "DISABLE_NEW",
        .prev_hash = {hash, sizeof hash},
        .hash = {hash, sizeof hash},
    };
}

static char *rendered(enum audit_format format, const struct audit_record *record)
{
    struct bytes out;
    bytes_init(&out, 0);
    const bool taken = audit_format_record(format, record, &out);
    assert_int_equal(taken, out.length > 0);
    bytes_append(&out, "", 1);
    return (char *)bytes_take(&out, &(size_t){0});
}

static void assert_rendered(enum audit_format format, const struct audit_record *record, const char *expected)
{
    char *text = rendered(format, record);
    assert_string_equal(text, expected);
    free(text);
}

/* Goal: the kill switch's log has the runbook's form; what could break or forge a line is escaped; other
 * switches are named; attempts and other records have no line. Method: a record of each kind. */
static void kill_switch_log_has_the_form_of_the_runbook(void **state)
{
    (void)state;
    struct audit_record on =
        record_of("killswitch.activated", AUDIT_SUCCESS, "Escalation: 2+ consecutive failures");
    assert_rendered(AUDIT_FORMAT_KILL_SWITCH, &on,
                    "2025-10-09T08:53:20Z ACTIVATED reason=\"Escalation: 2+ consecutive failures\" "
                    "actor=\"ann@example.com\"\n");
    struct audit_record off = record_of("killswitch.reset", AUDIT_SUCCESS, "a \"fix\"\\\nX RESET \x1b[2J");
    assert_rendered(AUDIT_FORMAT_KILL_SWITCH, &off,
                    "2025-10-09T08:53:20Z RESET reason=\"a \\\"fix\\\"\\\\\\nX RESET \\x1b[2J\" "
                    "actor=\"ann@example.com\" approver=\"bob@example.com\"\n");
    on.resource = "cart";
    on.reason = NULL;
    assert_rendered(AUDIT_FORMAT_KILL_SWITCH, &on,
                    "2025-10-09T08:53:20Z ACTIVATED reason=\"\" actor=\"ann@example.com\" switch=\"cart\"\n");
    const struct audit_record denied = record_of("killswitch.reset", AUDIT_DENIED, "no");
    assert_rendered(AUDIT_FORMAT_KILL_SWITCH, &denied, "");
    const struct audit_record other = record_of("flags.set", AUDIT_SUCCESS, "no");
    assert_rendered(AUDIT_FORMAT_KILL_SWITCH, &other, "");
}

static json_t *decision(const struct audit_record *record)
{
    char *text = rendered(AUDIT_FORMAT_ROLLBACK, record);
    json_t *json = json_loads(text, 0, NULL);
    assert_int_equal(text[strlen(text) - 1], '\n');
    free(text);
    assert_non_null(json);
    return json;
}

/* Goal: a plan that was rolled back is one decision, with the keys that the runbook's queries read; other
 * recoveries, refusals and the action's own record are none. Method: a record of each kind. */
static void a_rollback_is_one_decision(void **state)
{
    (void)state;
    struct field_pair fields[] = {{"stage_id", "canary"}, {"strategy", "rollback"}};
    struct audit_record record = record_of("rollout.recovered", AUDIT_SUCCESS, "errors");
    record.resource = "p-7";
    record.fields = fields;
    record.field_count = 2;
    json_t *json = decision(&record);
    assert_string_equal(json_string_value(json_object_get(json, "timestamp")), "2025-10-09T08:53:20Z");
    assert_int_equal(json_integer_value(json_object_get(json, "ts_ms")), 1760000000678);
    assert_string_equal(json_string_value(json_object_get(json, "decision")), "rollback");
    assert_string_equal(json_string_value(json_object_get(json, "reason")), "errors");
    assert_true(json_is_null(json_object_get(json, "errorRate")));
    assert_true(json_is_null(json_object_get(json, "failureCount")));
    assert_string_equal(json_string_value(json_object_get(json, "plan")), "p-7");
    assert_string_equal(json_string_value(json_object_get(json, "stage")), "canary");
    assert_string_equal(json_string_value(json_object_get(json, "status")), "executed");
    assert_string_equal(json_string_value(json_object_get(json_object_get(json, "evidence"), "strategy")),
                        "rollback");
    json_decref(json);

    fields[1].value = "retry";
    assert_rendered(AUDIT_FORMAT_ROLLBACK, &record, "");
    fields[1].value = "rollback";
    record.outcome = AUDIT_DENIED;
    assert_rendered(AUDIT_FORMAT_ROLLBACK, &record, "");
    record.outcome = AUDIT_SUCCESS;
    record.event_name = "rollback.executed";
    assert_rendered(AUDIT_FORMAT_ROLLBACK, &record, "");
}

/* Goal: what a monitor decided brings its decision, rate, failures and evidence along; evidence that isn't
 * JSON is shown as the fields are. Method: such a record, then with damaged evidence. */
static void a_monitors_decision_brings_its_evidence(void **state)
{
    (void)state;
    struct field_pair fields[] = {{"decision", "escalate"},    {"error_rate_bps", "4250"},
                                  {"evidence", "[{\"c\":2}]"}, {"failure_count", "5"},
                                  {"plan_id", "p-7"},          {"status", "escalated"}};
    struct audit_record record = record_of("monitor.decision", AUDIT_SUCCESS, "2 failures");
    record.fields = fields;
    record.field_count = sizeof fields / sizeof fields[0];
    json_t *json = decision(&record);
    assert_string_equal(json_string_value(json_object_get(json, "decision")), "escalate");
    assert_string_equal(json_string_value(json_object_get(json, "status")), "escalated");
    assert_true(json_real_value(json_object_get(json, "errorRate")) == 0.425);
    assert_int_equal(json_integer_value(json_object_get(json, "failureCount")), 5);
    assert_int_equal(json_array_size(json_object_get(json, "evidence")), 1);
    json_decref(json);
    fields[2].value = "[{";
    json = decision(&record);
    assert_true(json_is_object(json_object_get(json, "evidence")));
    json_decref(json);
}

/* Goal: csv quotes what RFC 4180 wants quoted, changes nothing of it, and ends rows with CRLF.
 * Method: a reason with a comma, a quote and a line break; blanks at an end; one like a formula. */
static void csv_quotes_and_keeps_every_character(void **state)
{
    (void)state;
    struct field_pair fields[] = {{"k", "a,b"}};
    struct audit_record record = record_of("flags.set", AUDIT_DENIED, "a, \"b\"\r\nc");
    struct bytes head;
    record.fields = fields;
    record.field_count = 1;
    record.actor = " ann";
    record.resource = "=1+1";
    record.approver = NULL;
    bytes_init(&head, 0);
    audit_format_head(AUDIT_FORMAT_CSV, &head);
    assert_memory_equal(
        head.data, "timestamp,event_name,category,action,outcome,actor,resource_type,resource,source,", 80);
    assert_memory_equal(head.data + head.length - 2, "\r\n", 2);
    bytes_done(&head);
    char *text = rendered(AUDIT_FORMAT_CSV, &record);
    static const char expected[] =
        "2025-10-09T08:53:20.678Z,flags.set,flags,do,denied,\" ann\",kill_switch,=1+1,orchestrator,"
        "\"{\"\"k\"\":\"\"a,b\"\"}\",7,9,2,\"a, \"\"b\"\"\r\nc\",,,ab00";
    assert_memory_equal(text, expected, sizeof expected - 1);
    assert_string_equal(text + strlen(text) - 2, "\r\n");
    free(text);
}

/* Goal: a JSON line reads back as the record, and every format has its name.
 * Method: one line through the schema; all formats. */
static void json_lines_read_back(void **state)
{
    (void)state;
    const struct audit_record record = record_of("flags.set", AUDIT_SUCCESS, "why\nnot");
    char *text = rendered(AUDIT_FORMAT_JSONL, &record);
    assert_ptr_equal(strchr(text, '\n'), text + strlen(text) - 1);
    json_t *json = json_loads(text, 0, NULL);
    struct audit_record back = {0};
    struct error error = {0};
    struct arena arena;
    arena_init(&arena, 1u << 20);
    assert_int_equal(schema_from_json(&audit_schema, json, &arena, &back, &error), ERROR_OK);
    assert_string_equal(back.reason, "why\nnot");
    arena_done(&arena);
    json_decref(json);
    free(text);
    for (uint32_t i = 0; i < AUDIT_FORMAT_COUNT; i++) {
        enum audit_format format = AUDIT_FORMAT_COUNT;
        assert_true(audit_format_find(audit_format_name((enum audit_format)i), &format));
        assert_int_equal(format, i);
    }
    assert_false(audit_format_find("xml", &(enum audit_format){0}));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kill_switch_log_has_the_form_of_the_runbook),
        cmocka_unit_test(a_rollback_is_one_decision),
        cmocka_unit_test(a_monitors_decision_brings_its_evidence),
        cmocka_unit_test(csv_quotes_and_keeps_every_character),
        cmocka_unit_test(json_lines_read_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
