/* SPDX-License-Identifier: MIT */
/* Finding an entry without a lock, and whether what was found is still there: find.c. */
#ifndef ASHMEM_LIB_CACHE_FIND_H
#define ASHMEM_LIB_CACHE_FIND_H

#include "cache/cache.h"

/* How often one looks again for a key that was put again, or carried, while one looked. */
#define CACHE_TRIES 16u

/* What is looked for. */
struct cache_key {
	const void *bytes;
	uint32_t count;
	uint64_t hash;
};

/* An entry that was there a moment ago. */
struct cache_found {
	uint64_t slot; /* of the index, its contents */
	uint32_t bucket, index;
	uint32_t segment, offset;
	uint64_t at;         /* the same in the area */
	uint64_t kept_until; /* there, no page was lost when it was found */
	uint64_t generation; /* of all its segments together */
	uint64_t hash;       /* of its key */
	uint64_t times;
	uint32_t key_bytes, value_bytes;
	uint64_t bytes; /* all that the entry takes */
};

static inline struct cache_key cache_key_of(const struct ashmem_cache *cache, const void *key,
	size_t key_bytes)
{
	return (struct cache_key){
		.bytes = key,
		.count = (uint32_t)key_bytes,
		.hash = cache_hash(cache->secret, key, key_bytes),
	};
}

static inline const unsigned char *cache_found_key(const struct ashmem_cache *cache,
	const struct cache_found *found)
{
	return cache->base + found->at + ENTRY_HEAD;
}

static inline const unsigned char *cache_found_value(const struct ashmem_cache *cache,
	const struct cache_found *found)
{
	return cache->base + found->at + entry_value_at(found->key_bytes);
}

/* Where it ends, from the start of its segment. */
static inline uint64_t cache_found_end(const struct cache_found *found)
{
	return found->offset + found->bytes;
}

static inline int cache_found_is_lost(const struct ashmem_cache *cache,
	const struct cache_found *found)
{
	return cache_is_lost(cache, found->at, found->at + found->bytes);
}

static inline uint32_t cache_found_segments(const struct ashmem_cache *cache,
	const struct cache_found *found)
{
	return cache_segments_for(cache, cache_found_end(found));
}

static inline int cache_found_is_expired(const struct cache_found *found)
{
	uint64_t expires_ms = entry_expires_ms(found->times);

	return expires_ms != 0 && cache_now_ms() >= expires_ms;
}

/*
 * What the slot's word stands for, if it is an entry of this key: 1 and `*found`, but for its place
 * in the index. Else 0 and why not; CACHE_NEVER: it is another key's, alive. The key NULL: any key.
 */
int cache_open_slot(const struct ashmem_cache *cache, uint64_t slot, uint64_t epoch,
	const struct cache_key *key, struct cache_found *found, enum cache_miss *miss);

/* Whether the slot's word stands for nothing any more, without looking into the segment. */
int cache_slot_is_dead(const struct ashmem_cache *cache, uint64_t slot, uint64_t epoch);

/*
 * Whether all that was read of an entry since it was found was its own. Only this makes it so.
 */
int cache_is_still(const struct ashmem_cache *cache, const struct cache_found *found);

/*
 * Find a key: 1 and an entry that is not expired, or 0 and the reason. What is read of it counts
 * only if cache_is_still() says so afterwards.
 */
int cache_find(const struct ashmem_cache *cache, const struct cache_key *key,
	struct cache_found *found, enum cache_miss *miss);

/* Copy the first bytes of the value found: 1, or 0 and why it is not there any more. */
int cache_copy(const struct ashmem_cache *cache, const struct cache_found *found, void *buf,
	size_t bytes, enum cache_miss *miss);

/* Whether the slot has another content by now than when the entry was found. */
static inline int cache_has_moved(const struct ashmem_cache *cache, const struct cache_found *found)
{
	return SHARED_LOAD(cache->buckets[found->bucket].slot[found->index]) != found->slot;
}

#endif /* ASHMEM_LIB_CACHE_FIND_H */
