/* SPDX-License-Identifier: MIT */
/*
 * Reading: a copy of the value, without a lock. find.c has the order of looks that makes it good.
 * A read never pins or holds: a process killed in between would leave what it read unpurgeable.
 */
#include <errno.h>

#include "cache/index.h"
#include "cache/read.h"
#include "cache/stats.h"

int read_copy(const struct ashmem_cache *cache, const struct cache_found *found, void *buf,
	size_t bytes, enum cache_miss *miss)
{
	*miss = CACHE_PURGED;
	/* A look at a hole would give it memory. */
	if (cache_is_lost(cache, found->segment, found->offset, cache_found_end(found)))
		return 0;
	if (buf)
		copy_from_shared(buf, cache_found_value(cache, found), bytes);
	if (cache_is_still(cache, found))
		return 1;
	if (!cache_is_lost(cache, found->segment, found->offset, cache_found_end(found)))
		*miss = CACHE_DROPPED;
	return 0;
}

void read_count(struct ashmem_cache *cache, const struct cache_found *found)
{
	stats_hit(cache);
	if (cache->writable)
		index_count_read(&cache->buckets[found->bucket], found->index);
}

/* Find the entry and copy what fits of its value: 1, or 0 and why not. */
static int read_entry(struct ashmem_cache *cache, const struct cache_key *key, void *buf,
	size_t buf_bytes, struct cache_found *found, enum cache_miss *miss)
{
	for (unsigned tries = 0; tries < READ_TRIES; tries++) {
		if (!cache_find(cache, key, found, miss))
			return 0;
		size_t bytes = found->value_bytes < buf_bytes ? found->value_bytes : buf_bytes;
		if (read_copy(cache, found, buf, bytes, miss))
			return 1;
		if (!cache_has_moved(cache, found))
			return 0;
	}
	return 0;
}

int64_t ashmem_cache_read(struct ashmem_cache *cache, const void *key, size_t key_bytes, void *buf,
	size_t buf_bytes)
{
	struct cache_found found;
	enum cache_miss miss;
	int r = cache_check_key(cache, key, key_bytes);

	if (r < 0)
		return r;
	if (!buf && buf_bytes)
		return -EINVAL;
	struct cache_key wanted = cache_key_of(cache, key, key_bytes);
	if (!read_entry(cache, &wanted, buf, buf_bytes, &found, &miss)) {
		stats_miss(cache, miss);
		return -ENOENT;
	}
	read_count(cache, &found);
	return found.value_bytes;
}

int64_t ashmem_cache_get_ttl(struct ashmem_cache *cache, const void *key, size_t key_bytes)
{
	struct cache_found found;
	enum cache_miss miss;
	int r = cache_check_key(cache, key, key_bytes);

	if (r < 0)
		return r;
	struct cache_key wanted = cache_key_of(cache, key, key_bytes);
	if (!read_entry(cache, &wanted, NULL, 0, &found, &miss))
		return -ENOENT;
	uint64_t expires_ms = entry_expires_ms(found.times);
	if (expires_ms == 0)
		return 0;
	uint64_t now_ms = cache_now_ms();
	return now_ms < expires_ms ? (int64_t)(expires_ms - now_ms) : -ENOENT;
}
