/* The reference page and shell completion come from the command table, and agree with it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "unit/tools/run_cli.h"

static int set_up(void **state)
{
    struct home *home = malloc(sizeof *home);
    *home = home_make();
    *state = home;
    return 0;
}

static int tear_down(void **state)
{
    home_remove(*state);
    free(*state);
    return 0;
}

/* A whole file; freed by the caller. */
static char *read_text(const char *path)
{
    FILE *file = fopen(path, "r");
    if (!file)
        fail_msg("%s can't be read", path);
    char *text = calloc(1, 1u << 20);
    assert_true(fread(text, 1, (1u << 20) - 1, file) > 0);
    fclose(file);
    return text;
}

/* Goal: docs/reference/cli.md is what the program prints; it can't drift from the program.
 * Method: byte by byte; the message says how to write it anew. */
static void reference_page_is_what_the_program_prints(void **state)
{
    static const char here[] = "tests/unit/tools/test_reference.c";
    char path[4096];
    (void)state;
    snprintf(path, sizeof path, "%.*sdocs/reference/cli.md", (int)(strlen(__FILE__) - strlen(here)),
             __FILE__);
    char *text = read_text(path);
    struct ran ran = run("--help-markdown", NULL);
    assert_int_equal(ran.exit, CLI_DONE);
    bool same = strcmp(text, ran.out) == 0;
    free(text);
    ran_done(&ran);
    if (!same)
        fail_msg("write it anew: autonomy --help-markdown > docs/reference/cli.md");
}

static void page_holds(const char *folder, const char *name, const char *wanted)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s.1", folder, name);
    char *text = read_text(path);
    if (!strstr(text, wanted))
        fail_msg("%s lacks %s", path, wanted);
    assert_null(strstr(text, "--")); /* roff would make typographic ones of them */
    free(text);
}

/* ".B kill\-switch list" and line breaks around it. */
static const char *roff_row(const char *path, char *out, size_t out_bytes)
{
    size_t length = (size_t)snprintf(out, out_bytes, "\n.B ");
    for (; *path && length + 4 < out_bytes; path++)
        length += (size_t)sprintf(out + length, *path == '-' ? "\\%c" : "%c", *path);
    strcpy(out + length, "\n");
    return out;
}

/* Goal: the manual pages have every command, and are roff that a formatter takes without complaint.
 * Method: each command is looked for in its word's page and in the list of all; where there is a formatter,
 * it formats them. */
static void manual_pages_are_roff(void **state)
{
    const struct home *home = *state;
    char name[128], wanted[512];
    struct ran ran = run("--help-man", home->path, NULL);
    assert_int_equal(ran.exit, CLI_DONE);
    ran_done(&ran);
    for (uint32_t i = 0; i < command_count; i++) {
        const char *path = command_table[i].path;
        snprintf(name, sizeof name, "autonomy-%.*s", (int)strcspn(path, " "), path);
        snprintf(wanted, sizeof wanted, "\n.SS %s\n", path);
        page_holds(home->path, name, wanted);
        page_holds(home->path, "autonomy", roff_row(path, wanted, sizeof wanted));
    }
    snprintf(wanted, sizeof wanted,
             "! command -v groff >/dev/null || test -z \"$(groff -man -Tutf8 -ww -z %s/*.1 2>&1)\"",
             home->path);
    assert_int_equal(system(wanted), 0);
    ran = run("--help-man", "/nowhere", NULL);
    assert_int_equal(ran.exit, CLI_FAILED);
    assert_non_null(strstr(ran.err, "/nowhere/autonomy.1: "));
    ran_done(&ran);
}

/* Goal: there is a script for each shell, which reads it without complaint.
 * Method: the shell itself, where it is installed. */
static void shells_read_their_script(void **state)
{
    static const char *const shells[] = {"bash", "zsh", "fish"};
    const struct home *home = *state;
    for (size_t i = 0; i < 3; i++) {
        struct ran ran = run("completion", shells[i], NULL);
        char path[128], command[512];
        assert_int_equal(ran.exit, CLI_DONE);
        assert_non_null(strstr(ran.out, " --complete "));
        snprintf(path, sizeof path, "%s/completion", home->path);
        write_text(path, ran.out);
        snprintf(command, sizeof command, "! command -v %s >/dev/null || %s -n %s", shells[i], shells[i],
                 path);
        assert_int_equal(system(command), 0);
        ran_done(&ran);
    }
}

/* Goal: the version is told.
 * Method: both spellings. */
static void version_is_told(void **state)
{
    (void)state;
    struct ran word = run("version", NULL), flag = run("--version", NULL),
               json = run("version", "--output=json", NULL);
    assert_int_equal(word.exit, CLI_DONE);
    assert_int_equal(strncmp(word.out, "autonomy ", 9), 0);
    assert_string_equal(word.out, flag.out);
    assert_non_null(strstr(json.out, "\"version\""));
    ran_done(&word);
    ran_done(&flag);
    ran_done(&json);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(reference_page_is_what_the_program_prints, set_up, tear_down),
        cmocka_unit_test_setup_teardown(manual_pages_are_roff, set_up, tear_down),
        cmocka_unit_test_setup_teardown(shells_read_their_script, set_up, tear_down),
        cmocka_unit_test_setup_teardown(version_is_told, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
