/* Random schedules over whole nodes: see chaos/sim/cluster_schedule.c.
 *
 * SEEDS=A..B plays those instead of the gate's; a seed that fails prints itself and can be played alone with
 * SEEDS=N. */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "chaos/sim/cluster.h"

#define GATE_SEEDS_FIRST 1u
#define GATE_SEEDS_LAST  250u

/* Goal: no schedule breaks what cluster.h promises, and every cluster works again after the last fault.
 * Method: some hundreds of seeds, more by SEEDS. */
static void random_schedules_keep_every_promise(void **state)
{
    const char *seeds = getenv("SEEDS");
    uint64_t first = GATE_SEEDS_FIRST, last = GATE_SEEDS_LAST;
    struct cluster_totals played = {0};

    (void)state;
    if (seeds != NULL && sscanf(seeds, "%" SCNu64 "..%" SCNu64, &first, &last) == 1)
        last = first;
    for (uint64_t seed = first; seed <= last; seed++)
        if (!cluster_random_schedule(0, seed, &played))
            fail_msg("seed %" PRIu64, seed);
    print_message("schedules %" PRIu64 ", acknowledged %" PRIu64 ", reads %" PRIu64 ", snapshots %" PRIu64
                  ", state transfers %" PRIu64 ", failed disks %" PRIu64 ", lost stores %" PRIu64 "\n",
                  played.schedules, played.acknowledged, played.reads, played.snapshots, played.installs,
                  played.fatals, played.wipes);
    assert_true(played.acknowledged > 0);
    if (seeds == NULL) {
        assert_true(played.installs > 0);
        assert_true(played.snapshots > 0);
        assert_true(played.reads > 0);
        assert_true(played.fatals > 0);
        assert_true(played.wipes > 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_schedules_keep_every_promise),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
