/* Single requests to single nodes, several at a time. Whom to ask, and whom next, is client.c's business. */
#pragma once

#include <curl/curl.h>

#include "base/bytes.h"
#include "tools/autonomy/client.h"

/* What is known of one attempt besides its answer. */
enum attempt {
    ATTEMPT_ANSWERED, /* a definite answer */
    ATTEMPT_UNSENT,   /* nothing reached a server */
    ATTEMPT_NOTHING,  /* 503: a server said that nothing happened */
    ATTEMPT_UNKNOWN   /* sent, without a definite answer */
};

struct transfer {
    const char *url, *method, *path, *body; /* body: JSON text or NULL */
    uint64_t timeout_ms;
    struct client_answer answer; /* filled by transfer_run() */
    enum attempt kind;           /* likewise */

    struct client *client; /* transfer.c's own, from here on */
    CURL *curl;
    struct curl_slist *headers;
    struct bytes response;
    CURLcode result;
    bool ended;
    char error[CURL_ERROR_SIZE];
};

/** A preview is asked for with a body, and changes nothing. */
bool transfer_is_change(const char *method, const char *path);
/** Runs them all at once, until each has its answer or its time is over. While it waits it calls the client's
 * `look`; when that says no, what isn't answered by then is left without an answer. */
void transfer_run(struct client *client, struct transfer *transfers, uint32_t count);
