/* Readers, and the rounds they share. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "consensus/confirm.h"

struct answer {
    uint32_t count;
    enum error_code code;
    uint64_t index;
};

static void answered(void *context, uint64_t index, const struct error *error)
{
    struct answer *answer = context;

    answer->count++;
    answer->index = index;
    answer->code = error == NULL ? ERROR_OK : error->code;
}

static struct configuration voters(uint32_t count)
{
    struct configuration configuration = {.count = count};
    for (uint32_t i = 0; i < count; i++)
        configuration.members[i] = (struct configuration_member){.node_id = i + 1, .role = MEMBER_VOTER};
    return configuration;
}

static void read_at(struct confirm *confirm, struct answer *answer)
{
    *answer = (struct answer){0};
    assert_int_equal(confirm_read(confirm, 1000, answered, answer, NULL), ERROR_OK);
}

/* Goal: a round is confirmed by a majority that counts each voter once, and then waits for its index to be
 * applied. Method: five voters; answers of one twice, of a stranger, of another round, of another term; then
 * of a second one. */
static void majority_confirms_a_round(void **state)
{
    struct confirm confirm;
    struct configuration five = voters(5);
    struct answer answer;

    (void)state;
    confirm_init(&confirm, false);
    read_at(&confirm, &answer);
    assert_true(confirm_begin(&confirm, 4, 20, 0));
    assert_false(confirm_begin(&confirm, 4, 20, 0));
    confirm_answer(&confirm, 2, confirm.round, 4, &five, 1);
    confirm_answer(&confirm, 2, confirm.round, 4, &five, 1);
    confirm_answer(&confirm, 77, confirm.round, 4, &five, 1);
    confirm_answer(&confirm, 3, confirm.round - 1, 4, &five, 1);
    confirm_answer(&confirm, 3, confirm.round, 5, &five, 1);
    confirm_answer(&confirm, 1, confirm.round, 4, &five, 1);
    assert_true(confirm.in_flight);
    confirm_answer(&confirm, 4, confirm.round, 4, &five, 1);
    assert_false(confirm.in_flight);
    confirm_applied(&confirm, 19);
    assert_int_equal(answer.count, 0);
    confirm_applied(&confirm, 20);
    assert_int_equal(answer.code, ERROR_OK);
    assert_int_equal(answer.index, 20);
    confirm_check(&confirm);
}

/* Goal: who comes while a round is in flight waits for the next.
 * Method: two readers, one before and one after the first round began. */
static void late_reader_shares_the_next_round(void **state)
{
    struct confirm confirm;
    struct configuration three = voters(3);
    struct answer early, late;

    (void)state;
    confirm_init(&confirm, false);
    read_at(&confirm, &early);
    assert_true(confirm_begin(&confirm, 1, 5, 0));
    read_at(&confirm, &late);
    confirm_answer(&confirm, 2, confirm.round, 1, &three, 1);
    confirm_applied(&confirm, 9);
    assert_int_equal(early.count, 1);
    assert_int_equal(late.count, 0);
    assert_true(confirm_begin(&confirm, 1, 8, 0));
    confirm_answer(&confirm, 3, confirm.round, 1, &three, 1);
    confirm_applied(&confirm, 9);
    assert_int_equal(late.index, 8);
}

/* Goal: a sole voter needs nobody.
 * Method: one voter, then three. */
static void sole_voter_confirms_itself(void **state)
{
    struct confirm confirm;
    struct configuration one = voters(1), three = voters(3);
    struct answer answer;

    (void)state;
    confirm_init(&confirm, false);
    read_at(&confirm, &answer);
    assert_true(confirm_begin(&confirm, 1, 5, 0));
    confirm_alone(&confirm, &three, 1);
    assert_true(confirm.in_flight);
    confirm_alone(&confirm, &one, 1);
    confirm_applied(&confirm, 5);
    assert_int_equal(answer.code, ERROR_OK);
}

/* Goal: no reader hangs: the deadline answers, and the next round can begin.
 * Method: a round that nobody answers, and a wait for an index that is never applied. */
static void deadlines_answer_readers(void **state)
{
    struct confirm confirm;
    struct answer read, wait, next;

    (void)state;
    confirm_init(&confirm, false);
    read_at(&confirm, &read);
    wait = (struct answer){0};
    assert_int_equal(confirm_wait(&confirm, 50, 2000, answered, &wait, NULL), ERROR_OK);
    assert_true(confirm_begin(&confirm, 1, 5, 0));
    confirm_expire(&confirm, 999);
    assert_int_equal(read.count, 0);
    confirm_expire(&confirm, 1000);
    assert_int_equal(read.code, ERROR_UNAVAILABLE);
    assert_false(confirm.in_flight);
    assert_int_equal(confirm.deadline_ms, 2000);
    next = (struct answer){0};
    assert_int_equal(confirm_read(&confirm, 3000, answered, &next, NULL), ERROR_OK);
    assert_true(confirm_begin(&confirm, 1, 5, 0));
    confirm_expire(&confirm, 2000);
    assert_int_equal(wait.code, ERROR_TIMEOUT);
    assert_int_equal(next.count, 0);
    struct error error = {0};
    error_set(&error, ERROR_CLOSED, "the end");
    confirm_fail(&confirm, &error);
    assert_int_equal(next.code, ERROR_CLOSED);
    assert_int_equal(confirm_count(&confirm), 0);
}

/* Goal: a lost leadership refuses who waits for a round, not who is confirmed already.
 * Method: one of each. */
static void lost_leadership_keeps_confirmed_readers(void **state)
{
    struct confirm confirm;
    struct configuration three = voters(3);
    struct answer confirmed, asked, waiting;
    struct error error = {0};

    (void)state;
    confirm_init(&confirm, false);
    read_at(&confirm, &confirmed);
    confirm_begin(&confirm, 1, 5, 0);
    confirm_answer(&confirm, 2, confirm.round, 1, &three, 1);
    read_at(&confirm, &asked);
    confirm_begin(&confirm, 1, 6, 0);
    read_at(&confirm, &waiting);
    error_set(&error, ERROR_NOT_LEADER, "gone");
    confirm_deposed(&confirm, &error);
    assert_int_equal(asked.code, ERROR_NOT_LEADER);
    assert_int_equal(waiting.code, ERROR_NOT_LEADER);
    assert_int_equal(confirmed.count, 0);
    confirm_applied(&confirm, 5);
    assert_int_equal(confirmed.code, ERROR_OK);
}

/* Goal: waits end in the order of their indexes, however they came, and the table is bounded.
 * Method: indexes 3, 1, 2; then as many as there is room for. */
static void waits_are_ordered_and_bounded(void **state)
{
    struct confirm confirm;
    struct answer answers[3] = {{0}}, many = {0};
    static const uint64_t indexes[] = {3, 1, 2};
    struct error error = {0};

    (void)state;
    confirm_init(&confirm, false);
    for (int i = 0; i < 3; i++)
        assert_int_equal(confirm_wait(&confirm, indexes[i], 1000, answered, &answers[i], NULL), ERROR_OK);
    confirm_applied(&confirm, 2);
    assert_int_equal(answers[0].count, 0);
    assert_int_equal(answers[1].index, 1);
    assert_int_equal(answers[2].index, 2);
    while (confirm_wait(&confirm, 9, 1000, answered, &many, &error) == ERROR_OK)
        ;
    assert_int_equal(error.code, ERROR_BUSY);
    assert_int_equal(confirm_count(&confirm), CONSENSUS_READERS_MAX);
    confirm_applied(&confirm, 9);
    assert_int_equal(many.count, CONSENSUS_READERS_MAX - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(majority_confirms_a_round),
        cmocka_unit_test(late_reader_shares_the_next_round),
        cmocka_unit_test(sole_voter_confirms_itself),
        cmocka_unit_test(deadlines_answer_readers),
        cmocka_unit_test(lost_leadership_keeps_confirmed_readers),
        cmocka_unit_test(waits_are_ordered_and_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
