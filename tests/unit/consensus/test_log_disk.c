#include "log_fixture.h"

/* Goal: a sync that finds no space costs the reserve, not the log: the same operations are written, then
 * reported. Method: nothing is left but the reserve. */
static void reserve_saves_the_operation(void **state)
{
    struct log_fixture *f = *state;
    fixture_vote(f, 1, 0);
    fixture_run(f);
    assert_false(log_space_low(f->log, 1000));
    fake_disk_space("/n1/", 0);
    assert_true(log_space_low(f->log, 1000));
    fixture_append(f, 1, 1, 3);
    fixture_append(f, 4, 1, 1);
    fixture_run(f);
    assert_int_equal(f->failures, 0);
    assert_int_equal(f->synced, 2);
    assert_int_equal(log_durable_index(f->log), 4);
    assert_true(log_space_low(f->log, 0)); /* the reserve is given up */
    fixture_crash(f, 0);
    fake_disk_space("/n1/", UINT64_MAX);
    fixture_open(f);
    fixture_assert_entry(f, 4, 1);
}

/* Goal: on a disk that is full to the last, operations wait, nothing is claimed, and when space returns they
 * are written and the reserve is made again, without a restart. Method: take the reserve's space, too; tick;
 * give space back; tick. */
static void full_disk_waits_for_space(void **state)
{
    struct log_fixture *f = *state;
    f->options.reserve_bytes = 64;
    fixture_close(f);
    assert_int_equal(disk_reserve_release("/n1/reserve"), 1u << 20);
    fixture_open(f);
    fixture_vote(f, 1, 0);
    fixture_append(f, 1, 1, 2);
    fixture_run(f);
    fake_disk_space("/n1/", 0);
    fixture_append(f, 3, 1, 60); /* more than the reserve gives */
    fixture_run(f);
    assert_int_equal(f->failures, 0);
    assert_int_equal(log_durable_index(f->log), 2);
    assert_true(log_queued_bytes(f->log) > 0);
    assert_true(log_space_low(f->log, 0));
    fixture_append(f, 63, 1, 1); /* gathers */
    for (int i = 0; i < 3; i++) {
        f->now_ms += 1000;
        log_tick(f->log);
        log_tick(f->log); /* one attempt at a time */
        assert_true(fake_worker_waiting(f->worker) <= 1);
        fixture_run(f);
        assert_int_equal(log_durable_index(f->log), 2);
    }
    fixture_assert_entry(f, 63, 1); /* reads go on */

    fake_disk_space("/n1/", 1u << 20);
    f->now_ms += 1000;
    log_tick(f->log);
    fixture_run(f);
    assert_int_equal(log_durable_index(f->log), 63);
    assert_int_equal(log_queued_bytes(f->log), 0);
    f->now_ms += 1000;
    log_tick(f->log);
    fixture_run(f);
    assert_false(log_space_low(f->log, 1000));
    fixture_crash(f, 0);
    fixture_open(f);
    fixture_assert_entry(f, 63, 1);
}

/* Goal: attempts on a full disk are spaced in time.
 * Method: tick without letting time pass. */
static void attempts_are_spaced(void **state)
{
    struct log_fixture *f = *state;
    fixture_vote(f, 1, 0);
    fixture_run(f);
    assert_int_equal(disk_reserve_release("/n1/reserve"), 1u << 20);
    fake_disk_space("/n1/", 0);
    fixture_append(f, 1, 1, 1);
    fixture_run(f);
    log_tick(f->log);
    assert_int_equal(fake_worker_waiting(f->worker), 0);
    f->now_ms += 200;
    log_tick(f->log);
    assert_int_equal(fake_worker_waiting(f->worker), 1);
}

/* Goal: a disk that doesn't answer, or has no space, is seen while that lasts.
 * Method: let time pass before the worker runs; then on a full disk. */
static void stall_is_seen_while_it_lasts(void **state)
{
    struct log_fixture *f = *state;
    fixture_vote(f, 1, 0);
    fixture_run(f);
    f->now_ms = 5000;
    assert_int_equal(log_stall_ms(f->log), 0);
    fixture_append(f, 1, 1, 1);
    assert_int_equal(log_stall_ms(f->log), 0);
    f->now_ms += 700;
    fixture_append(f, 2, 1, 1); /* waits behind it */
    assert_int_equal(log_stall_ms(f->log), 700);
    assert_int_equal(log_busy_ms(f->log), 700);
    fake_worker_run(f->worker, 1);
    assert_int_equal(log_stall_ms(f->log), 0);
    fixture_run(f);
    assert_int_equal(disk_reserve_release("/n1/reserve"), 1u << 20);
    fake_disk_space("/n1/", 0);
    fixture_append(f, 3, 1, 1);
    fixture_run(f);
    for (int i = 0; i < 3; i++) {
        f->now_ms += 300;
        log_tick(f->log);
        fixture_run(f);
    }
    assert_int_equal(log_stall_ms(f->log), 900);
    assert_int_equal(log_busy_ms(f->log), 0); /* between two attempts: the thread lives */
    fake_disk_space("/n1/", UINT64_MAX);
    f->now_ms += 300;
    log_tick(f->log);
    fixture_run(f);
    assert_int_equal(log_stall_ms(f->log), 0);
}

/* Goal: a vote may use the reserve.
 * Method: full disk, vote, crash, open. */
static void vote_may_use_the_reserve(void **state)
{
    struct log_fixture *f = *state;
    fixture_run(f);
    fake_disk_space("/n1/", 0);
    fixture_vote(f, 7, 9);
    assert_true(log_space_low(f->log, 0));
    fixture_crash(f, 0);
    fixture_open(f);
    assert_int_equal(log_term(f->log), 7);
    assert_int_equal(log_vote(f->log), 9);
}

/* Goal: a failed sync is final: nothing more is claimed, promised or written, and it is said once.
 * Method: one failing sync, then healthy ones that must not count. */
static void failed_sync_is_final(void **state)
{
    struct log_fixture *f = *state;
    struct log_snapshot snapshot = fixture_snapshot(9, 1);
    fixture_vote(f, 1, 0);
    fixture_append(f, 1, 1, 1);
    fixture_run(f);
    fake_disk_fail_syncs("/n1/log", 1, ERROR_IO);
    fixture_append(f, 2, 1, 1);
    fixture_append(f, 3, 1, 1);
    fixture_run(f);
    assert_int_equal(f->failures, 1);
    assert_int_equal(f->failure.code, ERROR_IO);
    assert_int_equal(f->synced, 1);
    fixture_append(f, 4, 1, 1);
    f->now_ms += 1000;
    log_tick(f->log);
    fixture_run(f);
    assert_int_equal(f->synced, 1);
    assert_int_equal(log_durable_index(f->log), 1);
    assert_int_equal(log_vote_write(f->log, 2, 2, &f->error), ERROR_IO);
    assert_int_equal(log_term(f->log), 1);
    assert_int_equal(log_adopt(f->log, "0123456789abcdef0123456789abcdef", 1, &f->error), ERROR_IO);
    assert_int_equal(log_install(f->log, &snapshot, "state.1", &f->error), ERROR_IO);
    assert_int_equal(f->failures, 1);
    fixture_crash(f, 0);
    fixture_open(f);
    assert_int_equal(log_last_index(f->log), 1);
}

/* Goal: a vote that can't be written isn't believed.
 * Method: its sync fails. */
static void failed_vote_leaves_the_old_one(void **state)
{
    struct log_fixture *f = *state;
    fixture_vote(f, 3, 5);
    fake_disk_fail_syncs("/n1/log", 1, ERROR_IO);
    assert_int_equal(log_vote_write(f->log, 4, 6, &f->error), ERROR_IO);
    assert_non_null(strstr(f->error.message, "log"));
    assert_int_equal(log_term(f->log), 3);
    assert_int_equal(log_vote(f->log), 5);
}

/* Goal: a mark that can't be written is a failing disk.
 * Method: fail the small file. */
static void failed_mark_is_final(void **state)
{
    struct log_fixture *f = *state;
    fixture_vote(f, 1, 0);
    fixture_append(f, 1, 1, 1);
    fixture_run(f);
    fake_disk_fail_small("/n1/mark", 1);
    log_mark(f->log, 1, 1);
    fixture_run(f);
    assert_int_equal(f->failures, 1);
    assert_non_null(strstr(f->failure.message, "mark"));
}

/* Goal: a failure during an install comes back from it, and nobody is called in the middle of a step.
 * Method: the append that is queued before it fails. */
static void failure_inside_install_is_returned(void **state)
{
    struct log_fixture *f = *state;
    struct log_snapshot snapshot = fixture_snapshot(9, 1);
    fixture_vote(f, 1, 0);
    fixture_run(f);
    fixture_append(f, 1, 1, 1);
    fake_disk_fail_syncs("/n1/log", 1, ERROR_IO);
    assert_int_equal(log_install(f->log, &snapshot, "state.1", &f->error), ERROR_IO);
    assert_int_equal(f->failures, 0);
}

/* Goal: the mark is written by the worker, only the newest, and at the latest when the log closes.
 * Method: marks in a row while the worker stands still, then close. */
static void mark_is_written_at_the_latest_when_closing(void **state)
{
    struct log_fixture *f = *state;
    uint8_t key[9];
    fixture_vote(f, 1, 0);
    fixture_append(f, 1, 1, 9);
    fixture_run(f);
    log_mark(f->log, 3, 1);
    log_mark(f->log, 8, 1);
    log_mark(f->log, 7, 1); /* never back */
    assert_int_equal(fake_worker_waiting(f->worker), 1);
    fake_worker_drop(f->worker); /* it never ran */
    fixture_close(f);
    fixture_entry_key(9, key);
    assert_true(fake_disk_delete_key("/n1/log", key, sizeof(key)));
    fixture_open(f);
    fixture_close(f);
    fixture_entry_key(8, key);
    assert_true(fake_disk_delete_key("/n1/log", key, sizeof(key)));
    assert_int_equal(fixture_try_open(f), ERROR_CORRUPT);
}

/* Goal: a node starts on a full disk, to read and to be told; writes are refused until there is space.
 * Method: fill the disk while it is closed, reserve included. */
static void full_disk_does_not_stop_the_start(void **state)
{
    struct log_fixture *f = *state;
    fixture_close(f);
    fake_disk_space("/n1/", 0);
    fixture_open(f); /* the number of this start took the reserve */
    assert_true(log_space_low(f->log, 0));
    fixture_close(f);
    fake_disk_space("/n1/", 0);
    assert_int_equal(fixture_try_open(f), ERROR_NO_SPACE);
}

static void on_read(void *context, struct entry *entries, uint32_t count, const struct error *error)
{
    struct log_fixture *f = context;
    (void)error;
    f->reads++;
    log_entries_free(entries, count);
}

/* Goal: answers to reads that end during an install come after it.
 * Method: a read from the disk is queued, then the install. */
static void reads_that_end_in_an_install_are_told_later(void **state)
{
    struct log_fixture *f = *state;
    struct log_snapshot snapshot = fixture_snapshot(9, 1);
    fixture_vote(f, 1, 0);
    fixture_append(f, 1, 1, 5);
    fixture_run(f);
    fixture_close(f);
    fixture_open(f);
    log_read_later(f->log, 2, 3, on_read, f);
    assert_int_equal(log_install(f->log, &snapshot, "state.1", &f->error), ERROR_OK);
    assert_int_equal(f->reads, 0);
    fixture_run(f);
    assert_int_equal(f->reads, 1);
    log_read_later(f->log, 2, 3, on_read, f); /* answered with an error */
    fixture_close(f);                         /* nobody is called any more */
    assert_int_equal(f->reads, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LOG_TEST(reserve_saves_the_operation),
        LOG_TEST(full_disk_waits_for_space),
        LOG_TEST(attempts_are_spaced),
        LOG_TEST(stall_is_seen_while_it_lasts),
        LOG_TEST(vote_may_use_the_reserve),
        LOG_TEST(failed_sync_is_final),
        LOG_TEST(failed_vote_leaves_the_old_one),
        LOG_TEST(failed_mark_is_final),
        LOG_TEST(failure_inside_install_is_returned),
        LOG_TEST(mark_is_written_at_the_latest_when_closing),
        LOG_TEST(full_disk_does_not_stop_the_start),
        LOG_TEST(reads_that_end_in_an_install_are_told_later),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
