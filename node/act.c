#include "node/act.h"

#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "fsm/result.h"

#define ACTS_MAX         64u   /* under way together */
#define ANSWER_MS        100u  /* before the deadline, so that the answer arrives by then */
#define MOVED_MS         1500u /* a leader that handed over has so long to say so; then it hangs, or is gone */
#define QUORUM_MISSED_MS 2000u /* for so long a lost quorum may come back before acts are refused */

static const struct {
    void (*run)(struct act *act);
    const char *method, *path;
    const char *last; /* member of the body that ends the path */
} kinds[SERVICE_ACT_COUNT] = {
    [SERVICE_FAILOVER] = {failover_run, "POST", "/v1/ha/failover", NULL},
    [SERVICE_MEMBER_JOIN] = {join_run, "POST", "/v1/ha/members", NULL},
    [SERVICE_MEMBER_REMOVE] = {removing_run, "DELETE", "/v1/ha/members", "member"},
};

/* --- ending
 * ------------------------------------------------------------------------------------------------------------
 */

void act_hold(struct act *act)
{
    act->references++;
}

void act_drop(struct act *act)
{
    CHECK(act->references > 0, "an act is held");
    if (--act->references > 0)
        return;
    json_decref(act->body);
    free(act);
}

void act_answer(struct act *act, uint32_t status, struct json_t *json)
{
    CHECK(!act->answered, "an act is answered once");
    act->answered = true;
    act->poll = NULL;
    link_remove(&act->link);
    act->service->act_count--;
    if (act->call)
        client_cancel(act->call);
    act->call = NULL;
    struct act_answer answer = {.status = status, .json = json};
    act->done(act->context, &answer);
    json_decref(json);
    act_drop(act);
}

void act_refuse(struct act *act, uint32_t status, const char *code, const char *format, ...)
{
    struct error detail = {0};
    va_list arguments;
    va_start(arguments, format);
    (void)error_setv(&detail, ERROR_CONFLICT, format, arguments);
    va_end(arguments);
    act_answer(act, status, json_pack("{s:s, s:s}", "code", code, "detail", detail.message));
}

static uint32_t status_of(enum error_code code)
{
    switch (code) {
    case ERROR_UNKNOWN:
    case ERROR_TIMEOUT:
        return 504;
    case ERROR_NO_SPACE:
        return 507;
    case ERROR_CONFLICT:
    case ERROR_EXISTS:
        return 409;
    case ERROR_INVALID:
        return 422;
    case ERROR_NOT_FOUND:
        return 404;
    default:
        return 503;
    }
}

bool act_refuse_outcome(struct act *act, const struct outcome *outcome)
{
    struct error error = {0};
    json_t *json = NULL;
    if (outcome->error != ERROR_OK) {
        act_refuse(act, status_of(outcome->error), error_name(outcome->error), "%s", outcome->message);
        return true;
    }
    if (result_succeeded(outcome->code))
        return false;
    if (value_to_json(outcome->body, &json, &error) != ERROR_OK || !json_is_object(json)) {
        json_decref(json);
        json = json_object();
    }
    json_object_set_new(json, "code", json_string(result_name(outcome->code)));
    if (!json_object_get(json, "detail"))
        json_object_set_new(json, "detail", json_string(result_name(outcome->code)));
    act_answer(act, result_status(outcome->code), json);
    return true;
}

void act_change(struct act *act, const char *name, struct json_t *body, service_done_fn *done)
{
    change_from(act->service, name, act->source, act->request_id, act->principal, body, done, act);
}

void act_retry(struct act *act, const char *why)
{
    act->running = false;
    act->poll = NULL;
    act->retry_at_ms = now_ms(act->service) + RETRY_MS;
    snprintf(act->last, sizeof act->last, "%s", why);
}

static void act_give_up(struct act *act)
{
    const char *last = act->last[0] ? act->last : "no leader is known here";
    if (act->maybe || act->running || act->call) /* a call without an answer may have arrived */
        act_refuse(act, 504, "unknown", "the outcome is unknown: %.300s; ask again under the same request id",
                   last);
    else
        act_refuse(act, 503, "unavailable", "no leader took it before the deadline, nothing happened: %.300s",
                   last);
}

/* --- forwarding
 * ----------------------------------------------------------------------------------------------------------
 */

static void on_answer(void *context, const struct client_answer *answer)
{
    struct act *act = context;
    struct error error = {0};
    json_t *json = NULL;
    act->call = NULL;
    if (answer->error != ERROR_OK) {
        act->maybe = act->maybe || answer->sent;
        act_retry(act, answer->message);
        return;
    }
    if (json_parse(answer->body, &json, &error) != ERROR_OK || !json_is_object(json)) {
        json_decref(json);
        act->maybe = true;
        act_retry(act, "the leader's answer can't be read");
        return;
    }
    const char *code = json_string_value(json_object_get(json, "code"));
    if (answer->status == 503 && code && strcmp(code, "not_leader") == 0) {
        json_decref(json);
        act_retry(act, "leadership moved");
        return;
    }
    act_answer(act, answer->status, json);
}

static void act_forward(struct act *act, const char *url)
{
    struct service *self = act->service;
    struct error error = {0};
    char key[REQUEST_ID_BYTES_MAX + 32], operator[PRINCIPAL_BYTES_MAX + 32], path[64 + NAME_BYTES_MAX];
    const char *last =
        kinds[act->kind].last ? json_string_value(json_object_get(act->body, kinds[act->kind].last)) : NULL;
    uint64_t now = now_ms(self);
    char *body = json_dumps(act->body, JSON_COMPACT);
    CHECK(body != NULL, "a parsed body prints");
    snprintf(key, sizeof key, "Idempotency-Key: %s", act->request_id);
    snprintf(operator, sizeof operator, "X-Autonomy-Operator: %s", act->principal);
    snprintf(path, sizeof path, "%s%s%s", kinds[act->kind].path, last ? "/" : "", last ? last : "");
    struct client_request request = {
        .method = kinds[act->kind].method,
        .base = url,
        .path = path,
        .headers = {"Content-Type: application/json", "X-Autonomy-Forwarded: 1", key, operator,
                    act->source == AUDIT_CLI ? "X-Autonomy-Source: cli" : NULL },
                    .body = span_text(body),
                    .timeout_ms = act->deadline_ms > now ? act->deadline_ms - now : 1,
                    .answer_bytes_max = INTERNAL_BODY_MAX, .done = on_answer, .context = act};
    act->asked = self->now.leader_id;
    act->moved_ms = 0;
    if (client_send(self->client, &request, &act->call, &error) != ERROR_OK)
        act_retry(act, error.message);
    free(body);
}

/* --- the way
 * ----------------------------------------------------------------------------------------------------------------
 */

static void act_advance(struct act *act)
{
    struct service *self = act->service;
    if (act->running || act->call || !self->joined || self->consensus_closed)
        return;
    if (leads(self)) {
        act->running = true;
        kinds[act->kind].run(act);
        return;
    }
    if (self->now.role == CONSENSUS_LEADER)
        return; /* about to be ready */
    if (act->forwarded) {
        act_refuse(act, 503, "not_leader", "another node leads");
        return;
    }
    const char *url = leader_elsewhere(self);
    if (url)
        act_forward(act, url);
}

void act_start(struct service *self, struct act *act)
{
    act->references = 1;
    link_append(&self->acts, &act->link);
    self->act_count++;
    if (self->act_count > ACTS_MAX)
        act_refuse(act, 503, "busy", "%u acts are under way; retry later", ACTS_MAX);
    else if (!self->joined)
        act_refuse(act, 503, "unavailable", "this node is not part of a cluster yet");
    else
        act_advance(act);
}

/** Whom it was sent to leads no more. The next leader finds by the request id what was done. */
static void act_ask_elsewhere(struct act *act)
{
    client_cancel(act->call);
    act->call = NULL;
    act->maybe = true;
    act_retry(act, "leadership moved");
}

void acts_advance(struct service *self)
{
    struct link *link = self->acts.next, *last = self->acts.previous;
    bool more = link != &self->acts;
    while (more) {
        struct act *act = (struct act *)link;
        more = link != last;
        link = link->next;
        if (act->call && self->now.leader_id != 0 && act->asked != self->now.leader_id) {
            if (act->kind != SERVICE_FAILOVER)
                act_ask_elsewhere(act);
            else if (act->moved_ms == 0) /* a failover's answer comes from the leader that resigned */
                act->moved_ms = now_ms(self);
        }
        act_advance(act);
    }
}

/** Without a majority nobody can be elected who would take it. What may be under way waits on. */
static bool is_hopeless(const struct act *act, uint64_t now)
{
    const struct service *self = act->service;
    return self->joined && !act->running && !act->call && !act->maybe && !self->now.quorum &&
           self->now.contact_lost_ms != 0 && now >= self->now.contact_lost_ms + QUORUM_MISSED_MS;
}

void acts_sweep(struct service *self, bool all)
{
    uint64_t now = now_ms(self);
    struct link *link = self->acts.next;
    while (link != &self->acts) {
        struct act *act = (struct act *)link;
        link = link->next;
        if (all || now + ANSWER_MS >= act->deadline_ms)
            act_give_up(act);
        else if (is_hopeless(act, now))
            act_refuse(act, 503, "unavailable",
                       "there is no contact with a majority of voters, nothing happened");
        else if (act->call && act->moved_ms != 0 && now >= act->moved_ms + MOVED_MS)
            act_ask_elsewhere(act); /* it hangs: the reason, perhaps, for which it was asked to go */
        else if (act->poll)
            act->poll(act);
        else if (now >= act->retry_at_ms)
            act_advance(act);
    }
}
