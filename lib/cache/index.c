/* SPDX-License-Identifier: MIT */
/* Changing the index: index.h. */
#include "base/lock.h"
#include "cache/index.h"

int index_lock(struct cache_bucket *bucket)
{
	int r = lock_acquire(&bucket->lock);

	return r < 0 ? r : 0; /* what a dead owner leaves is whole */
}

void index_unlock(struct cache_bucket *bucket)
{
	lock_release(&bucket->lock);
}

int index_find(const struct ashmem_cache *cache, const struct cache_key *key, uint64_t epoch,
	struct cache_found *found)
{
	enum cache_miss why;

	found->bucket = bucket_of(&cache->layout, key->hash);
	for (found->index = 0; found->index < CACHE_SLOTS; found->index++) {
		uint64_t slot = SHARED_LOAD(cache->buckets[found->bucket].slot[found->index]);
		if (slot != 0 && slot_has_tag(slot, key->hash) &&
			cache_open_slot(cache, slot, epoch, key, found, &why))
			return 1;
	}
	return 0;
}

/* Of slots in use: which one has least worth keeping. */
static uint64_t worth_of(const struct ashmem_cache *cache, uint64_t slot, uint64_t epoch)
{
	uint32_t segment = slot_segment(slot);

	if (segment >= cache->layout.segments)
		return 0;
	if (!cache_slot_is_dead(cache, slot, epoch))
		return 0x10000 + SHARED_LOAD(cache->table[segment].sequence);
	/* It shows that its key was here (age.c): the longer ago, the less that tells. */
	return 0xffff -
		((SHARED_LOAD(cache->table[segment].generation) - slot_generation(slot)) & 0xffff);
}

uint32_t index_spare(const struct ashmem_cache *cache, const struct cache_key *key, uint64_t epoch)
{
	const struct cache_bucket *bucket = &cache->buckets[bucket_of(&cache->layout, key->hash)];
	uint64_t least = UINT64_MAX;
	uint32_t chosen = 0;

	for (uint32_t i = 0; i < CACHE_SLOTS; i++) {
		uint64_t slot = SHARED_LOAD(bucket->slot[i]);
		if (slot == 0)
			return i;
		uint64_t worth = worth_of(cache, slot, epoch);
		if (worth < least) {
			least = worth;
			chosen = i;
		}
	}
	return chosen;
}

void index_set(struct cache_bucket *bucket, uint32_t index, uint64_t slot)
{
	/* Release: who sees the slot sees the entry. */
	__atomic_store_n(&bucket->slot[index], slot, __ATOMIC_RELEASE);
}

void index_clear_twins(struct cache_bucket *bucket, uint64_t slot)
{
	for (uint32_t i = 0; i < CACHE_SLOTS; i++)
		if (SHARED_LOAD(bucket->slot[i]) == slot)
			index_set(bucket, i, 0);
}

void index_set_reads(struct cache_bucket *bucket, uint32_t index, uint32_t reads)
{
	uint32_t was = SHARED_LOAD(bucket->reads), now;

	do
		now = (was & ~(3u << 2 * index)) | reads << 2 * index;
	while (was != now &&
		!__atomic_compare_exchange_n(&bucket->reads, &was, now, 1, __ATOMIC_RELAXED,
			__ATOMIC_RELAXED));
}
