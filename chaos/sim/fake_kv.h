/* base/kv.h in memory; its controls are those of the disk it lies on. */
#pragma once

#include "chaos/sim/fake_disk.h"
