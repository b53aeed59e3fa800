/* SPDX-License-Identifier: MIT */
/* The public calls that put and remove values whole. No lock is held on entry. */
#include <errno.h>

#include "base/cancel.h"
#include "cache/index.h"
#include "cache/publish.h"
#include "cache/stats.h"

static int put(struct ashmem_cache *cache, const struct cache_key *key, const void *value,
	size_t value_bytes, uint64_t ttl_ms, uint32_t flags)
{
	struct cache_writing writing;
	struct cache_found found;
	enum cache_miss miss;
	int r;

	/* Room is not used up for a wish that cannot be fulfilled. */
	if (flags) {
		r = cache_find(cache, key, &found, &miss) && cache_is_still(cache, &found);
		if (r == (flags == ASHMEM_PUT_ADD))
			return flags == ASHMEM_PUT_ADD ? -EEXIST : -ENOENT;
	}
	r = publish_begin(cache, key, value_bytes, ttl_ms, &writing);
	if (r < 0)
		return r;
	if (value_bytes)
		copy_to_shared(publish_value_at(cache, &writing), value, value_bytes);
	r = publish(cache, &writing, key, flags);
	writing_end(cache, &writing);
	return r;
}

int ashmem_cache_put_with(struct ashmem_cache *cache, const void *key, size_t key_bytes,
	const void *value, size_t value_bytes, uint64_t ttl_ms, uint32_t flags)
{
	CANCEL_OFF;
	int r = cache_check_writer(cache, key, key_bytes);

	if (r < 0)
		return r;
	if ((!value && value_bytes) ||
		(flags != 0 && flags != ASHMEM_PUT_ADD && flags != ASHMEM_PUT_REPLACE))
		return -EINVAL;
	struct cache_key its_key = cache_key_of(cache, key, key_bytes);
	return put(cache, &its_key, value, value_bytes, ttl_ms, flags);
}

int ashmem_cache_put(struct ashmem_cache *cache, const void *key, size_t key_bytes,
	const void *value, size_t value_bytes, uint64_t ttl_ms)
{
	return ashmem_cache_put_with(cache, key, key_bytes, value, value_bytes, ttl_ms, 0);
}

int ashmem_cache_remove(struct ashmem_cache *cache, const void *key, size_t key_bytes)
{
	CANCEL_OFF;
	int r = cache_check_writer(cache, key, key_bytes);

	if (r < 0)
		return r;
	struct cache_key its_key = cache_key_of(cache, key, key_bytes);
	struct cache_bucket *bucket = &cache->buckets[bucket_of(&cache->layout, its_key.hash)];
	struct cache_found found;
	r = index_lock(bucket);
	if (r < 0)
		return r;
	int is_there = index_find(cache, &its_key, cache_epoch(cache), &found);
	if (is_there) {
		index_set(bucket, found.index, 0);
		/* A value that a purge has taken, or whose time is over, was there no more. */
		is_there = cache_is_still(cache, &found) && !cache_found_is_expired(&found);
	}
	index_unlock(bucket);
	if (is_there)
		stats_remove(cache);
	return is_there ? 0 : -ENOENT;
}

int ashmem_cache_clear(struct ashmem_cache *cache)
{
	CANCEL_OFF;
	if (!cache)
		return -EINVAL;
	if (!cache->writable)
		return -EACCES;
	/* The checks of all entries are those of an earlier epoch from here on. */
	segment_cleared(cache, __atomic_add_fetch(&cache->shared->epoch, 1, __ATOMIC_ACQ_REL));
	return 0;
}
