/* SPDX-License-Identifier: MIT */
/* Writing an entry into room and making it seen: publish.c. */
#ifndef ASHMEM_LIB_CACHE_PUBLISH_H
#define ASHMEM_LIB_CACHE_PUBLISH_H

#include "cache/find.h"
#include "cache/segment.h"

/* An entry that is written and not seen yet. */
struct cache_writing {
	struct cache_room room;
	uint64_t epoch; /* when it was begun */
	uint32_t key_bytes, value_bytes;
	uint64_t hash;
};

/*
 * Room for an entry, with its head and key: 0, or as segment_room(), -EFBIG. publish_end() follows
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
/* Nothing more is written. No lock is held: it may purge. */
void publish_end(struct ashmem_cache *cache, const struct cache_writing *writing);

#endif /* ASHMEM_LIB_CACHE_PUBLISH_H */
