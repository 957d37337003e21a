/* No text, however broken, gets a secret through that stands behind a secret's name, and none breaks the
 * reader. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz/fuzz.h"
#include "tools/autonomy/redact.h"

#define SECRET "s3cr3t"

static void redact_all(const char *text, size_t length, struct bytes *out)
{
    struct redact_text state = {0};
    while (length > 0) {
        const char *end = memchr(text, '\n', length);
        size_t line = end ? (size_t)(end - text) : length;
        redact_line(&state, text, line, out);
        text += line + (end ? 1 : 0);
        length -= line + (end ? 1 : 0);
    }
}

/* The same texts as a member of an answer; and an answer that the bytes themselves are. */
static void redact_as_json(const uint8_t *data, size_t length, bool known)
{
    struct bytes text;
    bytes_init(&text, 0);
    bytes_append(&text, data, length);
    bytes_append_text(&text, "\napi_token: " SECRET);
    json_t *record =
        json_pack("{s:o, s:s, s:{s:s}}", "reason",
                  json_stringn((const char *)text.data, text.length) ?: json_string("pwd=" SECRET),
                  "resource", "API_TOKEN", "fields", "value", SECRET);
    CHECK(record, "a record that can't be made");
    redact_json(record);
    char *out = json_dumps(record, JSON_COMPACT);
    CHECK(out, "what is left can't be written");
    CHECK(known || !strstr(out, SECRET), "a secret gets through");
    free(out);
    json_decref(record);
    json_t *own = json_loadb((const char *)data, length, JSON_DECODE_ANY, NULL);
    if (own)
        redact_json(own);
    json_decref(own);
    bytes_done(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
    struct bytes text, out;
    bytes_init(&text, 0);
    bytes_init(&out, 0);
    redact_all((const char *)data, length, &out);
    bytes_clear(&out);
    /* A line of its own with a secret, whatever stands above it. */
    bytes_append(&text, data, length);
    bytes_append_text(&text, "\napi_token: " SECRET "\n");
    redact_all((const char *)text.data, text.length, &out);
    if (!memmem(data, length, SECRET, strlen(SECRET)))
        CHECK(!memmem(out.data, out.length, SECRET, strlen(SECRET)), "a secret gets through");
    redact_as_json(data, length, memmem(data, length, SECRET, strlen(SECRET)) != NULL);
    bytes_done(&text);
    bytes_done(&out);
    return 0;
}
