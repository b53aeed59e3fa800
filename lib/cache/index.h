/* SPDX-License-Identifier: MIT */
/*
 * Changing the index: one bucket at a time, under its crash-safe lock, with one store of one slot.
 * So a key has one slot at most, and a process that dies leaves the slot as it was or as it was to
 * be. Readers take no lock. The handle's mutex is not held.
 */
#ifndef ASHMEM_LIB_CACHE_INDEX_H
#define ASHMEM_LIB_CACHE_INDEX_H

#include "cache/find.h"

/* Its lines of the index are looked at soon. */
static inline void index_prefetch(const struct ashmem_cache *cache, uint64_t hash)
{
	const struct cache_bucket *bucket = &cache->buckets[bucket_of(&cache->layout, hash)];

	__builtin_prefetch(bucket);
	__builtin_prefetch(&bucket->slot[CACHE_SLOTS - 1]);
}

/* 0, -ETIMEDOUT or -EDEADLK. */
int index_lock(struct cache_bucket *bucket);
void index_unlock(struct cache_bucket *bucket);

/* With the bucket locked: the slot of the key, 1 and what was found; or 0. */
int index_find(const struct ashmem_cache *cache, const struct cache_key *key, uint64_t epoch,
	struct cache_found *found);

/* With the bucket locked: the slot to give to a key that has none; readers may lose what it had. */
uint32_t index_spare(const struct ashmem_cache *cache, const struct cache_key *key, uint64_t epoch);

/* With the bucket locked: from here on readers see what `slot` stands for, or nothing. */
void index_set(struct cache_bucket *bucket, uint32_t index, uint64_t slot);

/* With the bucket locked: no slot has this content. */
void index_clear_twins(struct cache_bucket *bucket, uint64_t slot);

/* -- how often an entry was read, up to 3 -- */

static inline uint32_t index_reads(const struct cache_bucket *bucket, uint32_t index)
{
	return SHARED_LOAD(bucket->reads) >> 2 * index & 3;
}

/* Without a lock: a count may be lost. */
static inline void index_count_read(struct cache_bucket *bucket, uint32_t index)
{
	uint32_t reads = SHARED_LOAD(bucket->reads);

	if ((reads >> 2 * index & 3) != 3)
		__atomic_compare_exchange_n(&bucket->reads, &reads, reads + (1u << 2 * index), 1,
			__ATOMIC_RELAXED, __ATOMIC_RELAXED);
}

void index_set_reads(struct cache_bucket *bucket, uint32_t index, uint32_t reads);

#endif /* ASHMEM_LIB_CACHE_INDEX_H */
