/* autonomy: the operator's command line. */
#include <curl/curl.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>

#include "tools/autonomy/cli.h"

int main(int argc, char **argv)
{
    setlocale(LC_CTYPE, "C.UTF-8");
    signal(SIGPIPE, SIG_IGN); /* a closed pipe shows as a write error */
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != 0) {
        fputs("autonomy: libcurl doesn't start\n", stderr);
        return CLI_FAILED;
    }
    int code = cli_run(argc, argv, stdout, stderr);
    curl_global_cleanup();
    return code;
}
