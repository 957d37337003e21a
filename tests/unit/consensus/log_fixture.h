/* A log on a disk and a worker in memory, for the tests of consensus/log. */
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
#include "chaos/sim/fake_disk.h"
#include "chaos/sim/fake_worker.h"
#include "consensus/log.h"

struct log_fixture {
    struct log *log;
    struct worker *worker;
    struct log_options options;
    uint64_t now_ms;
    uint64_t synced; /* the last operation that was reported */
    unsigned reports;
    unsigned failures;
    struct error failure, error;
    unsigned reads; /* answers to log_read_later() */
    struct entry *read_entries;
    uint32_t read_count;
    enum error_code read_code;
};

static inline uint64_t fixture_now(void *context)
{
    return ((struct log_fixture *)context)->now_ms;
}

static inline void fixture_synced(void *context, uint64_t operation)
{
    struct log_fixture *f = context;
    assert_true(operation > f->synced);
    f->synced = operation;
    f->reports++;
}

static inline void fixture_failed(void *context, const struct error *error)
{
    struct log_fixture *f = context;
    f->failures++;
    f->failure = *error;
}

static inline enum error_code fixture_try_open(struct log_fixture *f)
{
    return log_open(&f->options, &f->log, &f->error);
}

static inline void fixture_open(struct log_fixture *f)
{
    if (fixture_try_open(f) != ERROR_OK)
        fail_msg("%s", f->error.message);
    f->synced = 0;
    log_check(f->log);
}

static inline int fixture_set_up(void **state)
{
    struct log_fixture *f = calloc(1, sizeof(*f));
    if (!f || worker_open(NULL, "log", &f->worker, &f->error) != ERROR_OK)
        return -1;
    f->options = (struct log_options){.folder = "/n1/log",
                                      .worker = f->worker,
                                      .clock = {fixture_now, fixture_now, f},
                                      .reserve_bytes = 1u << 20,
                                      .on_synced = fixture_synced,
                                      .on_failed = fixture_failed,
                                      .context = f};
    *state = f;
    fixture_open(f);
    return 0;
}

static inline int fixture_tear_down(void **state)
{
    struct log_fixture *f = *state;
    log_close(f->log);
    worker_close(f->worker);
    log_entries_free(f->read_entries, f->read_count);
    free(f);
    fake_disk_reset();
    fake_worker_reset();
    return 0;
}

static inline void fixture_close(struct log_fixture *f)
{
    log_close(f->log);
    f->log = NULL;
}

/* The power goes: what waits is gone, what was written and not synced too, but for the `survive` oldest
 * batches. */
static inline void fixture_crash(struct log_fixture *f, uint64_t survive)
{
    fake_worker_drop(f->worker);
    fake_disk_crash("/n1/", survive);
    fixture_close(f);
}

/* Runs all jobs that wait. */
static inline void fixture_run(struct log_fixture *f)
{
    while (fake_worker_run(f->worker, 1) > 0)
        log_check(f->log);
}

static inline void fixture_vote(struct log_fixture *f, uint64_t term, uint64_t vote)
{
    assert_int_equal(log_vote_write(f->log, term, vote, &f->error), ERROR_OK);
}

/* Appends `count` entries "e<index>.<term>" from `index` on. */
static inline uint64_t fixture_append(struct log_fixture *f, uint64_t index, uint64_t term, uint32_t count)
{
    struct entry entries[64];
    char texts[64][40];
    assert_true(count <= 64);
    for (uint32_t i = 0; i < count; i++) {
        snprintf(texts[i], sizeof(texts[i]), "e%llu.%llu", (unsigned long long)(index + i),
                 (unsigned long long)term);
        entries[i] = (struct entry){
            .index = index + i, .term = term, .type = ENTRY_COMMAND, .data = span_text(texts[i])};
    }
    uint64_t operation = log_append(f->log, entries, count);
    log_check(f->log);
    return operation;
}

static inline uint64_t fixture_append_change(struct log_fixture *f, uint64_t index, uint64_t term,
                                             const char *payload)
{
    struct entry entry = {.index = index, .term = term, .type = ENTRY_CHANGE, .data = span_text(payload)};
    return log_append(f->log, &entry, 1);
}

/* Entry `index` is there with this term, read back from wherever it is. */
static inline void fixture_assert_entry(struct log_fixture *f, uint64_t index, uint64_t term)
{
    struct entry *entries;
    uint32_t count;
    char text[40];
    snprintf(text, sizeof(text), "e%llu.%llu", (unsigned long long)index, (unsigned long long)term);
    assert_int_equal(log_term_of(f->log, index), term);
    assert_int_equal(log_read(f->log, index, 1, &entries, &count, &f->error), ERROR_OK);
    assert_int_equal(count, 1);
    assert_int_equal(entries[0].index, index);
    assert_int_equal(entries[0].term, term);
    assert_true(span_equal(entries[0].data, span_text(text)));
    log_entries_free(entries, count);
}

static inline struct log_snapshot fixture_snapshot(uint64_t index, uint64_t term)
{
    struct log_snapshot snapshot = {
        .index = index, .term = term, .configuration_index = 1, .configuration_bytes = 4};
    memcpy(snapshot.configuration, "conf", 4);
    return snapshot;
}

static inline void fixture_entry_key(uint64_t index, uint8_t key[9])
{
    key[0] = 'e';
    put_u64(key + 1, index);
}

#define LOG_TEST(name) cmocka_unit_test_setup_teardown(name, fixture_set_up, fixture_tear_down)
