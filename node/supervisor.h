/* What a supervisor (systemd, or whoever set NOTIFY_SOCKET) is told: serving, alive, stopping, and a line for
 * people.
 *
 * Alive is said from the loop, at half of the supervisor's interval, and only while the disk takes the log's
 * writes: a loop that hangs, and a disk that keeps one write longer than half the interval, end the messages,
 * and the supervisor ends the node. Nothing acknowledged is lost by that, and the others go on. A full disk
 * is no reason: the node serves reads, and refuses writes until there is space.
 *
 * Without a supervisor all of this does nothing.
 *
 * Threads: the loop thread. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct service;

#define SUPERVISOR_LINE_BYTES 256u

struct supervisor {
    bool told;                  /* there is somebody to tell */
    bool holding_back;          /* the log's thread is stuck */
    uint64_t every_ms, last_ms; /* 0: nobody wants to hear that it lives */
    char line[SUPERVISOR_LINE_BYTES];
};

void supervisor_init(struct supervisor *self);
/** A line for `systemctl status`; repeated ones are not sent. */
void supervisor_say(struct supervisor *self, const char *format, ...) __attribute__((format(printf, 2, 3)));
/** Requests are answered, and what was on the disk is recovered. */
void supervisor_ready(struct supervisor *self);
/** Called every PUBLISH_MS: says what the node does, and that it lives. */
void supervisor_turn(struct supervisor *self, const struct service *service);
void supervisor_stopping(struct supervisor *self);

/** What supervisor_turn() says: role, cluster and what is wrong. */
void supervisor_describe(const struct service *service, char out[SUPERVISOR_LINE_BYTES]);
