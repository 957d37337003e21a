#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/bytes.h"
#include "base/error.h"

/* Goal: a failing function can end with one call that fills the error and gives the code.
 * Method: set, then look at code and message. */
static void set_fills_code_and_message(void **state)
{
    (void)state;
    struct error error = {0};
    assert_int_equal(error_set(&error, ERROR_CONFLICT, "plan \"%s\" is %s", "p-7", "halted"), ERROR_CONFLICT);
    assert_int_equal(error.code, ERROR_CONFLICT);
    assert_string_equal(error.message, "plan \"p-7\" is halted");
    assert_int_equal(error_set(NULL, ERROR_BUSY, "nobody listens"), ERROR_BUSY);
}

/* Goal: a message is never empty, whatever the caller wrote.
 * Method: an empty format. */
static void empty_message_becomes_the_codes_name(void **state)
{
    (void)state;
    struct error error = {0};
    const char *nothing = "";
    error_set(&error, ERROR_LOCKED, "%s", nothing);
    assert_string_equal(error.message, "locked");
}

/* Goal: a long message is cut between characters, so that it stays UTF-8.
 * Method: four-byte characters, at each of four offsets against the end of the room. */
static void long_message_is_cut_between_characters(void **state)
{
    (void)state;
    char text[800];
    for (size_t offset = 0; offset < 4; offset++) {
        struct error error = {0};
        memset(text, 'x', offset);
        for (size_t at = offset; at + 4 < sizeof(text); at += 4)
            memcpy(text + at, "\xF0\x9F\x90\x9D", 5);
        error_set(&error, ERROR_IO, "%s", text);
        size_t length = strlen(error.message);
        assert_true(utf8_valid(error.message, length));
        assert_in_range(length, ERROR_MESSAGE_BYTES - 4, ERROR_MESSAGE_BYTES - 1);
        assert_memory_equal(error.message, text, length);
    }
}

/* Goal: a message is UTF-8 whatever a format cut short or a file was called.
 * Method: a precision that ends inside a character; bytes that never were one. */
static void message_is_text_whatever_went_into_it(void **state)
{
    (void)state;
    struct error error = {0};
    error_set(&error, ERROR_CONFLICT, "it is %.3s, not ours", "ab\xC3\xA9");
    assert_string_equal(error.message, "it is ab?, not ours");
    error_set(&error, ERROR_IO, "%s \xC3\xA9", "a\xFF\xC3-\xF0\x9F");
    assert_string_equal(error.message, "a?\?-?\? \xC3\xA9");
}

/* Goal: callers add where, without losing what.
 * Method: prefix twice; also on a message that fills its room. */
static void prefix_goes_before_what_is_there(void **state)
{
    (void)state;
    struct error error = {0};
    error_set(&error, ERROR_CORRUPT, "bad checksum");
    assert_int_equal(error_prefix(&error, "entry %d", 7), ERROR_CORRUPT);
    assert_int_equal(error_prefix(&error, "log"), ERROR_CORRUPT);
    assert_string_equal(error.message, "log: entry 7: bad checksum");

    char text[ERROR_MESSAGE_BYTES];
    memset(text, 'y', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    error_set(&error, ERROR_IO, "%s", text);
    error_prefix(&error, "start");
    assert_memory_equal(error.message, "start: yyy", 10);
    assert_int_equal(strlen(error.message), ERROR_MESSAGE_BYTES - 1);
}

/* Goal: every code has a name of its own, since programs and logs use it.
 * Method: all pairs. */
static void names_are_distinct(void **state)
{
    (void)state;
    for (int a = 0; a < ERROR_COUNT; a++) {
        assert_non_null(error_name((enum error_code)a));
        for (int b = a + 1; b < ERROR_COUNT; b++)
            assert_string_not_equal(error_name((enum error_code)a), error_name((enum error_code)b));
    }
    assert_string_equal(error_name(ERROR_NOT_LEADER), "not_leader");
    assert_string_equal(error_name(ERROR_COUNT), "invalid_code");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(set_fills_code_and_message),
        cmocka_unit_test(empty_message_becomes_the_codes_name),
        cmocka_unit_test(long_message_is_cut_between_characters),
        cmocka_unit_test(message_is_text_whatever_went_into_it),
        cmocka_unit_test(prefix_goes_before_what_is_there),
        cmocka_unit_test(names_are_distinct),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
