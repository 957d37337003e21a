#include "support/engine_bench.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "chaos/sim/fake_disk.h"
#include "chaos/sim/fake_worker.h"

static uint64_t now(void *context)
{
    return ((struct bench *)context)->now_ms;
}

static void keep_sent(void *context, uint64_t to, struct message *message)
{
    struct bench *bench = context;

    CHECK(bench->sent_count < BENCH_SENT_MAX, "%u messages", bench->sent_count);
    struct sent *sent = &bench->sent[bench->sent_count++];
    *sent =
        (struct sent){.to = to, .durable_at = log_durable_index(bench->log), .vote_at = log_vote(bench->log)};
    sent->message = *message;
    if (message->kind == MESSAGE_APPEND) {
        sent->entry_count = message->append.entry_count;
        sent->message.append.entries = NULL;
    }
}

static enum error_code keep_install(void *context, const char *folder, struct error *error)
{
    (void)context;
    (void)folder;
    (void)error;
    return ERROR_OK;
}

static void on_synced(void *context, uint64_t operation)
{
    struct bench *bench = context;

    (void)operation;
    if (bench->engine != NULL)
        engine_synced(bench->engine);
}

static void on_failed(void *context, const struct error *error)
{
    (void)context;
    CHECK(false, "%s", error->message);
}

void bench_encode(uint32_t first, uint32_t last, struct bytes *out)
{
    struct configuration configuration = {0};

    for (uint32_t id = first; id <= last; id++) {
        struct configuration_member *member = &configuration.members[configuration.count++];
        *member = (struct configuration_member){.node_id = id, .role = MEMBER_VOTER};
        snprintf(member->address, sizeof member->address, "n%u:1", id);
    }
    bytes_clear(out);
    configuration_encode(&configuration, out);
}

static void open_engine(struct bench *bench)
{
    struct clock clock = {now, now, bench};
    struct engine_options options = {.node_id = BENCH_SELF,
                                     .address = "n1:1",
                                     .log = bench->log,
                                     .clock = clock,
                                     .election_timeout_ms = 300,
                                     .heartbeat_ms = 30,
                                     .seed = 1,
                                     .rules_off = bench->rules_off,
                                     .send = keep_sent,
                                     .install = keep_install,
                                     .context = bench};
    bench->engine = engine_new(&options);
    CHECK(engine_start(bench->engine, 0, NULL) == ERROR_OK, "the engine does not start");
}

static void open_log(struct bench *bench)
{
    struct log_options options = {.folder = "/bench/log",
                                  .worker = bench->worker,
                                  .clock = {now, now, bench},
                                  .on_synced = on_synced,
                                  .on_failed = on_failed,
                                  .context = bench};
    CHECK(log_open(&options, &bench->log, NULL) == ERROR_OK, "the log does not open");
}

struct bench *bench_new(uint32_t voters, uint32_t rules_off)
{
    struct bench *bench = memory_zero(1, sizeof *bench);
    struct bytes payload;

    fake_disk_reset();
    bench->now_ms = 1000;
    bench->rules_off = rules_off;
    CHECK(worker_open(NULL, "log", &bench->worker, NULL) == ERROR_OK, "no worker");
    open_log(bench);
    CHECK(log_vote_write(bench->log, 1, 0, NULL) == ERROR_OK, "no term");
    bytes_init(&payload, 0);
    bench_encode(1, voters, &payload);
    struct entry entry = {.index = 1, .term = 1, .type = ENTRY_CHANGE, .data = bytes_span(&payload)};
    log_append(bench->log, &entry, 1);
    bytes_done(&payload);
    fake_worker_run(bench->worker, 100);
    open_engine(bench);
    return bench;
}

void bench_reopen(struct bench *bench)
{
    engine_free(bench->engine);
    bench->engine = NULL;
    log_close(bench->log);
    open_log(bench);
    open_engine(bench);
}

void bench_free(struct bench *bench)
{
    struct engine *engine = bench->engine;

    bench->engine = NULL;
    worker_drain(bench->worker);
    engine_free(engine);
    log_close(bench->log);
    worker_close(bench->worker);
    fake_disk_reset();
    free(bench);
}

struct engine_state bench_state(struct bench *bench)
{
    struct engine_state state;
    engine_state(bench->engine, &state);
    return state;
}

void bench_append(struct bench *bench, uint64_t term, uint64_t prev, uint64_t prev_term, uint32_t count,
                  uint64_t commit, uint64_t change, uint32_t change_voters)
{
    struct entry entries[BENCH_ENTRIES_MAX];
    struct bytes payload;

    bytes_init(&payload, 0);
    for (uint32_t i = 0; i < count; i++) {
        entries[i] = (struct entry){
            .index = prev + 1 + i, .term = term, .type = ENTRY_COMMAND, .data = span_of("command", 7)};
        if (entries[i].index != change)
            continue;
        bench_encode(1, change_voters, &payload);
        entries[i].type = ENTRY_CHANGE;
        entries[i].data = bytes_span(&payload);
    }
    struct message message = {.kind = MESSAGE_APPEND, .from = 2, .term = term};
    message.append.prev_index = prev;
    message.append.prev_term = prev_term;
    message.append.commit = commit;
    message.append.entries = entries;
    message.append.entry_count = count;
    engine_receive(bench->engine, &message, "n2:1", false);
    bytes_done(&payload);
}

const struct sent *bench_last_sent(struct bench *bench, enum message_kind kind)
{
    for (uint32_t i = bench->sent_count; i > 0; i--)
        if (bench->sent[i - 1].message.kind == kind)
            return &bench->sent[i - 1];
    check_failed(__FILE__, __LINE__, "sent", "no %s was sent", message_kind_name(kind));
}

uint32_t bench_count_sent(struct bench *bench, enum message_kind kind)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < bench->sent_count; i++)
        count += bench->sent[i].message.kind == kind;
    return count;
}

void bench_vote_result(struct bench *bench, uint64_t from, uint64_t term, bool granted, bool pre_vote)
{
    struct message message = {.kind = MESSAGE_VOTE_RESULT, .from = from, .term = term};

    message.vote_result.granted = granted;
    message.vote_result.pre_vote = pre_vote;
    engine_receive(bench->engine, &message, "n2:1", false);
}

void bench_become_leader(struct bench *bench)
{
    uint64_t term = bench_state(bench).term;

    bench->now_ms += 700;
    engine_tick(bench->engine);
    CHECK(bench_state(bench).role == CONSENSUS_CANDIDATE, "it does not stand");
    bench_vote_result(bench, 2, term + 1, true, true);
    CHECK(bench_state(bench).term == term + 1, "no term of its own");
    bench_vote_result(bench, 2, term + 1, true, false);
    CHECK(bench_state(bench).role == CONSENSUS_LEADER, "it does not lead");
}

void bench_append_result(struct bench *bench, uint64_t from, uint64_t rejected, uint64_t last_index)
{
    struct message message = {.kind = MESSAGE_APPEND_RESULT, .from = from, .term = bench_state(bench).term};

    message.append_result.rejected = rejected;
    message.append_result.last_index = last_index;
    engine_receive(bench->engine, &message, "n2:1", false);
}
