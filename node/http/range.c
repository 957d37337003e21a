#include "node/http/range.h"

#include <stdio.h>
#include <string.h>

#include "base/bytes.h"

bool range_read(const char *text, uint64_t file_bytes, struct range *out, bool *partial)
{
    char first[24], last[24];
    uint64_t from = 0, to = 0;
    *out = (struct range){0, file_bytes > 0 ? file_bytes - 1 : 0};
    *partial = false;
    if (text == NULL || strncmp(text, "bytes=", 6) != 0)
        return true;
    text += 6;
    const char *dash = strchr(text, '-');
    if (dash == NULL || (size_t)(dash - text) >= sizeof(first) || strlen(dash + 1) >= sizeof(last))
        return true;
    snprintf(first, sizeof(first), "%.*s", (int)(dash - text), text);
    snprintf(last, sizeof(last), "%s", dash + 1);
    bool has_first = parse_u64(first, UINT64_MAX, &from), has_last = parse_u64(last, UINT64_MAX, &to);
    if ((!has_first && first[0] != '\0') || (!has_last && last[0] != '\0') || (!has_first && !has_last))
        return true;
    if (has_first && has_last && to < from)
        return true;
    *partial = true;
    if (!has_first) {
        from = to < file_bytes ? file_bytes - to : 0;
        to = to == 0 ? 0 : UINT64_MAX;
    } else if (!has_last) {
        to = UINT64_MAX;
    }
    if (from >= file_bytes || to < from)
        return false;
    *out = (struct range){from, to < file_bytes ? to : file_bytes - 1};
    return true;
}
