/* Pruning the trail: what goes, what stays, and that the rest verifies from its anchor. */
#include "support/fsm_fixture.h"

#include "base/clock.h"
#include "fsm/audit_store.h"
#include "fsm/fsm_internal.h"

#define DAY_S (24ull * 3600)

/* `count` records, `step_s` apart. */
static void populate(struct fixture *fixture, int count, uint64_t step_s)
{
    char json[200];
    for (int i = 0; i < count; i++) {
        fixture->log->wall_ms += step_s * 1000;
        snprintf(json, sizeof(json),
                 "{\"key\": \"PROMPT_MODE\", \"value\": \"m%d\", \"reason\": \"round %d\"}", i, i);
        fixture_run_as(fixture, "flag.set", i % 2 ? "ann" : "bob", "", json);
    }
}

static struct audit_anchor anchor_of(struct fixture *fixture)
{
    struct audit_anchor anchor;
    struct view *view = view_open(fixture->fsm);
    view_audit_anchor(view, &anchor);
    view_close(view);
    return anchor;
}

static uint64_t number_of(struct result result, const char *key)
{
    uint64_t number = UINT64_MAX;
    assert_true(value_get_u64(result.body, key, &number));
    return number;
}

static struct result prune(struct fixture *fixture, const char *what)
{
    char json[200];
    snprintf(json, sizeof(json), "{%s, \"reason\": \"retention\"}", what);
    return fixture_run_as(fixture, "audit.prune", "dba@example.com", "", json);
}

static bool count_row(void *context, struct span key, struct span value)
{
    (void)key, (void)value;
    ++*(uint64_t *)context;
    return true;
}

/* Rows as they lie in the store, whatever the anchor says. */
static uint64_t rows(struct fixture *fixture, char prefix)
{
    uint64_t count = 0;
    const struct store_key key = store_key1(prefix, span_of(NULL, 0));
    store_scan(fsm_store(fixture->fsm), &key, false, count_row, &count);
    return count;
}

static void tick(struct fixture *fixture)
{
    fixture_run_as(fixture, "tick", "system", "", "{\"stuck_after_ms\": 0}");
}

/* From the anchor, as GET /v1/audit/verify does. */
static void assert_verifies(struct fixture *fixture)
{
    struct error error = {0};
    struct audit_chain chain;
    struct audit_anchor anchor = anchor_of(fixture);
    const struct fixture_records *records = fixture_records(fixture, NULL);
    audit_chain_begin(&chain, &anchor);
    for (uint32_t i = 0; i < records->count; i++)
        if (audit_chain_next(&chain, &records->rows[i], &error) != ERROR_OK)
            fail_msg("%s", error.message);
    assert_int_equal(chain.seq, fixture_describe(fixture).audit_seq);
    assert_int_equal(records->rows[0].seq, anchor.seq + 1);
}

/* Goal: a prune leaves an anchor, a record that tells of it, and a chain that verifies from there; nobody
 * sees what lies before; the preview says the same before.
 * Method: 400 records, pruned before 201; queries by every index. */
static void pruned_trail_verifies_from_its_anchor(void **state)
{
    struct fixture *fixture = *state;
    struct error error = {0};
    json_t *preview = NULL;
    populate(fixture, 400, 1);
    const struct audit_record *gone = &fixture_records(fixture, NULL)->rows[199];
    struct view *view = view_open(fixture->fsm);
    assert_int_equal(view_audit_prune(view, &(struct audit_prune){.before_seq = 201}, &preview, &error),
                     ERROR_OK);
    view_close(view);

    const struct result result = prune(fixture, "\"before_seq\": 201");
    assert_int_equal(result.code, RESULT_OK);
    json_t *answer = fixture_json(result.body);
    assert_true(json_equal(preview, answer));
    json_decref(answer);
    json_decref(preview);
    assert_int_equal(number_of(result, "pruned"), 200);
    assert_int_equal(number_of(result, "first_seq"), 201);
    const struct audit_anchor anchor = anchor_of(fixture);
    assert_int_equal(anchor.seq, 200);
    assert_memory_equal(anchor.hash, gone->hash.data, DIGEST_BYTES);
    assert_int_equal(anchor.count, 200);
    assert_int_equal(anchor.timestamp, gone->timestamp);
    assert_int_equal(anchor.record_seq, 401);

    const struct fixture_records *records = fixture_records(fixture, NULL);
    assert_int_equal(records->count, 201);
    struct audit_anchor told;
    assert_true(audit_anchor_of(&records->rows[200], &told));
    assert_memory_equal(told.hash, anchor.hash, DIGEST_BYTES);
    assert_int_equal(told.seq, 200);
    assert_int_equal(told.record_seq, 401);
    assert_string_equal(records->rows[200].actor, "dba@example.com");
    assert_string_equal(records->rows[200].reason, "retention");
    const struct audit_filter filters[] = {{.category = "flags"},
                                           {.event_type = "flags.set"},
                                           {.resource = "PROMPT_MODE"},
                                           {.start_ms = 1, .end_ms = UINT64_MAX, .category = "flags"}};
    for (size_t i = 0; i < sizeof filters / sizeof filters[0]; i++)
        assert_int_equal(fixture_records(fixture, &filters[i])->count, 200);
    assert_verifies(fixture);
}

/* Goal: rows leave the store with the ticks, a bounded number at a time, also over a restart, until nothing
 * of them is left; then the state has no deadline for it any more.
 * Method: 700 records, 600 pruned; rows counted as they lie. */
static void ticks_delete_what_was_pruned(void **state)
{
    struct fixture *fixture = *state;
    populate(fixture, 700, 1);
    const uint64_t per_record = rows(fixture, 'A') / 700;
    assert_int_equal(per_record, 4);
    assert_int_equal(prune(fixture, "\"before_seq\": 601").code, RESULT_OK);
    assert_int_equal(rows(fixture, 'a'), 701);
    for (uint64_t left = 600; left > 0;) {
        struct view *view = view_open(fixture->fsm);
        assert_int_equal(view_next_deadline_ms(view, 0), FSM_DEADLINE_SWEEP);
        view_close(view);
        tick(fixture);
        left -= left < AUDIT_SWEEP_MAX ? left : AUDIT_SWEEP_MAX;
        assert_int_equal(rows(fixture, 'a'), 101 + left);
        assert_int_equal(rows(fixture, 'A'), 4 * (101 + left));
        assert_int_equal(anchor_of(fixture).swept_seq, 600 - left);
        fixture_restart(fixture, true);
        assert_verifies(fixture);
    }
    struct view *view = view_open(fixture->fsm);
    assert_int_not_equal(view_next_deadline_ms(view, 0), FSM_DEADLINE_SWEEP);
    view_close(view);
    tick(fixture);
    assert_int_equal(rows(fixture, 'a'), 101);
}

/* Goal: a time and an age name the same records as their seq does.
 * Method: a record a day for 300 days; before a time; keeping days. */
static void times_and_ages_name_records(void **state)
{
    struct fixture *fixture = *state;
    char what[80], time[TIME_TEXT_BYTES];
    populate(fixture, 300, DAY_S);
    const struct fixture_records *records = fixture_records(fixture, NULL);
    time_format(records->rows[49].timestamp, time);
    snprintf(what, sizeof what, "\"before\": \"%s\"", time);
    assert_int_equal(number_of(prune(fixture, what), "first_seq"), 50);
    /* 120 days before record 300's time lies record 180's; it is not older than that */
    assert_int_equal(number_of(prune(fixture, "\"keep_days\": 120"), "first_seq"), 180);
    assert_int_equal(number_of(prune(fixture, "\"keep_days\": 36500"), "pruned"), 0);
    assert_int_equal(anchor_of(fixture).seq, 179);
    assert_int_equal(anchor_of(fixture).count, 130);
    assert_verifies(fixture);
}

static const char *held_by(struct fixture *fixture, struct result result)
{
    return fixture_text(fixture, result, "held_by");
}

/* Goal: the newest records stay, and so does all that open plans, active switches and open actions left since
 * they began; the answer says what held it. What ends lets go.
 * Method: one of each, with many records after it. */
static void what_is_needed_stays(void **state)
{
    struct fixture *fixture = *state;
    populate(fixture, 150, 1);
    struct result result = prune(fixture, "\"before_seq\": 1000000");
    assert_int_equal(number_of(result, "first_seq"), 51);
    assert_string_equal(held_by(fixture, result), AUDIT_KEEP_TEXT);

    fixture_expect(fixture_run(fixture, "rollout.create",
                               "{\"plan_id\": \"p-7\", \"artifact\": {\"name\": \"a\", \"version\": \"2\"}, "
                               "\"stages\": [{\"stage_id\": \"s\", \"gates\": [{\"kind\": \"manual\"}]}], "
                               "\"publish\": true}"),
                   RESULT_CREATED, __FILE__, __LINE__);
    const uint64_t plan_seq =
        fixture_records(fixture, &(struct audit_filter){.resource = "p-7"})->rows[0].seq;
    populate(fixture, 120, 1);
    fixture_run(fixture, "switch.activate", "{\"name\": \"DISABLE_NEW\", \"reason\": \"bad\"}");
    const uint64_t switch_seq = fixture_describe(fixture).audit_seq;
    populate(fixture, 120, 1);
    fixture_run(fixture, "failover.request", "{\"reason\": \"try\"}");
    const uint64_t action_seq = fixture_describe(fixture).audit_seq;
    const uint64_t action_index = fixture->log->count;
    populate(fixture, 120, 1);

    result = prune(fixture, "\"before_seq\": 1000000");
    assert_int_equal(number_of(result, "first_seq"), plan_seq);
    assert_string_equal(held_by(fixture, result), "plan p-7 is open");
    fixture_run(fixture, "rollout.cancel", "{\"plan_id\": \"p-7\", \"reason\": \"over\"}");
    result = prune(fixture, "\"before_seq\": 1000000");
    assert_string_equal(held_by(fixture, result), "kill switch DISABLE_NEW is active");
    assert_true(number_of(result, "first_seq") <= switch_seq &&
                number_of(result, "first_seq") + 1 >= switch_seq);
    fixture_run_as(
        fixture, "switch.reset", "ann", "",
        "{\"name\": \"DISABLE_NEW\", \"reason\": \"r\", \"approver\": \"bob\", \"root_cause\": \"c\"}");
    result = prune(fixture, "\"before_seq\": 1000000");
    assert_string_equal(held_by(fixture, result), "a failover has no outcome yet");
    assert_true(number_of(result, "first_seq") <= action_seq &&
                number_of(result, "first_seq") + 1 >= action_seq);
    char json[100];
    snprintf(json, sizeof json, "{\"request_index\": %llu, \"success\": false, \"detail\": \"no\"}",
             (unsigned long long)action_index);
    fixture_run_as(fixture, "failover.outcome", "system", "", json);
    result = prune(fixture, "\"before_seq\": 1000000");
    assert_string_equal(held_by(fixture, result), AUDIT_KEEP_TEXT);
    assert_verifies(fixture);
}

/* Goal: a prune that has nothing to do changes nothing and leaves no record; one that doesn't say exactly
 * what goes is refused, and the attempt recorded.
 * Method: on a short trail, twice on a long one, with none and two of the three. */
static void idle_and_vague_prunes_change_nothing(void **state)
{
    struct fixture *fixture = *state;
    populate(fixture, 80, 1);
    assert_int_equal(number_of(prune(fixture, "\"before_seq\": 50"), "pruned"), 0);
    populate(fixture, 120, 1);
    assert_int_equal(number_of(prune(fixture, "\"before_seq\": 50"), "pruned"), 49);
    const uint64_t records = fixture_describe(fixture).audit_seq;
    const struct result again = prune(fixture, "\"before_seq\": 50");
    assert_int_equal(number_of(again, "pruned"), 0);
    assert_int_equal(number_of(again, "first_seq"), 50);
    assert_int_equal(number_of(prune(fixture, "\"before_seq\": 7"), "pruned"), 0);
    assert_int_equal(fixture_describe(fixture).audit_seq, records);

    assert_int_equal(prune(fixture, "\"before_seq\": 60, \"keep_days\": 3").code, RESULT_INVALID);
    assert_int_equal(fixture_run(fixture, "audit.prune", "{\"reason\": \"r\"}").code, RESULT_INVALID);
    assert_int_equal(fixture_count(fixture, AUDIT_PRUNED_EVENT, AUDIT_DENIED), 2);
    assert_int_equal(fixture_count(fixture, AUDIT_PRUNED_EVENT, AUDIT_SUCCESS), 1);
    assert_int_equal(anchor_of(fixture).seq, 49);
}

/* Goal: how entries fall into groups changes nothing, with prunes and their sweeps among them, one prune
 * meeting what another left to be swept.
 * Method: one log, applied entry by entry and in one go. */
static void groups_change_nothing_about_a_prune(void **state)
{
    struct fixture *fixture = *state;
    populate(fixture, 900, 1);
    prune(fixture, "\"before_seq\": 400");
    tick(fixture);
    prune(fixture, "\"before_seq\": 700");
    for (int i = 0; i < 4; i++)
        tick(fixture);
    assert_int_equal(rows(fixture, 'a'), 902 - 699);
    assert_verifies(fixture);

    struct fixture *other = fixture_new();
    struct fixture_log *own = other->log;
    other->log = fixture->log;
    fixture_apply(other, fixture->log->count);
    assert_memory_equal(fixture_describe(other).digest, fixture_describe(fixture).digest, DIGEST_BYTES);
    assert_int_equal(rows(other, 'a'), rows(fixture, 'a'));
    other->log = own;
    fixture_free(other);
}

/* Goal: a record that tells of no prune, or is damaged, gives no anchor.
 * Method: one field changed at a time. */
static void damaged_anchors_are_none(void **state)
{
    (void)state;
    char hash[65];
    memset(hash, 'a', 64);
    hash[64] = '\0';
    struct field_pair good[] = {{"anchor_hash", hash},
                                {"anchor_seq", "7"},
                                {"anchor_time", "2026-01-01T00:00:00.000Z"},
                                {"count", "7"}};
    struct audit_record record = {.seq = 9,
                                  .event_name = AUDIT_PRUNED_EVENT,
                                  .outcome = AUDIT_SUCCESS,
                                  .fields = good,
                                  .field_count = 4};
    struct audit_anchor anchor;
    assert_true(audit_anchor_of(&record, &anchor));
    static const char *const wrong[] = {"ab", "9", "yesterday", "-1"};
    for (size_t i = 0; i < 4; i++) {
        const char *was = good[i].value;
        good[i].value = wrong[i];
        assert_false(audit_anchor_of(&record, &anchor));
        good[i].value = was;
    }
    record.field_count = 3;
    assert_false(audit_anchor_of(&record, &anchor));
    record.field_count = 4;
    record.outcome = AUDIT_DENIED;
    assert_false(audit_anchor_of(&record, &anchor));
    record.outcome = AUDIT_SUCCESS;
    record.event_name = "flags.set";
    assert_false(audit_anchor_of(&record, &anchor));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(pruned_trail_verifies_from_its_anchor, fixture_set_up,
                                        fixture_tear_down),
        cmocka_unit_test_setup_teardown(ticks_delete_what_was_pruned, fixture_set_up, fixture_tear_down),
        cmocka_unit_test_setup_teardown(times_and_ages_name_records, fixture_set_up, fixture_tear_down),
        cmocka_unit_test_setup_teardown(what_is_needed_stays, fixture_set_up, fixture_tear_down),
        cmocka_unit_test_setup_teardown(idle_and_vague_prunes_change_nothing, fixture_set_up,
                                        fixture_tear_down),
        cmocka_unit_test_setup_teardown(groups_change_nothing_about_a_prune, fixture_set_up,
                                        fixture_tear_down),
        cmocka_unit_test(damaged_anchors_are_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
