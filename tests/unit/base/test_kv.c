#include "kv_contract.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/small_disk.h"

/* Runs this program again as the writer that gets killed: a mere fork would lack RocksDB's threads. */
static int child_main(const char *folder, bool wal)
{
    struct fixture f = {0};
    snprintf(f.folder, sizeof(f.folder), "%s", folder);
    open_store(&f, wal ? &with_wal : &without_wal);
    put(&f, "a", "1", wal ? synced : plain);
    if (!wal && kv_flush(f.kv, &f.error) != ERROR_OK)
        return 1;
    put(&f, "b", "2", plain);
    kill(getpid(), SIGKILL);
    return 1;
}

/* Goal: what a sync reported is there after the process is killed; without a log, what a flush reported.
 * Method: children write one way or the other and are killed by SIGKILL, so that nothing is closed. */
static void killed_process_keeps_what_was_reported(void **state)
{
    struct fixture *f = *state;
    for (int wal = 0; wal < 2; wal++) {
        int status;
        snprintf(f->folder, sizeof(f->folder), "%s/killed%d", f->root, wal);
        pid_t child = fork();
        if (child == 0) {
            execl("/proc/self/exe", "test_kv", f->folder, wal ? "wal" : "flush", (char *)NULL);
            _exit(1);
        }
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        open_store(f, wal ? &with_wal : &without_wal);
        assert_value(f, NULL, "a", "1");
        if (!wal)
            assert_value(f, NULL, "b", NULL);
        kv_close(f->kv);
        f->kv = NULL;
    }
}

/* On a disk of its own: writes until the disk is full, then until it takes writes again. */
static int full_disk_main(const char *root)
{
    struct fixture f = {0};
    char key[16], value[1000];
    unsigned written = 0, found = 0, refused = 0;
    struct span at, content;
    if (!small_disk_mount(root))
        return SMALL_DISK_CANNOT;
    snprintf(f.folder, sizeof(f.folder), "%s/store", root);
    open_store(&f, &without_wal);
    small_disk_fill(root);
    memset(value, 'v', sizeof(value));
    struct kv_batch *batch = kv_batch_new();
    for (int turns = 0; turns < 30000 && refused < 100; turns++) {
        snprintf(key, sizeof(key), "k%06u", written);
        kv_batch_clear(batch);
        kv_batch_put(batch, span_text(key), span_of(value, sizeof(value)));
        enum error_code code =
            kv_write(f.kv, batch, (struct kv_write_options){.no_slowdown = true}, &f.error);
        CHECK(code == ERROR_OK || code == ERROR_NO_SPACE || code == ERROR_BUSY, "%s", f.error.message);
        written += code == ERROR_OK;
        refused += code == ERROR_NO_SPACE;
    }
    CHECK(refused == 100, "a full disk took %u writes", written);
    CHECK(kv_flush(f.kv, &f.error) == ERROR_NO_SPACE, "a full disk was flushed to");
    small_disk_clear(root);
    for (int turns = 0; kv_write(f.kv, batch, plain, &f.error) != ERROR_OK; turns++) {
        CHECK(turns < 600, "still refused: %s", f.error.message);
        usleep(100000);
    }
    CHECK(kv_flush(f.kv, &f.error) == ERROR_OK, "%s", f.error.message);
    kv_batch_free(batch);
    struct kv_options reading = {.read_only =
                                     true}; /* sees what is on the disk, not what the other holds in memory */
    struct kv *other;
    CHECK(kv_open(f.folder, &reading, &other, &f.error) == ERROR_OK, "%s", f.error.message);
    struct kv_iterator *iterator = kv_iterate(other, NULL, nothing, nothing, false);
    while (kv_iterator_next(iterator, &at, &content))
        found++;
    CHECK(kv_iterator_close(iterator, &f.error) == ERROR_OK, "%s", f.error.message);
    CHECK(found == written + 1, "%u written, %u found", written + 1, found);
    kv_close(other);
    kv_close(f.kv);
    return 0;
}

/* Goal: without a write-ahead log, a full disk loses nothing that was taken, and goes on by itself when there
 * is space. Method: a process with a disk of its own; see full_disk_main(). RocksDB looks for space every
 * five seconds. */
static void full_disk_loses_nothing_taken(void **state)
{
    struct fixture *f = *state;
    int status;
    pid_t child = fork();
    if (child == 0) {
        execl("/proc/self/exe", "test_kv", f->root, "full", (char *)NULL);
        _exit(1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    umount2(f->root, MNT_DETACH); /* where the child needed no namespace of its own */
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == SMALL_DISK_CANNOT)
        skip();
    assert_int_equal(WEXITSTATUS(status), 0);
}

static char victim[512];
static void find_table(void *context, const char *name)
{
    size_t length = strlen(name);
    if (length > 4 && strcmp(name + length - 4, ".sst") == 0)
        snprintf(victim, sizeof(victim), "%s/%s", (const char *)context, name);
}

/* Goal: one flipped bit on the disk is found by reading it, and by verifying.
 * Method: flush 1,000 entries, flip a bit in the middle of the table file, which is data. */
static void flipped_bit_is_found(void **state)
{
    struct fixture *f = *state;
    open_store(f, &without_wal);
    for (int i = 0; i < 1000; i++) {
        char key[16];
        snprintf(key, sizeof(key), "k%04d", i);
        put(f, key, "a value that takes some room, so that there are several blocks", plain);
    }
    assert_int_equal(kv_flush(f->kv, &f->error), ERROR_OK);
    assert_int_equal(kv_verify(f->kv, &f->error), ERROR_OK);
    kv_close(f->kv);
    f->kv = NULL;

    struct stat status;
    uint8_t byte;
    victim[0] = '\0';
    assert_int_equal(disk_list(f->folder, find_table, f->folder, &f->error), ERROR_OK);
    assert_true(victim[0]);
    int fd = open(victim, O_RDWR);
    assert_true(fd >= 0 && fstat(fd, &status) == 0);
    assert_int_equal(pread(fd, &byte, 1, status.st_size / 2), 1);
    byte ^= 4;
    assert_int_equal(pwrite(fd, &byte, 1, status.st_size / 2), 1);
    close(fd);

    open_store(f, &without_wal);
    assert_int_equal(kv_verify(f->kv, &f->error), ERROR_CORRUPT);
    unsigned failures = 0;
    for (int i = 0; i < 1000; i++) {
        char key[16];
        struct bytes value;
        bytes_init(&value, 0);
        snprintf(key, sizeof(key), "k%04d", i);
        failures += kv_get(f->kv, NULL, span_text(key), &value, &f->error) == ERROR_CORRUPT;
        bytes_done(&value);
    }
    assert_true(failures > 0);
    struct kv_iterator *iterator = kv_iterate(f->kv, NULL, nothing, nothing, false);
    for (struct span key, value; kv_iterator_next(iterator, &key, &value);)
        ;
    assert_int_equal(kv_iterator_close(iterator, &f->error), ERROR_CORRUPT);
}

static void *write_many(void *context)
{
    struct fixture *f = context;
    struct error error;
    for (int i = 0; i < 200; i++) {
        struct kv_batch *batch = kv_batch_new();
        kv_batch_put(batch, span_text("n"), span_text("x"));
        if (kv_write(f->kv, batch, plain, &error) != ERROR_OK)
            return "write failed";
        kv_batch_free(batch);
    }
    return NULL;
}

/* Goal: reads, flushes and checkpoints run beside writes.
 * Method: a thread writes while this one does the rest; a race would show under TSan. */
static void flush_and_reads_run_beside_writes(void **state)
{
    struct fixture *f = *state;
    pthread_t thread;
    void *failure;
    char copy[128];
    open_store(f, &without_wal);
    put(f, "n", "x", plain);
    assert_int_equal(pthread_create(&thread, NULL, write_many, f), 0);
    for (int i = 0; i < 3; i++) {
        snprintf(copy, sizeof(copy), "%s/copy%d", f->root, i);
        assert_int_equal(kv_flush(f->kv, &f->error), ERROR_OK);
        assert_int_equal(kv_checkpoint(f->kv, copy, &f->error), ERROR_OK);
        assert_value(f, NULL, "n", "x");
    }
    assert_int_equal(pthread_join(thread, &failure), 0);
    assert_null(failure);
}

/* Goal: no info log is written: on a full disk it aborted the process.
 * Method: write, flush, reopen; then no file named LOG is in the folder. */
static void there_is_no_info_log(void **state)
{
    struct fixture *f = *state;
    char log[300];
    open_store(f, &with_wal);
    put(f, "a", "1", synced);
    assert_int_equal(kv_flush(f->kv, &f->error), ERROR_OK);
    reopen(f, &with_wal);
    snprintf(log, sizeof(log), "%s/LOG", f->folder);
    assert_false(disk_exists(log));
}

int main(int count, char **arguments)
{
    if (count == 3 && strcmp(arguments[2], "full") == 0)
        return full_disk_main(arguments[1]);
    if (count == 3)
        return child_main(arguments[1], strcmp(arguments[2], "wal") == 0);
    const struct CMUnitTest tests[] = {
        KV_CONTRACT,
        KV_TEST(killed_process_keeps_what_was_reported),
        KV_TEST(full_disk_loses_nothing_taken),
        KV_TEST(flipped_bit_is_found),
        KV_TEST(flush_and_reads_run_beside_writes),
        KV_TEST(there_is_no_info_log),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
