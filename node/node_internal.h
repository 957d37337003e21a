/* What node.c (loop, signals, stop) and steps.c (start and stop order) share. */
#pragma once

#include <stdatomic.h>

#include "base/disk.h"
#include "node/http/server.h"
#include "node/internal.h"
#include "node/node.h"
#include "node/supervisor.h"

struct founding;

enum phase { PHASE_RUNNING, PHASE_HANDING_OVER, PHASE_DRAINING, PHASE_OVER };

struct node {
    struct service service;
    uv_loop_t loop;
    struct disk_lock *lock;
    struct http_server *http;
    struct founding *founding; /* NULL: nobody was to be asked */
    uv_signal_t terminate, interrupt;
    uint32_t started; /* steps */
    enum phase phase;
    uint64_t phase_until_ms;
    bool handing_over;
    int code;
    struct error error;

    uv_thread_t watchdog;
    _Atomic uint64_t turn_began_ms; /* 0: the loop waits for events */
    uint64_t turn_from_ns,
        turn_idle_ns; /* when the last turn ended, and how long the loop had slept by then */
    _Atomic bool watchdog_ends;
    struct supervisor supervisor;
    bool disk_full; /* as it was logged */
};

/* node.c */
/** The loop ends after this turn. The first reason stays. */
void node_finish(struct node *self, int code, const struct error *error);
/* What is asked for while consensus is opened, and while the node runs. */
void node_set_timer(void *context, uint64_t at_ms);
void node_on_fatal(void *context, const struct error *error);
void node_on_sweep(uv_timer_t *handle);
void node_on_publish(uv_timer_t *handle);

/* steps.c */
int exit_code_of(enum error_code code);
/** Starts all steps in order. @return an enum exit_code; `self->started` says how far it came */
int steps_start(struct node *self, struct error *error);
void steps_end(struct node *self);
