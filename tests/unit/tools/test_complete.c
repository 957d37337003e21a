/* What shell completion is offered. The shells themselves: tests/e2e/test_install.py. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "unit/tools/fake_server.h"
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

/* The candidates for a line, each with a blank before and a line break behind it. */
static char *offered(const char *shell, const char *line)
{
    struct ran ran = run("--complete", shell, line, "=:", NULL);
    char *out = malloc(strlen(ran.out) + 2);
    assert_int_equal(ran.exit, CLI_DONE);
    assert_string_equal(ran.err, "");
    sprintf(out, "\n%s", ran.out);
    ran_done(&ran);
    return out;
}

static void check(const char *line, const char *first, const char *second, const char *missing)
{
    char *out = offered("bash", line);
    if (!strstr(out, first) || !strstr(out, second) || (missing && strstr(out, missing)))
        fail_msg("\"%s\" offers%s", line, out);
    free(out);
}

/* Goal: words, flags and values are offered where they may stand, and nothing where nothing may.
 * Method: lines up to the cursor, without a server. */
static void lines_are_completed_from_the_table(void **state)
{
    static const char *const rows[][4] = {
        /* line, offered, offered, not offered */
        {"autonomy ", "\nrollout \n", "\nkill-switch \n", "--"},
        {"autonomy roll", "\nrollout \n", "\nrollback \n", "\nha"},
        {"autonomy rollout ", "\nplan \n", "\nrecover \n", "describe"},
        {"autonomy rollout plan ", "\ndescribe \n", "\ncancel \n", "recover"},
        {"autonomy rollout recover --st", "\n--strategy \n", "\n", "--reason"},
        {"autonomy rollout recover --strategy ", "\nskip_failed \n", "\nretry \n", "--"},
        {"autonomy rollout recover --strategy=r", "\nretry \n", "\nrollback \n", "="},
        {"autonomy rollout recover --strategy retry --", "\n--reason \n", "\n--help \n", "--strategy"},
        {"autonomy rollout plan create --stage a:5% --", "\n--stage \n", "\n--file \n",
         NULL}, /* may be repeated */
        {"  FOO=1 /usr/bin/autonomy ha quorum status --output ", "\njson \n", "\ntext \n", "--"},
        {"autonomy ha status --output \"js", "\njson \n", "\n", "text"},
        {"autonomy rollback execute --target rollout_stage --strategy ", "\nhalt \n", "\nskip_failed \n",
         "retry"},
        {"autonomy completion ", "\nbash \n", "\nfish \n", "--"},
        {"autonomy support-bundle generate --output ", "\n:files\n", "\n", "--"},
        {"autonomy ha status --watch ", "\n--output \n", "\n--timeout \n", "--watch"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        check(rows[i][0], rows[i][1], rows[i][2], rows[i][3]);
    static const char *const nothing[] = {"autonomy nonsense ", "autonomy rollout describe --",
                                          "autonomy top --count ",
                                          "autonomy flags get --no-such=", "autonomy flags get "};
    for (size_t i = 0; i < sizeof nothing / sizeof nothing[0]; i++) {
        char *out = offered("bash", nothing[i]);
        if (strcmp(out, "\n") != 0)
            fail_msg("\"%s\" offers%s", nothing[i], out);
        free(out);
    }
}

/* Goal: every command can be reached by completion alone, and every flag of it is offered.
 * Method: the table; each word of a path must be offered behind those before it. */
static void every_command_is_offered(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < command_count; i++) {
        char line[512], wanted[128];
        const struct flag *flag;
        int length = snprintf(line, sizeof line, "autonomy ");
        for (const char *at = command_table[i].path; *at;) {
            size_t word = strcspn(at, " ");
            snprintf(wanted, sizeof wanted, "\n%.*s \n", (int)word, at);
            check(line, wanted, wanted, NULL);
            length += snprintf(line + length, sizeof line - (size_t)length, "%.*s ", (int)word, at);
            at += word + (at[word] == ' ');
        }
        snprintf(line + length, sizeof line - (size_t)length, "--");
        for (uint32_t f = 0; (flag = command_flag_at(&command_table[i], f)); f++) {
            snprintf(wanted, sizeof wanted, "\n--%s \n", flag->name);
            check(line, wanted, wanted, NULL);
        }
    }
}

/* Goal: other shells get whole words and what they are; bash gets what stands behind its own word breaks.
 * Method: the same line for each. */
static void shells_get_what_they_can_show(void **state)
{
    (void)state;
    char *fish = offered("fish", "autonomy rollout recover --strategy=sk");
    assert_string_equal(fish, "\n--strategy=skip_failed\t\n");
    char *words = offered("zsh", "autonomy ha sta");
    assert_string_equal(words, "\nstatus\tThe answering node's view of itself and the cluster\n");
    struct ran whole = run("--complete", "bash", "autonomy rollout recover --strategy=sk", " ", NULL);
    assert_string_equal(whole.out, "--strategy=skip_failed \n"); /* a bash told not to break words at '=' */
    ran_done(&whole);
    free(fish);
    free(words);
}

/* Goal: names come from the cluster, from whichever node the line names; none of them can be a command to the
 * shell. Method: a scripted server, with a name that would be one. */
static void names_come_from_the_cluster(void **state)
{
    static const struct fake_reply plans = {200,
                                            "{\"items\":[{\"plan_id\":\"p-1\",\"phase\":\"active\"},{\"plan_"
                                            "id\":\"$(reboot)\",\"phase\":\"draft\"},"
                                            "{\"plan_id\":\"q\",\"phase\":\"`x`\"}]}",
                                            0};
    char line[256];
    (void)state;
    struct fake_server *server = fake_start(&plans, 1);
    snprintf(line, sizeof line, "autonomy rollout plan describe --orchestrator-url %s --plan-id ",
             server->url);
    char *out = offered("fish", line), *bash = offered("bash", line);
    fake_stop(server);
    assert_string_equal(out, "\np-1\tactive\nq\t\n");
    assert_string_equal(bash, "\np-1 \nq \n");
    assert_non_null(strstr(server->requests[0], "GET /v1/rollouts?limit=1000&consistency=stale"));
    free(out);
    free(bash);
    fake_free(server);
}

/* Goal: a flag's change is completed up to "KEY=", and behind it where the type says what may stand there.
 * Method: a scripted server: the list, then the flag. */
static void changes_of_flags_are_completed(void **state)
{
    static const struct fake_reply replies[] = {
        {200, "{\"items\":[{\"key\":\"NEW_CART\",\"type\":\"bool\"},{\"key\":\"MODE\",\"type\":\"string\"}]}",
         0},
        {200, "{\"key\":\"NEW_CART\",\"type\":\"bool\"}", 0}};
    (void)state;
    struct fake_server *server = fake_start(replies, 2);
    setenv("AUTONOMY_ORCHESTRATOR_URL", server->url, 1);
    char *keys = offered("bash", "autonomy flags set NE"),
         *values = offered("bash", "autonomy flags set NEW_CART=f");
    fake_stop(server);
    assert_string_equal(keys, "\nNEW_CART=\n");
    assert_string_equal(values, "\nfalse \n");
    free(keys);
    free(values);
    fake_free(server);
}

/* Goal: a server that says nothing costs a moment, and nothing is printed into the line that is being typed.
 * Method: a silent one; a refusing one; a node that isn't JSON. */
static void nobody_answers_and_nothing_is_said(void **state)
{
    static const struct fake_reply replies[] = {{0, "", FAKE_SILENT}, {200, "hello", 0}, {500, "{}", 0}};
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct fake_server *server = fake_start(&replies[i], 1);
        setenv("AUTONOMY_ORCHESTRATOR_URL", server->url, 1);
        char *out = offered("bash", "autonomy kill-switch reset ");
        fake_stop(server);
        assert_string_equal(out, "\n");
        free(out);
        fake_free(server);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(lines_are_completed_from_the_table, set_up, tear_down),
        cmocka_unit_test_setup_teardown(every_command_is_offered, set_up, tear_down),
        cmocka_unit_test_setup_teardown(shells_get_what_they_can_show, set_up, tear_down),
        cmocka_unit_test_setup_teardown(names_come_from_the_cluster, set_up, tear_down),
        cmocka_unit_test_setup_teardown(changes_of_flags_are_completed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(nobody_answers_and_nothing_is_said, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
