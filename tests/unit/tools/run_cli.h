/* Runs one command line in this process, with a home folder of its own, and keeps what it printed. */
#pragma once

#include <ftw.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools/autonomy/cli.h"

struct ran {
    int exit;
    char *out, *err;
};

struct home {
    char path[64];
};

/* A clean environment: no AUTONOMY_* of whoever runs the tests, and a home that goes away. */
static inline struct home home_make(void)
{
    static const char *const names[] = {"AUTONOMY_ORCHESTRATOR_URL", "AUTONOMY_ORCHESTRATOR_FALLBACK_URLS",
                                        "AUTONOMY_OPERATOR",         "AUTONOMY_ASSUME_YES",
                                        "AUTONOMY_AUDIT_DIR",        "AUTONOMY_CONFIG_FILE",
                                        "XDG_CONFIG_HOME",           "XDG_CACHE_HOME"};
    struct home home = {.path = "/tmp/autonomy-cli-XXXXXX"};
    if (!mkdtemp(home.path))
        abort();
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        unsetenv(names[i]);
    setenv("HOME", home.path, 1);
    return home;
}

static inline int home_remove_one(const char *path, const struct stat *about, int type, struct FTW *where)
{
    (void)about, (void)type, (void)where;
    return remove(path);
}

static inline void home_remove(const struct home *home)
{
    nftw(home->path, home_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static inline struct ran run_arguments(int count, char **arguments)
{
    struct ran ran = {0};
    size_t out_bytes = 0, err_bytes = 0;
    FILE *out = open_memstream(&ran.out, &out_bytes), *err = open_memstream(&ran.err, &err_bytes);
    if (!out || !err)
        abort();
    ran.exit = cli_run(count, arguments, out, err);
    fclose(out);
    fclose(err);
    /* Whatever goes wrong, the last thing that is read says what to do. */
    if (ran.exit != CLI_DONE && strncmp(ran.err, "next: ", 6) != 0 && !strstr(ran.err, "\nnext: ")) {
        fprintf(stderr, "exit %d without a next step:\n%s\n", ran.exit, ran.err);
        abort();
    }
    return ran;
}

/* run("ha", "status", NULL) */
__attribute__((sentinel)) static inline struct ran run(const char *first, ...)
{
    char *arguments[64] = {(char *)"autonomy", (char *)first};
    int count = 2;
    va_list list;
    va_start(list, first);
    while (count < 64 && (arguments[count] = va_arg(list, char *)))
        count++;
    va_end(list);
    return run_arguments(count, arguments);
}

static inline void ran_done(struct ran *ran)
{
    free(ran->out);
    free(ran->err);
    *ran = (struct ran){0};
}

static inline void write_text(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    if (!file || fputs(text, file) == EOF || fclose(file) != 0)
        abort();
}
