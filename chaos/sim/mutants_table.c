/* Every planted bug against the simulator: which check finds it, and at which seed. */
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "chaos/sim/children.h"
#include "chaos/sim/mutants.h"

#define MINUTES  2u
#define JOBS_MAX 16u

struct hunt { /* of one mutant */
    const struct mutant *mutant;
    struct child child;
    uint32_t seed;
    uint64_t start_us;
};

/* Flipped bits of the state are left out where nothing is said: they end in state transfers of their own. */
static uint32_t faults_of(const struct mutant *mutant)
{
    char list[256];
    uint32_t bits = 0;

    snprintf(list, sizeof list, ",%s,", mutant->faults == NULL ? "" : mutant->faults);
    for (uint32_t kind = 0; sim_fault_name(kind) != NULL; kind++) {
        char name[64];
        snprintf(name, sizeof name, ",%s,", sim_fault_name(kind));
        if (mutant->faults == NULL ? strcmp(name, ",flip-state,") != 0 : strstr(list, name) != NULL)
            bits |= 1u << kind;
    }
    return bits;
}

static void play(struct hunt *hunt)
{
    const struct sim_options options = {
        .seed = ++hunt->seed,
        .minutes = MINUTES,
        .nodes = hunt->mutant->nodes,
        .faults = faults_of(hunt->mutant),
        .rules_off = hunt->mutant->rules_off,
        .mutant = hunt->mutant->name,
        .schedule = hunt->mutant->schedule,
        .scenario = hunt->mutant->scenario == NULL ? NULL : cluster_scenario_find(hunt->mutant->scenario)};
    mutant_plant(hunt->mutant);
    child_start(&options, false, &hunt->child);
    mutant_plant(NULL);
}

/* "digest" of "digest: node 3 ..." among "digest|final-state". */
static bool expected(const struct mutant *mutant, const char *violation)
{
    const size_t length = strcspn(violation, ":");

    if (strstr(violation, "doesn't bite") != NULL)
        return false; /* the scenario says so of itself */
    for (const char *at = mutant->caught_by; at != NULL; at = strchr(at, '|')) {
        at += *at == '|';
        if (strcspn(at, "|") == length && strncmp(at, violation, length) == 0)
            return true;
    }
    return false;
}

/* @return true: the hunt is over */
static bool judge(struct hunt *hunt, bool *good)
{
    struct sim_report report;
    const bool held = child_end(&hunt->child, &report);

    fclose(hunt->child.said);
    if (held && hunt->seed < hunt->mutant->seeds)
        return false;
    const bool right = !held && expected(hunt->mutant, report.violation);
    const double seconds = (double)(clock_monotonic_us() - hunt->start_us) / 1e6;
    if (held)
        printf("not ok - %-28s not caught by seeds 1..%u (%.1f s): %s\n", hunt->mutant->name, hunt->seed,
               seconds, hunt->mutant->how);
    else
        printf("%s - %-28s seed %2u of %2u, %5.1f s, %s%s: %.140s\n", right ? "ok" : "not ok",
               hunt->mutant->name, hunt->seed, hunt->mutant->seeds, seconds, right ? "" : "expected ",
               right ? "" : hunt->mutant->caught_by, report.violation);
    fflush(stdout);
    *good = *good && right;
    return true;
}

bool mutants_table(const char *only, uint32_t jobs)
{
    struct hunt hunts[JOBS_MAX];
    uint32_t running = 0, next = 0, caught = 0;
    bool good = true;

    jobs = jobs < JOBS_MAX ? jobs : JOBS_MAX;
    while (mutant_at(next) != NULL || running > 0) {
        for (; running < jobs && mutant_at(next) != NULL; next++) {
            if (only[0] != '\0' && strcmp(only, mutant_at(next)->name) != 0)
                continue;
            hunts[running] = (struct hunt){.mutant = mutant_at(next), .start_us = clock_monotonic_us()};
            play(&hunts[running++]);
        }
        struct pollfd ready[JOBS_MAX];
        for (uint32_t i = 0; i < running; i++)
            ready[i] = (struct pollfd){.fd = hunts[i].child.pipe, .events = POLLIN};
        if (running == 0 || poll(ready, running, -1) < 0)
            continue;
        for (uint32_t i = running; i > 0; i--) {
            if (ready[i - 1].revents == 0)
                continue;
            if (!judge(&hunts[i - 1], &good)) {
                play(&hunts[i - 1]);
                continue;
            }
            caught++;
            hunts[i - 1] = hunts[--running];
        }
    }
    printf("%s - %u mutants\n", good && caught > 0 ? "ok" : "not ok", caught);
    return good && caught > 0;
}
