/* What every implementation of base/kv.h must do: RocksDB's (test_kv.c) and the one in memory
 * (test_kv_fake.c) run these tests. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/disk.h"
#include "base/kv.h"

struct fixture {
    char root[64];
    char folder[256];
    struct kv *kv;
    struct error error;
};

static const struct kv_options with_wal = {.create = true, .wal = true, .memory_bytes = 4u << 20};
static const struct kv_options without_wal = {.create = true, .memory_bytes = 4u << 20};
static const struct kv_write_options plain = {0};
static const struct kv_write_options synced = {.sync = true};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    if (!f)
        return -1;
    snprintf(f->root, sizeof(f->root), "/tmp/test_kv.XXXXXX");
    if (!mkdtemp(f->root))
        return -1;
    snprintf(f->folder, sizeof(f->folder), "%s/store", f->root);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    kv_close(f->kv);
    int rc = (int)disk_remove(f->root, &f->error);
    free(f);
    return rc;
}

static void open_store(struct fixture *f, const struct kv_options *options)
{
    enum error_code code = kv_open(f->folder, options, &f->kv, &f->error);
    if (code)
        fail_msg("%s", f->error.message);
}

static void reopen(struct fixture *f, const struct kv_options *options)
{
    kv_close(f->kv);
    f->kv = NULL;
    open_store(f, options);
}

static void put(struct fixture *f, const char *key, const char *value, struct kv_write_options options)
{
    struct kv_batch *batch = kv_batch_new();
    kv_batch_put(batch, span_text(key), span_text(value));
    enum error_code code = kv_write(f->kv, batch, options, &f->error);
    kv_batch_free(batch);
    assert_int_equal(code, ERROR_OK);
}

static void assert_value(struct fixture *f, const struct kv_snapshot *snapshot, const char *key,
                         const char *expected)
{
    struct bytes value;
    bytes_init(&value, 0);
    enum error_code code = kv_get(f->kv, snapshot, span_text(key), &value, &f->error);
    assert_int_equal(code, expected ? ERROR_OK : ERROR_NOT_FOUND);
    if (expected)
        assert_true(span_equal(bytes_span(&value), span_text(expected)));
    bytes_done(&value);
}

static void assert_overlay(struct kv_overlay *overlay, const char *key, const char *expected)
{
    struct bytes value;
    struct error error;
    bytes_init(&value, 0);
    enum error_code code = kv_overlay_get(overlay, span_text(key), &value, &error);
    assert_int_equal(code, expected ? ERROR_OK : ERROR_NOT_FOUND);
    if (expected)
        assert_true(span_equal(bytes_span(&value), span_text(expected)));
    bytes_done(&value);
}

/* "a=1 b=2 " */
static void assert_walk(struct kv_iterator *iterator, const char *expected)
{
    struct span key, value;
    struct error error;
    char text[512];
    size_t length = 0;
    text[0] = '\0';
    while (kv_iterator_next(iterator, &key, &value))
        length += (size_t)snprintf(text + length, sizeof(text) - length, "%.*s=%.*s ", (int)key.bytes,
                                   (const char *)key.data, (int)value.bytes, (const char *)value.data);
    assert_false(kv_iterator_next(iterator, &key, &value)); /* the end stays the end */
    assert_int_equal(kv_iterator_close(iterator, &error), ERROR_OK);
    assert_string_equal(text, expected);
}

static const struct span nothing = {NULL, 0};

/* Goal: a batch is written whole and in order, and is there after a clean close, with and without a
 * write-ahead log. Method: put, overwrite, delete and delete a range in one batch; look before and after
 * reopening. */
static void batch_is_written_in_order_and_kept(void **state)
{
    struct fixture *f = *state;
    const struct kv_options *const both[] = {&with_wal, &without_wal};
    for (int i = 0; i < 2; i++) {
        snprintf(f->folder, sizeof(f->folder), "%s/store%d", f->root, i);
        open_store(f, both[i]);
        put(f, "b1", "old", plain);
        struct kv_batch *batch = kv_batch_new();
        kv_batch_put(batch, span_text("dropped"), span_text("x"));
        kv_batch_clear(batch);
        kv_batch_put(batch, span_text("a"), span_text("1"));
        kv_batch_delete_range(batch, span_text("b"), span_text("c"));
        kv_batch_put(batch, span_text("b2"), span_text("new"));
        kv_batch_put(batch, span_text("c"), span_text("3"));
        kv_batch_delete(batch, span_text("a"));
        assert_int_equal(kv_write(f->kv, batch, plain, &f->error), ERROR_OK);
        kv_batch_free(batch);
        for (int round = 0; round < 2; round++) {
            assert_value(f, NULL, "dropped", NULL);
            assert_value(f, NULL, "a", NULL);
            assert_value(f, NULL, "b1", NULL);
            assert_value(f, NULL, "b2", "new");
            assert_value(f, NULL, "c", "3");
            reopen(f, both[i]);
        }
        kv_close(f->kv);
        f->kv = NULL;
    }
}

/* Goal: a walk keeps its bounds and its order, both ways.
 * Method: five keys; bounds that are keys, that lie between, and that are open. */
static void walks_keep_bounds_and_order(void **state)
{
    struct fixture *f = *state;
    open_store(f, &with_wal);
    assert_walk(kv_iterate(f->kv, NULL, nothing, nothing, false), "");
    assert_walk(kv_iterate(f->kv, NULL, nothing, nothing, true), "");
    for (const char *key = "abcde"; *key; key++) {
        char one[2] = {*key, 0};
        put(f, one, one, plain);
    }
    assert_walk(kv_iterate(f->kv, NULL, nothing, nothing, false), "a=a b=b c=c d=d e=e ");
    assert_walk(kv_iterate(f->kv, NULL, nothing, nothing, true), "e=e d=d c=c b=b a=a ");
    assert_walk(kv_iterate(f->kv, NULL, span_text("b"), span_text("d"), false), "b=b c=c ");
    assert_walk(kv_iterate(f->kv, NULL, span_text("b"), span_text("d"), true), "c=c b=b ");
    assert_walk(kv_iterate(f->kv, NULL, span_text("aa"), span_text("cc"), true), "c=c b=b ");
    assert_walk(kv_iterate(f->kv, NULL, span_text("x"), nothing, false), "");
    assert_walk(kv_iterate(f->kv, NULL, nothing, span_text("a"), true), "");
}

/* Goal: a snapshot doesn't move.
 * Method: read and walk at it after later writes. */
static void snapshot_stays_as_it_was(void **state)
{
    struct fixture *f = *state;
    open_store(f, &with_wal);
    put(f, "a", "1", plain);
    struct kv_snapshot *snapshot = kv_snapshot_take(f->kv);
    put(f, "a", "2", plain);
    put(f, "b", "2", plain);
    assert_value(f, snapshot, "a", "1");
    assert_value(f, snapshot, "b", NULL);
    assert_walk(kv_iterate(f->kv, snapshot, nothing, nothing, false), "a=1 ");
    kv_snapshot_release(f->kv, snapshot);
    assert_value(f, NULL, "a", "2");
}

/* Goal: an overlay reads what it holds over what the store holds, and the store sees nothing until it is
 * written. Method: put, overwrite, delete; gets and bounded walks both ways; then write, clear, reopen. */
static void overlay_covers_the_store(void **state)
{
    struct fixture *f = *state;
    open_store(f, &without_wal);
    put(f, "a", "1", plain);
    put(f, "b", "1", plain);
    put(f, "d", "1", plain);
    struct kv_overlay *overlay = kv_overlay_new(f->kv);
    kv_overlay_put(overlay, span_text("b"), span_text("x"));
    kv_overlay_put(overlay, span_text("b"), span_text("2"));
    kv_overlay_put(overlay, span_text("c"), span_text("2"));
    kv_overlay_put(overlay, span_text("e"), span_text("2"));
    kv_overlay_delete(overlay, span_text("d"));
    assert_overlay(overlay, "a", "1");
    assert_overlay(overlay, "b", "2");
    assert_overlay(overlay, "d", NULL);
    assert_overlay(overlay, "z", NULL);
    assert_value(f, NULL, "b", "1");
    assert_walk(kv_overlay_iterate(overlay, nothing, nothing, false), "a=1 b=2 c=2 e=2 ");
    assert_walk(kv_overlay_iterate(overlay, nothing, nothing, true), "e=2 c=2 b=2 a=1 ");
    assert_walk(kv_overlay_iterate(overlay, span_text("b"), span_text("e"), false), "b=2 c=2 ");
    assert_walk(kv_overlay_iterate(overlay, span_text("b"), span_text("e"), true), "c=2 b=2 ");
    assert_walk(kv_overlay_iterate(overlay, span_text("bb"), span_text("dd"), true), "c=2 ");
    assert_true(kv_overlay_count(overlay) >= 4);
    assert_int_equal(kv_overlay_write(overlay, plain, &f->error), ERROR_OK);
    kv_overlay_clear(overlay);
    assert_int_equal(kv_overlay_count(overlay), 0);
    kv_overlay_free(overlay);
    reopen(f, &without_wal);
    assert_walk(kv_iterate(f->kv, NULL, nothing, nothing, false), "a=1 b=2 c=2 e=2 ");
}

/* Goal: a mark undoes exactly what came after it, forgotten marks included.
 * Method: marks one after the other and one in the other; values overwritten under a mark come back. */
static void overlay_rolls_back_to_its_marks(void **state)
{
    struct fixture *f = *state;
    open_store(f, &without_wal);
    put(f, "s", "store", plain);
    struct kv_overlay *overlay = kv_overlay_new(f->kv);
    kv_overlay_put(overlay, span_text("a"), span_text("1"));
    kv_overlay_mark(overlay);
    kv_overlay_put(overlay, span_text("a"), span_text("2"));
    kv_overlay_put(overlay, span_text("b"), span_text("2"));
    kv_overlay_delete(overlay, span_text("s"));
    kv_overlay_rollback(overlay);
    assert_overlay(overlay, "a", "1");
    assert_overlay(overlay, "b", NULL);
    assert_overlay(overlay, "s", "store");

    kv_overlay_mark(overlay); /* kept: stays when a later one is undone */
    kv_overlay_put(overlay, span_text("b"), span_text("3"));
    kv_overlay_keep(overlay);
    kv_overlay_mark(overlay);
    kv_overlay_put(overlay, span_text("c"), span_text("4"));
    kv_overlay_rollback(overlay);
    assert_walk(kv_overlay_iterate(overlay, nothing, nothing, false), "a=1 b=3 s=store ");

    kv_overlay_mark(overlay); /* kept within: goes with the outer one */
    kv_overlay_put(overlay, span_text("c"), span_text("5"));
    kv_overlay_mark(overlay);
    kv_overlay_put(overlay, span_text("d"), span_text("5"));
    kv_overlay_keep(overlay);
    kv_overlay_rollback(overlay);
    assert_walk(kv_overlay_iterate(overlay, nothing, nothing, false), "a=1 b=3 s=store ");

    for (int i = 0; i < 100; i++) { /* more than the first room for marks */
        kv_overlay_mark(overlay);
        kv_overlay_put(overlay, span_text("e"), span_text("6"));
        kv_overlay_keep(overlay);
    }
    kv_overlay_clear(overlay);
    kv_overlay_mark(overlay);
    kv_overlay_put(overlay, span_text("a"), span_text("7"));
    kv_overlay_rollback(overlay);
    assert_int_equal(kv_overlay_count(overlay), 0);
    kv_overlay_free(overlay);
}

#define MODEL_KEYS  40
#define MODEL_MARKS 4

/* What the overlay should show: the value of each key "k00" .. "k39"; 0: none. */
struct model {
    unsigned values[MODEL_KEYS];
};

static void assert_model(struct kv_overlay *overlay, const struct model *model, unsigned from, unsigned to,
                         bool backwards)
{
    char first[8], limit[8], expected[8], text[16];
    struct span key, value;
    struct error error;
    snprintf(first, sizeof(first), "k%02u", from);
    snprintf(limit, sizeof(limit), "k%02u", to);
    struct kv_iterator *iterator = kv_overlay_iterate(overlay, span_text(first), span_text(limit), backwards);
    for (unsigned i = from; i < to; i++) {
        unsigned at = backwards ? from + to - 1 - i : i;
        if (model->values[at] == 0)
            continue;
        assert_true(kv_iterator_next(iterator, &key, &value));
        snprintf(expected, sizeof(expected), "k%02u", at);
        snprintf(text, sizeof(text), "%u", model->values[at]);
        assert_true(span_equal(key, span_text(expected)));
        assert_true(span_equal(value, span_text(text)));
    }
    assert_false(kv_iterator_next(iterator, &key, &value));
    assert_int_equal(kv_iterator_close(iterator, &error), ERROR_OK);
}

static void change_randomly(struct kv_overlay *overlay, struct model *model, unsigned step)
{
    char key[8], text[16];
    unsigned at = (unsigned)rand() % MODEL_KEYS;
    snprintf(key, sizeof(key), "k%02u", at);
    snprintf(text, sizeof(text), "%u", step);
    if (rand() % 3) {
        kv_overlay_put(overlay, span_text(key), span_text(text));
        model->values[at] = step;
    } else {
        kv_overlay_delete(overlay, span_text(key));
        model->values[at] = 0;
    }
}

/* Goal: overlays show what they should after any sequence of changes, marks, rollbacks and writes.
 * Method: 20,000 random steps against a plain array; after each one key is read, often a random range is
 * walked. */
static void overlay_agrees_with_a_plain_array(void **state)
{
    struct fixture *f = *state;
    struct model model = {{0}}, marked[MODEL_MARKS];
    unsigned marks = 0, writes = 0, rollbacks = 0;
    open_store(f, &without_wal);
    struct kv_overlay *overlay = kv_overlay_new(f->kv);
    srand(11);
    for (unsigned step = 1; step <= 20000; step++) {
        unsigned choice = (unsigned)rand() % 20;
        if (choice < 12) {
            change_randomly(overlay, &model, step);
        } else if (choice < 14 && marks < MODEL_MARKS) {
            marked[marks++] = model;
            kv_overlay_mark(overlay);
        } else if (choice == 14 && marks > 0) {
            model = marked[--marks];
            kv_overlay_rollback(overlay);
            rollbacks++;
        } else if (choice < 17 && marks > 0) {
            marks--;
            kv_overlay_keep(overlay);
        } else if (choice == 17 && marks == 0) {
            assert_int_equal(kv_overlay_write(overlay, plain, &f->error), ERROR_OK);
            kv_overlay_clear(overlay);
            writes++;
        } else if (choice >= 18) {
            unsigned from = (unsigned)rand() % MODEL_KEYS,
                     to = from + (unsigned)rand() % (MODEL_KEYS - from + 1);
            if (to < MODEL_KEYS)
                assert_model(overlay, &model, from, to, choice == 19);
        }
        char key[8], text[16];
        unsigned at = (unsigned)rand() % MODEL_KEYS;
        snprintf(key, sizeof(key), "k%02u", at);
        snprintf(text, sizeof(text), "%u", model.values[at]);
        assert_overlay(overlay, key, model.values[at] ? text : NULL);
    }
    assert_true(writes > 50 && rollbacks > 50);
    kv_overlay_free(overlay);
}

/* Goal: a checkpoint holds everything written before it and nothing after, memory included.
 * Method: write without flushing, copy, write more, open the copy. */
static void checkpoint_holds_what_is_in_memory(void **state)
{
    struct fixture *f = *state;
    char copy[128];
    snprintf(copy, sizeof(copy), "%s/copy", f->root);
    open_store(f, &without_wal);
    for (int i = 0; i < 100; i++) {
        char key[16];
        snprintf(key, sizeof(key), "k%03d", i);
        put(f, key, "v", plain);
    }
    assert_int_equal(kv_checkpoint(f->kv, copy, &f->error), ERROR_OK);
    put(f, "later", "v", plain);
    assert_int_not_equal(kv_checkpoint(f->kv, copy, &f->error), ERROR_OK); /* it exists */
    assert_non_null(strstr(f->error.message, copy));
    kv_close(f->kv);
    f->kv = NULL;

    struct kv_options reading = {.read_only = true};
    snprintf(f->folder, sizeof(f->folder), "%s", copy);
    open_store(f, &reading);
    assert_value(f, NULL, "k000", "v");
    assert_value(f, NULL, "k099", "v");
    assert_value(f, NULL, "later", NULL);
    assert_true(kv_disk_bytes(f->kv) > 0);
}

/* Goal: opening says what is wrong: nothing there, or in use.
 * Method: no store; a store opened twice. */
static void opening_names_the_reason(void **state)
{
    struct fixture *f = *state;
    struct kv *second = NULL;
    struct kv_options existing = with_wal;
    existing.create = false;
    assert_int_equal(kv_open(f->folder, &existing, &second, &f->error), ERROR_NOT_FOUND);
    assert_non_null(strstr(f->error.message, f->folder));
    assert_false(disk_exists(f->folder));
    open_store(f, &with_wal);
    assert_int_equal(kv_open(f->folder, &existing, &second, &f->error), ERROR_LOCKED);
    assert_null(second);
}

/* Goal: a destroyed store is gone, and destroying nothing is fine.
 * Method: destroy twice. */
static void destroyed_store_is_gone(void **state)
{
    struct fixture *f = *state;
    open_store(f, &with_wal);
    put(f, "a", "1", synced);
    kv_close(f->kv);
    f->kv = NULL;
    assert_int_equal(kv_destroy(f->folder, &f->error), ERROR_OK);
    assert_false(disk_exists(f->folder));
    assert_int_equal(kv_destroy(f->folder, &f->error), ERROR_OK);
}

/* Goal: recovering keeps what is there and what comes after works.
 * Method: recover a healthy store twice. (A full disk is met in the tests that may mount one.) */
static void recovered_store_keeps_and_takes_writes(void **state)
{
    struct fixture *f = *state;
    open_store(f, &with_wal);
    put(f, "a", "1", synced);
    assert_int_equal(kv_recover(f->kv, &f->error), ERROR_OK);
    put(f, "b", "2", synced);
    assert_int_equal(kv_recover(f->kv, &f->error), ERROR_OK);
    assert_walk(kv_iterate(f->kv, NULL, nothing, nothing, false), "a=1 b=2 ");
}

#define KV_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
#define KV_CONTRACT                                                                                          \
    KV_TEST(batch_is_written_in_order_and_kept), KV_TEST(walks_keep_bounds_and_order),                       \
        KV_TEST(snapshot_stays_as_it_was), KV_TEST(overlay_covers_the_store),                                \
        KV_TEST(overlay_rolls_back_to_its_marks), KV_TEST(overlay_agrees_with_a_plain_array),                \
        KV_TEST(checkpoint_holds_what_is_in_memory), KV_TEST(opening_names_the_reason),                      \
        KV_TEST(destroyed_store_is_gone), KV_TEST(recovered_store_keeps_and_takes_writes)
