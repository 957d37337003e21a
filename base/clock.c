#include "base/clock.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/check.h"

#define WALL_MS_MAX 253402300799999u /* 9999-12-31T23:59:59.999Z, the last that RFC 3339 can write */

static uint64_t read_us(clockid_t id)
{
    struct timespec now;
    CHECK(clock_gettime(id, &now) == 0, "clock %d can't be read", (int)id);
    return (uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000u;
}

static uint64_t system_monotonic_ms(void *context)
{
    (void)context;
    return read_us(CLOCK_MONOTONIC) / 1000u;
}

static uint64_t system_wall_ms(void *context)
{
    (void)context;
    return read_us(CLOCK_REALTIME) / 1000u;
}

struct clock clock_system(void)
{
    return (struct clock){system_monotonic_ms, system_wall_ms, NULL};
}

uint64_t clock_monotonic_us(void)
{
    return read_us(CLOCK_MONOTONIC);
}

/* Days since 1970-01-01 of a Gregorian date, and back: years begin in March here, so that a leap day is the
 * last day. */
static int64_t days_from_date(int64_t year, unsigned month, unsigned day)
{
    year -= month <= 2;
    int64_t era = (year >= 0 ? year : year - 399) / 400;
    unsigned year_of_era = (unsigned)(year - era * 400);
    unsigned day_of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
    unsigned day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    return era * 146097 + (int64_t)day_of_era - 719468;
}

static void date_from_days(uint64_t days, unsigned *year, unsigned *month, unsigned *day)
{
    uint64_t shifted = days + 719468;
    uint64_t era = shifted / 146097;
    unsigned day_of_era = (unsigned)(shifted - era * 146097);
    unsigned year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    unsigned day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    unsigned shifted_month = (5 * day_of_year + 2) / 153;
    *day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    *month = shifted_month < 10 ? shifted_month + 3 : shifted_month - 9;
    *year = (unsigned)(year_of_era + era * 400) + (*month <= 2);
}

void time_format(uint64_t wall_ms, char out[TIME_TEXT_BYTES])
{
    unsigned year, month, day;
    if (wall_ms > WALL_MS_MAX)
        wall_ms = WALL_MS_MAX;
    date_from_days(wall_ms / 86400000u, &year, &month, &day);
    unsigned ms = (unsigned)(wall_ms % 86400000u);
    snprintf(out, TIME_TEXT_BYTES, "%04u-%02u-%02uT%02u:%02u:%02u.%03uZ", year % 10000u, month % 100u,
             day % 100u, ms / 3600000u, ms / 60000u % 60u, ms / 1000u % 60u, ms % 1000u);
}

/* Exactly `digits` decimal digits, then `*text` stands behind them. */
static bool read_number(const char **text, unsigned digits, unsigned *out)
{
    unsigned value = 0;
    for (unsigned i = 0; i < digits; i++) {
        char c = (*text)[i];
        if (c < '0' || c > '9')
            return false;
        value = value * 10 + (unsigned)(c - '0');
    }
    *text += digits;
    *out = value;
    return true;
}

static bool read_char(const char **text, const char *allowed)
{
    if (**text == '\0' || !strchr(allowed, **text))
        return false;
    (*text)++;
    return true;
}

#define SECONDS_MAX 253402300799 /* 9999-12-31T23:59:59Z: the last that four digits of a year show */

static unsigned days_in_month(unsigned year, unsigned month)
{
    static const unsigned days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return days[month - 1] + (month == 2 && leap);
}

/* ".678901" as milliseconds; what is finer is cut. Nothing there is 0. */
static bool read_fraction(const char **text, unsigned *ms)
{
    *ms = 0;
    if (**text != '.')
        return true;
    (*text)++;
    unsigned digits = 0;
    for (; **text >= '0' && **text <= '9'; (*text)++, digits++)
        if (digits < 3)
            *ms = *ms * 10 + (unsigned)(**text - '0');
    for (unsigned i = digits; i < 3; i++)
        *ms *= 10;
    return digits > 0;
}

/* "Z", "+02:00" or "-05:30", in minutes east. */
static bool read_offset(const char **text, int *minutes)
{
    unsigned hour, minute;
    *minutes = 0;
    if (read_char(text, "Zz"))
        return true;
    bool west = **text == '-';
    if (!read_char(text, "+-") || !read_number(text, 2, &hour) || !read_char(text, ":") ||
        !read_number(text, 2, &minute) || hour > 23 || minute > 59)
        return false;
    *minutes = (int)(hour * 60 + minute) * (west ? -1 : 1);
    return true;
}

int time_parse(const char *text, uint64_t *wall_ms)
{
    unsigned year, month, day, hour, minute, second, ms;
    int offset;
    if (!text || !read_number(&text, 4, &year) || !read_char(&text, "-") || !read_number(&text, 2, &month) ||
        !read_char(&text, "-") || !read_number(&text, 2, &day) || !read_char(&text, "Tt") ||
        !read_number(&text, 2, &hour) || !read_char(&text, ":") || !read_number(&text, 2, &minute) ||
        !read_char(&text, ":") || !read_number(&text, 2, &second) || !read_fraction(&text, &ms) ||
        !read_offset(&text, &offset) || *text != '\0')
        return -1;
    if (month < 1 || month > 12 || day < 1 || day > days_in_month(year, month) || hour > 23 || minute > 59 ||
        second > 60) /* 60: a leap second counts as the second after it */
        return -1;
    int64_t seconds = days_from_date(year, month, day) * 86400 +
                      (int64_t)(hour * 3600 + minute * 60 + second) - (int64_t)offset * 60;
    if (seconds < 0 || seconds > SECONDS_MAX)
        return -1;
    *wall_ms = (uint64_t)seconds * 1000u + ms;
    return 0;
}
