#include "node/mailbox.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

#include "base/check.h"

struct mailbox {
    pthread_mutex_t lock;
    uint32_t capacity, count, head; /* a ring: the oldest item is items[head] */
    bool closed;
    void (*wake)(void *context);
    void *context;
    void *items[];
};

static void check_locked(const struct mailbox *self)
{
    CHECK(self->count <= self->capacity, "%u of %u", self->count, self->capacity);
    CHECK(self->head < self->capacity, "head %u of %u", self->head, self->capacity);
}

struct mailbox *mailbox_new(uint32_t capacity, void (*wake)(void *context), void *context)
{
    CHECK(capacity > 0, "a mailbox has room");
    struct mailbox *self = memory_zero(1, sizeof *self + capacity * sizeof self->items[0]);
    CHECK(pthread_mutex_init(&self->lock, NULL) == 0, "a mutex needs only memory");
    self->capacity = capacity;
    self->wake = wake;
    self->context = context;
    return self;
}

void mailbox_free(struct mailbox *self)
{
    if (!self)
        return;
    CHECK(self->count == 0, "%u items would be lost", self->count);
    pthread_mutex_destroy(&self->lock);
    free(self);
}

enum error_code mailbox_push(struct mailbox *self, void *item, struct error *error)
{
    enum error_code code = ERROR_OK;
    CHECK(item != NULL, "an item is something");
    pthread_mutex_lock(&self->lock);
    check_locked(self);
    if (self->closed) {
        code = error_set(error, ERROR_CLOSED, "this node is stopping");
    } else if (self->count == self->capacity) {
        code = error_set(error, ERROR_BUSY, "mailbox is full: %u of %u", self->count, self->capacity);
    } else {
        self->items[(self->head + self->count) % self->capacity] = item;
        self->count++;
        /* Inside the lock: after mailbox_close() nobody wakes a loop that may be gone. */
        if (self->count == 1)
            self->wake(self->context);
    }
    pthread_mutex_unlock(&self->lock);
    return code;
}

uint32_t mailbox_count(struct mailbox *self)
{
    pthread_mutex_lock(&self->lock);
    uint32_t count = self->count;
    pthread_mutex_unlock(&self->lock);
    return count;
}

uint32_t mailbox_take(struct mailbox *self, void **items, uint32_t items_max)
{
    uint32_t taken = 0;
    pthread_mutex_lock(&self->lock);
    check_locked(self);
    for (; taken < items_max && self->count > 0; taken++) {
        items[taken] = self->items[self->head];
        self->head = (self->head + 1) % self->capacity;
        self->count--;
    }
    /* What is left would wait for a push into an empty mailbox, which can't come. */
    if (self->count > 0)
        self->wake(self->context);
    pthread_mutex_unlock(&self->lock);
    return taken;
}

void mailbox_close(struct mailbox *self)
{
    pthread_mutex_lock(&self->lock);
    self->closed = true;
    pthread_mutex_unlock(&self->lock);
}

void mailbox_check(struct mailbox *self)
{
    pthread_mutex_lock(&self->lock);
    check_locked(self);
    pthread_mutex_unlock(&self->lock);
}
