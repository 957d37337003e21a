/* The table of routes by itself: paths, methods, arguments. No server runs here. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "fsm/fsm.h"
#include "node/http/router.h"

struct found {
    struct arena arena;
    const char *parts[PATH_PARTS_MAX];
    uint32_t part_count;
    char allow[64];
    const struct route *route;
};

static int set_up(void **state)
{
    static struct found found;
    memset(&found, 0, sizeof(found));
    arena_init(&found.arena, 1u << 20);
    *state = &found;
    return 0;
}

static int tear_down(void **state)
{
    struct found *found = *state;
    arena_done(&found->arena);
    return 0;
}

static enum error_code find(struct found *found, const char *method, const char *path)
{
    struct error error = {0};
    found->route = NULL;
    found->allow[0] = '\0';
    enum error_code code = path_split(path, &found->arena, found->parts, &found->part_count, &error);
    if (code == ERROR_OK)
        found->route =
            route_find(method, found->parts, found->part_count, found->allow, sizeof(found->allow));
    return code;
}

static const char *path_of(const struct found *found)
{
    return found->route != NULL ? found->route->path : "";
}

/* Goal: a path finds its route, and its parameters come out of it, decoded.
 * Method: one with two parameters, one of them escaped. */
static void path_finds_route_and_parameters(void **state)
{
    struct found *found = *state;
    assert_int_equal(find(found, "POST", "/v1/rollouts/p%2D1/stages/canary/gates/approve"), ERROR_OK);
    assert_string_equal(path_of(found), "/v1/rollouts/{plan_id}/stages/{stage_id}/gates/approve");
    assert_string_equal(route_parameter(found->route, "plan_id", found->parts, found->part_count), "p-1");
    assert_string_equal(route_parameter(found->route, "stage_id", found->parts, found->part_count), "canary");
    assert_null(route_parameter(found->route, "node_id", found->parts, found->part_count));
    assert_null(route_parameter(found->route, "plan", found->parts, found->part_count));
}

/* Goal: what is spelled out wins over a parameter in the same place.
 * Method: "stuck" stands where a plan's id may stand. */
static void literal_wins_over_parameter(void **state)
{
    struct found *found = *state;
    assert_int_equal(find(found, "GET", "/v1/rollouts/stuck"), ERROR_OK);
    assert_string_equal(path_of(found), "/v1/rollouts/stuck");
    assert_int_equal(find(found, "GET", "/v1/rollouts/stuck-1"), ERROR_OK);
    assert_string_equal(path_of(found), "/v1/rollouts/{plan_id}");
}

/* Goal: HEAD is served wherever GET is, and a wrong method learns the right ones.
 * Method: a path with two methods, asked with HEAD and with DELETE. */
static void methods_are_told(void **state)
{
    struct found *found = *state;
    assert_int_equal(find(found, "HEAD", "/v1/flags/a"), ERROR_OK);
    assert_string_equal(path_of(found), "/v1/flags/{key}");
    assert_int_equal(find(found, "DELETE", "/v1/flags/a"), ERROR_OK);
    assert_null(found->route);
    assert_string_equal(found->allow, "GET, HEAD, PUT");
    assert_int_equal(find(found, "get", "/v1/flags/a"), ERROR_OK);
    assert_null(found->route);
}

/* Goal: nothing but the exact paths is served.
 * Method: near misses: more, fewer, empty and differently spelled parts. */
static void near_misses_find_nothing(void **state)
{
    static const char *const paths[] = {"/",
                                        "/v1",
                                        "/v1/",
                                        "/v2/health",
                                        "/v1/health/",
                                        "//v1/health",
                                        "/v1/Health",
                                        "/v1/rollouts//halt",
                                        "/v1/rollouts/p/halt/more",
                                        "/v1/flags/",
                                        "/v1/event",
                                        "/metrics/"};
    struct found *found = *state;
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        assert_int_equal(find(found, "GET", paths[i]), ERROR_OK);
        assert_null(found->route);
        assert_string_equal(found->allow, "");
    }
    assert_int_equal(find(found, "GET", "/1/2/3/4/5/6/7/8/9"), ERROR_NOT_FOUND);
    assert_int_equal(find(found, "GET", "*"), ERROR_INVALID);
}

/* Goal: a path that isn't text is refused, not cut or guessed.
 * Method: damaged escapes, an escaped NUL, bytes that aren't UTF-8, an escaped slash (which stays inside its
 * part). */
static void damaged_escapes_are_refused(void **state)
{
    static const char *const damaged[] = {"/v1/flags/%",     "/v1/flags/%4",  "/v1/flags/%zz",
                                          "/v1/flags/a%00b", "/v1/flags/%ff", "/v1/flags/%c3"};
    struct found *found = *state;
    for (size_t i = 0; i < sizeof(damaged) / sizeof(damaged[0]); i++)
        assert_int_equal(find(found, "GET", damaged[i]), ERROR_INVALID);
    assert_int_equal(find(found, "GET", "/v1/flags/a%2Fb%C3%A9"), ERROR_OK);
    assert_string_equal(found->parts[2], "a/b\xc3\xa9");
}

/* Goal: a route takes its own arguments and those of its kind, and no part of a word.
 * Method: the list of plans, and parts of its arguments' names. */
static void arguments_are_whole_words(void **state)
{
    struct found *found = *state;
    assert_int_equal(find(found, "GET", "/v1/rollouts"), ERROR_OK);
    static const char *const good[] = {"limit", "cursor", "phase", "consistency", "index", "wait", "timeout"};
    static const char *const bad[] = {"", " ", "lim", "imit", "limits", "phase cursor", "publish"};
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        assert_true(route_takes(found->route, good[i]));
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(route_takes(found->route, bad[i]));
}

/* Every parameter of a change's path must be a field of its command: that is where it goes. */
static void check_parameters(const struct route *route, const struct command_type *type)
{
    for (const char *at = strchr(route->path, '{'); at != NULL; at = strchr(at + 1, '{')) {
        bool found = false;
        size_t length = strcspn(at + 1, "}");
        for (size_t i = 0; i < type->schema->field_count; i++)
            found = found || (strlen(type->schema->fields[i].name) == length &&
                              memcmp(type->schema->fields[i].name, at + 1, length) == 0);
        if (!found)
            print_error("%s: %s has no field %.*s\n", route->path, type->name, (int)length, at + 1);
        assert_true(found);
    }
}

/* Goal: the table is whole: every row can be served, and every command it names exists with the fields its
 * path needs. Method: walks all rows; also each must be found by its own path, so that no earlier row hides
 * it. */
static void every_row_can_be_served(void **state)
{
    struct found *found = *state;
    uint32_t count = 0, commands = 0;
    const struct route *routes = route_all(&count);
    assert_true(count > 30);
    for (uint32_t i = 0; i < count; i++) {
        const struct route *route = &routes[i];
        char path[256];
        size_t used = 0;
        for (const char *at = route->path; *at != '\0'; at++)
            if (*at == '{')
                path[used++] = 'X';
            else if (used == 0 || path[used - 1] != 'X' || *at == '/')
                path[used++] = *at;
        path[used] = '\0';
        assert_int_equal(find(found, route->method, path), ERROR_OK);
        assert_ptr_equal(found->route, route);
        if (route->kind == ROUTE_CHANGE) {
            const struct command_type *type = command_by_name(route->command);
            assert_non_null(type);
            check_parameters(route, type);
            commands++;
        } else if (route->view != NULL) {
            assert_true(route->kind == ROUTE_READ || route->kind == ROUTE_SCAN || route->kind == ROUTE_WALK);
            assert_null(route->serve);
        } else {
            assert_non_null(route->serve);
        }
    }
    assert_true(commands > 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(path_finds_route_and_parameters, set_up, tear_down),
        cmocka_unit_test_setup_teardown(literal_wins_over_parameter, set_up, tear_down),
        cmocka_unit_test_setup_teardown(methods_are_told, set_up, tear_down),
        cmocka_unit_test_setup_teardown(near_misses_find_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(damaged_escapes_are_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(arguments_are_whole_words, set_up, tear_down),
        cmocka_unit_test_setup_teardown(every_row_can_be_served, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
