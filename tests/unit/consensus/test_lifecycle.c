/* Opening, forming or joining a cluster, starting, closing: what is refused, and why. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "chaos/sim/cluster_tiny.h"
#include "chaos/sim/fake_disk.h"

static const char other_cluster[] = "0123456789abcdef0123456789abcdef";

static uint64_t no_time(void *context)
{
    (void)context;
    return 1000;
}

static void no_timer(void *context, uint64_t at_ms)
{
    (void)context;
    (void)at_ms;
}

static enum error_code open_at(const char *folder, struct consensus **out, struct error *error)
{
    struct consensus_options options = {.clock = {no_time, no_time, NULL},
                                        .folder = folder,
                                        .listen_address = "here:1",
                                        .election_timeout_ms = 300,
                                        .heartbeat_ms = 30,
                                        .snapshot_entries = 1000,
                                        .set_timer = no_timer};
    return consensus_open(&options, out, error);
}

static void note_closed(void *context)
{
    *(bool *)context = true;
}

static struct cluster *form(uint32_t voters)
{
    struct cluster_options options = {.seed = 3, .keep_order = true};
    struct cluster *cluster = cluster_new(&options);

    cluster_form(cluster, voters);
    return cluster;
}

/* Goal: a folder belongs to no cluster, then to one for good; without one nothing starts.
 * Method: start, bootstrap, and each once more; the same for a node that joins; both opened again. */
static void folder_belongs_to_one_cluster(void **state)
{
    struct cluster_options options = {.seed = 1};
    struct cluster *cluster = cluster_new(&options);
    struct consensus *first = NULL, *second = NULL;
    struct error error = {0};

    (void)state;
    assert_int_equal(open_at("/a/log", &first, &error), ERROR_OK);
    assert_false(consensus_has_cluster(first));
    assert_int_equal(consensus_start(first, &error), ERROR_INVALID);
    assert_int_equal(consensus_bootstrap(first, &error), ERROR_OK);
    assert_true(consensus_has_cluster(first));
    assert_int_equal(consensus_bootstrap(first, &error), ERROR_EXISTS);
    assert_int_equal(consensus_adopt(first, other_cluster, 1, &error), ERROR_EXISTS);
    assert_string_equal(consensus_state_folder(first), "state.0");
    uint64_t node_id = consensus_node_id(first);
    consensus_close(first, NULL, NULL);
    assert_int_equal(open_at("/a/log", &first, &error), ERROR_OK);
    assert_true(consensus_has_cluster(first));
    assert_int_equal(consensus_node_id(first), node_id);

    assert_int_equal(open_at("/b/log", &second, &error), ERROR_OK);
    assert_int_not_equal(consensus_node_id(second), node_id);
    assert_int_equal(consensus_adopt(second, other_cluster, 2, &error), ERROR_OK);
    assert_int_equal(consensus_adopt(second, other_cluster, 2, &error), ERROR_EXISTS);
    struct consensus_status status;
    consensus_status(second, &status);
    assert_string_equal(status.cluster_id, other_cluster);
    assert_int_equal(status.generation, 2);
    assert_int_equal(status.role, CONSENSUS_FOLLOWER);
    bool closed = false;
    consensus_close(first, note_closed, &closed);
    assert_true(closed);
    consensus_close(second, NULL, NULL);
    consensus_close(NULL, note_closed, &closed);
    assert_true(cluster_end(cluster));
}

/* Goal: a bootstrap that a crash interrupts can be done again.
 * Method: the disk fails after the first configuration; the second attempt finds it and goes on. */
static void interrupted_bootstrap_is_done_again(void **state)
{
    struct cluster_options options = {.seed = 1};
    struct cluster *cluster = cluster_new(&options);
    struct consensus *consensus = NULL;
    struct error error = {0};

    (void)state;
    assert_int_equal(open_at("/a/log", &consensus, &error), ERROR_OK);
    fake_disk_fail_syncs("/a/", 1, ERROR_IO);
    assert_int_equal(consensus_bootstrap(consensus, &error), ERROR_IO);
    assert_false(consensus_has_cluster(consensus));
    consensus_close(consensus, NULL, NULL);
    assert_int_equal(open_at("/a/log", &consensus, &error), ERROR_OK);
    assert_int_equal(consensus_bootstrap(consensus, &error), ERROR_OK);
    struct consensus_status status;
    consensus_status(consensus, &status);
    assert_int_equal(status.last_index, 1);
    consensus_close(consensus, NULL, NULL);
    assert_true(cluster_end(cluster));
}

/* Goal: a store that the log does not lead to is refused, and the message says how to go on.
 * Method: one that has applied more than the log has, one of another history, one of another cluster. */
static void foreign_stores_are_refused(void **state)
{
    struct cluster *cluster = form(3);
    struct cluster_node *node = &cluster->nodes[1];
    struct error error = {0};

    (void)state;
    cluster_propose(cluster, cluster_await_leader(cluster, 1000));
    cluster_settle(cluster, 1000);
    cluster_stop(cluster, 1);
    struct store *store = ((struct tiny *)node->state)->store;
    uint64_t count = store->count;
    store->count = count + 3;
    assert_int_equal(cluster_restart(cluster, 1, &error), ERROR_CORRUPT);
    assert_non_null(strstr(error.message, "under a new id"));
    store->count = count;
    store->records[count - 1].term++;
    assert_int_equal(cluster_restart(cluster, 1, &error), ERROR_CORRUPT);
    assert_non_null(strstr(error.message, "not of one history"));
    store->records[count - 1].term--;
    char right[CLUSTER_ID_BYTES];
    memcpy(right, cluster->cluster_id, sizeof right);
    memcpy(cluster->cluster_id, other_cluster, sizeof other_cluster);
    assert_int_equal(cluster_restart(cluster, 1, &error), ERROR_CORRUPT);
    assert_non_null(strstr(error.message, other_cluster));
    memcpy(cluster->cluster_id, right, sizeof right);
    assert_int_equal(cluster_restart(cluster, 1, &error), ERROR_OK);
    assert_true(cluster_settle(cluster, 2000));
    assert_true(cluster_end(cluster));
}

/* Goal: a node that can't open its wire starts nothing, and closes cleanly.
 * Method: its id is on the network already. */
static void start_without_a_wire_fails(void **state)
{
    struct cluster *cluster = form(1);
    struct wire_options taken = {.listen_address = "there:1", .identity = {.node_id = 0}};
    struct wire *wire = NULL;
    struct error error = {0};

    (void)state;
    cluster_stop(cluster, 0);
    taken.identity.node_id = cluster_id(cluster, 0);
    assert_int_equal(wire_open(&taken, &wire, &error), ERROR_OK);
    assert_int_equal(cluster_restart(cluster, 0, &error), ERROR_LOCKED);
    wire_close(wire, NULL, NULL);
    assert_int_equal(cluster_restart(cluster, 0, &error), ERROR_OK);
    cluster_await_leader(cluster, 1000);
    assert_true(cluster_end(cluster));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(folder_belongs_to_one_cluster),
        cmocka_unit_test(interrupted_bootstrap_is_done_again),
        cmocka_unit_test(foreign_stores_are_refused),
        cmocka_unit_test(start_without_a_wire_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
