/* Gives a target every file of the folders it is called with, and then mutations of them: the stored corpus
 * is part of the ordinary tests.
 *
 *   fuzz_NAME [--mutate MS] [--seed N] [--reached FILE] FOLDER...
 *
 * --mutate: so many milliseconds of mutations, from one seed: the same inputs in the same order, as far as
 * the time goes. An input that fails is written to crash-NAME in the current folder. */
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "fuzz/fuzz.h"

#define PATH_BYTES   4096
#define INPUTS_MAX   4096u
#define MUTANT_BYTES 4096u /* what a mutation of a shorter input grows to */

struct input {
    uint8_t *data;
    size_t length;
};

static struct input inputs[INPUTS_MAX];
static unsigned input_count;
static const uint8_t *current; /* what the target looks at */
static size_t current_length;
static char crash_path[256];

/* --- what failed --- */

/* Called in a dying process: open and write only. */
static void keep_input(void)
{
    static const char said[] = "the input that failed is in the current folder: ";
    const uint8_t *data = current;
    current = NULL;
    if (data == NULL)
        return;
    int file = open(crash_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    ssize_t done = file >= 0 ? write(file, data, current_length) : -1;
    if (done == (ssize_t)current_length) {
        done = write(STDERR_FILENO, said, sizeof said - 1);
        done = write(STDERR_FILENO, crash_path, strlen(crash_path));
        done = write(STDERR_FILENO, "\n", 1);
    }
}

static void on_abort(int signal_number)
{
    keep_input();
    signal(signal_number, SIG_DFL);
    raise(signal_number);
}

void __sanitizer_set_death_callback(void (*callback)(void)) __attribute__((weak));

static void watch(const char *program)
{
    const char *slash = strrchr(program, '/');
    snprintf(crash_path, sizeof crash_path, "crash-%s", slash ? slash + 1 : program);
    signal(SIGABRT, on_abort);
    if (__sanitizer_set_death_callback)
        __sanitizer_set_death_callback(keep_input);
}

static void give(const uint8_t *data, size_t length)
{
    current_length = length;
    current = data;
    LLVMFuzzerTestOneInput(data, length);
    current = NULL;
}

/* --- the corpus --- */

static int read_file(const char *path)
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
    CHECK(input_count < INPUTS_MAX, "more than %u inputs", INPUTS_MAX);
    inputs[input_count++] = (struct input){data, length};
    return read != length;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* In the order of names, so that every machine makes the same mutations. */
static int read_folder(const char *folder)
{
    DIR *dir = opendir(folder);
    const struct dirent *entry;
    char *names[INPUTS_MAX];
    unsigned count = 0;
    int failed = 0;
    if (dir == NULL) {
        fprintf(stderr, "can't open %s\n", folder);
        return 1;
    }
    while ((entry = readdir(dir)) != NULL && count < INPUTS_MAX)
        if (entry->d_name[0] != '.')
            names[count++] = text_copy(entry->d_name);
    closedir(dir);
    qsort(names, count, sizeof names[0], by_name);
    for (unsigned i = 0; i < count; i++) {
        char path[PATH_BYTES];
        snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        failed |= read_file(path);
        free(names[i]);
    }
    return failed;
}

/* --- mutations --- */

static uint64_t random_state;

static uint64_t next_random(void)
{
    uint64_t z = (random_state += 0x9e3779b97f4a7c15ull); /* splitmix64 */
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
}

static size_t below(size_t limit)
{
    return limit == 0 ? 0 : (size_t)(next_random() % limit);
}

/* Puts `length` bytes at `at`, and moves the rest behind them. */
static void insert(struct input *self, size_t at, const uint8_t *data, size_t length)
{
    if (length > MUTANT_BYTES - self->length)
        length = MUTANT_BYTES - self->length;
    memmove(self->data + at + length, self->data + at, self->length - at);
    memmove(self->data + at, data, length);
    self->length += length;
}

static void cut(struct input *self, size_t at, size_t length)
{
    memmove(self->data + at, self->data + at + length, self->length - at - length);
    self->length -= length;
}

static void mutate_once(struct input *self)
{
    static const uint8_t telling[] = {0x00, 0x01, 0x7f, 0x80, 0xff, '0', '9', '-', '%', '"', '\\', '\n', '{'};
    const struct input *other = &inputs[below(input_count)];
    const size_t at = below(self->length);
    uint8_t piece[64];
    switch (below(8)) {
    case 0:
        self->data[at] ^= (uint8_t)(1u << below(8));
        break;
    case 1:
        self->data[at] = (uint8_t)next_random();
        break;
    case 2:
        self->data[at] = telling[below(sizeof telling)];
        break;
    case 3:
        insert(self, at, &telling[below(sizeof telling)], 1);
        break;
    case 4:
        cut(self, at, below(self->length - at < 16 ? self->length - at : 16));
        break;
    case 5: { /* said twice */
        size_t length = 1 + below(self->length - at < sizeof piece ? self->length - at : sizeof piece);
        length = length > self->length - at ? self->length - at : length;
        memcpy(piece, self->data + at, length);
        insert(self, below(self->length), piece, length);
        break;
    }
    case 6: { /* a piece of another one */
        const size_t from = below(other->length);
        const size_t length = below(other->length - from < 64 ? other->length - from : 64);
        insert(self, at, other->data + from, length);
        break;
    }
    default:
        if (below(4) == 0)
            self->length = at;
        else
            self->data[at] = (uint8_t)(self->data[at] + (below(2) ? 1 : 255));
    }
}

/* @return how many inputs were tried */
static uint64_t mutate_all(uint64_t duration_ms)
{
    const uint64_t end_us = clock_monotonic_us() + duration_ms * 1000;
    uint8_t room[MUTANT_BYTES];
    uint64_t tried = 0;
    while (duration_ms > 0 && clock_monotonic_us() < end_us) {
        const struct input *from = &inputs[below(input_count)];
        struct input mutant = {room, from->length < MUTANT_BYTES ? from->length : MUTANT_BYTES};
        memcpy(room, from->data, mutant.length);
        for (size_t times = 1 + below(4); times > 0 && mutant.length > 0; times--)
            mutate_once(&mutant);
        uint8_t *exact = memory_new(mutant.length + (mutant.length == 0));
        memcpy(exact, room, mutant.length);
        give(exact, mutant.length);
        free(exact);
        tried++;
    }
    return tried;
}

int main(int argc, char **argv)
{
    uint64_t mutate_ms = 0;
    int failed = 0;
    watch(argv[0]);
    for (int i = 1; i < argc; i++) {
        const bool value = i + 1 < argc;
        if (value && strcmp(argv[i], "--mutate") == 0)
            failed |= !parse_u64(argv[++i], UINT32_MAX, &mutate_ms);
        else if (value && strcmp(argv[i], "--seed") == 0)
            failed |= !parse_u64(argv[++i], UINT64_MAX, &random_state);
        else if (value && strcmp(argv[i], "--reached") == 0)
            setenv("AUTONOMY_FUZZ_REACHED", argv[++i], 1);
        else
            failed |= read_folder(argv[i]);
    }
    const char *reached = getenv("AUTONOMY_FUZZ_REACHED");
    if (reached)
        (void)unlink(reached);
    for (unsigned i = 0; i < input_count; i++)
        give(inputs[i].data, inputs[i].length);
    fuzz_reached_write();
    const uint64_t tried = failed || input_count == 0 ? 0 : mutate_all(mutate_ms);
    printf("%u inputs replayed, %llu mutations tried\n", input_count, (unsigned long long)tried);
    for (unsigned i = 0; i < input_count; i++)
        free(inputs[i].data);
    return failed != 0 || input_count == 0;
}
