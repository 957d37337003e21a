#include "tools/autonomy/redact.h"

#include <ctype.h>
#include <jansson.h>
#include <string.h>
#include <strings.h>

#define REDACTED "(redacted)"

bool redact_name(const char *name, size_t length)
{
    static const char *const words[] = {"password",      "passwd",     "passphrase", "secret",  "token",
                                        "authorization", "credential", "cookie",     "private", "key"};
    for (size_t w = 0; w < sizeof words / sizeof words[0]; w++) {
        size_t word = strlen(words[w]);
        for (size_t i = 0; i + word <= length; i++)
            if (strncasecmp(name + i, words[w], word) == 0)
                return true;
    }
    return false;
}

/* --- JSON --- */

/* {"key": "API_TOKEN", "value": "..."}: the name of the secret is itself a value. */
static bool names_secret(const json_t *object)
{
    static const char *const members[] = {"key", "name"};
    for (size_t i = 0; i < sizeof members / sizeof members[0]; i++) {
        const char *name = json_string_value(json_object_get(object, members[i]));
        if (name && redact_name(name, strlen(name)))
            return true;
    }
    return false;
}

static bool holds_value(const char *member)
{
    return strcmp(member, "value") == 0 || strcmp(member, "stored") == 0 || strcmp(member, "default") == 0 ||
           strcmp(member, "safe") == 0 || strcmp(member, "old") == 0 || strcmp(member, "previous") == 0;
}

static void redact_urls_in(const char *text, size_t length, struct bytes *out);

static void redact_member(json_t *object, const char *member, json_t *value, bool secret_object)
{
    bool secret = (redact_name(member, strlen(member)) && strcmp(member, "key") != 0) ||
                  (secret_object && holds_value(member));
    if (secret && !json_is_boolean(value) && !json_is_null(value)) {
        json_object_set_new(object, member, json_string(REDACTED));
        return;
    }
    if (json_is_string(value) && strstr(json_string_value(value), "://")) {
        struct bytes clean;
        bytes_init(&clean, 0);
        redact_urls_in(json_string_value(value), json_string_length(value), &clean);
        json_object_set_new(object, member, json_stringn((const char *)clean.data, clean.length));
        bytes_done(&clean);
        return;
    }
    redact_json(value);
}

void redact_json(struct json_t *json)
{
    const char *member;
    json_t *value;
    void *next;
    size_t i;
    if (json_is_object(json)) {
        bool secret = names_secret(json);
        json_object_foreach_safe(json, next, member, value) redact_member(json, member, value, secret);
    }
    json_array_foreach(json, i, value) redact_json(value);
}

/* --- text --- */

static bool name_byte(char c)
{
    return isalnum((unsigned char)c) || c == '_' || c == '-' || c == '.';
}

/* Copies a text, without "user:password@" after "://". */
static void redact_urls_in(const char *text, size_t length, struct bytes *out)
{
    size_t at = 0;
    while (at < length) {
        if (length - at < 3 || memcmp(text + at, "://", 3) != 0) {
            bytes_append(out, text + at++, 1);
            continue;
        }
        size_t end = at + 3, sign = 0;
        while (end < length && !strchr("/ \t\"'<>,", text[end])) {
            sign = text[end] == '@' ? end : sign;
            end++;
        }
        bytes_append_text(out, "://");
        at += 3;
        if (sign > 0) {
            bytes_append_text(out, REDACTED);
            at = sign;
        }
    }
}

/* Where the value at `at` ends: at its closing quote or bracket, at a blank or comma, or with the line. */
static size_t value_end(const char *line, size_t length, size_t at, bool whole_line)
{
    if (whole_line)
        return length;
    if (line[at] == '"' || line[at] == '\'') {
        char quote = line[at];
        for (size_t i = at + 1; i < length; i++) {
            if (line[i] == '\\' && quote == '"')
                i++;
            else if (line[i] == quote)
                return i + 1;
        }
        return length;
    }
    if (line[at] == '[' || line[at] == '{') {
        int depth = 0;
        for (size_t i = at; i < length; i++) {
            depth += strchr("[{", line[i]) ? 1 : strchr("]}", line[i]) ? -1 : 0;
            if (depth == 0)
                return i + 1;
        }
        return length;
    }
    size_t end = at;
    while (end < length && !strchr(" \t,;&}])", line[end]))
        end++;
    return end;
}

/* "Bearer x", "Basic x": the scheme is not the secret. */
static bool scheme_at(const char *line, size_t length, size_t at, size_t *scheme)
{
    static const char *const schemes[] = {"bearer ", "basic "};
    for (size_t i = 0; i < sizeof schemes / sizeof schemes[0]; i++) {
        size_t bytes = strlen(schemes[i]);
        if (length - at > bytes && strncasecmp(line + at, schemes[i], bytes) == 0) {
            *scheme = bytes;
            return true;
        }
    }
    return false;
}

/* Finds the separator behind a name that ends at `at`: optional quote, blanks, ':' or '=', blanks. @return 0:
 * none */
static size_t separator_end(const char *line, size_t length, size_t at)
{
    if (at < length && (line[at] == '"' || line[at] == '\''))
        at++;
    while (at < length && (line[at] == ' ' || line[at] == '\t'))
        at++;
    if (at >= length || (line[at] != ':' && line[at] != '='))
        return 0;
    at++;
    while (at < length && (line[at] == ' ' || line[at] == '\t'))
        at++;
    return at;
}

static size_t indent_of(const char *line, size_t length)
{
    size_t indent = 0;
    while (indent < length && line[indent] == ' ')
        indent++;
    return indent;
}

/* A YAML mapping's own line: its plain value runs to the end of the line. */
static bool yaml_line(const char *line, size_t length, size_t name_start, size_t separator)
{
    size_t indent = indent_of(line, length);
    while (indent < length && (line[indent] == '-' || line[indent] == ' ' || line[indent] == '#'))
        indent++;
    bool colon = false;
    for (size_t i = name_start; i < separator; i++)
        colon = colon || line[i] == ':';
    return indent >= name_start && colon;
}

/* Writes the value's replacement. @return where the rest of the line begins */
static size_t redact_value(struct redact_text *self, const char *line, size_t length, size_t name_start,
                           size_t at, struct bytes *out)
{
    bool quoted = at < length && (line[at] == '"' || line[at] == '\'' || line[at] == '{' || line[at] == '[');
    if (at >= length || line[at] == '|' || line[at] == '>') {
        self->in_block = true;
        self->block_indent = indent_of(line, length);
    }
    if (at >= length)
        return length;
    size_t scheme = 0;
    bool whole = !quoted && yaml_line(line, length, name_start, at);
    if (scheme_at(line, length, at, &scheme))
        at += scheme;
    bytes_append_text(out, REDACTED);
    return value_end(line, length, at, whole);
}

static void redact_plain_line(struct redact_text *self, const char *line, size_t length, struct bytes *out)
{
    size_t at = 0;
    while (at < length) {
        size_t scheme = 0;
        if (!name_byte(line[at])) {
            bytes_append(out, line + at++, 1);
            continue;
        }
        if (scheme_at(line, length, at, &scheme)) {
            bytes_append(out, line + at, scheme);
            bytes_append_text(out, REDACTED);
            at = value_end(line, length, at + scheme, false);
            continue;
        }
        size_t end = at;
        while (end < length && name_byte(line[end]))
            end++;
        bool secret = redact_name(line + at, end - at);
        size_t value = secret ? separator_end(line, length, end) : 0;
        bytes_append(out, line + at, (value ? value : end) - at);
        at = value ? redact_value(self, line, length, at, value, out) : end;
    }
}

static bool contains(const char *line, size_t length, const char *text)
{
    return memmem(line, length, text, strlen(text)) != NULL;
}

/* @return true when the line belongs to a secret that began above it */
static bool swallowed(struct redact_text *self, const char *line, size_t length)
{
    if (self->in_pem) {
        self->in_pem = !contains(line, length, "-----END ");
        return true;
    }
    if (!self->in_block)
        return false;
    size_t indent = indent_of(line, length);
    bool item = indent < length && line[indent] == '-' && indent == self->block_indent;
    if (length == indent || indent > self->block_indent || item)
        return true;
    self->in_block = false;
    return false;
}

void redact_line(struct redact_text *self, const char *line, size_t length, struct bytes *out)
{
    if (swallowed(self, line, length))
        return;
    if (contains(line, length, "-----BEGIN ") && contains(line, length, "PRIVATE KEY")) {
        self->in_pem = !contains(line, length, "-----END ");
        bytes_append_text(out, REDACTED "\n");
        return;
    }
    struct bytes once;
    bytes_init(&once, 0);
    redact_plain_line(self, line, length, &once);
    redact_urls_in(once.data ? (const char *)once.data : "", once.length, out);
    bytes_append_text(out, self->in_block ? " " REDACTED "\n" : "\n");
    bytes_done(&once);
}
