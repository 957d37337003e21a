/* Keys, groups, undo, latched errors of the store. */
#include "support/fsm_fixture.h"

#include "fsm/store.h"

struct scene {
    char folder[64], path[80];
    struct store *store;
};

static int set_up(void **state)
{
    struct scene *scene = memory_zero(1, sizeof(*scene));
    struct error error = {0};
    snprintf(scene->folder, sizeof(scene->folder), "/tmp/autonomy-store-XXXXXX");
    assert_non_null(mkdtemp(scene->folder));
    snprintf(scene->path, sizeof(scene->path), "%s/state", scene->folder);
    if (store_open(scene->path, true, &scene->store, &error) != ERROR_OK)
        fail_msg("%s", error.message);
    *state = scene;
    return 0;
}

static int tear_down(void **state)
{
    struct scene *scene = *state;
    struct error error = {0};
    store_close(scene->store);
    assert_int_equal(kv_destroy(scene->path, &error), ERROR_OK);
    rmdir(scene->folder);
    free(scene);
    return 0;
}

/* What kv_overlay_write() answers next, instead of writing: the linker puts this in its place
 * (test_store.libs). */
static enum error_code write_fails;
enum error_code __real_kv_overlay_write(struct kv_overlay *overlay, struct kv_write_options options,
                                        struct error *error);
enum error_code __wrap_kv_overlay_write(struct kv_overlay *overlay, struct kv_write_options options,
                                        struct error *error);
enum error_code __wrap_kv_overlay_write(struct kv_overlay *overlay, struct kv_write_options options,
                                        struct error *error)
{
    assert_true(options.no_slowdown); /* the loop never waits for a compaction */
    assert_false(options.sync);
    if (write_fails != ERROR_OK) {
        const enum error_code code = write_fails;
        write_fails = ERROR_OK;
        return error_set(error, code, "as the test wants it");
    }
    return __real_kv_overlay_write(overlay, options, error);
}

static struct store_key key_of(const char *text)
{
    return store_key1('p', span_text(text));
}

static void put(struct store *store, const char *name, const char *value)
{
    const struct store_key key = key_of(name);
    store_put(store, &key, span_text(value));
}

/* The value, or "" when there is none. */
static const char *get(struct store *store, const char *name)
{
    static char text[64];
    const struct store_key key = key_of(name);
    struct bytes value;
    bytes_init(&value, 0);
    const bool found = store_get(store, &key, &value);
    snprintf(text, sizeof(text), "%.*s", found ? (int)value.length : 0, (const char *)value.data);
    bytes_done(&value);
    return text;
}

static void group_begin(struct store *store)
{
    store_begin(store);
    store_meta(store)->index++;
    store_entry_begin(store);
}

static enum error_code group_end(struct store *store, struct error *error)
{
    (void)store_entry_end(store);
    return store_commit(store, error);
}

static bool count_visit(void *context, struct span key, struct span value)
{
    uint32_t *count = context;
    (void)key, (void)value;
    (*count)++;
    return true;
}

static uint32_t count_all(struct store *store)
{
    uint32_t count = 0;
    const struct store_key prefix = store_key1('p', span_of(NULL, 0));
    store_scan(store, &prefix, false, count_visit, &count);
    return count;
}

/* Goal: keys of numbers sort as the numbers count, and a prefix's end lies behind all of its keys.
 * Method: compare the bytes around powers of two; a prefix that ends with 0xff. */
static void keys_sort_as_they_count(void **state)
{
    (void)state;
    static const uint64_t numbers[] = {0, 1, 255, 256, 65535, 65536, UINT32_MAX, UINT64_MAX};
    for (size_t i = 1; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        const struct store_key a = store_key_u64('a', numbers[i - 1]);
        const struct store_key b = store_key_u64('a', numbers[i]);
        assert_int_equal(a.length, 9);
        assert_true(memcmp(a.data, b.data, 9) < 0);
    }
    struct store_key key = store_key1('a', span_text("x"));
    store_key_append_u8(&key, 0xff);
    store_key_append_u8(&key, 0xff);
    const struct store_key after = store_key_after(&key);
    assert_int_equal(after.length, 2);
    assert_memory_equal(after.data, "ay", 2);
}

/* Goal: entries of a group read what earlier ones wrote, before anything is in the store itself.
 * Method: put and delete in one entry, get and scan in the next. */
static void entries_read_earlier_entries_of_their_group(void **state)
{
    struct scene *scene = *state;
    struct error error = {0};
    group_begin(scene->store);
    put(scene->store, "a", "1");
    put(scene->store, "b", "2");
    assert_int_equal(group_end(scene->store, &error), ERROR_OK);

    group_begin(scene->store);
    const struct store_key a = key_of("a");
    store_delete(scene->store, &a);
    put(scene->store, "c", "3");
    put(scene->store, "d", "4");
    (void)store_entry_end(scene->store);
    store_entry_begin(scene->store);
    assert_string_equal(get(scene->store, "a"), "");
    assert_string_equal(get(scene->store, "b"), "2");
    assert_string_equal(get(scene->store, "d"), "4");
    assert_int_equal(count_all(scene->store), 3);
    assert_int_equal(group_end(scene->store, &error), ERROR_OK);
    assert_int_equal(count_all(scene->store), 3);
}

struct order {
    char text[16];
    size_t length;
    size_t stop;
};

static bool order_visit(void *context, struct span key, struct span value)
{
    struct order *order = context;
    (void)value;
    order->text[order->length++] = ((const char *)key.data)[1];
    return order->length < order->stop;
}

/* Goal: a scan stays within its prefix, runs both ways, and stops when told.
 * Method: neighbours of the prefix on both sides, rows of the store and of the group mixed. */
static void scans_keep_their_bounds_and_order(void **state)
{
    struct scene *scene = *state;
    struct error error = {0};
    const struct store_key before = store_key1('o', span_text("z")), behind = store_key1('q', span_text("a"));
    group_begin(scene->store);
    store_put(scene->store, &before, span_text("-"));
    store_put(scene->store, &behind, span_text("-"));
    put(scene->store, "b", "-");
    put(scene->store, "d", "-");
    assert_int_equal(group_end(scene->store, &error), ERROR_OK);
    group_begin(scene->store);
    put(scene->store, "a", "-");
    put(scene->store, "c", "-");

    const struct store_key prefix = store_key1('p', span_of(NULL, 0));
    struct order up = {.stop = 16}, down = {.stop = 16}, two = {.stop = 2}, range = {.stop = 16};
    store_scan(scene->store, &prefix, false, order_visit, &up);
    store_scan(scene->store, &prefix, true, order_visit, &down);
    store_scan(scene->store, &prefix, false, order_visit, &two);
    const struct store_key first = key_of("b"), limit = key_of("d");
    store_scan_range(scene->store, &first, &limit, true, order_visit, &range);
    assert_string_equal(up.text, "abcd");
    assert_string_equal(down.text, "dcba");
    assert_string_equal(two.text, "ab");
    assert_string_equal(range.text, "cb");
    assert_int_equal(group_end(scene->store, &error), ERROR_OK);
}

/* Goal: what an entry wrote can be undone back to where it was settled; the entry before it stays, and so
 * do the digest's operations.
 * Method: two entries; the second settles one write, undoes two, then writes another. */
static void undo_takes_back_one_entry_to_where_it_settled(void **state)
{
    struct scene *scene = *state;
    struct error error = {0};
    group_begin(scene->store);
    put(scene->store, "first", "1");
    assert_int_equal(store_entry_end(scene->store).bytes, 9 + 6 + 1);

    store_entry_begin(scene->store);
    put(scene->store, "settled", "2");
    store_meta(scene->store)->request_count = 5;
    store_entry_settle(scene->store);
    put(scene->store, "first", "changed");
    put(scene->store, "undone", "3");
    store_meta(scene->store)->request_count = 6;
    store_meta(scene->store)->audit_seq = 9;
    store_entry_undo(scene->store);
    assert_int_equal(store_meta(scene->store)->request_count, 5);
    assert_int_equal(store_meta(scene->store)->audit_seq, 0);
    assert_string_equal(get(scene->store, "first"), "1");
    assert_string_equal(get(scene->store, "settled"), "2");
    assert_string_equal(get(scene->store, "undone"), "");
    put(scene->store, "after", "4");
    /* settled and after: 9 bytes each with key and value; what was undone is not in the digest */
    assert_int_equal(store_entry_end(scene->store).bytes, (9 + 8 + 1) + (9 + 6 + 1));

    store_entry_begin(scene->store);
    store_entry_undo(scene->store);
    assert_int_equal(store_entry_end(scene->store).bytes, 0);
    assert_int_equal(store_commit(scene->store, &error), ERROR_OK);
    assert_string_equal(get(scene->store, "first"), "1");
    assert_string_equal(get(scene->store, "settled"), "2");
    assert_string_equal(get(scene->store, "after"), "4");
    assert_string_equal(get(scene->store, "undone"), "");
}

/* Goal: a group that is given up leaves nothing, in the store and in the meta record.
 * Method: abandon in the middle of an entry and between entries; then a group that stays. */
static void abandoned_group_leaves_nothing(void **state)
{
    struct scene *scene = *state;
    struct error error = {0};
    group_begin(scene->store);
    put(scene->store, "a", "1");
    store_abandon(scene->store);
    assert_int_equal(store_meta(scene->store)->index, 0);
    group_begin(scene->store);
    put(scene->store, "b", "1");
    (void)store_entry_end(scene->store);
    store_abandon(scene->store);
    assert_int_equal(store_meta(scene->store)->index, 0);
    assert_int_equal(count_all(scene->store), 0);
    group_begin(scene->store);
    put(scene->store, "c", "1");
    assert_int_equal(group_end(scene->store, &error), ERROR_OK);
    assert_int_equal(count_all(scene->store), 1);
    assert_int_equal(store_meta(scene->store)->index, 1);
}

/* Goal: a write that meets a stall or a full disk writes nothing, and the same group can come again.
 * Method: the write fails once with each code; then the group is written in full. */
static void failed_write_leaves_nothing_and_may_come_again(void **state)
{
    struct scene *scene = *state;
    static const enum error_code codes[] = {ERROR_BUSY, ERROR_NO_SPACE, ERROR_IO};
    for (size_t i = 0; i < 3; i++) {
        struct error error = {0};
        group_begin(scene->store);
        put(scene->store, "a", "1");
        write_fails = codes[i];
        assert_int_equal(group_end(scene->store, &error), codes[i]);
        assert_string_equal(error.message, "as the test wants it");
        assert_int_equal(store_meta(scene->store)->index, 0);
        assert_int_equal(count_all(scene->store), 0);
    }
    struct error error = {0};
    group_begin(scene->store);
    put(scene->store, "a", "1");
    assert_int_equal(group_end(scene->store, &error), ERROR_OK);
    assert_string_equal(get(scene->store, "a"), "1");
}

struct row {
    uint64_t number;
};
static const struct field row_fields[] = {
    {.name = "number", .type = FIELD_U64, .offset = offsetof(struct row, number), .max = 9},
};
static const struct schema row_schema = SCHEMA("row", struct row, row_fields);

/* Goal: a record that doesn't fit its table is found when it is read, and its group is not written.
 * Method: bytes that are no record, read as one; the first error is the one that comes out. */
static void damaged_record_stops_its_group(void **state)
{
    struct scene *scene = *state;
    struct error error = {0};
    struct arena arena;
    struct row row;
    arena_init(&arena, 1u << 20);
    group_begin(scene->store);
    put(scene->store, "bad", "not a record");
    assert_int_equal(group_end(scene->store, &error), ERROR_OK);

    group_begin(scene->store);
    const struct store_key bad = key_of("bad"), good = key_of("good");
    put(scene->store, "a", "1");
    assert_false(store_failed(scene->store));
    assert_false(store_get_record(scene->store, &bad, &row_schema, &arena, &row));
    assert_true(store_failed(scene->store));
    store_put_record(scene->store, &good, &row_schema, &(struct row){7});
    assert_true(store_get_record(scene->store, &good, &row_schema, &arena, &row));
    assert_int_equal(row.number, 7);
    store_fail(scene->store, &(struct error){.code = ERROR_IO, .message = "a later one"});
    assert_int_equal(group_end(scene->store, &error), ERROR_CORRUPT);
    assert_non_null(strstr(error.message, "row"));
    assert_string_equal(get(scene->store, "a"), "");
    assert_int_equal(store_meta(scene->store)->index, 1);
    arena_done(&arena);
}

/* Goal: every field of the meta record comes back after a restart, the longest configuration included.
 * Method: fill it in, write it, open again, compare. */
static void meta_comes_back_after_restart(void **state)
{
    struct scene *scene = *state;
    struct error error = {0};
    struct store_meta *meta = store_meta(scene->store);
    store_begin(scene->store);
    snprintf(meta->cluster_id, sizeof(meta->cluster_id), "0123456789abcdef0123456789abcdef");
    meta->generation = 3;
    meta->index = 12345678901ull;
    meta->term = 7;
    meta->time_ms = FIXTURE_START_MS;
    memset(meta->digest, 0xd1, DIGEST_BYTES);
    meta->audit_seq = 99;
    memset(meta->audit_hash, 0xa7, DIGEST_BYTES);
    meta->configuration_index = 5;
    memset(meta->configuration, 0xc0, sizeof(meta->configuration));
    meta->configuration_bytes = sizeof(meta->configuration);
    meta->request_count = 11;
    meta->member_count = 3;
    meta->active_switch_count = 2;
    const struct store_meta written = *meta;
    assert_int_equal(store_commit(scene->store, &error), ERROR_OK);
    assert_int_equal(kv_flush(store_kv(scene->store), &error), ERROR_OK);
    store_close(scene->store);
    scene->store = NULL;
    assert_int_equal(store_open(scene->path, false, &scene->store, &error), ERROR_OK);
    assert_memory_equal(store_meta(scene->store), &written, sizeof(written));
}

/* Goal: a state that a newer build wrote is refused with a sentence, and a missing one is not made.
 * Method: raise schema, then level, in the meta record; open a folder that isn't there. */
static void newer_or_missing_state_is_refused(void **state)
{
    struct scene *scene = *state;
    struct error error = {0};
    struct store *store = NULL;
    assert_int_equal(store_open("/tmp/autonomy-no-such-state", false, &store, &error), ERROR_NOT_FOUND);
    for (int round = 0; round < 2; round++) {
        store_meta(scene->store)->schema = round == 0 ? FSM_SCHEMA + 1 : FSM_SCHEMA;
        store_meta(scene->store)->level = round == 0 ? 1 : FSM_LEVEL + 1;
        assert_int_equal(store_meta_write(scene->store, &error), ERROR_OK);
        assert_int_equal(kv_flush(store_kv(scene->store), &error), ERROR_OK);
        store_close(scene->store);
        scene->store = NULL;
        assert_int_equal(store_open(scene->path, false, &store, &error), ERROR_INVALID);
        assert_non_null(strstr(error.message, "start a newer build"));
        /* back to what it was, past the refusal */
        struct kv *kv = NULL;
        const struct kv_options options = {0};
        assert_int_equal(kv_open(scene->path, &options, &kv, &error), ERROR_OK);
        struct kv_batch *batch = kv_batch_new();
        kv_batch_delete(batch, span_text("mmeta"));
        assert_int_equal(kv_write(kv, batch, (struct kv_write_options){0}, &error), ERROR_OK);
        assert_int_equal(kv_flush(kv, &error), ERROR_OK);
        kv_batch_free(batch);
        kv_close(kv);
        assert_int_equal(store_open(scene->path, false, &scene->store, &error), ERROR_OK);
    }
}

/* Goal: a damaged meta record is found at open.
 * Method: put other bytes under its key. */
static void damaged_meta_is_refused(void **state)
{
    struct scene *scene = *state;
    struct error error = {0};
    struct store *store = NULL;
    struct kv_batch *batch = kv_batch_new();
    kv_batch_put(batch, span_text("mmeta"), span_text("\x93\x01\x01"));
    assert_int_equal(kv_write(store_kv(scene->store), batch, (struct kv_write_options){0}, &error), ERROR_OK);
    assert_int_equal(kv_flush(store_kv(scene->store), &error), ERROR_OK);
    kv_batch_free(batch);
    store_close(scene->store);
    scene->store = NULL;
    assert_int_equal(store_open(scene->path, false, &store, &error), ERROR_CORRUPT);
    assert_non_null(strstr(error.message, scene->path));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_sort_as_they_count), TEST(entries_read_earlier_entries_of_their_group),
        TEST(scans_keep_their_bounds_and_order),   TEST(undo_takes_back_one_entry_to_where_it_settled),
        TEST(abandoned_group_leaves_nothing),      TEST(failed_write_leaves_nothing_and_may_come_again),
        TEST(damaged_record_stops_its_group),      TEST(meta_comes_back_after_restart),
        TEST(newer_or_missing_state_is_refused),   TEST(damaged_meta_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
