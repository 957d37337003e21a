#include "chaos/check/check.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "chaos/check/check_internal.h"

static const char *const names[CHECK_KIND_COUNT] = {
#define NAME_ROW(check, name, text) [check] = name,
    CHECK_KINDS(NAME_ROW)
#undef NAME_ROW
};
static const char *const texts[CHECK_KIND_COUNT] = {
#define TEXT_ROW(check, name, text) [check] = text,
    CHECK_KINDS(TEXT_ROW)
#undef TEXT_ROW
};

const char *check_name(enum check_kind kind)
{
    CHECK(kind < CHECK_KIND_COUNT, "check %d", (int)kind);
    return names[kind];
}

const char *check_text(enum check_kind kind)
{
    CHECK(kind < CHECK_KIND_COUNT, "check %d", (int)kind);
    return texts[kind];
}

const char *check_verdict_name(enum check_verdict verdict)
{
    static const char *const verdicts[] = {"nothing", "holds", "violated", "undecided"};
    CHECK(verdict < sizeof verdicts / sizeof verdicts[0], "verdict %d", (int)verdict);
    return verdicts[verdict];
}

void judge_say(struct check_result *result, const char *format, ...)
{
    const size_t used = strlen(result->message);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(result->message + used, sizeof result->message - used, format, arguments);
    va_end(arguments);
}

bool judge_violated(struct check_result *result, const char *format, ...)
{
    va_list arguments;
    if (result->violations++ > 0)
        return false;
    result->verdict = CHECK_VIOLATED;
    va_start(arguments, format);
    vsnprintf(result->message, sizeof result->message, format, arguments);
    va_end(arguments);
    return true;
}

void judge_involve(struct check_result *result, uint32_t op)
{
    if (result->op_count < CHECK_COUNTEREXAMPLE_MAX)
        result->ops[result->op_count++] = op;
}

/* --- one operation in words --- */

static void append(char out[DESCRIPTION_BYTES], const char *format, ...) PRINTF(2, 3);
static void append(char out[DESCRIPTION_BYTES], const char *format, ...)
{
    const size_t used = strlen(out);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(out + used, DESCRIPTION_BYTES - used, format, arguments);
    va_end(arguments);
}

static void describe_part(const struct history_op *op, const struct history_part *part, char *out)
{
    append(out, " %s", part->key);
    if (op->kind == HISTORY_SET)
        append(out, " to %" PRId64, part->value);
    if (op->kind == HISTORY_SET && part->expected_version != 0)
        append(out, " if version %" PRIu64, part->expected_version);
    if (op->kind == HISTORY_READ && part->value == HISTORY_NONE)
        append(out, ": nothing");
    else if (op->kind == HISTORY_READ)
        append(out, ": %" PRId64, part->value);
    if (op->kind == HISTORY_PLAN_READ && part->value >= 0 && part->value < HISTORY_PHASE_COUNT)
        append(out, ": %s%s", history_phase_names[part->value], part->halted ? ", halted" : "");
    if (op->kind == HISTORY_SWITCH_READ)
        append(out, ": %s", part->value != 0 ? "active" : "inactive");
    if (part->version != 0)
        append(out, " (version %" PRIu64 ")", part->version);
}

void op_describe(const struct history_op *op, char out[DESCRIPTION_BYTES])
{
    out[0] = '\0';
    append(out, "client %" PRIu32 " %s%s", op->client, op->stale ? "stale " : "",
           history_kind_name(op->kind));
    for (uint32_t i = 0; i < op->part_count && i < 4; i++)
        describe_part(op, &op->parts[i], out);
    if (op->outcome != HISTORY_OK)
        append(out, ", %s",
               op->outcome == HISTORY_UNKNOWN ? "outcome unknown"
               : op->code != NULL             ? op->code
                                              : "refused");
    append(out, " [%.3f", (double)op->invoke_ns / 1e6);
    if (op->complete_ns == HISTORY_NEVER)
        append(out, " ms ..]");
    else
        append(out, " .. %.3f ms]", (double)op->complete_ns / 1e6);
}

/* --- all together --- */

static int compare_start(const void *left, const void *right, void *context)
{
    const struct history *history = context;
    const uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;
    const uint64_t start_a = history->ops[a].invoke_ns, start_b = history->ops[b].invoke_ns;
    return start_a != start_b ? (start_a < start_b ? -1 : 1) : (a < b ? -1 : a > b);
}

static void judge_kind(const struct judge *judge, enum check_kind kind, struct check_result *result)
{
    switch (kind) {
    case CHECK_FLAGS:
        judge_objects(judge, HISTORY_FLAG, result);
        break;
    case CHECK_PLANS:
        judge_objects(judge, HISTORY_PLAN, result);
        break;
    case CHECK_SWITCHES:
        judge_objects(judge, HISTORY_SWITCH, result);
        break;
    case CHECK_PREFIX:
        judge_prefix(judge, result);
        break;
    case CHECK_SESSION:
        judge_session(judge, result);
        break;
    case CHECK_AUDIT:
        judge_audit(judge, result);
        break;
    case CHECK_BANK:
        judge_bank(judge, result);
        break;
    case CHECK_EVENTS:
        judge_events(judge, result);
        break;
    case CHECK_LEADERS:
        judge_leaders(judge, result);
        break;
    case CHECK_FINAL:
        judge_final(judge, result);
        break;
    case CHECK_RECOVERY:
        judge_recovery(judge, result);
        break;
    case CHECK_KIND_COUNT:
        break;
    }
    if (result->verdict == CHECK_NOTHING && result->looked_at > 0)
        result->verdict = CHECK_HOLDS;
}

static bool fails(enum check_verdict verdict)
{
    return verdict == CHECK_VIOLATED || verdict == CHECK_UNDECIDED;
}

void check_history(const struct history *history, const struct check_options *options,
                   struct check_report *out)
{
    const struct clock clock = clock_system();
    struct judge judge = {.history = history,
                          .configurations_max = options->configurations_max != 0 ? options->configurations_max
                                                                                 : CHECK_CONFIGURATIONS_MAX,
                          .deadline_ms = options->seconds_max != 0
                                             ? clock.monotonic_ms(clock.context) + options->seconds_max * 1000
                                             : 0,
                          .by_start = memory_new(history->op_count * sizeof(uint32_t))};
    *out = (struct check_report){0};
    for (uint32_t i = 0; i < history->op_count; i++)
        judge.by_start[i] = i;
    if (history->op_count > 1)
        qsort_r(judge.by_start, history->op_count, sizeof(uint32_t), compare_start,
                (void *)(uintptr_t)history);
    for (size_t i = 0; i < CHECK_KIND_COUNT; i++) {
        struct check_result *result = &out->results[i];
        judge_kind(&judge, (enum check_kind)i, result);
        if (result->verdict == CHECK_NOTHING && (options->required & 1u << i) != 0) {
            result->verdict = CHECK_UNDECIDED;
            judge_say(result, "the history has nothing to look at, and this check was asked for");
        }
        if (result->verdict == CHECK_VIOLATED || (fails(result->verdict) && !fails(out->verdict)) ||
            (result->verdict == CHECK_HOLDS && out->verdict == CHECK_NOTHING))
            out->verdict = result->verdict;
    }
    free(judge.by_start);
}
