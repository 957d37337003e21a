/* One engine and crafted messages: the order of an update, and the rules that one engine shows. Each rule is
 * played with the rule on and off; what libraft's broken state would stop runs in a child process. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "chaos/sim/fake_disk.h"
#include "chaos/sim/fake_worker.h"
#include "consensus/rules.h"
#include "support/engine_bench.h"

/* True when `play` ends by itself in a child process, false when a check stops it. */
static bool survives(void (*play)(void))
{
    int status = 0;

    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        signal(SIGABRT, SIG_DFL);
        signal(SIGSEGV, SIG_DFL);
        if (freopen("/dev/null", "w", stderr) == NULL)
            _exit(9);
        play();
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* --- the order of an update
 * -------------------------------------------------------------------------------------------- */

/* Goal: a vote leaves only when it is on the disk.
 * Method: the vote in the log at the moment when the answer is sent. */
static void vote_is_durable_before_it_leaves(void **state)
{
    struct bench *bench = bench_new(3, 0);
    struct message message = {.kind = MESSAGE_VOTE, .from = 3, .term = 5};

    (void)state;
    message.vote.candidate = 3;
    message.vote.last_index = 9;
    message.vote.last_term = 4;
    uint64_t syncs = fake_disk_syncs("/bench/");
    engine_receive(bench->engine, &message, "n3:1", false);
    const struct sent *sent = bench_last_sent(bench, MESSAGE_VOTE_RESULT);
    assert_true(sent->message.vote_result.granted);
    assert_int_equal(sent->vote_at, 3);
    assert_int_equal(log_term(bench->log), 5);
    assert_true(fake_disk_syncs("/bench/") > syncs);
    bench_free(bench);
}

/* Goal: a follower answers an append when it is synced, not before (R3).
 * Method: the log's worker stands still. */
static void append_is_acknowledged_when_synced(void **state)
{
    struct bench *bench = bench_new(3, 0);

    (void)state;
    bench_append(bench, 1, 1, 1, 3, 0, 0, 0);
    assert_int_equal(log_last_index(bench->log), 4);
    assert_int_equal(bench_count_sent(bench, MESSAGE_APPEND_RESULT), 0);
    fake_worker_run(bench->worker, 100);
    const struct sent *sent = bench_last_sent(bench, MESSAGE_APPEND_RESULT);
    assert_int_equal(sent->message.append_result.last_index, 4);
    assert_int_equal(sent->durable_at, 4);
    bench_free(bench);
}

/* Goal: a queued truncation takes its claim back: what it destroys is not acknowledged (R3).
 * Method: entries, then others in their place in a later term, then only the first write ends. */
static void truncated_entries_are_not_claimed(void **state)
{
    struct bench *bench = bench_new(3, 0);

    (void)state;
    bench_append(bench, 1, 1, 1, 3, 0, 0, 0);
    bench_append(bench, 2, 2, 1, 2, 0, 0, 0); /* replaces 3 and 4 */
    fake_worker_run(bench->worker, 1);
    for (uint32_t i = 0; i < bench->sent_count; i++)
        if (bench->sent[i].message.kind == MESSAGE_APPEND_RESULT)
            assert_true(bench->sent[i].message.append_result.last_index <= 2);
    fake_worker_run(bench->worker, 100);
    assert_int_equal(bench_last_sent(bench, MESSAGE_APPEND_RESULT)->message.append_result.last_index, 4);
    bench_free(bench);
}

/* Goal: a leader sends a group while its own disk is still writing it.
 * Method: a submit with a worker that stands still. */
static void leader_sends_while_it_syncs(void **state)
{
    struct bench *bench = bench_new(3, 0);
    struct span command = span_of("x", 1);
    uint64_t index = 0, term = 0;

    (void)state;
    bench_become_leader(bench);
    bench_append_result(bench, 2, 0, 1);
    assert_int_equal(engine_submit(bench->engine, &command, 1, &index, &term), ERROR_OK);
    assert_int_equal(index, 2);
    const struct sent *sent = bench_last_sent(bench, MESSAGE_APPEND);
    assert_int_equal(sent->entry_count, 1);
    assert_int_equal(sent->durable_at, 1);
    assert_int_equal(bench_state(bench).commit_index, 1);
    bench_append_result(bench, 2, 0, 2);
    assert_int_equal(bench_state(bench).commit_index, 1); /* one of three: our own is not synced */
    fake_worker_run(bench->worker, 100);
    assert_int_equal(bench_state(bench).commit_index, 2);
    bench_free(bench);
}

/* --- R4
 * ------------------------------------------------------------------------------------------------------------------
 */

static void late_heartbeat(uint32_t rules_off)
{
    struct bench *bench = bench_new(3, rules_off);

    bench_append(bench, 1, 1, 1, 9, 10, 0, 0);
    fake_worker_run(bench->worker, 100);
    assert_int_equal(bench_state(bench).commit_index, 10);
    bench_append(bench, 1, 5, 1, 0, 12, 0,
                 0); /* sent long ago to somebody who had less, of a leader with more */
    assert_int_equal(bench_state(bench).commit_index, 10);
    bench_free(bench);
}

static void late_heartbeat_without_rule(void)
{
    late_heartbeat(RULE_SPLIT_APPENDS);
}

/* Goal: R4: no heartbeat takes the commit index back.
 * Method: one whose commit index lies far behind what it covers. */
static void commit_index_never_falls(void **state)
{
    (void)state;
    late_heartbeat(0);
    assert_false(survives(late_heartbeat_without_rule));
}

static uint64_t index_of_change(uint32_t rules_off)
{
    struct bench *bench = bench_new(3, rules_off);

    bench_append(bench, 1, 1, 1, 5, 0, 4, 4); /* 2 .. 6, the configuration at 4 */
    uint64_t index = bench_state(bench).configuration->index;
    assert_int_equal(log_last_index(bench->log), 6);
    bench_free(bench);
    return index;
}

/* Goal: R4, hazard 3: a configuration in the middle of a group keeps its index.
 * Method: R5 is off in both, since it would mend it. */
static void configuration_in_a_group_keeps_its_index(void **state)
{
    (void)state;
    assert_int_equal(index_of_change(RULE_PENDING_CONFIGURATION), 4);
    assert_int_not_equal(index_of_change(RULE_PENDING_CONFIGURATION | RULE_SPLIT_APPENDS), 4);
    assert_int_equal(index_of_change(0), 4);
}

static void append_below_head(uint32_t rules_off)
{
    struct bench *bench = bench_new(3, rules_off);
    struct log_snapshot snapshot = {.index = 8, .term = 1, .configuration_index = 1};
    struct bytes payload;

    bench_append(bench, 1, 1, 1, 9, 10, 0, 0);
    fake_worker_run(bench->worker, 100);
    bytes_init(&payload, 0);
    bench_encode(1, 3, &payload);
    memcpy(snapshot.configuration, payload.data, payload.length);
    snapshot.configuration_bytes = payload.length;
    bytes_done(&payload);
    assert_true(engine_snapshot(bench->engine, &snapshot, 2));
    fake_worker_run(bench->worker, 100);
    assert_int_equal(log_first_index(bench->log), 7);
    bench_append(bench, 1, 0, 0, 3, 3, 1, 3); /* 1 .. 3 once more, late */
    fake_worker_run(bench->worker, 100);
    assert_int_equal(log_last_index(bench->log), 10);
    assert_int_equal(log_term_of(bench->log, 10), 1);
    assert_int_equal(bench_last_sent(bench, MESSAGE_APPEND_RESULT)->message.append_result.last_index, 8);
    bench_append(bench, 1, 6, 1, 2, 8, 0, 0); /* behind 6, of which only the index is known */
    const struct sent *answer = bench_last_sent(bench, MESSAGE_APPEND_RESULT);
    assert_int_equal(answer->message.append_result.rejected, 0);
    assert_int_equal(answer->message.append_result.last_index, 8);
    bench_append(bench, 1, 0, 0, 12, 12, 1, 3); /* 1 .. 12: what we lack is taken */
    fake_worker_run(bench->worker, 100);
    assert_int_equal(log_last_index(bench->log), 12);
    bench_free(bench);
}

static void append_below_head_without_rule(void)
{
    append_below_head(RULE_SPLIT_APPENDS);
}

/* Goal: R4: entries from below our head don't land at our end.
 * Method: a snapshot, then the first append once more. */
static void late_append_below_the_head_is_moved_up(void **state)
{
    (void)state;
    append_below_head(0);
    assert_false(survives(append_below_head_without_rule));
}

/* Goal: what no leader sends never reaches libraft: falling terms, terms above the sender's, damaged
 * configurations. Method: each of them, and the log stays as it was. */
static void impossible_appends_are_dropped(void **state)
{
    struct bench *bench = bench_new(3, 0);
    struct entry entries[2] = {{.index = 2, .term = 3, .type = ENTRY_COMMAND, .data = span_of("x", 1)},
                               {.index = 3, .term = 2, .type = ENTRY_COMMAND, .data = span_of("y", 1)}};
    struct message message = {.kind = MESSAGE_APPEND, .from = 2, .term = 3};

    (void)state;
    message.append.prev_index = 1;
    message.append.prev_term = 1;
    message.append.entries = entries;
    message.append.entry_count = 2;
    engine_receive(bench->engine, &message, "n2:1", false);
    entries[1].term = 4;
    engine_receive(bench->engine, &message, "n2:1", false);
    entries[1] = (struct entry){.index = 3, .term = 3, .type = ENTRY_CHANGE, .data = span_of("\1\2\3", 3)};
    engine_receive(bench->engine, &message, "n2:1", false);
    entries[1].index = 7;
    engine_receive(bench->engine, &message, "n2:1", false);
    message.append.entry_count = 0;
    message.append.prev_index = 0;
    engine_receive(bench->engine, &message, "n2:1", false);
    assert_int_equal(log_last_index(bench->log), 1);
    assert_null(engine_failure(bench->engine));
    assert_int_equal(bench_state(bench).term, 1);
    bench_free(bench);
}

/* --- R5
 * ------------------------------------------------------------------------------------------------------------------
 */

static uint64_t configuration_after_rollback(uint32_t rules_off)
{
    struct bench *bench = bench_new(3, rules_off);

    bench_append(bench, 1, 1, 1, 1, 1, 2, 4);
    bench_append(bench, 1, 2, 1, 1, 2, 3, 5);
    fake_worker_run(bench->worker, 100);
    bench_append(bench, 2, 2, 1, 1, 2, 0, 0); /* another leader's command takes the place of 3 */
    fake_worker_run(bench->worker, 100);
    uint64_t index = bench_state(bench).configuration->index;
    bench_free(bench);
    return index;
}

/* Goal: R5: after a configuration was rolled back, the one before it holds, not the one before that.
 * Method: two changes in a row, the second truncated. */
static void rolled_back_configuration_leaves_the_one_before(void **state)
{
    (void)state;
    assert_int_equal(configuration_after_rollback(0), 2);
    assert_int_equal(configuration_after_rollback(RULE_PENDING_CONFIGURATION), 1);
}

/* Goal: R5: where libraft's configuration isn't the log's, the engine starts anew from the log, once all of
 * it is synced. Method: libraft is made to forget a pending configuration behind our back. */
static void wrong_configuration_starts_the_engine_anew(void **state)
{
    struct bench *bench = bench_new(3, 0);

    (void)state;
    bench_append(bench, 1, 1, 1, 1, 1, 2, 4);
    assert_int_equal(bench_state(bench).configuration->index, 2);
    bench->engine->raft.configuration_uncommitted_index = 0;
    bench_append(bench, 1, 2, 1, 1, 1, 0, 0);
    assert_int_equal(bench_state(bench).starts, 1);
    assert_int_equal(engine_deadline_ms(bench->engine), CONSENSUS_NEVER); /* no event until all is synced */
    bench_append(bench, 1, 3, 1, 1, 1, 0, 0);
    assert_int_equal(log_last_index(bench->log), 3);
    fake_worker_run(bench->worker, 100);
    assert_int_equal(bench_state(bench).starts, 2);
    assert_int_equal(bench_state(bench).configuration->index, 2);
    assert_true(bench_state(bench).change_pending);
    bench_append(bench, 1, 3, 1, 1, 1, 0, 0);
    assert_int_equal(log_last_index(bench->log), 4);
    bench_free(bench);
}

/* --- R7
 * ------------------------------------------------------------------------------------------------------------------
 */

/* Goal: R7: a change of more than one member, or of none, is refused.
 * Method: a leader of three is asked for five at once. */
static void change_of_two_members_is_refused(void **state)
{
    struct configuration after;
    uint64_t index, term;

    (void)state;
    for (int on = 0; on < 2; on++) {
        struct bench *bench = bench_new(3, on ? 0 : RULE_ONE_CHANGE);
        bench_become_leader(bench);
        after = *bench_state(bench).configuration;
        if (on)
            assert_int_equal(engine_change(bench->engine, &after, &index, &term), ERROR_INVALID);
        for (uint32_t id = 4; id <= 5; id++) {
            after.members[after.count] = (struct configuration_member){.node_id = id, .role = MEMBER_VOTER};
            snprintf(after.members[after.count++].address, ADDRESS_BYTES_MAX, "n%u:1", id);
        }
        assert_int_equal(engine_change(bench->engine, &after, &index, &term), on ? ERROR_INVALID : ERROR_OK);
        bench_free(bench);
    }
}

/* Goal: one change at a time, and none from a follower; a refused submit keeps nothing.
 * Method: two changes in a row on a leader. */
static void second_change_waits_for_the_first(void **state)
{
    struct bench *bench = bench_new(3, 0);
    struct configuration after;
    uint64_t index, term;

    (void)state;
    after = *bench_state(bench).configuration;
    after.members[2].role = MEMBER_STANDBY;
    assert_int_equal(engine_change(bench->engine, &after, &index, &term), ERROR_NOT_LEADER);
    bench_become_leader(bench);
    assert_int_equal(engine_change(bench->engine, &after, &index, &term), ERROR_OK);
    assert_true(bench_state(bench).change_pending);
    uint64_t last = log_last_index(bench->log);
    after.members[2].role = MEMBER_VOTER;
    assert_int_equal(engine_change(bench->engine, &after, &index, &term), ERROR_CONFLICT);
    assert_int_equal(log_last_index(bench->log), last);
    bench_free(bench);
}

/* --- R9
 * ------------------------------------------------------------------------------------------------------------------
 */

static uint64_t term_after_stray_vote(uint32_t rules_off)
{
    struct bench *bench = bench_new(3, rules_off);

    bench_vote_result(bench, 2, 7, false, true);
    uint64_t term = bench_state(bench).term;
    bench_free(bench);
    return term;
}

/* Goal: R9: a vote's result changes nothing on who is no candidate.
 * Method: a late pre-vote result of term 7 on a follower of term 1. */
static void vote_result_reaches_candidates_only(void **state)
{
    (void)state;
    assert_int_equal(term_after_stray_vote(0), 1);
    assert_int_equal(term_after_stray_vote(RULE_VOTE_RESULTS), 7);
}

/* Goal: R9: an answer to a lower term carries no uninitialised index.
 * Method: an append of term 1 on a follower of term 3. */
static void answer_to_a_lower_term_has_no_index(void **state)
{
    struct bench *bench = bench_new(3, 0);

    (void)state;
    bench_append(bench, 3, 1, 1, 0, 0, 0, 0);
    bench_append(bench, 1, 1, 1, 1, 0, 0, 0);
    const struct sent *sent = bench_last_sent(bench, MESSAGE_APPEND_RESULT);
    assert_int_equal(sent->message.term, 3);
    assert_int_equal(sent->message.append_result.last_index, 0);
    assert_int_equal(sent->message.append_result.rejected, 1);
    bench_free(bench);
}

/* --- R10
 * ------------------------------------------------------------------------------------------------------------------
 */

static bool fails_on_conflict(uint32_t rules_off)
{
    struct bench *bench = bench_new(3, rules_off);

    bench_append(bench, 1, 1, 1, 3, 4, 0, 0);
    fake_worker_run(bench->worker, 100);
    bench_append(bench, 2, 4, 2, 0, 0, 0, 0); /* entry 4 is committed in term 1 */
    bool failed = engine_failure(bench->engine) != NULL;
    if (failed)
        assert_int_equal(engine_deadline_ms(bench->engine), CONSENSUS_NEVER);
    bench_free(bench);
    return failed;
}

/* Goal: R10: an error that libraft should not give stops the node.
 * Method: a leader that contradicts a committed entry. */
static void unexpected_error_is_final(void **state)
{
    (void)state;
    assert_true(fails_on_conflict(0));
    assert_false(fails_on_conflict(RULE_FATAL_ERRORS));
}

/* Goal: a vote that can't be written is never given.
 * Method: the disk fails the next sync. */
static void failed_vote_is_not_given(void **state)
{
    struct bench *bench = bench_new(3, 0);
    struct message message = {.kind = MESSAGE_VOTE, .from = 3, .term = 5};

    (void)state;
    message.vote.candidate = 3;
    message.vote.last_index = 9;
    message.vote.last_term = 4;
    fake_disk_fail_syncs("/bench/", 1, ERROR_IO);
    engine_receive(bench->engine, &message, "n3:1", false);
    assert_int_equal(bench_count_sent(bench, MESSAGE_VOTE_RESULT), 0);
    assert_non_null(engine_failure(bench->engine));
    bench_free(bench);
}

/* --- R12, R14
 * ---------------------------------------------------------------------------------------------------------------
 */

static uint64_t term_in_refused_pre_vote(uint32_t rules_off)
{
    struct bench *bench = bench_new(3, rules_off);
    struct message message = {.kind = MESSAGE_VOTE, .from = 3, .term = 4};

    message.vote.candidate = 3;
    message.vote.last_index = 99;
    message.vote.last_term = 3;
    message.vote.pre_vote = true;
    bench_append(bench, 6, 1, 1, 0, 0, 0, 0);
    bench->now_ms += 700;
    engine_tick(bench->engine); /* no leader any more, a candidate itself */
    engine_receive(bench->engine, &message, "n3:1", false);
    const struct sent *sent = bench_last_sent(bench, MESSAGE_VOTE_RESULT);
    assert_false(sent->message.vote_result.granted);
    uint64_t term = sent->message.term;
    bench_free(bench);
    return term;
}

/* Goal: R12: a candidate whose term is too low learns the higher one, also in a pre-vote.
 * Method: a pre-vote for term 4 at a node in term 6. */
static void refused_pre_vote_tells_the_term(void **state)
{
    (void)state;
    assert_int_equal(term_in_refused_pre_vote(0), 6);
    assert_int_equal(term_in_refused_pre_vote(RULE_PRE_VOTE_TERMS), 4);
}

static uint32_t entries_after_late_rejection(uint32_t rules_off)
{
    struct bench *bench = bench_new(3, rules_off);
    struct span command = span_of("x", 1);
    uint64_t index, term;

    bench_append(bench, 1, 1, 1, 9, 10, 0, 0);
    fake_worker_run(bench->worker, 100);
    bench_become_leader(bench);
    bench_append_result(bench, 2, 0, 10); /* matches all */
    bench->now_ms += 30;
    engine_tick(bench->engine);
    bench->now_ms += 30;
    engine_tick(bench->engine);           /* silent since the last one: probed */
    bench_append_result(bench, 2, 10, 4); /* said long ago */
    bench->now_ms += 5;
    assert_int_equal(engine_submit(bench->engine, &command, 1, &index, &term), ERROR_OK);
    bench->now_ms += 30;
    bench_append_result(bench, 3, 0, 10);
    bench_append_result(bench, 2, 0, 4);
    engine_tick(bench->engine);
    uint32_t most = 0;
    for (uint32_t i = 0; i < bench->sent_count; i++)
        if (bench->sent[i].to == 2 && bench->sent[i].message.kind == MESSAGE_APPEND &&
            bench->sent[i].entry_count > most)
            most = bench->sent[i].entry_count;
    bench_free(bench);
    return most;
}

/* Goal: R14: after a late rejection a follower still gets entries.
 * Method: a rejection below what it has matched, then a submit. */
static void late_rejection_is_ignored(void **state)
{
    (void)state;
    assert_true(entries_after_late_rejection(0) > 0);
    assert_int_equal(entries_after_late_rejection(RULE_STALE_REJECTIONS), 0);
}

/* --- others
 * -----------------------------------------------------------------------------------------------------------------
 */

/* Goal: a follower that answers and doesn't get on is not sent the same entries with every submit.
 * Method: five submits within a heartbeat; then a heartbeat later. */
static void probed_follower_gets_entries_once_a_heartbeat(void **state)
{
    struct bench *bench = bench_new(3, 0);
    struct span command = span_of("x", 1);
    uint64_t index, term;
    uint32_t early = 0, all = 0;

    (void)state;
    bench_become_leader(bench);
    for (int i = 0; i < 5; i++) {
        bench->now_ms += 3;
        assert_int_equal(engine_submit(bench->engine, &command, 1, &index, &term), ERROR_OK);
        bench_append_result(bench, 2, 0, 0);
    }
    for (uint32_t i = 0; i < bench->sent_count; i++)
        early += bench->sent[i].to == 2 && bench->sent[i].entry_count > 0;
    assert_int_equal(early, 1);
    bench->now_ms += 30;
    engine_tick(bench->engine);
    for (uint32_t i = 0; i < bench->sent_count; i++)
        all += bench->sent[i].to == 2 && bench->sent[i].entry_count > 0;
    assert_int_equal(all, 2);
    bench_free(bench);
}

/* Goal: a candidate's pre-vote raises no term; the quick candidacy comes 2 ms after the leader's last word at
 * the earliest. Method: a follower of node 2 is hastened at once, and again later. */
static void hastened_candidacy_is_a_pre_vote(void **state)
{
    struct bench *bench = bench_new(3, 0);

    (void)state;
    bench_append(bench, 4, 1, 1, 0, 0, 0, 0);
    assert_false(engine_hasten(bench->engine));
    bench->now_ms += 3;
    assert_true(engine_hasten(bench->engine));
    assert_int_equal(bench_state(bench).role, CONSENSUS_CANDIDATE);
    assert_int_equal(bench_state(bench).term, 4);
    assert_true(bench_last_sent(bench, MESSAGE_VOTE)->message.vote.pre_vote);
    assert_true(engine_deadline_ms(bench->engine) >= bench->now_ms + 300); /* the timeout is back */
    bench_free(bench);
}

/* Goal: a follower that is far behind gets entries from the disk, in pieces, and never older ones than it
 * asked for. Method: a cache that lost them: the log opened anew. */
static void old_entries_are_read_from_the_disk(void **state)
{
    struct bench *bench = bench_new(3, 0);

    (void)state;
    bench_append(bench, 1, 1, 1, 200, 0, 0, 0);
    fake_worker_run(bench->worker, 100);
    bench_reopen(bench);
    bench_become_leader(bench);
    bench_append_result(bench, 2, 201, 50);
    fake_worker_run(bench->worker, 100);
    uint64_t next = 51; /* the first one it lacks */
    for (uint32_t i = 0; i < bench->sent_count; i++) {
        const struct sent *sent = &bench->sent[i];
        if (sent->to == 2 && sent->message.kind == MESSAGE_APPEND &&
            sent->message.append.prev_index + 1 == next)
            next += sent->entry_count;
    }
    assert_int_equal(next, log_last_index(bench->log) + 1);
    bench_free(bench);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(vote_is_durable_before_it_leaves),
        cmocka_unit_test(append_is_acknowledged_when_synced),
        cmocka_unit_test(truncated_entries_are_not_claimed),
        cmocka_unit_test(leader_sends_while_it_syncs),
        cmocka_unit_test(commit_index_never_falls),
        cmocka_unit_test(configuration_in_a_group_keeps_its_index),
        cmocka_unit_test(late_append_below_the_head_is_moved_up),
        cmocka_unit_test(impossible_appends_are_dropped),
        cmocka_unit_test(rolled_back_configuration_leaves_the_one_before),
        cmocka_unit_test(wrong_configuration_starts_the_engine_anew),
        cmocka_unit_test(change_of_two_members_is_refused),
        cmocka_unit_test(second_change_waits_for_the_first),
        cmocka_unit_test(vote_result_reaches_candidates_only),
        cmocka_unit_test(answer_to_a_lower_term_has_no_index),
        cmocka_unit_test(unexpected_error_is_final),
        cmocka_unit_test(failed_vote_is_not_given),
        cmocka_unit_test(refused_pre_vote_tells_the_term),
        cmocka_unit_test(late_rejection_is_ignored),
        cmocka_unit_test(probed_follower_gets_entries_once_a_heartbeat),
        cmocka_unit_test(hastened_candidacy_is_a_pre_vote),
        cmocka_unit_test(old_entries_are_read_from_the_disk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
