#include "tools/load/response.h"

#include <string.h>
#include <strings.h>

#include "base/bytes.h"

enum phase { STATUS_LINE, HEADER, BODY, CHUNK_LINE, CHUNK, CHUNK_END, TRAILER, DONE, BAD };

void response_init(struct response *self)
{
    memset(self, 0, offsetof(struct response, line));
    self->keep_alive = true;
}

static int bad(struct response *self, const char *why)
{
    self->why = why;
    return BAD;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static int status_line(struct response *self, const char *line)
{
    if (strncmp(line, "HTTP/1.1 ", 9) != 0)
        return bad(self, "the status line doesn't begin with HTTP/1.1");
    const char *digits = line + 9;
    if (!is_digit(digits[0]) || !is_digit(digits[1]) || !is_digit(digits[2]) ||
        (digits[3] != ' ' && digits[3] != 0))
        return bad(self, "the status isn't three digits");
    self->status = (uint32_t)((digits[0] - '0') * 100 + (digits[1] - '0') * 10 + (digits[2] - '0'));
    if (self->status < 200 || self->status > 599)
        return bad(self, "the status is not within 200 .. 599");
    return HEADER;
}

static int content_length(struct response *self, const char *value)
{
    uint64_t length = 0;
    if (!parse_u64(value, RESPONSE_BODY_BYTES_MAX, &length))
        return bad(self, "Content-Length isn't a number within the bound");
    if (self->has_length && length != self->left)
        return bad(self, "two values of Content-Length");
    self->has_length = true;
    self->left = length;
    return HEADER;
}

static int header(struct response *self, char *line)
{
    char *colon = strchr(line, ':');
    if (colon == NULL || colon == line || strcspn(line, " \t") < (size_t)(colon - line))
        return bad(self, "a header without a name");
    if (++self->headers > RESPONSE_HEADERS_MAX)
        return bad(self, "too many headers");
    *colon = 0;
    char *value = colon + 1 + strspn(colon + 1, " \t");
    for (size_t end = strlen(value); end > 0 && (value[end - 1] == ' ' || value[end - 1] == '\t');)
        value[--end] = 0;
    if (strcasecmp(line, "Content-Length") == 0)
        return content_length(self, value);
    if (strcasecmp(line, "Transfer-Encoding") == 0) {
        if (strcasecmp(value, "chunked") != 0 || self->chunked)
            return bad(self, "a Transfer-Encoding other than chunked");
        self->chunked = true;
    }
    if (strcasecmp(line, "Connection") == 0 && strcasecmp(value, "close") == 0)
        self->keep_alive = false;
    return HEADER;
}

static int headers_end(struct response *self)
{
    if (self->chunked && self->has_length)
        return bad(self, "both Content-Length and Transfer-Encoding");
    if (self->status == 204 || self->status == 304)
        return self->chunked || self->left > 0 ? bad(self, "a body where none may be") : DONE;
    if (self->chunked)
        return CHUNK_LINE;
    if (!self->has_length)
        return bad(self, "neither Content-Length nor Transfer-Encoding");
    return self->left > 0 ? BODY : DONE;
}

static int hex_value(char c)
{
    if (is_digit(c))
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static int chunk_line(struct response *self, const char *line)
{
    uint64_t length = 0;
    size_t digits = 0;
    for (; hex_value(line[digits]) >= 0 && digits < 9; digits++)
        length = length * 16 + (uint64_t)hex_value(line[digits]);
    if (digits == 0 || (line[digits] != 0 && line[digits] != ';'))
        return bad(self, "a chunk without its length");
    if (length > RESPONSE_BODY_BYTES_MAX - self->body_bytes)
        return bad(self, "a body past the bound");
    self->left = length;
    return length > 0 ? CHUNK : TRAILER;
}

static int one_line(struct response *self)
{
    char *line = self->line;
    if (self->line_bytes == 0 || line[self->line_bytes - 1] != '\r')
        return bad(self, "a line that doesn't end with CR LF");
    line[self->line_bytes - 1] = 0;
    if (strlen(line) != self->line_bytes - 1)
        return bad(self, "a NUL in a line");
    self->line_bytes = 0;
    switch (self->phase) {
    case STATUS_LINE:
        return status_line(self, line);
    case HEADER:
        return line[0] == 0 ? headers_end(self) : header(self, line);
    case CHUNK_LINE:
        return chunk_line(self, line);
    case CHUNK_END:
        return line[0] == 0 ? CHUNK_LINE : bad(self, "a chunk that is longer than it says");
    default:
        return line[0] == 0 ? DONE : TRAILER;
    }
}

/* @return how many of the bytes were used */
static size_t feed_line(struct response *self, const char *data, size_t bytes)
{
    const char *end = memchr(data, '\n', bytes);
    size_t part = end != NULL ? (size_t)(end - data) : bytes;
    if (part > sizeof self->line - self->line_bytes) {
        self->phase = bad(self, "a line that is too long");
        return bytes;
    }
    memcpy(self->line + self->line_bytes, data, part);
    self->line_bytes += part;
    if (end == NULL)
        return bytes;
    self->phase = one_line(self);
    return part + 1;
}

static size_t feed_body(struct response *self, const char *data, size_t bytes)
{
    size_t part = bytes < self->left ? bytes : (size_t)self->left;
    if (self->keep != NULL)
        bytes_append(self->keep, data, part);
    self->left -= part;
    self->body_bytes += part;
    if (self->left == 0)
        self->phase = self->phase == BODY ? DONE : CHUNK_END;
    return part;
}

enum response_verdict response_feed(struct response *self, const char *data, size_t bytes)
{
    while (bytes > 0 && self->phase != BAD) {
        size_t used = bytes;
        if (self->phase == DONE)
            self->phase = bad(self, "bytes behind the response");
        else if (self->phase == BODY || self->phase == CHUNK)
            used = feed_body(self, data, bytes);
        else
            used = feed_line(self, data, bytes);
        data += used;
        bytes -= used;
    }
    return self->phase == BAD ? RESPONSE_BAD : self->phase == DONE ? RESPONSE_DONE : RESPONSE_MORE;
}
