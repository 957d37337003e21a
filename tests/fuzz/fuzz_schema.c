/* Whatever comes as a stored record is refused, or is within its bounds: it packs, shows and reads back as
 * one. */
#include <jansson.h>
#include <string.h>

#include "base/schema.h"
#include "fuzz/fuzz.h"
#include "support/sample_schema.h"

static void check_again(const struct sample *sample, const struct bytes *packed, struct arena *arena)
{
    struct sample back;
    struct error error = {0};
    struct bytes again;
    bytes_init(&again, 0);
    CHECK(schema_unpack(&sample_schema, bytes_span(packed), arena, &back, &error) == ERROR_OK, "%s",
          error.message);
    schema_pack(&sample_schema, &back, &again);
    CHECK(span_equal(bytes_span(packed), bytes_span(&again)), "a record has two encodings");

    struct sample shown = *sample;
    shown.secret = 0;
    json_t *json = schema_to_json(&sample_schema, &shown);
    const enum error_code code = schema_from_json(&sample_schema, json, arena, &back, &error);
    CHECK(code == ERROR_OK, "%s", error.message);
    json_decref(json);
    bytes_done(&again);
}

/* The same bytes as a free value, and as a result's body. */
static void check_value(struct span packed, struct arena *arena)
{
    json_t *json = NULL;
    struct error error = {0};
    const char *text;
    uint64_t number;
    struct bytes again;
    bytes_init(&again, 0);
    const enum error_code code = value_to_json(packed, &json, &error);
    if (code != ERROR_OK) {
        check_error(&error, code);
    } else {
        CHECK(value_from_json(json, &again, &error) == ERROR_OK, "%s", error.message);
        json_decref(json);
    }
    (void)value_get_text(packed, "a", arena, &text);
    (void)value_get_u64(packed, "a", &number);
    (void)schema_peek_u64(packed, 3, &number);
    bytes_done(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
    struct arena arena;
    struct error error = {0};
    struct sample sample;
    struct bytes packed;
    if (length > 65536)
        return 0;
    arena_init(&arena, 1024u * 1024u);
    bytes_init(&packed, 0);
    const enum error_code code =
        schema_unpack(&sample_schema, span_of(data, length), &arena, &sample, &error);
    if (code != ERROR_OK) {
        check_error(&error, code);
    } else {
        schema_pack(&sample_schema, &sample, &packed);
        check_again(&sample, &packed, &arena);
    }
    check_value(span_of(data, length), &arena);
    bytes_done(&packed);
    arena_done(&arena);
    return 0;
}
