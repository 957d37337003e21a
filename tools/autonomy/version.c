#include <jansson.h>

#include "tools/autonomy/output.h"

enum cli_exit run_version(struct cli *cli)
{
    json_t *server = NULL;
    if (cli_on(cli, "server")) {
        enum cli_exit exit = cli_call(cli, "GET", "/v1/version", NULL, &server);
        if (exit != CLI_DONE)
            return exit;
    }
    if (cli->json) {
        json_t *all = json_pack("{s:s, s:O*}", "version", AUTONOMY_VERSION, "server", server);
        json_print(cli, all);
        json_decref(all);
    } else {
        fprintf(cli->out, "autonomy %s\n", AUTONOMY_VERSION);
        if (server)
            object_print(cli, server);
    }
    json_decref(server);
    return CLI_DONE;
}
