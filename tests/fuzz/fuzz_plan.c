/* A plan file is refused with a sentence, or becomes JSON that, written as YAML again, reads back as the
 * same. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz/fuzz.h"
#include "tools/autonomy/yaml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
    struct error error = {0};
    json_t *json = NULL, *back = NULL;
    char *text = NULL;
    const enum error_code code = yaml_to_json("plan.yaml", (const char *)data, length, &json, &error);
    if (code != ERROR_OK) {
        check_error(&error, code);
        return 0;
    }
    CHECK(yaml_from_json(json, &text, &error) == ERROR_OK, "%s", error.message);
    /* What is written may be longer than what was read, so only the bound on size may refuse it. */
    const enum error_code again = yaml_to_json("plan.yaml", text, strlen(text), &back, &error);
    CHECK(again == ERROR_OK || again == ERROR_TOO_BIG, "%s", error.message);
    CHECK(again != ERROR_OK || json_equal(json, back), "a plan changes on its way:\n%s", text);
    json_decref(back);
    json_decref(json);
    free(text);
    return 0;
}
