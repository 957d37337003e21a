/* What holds for every sequence of commands to plans. */
#include "support/plan_fixture.h"

#define SEEDS    20u
#define COMMANDS 160u
#define PLANS    3u
#define NODES    9u

static uint32_t next(uint64_t *state, uint32_t below)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*state >> 33) % below;
}

static const char *const stage_sets[] = {
    "{\"stage_id\": \"s1\", \"target\": {\"percent\": 40}, \"gates\": [{\"kind\": \"time_soak\", "
    "\"seconds\": 60}]}, "
    "{\"stage_id\": \"s2\", \"gates\": [{\"kind\": \"manual\"}, {\"kind\": \"success_ratio\", "
    "\"min_percent\": 50}]}",
    "{\"stage_id\": \"s1\", \"target\": {\"nodes\": [\"n1\", \"n2\"]}, \"gates\": [{\"kind\": \"health\"}]}, "
    "{\"stage_id\": \"s2\", \"target\": {\"labels\": {\"site\": \"lab\"}}, \"gates\": [{\"kind\": "
    "\"manual\"}]}, "
    "{\"stage_id\": \"s3\", \"target\": {\"percent\": 100}, \"gates\": [{\"kind\": \"time_soak\", "
    "\"seconds\": 5}]}",
    "{\"stage_id\": \"s1\"}, {\"stage_id\": \"s2\", \"gates\": [{\"kind\": \"manual\"}]}",
};

static struct result random_command(struct fixture *fixture, uint64_t *seed)
{
    static const char *const verbs[] = {"publish", "pause", "resume", "cancel"};
    static const char *const strategies[] = {"retry", "rollback", "skip_failed"};
    const uint32_t kind = next(seed, 100), plan = next(seed, PLANS);
    if (kind < 8) {
        char start[TIME_TEXT_BYTES];
        time_format(fixture->log->wall_ms + next(seed, 2) * 90000, start);
        return run(
            fixture, "rollout.create",
            "{\"plan_id\": \"p%u\", \"artifact\": {\"name\": \"a\", \"version\": \"2\"%s}, \"stages\": [%s], "
            "\"publish\": %s, \"start_at\": \"%s\"}",
            plan, next(seed, 3) == 0 ? "" : ", \"previous_version\": \"1\"", stage_sets[next(seed, 3)],
            next(seed, 2) == 0 ? "true" : "false", start);
    }
    if (kind < 22)
        return run(fixture,
                   arena_printf(&fixture->arena, "rollout.%s", verbs[next(seed, 16) % (4 - next(seed, 2))]),
                   "{\"plan_id\": \"p%u\"}", plan);
    if (kind < 26)
        return run(fixture, "rollout.halt", "{\"plan_id\": \"p%u\", \"reason\": \"r\"}", plan);
    if (kind < 32)
        return run(fixture, "rollout.recover",
                   "{\"plan_id\": \"p%u\", \"strategy\": \"%s\", \"reason\": \"r\", \"pace\": \"%s\", "
                   "\"policy\": \"%s\"}",
                   plan, strategies[next(seed, 3)], next(seed, 2) == 0 ? "staged" : "immediate",
                   next(seed, 4) == 0 ? "keep" : "revert");
    if (kind < 40)
        return run(fixture, "rollout.gate.approve", "{\"plan_id\": \"p%u\", \"stage_id\": \"s%u\"}", plan,
                   1 + next(seed, 3));
    if (kind < 50)
        return tick(fixture);
    return run(
        fixture, "rollout.node",
        "{\"plan_id\": \"p%u\", \"node_id\": \"n%u\", \"state\": \"%s\", \"labels\": {\"site\": \"%s\"}}",
        plan, next(seed, NODES), node_state_names[next(seed, NODE_STATE_COUNT)],
        next(seed, 2) == 0 ? "lab" : "out");
}

struct seen { /* of one plan, after the last command */
    char phase[16];
    char stages[3][16];
};

/* Copies what a later state is compared with; false: there is no such plan yet. */
static bool look(struct fixture *fixture, uint32_t plan, struct seen *out)
{
    struct error error = {0};
    json_t *json = NULL, *stage;
    char plan_id[8];
    size_t i;
    snprintf(plan_id, sizeof plan_id, "p%u", plan);
    struct view *view = view_open(fixture->fsm);
    const bool found = view_plan(view, plan_id, &json, &error) == ERROR_OK;
    view_close(view);
    *out = (struct seen){0};
    if (!found)
        return false;
    snprintf(out->phase, sizeof out->phase, "%s", json_string_value(json_object_get(json, "phase")));
    json_array_foreach(json_object_get(json, "stages"), i, stage)
    {
        snprintf(out->stages[i], sizeof out->stages[i], "%s",
                 json_string_value(json_object_get(stage, "stage_phase")));
    }
    json_decref(json);
    return true;
}

static bool terminal(const char *name)
{
    return strcmp(name, "completed") == 0 || strcmp(name, "cancelled") == 0 ||
           strcmp(name, "rolled_back") == 0;
}

/* A terminal plan stays so; a halted stage stays so; no stage goes back to pending or, once left, to open. */
static void check_step(const struct seen *before, const struct seen *after)
{
    if (terminal(before->phase))
        assert_string_equal(after->phase, before->phase);
    if (before->phase[0] != '\0' && strcmp(before->phase, "draft") != 0)
        assert_string_not_equal(after->phase, "draft");
    for (size_t i = 0; i < 3; i++) {
        const char *was = before->stages[i], *is = after->stages[i];
        if (strcmp(was, "halted") == 0 || strcmp(was, "rolled_back") == 0)
            assert_string_equal(is, was);
        if (strcmp(was, "promoted") == 0)
            assert_true(strcmp(is, "promoted") == 0 || strcmp(is, "rolled_back") == 0);
        if (strcmp(was, "open") == 0)
            assert_string_not_equal(is, "pending");
    }
}

/* Goal: whatever comes, terminal stays terminal, halted stays halted, stages only go forward, a refusal
 * changes nothing, the index keys fit the plans, and another state machine reaches the same digest. Method:
 * random commands to three plans with random times; every phase must have been met. */
static void random_commands_keep_the_invariants(void **state)
{
    (void)state;
    uint32_t met[PLAN_PHASE_COUNT] = {0}, refused = 0, done = 0;
    for (uint64_t round = 1; round <= SEEDS; round++) {
        struct fixture *fixture = fixture_new();
        uint64_t seed = round * 7919;
        for (uint32_t i = 0; i < COMMANDS; i++) {
            struct seen before[PLANS], after;
            for (uint32_t plan = 0; plan < PLANS; plan++)
                look(fixture, plan, &before[plan]);
            pass_time(fixture, next(&seed, 4) == 0 ? next(&seed, 70000) : next(&seed, 50));
            const struct result answer = random_command(fixture, &seed);
            assert_int_not_equal(answer.code, RESULT_INVALID);
            *(result_succeeded(answer.code) ? &done : &refused) += 1;
            for (uint32_t plan = 0; plan < PLANS; plan++) {
                if (!look(fixture, plan, &after))
                    continue;
                check_step(&before[plan], &after);
                if (!result_succeeded(answer.code))
                    assert_memory_equal(&before[plan], &after, sizeof after);
                for (size_t j = 0; j < PLAN_PHASE_COUNT; j++)
                    met[j] += strcmp(plan_phase_names[j], after.phase) == 0;
            }
        }
        check_indexes(fixture);
        check_replay(fixture);
        fixture_free(fixture);
    }
    for (size_t j = 0; j < PLAN_PHASE_COUNT; j++)
        assert_true(met[j] > 0);
    assert_true(done > SEEDS * COMMANDS / 10 && refused > SEEDS * COMMANDS / 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_commands_keep_the_invariants),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
