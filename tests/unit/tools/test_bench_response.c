#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "tools/load/response.h"

#define OK "HTTP/1.1 200 OK\r\n"

static struct response response; /* too large for the stack of a sanitizer's liking */

static enum response_verdict whole(const char *text)
{
    response_init(&response);
    return response_feed(&response, text, strlen(text));
}

/* In pieces of `step`; only the last may be more than RESPONSE_MORE. A copy of each piece on the heap lets a
 * sanitizer see reads past it. */
static enum response_verdict pieces(const char *text, size_t step)
{
    enum response_verdict verdict = RESPONSE_MORE;
    response_init(&response);
    for (size_t at = 0, length = strlen(text); at < length; at += step) {
        assert_int_equal(verdict, RESPONSE_MORE);
        size_t part = length - at < step ? length - at : step;
        char *piece = malloc(part);
        assert_non_null(piece);
        memcpy(piece, text + at, part);
        verdict = response_feed(&response, piece, part);
        free(piece);
    }
    return verdict;
}

/* Goal: every form of response that our servers and etcd give is read to its end, however it is cut.
 * Method: each whole and in pieces of every size; status and bytes of the body are counted. */
static void complete_responses_are_read_however_cut(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint32_t status;
        uint64_t body_bytes;
        bool keep_alive;
    } rows[] = {
        {OK "Content-Length: 5\r\n\r\nhello", 200, 5, true},
        {OK "content-length:0\r\n\r\n", 200, 0, true},
        {OK "Content-Length:\t 2 \r\nDate: Mon: x\r\nEmpty:\r\n\r\n{}", 200, 2, true},
        {OK "Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}", 200, 2, true},
        {"HTTP/1.1 204 No Content\r\n\r\n", 204, 0, true},
        {"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx", 503, 1,
         false},
        {"HTTP/1.1 599\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n", 599, 0, true},
        {OK "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nA;x=y\r\n0123456789\r\n0\r\n\r\n", 200, 13, true},
        {OK "Transfer-Encoding: Chunked\r\n\r\n0\r\nTrailer: x\r\n\r\n", 200, 0, true},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        for (size_t step = 1; step <= strlen(rows[i].text); step++) {
            assert_int_equal(pieces(rows[i].text, step), RESPONSE_DONE);
            assert_int_equal(response.status, rows[i].status);
            assert_int_equal(response.body_bytes, rows[i].body_bytes);
            assert_int_equal(response.keep_alive, rows[i].keep_alive);
        }
    }
}

/* Goal: what is not a response in the strict form is refused, with the reason, and stays refused.
 * Method: one flaw each; afterwards a good response into the same reader. */
static void flaws_are_refused(void **state)
{
    (void)state;
    static const char *const rows[] = {
        "HTTP/1.0 200 OK\r\n",
        "HTTP/2 200\r\n",
        "http/1.1 200 OK\r\n",
        "HTTP/1.1 20 OK\r\n",
        "HTTP/1.1 2000 OK\r\n",
        "HTTP/1.1 100 Continue\r\n",
        "HTTP/1.1 600 Much\r\n",
        "\r\n",
        "HTTP/1.1 200 OK\n",
        OK "Content-Length: 1\n",
        OK "no colon\r\n",
        OK ": no name\r\n",
        OK "Content-Length : 1\r\n",
        OK " Content-Length: 1\r\n",
        OK "Content-Length: -1\r\n",
        OK "Content-Length: 1x\r\n",
        OK "Content-Length:\r\n",
        OK "Content-Length: 99999999999999999999\r\n",
        OK "Content-Length: 1\r\nContent-Length: 2\r\n",
        OK "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        OK "Transfer-Encoding: gzip, chunked\r\n",
        OK "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        OK "\r\n",
        "HTTP/1.1 204 No Content\r\nContent-Length: 3\r\n\r\n",
        OK "Content-Length: 2\r\n\r\n{}x",
        OK "Content-Length: 0\r\n\r\nHTTP/1.1 200 OK\r\n",
        OK "Transfer-Encoding: chunked\r\n\r\n\r\n",
        OK "Transfer-Encoding: chunked\r\n\r\nxyz\r\n",
        OK "Transfer-Encoding: chunked\r\n\r\nfffffffff\r\n",
        OK "Transfer-Encoding: chunked\r\n\r\n1111111111\r\n",
        OK "Transfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n",
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (whole(rows[i]) != RESPONSE_BAD)
            fail_msg("accepted: %s", rows[i]);
        assert_non_null(response.why);
        assert_int_equal(response_feed(&response, OK, strlen(OK)), RESPONSE_BAD);
    }
}

/* Goal: a response that isn't finished is never taken for one.
 * Method: every true beginning of two responses. */
static void beginnings_are_not_the_end(void **state)
{
    (void)state;
    static const char *const rows[] = {
        OK "Content-Length: 5\r\n\r\nhello",
        OK "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        for (size_t length = 0; length < strlen(rows[i]); length++) {
            response_init(&response);
            assert_int_equal(response_feed(&response, rows[i], length), RESPONSE_MORE);
        }
    }
}

/* Goal: what a server may make us hold is bounded.
 * Method: the longest line and one byte more, without its end; the last header allowed and one more; a NUL.
 */
static void bounds_hold(void **state)
{
    (void)state;
    static char line[RESPONSE_LINE_BYTES_MAX + 2];
    memset(line, 'a', sizeof line);
    response_init(&response);
    assert_int_equal(response_feed(&response, line, RESPONSE_LINE_BYTES_MAX), RESPONSE_MORE);
    assert_int_equal(response_feed(&response, line, 1), RESPONSE_BAD);
    assert_int_equal(whole(OK), RESPONSE_MORE);
    for (uint32_t i = 0; i < RESPONSE_HEADERS_MAX; i++)
        assert_int_equal(response_feed(&response, "a: b\r\n", 6), RESPONSE_MORE);
    assert_int_equal(response_feed(&response, "a: b\r\n", 6), RESPONSE_BAD);
    assert_int_equal(whole(OK), RESPONSE_MORE);
    assert_int_equal(response_feed(&response, "a: \0b\r\n", 7), RESPONSE_BAD);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(complete_responses_are_read_however_cut),
        cmocka_unit_test(flaws_are_refused),
        cmocka_unit_test(beginnings_are_not_the_end),
        cmocka_unit_test(bounds_hold),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
