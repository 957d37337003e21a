/* Goal: what is possible is told apart from what isn't, history by history.
 * Method: short histories by hand, an operation a line; times in microseconds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "chaos/check/check.h"

static struct history *history;
static struct check_report report;

static int set_up(void **state)
{
    (void)state;
    history = history_new();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    history_free(history);
    return 0;
}

static struct history_op *op(uint32_t kind, const char *key, uint64_t from, uint64_t to)
{
    struct history_part part = {.key = key, .value = kind == HISTORY_READ ? HISTORY_NONE : 0};
    const struct history_op one = {.kind = kind,
                                   .client = (uint32_t)history->op_count,
                                   .outcome = to == 0 ? HISTORY_UNKNOWN : HISTORY_OK,
                                   .parts = &part,
                                   .part_count = 1,
                                   .invoke_ns = from * 1000,
                                   .complete_ns = to == 0 ? HISTORY_NEVER : to * 1000};
    return history_op_at(history, history_add(history, &one));
}

/* to 0: no answer */
static struct history_op *set(int64_t value, uint64_t from, uint64_t to)
{
    struct history_op *one = op(HISTORY_SET, "f", from, to);
    one->parts[0].value = value;
    return one;
}

static struct history_op *cas(int64_t value, uint64_t expected, uint64_t from, uint64_t to)
{
    struct history_op *one = set(value, from, to);
    one->parts[0].expected_version = expected;
    return one;
}

static struct history_op *get(int64_t value, uint64_t from, uint64_t to)
{
    struct history_op *one = op(HISTORY_READ, "f", from, to);
    one->parts[0].value = value;
    return one;
}

static struct history_op *phase(enum history_phase value, bool halted, uint64_t from, uint64_t to)
{
    struct history_op *one = op(HISTORY_PLAN_READ, "p", from, to);
    one->parts[0].value = value;
    one->parts[0].halted = halted;
    return one;
}

static struct history_op *refused(struct history_op *one, const char *code)
{
    one->outcome = HISTORY_REFUSED;
    one->code = history_text(history, code);
    return one;
}

static enum check_verdict verdict(enum check_kind kind)
{
    check_history(history, &(struct check_options){0}, &report);
    return report.results[kind].verdict;
}

#define HOLDS(kind)    assert_int_equal(verdict(kind), CHECK_HOLDS)
#define VIOLATED(kind) assert_int_equal(verdict(kind), CHECK_VIOLATED)

/* --- flags --- */

static void a_concurrent_read_may_see_either(void **state)
{
    (void)state;
    set(1, 0, 10);
    set(2, 20, 30);
    get(1, 22, 25);
    get(2, 23, 28);
    HOLDS(CHECK_FLAGS);
    get(1, 26, 29); /* between the two, the set had taken effect only if the second read came first */
    HOLDS(CHECK_FLAGS);
    get(1, 29, 31);
    VIOLATED(CHECK_FLAGS); /* after one that saw 2 */
}

static void a_stale_read_is_found_with_the_set_it_missed(void **state)
{
    (void)state;
    for (uint64_t i = 0; i < 20; i++)
        set((int64_t)i, i * 10, i * 10 + 5);
    get(18, 300, 310);
    VIOLATED(CHECK_FLAGS);
    const struct check_result *result = &report.results[CHECK_FLAGS];
    static const uint32_t blamed[] = {18, 19, 20}; /* the set it saw, the one it missed, the read */
    assert_int_equal(result->op_count, 3);
    assert_memory_equal(result->ops, blamed, sizeof blamed);
}

static void a_read_of_what_nobody_wrote_is_found(void **state)
{
    (void)state;
    set(1, 0, 10);
    get(7, 20, 30);
    VIOLATED(CHECK_FLAGS);
}

static void an_unknown_set_may_take_effect_late_or_never(void **state)
{
    (void)state;
    set(1, 0, 0);
    set(2, 10, 20);
    get(2, 30, 40);
    HOLDS(CHECK_FLAGS); /* never, or before */
    get(1, 50, 60);
    HOLDS(CHECK_FLAGS); /* late */
    get(2, 70, 80);
    VIOLATED(CHECK_FLAGS); /* not twice */
}

static void an_unknown_set_takes_no_effect_before_it_began(void **state)
{
    (void)state;
    get(1, 0, 10);
    set(1, 20, 0);
    VIOLATED(CHECK_FLAGS);
}

static void two_conditional_sets_of_one_version_do_not_both_succeed(void **state)
{
    (void)state;
    set(1, 0, 10)->parts[0].version = 1;
    cas(2, 1, 20, 30);
    HOLDS(CHECK_FLAGS);
    cas(3, 1, 22, 32);
    VIOLATED(CHECK_FLAGS);
}

static void a_refusal_says_what_the_version_was_not(void **state)
{
    (void)state;
    set(1, 0, 10);
    refused(cas(2, 1, 20, 30), "unavailable");
    HOLDS(CHECK_FLAGS); /* that one says nothing */
    refused(cas(2, 1, 20, 30), "version_mismatch");
    VIOLATED(CHECK_FLAGS); /* it is 1 */
}

static void versions_count_the_sets(void **state)
{
    (void)state;
    set(1, 0, 10)->parts[0].version = 1;
    set(2, 20, 0);
    set(3, 30, 40)->parts[0].version = 3;
    HOLDS(CHECK_FLAGS); /* the unknown one was between */
    set(4, 50, 60)->parts[0].version = 5;
    VIOLATED(CHECK_FLAGS); /* nothing is left for version 4 */
}

static void what_nodes_end_with_is_read_last(void **state)
{
    (void)state;
    set(1, 0, 10);
    set(2, 20, 30);
    history_add_state(history, &(struct history_state){"n1", "f", 2, 0});
    HOLDS(CHECK_FLAGS);
    history_add_state(history, &(struct history_state){"n2", "f", 1, 0});
    VIOLATED(CHECK_FLAGS);
    assert_int_equal(report.results[CHECK_FINAL].verdict, CHECK_VIOLATED);
}

static void a_search_that_meets_its_bound_is_a_failure(void **state)
{
    (void)state;
    for (int64_t i = 0; i < 24; i++)
        set(i, 0, 100);
    for (int64_t i = 0; i < 24; i++)
        get(i, 0, 100);
    get(99, 200, 210);
    check_history(history, &(struct check_options){.configurations_max = 1000}, &report);
    assert_int_equal(report.results[CHECK_FLAGS].verdict, CHECK_UNDECIDED);
    assert_int_equal(report.verdict, CHECK_UNDECIDED);
}

/* --- plans and switches --- */

static void a_plan_lives_by_its_table(void **state)
{
    (void)state;
    phase(HISTORY_NO_PLAN, false, 0, 5);
    op(HISTORY_PLAN_CREATE, "p", 10, 20);
    refused(op(HISTORY_PLAN_CREATE, "p", 21, 22), "plan_exists");
    refused(op(HISTORY_PLAN_PAUSE, "p", 23, 24), "plan_phase");
    op(HISTORY_PLAN_PUBLISH, "p", 30, 40);
    op(HISTORY_PLAN_PAUSE, "p", 50, 60);
    phase(HISTORY_PAUSED, false, 70, 80);
    op(HISTORY_PLAN_RESUME, "p", 90, 100);
    op(HISTORY_PLAN_HALT, "p", 110, 120);
    op(HISTORY_PLAN_HALT, "p", 121, 122);
    refused(op(HISTORY_PLAN_PAUSE, "p", 123, 124), "stage_halted");
    phase(HISTORY_ACTIVE, true, 130, 140);
    op(HISTORY_PLAN_ROLLBACK, "p", 150, 160);
    refused(op(HISTORY_PLAN_HALT, "p", 161, 162), "plan_terminal");
    phase(HISTORY_ROLLED_BACK, false, 170, 180);
    HOLDS(CHECK_PLANS);
}

static void a_plan_does_not_come_back(void **state)
{
    (void)state;
    op(HISTORY_PLAN_CREATE, "p", 0, 10);
    op(HISTORY_PLAN_PUBLISH, "p", 20, 30);
    op(HISTORY_PLAN_ROLLBACK, "p", 40, 0);
    phase(HISTORY_ROLLED_BACK, false, 50, 60);
    HOLDS(CHECK_PLANS);
    phase(HISTORY_ACTIVE, false, 70, 80);
    VIOLATED(CHECK_PLANS);
}

static void a_pause_that_was_acknowledged_is_seen(void **state)
{
    (void)state;
    op(HISTORY_PLAN_CREATE, "p", 0, 10);
    op(HISTORY_PLAN_PUBLISH, "p", 20, 30);
    op(HISTORY_PLAN_PAUSE, "p", 40, 50);
    phase(HISTORY_ACTIVE, false, 60, 70);
    VIOLATED(CHECK_PLANS);
}

static void a_switch_holds_until_its_reset(void **state)
{
    (void)state;
    op(HISTORY_SWITCH_READ, "s", 0, 10)->parts[0].value = 0;
    op(HISTORY_SWITCH_ACTIVATE, "s", 20, 30);
    op(HISTORY_SWITCH_READ, "s", 25, 28)->parts[0].value = 0;
    op(HISTORY_SWITCH_READ, "s", 40, 50)->parts[0].value = 1;
    HOLDS(CHECK_SWITCHES);
    op(HISTORY_SWITCH_READ, "s", 60, 70)->parts[0].value = 0;
    VIOLATED(CHECK_SWITCHES);
}

/* --- indexes --- */

static struct history_op *at(struct history_op *one, uint64_t index, uint64_t version)
{
    one->index = index;
    one->parts[0].version = version;
    return one;
}

static void a_stale_read_shows_the_state_at_its_index(void **state)
{
    (void)state;
    at(set(1, 0, 10), 5, 1);
    at(set(2, 20, 30), 9, 2);
    at(get(1, 40, 50), 7, 1)->stale = true;
    HOLDS(CHECK_PREFIX);
    at(get(1, 60, 70), 9, 1)->stale = true;
    VIOLATED(CHECK_PREFIX);
}

static void a_stale_read_without_an_index_shows_what_was_there_once(void **state)
{
    (void)state;
    set(1, 0, 10);
    set(2, 20, 30);
    get(1, 40, 50)->stale = true;
    HOLDS(CHECK_PREFIX);
    get(3, 60, 70)->stale = true;
    set(3, 80, 90);
    VIOLATED(CHECK_PREFIX);
}

static void one_version_has_one_value(void **state)
{
    (void)state;
    at(get(1, 0, 10), 5, 4);
    at(get(2, 20, 30), 6, 4);
    VIOLATED(CHECK_PREFIX);
}

static void indexes_follow_real_time(void **state)
{
    (void)state;
    at(set(1, 0, 10), 5, 1);
    at(get(1, 20, 30), 5, 1);
    at(set(2, 20, 30), 6, 2);
    HOLDS(CHECK_SESSION);
    at(get(1, 40, 50), 5, 1); /* the answer at 6 had come */
    VIOLATED(CHECK_SESSION);
}

static void a_read_gets_the_index_it_waited_for(void **state)
{
    (void)state;
    struct history_op *one = at(get(1, 0, 10), 5, 1);
    one->stale = true;
    one->after_index = 5;
    HOLDS(CHECK_SESSION);
    one->after_index = 6;
    VIOLATED(CHECK_SESSION);
}

static void an_index_is_of_one_change(void **state)
{
    (void)state;
    at(set(1, 0, 10), 5, 1);
    at(set(2, 5, 12), 5, 2);
    VIOLATED(CHECK_SESSION);
}

/* --- the trail --- */

static void record(uint64_t seq, uint64_t index, const char *request, bool success)
{
    history_add_audit(history,
                      &(struct history_audit){seq, index, request, "flags.set", "f", "flags", success});
    history->audit_complete = true;
}

static struct history_op *asked(struct history_op *one, const char *request)
{
    one->request = history_text(history, request);
    return one;
}

static void acknowledged_changes_are_recorded_once(void **state)
{
    (void)state;
    asked(set(1, 0, 10), "a");
    asked(set(2, 0, 0), "b");
    refused(asked(set(3, 20, 30), "c"), "version_mismatch");
    record(1, 4, "a", true);
    record(2, 5, "c", false);
    HOLDS(CHECK_AUDIT);
    record(3, 6, "a", true);
    VIOLATED(CHECK_AUDIT);
    assert_non_null(strstr(report.results[CHECK_AUDIT].message, "took effect twice"));
}

static void an_acknowledged_change_without_record_is_found(void **state)
{
    (void)state;
    asked(set(1, 0, 10), "a");
    asked(set(2, 20, 30), "b");
    record(1, 4, "a", true);
    VIOLATED(CHECK_AUDIT);
    assert_int_equal(report.results[CHECK_AUDIT].ops[0], 1);
}

static void a_refused_change_with_record_is_found(void **state)
{
    (void)state;
    refused(asked(set(1, 0, 10), "a"), "unavailable");
    record(1, 4, "a", true);
    VIOLATED(CHECK_AUDIT);
}

static void a_gap_and_a_stranger_in_the_trail_are_found(void **state)
{
    (void)state;
    record(1, 4, NULL, true);
    record(3, 5, NULL, true);
    VIOLATED(CHECK_AUDIT);
    history->audit[1].seq = 2;
    HOLDS(CHECK_AUDIT);
    history->audit[1].request = history_text(history, "c-1");
    history->request_prefix = history_text(history, "c-");
    VIOLATED(CHECK_AUDIT);
}

static void followers_get_every_record_once_in_order(void **state)
{
    (void)state;
    static const uint64_t seqs[][3] = {{4, 5, 6}, {4, 4, 5}, {4, 6, 5}, {4, 6, 7}};
    for (size_t i = 0; i < 4; i++) {
        history_free(history);
        history = history_new();
        history_add_follower(history, &(struct history_follower){"one", NULL});
        for (size_t k = 0; k < 3; k++)
            history_add_event(history, &(struct history_event){0, seqs[i][k], k});
        assert_int_equal(verdict(CHECK_EVENTS), i == 0 ? CHECK_HOLDS : CHECK_VIOLATED);
    }
}

/* --- the others --- */

static struct history_op *accounts(int64_t first, uint64_t first_version, int64_t second,
                                   uint64_t second_version)
{
    struct history_part parts[] = {{.key = "a", .value = first, .version = first_version},
                                   {.key = "b", .value = second, .version = second_version}};
    const struct history_op one = {.kind = HISTORY_READ,
                                   .outcome = HISTORY_OK,
                                   .parts = parts,
                                   .part_count = 2,
                                   .invoke_ns = 1,
                                   .complete_ns = 2};
    return history_op_at(history, history_add(history, &one));
}

static void a_sum_that_changes_is_found(void **state)
{
    (void)state;
    history_add_bank(history, "a");
    history_add_bank(history, "b");
    history->bank_sum = 100;
    accounts(60, 1, 40, 1);
    HOLDS(CHECK_BANK);
    accounts(50, 2, 40, 1);
    VIOLATED(CHECK_BANK);
}

static void half_of_a_command_is_found_without_a_sum(void **state)
{
    (void)state;
    accounts(50, 2, 50, 2)->kind = HISTORY_SET;
    accounts(50, 2, 50, 3);
    HOLDS(CHECK_BANK);
    accounts(50, 2, 40, 1);
    VIOLATED(CHECK_BANK);
}

static void two_leaders_of_a_term_are_found(void **state)
{
    (void)state;
    history_add_leader(history, &(struct history_leader){1, 7, "n1"});
    history_add_leader(history, &(struct history_leader){2, 7, "n1"});
    history_add_leader(history, &(struct history_leader){3, 8, "n2"});
    HOLDS(CHECK_LEADERS);
    history_add_leader(history, &(struct history_leader){4, 7, "n2"});
    VIOLATED(CHECK_LEADERS);
}

static void digests_differ_only_at_different_indexes(void **state)
{
    (void)state;
    history_add_final(history, &(struct history_final){"n1", "aa", 7, true});
    history_add_final(history, &(struct history_final){"n2", "bb", 8, true});
    HOLDS(CHECK_FINAL);
    history_add_final(history, &(struct history_final){"n3", "bb", 7, true});
    VIOLATED(CHECK_FINAL);
}

static void a_broken_chain_is_found(void **state)
{
    (void)state;
    history_add_final(history, &(struct history_final){"n1", "aa", 7, false});
    VIOLATED(CHECK_FINAL);
}

static void changes_go_on_after_the_last_fault(void **state)
{
    (void)state;
    history_add_fault(history, &(struct history_fault){"kill", "n1", 1000, 2000});
    history->recovery_ns = 50000;
    history->end_ns = 1000000;
    set(1, 10, 20);
    HOLDS(CHECK_RECOVERY);
    history->ops[0].complete_ns = 60000;
    VIOLATED(CHECK_RECOVERY);
    history->end_ns = 30000;
    assert_int_equal(verdict(CHECK_RECOVERY), CHECK_NOTHING); /* clients stopped before */
}

static void a_check_that_is_required_needs_something_to_look_at(void **state)
{
    (void)state;
    set(1, 0, 10);
    check_history(history, &(struct check_options){.required = 1u << CHECK_FLAGS}, &report);
    assert_int_equal(report.verdict, CHECK_HOLDS);
    check_history(history, &(struct check_options){.required = 1u << CHECK_EVENTS}, &report);
    assert_int_equal(report.verdict, CHECK_UNDECIDED);
}

static void nothing_at_all_is_no_good_verdict(void **state)
{
    (void)state;
    check_history(history, &(struct check_options){0}, &report);
    assert_int_equal(report.verdict, CHECK_NOTHING);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(a_concurrent_read_may_see_either),
        CASE(a_stale_read_is_found_with_the_set_it_missed),
        CASE(a_read_of_what_nobody_wrote_is_found),
        CASE(an_unknown_set_may_take_effect_late_or_never),
        CASE(an_unknown_set_takes_no_effect_before_it_began),
        CASE(two_conditional_sets_of_one_version_do_not_both_succeed),
        CASE(a_refusal_says_what_the_version_was_not),
        CASE(versions_count_the_sets),
        CASE(what_nodes_end_with_is_read_last),
        CASE(a_search_that_meets_its_bound_is_a_failure),
        CASE(a_plan_lives_by_its_table),
        CASE(a_plan_does_not_come_back),
        CASE(a_pause_that_was_acknowledged_is_seen),
        CASE(a_switch_holds_until_its_reset),
        CASE(a_stale_read_shows_the_state_at_its_index),
        CASE(a_stale_read_without_an_index_shows_what_was_there_once),
        CASE(one_version_has_one_value),
        CASE(indexes_follow_real_time),
        CASE(a_read_gets_the_index_it_waited_for),
        CASE(an_index_is_of_one_change),
        CASE(acknowledged_changes_are_recorded_once),
        CASE(an_acknowledged_change_without_record_is_found),
        CASE(a_refused_change_with_record_is_found),
        CASE(a_gap_and_a_stranger_in_the_trail_are_found),
        CASE(followers_get_every_record_once_in_order),
        CASE(a_sum_that_changes_is_found),
        CASE(half_of_a_command_is_found_without_a_sum),
        CASE(two_leaders_of_a_term_are_found),
        CASE(digests_differ_only_at_different_indexes),
        CASE(a_broken_chain_is_found),
        CASE(changes_go_on_after_the_last_fault),
        CASE(a_check_that_is_required_needs_something_to_look_at),
        CASE(nothing_at_all_is_no_good_verdict),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
