/* Records, their hash, their chain and filters: pure, so that the command line can link it without a store.
 */
#include "fsm/audit.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/limits.h"

#define AUDIT_FIELDS_MAX   64u
#define AUDIT_RESOURCE_MAX (2u * NAME_BYTES_MAX + 1u) /* "plan/stage" */

static const char *const category_names[] = {
    [AUDIT_ROLLOUT] = "rollout",   [AUDIT_HA] = "ha",       [AUDIT_RELAY] = "relay",
    [AUDIT_CERT] = "cert",         [AUDIT_AUTH] = "auth",   [AUDIT_SYSTEM] = "system",
    [AUDIT_ROLLBACK] = "rollback", [AUDIT_FLAGS] = "flags",
};
static const char *const outcome_names[] = {
    [AUDIT_SUCCESS] = "success",
    [AUDIT_FAILURE] = "failure",
    [AUDIT_DENIED] = "denied",
    [AUDIT_PENDING] = "pending",
};
static const char *const source_names[] = {
    [AUDIT_ORCHESTRATOR] = "orchestrator",
    [AUDIT_EDGE] = "edge",
    [AUDIT_CLI] = "cli",
};

const char *audit_category_name(uint32_t category)
{
    CHECK(category < AUDIT_CATEGORY_COUNT, "category %u", category);
    return category_names[category];
}

const char *audit_outcome_name(uint32_t outcome)
{
    CHECK(outcome < AUDIT_OUTCOME_COUNT, "outcome %u", outcome);
    return outcome_names[outcome];
}

const char *audit_source_name(uint32_t source)
{
    CHECK(source < AUDIT_SOURCE_COUNT, "source %u", source);
    return source_names[source];
}

#define AUDIT(member, field_type, ...)                                                                       \
    {                                                                                                        \
        .name = #member, .type = (field_type), .offset = offsetof(struct audit_record, member), __VA_ARGS__  \
    }
static const struct field audit_fields[] = {
    AUDIT(seq, FIELD_U64, .required = true, .min = 1, .help = "from 1, without a gap"),
    AUDIT(index, FIELD_U64, .help = "of the log entry"),
    AUDIT(term, FIELD_U64),
    AUDIT(timestamp, FIELD_TIME, .help = "the state's time"),
    AUDIT(category, FIELD_ENUM, .names = category_names, .names_count = AUDIT_CATEGORY_COUNT),
    AUDIT(event_name, FIELD_NAME, .required = true, .max = NAME_BYTES_MAX),
    AUDIT(action, FIELD_TEXT, .max = NAME_BYTES_MAX, .help = "the verb"),
    AUDIT(outcome, FIELD_ENUM, .names = outcome_names, .names_count = AUDIT_OUTCOME_COUNT),
    AUDIT(source, FIELD_ENUM, .names = source_names, .names_count = AUDIT_SOURCE_COUNT),
    AUDIT(actor, FIELD_TEXT, .max = PRINCIPAL_BYTES_MAX),
    AUDIT(approver, FIELD_TEXT, .max = PRINCIPAL_BYTES_MAX),
    AUDIT(reason, FIELD_TEXT, .max = REASON_BYTES_MAX),
    AUDIT(resource_type, FIELD_TEXT, .max = NAME_BYTES_MAX),
    AUDIT(resource, FIELD_TEXT, .max = AUDIT_RESOURCE_MAX),
    AUDIT(request_id, FIELD_TEXT, .max = REQUEST_ID_BYTES_MAX),
    AUDIT(fields, FIELD_MAP, .count_offset = offsetof(struct audit_record, field_count),
          .max = AUDIT_FIELDS_MAX),
    AUDIT(prev_hash, FIELD_BLOB, .required = true, .min = DIGEST_BYTES, .max = DIGEST_BYTES),
    AUDIT(hash, FIELD_BLOB, .required = true, .min = DIGEST_BYTES, .max = DIGEST_BYTES),
};
const struct schema audit_schema = SCHEMA("audit", struct audit_record, audit_fields);

/* The same table without its last row: what the hash covers. */
static const struct schema hashed_schema = {
    .name = "audit",
    .bytes = sizeof(struct audit_record),
    .fields = audit_fields,
    .field_count = sizeof(audit_fields) / sizeof(audit_fields[0]) - 1,
};

void audit_hash(const struct audit_record *record, uint8_t out[DIGEST_BYTES])
{
    struct bytes packed;
    bytes_init(&packed, 0);
    schema_pack(&hashed_schema, record, &packed);
    CHECK(!packed.overflow, "an audit record of %zu bytes", packed.length);
    hash_once(packed.data, packed.length, out);
    bytes_done(&packed);
}

static bool hash_equal(struct span span, const uint8_t hash[DIGEST_BYTES])
{
    return span.bytes == DIGEST_BYTES && memcmp(span.data, hash, DIGEST_BYTES) == 0;
}

bool audit_anchor_of(const struct audit_record *record, struct audit_anchor *out)
{
    const char *seq = NULL, *hash = NULL, *count = NULL, *time = NULL;
    if (strcmp(record->event_name, AUDIT_PRUNED_EVENT) != 0 || record->outcome != AUDIT_SUCCESS)
        return false;
    for (size_t i = 0; i < record->field_count; i++) {
        const struct field_pair *pair = &record->fields[i];
        const char **wanted = strcmp(pair->key, "anchor_seq") == 0    ? &seq
                              : strcmp(pair->key, "anchor_hash") == 0 ? &hash
                              : strcmp(pair->key, "count") == 0       ? &count
                              : strcmp(pair->key, "anchor_time") == 0 ? &time
                                                                      : NULL;
        if (wanted)
            *wanted = pair->value;
    }
    *out = (struct audit_anchor){.pruned_ms = record->timestamp, .record_seq = record->seq};
    return seq && hash && count && time && parse_u64(seq, INT64_MAX, &out->seq) && out->seq > 0 &&
           out->seq < record->seq && hex_decode(hash, out->hash, DIGEST_BYTES) &&
           parse_u64(count, INT64_MAX, &out->count) && time_parse(time, &out->timestamp) == 0;
}

void audit_chain_begin(struct audit_chain *chain, const struct audit_anchor *anchor)
{
    *chain = (struct audit_chain){.seq = anchor->seq, .anchored = true};
    memcpy(chain->hash, anchor->hash, DIGEST_BYTES);
}

enum error_code audit_chain_next(struct audit_chain *chain, const struct audit_record *record,
                                 struct error *error)
{
    static const uint8_t genesis[DIGEST_BYTES];
    const bool linked = chain->records > 0 || chain->anchored;
    if (linked && record->seq != chain->seq + 1)
        return error_set(error, ERROR_CORRUPT, "audit record %" PRIu64 " follows record %" PRIu64 ": %s",
                         record->seq, chain->seq,
                         record->seq > chain->seq ? "records are missing"
                                                  : "it is there twice or out of order");
    if (linked && !hash_equal(record->prev_hash, chain->hash))
        return error_set(error, ERROR_CORRUPT,
                         "audit record %" PRIu64 " is not linked to record %" PRIu64
                         ": its prev_hash is not that record's hash",
                         record->seq, chain->seq);
    if (record->seq == 1 && !hash_equal(record->prev_hash, genesis))
        return error_set(error, ERROR_CORRUPT,
                         "audit record 1 has a predecessor: its prev_hash is not all zero");

    uint8_t hash[DIGEST_BYTES];
    audit_hash(record, hash);
    if (!hash_equal(record->hash, hash))
        return error_set(error, ERROR_CORRUPT,
                         "audit record %" PRIu64 " was changed: its content doesn't give its hash",
                         record->seq);
    if (chain->records == 0 && record->seq == 1)
        chain->anchored = true;
    chain->seq = record->seq;
    memcpy(chain->hash, hash, DIGEST_BYTES);
    chain->records++;
    return ERROR_OK;
}

/* --- filters --- */

static bool name_known(const char *const *names, uint32_t count, const char *name)
{
    for (uint32_t i = 0; i < count; i++)
        if (strcmp(names[i], name) == 0)
            return true;
    return false;
}

static enum error_code name_check(const char *what, const char *const *names, uint32_t count,
                                  const char *name, struct error *error)
{
    if (!name || name_known(names, count, name))
        return ERROR_OK;
    char list[128] = "";
    for (uint32_t i = 0; i < count; i++) {
        const size_t used = strlen(list);
        snprintf(list + used, sizeof(list) - used, "%s%s", i > 0 ? ", " : "", names[i]);
    }
    return error_set(error, ERROR_INVALID, "%s: \"%.64s\" is not one of %s", what, name, list);
}

enum error_code audit_filter_check(const struct audit_filter *filter, struct error *error)
{
    enum error_code code =
        name_check("category", category_names, AUDIT_CATEGORY_COUNT, filter->category, error);
    if (code == ERROR_OK)
        code = name_check("outcome", outcome_names, AUDIT_OUTCOME_COUNT, filter->outcome, error);
    if (code == ERROR_OK)
        code = name_check("source", source_names, AUDIT_SOURCE_COUNT, filter->source, error);
    if (code == ERROR_OK && filter->start_ms != 0 && filter->end_ms != 0 && filter->start_ms > filter->end_ms)
        code = error_set(error, ERROR_INVALID, "start_time lies after end_time");
    return code;
}

static bool name_match(const char *wanted, const char *const *names, uint32_t count, uint32_t value)
{
    return !wanted || (value < count && strcmp(wanted, names[value]) == 0);
}

static bool text_match(const char *wanted, const char *value)
{
    return !wanted || strcmp(wanted, value ? value : "") == 0;
}

bool audit_filter_match(const struct audit_filter *filter, const struct audit_record *record)
{
    return (filter->start_ms == 0 || record->timestamp >= filter->start_ms) &&
           (filter->end_ms == 0 || record->timestamp <= filter->end_ms) &&
           name_match(filter->category, category_names, AUDIT_CATEGORY_COUNT, record->category) &&
           name_match(filter->outcome, outcome_names, AUDIT_OUTCOME_COUNT, record->outcome) &&
           name_match(filter->source, source_names, AUDIT_SOURCE_COUNT, record->source) &&
           text_match(filter->event_type, record->event_name) && text_match(filter->actor, record->actor) &&
           text_match(filter->resource, record->resource);
}
