#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <stdlib.h>

#include "base/check.h"

/* Goal: a broken invariant stops the process and says where and with what values, in every build.
 * Method: a child breaks one; the parent reads its stderr and its end. */
static void broken_check_stops_with_its_values(void **state)
{
    (void)state;
    int pipe_ends[2], status;
    char text[512] = {0};
    assert_int_equal(pipe(pipe_ends), 0);
    pid_t child = fork();
    if (child == 0) {
        unsigned count = 3, capacity = 2;
        dup2(pipe_ends[1], STDERR_FILENO);
        CHECK(count <= capacity, "count %u of %u", count, capacity);
        _exit(0);
    }
    close(pipe_ends[1]);
    assert_true(read(pipe_ends[0], text, sizeof(text) - 1) > 0);
    close(pipe_ends[0]);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGABRT);
    assert_non_null(strstr(text, "test_check.c:"));
    assert_non_null(strstr(text, "check failed: count <= capacity: count 3 of 2"));
}

/* Goal: the allocating helpers give what they say.
 * Method: zero sizes included. */
static void memory_is_never_null(void **state)
{
    (void)state;
    char *memory = memory_new(0);
    assert_non_null(memory);
    memory = memory_resize(memory, 10);
    free(memory);
    unsigned *zeroed = memory_zero(100, sizeof(*zeroed));
    for (size_t i = 0; i < 100; i++)
        assert_int_equal(zeroed[i], 0);
    free(zeroed);
    char *copy = text_copy("p-7");
    assert_string_equal(copy, "p-7");
    free(copy);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(broken_check_stops_with_its_values),
        cmocka_unit_test(memory_is_never_null),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
