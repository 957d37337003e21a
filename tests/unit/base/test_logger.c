#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/logger.h"

struct capture {
    int reading;
    int stderr_kept;
    char text[65536];
};

static int set_up(void **state)
{
    int ends[2];
    struct capture *capture = calloc(1, sizeof(*capture));
    if (!capture || pipe(ends) != 0)
        return -1;
    capture->stderr_kept = dup(STDERR_FILENO);
    capture->reading = ends[0];
    dup2(ends[1], STDERR_FILENO);
    close(ends[1]);
    *state = capture;
    return 0;
}

static int tear_down(void **state)
{
    struct capture *capture = *state;
    dup2(capture->stderr_kept, STDERR_FILENO);
    close(capture->stderr_kept);
    close(capture->reading);
    free(capture);
    logger_level_set(LOGGER_INFO);
    return 0;
}

/* One line at least was written before: a pipe gives what is there. */
static const char *read_text(struct capture *capture)
{
    ssize_t length = read(capture->reading, capture->text, sizeof(capture->text) - 1);
    capture->text[length > 0 ? length : 0] = '\0';
    return capture->text;
}

/* Goal: a line is time, level, module, event, then the pairs.
 * Method: one event; its time must parse. */
static void line_has_its_parts(void **state)
{
    uint64_t when;
    log_info("consensus", "elected", "term=%d node=%s", 4, "n1");
    const char *line = read_text(*state);
    assert_string_equal(line + 24, " info consensus elected term=4 node=n1\n");
    char time_text[25] = {0};
    memcpy(time_text, line, 24);
    assert_int_equal(time_parse(time_text, &when), 0);
}

/* Goal: levels beyond the chosen one say nothing.
 * Method: one of each level, at two settings. */
static void levels_are_kept(void **state)
{
    log_debug("m", "hidden", "a=%d", 1);
    log_error("m", "shown", "a=%d", 2);
    assert_string_equal(read_text(*state) + 24, " error m shown a=2\n");
    logger_level_set(LOGGER_WARN);
    log_info("m", "hidden", "a=%d", 3);
    log_warn("m", "shown", "a=%d", 4);
    assert_string_equal(read_text(*state) + 24, " warn m shown a=4\n");
}

/* Goal: a long event is cut, never torn into two, and a line break in a value makes no second event.
 * Method: 5,000 bytes; a value with a line break; an event without pairs. */
static void one_event_is_one_line(void **state)
{
    char text[5001];
    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    log_info("m", "long", "v=%s", text);
    const char *line = read_text(*state);
    assert_int_equal(strlen(line), 2047);
    assert_int_equal(line[2046], '\n');
    log_info("m", "broken", "v=%s", "a\nb\rc");
    assert_string_equal(read_text(*state) + 24, " info m broken v=a b c\n");
    log_info("m", "bare", "%s", "");
    assert_string_equal(read_text(*state) + 24, " info m bare\n");
    log_info(text, text, "v=%d", 1);
    assert_int_equal(strlen(read_text(*state)), 2047);
}

/* Goal: a value is quoted when a reader would split it, and only then.
 * Method: plain, empty, blanks, quotes, control characters; an output that is too short. */
static void values_are_quoted_when_needed(void **state)
{
    (void)state;
    char out[64], tiny[6];
    assert_string_equal(logger_quote("p-7", out, sizeof(out)), "p-7");
    assert_string_equal(logger_quote("", out, sizeof(out)), "\"\"");
    assert_string_equal(logger_quote(NULL, out, sizeof(out)), "\"\"");
    assert_string_equal(logger_quote("a b", out, sizeof(out)), "\"a b\"");
    assert_string_equal(logger_quote("a\"\\=\n\t\x01", out, sizeof(out)), "\"a\\\"\\\\=\\n\\t\\x01\"");
    assert_string_equal(logger_quote("abcdefgh i", tiny, sizeof(tiny)), "\"abc\"");
    assert_string_equal(logger_quote("abcdefgh", tiny, sizeof(tiny)), "abcde");
    assert_string_equal(logger_quote("x", tiny, 1), "");
}

/* Goal: a line has its priority in front where the journal listens, and nowhere else.
 * Method: JOURNAL_STREAM names stderr's file, then another one, then none. */
static void journal_gets_priorities(void **state)
{
    struct stat status;
    char named[64];
    assert_int_equal(fstat(STDERR_FILENO, &status), 0);
    snprintf(named, sizeof(named), "%ju:%ju", (uintmax_t)status.st_dev, (uintmax_t)status.st_ino);
    assert_int_equal(setenv("JOURNAL_STREAM", named, 1), 0);
    logger_open();
    log_error("m", "bad", "a=%d", 1);
    const char *line = read_text(*state);
    assert_memory_equal(line, "<3>", 3);
    assert_string_equal(line + 27, " error m bad a=1\n");
    log_info("m", "good", "a=%d", 1);
    assert_memory_equal(read_text(*state), "<6>", 3);
    assert_int_equal(setenv("JOURNAL_STREAM", "1:1", 1), 0);
    logger_open();
    log_warn("m", "plain", "a=%d", 1);
    assert_string_equal(read_text(*state) + 24, " warn m plain a=1\n");
    assert_int_equal(unsetenv("JOURNAL_STREAM"), 0);
    logger_open();
    assert_string_equal(logger_prefix(LOGGER_ERROR), "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(line_has_its_parts, set_up, tear_down),
        cmocka_unit_test_setup_teardown(levels_are_kept, set_up, tear_down),
        cmocka_unit_test_setup_teardown(one_event_is_one_line, set_up, tear_down),
        cmocka_unit_test_setup_teardown(journal_gets_priorities, set_up, tear_down),
        cmocka_unit_test(values_are_quoted_when_needed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
