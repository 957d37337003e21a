/* Between kv.c and kv_overlay.c. */
#pragma once

#include "base/kv.h"

struct kv_merge; /* the overlay's part of a walk */

/** Makes a walk over the store one over store and overlay; the walk owns `merge` from now on. */
void kv_iterator_merge(struct kv_iterator *iterator, struct kv_merge *merge);
/** The next pair of the store alone. */
bool kv_iterator_step(struct kv_iterator *iterator, struct span *key, struct span *value);

bool kv_merge_next(struct kv_merge *merge, struct kv_iterator *iterator, struct span *key,
                   struct span *value);
void kv_merge_free(struct kv_merge *merge);

/** Order of keys: as unsigned bytes, the shorter first. */
int kv_key_compare(struct span a, struct span b);
