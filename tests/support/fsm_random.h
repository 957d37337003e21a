/* Random commands of every type, good ones and ones that the state refuses, from one seed: the same seed
 * gives the same log on every machine. Few names and few request ids, so that commands meet each other's
 * effects. */
#pragma once

#include "support/fsm_fixture.h"

struct fsm_random {
    uint64_t state;
    uint32_t made[128]; /* commands by type */
};

FIXTURE_FN uint64_t random_next(struct fsm_random *self)
{
    uint64_t z = (self->state += 0x9e3779b97f4a7c15ull); /* splitmix64 */
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
}

FIXTURE_FN uint32_t random_below(struct fsm_random *self, uint32_t limit)
{
    return (uint32_t)(random_next(self) % limit);
}

/* One of some texts, by a number drawn before: the order in which arguments are evaluated is the compiler's
 * choice, so nothing is drawn among them. */
#define PICK(draw, ...)                                                                                      \
    ((const char *const[]){                                                                                  \
        __VA_ARGS__}[(draw) % (sizeof((const char *const[]){__VA_ARGS__}) / sizeof(const char *))])

#define DRAWS 10u
struct draws {
    uint32_t d[DRAWS];
};

FIXTURE_FN struct draws random_draws(struct fsm_random *self)
{
    struct draws draws;
    for (size_t i = 0; i < DRAWS; i++)
        draws.d[i] = random_below(self, 1u << 30);
    return draws;
}

FIXTURE_FN void random_plan(struct fsm_random *r, char *json, size_t bytes)
{
    const struct draws a = random_draws(r);
    snprintf(
        json, bytes,
        "{\"plan_id\": \"p%u\", \"artifact\": {\"name\": \"app\", \"version\": \"2.%u\"%s}, \"stages\": ["
        "{\"stage_id\": \"s0\", \"target\": %s, \"gates\": %s}, {\"stage_id\": \"s1\", \"gates\": %s}, "
        "{\"stage_id\": \"s2\"}], \"publish\": %s, \"reason\": \"r%u\"%s}",
        (a.d[3] % 12), (a.d[4] % 9), (a.d[5] % 4) ? ", \"previous_version\": \"1.0\"" : "",
        PICK(a.d[0], "{\"percent\": 30}", "{\"nodes\": [\"e0\", \"e1\", \"e2\"]}",
             "{\"labels\": {\"site\": \"lab\"}}"),
        PICK(a.d[1], "[]", "[{\"kind\": \"manual\"}]", "[{\"kind\": \"time_soak\", \"seconds\": 600}]",
             "[{\"kind\": \"success_ratio\", \"min_percent\": 50}, {\"kind\": \"time_soak\", "
             "\"seconds\": 5}]"),
        PICK(a.d[2], "[]", "[{\"kind\": \"manual\"}, {\"kind\": \"health\"}]",
             "[{\"kind\": \"time_soak\", \"seconds\": 60}]"),
        (a.d[6] % 4) ? "true" : "false", (a.d[7] % 100),
        (a.d[8] % 5) ? "" : ", \"start_at\": \"2026-01-01T12:00:00Z\"");
}

FIXTURE_FN const char *random_rollout(struct fsm_random *r, char *json, size_t bytes)
{
    const struct draws a = random_draws(r);
    const unsigned plan = random_below(r, 12), stage = random_below(r, 4);
    switch (random_below(r, 13)) {
    case 0:
    case 12:
        random_plan(r, json, bytes);
        return "rollout.create";
    case 1:
        snprintf(json, bytes, "{\"plan_id\": \"p%u\", \"stage_id\": \"s%u\", \"reason\": \"bad\"}", plan,
                 stage);
        return "rollout.halt";
    case 2:
        snprintf(json, bytes,
                 "{\"plan_id\": \"p%u\", \"strategy\": \"%s\", \"reason\": \"bad\", \"pace\": \"%s\"}", plan,
                 PICK(a.d[0], "retry", "retry", "rollback", "skip_failed"),
                 PICK(a.d[1], "immediate", "staged"));
        return "rollout.recover";
    case 3:
        snprintf(json, bytes, "{\"plan_id\": \"p%u\", \"stage_id\": \"s%u\"}", plan, stage);
        return "rollout.gate.approve";
    case 4:
        snprintf(json, bytes, "{\"plan_id\": \"p%u\", \"stage_id\": \"s%u\"}", plan, stage);
        return "rollout.evaluate";
    case 5:
        snprintf(json, bytes, "{\"plan_id\": \"p%u\", \"reason\": \"r\"}", plan);
        return PICK(a.d[0], "rollout.publish", "rollout.pause", "rollout.resume", "rollout.cancel");
    case 6:
        snprintf(json, bytes, "{\"target\": \"%s\", \"resource\": \"p%u%s\", \"reason\": \"bad\"}",
                 PICK(a.d[0], "rollout_plan", "rollout_stage", "ha_leader_resign", "relay_deadletter"), plan,
                 PICK(a.d[1], "", "/s0", "/s1"));
        return "rollback.execute";
    default:
        snprintf(json, bytes,
                 "{\"plan_id\": \"p%u\", \"node_id\": \"e%u\", \"state\": \"%s\", \"version\": \"2\", "
                 "\"labels\": {\"site\": \"%s\"}}",
                 plan, (a.d[2] % 12),
                 PICK(a.d[0], "offered", "activated", "activated", "failed", "reverted", "revert_failed"),
                 PICK(a.d[1], "lab", "shop"));
        return "rollout.node";
    }
}

FIXTURE_FN const char *random_flag(struct fsm_random *r, char *json, size_t bytes)
{
    const struct draws a = random_draws(r);
    const unsigned flag = random_below(r, 4);
    switch (random_below(r, 6)) {
    case 0:
        snprintf(json, bytes, "{\"key\": \"f%u\", \"type\": \"%s\", \"default\": %s, \"safe\": %s}", flag,
                 PICK(a.d[0], "bool", "integer", "integer"), PICK(a.d[1], "true", "1"),
                 PICK(a.d[2], "false", "0"));
        return "flag.define";
    case 1:
    case 2:
        snprintf(json, bytes, "{\"key\": \"%s\", \"value\": %s, \"reason\": \"r\"%s}",
                 PICK(a.d[0], "f0", "f1", "f2", "f3", "PROMPT_MODE", "DISABLE_NEW", "nothing"),
                 PICK(a.d[1], "1", "2", "3", "true", "\"1\"", "\"0\"", "\"text\""),
                 PICK(a.d[2], "", "", ", \"expected_version\": 1", ", \"expected_version\": 2"));
        return "flag.set";
    case 3:
        snprintf(json, bytes,
                 "{\"changes\": [{\"key\": \"f%u\", \"value\": %u}, {\"key\": \"%s\", \"value\": %u}], "
                 "\"reason\": \"r\"}",
                 flag, (a.d[1] % 50), PICK(a.d[0], "f0", "f1", "nothing"), (a.d[2] % 50));
        return "flags.set";
    case 4:
        snprintf(json, bytes, "{\"name\": \"k%u\", \"flags\": [\"f0\", \"f%u\"]}", (a.d[0] % 3), flag);
        return "switch.define";
    default:
        if (random_below(r, 2)) {
            snprintf(json, bytes, "{\"name\": \"%s\", \"reason\": \"r\"}",
                     PICK(a.d[0], "k0", "k1", "k9", "DISABLE_NEW"));
            return "switch.activate";
        }
        snprintf(json, bytes,
                 "{\"name\": \"%s\", \"reason\": \"r\", \"approver\": \"%s\", \"root_cause\": \"c\"}",
                 PICK(a.d[0], "k0", "k1", "DISABLE_NEW"), PICK(a.d[1], "alice", "carol"));
        return "switch.reset";
    }
}

FIXTURE_FN const char *random_cluster(struct fsm_random *r, const struct fixture_log *log, char *json,
                                      size_t bytes)
{
    const struct draws a = random_draws(r);
    const unsigned node = random_below(r, 20) + 1;
    switch (random_below(r, 8)) {
    case 0:
        snprintf(json, bytes, "{\"node_id\": %u, \"term\": %llu, \"cause\": \"%s\", \"level\": 1}",
                 node % 3 + 1, (unsigned long long)log->term - (log->term > 1 ? (a.d[1] % 2) : 0),
                 PICK(a.d[0], "election", "transfer", "crash"));
        return "leader.elected";
    case 1:
        snprintf(json, bytes, "{\"node_id\": %u, \"name\": \"n%u\", \"address\": \"h:%u\"}", node, node % 17,
                 (a.d[0] % 3));
        return "member.add";
    case 2:
        snprintf(json, bytes, "{\"node_id\": %u, \"role\": \"%s\"}", node,
                 PICK(a.d[0], "voter", "voter", "standby", "spare", "removed"));
        return "member.sync";
    case 3:
        snprintf(json, bytes, "{\"reason\": \"r\"%s}",
                 PICK(a.d[0], "", ", \"target_node\": \"n1\"", ", \"target_node\": \"n99\""));
        return "failover.request";
    case 4:
        snprintf(json, bytes, "{\"request_index\": %u, \"success\": %s, \"write_gap_ms\": 7}",
                 log->count + 1 - a.d[0] % (log->count < 40 ? log->count + 1 : 40),
                 PICK(a.d[1], "true", "false"));
        return "failover.outcome";
    case 5:
        snprintf(
            json, bytes,
            "{\"node_id\": %u, \"incarnation\": 1, \"number\": %u, \"lost_at\": \"2026-01-01T%02u:00:00Z\", "
            "\"restored_at\": \"2026-01-01T%02u:00:05Z\", \"reason\": \"r\"}",
            node % 3 + 1, (a.d[0] % 9), (a.d[1] % 24), (a.d[2] % 24));
        return "quorum.report";
    case 6:
        snprintf(json, bytes, "{\"%s\": %u, \"reason\": \"r\"}",
                 PICK(a.d[0], "before_seq", "before_seq", "keep_days"), (a.d[1] % 200) + 1);
        return "audit.prune";
    default:
        snprintf(json, bytes, "{\"stuck_after_ms\": %u}", (a.d[0] % 2) * 3600000);
        return "tick";
    }
}

/** Appends a command of a while ago once more, as a client does that lost its answer. */
FIXTURE_FN bool random_repeat(struct fsm_random *r, struct fixture_log *log)
{
    const uint32_t back = random_below(r, 60) + 1;
    if (back > log->count || log->entries[log->count - back].type != ENTRY_COMMAND)
        return false;
    const struct span data = log->entries[log->count - back].data;
    fixture_append(log, ENTRY_COMMAND, data.data, data.bytes);
    return true;
}

/** Appends one random entry: a command mostly, now and then a barrier or a configuration. */
FIXTURE_FN void random_entry(struct fsm_random *r, struct fixture_log *log)
{
    char json[1500], id[32] = "";
    const uint32_t kind = random_below(r, 100);
    if (random_below(r, 40) == 0)
        log->term++;
    if (random_below(r, 200) == 0)
        log->wall_ms += 25ull * 3600 * 1000;
    else
        log->wall_ms += random_below(r, 120000);
    if (kind < 3) {
        fixture_append(log, ENTRY_BARRIER, NULL, 0);
        return;
    }
    if (kind < 6) {
        fixture_append(log, ENTRY_CHANGE, json,
                       (size_t)snprintf(json, sizeof(json), "configuration %u", kind));
        return;
    }
    if (kind < 14 && random_repeat(r, log))
        return;
    const char *name = kind < 60   ? random_rollout(r, json, sizeof(json))
                       : kind < 80 ? random_flag(r, json, sizeof(json))
                                   : random_cluster(r, log, json, sizeof(json));
    if (random_below(r, 3))
        snprintf(id, sizeof(id), "id-%u", random_below(r, 4000));
    const uint64_t now_ms = log->wall_ms;
    const uint32_t who = random_below(r, 2);
    if (random_below(r, 20) == 0)
        log->wall_ms -= random_below(r, 600000); /* a leader whose clock is behind */
    fixture_append_command(log, name, PICK(who, "alice", "bob"), id, json);
    log->wall_ms = now_ms;
    r->made[command_by_name(name)->type]++;
}
