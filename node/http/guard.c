#include "node/http/guard.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>

#include "base/check.h"
#include "base/clock.h"

#define GUARD_TICK_MS 200u /* how late a cut may come */

struct guarded {
    struct guarded *previous, *next;
    int socket;
    _Atomic uint64_t deadline_ms;
};

struct guard {
    pthread_mutex_t lock; /* list, stopping */
    pthread_cond_t stop;
    pthread_t thread;
    struct guarded *list;
    bool stopping;
    _Atomic uint64_t cut_total;
};

static void cut_late(struct guard *self, uint64_t now_ms)
{
    for (struct guarded *each = self->list; each != NULL; each = each->next) {
        uint64_t deadline_ms = atomic_load_explicit(&each->deadline_ms, memory_order_relaxed);
        if (deadline_ms == 0 || now_ms < deadline_ms)
            continue;
        atomic_store_explicit(&each->deadline_ms, 0, memory_order_relaxed);
        atomic_fetch_add_explicit(&self->cut_total, 1, memory_order_relaxed);
        shutdown(each->socket, SHUT_RDWR);
    }
}

static void *watch(void *context)
{
    struct guard *self = context;
    struct clock clock = clock_system();
    pthread_mutex_lock(&self->lock);
    while (!self->stopping) {
        cut_late(self, clock.monotonic_ms(clock.context));
        struct timespec until;
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_nsec += (long)GUARD_TICK_MS * 1000000L;
        until.tv_sec += until.tv_nsec / 1000000000L;
        until.tv_nsec %= 1000000000L;
        pthread_cond_timedwait(&self->stop, &self->lock, &until);
    }
    pthread_mutex_unlock(&self->lock);
    return NULL;
}

struct guard *guard_new(void)
{
    struct guard *self = memory_zero(1, sizeof(*self));
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_mutex_init(&self->lock, NULL);
    pthread_cond_init(&self->stop, &monotonic);
    pthread_condattr_destroy(&monotonic);
    int failed = pthread_create(&self->thread, NULL, watch, self);
    CHECK(failed == 0, "pthread_create: %d", failed);
    pthread_setname_np(self->thread, "http-guard");
    return self;
}

void guard_free(struct guard *self)
{
    if (self == NULL)
        return;
    pthread_mutex_lock(&self->lock);
    CHECK(self->list == NULL, "a connection is still guarded");
    self->stopping = true;
    pthread_cond_signal(&self->stop);
    pthread_mutex_unlock(&self->lock);
    pthread_join(self->thread, NULL);
    pthread_cond_destroy(&self->stop);
    pthread_mutex_destroy(&self->lock);
    free(self);
}

struct guarded *guard_enter(struct guard *self, int socket, uint64_t deadline_ms)
{
    struct guarded *connection = memory_zero(1, sizeof(*connection));
    connection->socket = socket;
    atomic_init(&connection->deadline_ms, deadline_ms);
    pthread_mutex_lock(&self->lock);
    connection->next = self->list;
    if (self->list != NULL)
        self->list->previous = connection;
    self->list = connection;
    pthread_mutex_unlock(&self->lock);
    return connection;
}

void guard_leave(struct guard *self, struct guarded *connection)
{
    pthread_mutex_lock(&self->lock);
    if (connection->previous != NULL)
        connection->previous->next = connection->next;
    else
        self->list = connection->next;
    if (connection->next != NULL)
        connection->next->previous = connection->previous;
    pthread_mutex_unlock(&self->lock);
    free(connection);
}

void guard_deadline(struct guarded *connection, uint64_t deadline_ms)
{
    atomic_store_explicit(&connection->deadline_ms, deadline_ms, memory_order_relaxed);
}

uint64_t guard_cut_total(const struct guard *self)
{
    return atomic_load_explicit(&self->cut_total, memory_order_relaxed);
}
