/* A follower that was away gets what it lacks, however much that is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "chaos/sim/cluster.h"

#define MANY 6000u /* entries: more than one frame takes, and more than may be on their way at once */

static uint32_t follower(struct cluster *cluster, uint32_t leader)
{
    (void)cluster;
    return (leader + 1) % 3;
}

/* Commits as many small commands, in bursts that a group holds. */
static void commit_many(struct cluster *cluster, uint32_t leader)
{
    uint64_t last = 0;
    for (uint32_t i = 0; i < MANY; i++) {
        last = cluster_propose(cluster, leader);
        assert_true(last != 0);
        if (i % 500 == 499)
            cluster_run(cluster, 50);
    }
    cluster_run(cluster, 1000);
    assert_int_equal(cluster_fate(cluster, last), CLUSTER_DONE);
}

/* Goal: thousands of small entries fit one frame's bytes, but not its count: they are sent in several.
 * Method: a follower is stopped, 6,000 commands are committed without it, it starts again and must get them
 * all. */
static void follower_gets_thousands_of_entries(void **state)
{
    struct cluster_options options = {.seed = 7};
    struct error error = {0};
    (void)state;
    struct cluster *cluster = cluster_new(&options);
    cluster_form(cluster, 3);
    uint32_t leader = cluster_await_leader(cluster, 10000), away = follower(cluster, leader);
    cluster_stop(cluster, away);
    commit_many(cluster, leader);
    assert_int_equal(cluster_restart(cluster, away, &error), ERROR_OK);
    assert_true(cluster_settle(cluster, 20000));
    assert_true(cluster_applied(cluster, away) > MANY);
    assert_true(cluster_end(cluster));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(follower_gets_thousands_of_entries),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
