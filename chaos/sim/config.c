/* What a seed draws for itself. Each seed uses some of the faults only: a run with all of them at once hides
 * what two alone would show. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "chaos/sim/sim_internal.h"

#define STREAM_CONFIG 1u

/* What a run is mainly about: faults that belong together, and how fast they come. A name in `kinds` is used
 * always, one in `some` half the time. */
struct theme {
    uint32_t share; /* of a hundred seeds */
    const char *kinds, *some;
    uint32_t every_min_ms, every_max_ms, lasts_max_ms;
};

static const struct theme themes[] = {
    {.share = 25,
     .kinds = " member member-cut member-twice ",
     .some = " partition isolate one-way bridge crash pause transfer stall stall-crash delay loss stop ",
     .every_min_ms = 30,
     .every_max_ms = 500,
     .lasts_max_ms = 2000},
    {.share = 20,
     .kinds = " crash ",
     .some = " crash-all stall-crash fail-sync fail-mark full slow-disk stall wipe-state wipe-disk "
             "flip-state flip-log stop "
             "isolate delay ",
     .every_min_ms = 100,
     .every_max_ms = 3000,
     .lasts_max_ms = 4000},
    {.share = 15,
     .kinds = " isolate ",
     .some = " pause transfer one-way partition bridge crash stall clock loss delay double ",
     .every_min_ms = 50,
     .every_max_ms = 1000,
     .lasts_max_ms = 3000},
};

static bool names(const char *list, const char *name)
{
    const char *at = strstr(list, name);
    return at != NULL && at[-1] == ' ' && at[strlen(name)] == ' ';
}

static void draw_theme(struct random *random, uint32_t allowed, struct sim_config *out)
{
    uint32_t draw = random_below(random, 100), i = 0, faults = 0;

    while (i < sizeof themes / sizeof themes[0] && draw >= themes[i].share)
        draw -= themes[i++].share;
    if (i == sizeof themes / sizeof themes[0])
        return;
    for (uint32_t kind = 0; sim_fault_name(kind) != NULL; kind++)
        if (names(themes[i].kinds, sim_fault_name(kind)) ||
            (names(themes[i].some, sim_fault_name(kind)) && random_chance(random, 50)))
            faults |= 1u << kind;
    if ((faults & allowed) == 0)
        return;
    out->faults = faults & allowed;
    out->fault_every_ms = random_between(random, themes[i].every_min_ms, themes[i].every_max_ms);
    out->fault_lasts_ms = random_between(random, 20, themes[i].lasts_max_ms);
}

static void draw_faults(struct random *random, uint32_t allowed, uint32_t *out)
{
    uint32_t share = random_between(random, 10, 90);

    *out = 0;
    for (uint32_t kind = 0; sim_fault_name(kind) != NULL; kind++)
        if (random_chance(random, share) && (allowed >> kind & 1) != 0)
            *out |= 1u << kind;
}

void config_draw(const struct sim_options *options, struct sim_config *out)
{
    struct random random = random_of(options->seed, STREAM_CONFIG);
    static const uint32_t nodes[] = {1, 2, 3, 3, 3, 4, 5, 5, 6, 7};

    *out = (struct sim_config){.nodes = nodes[random_below(&random, 10)]};
    out->clients = random_between(&random, 1, SIM_CLIENTS_MAX);
    out->election_timeout_ms = random_chance(&random, 50) ? 300 : random_between(&random, 100, 1000);
    out->heartbeat_ms = out->election_timeout_ms / random_between(&random, 8, 12);
    out->snapshot_entries = random_scale(&random, 8, 2000);
    out->trailing_entries = random_scale(&random, 0, 1) == 0 ? 0 : random_scale(&random, 1, 200);
    out->delay_min_ms = random_below(&random, 3);
    out->delay_max_ms = out->delay_min_ms + random_scale(&random, 1, out->election_timeout_ms / 8);
    out->sync_max_ms = random_scale(&random, 1, 20) - 1;
    out->loss_ppm = random_chance(&random, 50) ? 0 : random_scale(&random, 100, 20000);
    out->double_ppm = random_chance(&random, 50) ? 0 : random_scale(&random, 100, 100000);
    out->keep_order = random_chance(&random, 30);
    out->think_ms = random_between(&random, 60, 500) * out->clients;
    out->beat_ms = random_chance(&random, 60) ? 1 : random_scale(&random, 10, 1000);
    out->fetch_max_ms = random_scale(&random, 10, 5000);
    out->fault_every_ms = random_scale(&random, 300, 15000);
    out->fault_lasts_ms = random_scale(&random, 50, 8000);
    out->restart_ms = random_scale(&random, 10, 4000);
    draw_faults(&random, options->faults, &out->faults);
    draw_theme(&random, options->faults, out);
    if (options->nodes != 0)
        out->nodes = options->nodes;
}

void config_print(const struct sim_config *config)
{
    fprintf(
        stderr,
        "drawn: %u nodes, %u clients (think %u ms, beat %u ms), election %u ms, heartbeat %u ms, snapshot "
        "every %u entries, %u trailing, delay %u..%u ms%s, sync to %u ms, fetch to %u ms, loss %u ppm, "
        "double %u ppm, "
        "a fault every %u ms for %u ms, restart after %u ms; kinds:",
        config->nodes, config->clients, config->think_ms, config->beat_ms, config->election_timeout_ms,
        config->heartbeat_ms, config->snapshot_entries, config->trailing_entries, config->delay_min_ms,
        config->delay_max_ms, config->keep_order ? " in order" : "", config->sync_max_ms,
        config->fetch_max_ms, config->loss_ppm, config->double_ppm, config->fault_every_ms,
        config->fault_lasts_ms, config->restart_ms);
    for (uint32_t kind = 0; sim_fault_name(kind) != NULL; kind++)
        if ((config->faults >> kind & 1) != 0)
            fprintf(stderr, " %s", sim_fault_name(kind));
    fprintf(stderr, "\n");
}
