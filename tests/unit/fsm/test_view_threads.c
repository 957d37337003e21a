/* Views are made and read on any thread while the loop applies, and while a worker flushes. */
#include "support/fsm_fixture.h"

#include <pthread.h>
#include <stdatomic.h>

#define READERS 3
#define GROUPS  120u
#define GROUP   16u

struct reading {
    struct fixture *fixture;
    _Atomic bool stop;
    _Atomic uint32_t views;
    _Atomic uint32_t bad; /* what a reader found wrong; cmocka fails on the main thread only */
};

struct walk {
    struct audit_chain chain;
    bool broken;
};

static bool follow(void *context, const struct audit_record *record)
{
    struct walk *walk = context;
    struct error error = {0};
    walk->broken = audit_chain_next(&walk->chain, record, &error) != ERROR_OK;
    return !walk->broken;
}

/* One view is one moment: the newest records link up to the last one, and the flag is what the last group
 * left. */
static bool view_is_whole(struct fsm *fsm)
{
    struct error error = {0};
    struct walk walk = {0};
    json_t *flag = NULL, *members = NULL;
    struct view *view = view_open(fsm);
    const uint64_t last = view_audit_last(view), from = last > 40 ? last - 40 : 1;
    bool whole = view_audit(view, NULL, true, from, follow, &walk, &error) == ERROR_OK && !walk.broken;
    whole = whole && walk.chain.seq == last;
    whole = whole && view_flag(view, "speed", &flag, &error) == ERROR_OK;
    whole = whole && json_integer_value(json_object_get(flag, "version")) > 0;
    whole = whole && view_index(view) % GROUP == 1 % GROUP; /* a definition, then whole groups */
    whole = whole && view_members(view, &members, &error) == ERROR_OK;
    json_decref(flag);
    json_decref(members);
    view_close(view);
    return whole;
}

static void *read_on(void *context)
{
    struct reading *reading = context;
    while (!reading->stop) {
        reading->bad += !view_is_whole(reading->fixture->fsm);
        reading->views++;
    }
    return NULL;
}

static void *flush_on(void *context)
{
    struct reading *reading = context;
    struct error error = {0};
    while (!reading->stop) {
        reading->bad += fsm_flush(reading->fixture->fsm, &error) != ERROR_OK;
        usleep(2000);
    }
    return NULL;
}

/* Goal: whatever is applied or flushed meanwhile, every view is one whole moment between two groups.
 * Method: three threads read, one flushes, the test's own applies groups of 16. */
static void views_are_whole_while_groups_are_applied(void **state)
{
    struct fixture *fixture = *state;
    struct reading reading = {.fixture = fixture};
    pthread_t threads[READERS + 1];
    char json[100];
    fixture_run(fixture, "flag.define",
                "{\"key\": \"speed\", \"type\": \"integer\", \"default\": 1, \"safe\": 0}");
    for (uint32_t i = 0; i < GROUPS * GROUP; i++) {
        snprintf(json, sizeof(json), "{\"key\": \"speed\", \"value\": %u, \"reason\": \"r\"}", i);
        fixture_append_command(fixture->log, "flag.set", "a", "", json);
    }
    for (int i = 0; i < READERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, read_on, &reading), 0);
    assert_int_equal(pthread_create(&threads[READERS], NULL, flush_on, &reading), 0);
    for (uint32_t i = 0; i < GROUPS; i++) {
        fixture_apply(fixture, GROUP);
        usleep(500);
    }
    while (reading.views < 30)
        usleep(1000);
    reading.stop = true;
    for (int i = 0; i <= READERS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(reading.bad, 0);
    assert_int_equal(fixture_describe(fixture).index, GROUPS * GROUP + 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(views_are_whole_while_groups_are_applied, fixture_set_up,
                                        fixture_tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
