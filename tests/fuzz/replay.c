/* Gives a target every file of the folders it is called with: the stored corpus is part of the ordinary
 * tests. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "fuzz/fuzz.h"

#define PATH_BYTES 4096

static int replay_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    struct stat stat_buffer;
    if (file == NULL || fstat(fileno(file), &stat_buffer) != 0) {
        fprintf(stderr, "can't read %s\n", path);
        if (file != NULL)
            fclose(file);
        return 1;
    }
    const size_t length = (size_t)stat_buffer.st_size;
    uint8_t *data = memory_new(length + (length == 0)); /* of the exact size: ASan sees an over-read */
    const size_t read = fread(data, 1, length, file);
    fclose(file);
    if (read == length)
        LLVMFuzzerTestOneInput(data, length);
    free(data);
    return read != length;
}

static int replay_folder(const char *folder, unsigned *count)
{
    DIR *dir = opendir(folder);
    const struct dirent *entry;
    int failed = 0;
    if (dir == NULL) {
        fprintf(stderr, "can't open %s\n", folder);
        return 1;
    }
    while ((entry = readdir(dir)) != NULL) {
        char path[PATH_BYTES];
        if (entry->d_name[0] == '.')
            continue;
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        failed |= replay_file(path);
        ++*count;
    }
    closedir(dir);
    return failed;
}

int main(int argc, char **argv)
{
    unsigned count = 0;
    int failed = 0;
    for (int i = 1; i < argc; i++)
        failed |= replay_folder(argv[i], &count);
    printf("%u inputs replayed\n", count);
    return failed != 0 || count == 0;
}
