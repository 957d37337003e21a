/* Random histories that a right cluster could have given, with at most one violation planted.
 *
 * Each operation takes effect at one point between its start and its answer (one of unknown outcome: later,
 * or never); points are played in order against plain variables. So every history without a plant is right by
 * construction. A plant that finds no fit place leaves `planted` false. */
#pragma once

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "chaos/check/history.h"
#include "chaos/check/table.h"

enum plant {
    PLANT_NOTHING,
    PLANT_STALE_READ,  /* a read gives what was there before an acknowledged set */
    PLANT_LOST_UPDATE, /* an acknowledged set has no effect */
    PLANT_TWICE,       /* a set takes effect twice */
    PLANT_REORDERED,   /* a set takes effect before one that was answered before it began */
    PLANT_LOST_RECORD, /* an acknowledged change is not in the trail */
    PLANT_PHANTOM,     /* a refused set takes effect */
    PLANT_TORN,        /* half of a transfer takes effect */
    PLANT_PLAN,        /* an acknowledged change of a plan has no effect */
    PLANT_SWITCH,      /* a flag is not safe though its switch was activated */
    PLANT_BACKWARDS,   /* a stale read at an index shows a later state */
    PLANT_OLD_INDEX,   /* a read that waited for an index shows an older one */
    PLANT_EVENT_MISSED,
    PLANT_EVENT_DOUBLED,
    PLANT_EVENT_SWAPPED,
    PLANT_TWO_LEADERS,
    PLANT_DIGEST,
    PLANT_STATE, /* one node ends with another value */
    PLANT_COUNT
};

struct random_options {
    uint64_t seed;
    uint32_t ops, clients, flags, accounts;
    uint32_t unknown_ppm;
    enum plant plant;
    bool bare; /* answers without versions and indexes: only values and real time are left to judge by */
};

#define RANDOM_FLAGS_MAX    64u
#define RANDOM_ACCOUNTS_MAX 8u
#define RANDOM_SUM          1000

struct random_past { /* of a flag */
    uint64_t index, version, complete_ns, invoke_ns;
    int64_t value;
};
struct random_flag {
    char key[32];
    struct random_past *past;
    size_t past_count;
};
struct random_point {
    uint64_t invoke_ns, point_ns, complete_ns;
    uint32_t client;
    bool unknown, never;
};

struct random_run {
    const struct random_options *options;
    struct history *history;
    uint64_t state; /* of the generator of numbers */
    uint64_t log, seq;
    int64_t value;
    struct random_flag flags[RANDOM_FLAGS_MAX + RANDOM_ACCOUNTS_MAX];
    char plan[24];
    uint32_t plan_number;
    int64_t phase;
    bool halted;
    bool active; /* the switch */
    bool planted;
    uint32_t done;
};

static inline uint64_t random_next(struct random_run *run)
{
    return table_mix(run->state++);
}
static inline uint64_t random_below(struct random_run *run, uint64_t bound)
{
    return random_next(run) % bound;
}

static inline bool random_plants(const struct random_run *run, enum plant plant)
{
    return run->options->plant == plant && !run->planted && run->done > run->options->ops / 3;
}

static inline struct random_past *random_now(struct random_flag *flag)
{
    return &flag->past[flag->past_count - 1];
}

static inline void random_write(struct random_flag *flag, int64_t value, uint64_t index,
                                const struct random_point *point)
{
    const uint64_t version = flag->past_count == 0 ? 1 : random_now(flag)->version + 1;
    if ((flag->past_count & (flag->past_count - 1)) == 0)
        flag->past = memory_resize(flag->past, (flag->past_count * 2 + 1) * sizeof *flag->past);
    flag->past[flag->past_count++] =
        (struct random_past){index, version, point->complete_ns, point->invoke_ns, value};
}

static inline void random_record(struct random_run *run, const struct history_op *op, const char *key)
{
    const struct history_audit record = {
        .seq = ++run->seq,
        .index = run->log,
        .request = op->request,
        .event = history_kind_name(op->kind),
        .resource = key,
        .category = history_kind_object(op->kind) == HISTORY_FLAG ? "flags" : "rollout",
        .success = op->outcome != HISTORY_REFUSED};
    history_add_audit(run->history, &record);
}

/* Adds the operation; what an unknown one would have been told is forgotten. */
static inline void random_add(struct random_run *run, const struct random_point *point, struct history_op *op)
{
    op->client = point->client;
    op->invoke_ns = point->invoke_ns;
    op->complete_ns = point->complete_ns;
    if (point->unknown) {
        op->outcome = HISTORY_UNKNOWN;
        op->complete_ns = HISTORY_NEVER;
        op->code = NULL;
    }
    if (point->unknown || run->options->bare) {
        op->index = op->audit_seq = 0;
        for (uint32_t i = 0; i < op->part_count; i++)
            op->parts[i].version = 0;
    }
    history_add(run->history, op);
}

/* --- flags --- */

static inline bool random_plant_stale(struct random_run *run, struct random_flag *flag,
                                      const struct random_point *point, struct history_part *part)
{
    if (!random_plants(run, PLANT_STALE_READ) || flag->past_count < 3 || point->unknown)
        return false;
    const struct random_past *now = random_now(flag), *old = now - 1;
    if (now->complete_ns >= point->invoke_ns || old->complete_ns >= now->invoke_ns || old->complete_ns == 0)
        return false;
    part->value = old->value;
    part->version = old->version;
    return run->planted = true;
}

static inline void random_read(struct random_run *run, const struct random_point *point)
{
    struct random_flag *flag = &run->flags[random_below(run, run->options->flags)];
    struct history_part part = {.key = flag->key};
    struct history_op op = {.kind = HISTORY_READ, .outcome = HISTORY_OK, .parts = &part, .part_count = 1};
    op.index = run->log;
    op.stale = random_below(run, 4) == 0;
    size_t at = flag->past_count - 1;
    if (op.stale && !run->options->bare) { /* as it was a while ago, anywhere */
        op.index -= random_below(run, 20) % run->log;
        while (flag->past[at].index > op.index)
            at--;
        op.after_index = random_below(run, 2) == 0 ? op.index : 0;
    }
    part.value = flag->past[at].value;
    part.version = flag->past[at].version;
    if (!op.stale)
        random_plant_stale(run, flag, point, &part);
    else if (random_plants(run, PLANT_BACKWARDS) && at + 1 < flag->past_count && !point->unknown) {
        part.value = flag->past[at + 1].value;
        part.version = flag->past[at + 1].version;
        run->planted = true;
    } else if (random_plants(run, PLANT_OLD_INDEX) && op.after_index != 0 && !point->unknown) {
        op.after_index = op.index + 1;
        run->planted = true;
    }
    random_add(run, point, &op);
}

static inline void random_set(struct random_run *run, const struct random_point *point)
{
    struct random_flag *flag = &run->flags[random_below(run, run->options->flags)];
    struct history_part part = {.key = flag->key, .value = ++run->value};
    char request[24];
    snprintf(request, sizeof request, "c%u", run->done);
    struct history_op op = {
        .kind = HISTORY_SET, .outcome = HISTORY_OK, .parts = &part, .part_count = 1, .request = request};
    if (random_below(run, 2) == 0)
        part.expected_version = random_now(flag)->version + (random_below(run, 5) == 0 ? 1 : 0);
    const bool fits = part.expected_version == 0 || part.expected_version == random_now(flag)->version;
    if (!point->never)
        op.index = ++run->log;
    part.version = random_now(flag)->version;
    if (!fits) {
        op.outcome = HISTORY_REFUSED;
        op.code = "version_mismatch";
        if (random_plants(run, PLANT_PHANTOM) && !point->unknown) {
            random_write(flag, part.value, run->log, point);
            op.outcome = HISTORY_OK; /* in the trail */
            random_record(run, &op, flag->key);
            op.outcome = HISTORY_REFUSED;
            run->planted = true;
        }
    } else if (!point->never) {
        part.version++;
        op.audit_seq = run->seq + 1;
        const bool lost = random_plants(run, PLANT_LOST_UPDATE) && !point->unknown;
        const bool twice = random_plants(run, PLANT_TWICE) && !point->unknown;
        const bool unrecorded = random_plants(run, PLANT_LOST_RECORD) && !point->unknown;
        run->planted = run->planted || lost || twice || unrecorded;
        if (!lost)
            random_write(flag, part.value, run->log, point);
        if (!unrecorded)
            random_record(run, &op, flag->key);
        if (twice) {
            run->log++;
            random_write(flag, part.value, run->log, point);
            random_record(run, &op, flag->key);
        }
    }
    random_add(run, point, &op);
}

/* --- the bank --- */

static inline void random_bank_read(struct random_run *run, const struct random_point *point)
{
    struct history_part parts[RANDOM_ACCOUNTS_MAX] = {0};
    struct history_op op = {.kind = HISTORY_READ, .outcome = HISTORY_OK, .parts = parts, .index = run->log};
    for (uint32_t i = 0; i < run->options->accounts; i++) {
        struct random_flag *account = &run->flags[run->options->flags + i];
        parts[op.part_count++] = (struct history_part){.key = account->key,
                                                       .value = random_now(account)->value,
                                                       .version = random_now(account)->version};
    }
    random_add(run, point, &op);
}

static inline void random_transfer(struct random_run *run, const struct random_point *point)
{
    const uint64_t from = random_below(run, run->options->accounts);
    const uint64_t to = (from + 1 + random_below(run, run->options->accounts - 1)) % run->options->accounts;
    struct random_flag *accounts[2] = {&run->flags[run->options->flags + from],
                                       &run->flags[run->options->flags + to]};
    const int64_t amount = 1 + (int64_t)random_below(run, 50);
    struct history_part parts[2] = {0};
    char request[24];
    snprintf(request, sizeof request, "c%u", run->done);
    struct history_op op = {
        .kind = HISTORY_SET, .outcome = HISTORY_OK, .parts = parts, .part_count = 2, .request = request};
    if (!point->never) {
        op.index = ++run->log;
        op.audit_seq = run->seq + 1;
    }
    const bool torn = !point->unknown && random_plants(run, PLANT_TORN);
    run->planted = run->planted || torn;
    for (int i = 0; i < 2; i++) {
        const struct random_past now = *random_now(accounts[i]);
        parts[i] = (struct history_part){.key = accounts[i]->key,
                                         .value = now.value + (i == 0 ? -amount : amount),
                                         .expected_version = now.version,
                                         .version = now.version + 1};
        if (point->never || (torn && i == 1))
            continue;
        random_write(accounts[i], parts[i].value, run->log, point);
        random_record(run, &op, accounts[i]->key);
    }
    random_add(run, point, &op);
}

/* --- plans and the switch --- */

static inline const char *random_plan_event(struct random_run *run, uint32_t kind, int64_t *to, bool *halts)
{
    const bool open = run->phase == HISTORY_ACTIVE || run->phase == HISTORY_PAUSED;
    *to = run->phase;
    *halts = run->halted;
    if (kind == HISTORY_PLAN_CREATE) {
        *to = HISTORY_DRAFT;
        return run->phase == HISTORY_NO_PLAN ? NULL : "plan_exists";
    }
    if (run->phase == HISTORY_NO_PLAN)
        return "plan_not_found";
    if (run->phase > HISTORY_PAUSED)
        return "plan_terminal";
    if (kind == HISTORY_PLAN_PUBLISH && run->phase == HISTORY_DRAFT)
        *to = HISTORY_ACTIVE;
    else if (kind == HISTORY_PLAN_PAUSE && run->phase == HISTORY_ACTIVE)
        *to = HISTORY_PAUSED;
    else if (kind == HISTORY_PLAN_RESUME && run->phase == HISTORY_PAUSED)
        *to = HISTORY_ACTIVE;
    else if (kind == HISTORY_PLAN_HALT && open)
        *halts = true;
    else if (kind == HISTORY_PLAN_ROLLBACK && open)
        *to = HISTORY_ROLLED_BACK;
    else if (kind == HISTORY_PLAN_CANCEL)
        *to = HISTORY_CANCELLED;
    else
        return "plan_phase";
    if (run->halted && (kind == HISTORY_PLAN_PAUSE || kind == HISTORY_PLAN_RESUME))
        return "stage_halted";
    return NULL;
}

static inline uint32_t random_plan_kind(struct random_run *run)
{
    static const uint32_t likely[] = {HISTORY_PLAN_READ,   HISTORY_PLAN_READ,    HISTORY_PLAN_READ,
                                      HISTORY_PLAN_CREATE, HISTORY_PLAN_PUBLISH, HISTORY_PLAN_PUBLISH,
                                      HISTORY_PLAN_PAUSE,  HISTORY_PLAN_RESUME,  HISTORY_PLAN_PAUSE,
                                      HISTORY_PLAN_RESUME, HISTORY_PLAN_READ,    HISTORY_PLAN_CREATE};
    const uint64_t draw = random_below(run, 40);
    if (draw == 0)
        return HISTORY_PLAN_ROLLBACK;
    if (draw == 1)
        return HISTORY_PLAN_CANCEL;
    return draw == 2 ? (uint32_t)HISTORY_PLAN_HALT : likely[draw % 12];
}

static inline void random_plan(struct random_run *run, const struct random_point *point)
{
    if (run->plan[0] == '\0' || (run->phase > HISTORY_PAUSED && random_below(run, 8) == 0)) {
        snprintf(run->plan, sizeof run->plan, "plan-%u", ++run->plan_number);
        run->phase = HISTORY_NO_PLAN;
        run->halted = false;
    }
    char request[24];
    snprintf(request, sizeof request, "c%u", run->done);
    struct history_part part = {.key = run->plan, .value = run->phase, .halted = run->halted};
    struct history_op op = {
        .kind = random_plan_kind(run), .outcome = HISTORY_OK, .parts = &part, .part_count = 1};
    if (op.kind == HISTORY_PLAN_READ) {
        op.index = run->log;
        random_add(run, point, &op);
        return;
    }
    int64_t to;
    bool halts;
    op.request = request;
    op.code = random_plan_event(run, op.kind, &to, &halts);
    op.outcome = op.code != NULL ? HISTORY_REFUSED : HISTORY_OK;
    part.value = 0;
    if (!point->never) {
        op.index = ++run->log;
        if (op.code == NULL) {
            op.audit_seq = run->seq + 1;
            random_record(run, &op, run->plan);
        }
    }
    if (op.code == NULL && !point->never) {
        const bool lost = to != run->phase && op.kind != HISTORY_PLAN_CREATE && !point->unknown &&
                          random_plants(run, PLANT_PLAN);
        run->planted = run->planted || lost;
        run->phase = lost ? run->phase : to;
        run->halted = lost ? run->halted : halts && to <= HISTORY_PAUSED;
        if (lost) { /* and somebody looks */
            random_add(run, point, &op);
            struct history_part seen = {.key = run->plan, .value = run->phase, .halted = run->halted};
            const struct random_point later = {
                .invoke_ns = point->complete_ns + 1, .complete_ns = point->complete_ns + 2, .client = 999};
            struct history_op look = {
                .kind = HISTORY_PLAN_READ, .outcome = HISTORY_OK, .parts = &seen, .part_count = 1};
            random_add(run, &later, &look);
            return;
        }
    }
    random_add(run, point, &op);
}

static inline void random_switch(struct random_run *run, const struct random_point *point)
{
    const uint64_t draw = random_below(run, 10);
    char request[24];
    snprintf(request, sizeof request, "c%u", run->done);
    struct history_part part = {.key = "switch-1", .value = run->active};
    struct history_op op = {
        .kind = HISTORY_SWITCH_READ, .outcome = HISTORY_OK, .parts = &part, .part_count = 1};
    if (draw > 1) {
        op.index = run->log;
        random_add(run, point, &op);
        return;
    }
    op.kind = draw == 0 ? HISTORY_SWITCH_ACTIVATE : HISTORY_SWITCH_RESET;
    op.request = request;
    const bool fits = run->active == (draw == 1);
    op.outcome = fits ? HISTORY_OK : HISTORY_REFUSED;
    op.code = fits ? NULL : draw == 0 ? "kill_switch_active" : "kill_switch_inactive";
    if (!point->never)
        op.index = ++run->log;
    if (fits && !point->never) {
        run->active = draw == 0;
        op.audit_seq = run->seq + 1;
        random_record(run, &op, part.key);
    }
    part.value = 0;
    random_add(run, point, &op);
}

/* --- all --- */

static inline int random_compare(const void *left, const void *right)
{
    const struct random_point *a = left, *b = right;
    return a->point_ns < b->point_ns ? -1 : a->point_ns > b->point_ns;
}

static inline struct random_point *random_points(struct random_run *run)
{
    const struct random_options *options = run->options;
    struct random_point *points = memory_new(options->ops * sizeof *points);
    uint64_t *clocks = memory_zero(options->clients, sizeof *clocks);
    for (uint32_t i = 0; i < options->ops; i++) {
        const uint32_t client = i % options->clients;
        struct random_point *point = &points[i];
        *point = (struct random_point){.client = client,
                                       .invoke_ns = clocks[client] + 1000000 + random_below(run, 2000000)};
        point->point_ns = point->invoke_ns + 1 + random_below(run, 2000000);
        point->complete_ns = point->point_ns + 1 + random_below(run, 1000000);
        clocks[client] = point->complete_ns;
        if (random_below(run, 1000000) >= options->unknown_ppm)
            continue;
        point->unknown = true;
        point->never = random_below(run, 2) == 0;
        point->point_ns += random_below(run, 3) == 0 ? random_below(run, 100000000) : 0;
        clocks[client] = point->invoke_ns + 20000000;
    }
    free(clocks);
    qsort(points, options->ops, sizeof *points, random_compare);
    return points;
}

/* Makes one set's point come before its start, over another set of the same flag: both are acknowledged. */
static inline void random_plant_reordered(struct random_run *run, uint64_t end_ns)
{
    struct random_flag *flag = &run->flags[0];
    const struct random_point late = {.invoke_ns = end_ns + 20, .complete_ns = end_ns + 21, .client = 998};
    const struct random_point early = {.invoke_ns = end_ns + 10, .complete_ns = end_ns + 11, .client = 997};
    const struct random_point *order[] = {&late, &early};
    for (int i = 0; i < 2; i++) {
        run->log++;
        random_write(flag, ++run->value, run->log, order[i]);
        struct history_part part = {
            .key = flag->key, .value = run->value, .version = random_now(flag)->version};
        struct history_op op = {.kind = HISTORY_SET,
                                .outcome = HISTORY_OK,
                                .parts = &part,
                                .part_count = 1,
                                .request = i == 0 ? "cx" : "cy"};
        random_record(run, &op, flag->key);
        random_add(run, order[i], &op);
    }
    run->planted = true;
}

/* Activated, and then a flag of it isn't safe. */
static inline void random_plant_switch(struct random_run *run, uint64_t end_ns)
{
    struct history_part part = {.key = "switch-1"};
    struct history_op op = {.kind = HISTORY_SWITCH_ACTIVATE,
                            .outcome = HISTORY_OK,
                            .parts = &part,
                            .part_count = 1,
                            .request = "cz"};
    const struct random_point first = {.invoke_ns = end_ns + 10, .complete_ns = end_ns + 11, .client = 997};
    const struct random_point second = {.invoke_ns = end_ns + 20, .complete_ns = end_ns + 21, .client = 998};
    if (!run->active) {
        run->log++;
        random_record(run, &op, part.key);
        random_add(run, &first, &op);
    }
    op = (struct history_op){
        .kind = HISTORY_SWITCH_READ, .outcome = HISTORY_OK, .parts = &part, .part_count = 1};
    random_add(run, &second, &op);
    run->planted = true;
}

static inline void random_end(struct random_run *run)
{
    static const char *const nodes[] = {"n1", "n2", "n3"};
    const uint32_t count = run->options->flags + run->options->accounts;
    for (uint32_t n = 0; n < 3; n++) {
        const bool other = n == 1 && run->options->plant == PLANT_DIGEST;
        history_add_final(run->history,
                          &(struct history_final){nodes[n], other ? "ee" : "dd", run->log, true});
        run->planted = run->planted || other;
        for (uint32_t i = 0; i < count; i++) {
            const struct random_past *now = random_now(&run->flags[i]);
            const bool wrong = n == 2 && i == 0 && run->options->plant == PLANT_STATE;
            history_add_state(run->history, &(struct history_state){nodes[n], run->flags[i].key,
                                                                    now->value + (wrong ? 1 : 0),
                                                                    run->options->bare ? 0 : now->version});
            run->planted = run->planted || wrong;
        }
    }
    const bool two = run->options->plant == PLANT_TWO_LEADERS;
    for (uint64_t term = 1; term <= 4; term++)
        history_add_leader(run->history, &(struct history_leader){term * 1000000, term, nodes[term % 3]});
    if (two)
        history_add_leader(run->history, &(struct history_leader){4500000, 4, nodes[0]});
    run->planted = run->planted || two;
}

static inline void random_follow(struct random_run *run)
{
    const enum plant plant = run->options->plant;
    const uint64_t at =
        run->history->audit_count > 4 ? 1 + random_below(run, run->history->audit_count - 3) : 0;
    for (uint32_t f = 0; f < 2; f++) {
        const struct history_follower follower = {f == 0 ? "all" : "flags", f == 0 ? NULL : "flags"};
        history_add_follower(run->history, &follower);
        for (uint64_t i = f; i < run->history->audit_count; i++) {
            struct history_event event = {f, run->history->audit[i].seq, i};
            const bool here = f == 0 && i == at && at > 0;
            if (f == 1 && strcmp(run->history->audit[i].category, "flags") != 0)
                continue;
            run->planted =
                run->planted || (here && plant >= PLANT_EVENT_MISSED && plant <= PLANT_EVENT_SWAPPED);
            if (here && plant == PLANT_EVENT_MISSED)
                continue;
            if (here && plant == PLANT_EVENT_SWAPPED) {
                event.seq = run->history->audit[++i].seq;
                history_add_event(run->history, &event);
                event.seq = run->history->audit[i - 1].seq;
            }
            history_add_event(run->history, &event);
            if (here && plant == PLANT_EVENT_DOUBLED)
                history_add_event(run->history, &event);
        }
    }
}

/** @param planted  whether the plant found its place */
static inline struct history *history_random(const struct random_options *options, bool *planted)
{
    struct random_run run = {
        .options = options, .history = history_new(), .state = table_mix(options->seed) ^ options->plant};
    CHECK(options->flags <= RANDOM_FLAGS_MAX && options->accounts <= RANDOM_ACCOUNTS_MAX &&
              options->accounts > 1,
          "%u flags", options->flags);
    for (uint32_t i = 0; i < options->flags + options->accounts; i++) {
        const bool account = i >= options->flags;
        const struct random_point start = {0};
        snprintf(run.flags[i].key, sizeof run.flags[i].key, "%s-%u", account ? "account" : "flag", i);
        random_write(&run.flags[i], account && i == options->flags ? RANDOM_SUM : 0, 0, &start);
        history_add_register(
            run.history, &(struct history_register){run.flags[i].key, random_now(&run.flags[i])->value, 1});
        if (account)
            history_add_bank(run.history, run.flags[i].key);
    }
    run.log = 1;
    run.history->bank_sum = RANDOM_SUM;
    run.history->request_prefix = "c";
    run.history->audit_complete = true;
    struct random_point *points = random_points(&run);
    for (; run.done < options->ops; run.done++) {
        const uint64_t draw = random_below(&run, 100);
        const struct random_point *point = &points[run.done];
        if (draw < 35)
            random_read(&run, point);
        else if (draw < 65)
            random_set(&run, point);
        else if (draw < 72)
            random_bank_read(&run, point);
        else if (draw < 80)
            random_transfer(&run, point);
        else if (draw < 92)
            random_plan(&run, point);
        else
            random_switch(&run, point);
    }
    if (options->plant == PLANT_REORDERED && options->ops > 0)
        random_plant_reordered(&run, points[options->ops - 1].complete_ns + 200000000);
    if (options->plant == PLANT_SWITCH && options->ops > 0)
        random_plant_switch(&run, points[options->ops - 1].complete_ns + 200000000);
    free(points);
    random_end(&run);
    random_follow(&run);
    for (uint32_t i = 0; i < options->flags + options->accounts; i++)
        free(run.flags[i].past);
    *planted = run.planted;
    return run.history;
}
