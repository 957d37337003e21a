/* The log's store as a bad disk left it: it opens and is whole (and opens again as the same), or it is
 * refused with a sentence. An input is a list of changes to a sound log: one byte says what, one how long,
 * then the bytes. Checksums are made right, since no fuzzer guesses them and RocksDB's own stand below. */
#include <string.h>

#include "base/disk.h"
#include "base/hash.h"
#include "base/kv.h"
#include "chaos/sim/fake_disk.h"
#include "chaos/sim/fake_worker.h"
#include "consensus/log.h"
#include "consensus/log_internal.h"
#include "fuzz/fuzz.h"

#define FOLDER      "/n1/log"
#define CHANGES_MAX 64u

static uint64_t now_ms(void *context)
{
    (void)context;
    return 1000;
}

static void on_synced(void *context, uint64_t operation)
{
    (void)context, (void)operation;
}

static void on_failed(void *context, const struct error *error)
{
    (void)context;
    CHECK(false, "a sound disk: %s", error->message);
}

static enum error_code open_log(struct worker *worker, struct log **out, struct error *error)
{
    const struct log_options options = {.folder = FOLDER,
                                        .worker = worker,
                                        .clock = {now_ms, now_ms, NULL},
                                        .reserve_bytes = 1u << 16,
                                        .on_synced = on_synced,
                                        .on_failed = on_failed};
    return log_open(&options, out, error);
}

static void close_log(struct log *log, struct worker *worker)
{
    while (fake_worker_run(worker, 1) > 0) {
    }
    log_close(log);
}

/* Four entries in two terms, a vote, a mark. */
static void make_sound(struct worker *worker)
{
    struct log *log = NULL;
    struct error error = {0};
    CHECK(open_log(worker, &log, &error) == ERROR_OK, "%s", error.message);
    CHECK(log_adopt(log, "0123456789abcdef0123456789abcdef", 1, &error) == ERROR_OK, "%s", error.message);
    CHECK(log_vote_write(log, 3, 7, &error) == ERROR_OK, "%s", error.message);
    const struct entry entries[] = {
        {.index = 1, .term = 1, .type = ENTRY_CHANGE, .data = span_text("members")},
        {.index = 2, .term = 1, .type = ENTRY_COMMAND, .data = span_text("one")},
        {.index = 3, .term = 3, .type = ENTRY_BARRIER, .data = span_text("")},
        {.index = 4, .term = 3, .type = ENTRY_COMMAND, .data = span_text("two")}};
    (void)log_append(log, entries, 4);
    while (fake_worker_run(worker, 1) > 0) {
    }
    log_mark(log, 2, 1);
    close_log(log, worker);
}

/* A record with the checksum that its content asks for. */
static void put_record(struct kv_batch *batch, const char *key, struct span content)
{
    struct bytes value;
    bytes_init(&value, 0);
    bytes_extend(&value, 4);
    bytes_append(&value, content.data, content.bytes);
    put_u32(value.data, crc32c(crc32c(0, key, strlen(key)), value.data + 4, content.bytes));
    kv_batch_put(batch, span_text(key), bytes_span(&value));
    bytes_done(&value);
}

/* Index, term, type, then the content. */
static void put_entry(struct kv_batch *batch, struct span content)
{
    const uint8_t *bytes = content.data;
    uint8_t key[LOG_KEY_BYTES];
    struct bytes value;
    if (content.bytes < 3)
        return;
    const struct entry entry = {.index = bytes[0],
                                .term = bytes[1],
                                .type = (enum entry_type)bytes[2],
                                .data = span_of(bytes + 3, content.bytes - 3)};
    bytes_init(&value, 0);
    log_entry_encode(&entry, &value);
    kv_batch_put(batch, log_entry_key(entry.index, key), bytes_span(&value));
    bytes_done(&value);
}

static void change(struct kv_batch *batch, uint8_t what, struct span content)
{
    static const char *const records[] = {"m", "s", "w"};
    struct error error = {0};
    const uint8_t *bytes = content.data;
    uint8_t key[LOG_KEY_BYTES];
    switch (what % 8) {
    case 0:
    case 1:
    case 2:
        put_record(batch, records[what % 8], content);
        break;
    case 3:
        put_entry(batch, content);
        break;
    case 4: /* without an entry, or without a record */
        if (content.bytes == 1)
            kv_batch_delete(batch, log_entry_key(bytes[0], key));
        else if (content.bytes > 1)
            kv_batch_delete(batch, span_text(records[bytes[0] % 3]));
        break;
    case 5: /* what no log ever wrote */
        if (content.bytes > 0)
            kv_batch_put(batch, span_of(content.data, content.bytes < 9 ? content.bytes : 9), content);
        break;
    case 6:
        CHECK(disk_small_write("/n1/mark", content, &error) == ERROR_OK, "%s", error.message);
        break;
    default:
        CHECK(disk_remove("/n1/mark", &error) == ERROR_OK, "%s", error.message);
    }
}

static void change_all(const uint8_t *data, size_t length)
{
    struct kv *kv = NULL;
    struct error error = {0};
    const struct kv_options options = {.wal = true};
    CHECK(kv_open(FOLDER, &options, &kv, &error) == ERROR_OK, "%s", error.message);
    struct kv_batch *batch = kv_batch_new();
    for (unsigned i = 0; i < CHANGES_MAX && length >= 2; i++) {
        const size_t bytes = data[1] <= length - 2 ? data[1] : length - 2;
        change(batch, data[0], span_of(data + 2, bytes));
        data += 2 + bytes;
        length -= 2 + bytes;
    }
    CHECK(kv_write(kv, batch, (struct kv_write_options){.sync = true}, &error) == ERROR_OK, "%s",
          error.message);
    kv_batch_free(batch);
    kv_close(kv);
}

/* All that it says it holds can be read, and is consecutive. */
static void check_entries(struct log *log)
{
    const uint64_t last = log_last_index(log);
    uint64_t index = log_first_index(log);
    log_check(log);
    while (index <= last) {
        struct entry *entries = NULL;
        uint32_t count = 0;
        struct error error = {0};
        CHECK(log_read(log, index, 100, &entries, &count, &error) == ERROR_OK, "%s", error.message);
        CHECK(count > 0 && entries[0].index == index, "entry %llu isn't there", (unsigned long long)index);
        CHECK(entries[0].term == log_term_of(log, index), "entry %llu has two terms",
              (unsigned long long)index);
        index += count;
        log_entries_free(entries, count);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
    struct log *log = NULL;
    struct worker *worker = NULL;
    struct error error = {0};
    if (length > 8192)
        return 0;
    CHECK(worker_open(NULL, "log", &worker, &error) == ERROR_OK, "%s", error.message);
    make_sound(worker);
    change_all(data, length);
    const enum error_code code = open_log(worker, &log, &error);
    if (code != ERROR_OK) {
        check_error(&error, code);
    } else {
        struct wire_identity identity, again;
        check_entries(log);
        const uint64_t first = log_first_index(log), last = log_last_index(log), term = log_term(log);
        const uint64_t vote = log_vote(log);
        log_identity(log, &identity);
        close_log(log, worker);
        CHECK(open_log(worker, &log, &error) == ERROR_OK, "it opened once: %s", error.message);
        log_identity(log, &again);
        CHECK(first == log_first_index(log) && last == log_last_index(log), "other entries");
        CHECK(term == log_term(log) && vote == log_vote(log), "another promise");
        CHECK(identity.node_id == again.node_id && strcmp(identity.cluster_id, again.cluster_id) == 0,
              "another node");
        close_log(log, worker);
    }
    worker_close(worker);
    fake_disk_reset();
    fake_worker_reset();
    return 0;
}
