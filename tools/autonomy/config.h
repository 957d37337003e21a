/* The operator's own settings: $XDG_CONFIG_HOME/autonomy/config.yaml, else ~/.config/autonomy/config.yaml. */
#pragma once

#include "base/arena.h"

#include "base/error.h"

/** One setting by its dotted key ("orchestrator.url").
 * @param value  NULL when the file or the key isn't there  @return ERROR_INVALID, ERROR_IO for a file that
 * can't be read */
enum error_code config_value(struct arena *arena, const char *key, const char **value,
                             struct error *error) MUST_USE;
