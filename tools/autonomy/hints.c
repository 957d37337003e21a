#include "tools/autonomy/hints.h"

#include <ctype.h>
#include <stdarg.h>
#include <string.h>

#include "base/bytes.h"

#define DESCRIBE "autonomy rollout plan describe --plan-id {plan-id}"

static const struct {
    const char *code, *next;
} hints[] = {
    /* what the state of the cluster forbids: fsm/result.h */
    {"invalid_field", "the sentence names the field; what may stand there: autonomy {command} --help"},
    {"plan_not_found", "list the plans: autonomy rollout plan list"},
    {"stage_not_found", "see the plan's stages: " DESCRIBE},
    {"plan_exists", "see it: " DESCRIBE "; or choose another --plan-id"},
    {"plan_terminal",
     "a terminal plan stays as it is; a new one is the way on: autonomy rollout plan create"},
    {"plan_phase", "see its phase: " DESCRIBE},
    {"plan_activated", "nodes run it already: autonomy rollout recover --plan-id {plan-id} --strategy "
                       "rollback --reason REASON"},
    {"stage_phase", "see each stage's phase: " DESCRIBE},
    {"stage_halted",
     "leave the stage behind, or roll the plan back: autonomy rollout recover --plan-id {plan-id} "
     "--strategy skip_failed|rollback --reason REASON"},
    {"gate_not_found", "see the stage's gates: " DESCRIBE},
    {"no_manual_gate", "see what the stage waits for: " DESCRIBE},
    {"node_state", "see what the node reported last: " DESCRIBE},
    {"preview_stale", "look again: autonomy rollback preview --target {target} --resource {resource}"},
    {"monitor_unsupported", "leave `monitor` out of the plan, and watch it yourself: autonomy top"},
    {"not_orchestrated", "see the way by hand: autonomy rollback preview --target {target}"},
    {"flag_not_found", "list the flags: autonomy flags list"},
    {"flag_type", "see its type: autonomy flags get {}"},
    {"version_mismatch", "somebody was faster; read it again: autonomy flags get {}"},
    {"use_reset",
     "autonomy kill-switch reset NAME --reason REASON --approver SOMEBODY_ELSE --root-cause WHAT_IT_WAS"},
    {"flag_built_in", "see which are built in, and choose another name: autonomy flags list"},
    {"kill_switch_not_found", "list them: autonomy kill-switch list"},
    {"kill_switch_active", "see since when and why: autonomy kill-switch list"},
    {"kill_switch_inactive", "nothing holds its flags; see them: autonomy flags list"},
    {"approver_is_actor", "let somebody else agree: --approver SOMEBODY_ELSE"},
    {"unhealthy", "wait until 15 minutes without an unhealthy check have passed, or add --force"},
    {"records_pruned", "begin again: what is left is whole from its anchor on"},
    {"request_reused", "leave out --request-id, or repeat the command exactly as it was"},
    {"requests_full",
     "wait: the oldest requests are forgotten after 24 hours; halts, rollbacks and kill switches are "
     "let through"},
    {"member_not_found", "list the members: autonomy ha members list"},
    {"member_name_taken",
     "give the node another `name` in its configuration, or take the old one out: autonomy ha "
     "members remove NAME --reason REASON"},
    {"member_removed", "start that node with an empty data folder: it joins as a new member"},
    {"term_stale", "the leader has changed meanwhile; repeat the command"},
    {"too_many", "end or remove what isn't needed any more; the bounds: docs/reference/rollouts.md"},
    {"failover_open", "wait until it has ended: autonomy ha status --watch"},
    {"action_not_found", "see who leads: autonomy ha status"},

    /* what a node says by itself */
    {"malformed", "the request doesn't fit this node; compare the versions: autonomy version --server"},
    {"invalid_header", "look at --operator and --request-id: printable characters only"},
    {"denied", "say who you are: --operator you@example.com, or set AUTONOMY_OPERATOR"},
    {"route_not_found", "this node may be older than the command; compare: autonomy version --server"},
    {"not_found", "look for its name: autonomy {command} --help"},
    {"method_not_allowed", "this node may be older than the command; compare: autonomy version --server"},
    {"uri_too_long", "use shorter names or fewer filters"},
    {"unsupported_media_type", "compare the versions: autonomy version --server"},
    {"unknown_coding", "compare the versions: autonomy version --server"},
    {"range_not_satisfiable", "compare the versions: autonomy version --server"},
    {"too_big", "send less at once: a change has at most 64 KiB"},
    {"conflict", "see what holds now: autonomy ha status; or repeat it without --request-id"},
    {"exists", "see what is there: autonomy ha members list"},
    {"locked", "wait until whoever holds it is done, and repeat the command"},
    {"level_too_low", "install the cluster's version on that node: autonomy ha status shows each member's"},
    {"failover_refused", "see which member lags or is out of contact: autonomy top"},
    {"failover_failed", "leadership stays; see why: autonomy ha status, then repeat it"},
    {"busy", "repeat it in a moment; is the cluster overloaded? autonomy top"},
    {"not_leader", "an election may be under way; repeat it. Why: autonomy ha quorum status"},
    {"unavailable", "why: autonomy ha quorum status; who answers: autonomy top"},
    {"closed", "that node stops; name another one: --orchestrator-url"},
    {"unknown", "repeat it under the same --request-id"},
    {"timeout", "give it longer (--timeout 30s); why it takes so long: autonomy ha quorum status"},
    {"io", "that node's disk fails; name another node: --orchestrator-url"},
    {"corrupt", "that node's data is damaged; name another node: --orchestrator-url"},
    {"no_space", "free space on the leader's disk; writes resume by themselves"},
};

const char *hint_find(const char *code)
{
    for (size_t i = 0; i < sizeof hints / sizeof hints[0]; i++)
        if (strcmp(hints[i].code, code) == 0)
            return hints[i].next;
    return NULL;
}

/* What stands for {name}: what was typed, or the name in capitals. */
static const char *value_of(struct cli *cli, const char *name)
{
    if (strcmp(name, "command") == 0)
        return cli->command ? cli->command->path : "";
    if (!*name) {
        const char *word = cli->positional_count > 0 ? cli->positional[0] : "KEY";
        return arena_text(&cli->arena, word, strcspn(word, "="));
    }
    const char *value = cli->command ? cli_value(cli, name) : NULL;
    if (value && *value)
        return value;
    char *capitals = arena_text(&cli->arena, name, strlen(name));
    for (char *at = capitals; *at; at++)
        *at = (char)(*at == '-' ? '_' : toupper((unsigned char)*at));
    return capitals;
}

const char *hint_text(struct cli *cli, const char *code)
{
    const char *at = hint_find(code);
    struct bytes out;
    if (!at)
        return NULL;
    bytes_init(&out, 0);
    while (*at) {
        size_t plain = strcspn(at, "{");
        bytes_append(&out, at, plain);
        at += plain;
        if (*at == '{') {
            size_t length = strcspn(at, "}");
            bytes_append_text(&out, value_of(cli, arena_text(&cli->arena, at + 1, length - 1)));
            at += length + 1;
        }
    }
    const char *text = arena_text(&cli->arena, (const char *)out.data, out.length);
    bytes_done(&out);
    return text;
}

void hint_say(struct cli *cli, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fputs("next: ", cli->err);
    vfprintf(cli->err, format, arguments);
    fputc('\n', cli->err);
    va_end(arguments);
    cli->hinted = true;
}

void hint_default(struct cli *cli, enum cli_exit exit)
{
    const char *path = cli->command ? cli->command->path : "";
    if (cli->hinted)
        return;
    switch (exit) {
    case CLI_USAGE:
        hint_say(cli, "autonomy %s%s--help shows what it takes", path, *path ? " " : "");
        break;
    case CLI_FAILED:
        hint_say(cli,
                 "see how the cluster is: autonomy ha status; what this command needs: autonomy %s --help",
                 path);
        break;
    case CLI_UNREACHABLE:
        hint_say(cli, "name another node: --orchestrator-url, or set AUTONOMY_ORCHESTRATOR_FALLBACK_URLS");
        break;
    case CLI_DENIED:
        hint_say(cli, "say who you are: --operator you@example.com, or set AUTONOMY_OPERATOR");
        break;
    case CLI_INTERRUPTED:
        hint_say(cli, "nothing is left to undo; to go on, repeat the command");
        break;
    case CLI_DONE:
    case CLI_UNKNOWN: /* says the command to repeat */
        break;
    }
}
