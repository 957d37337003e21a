/* autonomyd: arguments, and nothing else; node.c does the work. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/logger.h"
#include "node/node.h"
#include "node/version.h"

static const char usage[] =
    "autonomyd: one node of the control plane.\n"
    "\n"
    "Usage:\n"
    "  autonomyd --config FILE                  run with this configuration\n"
    "  autonomyd --check-config --config FILE   only say whether the configuration holds\n"
    "  autonomyd --dev [--data-dir DIR]         a single node for development: API on 127.0.0.1:7101, data "
    "in DIR\n"
    "                                           (./autonomy-dev)\n"
    "  autonomyd --version | --help\n"
    "\n"
    "Examples:\n"
    "  autonomyd --dev &\n"
    "  curl -s http://127.0.0.1:7101/v1/ha/status | jq .\n"
    "\n"
    "  printf 'name: n1\\ndata_dir: /var/lib/autonomy\\nbootstrap: true\\n' >n1.yaml\n"
    "  autonomyd --config n1.yaml\n"
    "\n"
    "Exit codes: 0 stopped as asked; 1 refused to start, the message says how to go on; 2 wrong usage;\n"
    "3 environment (port in use, data folder held, disk full); 70 failed while running, start it again;\n"
    "130 stopped at once by a second signal.\n";

struct arguments {
    const char *config, *data_dir;
    bool dev, check;
};

enum option_id {
    OPTION_CONFIG = 256,
    OPTION_DEV,
    OPTION_DATA_DIR,
    OPTION_CHECK,
    OPTION_VERSION,
    OPTION_HELP
};

static int wrong_usage(const char *what)
{
    fprintf(stderr, "autonomyd: %s\n\n%s", what, usage);
    return EXIT_USAGE;
}

/** @return -1 to go on, else the exit code */
static int read_arguments(int argc, char **argv, struct arguments *out)
{
    static const struct option options[] = {{"config", required_argument, NULL, OPTION_CONFIG},
                                            {"dev", no_argument, NULL, OPTION_DEV},
                                            {"data-dir", required_argument, NULL, OPTION_DATA_DIR},
                                            {"check-config", no_argument, NULL, OPTION_CHECK},
                                            {"version", no_argument, NULL, OPTION_VERSION},
                                            {"help", no_argument, NULL, OPTION_HELP},
                                            {NULL, 0, NULL, 0}};
    int option;
    opterr = 0;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (option) {
        case OPTION_CONFIG:
            out->config = optarg;
            break;
        case OPTION_DEV:
            out->dev = true;
            break;
        case OPTION_DATA_DIR:
            out->data_dir = optarg;
            break;
        case OPTION_CHECK:
            out->check = true;
            break;
        case OPTION_VERSION:
            printf("autonomyd %s (%s)\n", NODE_VERSION, NODE_COMMIT);
            return EXIT_CLEAN;
        case OPTION_HELP:
            fputs(usage, stdout);
            return EXIT_CLEAN;
        default:
            return wrong_usage("unknown option, or an option without its value");
        }
    }
    if (optind < argc)
        return wrong_usage("arguments are options only");
    if (out->dev == (out->config != NULL))
        return wrong_usage("give either --config FILE or --dev");
    if (out->data_dir && !out->dev)
        return wrong_usage("--data-dir belongs to --dev; with --config it is a setting");
    return -1;
}

static void set_log_level(const char *name)
{
    static const char *const names[] = {"error", "warn", "info", "debug"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(names[i], name) == 0)
            logger_level_set((enum logger_level)i);
}

static void complain(const struct error *error)
{
    fprintf(stderr, "%sautonomyd: %s\n", logger_prefix(LOGGER_ERROR), error->message);
}

int main(int argc, char **argv)
{
    struct arguments arguments = {0};
    struct config config = {0};
    struct error error = {0};
    logger_open();
    int code = read_arguments(argc, argv, &arguments);
    if (code >= 0)
        return code;
    if (arguments.dev) {
        config_dev(arguments.data_dir ? arguments.data_dir : "autonomy-dev", &config);
    } else if (config_load(arguments.config, &config, &error) != ERROR_OK) {
        complain(&error);
        return error.code == ERROR_IO ? EXIT_ENVIRONMENT : EXIT_REFUSED;
    }
    if (arguments.check && config_check_folder(&config, &error) != ERROR_OK) {
        complain(&error);
        config_done(&config);
        return EXIT_REFUSED;
    }
    if (arguments.check) {
        printf("%s holds: node %s, API on %s, wire on %s, data in %s\n",
               arguments.dev ? "--dev" : arguments.config, config.name, config.api_listen, config.wire_listen,
               config.data_dir);
        config_done(&config);
        return EXIT_CLEAN;
    }
    set_log_level(config.log_level);
    struct node *node = node_new(&config);
    code = node_run(node, &error);
    if (code != EXIT_CLEAN)
        complain(&error);
    node_free(node);
    config_done(&config);
    return code;
}
