/* What this build calls itself. */
#pragma once

#ifndef AUTONOMY_VERSION
#define AUTONOMY_VERSION "0.1.0"
#endif
#ifndef AUTONOMY_COMMIT
#define AUTONOMY_COMMIT "unknown" /* outside a checkout */
#endif
#define NODE_VERSION AUTONOMY_VERSION
#define NODE_COMMIT  AUTONOMY_COMMIT
