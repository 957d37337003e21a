/* What handlers call: refusing, answering, recording. */
#include "fsm/apply.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "fsm/audit_store.h"
#include "fsm/view.h"

#define DETAIL_BYTES_MAX 1024u /* one sentence, with the values it names */

void apply_attempt(struct apply *apply, enum audit_category category, const char *event_name,
                   const char *action, const char *resource_type, const char *resource, const char *reason)
{
    apply->attempt = (struct audit_record){
        .category = category,
        .outcome = AUDIT_DENIED,
        .event_name = event_name,
        .action = action,
        .resource_type = resource_type,
        .resource = resource,
        .reason = reason,
    };
}

/* A sentence cut at its bound must not end inside a character: what follows would refuse to decode it. */
static void text_clip(char *text, size_t length)
{
    while (length > 0 && !utf8_valid(text, length))
        length--;
    text[length] = '\0';
}

static void refuse(struct apply *apply, enum result_code code, const char *key, const char *value,
                   const char *format, va_list arguments)
{
    CHECK(!result_succeeded(code) && code < RESULT_COUNT, "%d is not a refusal", (int)code);
    char detail[DETAIL_BYTES_MAX];
    const int needed = vsnprintf(detail, sizeof(detail), format, arguments);
    CHECK(needed > 0, "a refusal needs a sentence");
    text_clip(detail, strlen(detail));

    apply->code = code;
    bytes_clear(&apply->body);
    value_map(&apply->body, key ? 2 : 1);
    value_text(&apply->body, "detail", detail);
    if (key)
        value_text(&apply->body, key, value);
}

void apply_refuse(struct apply *apply, enum result_code code, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    refuse(apply, code, NULL, NULL, format, arguments);
    va_end(arguments);
}

void apply_refuse_with(struct apply *apply, enum result_code code, const char *key, const char *value,
                       const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    refuse(apply, code, key, value, format, arguments);
    va_end(arguments);
}

bool apply_refused(const struct apply *apply)
{
    return !result_succeeded(apply->code);
}

struct bytes *apply_answer(struct apply *apply)
{
    CHECK(!apply_refused(apply), "a refusal has its body already");
    bytes_clear(&apply->body);
    return &apply->body;
}

struct bytes *apply_created(struct apply *apply)
{
    struct bytes *body = apply_answer(apply);
    apply->code = RESULT_CREATED;
    return body;
}

void apply_record(struct apply *apply, const struct audit_record *record)
{
    struct audit_record whole = *record;
    whole.index = apply->index;
    whole.term = apply->term;
    whole.timestamp = apply->time_ms;
    whole.source = apply->source;
    if (!whole.actor)
        whole.actor = apply->principal;
    if (!whole.request_id)
        whole.request_id = apply->request_id;
    const uint64_t seq = audit_append(apply->store, apply->arena, &whole);
    if (apply->audit_seq == 0)
        apply->audit_seq = seq;
}

void apply_record_attempt(struct apply *apply, struct field_pair *fields, size_t field_count)
{
    CHECK(apply->attempt.resource_type != NULL && !apply_refused(apply), "nothing was attempted, or refused");
    struct audit_record record = apply->attempt;
    record.outcome = AUDIT_SUCCESS;
    record.fields = fields;
    record.field_count = field_count;
    apply_record(apply, &record);
}

const char *apply_number(struct apply *apply, uint64_t number)
{
    return arena_printf(apply->arena, "%" PRIu64, number);
}

struct reader apply_reader(struct apply *apply)
{
    return (struct reader){.store = apply->store};
}

void apply_damaged(struct apply *apply, const char *format, ...)
{
    struct error error = {0};
    va_list arguments;
    va_start(arguments, format);
    (void)error_setv(&error, ERROR_CORRUPT, format, arguments);
    va_end(arguments);
    store_fail(apply->store, &error);
}
