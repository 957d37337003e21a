/* `autonomy ha`: leadership, quorum, members. The labels are what operators' scripts grep for. */
#include <jansson.h>
#include <string.h>

#include "tools/autonomy/client.h"
#include "tools/autonomy/output.h"

#define COUNT(rows) (uint32_t)(sizeof(rows) / sizeof((rows)[0]))
#define LABEL_WIDTH 28u

const char *quorum_advice(struct cli *cli, const struct json_t *members, const char *role)
{
    const char *missing = "";
    uint32_t voters = 0, there = 0;
    size_t i;
    json_t *member;
    json_array_foreach(members, i, member)
    {
        const char *place = json_string_value(json_object_get(member, role));
        if (!place || strcmp(place, "voter") != 0)
            continue;
        voters++;
        if (json_is_true(json_object_get(member, "reachable")))
            there++;
        else
            missing = arena_printf(&cli->arena, "%s%s%s", missing, *missing ? " or " : "",
                                   printable(cli, member_text(cli, member, "name")));
    }
    if (voters == 0 || there > voters / 2)
        return NULL;
    return arena_printf(&cli->arena, "%u of %u voters %s in contact, %u are needed: bring back %s", there,
                        voters, there == 1 ? "is" : "are", voters / 2 + 1, missing);
}

static void print_members(struct cli *cli, const json_t *members)
{
    static const char *const names[] = {"NAME", "ROLE", "URL", "ADDRESS", "REACHABLE", "APPLIED", NULL};
    static const char *const keys[] = {"name", "role", "url", "address", "reachable", "applied_index", NULL};
    rows_print(cli, members, names, keys, "no members");
}

static void print_status(struct cli *cli, const json_t *status)
{
    static const struct label node[] = {{"Role", "role", NULL},
                                        {"Session lock held", "session_lock_held", NULL},
                                        {"Write-Ready", "write_ready", NULL},
                                        {"Queried At", "queried_at", NULL}};
    static const struct label leader[] = {
        {"Holder ID", "holder_id", NULL}, {"Epoch", "epoch", NULL}, {"Acquired At", "acquired_at", NULL}};
    static const struct label quorum[] = {{"Write-Ready", "write_ready", NULL},
                                          {"Sync Replicas", "sync_replica_count", NULL}};
    static const struct label replication[] = {{"Lag Status", "lag_status", NULL},
                                               {"Max Write Lag", "max_write_lag_ms", "ms"},
                                               {"Max Replay Lag", "max_replay_lag_ms", "ms"},
                                               {"Replicas", "replica_count", NULL}};
    static const struct label ours[] = {{"Node ID", "node_id", NULL},
                                        {"Cluster ID", "cluster_id", NULL},
                                        {"Term", "term", NULL},
                                        {"Commit Index", "commit_index", NULL},
                                        {"Applied Index", "applied_index", NULL}};
    labels_print(cli, status, "", LABEL_WIDTH + 2, node, COUNT(node));
    fputs("\nLeader:\n", cli->out);
    labels_print(cli, json_object_get(status, "leader"), "  ", LABEL_WIDTH, leader, COUNT(leader));
    fputs("\nQuorum:\n", cli->out);
    labels_print(cli, json_object_get(status, "quorum"), "  ", LABEL_WIDTH, quorum, COUNT(quorum));
    fputs("\nReplication:\n", cli->out);
    labels_print(cli, json_object_get(status, "replication"), "  ", LABEL_WIDTH, replication,
                 COUNT(replication));
    fputs("\nNode:\n", cli->out);
    labels_print(cli, status, "  ", LABEL_WIDTH, ours, COUNT(ours));
    fputs("\nMembers:\n", cli->out);
    print_members(cli, json_object_get(status, "members"));
    const char *advice = quorum_advice(cli, json_object_get(status, "members"), "role");
    if (advice)
        fprintf(cli->out, "\nno writes: %s\n", advice);
}

enum cli_exit run_ha_status(struct cli *cli)
{
    json_t *status = NULL;
    enum cli_exit exit = cli_call(cli, "GET", "/v1/ha/status", NULL, &status);
    if (exit == CLI_DONE) {
        members_remember(cli->client, status);
        if (cli->json)
            json_print(cli, status);
        else
            print_status(cli, status);
    }
    json_decref(status);
    return exit;
}

enum cli_exit run_ha_quorum(struct cli *cli)
{
    static const struct label labels[] = {
        {"Write-Ready", "write_ready", NULL},
        {"Sync Replicas", "sync_replica_count", NULL},
        {"Lag Status", "lag_status", NULL},
        {"Quorum Health", "quorum_health", NULL},
        {"Write Block Active", "write_block_active", NULL},
        {"Can Accept Protected Writes", "can_accept_protected_writes", NULL},
        {"Quorum Loss Reason", "quorum_loss_reason", NULL},
        {"Last Lost At", "last_lost_at", NULL},
        {"Last Restored At", "last_restored_at", NULL},
        {"Detected Loss Count", "detected_loss_count", NULL},
        {"Queried At", "queried_at", NULL}};
    json_t *quorum = NULL;
    enum cli_exit exit = cli_call(cli, "GET", "/v1/ha/quorum", NULL, &quorum);
    if (exit == CLI_DONE && cli->json)
        json_print(cli, quorum);
    else if (exit == CLI_DONE) {
        fputs("Quorum Status\n", cli->out);
        labels_print(cli, quorum, "  ", LABEL_WIDTH, labels, COUNT(labels));
        if (!json_is_true(json_object_get(quorum, "write_ready")))
            fputs("\nWarning: quorum is not met; protected writes are blocked.\n", cli->out);
    }
    json_decref(quorum);
    return exit;
}

enum cli_exit run_ha_failover(struct cli *cli)
{
    static const struct label labels[] = {{"Previous Holder", "previous_holder", NULL},
                                          {"Previous Epoch", "previous_epoch", NULL},
                                          {"Resigned At", "resigned_at", NULL},
                                          {"New Holder", "new_holder", NULL},
                                          {"New Epoch", "new_epoch", NULL},
                                          {"Write Gap", "write_gap_ms", "ms"},
                                          {"Message", "message", NULL}};
    json_t *answer = NULL;
    json_t *body = json_pack("{s:s, s:s*}", "reason", cli_value(cli, "reason"), "target_node",
                             cli_value(cli, "target-node"));
    progress_say(&cli->progress, "handing leadership over");
    enum cli_exit exit = cli_call(cli, "POST", "/v1/ha/failover", body, &answer);
    progress_say(&cli->progress, "%s", "");
    json_decref(body);
    if (exit != CLI_DONE)
        return exit;
    bool success = json_is_true(json_object_get(answer, "success"));
    if (cli->json)
        json_print(cli, answer);
    else {
        fputs(success ? "Failover triggered\n" : "Failover failed\n", cli->out);
        labels_print(cli, answer, "  ", LABEL_WIDTH, labels, COUNT(labels));
    }
    json_decref(answer);
    return success ? CLI_DONE : CLI_FAILED;
}

enum cli_exit run_ha_members(struct cli *cli)
{
    json_t *members = NULL;
    enum cli_exit exit = cli_list(cli, "/v1/ha/members", 0, &members);
    if (exit == CLI_DONE && cli->json)
        json_print(cli, members);
    else if (exit == CLI_DONE)
        print_members(cli, members);
    json_decref(members);
    return exit;
}

enum cli_exit run_ha_remove(struct cli *cli)
{
    static const struct label labels[] = {
        {"Member", "member", NULL}, {"Node ID", "node_id", NULL}, {"Audit Seq", "audit_seq", NULL}};
    const char *name = cli->positional[0];
    enum cli_exit exit =
        confirm(cli, arena_printf(&cli->arena, "takes node \"%s\" out of the cluster for good", name), name);
    if (exit != CLI_DONE)
        return exit;
    json_t *answer = NULL;
    json_t *body = json_pack("{s:s}", "reason", cli_value(cli, "reason"));
    exit = cli_call(cli, "DELETE", arena_printf(&cli->arena, "/v1/ha/members/%s", cli_escape(cli, name)),
                    body, &answer);
    json_decref(body);
    if (exit == CLI_DONE && cli->json)
        json_print(cli, answer);
    else if (exit == CLI_DONE) {
        fputs("Member removed\n", cli->out);
        labels_print(cli, answer, "  ", LABEL_WIDTH, labels, COUNT(labels));
    }
    json_decref(answer);
    return exit;
}
