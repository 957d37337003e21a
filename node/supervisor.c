#include "node/supervisor.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef AUTONOMY_HAVE_SYSTEMD
#include <systemd/sd-daemon.h>
#endif

#include "base/logger.h"
#include "node/internal.h"

static void tell(const struct supervisor *self, const char *state)
{
#ifdef AUTONOMY_HAVE_SYSTEMD
    if (self->told)
        (void)sd_notify(0, state); /* a supervisor that doesn't listen is no reason to stop */
#else
    (void)self;
    (void)state;
#endif
}

void supervisor_init(struct supervisor *self)
{
    *self = (struct supervisor){0};
#ifdef AUTONOMY_HAVE_SYSTEMD
    const char *address = getenv("NOTIFY_SOCKET");
    uint64_t interval_us = 0;
    self->told = address && address[0];
    if (self->told && sd_watchdog_enabled(0, &interval_us) > 0)
        self->every_ms = interval_us / 2000 > 0 ? interval_us / 2000 : 1;
#endif
}

static void say(struct supervisor *self, const char *before, const char *line)
{
    char message[SUPERVISOR_LINE_BYTES + 32];
    if (!self->told || (before[0] == 0 && strcmp(line, self->line) == 0))
        return;
    snprintf(self->line, sizeof self->line, "%s", line);
    snprintf(message, sizeof message, "%sSTATUS=%s", before, line);
    tell(self, message);
}

void supervisor_say(struct supervisor *self, const char *format, ...)
{
    char line[SUPERVISOR_LINE_BYTES];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    for (char *c = line; *c; c++) /* a line break would begin another field */
        if ((unsigned char)*c < ' ')
            *c = ' ';
    say(self, "", line);
}

void supervisor_ready(struct supervisor *self)
{
    say(self, "READY=1\n", "serving");
}

void supervisor_stopping(struct supervisor *self)
{
    say(self, "STOPPING=1\n", "stopping: handing leadership over, answering what waits");
}

/* --- what it does
 * ------------------------------------------------------------------------------------------------------------
 */

static const char *trouble(const struct service *service)
{
    const struct consensus_status *now = &service->now;
    if (now->disk_full)
        return "; the disk is full: writes are refused";
    if (now->state_lost)
        return "; the state is lost and being fetched";
    if (now->fetching)
        return "; fetching the state";
    if (!now->quorum)
        return "; no contact with a majority of voters";
    return service->audit.failed ? "; the audit folder can't be written" : "";
}

void supervisor_describe(const struct service *service, char out[SUPERVISOR_LINE_BYTES])
{
    const struct consensus_status *now = &service->now;
    char role[SUPERVISOR_LINE_BYTES / 2];
    if (!service->joined) {
        snprintf(out, SUPERVISOR_LINE_BYTES, "serving; asking to be let into a cluster");
        return;
    }
    if (now->role == CONSENSUS_LEADER)
        snprintf(role, sizeof role, "%s", now->ready ? "leads" : "takes office");
    else if (now->leader_id != 0)
        snprintf(role, sizeof role, "follows %.64s", member_name(service, now->leader_id));
    else
        snprintf(role, sizeof role, "knows no leader");
    snprintf(out, SUPERVISOR_LINE_BYTES, "%s; term %llu, members %u%s", role, (unsigned long long)now->term,
             now->member_count, trouble(service));
}

/* --- that it lives
 * -----------------------------------------------------------------------------------------------------------
 */

static bool log_moves(struct supervisor *self, uint64_t busy_ms)
{
    bool stuck = busy_ms >= self->every_ms;
    if (stuck && !self->holding_back)
        log_warn("node", "the disk keeps a write: the supervisor hears nothing until it is done",
                 "write_ms=%llu limit_ms=%llu", (unsigned long long)busy_ms,
                 (unsigned long long)self->every_ms);
    self->holding_back = stuck;
    return !stuck;
}

void supervisor_turn(struct supervisor *self, const struct service *service)
{
    char line[SUPERVISOR_LINE_BYTES];
    if (!self->told)
        return;
    if (!service->stopping) {
        supervisor_describe(service, line);
        say(self, "", line);
    }
    uint64_t now = now_ms(service);
    if (self->every_ms == 0 || !log_moves(self, service->now.log_busy_ms) ||
        now < self->last_ms + self->every_ms)
        return;
    self->last_ms = now;
    tell(self, "WATCHDOG=1");
}
