/* /metrics: the text is what the format wants, the numbers are those of what happened, the reference page is
 * the table. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/check.h"
#include "node/metrics.h"
#include "tests/support/http_fixture.h"

/* The text of these metrics; the caller frees it. */
static char *text_of(const struct metrics *metrics)
{
    struct bytes out;
    bytes_init(&out, 0);
    metrics_write(metrics, &out);
    size_t length;
    return (char *)bytes_take(&out, &length);
}

static void assert_line(const char *text, const char *line)
{
    char wanted[512];
    snprintf(wanted, sizeof(wanted), "\n%s\n", line);
    if (strstr(text, wanted) == NULL)
        fail_msg("no line: %s", line);
}

/* The value of one series in what a server shows. */
static long long value_of(struct http_fixture *self, const char *series)
{
    char wanted[512];
    struct http_answer answer = fixture_get(self, "/metrics");
    assert_status(&answer, 200);
    snprintf(wanted, sizeof(wanted), "\n%s ", series);
    const char *at = strstr(answer.body, wanted);
    long long value = at != NULL ? atoll(at + strlen(wanted)) : -1;
    http_answer_done(&answer);
    return value;
}

/* A request is counted after its answer has left: the next one may come before. */
static void assert_reaches(struct http_fixture *self, const char *series, long long value)
{
    for (int i = 0; i < 500 && value_of(self, series) != value; i++)
        usleep(10000);
    assert_int_equal(value_of(self, series), value);
}

static int set_up(void **state)
{
    *state = http_fixture_new(NULL);
    return 0;
}

static int tear_down(void **state)
{
    http_fixture_free(*state);
    return 0;
}

/* Goal: names, units and types keep the conventions that Prometheus' users rely on.
 * Method: every row of the table. */
static void every_metric_is_named_by_the_conventions(void **state)
{
    uint32_t count = 0;
    const struct metric *table = metric_all(&count);
    (void)state;
    assert_true(count > 50);
    for (uint32_t i = 0; i < count; i++) {
        const char *name = table[i].name, *total = strstr(name, "_total");
        char unit[32];
        assert_int_equal(strncmp(name, "autonomy_", 9), 0);
        assert_int_equal(strspn(name, "abcdefghijklmnopqrstuvwxyz_"), strlen(name));
        assert_int_equal(total != NULL && total[6] == '\0', table[i].type == METRIC_COUNTER);
        snprintf(unit, sizeof(unit), "_%s%s", table[i].unit, table[i].type == METRIC_COUNTER ? "_total" : "");
        if (table[i].unit[0] != '\0')
            assert_string_equal(name + strlen(name) - strlen(unit), unit);
        assert_true(table[i].help[0] != '\0' && table[i].help[strlen(table[i].help) - 1] == '.');
        assert_null(strpbrk(table[i].help, "\n\\|"));
        for (uint32_t other = 0; other < i; other++)
            assert_string_not_equal(table[other].name, name);
    }
}

/* Goal: a histogram's buckets are cumulated, in seconds, and end with all of them.
 * Method: one value on a bound, one just past it, one past all bounds. */
static void histograms_cumulate_in_base_units(void **state)
{
    struct metrics *metrics = memory_zero(1, sizeof(*metrics));
    (void)state;
    histogram_add(&metrics->node.counts.apply_us, histogram_times_us, 100);
    histogram_add(&metrics->node.counts.apply_us, histogram_times_us, 101);
    histogram_add(&metrics->node.counts.apply_us, histogram_times_us, 10000001);
    histogram_add(&metrics->node.consensus.group_entries, histogram_sizes, 1024);
    char *text = text_of(metrics);
    assert_line(text, "# TYPE autonomy_apply_duration_seconds histogram");
    assert_line(text, "autonomy_apply_duration_seconds_bucket{le=\"0.000050\"} 0");
    assert_line(text, "autonomy_apply_duration_seconds_bucket{le=\"0.000100\"} 1");
    assert_line(text, "autonomy_apply_duration_seconds_bucket{le=\"0.000250\"} 2");
    assert_line(text, "autonomy_apply_duration_seconds_bucket{le=\"10.000000\"} 2");
    assert_line(text, "autonomy_apply_duration_seconds_bucket{le=\"+Inf\"} 3");
    assert_line(text, "autonomy_apply_duration_seconds_sum 10.000202");
    assert_line(text, "autonomy_apply_duration_seconds_count 3");
    assert_line(text, "autonomy_group_commands_bucket{le=\"768\"} 0");
    assert_line(text, "autonomy_group_commands_bucket{le=\"1024\"} 1");
    free(text);
    free(metrics);
}

/* Goal: numbers of every width come out as they went in; what is unknown is left out, not made up.
 * Method: a status made by hand. */
static void gauges_show_what_the_status_says(void **state)
{
    struct metrics *metrics = memory_zero(1, sizeof(*metrics));
    (void)state;
    metrics->node.consensus.commit_index = UINT64_MAX - 1;
    metrics->node.consensus.ready = true;
    metrics->node.consensus.sync_us_max = 1500000;
    metrics->node.sync_replica_count = 2;
    metrics->node.started_wall_ms = 1767323045678;
    metrics->node.write_lag_ms = UINT64_MAX;
    metrics->node.replay_lag_ms = 12;
    metrics->node.quorum_health = "degraded";
    metrics->usage.log_bytes = 5;
    char *text = text_of(metrics);
    assert_line(text, "autonomy_commit_index 18446744073709551614");
    assert_line(text, "autonomy_leader_ready 1");
    assert_line(text, "autonomy_log_sync_duration_max_seconds 1.500000");
    assert_line(text, "autonomy_sync_replicas 2");
    assert_line(text, "autonomy_start_time_seconds 1767323045.678");
    assert_line(text, "autonomy_replay_lag_seconds 0.012");
    assert_line(text, "autonomy_quorum_health{state=\"healthy\"} 0");
    assert_line(text, "autonomy_quorum_health{state=\"degraded\"} 1");
    assert_line(text, "autonomy_log_bytes 5");
    assert_null(strstr(text, "\nautonomy_write_lag_seconds "));
    free(text);
    free(metrics);
}

/* Goal: peers are shown by name, as 16 hex digits while none is known, and this node is no peer of itself.
 * Method: a status with both kinds; a name that needs escapes can't break a line. */
static void peers_are_shown_by_name(void **state)
{
    struct metrics *metrics = memory_zero(1, sizeof(*metrics));
    struct service_status *node = &metrics->node;
    (void)state;
    node->consensus.node_id = 1;
    node->consensus.member_count = 3;
    for (uint32_t i = 0; i < 3; i++)
        node->consensus.members[i] = (struct consensus_member){.node_id = i + 1,
                                                               .role = MEMBER_VOTER,
                                                               .connected = i != 2,
                                                               .heard_ms = i == 2 ? UINT64_MAX : 250};
    node->members[0].node_id = 2;
    snprintf(node->members[0].name, sizeof(node->members[0].name), "n\"2\\");
    node->member_count = 1;
    node->counts.traffic_count = 1;
    node->counts.traffic[0] = (struct consensus_traffic){.node_id = 2, .sent_bytes = 77, .connects = 3};
    char *text = text_of(metrics);
    assert_line(text, "autonomy_peer_connected{peer=\"n\\\"2\\\\\"} 1");
    assert_line(text, "autonomy_peer_connected{peer=\"0000000000000003\"} 0");
    assert_line(text, "autonomy_peer_heard_age_seconds{peer=\"n\\\"2\\\\\"} 0.250");
    assert_null(strstr(text, "autonomy_peer_heard_age_seconds{peer=\"0000000000000003\"}"));
    assert_null(strstr(text, "0000000000000001"));
    assert_line(text, "autonomy_wire_sent_bytes_total{peer=\"n\\\"2\\\\\"} 77");
    assert_line(text, "autonomy_wire_connects_total{peer=\"n\\\"2\\\\\"} 3");
    assert_line(text, "autonomy_members{role=\"voter\"} 3");
    free(text);
    free(metrics);
}

/* Goal: a status that has no counter of its own is still counted, once.
 * Method: all statuses there can be. */
static void every_status_has_a_counter(void **state)
{
    (void)state;
    uint32_t own = 0;
    for (uint32_t status = 1; status < 1000; status++) {
        uint32_t at = metrics_code(status);
        assert_true(at < METRICS_CODES);
        own += at < METRICS_CODES - 2 && metrics_codes[at] == status;
    }
    assert_int_equal(own, METRICS_CODES - 2);
    assert_int_equal(metrics_code(418), METRICS_CODES - 2);
    assert_int_equal(metrics_code(0), METRICS_CODES - 1);
}

/* Goal: requests are counted by template and status, whatever their parameters are.
 * Method: a found, a refused and an unknown thing, then a path and a method that are not there. */
static void requests_are_counted_by_template(void **state)
{
    struct http_fixture *self = *state;
    static const char *const paths[] = {"/v1/flags/a", "/v1/flags/b", "/v1/nowhere/1", "/v1/nowhere/2"};
    for (size_t i = 0; i < 4; i++) {
        struct http_answer answer = fixture_get(self, paths[i]);
        assert_status(&answer, 404);
        http_answer_done(&answer);
    }
    struct http_answer answer = fixture_send(self, "DELETE", "/v1/flags", NULL);
    assert_status(&answer, 405);
    http_answer_done(&answer);
    fixture_publish_plan(self, PLAN_BODY("p"));
    assert_reaches(self,
                   "autonomy_http_requests_total{method=\"GET\",route=\"/v1/flags/{key}\",code=\"404\"}", 2);
    assert_reaches(self, "autonomy_http_requests_total{method=\"any\",route=\"none\",code=\"404\"}", 2);
    assert_reaches(self, "autonomy_http_requests_total{method=\"any\",route=\"none\",code=\"405\"}", 1);
    assert_reaches(self, "autonomy_http_requests_total{method=\"POST\",route=\"/v1/rollouts\",code=\"201\"}",
                   1);
    assert_reaches(self, "autonomy_http_request_duration_seconds_count{kind=\"read\"}", 2);
    assert_reaches(self, "autonomy_http_request_duration_seconds_count{kind=\"none\"}", 3);
    assert_reaches(self, "autonomy_http_request_duration_seconds_bucket{kind=\"none\",le=\"+Inf\"}", 3);
}

/* Goal: a read that was told to wait does not spoil the times of the others.
 * Method: one that waits in vain. */
static void a_long_poll_has_times_of_its_own(void **state)
{
    struct http_fixture *self = *state;
    struct http_answer answer = fixture_get(self, "/v1/flags?index=1000&wait=20ms");
    assert_status(&answer, 200);
    http_answer_done(&answer);
    assert_reaches(self, "autonomy_http_request_duration_seconds_count{kind=\"wait\"}", 1);
    assert_int_equal(value_of(self, "autonomy_http_request_duration_seconds_count{kind=\"read\"}"), 0);
}

/* Goal: who asks for /metrics gets the format's own content type and a request in flight: its own.
 * Method: one request. */
static void metrics_are_prometheus_text(void **state)
{
    struct http_fixture *self = *state;
    struct http_answer answer = fixture_get(self, "/metrics");
    assert_status(&answer, 200);
    assert_string_equal(http_answer_header(&answer, "Content-Type"), METRICS_CONTENT_TYPE);
    assert_line(answer.body, "autonomy_http_requests_in_flight 1");
    assert_line(answer.body, "autonomy_leader 1");
    http_answer_done(&answer);
}

/* Goal: what the process takes is read from its machine.
 * Method: this process, and a data folder made here; without one its sizes are 0. */
static void usage_is_of_this_process_and_its_folder(void **state)
{
    struct http_fixture *self = *state;
    struct usage before, after;
    char path[256];
    usage_read(NULL, &before);
    assert_true(before.resident_bytes > 0 && before.descriptors > 0 && before.descriptors_max > 0);
    assert_int_equal(before.store_bytes + before.log_bytes + before.mirror_bytes, 0);
    static const char *const folders[] = {"state.0", "state.1", "log", "audit"};
    char block[8192] = {1};
    for (size_t i = 0; i < 4; i++) {
        snprintf(path, sizeof(path), "%s/%s", self->folder, folders[i]);
        mkdir(path, 0700);
        snprintf(path, sizeof(path), "%s/%s/file", self->folder, folders[i]);
        FILE *file = fopen(path, "w");
        assert_non_null(file);
        assert_int_equal(fwrite(block, 1, sizeof(block), file), sizeof(block));
        assert_int_equal(fflush(file), 0);
        assert_int_equal(fsync(fileno(file)), 0);
        fclose(file);
    }
    FILE *held = fopen(path, "r");
    usage_read(self->folder, &after);
    fclose(held);
    assert_true(after.store_bytes >= 2 * sizeof(block));
    assert_true(after.log_bytes >= sizeof(block) && after.mirror_bytes >= sizeof(block));
    assert_int_equal(after.descriptors, before.descriptors + 1);
    usage_read("/nowhere/at/all", &after);
    assert_int_equal(after.store_bytes, 0);
}

/* Goal: docs/reference/metrics.md ends with the table, so that it can't drift from the program.
 * Method: byte by byte; AUTONOMY_WRITE_REFERENCE=1 writes it anew. */
static void reference_page_is_the_table(void **state)
{
    static const char here[] = "tests/unit/node/test_http_metrics.c";
    static char page[1u << 17];
    char path[4096];
    struct bytes table;
    (void)state;
    snprintf(path, sizeof(path), "%.*sdocs/reference/metrics.md", (int)(strlen(__FILE__) - strlen(here)),
             __FILE__);
    bytes_init(&table, 0);
    metrics_reference(&table);
    FILE *file = fopen(path, "r+");
    assert_non_null(file);
    size_t length = fread(page, 1, sizeof(page) - 1, file);
    const char *at = strstr(page, "| name | type |");
    size_t head = at != NULL ? (size_t)(at - page) : length;
    if (getenv("AUTONOMY_WRITE_REFERENCE") != NULL) {
        assert_int_equal(fseek(file, (long)head, SEEK_SET), 0);
        assert_int_equal(fwrite(table.data, 1, table.length, file), table.length);
        assert_int_equal(fflush(file), 0);
        assert_int_equal(ftruncate(fileno(file), (off_t)(head + table.length)), 0);
        fclose(file);
        bytes_done(&table);
        skip();
    }
    fclose(file);
    bool same = length - head == table.length && memcmp(page + head, table.data, table.length) == 0;
    bytes_done(&table);
    if (!same)
        fail_msg("write it anew: AUTONOMY_WRITE_REFERENCE=1 unit_node_test_http_metrics");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_metric_is_named_by_the_conventions),
        cmocka_unit_test(histograms_cumulate_in_base_units),
        cmocka_unit_test(gauges_show_what_the_status_says),
        cmocka_unit_test(peers_are_shown_by_name),
        cmocka_unit_test(every_status_has_a_counter),
        cmocka_unit_test_setup_teardown(requests_are_counted_by_template, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_long_poll_has_times_of_its_own, set_up, tear_down),
        cmocka_unit_test_setup_teardown(metrics_are_prometheus_text, set_up, tear_down),
        cmocka_unit_test_setup_teardown(usage_is_of_this_process_and_its_folder, set_up, tear_down),
        cmocka_unit_test(reference_page_is_the_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
