/* Between nodes: forwarded commands, read confirmations, and checkpoints of the state for a node that has
 * fallen behind. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "node/http/flow.h"
#include "node/http/outcome.h"
#include "node/http/problem.h"
#include "node/http/range.h"
#include "node/http/routes.h"

/* Whatever the outcome is, this answer is 200: the node that asked reads it out of the body. */
static void answer_outcome(struct request *request)
{
    struct bytes packed;
    bytes_init(&packed, OUTCOME_BYTES_MAX);
    outcome_encode(&request->outcome, &packed);
    request->answer.index = request->outcome.index;
    request->answer.term = request->outcome.term;
    if (packed.overflow)
        problem_answer(request, 500, "too_big", "the outcome is longer than %u bytes", OUTCOME_BYTES_MAX);
    else
        answer_raw(request, 200, OUTCOME_CONTENT_TYPE, &packed);
    bytes_done(&packed);
}

void internal_change(struct request *request)
{
    struct error error = {0};
    struct command_header header;
    if (request->body.length > COMMAND_BYTES_MAX) {
        problem_answer(request, 413, "too_big", "the command has %zu bytes; %u are allowed",
                       request->body.length, COMMAND_BYTES_MAX);
        return;
    }
    if (command_inspect(bytes_span(&request->body), &request->decoded, &header, &error) != ERROR_OK) {
        problem_answer(request, 400, "malformed", "the command can't be read: %s", error.message);
        return;
    }
    request->forwarded = true;
    request_change(request, bytes_span(&request->body), answer_outcome);
}

void internal_confirm(struct request *request)
{
    request->forwarded = true;
    request_confirm(request, answer_outcome);
}

void internal_checkpoint(struct request *request)
{
    request_checkpoint(request, flow_act_answer);
}

/* --- files, with ranges --- */

static void answer_file(struct request *request, int fd, uint64_t file_bytes)
{
    struct range range;
    bool partial = false;
    char text[80];
    const char *wanted = MHD_lookup_connection_value(request->connection, MHD_HEADER_KIND, "Range");
    answer_header(request, "Accept-Ranges", "bytes");
    if (!range_read(wanted, file_bytes, &range, &partial)) {
        close(fd);
        snprintf(text, sizeof(text), "bytes */%" PRIu64, file_bytes);
        answer_header(request, "Content-Range", text);
        problem_answer(request, 416, "range_not_satisfiable", "the file has %" PRIu64 " bytes", file_bytes);
        return;
    }
    if (partial) {
        snprintf(text, sizeof(text), "bytes %" PRIu64 "-%" PRIu64 "/%" PRIu64, range.first, range.last,
                 file_bytes);
        answer_header(request, "Content-Range", text);
    }
    uint64_t bytes = file_bytes > 0 ? range.last - range.first + 1 : 0;
    answer_descriptor(request, partial ? 206 : 200, "application/octet-stream", fd, range.first, bytes);
}

void internal_checkpoint_file(struct request *request)
{
    struct error error = {0};
    struct bytes path;
    struct stat about;
    bytes_init(&path, 0);
    enum error_code code =
        service_checkpoint_file(request->service, request_parameter(request, "checkpoint_id"),
                                request_parameter(request, "file"), &path, &error);
    char *name = arena_text(&request->arena, code == ERROR_OK ? (const char *)path.data : "", path.length);
    bytes_done(&path);
    if (code != ERROR_OK) {
        problem_error(request, &error);
        return;
    }
    int fd = open(name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0 || fstat(fd, &about) != 0 || !S_ISREG(about.st_mode)) {
        if (fd >= 0)
            close(fd);
        problem_answer(request, 404, "not_found", "file %s of checkpoint %s is gone",
                       request_parameter(request, "file"), request_parameter(request, "checkpoint_id"));
        return;
    }
    answer_file(request, fd, (uint64_t)about.st_size);
}
