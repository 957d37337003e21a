/* Who may speak under an id that has been heard before. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "consensus/wire_seen.h"

static int set_up(void **state)
{
    *state = calloc(1, sizeof(struct wire_seen));
    return 0;
}

static int tear_down(void **state)
{
    free(*state);
    return 0;
}

static struct wire_hello hello_of(const char *incarnation, uint64_t start, uint64_t nonce)
{
    return (struct wire_hello){
        .node_id = 7, .incarnation = incarnation, .start_counter = start, .nonce = nonce};
}

/* Goal: one process may reconnect as often as it likes, and a later start replaces an earlier one for good.
 * Method: start 1 twice, start 2, then start 1 again. */
static void later_starts_replace_earlier_ones(void **state)
{
    struct wire_seen *seen = *state;
    const struct wire_hello first = hello_of("a", 1, 11), second = hello_of("a", 2, 22);
    assert_int_equal(wire_seen_judge(seen, &first, 0, 1000), WIRE_ADMIT);
    assert_int_equal(wire_seen_judge(seen, &first, 1, 1001), WIRE_ADMIT);
    assert_int_equal(wire_seen_judge(seen, &second, 1, 1002), WIRE_ADMIT_NEWER);
    assert_int_equal(wire_seen_judge(seen, &second, 1, 1003), WIRE_ADMIT);
    assert_int_equal(wire_seen_judge(seen, &first, 1, 1004), WIRE_REFUSE_OLDER);
    assert_int_equal(wire_seen_judge(seen, &first, 0, 9999999), WIRE_REFUSE_OLDER);
}

/* Goal: two data folders under one id silence each other while both live; the one that stays is heard again
 * later. Method: folder b comes while a is connected; both keep trying; then b falls silent. */
static void two_folders_silence_each_other(void **state)
{
    struct wire_seen *seen = *state;
    const struct wire_hello a = hello_of("a", 1, 11), b = hello_of("b", 1, 22);
    assert_int_equal(wire_seen_judge(seen, &a, 0, 1000), WIRE_ADMIT);
    assert_int_equal(wire_seen_judge(seen, &b, 1, 2000), WIRE_REFUSE_BOTH);
    for (uint64_t now = 3000; now < 60000; now += 1000) {
        assert_int_equal(wire_seen_judge(seen, &a, 0, now), WIRE_REFUSE_BOTH);
        assert_int_equal(wire_seen_judge(seen, &b, 0, now + 1), WIRE_REFUSE_BOTH);
    }
    assert_int_equal(wire_seen_judge(seen, &a, 0, 59001 + WIRE_RIVAL_MS - 1), WIRE_REFUSE_BOTH);
    assert_int_equal(wire_seen_judge(seen, &a, 0, 59001 + WIRE_RIVAL_MS), WIRE_ADMIT);
}

/* Goal: two copies of one folder, started as often, are told apart by their nonces.
 * Method: the same incarnation and start with another nonce. */
static void copies_of_one_folder_are_told_apart(void **state)
{
    struct wire_seen *seen = *state;
    const struct wire_hello original = hello_of("a", 5, 11), copy = hello_of("a", 5, 22);
    assert_int_equal(wire_seen_judge(seen, &original, 0, 1000), WIRE_ADMIT);
    assert_int_equal(wire_seen_judge(seen, &copy, 1, 1001), WIRE_REFUSE_BOTH);
    assert_int_equal(wire_seen_judge(seen, &original, 0, 1002), WIRE_REFUSE_BOTH);
    assert_int_equal(wire_seen_judge(seen, &original, 0, 1001 + WIRE_RIVAL_MS), WIRE_ADMIT);
}

/* Goal: a node that comes back with less than it acknowledged is refused, however often its folder was
 * started, and nobody else is. Method: it acknowledged 100; hellos with less, as much, and nothing said. */
static void older_copies_of_a_folder_are_refused(void **state)
{
    struct wire_seen *seen = *state;
    struct wire_hello hello = hello_of("a", 5, 11);
    hello.log_end = 90;
    assert_int_equal(wire_seen_judge(seen, &hello, 0, 1000), WIRE_ADMIT);
    wire_seen_holds(seen, 7, 100);
    wire_seen_holds(seen, 7, 95);  /* never falls */
    wire_seen_holds(seen, 8, 100); /* unknown: nothing happens */
    hello.start_counter = 9;
    hello.log_end = 99;
    assert_int_equal(wire_seen_judge(seen, &hello, 0, 99000), WIRE_REFUSE_ROLLED_BACK);
    hello.log_end = 100;
    assert_int_equal(wire_seen_judge(seen, &hello, 0, 99001), WIRE_ADMIT_NEWER);
    hello.start_counter = 10;
    hello.log_end = 1;
    assert_int_equal(wire_seen_judge(seen, &hello, 0, 99002), WIRE_REFUSE_ROLLED_BACK);
    hello.log_end = 0;
    assert_int_equal(wire_seen_judge(seen, &hello, 0, 99003), WIRE_ADMIT_NEWER);
}

/* Goal: another folder is heard once the first has been silent for long, never before, connected or not.
 * Method: folder b some time after a's connection ended. */
static void another_folder_is_heard_after_a_long_silence(void **state)
{
    struct wire_seen *seen = *state;
    const struct wire_hello a = hello_of("a", 1, 11), b = hello_of("b", 1, 22);
    assert_int_equal(wire_seen_judge(seen, &a, 0, 1000), WIRE_ADMIT);
    wire_seen_alive(seen, 7, 50000);
    wire_seen_alive(seen, 8, 50000); /* unknown: nothing happens */
    assert_int_equal(wire_seen_judge(seen, &b, 0, 50000 + WIRE_RIVAL_MS - 1), WIRE_REFUSE_BOTH);
    assert_int_equal(wire_seen_judge(seen, &b, 0, 50000 + WIRE_RIVAL_MS), WIRE_ADMIT);
    assert_int_equal(wire_seen_judge(seen, &a, 1, 50001 + WIRE_RIVAL_MS), WIRE_REFUSE_BOTH);
}

/* Goal: more ids than fit push out the one heard longest ago, and only that.
 * Method: a full table and one more; the first is new again, the second is still known. */
static void full_table_forgets_the_longest_silent(void **state)
{
    struct wire_seen *seen = *state;
    struct wire_hello hello = hello_of("a", 5, 11);
    for (uint64_t i = 0; i < WIRE_SEEN_MAX; i++) {
        hello.node_id = 1000 + i;
        assert_int_equal(wire_seen_judge(seen, &hello, 0, 100 + i), WIRE_ADMIT);
    }
    hello.node_id = 5;
    assert_int_equal(wire_seen_judge(seen, &hello, 0, 5000), WIRE_ADMIT);
    hello.start_counter = 4;
    hello.node_id = 1001;
    assert_int_equal(wire_seen_judge(seen, &hello, 0, 5001), WIRE_REFUSE_OLDER);
    hello.node_id = 1000;
    assert_int_equal(wire_seen_judge(seen, &hello, 0, 5002), WIRE_ADMIT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(later_starts_replace_earlier_ones, set_up, tear_down),
        cmocka_unit_test_setup_teardown(two_folders_silence_each_other, set_up, tear_down),
        cmocka_unit_test_setup_teardown(copies_of_one_folder_are_told_apart, set_up, tear_down),
        cmocka_unit_test_setup_teardown(older_copies_of_a_folder_are_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(another_folder_is_heard_after_a_long_silence, set_up, tear_down),
        cmocka_unit_test_setup_teardown(full_table_forgets_the_longest_silent, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
