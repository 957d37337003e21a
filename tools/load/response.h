/* Reads HTTP/1.1 responses as they arrive, keeps the status, and the body where somebody wants it.
 *
 * Strict: a load generator that forgives would count broken answers as fast ones. Requests aren't pipelined,
 * so bytes behind a response are an error, too. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bytes;

#define RESPONSE_LINE_BYTES_MAX 4096u
#define RESPONSE_HEADERS_MAX    64u
#define RESPONSE_BODY_BYTES_MAX (64ull * 1024 * 1024)

enum response_verdict { RESPONSE_MORE, RESPONSE_DONE, RESPONSE_BAD };

struct response {
    uint32_t status;     /* 200 .. 599, once its line was read */
    bool keep_alive;     /* the connection may take another request */
    uint64_t body_bytes; /* without the framing of chunks */
    const char *why;     /* what is wrong with it, when it is bad */
    struct bytes *keep;  /* set after response_init(): where the body goes; NULL: it is thrown away */
    /* how far it is */
    int phase;
    bool has_length, chunked;
    uint32_t headers;
    uint64_t left; /* bytes of the body or the chunk still to come */
    size_t line_bytes;
    char line[RESPONSE_LINE_BYTES_MAX];
};

void response_init(struct response *self);

/** Takes the next bytes, all of them.
 *
 * @return RESPONSE_DONE when the response ends with them; RESPONSE_BAD (and `why`), which is final */
enum response_verdict response_feed(struct response *self, const char *data, size_t bytes);
