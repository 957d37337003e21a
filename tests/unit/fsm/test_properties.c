/* What holds for every sequence of commands: the same log gives the same state, however it is cut and
 * wherever it restarts. */
#include "support/fsm_random.h"

#include "base/hash.h"
#include "fsm/fsm_internal.h"

#define SEEDS   4u
#define ENTRIES 700u

struct kept { /* of one result */
    uint32_t code;
    uint64_t index, audit_seq;
    bool repeated;
    uint8_t body[DIGEST_BYTES];
};

static void keep(struct kept *kept, const struct result *result)
{
    *kept = (struct kept){.code = result->code,
                          .index = result->index,
                          .audit_seq = result->audit_seq,
                          .repeated = result->repeated};
    hash_once(result->body.data, result->body.bytes, kept->body);
}

static bool kept_equal(const struct kept *a, const struct kept *b)
{
    return a->code == b->code && a->index == b->index && a->audit_seq == b->audit_seq &&
           a->repeated == b->repeated && memcmp(a->body, b->body, DIGEST_BYTES) == 0;
}

static struct fixture *fixture_over(struct fixture_log *log)
{
    struct fixture *fixture = fixture_new();
    fixture_log_free(fixture->log);
    fixture->log = log;
    return fixture;
}

static void fixture_free_keep_log(struct fixture *fixture)
{
    fixture->log = fixture_log_new();
    fixture_free(fixture);
}

static struct fixture_log *random_log(uint64_t seed, uint32_t entries, struct fsm_random *random)
{
    struct fixture_log *log = fixture_log_new();
    random->state = seed;
    for (uint32_t i = 0; i < entries; i++)
        random_entry(random, log);
    return log;
}

/* Whether the next group's write meets a stall: the linker puts this before it (test_properties.libs). */
static bool stall_next;
enum error_code __real_kv_overlay_write(struct kv_overlay *overlay, struct kv_write_options options,
                                        struct error *error);
enum error_code __wrap_kv_overlay_write(struct kv_overlay *overlay, struct kv_write_options options,
                                        struct error *error);
enum error_code __wrap_kv_overlay_write(struct kv_overlay *overlay, struct kv_write_options options,
                                        struct error *error)
{
    const bool stall = stall_next;
    stall_next = false;
    return stall ? error_set(error, ERROR_BUSY, "a stall") : __real_kv_overlay_write(overlay, options, error);
}

/* The same group, once in vain: it comes again. */
static void apply_in_vain(struct fixture *fixture, uint32_t count)
{
    struct error error = {0};
    const uint64_t applied = fixture_describe(fixture).index;
    stall_next = true;
    assert_int_equal(
        fsm_apply(fixture->fsm, fixture->log->entries + applied, count, fixture->results, &error),
        ERROR_BUSY);
    assert_int_equal(fixture_describe(fixture).index, applied);
}

static void apply_and_keep(struct fixture *fixture, uint32_t count, struct kept *kept)
{
    const uint64_t applied = fixture_describe(fixture).index;
    fixture_apply(fixture, count);
    for (uint32_t i = 0; i < count; i++)
        keep(&kept[applied + i], &fixture->results[i]);
}

static void assert_results_equal(const struct kept *a, const struct kept *b, uint32_t count, uint64_t seed)
{
    for (uint32_t i = 0; i < count; i++)
        if (!kept_equal(&a[i], &b[i]))
            fail_msg("seed %llu: entry %u gave %s, then %s", (unsigned long long)seed, i + 1,
                     result_name(a[i].code), result_name(b[i].code));
}

struct dump {
    struct hash *hash;
    uint64_t rows;
};

static bool dump_visit(void *context, struct span key, struct span value)
{
    struct dump *dump = context;
    hash_update(dump->hash, key.data, key.bytes);
    hash_update(dump->hash, value.data, value.bytes);
    dump->rows++;
    return true;
}

/* Every key and value of the store, meta included: more than the digest claims. */
static uint64_t store_dump(struct fixture *fixture, uint8_t out[DIGEST_BYTES])
{
    struct dump dump = {.hash = hash_new()};
    const struct store_key first = {.length = 0}, limit = store_key1('\x7f', span_of(NULL, 0));
    store_scan_range(fsm_store(fixture->fsm), &first, &limit, false, dump_visit, &dump);
    hash_finish(dump.hash, out);
    hash_free(dump.hash);
    return dump.rows;
}

/* Goal: one entry at a time, all in one go, in random groups, and in random groups with restarts and
 * flushes give the same results, the same digest and the same store, byte for byte.
 * Method: random logs of all command types from several seeds, applied in the four ways. */
static void grouping_and_restarts_change_nothing(void **state)
{
    (void)state;
    struct kept *first = memory_zero(ENTRIES, sizeof(*first)), *other = memory_zero(ENTRIES, sizeof(*other));
    uint32_t stalls = 0, restarts = 0, accepted = 0, refused = 0, repeated = 0, made_types = 0;
    struct fsm_random random = {0};
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct fixture_log *log = random_log(seed, ENTRIES, &random);
        uint8_t expected_dump[DIGEST_BYTES], dump[DIGEST_BYTES];
        struct fixture *single = fixture_over(log);
        for (uint32_t i = 0; i < ENTRIES; i++)
            apply_and_keep(single, 1, first);
        const struct fsm_state expected = fixture_describe(single);
        assert_true(store_dump(single, expected_dump) > 100);
        fixture_free_keep_log(single);

        for (int way = 0; way < 3; way++) {
            struct fixture *fixture = fixture_over(log);
            for (uint64_t done = 0; done < ENTRIES; done = fixture_describe(fixture).index) {
                const uint32_t left = (uint32_t)(ENTRIES - done),
                               wanted = way == 0 ? left : random_below(&random, 90) + 1;
                const uint32_t count = wanted < left ? wanted : left;
                if (way > 0 && random_below(&random, 3) == 0) {
                    apply_in_vain(fixture, count);
                    stalls++;
                }
                apply_and_keep(fixture, count, other);
                if (way == 2 && random_below(&random, 3) == 0) {
                    fixture_restart(fixture, random_below(&random, 2) == 0);
                    restarts++;
                }
            }
            assert_results_equal(first, other, ENTRIES, seed);
            assert_memory_equal(fixture_describe(fixture).digest, expected.digest, DIGEST_BYTES);
            assert_int_equal(fixture_describe(fixture).audit_seq, expected.audit_seq);
            (void)store_dump(fixture, dump);
            assert_memory_equal(dump, expected_dump, DIGEST_BYTES);
            fixture_free_keep_log(fixture);
        }
        for (uint32_t i = 0; i < ENTRIES; i++) {
            accepted += result_succeeded(first[i].code) && !first[i].repeated;
            refused += !result_succeeded(first[i].code);
            repeated += first[i].repeated;
        }
        fixture_log_free(log);
    }
    for (size_t i = 0; i < sizeof(random.made) / sizeof(random.made[0]); i++)
        made_types += random.made[i] > 0;
    assert_int_equal(made_types, 25); /* every type took part, and all three fates */
    print_message("%u stalls, %u restarts, %u accepted, %u refused, %u repeated\n", stalls, restarts,
                  accepted, refused, repeated);
    assert_true(stalls > 20 && restarts > 10 && accepted > 600 && refused > 300 && repeated > 50);
    free(first);
    free(other);
}

/* Goal: a request that is sent again changes nothing but the index: no record, no state.
 * Method: a random log; then each remembered command once more: all are repeats with the first answer. */
static void repeated_requests_change_nothing(void **state)
{
    (void)state;
    struct fsm_random random = {0};
    struct kept *first = memory_zero(ENTRIES, sizeof(*first));
    struct fixture_log *log = random_log(77, ENTRIES, &random);
    struct fixture *fixture = fixture_over(log);
    for (uint32_t done = 0; done < ENTRIES; done += 100)
        apply_and_keep(fixture, 100, first);
    const uint64_t records = fixture_describe(fixture).audit_seq;
    struct arena arena;
    struct error error = {0};
    uint32_t repeats = 0;
    arena_init(&arena, 64u << 20);
    const uint64_t now_ms = fixture_describe(fixture).time_ms;
    for (uint32_t i = 0; i < ENTRIES; i++) {
        const struct entry *entry = &log->entries[i];
        struct command_header header;
        if (entry->type != ENTRY_COMMAND || first[i].repeated || first[i].code == RESULT_REQUEST_REUSED)
            continue;
        assert_int_equal(command_inspect(entry->data, &arena, &header, &error), ERROR_OK);
        if (header.request_id[0] == '\0' || header.wall_ms + 20ull * 3600 * 1000 < now_ms)
            continue;
        struct kept again;
        fixture_append(log, ENTRY_COMMAND, entry->data.data, entry->data.bytes);
        fixture_apply(fixture, 1);
        keep(&again, &fixture->results[0]);
        assert_true(again.repeated);
        again.repeated = false;
        assert_true(kept_equal(&again, &first[i]));
        repeats++;
        arena_clear(&arena);
    }
    assert_true(repeats > 20);
    assert_int_equal(fixture_describe(fixture).audit_seq, records);
    arena_done(&arena);
    fixture_free_keep_log(fixture);
    fixture_log_free(log);
    free(first);
}

/* Goal: whatever was commanded, the trail is one unbroken chain without a gap.
 * Method: verify it after each of several random logs. */
static void every_trail_verifies(void **state)
{
    (void)state;
    for (uint64_t seed = 100; seed < 103; seed++) {
        struct fsm_random random = {0};
        struct fixture_log *log = random_log(seed, ENTRIES, &random);
        struct fixture *fixture = fixture_over(log);
        fixture_apply(fixture, ENTRIES);
        const struct fixture_records *records = fixture_records(fixture, NULL);
        struct audit_chain chain = {0};
        struct error error = {0};
        for (uint32_t i = 0; i < records->count; i++)
            if (audit_chain_next(&chain, &records->rows[i], &error) != ERROR_OK)
                fail_msg("seed %llu: %s", (unsigned long long)seed, error.message);
        assert_true(chain.records > 200);
        assert_int_equal(chain.seq, fixture_describe(fixture).audit_seq);
        fixture_free_keep_log(fixture);
        fixture_log_free(log);
    }
}

/* Goal: logs that differ in one entry have different digests from there on, though their states be equal.
 * Method: the same log with one command's time moved by a millisecond. */
static void any_difference_shows_in_the_digest(void **state)
{
    (void)state;
    struct fsm_random random = {0};
    struct fixture_log *log = random_log(5, 60, &random);
    struct fixture *a = fixture_over(log);
    fixture_apply(a, 60);
    uint8_t digest[DIGEST_BYTES];
    memcpy(digest, fixture_describe(a).digest, DIGEST_BYTES);
    fixture_free_keep_log(a);
    struct entry *entry = &log->entries[30];
    while (entry->type != ENTRY_COMMAND)
        entry++;
    uint8_t *data = (uint8_t *)(uintptr_t)entry->data.data;
    data[15] ^= 1; /* the last byte of wall_ms */
    struct fixture *b = fixture_over(log);
    fixture_apply(b, 60);
    assert_memory_not_equal(fixture_describe(b).digest, digest, DIGEST_BYTES);
    fixture_free_keep_log(b);
    fixture_log_free(log);
}

/* Goal: the state machine is the same on every compiler, machine and day. A change of this digest is a
 * change of behaviour: nodes of the old and the new build diverge, so once nodes run in the field it
 * needs a new level; before, write the new digest down, in the commit that changes the behaviour.
 * Method: one fixed log, its digest as it was. */
static void digest_of_a_fixed_log_never_changes(void **state)
{
    (void)state;
    static const char *const golden = "2120e77d0e5754a90595762c5ebd9bc6cd27e654e0d93ec1a3ccbfe657ec8bc0";
    struct fsm_random random = {0};
    struct fixture_log *log = random_log(2026, 400, &random);
    struct fixture *fixture = fixture_over(log);
    fixture_apply(fixture, 400);
    char text[2 * DIGEST_BYTES + 1];
    hex_encode(fixture_describe(fixture).digest, DIGEST_BYTES, text);
    assert_string_equal(text, golden);
    fixture_free_keep_log(fixture);
    fixture_log_free(log);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(grouping_and_restarts_change_nothing),
        cmocka_unit_test(repeated_requests_change_nothing),
        cmocka_unit_test(every_trail_verifies),
        cmocka_unit_test(any_difference_shows_in_the_digest),
        cmocka_unit_test(digest_of_a_fixed_log_never_changes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
