/* What the files of fsm/ see of the state machine beyond fsm.h. */
#pragma once

#include "fsm/fsm.h"
#include "fsm/store.h"

struct store *fsm_store(struct fsm *self);
