#include "node/http/count.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/clock.h"
#include "node/http/router.h"

struct http_count {
    _Atomic uint64_t
        routes[METRICS_ROUTES_MAX][METRICS_CODES]; /* as routes.c has them; then: without a route */
    struct {
        _Atomic uint64_t counts[HISTOGRAM_BOUNDS + 1];
        _Atomic uint64_t sum;
    } duration_us[KIND_COUNT];
};

struct http_count *http_count_new(void)
{
    uint32_t count = 0;
    route_all(&count);
    CHECK(count < METRICS_ROUTES_MAX, "%u routes; make METRICS_ROUTES_MAX larger", count);
    return memory_zero(1, sizeof(struct http_count));
}

void http_count_free(struct http_count *self)
{
    free(self);
}

static enum metrics_kind kind_of(struct request *request)
{
    if (request->route == NULL)
        return KIND_NONE;
    switch (request->route->kind) {
    case ROUTE_LOCAL:
        return KIND_LOCAL;
    case ROUTE_READ:
        return request_query(request, "wait") != NULL ? KIND_WAIT : KIND_READ;
    case ROUTE_SCAN:
    case ROUTE_WALK:
        return KIND_SCAN;
    case ROUTE_CHANGE:
        return KIND_CHANGE;
    case ROUTE_ACT:
        return KIND_ACT;
    default:
        return KIND_WAIT; /* whatever else stays open for what isn't there yet */
    }
}

static void add(_Atomic uint64_t *counter, uint64_t value)
{
    atomic_fetch_add_explicit(counter, value, memory_order_relaxed);
}

void http_count_request(struct http_count *self, struct request *request, bool complete)
{
    uint32_t route_count = 0;
    const struct route *first = route_all(&route_count);
    size_t route = request->route != NULL ? (size_t)(request->route - first) : route_count;
    CHECK(route <= route_count, "a route of another table");
    add(&self->routes[route][metrics_code(complete ? request->answer.status : 0)], 1);
    if (!complete)
        return; /* how long a client stayed says nothing about us */
    uint64_t us = clock_monotonic_us() - request->started_us;
    enum metrics_kind kind = kind_of(request);
    add(&self->duration_us[kind].counts[histogram_range(histogram_times_us, us)], 1);
    add(&self->duration_us[kind].sum, us);
}

static uint64_t load(const _Atomic uint64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

void http_count_read(const struct http_count *self, struct metrics_http *out)
{
    uint32_t route_count = 0;
    const struct route *routes = route_all(&route_count);
    out->route_count = route_count + 1;
    for (uint32_t r = 0; r <= route_count; r++) {
        out->routes[r].method = r < route_count ? routes[r].method : "any";
        out->routes[r].path = r < route_count ? routes[r].path : "none";
        for (uint32_t c = 0; c < METRICS_CODES; c++)
            out->routes[r].by_code[c] = load(&self->routes[r][c]);
    }
    for (uint32_t k = 0; k < KIND_COUNT; k++) {
        out->duration_us[k].sum = load(&self->duration_us[k].sum);
        for (uint32_t i = 0; i <= HISTOGRAM_BOUNDS; i++)
            out->duration_us[k].counts[i] = load(&self->duration_us[k].counts[i]);
    }
}
