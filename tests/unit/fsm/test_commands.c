/* The command table and the envelope of a logged command. */
#include "fsm/leadership.h"
#include "support/fsm_fixture.h"

static const struct member_sync sync_body = {.node_id = 7, .role = 1};

static void encode(const char *request_id, const char *principal, struct bytes *out)
{
    struct error error = {0};
    bytes_init(out, 0);
    if (command_encode(command_by_name("member.sync"), request_id, principal, 1000, &sync_body, out,
                       &error) != ERROR_OK)
        fail_msg("%s", error.message);
}

/* Goal: no two command types share a number or a name, and each is found by both.
 * Method: walk the whole table. */
static void types_are_found_by_number_and_name(void **state)
{
    (void)state;
    uint32_t count = 0;
    for (const struct command_type *type = NULL; (type = command_at(count)) != NULL; count++) {
        assert_ptr_equal(command_by_type(type->type), type);
        assert_ptr_equal(command_by_name(type->name), type);
        assert_non_null(type->schema);
        assert_true(type->permission && type->permission[0]);
        assert_non_null(type->safety_class);
        assert_ptr_equal(&command_entry_by_type(type->type)->type, type);
        assert_non_null(command_entry_by_type(type->type)->handler);
    }
    assert_true(count >= 24);
    assert_null(command_by_name("rollout.levitate"));
    assert_null(command_by_type(9999));
    assert_null(command_at(count));
}

/* Goal: every command that the documents number is there under its number.
 * Method: the list of numbers and names, which never change. */
static void numbers_and_names_are_those_of_the_log(void **state)
{
    (void)state;
    static const struct {
        uint32_t type;
        const char *name;
    } rows[] = {
        {1, "leader.elected"},    {2, "tick"},
        {10, "rollout.create"},   {11, "rollout.publish"},
        {12, "rollout.pause"},    {13, "rollout.resume"},
        {14, "rollout.cancel"},   {15, "rollout.halt"},
        {16, "rollout.recover"},  {17, "rollout.gate.approve"},
        {18, "rollout.evaluate"}, {19, "rollout.node"},
        {30, "rollback.execute"}, {31, "failover.request"},
        {32, "failover.outcome"}, {40, "flag.define"},
        {41, "flag.set"},         {42, "flags.set"},
        {50, "switch.define"},    {51, "switch.activate"},
        {52, "switch.reset"},     {60, "member.add"},
        {61, "member.sync"},      {70, "quorum.report"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct command_type *type = command_by_type(rows[i].type);
        if (!type)
            fail_msg("command %u, %s, is not there", rows[i].type, rows[i].name);
        assert_string_equal(type->name, rows[i].name);
    }
}

/* Goal: what is encoded is what is read, the time at its fixed place included.
 * Method: encode, inspect, stamp, inspect again; the stamp changes two numbers and no length. */
static void stamp_changes_time_and_level_in_place(void **state)
{
    (void)state;
    struct bytes encoded;
    struct arena arena;
    struct command_header header;
    struct error error = {0};
    arena_init(&arena, 1u << 20);
    encode("req-1", "oncall@example.com", &encoded);
    const size_t length = encoded.length;

    assert_int_equal(command_inspect(bytes_span(&encoded), &arena, &header, &error), ERROR_OK);
    assert_int_equal(header.type, 61);
    assert_int_equal(header.level, 1);
    assert_int_equal(header.version, 1);
    assert_int_equal(header.wall_ms, 1000);
    assert_int_equal(header.source, AUDIT_ORCHESTRATOR);
    assert_string_equal(header.request_id, "req-1");
    assert_string_equal(header.principal, "oncall@example.com");

    command_stamp(encoded.data, encoded.length, 1767225600123ull, FSM_LEVEL);
    assert_int_equal(encoded.length, length);
    assert_int_equal(command_inspect(bytes_span(&encoded), &arena, &header, &error), ERROR_OK);
    assert_true(header.wall_ms == 1767225600123ull);
    assert_int_equal(header.level, FSM_LEVEL);
    assert_string_equal(header.request_id, "req-1");
    bytes_done(&encoded);
    arena_done(&arena);
}

/* Goal: the place where a command came in is carried, and an absent request id reads as "".
 * Method: encode as from the command line. */
static void source_is_carried(void **state)
{
    (void)state;
    struct bytes encoded;
    struct arena arena;
    struct command_header header;
    struct error error = {0};
    arena_init(&arena, 1u << 20);
    bytes_init(&encoded, 0);
    assert_int_equal(command_encode_from(command_by_name("member.sync"), AUDIT_CLI, "", "a", 1, &sync_body,
                                         &encoded, &error),
                     ERROR_OK);
    assert_int_equal(command_inspect(bytes_span(&encoded), &arena, &header, &error), ERROR_OK);
    assert_int_equal(header.source, AUDIT_CLI);
    assert_string_equal(header.request_id, "");
    bytes_done(&encoded);
    arena_done(&arena);
}

/* Goal: identities past their bounds are refused before anything is encoded.
 * Method: one byte too many of each, and a principal of none. */
static void identities_have_bounds(void **state)
{
    (void)state;
    struct bytes out;
    struct error error = {0};
    char long_id[REQUEST_ID_BYTES_MAX + 2], long_principal[PRINCIPAL_BYTES_MAX + 2];
    memset(long_id, 'x', sizeof(long_id) - 1);
    long_id[sizeof(long_id) - 1] = '\0';
    memset(long_principal, 'x', sizeof(long_principal) - 1);
    long_principal[sizeof(long_principal) - 1] = '\0';
    const struct command_type *type = command_by_name("member.sync");
    bytes_init(&out, 0);
    assert_int_equal(command_encode(type, long_id, "a", 1, &sync_body, &out, &error), ERROR_TOO_BIG);
    assert_int_equal(command_encode(type, "r", long_principal, 1, &sync_body, &out, &error), ERROR_TOO_BIG);
    assert_int_equal(command_encode(type, "r", "", 1, &sync_body, &out, &error), ERROR_TOO_BIG);
    assert_int_equal(command_encode(type, "\xff", "a", 1, &sync_body, &out, &error), ERROR_INVALID);
    assert_int_equal(out.length, 0);
    bytes_done(&out);
}

/* Goal: bytes that this build does not understand are told apart, each with its reason.
 * Method: one good command; change one thing at a time. */
static void foreign_bytes_are_refused_with_their_reason(void **state)
{
    (void)state;
    struct bytes good;
    struct arena arena;
    struct command_header header;
    arena_init(&arena, 64u << 20);
    encode("req-1", "a", &good);
    static const struct {
        size_t at;
        uint8_t value;
        const char *message;
    } rows[] = {
        {0, 0x9a, "not a command"},      {1, 2, "of format 2"},       {6, 9, "of level 9"},
        {8, 0xff, "past the year 9999"}, {16, 99, "command type 99"}, {17, 7, "of version 7"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct error error = {0};
        struct bytes bad;
        bytes_init(&bad, 0);
        bytes_append(&bad, good.data, good.length);
        bad.data[rows[i].at] = rows[i].value;
        assert_int_equal(command_inspect(bytes_span(&bad), &arena, &header, &error), ERROR_INVALID);
        if (!strstr(error.message, rows[i].message))
            fail_msg("\"%s\" doesn't say \"%s\"", error.message, rows[i].message);
        bytes_done(&bad);
    }
    bytes_done(&good);
    arena_done(&arena);
}

/* Goal: no cut and no flipped bit of a command does more than be refused or read as another command.
 * Method: every prefix, then every single bit; the sanitizers watch. Every prefix must be refused. */
static void cut_and_flipped_commands_are_survived(void **state)
{
    (void)state;
    struct bytes good;
    struct arena arena;
    struct command_header header;
    struct error error = {0};
    uint32_t refused = 0;
    arena_init(&arena, 64u << 20);
    encode("req-1", "a", &good);
    for (size_t length = 0; length < good.length; length++) {
        assert_int_equal(command_inspect(span_of(good.data, length), &arena, &header, &error), ERROR_INVALID);
        arena_clear(&arena);
    }
    for (size_t bit = 0; bit < good.length * 8; bit++) {
        good.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        refused += command_inspect(bytes_span(&good), &arena, &header, &error) != ERROR_OK;
        good.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        arena_clear(&arena);
    }
    assert_true(refused > 50);
    bytes_done(&good);
    arena_done(&arena);
}

/* Goal: a command past its limit is never encoded, so it never reaches the log.
 * Method: a plan with a list of long node names, 64 KiB of them. */
static void too_big_a_command_is_refused(void **state)
{
    (void)state;
    const struct command_type *type = command_by_name("rollout.create");
    struct arena arena;
    struct bytes out;
    struct error error = {0};
    arena_init(&arena, 64u << 20);
    bytes_init(&out, 0);
    json_t *nodes = json_array();
    for (int i = 0; i < 1000; i++) {
        char name[121];
        snprintf(name, sizeof(name), "%0120d", i);
        json_array_append_new(nodes, json_string(name));
    }
    json_t *plan = json_pack("{s:s, s:{s:s, s:s}, s:[{s:s, s:{s:o}}]}", "plan_id", "p", "artifact", "name",
                             "a", "version", "1", "stages", "stage_id", "s", "target", "nodes", nodes);
    void *body = arena_new(&arena, type->schema->bytes);
    if (schema_from_json(type->schema, plan, &arena, body, &error) != ERROR_OK)
        fail_msg("%s", error.message);
    assert_int_equal(command_encode(type, "r", "a", 1, body, &out, &error), ERROR_TOO_BIG);
    assert_int_equal(out.length, 0);
    json_decref(plan);
    bytes_done(&out);
    arena_done(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(types_are_found_by_number_and_name),
        cmocka_unit_test(numbers_and_names_are_those_of_the_log),
        cmocka_unit_test(stamp_changes_time_and_level_in_place),
        cmocka_unit_test(source_is_carried),
        cmocka_unit_test(identities_have_bounds),
        cmocka_unit_test(foreign_bytes_are_refused_with_their_reason),
        cmocka_unit_test(cut_and_flipped_commands_are_survived),
        cmocka_unit_test(too_big_a_command_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
