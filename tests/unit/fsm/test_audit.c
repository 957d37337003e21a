/* The trail: its chain, its filters, its queries. */
#include "support/fsm_fixture.h"

#include "fsm/audit_store.h"
#include "fsm/fsm_internal.h"

/* A trail of many kinds: flags, members, leaders, refusals; `rounds` of them, by three people. */
static void populate(struct fixture *fixture, int rounds)
{
    static const char *const people[] = {"alice@example.com", "bob@example.com", "anonymous"};
    char json[200];
    fixture_run_as(fixture, "flag.define", people[0], "",
                   "{\"key\": \"speed\", \"type\": \"integer\", \"default\": 1, \"safe\": 0, "
                   "\"description\": \"how fast\"}");
    for (int i = 0; i < rounds; i++) {
        const char *who = people[i % 3];
        fixture->log->wall_ms += 1000;
        snprintf(json, sizeof(json), "{\"key\": \"speed\", \"value\": %d, \"reason\": \"round %d\"}", i, i);
        fixture_run_as(fixture, "flag.set", who, "", json);
        snprintf(json, sizeof(json), "{\"node_id\": %d, \"name\": \"n%d\", \"address\": \"h:%d\"}", i % 5 + 1,
                 i % 5 + 1, i);
        fixture_run_as(fixture, "member.add", "system", "", json);
        fixture_run_as(fixture, "failover.request", who, "",
                       "{\"reason\": \"try\", \"target_node\": \"nobody\"}");
    }
}

static struct audit_chain chain_of(const struct fixture_records *records, enum error_code *code,
                                   struct error *error)
{
    struct audit_chain chain = {0};
    *code = ERROR_OK;
    for (uint32_t i = 0; i < records->count && *code == ERROR_OK; i++)
        *code = audit_chain_next(&chain, &records->rows[i], error);
    return chain;
}

/* Goal: every generated chain verifies from its first record, and says how much it looked at.
 * Method: a trail of 60 rounds. */
static void generated_chain_verifies(void **state)
{
    struct fixture *fixture = *state;
    struct error error = {0};
    enum error_code code;
    populate(fixture, 60);
    const struct fixture_records *records = fixture_records(fixture, NULL);
    const struct audit_chain chain = chain_of(records, &code, &error);
    assert_int_equal(code, ERROR_OK);
    assert_true(records->count > 100);
    assert_int_equal(chain.records, records->count);
    assert_int_equal(chain.seq, fixture_describe(fixture).audit_seq);
    assert_true(chain.anchored);
    for (uint32_t i = 0; i < records->count; i++)
        assert_int_equal(records->rows[i].seq, i + 1);
}

/* Goal: a chain may begin in the middle; then it is not anchored, and goes on as strictly. An anchor
 * makes it whole.
 * Method: begin at record 10; begin with the predecessor's hash known, right and wrong. */
static void chain_from_the_middle_needs_an_anchor(void **state)
{
    struct fixture *fixture = *state;
    struct error error = {0};
    populate(fixture, 10);
    const struct fixture_records *records = fixture_records(fixture, NULL);
    struct audit_chain chain = {0};
    assert_int_equal(audit_chain_next(&chain, &records->rows[9], &error), ERROR_OK);
    assert_false(chain.anchored);
    assert_int_equal(audit_chain_next(&chain, &records->rows[10], &error), ERROR_OK);
    assert_int_equal(chain.records, 2);

    struct audit_chain anchored = {.seq = 9, .anchored = true};
    memcpy(anchored.hash, records->rows[8].hash.data, DIGEST_BYTES);
    assert_int_equal(audit_chain_next(&anchored, &records->rows[9], &error), ERROR_OK);
    struct audit_chain wrong = {.seq = 9, .anchored = true};
    assert_int_equal(audit_chain_next(&wrong, &records->rows[9], &error), ERROR_CORRUPT);
}

/* Goal: what breaks a chain is named: the record, and whether it is a gap, a double, a link or a content.
 * Method: leave one out, repeat one, swap a link, change a reason, a forged first record. */
static void broken_chain_names_the_record_and_the_reason(void **state)
{
    struct fixture *fixture = *state;
    struct error error = {0};
    enum error_code code;
    populate(fixture, 4);
    struct fixture_records *records = fixture_records(fixture, NULL);
    const uint32_t count = records->count;
    assert_true(count >= 8);

    const struct audit_record fifth = records->rows[4];
    memmove(&records->rows[4], &records->rows[5], (count - 5) * sizeof(fifth));
    records->count--;
    chain_of(records, &code, &error);
    assert_int_equal(code, ERROR_CORRUPT);
    assert_string_equal(error.message, "audit record 6 follows record 4: records are missing");
    memmove(&records->rows[5], &records->rows[4], (count - 5) * sizeof(fifth));
    records->rows[4] = fifth;
    records->count = count;

    records->rows[5] = fifth;
    chain_of(records, &code, &error);
    assert_int_equal(code, ERROR_CORRUPT);
    assert_non_null(strstr(error.message, "audit record 5 follows record 5: it is there twice"));

    records->rows[4].reason = "another reason";
    chain_of(records, &code, &error);
    assert_int_equal(code, ERROR_CORRUPT);
    assert_non_null(strstr(error.message, "audit record 5 was changed"));

    /* changed and hashed anew: the next one doesn't link to it */
    uint8_t hash[DIGEST_BYTES];
    records->rows[5] = fixture_records(fixture, NULL)->rows[5];
    audit_hash(&records->rows[4], hash);
    records->rows[4].hash = span_of(hash, DIGEST_BYTES);
    chain_of(records, &code, &error);
    assert_int_equal(code, ERROR_CORRUPT);
    assert_non_null(strstr(error.message, "audit record 6 is not linked to record 5"));

    struct audit_record first = records->rows[0];
    struct audit_chain chain = {0};
    first.prev_hash = fifth.hash;
    audit_hash(&first, hash);
    first.hash = span_of(hash, DIGEST_BYTES);
    assert_int_equal(audit_chain_next(&chain, &first, &error), ERROR_CORRUPT);
    assert_non_null(strstr(error.message, "audit record 1 has a predecessor"));
}

/* Goal: every single flipped bit in a stored record is found.
 * Method: each bit of the packed form of several records: either it no longer decodes, or the chain
 * refuses it. */
static void every_flipped_bit_is_found(void **state)
{
    struct fixture *fixture = *state;
    populate(fixture, 3);
    const struct fixture_records *records = fixture_records(fixture, NULL);
    struct arena arena;
    struct bytes packed;
    uint32_t looked_at = 0;
    arena_init(&arena, 16u << 20);
    bytes_init(&packed, 0);
    for (uint32_t i = 0; i < records->count; i++) {
        struct audit_chain before = {.seq = i, .anchored = true};
        if (i > 0)
            memcpy(before.hash, records->rows[i - 1].hash.data, DIGEST_BYTES);
        bytes_clear(&packed);
        schema_pack(&audit_schema, &records->rows[i], &packed);
        for (size_t bit = 0; bit < packed.length * 8; bit++) {
            struct audit_record record;
            struct audit_chain chain = before;
            struct error error = {0};
            packed.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
            const bool decodes =
                schema_unpack(&audit_schema, bytes_span(&packed), &arena, &record, &error) == ERROR_OK;
            if (decodes && audit_chain_next(&chain, &record, &error) == ERROR_OK)
                fail_msg("record %u: bit %zu of byte %zu is missed", i + 1, bit % 8, bit / 8);
            packed.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
            arena_clear(&arena);
            looked_at++;
        }
    }
    assert_true(looked_at > 10000);
    bytes_done(&packed);
    arena_done(&arena);
}

/* Goal: the mirror's line (a record as JSON) encodes back to the same bytes.
 * Method: each record of a trail to JSON text, parsed, unpacked, packed: equal, and its hash holds. */
static void json_form_encodes_back_to_the_same_bytes(void **state)
{
    struct fixture *fixture = *state;
    populate(fixture, 6);
    const struct fixture_records *records = fixture_records(fixture, NULL);
    struct audit_chain chain = {0};
    assert_true(records->count > 10);
    for (uint32_t i = 0; i < records->count; i++) {
        struct error error = {0};
        struct audit_record again;
        struct bytes first, second;
        bytes_init(&first, 0);
        bytes_init(&second, 0);
        json_t *json = schema_to_json(&audit_schema, &records->rows[i]);
        char *line = json_dumps(json, JSON_COMPACT);
        json_t *parsed = NULL;
        assert_int_equal(json_parse(span_text(line), &parsed, &error), ERROR_OK);
        if (schema_from_json(&audit_schema, parsed, &fixture->arena, &again, &error) != ERROR_OK)
            fail_msg("%s: %s", line, error.message);
        schema_pack(&audit_schema, &records->rows[i], &first);
        schema_pack(&audit_schema, &again, &second);
        assert_true(span_equal(bytes_span(&first), bytes_span(&second)));
        assert_int_equal(audit_chain_next(&chain, &again, &error), ERROR_OK);
        bytes_done(&first);
        bytes_done(&second);
        free(line);
        json_decref(json);
        json_decref(parsed);
    }
}

static uint32_t matching(const struct fixture_records *all, const struct audit_filter *filter)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < all->count; i++)
        count += audit_filter_match(filter, &all->rows[i]);
    return count;
}

/* Goal: a query over any index gives what a walk over the whole trail gives, in order.
 * Method: filters by each index and by combinations, compared with the pure filter over all records. */
static void queries_agree_with_the_filter_over_the_whole_trail(void **state)
{
    struct fixture *fixture = *state;
    populate(fixture, 30);
    const struct fixture_records *all = fixture_records(fixture, NULL);
    const struct audit_filter filters[] = {
        {.category = "flags"},
        {.category = "ha", .outcome = "denied"},
        {.event_type = "flags.set"},
        {.event_type = "ha.member.added", .resource = "n2"},
        {.actor = "bob@example.com"},
        {.actor = "bob@example.com", .category = "flags"},
        {.resource = "speed"},
        {.resource = "spee"},
        {.outcome = "denied"},
        {.source = "orchestrator"},
        {.source = "cli"},
        {.start_ms = FIXTURE_START_MS + 5000, .end_ms = FIXTURE_START_MS + 9000},
        {.start_ms = 1},
        {.end_ms = 1},
        {.end_ms = FIXTURE_START_MS},
        {.start_ms = FIXTURE_START_MS + 30001},
        {.start_ms = FIXTURE_START_MS + 30000},
        {.end_ms = FIXTURE_START_MS + 29999},
        {.event_type = "flags.set", .start_ms = FIXTURE_START_MS + 5000},
    };
    uint32_t found = 0;
    for (size_t i = 0; i < sizeof(filters) / sizeof(filters[0]); i++) {
        const struct fixture_records *some = fixture_records(fixture, &filters[i]);
        assert_int_equal(some->count, matching(all, &filters[i]));
        for (uint32_t k = 0; k < some->count; k++) {
            assert_true(audit_filter_match(&filters[i], &some->rows[k]));
            assert_true(k == 0 || some->rows[k].seq > some->rows[k - 1].seq);
        }
        found += some->count;
    }
    assert_true(found > 100);
}

struct few {
    uint64_t seqs[4];
    uint32_t count, wanted;
};

static bool few_visit(void *context, const struct audit_record *record)
{
    struct few *few = context;
    few->seqs[few->count++] = record->seq;
    return few->count < few->wanted;
}

/* Goal: newest first is the default direction of a query, it begins where asked, and stops when told.
 * Method: both directions, with and without a start, over the trail and over an index. */
static void queries_begin_and_stop_where_asked(void **state)
{
    struct fixture *fixture = *state;
    struct error error = {0};
    populate(fixture, 10);
    struct view *view = view_open(fixture->fsm);
    const uint64_t last = view_audit_last(view);
    const struct audit_filter none = {0}, by_event = {.event_type = "flags.set"};
    struct few few = {.wanted = 3};
    assert_int_equal(view_audit(view, &none, false, 0, few_visit, &few, &error), ERROR_OK);
    assert_true(few.count == 3 && few.seqs[0] == last && few.seqs[2] == last - 2);
    few = (struct few){.wanted = 2};
    assert_int_equal(view_audit(view, &none, true, 5, few_visit, &few, &error), ERROR_OK);
    assert_true(few.seqs[0] == 5 && few.seqs[1] == 6);
    few = (struct few){.wanted = 2};
    assert_int_equal(view_audit(view, &none, false, 5, few_visit, &few, &error), ERROR_OK);
    assert_true(few.seqs[0] == 5 && few.seqs[1] == 4);
    few = (struct few){.wanted = 1};
    assert_int_equal(view_audit(view, &by_event, true, 4, few_visit, &few, &error), ERROR_OK);
    const uint64_t second_set = few.seqs[0];
    assert_true(second_set >= 4);
    few = (struct few){.wanted = 1};
    assert_int_equal(view_audit(view, &by_event, false, second_set, few_visit, &few, &error), ERROR_OK);
    assert_int_equal(few.seqs[0], second_set);
    few = (struct few){.wanted = 1};
    assert_int_equal(view_audit(view, &none, true, last + 1, few_visit, &few, &error), ERROR_OK);
    assert_int_equal(few.count, 0);
    few = (struct few){.wanted = 1};
    assert_int_equal(view_audit(view, &none, false, UINT64_MAX, few_visit, &few, &error), ERROR_OK);
    assert_int_equal(few.seqs[0], last);
    view_close(view);
}

/* Goal: a filter names what it doesn't know, with what there is.
 * Method: an unknown category, outcome and source, and a period that ends before it begins. */
static void unknown_filter_values_are_named(void **state)
{
    (void)state;
    struct error error = {0};
    assert_int_equal(audit_filter_check(&(struct audit_filter){.category = "weather"}, &error),
                     ERROR_INVALID);
    assert_string_equal(
        error.message,
        "category: \"weather\" is not one of rollout, ha, relay, cert, auth, system, rollback, "
        "flags");
    assert_int_equal(audit_filter_check(&(struct audit_filter){.outcome = "maybe"}, &error), ERROR_INVALID);
    assert_string_equal(error.message, "outcome: \"maybe\" is not one of success, failure, denied, pending");
    assert_int_equal(audit_filter_check(&(struct audit_filter){.source = "moon"}, &error), ERROR_INVALID);
    assert_int_equal(audit_filter_check(&(struct audit_filter){.start_ms = 2, .end_ms = 1}, &error),
                     ERROR_INVALID);
    assert_int_equal(
        audit_filter_check(&(struct audit_filter){.category = "ha", .start_ms = 1, .end_ms = 1}, &error),
        ERROR_OK);
}

/* Goal: both ends of a period are inside, and every set field must match.
 * Method: one record, filters around it. */
static void filter_fields_are_joined_by_and(void **state)
{
    (void)state;
    const struct audit_record record = {.timestamp = 100,
                                        .category = AUDIT_HA,
                                        .outcome = AUDIT_DENIED,
                                        .source = AUDIT_CLI,
                                        .event_name = "ha.failover.triggered",
                                        .actor = "a"};
    assert_true(audit_filter_match(&(struct audit_filter){0}, &record));
    assert_true(audit_filter_match(&(struct audit_filter){.start_ms = 100, .end_ms = 100}, &record));
    assert_false(audit_filter_match(&(struct audit_filter){.start_ms = 101}, &record));
    assert_false(audit_filter_match(&(struct audit_filter){.end_ms = 99}, &record));
    assert_true(audit_filter_match(&(struct audit_filter){.category = "ha",
                                                          .outcome = "denied",
                                                          .source = "cli",
                                                          .actor = "a",
                                                          .event_type = "ha.failover.triggered"},
                                   &record));
    assert_false(audit_filter_match(&(struct audit_filter){.category = "ha", .outcome = "success"}, &record));
    assert_false(audit_filter_match(&(struct audit_filter){.resource = "n1"}, &record));
    assert_false(audit_filter_match(&(struct audit_filter){.event_type = "ha.failover"}, &record));
}

/* Goal: a refusal leaves the record of the attempt and nothing else of the command.
 * Method: a failover to nobody: one record, denied, with code, sentence, actor and reason. */
static void refusal_leaves_only_the_record_of_the_attempt(void **state)
{
    struct fixture *fixture = *state;
    const struct result refused = fixture_run_as(fixture, "failover.request", "alice", "req-7",
                                                 "{\"reason\": \"why not\", \"target_node\": \"nobody\"}");
    assert_result(refused, RESULT_MEMBER_NOT_FOUND);
    const struct fixture_records *records = fixture_records(fixture, NULL);
    assert_int_equal(records->count, 1);
    const struct audit_record *record = &records->rows[0];
    assert_int_equal(record->seq, refused.audit_seq);
    assert_int_equal(record->outcome, AUDIT_DENIED);
    assert_string_equal(record->event_name, "ha.failover.triggered");
    assert_string_equal(record->actor, "alice");
    assert_string_equal(record->reason, "why not");
    assert_string_equal(record->request_id, "req-7");
    assert_string_equal(fixture_field(record, "refused_code"), "member_not_found");
    assert_string_equal(fixture_field(record, "refused_detail"), fixture_text(fixture, refused, "detail"));
}

/* Goal: texts past their bounds are cut at a character, empty ones count as absent, so every record can
 * be read back.
 * Method: append a record with a reason of 3,000 bytes of two-byte characters. */
static void long_texts_are_cut_at_a_character(void **state)
{
    struct fixture *fixture = *state;
    struct store *store = fsm_store(fixture->fsm);
    struct error error = {0};
    char reason[3002];
    for (size_t i = 0; i < 3000; i += 2)
        memcpy(reason + i + 1, "\xc3\xa9", 2);
    reason[0] = 'x';
    reason[3001] = '\0';
    store_begin(store);
    store_entry_begin(store);
    audit_append(
        store, &fixture->arena,
        &(struct audit_record){.event_name = "flags.set", .reason = reason, .actor = "a", .resource = ""});
    (void)store_entry_end(store);
    store_meta(store)->index = 1;
    assert_int_equal(store_commit(store, &error), ERROR_OK);
    const struct fixture_records *records = fixture_records(fixture, NULL);
    assert_int_equal(records->count, 1);
    assert_int_equal(strlen(records->rows[0].reason), 1023);
    assert_null(records->rows[0].resource);
    assert_null(records->rows[0].action);
}

/* Goal: an index row without its record is reported as damage, not passed over.
 * Method: delete a record under its index. */
static void index_without_its_record_is_damage(void **state)
{
    struct fixture *fixture = *state;
    struct error error = {0};
    populate(fixture, 2);
    const struct store_key key = store_key_u64('a', 2);
    struct kv_batch *batch = kv_batch_new();
    kv_batch_delete(batch, store_key_span(&key));
    assert_int_equal(kv_write(store_kv(fsm_store(fixture->fsm)), batch, (struct kv_write_options){0}, &error),
                     ERROR_OK);
    kv_batch_free(batch);
    struct view *view = view_open(fixture->fsm);
    struct few few = {.wanted = 4};
    assert_int_equal(
        view_audit(view, &(struct audit_filter){.event_type = "flags.set"}, true, 0, few_visit, &few, &error),
        ERROR_CORRUPT);
    assert_non_null(strstr(error.message, "audit record 2"));
    view_close(view);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_set_up, fixture_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(generated_chain_verifies),
        TEST(chain_from_the_middle_needs_an_anchor),
        TEST(broken_chain_names_the_record_and_the_reason),
        TEST(every_flipped_bit_is_found),
        TEST(json_form_encodes_back_to_the_same_bytes),
        TEST(queries_agree_with_the_filter_over_the_whole_trail),
        TEST(queries_begin_and_stop_where_asked),
        cmocka_unit_test(unknown_filter_values_are_named),
        cmocka_unit_test(filter_fields_are_joined_by_and),
        TEST(refusal_leaves_only_the_record_of_the_attempt),
        TEST(long_texts_are_cut_at_a_character),
        TEST(index_without_its_record_is_damage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
