#include "node/founding.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/logger.h"
#include "node/internal.h"

#define STATUS_BYTES_MAX (256u * 1024u)

struct question {
    struct founding *founding;
    const char *url;
    struct client_call *call; /* NULL: answered */
};

struct founding {
    struct service *service;
    void (*decided)(void *context, bool elsewhere);
    void *context;
    struct question questions[CONFIG_JOIN_MAX];
    uint32_t question_count, open;
};

static void cancel_all(struct founding *self)
{
    for (uint32_t i = 0; i < self->question_count; i++) {
        client_cancel(self->questions[i].call);
        self->questions[i].call = NULL;
    }
    self->open = 0;
}

/** @return true when the answer names a cluster; that is logged */
static bool names_cluster(const struct question *question, const struct client_answer *answer)
{
    struct error error = {0};
    json_t *json = NULL;
    if (answer->error != ERROR_OK || answer->status != 200 ||
        json_parse(answer->body, &json, &error) != ERROR_OK)
        return false;
    const char *cluster_id = json_string_value(json_object_get(json, "cluster_id"));
    bool names = cluster_id && cluster_id[0];
    if (names)
        log_warn("join", "this folder is empty and a cluster exists: joining it in spite of bootstrap",
                 "cluster=%.40s url=%s data_dir=%s", cluster_id, question->url,
                 question->founding->service->config->data_dir);
    json_decref(json);
    return names;
}

static void on_status(void *context, const struct client_answer *answer)
{
    struct question *question = context;
    struct founding *self = question->founding;
    question->call = NULL;
    self->open--;
    if (names_cluster(question, answer)) {
        cancel_all(self);
        self->decided(self->context, true);
    } else if (self->open == 0) {
        log_info("join", "nobody asked belongs to a cluster: making a new one", "nodes=%u",
                 self->question_count);
        self->decided(self->context, false);
    }
}

static bool ask(struct founding *self, const char *url)
{
    struct question *question = &self->questions[self->question_count];
    struct error error = {0};
    struct client_request request = {.method = "GET",
                                     .base = url,
                                     .path = "/v1/ha/status",
                                     .timeout_ms = FOUNDING_MS,
                                     .answer_bytes_max = STATUS_BYTES_MAX,
                                     .done = on_status,
                                     .context = question};
    *question = (struct question){.founding = self, .url = url};
    if (client_send(self->service->client, &request, &question->call, &error) != ERROR_OK) {
        log_warn("join", "not asked", "url=%s error=\"%s\"", url, error.message);
        return false;
    }
    self->question_count++;
    self->open++;
    return true;
}

struct founding *founding_open(struct service *service, void (*decided)(void *context, bool elsewhere),
                               void *context)
{
    struct founding *self = memory_zero(1, sizeof *self);
    self->service = service;
    self->decided = decided;
    self->context = context;
    bool asked = false;
    for (uint32_t i = 0; i < service->config->join_count; i++)
        asked |= ask(self, service->config->join[i]);
    if (asked)
        return self;
    free(self);
    return NULL;
}

bool founding_asks(const struct founding *self)
{
    return self && self->open > 0;
}

void founding_close(struct founding *self)
{
    if (!self)
        return;
    cancel_all(self);
    free(self);
}
