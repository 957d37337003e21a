#include "log_fixture.h"

/* Goal: a new folder gets an identity that stays, and each start gets a number.
 * Method: open three times. */
static void identity_is_made_once_and_starts_are_counted(void **state)
{
    struct log_fixture *f = *state;
    struct wire_identity first, again;
    log_identity(f->log, &first);
    assert_true(first.node_id >= 1 && first.node_id < 1ull << 53);
    assert_int_equal(strlen(first.incarnation), 32);
    assert_string_equal(first.cluster_id, "");
    assert_int_equal(first.start_counter, 1);
    assert_string_equal(log_state_folder(f->log), "state.0");
    assert_int_equal(log_first_index(f->log), 1);
    assert_int_equal(log_last_index(f->log), 0);
    for (uint64_t start = 2; start <= 3; start++) {
        fixture_crash(f, 0);
        fixture_open(f);
        log_identity(f->log, &again);
        assert_int_equal(again.node_id, first.node_id);
        assert_string_equal(again.incarnation, first.incarnation);
        assert_int_equal(again.start_counter, start);
    }
}

/* Goal: what a node joins is remembered at once.
 * Method: adopt, crash, open. */
static void adopted_cluster_is_remembered(void **state)
{
    struct log_fixture *f = *state;
    struct wire_identity identity;
    assert_int_equal(log_adopt(f->log, "0123456789abcdef0123456789abcdef", 3, &f->error), ERROR_OK);
    fixture_crash(f, 0);
    fixture_open(f);
    log_identity(f->log, &identity);
    assert_string_equal(identity.cluster_id, "0123456789abcdef0123456789abcdef");
    assert_int_equal(identity.generation, 3);
}

/* Goal: a vote is durable when its write returns, and overtakes appends that wait.
 * Method: an append is queued, then the vote; crash before the worker ran. */
static void vote_is_synced_at_once(void **state)
{
    struct log_fixture *f = *state;
    fixture_vote(f, 3, 0);
    fixture_append(f, 1, 3, 1);
    fixture_vote(f, 4, 77);
    assert_int_equal(log_term(f->log), 4);
    assert_int_equal(log_vote(f->log), 77);
    fixture_crash(f, 0);
    fixture_open(f);
    assert_int_equal(log_term(f->log), 4);
    assert_int_equal(log_vote(f->log), 77);
    assert_int_equal(log_last_index(f->log), 0);
}

/* Goal: a reopened log is the log that was closed: entries, terms, changes, snapshot, identity.
 * Method: some of everything; look, close, open, look again. */
static void reopened_log_is_the_same(void **state)
{
    struct log_fixture *f = *state;
    struct bytes payload;
    struct log_snapshot snapshot = fixture_snapshot(3, 1), read;
    bytes_init(&payload, 0);
    fixture_vote(f, 1, 5);
    fixture_append(f, 1, 1, 4);
    fixture_append_change(f, 5, 1, "members");
    fixture_vote(f, 6, 5);
    fixture_append(f, 6, 4, 3);
    fixture_append(f, 9, 6, 2);
    fixture_run(f);
    log_snapshot_record(f->log, &snapshot, 3);
    fixture_run(f);
    for (int round = 0; round < 3; round++) {
        assert_int_equal(log_first_index(f->log), 3);
        assert_int_equal(log_last_index(f->log), 10);
        assert_int_equal(log_durable_index(f->log), 10);
        for (uint64_t index = 3; index <= 10; index++)
            if (index != 5)
                fixture_assert_entry(f, index, index < 6 ? 1 : index < 9 ? 4 : 6);
        assert_int_equal(log_term_of(f->log, 2), 0);
        assert_int_equal(log_term_of(f->log, 5), 1);
        assert_int_equal(log_term_of(f->log, 11), 0);
        assert_int_equal(log_term_of(f->log, 0), 0);
        assert_int_equal(log_change_before(f->log, 4, NULL), 0);
        bytes_clear(&payload);
        assert_int_equal(log_change_before(f->log, 5, &payload), 5);
        assert_true(span_equal(bytes_span(&payload), span_text("members")));
        assert_int_equal(log_change_before(f->log, 10, NULL), 5);
        log_snapshot(f->log, &read);
        assert_int_equal(read.index, 3);
        assert_int_equal(read.term, 1);
        assert_int_equal(read.configuration_index, 1);
        assert_int_equal(read.configuration_bytes, 4);
        assert_memory_equal(read.configuration, "conf", 4);
        if (round == 1)
            fixture_crash(f, 0);
        else
            fixture_close(f);
        fixture_open(f);
    }
    bytes_done(&payload);
}

/* Goal: operations that come while a sync is under way share the next one.
 * Method: nine appends against the worker: one sync for the first, one for the eight. */
static void appends_gather_behind_a_sync(void **state)
{
    struct log_fixture *f = *state;
    fixture_vote(f, 1, 0);
    fixture_run(f);
    uint64_t syncs = fake_disk_syncs("/n1/log");
    for (uint64_t index = 1; index <= 9; index++)
        fixture_append(f, index, 1, 1);
    assert_true(log_queued_bytes(f->log) > 0);
    assert_int_equal(fake_worker_waiting(f->worker), 1);
    fixture_run(f);
    assert_int_equal(fake_disk_syncs("/n1/log") - syncs, 2);
    assert_int_equal(f->reports, 2);
    assert_int_equal(f->synced, 9);
    assert_int_equal(log_queued_bytes(f->log), 0);
    assert_int_equal(log_durable_index(f->log), 9);
}

/* Goal: the durable index never claims what a queued truncation still destroys, nor what merely has the same
 * index (R3). Method: 1..5 synced; the tail from 3 on is replaced while another append waits; after each sync
 * look. */
static void durable_index_excludes_what_a_queued_write_replaces(void **state)
{
    struct log_fixture *f = *state;
    fixture_vote(f, 3, 0);
    fixture_append(f, 1, 1, 5);
    fixture_run(f);
    assert_int_equal(log_durable_index(f->log), 5);
    fixture_append(f, 6, 1, 1); /* operation 2: with the worker */
    fixture_append(f, 3, 2, 2); /* operation 3: replaces 3.., waits */
    fixture_append(f, 5, 3, 1); /* operation 4 */
    assert_int_equal(log_durable_index(f->log), 2);
    assert_int_equal(log_last_index(f->log), 5);
    assert_int_equal(log_term_of(f->log, 3), 2);
    fake_worker_run(f->worker, 1); /* operation 2 ends: entry 6 is no more, and 3.. are others */
    assert_int_equal(f->synced, 2);
    assert_int_equal(log_durable_index(f->log), 2);
    fixture_run(f);
    assert_int_equal(f->synced, 4);
    assert_int_equal(log_durable_index(f->log), 5);
    fixture_crash(f, 0);
    fixture_open(f);
    assert_int_equal(log_last_index(f->log), 5);
    fixture_assert_entry(f, 2, 1);
    fixture_assert_entry(f, 4, 2);
    fixture_assert_entry(f, 5, 3);
}

/* Goal: a truncation that shortens the log leaves nothing behind that a later start could find.
 * Method: 1..8, then 3 alone in a new term; crash, open; grow again, crash, open. */
static void shortened_log_stays_short(void **state)
{
    struct log_fixture *f = *state;
    fixture_vote(f, 2, 0);
    fixture_append(f, 1, 1, 8);
    fixture_run(f);
    fixture_append(f, 3, 2, 1);
    fixture_run(f);
    fixture_crash(f, 0);
    fixture_open(f);
    assert_int_equal(log_last_index(f->log), 3);
    fixture_append(f, 4, 2, 2);
    fixture_run(f);
    fixture_crash(f, 0);
    fixture_open(f);
    assert_int_equal(log_last_index(f->log), 5);
    fixture_assert_entry(f, 5, 2);
}

/* Goal: a crash loses only what was not reported.
 * Method: one synced group, then groups that aren't; crash; also with a torn end. */
static void crash_loses_only_what_was_not_reported(void **state)
{
    struct log_fixture *f = *state;
    fixture_vote(f, 2, 0);
    fixture_append(f, 1, 1, 3);
    fixture_run(f);
    fixture_append(f, 4, 1, 3);
    fixture_append(f, 2, 2, 1);
    assert_int_equal(f->synced, 1);
    fixture_crash(f, 0);
    fixture_open(f);
    assert_int_equal(log_last_index(f->log), 3);
    assert_int_equal(log_durable_index(f->log), 3);
    fixture_assert_entry(f, 3, 1);
}

/* Goal: what random work did is what a start finds, whenever the power goes.
 * Method: 300 rounds of appends, truncations, votes, snapshots, partial syncs and crashes, against a model of
 * the entries' terms. What was reported must be there; beyond it only what was appended. */
static void random_work_survives_random_crashes(void **state)
{
    struct log_fixture *f = *state;
    static uint64_t model[4000]; /* the term of each entry appended last */
    unsigned crashes = 0;
    uint64_t term = 1, committed = 0;
    srand(7);
    memset(model, 0, sizeof(model));
    fixture_vote(f, 1, 0);
    for (int round = 0; round < 300; round++) {
        uint64_t last = log_last_index(f->log);
        int choice = rand() % 10;
        if (choice < 5) { /* append, perhaps over the uncommitted tail */
            uint64_t from =
                choice == 0 ? committed + 1 + (uint64_t)rand() % (last - committed + 1) : last + 1;
            uint32_t count = 1 + (uint32_t)rand() % 5;
            if (from <= last)
                fixture_vote(f, ++term, 0);
            fixture_append(f, from, term, count);
            for (uint32_t i = 0; i < count; i++)
                model[from + i] = term;
        } else if (choice < 8) {
            fake_worker_run(f->worker, (unsigned)rand() % 3);
        } else if (choice == 8) {
            uint64_t durable = log_durable_index(f->log);
            if (durable > committed) {
                committed = durable;
                log_mark(f->log, committed, log_term_of(f->log, committed));
                struct log_snapshot snapshot = fixture_snapshot(committed, log_term_of(f->log, committed));
                uint64_t keep = committed > 8 ? committed - 8 : 1;
                log_snapshot_record(f->log, &snapshot,
                                    keep > log_first_index(f->log) ? keep : log_first_index(f->log));
            }
        } else {
            uint64_t durable = log_durable_index(f->log);
            fixture_crash(f, 0);
            fixture_open(f);
            crashes++;
            assert_in_range(log_last_index(f->log), committed, 4000);
            for (uint64_t index = log_first_index(f->log); index <= log_last_index(f->log); index++)
                if (index <= durable)
                    fixture_assert_entry(f, index, model[index]);
            for (uint64_t index = log_first_index(f->log); index <= log_last_index(f->log); index++)
                model[index] = log_term_of(f->log, index);
        }
        log_check(f->log);
    }
    assert_true(crashes > 10 && committed > 50);
}

/* Goal: a snapshot drops the head but keeps what trails, in memory and on the disk.
 * Method: 20 entries, snapshot at 15, kept from 11; look, crash, open, look. */
static void snapshot_keeps_what_trails(void **state)
{
    struct log_fixture *f = *state;
    struct log_snapshot snapshot = fixture_snapshot(15, 1);
    uint8_t key[9];
    fixture_vote(f, 1, 0);
    fixture_append(f, 1, 1, 20);
    fixture_run(f);
    log_snapshot_record(f->log, &snapshot, 11);
    log_check(f->log);
    for (int round = 0; round < 2; round++) {
        struct entry entry;
        assert_int_equal(log_first_index(f->log), 11);
        assert_int_equal(log_last_index(f->log), 20);
        assert_int_equal(log_term_of(f->log, 10), 0);
        assert_int_equal(log_term_of(f->log, 15), 1);
        assert_false(log_cached(f->log, 10, &entry));
        fixture_assert_entry(f, 11, 1);
        fixture_run(f);
        fixture_crash(f, 0);
        fixture_open(f);
    }
    fixture_close(f);
    fixture_entry_key(10, key);
    assert_false(fake_disk_delete_key("/n1/log", key, sizeof(key))); /* it is gone from the disk */
    fixture_entry_key(11, key);
    assert_true(fake_disk_flip_bit("/n1/log", key, sizeof(key), 0)); /* it is not */
}

/* Goal: a snapshot can cover everything; then its last entry is still known by its term, and the log goes on
 * behind it. Method: snapshot at the end, nothing kept; crash; append. */
static void snapshot_of_everything_leaves_an_empty_log(void **state)
{
    struct log_fixture *f = *state;
    struct log_snapshot snapshot = fixture_snapshot(6, 1);
    fixture_vote(f, 2, 0);
    fixture_append(f, 1, 1, 6);
    fixture_run(f);
    log_snapshot_record(f->log, &snapshot, 7);
    fixture_run(f);
    for (int round = 0; round < 2; round++) {
        assert_int_equal(log_first_index(f->log), 7);
        assert_int_equal(log_last_index(f->log), 6);
        assert_int_equal(log_durable_index(f->log), 6);
        assert_int_equal(log_term_of(f->log, 6), 1);
        fixture_crash(f, 0);
        fixture_open(f);
    }
    fixture_append(f, 7, 2, 1);
    fixture_run(f);
    fixture_crash(f, 0);
    fixture_open(f);
    fixture_assert_entry(f, 7, 2);
}

/* Goal: state transfer switches log and state folder in one write: a crash before it finds the old pair,
 * after it the new one. Method: install while appends are queued, crash; the same with the write failing. */
static void install_switches_log_and_state_at_once(void **state)
{
    struct log_fixture *f = *state;
    struct log_snapshot snapshot = fixture_snapshot(100, 4), read;
    fixture_vote(f, 5, 0);
    fixture_append(f, 1, 1, 6);
    fixture_run(f);
    fake_disk_fail_syncs("/n1/log", 1, ERROR_IO);
    assert_int_equal(log_install(f->log, &snapshot, "state.1", &f->error), ERROR_IO);
    assert_string_equal(log_state_folder(f->log), "state.0");
    fixture_crash(f, 0);
    fixture_open(f);
    assert_int_equal(log_last_index(f->log), 6);
    assert_string_equal(log_state_folder(f->log), "state.0");

    fixture_append(f, 7, 5, 2);
    fixture_append(f, 9, 5, 2);
    unsigned reports = f->reports;
    assert_int_equal(log_install(f->log, &snapshot, "state.1", &f->error), ERROR_OK);
    assert_int_equal(f->reports, reports); /* nobody is told in the middle of a step */
    log_check(f->log);
    for (int round = 0; round < 2; round++) {
        assert_string_equal(log_state_folder(f->log), "state.1");
        assert_int_equal(log_first_index(f->log), 101);
        assert_int_equal(log_last_index(f->log), 100);
        assert_int_equal(log_durable_index(f->log), 100);
        assert_int_equal(log_term_of(f->log, 100), 4);
        assert_int_equal(log_term_of(f->log, 6), 0);
        assert_int_equal(log_change_before(f->log, 100, NULL), 0);
        log_snapshot(f->log, &read);
        assert_int_equal(read.index, 100);
        fixture_crash(f, 0);
        fixture_open(f);
    }
    fixture_append(f, 101, 5, 1);
    fixture_run(f);
    assert_int_equal(log_durable_index(f->log), 101);
    fixture_assert_entry(f, 101, 5);
}

static void on_read(void *context, struct entry *entries, uint32_t count, const struct error *error)
{
    struct log_fixture *f = context;
    f->reads++;
    f->read_code = error ? error->code : ERROR_OK;
    log_entries_free(f->read_entries, f->read_count);
    f->read_entries = entries;
    f->read_count = count;
}

/* Goal: entries come from the cache, from the disk, or from both, and a gap is said.
 * Method: after a reopen the old ones are on the disk only; new ones are cached. */
static void reads_join_disk_and_cache(void **state)
{
    struct log_fixture *f = *state;
    struct entry *entries, entry;
    uint32_t count;
    fixture_vote(f, 1, 0);
    fixture_append(f, 1, 1, 10);
    fixture_run(f);
    fixture_close(f);
    fixture_open(f);
    fixture_append(f, 11, 1, 5);
    assert_false(log_cached(f->log, 10, &entry));
    assert_true(log_cached(f->log, 11, &entry));
    assert_int_equal(entry.index, 11);
    assert_false(log_cached(f->log, 16, &entry));
    assert_int_equal(log_read(f->log, 8, 100, &entries, &count, &f->error), ERROR_OK);
    assert_int_equal(count, 8);
    for (uint32_t i = 0; i < count; i++) {
        char text[40];
        snprintf(text, sizeof(text), "e%u.1", 8 + i);
        assert_int_equal(entries[i].index, 8 + i);
        assert_true(span_equal(entries[i].data, span_text(text)));
    }
    log_entries_free(entries, count);
    assert_int_equal(log_read(f->log, 16, 1, &entries, &count, &f->error), ERROR_NOT_FOUND);
    assert_int_equal(log_read(f->log, 0, 1, &entries, &count, &f->error), ERROR_NOT_FOUND);

    log_read_later(f->log, 9, 100, on_read, f);
    log_read_later(f->log, 12, 2, on_read, f);
    log_read_later(f->log, 99, 2, on_read, f);
    assert_int_equal(f->reads, 0); /* never inside the call */
    while (f->reads == 0)
        assert_int_equal(fake_worker_run(f->worker, 1), 1);
    assert_int_equal(f->read_code, ERROR_OK);
    assert_int_equal(f->read_count, 2); /* what lies on the disk; the rest is asked for again */
    assert_int_equal(f->read_entries[1].index, 10);
    while (f->reads == 1)
        assert_int_equal(fake_worker_run(f->worker, 1), 1);
    assert_int_equal(f->read_count, 2);
    assert_int_equal(f->read_entries[0].index, 12);
    fixture_run(f);
    assert_int_equal(f->reads, 3);
    assert_int_equal(f->read_code, ERROR_NOT_FOUND);
    assert_null(f->read_entries);
}

/* Goal: a read is bounded by bytes, but always gives one entry.
 * Method: entries of 400 KiB. */
static void reads_are_bounded_by_bytes(void **state)
{
    struct log_fixture *f = *state;
    struct entry *entries;
    uint32_t count;
    size_t bytes = 400 * 1024;
    char *data = calloc(1, bytes);
    fixture_vote(f, 1, 0);
    for (uint64_t index = 1; index <= 5; index++) {
        struct entry entry = {.index = index, .term = 1, .type = ENTRY_COMMAND, .data = span_of(data, bytes)};
        log_append(f->log, &entry, 1);
    }
    fixture_run(f);
    for (int round = 0; round < 2; round++) { /* cached, then from the disk */
        assert_int_equal(log_read(f->log, 1, 5, &entries, &count, &f->error), ERROR_OK);
        assert_int_equal(count, 2);
        log_entries_free(entries, count);
        fixture_close(f);
        fixture_open(f);
    }
    free(data);
}

/* Goal: the cache is bounded, but never drops what isn't synced.
 * Method: 80 MiB of entries while the worker stands still, then it runs. */
static void cache_is_bounded_by_what_is_synced(void **state)
{
    struct log_fixture *f = *state;
    struct entry entry;
    size_t bytes = 1024 * 1024;
    char *data = calloc(1, bytes);
    fixture_vote(f, 1, 0);
    for (uint64_t index = 1; index <= 80; index++) {
        struct entry one = {.index = index, .term = 1, .type = ENTRY_COMMAND, .data = span_of(data, bytes)};
        log_append(f->log, &one, 1);
    }
    assert_true(log_cached(f->log, 1, &entry));
    fixture_run(f);
    assert_false(log_cached(f->log, 1, &entry));
    assert_false(log_cached(f->log, 17, &entry));
    assert_true(log_cached(f->log, 18, &entry));
    assert_true(log_cached(f->log, 80, &entry));
    assert_int_equal(log_durable_index(f->log), 80);
    free(data);
}

/* Goal: changes of the configuration are found at or before any index, and go with the entries they were.
 * Method: two changes, one is truncated away, the other goes with the head. */
static void changes_follow_their_entries(void **state)
{
    struct log_fixture *f = *state;
    struct bytes payload;
    struct log_snapshot snapshot = fixture_snapshot(4, 1);
    bytes_init(&payload, 0);
    fixture_vote(f, 3, 0);
    fixture_append(f, 1, 1, 1);
    fixture_append_change(f, 2, 1, "one");
    fixture_append(f, 3, 1, 2);
    fixture_append_change(f, 5, 1, "two");
    assert_int_equal(log_change_before(f->log, 1, NULL), 0);
    assert_int_equal(log_change_before(f->log, 4, &payload), 2);
    assert_int_equal(log_change_before(f->log, 5, &payload), 5);
    assert_true(span_equal(bytes_span(&payload), span_text("onetwo")));
    fixture_append(f, 5, 2, 1);
    assert_int_equal(log_change_before(f->log, 5, NULL), 2);
    fixture_run(f);
    log_snapshot_record(f->log, &snapshot, 3);
    assert_int_equal(log_change_before(f->log, 5, NULL), 0);
    bytes_done(&payload);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LOG_TEST(identity_is_made_once_and_starts_are_counted),
        LOG_TEST(adopted_cluster_is_remembered),
        LOG_TEST(vote_is_synced_at_once),
        LOG_TEST(reopened_log_is_the_same),
        LOG_TEST(appends_gather_behind_a_sync),
        LOG_TEST(durable_index_excludes_what_a_queued_write_replaces),
        LOG_TEST(shortened_log_stays_short),
        LOG_TEST(crash_loses_only_what_was_not_reported),
        LOG_TEST(random_work_survives_random_crashes),
        LOG_TEST(snapshot_keeps_what_trails),
        LOG_TEST(snapshot_of_everything_leaves_an_empty_log),
        LOG_TEST(install_switches_log_and_state_at_once),
        LOG_TEST(reads_join_disk_and_cache),
        LOG_TEST(reads_are_bounded_by_bytes),
        LOG_TEST(cache_is_bounded_by_what_is_synced),
        LOG_TEST(changes_follow_their_entries),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
