/* Groups of entries: what they change, what stops them, what a restart finds. */
#include "support/fsm_fixture.h"

#include "fsm/fsm_internal.h"

static enum error_code write_fails;
enum error_code __real_kv_overlay_write(struct kv_overlay *overlay, struct kv_write_options options,
                                        struct error *error);
enum error_code __wrap_kv_overlay_write(struct kv_overlay *overlay, struct kv_write_options options,
                                        struct error *error);
enum error_code __wrap_kv_overlay_write(struct kv_overlay *overlay, struct kv_write_options options,
                                        struct error *error)
{
    const enum error_code code = write_fails;
    write_fails = ERROR_OK;
    return code == ERROR_OK ? __real_kv_overlay_write(overlay, options, error)
                            : error_set(error, code, "as the test wants it");
}

/* A handler of the tests' own stands in for member.sync where a test says so. */
static command_handler *handler;
command_handler __real_member_sync_apply, __wrap_member_sync_apply;
void __wrap_member_sync_apply(struct apply *apply, const void *body)
{
    if (handler)
        handler(apply, body);
    else
        __real_member_sync_apply(apply, body);
}

static struct result run_handler(struct fixture *fixture, command_handler *wanted, const char *request_id)
{
    handler = wanted;
    const struct result result =
        fixture_run_as(fixture, "member.sync", "alice", request_id, "{\"node_id\": 1, \"role\": \"voter\"}");
    handler = NULL;
    return result;
}

static void add(struct fixture *fixture, unsigned node)
{
    char json[200], id[32];
    snprintf(json, sizeof(json), "{\"node_id\": %u, \"name\": \"n%u\", \"address\": \"127.0.0.1:%u\"}", node,
             node, 7000 + node);
    snprintf(id, sizeof(id), "add-%u", node);
    fixture_append_command(fixture->log, "member.add", "system", id, json);
}

static void assert_same(const struct fixture *fixture, const struct fsm_state *expected)
{
    const struct fsm_state state = fixture_describe(fixture);
    assert_int_equal(state.index, expected->index);
    assert_int_equal(state.term, expected->term);
    assert_int_equal(state.time_ms, expected->time_ms);
    assert_int_equal(state.audit_seq, expected->audit_seq);
    assert_int_equal(state.configuration_index, expected->configuration_index);
    assert_int_equal(state.configuration.bytes, expected->configuration.bytes);
    assert_int_equal(state.generation, expected->generation);
    assert_string_equal(state.cluster_id, expected->cluster_id);
    assert_memory_equal(state.digest, expected->digest, DIGEST_BYTES);
}

/* Goal: a new state is at index 0 and level 1, and knows no cluster.
 * Method: describe before anything is applied. */
static void new_state_is_empty(void **state)
{
    const struct fsm_state now = fixture_describe(*state);
    static const uint8_t zero[DIGEST_BYTES];
    assert_int_equal(now.index, 0);
    assert_int_equal(now.audit_seq, 0);
    assert_int_equal(now.level, 1);
    assert_int_equal(now.schema, FSM_SCHEMA);
    assert_string_equal(now.cluster_id, "");
    assert_memory_equal(now.digest, zero, DIGEST_BYTES);
}

/* Goal: only the entry after the last one is applied; a second time, a gap or a falling term is refused
 * and changes nothing.
 * Method: apply two, then offer index 2 again, index 4, and index 3 of an older term. */
static void only_the_next_entry_is_applied(void **state)
{
    struct fixture *fixture = *state;
    struct error error = {0};
    fixture->log->term = 5;
    for (unsigned i = 1; i <= 4; i++)
        add(fixture, i);
    fixture_apply(fixture, 2);
    const struct fsm_state before = fixture_describe(fixture);
    struct entry *entries = fixture->log->entries;

    assert_int_equal(fsm_apply(fixture->fsm, &entries[1], 1, fixture->results, &error), ERROR_INVALID);
    assert_non_null(strstr(error.message, "log entry 2 where 3 is next"));
    assert_int_equal(fsm_apply(fixture->fsm, &entries[3], 1, fixture->results, &error), ERROR_INVALID);
    struct entry older = entries[2];
    older.term = 4;
    assert_int_equal(fsm_apply(fixture->fsm, &older, 1, fixture->results, &error), ERROR_INVALID);
    assert_int_equal(fsm_apply(fixture->fsm, entries, 0, fixture->results, &error), ERROR_INVALID);
    assert_same(fixture, &before);
    fixture_apply(fixture, 2);
    assert_int_equal(fixture_describe(fixture).index, 4);
}

/* Goal: barriers and configurations move index and digest, and leave no record; the configuration is
 * described.
 * Method: one of each, and the same configuration at another place gives another digest. */
static void barriers_and_configurations_are_part_of_the_digest(void **state)
{
    struct fixture *fixture = *state;
    uint8_t last[DIGEST_BYTES] = {0};
    fixture_append(fixture->log, ENTRY_BARRIER, NULL, 0);
    fixture_append(fixture->log, ENTRY_CHANGE, "conf-1", 6);
    fixture_append(fixture->log, ENTRY_CHANGE, "conf-1", 6);
    fixture_append(fixture->log, ENTRY_BARRIER, NULL, 0);
    for (int i = 1; i <= 4; i++) {
        fixture_apply(fixture, 1);
        const struct fsm_state now = fixture_describe(fixture);
        assert_int_equal(now.index, i);
        assert_memory_not_equal(now.digest, last, DIGEST_BYTES);
        memcpy(last, now.digest, DIGEST_BYTES);
        assert_int_equal(fixture->results[0].index, i);
        assert_int_equal(fixture->results[0].body.bytes, 0);
    }
    const struct fsm_state now = fixture_describe(fixture);
    assert_int_equal(now.audit_seq, 0);
    assert_int_equal(now.configuration_index, 3);
    assert_int_equal(now.configuration.bytes, 6);
    assert_memory_equal(now.configuration.data, "conf-1", 6);
}

/* Goal: the digest is the documented chain, so that others can compute it.
 * Method: compute the digest of a barrier and of a configuration by hand. */
static void digest_is_the_documented_chain(void **state)
{
    struct fixture *fixture = *state;
    uint8_t expected[DIGEST_BYTES] = {0}, head[8];
    static const uint32_t types[] = {ENTRY_BARRIER, ENTRY_CHANGE};
    fixture->log->term = 3;
    fixture_append(fixture->log, ENTRY_BARRIER, NULL, 0);
    fixture_append(fixture->log, ENTRY_CHANGE, "xyz", 3);
    fixture_apply(fixture, 2);
    struct hash *hash = hash_new();
    for (uint64_t index = 1; index <= 2; index++) {
        const uint32_t length = index == 1 ? 0 : 3;
        hash_update(hash, expected, DIGEST_BYTES);
        put_u64(head, index);
        hash_update(hash, head, 8);
        put_u64(head, 3);
        hash_update(hash, head, 8);
        put_u32(head, types[index - 1]);
        hash_update(hash, head, 4);
        put_u32(head, length);
        hash_update(hash, head, 4);
        hash_update(hash, "xyz", length);
        put_u32(head, 21); /* the result: code 4, index 8, audit seq 8, repeated 1 */
        hash_update(hash, head, 4);
        put_u32(head, 0);
        hash_update(hash, head, 4);
        put_u64(head, index);
        hash_update(hash, head, 8);
        put_u64(head, 0);
        hash_update(hash, head, 8);
        hash_update(hash, head, 1);
        put_u32(head, 0); /* no puts, no deletes */
        hash_update(hash, head, 4);
        hash_finish(hash, expected);
    }
    hash_free(hash);
    assert_memory_equal(fixture_describe(fixture).digest, expected, DIGEST_BYTES);
}

/* Goal: the state's time follows the entries and never runs backwards.
 * Method: a leader whose clock jumps back a day. */
static void time_never_runs_backwards(void **state)
{
    struct fixture *fixture = *state;
    const uint64_t start_ms = fixture->log->wall_ms;
    add(fixture, 1);
    fixture->log->wall_ms = start_ms - 86400000;
    add(fixture, 2);
    fixture->log->wall_ms = start_ms + 5;
    add(fixture, 3);
    fixture_apply(fixture, 1);
    assert_true(fixture_describe(fixture).time_ms == start_ms);
    fixture_apply(fixture, 1);
    assert_true(fixture_describe(fixture).time_ms == start_ms);
    fixture_apply(fixture, 1);
    assert_true(fixture_describe(fixture).time_ms == start_ms + 5);
    struct view *view = view_open(fixture->fsm);
    assert_true(view_time_ms(view) == start_ms + 5);
    assert_int_equal(view_index(view), 3);
    view_close(view);
}

/* Goal: an entry that this build doesn't understand stops the group; nothing of the group is written,
 * time included.
 * Method: behind a good command: a higher level, an unknown type, another format, no command at all, an
 * unknown entry type, a configuration past its bound. */
static void entry_not_understood_stops_the_whole_group(void **state)
{
    struct fixture *fixture = *state;
    static uint8_t large[5000];
    static const struct {
        size_t at;
        uint8_t value;
    } changes[] = {{6, 2}, {16, 120}, {1, 2}, {0, 0}};
    add(fixture, 1);
    fixture_apply(fixture, 1);
    const struct fsm_state before = fixture_describe(fixture);
    fixture->log->wall_ms += 1000;
    add(fixture, 2);
    add(fixture, 3);
    struct entry *entries = fixture->log->entries;
    for (size_t i = 0; i < 6; i++) {
        struct error error = {0};
        struct entry group[2] = {entries[1], entries[2]};
        if (i < 4) {
            memcpy(large, group[1].data.data, group[1].data.bytes);
            large[changes[i].at] = changes[i].value;
            group[1].data.data = large;
        } else if (i == 4) {
            group[1].type = (enum entry_type)9;
        } else {
            group[1].type = ENTRY_CHANGE;
            group[1].data = span_of(large, sizeof(large));
        }
        assert_int_equal(fsm_apply(fixture->fsm, group, 2, fixture->results, &error), ERROR_INVALID);
        assert_non_null(strstr(error.message, "log entry 3"));
        assert_same(fixture, &before);
    }
    fixture_apply(fixture, 2);
    assert_int_equal(fixture_describe(fixture).index, 3);
}

/* Goal: a stall or a full disk leaves everything as it was, and the same group then gives what it would
 * have given.
 * Method: a twin that met no stall; compare digests and results. */
static void refused_write_may_come_again(void **state)
{
    struct fixture *fixture = *state;
    struct fixture *twin = fixture_new();
    static const enum error_code codes[] = {ERROR_BUSY, ERROR_NO_SPACE};
    for (unsigned i = 1; i <= 3; i++) {
        add(fixture, i);
        add(twin, i);
    }
    fixture_apply(twin, 3);
    const struct fsm_state before = fixture_describe(fixture), after = fixture_describe(twin);
    for (size_t i = 0; i < 2; i++) {
        struct error error = {0};
        write_fails = codes[i];
        assert_int_equal(fsm_apply(fixture->fsm, fixture->log->entries, 3, fixture->results, &error),
                         codes[i]);
        assert_same(fixture, &before);
        struct view *view = view_open(fixture->fsm);
        assert_int_equal(view_index(view), 0);
        assert_int_equal(view_audit_last(view), 0);
        view_close(view);
    }
    fixture_apply(fixture, 3);
    assert_same(fixture, &after);
    for (int i = 0; i < 3; i++)
        assert_int_equal(fixture->results[i].audit_seq, i + 1);
    fixture_free(twin);
}

/* Goal: after a restart the state is what it was; without a flush it is an earlier prefix of the log, and
 * the log brings it back to the same digest.
 * Method: flush at 3 of 6 entries, restart without flushing, apply the rest again. */
static void restart_finds_a_prefix_and_the_log_brings_the_rest(void **state)
{
    struct fixture *fixture = *state;
    for (unsigned i = 1; i <= 6; i++)
        add(fixture, i);
    fixture_apply(fixture, 3);
    const struct fsm_state third = fixture_describe(fixture);
    fixture_restart(fixture, true);
    assert_same(fixture, &third);
    fixture_apply(fixture, 3);
    const struct fsm_state sixth = fixture_describe(fixture);
    fixture_restart(fixture, false);
    const uint64_t found = fixture_describe(fixture).index;
    assert_true(found >= 3);
    if (found < 6)
        fixture_apply(fixture, (uint32_t)(6 - found));
    assert_same(fixture, &sixth);
}

/* Goal: a checkpoint opens as a state of its own that describes itself alike, and goes on alike.
 * Method: checkpoint with cluster, configuration and commands; open it; apply one more entry to both. */
static void checkpoint_describes_and_continues_alike(void **state)
{
    struct fixture *fixture = *state;
    struct error error = {0};
    char folder[100];
    add(fixture, 1);
    fixture_append(fixture->log, ENTRY_CHANGE, "configuration", 13);
    add(fixture, 2);
    fixture_apply(fixture, 2);
    assert_int_equal(fsm_identify(fixture->fsm, "0123456789abcdef0123456789abcdef", 2, &error), ERROR_OK);
    const struct fsm_state before = fixture_describe(fixture);
    snprintf(folder, sizeof(folder), "%s/checkpoint", fixture->folder);
    assert_int_equal(fsm_checkpoint(fixture->fsm, folder, &error), ERROR_OK);
    struct fixture copy = {.log = fixture->log, .results = fixture->results};
    assert_int_equal(fsm_open(folder, false, &copy.fsm, &error), ERROR_OK);
    assert_same(&copy, &before);
    assert_memory_equal(fixture_describe(&copy).configuration.data, "configuration", 13);
    fixture_apply(fixture, 1);
    fixture_apply(&copy, 1);
    const struct fsm_state after = fixture_describe(fixture);
    assert_same(&copy, &after);
    fsm_close(copy.fsm);
    assert_int_equal(kv_destroy(folder, &error), ERROR_OK);
}

/* Goal: a state belongs to one cluster for ever, its generation only rises, and neither touches the
 * digest.
 * Method: identify, again, with another cluster, with an earlier and a later generation; restart. */
static void state_belongs_to_one_cluster(void **state)
{
    struct fixture *fixture = *state;
    struct error error = {0};
    assert_int_equal(fsm_identify(fixture->fsm, "c1", 1, &error), ERROR_OK);
    assert_int_equal(fsm_identify(fixture->fsm, "c1", 1, &error), ERROR_OK);
    assert_int_equal(fsm_identify(fixture->fsm, "c2", 1, &error), ERROR_CORRUPT);
    assert_int_equal(fsm_identify(fixture->fsm, "c1", 3, &error), ERROR_OK);
    assert_int_equal(fsm_identify(fixture->fsm, "c1", 2, &error), ERROR_CORRUPT);
    assert_int_equal(fsm_identify(fixture->fsm, "0123456789abcdef0123456789abcdef0", 3, &error),
                     ERROR_INVALID);
    const struct fsm_state before = fixture_describe(fixture);
    assert_string_equal(before.cluster_id, "c1");
    assert_int_equal(before.generation, 3);
    fixture_restart(fixture, true);
    assert_same(fixture, &before);
    static const uint8_t zero[DIGEST_BYTES];
    assert_memory_equal(before.digest, zero, DIGEST_BYTES);
}

/* Goal: digests of every 1,024th index are kept, and no others.
 * Method: 2,100 barriers in uneven groups; compare with what was described on the way. */
static void digests_are_kept_every_1024_entries(void **state)
{
    struct fixture *fixture = *state;
    uint8_t first[DIGEST_BYTES], kept[DIGEST_BYTES];
    struct error error = {0};
    for (int i = 0; i < 2100; i++)
        fixture_append(fixture->log, ENTRY_BARRIER, NULL, 0);
    fixture_apply(fixture, 1000);
    fixture_apply(fixture, 24);
    memcpy(first, fixture_describe(fixture).digest, DIGEST_BYTES);
    fixture_apply(fixture, 1076);
    struct view *view = view_open(fixture->fsm);
    assert_int_equal(view_digest(view, 1024, kept, &error), ERROR_OK);
    assert_memory_equal(kept, first, DIGEST_BYTES);
    assert_int_equal(view_digest(view, 2048, kept, &error), ERROR_OK);
    assert_memory_not_equal(kept, first, DIGEST_BYTES);
    assert_int_equal(view_digest(view, 1025, kept, &error), ERROR_NOT_FOUND);
    assert_int_equal(view_digest(view, 3072, kept, &error), ERROR_NOT_FOUND);
    view_close(view);
}

/* Goal: a view shows one moment, whatever is applied meanwhile.
 * Method: open before a command, look after it. */
static void view_stays_at_its_moment(void **state)
{
    struct fixture *fixture = *state;
    struct error error = {0};
    json_t *members = NULL;
    add(fixture, 1);
    add(fixture, 2);
    fixture_apply(fixture, 1);
    struct view *view = view_open(fixture->fsm);
    fixture_apply(fixture, 1);
    assert_int_equal(view_index(view), 1);
    assert_int_equal(view_members(view, &members, &error), ERROR_OK);
    assert_int_equal(json_array_size(members), 1);
    json_decref(members);
    view_close(view);
}

/* Goal: a list's pages join without a gap or a double, and a damaged cursor is refused.
 * Method: 7 flags by pages of 3; then cursors that were cut, changed, and taken from another list. */
static void pages_join_and_damaged_cursors_are_refused(void **state)
{
    struct fixture *fixture = *state;
    struct error error = {0};
    char json[200], cursor[1000] = "";
    for (int i = 0; i < 7; i++) {
        snprintf(json, sizeof(json),
                 "{\"key\": \"k%d\", \"type\": \"bool\", \"default\": false, \"safe\": false}", i);
        assert_true(result_succeeded(fixture_run(fixture, "flag.define", json).code));
    }
    struct view *view = view_open(fixture->fsm);
    json_t *all = NULL, *page = NULL;
    assert_int_equal(view_flags(view, &(struct page){.limit = 1000}, &all, &error), ERROR_OK);
    const size_t total = json_array_size(json_object_get(all, "items"));
    assert_true(total >= 7);
    assert_true(json_is_null(json_object_get(all, "next_cursor")));
    size_t seen = 0;
    for (int i = 0; i < 100; i++) {
        const struct page wanted = {.limit = 3, .cursor = cursor[0] ? cursor : NULL};
        assert_int_equal(view_flags(view, &wanted, &page, &error), ERROR_OK);
        json_t *items = json_object_get(page, "items"), *row = NULL;
        size_t at = 0;
        json_array_foreach(items, at, row)
            assert_true(json_equal(row, json_array_get(json_object_get(all, "items"), seen++)));
        const char *next = json_string_value(json_object_get(page, "next_cursor"));
        snprintf(cursor, sizeof(cursor), "%s", next ? next : "");
        json_decref(page);
        if (!next)
            break;
    }
    assert_int_equal(seen, total);
    json_decref(all);

    assert_int_equal(view_flags(view, &(struct page){.limit = 1}, &page, &error), ERROR_OK);
    snprintf(cursor, sizeof(cursor), "%s", json_string_value(json_object_get(page, "next_cursor")));
    json_decref(page);
    assert_int_equal(view_plans(view, NULL, &(struct page){.limit = 1, .cursor = cursor}, &page, &error),
                     ERROR_INVALID);
    cursor[3] ^= 1;
    assert_int_equal(view_flags(view, &(struct page){.limit = 1, .cursor = cursor}, &page, &error),
                     ERROR_INVALID);
    cursor[strlen(cursor) - 1] = '\0';
    assert_int_equal(view_flags(view, &(struct page){.limit = 1, .cursor = cursor}, &page, &error),
                     ERROR_INVALID);
    assert_int_equal(view_flags(view, &(struct page){.limit = 1, .cursor = "zz"}, &page, &error),
                     ERROR_INVALID);
    assert_int_equal(view_flags(view, &(struct page){.limit = 0}, &page, &error), ERROR_INVALID);
    assert_int_equal(view_flags(view, &(struct page){.limit = 1001}, &page, &error), ERROR_INVALID);
    view_close(view);
}

static void answer_too_long(struct apply *apply, const void *body)
{
    (void)body;
    struct bytes *answer = apply_created(apply);
    value_map(answer, 400);
    for (int i = 0; i < 400; i++)
        value_text(answer, arena_printf(apply->arena, "key-%d", i), arena_printf(apply->arena, "%01000d", i));
}

/* Goal: an answer past its bound doesn't stop the node; the command stays done, and a repeat says the
 * same.
 * Method: a handler that answers with 400 KB. */
static void answer_too_long_is_replaced(void **state)
{
    struct fixture *fixture = *state;
    const struct result result = run_handler(fixture, answer_too_long, "r1");
    assert_result(result, RESULT_CREATED);
    assert_string_equal(fixture_text(fixture, result, "detail"), "done; the answer is too long to be kept");
    const struct result again = run_handler(fixture, answer_too_long, "r1");
    assert_true(again.repeated);
    assert_result(again, RESULT_CREATED);
}

static void write_then_refuse(struct apply *apply, const void *body)
{
    (void)body;
    const struct store_key key = store_key1('x', span_text("row"));
    apply_attempt(apply, AUDIT_SYSTEM, "system.tried", "try", "thing", "t-1", "because");
    store_put(apply->store, &key, span_text("left behind"));
    apply_record(apply, &(struct audit_record){.category = AUDIT_SYSTEM, .event_name = "system.done"});
    store_meta(apply->store)->member_count = 7;
    assert_false(apply_refused(apply));
    apply_refuse_with(apply, RESULT_PLAN_PHASE, "phase", "paused", "can't: %s", "it is \xc3\xa9");
    assert_true(apply_refused(apply));
}

/* Goal: a refusal leaves nothing that its handler wrote: no row, no record, no count; only the record of
 * the attempt.
 * Method: a handler that writes all of these and refuses then, between two good commands of one group. */
static void refusal_undoes_what_its_handler_wrote(void **state)
{
    struct fixture *fixture = *state;
    add(fixture, 1);
    fixture_append_command(fixture->log, "member.sync", "alice", "r1",
                           "{\"node_id\": 1, \"role\": \"voter\"}");
    add(fixture, 2);
    handler = write_then_refuse;
    fixture_apply(fixture, 3);
    handler = NULL;
    const struct result refused = fixture->results[1];
    assert_result(refused, RESULT_PLAN_PHASE);
    assert_string_equal(fixture_json_text(refused.body),
                        "{\"detail\": \"can't: it is \xc3\xa9\", \"phase\": \"paused\"}");
    assert_int_equal(refused.audit_seq, 2);
    assert_int_equal(fixture_describe(fixture).audit_seq, 3);
    assert_int_equal(fixture_count(fixture, "system.tried", AUDIT_DENIED), 1);
    assert_int_equal(fixture_count(fixture, "system.done", AUDIT_SUCCESS), 0);
    const struct store_meta *meta = store_meta(fsm_store(fixture->fsm));
    assert_int_equal(meta->member_count, 2);
    struct bytes row;
    const struct store_key key = store_key1('x', span_text("row"));
    bytes_init(&row, 0);
    assert_false(store_get(fsm_store(fixture->fsm), &key, &row));
    bytes_done(&row);
}

static void refuse_at_length(struct apply *apply, const void *body)
{
    (void)body;
    struct bytes text;
    bytes_init(&text, 0);
    bytes_append_text(&text, "x");
    for (int i = 0; i < 1000; i++)
        bytes_append_text(&text, "\xc3\xa9");
    apply_refuse(apply, RESULT_INVALID, "%.*s", (int)text.length, (const char *)text.data);
    bytes_done(&text);
}

/* Goal: a long sentence is cut between characters, so that it stays text.
 * Method: a refusal of 2,001 bytes in two-byte characters. */
static void long_refusal_is_cut_between_characters(void **state)
{
    struct fixture *fixture = *state;
    const struct result refused = run_handler(fixture, refuse_at_length, "");
    const char *detail = fixture_text(fixture, refused, "detail");
    assert_true(strlen(detail) > 1000 && strlen(detail) < 1024);
    assert_true(utf8_valid(detail, strlen(detail)));
}

/* Goal: every result code has a name and a status of its own row.
 * Method: walk the table; names are unique. */
static void result_codes_have_names_and_statuses(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < RESULT_COUNT; i++) {
        const uint32_t status = result_status(i);
        assert_true(status == 200 || status == 201 || status == 404 || status == 409 || status == 422 ||
                    status == 503);
        assert_int_equal(result_succeeded(i), status < 300);
        for (uint32_t k = 0; k < i; k++)
            assert_string_not_equal(result_name(i), result_name(k));
    }
    assert_string_equal(result_name(RESULT_COUNT), "unknown");
    assert_int_equal(result_status(RESULT_COUNT), 500);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_set_up, fixture_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(new_state_is_empty),
        TEST(only_the_next_entry_is_applied),
        TEST(barriers_and_configurations_are_part_of_the_digest),
        TEST(digest_is_the_documented_chain),
        TEST(time_never_runs_backwards),
        TEST(entry_not_understood_stops_the_whole_group),
        TEST(refused_write_may_come_again),
        TEST(restart_finds_a_prefix_and_the_log_brings_the_rest),
        TEST(checkpoint_describes_and_continues_alike),
        TEST(state_belongs_to_one_cluster),
        TEST(digests_are_kept_every_1024_entries),
        TEST(view_stays_at_its_moment),
        TEST(pages_join_and_damaged_cursors_are_refused),
        TEST(answer_too_long_is_replaced),
        TEST(refusal_undoes_what_its_handler_wrote),
        TEST(long_refusal_is_cut_between_characters),
        cmocka_unit_test(result_codes_have_names_and_statuses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
