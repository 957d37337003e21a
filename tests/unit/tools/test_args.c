/* What was typed: typographic marks, flags, usage errors, the line to type again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <wordexp.h>

#include "unit/tools/run_cli.h"

static int set_up(void **state)
{
    struct home *home = malloc(sizeof *home);
    *home = home_make();
    *state = home;
    return 0;
}

static int tear_down(void **state)
{
    home_remove(*state);
    free(*state);
    return 0;
}

struct folded {
    struct arena arena;
    const char *out[16];
    uint32_t count;
};

static struct folded fold(uint32_t count, char *const *arguments)
{
    struct folded folded = {0};
    arena_init(&folded.arena, 1u << 20);
    folded.count = args_fold(&folded.arena, count, arguments, folded.out);
    return folded;
}

/* Goal: what a web page made of "--flag "value"" is read as that.
 * Method: en dash, em dash, minus; one letter; quotes around a value, after '=', and split by a shell. */
static void typographic_marks_read_as_ascii(void **state)
{
    char *typed[] = {"–output",  "/tmp/x",     "—plan-id=“p-7”", "–f",     "−yes", "“http://n1:7101”",
                     "‘single’", "––operator", "“two",           "words”", "plain"};
    static const char *const wanted[] = {"--output",       "/tmp/x", "--plan-id=p-7", "-f",        "--yes",
                                         "http://n1:7101", "single", "--operator",    "two words", "plain"};
    (void)state;
    struct folded folded = fold(11, typed);
    assert_int_equal(folded.count, 10);
    for (uint32_t i = 0; i < folded.count; i++)
        assert_string_equal(folded.out[i], wanted[i]);
    arena_done(&folded.arena);
}

/* Goal: a person's sentence stays as it was typed, dashes and apostrophes included.
 * Method: the runbook's own reason, an apostrophe, a lone dash, an opening quote that nothing closes. */
static void sentences_keep_their_marks(void **state)
{
    char *typed[] = {"INCIDENT: emergency failover — leader", "can’t", "—", "“never closed", "next"};
    static const char *const wanted[] = {"INCIDENT: emergency failover — leader", "can’t", "—",
                                         "never closed", "next"};
    (void)state;
    struct folded folded = fold(5, typed);
    assert_int_equal(folded.count, 5);
    for (uint32_t i = 0; i < folded.count; i++)
        assert_string_equal(folded.out[i], wanted[i]);
    arena_done(&folded.arena);
}

/* Goal: an id keeps no typographic dash: "canary–1" is canary-1.
 * Method: dashes of three kinds, and quotes in the middle. */
static void dashes_inside_words_become_hyphens(void **state)
{
    struct arena arena;
    (void)state;
    arena_init(&arena, 4096);
    assert_string_equal(args_fold_word(&arena, "canary–1—b−c"), "canary-1-b-c");
    assert_string_equal(args_fold_word(&arena, "“p-7”"), "p-7");
    assert_string_equal(args_fold_word(&arena, "plain"), "plain");
    arena_done(&arena);
}

/* Goal: a mistyped command or flag names the one that was meant.
 * Method: a letter missing, one too many, one wrong, two that changed places; a flag's beginning; and what is
 * like nothing there is. */
static void mistyped_words_name_what_was_meant(void **state)
{
    static const struct {
        const char *arguments[5];
        const char *says;
    } rows[] = {
        {{"rolout", "list"}, "there is: autonomy rollout plan list\n"},
        {{"rollout", "recovver"}, "there is: autonomy rollout recover\n"},
        {{"ha", "qourum"}, "there is: autonomy ha quorum status\n"},
        {{"flags", "lost"}, "there is: autonomy flags list\n"},
        {{"rollout", "halt", "--plan", "p"}, "there is: --plan-id PLAN\n"},
        {{"rollout", "halt", "--reasn=x"}, "there is: --reason REASON\n"},
        {{"zzz"}, NULL},
        {{"rollout", "halt", "--zzz"}, NULL},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char *arguments[8] = {(char *)"autonomy"};
        int count = 1;
        for (; rows[i].arguments[count - 1]; count++)
            arguments[count] = (char *)rows[i].arguments[count - 1];
        struct ran ran = run_arguments(count, arguments);
        assert_int_equal(ran.exit, CLI_USAGE);
        if (rows[i].says ? !strstr(ran.err, rows[i].says) : strstr(ran.err, "\n  there is: ") != NULL)
            fail_msg("%s: %s", rows[i].arguments[0], ran.err);
        ran_done(&ran);
    }
}

/* Goal: wrong usage exits 2, says what is wrong, and sends nothing.
 * Method: one command line for each kind of mistake; there is no server to send anything to. */
static void wrong_usage_exits_2_and_says_why(void **state)
{
    static const struct {
        const char *arguments[9];
        const char *says;
    } rows[] = {
        {{"rollout", "plam", "list"}, "there is no command \"autonomy rollout plam\""},
        {{"nonsense"}, "there is no command \"autonomy nonsense\""},
        {{"ha", "split-brain", "detect"}, "there is no command \"autonomy ha split-brain\""},
        {{"rollout", "plan", "describe", "--plan-id", ""}, "--plan-id is required"},
        {{"audit", "query", "--audit-dir", ""}, "--audit-dir is empty"},
        {{"ha", "failover", "trigger", "--reason=r", "--operator="}, "needs to know who acts"},
        {{"rollout", "list"}, "there is: autonomy rollout plan list"},
        {{"plan", "list"}, "there is: autonomy rollout plan list"},
        {{"rollout", "--output", "json"}, "autonomy rollout COMMAND --output json\n"},
        {{"rollout"}, "autonomy rollout COMMAND"},
        {{"--operator", "o p", "ha", "status", "--output=json"},
         "--operator stands before the command; flags go behind it:\n  autonomy ha status --output=json "
         "--operator 'o p'\n"},
        {{"rollout", "--operator=o", "plan", "list"}, "  autonomy rollout plan list --operator=o\n"},
        {{"--operator", "o"}, "  autonomy COMMAND --operator o\n"},
        {{"rollout", "plan", "pause", "--operator", "o", "--plan-id", "--yes"}, "--plan-id needs a value"},
        {{"rollout", "plan", "pause", "--operator", "o", "--plan-id", "--reson", "r"},
         "--plan-id needs a value"},
        {{"ha", "failover", "trigger", "--operator", "o", "--reason", "--yes"}, "--reason needs a value"},
        {{"ha", "status", "--operator", "bad\nop"}, "--operator holds a line break"},
        {{"ha", "status", "--operator", "bad\x7f"}, "--operator holds a line break or another control"},
        {{"ha", "status", "--operator", "bad\xc2\x85"}, "--operator holds a line break or another control"},
        {{"ha", "failover", "trigger", "--operator=o", "--reason=r", "--request-id", "a\rb"},
         "--request-id holds a line break"},
        {{"ha", "failover", "trigger", "--reason=r", "--operator= "}, "--operator is only blanks"},
        {{"ha", "failover", "trigger", "--operator=o", "--reason", " \t"}, "--reason is only blanks"},
        {{"rollout", "plan", "list", "--nope"}, "has no flag --nope"},
        {{"rollout", "plan", "list", "-x"}, "has no flag -x"},
        {{"rollout", "plan", "describe"}, "--plan-id is required"},
        {{"rollout", "plan", "describe", "--plan-id"}, "--plan-id needs a value"},
        {{"rollout", "plan", "describe", "--plan-id", "--output", "json"}, "--plan-id needs a value"},
        {{"rollout", "plan", "list", "--limit", "ten"}, "--limit takes a number, not \"ten\""},
        {{"rollout", "plan", "list", "--phase", "gone"}, "--phase takes one of draft|"},
        {{"rollout", "stuck", "--threshold", "soon"}, "--threshold takes a duration"},
        {{"audit", "query", "--start-time", "yesterday"}, "--start-time takes a time"},
        {{"rollout", "plan", "list", "--limit", "1", "--limit", "2"}, "--limit was given twice"},
        {{"rollout", "plan", "create", "--publish=yes"}, "--publish takes no value"},
        {{"flags", "get"}, "needs KEY"},
        {{"flags", "get", "A", "B"}, "doesn't know what to do with \"B\""},
        {{"ha", "status", "--operator", "\xff"}, "--operator is not UTF-8"},
        {{"flags", "get", "\xff"}, "is not UTF-8"},
        {{"completion", "tcsh"}, "bash, zsh and fish"},
        {{"audit", "export", "--output", "json"}, "--output takes a file here"},
        {{"audit", "export", "--output", "/dev/null"}, "/dev/null is no regular file"},
        {{"kill-switch", "define", "x", "--operator", "o", "--all", "--prefix=A"}, "one of --flags"},
        {{"rollout", "recover", "--plan-id=p", "--strategy=retry", "--reason=r", "--pace=staged",
          "--operator=o"},
         "belong to --strategy rollback"},
        {{"rollback", "preview", "--target", "rollout_plan", "--strategy", "resign"},
         "has no strategy \"resign\""},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char *arguments[10] = {(char *)"autonomy"};
        int count = 1;
        for (; count < 9 && rows[i].arguments[count - 1]; count++)
            arguments[count] = (char *)rows[i].arguments[count - 1];
        struct ran ran = run_arguments(count, arguments);
        if (ran.exit != CLI_USAGE || !strstr(ran.err, rows[i].says))
            fail_msg("row %zu (%s): exit %d, \"%s\"", i, rows[i].says, ran.exit, ran.err);
        assert_string_equal(ran.out, "");
        ran_done(&ran);
    }
}

/* Goal: what ends something for good, and HA changes, refuse to start without an identity.
 * Method: every such command, complete but for it; the sentence says what to set. */
static void destructive_commands_need_an_operator(void **state)
{
    static const char *const rows[][8] = {
        {"rollout", "plan", "cancel", "--plan-id=p", "--yes"},
        {"rollout", "halt", "--plan-id=p", "--reason=r", "--yes"},
        {"rollout", "recover", "--plan-id=p", "--strategy=rollback", "--reason=r", "--yes"},
        {"rollback", "execute", "--target=rollout_plan", "--resource=p", "--reason=r", "--yes"},
        {"ha", "failover", "trigger", "--reason=r"},
        {"kill-switch", "activate", "DISABLE_NEW", "--reason=r"},
        {"kill-switch", "reset", "DISABLE_NEW", "--reason=r", "--approver=a", "--root-cause=c"},
        {"kill-switch", "define", "x", "--all"},
        {"flags", "set", "DISABLE_NEW=1", "--reason=r", "--orchestrator-url=http://127.0.0.1:1"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char *arguments[10] = {(char *)"autonomy"};
        int count = 1;
        for (; count < 9 && rows[i][count - 1]; count++)
            arguments[count] = (char *)rows[i][count - 1];
        struct ran ran = run_arguments(count, arguments);
        if (ran.exit != CLI_USAGE || !strstr(ran.err, "AUTONOMY_OPERATOR"))
            fail_msg("row %zu: exit %d, \"%s\"", i, ran.exit, ran.err);
        ran_done(&ran);
    }
}

/* Goal: --help works on every level and on every command, and shows an example.
 * Method: the root, each group, each row of the table. */
static void help_on_every_level_has_an_example(void **state)
{
    static const char *const groups[] = {"rollout",     "rollback", "ha",    "flags",
                                         "kill-switch", "audit",    "config"};
    (void)state;
    struct ran root = run("--help", NULL);
    assert_int_equal(root.exit, CLI_DONE);
    assert_non_null(strstr(root.out, "Exit codes"));
    ran_done(&root);
    struct ran word = run("help", "rollout", "plan", NULL), flag = run("rollout", "plan", "--help", NULL);
    assert_int_equal(word.exit, CLI_DONE);
    assert_string_equal(word.out, flag.out);
    ran_done(&word);
    ran_done(&flag);
    for (size_t i = 0; i < sizeof groups / sizeof groups[0]; i++) {
        struct ran ran = run(groups[i], "--help", NULL);
        assert_int_equal(ran.exit, CLI_DONE);
        assert_non_null(strstr(ran.out, "Example:"));
        ran_done(&ran);
    }
    assert_true(command_count > 0);
    for (uint32_t i = 0; i < command_count; i++) {
        char *words = strdup(command_table[i].path), *rest = words, *arguments[8] = {(char *)"autonomy"};
        int count = 1;
        while ((arguments[count] = strsep(&rest, " ")))
            count++;
        arguments[count++] = (char *)"--help";
        struct ran ran = run_arguments(count, arguments);
        assert_int_equal(ran.exit, CLI_DONE);
        assert_non_null(strstr(ran.out, command_table[i].example));
        assert_non_null(strstr(ran.out, command_table[i].summary));
        ran_done(&ran);
        free(words);
    }
}

/* Goal: no example in the table is wrong: each one parses, with every required flag.
 * Method: the shell's own word splitting, then the parser. */
static void every_example_parses(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < command_count; i++) {
        wordexp_t words;
        char text[512];
        const char *example = command_table[i].example;
        if (strncmp(example, "source <(", 9) == 0) /* completion's: the command stands in brackets */
            example += 9;
        snprintf(text, sizeof text, "%.*s", (int)strcspn(example, ">)"), example);
        assert_int_equal(wordexp(text, &words, WRDE_NOCMD), 0);
        struct cli cli = {.err = stderr, .out = stdout, .argument_count = (uint32_t)words.we_wordc - 1};
        bool help = false;
        arena_init(&cli.arena, 1u << 20);
        cli.arguments = (const char **)words.we_wordv + 1;
        assert_int_equal(args_parse(&cli, &help), CLI_DONE);
        assert_false(help);
        assert_string_equal(cli.command->path, command_table[i].path);
        arena_done(&cli.arena);
        wordfree(&words);
    }
}

/* Goal: flags may stand anywhere after the command's words, in both forms, and the environment stands in for
 * them. Method: a URL that nobody listens on; what matters is that parsing let it through. */
static void flags_stand_anywhere_and_environment_stands_in(void **state)
{
    (void)state;
    setenv("AUTONOMY_ORCHESTRATOR_URL", "http://127.0.0.1:1", 1);
    struct ran first = run("flags", "get", "--timeout=300ms", "KEY", "--output", "json", NULL);
    struct ran second = run("flags", "get", "KEY", "--output=json", "--timeout", "300ms", NULL);
    assert_int_equal(first.exit, CLI_UNREACHABLE);
    assert_int_equal(second.exit, CLI_UNREACHABLE);
    ran_done(&first);
    ran_done(&second);
    unsetenv("AUTONOMY_ORCHESTRATOR_URL");
    struct ran none = run("ha", "status", NULL);
    assert_int_equal(none.exit, CLI_USAGE);
    assert_non_null(strstr(none.err, "autonomy config set orchestrator.url"));
    ran_done(&none);
}

/* Goal: the line to type again survives a shell: blanks, quotes, empty texts; a flag can be left out and one
 * added. Method: the shell itself prints its words back. */
static void repeated_line_is_quoted_for_a_shell(void **state)
{
    static const char *arguments[] = {"rollout",      "halt", "--reason",    "it's \"bad\" $HOME",
                                      "--request-id", "old",  "--plan-id=p", ""};
    struct cli cli = {.arguments = arguments, .argument_count = 8};
    char line[512], words[512] = "";
    (void)state;
    arena_init(&cli.arena, 1u << 20);
    const char *repeat = cli_repeat(&cli, "request-id", "--request-id new");
    snprintf(line, sizeof line, "set -- %s; printf '<%%s>' \"$@\"", repeat);
    setenv("LINE", line, 1);
    FILE *shell = popen("eval \"$LINE\"", "r");
    assert_non_null(shell);
    assert_non_null(fgets(words, sizeof words, shell));
    pclose(shell);
    assert_string_equal(
        words, "<autonomy><rollout><halt><--reason><it's \"bad\" $HOME><--plan-id=p><><--request-id><new>");
    arena_done(&cli.arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(typographic_marks_read_as_ascii),
        cmocka_unit_test(sentences_keep_their_marks),
        cmocka_unit_test(dashes_inside_words_become_hyphens),
        cmocka_unit_test_setup_teardown(mistyped_words_name_what_was_meant, set_up, tear_down),
        cmocka_unit_test_setup_teardown(wrong_usage_exits_2_and_says_why, set_up, tear_down),
        cmocka_unit_test_setup_teardown(destructive_commands_need_an_operator, set_up, tear_down),
        cmocka_unit_test_setup_teardown(help_on_every_level_has_an_example, set_up, tear_down),
        cmocka_unit_test(every_example_parses),
        cmocka_unit_test_setup_teardown(flags_stand_anywhere_and_environment_stands_in, set_up, tear_down),
        cmocka_unit_test(repeated_line_is_quoted_for_a_shell),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
