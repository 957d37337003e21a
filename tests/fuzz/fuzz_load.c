/* The load generator's reading of HTTP answers: the verdict doesn't depend on how the bytes arrive, and
 * nothing is read past its bound. */
#include "fuzz/fuzz.h"
#include "tools/load/response.h"

static enum response_verdict feed_pieces(struct response *response, const char *data, size_t length,
                                         size_t piece)
{
    enum response_verdict verdict = RESPONSE_MORE;
    for (size_t at = 0; at < length; at += piece) {
        verdict = response_feed(response, data + at, length - at < piece ? length - at : piece);
        if (verdict == RESPONSE_BAD)
            break;
    }
    return verdict;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
    static struct response whole, pieces;
    if (length < 2)
        return 0;
    const size_t piece = 1 + data[0] % 7;
    const char *text = (const char *)data + 1;
    response_init(&whole);
    response_init(&pieces);
    const enum response_verdict verdict = response_feed(&whole, text, length - 1);
    CHECK(feed_pieces(&pieces, text, length - 1, piece) == verdict, "%zu bytes at a time end otherwise",
          piece);
    if (verdict == RESPONSE_BAD) {
        CHECK(whole.why != NULL && pieces.why != NULL, "bad without a reason");
        return 0;
    }
    CHECK(whole.body_bytes == pieces.body_bytes && whole.status == pieces.status, "another answer");
    CHECK(verdict != RESPONSE_DONE || (whole.status >= 200 && whole.status <= 599), "%u", whole.status);
    return 0;
}
