/* Kill switches: what they do to flags, and how hard they are to reset. */
#include "support/plan_fixture.h"

#include "fsm/kill_switch.h"

static json_t *get(struct fixture *fixture, bool flag, const char *name)
{
    struct error error = {0};
    json_t *json = NULL;
    struct view *view = view_open(fixture->fsm);
    const enum error_code code =
        flag ? view_flag(view, name, &json, &error) : view_switch(view, name, &json, &error);
    view_close(view);
    if (code != ERROR_OK)
        fail_msg("%s", error.message);
    return json;
}

static const char *member(struct fixture *fixture, bool flag, const char *name, const char *path)
{
    json_t *json = get(fixture, flag, name);
    char *dump = json_dumps(json_at(json, path), JSON_ENCODE_ANY | JSON_COMPACT | JSON_SORT_KEYS);
    const char *text = dump == NULL ? "missing" : fixture_copy(fixture, dump);
    free(dump);
    json_decref(json);
    return text;
}

#define flag_at(key, path)    member(fixture, true, (key), (path))
#define switch_at(name, path) member(fixture, false, (name), (path))

static struct result activate(struct fixture *fixture, const char *name)
{
    return run(fixture, "switch.activate", "{\"name\": \"%s\", \"reason\": \"errors rise\"}", name);
}

static struct result reset(struct fixture *fixture, const char *name, const char *approver)
{
    return run(fixture, "switch.reset",
               "{\"name\": \"%s\", \"reason\": \"fixed\", \"approver\": \"%s\", \"root_cause\": \"a typo\"}",
               name, approver);
}

static struct result set(struct fixture *fixture, const char *key, const char *value)
{
    return run(fixture, "flag.set", "{\"key\": \"%s\", \"value\": %s, \"reason\": \"because\"}", key, value);
}

static void define_flags(struct fixture *fixture)
{
    static const char *const keys[] = {"pay.card", "pay.cash", "mail"};
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        assert_result(run(fixture, "flag.define",
                          "{\"key\": \"%s\", \"type\": \"integer\", \"default\": 1, \"safe\": 0}", keys[i]),
                      RESULT_CREATED);
        set(fixture, keys[i], "2");
    }
}

/* Goal: while DISABLE_NEW is active every flag holds its safe value, with its reason and the switch's name;
 * what was set is kept for the reset. Method: set, activate, look, set while active, reset, look. */
static void active_switch_makes_flags_safe(void **state)
{
    struct fixture *fixture = *state;
    define_flags(fixture);
    assert_result(activate(fixture, "DISABLE_NEW"), RESULT_OK);
    assert_string_equal(flag_at("mail", "value"), "0");
    assert_string_equal(flag_at("mail", "stored"), "2");
    assert_string_equal(flag_at("mail", "reason"), "\"DISABLED\"");
    assert_string_equal(flag_at("mail", "switch"), "\"DISABLE_NEW\"");
    assert_string_equal(flag_at("PROMPT_MODE", "reason"), "\"DISABLED\"");
    const struct result answer = set(fixture, "mail", "3");
    assert_result(answer, RESULT_OK);
    assert_string_equal(body_at(fixture, answer, "value"), "0");
    assert_string_equal(body_at(fixture, answer, "stored"), "3");
    assert_result(reset(fixture, "DISABLE_NEW", "boss@example.com"), RESULT_OK);
    assert_string_equal(flag_at("mail", "value"), "3");
    assert_string_equal(flag_at("mail", "reason"), "\"STATIC\"");
    assert_string_equal(flag_at("mail", "switch"), "null");
}

/* Goal: the flag DISABLE_NEW and the switch are one: setting it to 1, in each form, activates.
 * Method: true, "1", and within several changes. */
static void setting_the_flag_activates_the_switch(void **state)
{
    struct fixture *fixture = *state;
    static const char *const forms[] = {"true", "\"1\""};
    for (uint32_t i = 0; i < 2; i++) {
        const struct result answer = set(fixture, "DISABLE_NEW", forms[i]);
        assert_result(answer, RESULT_OK);
        assert_string_equal(body_at(fixture, answer, "value"), "true");
        assert_string_equal(body_at(fixture, answer, "reason"), "\"STATIC\"");
        assert_string_equal(switch_at("DISABLE_NEW", "active"), "true");
        assert_string_equal(switch_at("DISABLE_NEW", "reason"), "\"because\"");
        assert_string_equal(flag_at("DISABLE_NEW", "version"), switch_at("DISABLE_NEW", "version"));
        assert_int_equal(fixture_count(fixture, "killswitch.activated", AUDIT_SUCCESS), i + 1);
        assert_result(reset(fixture, "DISABLE_NEW", "boss@example.com"), RESULT_OK);
        assert_string_equal(flag_at("DISABLE_NEW", "value"), "false");
    }
    assert_result(
        run(fixture, "flags.set",
            "{\"changes\": [{\"key\": \"PROMPT_MODE\", \"value\": \"full\"}, {\"key\": \"DISABLE_NEW\", "
            "\"value\": true}], \"reason\": \"stop\"}"),
        RESULT_OK);
    assert_string_equal(switch_at("DISABLE_NEW", "active"), "true");
    assert_string_equal(flag_at("PROMPT_MODE", "value"), "\"compact\"");
    assert_int_equal(fixture_count(fixture, "flags.set", AUDIT_SUCCESS), 1);
}

/* Goal: setting the flag to 0 is refused with the command that does it.
 * Method: false and "0", while active and while not. */
static void flag_goes_back_by_reset_only(void **state)
{
    struct fixture *fixture = *state;
    assert_result(set(fixture, "DISABLE_NEW", "false"), RESULT_USE_RESET);
    activate(fixture, "DISABLE_NEW");
    const struct result answer = set(fixture, "DISABLE_NEW", "\"0\"");
    assert_result(answer, RESULT_USE_RESET);
    assert_int_equal(result_status(answer.code), 409);
    assert_non_null(
        strstr(fixture_text(fixture, answer, "detail"), "autonomy kill-switch reset DISABLE_NEW --reason"));
    assert_string_equal(flag_at("DISABLE_NEW", "value"), "true");
    assert_result(set(fixture, "DISABLE_NEW", "2"), RESULT_FLAG_TYPE);
}

/* Goal: an activation needs a reason, also by way of the flag.
 * Method: the flag without one; the schema for the command. */
static void activation_needs_a_reason(void **state)
{
    struct fixture *fixture = *state;
    struct switch_activate body;
    struct error error = {0};
    json_t *json = json_pack("{s:s}", "name", "DISABLE_NEW");
    assert_int_equal(schema_from_json(&switch_activate_schema, json, &fixture->arena, &body, &error),
                     ERROR_INVALID);
    assert_string_equal(error.message, "reason: missing, and required");
    json_decref(json);
    assert_result(run(fixture, "flag.set", "{\"key\": \"DISABLE_NEW\", \"value\": true}"), RESULT_INVALID);
    assert_string_equal(switch_at("DISABLE_NEW", "active"), "false");
}

/* Goal: a second activation is refused and tells since when and by whom; so is one of an unknown switch. Both
 * are recorded. Method: each. */
static void second_activation_is_refused(void **state)
{
    struct fixture *fixture = *state;
    activate(fixture, "DISABLE_NEW");
    const struct result answer = activate(fixture, "DISABLE_NEW");
    assert_result(answer, RESULT_SWITCH_ACTIVE);
    assert_non_null(strstr(fixture_text(fixture, answer, "detail"), "oncall@example.com"));
    assert_result(set(fixture, "DISABLE_NEW", "true"), RESULT_SWITCH_ACTIVE);
    assert_result(activate(fixture, "nothing"), RESULT_SWITCH_NOT_FOUND);
    assert_int_equal(fixture_count(fixture, "killswitch.activated", AUDIT_DENIED), 3);
    assert_int_equal(fixture_count(fixture, "killswitch.activated", AUDIT_SUCCESS), 1);
}

/* Goal: a reset needs another person than the actor, whatever the case of the letters and the blanks around
 * them, and an active switch. Method: the actor, the actor in capitals and among blanks, an inactive and an
 * unknown switch; each refusal is recorded with the approver. */
static void reset_needs_another_approver(void **state)
{
    struct fixture *fixture = *state;
    assert_result(reset(fixture, "DISABLE_NEW", "boss@example.com"), RESULT_SWITCH_INACTIVE);
    assert_result(reset(fixture, "nothing", "boss@example.com"), RESULT_SWITCH_NOT_FOUND);
    activate(fixture, "DISABLE_NEW");
    assert_result(reset(fixture, "DISABLE_NEW", "oncall@example.com"), RESULT_APPROVER);
    assert_result(reset(fixture, "DISABLE_NEW", "OnCall@Example.com"), RESULT_APPROVER);
    assert_result(run(fixture, "switch.reset",
                      "{\"name\": \"DISABLE_NEW\", \"reason\": \"r\", \"approver\": \"oncall@example.com\", "
                      "\"root_cause\": "
                      "\"c\", \"force\": true}"),
                  RESULT_APPROVER);
    static const char *const same[] = {"oncall@example.com ", "  oncall@example.com",
                                       "oncall@example.com\xc2\xa0",
                                       "ONCALL@\xe2\x80\x8b"
                                       "example.com"};
    for (size_t i = 0; i < sizeof same / sizeof same[0]; i++)
        assert_result(reset(fixture, "DISABLE_NEW", same[i]), RESULT_APPROVER);
    assert_string_equal(switch_at("DISABLE_NEW", "active"), "true");
    const struct audit_filter filter = {.event_type = "killswitch.reset", .outcome = "denied"};
    const struct fixture_records *rows = fixture_records(fixture, &filter);
    assert_int_equal(rows->count, 9);
    assert_string_equal(rows->rows[2].approver, "oncall@example.com");
}

/* Goal: reason, approver and root cause are required.
 * Method: leave each out, and fill each with blanks. */
static void reset_needs_all_its_fields(void **state)
{
    struct fixture *fixture = *state;
    static const char *const fields[] = {"reason", "approver", "root_cause"};
    for (size_t i = 0; i < 3; i++) {
        struct switch_reset body;
        struct error error = {0};
        char wanted[64];
        json_t *json =
            json_pack("{s:s, s:s, s:s, s:s}", "name", "x", "reason", "r", "approver", "a", "root_cause", "c");
        json_object_set_new(json, fields[i], json_string(" \xc2\xa0\t"));
        snprintf(wanted, sizeof wanted, "%s: only blanks, and required", fields[i]);
        assert_int_equal(schema_from_json(&switch_reset_schema, json, &fixture->arena, &body, &error),
                         ERROR_INVALID);
        assert_string_equal(error.message, wanted);
        json_object_del(json, fields[i]);
        snprintf(wanted, sizeof wanted, "%s: missing, and required", fields[i]);
        assert_int_equal(schema_from_json(&switch_reset_schema, json, &fixture->arena, &body, &error),
                         ERROR_INVALID);
        assert_string_equal(error.message, wanted);
        json_decref(json);
    }
}

/* Goal: a reset's record has approver, root cause and whether it was forced; the switch keeps the same.
 * Method: a forced reset an hour after the activation. */
static void reset_is_recorded_whole(void **state)
{
    struct fixture *fixture = *state;
    activate(fixture, "DISABLE_NEW");
    pass_time(fixture, HOUR_MS);
    assert_result(
        run(fixture, "switch.reset",
            "{\"name\": \"DISABLE_NEW\", \"reason\": \"fixed\", \"approver\": \"boss@example.com\", "
            "\"root_cause\": \"a typo\", \"force\": true}"),
        RESULT_OK);
    const struct audit_filter filter = {.event_type = "killswitch.reset"};
    const struct fixture_records *rows = fixture_records(fixture, &filter);
    assert_int_equal(rows->count, 1);
    assert_string_equal(rows->rows[0].approver, "boss@example.com");
    assert_string_equal(rows->rows[0].reason, "fixed");
    assert_string_equal(rows->rows[0].resource, "DISABLE_NEW");
    assert_string_equal(fixture_field(&rows->rows[0], "root_cause"), "a typo");
    assert_string_equal(fixture_field(&rows->rows[0], "force"), "true");
    assert_string_equal(fixture_field(&rows->rows[0], "active_seconds"), "3600");
    assert_string_equal(switch_at("DISABLE_NEW", "last_reset.root_cause"), "\"a typo\"");
    assert_string_equal(switch_at("DISABLE_NEW", "last_reset.forced"), "true");
    assert_string_equal(switch_at("DISABLE_NEW", "activated_at"), "null");
    assert_string_equal(switch_at("DISABLE_NEW", "version"), "3");
}

/* Goal: a switch covers its flags and no others: a list, a prefix, all.
 * Method: one of each kind, activated alone. */
static void switch_covers_its_scope(void **state)
{
    struct fixture *fixture = *state;
    static const struct {
        const char *name, *scope, *card, *cash, *mail;
    } cases[] = {
        {"listed", "\"flags\": [\"pay.card\", \"mail\"]", "0", "2", "0"},
        {"prefixed", "\"prefix\": \"pay.\"", "0", "0", "2"},
        {"everything", "\"all\": true", "0", "0", "0"},
    };
    define_flags(fixture);
    for (size_t i = 0; i < 3; i++) {
        assert_result(run(fixture, "switch.define", "{\"name\": \"%s\", %s, \"reason\": \"drill\"}",
                          cases[i].name, cases[i].scope),
                      RESULT_CREATED);
        activate(fixture, cases[i].name);
        assert_string_equal(flag_at("pay.card", "value"), cases[i].card);
        assert_string_equal(flag_at("pay.cash", "value"), cases[i].cash);
        assert_string_equal(flag_at("mail", "value"), cases[i].mail);
        assert_string_equal(flag_at("DISABLE_NEW", "value"), "false");
        assert_result(reset(fixture, cases[i].name, "boss@example.com"), RESULT_OK);
    }
    assert_string_equal(switch_at("listed", "flags"), "[\"pay.card\",\"mail\"]");
    assert_string_equal(switch_at("prefixed", "prefix"), "\"pay.\"");
    assert_string_equal(switch_at("everything", "all"), "true");
}

/* Goal: a flag that two active switches cover stays safe until both are reset.
 * Method: overlap, reset one after the other. */
static void overlapping_switches_hold_until_the_last_reset(void **state)
{
    struct fixture *fixture = *state;
    define_flags(fixture);
    run(fixture, "switch.define", "{\"name\": \"pay\", \"prefix\": \"pay.\"}");
    activate(fixture, "pay");
    activate(fixture, "DISABLE_NEW");
    assert_string_equal(flag_at("pay.card", "switch"), "\"DISABLE_NEW\"");
    reset(fixture, "DISABLE_NEW", "boss@example.com");
    assert_string_equal(flag_at("pay.card", "value"), "0");
    assert_string_equal(flag_at("pay.card", "switch"), "\"pay\"");
    reset(fixture, "pay", "boss@example.com");
    assert_string_equal(flag_at("pay.card", "value"), "2");
}

/* Goal: a bad definition is refused, and an active switch isn't redefined under the flags it holds.
 * Method: no scope, two scopes, an unknown flag, DISABLE_NEW in it, DISABLE_NEW itself, an active one; then
 * inactive. */
static void bad_definition_is_refused(void **state)
{
    struct fixture *fixture = *state;
    define_flags(fixture);
    assert_result(run(fixture, "switch.define", "{\"name\": \"x\"}"), RESULT_INVALID);
    assert_result(run(fixture, "switch.define", "{\"name\": \"x\", \"all\": true, \"prefix\": \"p\"}"),
                  RESULT_INVALID);
    assert_result(run(fixture, "switch.define", "{\"name\": \"x\", \"flags\": [\"mail\", \"nothing\"]}"),
                  RESULT_FLAG_NOT_FOUND);
    assert_result(run(fixture, "switch.define", "{\"name\": \"x\", \"flags\": [\"DISABLE_NEW\"]}"),
                  RESULT_FLAG_BUILT_IN);
    assert_result(run(fixture, "switch.define", "{\"name\": \"DISABLE_NEW\", \"prefix\": \"p\"}"),
                  RESULT_FLAG_BUILT_IN);
    assert_result(run(fixture, "switch.define", "{\"name\": \"x\", \"flags\": [\"mail\"]}"), RESULT_CREATED);
    activate(fixture, "x");
    assert_result(run(fixture, "switch.define", "{\"name\": \"x\", \"flags\": [\"pay.card\"]}"),
                  RESULT_SWITCH_ACTIVE);
    assert_string_equal(switch_at("x", "flags"), "[\"mail\"]");
    reset(fixture, "x", "boss@example.com");
    assert_result(run(fixture, "switch.define", "{\"name\": \"x\", \"prefix\": \"pay\"}"), RESULT_OK);
    assert_string_equal(switch_at("x", "prefix"), "\"pay\"");
    assert_string_equal(switch_at("x", "flags"), "missing");
}

/* Goal: the built-in switch is there from the start; lists have it once beside the defined ones.
 * Method: list before, and after it was activated and others defined; an unknown name. */
static void built_in_switch_is_listed_once(void **state)
{
    struct fixture *fixture = *state;
    struct error error = {0};
    json_t *json = NULL;
    const struct page page = {.limit = 10};
    for (int round = 0; round < 2; round++) {
        struct view *view = view_open(fixture->fsm);
        assert_int_equal(view_switches(view, &page, &json, &error), ERROR_OK);
        view_close(view);
        assert_int_equal(json_array_size(json_object_get(json, "items")), round == 0 ? 1 : 3);
        assert_string_equal(json_string_value(json_at(json, round == 0 ? "items.0.name" : "items.1.name")),
                            "DISABLE_NEW");
        assert_true(json_is_null(json_object_get(json, "next_cursor")));
        json_decref(json);
        activate(fixture, "DISABLE_NEW");
        run(fixture, "switch.define", "{\"name\": \"A\", \"all\": true}");
        run(fixture, "switch.define", "{\"name\": \"Z\", \"all\": true}");
    }
    struct view *view = view_open(fixture->fsm);
    assert_int_equal(view_switch(view, "nothing", &json, &error), ERROR_NOT_FOUND);
    view_close(view);
}

/* Goal: switches have a bound.
 * Method: fill it; one more is refused, redefining one of them is not. */
static void switches_have_a_bound(void **state)
{
    struct fixture *fixture = *state;
    for (uint32_t i = 0; i < KILL_SWITCHES_MAX; i++)
        assert_result(run(fixture, "switch.define", "{\"name\": \"s%u\", \"all\": true}", i), RESULT_CREATED);
    assert_result(run(fixture, "switch.define", "{\"name\": \"more\", \"all\": true}"), RESULT_TOO_MANY);
    assert_result(run(fixture, "switch.define", "{\"name\": \"s0\", \"prefix\": \"x\"}"), RESULT_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        plan_test(active_switch_makes_flags_safe), plan_test(setting_the_flag_activates_the_switch),
        plan_test(flag_goes_back_by_reset_only),   plan_test(activation_needs_a_reason),
        plan_test(second_activation_is_refused),   plan_test(reset_needs_another_approver),
        plan_test(reset_needs_all_its_fields),     plan_test(reset_is_recorded_whole),
        plan_test(switch_covers_its_scope),        plan_test(overlapping_switches_hold_until_the_last_reset),
        plan_test(bad_definition_is_refused),      plan_test(built_in_switch_is_listed_once),
        plan_test(switches_have_a_bound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
