/* The cluster's members: names, addresses and roles, for people and for the preflight of membership changes.
 *
 * Who votes is decided by the log's configuration entries; the rows here follow it (member.sync) and carry
 * what Raft doesn't know. A removed member's row stays: its id never comes back. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "fsm/leadership.h"
#include "fsm/view.h"

#define VERSION_BYTES_MAX 64u
#define URL_BYTES_MAX     512u

const char *const member_role_names[MEMBER_ROLE_COUNT] = {"standby", "voter", "spare", "removed"};

static const struct field member_fields[] = {
    ROW(member, node_id, FIELD_U64, .required = true, .min = 1),
    ROW(member, name, FIELD_NAME, .required = true),
    ROW(member, address, FIELD_TEXT, .max = ADDRESS_BYTES_MAX - 1),
    ROW(member, url, FIELD_TEXT, .max = URL_BYTES_MAX),
    ROW(member, version, FIELD_TEXT, .max = VERSION_BYTES_MAX),
    ROW(member, level, FIELD_U64, .max = UINT32_MAX),
    ROW(member, incarnation, FIELD_U64),
    ROW(member, role, FIELD_ENUM, .names = member_role_names, .names_count = MEMBER_ROLE_COUNT),
    ROW(member, added_ms, FIELD_TIME),
    ROW(member, role_ms, FIELD_TIME),
};
const struct schema member_schema = SCHEMA("member", struct member, member_fields);

static const struct field member_add_fields[] = {
    ROW(member_add, node_id, FIELD_U64, .required = true, .min = 1),
    ROW(member_add, name, FIELD_NAME, .required = true),
    ROW(member_add, address, FIELD_TEXT, .required = true, .max = ADDRESS_BYTES_MAX - 1,
        .help = "host:port of its wire"),
    ROW(member_add, url, FIELD_TEXT, .max = URL_BYTES_MAX, .help = "of its HTTP interface"),
    ROW(member_add, version, FIELD_TEXT, .max = VERSION_BYTES_MAX),
    ROW(member_add, level, FIELD_U64, .max = UINT32_MAX, .help = "the highest that its build understands"),
    ROW(member_add, incarnation, FIELD_U64),
};
const struct schema member_add_schema = SCHEMA("member.add", struct member_add, member_add_fields);

static const struct field member_sync_fields[] = {
    ROW(member_sync, node_id, FIELD_U64, .required = true, .min = 1),
    ROW(member_sync, role, FIELD_ENUM, .required = true, .names = member_role_names,
        .names_count = MEMBER_ROLE_COUNT),
    ROW(member_sync, reason, FIELD_TEXT, .max = REASON_BYTES_MAX),
};
const struct schema member_sync_schema = SCHEMA("member.sync", struct member_sync, member_sync_fields);

/* --- finding --- */

static struct store_key member_key(uint64_t node_id)
{
    return store_key_u64('b', node_id);
}

bool member_get(struct reader reader, uint64_t node_id, struct arena *arena, struct member *out)
{
    const struct store_key key = member_key(node_id);
    return reader_get_record(reader, &key, &member_schema, arena, out);
}

const char *member_label(struct reader reader, uint64_t node_id, struct arena *arena)
{
    struct member member;
    return member_get(reader, node_id, arena, &member) ? member.name
                                                       : arena_printf(arena, "%016" PRIx64, node_id);
}

struct member_search {
    struct reader reader;
    struct arena *arena;
    const char *text;
    struct member *out;
    bool found;
};

static bool member_search_visit(void *context, struct span key, struct span value)
{
    struct member_search *search = context;
    struct member member;
    char id[17];
    (void)key;
    if (!reader_unpack(search->reader, &member_schema, value, search->arena, &member))
        return false;
    snprintf(id, sizeof(id), "%016" PRIx64, member.node_id);
    if (member.role != MEMBER_ROLE_REMOVED &&
        (strcmp(member.name, search->text) == 0 || strcmp(id, search->text) == 0)) {
        *search->out = member;
        search->found = true;
    }
    return !search->found;
}

bool member_find(struct reader reader, const char *text, struct arena *arena, struct member *out)
{
    struct member_search search = {.reader = reader, .arena = arena, .text = text, .out = out};
    const struct store_key prefix = store_key1('b', span_of(NULL, 0));
    reader_scan(reader, &prefix, false, member_search_visit, &search);
    return search.found;
}

/* --- commands --- */

static void member_put(struct apply *apply, const struct member *member)
{
    const struct store_key key = member_key(member->node_id);
    store_put_record(apply->store, &key, &member_schema, member);
}

static void member_answer(struct apply *apply, const struct member *member)
{
    struct bytes *body = &apply->body;
    bytes_clear(body);
    value_map(body, 3);
    value_u64(body, "node_id", member->node_id);
    value_text(body, "name", member->name);
    value_text(body, "role", member_role_names[member->role]);
}

static void member_record(struct apply *apply, const struct member *member, const char *event_name,
                          const char *verb, const char *reason)
{
    struct field_pair fields[] = {
        {"address", member->address ? member->address : ""},
        {"incarnation", apply_number(apply, member->incarnation)},
        {"level", apply_number(apply, member->level)},
        {"node_id", arena_printf(apply->arena, "%016" PRIx64, member->node_id)},
        {"role", member_role_names[member->role]},
        {"url", member->url ? member->url : ""},
        {"version", member->version ? member->version : ""},
    };
    apply_record(apply, &(struct audit_record){
                            .category = AUDIT_HA,
                            .event_name = event_name,
                            .action = verb,
                            .resource_type = "member",
                            .resource = member->name,
                            .reason = reason,
                            .fields = fields,
                            .field_count = sizeof(fields) / sizeof(fields[0]),
                        });
}

static bool text_same(const char *a, const char *b)
{
    return strcmp(a ? a : "", b ? b : "") == 0;
}

static bool member_same(const struct member *member, const struct member_add *body)
{
    return text_same(member->name, body->name) && text_same(member->address, body->address) &&
           text_same(member->url, body->url) && text_same(member->version, body->version) &&
           member->level == body->level && member->incarnation == body->incarnation;
}

/* May this node be a member under this name? Says why not. */
static bool member_add_check(struct apply *apply, const struct member_add *body, bool known,
                             const struct member *now)
{
    struct member other;
    if (known && now->role == MEMBER_ROLE_REMOVED)
        apply_refuse(apply, RESULT_MEMBER_REMOVED,
                     "node %016" PRIx64 " (%s) was removed; ids are never used again: join under a new one",
                     body->node_id, now->name);
    else if (member_find(apply_reader(apply), body->name, apply->arena, &other) &&
             other.node_id != body->node_id)
        apply_refuse(apply, RESULT_MEMBER_NAME, "the name %s belongs to node %016" PRIx64, body->name,
                     other.node_id);
    else if (!known && store_meta(apply->store)->member_count >= NODES_MAX)
        apply_refuse(apply, RESULT_TOO_MANY, "a cluster has at most %u members", NODES_MAX);
    else if (body->level != 0 && body->level < apply->level)
        apply_refuse(apply, RESULT_INVALID,
                     "level: %s understands level %" PRIu64 ", the cluster is at %u; run a newer build",
                     body->name, body->level, apply->level);
    return !apply_refused(apply);
}

void member_add_apply(struct apply *apply, const void *data)
{
    const struct member_add *body = data;
    struct member member;
    apply_attempt(apply, AUDIT_HA, "ha.member.added", "add", "member", body->name, NULL);
    const bool known = member_get(apply_reader(apply), body->node_id, apply->arena, &member);
    if (!member_add_check(apply, body, known, &member))
        return;
    if (known && member_same(&member, body)) {
        member_answer(apply, &member);
        return;
    }
    if (!known) {
        member = (struct member){.node_id = body->node_id,
                                 .role = MEMBER_ROLE_STANDBY,
                                 .added_ms = apply->time_ms,
                                 .role_ms = apply->time_ms};
        store_meta(apply->store)->member_count++;
    }
    member.name = body->name;
    member.address = body->address;
    member.url = body->url;
    member.version = body->version;
    member.level = body->level;
    member.incarnation = body->incarnation;
    member_put(apply, &member);
    member_record(apply, &member, "ha.member.added", known ? "update" : "add", NULL);
    member_answer(apply, &member);
    if (!known)
        apply->code = RESULT_CREATED;
}

/* How much a role takes part. */
static uint32_t role_rank(uint32_t role)
{
    static const uint32_t ranks[MEMBER_ROLE_COUNT] = {[MEMBER_ROLE_REMOVED] = 0,
                                                      [MEMBER_ROLE_SPARE] = 1,
                                                      [MEMBER_ROLE_STANDBY] = 2,
                                                      [MEMBER_ROLE_VOTER] = 3};
    return ranks[role];
}

void member_sync_apply(struct apply *apply, const void *data)
{
    const struct member_sync *body = data;
    struct member member;
    if (!member_get(apply_reader(apply), body->node_id, apply->arena, &member)) {
        apply_refuse(apply, RESULT_MEMBER_NOT_FOUND, "no member has the id %016" PRIx64, body->node_id);
        return;
    }
    if (member.role == body->role) {
        member_answer(apply, &member);
        return;
    }
    if (member.role == MEMBER_ROLE_REMOVED) {
        apply_refuse(apply, RESULT_MEMBER_REMOVED,
                     "node %016" PRIx64 " (%s) was removed; ids are never used again", body->node_id,
                     member.name);
        return;
    }
    const bool up = role_rank(body->role) > role_rank(member.role);
    member.role = body->role;
    member.role_ms = apply->time_ms;
    member_put(apply, &member);
    if (member.role == MEMBER_ROLE_REMOVED) {
        if (store_meta(apply->store)->member_count == 0)
            apply_damaged(apply, "%s is removed from no members", member.name);
        store_meta(apply->store)->member_count--;
        member_record(apply, &member, "ha.member.removed", "remove", body->reason);
    } else {
        member_record(apply, &member, up ? "ha.member.promoted" : "ha.member.demoted",
                      up ? "promote" : "demote", body->reason);
    }
    member_answer(apply, &member);
}
