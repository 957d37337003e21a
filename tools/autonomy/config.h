/* The operator's own settings: $XDG_CONFIG_HOME/autonomy/config.yaml, else ~/.config/autonomy/config.yaml. */
#pragma once

#include "base/arena.h"

/** One setting by its dotted key ("orchestrator.url"); NULL when the file or the key isn't there. */
const char *config_value(struct arena *arena, const char *key);
