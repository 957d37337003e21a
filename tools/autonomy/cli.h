/* One invocation of `autonomy`: what was typed, and where its output goes.
 *
 * Commands are rows of one table (commands.c). Parsing, usage errors, help on every level, the reference page
 * and shell completion all read that table; a handler asks for values by flag name and never sees argv. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/arena.h"
#include "base/error.h"

#include "tools/autonomy/progress.h"

struct client;
struct json_t;

enum cli_exit {
    CLI_DONE = 0,
    CLI_FAILED = 1,       /* refused or failed: the sentence is on stderr */
    CLI_USAGE = 2,        /* wrong usage; nothing was sent */
    CLI_UNREACHABLE = 3,  /* no server reachable */
    CLI_DENIED = 4,       /* not authorised */
    CLI_UNKNOWN = 5,      /* outcome unknown; repeating under the same request id is safe */
    CLI_INTERRUPTED = 130 /* by Ctrl-C or SIGTERM, before anything was changed */
};

#define CLI_ARGUMENTS_MAX   512u          /* of one command line */
#define CLI_POSITIONALS_MAX 256u          /* `flags set` takes that many changes */
#define CLI_MEMORY_MAX      (256ul << 20) /* texts of one invocation */
#define CLI_FAILOVER_MS     30000u        /* a leader's resignation, however it was asked for */

enum flag_type {
    FLAG_SWITCH,   /* present or not */
    FLAG_WORD,     /* an id, a URL, a list: typographic dashes inside it read as ASCII */
    FLAG_SENTENCE, /* a person's text, kept as typed */
    FLAG_PATH,     /* a file or folder, kept as typed */
    FLAG_NUMBER,   /* decimal, not negative */
    FLAG_DURATION, /* 500ms, 30s, 5m, 1h; a bare number is seconds */
    FLAG_TIME,     /* RFC 3339 */
    FLAG_CHOICE    /* one of `choices` */
};

/* What shell completion asks the cluster for. */
enum names {
    NAMES_NONE,
    NAMES_PLANS,
    NAMES_STAGES,     /* of the plan that --plan-id names */
    NAMES_RESOURCES,  /* of the target that --target names */
    NAMES_STRATEGIES, /* likewise, from the table */
    NAMES_FLAGS,
    NAMES_CHANGES, /* KEY=VALUE */
    NAMES_SWITCHES,
    NAMES_MEMBERS
};

struct flag {
    const char *name; /* "plan-id"; NULL ends a set */
    enum flag_type type;
    char letter;          /* 'f' for -f; 0: none */
    bool required;        /* after the environment had its say */
    bool repeat;          /* may be given several times */
    bool blank;           /* an empty text is a value; elsewhere it counts as not given */
    bool optional;        /* the value may be left out; what follows is one if it reads as one */
    enum names names;     /* what its value names */
    const char *value;    /* what help calls it: "PLAN" */
    const char *choices;  /* CHOICE: "retry|rollback" */
    const char *env;      /* environment variable that stands in for it */
    const char *fallback; /* used when neither is there; NULL: none */
    const char *help;
};

struct cli;

#define COMMAND_SETS_MAX 5u

struct command {
    const char *path;                          /* "rollout plan create" */
    const char *summary;                       /* one line */
    const struct flag *sets[COMMAND_SETS_MAX]; /* its own flags first, then shared sets; NULL ends */
    const char *positional;                    /* "KEY=VALUE..."; NULL: none */
    uint32_t positional_min, positional_max;
    enum names names;    /* what they name */
    bool needs_operator; /* refuses to start without an identity */
    const char *detail;  /* a paragraph for help; may be NULL */
    const char *example; /* a line that works */
    enum cli_exit (*run)(struct cli *cli);
};

extern const struct command command_table[];
extern const uint32_t command_count;

/* What the first words of commands stand for, where more than one command begins with it. */
struct command_group {
    const char *word, *summary;
};
extern const struct command_group command_groups[]; /* ends with an empty row */

struct given {
    const struct flag *flag;
    const char *value; /* "" for a switch */
};

struct cli {
    struct arena arena; /* whatever lives as long as the invocation */
    const struct command *command;
    const char **arguments; /* as folded, without the program's name */
    uint32_t argument_count;
    struct given given[CLI_ARGUMENTS_MAX];
    uint32_t given_count;
    const char *positional[CLI_POSITIONALS_MAX];
    uint32_t positional_count;
    FILE *out, *err;
    bool json;   /* --output json */
    bool colour; /* on a terminal without NO_COLOR */
    bool hinted; /* the next step has been said */
    struct progress progress;
    struct watch *watch;   /* --watch is on; else NULL */
    struct client *client; /* made by the first call */
};

/** Runs one command line from parsing to exit code. @param argv  argv[0] is the program's name */
int cli_run(int argc, char **argv, FILE *out, FILE *err);

/* --- args.c: what was typed --- */

/** Typographic dashes and quotes as ASCII: a leading dash of any kind means "--" (one letter after it: "-"),
 * quotes around a value go, and arguments that a shell split inside typographic quotes are joined again.
 * @param out  takes `count` texts  @return how many are left */
uint32_t args_fold(struct arena *arena, uint32_t count, char *const *arguments, const char **out);
/** Dashes inside a word as '-'. */
const char *args_fold_word(struct arena *arena, const char *text);
/** Finds the command and its values. @return CLI_DONE with `command` set; CLI_USAGE after a sentence on
 * stderr */
enum cli_exit args_parse(struct cli *cli, bool *help);
/** The longest command or group that the arguments begin with. @return where its words end; `words` is "" or
 * they */
uint32_t args_find_command(struct cli *cli, const char **words);
/** Given value, else environment, else fallback, else NULL. The last one given wins. */
const char *cli_value(const struct cli *cli, const char *name);
/** Only what was typed. */
const char *cli_typed(const struct cli *cli, const char *name);
bool cli_on(const struct cli *cli, const char *name);
uint64_t cli_number(const struct cli *cli,
                    const char *name); /* NUMBER, checked while parsing; 0 when absent */
uint64_t cli_duration_ms(const struct cli *cli, const char *name); /* DURATION, likewise */
const struct flag *command_flag(const struct command *command, const char *name, char letter);
/** The n-th flag over all sets; NULL past the last. */
const struct flag *command_flag_at(const struct command *command, uint32_t n);
/** The command line to type again, quoted for a shell, with `extra` (may be NULL) at its end.
 * @param without  a flag that is left out, with its value; may be NULL */
const char *cli_repeat(struct cli *cli, const char *without, const char *extra);

/* --- help.c --- */

/** Help for a command, for a group ("rollout plan") or for everything (""). */
void help_command(FILE *out, const struct command *command);
void help_group(FILE *out, const char *group);
void help_markdown(FILE *out); /* autonomy --help-markdown: docs/reference/cli.md */
/** "autonomy rollout plan list --plan-id PLAN [flags]" and a line break. */
void help_synopsis(FILE *out, const struct command *command);
/** "; one of a|b; default X; or set ENV": what a flag's row says beyond its help. */
void help_notes(FILE *out, const struct command *command, const struct flag *flag);
/** "-f, --file FILE". @return its length */
int help_flag_head(char *out, size_t out_bytes, const struct flag *flag);
/** True when `path` lies under `group` ("" holds everything). */
bool help_in_group(const char *path, const char *group);
/** "autonomy: <sentence>" and a line break on stderr. @return `code` */
enum cli_exit cli_fail(struct cli *cli, enum cli_exit code, const char *format, ...) PRINTF(3, 4);

/** What the first word of several commands stands for; "" for another word. */
const char *help_word(const char *word);

/* --- complete.c --- */

/** autonomy --complete SHELL LINE [BREAKS]: what may stand where LINE ends. */
enum cli_exit complete(struct cli *cli);

/* --- man.c: the manual pages, section 1 --- */

void man_print(FILE *out); /* autonomy --help-man: autonomy(1) */
/** autonomy(1) and one page for each first word of a command, autonomy-rollout(1) and so on.
 * @return ERROR_IO naming the file */
enum error_code man_write(struct arena *arena, const char *folder, struct error *error) MUST_USE;

/* --- requests --- */

/** Sends one request, following the failover rules of client.h, and prints what went wrong.
 *
 * @param path  with its query; texts in it escaped by cli_escape()
 * @param body  borrowed; NULL: none
 * @param out   a new reference, on CLI_DONE only */
enum cli_exit cli_call(struct cli *cli, const char *method, const char *path, const struct json_t *body,
                       struct json_t **out) MUST_USE;
/** Reads a list page by page. @param out  a new array  @param limit  0: all, which fails past CLI_ROWS_MAX */
enum cli_exit cli_list(struct cli *cli, const char *path, uint64_t limit, struct json_t **out) MUST_USE;
#define CLI_PAGE_ROWS 1000u
#define CLI_ROWS_MAX  100000u /* held for one printed list; an export holds none */
/** One page of at most `rows`. @param cursor  NULL for the first page; set for the next one, NULL after the
 * last
 * @param out  a new array */
enum cli_exit cli_page(struct cli *cli, const char *path, uint64_t rows, const char **cursor,
                       struct json_t **out) MUST_USE;
/** Percent-encodes a path segment or a query value. */
const char *cli_escape(struct cli *cli, const char *text);
/** Adds `name=value` to a path, with '?' or '&'; leaves the path alone when value is NULL. */
const char *cli_query(struct cli *cli, const char *path, const char *name, const char *value);
/** `path` with the --consistency that was asked for. */
const char *cli_read_path(struct cli *cli, const char *path);
/** "a,b" as an array of texts. */
struct json_t *cli_split(const char *list);
/** The client for this invocation's URL list; NULL after a sentence on stderr. */
struct client *cli_client(struct cli *cli);

/* --- confirm.c --- */

/** Asks before a terminal action: on a terminal by typing `word`, elsewhere by --yes or
 * AUTONOMY_ASSUME_YES=1.
 * @param effect  "rolls plan \"p-7\" back for good"  @return CLI_DONE or CLI_FAILED after a sentence */
enum cli_exit confirm(struct cli *cli, const char *effect, const char *word) MUST_USE;

/* --- handlers, one file a family --- */

enum cli_exit run_plan_create(struct cli *cli);
enum cli_exit run_plan_verb(struct cli *cli); /* publish, pause, resume, cancel: the path's last word */
enum cli_exit run_plan_list(struct cli *cli);
enum cli_exit run_plan_describe(struct cli *cli);
enum cli_exit run_stuck(struct cli *cli);
enum cli_exit run_gate_approve(struct cli *cli);
enum cli_exit run_halt(struct cli *cli);
enum cli_exit run_recover(struct cli *cli);
enum cli_exit run_rollback_preview(struct cli *cli);
enum cli_exit run_rollback_execute(struct cli *cli);
enum cli_exit run_ha_status(struct cli *cli);
enum cli_exit run_ha_quorum(struct cli *cli);
enum cli_exit run_ha_failover(struct cli *cli);
enum cli_exit run_ha_members(struct cli *cli);
enum cli_exit run_ha_remove(struct cli *cli);
enum cli_exit run_flags_list(struct cli *cli);
enum cli_exit run_flags_get(struct cli *cli);
enum cli_exit run_flags_set(struct cli *cli);
enum cli_exit run_flags_define(struct cli *cli);
enum cli_exit run_switch_list(struct cli *cli);
enum cli_exit run_switch_activate(struct cli *cli);
enum cli_exit run_switch_reset(struct cli *cli);
enum cli_exit run_switch_define(struct cli *cli);
enum cli_exit run_audit_query(struct cli *cli);
enum cli_exit run_audit_export(struct cli *cli);
enum cli_exit run_audit_prune(struct cli *cli);
enum cli_exit run_audit_verify(struct cli *cli);
enum cli_exit run_events(struct cli *cli);
enum cli_exit run_flags_watch(struct cli *cli);
enum cli_exit run_top(struct cli *cli);
enum cli_exit run_bundle(struct cli *cli);
enum cli_exit run_version(struct cli *cli);
enum cli_exit run_config_set(struct cli *cli);
enum cli_exit run_config_get(struct cli *cli);
enum cli_exit run_completion(struct cli *cli);

/** Prints what rollback of `resource` would do now (POST /v1/rollback/preview). */
enum cli_exit rollback_show_preview(struct cli *cli, const char *target, const char *resource,
                                    const char *strategy);
