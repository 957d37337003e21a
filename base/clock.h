/* Time as an argument: the node passes the machine's clocks, the simulator passes its own.
 *
 * Monotonic time drives timers; wall time enters the log through the leader only, in an entry's header. */
#pragma once

#include <stdint.h>

struct clock {
    uint64_t (*monotonic_ms)(void *context);
    uint64_t (*wall_ms)(void *context); /* since 1970-01-01T00:00:00Z, leap seconds ignored */
    void *context;
};

/** The machine's CLOCK_MONOTONIC and CLOCK_REALTIME. */
struct clock clock_system(void);
uint64_t clock_monotonic_us(void); /* for measuring only */

#define TIME_TEXT_BYTES 32
/** RFC 3339, UTC, milliseconds: "2026-01-02T03:04:05.678Z". */
void time_format(uint64_t wall_ms, char out[TIME_TEXT_BYTES]);
/** Accepts RFC 3339 with Z or an offset, with or without fraction. @return 0, or -1 when it isn't that. */
int time_parse(const char *text, uint64_t *wall_ms);
