/* What the tests of plans share: short ways to command and to look, and what must hold after every test.
 *
 * Tearing down applies the test's log once more, in other groups, to another state machine, and compares
 * digests; it also walks all index keys and verifies the audit chain. */
#pragma once

#include "support/fsm_fixture.h"

#include "base/clock.h"
#include "fsm/fsm_internal.h"
#include "fsm/plan_internal.h"

#define HOUR_MS 3600000ull

/** One stage with every node and no end of its own. */
#define PLAN_MANUAL                                                                                          \
    "{\"plan_id\": \"p\", \"artifact\": {\"name\": \"app\", \"version\": \"2\", \"previous_version\": "      \
    "\"1\"}, "                                                                                               \
    "\"stages\": [{\"stage_id\": \"one\", \"gates\": [{\"kind\": \"manual\"}]}], \"publish\": true}"
/** Two such stages. */
#define PLAN_TWO                                                                                             \
    "{\"plan_id\": \"p\", \"artifact\": {\"name\": \"app\", \"version\": \"2\", \"previous_version\": "      \
    "\"1\"}, "                                                                                               \
    "\"stages\": [{\"stage_id\": \"one\", \"gates\": [{\"kind\": \"manual\"}]}, "                            \
    "{\"stage_id\": \"two\", \"gates\": [{\"kind\": \"manual\"}]}], \"publish\": true}"

FIXTURE_FN void pass_time(struct fixture *self, uint64_t ms)
{
    self->log->wall_ms += ms;
}

/** Runs a command whose body is made as printf does. */
FIXTURE_FN struct result run(struct fixture *self, const char *name, const char *format, ...) PRINTF(3, 4);
FIXTURE_FN struct result run(struct fixture *self, const char *name, const char *format, ...)
{
    char json[16384];
    va_list arguments;
    va_start(arguments, format);
    const int length = vsnprintf(json, sizeof json, format, arguments);
    va_end(arguments);
    assert_true(length > 0 && (size_t)length < sizeof json);
    return fixture_run(self, name, json);
}

FIXTURE_FN struct result tick(struct fixture *self)
{
    return run(self, "tick", "{\"stuck_after_ms\": %llu}", HOUR_MS);
}

FIXTURE_FN struct result report(struct fixture *self, const char *node_id, const char *node_state)
{
    return run(self, "rollout.node", "{\"plan_id\": \"p\", \"node_id\": \"%s\", \"state\": \"%s\"}", node_id,
               node_state);
}

/** Runs a verb that takes plan_id and reason. */
FIXTURE_FN struct result verb(struct fixture *self, const char *name)
{
    char full[64];
    snprintf(full, sizeof full, "rollout.%s", name);
    return run(self, full, "{\"plan_id\": \"p\", \"reason\": \"because\"}");
}

FIXTURE_FN struct result recover(struct fixture *self, const char *strategy)
{
    return run(self, "rollout.recover", "{\"plan_id\": \"p\", \"strategy\": \"%s\", \"reason\": \"because\"}",
               strategy);
}

FIXTURE_FN struct result approve(struct fixture *self, const char *stage_id)
{
    return run(self, "rollout.gate.approve",
               "{\"plan_id\": \"p\", \"stage_id\": \"%s\", \"reason\": \"because\"}", stage_id);
}

/** The plan whole, as a GET answers it; the caller lets go of it. */
FIXTURE_FN json_t *plan_get(struct fixture *self, const char *plan_id)
{
    struct error error = {0};
    json_t *json = NULL;
    struct view *view = view_open(self->fsm);
    if (view_plan_at(view, plan_id, self->log->wall_ms, &json, &error) != ERROR_OK)
        fail_msg("%s", error.message);
    view_close(view);
    return json;
}

/** A value by its path: "stages.0.gates.1.detail"; borrowed. */
FIXTURE_FN json_t *json_at(json_t *json, const char *path)
{
    char part[64];
    while (*path != '\0' && json != NULL) {
        const size_t length = strcspn(path, ".");
        assert_true(length < sizeof part);
        memcpy(part, path, length);
        part[length] = '\0';
        path += path[length] == '.' ? length + 1 : length;
        json =
            json_is_array(json) ? json_array_get(json, strtoul(part, NULL, 10)) : json_object_get(json, part);
    }
    return json;
}

/** Text, number or bool at a path of plan "p", as text; "null" and "missing" say so. In the fixture's arena.
 */
FIXTURE_FN const char *plan_at(struct fixture *self, const char *path)
{
    json_t *plan = plan_get(self, "p");
    json_t *value = json_at(plan, path);
    const char *text = "missing";
    if (json_is_string(value)) {
        text = fixture_copy(self, json_string_value(value));
    } else if (value != NULL) {
        char *dump = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT | JSON_SORT_KEYS);
        text = fixture_copy(self, dump);
        free(dump);
    }
    json_decref(plan);
    return text;
}

FIXTURE_FN const char *phase(struct fixture *self)
{
    return plan_at(self, "phase");
}

/** A body's member of any kind as text, in the fixture's arena. */
FIXTURE_FN const char *body_at(struct fixture *self, struct result result, const char *path)
{
    json_t *body = fixture_json(result.body);
    char *dump = json_dumps(json_at(body, path), JSON_ENCODE_ANY | JSON_COMPACT | JSON_SORT_KEYS);
    const char *text = dump == NULL ? "missing" : fixture_copy(self, dump);
    free(dump);
    json_decref(body);
    return text;
}

FIXTURE_FN uint64_t next_deadline(struct fixture *self)
{
    struct view *view = view_open(self->fsm);
    const uint64_t deadline = plan_next_deadline_ms(view, HOUR_MS);
    view_close(view);
    return deadline;
}

/** Writes behind the state machine's back: what a test can't reach by commands, or damage. */
FIXTURE_FN void put_raw(struct fixture *self, struct store_key key, struct span value)
{
    struct error error = {0};
    struct kv_batch *batch = kv_batch_new();
    kv_batch_put(batch, store_key_span(&key), value);
    assert_int_equal(kv_write(store_kv(fsm_store(self->fsm)), batch, (struct kv_write_options){0}, &error),
                     ERROR_OK);
    kv_batch_free(batch);
}

/* --- what holds after every test --- */

FIXTURE_FN bool key_there(struct kv *kv, struct store_key key)
{
    struct bytes value;
    struct error error = {0};
    bytes_init(&value, 0);
    const enum error_code code = kv_get(kv, NULL, store_key_span(&key), &value, &error);
    bytes_done(&value);
    assert_true(code == ERROR_OK || code == ERROR_NOT_FOUND);
    return code == ERROR_OK;
}

FIXTURE_FN uint32_t count_keys(struct kv *kv, char prefix)
{
    struct error error = {0};
    struct span key, value;
    uint32_t count = 0;
    const struct store_key first = store_key1(prefix, span_of(NULL, 0)), limit = store_key_after(&first);
    struct kv_iterator *iterator =
        kv_iterate(kv, NULL, store_key_span(&first), store_key_span(&limit), false);
    while (kv_iterator_next(iterator, &key, &value))
        count++;
    assert_int_equal(kv_iterator_close(iterator, &error), ERROR_OK);
    return count;
}

/** Every plan stands in the indexes where its record says, and nothing else stands there. */
FIXTURE_FN void check_indexes(struct fixture *self)
{
    struct kv *kv = store_kv(fsm_store(self->fsm));
    struct error error = {0};
    struct span key, value;
    uint64_t plans = 0, due = 0, unmoved = 0, exposed = 0, nodes = 0;
    const struct store_key first = plan_key(""), limit = store_key_after(&first);
    struct kv_iterator *iterator =
        kv_iterate(kv, NULL, store_key_span(&first), store_key_span(&limit), false);
    while (kv_iterator_next(iterator, &key, &value)) {
        struct plan plan;
        if (schema_unpack(&plan_schema, value, &self->arena, &plan, &error) != ERROR_OK)
            fail_msg("%s", error.message);
        plan_check(&plan);
        plans++;
        assert_true(key_there(kv, plan_phase_key(plan.phase, plan.plan_id)));
        assert_int_equal(plan.unmoved, plan.phase == PLAN_PUBLISHED || plan.phase == PLAN_ACTIVE);
        assert_true(!plan.unmoved ||
                    key_there(kv, plan_unmoved_key(plan.stuck_recorded, plan.filed_ms, plan.plan_id)));
        assert_true(plan.due_ms == 0 || key_there(kv, plan_due_key(plan.due_ms, plan.plan_id)));
        due += plan.due_ms != 0;
        unmoved += plan.unmoved;
        exposed += plan_exposed(&plan);
        nodes += plan.node_count;
    }
    assert_int_equal(kv_iterator_close(iterator, &error), ERROR_OK);
    assert_int_equal(count_keys(kv, 'P'), plans);
    assert_int_equal(count_keys(kv, 'D'), due);
    assert_int_equal(count_keys(kv, 'u'), unmoved);
    assert_int_equal(count_keys(kv, 'N'), exposed);
    assert_int_equal(count_keys(kv, 'n'), nodes);
}

/** The same log in other groups gives the same digest; the audit chain is whole. */
FIXTURE_FN void check_replay(struct fixture *self)
{
    struct fixture *other = fixture_new();
    struct error error = {0};
    uint32_t done = 0, group = 1;
    while (done < self->log->count) {
        const uint32_t left = self->log->count - done, count = group < left ? group : left;
        if (fsm_apply(other->fsm, self->log->entries + done, count, other->results, &error) != ERROR_OK)
            fail_msg("%s", error.message);
        done += count;
        group = group % 61 + 7;
    }
    const struct fsm_state mine = fixture_describe(self), theirs = fixture_describe(other);
    assert_int_equal(mine.index, theirs.index);
    assert_memory_equal(mine.digest, theirs.digest, DIGEST_BYTES);

    const struct fixture_records *records = fixture_records(other, &(struct audit_filter){0});
    struct audit_chain chain = {0};
    for (uint32_t i = 0; i < records->count; i++)
        if (audit_chain_next(&chain, &records->rows[i], &error) != ERROR_OK)
            fail_msg("%s", error.message);
    fixture_free(other);
}

FIXTURE_FN int plan_tear_down(void **state)
{
    check_indexes(*state);
    check_replay(*state);
    return fixture_tear_down(state);
}

#define plan_test(name) cmocka_unit_test_setup_teardown(name, fixture_set_up, plan_tear_down)
