/* `autonomy events` and `autonomy flags watch`: follow the stream of audit records from node to node.
 *
 * A stream ends when its node stops, is killed or finds us too slow; the next node goes on after the last id
 * that arrived, so every record is printed once. Only nodes that were named are followed: a remembered
 * address may be another cluster's by now, whose ids would mean nothing. */
#include <curl/curl.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/clock.h"
#include "tools/autonomy/client.h"
#include "tools/autonomy/event_frames.h"
#include "tools/autonomy/hints.h"
#include "tools/autonomy/output.h"

#define PROBLEM_BYTES_MAX (64u * 1024u)
#define SILENCE_S         40L /* heartbeats come every 15 s: a node that is silent for longer is gone */
#define PAUSE_MS          100u

struct follow {
    struct cli *cli;
    CURL *curl;
    void (*print)(struct follow *self, const json_t *record);
    const char *path;
    uint64_t printed, limit;
    struct event_frames frames;
    struct bytes problem;
    bool done, reached; /* the limit; a node that answered with a stream, since the last pause */
};

/* --- frames --- */

static bool take_record(void *context, struct span data)
{
    struct follow *self = context;
    json_t *record = json_loadb(data.data, data.bytes, 0, NULL);
    const json_t *first_seq = json_object_get(record, "first_seq");
    if (json_is_integer(first_seq)) /* `pruned` */
        fprintf(self->cli->err, "records before %lld were pruned before they were seen here\n",
                (long long)json_integer_value(first_seq));
    /* `end`, `overflow` and `pruned` speak of the stream, and have no seq. */
    if (json_is_integer(json_object_get(record, "seq"))) {
        struct arena kept = self->cli->arena; /* what one record needs doesn't stay for hours */
        arena_init(&self->cli->arena, CLI_MEMORY_MAX);
        self->print(self, record);
        arena_done(&self->cli->arena);
        self->cli->arena = kept;
        fflush(self->cli->out);
        self->printed++;
        self->done = (self->limit > 0 && self->printed >= self->limit) || ferror(self->cli->out);
    }
    json_decref(record);
    return !self->done;
}

static size_t take(char *data, size_t size, size_t count, void *context)
{
    struct follow *self = context;
    size_t length = size * count;
    long status = 0;
    curl_easy_getinfo(self->curl, CURLINFO_RESPONSE_CODE, &status);
    if (status != 200) {
        bytes_append(&self->problem, data, length);
        return length;
    }
    self->reached = true;
    return event_frames_feed(&self->frames, data, length) ? length : 0;
}

/* --- one node, and all of them --- */

static struct curl_slist *headers_of(struct cli *cli)
{
    const char *operator_id = cli_value(cli, "operator");
    struct curl_slist *list = curl_slist_append(NULL, "Accept: text/event-stream");
    if (operator_id)
        list = curl_slist_append(list, arena_printf(&cli->arena, "X-Autonomy-Operator: %.*s",
                                                    (int)strcspn(operator_id, "\r\n"), operator_id));
    CHECK(list, "out of memory");
    return list;
}

/* @return the HTTP status, 0 when nobody answered; `why` then says what libcurl said */
static long follow_node(struct follow *self, const char *url, struct curl_slist *headers, char *why)
{
    char whole[4096];
    int length = snprintf(whole, sizeof whole, "%s%s", url, self->path);
    if (self->frames.last_id != EVENT_NONE)
        snprintf(whole + length, sizeof whole - (size_t)length, "%clast_event_id=%llu",
                 strchr(self->path, '?') ? '&' : '?', (unsigned long long)self->frames.last_id);
    long status = 0;
    event_frames_restart(&self->frames);
    bytes_clear(&self->problem);
    why[0] = '\0';
    curl_easy_reset(self->curl);
    curl_easy_setopt(self->curl, CURLOPT_URL, whole);
    curl_easy_setopt(self->curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(self->curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(self->curl, CURLOPT_CONNECTTIMEOUT_MS, (long)CLIENT_CONNECT_MAX_MS);
    curl_easy_setopt(self->curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_easy_setopt(self->curl, CURLOPT_LOW_SPEED_TIME, SILENCE_S);
    curl_easy_setopt(self->curl, CURLOPT_ERRORBUFFER, why);
    curl_easy_setopt(self->curl, CURLOPT_WRITEFUNCTION, take);
    curl_easy_setopt(self->curl, CURLOPT_WRITEDATA, self);
    curl_easy_setopt(self->curl, CURLOPT_NOPROXY, "127.0.0.1,localhost,::1");
    curl_easy_setopt(self->curl, CURLOPT_HTTPHEADER, headers);
    (void)curl_easy_perform(self->curl);
    curl_easy_getinfo(self->curl, CURLINFO_RESPONSE_CODE, &status);
    return status;
}

static enum cli_exit refused(struct follow *self, const char *url, long status)
{
    json_t *problem =
        json_loadb((const char *)self->problem.data, self->problem.length, JSON_REJECT_DUPLICATES, NULL);
    const char *detail = json_string_value(json_object_get(problem, "detail"));
    enum cli_exit exit = cli_fail(self->cli, status == 401 || status == 403 ? CLI_DENIED : CLI_FAILED,
                                  "%s: %s", url, detail ? detail : "no stream of events there");
    const char *code = json_string_value(json_object_get(problem, "code"));
    const char *next = code ? hint_text(self->cli, code) : NULL;
    if (next)
        hint_say(self->cli, "%s", next);
    json_decref(problem);
    return exit;
}

static enum cli_exit follow_all(struct follow *self, struct client *client, struct curl_slist *headers)
{
    char why[CURL_ERROR_SIZE] = "";
    uint64_t patience_ms = cli_duration_ms(self->cli, "timeout");
    uint64_t until_ms = clock_monotonic_us() / 1000 + patience_ms;
    for (;;) {
        const char *url = NULL;
        self->reached = false;
        for (uint32_t i = 0; i < client->url_count && !self->done; i++) {
            if (client->urls[i].remembered)
                continue;
            url = client->urls[i].url;
            long status = follow_node(self, url, headers, why);
            if (!self->done && status >= 400 && status < 500)
                return refused(self, url, status);
        }
        if (self->done)
            return CLI_DONE;
        uint64_t now_ms = clock_monotonic_us() / 1000;
        if (self->reached)
            until_ms = now_ms + patience_ms;
        if (url == NULL || now_ms >= until_ms)
            return cli_fail(self->cli, CLI_UNREACHABLE, "no node sends events; the last one tried: %s: %s",
                            url ? url : "none was named", why[0] ? why : "no stream");
        nanosleep(&(struct timespec){.tv_nsec = PAUSE_MS * 1000000L}, NULL);
    }
}

static enum cli_exit follow(struct cli *cli, const char *path,
                            void (*print)(struct follow *self, const json_t *record))
{
    struct client *client = cli_client(cli);
    if (!client)
        return CLI_USAGE;
    struct follow self = {.cli = cli,
                          .path = path,
                          .print = print,
                          .limit = cli_number(cli, "limit"),
                          .curl = curl_easy_init()};
    CHECK(self.curl, "libcurl doesn't start");
    event_frames_init(&self.frames, cli_typed(cli, "since") ? cli_number(cli, "since") : EVENT_NONE,
                      take_record, &self);
    bytes_init(&self.problem, PROBLEM_BYTES_MAX);
    struct curl_slist *headers = headers_of(cli);
    enum cli_exit exit = follow_all(&self, client, headers);
    curl_slist_free_all(headers);
    curl_easy_cleanup(self.curl);
    bytes_done(&self.problem);
    event_frames_done(&self.frames);
    return exit;
}

/* --- the commands --- */

static const char *text_of(struct follow *self, const json_t *record, const char *name)
{
    const char *text = member_text(self->cli, record, name);
    return *text ? printable(self->cli, text) : "-";
}

static void print_json(struct follow *self, const json_t *record)
{
    if (json_dumpf(record, self->cli->out, JSON_COMPACT) == 0)
        fputc('\n', self->cli->out);
}

static void print_event(struct follow *self, const json_t *record)
{
    if (self->cli->json) {
        print_json(self, record);
        return;
    }
    fprintf(self->cli->out, "%s  %s  %s  %s  %s  %s  %s\n", text_of(self, record, "timestamp"),
            text_of(self, record, "seq"), text_of(self, record, "event_name"),
            text_of(self, record, "outcome"), text_of(self, record, "actor"),
            text_of(self, record, "resource"), text_of(self, record, "reason"));
}

static void print_flag(struct follow *self, const json_t *record)
{
    const json_t *fields = json_object_get(record, "fields");
    if (self->cli->json) {
        print_json(self, record);
        return;
    }
    const char *change =
        json_object_get(fields, "value") ? text_of(self, fields, "value") : text_of(self, record, "action");
    fprintf(self->cli->out, "%s  %s  %s  %s  %s\n", text_of(self, record, "timestamp"),
            text_of(self, record, "resource"), change, text_of(self, record, "actor"),
            text_of(self, record, "reason"));
}

enum cli_exit run_events(struct cli *cli)
{
    const char *path = cli_query(cli, "/v1/events", "category", cli_value(cli, "category"));
    return follow(cli, cli_query(cli, path, "event_type", cli_value(cli, "event-type")), print_event);
}

enum cli_exit run_flags_watch(struct cli *cli)
{
    return follow(cli, "/v1/events?category=flags", print_flag);
}
