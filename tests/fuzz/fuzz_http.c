/* What comes in a request line, a Range header or another node's answer is refused with a sentence, or is
 * within its bounds. The first byte chooses which of the three the rest is. */
#include <string.h>

#include "fuzz/fuzz.h"
#include "node/http/outcome.h"
#include "node/http/range.h"
#include "node/http/router.h"

static void check_path(const char *text, struct arena *arena)
{
    const char *parts[PATH_PARTS_MAX];
    uint32_t count = 0;
    struct error error = {0};
    char allow[64];
    const enum error_code code = path_split(text, arena, parts, &count, &error);
    if (code != ERROR_OK) {
        check_error(&error, code);
        return;
    }
    CHECK(count >= 1 && count <= PATH_PARTS_MAX, "%u parts", count);
    for (uint32_t i = 0; i < count; i++)
        CHECK(utf8_valid(parts[i], strlen(parts[i])), "part %u isn't text", i);
    const struct route *route = route_find("GET", parts, count, allow, sizeof(allow));
    if (route == NULL)
        return;
    (void)route_takes(route, parts[0]);
    for (uint32_t i = 0; i < count; i++)
        CHECK(parts[i][0] != '\0', "%s was found by an empty part", route->path);
}

static void check_range(const char *text)
{
    static const uint64_t sizes[] = {0, 1, 10, UINT64_MAX};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct range range;
        bool partial;
        if (!range_read(text, sizes[i], &range, &partial))
            continue;
        CHECK(range.first <= range.last, "%llu - %llu", (unsigned long long)range.first,
              (unsigned long long)range.last);
        CHECK(sizes[i] == 0 ? !partial && range.last == 0 : range.last < sizes[i], "past the end");
    }
}

static void check_outcome(struct span packed, struct arena *arena)
{
    struct outcome outcome, back;
    struct error error = {0};
    struct bytes again;
    const enum error_code code = outcome_decode(packed, arena, &outcome, &error);
    if (code != ERROR_OK) {
        check_error(&error, code);
        return;
    }
    bytes_init(&again, 0);
    outcome_encode(&outcome, &again);
    CHECK(outcome_decode(bytes_span(&again), arena, &back, &error) == ERROR_OK, "%s", error.message);
    CHECK(back.index == outcome.index && span_equal(back.body, outcome.body),
          "an outcome changes on its way");
    bytes_done(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
    struct arena arena;
    if (length < 1 || length > 65536)
        return 0;
    arena_init(&arena, 4u * 1024u * 1024u);
    char *text = arena_text(&arena, (const char *)data + 1, length - 1);
    if (data[0] == '/')
        check_path(text, &arena);
    else if (data[0] == '-')
        check_range(text);
    else
        check_outcome(span_of(data + 1, length - 1), &arena);
    arena_done(&arena);
    return 0;
}
