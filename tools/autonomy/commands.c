/* Every command there is: one row each. */
#include "tools/autonomy/cli.h"

#include <stddef.h>

/* --- shared sets --- */

#define OUTPUT_ROW(fallback_value)                                                                           \
    {                                                                                                        \
        .name = "output", .type = FLAG_CHOICE, .value = "FORMAT", .choices = "text|json",                    \
        .fallback = (fallback_value), .help = "how the result is printed"                                    \
    }

static const struct flag output_text[] = {OUTPUT_ROW("text"), {0}};
static const struct flag output_json[] = {OUTPUT_ROW("json"), {0}};

#define URL_ROW                                                                                              \
    {                                                                                                        \
        .name = "orchestrator-url", .type = FLAG_WORD, .value = "URL", .env = "AUTONOMY_ORCHESTRATOR_URL",   \
        .help = "the node to ask, or several, comma-separated"                                               \
    }
#define OPERATOR_ROW                                                                                         \
    {                                                                                                        \
        .name = "operator", .type = FLAG_WORD, .value = "ID", .env = "AUTONOMY_OPERATOR", .help = "who acts" \
    }
#define TIMEOUT_ROW(how_long)                                                                                \
    {                                                                                                        \
        .name = "timeout", .type = FLAG_DURATION, .value = "DURATION", .fallback = (how_long),               \
        .help = "how long to try: 500ms, 5s, 1m"                                                             \
    }

#define CONSISTENCY_ROW                                                                                      \
    {                                                                                                        \
        .name = "consistency", .type = FLAG_CHOICE, .value = "MODE", .choices = "linearizable|stale",        \
        .help = "stale reads what the answering node has, also without a quorum"                             \
    }

static const struct flag server_read[] = {URL_ROW, OPERATOR_ROW, TIMEOUT_ROW("2s"), CONSISTENCY_ROW, {0}};
static const struct flag server_read_long[] = {
    URL_ROW, OPERATOR_ROW, TIMEOUT_ROW("30s"), CONSISTENCY_ROW, {0}};
static const struct flag server_look[] = {URL_ROW, OPERATOR_ROW, TIMEOUT_ROW("2s"), {0}};
static const struct flag server_look_long[] = {URL_ROW, OPERATOR_ROW, TIMEOUT_ROW("30s"), {0}};
#define REQUEST_ROW                                                                                          \
    {                                                                                                        \
        .name = "request-id", .type = FLAG_WORD, .value = "ID",                                              \
        .help = "repeat an earlier try: it takes effect once"                                                \
    }
static const struct flag server_write[] = {URL_ROW, OPERATOR_ROW, TIMEOUT_ROW("2s"), REQUEST_ROW, {0}};
static const struct flag server_write_long[] = {URL_ROW, OPERATOR_ROW, TIMEOUT_ROW("30s"), REQUEST_ROW, {0}};

static const struct flag watched[] = {
    {.name = "watch",
     .type = FLAG_DURATION,
     .optional = true,
     .value = "[DURATION]",
     .fallback = "2s",
     .help = "go on showing it: at once when it changes, at least so often; each change once, as one JSON "
             "line, in a pipe"},
    {0}};

static const struct flag confirmed[] = {
    {.name = "yes", .type = FLAG_SWITCH, .help = "don't ask; AUTONOMY_ASSUME_YES=1 does the same"}, {0}};

#define PLAN_ROW                                                                                             \
    {                                                                                                        \
        .name = "plan-id", .type = FLAG_WORD, .required = true, .names = NAMES_PLANS, .value = "PLAN",       \
        .help = "which plan"                                                                                 \
    }
#define REASON_ROW(must)                                                                                     \
    {                                                                                                        \
        .name = "reason", .type = FLAG_SENTENCE, .required = (must), .value = "REASON",                      \
        .help = "why, for the record"                                                                        \
    }

static const struct flag plan_reason[] = {PLAN_ROW, REASON_ROW(false), {0}};
static const struct flag plan_only[] = {PLAN_ROW, {0}};

/* --- rollout --- */

static const struct flag plan_create[] = {
    {.name = "file",
     .type = FLAG_PATH,
     .letter = 'f',
     .value = "FILE",
     .help = "the plan as YAML or JSON; - reads standard input"},
    {.name = "plan-id", .type = FLAG_WORD, .value = "PLAN", .help = "its name; made when absent"},
    {.name = "artifact", .type = FLAG_WORD, .value = "NAME", .help = "what is rolled out"},
    {.name = "artifact-version", .type = FLAG_WORD, .value = "VERSION", .help = "which version of it"},
    {.name = "artifact-url", .type = FLAG_WORD, .value = "URL", .help = "where nodes fetch it"},
    {.name = "artifact-sha256", .type = FLAG_WORD, .value = "HEX", .help = "its digest, 64 hex digits"},
    {.name = "previous-version", .type = FLAG_WORD, .value = "VERSION", .help = "what a rollback returns to"},
    {.name = "stage",
     .type = FLAG_WORD,
     .repeat = true,
     .value = "ID:TARGET[:GATE]...",
     .help = "one stage, in order; TARGET is 5%, label=KEY=VALUE or nodes=A,B; GATE is soak=10m, success=95, "
             "manual or health"},
    {.name = "start-at", .type = FLAG_TIME, .value = "TIME", .help = "wait until then after publishing"},
    {.name = "publish", .type = FLAG_SWITCH, .help = "publish it in the same command"},
    REASON_ROW(false),
    {0}};
static const struct flag plan_list[] = {
    {.name = "phase",
     .type = FLAG_CHOICE,
     .value = "PHASE",
     .choices = "draft|published|active|paused|completed|cancelled|rolled_back",
     .help = "only plans in this phase"},
    {.name = "limit", .type = FLAG_NUMBER, .value = "N", .fallback = "0", .help = "at most so many; 0: all"},
    {0}};
static const struct flag stuck[] = {{.name = "threshold",
                                     .type = FLAG_DURATION,
                                     .value = "DURATION",
                                     .fallback = "1h",
                                     .help = "without progress for so long"},
                                    {0}};
static const struct flag gate_approve[] = {PLAN_ROW,
                                           {.name = "stage-id",
                                            .type = FLAG_WORD,
                                            .required = true,
                                            .names = NAMES_STAGES,
                                            .value = "STAGE",
                                            .help = "which stage"},
                                           REASON_ROW(true),
                                           {0}};
static const struct flag halt[] = {PLAN_ROW,
                                   {.name = "stage-id",
                                    .type = FLAG_WORD,
                                    .names = NAMES_STAGES,
                                    .value = "STAGE",
                                    .help = "which stage; the current one when absent"},
                                   REASON_ROW(true),
                                   {0}};
static const struct flag recover[] = {
    PLAN_ROW,
    {.name = "strategy",
     .type = FLAG_CHOICE,
     .required = true,
     .value = "STRATEGY",
     .choices = "retry|rollback|skip_failed",
     .help = "retry: look at the gates again; rollback: end the plan and revert; skip_failed: leave the "
             "stage behind"},
    REASON_ROW(true),
    {.name = "pace",
     .type = FLAG_CHOICE,
     .value = "PACE",
     .choices = "immediate|staged",
     .help = "rollback: revert all nodes at once or stage by stage"},
    {.name = "policy",
     .type = FLAG_CHOICE,
     .value = "POLICY",
     .choices = "revert|keep",
     .help = "rollback: what nodes with the new version do"},
    {.name = "dry-run", .type = FLAG_SWITCH, .help = "show what would happen, and change nothing"},
    {0}};

/* --- rollback --- */

#define TARGET_ROW                                                                                           \
    {                                                                                                        \
        .name = "target", .type = FLAG_CHOICE, .required = true, .value = "TARGET",                          \
        .choices = "rollout_plan|rollout_stage|ha_leader_resign|relay_deadletter",                           \
        .help = "what kind of thing"                                                                         \
    }
#define STRATEGY_ROW                                                                                         \
    {                                                                                                        \
        .name = "strategy", .type = FLAG_WORD, .names = NAMES_STRATEGIES, .value = "STRATEGY",               \
        .help = "how; the preview lists the valid ones"                                                      \
    }
static const struct flag rollback_preview[] = {
    TARGET_ROW,
    {.name = "resource",
     .type = FLAG_WORD,
     .names = NAMES_RESOURCES,
     .value = "R",
     .help = "PLAN or PLAN/STAGE: what would happen to it now (asks the server)"},
    STRATEGY_ROW,
    {0}};
static const struct flag rollback_execute[] = {
    TARGET_ROW,
    {.name = "resource",
     .type = FLAG_WORD,
     .names = NAMES_RESOURCES,
     .value = "R",
     .help = "PLAN, PLAN/STAGE, or current for ha_leader_resign"},
    STRATEGY_ROW,
    REASON_ROW(true),
    {.name = "preview-token",
     .type = FLAG_WORD,
     .value = "TOKEN",
     .help = "refuse when things changed since that preview"},
    {.name = "dry-run", .type = FLAG_SWITCH, .help = "show what would happen, and change nothing"},
    {0}};

/* --- ha, flags, switches --- */

static const struct flag failover[] = {REASON_ROW(true),
                                       {.name = "target-node",
                                        .type = FLAG_WORD,
                                        .names = NAMES_MEMBERS,
                                        .value = "NODE",
                                        .help = "who shall lead; the best successor when absent"},
                                       {0}};
static const struct flag member_remove[] = {REASON_ROW(true), {0}};
static const struct flag flags_set[] = {REASON_ROW(true),
                                        {.name = "expected-version",
                                         .type = FLAG_NUMBER,
                                         .value = "N",
                                         .help = "refuse when the flag has changed since (one flag only)"},
                                        {0}};
static const struct flag flags_define[] = {
    {.name = "type",
     .type = FLAG_CHOICE,
     .required = true,
     .value = "TYPE",
     .choices = "bool|string|integer|object",
     .help = "never coerced"},
    {.name = "default",
     .blank = true,
     .type = FLAG_SENTENCE,
     .required = true,
     .value = "VALUE",
     .help = "while nothing is set"},
    {.name = "safe",
     .blank = true,
     .type = FLAG_SENTENCE,
     .required = true,
     .value = "VALUE",
     .help = "while a kill switch holds it"},
    {.name = "description", .type = FLAG_SENTENCE, .value = "TEXT", .help = "what it does"},
    REASON_ROW(false),
    {0}};
static const struct flag switch_activate[] = {REASON_ROW(true), {0}};
static const struct flag switch_reset[] = {
    REASON_ROW(true),
    {.name = "approver",
     .type = FLAG_WORD,
     .required = true,
     .value = "ID",
     .help = "who agreed; not the one who acts"},
    {.name = "root-cause", .type = FLAG_SENTENCE, .required = true, .value = "TEXT", .help = "what it was"},
    {.name = "force", .type = FLAG_SWITCH, .help = "don't wait for 15 healthy minutes; the record says so"},
    {0}};
static const struct flag switch_define[] = {
    {.name = "flags", .type = FLAG_WORD, .value = "KEY,KEY", .help = "it holds these flags"},
    {.name = "prefix", .type = FLAG_WORD, .value = "PREFIX", .help = "it holds every flag that begins so"},
    {.name = "all", .type = FLAG_SWITCH, .help = "it holds every flag"},
    {.name = "description", .type = FLAG_SENTENCE, .value = "TEXT", .help = "what it is for"},
    REASON_ROW(false),
    {0}};

/* --- audit --- */

/* AUTONOMY_AUDIT_DIR doesn't stand in for it: whoever has a cluster asks the cluster. */
#define AUDIT_DIR_ROW                                                                                        \
    {                                                                                                        \
        .name = "audit-dir", .type = FLAG_PATH, .value = "FOLDER",                                           \
        .help = "read a node's audit folder instead, offline"                                                \
    }
#define AUDIT_ROWS                                                                                           \
    AUDIT_DIR_ROW,                                                                                           \
        {.name = "category",                                                                                 \
         .type = FLAG_CHOICE,                                                                                \
         .value = "CATEGORY",                                                                                \
         .choices = "rollout|ha|relay|cert|auth|system|rollback|flags",                                      \
         .help = "only this category"},                                                                      \
        {.name = "event-type",                                                                               \
         .type = FLAG_WORD,                                                                                  \
         .value = "EVENT",                                                                                   \
         .help = "only this event: rollback.executed"},                                                      \
        {.name = "actor", .type = FLAG_WORD, .value = "ID", .help = "only what this one did"},               \
        {.name = "outcome",                                                                                  \
         .type = FLAG_CHOICE,                                                                                \
         .value = "OUTCOME",                                                                                 \
         .choices = "success|failure|denied|pending",                                                        \
         .help = "only this outcome"},                                                                       \
        {.name = "source",                                                                                   \
         .type = FLAG_CHOICE,                                                                                \
         .value = "SOURCE",                                                                                  \
         .choices = "orchestrator|edge|cli",                                                                 \
         .help = "only what came from there"},                                                               \
        {.name = "resource", .type = FLAG_WORD, .value = "R", .help = "only this plan, flag, node, ..."},    \
        {.name = "start-time", .type = FLAG_TIME, .value = "TIME", .help = "not before; RFC 3339"},          \
    {                                                                                                        \
        .name = "end-time", .type = FLAG_TIME, .value = "TIME", .help = "not after; RFC 3339"                \
    }
static const struct flag audit_query[] = {
    AUDIT_ROWS,
    {.name = "limit", .type = FLAG_NUMBER, .value = "N", .fallback = "100", .help = "the newest N; 0: all"},
    {0}};
static const struct flag audit_export[] = {AUDIT_ROWS,
                                           {.name = "format",
                                            .type = FLAG_CHOICE,
                                            .value = "FORMAT",
                                            .choices = "json|jsonl|csv|rollback-jsonl|kill-switch-log",
                                            .fallback = "json",
                                            .help = "json: an array; jsonl: one record a line; csv: RFC "
                                                    "4180; the others: the runbook's files"},
                                           {.name = "output",
                                            .type = FLAG_PATH,
                                            .value = "FILE",
                                            .help = "write there instead of to standard output"},
                                           {0}};
static const struct flag audit_verify[] = {AUDIT_DIR_ROW, {0}};
static const struct flag audit_prune[] = {
    {.name = "before",
     .type = FLAG_TIME,
     .value = "TIME",
     .help = "records of before that time go; RFC 3339"},
    {.name = "keep-days", .type = FLAG_NUMBER, .value = "N", .help = "records older than N days go"},
    {.name = "before-seq", .type = FLAG_NUMBER, .value = "SEQ", .help = "records before this one go"},
    REASON_ROW(true),
    {.name = "dry-run", .type = FLAG_SWITCH, .help = "show what would go, and change nothing"},
    {0}};
#define FOLLOW_ROWS                                                                                          \
    {.name = "since",                                                                                        \
     .type = FLAG_NUMBER,                                                                                    \
     .value = "SEQ",                                                                                         \
     .help = "begin after this record; 0: with the first; now when absent"},                                 \
    {                                                                                                        \
        .name = "limit", .type = FLAG_NUMBER, .value = "N", .fallback = "0",                                 \
        .help = "end after N records; 0: go on until interrupted"                                            \
    }
static const struct flag events[] = {
    {.name = "category", .type = FLAG_WORD, .value = "LIST", .help = "only these categories: flags,rollout"},
    {.name = "event-type", .type = FLAG_WORD, .value = "LIST", .help = "only these events: flags.set"},
    FOLLOW_ROWS,
    {0}};
static const struct flag flags_watch[] = {FOLLOW_ROWS, {0}};

/* --- the rest --- */

static const struct flag top[] = {
    {.name = "interval",
     .type = FLAG_DURATION,
     .value = "DURATION",
     .fallback = "1s",
     .help = "time between two looks"},
    {.name = "count",
     .type = FLAG_NUMBER,
     .value = "N",
     .help = "end after N looks; 0: go on until ended; when absent 0 on a terminal, 1 elsewhere"},
    {0}};
static const struct flag bundle[] = {
    {.name = "output",
     .type = FLAG_PATH,
     .value = "FILE.tar.gz",
     .help = "where to; a name with the time, here, when absent"},
    {.name = "config-file",
     .type = FLAG_PATH,
     .value = "FILE",
     .env = "AUTONOMY_CONFIG_FILE",
     .help = "a node's configuration, redacted"},
    {.name = "audit-dir",
     .type = FLAG_PATH,
     .value = "FOLDER",
     .env = "AUTONOMY_AUDIT_DIR",
     .help = "a node's audit folder"},
    {.name = "log-file",
     .type = FLAG_PATH,
     .repeat = true,
     .value = "FILE",
     .help = "the end of a log, redacted; without it, `log` beside the configuration file"},
    {0}};
static const struct flag version[] = {{.name = "server", .type = FLAG_SWITCH, .help = "ask the node too"},
                                      {0}};

const struct command command_table[] = {
    {.path = "rollout plan create",
     .summary = "Make a plan, as a draft or published at once",
     .run = run_plan_create,
     .sets = {plan_create, server_write, output_text},
     .detail = "Flags add to a file's plan and win over it. With neither a file nor --stage there is one "
               "stage, all:100%:manual.",
     .example = "autonomy rollout plan create -f checkout-2.4.1.yaml --publish"},
    {.path = "rollout plan publish",
     .summary = "Open the first stage of a draft",
     .run = run_plan_verb,
     .sets = {plan_reason, server_write, output_text},
     .example = "autonomy rollout plan publish --plan-id checkout-2.4.1"},
    {.path = "rollout plan list",
     .summary = "All plans and their phases",
     .run = run_plan_list,
     .sets = {plan_list, server_read, watched, output_text},
     .example = "autonomy rollout plan list --phase active"},
    {.path = "rollout plan describe",
     .summary = "One plan with its stages and gates",
     .run = run_plan_describe,
     .sets = {plan_only, server_read, watched, output_text},
     .example = "autonomy rollout plan describe --plan-id checkout-2.4.1 --output json"},
    {.path = "rollout plan pause",
     .summary = "Stop the clocks of an active plan",
     .run = run_plan_verb,
     .sets = {plan_reason, server_write, output_text},
     .example = "autonomy rollout plan pause --plan-id checkout-2.4.1 --reason \"looking at latency\""},
    {.path = "rollout plan resume",
     .summary = "Go on with a paused plan",
     .run = run_plan_verb,
     .sets = {plan_reason, server_write, output_text},
     .example = "autonomy rollout plan resume --plan-id checkout-2.4.1"},
    {.path = "rollout plan cancel",
     .summary = "End a plan that no node has activated; terminal",
     .run = run_plan_verb,
     .sets = {plan_reason, server_write, confirmed, output_text},
     .needs_operator = true,
     .example = "autonomy rollout plan cancel --plan-id checkout-2.4.1 --reason \"wrong artifact\""},
    {.path = "rollout stuck",
     .summary = "Plans that have stood still for too long",
     .run = run_stuck,
     .sets = {stuck, server_read, watched, output_text},
     .example = "autonomy rollout stuck --threshold 30m"},
    {.path = "rollout gate approve",
     .summary = "Pass a stage's manual gate",
     .run = run_gate_approve,
     .sets = {gate_approve, server_write, output_json},
     .example = "autonomy rollout gate approve --plan-id checkout-2.4.1 --stage-id canary --reason \"metrics "
                "are fine\""},
    {.path = "rollout halt",
     .summary = "Halt a stage for good; the plan stays",
     .run = run_halt,
     .sets = {halt, server_write, confirmed, output_text},
     .needs_operator = true,
     .example = "autonomy rollout halt --plan-id checkout-2.4.1 --reason \"INCIDENT: errors on the canary\""},
    {.path = "rollout recover",
     .summary = "Retry, roll back or go past a failed stage",
     .run = run_recover,
     .sets = {recover, server_write, confirmed, output_json},
     .needs_operator = true,
     .detail = "rollback ends the plan as rolled_back; skip_failed ends the stage. Both ask first.",
     .example = "autonomy rollout recover --plan-id checkout-2.4.1 --strategy rollback --reason \"INCIDENT: "
                "errors\""},
    {.path = "rollback preview",
     .summary = "What a rollback is and does, before you act",
     .run = run_rollback_preview,
     .sets = {rollback_preview, server_look, output_text},
     .detail = "Works offline. With --resource it asks the server what would happen to that plan now.",
     .example = "autonomy rollback preview --target rollout_plan --resource checkout-2.4.1"},
    {.path = "rollback execute",
     .summary = "Roll back, and leave one rollback.executed record",
     .run = run_rollback_execute,
     .sets = {rollback_execute, server_write, confirmed, output_text},
     .needs_operator = true,
     .detail = "A leader's resignation may take 30s unless --timeout says otherwise.",
     .example = "autonomy rollback execute --target rollout_plan --resource checkout-2.4.1 --strategy "
                "rollback --reason \"INCIDENT: errors\""},
    {.path = "ha status",
     .summary = "The answering node's view of itself and the cluster",
     .run = run_ha_status,
     .sets = {server_look, watched, output_text},
     .example = "autonomy ha status"},
    {.path = "ha quorum status",
     .summary = "Whether the cluster can take writes",
     .run = run_ha_quorum,
     .sets = {server_look, watched, output_text},
     .example = "autonomy ha quorum status --output json"},
    {.path = "ha failover trigger",
     .summary = "Hand leadership to another node",
     .run = run_ha_failover,
     .sets = {failover, server_write_long, output_text},
     .needs_operator = true,
     .detail = "Reports success after the successor has committed its first entry.",
     .example =
         "autonomy ha failover trigger --operator you@example.com --reason \"host runs out of memory\""},
    {.path = "ha members list",
     .summary = "The cluster's members",
     .run = run_ha_members,
     .sets = {server_look, watched, output_text},
     .example = "autonomy ha members list"},
    {.path = "ha members remove",
     .summary = "Take a member out of the cluster for good",
     .run = run_ha_remove,
     .sets = {member_remove, server_write_long, confirmed, output_text},
     .positional = "NAME",
     .names = NAMES_MEMBERS,
     .positional_min = 1,
     .positional_max = 1,
     .needs_operator = true,
     .detail = "Its id never comes back. Started with an empty data folder, it joins as a new member.",
     .example = "autonomy ha members remove n2 --reason \"its disk is lost\""},
    {.path = "flags list",
     .summary = "All flags and what holds now",
     .run = run_flags_list,
     .sets = {server_read, watched, output_text},
     .example = "autonomy flags list"},
    {.path = "flags watch",
     .summary = "Print flag and kill switch changes as they commit",
     .run = run_flags_watch,
     .sets = {flags_watch, server_look_long, output_text},
     .detail = "Goes on at the next node that was named when one stops, without a gap or a double; gives up "
               "when none "
               "answers for --timeout.",
     .example = "autonomy flags watch"},
    {.path = "flags get",
     .summary = "One flag",
     .run = run_flags_get,
     .sets = {server_read, watched, output_text},
     .positional = "KEY",
     .names = NAMES_FLAGS,
     .positional_min = 1,
     .positional_max = 1,
     .example = "autonomy flags get PROMPT_MODE"},
    {.path = "flags set",
     .summary = "Set flags, all or none",
     .run = run_flags_set,
     .sets = {flags_set, server_write, output_text},
     .positional = "KEY=VALUE...",
     .names = NAMES_CHANGES,
     .positional_min = 1,
     .positional_max = CLI_POSITIONALS_MAX,
     .detail = "DISABLE_NEW=1 activates that kill switch.",
     .example = "autonomy flags set PROMPT_MODE=verbose RESEARCH_LAYER=0 --reason \"trial\""},
    {.path = "flags define",
     .summary = "Make a flag, or change its definition",
     .run = run_flags_define,
     .sets = {flags_define, server_write, output_text},
     .positional = "KEY",
     .names = NAMES_FLAGS,
     .positional_min = 1,
     .positional_max = 1,
     .example = "autonomy flags define NEW_CART --type bool --default false --safe false"},
    {.path = "kill-switch list",
     .summary = "All kill switches and which are active",
     .run = run_switch_list,
     .sets = {server_read, watched, output_text},
     .example = "autonomy kill-switch list"},
    {.path = "kill-switch activate",
     .summary = "Return its flags to their safe values",
     .run = run_switch_activate,
     .sets = {switch_activate, server_write, output_text},
     .positional = "NAME",
     .names = NAMES_SWITCHES,
     .positional_min = 1,
     .positional_max = 1,
     .needs_operator = true,
     .example = "autonomy kill-switch activate DISABLE_NEW --reason \"INCIDENT: errors after promotion\""},
    {.path = "kill-switch reset",
     .summary = "Let its flags be what was set",
     .run = run_switch_reset,
     .sets = {switch_reset, server_write, output_text},
     .positional = "NAME",
     .names = NAMES_SWITCHES,
     .positional_min = 1,
     .positional_max = 1,
     .needs_operator = true,
     .example = "autonomy kill-switch reset DISABLE_NEW --reason \"fix is out\" --approver lead@example.com "
                "--root-cause \"leak in the worker\""},
    {.path = "kill-switch define",
     .summary = "Make a kill switch",
     .run = run_switch_define,
     .sets = {switch_define, server_write, output_text},
     .positional = "NAME",
     .names = NAMES_SWITCHES,
     .positional_min = 1,
     .positional_max = 1,
     .needs_operator = true,
     .example = "autonomy kill-switch define cart --prefix CART_"},
    {.path = "audit query",
     .summary = "Records, newest first",
     .run = run_audit_query,
     .sets = {audit_query, server_read, watched, output_text},
     .example = "autonomy audit query --category rollout --limit 10"},
    {.path = "audit export",
     .summary = "Records, oldest first, all of them",
     .run = run_audit_export,
     .sets = {audit_export, server_read_long},
     .detail = "rollback-jsonl holds one decision to roll back a line, kill-switch-log one line for each "
               "activation and reset: the two files of the kill-switch runbook. csv cells hold exactly what "
               "was recorded; a spreadsheet may take one that begins with =, +, - or @ for a formula: import "
               "its columns as text. A file gets its name when it is whole.",
     .example = "autonomy audit export --format json > audit.json"},
    {.path = "audit prune",
     .summary = "Delete the oldest records, on every node, for good",
     .run = run_audit_prune,
     .sets = {audit_prune, server_write, confirmed, output_text},
     .needs_operator = true,
     .detail =
         "Export first: autonomy audit export --output FILE. What goes is gone. An anchor stays (number and "
         "hash of the last record that went), so that the rest verifies; the prune itself is recorded. The "
         "newest 100 records stay, and all since the first one about an open plan, an active kill switch or "
         "an open failover.",
     .example = "autonomy audit prune --keep-days 400 --reason \"retention policy\" --dry-run"},
    {.path = "audit verify",
     .summary = "Check the chain of hashes",
     .run = run_audit_verify,
     .sets = {audit_verify, server_read_long, output_text},
     .detail =
         "Names the first record that doesn't fit, or that record 1 is missing, and exits 1. A folder whose "
         "end was cut off verifies all the same: compare its last hash with the cluster's. A million "
         "records take some seconds: hence 30s.",
     .example = "autonomy audit verify --audit-dir /var/lib/autonomy/audit"},
    {.path = "events",
     .summary = "Print audit records as they commit",
     .run = run_events,
     .sets = {events, server_look_long, output_text},
     .detail = "Goes on at the next node that was named when one stops, without a gap or a double; gives up "
               "when none "
               "answers for --timeout. As JSON: one record a line.",
     .example = "autonomy events --category rollout,rollback"},
    {.path = "top",
     .summary = "The cluster on one screen: members, plans, kill switches, events",
     .run = run_top,
     .sets = {top, server_look, output_text},
     .detail =
         "Draws anew until q or Ctrl-C, and asks every member by itself: one that is dead or cut off shows "
         "as "
         "that, and the others' figures go on. Elsewhere than on a terminal it prints one look; as JSON, one "
         "object a line. LAG is in log entries; READS/S and CHANGES/S are what that node was asked, WRITES "
         "what was committed.",
     .example = "autonomy top --interval 2s"},
    {.path = "support-bundle generate",
     .summary = "Collect what an investigation needs into one file",
     .run = run_bundle,
     .sets = {bundle, server_look_long},
     .detail = "A source that can't be read becomes a `failed` row of manifest.json; secrets are redacted. A "
               "file that "
               "is there already stays as it is.",
     .example = "autonomy support-bundle generate --output /tmp/incident.tar.gz --config-file "
                "/etc/autonomy/config.yaml"},
    {.path = "version",
     .summary = "This program's version, and the node's",
     .run = run_version,
     .sets = {version, server_look, output_text},
     .example = "autonomy version --server"},
    {.path = "config set",
     .summary = "Keep a setting of your own",
     .run = run_config_set,
     .positional = "KEY VALUE",
     .positional_min = 2,
     .positional_max = 2,
     .example = "autonomy config set orchestrator.url http://127.0.0.1:7101"},
    {.path = "config get",
     .summary = "Show your own settings",
     .run = run_config_get,
     .positional = "[KEY]",
     .positional_max = 1,
     .example = "autonomy config get orchestrator.url"},
    {.path = "completion",
     .summary = "A completion script for your shell",
     .run = run_completion,
     .positional = "bash|zsh|fish",
     .positional_min = 1,
     .positional_max = 1,
     .example = "source <(autonomy completion bash)"},
};
const uint32_t command_count = sizeof command_table / sizeof command_table[0];

const struct command_group command_groups[] = {
    {"rollout", "Plans, their stages and gates, and the verbs that stop them"},
    {"rollback", "Preview and execute rollbacks of any kind"},
    {"ha", "Leadership, quorum and members of the cluster"},
    {"flags", "Live settings with a safe default"},
    {"kill-switch", "Return sets of flags to their safe values"},
    {"audit", "The trail of every change: query, export, verify"},
    {"config", "Your own settings of this program"},
    {NULL, NULL},
};
