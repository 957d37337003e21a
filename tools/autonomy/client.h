/* Asks the cluster one thing, at whichever node answers.
 *
 * A client holds the nodes to try, in order: the URLs it was given, the configured fallbacks, then the
 * members it last saw. One request goes to one node after the other until somebody gives a definite answer or
 * the deadline is over:
 *   - nothing was sent (refused, unknown host): the next node at once;
 *   - 503: nothing happened there; the next node, and round again until the deadline;
 *   - sent, and silence past the node's share of the deadline, a broken connection or 504: the next node, and
 * for a change the outcome stays unknown unless a later node knows better: the same Idempotency-Key makes
 * that safe;
 *   - anything else is the answer. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/arena.h"
#include "base/error.h"
#include "base/limits.h"
#include "tools/autonomy/cli.h"

#define CLIENT_URLS_MAX         16u
#define CLIENT_SHARE_MIN_MS     250u  /* of the deadline, for one node */
#define CLIENT_AVOID_MS         5000u /* who left a request unanswered is asked last for so long */
/* Of a share, for the way there and back and for a node that looks at its deadlines ten times a second: an
 * eighth, within these bounds. */
#define CLIENT_MARGIN_MIN_MS    50u
#define CLIENT_MARGIN_MAX_MS    300u
#define CLIENT_SERVER_MAX_MS    60000u       /* a node waits no longer for an outcome */
#define CLIENT_CONNECT_MAX_MS   1000u        /* a host that drops packets costs no more */
#define CLIENT_ANSWER_BYTES_MAX (32ul << 20) /* one answer; lists come in pages of at most 1,000 rows */

struct client_url {
    const char *url;    /* "http://127.0.0.1:7101", no slash at its end */
    bool remembered;    /* a member seen earlier: asked only when it still belongs to `cluster_id` */
    bool refused;       /* nobody listened there during this request */
    uint64_t silent_ms; /* when it left a request without an answer; 0: it did not */
};

struct client {
    struct arena *arena;
    struct client_url urls[CLIENT_URLS_MAX];
    uint32_t url_count;
    char cluster_id[CLUSTER_ID_BYTES];         /* of the remembered members; "" unknown */
    const char *principal;                     /* NULL: anonymous */
    char request_id[REQUEST_ID_BYTES_MAX + 1]; /* one for each invocation */
    uint64_t timeout_ms;
    bool member_sync; /* refresh the remembered members after an answer */
    void *multi;      /* libcurl's, made by the first request: it keeps connections */
    /* Called about ten times a second while a request is under way, with who is asked and for how long;
     * false ends the waiting. May be NULL. */
    bool (*look)(struct client *self, const char *url, uint64_t waited_ms);
    void *look_context;
    int wake_fd;  /* what can be read there ends a pause at once; -1: none */
    bool stopped; /* `look` said no during the last client_send() */
};

struct client_answer {
    enum cli_exit exit;
    long status;         /* HTTP; 0: nobody answered */
    struct json_t *json; /* the body, owned; NULL unless it was JSON */
    char *text;          /* the body as it came, owned; NULL when there was none */
    const char *url;     /* who answered; NULL: nobody */
    uint64_t index;      /* X-Autonomy-Index; 0 without */
    char code[64];       /* problem+json's, "" without */
    char message[1024];  /* what went wrong, a sentence */
};

/** Adds a comma-separated list of URLs; "host:port" is read as http. Doubles are left out, and so is what is
 * past the bound.
 * @return ERROR_INVALID naming the text that is no URL */
enum error_code client_add(struct client *self, const char *list, bool remembered,
                           struct error *error) MUST_USE;
void client_init(struct client *self, struct arena *arena, uint64_t timeout_ms);
void client_done(struct client *self);

/** One request with failover. @param body  JSON text or NULL */
void client_send(struct client *self, const char *method, const char *path, const char *body,
                 struct client_answer *out);
/** One request to one node: no failover, no second try. */
void client_send_to(struct client *self, const char *url, const char *method, const char *path,
                    const char *body, uint64_t timeout_ms, struct client_answer *out);
void client_answer_done(struct client_answer *answer);
/** Sleeps; a signal ends it early. */
void client_pause(uint64_t ms);

/* --- members.c: the members last seen, in $XDG_CACHE_HOME/autonomy/members; best effort, keyed by the first
 * URL --- */

void members_recall(struct client *self);
void members_remember(struct client *self,
                      const struct json_t *status); /* an `ha status` or `ha members list` answer */
bool members_stale(const struct client *self);      /* older than five minutes or not there */
/** $<variable>/autonomy, else ~/<fallback>/autonomy. NULL when there is no home. */
const char *user_folder(struct arena *arena, const char *variable, const char *fallback);
/** Makes the folders that lead to `path`; what can't be made shows when the file is opened. */
void folder_make(struct arena *arena, const char *path);
