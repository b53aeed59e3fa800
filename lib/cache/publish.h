/* SPDX-License-Identifier: MIT */
/* Writing an entry into room and making it seen: publish.c. */
#ifndef ASHMEM_LIB_CACHE_PUBLISH_H
#define ASHMEM_LIB_CACHE_PUBLISH_H

#include "cache/writing.h"

/*
 * Room for an entry, with its head and key: 0, or as segment_room(), -EFBIG. writing_end() follows
 * when the value is written and published, or given up.
 */
int publish_begin(struct ashmem_cache *cache, const struct cache_key *key, size_t value_bytes,
	uint64_t ttl_ms, struct cache_writing *writing);
/* Where its value is to be written. */
unsigned char *publish_value_at(const struct ashmem_cache *cache,
	const struct cache_writing *writing);
/* Let readers see it: 0, -EEXIST or -ENOENT by `flags`, -ETIMEDOUT, -EDEADLK. */
int publish(struct ashmem_cache *cache, const struct cache_writing *writing,
	const struct cache_key *key, uint32_t flags);
#endif /* ASHMEM_LIB_CACHE_PUBLISH_H */
