/* SPDX-License-Identifier: MIT */
/* Copying a value that was found, for reads and for entries that are copies: read.c. */
#ifndef ASHMEM_LIB_CACHE_READ_H
#define ASHMEM_LIB_CACHE_READ_H

#include "cache/find.h"

/* How often a reader looks again for a key that was put again, or carried, while it looked. */
#define READ_TRIES 16u

/* Copy the first bytes of the value: 1, or 0 and why it is not there any more. */
int read_copy(const struct ashmem_cache *cache, const struct cache_found *found, void *buf,
	size_t bytes, enum cache_miss *miss);

/* It was a hit. */
void read_count(struct ashmem_cache *cache, const struct cache_found *found);

#endif /* ASHMEM_LIB_CACHE_READ_H */
