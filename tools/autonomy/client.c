#include "tools/autonomy/client.h"

#include <curl/curl.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/schema.h"

/* What is known of one attempt besides its answer. */
enum attempt {
    ATTEMPT_ANSWERED, /* a definite answer */
    ATTEMPT_UNSENT,   /* nothing reached a server */
    ATTEMPT_NOTHING,  /* 503: a server said that nothing happened */
    ATTEMPT_UNKNOWN   /* sent, without a definite answer */
};

struct transfer {
    struct client *client;
    struct bytes body;
    const char *url;
    uint64_t started_ms;
    bool shown; /* a progress line stands on the terminal */
    char error[CURL_ERROR_SIZE];
};

void client_init(struct client *self, struct arena *arena, uint64_t timeout_ms)
{
    *self = (struct client){.arena = arena, .timeout_ms = timeout_ms};
    random_id(self->request_id);
}

/* --- URLs --- */

static bool url_known(const struct client *self, const char *url)
{
    for (uint32_t i = 0; i < self->url_count; i++)
        if (strcmp(self->urls[i].url, url) == 0)
            return true;
    return false;
}

static enum error_code add_one(struct client *self, const char *text, bool remembered, struct error *error)
{
    size_t length = strlen(text);
    while (length > 0 && text[length - 1] == '/')
        length--;
    const char *scheme = strstr(text, "://");
    const char *url = scheme ? arena_text(self->arena, text, length)
                             : arena_printf(self->arena, "http://%.*s", (int)length, text);
    const char *host = strstr(url, "://") + 3;
    /* Without a scheme only a port tells an address from a word. */
    const char *port = strrchr(host, ':');
    bool bare_word = !scheme && (!port || port == host || port[1] < '0' || port[1] > '9');
    if ((strncasecmp(url, "http://", 7) != 0 && strncasecmp(url, "https://", 8) != 0) || *host == '\0' ||
        bare_word || strcspn(url, " \"'<>?#\\") != strlen(url))
        return error_set(error, ERROR_INVALID,
                         "\"%s\" is no URL of a node; it looks like http://127.0.0.1:7101", text);
    if (!url_known(self, url) && self->url_count < CLIENT_URLS_MAX)
        self->urls[self->url_count++] = (struct client_url){.url = url, .remembered = remembered};
    return ERROR_OK;
}

enum error_code client_add(struct client *self, const char *list, bool remembered, struct error *error)
{
    for (const char *at = list; *at;) {
        size_t length = strcspn(at, ",");
        size_t blanks = strspn(at, " \t");
        if (blanks > length)
            blanks = length;
        size_t end = length;
        while (end > blanks && (at[end - 1] == ' ' || at[end - 1] == '\t'))
            end--;
        if (end > blanks) {
            const char *text = arena_text(self->arena, at + blanks, end - blanks);
            enum error_code code = add_one(self, text, remembered, error);
            if (code != ERROR_OK)
                return code;
        }
        at += length;
        at += *at == ',' ? 1 : 0;
    }
    return ERROR_OK;
}

/* --- one attempt --- */

/* A preview is asked for with a body, and changes nothing. */
static bool is_change(const char *method, const char *path)
{
    return strcmp(method, "GET") != 0 && strcmp(path, "/v1/rollback/preview") != 0;
}

static size_t take_body(char *data, size_t size, size_t count, void *context)
{
    struct transfer *transfer = context;
    bytes_append(&transfer->body, data, size * count);
    return transfer->body.overflow ? 0 : size * count;
}

static uint64_t now_ms(void)
{
    return clock_monotonic_us() / 1000;
}

/* libcurl calls this about once a second while nothing moves: enough to show that somebody is waiting for
 * something. */
static int show_progress(void *context, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
    struct transfer *transfer = context;
    FILE *out = transfer->client->progress;
    uint64_t waited_ms = now_ms() - transfer->started_ms;
    (void)a, (void)b, (void)c, (void)d;
    if (out && waited_ms >= 300) {
        fprintf(out, "\rwaiting for %s, %llu s ", transfer->url, (unsigned long long)(waited_ms / 1000));
        fflush(out);
        transfer->shown = true;
    }
    return 0;
}

static bool loopback(const char *url)
{
    const char *host = strstr(url, "://");
    host = host ? host + 3 : url;
    return strncmp(host, "127.", 4) == 0 || strncmp(host, "localhost", 9) == 0 ||
           strncmp(host, "[::1]", 5) == 0;
}

static struct curl_slist *add_header(struct arena *arena, struct curl_slist *list, const char *name,
                                     const char *value)
{
    /* A header ends at a line break: a value with one would smuggle another header in. */
    const char *safe = arena_text(arena, value, strcspn(value, "\r\n"));
    struct curl_slist *longer = curl_slist_append(list, arena_printf(arena, "%s: %s", name, safe));
    CHECK(longer, "out of memory");
    return longer;
}

static struct curl_slist *headers_for(const struct client *self, bool body, bool change)
{
    struct curl_slist *list = add_header(self->arena, NULL, "Accept", "application/json");
    list = add_header(self->arena, list, "X-Autonomy-Source", "cli");
    if (self->principal)
        list = add_header(self->arena, list, "X-Autonomy-Operator", self->principal);
    if (body)
        list = add_header(self->arena, list, "Content-Type", "application/json");
    if (change)
        list = add_header(self->arena, list, "Idempotency-Key", self->request_id);
    return list;
}

static void read_problem(struct client_answer *out)
{
    const char *detail = json_string_value(json_object_get(out->json, "detail"));
    const char *title = json_string_value(json_object_get(out->json, "title"));
    const char *code = json_string_value(json_object_get(out->json, "code"));
    snprintf(out->code, sizeof out->code, "%s", code ? code : "");
    if (detail || title)
        snprintf(out->message, sizeof out->message, "%s", detail ? detail : title);
    else
        snprintf(out->message, sizeof out->message, "%s answered %ld without a reason", out->url,
                 out->status);
}

static enum attempt read_answer(struct transfer *transfer, CURL *curl, bool change, struct client_answer *out)
{
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &out->status);
    out->url = transfer->url;
    struct span body = bytes_span(&transfer->body);
    struct error error = {0};
    if (body.bytes > 0 && json_parse(body, &out->json, &error) != ERROR_OK)
        out->json = NULL;
    size_t length = 0;
    out->text = (char *)bytes_take(&transfer->body, &length);
    if (out->status >= 200 && out->status < 300) {
        out->exit = CLI_DONE;
        return ATTEMPT_ANSWERED;
    }
    read_problem(out);
    out->exit = out->status == 401 || out->status == 403 ? CLI_DENIED : CLI_FAILED;
    if (out->status == 503)
        return ATTEMPT_NOTHING;
    if (out->status == 504 || (out->status == 502 && change))
        return ATTEMPT_UNKNOWN;
    return ATTEMPT_ANSWERED;
}

static enum attempt read_failure(struct transfer *transfer, CURL *curl, CURLcode result,
                                 struct client_answer *out)
{
    const char *why = transfer->error[0] ? transfer->error : curl_easy_strerror(result);
    curl_off_t connected_us = 0;
    curl_easy_getinfo(curl, CURLINFO_PRETRANSFER_TIME_T, &connected_us);
    snprintf(out->message, sizeof out->message, "%s: %s", transfer->url, why);
    out->exit = CLI_UNREACHABLE;
    if (transfer->body.overflow)
        snprintf(out->message, sizeof out->message, "%s: the answer is larger than %lu MiB", transfer->url,
                 CLIENT_ANSWER_BYTES_MAX >> 20);
    /* Before the request's first byte could leave, nothing can have happened. */
    return connected_us == 0 ? ATTEMPT_UNSENT : ATTEMPT_UNKNOWN;
}

/* The server answers within the node's share, so that its own sentence arrives before silence is the answer.
 */
static const char *url_of(struct arena *arena, const char *url, const char *path, uint64_t timeout_ms)
{
    uint64_t margin_ms = timeout_ms / 8;
    if (margin_ms < CLIENT_MARGIN_MIN_MS)
        margin_ms = CLIENT_MARGIN_MIN_MS;
    if (margin_ms > CLIENT_MARGIN_MAX_MS)
        margin_ms = CLIENT_MARGIN_MAX_MS;
    uint64_t server_ms = timeout_ms > 2 * margin_ms ? timeout_ms - margin_ms : timeout_ms / 2 + 1;
    if (server_ms > CLIENT_SERVER_MAX_MS)
        server_ms = CLIENT_SERVER_MAX_MS;
    return arena_printf(arena, "%s%s%ctimeout=%llums", url, path, strchr(path, '?') ? '&' : '?',
                        (unsigned long long)server_ms);
}

static void set_options(CURL *curl, struct transfer *transfer, const char *method, const char *path,
                        const char *body, uint64_t timeout_ms)
{
    struct client *self = transfer->client;
    uint64_t connect_ms = timeout_ms < CLIENT_CONNECT_MAX_MS ? timeout_ms : CLIENT_CONNECT_MAX_MS;
    curl_easy_setopt(curl, CURLOPT_URL, url_of(self->arena, transfer->url, path, timeout_ms));
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)timeout_ms);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, (long)connect_ms);
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, transfer->error);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_body);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, transfer);
    curl_easy_setopt(curl, CURLOPT_USERAGENT, "autonomy/" AUTONOMY_VERSION);
    if (self->progress) {
        curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
        curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, show_progress);
        curl_easy_setopt(curl, CURLOPT_XFERINFODATA, transfer);
    }
    if (loopback(transfer->url))
        curl_easy_setopt(curl, CURLOPT_PROXY, "");
    if (strcmp(method, "GET") != 0) {
        curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, method);
        curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body ? body : "{}");
    }
}

static enum attempt attempt(struct client *self, const char *url, const char *method, const char *path,
                            const char *body, uint64_t timeout_ms, struct client_answer *out)
{
    struct transfer transfer = {.client = self, .url = url, .started_ms = now_ms()};
    bool change = is_change(method, path);
    CURL *curl = curl_easy_init();
    CHECK(curl, "libcurl doesn't start");
    *out = (struct client_answer){.exit = CLI_UNREACHABLE};
    bytes_init(&transfer.body, CLIENT_ANSWER_BYTES_MAX);
    struct curl_slist *headers = headers_for(self, strcmp(method, "GET") != 0, change);
    set_options(curl, &transfer, method, path, body, timeout_ms > 0 ? timeout_ms : 1);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    CURLcode result = curl_easy_perform(curl);
    if (transfer.shown)
        fprintf(self->progress, "\r%*s\r", (int)strlen(url) + 24, "");
    enum attempt kind = result == CURLE_OK ? read_answer(&transfer, curl, change, out)
                                           : read_failure(&transfer, curl, result, out);
    bytes_done(&transfer.body);
    curl_slist_free_all(headers);
    curl_easy_cleanup(curl);
    return kind;
}

void client_send_to(struct client *self, const char *url, const char *method, const char *path,
                    const char *body, uint64_t timeout_ms, struct client_answer *out)
{
    (void)attempt(self, url, method, path, body, timeout_ms, out);
}

void client_answer_done(struct client_answer *answer)
{
    json_decref(answer->json);
    free(answer->text);
    *answer = (struct client_answer){0};
}

/* --- failover --- */

static uint64_t share_ms(uint64_t left_ms, uint32_t nodes_left)
{
    uint64_t share = left_ms / (nodes_left > 0 ? nodes_left : 1);
    if (share < CLIENT_SHARE_MIN_MS)
        share = CLIENT_SHARE_MIN_MS;
    return share < left_ms ? share : left_ms;
}

/* A remembered address may belong to another cluster by now: a change must not land there. */
static bool still_ours(struct client *self, const struct client_url *url, uint64_t timeout_ms)
{
    if (!url->remembered)
        return true;
    struct client_answer answer;
    (void)attempt(self, url->url, "GET", "/v1/ha/status", NULL, timeout_ms, &answer);
    const char *id = json_string_value(json_object_get(answer.json, "cluster_id"));
    bool ours = id && *self->cluster_id && strcmp(id, self->cluster_id) == 0;
    client_answer_done(&answer);
    return ours;
}

struct round {
    uint64_t deadline_ms;
    bool unknown; /* some attempt of a change has an unknown outcome */
    bool anyone;  /* somebody answered, if only with 503 or 504 */
    bool retry;   /* another round may help */
    char unknown_why[1024];
};

static void keep(struct client_answer *best, struct client_answer *fresh)
{
    /* What a server said tells more than what a socket said. */
    if (best->status != 0 && fresh->status == 0) {
        client_answer_done(fresh);
        return;
    }
    client_answer_done(best);
    *best = *fresh;
}

/* @return true when `out` holds a definite answer */
static bool one_round(struct client *self, struct round *round, const char *method, const char *path,
                      const char *body, struct client_answer *out)
{
    bool change = is_change(method, path);
    round->retry = false;
    for (uint32_t i = 0; i < self->url_count; i++) {
        struct client_url *url = &self->urls[i];
        uint64_t now = now_ms();
        if (url->refused)
            continue;
        if (now >= round->deadline_ms)
            return false;
        uint64_t share = share_ms(round->deadline_ms - now, self->url_count - i);
        if (!still_ours(self, url, share)) {
            url->refused = true;
            continue;
        }
        struct client_answer answer;
        enum attempt kind = attempt(self, url->url, method, path, body, share, &answer);
        url->refused = kind == ATTEMPT_UNSENT;
        round->anyone = round->anyone || answer.status != 0;
        round->retry = round->retry || kind == ATTEMPT_NOTHING || kind == ATTEMPT_UNKNOWN;
        if (kind == ATTEMPT_UNKNOWN && change) {
            round->unknown = true;
            snprintf(round->unknown_why, sizeof round->unknown_why, "%s", answer.message);
        }
        keep(out, &answer);
        if (kind == ATTEMPT_ANSWERED)
            return true;
    }
    return false;
}

static void pause_ms(uint64_t ms)
{
    struct timespec time = {.tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000L};
    nanosleep(&time, NULL);
}

static void refresh_members(struct client *self, const char *url)
{
    if (!self->member_sync || !members_stale(self))
        return;
    struct client_answer answer;
    (void)attempt(self, url, "GET", "/v1/ha/status", NULL, CLIENT_SHARE_MIN_MS, &answer);
    if (answer.exit == CLI_DONE && answer.json)
        members_remember(self, answer.json);
    client_answer_done(&answer);
}

void client_send(struct client *self, const char *method, const char *path, const char *body,
                 struct client_answer *out)
{
    struct round round = {.deadline_ms = now_ms() + self->timeout_ms};
    *out = (struct client_answer){.exit = CLI_UNREACHABLE};
    uint64_t wait_ms = 50;
    for (uint32_t i = 0; i < self->url_count; i++)
        self->urls[i].refused = false;
    bool answered = one_round(self, &round, method, path, body, out);
    while (!answered && round.retry && now_ms() + wait_ms < round.deadline_ms) {
        pause_ms(wait_ms);
        wait_ms = wait_ms < 400 ? wait_ms * 2 : wait_ms;
        answered = one_round(self, &round, method, path, body, out);
    }
    if (answered) {
        if (out->exit == CLI_DONE)
            refresh_members(self, out->url);
        return;
    }
    if (round.unknown) {
        out->exit = CLI_UNKNOWN;
        snprintf(out->message, sizeof out->message, "%s", round.unknown_why);
    } else if (!round.anyone)
        out->exit = CLI_UNREACHABLE;
}
