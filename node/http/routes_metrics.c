/* GET /metrics: what this node counts, as Prometheus reads it. Local state only, never waiting for anyone. */
#include <stdlib.h>

#include "base/check.h"
#include "node/http/count.h"
#include "node/http/routes.h"
#include "node/metrics.h"

void metrics_show(struct request *request)
{
    struct metrics *metrics = memory_zero(1, sizeof(*metrics));
    struct bytes text;
    service_status(request->service, &metrics->node);
    server_count(request->server, &metrics->http);
    usage_read(metrics->node.data_dir, &metrics->usage);
    bytes_init(&text, 0);
    metrics_write(metrics, &text);
    request->answer.index = metrics->node.consensus.applied_index;
    request->answer.term = metrics->node.consensus.term;
    free(metrics);
    answer_raw(request, 200, METRICS_CONTENT_TYPE, &text);
}
