/* What this process takes of its machine: memory, descriptors, processor time, disk. */
#pragma once

#include <stdint.h>

struct usage {
    uint64_t resident_bytes, descriptors, descriptors_max, cpu_us;
    uint64_t store_bytes, log_bytes, mirror_bytes; /* of the files in the data folder */
};

/** Asks the kernel; what can't be read is 0. May wait for the disk: not for the loop thread.
 * @param data_dir  NULL: none */
void usage_read(const char *data_dir, struct usage *out);
