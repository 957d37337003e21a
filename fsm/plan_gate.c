/* Gates: integers only, and the same answer for a command and for a GET. */
#include <inttypes.h>
#include <stdio.h>

#include "base/check.h"
#include "base/clock.h"
#include "fsm/plan_internal.h"

uint64_t stage_open_ms(const struct plan_stage *stage, uint64_t now_ms)
{
    uint64_t open_ms = stage->clock_ms;
    if (stage->clock_running && now_ms > stage->clock_since_ms)
        open_ms += now_ms - stage->clock_since_ms;
    return open_ms;
}

const struct plan_gate *stage_gate(const struct plan_stage *stage, enum gate_kind kind)
{
    for (size_t i = 0; i < stage->spec.gate_count; i++)
        if (stage->spec.gates[i].kind == (uint32_t)kind)
            return &stage->spec.gates[i];
    return NULL;
}

uint64_t stage_soak_end_ms(const struct plan_stage *stage, uint64_t now_ms)
{
    const struct plan_gate *gate = stage_gate(stage, GATE_TIME_SOAK);
    if (gate == NULL || !stage->clock_running)
        return 0;
    const uint64_t wanted_ms = gate->seconds * 1000, open_ms = stage_open_ms(stage, now_ms);
    return open_ms >= wanted_ms ? 0 : now_ms + (wanted_ms - open_ms);
}

static bool soak_passed(const struct plan_stage *stage, const struct plan_gate *gate, uint64_t now_ms,
                        char *detail)
{
    const uint64_t open_ms = stage_open_ms(stage, now_ms);
    const uint64_t seconds = open_ms / 1000 < gate->seconds ? open_ms / 1000 : gate->seconds;
    const bool stands = stage->phase == STAGE_OPEN && !stage->clock_running;
    snprintf(detail, GATE_DETAIL_BYTES, "soaked %" PRIu64 " of %" PRIu64 " s%s", seconds, gate->seconds,
             stage->phase == STAGE_PENDING ? "; the stage is not open yet"
             : stands                      ? "; the clock stands while the plan is paused"
                                           : "");
    return stage->phase != STAGE_PENDING && open_ms >= gate->seconds * 1000;
}

static bool manual_passed(const struct plan_stage *stage, char *detail)
{
    char when[TIME_TEXT_BYTES] = "";
    if (!stage->approved) {
        snprintf(detail, GATE_DETAIL_BYTES, "waits for approval");
        return false;
    }
    time_format(stage->approved_ms, when);
    snprintf(detail, GATE_DETAIL_BYTES, "approved by %s at %s", stage->approved_by, when);
    return true;
}

static uint64_t succeeded(const struct plan_stage *stage)
{
    return stage->counts.state[NODE_ACTIVATED];
}

static uint64_t failed(const struct plan_stage *stage)
{
    return stage->counts.state[NODE_FAILED];
}

static bool health_passed(const struct plan_stage *stage, char *detail)
{
    const uint64_t good = succeeded(stage), bad = failed(stage);
    if (good + bad == 0)
        snprintf(detail, GATE_DETAIL_BYTES, "no node has reported yet");
    else if (bad == 0)
        snprintf(detail, GATE_DETAIL_BYTES, "%" PRIu64 " node%s activated, none failed", PLAN_NODES(good));
    else
        snprintf(detail, GATE_DETAIL_BYTES, "%" PRIu64 " of %" PRIu64 " nodes failed", bad, good + bad);
    return good > 0 && bad == 0;
}

/* good / (good + bad) >= min_percent / 100, by cross-multiplication */
static bool ratio_passed(const struct plan_stage *stage, const struct plan_gate *gate, char *detail)
{
    const uint64_t good = succeeded(stage), all = good + failed(stage);
    if (all == 0)
        snprintf(detail, GATE_DETAIL_BYTES, "no node has reported yet; %" PRIu64 " %% must succeed",
                 gate->min_percent);
    else
        snprintf(detail, GATE_DETAIL_BYTES, "%" PRIu64 " of %" PRIu64 " nodes succeeded; %" PRIu64 " %% must",
                 good, all, gate->min_percent);
    return all > 0 && good * 100 >= gate->min_percent * all;
}

bool gate_passed(const struct plan_stage *stage, const struct plan_gate *gate, uint64_t now_ms,
                 char detail[GATE_DETAIL_BYTES])
{
    char unused[GATE_DETAIL_BYTES];
    if (detail == NULL)
        detail = unused;
    switch ((enum gate_kind)gate->kind) {
    case GATE_TIME_SOAK:
        return soak_passed(stage, gate, now_ms, detail);
    case GATE_MANUAL:
        return manual_passed(stage, detail);
    case GATE_HEALTH:
        return health_passed(stage, detail);
    case GATE_SUCCESS_RATIO:
        return ratio_passed(stage, gate, detail);
    case GATE_KIND_COUNT:
        break;
    }
    CHECK(false, "gate kind %u", gate->kind);
}

bool stage_passed(const struct plan_stage *stage, uint64_t now_ms)
{
    for (size_t i = 0; i < stage->spec.gate_count; i++)
        if (!gate_passed(stage, &stage->spec.gates[i], now_ms, NULL))
            return false;
    return true;
}

void plan_waits_for(const struct plan *plan, uint64_t now_ms, char *out, size_t out_bytes)
{
    const struct plan_stage *stage = &plan->stages[plan->current];
    if (plan->phase == PLAN_PUBLISHED) {
        char when[TIME_TEXT_BYTES];
        time_format(plan->start_ms, when);
        snprintf(out, out_bytes, "waits for its start at %s", when);
        return;
    }
    if (stage->phase == STAGE_HALTED) {
        snprintf(out, out_bytes, "stage %s is halted; recover or cancel the plan", stage->spec.stage_id);
        return;
    }
    int used = snprintf(out, out_bytes, "stage %s waits for", stage->spec.stage_id);
    for (size_t i = 0; i < stage->spec.gate_count && used > 0 && (size_t)used < out_bytes; i++) {
        char detail[GATE_DETAIL_BYTES];
        if (!gate_passed(stage, &stage->spec.gates[i], now_ms, detail))
            used += snprintf(out + used, out_bytes - (size_t)used, " %s (%s)",
                             gate_kind_names[stage->spec.gates[i].kind], detail);
    }
}
