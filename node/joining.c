#include "node/joining.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/hash.h"
#include "base/logger.h"
#include "fsm/result.h"
#include "node/act.h"
#include "node/version.h"

#define ASK_TIMEOUT_MS   5000u
#define WAIT_MIN_MS      200u
#define WAIT_MAX_MS      5000u
#define ANNOUNCE_MIN_MS  1000u
#define ANNOUNCE_MAX_MS  30000u
#define ANSWER_BYTES_MAX (256u * 1024u)

struct joining {
    struct service *service;
    void (*joined)(void *context);
    void *context;
    uint32_t next; /* of config->join */
    uint64_t ask_at_ms, wait_ms;
    struct client_call *call;
    char request_id[33];
    char peers[NODES_MAX][ADDRESS_BYTES_MAX];
    uint32_t peer_count;
    bool announcing;
    uint64_t announce_at_ms, announce_wait_ms;
};

static json_t *own_record(const struct service *service)
{
    const struct config *config = service->config;
    return json_pack("{s:I, s:s, s:s, s:s, s:s, s:i}", "node_id",
                     (json_int_t)consensus_node_id(service->consensus), "name", config->name, "address",
                     config->wire_advertise, "url", config->api_advertise_url, "version", NODE_VERSION,
                     "level", (int)FSM_LEVEL);
}

/* --- asking to be let in
 * ------------------------------------------------------------------------------------------------ */

static void ask_again(struct joining *self, const char *url, const char *why)
{
    char quoted[600];
    log_warn("join", "not let in yet", "url=%s wait_ms=%" PRIu64 " why=%s", url, self->wait_ms,
             logger_quote(why, quoted, sizeof quoted));
    self->next = (self->next + 1) % self->service->config->join_count;
    self->ask_at_ms = now_ms(self->service) + self->wait_ms;
    if (self->next == 0) /* all were asked */
        self->wait_ms = self->wait_ms * 2 > WAIT_MAX_MS ? WAIT_MAX_MS : self->wait_ms * 2;
}

static void remember_peers(struct joining *self, const json_t *members)
{
    size_t i;
    json_t *row;
    json_array_foreach(members, i, row)
    {
        const char *url = json_string_value(json_object_get(row, "url"));
        if (url && url[0] && self->peer_count < NODES_MAX &&
            strcmp(url, self->service->config->api_advertise_url) != 0)
            snprintf(self->peers[self->peer_count++], sizeof self->peers[0], "%s", url);
    }
}

static bool let_in(struct joining *self, const json_t *json, struct error *error)
{
    struct service *service = self->service;
    const char *cluster_id = json_string_value(json_object_get(json, "cluster_id"));
    json_int_t generation = json_integer_value(json_object_get(json, "generation"));
    uint8_t id[(CLUSTER_ID_BYTES - 1) / 2];
    if (!cluster_id || !hex_decode(cluster_id, id, sizeof id) || generation < 0)
        return error_set(error, ERROR_CORRUPT, "the answer names no cluster") == ERROR_OK;
    if (consensus_adopt(service->consensus, cluster_id, (uint64_t)generation, error) != ERROR_OK)
        return false;
    remember_peers(self, json_object_get(json, "members"));
    log_info("join", "let in", "cluster=%s generation=%" JSON_INTEGER_FORMAT, cluster_id, generation);
    return true;
}

static void on_answer(void *context, const struct client_answer *answer)
{
    struct joining *self = context;
    const char *url = self->service->config->join[self->next];
    struct error error = {0};
    json_t *json = NULL;
    self->call = NULL;
    if (answer->error != ERROR_OK) {
        ask_again(self, url, answer->message);
        return;
    }
    if (json_parse(answer->body, &json, &error) != ERROR_OK) {
        ask_again(self, url, error.message);
        return;
    }
    if (answer->status >= 300) {
        const char *detail = json_string_value(json_object_get(json, "detail"));
        ask_again(self, url, detail ? detail : "refused without a reason");
    } else if (let_in(self, json, &error)) {
        self->joined(self->context);
    } else {
        ask_again(self, url, error.message);
    }
    json_decref(json);
}

static void ask(struct joining *self)
{
    struct service *service = self->service;
    struct error error = {0};
    char key[64], operator[NAME_BYTES_MAX + 40];
    json_t *record = own_record(service);
    char *body = json_dumps(record, JSON_COMPACT);
    CHECK(body != NULL, "the configuration was checked");
    json_decref(record);
    snprintf(key, sizeof key, "Idempotency-Key: join/%s", self->request_id);
    snprintf(operator, sizeof operator, "X-Autonomy-Operator: %s", service->config->name);
    struct client_request request = {.method = "POST",
                                     .base = service->config->join[self->next],
                                     .path = "/v1/ha/members",
                                     .headers = {"Content-Type: application/json", operator, key },
                                                 .body = span_text(body), .timeout_ms = ASK_TIMEOUT_MS,
                                                 .answer_bytes_max = ANSWER_BYTES_MAX, .done = on_answer,
                                                 .context = self};
    if (client_send(service->client, &request, &self->call, &error) != ERROR_OK)
        ask_again(self, service->config->join[self->next], error.message);
    free(body);
}

/* --- saying who we are
 * ---------------------------------------------------------------------------------------------------- */

static void on_announced(void *context, const struct outcome *outcome)
{
    struct joining *self = context;
    self->announcing = false;
    if (outcome->error == ERROR_OK && result_succeeded(outcome->code)) {
        self->announce_wait_ms = ANNOUNCE_MIN_MS;
        return;
    }
    self->announce_wait_ms =
        self->announce_wait_ms * 2 > ANNOUNCE_MAX_MS ? ANNOUNCE_MAX_MS : self->announce_wait_ms * 2;
    log_warn("join", "own record not updated", "error=\"%s\" code=%s", outcome->message,
             result_name(outcome->code));
}

static bool is_recorded(const struct service *service)
{
    const struct config *config = service->config;
    for (uint32_t i = 0; i < service->members.count; i++) {
        if (service->members.rows[i].node_id != service->now.node_id)
            continue;
        return strcmp(service->members.rows[i].name, config->name) == 0 &&
               strcmp(service->members.rows[i].url, config->api_advertise_url) == 0 &&
               strcmp(service->members.rows[i].address, config->wire_advertise) == 0 &&
               strcmp(service->members.rows[i].version, NODE_VERSION) == 0;
    }
    return false;
}

static bool is_configured(const struct service *service)
{
    for (uint32_t i = 0; i < service->now.member_count; i++)
        if (service->now.members[i].node_id == service->now.node_id)
            return true;
    return false;
}

static void announce(struct joining *self)
{
    struct service *service = self->service;
    uint64_t now = now_ms(service);
    if (self->announcing || now < self->announce_at_ms || !leader_is_ready(service) ||
        !is_configured(service) || is_recorded(service))
        return;
    char request_id[48];
    char random[33];
    random_id(random);
    snprintf(request_id, sizeof request_id, "announce/%s", random);
    self->announcing = true;
    self->announce_at_ms = now + self->announce_wait_ms;
    change_by_node(service, "member.add", request_id, SYSTEM_PRINCIPAL, own_record(service), on_announced,
                   self);
}

struct joining *joining_open(struct service *service, void (*joined)(void *context), void *context)
{
    struct joining *self = memory_zero(1, sizeof *self);
    self->service = service;
    self->joined = joined;
    self->context = context;
    self->wait_ms = WAIT_MIN_MS;
    self->announce_wait_ms = ANNOUNCE_MIN_MS;
    random_id(self->request_id);
    return self;
}

void joining_turn(struct joining *self)
{
    struct service *service = self->service;
    if (service->stopping)
        return;
    if (service->joined)
        announce(self);
    else if (!self->call && service->config->join_count > 0 && now_ms(service) >= self->ask_at_ms)
        ask(self);
}

void joining_close(struct joining *self)
{
    free(self);
}

unsigned joining_peers(const struct joining *self, const char **urls, unsigned urls_max)
{
    unsigned count = 0;
    for (; count < self->peer_count && count < urls_max; count++)
        urls[count] = self->peers[count];
    return count;
}

/* --- letting others in: on the leader
 * -------------------------------------------------------------------------------------- */

static json_t *member_rows(const struct service *service)
{
    json_t *rows = json_array();
    for (uint32_t i = 0; i < service->members.count; i++)
        if (!service->members.rows[i].removed)
            json_array_append_new(rows, json_pack("{s:I, s:s, s:s, s:s}", "node_id",
                                                  (json_int_t)service->members.rows[i].node_id, "name",
                                                  service->members.rows[i].name, "address",
                                                  service->members.rows[i].address, "url",
                                                  service->members.rows[i].url));
    return rows;
}

static void on_recorded(void *context, const struct outcome *outcome)
{
    struct act *act = context;
    struct service *service = act->service;
    if (!act->answered && !act_refuse_outcome(act, outcome)) {
        status_refresh(service);
        json_t *json =
            json_pack("{s:s, s:I, s:O, s:o, s:I}", "cluster_id", service->now.cluster_id, "generation",
                      (json_int_t)service->now.generation, "node_id", json_object_get(act->body, "node_id"),
                      "members", member_rows(service), "index", (json_int_t)outcome->index);
        act_answer(act, 201, json);
    }
    act_drop(act);
}

static void on_added(void *context, const struct result *result, const struct error *error)
{
    struct act *act = context;
    (void)result;
    if (act->answered) {
        act_drop(act);
        return;
    }
    if (error) {
        act->maybe = error->code == ERROR_UNKNOWN;
        act_retry(act, error->message);
        act_drop(act);
        return;
    }
    act_change(act, "member.add", json_incref(act->body), on_recorded);
}

/** What the state machine would refuse, said before Raft's configuration is touched. @return false: answered
 */
static bool join_check(struct act *act, uint64_t node_id, const char *name)
{
    struct service *service = act->service;
    json_int_t level = json_integer_value(json_object_get(act->body, "level"));
    for (uint32_t i = 0; i < service->members.count; i++) {
        bool same_id = service->members.rows[i].node_id == node_id,
             removed = service->members.rows[i].removed;
        if (same_id && removed) {
            act_refuse(act, 409, "member_removed",
                       "node %016" PRIx64
                       " was removed, and ids are never used again: give %s a new data folder",
                       node_id, name);
            return false;
        }
        if (!same_id && !removed && strcmp(service->members.rows[i].name, name) == 0) {
            act_refuse(
                act, 409, "member_name_taken",
                "the name %s belongs to node %016" PRIx64
                "; choose another one, or if that node is gone for good: autonomy ha members remove %s "
                "--reason \"its data is lost\"",
                name, service->members.rows[i].node_id, name);
            return false;
        }
    }
    if (level > 0 && (uint32_t)level < service->level) {
        act_refuse(act, 409, "level_too_low",
                   "%s understands level %" JSON_INTEGER_FORMAT ", the cluster is at %u: run a newer build",
                   name, level, service->level);
        return false;
    }
    return true;
}

void join_run(struct act *act)
{
    struct service *service = act->service;
    struct error error = {0};
    uint64_t node_id = (uint64_t)json_integer_value(json_object_get(act->body, "node_id"));
    const char *name = json_string_value(json_object_get(act->body, "name"));
    const char *address = json_string_value(json_object_get(act->body, "address"));
    if (node_id == 0 || !name || !address) {
        act_refuse(act, 422, "invalid_field", "node_id, name and address are required");
        return;
    }
    status_refresh(service);
    if (!join_check(act, node_id, name))
        return;
    act_hold(act);
    enum error_code code = consensus_member_add(service->consensus, node_id, address, on_added, act, &error);
    if (code == ERROR_OK)
        return;
    if (code == ERROR_CONFLICT && service->now.membership_pending)
        act_retry(act, error.message); /* one change at a time: this one is next */
    else if (code == ERROR_NOT_LEADER)
        act_retry(act, error.message);
    else
        act_refuse(act, code == ERROR_CONFLICT ? 409 : 503, error_name(code), "%s", error.message);
    act_drop(act);
}
