/* Proposals that wait, are submitted, and meet their fate. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "consensus/proposal.h"

struct answer {
    uint32_t count;
    enum error_code code;
    uint64_t index;
};

static void answered(void *context, const struct result *result, const struct error *error)
{
    struct answer *answer = context;

    answer->count++;
    answer->code = error == NULL ? ERROR_OK : error->code;
    answer->index = result == NULL ? 0 : result->index;
}

static void push(struct proposals *proposals, struct answer *answer)
{
    *answer = (struct answer){0};
    assert_int_equal(proposals_push(proposals, "command", 7, answered, answer, NULL), ERROR_OK);
}

static void apply(struct proposals *proposals, uint64_t index, uint64_t term)
{
    struct entry entry = {.index = index, .term = term, .type = ENTRY_COMMAND};
    struct result result = {.index = index};
    proposals_applied(proposals, &entry, &result, 1);
}

/* Goal: a group takes the oldest first and stops at its bounds.
 * Method: commands of 64 KiB, of which 16 fill a group. */
static void group_is_bounded_and_in_order(void **state)
{
    struct proposals proposals;
    static struct span group[GROUP_COMMANDS_MAX];
    static uint8_t command[COMMAND_BYTES_MAX];
    struct answer answers[40] = {{0}};
    size_t bytes = 0;

    (void)state;
    proposals_init(&proposals, true);
    for (uint8_t i = 0; i < 40; i++) {
        command[0] = i;
        assert_int_equal(proposals_push(&proposals, command, sizeof command, answered, &answers[i], NULL),
                         ERROR_OK);
    }
    uint32_t count = proposals_group(&proposals, group, &bytes);
    assert_int_equal(count, GROUP_BYTES_MAX / COMMAND_BYTES_MAX);
    assert_int_equal(bytes, GROUP_BYTES_MAX);
    for (uint8_t i = 0; i < count; i++)
        assert_int_equal(((const uint8_t *)group[i].data)[0], i);
    proposals_submitted(&proposals, count, 10, 3, 0);
    assert_int_equal(proposals.waiting.count, 40 - count);
    proposals_check(&proposals);
    proposals_fail(&proposals, ERROR_CLOSED, "the end");
    assert_int_equal(answers[0].code, ERROR_UNKNOWN);
    assert_int_equal(answers[39].code, ERROR_CLOSED);
    assert_int_equal(proposals_count(&proposals), 0);
}

/* Goal: full means refused: nothing kept, nothing called.
 * Method: more bytes than the bound, an empty and a too long command. */
static void full_queue_refuses(void **state)
{
    struct proposals proposals;
    static uint8_t command[COMMAND_BYTES_MAX + 1];
    struct answer answer = {0};
    struct error error = {0};
    uint32_t accepted = 0;

    (void)state;
    proposals_init(&proposals, true);
    assert_int_equal(proposals_push(&proposals, command, 0, answered, &answer, &error), ERROR_TOO_BIG);
    assert_int_equal(proposals_push(&proposals, command, sizeof command, answered, &answer, &error),
                     ERROR_TOO_BIG);
    while (proposals_push(&proposals, command, COMMAND_BYTES_MAX, answered, &answer, &error) == ERROR_OK)
        accepted++;
    assert_int_equal(error.code, ERROR_BUSY);
    assert_int_equal(accepted, CONSENSUS_PROPOSAL_BYTES_MAX / COMMAND_BYTES_MAX);
    assert_int_equal(answer.count, 0);
    proposals_fail(&proposals, ERROR_CLOSED, "the end");
    assert_int_equal(answer.count, accepted);
    for (accepted = 0; proposals_push(&proposals, command, 1, answered, &answer, &error) == ERROR_OK;
         accepted++)
        ;
    assert_int_equal(accepted, CONSENSUS_PROPOSALS_MAX);
    assert_string_equal(error.message, "65536 of 65536 proposals wait already");
    proposals_fail(&proposals, ERROR_CLOSED, "the end");
}

/* Goal: an applied entry answers who proposed it, in its term only.
 * Method: index 5 in the right term, index 6 in another. */
static void applied_entries_answer_by_index_and_term(void **state)
{
    struct proposals proposals;
    struct answer right, wrong;

    (void)state;
    proposals_init(&proposals, true);
    push(&proposals, &right);
    push(&proposals, &wrong);
    proposals_submitted(&proposals, 2, 5, 3, 0);
    apply(&proposals, 5, 3);
    assert_int_equal(right.code, ERROR_OK);
    assert_int_equal(right.index, 5);
    apply(&proposals, 6, 4);
    assert_int_equal(wrong.count, 1);
    assert_int_equal(wrong.code, ERROR_NOT_LEADER);
}

/* Goal: when leadership is lost, what was not submitted is refused at once; what was waits for its fate, and
 * then is unknown. Method: three submitted: one applied later, one overwritten, one neither; one waiting. */
static void lost_leadership_leaves_the_submitted_waiting(void **state)
{
    struct proposals proposals;
    struct answer kept, overwritten, unheard, waiting;
    struct error error = {0};

    (void)state;
    proposals_init(&proposals, true);
    push(&proposals, &kept);
    push(&proposals, &overwritten);
    push(&proposals, &unheard);
    proposals_submitted(&proposals, 3, 5, 3, 0);
    push(&proposals, &waiting);
    error_set(&error, ERROR_NOT_LEADER, "node 2 leads");
    proposals_deposed(&proposals, 1000, &error);
    assert_int_equal(waiting.code, ERROR_NOT_LEADER);
    assert_int_equal(kept.count + overwritten.count + unheard.count, 0);
    apply(&proposals, 5, 3);
    apply(&proposals, 6, 4);
    assert_int_equal(kept.code, ERROR_OK);
    assert_int_equal(overwritten.code, ERROR_NOT_LEADER);
    proposals_expire(&proposals, 999);
    assert_int_equal(unheard.count, 0);
    assert_int_equal(proposals_deadline_ms(&proposals), 1000);
    proposals_expire(&proposals, 1000);
    assert_int_equal(unheard.code, ERROR_UNKNOWN);
    assert_int_equal(proposals_deadline_ms(&proposals), CONSENSUS_NEVER);
}

/* Goal: nothing waits for ever, also where leadership stays.
 * Method: a submitted proposal that never commits. */
static void uncommitted_proposal_becomes_unknown(void **state)
{
    struct proposals proposals;
    struct answer answer;

    (void)state;
    proposals_init(&proposals, true);
    push(&proposals, &answer);
    proposals_submitted(&proposals, 1, 5, 3, 100);
    proposals_expire(&proposals, 100 + PROPOSAL_COMMIT_MS_MAX - 1);
    assert_int_equal(answer.count, 0);
    proposals_expire(&proposals, 100 + PROPOSAL_COMMIT_MS_MAX);
    assert_int_equal(answer.code, ERROR_UNKNOWN);
}

/* Goal: what a state transfer jumps over has an unknown outcome.
 * Method: one proposal below the transferred index, one above. */
static void transferred_state_leaves_outcomes_unknown(void **state)
{
    struct proposals proposals;
    struct answer below, above;
    struct error error = {0};

    (void)state;
    proposals_init(&proposals, true);
    push(&proposals, &below);
    push(&proposals, &above);
    proposals_submitted(&proposals, 2, 5, 3, 0);
    error_set(&error, ERROR_NOT_LEADER, "gone");
    proposals_deposed(&proposals, 1000, &error);
    proposals_skipped(&proposals, 5);
    assert_int_equal(below.code, ERROR_UNKNOWN);
    assert_int_equal(above.count, 0);
    proposals_fail(&proposals, ERROR_CLOSED, "the end");
    assert_int_equal(above.code, ERROR_UNKNOWN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(group_is_bounded_and_in_order),
        cmocka_unit_test(full_queue_refuses),
        cmocka_unit_test(applied_entries_answer_by_index_and_term),
        cmocka_unit_test(lost_leadership_leaves_the_submitted_waiting),
        cmocka_unit_test(uncommitted_proposal_becomes_unknown),
        cmocka_unit_test(transferred_state_leaves_outcomes_unknown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
