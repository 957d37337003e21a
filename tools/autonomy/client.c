#include "tools/autonomy/client.h"

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
#include "tools/autonomy/transfer.h"

void client_init(struct client *self, struct arena *arena, uint64_t timeout_ms)
{
    *self = (struct client){.arena = arena, .timeout_ms = timeout_ms, .wake_fd = -1};
    random_id(self->request_id);
}

void client_done(struct client *self)
{
    curl_multi_cleanup(self->multi);
    self->multi = NULL;
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

static uint64_t now_ms(void)
{
    return clock_monotonic_us() / 1000;
}

static enum attempt attempt(struct client *self, const char *url, const char *method, const char *path,
                            const char *body, uint64_t timeout_ms, struct client_answer *out)
{
    struct transfer transfer = {
        .url = url, .method = method, .path = path, .body = body, .timeout_ms = timeout_ms};
    transfer_run(self, &transfer, 1);
    *out = transfer.answer;
    return transfer.kind;
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

/* As they were named, but for who was silent a moment ago: what asks again and again doesn't wait for a dead
 * node each time, and comes back to it when it is up again. */
static void order_urls(struct client *self, struct client_url *order[CLIENT_URLS_MAX])
{
    uint64_t now = now_ms();
    uint32_t count = 0;
    for (int silent = 0; silent < 2; silent++)
        for (uint32_t i = 0; i < self->url_count; i++) {
            uint64_t since = self->urls[i].silent_ms;
            if ((since > 0 && now - since < CLIENT_AVOID_MS) == (silent == 1))
                order[count++] = &self->urls[i];
        }
    CHECK(count == self->url_count, "%u of %u URLs", count, self->url_count);
}

/* @return true when `out` holds a definite answer */
static bool one_round(struct client *self, struct round *round, const char *method, const char *path,
                      const char *body, struct client_answer *out)
{
    bool change = transfer_is_change(method, path);
    struct client_url *order[CLIENT_URLS_MAX];
    order_urls(self, order);
    round->retry = false;
    for (uint32_t i = 0; i < self->url_count; i++) {
        struct client_url *url = order[i];
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
        url->silent_ms = answer.status == 0 ? now : 0;
        round->anyone = round->anyone || answer.status != 0;
        round->retry = round->retry || kind == ATTEMPT_NOTHING || kind == ATTEMPT_UNKNOWN;
        if (kind == ATTEMPT_UNKNOWN && change) {
            round->unknown = true;
            snprintf(round->unknown_why, sizeof round->unknown_why, "%s", answer.message);
        }
        keep(out, &answer);
        if (kind == ATTEMPT_ANSWERED)
            return true;
        if (self->stopped)
            return false;
    }
    return false;
}

void client_pause(uint64_t ms)
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
    self->stopped = false;
    for (uint32_t i = 0; i < self->url_count; i++)
        self->urls[i].refused = false;
    bool answered = one_round(self, &round, method, path, body, out);
    while (!answered && !self->stopped && round.retry && now_ms() + wait_ms < round.deadline_ms) {
        uint64_t waited_ms = now_ms() + self->timeout_ms - round.deadline_ms;
        client_pause(wait_ms);
        self->stopped = self->look && !self->look(self, self->urls[0].url, waited_ms);
        if (self->stopped)
            break;
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
    } else if (self->stopped) {
        out->exit = CLI_INTERRUPTED;
    } else if (!round.anyone)
        out->exit = CLI_UNREACHABLE;
}
