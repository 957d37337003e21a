/* GET /openapi.json: it is made of the tables and has all of them; what it says of arguments is what the
 * readers of arguments do. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include <cmocka.h>

#include "node/http/argument.h"
#include "node/http/body.h"
#include "node/http/problem.h"
#include "node/http/router.h"
#include "tests/support/http_fixture.h"

static int set_up(void **state)
{
    *state = http_fixture_new(NULL);
    return *state == NULL;
}

static int tear_down(void **state)
{
    http_fixture_free(*state);
    return 0;
}

static const json_t *operation_of(const json_t *document, const char *path, const char *method)
{
    char lower[16];
    snprintf(lower, sizeof(lower), "%s", method);
    for (char *at = lower; *at != '\0'; at++)
        *at = (char)(*at | 0x20);
    return json_object_get(json_object_get(json_object_get(document, "paths"), path), lower);
}

/* Goal: the document has the routes of the table, each under a name of its own, and no others.
 * Method: every row is looked up; then the operations are counted. */
static void every_route_is_described_once(void **state)
{
    uint32_t count = 0;
    size_t operations = 0;
    const struct route *routes = route_all(&count);
    struct http_answer answer = fixture_get(*state, "/openapi.json");
    assert_status(&answer, 200);
    assert_string_equal(http_answer_header(&answer, "Content-Type"), "application/json; charset=utf-8");
    assert_true(count > 40);
    for (uint32_t i = 0; i < count; i++) {
        const json_t *operation = operation_of(answer.json, routes[i].path, routes[i].method);
        if (operation == NULL)
            fail_msg("%s %s is missing", routes[i].method, routes[i].path);
        assert_string_equal(json_string_value(json_object_get(operation, "operationId")), routes[i].id);
        for (uint32_t other = 0; other < i; other++)
            assert_string_not_equal(routes[i].id, routes[other].id);
    }
    const char *path;
    json_t *item;
    json_object_foreach(json_object_get(answer.json, "paths"), path, item) operations +=
        json_object_size(item);
    assert_int_equal(operations, count);
    http_answer_done(&answer);
}

/* Goal: a client that asks twice gets the same document, whatever happens meanwhile.
 * Method: two answers with a change between them; HEAD tells the same length. */
static void document_never_changes(void **state)
{
    struct http_answer first = fixture_get(*state, "/openapi.json");
    struct http_answer change =
        fixture_send(*state, "PUT", "/v1/flags/PROMPT_MODE", "{\"value\":\"full\",\"reason\":\"r\"}");
    struct http_answer second = fixture_get(*state, "/openapi.json");
    struct http_answer head = fixture_send(*state, "HEAD", "/openapi.json", NULL);
    assert_status(&change, 200);
    assert_status(&head, 200);
    assert_int_equal(first.body_bytes, second.body_bytes);
    assert_memory_equal(first.body, second.body, first.body_bytes);
    assert_string_equal(http_answer_header(&head, "Content-Length"),
                        http_answer_header(&first, "Content-Length"));
    http_answer_done(&first);
    http_answer_done(&change);
    http_answer_done(&second);
    http_answer_done(&head);
}

/* Goal: whatever argument a route takes is in the table, and its default is one that it takes itself.
 * Method: all arguments of all routes. */
static void every_argument_is_in_the_table(void **state)
{
    uint32_t count = 0, seen = 0;
    const struct route *routes = route_all(&count);
    (void)state;
    for (uint32_t i = 0; i < count; i++) {
        struct argument_walk walk = {.route = &routes[i]};
        const char *name;
        while ((name = argument_next(&walk)) != NULL) {
            const struct argument *argument = argument_find(&routes[i], name);
            if (argument == NULL)
                fail_msg("%s %s takes %s, which argument.c doesn't know", routes[i].method, routes[i].path,
                         name);
            assert_true(route_takes(&routes[i], name));
            assert_true(argument->type != ARGUMENT_NUMBER || argument->max >= argument->min);
            assert_true((argument->type == ARGUMENT_WORD || argument->type == ARGUMENT_WORDS) ==
                        (argument_word(argument, 0) != NULL));
            seen++;
        }
    }
    assert_true(seen > 100);
}

/* Goal: 201 says where to find what was made.
 * Method: a plan with an id of its own and one without, a flag, a kill switch; the place answers. */
static void what_is_made_is_found_at_its_location(void **state)
{
    static const struct {
        const char *method, *path, *body, *location;
    } rows[] = {
        {"POST", "/v1/rollouts", PLAN_BODY("p-1"), "/v1/rollouts/p-1"},
        {"POST", "/v1/rollouts",
         "{\"artifact\":{\"name\":\"a\",\"version\":\"1\"},\"stages\":[{\"target\":{\"percent\":5}}]}", NULL},
        {"PUT", "/v1/flags/mine/definition", "{\"type\":\"bool\",\"default\":true,\"safe\":false}",
         "/v1/flags/mine"},
        {"PUT", "/v1/kill-switches/stop", "{\"all\":true}", "/v1/kill-switches/stop"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char location[256];
        struct http_answer made = fixture_send(*state, rows[i].method, rows[i].path, rows[i].body);
        assert_status(&made, 201);
        snprintf(location, sizeof(location), "%s", http_answer_header(&made, "Location"));
        if (rows[i].location != NULL)
            assert_string_equal(location, rows[i].location);
        struct http_answer found = fixture_get(*state, location);
        assert_status(&found, 200);
        http_answer_done(&made);
        http_answer_done(&found);
    }
    struct http_answer again = fixture_send(*state, "PUT", "/v1/kill-switches/stop", "{\"all\":true}");
    assert_status(&again, 200);
    assert_string_equal(http_answer_header(&again, "Location"), "");
    http_answer_done(&again);
}

/* Goal: the type of a flag that refuses a value is told beside the problem's own type.
 * Method: a number for a bool flag. */
static void a_refusal_tells_the_type_of_the_flag(void **state)
{
    struct http_answer answer =
        fixture_send(*state, "PUT", "/v1/flags/RESEARCH_LAYER", "{\"value\":7,\"reason\":\"r\"}");
    assert_string_equal(json_text_at(answer.json, "flag_type"), "bool");
    assert_string_equal(json_text_at(answer.json, "type"), "urn:autonomy:problem:flag_type");
    assert_problem(&answer, 422, "flag_type");
}

/* Goal: the list of codes has every code of the three tables with a status that a problem can have. */
static void every_code_has_a_status(void **state)
{
    struct problem_code row;
    uint32_t count = 0;
    (void)state;
    for (; problem_code_at(count, &row); count++)
        if (row.code == NULL || row.status < 400 || row.status > 599)
            fail_msg("code %s has status %u", row.code != NULL ? row.code : "none", row.status);
    assert_true(count > 50);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_route_is_described_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(document_never_changes, set_up, tear_down),
        cmocka_unit_test(every_argument_is_in_the_table),
        cmocka_unit_test_setup_teardown(what_is_made_is_found_at_its_location, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_refusal_tells_the_type_of_the_flag, set_up, tear_down),
        cmocka_unit_test(every_code_has_a_status),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
