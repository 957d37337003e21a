/* Terminal actions ask first: on a terminal by typing the plan's id, elsewhere by a flag or a variable. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <sys/wait.h>

#include "unit/tools/fake_server.h"
#include "unit/tools/run_cli.h"

#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))

static const struct fake_reply reply = {200, "{\"plan_id\":\"p-7\",\"new_phase\":\"rolled_back\"}", 0};

struct scene {
    struct home home;
    struct fake_server *server;
};

static int set_up(void **state)
{
    struct scene *scene = calloc(1, sizeof *scene);
    scene->home = home_make();
    scene->server = fake_start(&reply, 1);
    setenv("AUTONOMY_OPERATOR", "ann@example.com", 1);
    setenv("AUTONOMY_ORCHESTRATOR_URL", scene->server->url, 1);
    *state = scene;
    return 0;
}

static int tear_down(void **state)
{
    struct scene *scene = *state;
    unsetenv("AUTONOMY_OPERATOR");
    unsetenv("AUTONOMY_ORCHESTRATOR_URL");
    unsetenv("AUTONOMY_ASSUME_YES");
    fake_free(scene->server);
    home_remove(&scene->home);
    free(scene);
    return 0;
}

static char *recover[] = {(char *)"autonomy",
                          (char *)"rollout",
                          (char *)"recover",
                          (char *)"--plan-id=p-7",
                          (char *)"--strategy=rollback",
                          (char *)"--reason=it is bad"};

/* Runs in a child without a terminal. @return its exit code; what it printed in `text` */
static int run_detached(int count, char **arguments, char *text, size_t text_bytes)
{
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    if (child == 0) {
        setsid();
        int null = open("/dev/null", O_RDWR);
        dup2(null, STDIN_FILENO);
        dup2(ends[1], STDOUT_FILENO);
        dup2(ends[1], STDERR_FILENO);
        int code = cli_run(count, arguments, stdout, stderr);
        fflush(NULL);
        _exit(code);
    }
    close(ends[1]);
    size_t length = 0;
    ssize_t got;
    while (length + 1 < text_bytes && (got = read(ends[0], text + length, text_bytes - 1 - length)) > 0)
        length += (size_t)got;
    text[length] = '\0';
    close(ends[0]);
    int status = 0;
    waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* Runs on a terminal of its own where `typed` is typed. */
static int run_on_terminal(const char *typed, int count, char **arguments, char *text, size_t text_bytes)
{
    int terminal = -1;
    pid_t child = forkpty(&terminal, NULL, NULL, NULL);
    if (child == 0) {
        int code = cli_run(count, arguments, stdout, stderr);
        fflush(NULL);
        _exit(code);
    }
    size_t length = 0;
    bool asked = false;
    for (;;) {
        ssize_t got = length + 1 < text_bytes ? read(terminal, text + length, text_bytes - 1 - length) : 0;
        if (got <= 0)
            break;
        length += (size_t)got;
        text[length] = '\0';
        if (!asked && strstr(text, "to go on: ")) {
            asked = true;
            assert_int_equal(write(terminal, typed, strlen(typed)), (ssize_t)strlen(typed));
        }
    }
    text[length] = '\0';
    close(terminal);
    int status = 0;
    waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* Goal: without a terminal and without consent nothing is sent, and the exact command to repeat is printed.
 * Method: every terminal action, detached. */
static void detached_without_consent_is_refused(void **state)
{
    static const struct {
        const char *arguments[8];
        const char *repeat;
    } rows[] = {
        {{"rollout", "plan", "cancel", "--plan-id=p-7"}, "autonomy rollout plan cancel --plan-id=p-7 --yes"},
        {{"rollout", "halt", "--plan-id=p-7", "--reason=r"},
         "autonomy rollout halt --plan-id=p-7 --reason=r --yes"},
        {{"rollout", "recover", "--plan-id=p-7", "--strategy=rollback", "--reason=it is bad"},
         "--strategy=rollback '--reason=it is bad' --yes"},
        {{"rollout", "recover", "--plan-id=p-7", "--strategy=skip_failed", "--reason=r"}, "--reason=r --yes"},
        {{"rollback", "execute", "--target=rollout_plan", "--resource=p-7", "--reason=r"},
         "--reason=r --yes"},
        {{"rollback", "execute", "--target=rollout_stage", "--resource=p-7/s", "--reason=r"},
         "--reason=r --yes"},
        {{"rollback", "execute", "--target=rollout_plan", "--resource=p-7", "--strategy=cancel",
          "--reason=r"},
         "--reason=r --yes"},
    };
    struct scene *scene = *state;
    char text[8192];
    for (size_t i = 0; i < COUNT(rows); i++) {
        char *arguments[10] = {(char *)"autonomy"};
        int count = 1;
        for (; count < 9 && rows[i].arguments[count - 1]; count++)
            arguments[count] = (char *)rows[i].arguments[count - 1];
        assert_int_equal(run_detached(count, arguments, text, sizeof text), CLI_FAILED);
        if (!strstr(text, rows[i].repeat) || !strstr(text, "nothing was changed"))
            fail_msg("row %zu: %s", i, text);
    }
    fake_stop(scene->server);
    assert_int_equal(scene->server->request_count, 0);
}

/* Goal: --yes and AUTONOMY_ASSUME_YES=1 are consent; another value of the variable is none; what isn't
 * terminal doesn't ask. Method: detached, each way. */
static void flag_and_variable_are_consent(void **state)
{
    struct scene *scene = *state;
    char text[8192];
    char *with_yes[] = {recover[0], recover[1], recover[2],     recover[3],
                        recover[4], recover[5], (char *)"--yes"};
    char *retry[] = {recover[0], recover[1], recover[2], recover[3], (char *)"--strategy=retry", recover[5]};
    char *resign[] = {(char *)"autonomy", (char *)"rollback", (char *)"execute",
                      (char *)"--target=ha_leader_resign", (char *)"--reason=r"};
    assert_int_equal(run_detached(7, with_yes, text, sizeof text), CLI_DONE);
    assert_int_equal(run_detached(6, retry, text, sizeof text), CLI_DONE);
    assert_int_equal(run_detached(5, resign, text, sizeof text), CLI_DONE);
    setenv("AUTONOMY_ASSUME_YES", "0", 1);
    assert_int_equal(run_detached(6, recover, text, sizeof text), CLI_FAILED);
    setenv("AUTONOMY_ASSUME_YES", "1", 1);
    assert_int_equal(run_detached(6, recover, text, sizeof text), CLI_DONE);
    fake_stop(scene->server);
    assert_int_equal(scene->server->request_count, 4);
}

/* Goal: on a terminal the plan's id has to be typed; anything else changes nothing.
 * Method: a pseudo terminal where the id, another word, and nothing are typed. */
static void terminal_asks_for_the_plan_id(void **state)
{
    struct scene *scene = *state;
    char text[8192];
    assert_int_equal(run_on_terminal("p-7\n", 6, recover, text, sizeof text), CLI_DONE);
    assert_non_null(strstr(text, "rolls back plan \"p-7\" for good"));
    assert_non_null(strstr(text, "rolled_back"));
    assert_int_equal(run_on_terminal("yes\n", 6, recover, text, sizeof text), CLI_FAILED);
    assert_non_null(strstr(text, "nothing was changed"));
    assert_int_equal(run_on_terminal("\n", 6, recover, text, sizeof text), CLI_FAILED);
    assert_int_equal(run_on_terminal("\004", 6, recover, text, sizeof text), CLI_FAILED);
    fake_stop(scene->server);
    assert_int_equal(scene->server->request_count, 1);
}

/* Goal: waiting shows life on a terminal, and nothing of it in a pipe.
 * Method: a node that says nothing for longer than a second. */
static void waiting_shows_on_a_terminal_only(void **state)
{
    static const struct fake_reply silent = {0, "", FAKE_SILENT};
    struct scene *scene = *state;
    char text[8192];
    char *list[] = {(char *)"autonomy", (char *)"rollout", (char *)"plan", (char *)"list",
                    (char *)"--timeout=2500ms"};
    scene->server->replies = &silent;
    assert_int_equal(run_on_terminal("", 5, list, text, sizeof text), CLI_UNREACHABLE);
    assert_non_null(strstr(text, "waiting for http://127.0.0.1:"));
    assert_int_equal(run_detached(5, list, text, sizeof text), CLI_UNREACHABLE);
    assert_null(strstr(text, "waiting for"));
    fake_stop(scene->server);
}

/* Goal: colour is for terminals, and NO_COLOR ends it; a pipe never has any.
 * Method: a table with a coloured word, three ways. */
static void colour_only_on_a_terminal(void **state)
{
    static const struct fake_reply plans = {
        200,
        "{\"items\":[{\"plan_id\":\"p\",\"phase\":\"active\",\"created_at\":\"c\",\"updated_at\":\"u\"}]}",
        0};
    struct scene *scene = *state;
    char text[8192];
    char *list[] = {(char *)"autonomy", (char *)"rollout", (char *)"plan", (char *)"list"};
    scene->server->replies = &plans;
    assert_int_equal(run_on_terminal("", 4, list, text, sizeof text), CLI_DONE);
    assert_non_null(strstr(text, "\033[32mactive\033[0m"));
    setenv("NO_COLOR", "1", 1);
    assert_int_equal(run_on_terminal("", 4, list, text, sizeof text), CLI_DONE);
    assert_null(strchr(text, '\033'));
    unsetenv("NO_COLOR");
    assert_int_equal(run_detached(4, list, text, sizeof text), CLI_DONE);
    assert_null(strchr(text, '\033'));
    fake_stop(scene->server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(detached_without_consent_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(flag_and_variable_are_consent, set_up, tear_down),
        cmocka_unit_test_setup_teardown(terminal_asks_for_the_plan_id, set_up, tear_down),
        cmocka_unit_test_setup_teardown(waiting_shows_on_a_terminal_only, set_up, tear_down),
        cmocka_unit_test_setup_teardown(colour_only_on_a_terminal, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
