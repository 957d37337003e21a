/* Whether both listeners can have their ports: asked before anything is formed or joined, so that a node that
 * could never serve leaves no trace in a cluster. */
#pragma once

#include "base/error.h"
#include "node/config.h"

/** Takes both at once, and lets them go again. @return ERROR_LOCKED when one is in use, by another process or
 * by the other listener */
enum error_code ports_check(const struct config *config, struct error *error) MUST_USE;
