/* Write-ahead logs made here byte by byte, by the form that kv_wal.c describes; test_log_rocksdb meets
 * RocksDB's own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/disk.h"
#include "base/hash.h"
#include "base/kv_wal.h"

#define BLOCK 32768u
enum { FULL = 1, FIRST, MIDDLE, LAST };

struct fixture {
    char folder[64];
    struct bytes file;
    struct error error;
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    if (!f)
        return -1;
    snprintf(f->folder, sizeof(f->folder), "/tmp/test_kv_wal.XXXXXX");
    bytes_init(&f->file, 0);
    *state = f;
    return mkdtemp(f->folder) ? 0 : -1;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    int rc = (int)disk_remove(f->folder, &f->error);
    bytes_done(&f->file);
    free(f);
    return rc;
}

static void put_little(uint8_t *out, uint32_t value, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        out[i] = (uint8_t)(value >> (8 * i));
}

/* @return where the record begins */
static size_t add(struct fixture *f, uint8_t type, size_t length)
{
    size_t at = f->file.length;
    uint8_t *record = bytes_extend(&f->file, 7 + length);
    record[6] = type;
    memset(record + 7, 'p', length);
    uint32_t sum = crc32c(0, record + 6, 1 + length);
    put_little(record, (sum >> 15 | sum << 17) + 0xa282ead8u, 4);
    put_little(record + 4, (uint32_t)length, 2);
    assert_true(at / BLOCK == (f->file.length - 1) / BLOCK);
    return at;
}

static void add_zeros(struct fixture *f, size_t length)
{
    memset(bytes_extend(&f->file, length), 0, length);
}

static void save(struct fixture *f, const char *name)
{
    char path[128];
    snprintf(path, sizeof(path), "%s/%s", f->folder, name);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    if (f->file.length > 0)
        assert_int_equal(fwrite(f->file.data, 1, f->file.length, file), f->file.length);
    assert_int_equal(fclose(file), 0);
    bytes_clear(&f->file);
}

static void assert_check(struct fixture *f, bool across, enum error_code expected)
{
    if (kv_wal_check(f->folder, across, &f->error) != expected)
        fail_msg("across=%d: expected %s, last error: %s", across, error_name(expected), f->error.message);
}

/* Goal: what is whole, or isn't there, is fine.
 * Method: no file; an empty one; records that fill blocks to within a head, with the zeros that then follow.
 */
static void whole_logs_pass(void **state)
{
    struct fixture *f = *state;
    assert_check(f, true, ERROR_OK);
    save(f, "000001.log");
    add(f, FULL, 100);
    add(f, FIRST, BLOCK - 107 - 7);
    add(f, MIDDLE, BLOCK - 7);
    add(f, LAST, BLOCK - 7 - 6); /* leaves 6 bytes, too few for a head */
    add_zeros(f, 6);
    add(f, FULL, 0);
    add_zeros(f, 5000);
    save(f, "000002.log");
    assert_check(f, false, ERROR_OK);
    assert_check(f, true, ERROR_OK);
}

/* Goal: a torn end passes, however it is torn: within one record nothing begins.
 * Method: cut in each part; a flipped bit in the last record; a cut record whose later pieces are there;
 * zeros then pieces. */
static void torn_end_passes(void **state)
{
    struct fixture *f = *state;
    for (size_t cut = 1; cut < 107; cut++) {
        add(f, FULL, 100);
        add(f, FULL, 100);
        f->file.length -= cut;
        save(f, "000001.log");
        assert_check(f, false, ERROR_OK);
    }
    add(f, FULL, 100);
    size_t at = add(f, FULL, 100);
    f->file.data[at + 50] ^= 1;
    save(f, "000001.log");
    assert_check(f, true, ERROR_OK);

    at = add(f, FIRST, BLOCK - 7);
    add(f, MIDDLE, BLOCK - 7);
    add(f, LAST, 500);
    memset(f->file.data + at, 0, BLOCK); /* this block wasn't written before the power went */
    save(f, "000001.log");
    assert_check(f, true, ERROR_OK);
}

/* Goal: a record that begins behind damage refuses, wherever the damage is.
 * Method: flip every byte of the first of two records; blank a block before a record; damage across blocks.
 */
static void whole_record_behind_damage_refuses(void **state)
{
    struct fixture *f = *state;
    for (size_t at = 0; at < 57; at++) {
        add(f, FULL, 50);
        add(f, FULL, 50);
        f->file.data[at] ^= 1;
        save(f, "000001.log");
        assert_check(f, false, ERROR_CORRUPT);
        assert_non_null(strstr(f->error.message, "000001.log is damaged at byte 0"));
    }
    add_zeros(f, BLOCK);
    add(f, FIRST, BLOCK - 7);
    save(f, "000001.log");
    assert_check(f, false, ERROR_CORRUPT);

    size_t at = add(f, FIRST, BLOCK - 7);
    add(f, LAST, 500);
    add(f, FULL, 10);
    f->file.data[at + 1000] ^= 1;
    save(f, "000001.log");
    assert_check(f, false, ERROR_CORRUPT);
}

/* Goal: files are in order of their numbers; behind damage in one, whole records in a later one refuse where
 * that is asked for. Method: a torn end in the ninth, whole records in the tenth; names that are no logs. */
static void later_file_behind_damage_refuses_when_asked(void **state)
{
    struct fixture *f = *state;
    add(f, FULL, 100);
    f->file.length -= 10;
    save(f, "000009.log");
    add(f, FULL, 100);
    save(f, "000010.log");
    add(f, FULL, 100);
    f->file.data[0] ^= 1;
    add(f, FULL, 100);
    save(f, "notes.log");
    assert_check(f, false, ERROR_OK);
    assert_check(f, true, ERROR_CORRUPT);
    assert_non_null(strstr(f->error.message, "000009.log is damaged at byte 0"));
    add_zeros(f, 1000);
    save(f, "000010.log");
    assert_check(f, true, ERROR_OK);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(whole_logs_pass),
        TEST(torn_end_passes),
        TEST(whole_record_behind_damage_refuses),
        TEST(later_file_behind_damage_refuses_when_asked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
