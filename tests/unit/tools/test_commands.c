/* What each command sends, and how its answer is printed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <jansson.h>

#include "tools/autonomy/output.h"
#include "unit/tools/fake_server.h"
#include "unit/tools/run_cli.h"

#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))

static int set_up(void **state)
{
    struct home *home = malloc(sizeof *home);
    *home = home_make();
    setenv("AUTONOMY_OPERATOR", "ann@example.com", 1);
    *state = home;
    return 0;
}

static int tear_down(void **state)
{
    unsetenv("AUTONOMY_OPERATOR");
    unsetenv("AUTONOMY_ORCHESTRATOR_URL");
    home_remove(*state);
    free(*state);
    return 0;
}

/* A command line, and what it has to send. */
static const struct {
    const char *arguments[16];
    const char *request, *body;
} lines[] = {
    {{"rollout", "plan", "publish", "--plan-id=p"}, "POST /v1/rollouts/p/publish", "{}"},
    {{"rollout", "plan", "resume", "--plan-id=p", "--reason=r"},
     "POST /v1/rollouts/p/resume",
     "{\"reason\":\"r\"}"},
    {{"rollout", "plan", "cancel", "--plan-id=p", "--yes"}, "POST /v1/rollouts/p/cancel", "{}"},
    {{"rollout", "stuck", "--threshold=90m"}, "GET /v1/rollouts/stuck?threshold_seconds=5400", NULL},
    {{"rollout", "gate", "approve", "--plan-id=p", "--stage-id=s", "--reason=r"},
     "POST /v1/rollouts/p/stages/s/gates/approve",
     "{\"reason\":\"r\"}"},
    {{"rollout", "halt", "--plan-id=p", "--stage-id=s", "--reason=r", "--yes"},
     "POST /v1/rollouts/p/halt",
     "{\"stage_id\":\"s\",\"reason\":\"r\"}"},
    {{"rollout", "recover", "--plan-id=p", "--strategy=rollback", "--reason=r", "--pace=staged",
      "--policy=keep", "--yes"},
     "POST /v1/rollouts/p/recover",
     "{\"strategy\":\"rollback\",\"reason\":\"r\",\"pace\":\"staged\",\"policy\":\"keep\"}"},
    {{"rollout", "recover", "--plan-id=p", "--strategy=retry", "--reason=r"},
     "POST /v1/rollouts/p/recover",
     "{\"strategy\":\"retry\",\"reason\":\"r\"}"},
    {{"rollout", "recover", "--plan-id=p", "--strategy=rollback", "--reason=r", "--dry-run"},
     "POST /v1/rollback/preview",
     "{\"target\":\"rollout_plan\",\"resource\":\"p\",\"strategy\":\"rollback\"}"},
    {{"rollback", "preview", "--target=rollout_stage", "--resource=p/s"},
     "POST /v1/rollback/preview",
     "{\"target\":\"rollout_stage\",\"resource\":\"p/s\"}"},
    {{"rollback", "execute", "--target=rollout_plan", "--resource=p", "--reason=r", "--yes",
      "--preview-token=t"},
     "POST /v1/rollback/execute",
     "{\"target\":\"rollout_plan\",\"resource\":\"p\",\"strategy\":\"rollback\",\"reason\":\"r\","
     "\"preview_token\":\"t\"}"},
    {{"rollback", "execute", "--target=ha_leader_resign", "--reason=r"},
     "POST /v1/rollback/execute",
     "{\"target\":\"ha_leader_resign\",\"resource\":\"current\",\"strategy\":\"resign\",\"reason\":"
     "\"r\"}"},
    {{"rollback", "execute", "--target=rollout_stage", "--resource=p/s", "--reason=r", "--yes", "--dry-run"},
     "POST /v1/rollback/preview",
     "{\"target\":\"rollout_stage\",\"resource\":\"p/s\",\"strategy\":\"halt\"}"},
    {{"ha", "quorum", "status"}, "GET /v1/ha/quorum", NULL},
    {{"ha", "failover", "trigger", "--reason=r", "--target-node=n2"},
     "POST /v1/ha/failover",
     "{\"reason\":\"r\",\"target_node\":\"n2\"}"},
    {{"ha", "members", "list"}, "GET /v1/ha/members?limit=1000", NULL},
    {{"ha", "members", "remove", "n2", "--reason=r", "--yes"},
     "DELETE /v1/ha/members/n2",
     "{\"reason\":\"r\"}"},
    {{"flags", "get", "A"}, "GET /v1/flags/A", NULL},
    {{"flags", "define", "A", "--type=integer", "--default=1", "--safe=0", "--description=d"},
     "PUT /v1/flags/A/definition",
     "{\"type\":\"integer\",\"default\":1,\"safe\":0,\"description\":\"d\"}"},
    {{"flags", "define", "A", "--type=string", "--default=", "--safe", ""},
     "PUT /v1/flags/A/definition",
     "{\"type\":\"string\",\"default\":\"\",\"safe\":\"\"}"},
    {{"ha", "quorum", "status", "--orchestrator-url", "", "--operator="}, "GET /v1/ha/quorum", NULL},
    {{"kill-switch", "activate", "S", "--reason=r"},
     "POST /v1/kill-switches/S/activate",
     "{\"reason\":\"r\"}"},
    {{"kill-switch", "reset", "S", "--reason=r", "--approver=a", "--root-cause=c", "--force"},
     "POST /v1/kill-switches/S/reset",
     "{\"reason\":\"r\",\"approver\":\"a\",\"root_cause\":\"c\",\"force\":true}"},
    {{"kill-switch", "define", "S", "--flags=A,B"}, "PUT /v1/kill-switches/S", "{\"flags\":[\"A\",\"B\"]}"},
    {{"kill-switch", "define", "S", "--all"}, "PUT /v1/kill-switches/S", "{\"all\":true}"},
    {{"audit", "query", "--category=ha", "--limit=10", "--start-time=2026-01-02T03:04:05Z"},
     "GET /v1/audit?category=ha&start_time=2026-01-02T03%3A04%3A05Z&limit=10",
     NULL},
    {{"audit", "export"}, "GET /v1/audit?order=asc&limit=1000", NULL},
    {{"audit", "verify"}, "GET /v1/audit/verify?limit=200000", NULL},
    {{"version", "--server"}, "GET /v1/version", NULL},
    {{"rollout", "plan", "create", "--artifact=a", "--artifact-version=2"},
     "POST /v1/rollouts",
     "{\"artifact\":{\"name\":\"a\",\"version\":\"2\"},\"stages\":[{\"stage_id\":\"all\",\"target\":{"
     "\"percent\":100},"
     "\"gates\":[{\"kind\":\"manual\"}]}]}"},
    {{"rollout", "plan", "create", "--artifact=a", "--artifact-version=2.4", "--stage",
      "canary:5%:soak=10m:success=95:manual:health", "--stage=lab:label=site=lab,rack=2",
      "--stage=two:nodes=e1,e2", "--plan-id=p", "--reason=r", "--publish"},
     "POST /v1/rollouts?publish=true",
     "{\"artifact\":{\"name\":\"a\",\"version\":\"2.4\"},\"plan_id\":\"p\",\"reason\":\"r\",\"stages\":["
     "{\"stage_id\":\"canary\",\"target\":{\"percent\":5},\"gates\":[{\"kind\":\"time_soak\",\"seconds\":"
     "600},"
     "{\"kind\":\"success_ratio\",\"min_percent\":95},{\"kind\":\"manual\"},{\"kind\":\"health\"}]},"
     "{\"stage_id\":\"lab\",\"target\":{\"labels\":{\"site\":\"lab\",\"rack\":\"2\"}}},"
     "{\"stage_id\":\"two\",\"target\":{\"nodes\":[\"e1\",\"e2\"]}}]}"},
};

/* Goal: each command asks the route and sends the body that the interface says.
 * Method: one command line a row; the captured request line and body. */
static void commands_send_what_the_interface_says(void **state)
{
    static const struct fake_reply reply = {
        200, "{\"items\":[],\"success\":true,\"valid\":true,\"stuck_plans\":[]}", 0};
    (void)state;
    for (size_t i = 0; i < COUNT(lines); i++) {
        struct fake_server *server = fake_start(&reply, 1);
        char *arguments[18] = {(char *)"autonomy"};
        int count = 1;
        setenv("AUTONOMY_ORCHESTRATOR_URL", server->url, 1);
        for (; count < 17 && lines[i].arguments[count - 1]; count++)
            arguments[count] = (char *)lines[i].arguments[count - 1];
        struct ran ran = run_arguments(count, arguments);
        fake_stop(server);
        if (ran.exit != CLI_DONE || server->request_count != 1)
            fail_msg("row %zu (%s): exit %d, %zu requests: %s", i, lines[i].request, ran.exit,
                     server->request_count, ran.err);
        const char *request = server->requests[0], *body = strstr(request, "\r\n\r\n") + 4;
        size_t length = strlen(lines[i].request);
        if (strncmp(request, lines[i].request, length) != 0 || !strchr("?&", request[length]))
            fail_msg("row %zu: %s wanted, %.120s sent", i, lines[i].request, request);
        assert_string_equal(body, lines[i].body ? lines[i].body : "");
        ran_done(&ran);
        fake_free(server);
    }
}

/* Goal: `ha status` prints the labels that scripts read, in their blocks.
 * Method: a full answer; every label with its value, in order. */
static void ha_status_prints_the_known_labels(void **state)
{
    static const char answer[] =
        "{\"node_id\":\"n1\",\"role\":\"leader\",\"session_lock_held\":true,\"write_ready\":true,"
        "\"queried_at\":\"2026-01-02T03:04:05Z\",\"term\":4,\"commit_index\":12,\"applied_index\":11,"
        "\"cluster_id\":\"c\","
        "\"leader\":{\"holder_id\":\"n1\",\"epoch\":4,\"acquired_at\":\"2026-01-02T03:00:00Z\"},"
        "\"quorum\":{\"write_ready\":true,\"sync_replica_count\":2},\"replication\":{\"lag_status\":\"ok\","
        "\"max_write_lag_ms\":12,\"max_replay_lag_ms\":null,\"replica_count\":2},"
        "\"members\":[{\"name\":\"n2\",\"role\":\"voter\",\"url\":\"http://n2\",\"address\":\"n2:7202\","
        "\"reachable\":false,\"applied_index\":9}]}";
    static const char *const wanted[] = {"Role:",
                                         "leader",
                                         "Session lock held:",
                                         "true",
                                         "Write-Ready:",
                                         "Queried At:",
                                         "2026-01-02",
                                         "Leader:",
                                         "Holder ID:",
                                         "n1",
                                         "Epoch:",
                                         "4",
                                         "Acquired At:",
                                         "Quorum:",
                                         "Write-Ready:",
                                         "Sync Replicas:",
                                         "2",
                                         "Replication:",
                                         "Lag Status:",
                                         "ok",
                                         "Max Write Lag:",
                                         "12ms",
                                         "Max Replay Lag:",
                                         "unknown",
                                         "Replicas:",
                                         "Members:",
                                         "NAME",
                                         "n2",
                                         "voter"};
    static const struct fake_reply reply = {200, "{}", 0};
    (void)state;
    struct fake_server *server = fake_start(&reply, 1);
    server->status_body = answer;
    struct ran text = run("ha", "status", "--orchestrator-url", server->url, NULL);
    struct ran json = run("ha", "status", "--orchestrator-url", server->url, "--output=json", NULL);
    fake_stop(server);
    assert_int_equal(text.exit, CLI_DONE);
    const char *at = text.out;
    for (size_t i = 0; i < COUNT(wanted); i++) {
        at = strstr(at, wanted[i]);
        if (!at)
            fail_msg("%s is missing (or out of order) in:\n%s", wanted[i], text.out);
        at += strlen(wanted[i]);
    }
    json_t *parsed = json_loads(json.out, 0, NULL), *sent = json_loads(answer, 0, NULL);
    assert_true(json_equal(parsed, sent));
    json_decref(parsed);
    json_decref(sent);
    ran_done(&text);
    ran_done(&json);
    fake_free(server);
}

/* Goal: a quorum that isn't there gets a warning of its own; a failover prints both holders, and a failed one
 * exits 1. Method: three answers. */
static void quorum_and_failover_print_their_labels(void **state)
{
    static const struct fake_reply met = {200, "{\"write_ready\":true,\"quorum_health\":\"healthy\"}", 0};
    static const struct fake_reply unmet = {200, "{\"write_ready\":false,\"quorum_health\":\"lost\"}", 0};
    static const struct fake_reply moved = {
        200,
        "{\"success\":true,\"previous_holder\":\"n1\",\"previous_epoch\":4,\"resigned_at\":\"t\","
        "\"new_holder\":\"n2\",\"new_epoch\":5,\"write_gap_ms\":7,\"message\":\"m\"}",
        0};
    static const struct fake_reply failed = {200, "{\"success\":false,\"message\":\"nobody is caught up\"}",
                                             0};
    (void)state;
    struct fake_server *server = fake_start(&met, 1);
    struct ran ran = run("ha", "quorum", "status", "--orchestrator-url", server->url, NULL);
    assert_int_equal(strncmp(ran.out, "Quorum Status\n", 14), 0);
    assert_null(strstr(ran.out, "Warning:"));
    ran_done(&ran);
    fake_stop(server);
    fake_free(server);

    server = fake_start(&unmet, 1);
    ran = run("ha", "quorum", "status", "--orchestrator-url", server->url, NULL);
    assert_int_equal(ran.exit, CLI_DONE);
    assert_non_null(strstr(ran.out, "Warning:"));
    ran_done(&ran);
    fake_stop(server);
    fake_free(server);

    server = fake_start(&moved, 1);
    ran = run("ha", "failover", "trigger", "--reason=r", "--orchestrator-url", server->url, NULL);
    assert_int_equal(ran.exit, CLI_DONE);
    for (const char *label =
             "Failover triggered\0Previous Holder:\0Previous Epoch:\0Resigned At:\0New Holder:\0Message:\0";
         *label; label += strlen(label) + 1)
        assert_non_null(strstr(ran.out, label));
    ran_done(&ran);
    fake_stop(server);
    fake_free(server);

    server = fake_start(&failed, 1);
    ran = run("ha", "failover", "trigger", "--reason=r", "--orchestrator-url", server->url, NULL);
    assert_int_equal(ran.exit, CLI_FAILED);
    assert_non_null(strstr(ran.out, "nobody is caught up"));
    ran_done(&ran);
    fake_stop(server);
    fake_free(server);
}

/* Goal: recover and gate approve print JSON unless told otherwise; the others print text.
 * Method: the first byte of the output. */
static void defaults_of_output_are_kept(void **state)
{
    static const struct fake_reply reply = {200, "{\"plan_id\":\"p\",\"new_phase\":\"rolled_back\"}", 0};
    (void)state;
    struct fake_server *server = fake_start(&reply, 1);
    setenv("AUTONOMY_ORCHESTRATOR_URL", server->url, 1);
    struct ran recover = run("rollout", "recover", "--plan-id=p", "--strategy=retry", "--reason=r", NULL);
    struct ran text =
        run("rollout", "recover", "--plan-id=p", "--strategy=retry", "--reason=r", "--output=text", NULL);
    struct ran gate = run("rollout", "gate", "approve", "--plan-id=p", "--stage-id=s", "--reason=r", NULL);
    struct ran halt = run("rollout", "halt", "--plan-id=p", "--reason=r", "--yes", NULL);
    fake_stop(server);
    assert_int_equal(recover.out[0], '{');
    assert_non_null(strstr(recover.out, "\"new_phase\": \"rolled_back\""));
    assert_int_equal(gate.out[0], '{');
    assert_non_null(strstr(text.out, "New Phase: rolled_back\n"));
    assert_int_equal(halt.out[0], 'P');
    ran_done(&recover);
    ran_done(&text);
    ran_done(&gate);
    ran_done(&halt);
    fake_free(server);
}

/* Goal: a flag's text becomes JSON of the flag's own type, and what doesn't fit is refused before it is sent.
 * Method: each type, with texts that fit and that don't. */
static void flag_values_take_the_flags_type(void **state)
{
    static const struct {
        const char *type, *change, *body;
    } rows[] = {
        {"string", "A=5", "{\"value\":\"5\",\"reason\":\"r\"}"},
        {"string", "A=", "{\"value\":\"\",\"reason\":\"r\"}"},
        {"string", "A=x=y", "{\"value\":\"x=y\",\"reason\":\"r\"}"},
        {"integer", "A=5", "{\"value\":5,\"reason\":\"r\"}"},
        {"bool", "A=true", "{\"value\":true,\"reason\":\"r\"}"},
        {"bool", "A=1", "{\"value\":\"1\",\"reason\":\"r\"}"},
        {"object", "A={\"x\":[1]}", "{\"value\":{\"x\":[1]},\"reason\":\"r\"}"},
        {"integer", "A=five", NULL},
        {"integer", "A=1.5", NULL},
        {"bool", "A=yes", NULL},
        {"bool", "A=2", NULL},
        {"object", "A=[1]", NULL},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        char flag[128];
        snprintf(flag, sizeof flag, "{\"key\":\"A\",\"type\":\"%s\",\"version\":1}", rows[i].type);
        struct fake_reply reply = {200, flag, 0};
        struct fake_server *server = fake_start(&reply, 1);
        struct ran ran =
            run("flags", "set", rows[i].change, "--reason=r", "--orchestrator-url", server->url, NULL);
        fake_stop(server);
        assert_int_equal(ran.exit, rows[i].body ? CLI_DONE : CLI_USAGE);
        assert_int_equal(server->request_count, rows[i].body ? 2 : 1);
        if (rows[i].body) {
            assert_int_equal(strncmp(server->requests[1], "PUT /v1/flags/A?", 16), 0);
            assert_string_equal(strstr(server->requests[1], "\r\n\r\n") + 4, rows[i].body);
        }
        ran_done(&ran);
        fake_free(server);
    }
}

/* Goal: several flags go in one request, all or nothing.
 * Method: two changes; the third request has both. */
static void several_flags_go_in_one_request(void **state)
{
    static const struct fake_reply reply = {
        200, "{\"type\":\"string\",\"changes\":[{\"key\":\"A\",\"value\":\"1\",\"version\":2}]}", 0};
    (void)state;
    struct fake_server *server = fake_start(&reply, 1);
    struct ran ran = run("flags", "set", "A=1", "B=2", "--reason=r", "--orchestrator-url", server->url, NULL);
    fake_stop(server);
    assert_int_equal(ran.exit, CLI_DONE);
    assert_int_equal(server->request_count, 3);
    assert_int_equal(strncmp(server->requests[2], "POST /v1/flags?", 15), 0);
    assert_string_equal(
        strstr(server->requests[2], "\r\n\r\n") + 4,
        "{\"changes\":[{\"key\":\"A\",\"value\":\"1\"},{\"key\":\"B\",\"value\":\"2\"}],\"reason\":\"r\"}");
    assert_non_null(strstr(ran.out, "KEY  VALUE  VERSION"));
    ran_done(&ran);
    fake_free(server);
}

/* Goal: a plan file goes to the server as it is, flags on top of it; a file that is no plan is refused here.
 * Method: YAML with a version that looks like a number; flags that replace and add. */
static void plan_file_and_flags_are_joined(void **state)
{
    static const struct fake_reply reply = {201, "{\"plan_id\":\"x\",\"phase\":\"draft\"}", 0};
    const struct home *home = *state;
    char path[128];
    snprintf(path, sizeof path, "%s/plan.yaml", home->path);
    write_text(path, "plan_id: x\nartifact: {name: a, version: 2.4}\nstages:\n  - {stage_id: all, target: "
                     "{percent: 100}}\n");
    struct fake_server *server = fake_start(&reply, 1);
    struct ran ran = run("rollout", "plan", "create", "-f", path, "--artifact-version=2.5", "--reason=why",
                         "--orchestrator-url", server->url, NULL);
    fake_stop(server);
    assert_int_equal(ran.exit, CLI_DONE);
    assert_string_equal(strstr(server->requests[0], "\r\n\r\n") + 4,
                        "{\"plan_id\":\"x\",\"artifact\":{\"name\":\"a\",\"version\":\"2.5\"},\"stages\":[{"
                        "\"stage_id\":\"all\","
                        "\"target\":{\"percent\":100}}],\"reason\":\"why\"}");
    assert_non_null(strstr(ran.err, "autonomy rollout plan publish --plan-id x"));
    ran_done(&ran);
    fake_free(server);

    static const char *const texts[] = {"- 1", "plan_id: x", "a: *b", "artifact: {name: a}"};
    for (size_t i = 0; i < COUNT(texts); i++) {
        write_text(path, texts[i]);
        ran = run("rollout", "plan", "create", "-f", path, "--orchestrator-url", "http://127.0.0.1:1", NULL);
        assert_int_equal(ran.exit, CLI_USAGE);
        ran_done(&ran);
    }
    static const char *const stages[] = {"canary", "canary:5", "canary:5%:soak=x", "c:label=a",
                                         "c:200%", ":",        "c:nodes="};
    for (size_t i = 0; i < COUNT(stages); i++) {
        ran = run("rollout", "plan", "create", "--artifact=a", "--artifact-version=1", "--stage", stages[i],
                  "--orchestrator-url", "http://127.0.0.1:1", NULL);
        if (ran.exit != CLI_USAGE)
            fail_msg("--stage %s: exit %d, %s", stages[i], ran.exit, ran.err);
        ran_done(&ran);
    }
}

/* Goal: the preview needs no server, and what isn't orchestrated is refused with the way by hand.
 * Method: all four targets without any URL; execute of the relay's. */
static void preview_works_offline(void **state)
{
    static const char *const targets[][3] = {{"rollout_plan", "KindRolloutPlan", "terminal"},
                                             {"rollout_stage", "KindRolloutStage", "terminal"},
                                             {"ha_leader_resign", "KindHALeaderResign", "reversible"},
                                             {"relay_deadletter", "KindRelayDeadletter", "idempotent"}};
    (void)state;
    for (size_t i = 0; i < COUNT(targets); i++) {
        struct ran text = run("rollback", "preview", "--target", targets[i][0], NULL);
        struct ran json = run("rollback", "preview", "--target", targets[i][0], "--output=json", NULL);
        assert_int_equal(text.exit, CLI_DONE);
        assert_non_null(strstr(text.out, targets[i][1]));
        assert_non_null(strstr(text.out, targets[i][2]));
        json_t *object = json_loads(json.out, 0, NULL);
        assert_string_equal(json_string_value(json_object_get(object, "safety_class")), targets[i][2]);
        assert_true(json_array_size(json_object_get(object, "valid_strategies")) > 0);
        json_decref(object);
        ran_done(&text);
        ran_done(&json);
    }
    struct ran ran =
        run("rollback", "execute", "--target=relay_deadletter", "--resource=x", "--reason=r", "--yes", NULL);
    assert_int_equal(ran.exit, CLI_FAILED);
    assert_non_null(strstr(ran.err, "edgectl"));
    ran_done(&ran);
}

/* Goal: a preview changes nothing, so silence leaves nothing unknown: exit 3, no request id.
 * Method: a server that hangs up. */
static void preview_leaves_nothing_unknown(void **state)
{
    static const struct fake_reply gone = {0, "", FAKE_HANG_UP};
    (void)state;
    struct fake_server *server = fake_start(&gone, 1);
    struct ran ran = run("rollback", "preview", "--target=rollout_plan", "--resource=p", "--timeout=500ms",
                         "--orchestrator-url", server->url, NULL);
    fake_stop(server);
    assert_int_equal(ran.exit, CLI_UNREACHABLE);
    assert_null(strcasestr(server->requests[0], "Idempotency-Key"));
    assert_null(strstr(ran.err, "request id"));
    ran_done(&ran);
    fake_free(server);
}

/* Goal: with a server that doesn't answer, a preview of a resource still prints what is known, and exits 3.
 * Method: a dead URL. */
static void preview_of_a_resource_without_server_still_explains(void **state)
{
    char dead[64];
    (void)state;
    fake_dead_url(dead, sizeof dead);
    struct ran ran =
        run("rollback", "preview", "--target=rollout_plan", "--resource=p", "--orchestrator-url", dead, NULL);
    assert_int_equal(ran.exit, CLI_UNREACHABLE);
    assert_non_null(strstr(ran.out, "KindRolloutPlan"));
    ran_done(&ran);
}

/* Goal: a plan's description shows stages with their gates and counts, nodes, and how far a revert is.
 * Method: a rolled back plan with two stages and a node; the table's lines. */
static void description_shows_stages_nodes_and_revert(void **state)
{
    static const struct fake_reply reply = {
        200,
        "{\"plan_id\":\"p-7\",\"phase\":\"rolled_back\",\"artifact\":{\"name\":\"a\",\"version\":\"2\"},"
        "\"stages\":["
        "{\"stage_id\":\"canary\",\"stage_phase\":\"rolled_back\",\"target\":{\"percent\":5},\"nodes\":{"
        "\"total\":3,"
        "\"activated\":1,\"failed\":2},\"gates\":[{\"kind\":\"time_soak\",\"passed\":true},{\"kind\":"
        "\"manual\","
        "\"passed\":false}]},{\"stage_id\":\"lab\",\"stage_phase\":\"pending\",\"target\":{\"labels\":{"
        "\"site\":\"x\"}},"
        "\"gates\":[]},{\"stage_id\":\"two\",\"stage_phase\":\"pending\",\"target\":{\"nodes\":[\"e1\","
        "\"e2\"]}}],"
        "\"revert\":{\"state\":\"running\",\"offered\":1,\"converged\":false},\"nodes\":[{\"node_id\":\"e1\","
        "\"state\":\"revert_offered\",\"stage_id\":\"canary\",\"version\":\"1\"}],\"nodes_total\":3,\"nodes_"
        "cut\":true}",
        0};
    static const char *const wanted[] = {
        "Phase:            rolled_back\n",
        "Artifact:         a 2\n",
        "STAGE   PHASE        TARGET  NODES  ACTIVATED  FAILED  GATES\n",
        "canary  rolled_back  5%      3      1          2       time_soak passed, manual waiting\n",
        "lab     pending      site=x  -      -          -       -\n",
        "two     pending      e1, e2  -      -          -       -\n",
        "Revert:\n  State:          running\n",
        "e1    revert_offered  canary  1        -        -\n",
        "the first 1 of 3 nodes\n"};
    (void)state;
    struct fake_server *server = fake_start(&reply, 1);
    struct ran ran =
        run("rollout", "plan", "describe", "--plan-id=p-7", "--orchestrator-url", server->url, NULL);
    fake_stop(server);
    assert_int_equal(ran.exit, CLI_DONE);
    for (size_t i = 0; i < COUNT(wanted); i++)
        if (!strstr(ran.out, wanted[i]))
            fail_msg("%s is missing in:\n%s", wanted[i], ran.out);
    ran_done(&ran);
    fake_free(server);
}

/* Goal: nothing that a server stores can steer the operator's terminal, and widths count characters.
 * Method: a plan id with an escape sequence and a C1 character; a name with umlauts in a table. */
static void control_characters_never_reach_the_terminal(void **state)
{
    static const struct fake_reply reply = {
        200,
        "{\"items\":[{\"plan_id\":\"a\\u001b[31m\\u009bx\",\"phase\":\"äöü\",\"current_stage_id\":null,"
        "\"created_at\":\"c\",\"updated_at\":\"u\"}]}",
        0};
    (void)state;
    struct fake_server *server = fake_start(&reply, 1);
    struct ran ran = run("rollout", "plan", "list", "--orchestrator-url", server->url, NULL);
    fake_stop(server);
    assert_null(strchr(ran.out, '\033'));
    assert_string_equal(ran.out, "PLAN      PHASE  CURRENT STAGE  CREATED  UPDATED\n"
                                 "a?[31m?x  äöü    -              c        u\n");
    ran_done(&ran);
    fake_free(server);
}

/* Goal: an export over HTTP is one array of all pages, and an interrupted one is no array and no success.
 * Method: two pages; then a second page that fails. */
static void export_streams_pages_into_one_array(void **state)
{
    static const struct fake_reply whole[] = {
        {200, "{\"items\":[{\"seq\":1},{\"seq\":2}],\"next_cursor\":\"a3\"}", 0},
        {200, "{\"items\":[{\"seq\":3}],\"next_cursor\":null}", 0}};
    static const struct fake_reply broken[] = {{200, "{\"items\":[{\"seq\":1}],\"next_cursor\":\"a2\"}", 0},
                                               {422, "{\"detail\":\"cursor: gone\"}", 0}};
    const struct home *home = *state;
    char path[128];
    struct fake_server *server = fake_start(whole, 2);
    struct ran ran = run("audit", "export", "--orchestrator-url", server->url, NULL);
    fake_stop(server);
    fake_free(server);
    assert_int_equal(ran.exit, CLI_DONE);
    json_t *records = json_loads(ran.out, 0, NULL);
    assert_int_equal(json_array_size(records), 3);
    json_decref(records);
    ran_done(&ran);

    snprintf(path, sizeof path, "%s/export.json", home->path);
    server = fake_start(broken, 2);
    ran = run("audit", "export", "--orchestrator-url", server->url, "--output", path, NULL);
    fake_stop(server);
    fake_free(server);
    assert_int_equal(ran.exit, CLI_FAILED);
    assert_non_null(strstr(ran.err, "cursor: gone"));
    assert_int_equal(access(path, F_OK), -1);
    ran_done(&ran);
}

/* Goal: a chain that the server finds broken exits 1 and says which record.
 * Method: an answer that says so. */
static void broken_chain_over_http_exits_1(void **state)
{
    static const struct fake_reply reply = {
        200, "{\"valid\":false,\"records\":4,\"first_bad_seq\":5,\"detail\":\"audit record 5 was changed\"}",
        0};
    (void)state;
    struct fake_server *server = fake_start(&reply, 1);
    struct ran ran = run("audit", "verify", "--orchestrator-url", server->url, NULL);
    fake_stop(server);
    assert_int_equal(ran.exit, CLI_FAILED);
    assert_non_null(strstr(ran.out, "audit record 5 was changed"));
    ran_done(&ran);
    fake_free(server);
}

/* Goal: settings survive their own round trip and keep what they don't know; a wrong key or URL is refused.
 * Method: a file with a stranger in it. */
static void settings_keep_what_they_do_not_know(void **state)
{
    const struct home *home = *state;
    char path[160];
    snprintf(path, sizeof path, "%s/xdg", home->path);
    setenv("XDG_CONFIG_HOME", path, 1);
    struct ran ran = run("config", "get", "orchestrator.url", NULL);
    assert_int_equal(ran.exit, CLI_FAILED);
    ran_done(&ran);
    ran = run("config", "set", "orchestrator.url", "http://n1:7101", NULL);
    assert_int_equal(ran.exit, CLI_DONE);
    ran_done(&ran);
    snprintf(path, sizeof path, "%s/xdg/autonomy/config.yaml", home->path);
    write_text(path, "other: {x: [1, two]}\norchestrator:\n  url: http://n1:7101\n");
    ran = run("config", "set", "orchestrator.url", "http://n2:7102,http://n3:7103", NULL);
    assert_int_equal(ran.exit, CLI_DONE);
    ran_done(&ran);
    ran = run("config", "get", "orchestrator.url", NULL);
    assert_string_equal(ran.out, "http://n2:7102,http://n3:7103\n");
    ran_done(&ran);
    FILE *file = fopen(path, "r");
    char text[512] = "";
    assert_non_null(file);
    assert_true(fread(text, 1, sizeof text - 1, file) > 0);
    fclose(file);
    assert_non_null(strstr(text, "two"));
    static const char *const wrong[][2] = {{"nope", "x"},
                                           {"orchestrator.url", "ftp://x"},
                                           {"orchestrator", "http://x"},
                                           {"orchestrator.url", "nonsense"},
                                           {"orchestrator.url", "http://n1:7101,nonsense"},
                                           {"orchestrator.url", "n1:"},
                                           {"orchestrator.url", ":7101"},
                                           {"orchestrator.url", ""},
                                           {"orchestrator.url", " , "}};
    for (size_t i = 0; i < COUNT(wrong); i++) {
        ran = run("config", "set", wrong[i][0], wrong[i][1], NULL);
        assert_int_equal(ran.exit, CLI_USAGE);
        ran_done(&ran);
    }
    ran = run("config", "get", "orchestrator.url", NULL);
    assert_string_equal(ran.out, "http://n2:7102,http://n3:7103\n");
    ran_done(&ran);
    ran = run("config", "set", "orchestrator.url", "n1:7101", NULL);
    assert_int_equal(ran.exit, CLI_DONE);
    ran_done(&ran);
    write_text(path, "- broken");
    ran = run("config", "set", "orchestrator.url", "http://n1", NULL);
    assert_int_equal(ran.exit, CLI_FAILED);
    assert_non_null(strstr(ran.err, "config.yaml"));
    ran_done(&ran);
    unsetenv("XDG_CONFIG_HOME");
}

/* Goal: text drops nothing that the answer holds: a flag's object, a block, a list of objects.
 * Method: answers with each, and the lines that shall be there. */
static void text_holds_what_is_no_scalar(void **state)
{
    static const struct fake_reply flag = {200,
                                           "{\"key\":\"LIMITS\",\"type\":\"object\",\"value\":{\"a\":1,\"b\":"
                                           "[2]},\"default\":{},\"safe\":{\"a\":0},"
                                           "\"history\":[{\"version\":1}]}",
                                           0};
    static const struct fake_reply reset = {
        200,
        "{\"name\":\"S\",\"active\":false,\"last_reset\":{\"reset_by\":\"ann\",\"root_cause\":\"a typo\","
        "\"more\":{\"x\":1}}}",
        0};
    (void)state;
    struct fake_server *server = fake_start(&flag, 1);
    struct ran ran = run("flags", "get", "LIMITS", "--orchestrator-url", server->url, NULL);
    assert_int_equal(ran.exit, CLI_DONE);
    assert_string_equal(ran.out, "Key:     LIMITS\n"
                                 "Type:    object\n"
                                 "Value:   {\"a\":1,\"b\":[2]}\n"
                                 "Default: {}\n"
                                 "Safe:    {\"a\":0}\n"
                                 "History: [{\"version\":1}]\n");
    ran_done(&ran);
    fake_stop(server);
    fake_free(server);
    server = fake_start(&reset, 1);
    ran = run("kill-switch", "reset", "S", "--reason=r", "--approver=bob", "--root-cause=c", "--operator=ann",
              "--orchestrator-url", server->url, NULL);
    assert_int_equal(ran.exit, CLI_DONE);
    assert_string_equal(ran.out, "Name:       S\n"
                                 "Active:     false\n"
                                 "Last Reset:\n"
                                 "  Reset By:   ann\n"
                                 "  Root Cause: a typo\n"
                                 "  More:       {\"x\":1}\n");
    ran_done(&ran);
    fake_stop(server);
    fake_free(server);
}

/* Goal: a resignation that led to no new leader is a failure, however it was asked for.
 * Method: both commands, answered with success false. */
static void failed_resignation_fails_either_way(void **state)
{
    static const struct fake_reply reply = {200, "{\"success\":false,\"message\":\"nobody took over\"}", 0};
    (void)state;
    struct fake_server *server = fake_start(&reply, 1);
    struct ran runs[] = {run("ha", "failover", "trigger", "--reason=r", "--operator=ann",
                             "--orchestrator-url", server->url, NULL),
                         run("rollback", "execute", "--target=ha_leader_resign", "--reason=r",
                             "--operator=ann", "--orchestrator-url", server->url, NULL)};
    for (size_t i = 0; i < COUNT(runs); i++) {
        assert_int_equal(runs[i].exit, CLI_FAILED);
        assert_non_null(strstr(runs[i].out, "nobody took over"));
        ran_done(&runs[i]);
    }
    fake_stop(server);
    fake_free(server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(commands_send_what_the_interface_says, set_up, tear_down),
        cmocka_unit_test_setup_teardown(ha_status_prints_the_known_labels, set_up, tear_down),
        cmocka_unit_test_setup_teardown(quorum_and_failover_print_their_labels, set_up, tear_down),
        cmocka_unit_test_setup_teardown(defaults_of_output_are_kept, set_up, tear_down),
        cmocka_unit_test_setup_teardown(flag_values_take_the_flags_type, set_up, tear_down),
        cmocka_unit_test_setup_teardown(several_flags_go_in_one_request, set_up, tear_down),
        cmocka_unit_test_setup_teardown(plan_file_and_flags_are_joined, set_up, tear_down),
        cmocka_unit_test_setup_teardown(preview_works_offline, set_up, tear_down),
        cmocka_unit_test_setup_teardown(preview_leaves_nothing_unknown, set_up, tear_down),
        cmocka_unit_test_setup_teardown(preview_of_a_resource_without_server_still_explains, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(description_shows_stages_nodes_and_revert, set_up, tear_down),
        cmocka_unit_test_setup_teardown(control_characters_never_reach_the_terminal, set_up, tear_down),
        cmocka_unit_test_setup_teardown(export_streams_pages_into_one_array, set_up, tear_down),
        cmocka_unit_test_setup_teardown(broken_chain_over_http_exits_1, set_up, tear_down),
        cmocka_unit_test_setup_teardown(settings_keep_what_they_do_not_know, set_up, tear_down),
        cmocka_unit_test_setup_teardown(text_holds_what_is_no_scalar, set_up, tear_down),
        cmocka_unit_test_setup_teardown(failed_resignation_fails_either_way, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
