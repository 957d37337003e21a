/* Whatever comes as a cluster configuration is refused, or encodes to just the bytes that came: libraft's own
 * decoder, which reads past the end of short input, sees nothing else. */
#include "consensus/configuration.h"
#include "fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
    struct configuration configuration = {0};
    struct error error = {0};
    struct bytes again;
    const enum error_code code = configuration_decode(span_of(data, length), &configuration, &error);

    if (code != ERROR_OK) {
        check_error(&error, code);
        return 0;
    }
    CHECK(configuration.count >= 1 && configuration.count <= NODES_MAX, "%u members", configuration.count);
    bytes_init(&again, 0);
    configuration_encode(&configuration, &again);
    CHECK(span_equal(bytes_span(&again), span_of(data, length)), "a configuration changes on its way");
    bytes_done(&again);
    return 0;
}
