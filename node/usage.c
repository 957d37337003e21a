#include "node/usage.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

/* Visits what is in a folder, but for "." and "..". A folder that can't be opened has nothing. */
static void folder_each(const char *folder, void (*visit)(void *context, int parent, const char *name),
                        void *context)
{
    DIR *entries = opendir(folder);
    const struct dirent *entry;
    if (entries == NULL)
        return;
    while ((entry = readdir(entries)) != NULL)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            visit(context, dirfd(entries), entry->d_name);
    closedir(entries);
}

/* What the file takes on the disk, which for a preallocated one is more than it holds. */
static void add_file(void *context, int parent, const char *name)
{
    uint64_t *bytes = context;
    struct stat status;
    if (fstatat(parent, name, &status, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(status.st_mode))
        *bytes += (uint64_t)status.st_blocks * 512;
}

static uint64_t folder_bytes(const char *data_dir, const char *name)
{
    char path[4096];
    uint64_t bytes = 0;
    int length = snprintf(path, sizeof(path), "%s/%s", data_dir, name);
    if (length > 0 && (size_t)length < sizeof(path))
        folder_each(path, add_file, &bytes);
    return bytes;
}

struct stores {
    const char *data_dir;
    uint64_t bytes;
};

/* The current state folder, and those that a state transfer fills or a last reader still holds. */
static void add_store(void *context, int parent, const char *name)
{
    struct stores *stores = context;
    (void)parent;
    if (strncmp(name, "state.", 6) == 0)
        stores->bytes += folder_bytes(stores->data_dir, name);
}

static void count_one(void *context, int parent, const char *name)
{
    uint64_t *count = context;
    (void)parent;
    (void)name;
    (*count)++;
}

static uint64_t resident(void)
{
    uint64_t pages = 0;
    FILE *file = fopen("/proc/self/statm", "re");
    if (file == NULL)
        return 0;
    if (fscanf(file, "%*u %" SCNu64, &pages) != 1)
        pages = 0;
    fclose(file);
    return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

static uint64_t microseconds(const struct timeval *time)
{
    return (uint64_t)time->tv_sec * 1000000 + (uint64_t)time->tv_usec;
}

void usage_read(const char *data_dir, struct usage *out)
{
    struct rlimit limit;
    struct rusage used;
    *out = (struct usage){.resident_bytes = resident()};
    folder_each("/proc/self/fd", count_one, &out->descriptors);
    if (out->descriptors > 0)
        out->descriptors--; /* the one that looked */
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
        out->descriptors_max = limit.rlim_cur;
    if (getrusage(RUSAGE_SELF, &used) == 0)
        out->cpu_us = microseconds(&used.ru_utime) + microseconds(&used.ru_stime);
    if (data_dir == NULL)
        return;
    struct stores stores = {.data_dir = data_dir};
    folder_each(data_dir, add_store, &stores);
    out->store_bytes = stores.bytes;
    out->log_bytes = folder_bytes(data_dir, "log");
    out->mirror_bytes = folder_bytes(data_dir, "audit");
}
