#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/arena.h"

/* Goal: pieces are zeroed, aligned and apart from each other, across many blocks.
 * Method: a thousand pieces of growing size, each filled with its number and looked at again at the end. */
static void pieces_are_zeroed_aligned_and_apart(void **state)
{
    (void)state;
    struct arena arena;
    unsigned char *pieces[1000];
    arena_init(&arena, 1u << 20);
    for (size_t i = 0; i < 1000; i++) {
        pieces[i] = arena_new(&arena, i);
        assert_int_equal((uintptr_t)pieces[i] % 16, 0);
        for (size_t at = 0; at < i; at++)
            assert_int_equal(pieces[i][at], 0);
        memset(pieces[i], (int)(i & 255), i);
    }
    for (size_t i = 0; i < 1000; i++)
        for (size_t at = 0; at < i; at++)
            assert_int_equal(pieces[i][at], i & 255);
    assert_int_equal(arena.used, 1000 * 999 / 2);
    arena_done(&arena);
}

/* Goal: texts are copies with an end of their own.
 * Method: a piece of a longer text, an empty one, a formatted one. */
static void texts_are_copied(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena, 1000);
    assert_string_equal(arena_text(&arena, "halted", 4), "halt");
    assert_string_equal(arena_text(&arena, NULL, 0), "");
    assert_string_equal(arena_printf(&arena, "%s-%d", "p", 7), "p-7");
    arena_done(&arena);
}

/* Goal: a cleared arena starts at zero again and its memory is zeroed again.
 * Method: fill, clear, ask for the same size: dirty memory would show. */
static void clearing_starts_anew(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena, 100000);
    for (int round = 0; round < 3; round++) {
        unsigned char *piece = arena_new(&arena, 60000);
        for (size_t at = 0; at < 60000; at++)
            assert_int_equal(piece[at], 0);
        memset(piece, 0xAA, 60000);
        arena_new(&arena, 30000);
        arena_clear(&arena);
        assert_int_equal(arena.used, 0);
    }
    arena_done(&arena);
    arena_clear(&arena); /* empty: nothing to keep */
}

/* Goal: the bound is hard: past it the process stops, since callers bound their input first.
 * Method: a child asks for one byte more than is left. */
static void past_the_bound_the_process_stops(void **state)
{
    (void)state;
    int status;
    pid_t child = fork();
    if (child == 0) {
        struct arena arena;
        close(STDERR_FILENO);
        arena_init(&arena, 100);
        arena_new(&arena, 60);
        arena_new(&arena, 40);
        arena_new(&arena, 1);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGABRT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pieces_are_zeroed_aligned_and_apart),
        cmocka_unit_test(texts_are_copied),
        cmocka_unit_test(clearing_starts_anew),
        cmocka_unit_test(past_the_bound_the_process_stops),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
