/* What a terminal shows of a text, and where it is cut. The terminal itself: tests/e2e/test_top.py. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <locale.h>
#include <string.h>

#include "tools/autonomy/screen.h"

static int set_up(void **state)
{
    (void)state;
    return setlocale(LC_CTYPE, "C.UTF-8") == NULL;
}

/* Goal: a width is in columns: two for a wide character, none for a combining one or a colour. */
static void widths_are_columns(void **state)
{
    (void)state;
    assert_int_equal(screen_width(""), 0);
    assert_int_equal(screen_width("n1"), 2);
    assert_int_equal(screen_width("\xc3\xa9"), 1);                 /* e with an accent, one character */
    assert_int_equal(screen_width("e\xcc\x81"), 1);                /* the same as two */
    assert_int_equal(screen_width("\xe6\xbc\xa2\xe5\xad\x97"), 4); /* two wide ones */
    assert_int_equal(screen_width("\033[31mlost\033[0m"), 4);
    assert_int_equal(screen_width("\xff\xfe"), 2); /* no UTF-8: a column each */
}

/* Goal: what is cut never passes the width, keeps characters whole, and lets no control character through. */
static void lines_are_cut_at_the_width(void **state)
{
    static const struct {
        const char *text, *cut;
        uint32_t columns;
    } rows[] = {
        {"abcdef", "abc", 3},
        {"abc", "abc", 3},
        {"ab\ncd", "ab", 3},
        {"\xe6\xbc\xa2\xe5\xad\x97", "\xe6\xbc\xa2", 3}, /* half a wide character doesn't fit */
        {"e\xcc\x81x", "e\xcc\x81", 1},                  /* its accent comes along */
        {"\033[31mlost\033[0m", "\033[31mlo", 2},        /* colours cost nothing; screen_draw() ends them */
        {"a\033[2Jb\x07"
         "c",
         "a?[2Jb?c", 20}, /* other sequences lose their beginning */
        {"abc", "", 0},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct bytes out;
        bytes_init(&out, 0);
        screen_cut(&out, rows[i].text, rows[i].columns);
        bytes_append(&out, "", 1);
        assert_string_equal((const char *)out.data, rows[i].cut);
        bytes_done(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(widths_are_columns),
                                       cmocka_unit_test(lines_are_cut_at_the_width)};
    return cmocka_run_group_tests(tests, set_up, NULL);
}
