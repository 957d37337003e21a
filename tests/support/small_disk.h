/* A disk of its own that can be filled, for a child process: this machine must allow a mount, as root or in a
 * namespace. */
#pragma once

#include <fcntl.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/mount.h>
#include <unistd.h>

#include "base/check.h"

#define SMALL_DISK_CANNOT 77 /* what the child exits with when it isn't allowed */

/** Mounts 32 MiB of memory over `folder`. Before any thread is started. */
static inline bool small_disk_mount(const char *folder)
{
    if (mount("tmpfs", folder, "tmpfs", 0, "size=32m") == 0)
        return true;
    return unshare(CLONE_NEWUSER | CLONE_NEWNS) == 0 && mount("tmpfs", folder, "tmpfs", 0, "size=32m") == 0;
}

/** Takes all the space that is left, until small_disk_clear(). */
static inline void small_disk_fill(const char *folder)
{
    char path[256];
    static const char zeros[4096];
    snprintf(path, sizeof(path), "%s/filler", folder);
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    CHECK(fd >= 0, "can't fill %s", folder);
    while (write(fd, zeros, sizeof(zeros)) > 0)
        ;
    close(fd);
}

static inline void small_disk_clear(const char *folder)
{
    char path[256];
    snprintf(path, sizeof(path), "%s/filler", folder);
    CHECK(unlink(path) == 0, "can't clear %s", folder);
}
