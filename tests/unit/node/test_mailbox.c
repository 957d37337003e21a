/* The one place where HTTP threads and the loop meet. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "node/mailbox.h"

static _Atomic unsigned wakes;

static void wake(void *context)
{
    (void)context;
    atomic_fetch_add(&wakes, 1);
}

static int set_up(void **state)
{
    atomic_store(&wakes, 0);
    *state = mailbox_new(2, wake, NULL);
    return 0;
}

static int tear_down(void **state)
{
    void *item = NULL;
    while (mailbox_take(*state, &item, 1) == 1) {
    }
    mailbox_free(*state);
    return 0;
}

/* Goal: a full mailbox refuses at once, loses nothing and keeps the order.
 * Method: capacity 2 (from set_up), so that the third push meets the bound. */
static void full_mailbox_refuses_and_keeps_order(void **state)
{
    struct mailbox *mailbox = *state;
    int first = 1, second = 2, third = 3;
    void *taken[4] = {0};
    struct error error = {0};

    assert_int_equal(mailbox_push(mailbox, &first, &error), ERROR_OK);
    assert_int_equal(mailbox_push(mailbox, &second, &error), ERROR_OK);
    assert_int_equal(mailbox_push(mailbox, &third, &error), ERROR_BUSY);
    assert_string_equal(error.message, "mailbox is full: 2 of 2");
    assert_int_equal(mailbox_count(mailbox), 2);

    assert_int_equal(mailbox_take(mailbox, taken, 4), 2);
    assert_int_equal(mailbox_count(mailbox), 0);
    assert_ptr_equal(taken[0], &first);
    assert_ptr_equal(taken[1], &second);
    assert_int_equal(mailbox_take(mailbox, taken, 4), 0);
    mailbox_check(mailbox);
}

/* Goal: one wake a batch, and none is missing when a batch was larger than the taker's room.
 * Method: count wakes around two pushes and a take of one. */
static void wakes_once_a_batch_and_again_for_what_is_left(void **state)
{
    struct mailbox *mailbox = *state;
    int first = 1, second = 2;
    void *taken[1];
    struct error error = {0};

    assert_int_equal(mailbox_push(mailbox, &first, &error), ERROR_OK);
    assert_int_equal(mailbox_push(mailbox, &second, &error), ERROR_OK);
    assert_int_equal(atomic_load(&wakes), 1);
    assert_int_equal(mailbox_take(mailbox, taken, 1), 1);
    assert_int_equal(atomic_load(&wakes), 2);
    assert_int_equal(mailbox_take(mailbox, taken, 1), 1);
    assert_int_equal(atomic_load(&wakes), 2);
}

/* Goal: a closed mailbox takes nothing more and still gives back what it has.
 * Method: push, close, push, take. */
static void closed_mailbox_refuses_and_drains(void **state)
{
    struct mailbox *mailbox = *state;
    int first = 1, second = 2;
    void *taken[2] = {0};
    struct error error = {0};

    assert_int_equal(mailbox_push(mailbox, &first, &error), ERROR_OK);
    mailbox_close(mailbox);
    assert_int_equal(mailbox_push(mailbox, &second, &error), ERROR_CLOSED);
    assert_int_equal(mailbox_take(mailbox, taken, 2), 1);
    assert_ptr_equal(taken[0], &first);
}

enum { PUSHERS = 4, EACH = 20000 };

struct pusher {
    struct mailbox *mailbox;
    uint32_t number;
    uint64_t busy;
    uint32_t values[EACH];
};

static void *push_all(void *context)
{
    struct pusher *self = context;
    for (uint32_t i = 0; i < EACH; i++) {
        struct error error = {0};
        self->values[i] = self->number * EACH + i;
        while (mailbox_push(self->mailbox, &self->values[i], &error) == ERROR_BUSY)
            self->busy++;
    }
    return NULL;
}

/* Goal: nothing is lost, doubled or reordered between several pushers and one taker.
 * Method: four threads push numbers into a mailbox of 64; every pusher's numbers must arrive ascending. Run
 * it under TSan too. */
static void many_pushers_lose_nothing(void **state)
{
    (void)state;
    struct mailbox *mailbox = mailbox_new(64, wake, NULL);
    struct pusher *pushers = calloc(PUSHERS, sizeof *pushers);
    pthread_t threads[PUSHERS];
    uint32_t next[PUSHERS] = {0}, total = 0;

    for (uint32_t i = 0; i < PUSHERS; i++) {
        pushers[i].mailbox = mailbox;
        pushers[i].number = i;
        assert_int_equal(pthread_create(&threads[i], NULL, push_all, &pushers[i]), 0);
    }
    while (total < PUSHERS * EACH) {
        void *items[16];
        uint32_t count = mailbox_take(mailbox, items, 16);
        for (uint32_t i = 0; i < count; i++) {
            uint32_t value = *(uint32_t *)items[i], pusher = value / EACH;
            assert_int_equal(value % EACH, next[pusher]);
            next[pusher]++;
        }
        total += count;
    }
    for (uint32_t i = 0; i < PUSHERS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_int_equal(total, PUSHERS * EACH);
    mailbox_check(mailbox);
    mailbox_free(mailbox);
    free(pushers);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(full_mailbox_refuses_and_keeps_order, set_up, tear_down),
        cmocka_unit_test_setup_teardown(wakes_once_a_batch_and_again_for_what_is_left, set_up, tear_down),
        cmocka_unit_test_setup_teardown(closed_mailbox_refuses_and_drains, set_up, tear_down),
        cmocka_unit_test(many_pushers_lose_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
