#include "tools/autonomy/redact.h"

#include <ctype.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define REDACTED        "(redacted)"
#define TOKEN_BYTES_MIN 16u /* shorter words that begin like a token are words */

bool redact_name(const char *name, size_t length)
{
    static const char *const words[] = {"password",      "passwd",     "passphrase", "pwd",      "secret",
                                        "token",         "jwt",        "bearer",     "private",  "key",
                                        "authorization", "credential", "cookie",     "signature"};
    if (length == 3 && strncasecmp(name, "sig", 3) == 0) /* of a signed URL */
        return true;
    for (size_t w = 0; w < sizeof words / sizeof words[0]; w++) {
        size_t word = strlen(words[w]);
        for (size_t i = 0; i + word <= length; i++)
            if (strncasecmp(name + i, words[w], word) == 0)
                return true;
    }
    return false;
}

/* --- JSON --- */

/* {"key": "API_TOKEN", "value": "..."}: the name of the secret is itself a value. In an audit record it is
 * the resource, and the values stand one level below, in `fields`. */
static bool names_secret(const json_t *object)
{
    static const char *const members[] = {"key", "name", "resource"};
    for (size_t i = 0; i < sizeof members / sizeof members[0]; i++) {
        const char *name = json_string_value(json_object_get(object, members[i]));
        if (name && redact_name(name, strlen(name)))
            return true;
    }
    return false;
}

static bool holds_value(const char *member)
{
    static const char *const members[] = {"value", "stored", "default", "safe", "old", "previous"};
    for (size_t i = 0; i < sizeof members / sizeof members[0]; i++)
        if (strcmp(member, members[i]) == 0)
            return true;
    return false;
}

/* A person's text, a URL: what a log line may not say, a member may not say either. */
static json_t *clean_text(const json_t *value)
{
    const char *text = json_string_value(value);
    size_t length = json_string_length(value);
    struct redact_text state = {0};
    struct bytes clean;
    bytes_init(&clean, 0);
    for (size_t at = 0; at <= length;) {
        const char *end = memchr(text + at, '\n', length - at);
        size_t line = end ? (size_t)(end - text) - at : length - at;
        redact_line(&state, text + at, line, &clean);
        at += line + 1;
    }
    /* redact_line() ends every line; the text's last one has no end. */
    size_t kept = clean.length > 0 ? clean.length - 1 : 0;
    json_t *string = json_stringn(kept > 0 ? (const char *)clean.data : "", kept);
    bytes_done(&clean);
    return string ? string : json_string(REDACTED);
}

static void redact_within(json_t *json, bool secret_above);

/* @return what shall stand there instead; NULL: the value itself, cleaned in place */
static json_t *replacement(const char *member, json_t *value, bool secret_object)
{
    bool secret = member && ((redact_name(member, strlen(member)) && strcmp(member, "key") != 0) ||
                             (secret_object && holds_value(member)));
    if (secret && !json_is_boolean(value) && !json_is_null(value))
        return json_string(REDACTED);
    if (json_is_string(value))
        return clean_text(value);
    redact_within(value, secret_object && member && strcmp(member, "fields") == 0);
    return NULL;
}

static void redact_within(json_t *json, bool secret_above)
{
    const char *member;
    json_t *value;
    void *next;
    size_t i;
    if (json_is_object(json)) {
        bool secret = secret_above || names_secret(json);
        json_object_foreach_safe(json, next, member, value)
        {
            json_t *instead = replacement(member, value, secret);
            if (instead)
                json_object_set_new(json, member, instead);
        }
    }
    json_array_foreach(json, i, value)
    {
        json_t *instead = replacement(NULL, value, false);
        if (instead)
            json_array_set_new(json, i, instead);
    }
}

void redact_json(struct json_t *json)
{
    redact_within(json, false);
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

/* Tokens that tell what they are by their first letters, and JSON web tokens ('{"' in base64). */
static bool token_at(const char *text, size_t length)
{
    static const char *const starts[] = {"ghp_",   "gho_",  "ghu_",  "ghs_",  "ghr_", "github_pat_",
                                         "glpat-", "xoxb-", "xoxp-", "xoxa-", "AKIA", "AIza",
                                         "sk-",    "npm_",  "pypi-", "hvs.",  "eyJ"};
    if (length < TOKEN_BYTES_MIN)
        return false;
    for (size_t i = 0; i < sizeof starts / sizeof starts[0]; i++)
        if (strncmp(text, starts[i], strlen(starts[i])) == 0)
            return true;
    return false;
}

/* Where in a word a token begins, if one does: at its start or behind a mark. @return `length`: nowhere */
static size_t token_in(const char *word, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if ((i == 0 || !isalnum((unsigned char)word[i - 1])) && token_at(word + i, length - i))
            return i;
    return length;
}

/* A word that isn't a secret's name. */
static void put_word(const char *word, size_t length, struct bytes *out)
{
    size_t token = token_in(word, length);
    bytes_append(out, word, token);
    if (token < length)
        bytes_append_text(out, REDACTED);
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
        if (value)
            bytes_append(out, line + at, value - at);
        else
            put_word(line + at, end - at, out);
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

/* A line of an audit folder or of a log in JSON: there the name and the value of a secret are two members. */
static bool redact_json_line(const char *line, size_t length, struct bytes *out)
{
    size_t indent = indent_of(line, length);
    json_t *json = indent < length && line[indent] == '{' ? json_loadb(line, length, 0, NULL) : NULL;
    if (!json)
        return false;
    redact_json(json);
    char *text = json_dumps(json, JSON_COMPACT);
    bytes_append_text(out, text ? text : REDACTED);
    bytes_append_text(out, "\n");
    free(text);
    json_decref(json);
    return true;
}

void redact_line(struct redact_text *self, const char *line, size_t length, struct bytes *out)
{
    if (swallowed(self, line, length) || redact_json_line(line, length, out))
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
