/* What `autonomy top` makes of what nodes say when they don't agree. On a terminal, with real nodes:
 * tests/e2e/test_top.py. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "unit/tools/fake_server.h"
#include "unit/tools/run_cli.h"

static int set_up(void **state)
{
    struct home *home = malloc(sizeof *home);
    *home = home_make();
    *state = home;
    return 0;
}

static int tear_down(void **state)
{
    home_remove(*state);
    free(*state);
    return 0;
}

static const struct fake_reply empty = {200, "{\"items\":[]}", 0};

/* A node's status: who it is, its term, whether it can write, and whom it sees. */
static char *status_of(const char *name, const char *role, int term, bool writes, const char *cluster,
                       const char *url_a, const char *url_b, bool sees_a, bool sees_b, bool sees_c)
{
    char *text = malloc(4096);
    snprintf(
        text, 4096,
        "{\"node_id\":\"%s\",\"role\":\"%s\",\"term\":%d,\"commit_index\":%d,\"applied_index\":7,"
        "\"write_ready\":%s,\"cluster_id\":\"%s\",\"leader\":{\"holder_id\":\"%s\",\"epoch\":%d,"
        "\"acquired_at\":\"2026-01-02T03:04:05.000Z\"},\"quorum\":{\"write_ready\":%s},\"replication\":{},"
        "\"members\":[{\"name\":\"a\",\"role\":\"voter\",\"url\":\"%s\",\"reachable\":%s,\"applied_index\":9}"
        ","
        "{\"name\":\"b\",\"role\":\"voter\",\"url\":\"%s\",\"reachable\":%s,\"applied_index\":null},"
        "{\"name\":\"c\",\"role\":\"voter\",\"url\":\"http://127.0.0.1:1\",\"reachable\":%s,"
        "\"applied_index\":8}]}",
        name, role, term, term * 3, writes ? "true" : "false", cluster, name, term, writes ? "true" : "false",
        url_a, sees_a ? "true" : "false", url_b, sees_b ? "true" : "false", sees_c ? "true" : "false");
    return text;
}

struct pair {
    struct fake_server *a, *b;
    char *status_a, *status_b;
};

static struct pair pair_start(void)
{
    return (struct pair){.a = fake_start(&empty, 1), .b = fake_start(&empty, 1)};
}

/* Both are asked from now on. */
static void pair_answer(struct pair *self, char *status_a, char *status_b)
{
    self->status_a = status_a;
    self->status_b = status_b;
    self->a->status_body = status_a;
    self->b->status_body = status_b;
}

static struct ran pair_look(const struct pair *self)
{
    char urls[256];
    snprintf(urls, sizeof urls, "%s,%s", self->b->url, self->a->url);
    return run("top", "--interval", "100ms", "--orchestrator-url", urls, NULL);
}

static void pair_free(struct pair *self)
{
    fake_stop(self->a);
    fake_stop(self->b);
    free(self->status_a);
    free(self->status_b);
    fake_free(self->a);
    fake_free(self->b);
}

static void shows(const struct ran *ran, const char *wanted)
{
    if (!strstr(ran->out, wanted))
        fail_msg("\"%s\" is missing in:\n%s", wanted, ran->out);
}

/* Goal: a leader that was cut off and doesn't know it stands beside the real one, and is named; the one that
 * can write is believed, though it was named last. Method: two nodes that both say they lead; a third that is
 * dead. */
static void two_leaders_are_told_and_the_writing_one_is_believed(void **state)
{
    struct pair pair = pair_start();
    (void)state;
    pair_answer(&pair, status_of("a", "leader", 3, true, "c1", pair.a->url, pair.b->url, true, false, true),
                status_of("b", "leader", 2, false, "c1", pair.a->url, pair.b->url, false, true, true));
    struct ran ran = pair_look(&pair);
    assert_int_equal(ran.exit, CLI_DONE);
    shows(&ran, "write-ready");
    shows(&ran, "more than one node says that it leads: b, a");
    shows(&ran, "leader a (epoch 3, since 03:04:05)");
    shows(&ran, "asked a");
    shows(&ran, "b     leader  cut off    2     6");
    shows(&ran, "c     -       no answer  -     -       8        1 ");
    ran_done(&ran);
    pair_free(&pair);
}

/* Goal: a node of another cluster at an address that was ours is no member that answers.
 * Method: the second node has another cluster's id. */
static void another_clusters_node_is_none_of_ours(void **state)
{
    struct pair pair = pair_start();
    (void)state;
    pair_answer(&pair,
                status_of("a", "follower", 3, false, "other", pair.a->url, pair.b->url, true, true, true),
                status_of("b", "leader", 2, true, "c1", pair.a->url, pair.b->url, true, true, true));
    struct ran ran = pair_look(&pair);
    assert_int_equal(ran.exit, CLI_DONE);
    shows(&ran, "asked b");
    shows(&ran, "a     -       no answer");
    shows(&ran, "b     leader  ok");
    ran_done(&ran);
    pair_free(&pair);
}

/* Goal: without a majority it says what is needed.
 * Method: one node in contact of three, none that writes. */
static void a_lost_majority_names_who_has_to_come_back(void **state)
{
    struct pair pair = pair_start();
    (void)state;
    pair_answer(&pair, strdup("{}"),
                status_of("b", "candidate", 2, false, "c1", pair.a->url, pair.b->url, false, true, false));
    struct ran ran = pair_look(&pair);
    assert_int_equal(ran.exit, CLI_DONE);
    shows(&ran, "NO WRITES");
    shows(&ran, "1 of 3 voters is in contact, 2 are needed: bring back a or c\n");
    shows(&ran, "a     -          unreachable  -     -       9");
    ran_done(&ran);
    pair_free(&pair);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(two_leaders_are_told_and_the_writing_one_is_believed, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(another_clusters_node_is_none_of_ours, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_lost_majority_names_who_has_to_come_back, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
