/* The disk in memory keeps base/kv.h's contract, and its faults are those that it promises. */
#include "kv_contract.h"

#include "base/worker.h"
#include "chaos/sim/fake_disk.h"
#include "chaos/sim/fake_worker.h"

/* Goal: a crash keeps what was synced, and of the rest the oldest batches that the test lets survive.
 * Method: one synced and three plain writes; two survive; the open handle is dead. */
static void crash_keeps_what_was_synced(void **state)
{
    struct fixture *f = *state;
    open_store(f, &with_wal);
    put(f, "a", "1", synced);
    put(f, "b", "2", plain);
    put(f, "c", "3", plain);
    put(f, "d", "4", plain);
    assert_int_equal(fake_disk_unsynced(f->root), 3);
    fake_disk_crash(f->root, 2);
    struct bytes value;
    bytes_init(&value, 0);
    assert_int_equal(kv_get(f->kv, NULL, span_text("a"), &value, &f->error), ERROR_IO);
    reopen(f, &with_wal);
    assert_walk(kv_iterate(f->kv, NULL, nothing, nothing, false), "a=1 b=2 c=3 ");
    put(f, "e", "5", synced); /* syncs what came before it, too */
    fake_disk_crash(f->root, 0);
    reopen(f, &with_wal);
    assert_walk(kv_iterate(f->kv, NULL, nothing, nothing, false), "a=1 b=2 c=3 e=5 ");
}

/* Goal: without a write-ahead log, a crash goes back to the last flush.
 * Method: write, flush, write, crash. */
static void crash_without_a_log_goes_back_to_the_flush(void **state)
{
    struct fixture *f = *state;
    open_store(f, &without_wal);
    put(f, "a", "1", plain);
    assert_int_equal(kv_flush(f->kv, &f->error), ERROR_OK);
    put(f, "a", "2", plain);
    fake_disk_crash(f->root, 1);
    reopen(f, &without_wal);
    assert_walk(kv_iterate(f->kv, NULL, nothing, nothing, false), "a=1 ");
}

/* Goal: syncs fail as often as told, and a full disk is full until there is space and the store was
 * recovered. Method: two failures; space for one write. */
static void faults_come_as_told(void **state)
{
    struct fixture *f = *state;
    struct kv_batch *batch = kv_batch_new();
    kv_batch_put(batch, span_text("key"), span_text("value"));
    open_store(f, &with_wal);
    fake_disk_fail_syncs(f->root, 2, ERROR_IO);
    assert_int_equal(kv_write(f->kv, batch, synced, &f->error), ERROR_IO);
    assert_int_equal(kv_write(f->kv, batch, plain, &f->error), ERROR_OK);
    assert_int_equal(kv_write(f->kv, batch, synced, &f->error), ERROR_IO);
    assert_int_equal(kv_write(f->kv, batch, synced, &f->error), ERROR_OK);
    assert_int_equal(fake_disk_syncs(f->root), 1);

    uint64_t free_bytes;
    fake_disk_space(f->root, 10);
    assert_int_equal(kv_write(f->kv, batch, synced, &f->error), ERROR_OK);
    assert_true(disk_free_bytes(f->folder, &free_bytes));
    assert_int_equal(free_bytes, 2);
    assert_int_equal(kv_write(f->kv, batch, synced, &f->error), ERROR_NO_SPACE);
    fake_disk_space(f->root, UINT64_MAX);
    assert_int_equal(kv_write(f->kv, batch, synced, &f->error), ERROR_NO_SPACE);
    assert_int_equal(kv_recover(f->kv, &f->error), ERROR_OK);
    assert_int_equal(kv_write(f->kv, batch, synced, &f->error), ERROR_OK);
    kv_batch_free(batch);
}

struct job {
    struct worker_job job;
    unsigned number, *log, *count;
};

static void work(struct worker_job *job)
{
    (void)job;
}

static void done(struct worker_job *job)
{
    struct job *self = (struct job *)job;
    self->log[(*self->count)++] = self->number;
}

static uint64_t read_time(void *context)
{
    return *(uint64_t *)context;
}

/* Goal: jobs wait for the test, end in their order for each worker, and take virtual time where the test
 * wants it. Method: two workers with three jobs each; one is held, then dropped. */
static void jobs_run_when_told(void **state)
{
    struct fixture *f = *state;
    struct worker *a, *b;
    unsigned log[8], count = 0, of_a = 0;
    uint64_t now_ms = 0, next_ms;
    struct job jobs[6];
    fake_worker_time((struct clock){read_time, read_time, &now_ms}, 3, 10);
    assert_int_equal(worker_open(NULL, "a", &a, &f->error), ERROR_OK);
    assert_int_equal(worker_open(NULL, "b", &b, &f->error), ERROR_OK);
    for (unsigned i = 0; i < 6; i++) {
        jobs[i] = (struct job){{work, done, NULL}, i, log, &count};
        worker_submit(i % 2 ? b : a, &jobs[i].job);
    }
    assert_int_equal(count, 0);
    assert_int_equal(fake_worker_run(a, 1), 1);
    assert_int_equal(log[0], 0);
    fake_worker_hold(b, true);
    while ((next_ms = fake_worker_next_ms()) != UINT64_MAX) {
        assert_true(next_ms <= 10);
        now_ms = next_ms > now_ms ? next_ms : now_ms;
        of_a += fake_worker_run_due();
    }
    assert_int_equal(of_a, 2);
    assert_int_equal(log[1], 2);
    assert_int_equal(log[2], 4);
    assert_int_equal(fake_worker_waiting(b), 3);
    fake_worker_hold(b, false);
    assert_int_equal(fake_worker_run(NULL, 1), 1);
    assert_int_equal(log[3], 1);
    fake_worker_drop(b);
    worker_close(b);
    worker_close(a);
    assert_int_equal(count, 4);
}

static int fake_tear_down(void **state)
{
    int rc = tear_down(state);
    fake_disk_reset();
    fake_worker_reset();
    return rc;
}

int main(void)
{
#undef KV_TEST
#define KV_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, fake_tear_down)
    const struct CMUnitTest tests[] = {
        KV_CONTRACT,
        KV_TEST(crash_keeps_what_was_synced),
        KV_TEST(crash_without_a_log_goes_back_to_the_flush),
        KV_TEST(faults_come_as_told),
        KV_TEST(jobs_run_when_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
