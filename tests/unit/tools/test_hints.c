/* Every refusal says what to do next. That every failure of this program does, whatever it is, is checked by
 * run() (run_cli.h) in all tests of the command line. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fsm/result.h"
#include "tools/autonomy/hints.h"
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

/* A server that refuses everything with `code`. @return what the command line says after the sentence */
static char *said_after(const char *code, unsigned status, const char *more)
{
    char body[512], *next = NULL;
    snprintf(body, sizeof body, "{\"title\":\"t\",\"detail\":\"the sentence\",\"code\":\"%s\"%s}", code,
             more);
    struct fake_reply reply = {(int)status, body, 0};
    struct fake_server *server = fake_start(&reply, 1);
    struct ran ran = run("rollout", "plan", "pause", "--plan-id", "p-7", "--timeout", "300ms",
                         "--orchestrator-url", server->url, NULL);
    fake_stop(server);
    assert_int_not_equal(ran.exit, CLI_DONE);
    const char *at = strstr(ran.err, "next: ");
    if (!strstr(ran.err, "the sentence") || !at || at[6] < ' ')
        fail_msg("%s: %s", code, ran.err);
    assert_null(strpbrk(at, "{}")); /* every value was put in */
    next = strdup(at + 6);
    ran_done(&ran);
    fake_free(server);
    return next;
}

/* Goal: there is a next step for every way in which a change can be refused, with this command's own values.
 * Method: all codes of the state machine and of base/error.h, each from a server that answers with it. */
static void every_code_has_a_next_step(void **state)
{
    uint32_t looked_at = 0;
    (void)state;
    for (uint32_t code = 0; code < RESULT_COUNT; code++) {
        if (result_succeeded(code))
            continue;
        if (!hint_find(result_name(code)))
            fail_msg("tools/autonomy/hints.c lacks %s", result_name(code));
        free(said_after(result_name(code), result_status(code), ""));
        looked_at++;
    }
    for (int code = ERROR_OK + 1; code < ERROR_COUNT; code++) {
        const char *name = error_name((enum error_code)code);
        if (!hint_find(name) && strcmp(name, "invalid") != 0) /* it goes out as invalid_field */
            fail_msg("tools/autonomy/hints.c lacks %s", name);
        looked_at++;
    }
    assert_true(looked_at > 40);
}

/* Goal: a step can be pasted: it has the plan that was named, or the server's own command.
 * Method: one code of each kind, and one that this version doesn't know. */
static void steps_hold_the_values_of_the_command_line(void **state)
{
    (void)state;
    char *plan = said_after("plan_phase", 409, "");
    assert_non_null(strstr(plan, "autonomy rollout plan describe --plan-id p-7"));
    char *blank = said_after("preview_stale", 409, "");
    assert_non_null(strstr(blank, "--target TARGET --resource RESOURCE"));
    char *own = said_after("use_reset", 409, ",\"command\":\"autonomy kill-switch reset X\\u001b[2J\"");
    assert_string_equal(own, "autonomy kill-switch reset X?[2J\n");
    char *unknown = said_after("from_the_future", 418, "");
    assert_non_null(strstr(unknown, "autonomy rollout plan pause --help"));
    free(plan);
    free(blank);
    free(own);
    free(unknown);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_code_has_a_next_step, set_up, tear_down),
        cmocka_unit_test_setup_teardown(steps_hold_the_values_of_the_command_line, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
