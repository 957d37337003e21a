#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/disk.h"
#include "base/hash.h"

struct fixture {
    char root[64];
    char path[128];
    struct error error;
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    if (!f)
        return -1;
    snprintf(f->root, sizeof(f->root), "/tmp/test_disk.XXXXXX");
    if (!mkdtemp(f->root))
        return -1;
    snprintf(f->path, sizeof(f->path), "%s/thing", f->root);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    int rc = (int)disk_remove(f->root, &f->error);
    free(f);
    return rc;
}

static void write_small(struct fixture *f, const char *text)
{
    assert_int_equal(disk_small_write(f->path, span_text(text), &f->error), ERROR_OK);
}

static void assert_small(struct fixture *f, const char *expected)
{
    struct bytes content;
    bytes_init(&content, 0);
    assert_int_equal(disk_small_read(f->path, &content, &f->error), ERROR_OK);
    assert_true(span_equal(bytes_span(&content), span_text(expected)));
    bytes_done(&content);
}

static void damage(struct fixture *f, off_t offset)
{
    uint8_t byte;
    int fd = open(f->path, O_RDWR);
    assert_true(fd >= 0);
    assert_int_equal(pread(fd, &byte, 1, offset), 1);
    byte ^= 1;
    assert_int_equal(pwrite(fd, &byte, 1, offset), 1);
    close(fd);
}

/* Goal: a small file gives what was written last.
 * Method: several writes of different length, the longest and an empty one included. */
static void small_file_holds_the_last_content(void **state)
{
    struct fixture *f = *state;
    struct bytes content;
    char text[DISK_SMALL_BYTES_MAX + 1];
    bytes_init(&content, 0);
    assert_int_equal(disk_small_read(f->path, &content, &f->error), ERROR_NOT_FOUND);
    assert_non_null(strstr(f->error.message, f->path));
    memset(text, 'm', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    const char *const contents[] = {"first", "second, longer", text, "", "last"};
    for (size_t i = 0; i < sizeof(contents) / sizeof(contents[0]); i++) {
        write_small(f, contents[i]);
        assert_small(f, contents[i]);
    }
    bytes_done(&content);
}

/* Goal: a write that tore loses itself only: what was there before comes back, and the next write works.
 * Method: damage the newest copy, which is the second after two writes; then both. */
static void torn_write_leaves_the_content_before(void **state)
{
    struct fixture *f = *state;
    struct bytes content;
    write_small(f, "one");
    write_small(f, "two");
    damage(f, 4096 + 33);
    assert_small(f, "one");
    write_small(f, "three");
    assert_small(f, "three");
    write_small(f, "four");
    assert_small(f, "four");
    damage(f, 8);         /* the number */
    damage(f, 4096 + 17); /* the length */
    bytes_init(&content, 0);
    assert_int_equal(disk_small_read(f->path, &content, &f->error), ERROR_CORRUPT);
    assert_int_equal(content.length, 0);
    write_small(f, "five");
    assert_small(f, "five");
    bytes_done(&content);
}

/* Goal: what is written next is what is read, whatever number a copy has.
 * Method: the last number there is, and one past it, which is damage; both with a right checksum. */
static void any_number_has_a_successor(void **state)
{
    struct fixture *f = *state;
    uint8_t slot[4096] = "autonomy";
    struct bytes content;
    bytes_init(&content, 0);
    for (uint64_t past = 0; past < 2; past++) {
        put_u64(slot + 8, (uint64_t)INT64_MAX + past);
        put_u32(slot + 16, 3);
        memcpy(slot + 32, "old", 3);
        put_u32(slot + 20, crc32c(crc32c(0, slot + 8, 12), slot + 32, 3));
        FILE *file = fopen(f->path, "wb");
        assert_non_null(file);
        assert_int_equal(fwrite(slot, 1, sizeof slot, file), sizeof slot);
        assert_int_equal(fclose(file), 0);
        assert_int_equal(disk_small_read(f->path, &content, &f->error), past ? ERROR_CORRUPT : ERROR_OK);
        write_small(f, "new");
        assert_small(f, "new");
        write_small(f, "newer");
        assert_small(f, "newer");
    }
    bytes_done(&content);
}

/* Goal: folders are made once and removed with what is in them.
 * Method: nested folders and files; a link must not be followed; what isn't there is fine. */
static void folders_come_and_go(void **state)
{
    struct fixture *f = *state;
    char below[256], outside[128], link_path[256];
    assert_int_equal(disk_folder_make(f->path, &f->error), ERROR_OK);
    assert_int_equal(disk_folder_make(f->path, &f->error), ERROR_OK);
    snprintf(below, sizeof(below), "%s/inner", f->path);
    assert_int_equal(disk_folder_make(below, &f->error), ERROR_OK);
    snprintf(below, sizeof(below), "%s/inner/file", f->path);
    assert_int_equal(disk_small_write(below, span_text("x"), &f->error), ERROR_OK);
    assert_true(disk_folder_bytes(f->path) >= 8192);

    snprintf(outside, sizeof(outside), "%s/outside", f->root);
    snprintf(link_path, sizeof(link_path), "%s/link", f->path);
    assert_int_equal(disk_small_write(outside, span_text("kept"), &f->error), ERROR_OK);
    assert_int_equal(symlink(f->root, link_path), 0);
    assert_int_equal(disk_remove(f->path, &f->error), ERROR_OK);
    assert_false(disk_exists(f->path));
    assert_true(disk_exists(outside));
    assert_int_equal(disk_remove(f->path, &f->error), ERROR_OK);

    snprintf(below, sizeof(below), "%s/no/such", f->root);
    assert_int_equal(disk_folder_make(below, &f->error), ERROR_NOT_FOUND);
    assert_int_equal(disk_folder_make(outside, &f->error), ERROR_IO); /* a file is in the way */
    assert_non_null(strstr(f->error.message, "isn't a folder"));
}

static void count_names(void *context, const char *name)
{
    unsigned *count = context;
    assert_true(strcmp(name, "a") == 0 || strcmp(name, "b") == 0);
    (*count)++;
}

/* Goal: a folder's names are listed; a missing folder is empty.
 * Method: two files. */
static void names_are_listed(void **state)
{
    struct fixture *f = *state;
    unsigned count = 0;
    char path[256];
    assert_int_equal(disk_list(f->path, count_names, &count, &f->error), ERROR_OK);
    assert_int_equal(count, 0);
    assert_int_equal(disk_folder_make(f->path, &f->error), ERROR_OK);
    for (const char *name = "ab"; *name; name++) {
        snprintf(path, sizeof(path), "%s/%c", f->path, *name);
        assert_int_equal(disk_small_write(path, span_text("x"), &f->error), ERROR_OK);
    }
    assert_int_equal(disk_list(f->path, count_names, &count, &f->error), ERROR_OK);
    assert_int_equal(count, 2);
}

/* Goal: the reserve takes real space and gives it back once.
 * Method: blocks of the file before and after. */
static void reserve_is_taken_and_given_back(void **state)
{
    struct fixture *f = *state;
    struct stat status;
    uint64_t free_bytes = 0;
    assert_int_equal(disk_reserve_release(f->path), 0);
    assert_int_equal(disk_reserve_make(f->path, 1u << 20, &f->error), ERROR_OK);
    assert_int_equal(disk_reserve_make(f->path, 1u << 20, &f->error), ERROR_OK);
    assert_int_equal(stat(f->path, &status), 0);
    assert_true(status.st_blocks * 512 >= 1 << 20);
    assert_int_equal(disk_reserve_release(f->path), 1u << 20);
    assert_int_equal(disk_reserve_release(f->path), 0);
    assert_int_equal(stat(f->path, &status), 0);
    assert_int_equal(status.st_size, 0);
    assert_true(disk_free_bytes(f->root, &free_bytes));
    assert_true(free_bytes > 0);
    assert_false(disk_free_bytes("/no/such/folder", &free_bytes));
    assert_int_not_equal(disk_reserve_make(f->path, 1ull << 60, &f->error), ERROR_OK);
    assert_int_equal(disk_reserve_release(f->path), 0); /* nothing stays of what could not be had */
}

/* Goal: one process holds the lock; another is told who does, and it ends with the holder, however that ends.
 * Method: a child takes it and is killed. */
static void lock_names_its_holder_and_ends_with_it(void **state)
{
    struct fixture *f = *state;
    struct disk_lock *lock = NULL;
    int ends[2], status;
    char byte, pid_text[32];
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    if (child == 0) {
        if (disk_lock_take(f->path, &lock, &f->error) != ERROR_OK)
            _exit(1);
        if (write(ends[1], "x", 1) != 1)
            _exit(1);
        pause();
        _exit(0);
    }
    assert_int_equal(read(ends[0], &byte, 1), 1);
    assert_int_equal(disk_lock_take(f->path, &lock, &f->error), ERROR_LOCKED);
    assert_null(lock);
    snprintf(pid_text, sizeof(pid_text), "(pid %ld)", (long)child);
    assert_non_null(strstr(f->error.message, pid_text));
    assert_non_null(strstr(f->error.message, "unit_base_test_"));
    kill(child, SIGKILL);
    assert_int_equal(waitpid(child, &status, 0), child);
    close(ends[0]);
    close(ends[1]);
    assert_int_equal(disk_lock_take(f->path, &lock, &f->error), ERROR_OK);
    disk_lock_release(lock);
    assert_int_equal(disk_lock_take(f->path, &lock, &f->error), ERROR_OK);
    disk_lock_release(lock);
    disk_lock_release(NULL);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(small_file_holds_the_last_content),
        TEST(torn_write_leaves_the_content_before),
        TEST(any_number_has_a_successor),
        TEST(folders_come_and_go),
        TEST(names_are_listed),
        TEST(reserve_is_taken_and_given_back),
        TEST(lock_names_its_holder_and_ends_with_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
