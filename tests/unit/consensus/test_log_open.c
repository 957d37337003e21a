#include "log_fixture.h"

/* Ten entries of terms 1 (1..4), 2 (5..10), snapshot at 6 kept from 4, marked at 9; closed. */
static void fill_and_close(struct log_fixture *f)
{
    struct log_snapshot snapshot = fixture_snapshot(6, 2);
    fixture_vote(f, 3, 42);
    fixture_append(f, 1, 1, 4);
    fixture_append(f, 5, 2, 6);
    fixture_run(f);
    log_snapshot_record(f->log, &snapshot, 4);
    fixture_run(f);
    log_mark(f->log, 9, 2);
    fixture_run(f);
    fixture_close(f);
}

/* Opening refuses, says `what`, and how to go on. */
static void assert_refused(struct log_fixture *f, const char *what)
{
    assert_int_equal(fixture_try_open(f), ERROR_CORRUPT);
    assert_null(f->log);
    if (!strstr(f->error.message, what))
        fail_msg("\"%s\" doesn't say \"%s\"", f->error.message, what);
    assert_null(strstr(f->error.message + 1, "the log in ")); /* said once */
    assert_non_null(strstr(f->error.message, "mv /n1 /n1.damaged-$(date +%s)"));
    assert_non_null(strstr(f->error.message, "`join:`"));
}

/* Writes into the closed store what log.c never would. */
static void write_raw(struct log_fixture *f, struct kv_batch *batch)
{
    struct kv_options options = {.wal = true};
    struct kv_write_options synced = {.sync = true};
    struct kv *kv;
    assert_int_equal(kv_open("/n1/log", &options, &kv, &f->error), ERROR_OK);
    assert_int_equal(kv_write(kv, batch, synced, &f->error), ERROR_OK);
    kv_batch_free(batch);
    kv_close(kv);
}

static struct kv_batch *copy_entry(struct log_fixture *f, uint64_t from, uint64_t to)
{
    struct kv_options options = {.wal = true, .read_only = true};
    struct kv *kv;
    struct bytes value;
    uint8_t key[9];
    bytes_init(&value, 0);
    fixture_entry_key(from, key);
    assert_int_equal(kv_open("/n1/log", &options, &kv, &f->error), ERROR_OK);
    assert_int_equal(kv_get(kv, NULL, span_of(key, 9), &value, &f->error), ERROR_OK);
    kv_close(kv);
    struct kv_batch *batch = kv_batch_new();
    fixture_entry_key(to, key);
    kv_batch_put(batch, span_of(key, 9), bytes_span(&value));
    bytes_done(&value);
    return batch;
}

/* Goal: what was filled opens, so that the refusals below have one reason each.
 * Method: open it. */
static void undamaged_log_opens(void **state)
{
    struct log_fixture *f = *state;
    fill_and_close(f);
    fixture_open(f);
    assert_int_equal(log_first_index(f->log), 4);
    assert_int_equal(log_last_index(f->log), 10);
}

/* Goal: one flipped bit in any part of an entry refuses the start, wherever the entry stands.
 * Method: every byte of three entries' values, one at a time. */
static void flipped_bit_in_an_entry_refuses(void **state)
{
    struct log_fixture *f = *state;
    static const uint64_t indexes[] = {4, 7, 10};
    uint8_t key[9];
    unsigned flips = 0;
    fill_and_close(f);
    for (size_t i = 0; i < 3; i++) {
        fixture_entry_key(indexes[i], key);
        for (size_t at = 0; fake_disk_flip_bit("/n1/log", key, sizeof(key), at); at++) {
            assert_refused(f, "fails its checksum");
            assert_true(fake_disk_flip_bit("/n1/log", key, sizeof(key), at));
            flips++;
        }
    }
    assert_true(flips > 3 * 13);
    fixture_open(f);
}

/* Goal: one flipped bit in term and vote, snapshot or state folder refuses the start.
 * Method: every byte of the three records. */
static void flipped_bit_in_a_record_refuses(void **state)
{
    struct log_fixture *f = *state;
    unsigned flips = 0;
    fill_and_close(f);
    for (const char *key = "msw"; *key; key++)
        for (size_t at = 0; fake_disk_flip_bit("/n1/log", key, 1, at); at++) {
            assert_refused(f, "fails its checksum");
            assert_true(fake_disk_flip_bit("/n1/log", key, 1, at));
            flips++;
        }
    assert_true(flips > 60);
    fixture_open(f);
}

/* Goal: a missing entry refuses the start.
 * Method: delete one from the middle. */
static void hole_refuses(void **state)
{
    struct log_fixture *f = *state;
    uint8_t key[9];
    fill_and_close(f);
    fixture_entry_key(7, key);
    assert_true(fake_disk_delete_key("/n1/log", key, sizeof(key)));
    assert_refused(f, "after entry 6 comes entry 8");
}

/* Goal: a log must reach back to its snapshot.
 * Method: delete the head up to and past the snapshot. */
static void gap_behind_the_snapshot_refuses(void **state)
{
    struct log_fixture *f = *state;
    uint8_t key[9];
    fill_and_close(f);
    for (uint64_t index = 4; index <= 7; index++) {
        fixture_entry_key(index, key);
        assert_true(fake_disk_delete_key("/n1/log", key, sizeof(key)));
    }
    assert_refused(f, "it begins at entry 8, its snapshot ends at 6");
}

/* Goal: a valid entry at another's place refuses the start: its checksum covers its index.
 * Method: copy entry 8 over 9. */
static void displaced_entry_refuses(void **state)
{
    struct log_fixture *f = *state;
    fill_and_close(f);
    write_raw(f, copy_entry(f, 8, 9));
    assert_refused(f, "entry 9 fails its checksum");
}

/* Goal: a foreign key among the entries refuses the start.
 * Method: write a longer key between them. */
static void foreign_key_refuses(void **state)
{
    struct log_fixture *f = *state;
    struct kv_batch *batch = kv_batch_new();
    fill_and_close(f);
    kv_batch_put(batch, span_text("e and more than nine bytes"), span_text("value"));
    write_raw(f, batch);
    assert_refused(f, "stands among the entries");
}

/* Goal: a log that ends before its mark refuses: what it acknowledged is gone.
 * Method: delete the tail below the mark; deleting just down to the mark is no proof and opens. */
static void end_before_the_mark_refuses(void **state)
{
    struct log_fixture *f = *state;
    uint8_t key[9];
    fill_and_close(f);
    fixture_entry_key(10, key);
    assert_true(fake_disk_delete_key("/n1/log", key, sizeof(key)));
    fixture_open(f);
    fixture_close(f);
    fixture_entry_key(9, key);
    assert_true(fake_disk_delete_key("/n1/log", key, sizeof(key)));
    assert_refused(f, "it ends at 8, before its mark: 9 was committed here");
}

/* Goal: a store that went back in time refuses, even if it is whole: the mark knows a later term, or another
 * vote. Method: keep a copy of the store, promise more, put the copy back. */
static void forgotten_promise_refuses(void **state)
{
    struct log_fixture *f = *state;
    struct kv_options options = {.wal = true};
    struct kv *kv;
    fill_and_close(f);
    assert_int_equal(kv_open("/n1/log", &options, &kv, &f->error), ERROR_OK);
    assert_int_equal(kv_checkpoint(kv, "/n1/copy", &f->error), ERROR_OK);
    kv_close(kv);
    fixture_open(f);
    fixture_vote(f, 4, 43);
    fixture_run(f);
    fixture_close(f);
    assert_int_equal(kv_destroy("/n1/log", &f->error), ERROR_OK);
    f->options.folder = "/n1/copy";
    assert_int_equal(fixture_try_open(f), ERROR_CORRUPT);
    assert_non_null(strstr(f->error.message, "it knows term 3, its mark knows 4"));
}

/* Goal: the mark belongs to its log: without it, or with another node's, there is no start.
 * Method: delete it; then give it the mark of a second log. */
static void mark_of_another_or_none_refuses(void **state)
{
    struct log_fixture *f = *state;
    struct bytes own, foreign;
    bytes_init(&own, 0);
    bytes_init(&foreign, 0);
    fill_and_close(f);
    assert_int_equal(disk_small_read("/n1/mark", &own, &f->error), ERROR_OK);
    assert_true(fake_disk_delete_small("/n1/mark"));
    assert_refused(f, "its mark can't be read");

    f->options.folder = "/n2/log";
    fixture_open(f);
    fixture_close(f);
    assert_int_equal(disk_small_read("/n2/mark", &foreign, &f->error), ERROR_OK);
    f->options.folder = "/n1/log";
    assert_int_equal(disk_small_write("/n1/mark", bytes_span(&foreign), &f->error), ERROR_OK);
    assert_refused(f, "belongs to another node");
    assert_int_equal(disk_small_write("/n1/mark", span_text("garbage"), &f->error), ERROR_OK);
    assert_refused(f, "its mark can't be read");
    assert_int_equal(disk_small_write("/n1/mark", bytes_span(&own), &f->error), ERROR_OK);
    fixture_open(f);
    bytes_done(&own);
    bytes_done(&foreign);
}

/* Goal: a log that was deleted isn't silently begun anew.
 * Method: remove the store, leave the mark. */
static void deleted_store_refuses(void **state)
{
    struct log_fixture *f = *state;
    fill_and_close(f);
    assert_int_equal(kv_destroy("/n1/log", &f->error), ERROR_OK);
    assert_refused(f, "there is a mark (/n1/mark), but no entry");
}

/* Goal: records that must be there are missed.
 * Method: delete each. */
static void missing_record_refuses(void **state)
{
    struct log_fixture *f = *state;
    fill_and_close(f);
    assert_true(fake_disk_delete_key("/n1/log", "w", 1));
    assert_refused(f, "doesn't name its state folder");
    assert_true(fake_disk_delete_key("/n1/log", "m", 1));
    assert_refused(f, "doesn't say whose it is");
}

/* Goal: the promise must cover the entries: an entry of a later term than the log has seen refuses.
 * Method: put the identity record of before the vote back. */
static void entry_of_an_unseen_term_refuses(void **state)
{
    struct log_fixture *f = *state;
    struct kv_options options = {.wal = true};
    struct kv *kv;
    struct bytes record;
    bytes_init(&record, 0);
    fixture_close(f);
    assert_int_equal(kv_open("/n1/log", &options, &kv, &f->error), ERROR_OK);
    assert_int_equal(kv_get(kv, NULL, span_text("m"), &record, &f->error), ERROR_OK);
    kv_close(kv);
    fixture_open(f);
    fill_and_close(f);
    struct kv_batch *batch = kv_batch_new();
    kv_batch_put(batch, span_text("m"), bytes_span(&record));
    write_raw(f, batch);
    bytes_done(&record);
    assert_refused(f, "term");
}

/* Goal: a first start that ended before its first write, or before its mark, is begun again or goes on.
 * Method: an empty store without a mark; a new log whose mark is missing. */
static void interrupted_first_start_goes_on(void **state)
{
    struct log_fixture *f = *state;
    struct kv_options options = {.wal = true, .create = true};
    struct kv *kv;
    struct wire_identity before, after;
    f->options.folder = "/n3/log";
    fixture_close(f);
    assert_int_equal(kv_open("/n3/log", &options, &kv, &f->error), ERROR_OK);
    kv_close(kv);
    fixture_open(f);
    log_identity(f->log, &before);
    fixture_close(f);
    assert_true(fake_disk_delete_small("/n3/mark"));
    fixture_open(f);
    log_identity(f->log, &after);
    assert_int_equal(before.node_id, after.node_id);
    assert_true(disk_exists("/n3/mark"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LOG_TEST(undamaged_log_opens),
        LOG_TEST(flipped_bit_in_an_entry_refuses),
        LOG_TEST(flipped_bit_in_a_record_refuses),
        LOG_TEST(hole_refuses),
        LOG_TEST(gap_behind_the_snapshot_refuses),
        LOG_TEST(displaced_entry_refuses),
        LOG_TEST(foreign_key_refuses),
        LOG_TEST(end_before_the_mark_refuses),
        LOG_TEST(forgotten_promise_refuses),
        LOG_TEST(mark_of_another_or_none_refuses),
        LOG_TEST(deleted_store_refuses),
        LOG_TEST(missing_record_refuses),
        LOG_TEST(entry_of_an_unseen_term_refuses),
        LOG_TEST(interrupted_first_start_goes_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
