/* What every fuzz target shares. libFuzzer calls LLVMFuzzerTestOneInput() with bytes of its own making; the
 * ordinary build calls it with the stored corpus, and with mutations of it (replay.c). A target aborts by
 * CHECK() where a property doesn't hold. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/bytes.h"
#include "base/check.h"
#include "base/error.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length);

/* An error has a code and a sentence, and the sentence is text. */
static inline void check_error(const struct error *error, enum error_code code)
{
    CHECK(code != ERROR_OK && error->code == code, "code %d, error %d", (int)code, (int)error->code);
    size_t length = 0;
    while (error->message[length] != '\0')
        length++;
    CHECK(length > 0 && utf8_valid(error->message, length), "\"%s\"", error->message);
}

/* --- support.c --- */

/** A folder of this process for what a target needs as files, in memory where the machine has such a place;
 * removed at the end. */
const char *fuzz_folder(void);
/** Replaces the file `name` in that folder. */
void fuzz_file(const char *name, const void *data, size_t length);

/** Where AUTONOMY_FUZZ_SEEDS names a folder (seeds.py does): an input for `target` that is easier made by a
 * program than by hand. `first` bytes come before the rest. */
void fuzz_seed(const char *target, const char *name, struct span first, struct span rest);

/** Says that something of the tree was reached: "schema plan", "route GET /v1/flags 200". Each line once. */
void fuzz_reached(const char *format, ...) __attribute__((format(printf, 1, 2)));
/** Appends those lines to the file that AUTONOMY_FUZZ_REACHED names, if any. */
void fuzz_reached_write(void);
