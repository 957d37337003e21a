/* Whatever comes as a request's body is refused with a sentence, or is a record within its bounds. */
#include <jansson.h>

#include "base/schema.h"
#include "fuzz/fuzz.h"
#include "support/sample_schema.h"

static void check_record(const json_t *json, struct arena *arena)
{
    struct sample sample, back;
    struct error error = {0};
    struct bytes packed;
    const enum error_code code = schema_from_json(&sample_schema, json, arena, &sample, &error);
    if (code != ERROR_OK) {
        check_error(&error, code);
        return;
    }
    bytes_init(&packed, 0);
    schema_pack(&sample_schema, &sample, &packed);
    CHECK(schema_unpack(&sample_schema, bytes_span(&packed), arena, &back, &error) == ERROR_OK, "%s",
          error.message);
    bytes_done(&packed);
}

static void check_value(const json_t *json)
{
    struct error error = {0};
    struct bytes packed;
    json_t *back = NULL;
    bytes_init(&packed, 0);
    const enum error_code code = value_from_json(json, &packed, &error);
    CHECK(code == ERROR_OK, "%s", error.message);
    CHECK(value_to_json(bytes_span(&packed), &back, &error) == ERROR_OK, "%s", error.message);
    CHECK(json_equal(json, back), "a value changes on its way");
    json_decref(back);
    bytes_done(&packed);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
    struct arena arena;
    struct error error = {0};
    json_t *json = NULL;
    if (length > 65536)
        return 0;
    const enum error_code code = json_parse(span_of(data, length), &json, &error);
    if (code != ERROR_OK) {
        check_error(&error, code);
        return 0;
    }
    arena_init(&arena, 4u * 1024u * 1024u);
    check_record(json, &arena);
    check_value(json);
    json_decref(json);
    arena_done(&arena);
    return 0;
}
