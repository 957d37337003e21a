/* What every fuzz target shares. libFuzzer calls LLVMFuzzerTestOneInput() with bytes of its own making; the
 * ordinary build calls it with the stored corpus (replay.c). A target aborts by CHECK() where a property
 * doesn't hold. */
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
