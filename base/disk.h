/* The few files beside the stores: folders, a lock, a reserve, and small files that are replaced atomically.
 *
 * Like base/kv.h this is a seam: the simulator and the unit tests of consensus/ link another implementation.
 * Threads: any; one writer a path. Errors: ERROR_NO_SPACE for a full disk, ERROR_NOT_FOUND, ERROR_CORRUPT,
 * else ERROR_IO. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/error.h"

/** What a small file holds at most: with its head it is one block, so that a write tears nothing beside it.
 */
#define DISK_SMALL_BYTES_MAX 4064u

/** Makes the folder if it is missing, durably. Its parent must exist. */
enum error_code disk_folder_make(const char *path, struct error *error) MUST_USE;
/** Removes a file, or a folder with what is in it. A missing one is ERROR_OK. */
enum error_code disk_remove(const char *path, struct error *error) MUST_USE;
/** Calls `visit` with the name of everything in the folder, in no order. A missing folder is empty. */
enum error_code disk_list(const char *folder, void (*visit)(void *context, const char *name), void *context,
                          struct error *error) MUST_USE;
bool disk_exists(const char *path);
/** What the files in a folder and below take together. */
uint64_t disk_folder_bytes(const char *folder);

/** Appends the file's content, as the last disk_small_write() that returned left it, or one that was under
 * way then.
 * @return ERROR_NOT_FOUND (a message is set) when there is no such file, ERROR_CORRUPT when neither of its
 * two copies is whole */
enum error_code disk_small_read(const char *path, struct bytes *out, struct error *error) MUST_USE;
/** Replaces the content; durable before return. Two alternating copies: a crash in the middle leaves the old
 * one. Needs no space after the first time. */
enum error_code disk_small_write(const char *path, struct span content, struct error *error) MUST_USE;

/** What an unprivileged writer may still use where `path` lies. False when it can't be known. */
bool disk_free_bytes(const char *path, uint64_t *out);
/** Allocates a file of `bytes` whose only use is to be given up later. Fine when it is there already. */
enum error_code disk_reserve_make(const char *path, uint64_t bytes, struct error *error) MUST_USE;
/** Gives the space back. @return how many bytes that were; 0: there were none */
uint64_t disk_reserve_release(const char *path);

struct disk_lock;
/** Locks a folder for this process through the file `path`, which then holds "<pid> <program>". It ends with
 * the process.
 * @return ERROR_LOCKED naming the holder; nothing was touched */
enum error_code disk_lock_take(const char *path, struct disk_lock **out, struct error *error) MUST_USE;
void disk_lock_release(struct disk_lock *self);
