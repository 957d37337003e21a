/* Secrets don't leave: by name, in JSON, YAML, logs and headers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "tools/autonomy/redact.h"

#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))

static char *redacted(const char *text)
{
    struct redact_text state = {0};
    struct bytes out;
    bytes_init(&out, 0);
    while (*text) {
        size_t length = strcspn(text, "\n");
        redact_line(&state, text, length, &out);
        text += length + (text[length] ? 1 : 0);
    }
    size_t length = 0;
    return (char *)bytes_take(&out, &length);
}

/* Goal: in text of any usual form the secret goes and the rest stays.
 * Method: lines of YAML, logfmt, JSON and HTTP beside what shall be left. */
static void text_loses_its_secrets_only(void **state)
{
    static const struct {
        const char *text, *left;
    } rows[] = {
        {"name: n1\nlisten: 127.0.0.1:7101\n", "name: n1\nlisten: 127.0.0.1:7101\n"},
        {"password: hunter2 and more # x\nname: n1\n", "password: (redacted)\nname: n1\n"},
        {"  api_token: \"a b\"  # note\n", "  api_token: (redacted)  # note\n"},
        {"# old secret: hunter2\n", "# old secret: (redacted)\n"},
        {"tls: {key: k1, cert: c1}\n", "tls: {key: (redacted), cert: c1}\n"},
        {"tokens:\n  - a\n  - b\nname: n1\n", "tokens: (redacted)\nname: n1\n"},
        {"tokens:\n- a\n- b\nname: n1\n", "tokens: (redacted)\nname: n1\n"},
        {"secret:\n  deep:\n    x: 1\n\n  y: 2\nname: n1\n", "secret: (redacted)\nname: n1\n"},
        {"secret: |\n  line1\n  line2\nname: n1\n", "secret: (redacted) (redacted)\nname: n1\n"},
        {"secrets: [a, [b]]\nx: 1\n", "secrets: (redacted)\nx: 1\n"},
        {"2026-01-02T03:04:05Z info http request path=/v1 token=abc status=200\n",
         "2026-01-02T03:04:05Z info http request path=/v1 token=(redacted) status=200\n"},
        {"level=info password=\"a \\\" b\" user=x\n", "level=info password=(redacted) user=x\n"},
        {"{\"user\":\"x\",\"client_secret\": \"abc\",\"n\":1}\n",
         "{\"user\":\"x\",\"client_secret\":\"(redacted)\",\"n\":1}\n"},
        {"cut {\"user\":\"x\",\"client_secret\": \"abc\",\"n\":1\n",
         "cut {\"user\":\"x\",\"client_secret\": (redacted),\"n\":1\n"},
        {"{\"key\":\"API_TOKEN\",\"value\":\"abc\"}\n{\"resource\":\"API_TOKEN\",\"fields\":{\"value\":"
         "\"abc\"}}\n",
         "{\"key\":\"API_TOKEN\",\"value\":\"(redacted)\"}\n{\"resource\":\"API_TOKEN\",\"fields\":{"
         "\"value\":"
         "\"(redacted)\"}}\n"},
        {"Authorization: Bearer abc.def\n", "Authorization: (redacted)\n"},
        {"sent header with Bearer abc.def to n1\n", "sent header with Bearer (redacted) to n1\n"},
        {"GET http://bob:pw@n1:7101/x?token=abc&y=1\n",
         "GET http://(redacted)@n1:7101/x?token=(redacted)&y=1\n"},
        {"before\n-----BEGIN EC PRIVATE KEY-----\nMHcC\n-----END EC PRIVATE KEY-----\nafter\n",
         "before\n(redacted)\nafter\n"},
        {"Cookie: session=1; theme=dark\n", "Cookie: (redacted)\n"},
        {"bearer: abc\npwd: x y\n", "bearer: (redacted)\npwd: (redacted)\n"},
        {"pushed with ghp_0123456789abcdefABCD to n1\n", "pushed with (redacted) to n1\n"},
        {"got session.eyJhbGciOiJIUzI1NiJ9.eyJzdWIi.c2ln, kept\n", "got session.(redacted), kept\n"},
        {"GET http://n1/x?se=1&sig=abc%2B&sp=r\n", "GET http://n1/x?se=1&sig=(redacted)&sp=r\n"},
        {"sk-1 and eyJ and design=1\n", "sk-1 and eyJ and design=1\n"},
        {"an unkeyed token here\n", "an unkeyed token here\n"},
        {"DISABLE_NEW=1 flag update\n", "DISABLE_NEW=1 flag update\n"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        char *left = redacted(rows[i].text);
        assert_string_equal(left, rows[i].left);
        free(left);
    }
}

/* Goal: in a server's answer secrets go by their member's name, and by the name of the flag that holds them.
 * Method: objects beside what shall be left. */
static void json_loses_its_secrets_only(void **state)
{
    static const struct {
        const char *json, *left;
    } rows[] = {
        {"{\"key\":\"PROMPT_MODE\",\"value\":\"compact\"}",
         "{\"key\":\"PROMPT_MODE\",\"value\":\"compact\"}"},
        {"{\"key\":\"API_TOKEN\",\"value\":\"x\",\"stored\":\"x\",\"default\":\"d\",\"safe\":\"s\","
         "\"version\":3}",
         "{\"key\":\"API_TOKEN\",\"value\":\"(redacted)\",\"stored\":\"(redacted)\",\"default\":\"(redacted)"
         "\","
         "\"safe\":\"(redacted)\",\"version\":3}"},
        {"{\"fields\":{\"API_TOKEN\":\"x\",\"other\":\"y\"}}",
         "{\"fields\":{\"API_TOKEN\":\"(redacted)\",\"other\":\"y\"}}"},
        {"{\"fields\":{\"key\":\"DB_PASSWORD\",\"value\":\"x\"}}",
         "{\"fields\":{\"key\":\"DB_PASSWORD\",\"value\":\"(redacted)\"}}"},
        {"[{\"tls_key_file\":\"/etc/k\"},{\"token\":null,\"has_token\":true}]",
         "[{\"tls_key_file\":\"(redacted)\"},{\"token\":null,\"has_token\":true}]"},
        {"{\"credentials\":{\"a\":1}}", "{\"credentials\":\"(redacted)\"}"},
        {"{\"resource\":\"API_TOKEN\",\"fields\":{\"previous\":\"a\",\"value\":\"b\",\"default\":1,\"safe\":{"
         "\"x\":1},\"type\":\"string\"}}",
         "{\"resource\":\"API_TOKEN\",\"fields\":{\"previous\":\"(redacted)\",\"value\":\"(redacted)\","
         "\"default\":\"(redacted)\",\"safe\":\"(redacted)\",\"type\":\"string\"}}"},
        {"{\"resource\":\"PROMPT_MODE\",\"fields\":{\"value\":\"compact\"}}",
         "{\"resource\":\"PROMPT_MODE\",\"fields\":{\"value\":\"compact\"}}"},
        {"{\"reason\":\"set password=hunter2 for now\"}", "{\"reason\":\"set password=(redacted) for now\"}"},
        {"{\"reason\":\"first\\nsecond token=abc\\nthird\"}",
         "{\"reason\":\"first\\nsecond token=(redacted)\\nthird\"}"},
        {"{\"reason\":\"\",\"two\":\"a\\n\"}", "{\"reason\":\"\",\"two\":\"a\\n\"}"},
        {"[\"a\",\"pwd=b c\",[\"https://bob:pw@h/x\"]]",
         "[\"a\",\"pwd=(redacted) c\",[\"https://(redacted)@h/x\"]]"},
        {"{\"url\":\"https://u:P@h/x?token=T&y=1\"}",
         "{\"url\":\"https://(redacted)@h/x?token=(redacted)&y=1\"}"},
        {"{\"url\":\"https://bob:pw@host/x\"}", "{\"url\":\"https://(redacted)@host/x\"}"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        json_t *json = json_loads(rows[i].json, 0, NULL);
        assert_non_null(json);
        redact_json(json);
        char *left = json_dumps(json, JSON_COMPACT);
        assert_string_equal(left, rows[i].left);
        free(left);
        json_decref(json);
    }
}

/* Goal: no name that holds a secret word escapes, in any case; plain names stay.
 * Method: lists of both. */
static void names_are_known_in_any_case(void **state)
{
    static const char *const secret[] = {
        "password",      "DB_PASSWD",       "sslPassPhrase", "clientSecret",    "X-Auth-Token",
        "Authorization", "aws_credentials", "Set-Cookie",    "privateKey",      "api-key",
        "DB_PWD",        "bearer",          "sig",           "X-Amz-Signature", "jwt"};
    static const char *const plain[] = {"name",  "url",  "reason", "phase", "version",
                                        "actor", "hash", "signal", "design"};
    (void)state;
    for (size_t i = 0; i < COUNT(secret); i++)
        assert_true(redact_name(secret[i], strlen(secret[i])));
    for (size_t i = 0; i < COUNT(plain); i++)
        assert_false(redact_name(plain[i], strlen(plain[i])));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_loses_its_secrets_only),
        cmocka_unit_test(json_loses_its_secrets_only),
        cmocka_unit_test(names_are_known_in_any_case),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
