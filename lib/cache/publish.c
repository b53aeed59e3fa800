/* SPDX-License-Identifier: MIT */
/*
 * Writing an entry and making it seen.
 *
 * The entry is whole before it is sealed and its slot is stored, under the bucket's lock. What was
 * written for an earlier epoch has a check that no reader expects: a clear that came in between has
 * removed it. It is not stored then, since it would take the place of what was put after the clear.
 */
#include <errno.h>

#include "cache/age.h"
#include "cache/index.h"
#include "cache/publish.h"
#include "cache/stats.h"

#define EVICTIONS 4u

/*
 * Room for a new entry. Where all segments have entries, those of one, or of as many in a row as
 * are needed, give way, but for the ones that are used; if that makes no room, all give way.
 */
static int find_room(struct ashmem_cache *cache, uint64_t bytes, struct cache_writing *writing)
{
	uint32_t segments = cache_segments_for(cache, CACHE_FIRST_OFFSET + bytes);
	enum cache_class class = age_class_for(cache, writing->hash);
	int r = -EBUSY;

	for (unsigned tries = 0; tries < EVICTIONS && r == -EBUSY; tries++) {
		r = segment_room(cache, bytes, writing->epoch, class, TAKE_FREE, &writing->room);
		if (r == -EBUSY && !age_evict(cache, segments))
			break;
	}
	if (r == -EBUSY)
		r = segment_room(cache, bytes, writing->epoch, class, TAKE_ANY, &writing->room);
	return r;
}

int publish_begin(struct ashmem_cache *cache, const struct cache_key *key, size_t value_bytes,
	uint64_t ttl_ms, struct cache_writing *writing)
{
	if (value_bytes > cache->layout.value_most)
		return -EFBIG;
	index_prefetch(cache, key->hash);
	*writing = (struct cache_writing){
		.epoch = cache_epoch(cache),
		.key_bytes = key->count,
		.value_bytes = (uint32_t)value_bytes,
		.hash = key->hash,
	};
	int r = find_room(cache, entry_bytes(key->count, value_bytes), writing);
	if (r < 0)
		return r;
	writing_head(cache, writing, entry_times(cache_expiry(ttl_ms), key->count));
	copy_to_shared(writing_at(cache, writing) + ENTRY_HEAD, key->bytes, key->count);
	return 0;
}

unsigned char *publish_value_at(const struct ashmem_cache *cache,
	const struct cache_writing *writing)
{
	return writing_at(cache, writing) + entry_value_at(writing->key_bytes);
}

/* With the bucket locked. */
static int set_slot(struct ashmem_cache *cache, struct cache_bucket *bucket,
	const struct cache_writing *writing, const struct cache_key *key, uint32_t flags)
{
	struct cache_found old;
	uint64_t epoch = writing->epoch;
	int found = index_find(cache, key, epoch, &old);
	/* What a purge has taken some of is there no more. */
	int is_there = found && !cache_found_is_expired(&old) && cache_is_still(cache, &old);

	if (is_there && (flags & ASHMEM_PUT_ADD))
		return -EEXIST;
	if (!is_there && (flags & ASHMEM_PUT_REPLACE))
		return -ENOENT;
	if (cache_epoch(cache) != epoch)
		return 0;
	writing_seal(cache, writing);
	uint32_t index = found ? old.index : index_spare(cache, key, epoch);
	if (!found)
		index_set_reads(bucket, index, 0);
	index_set(bucket, index, writing_slot(writing));
	return 0;
}

int publish(struct ashmem_cache *cache, const struct cache_writing *writing,
	const struct cache_key *key, uint32_t flags)
{
	struct cache_bucket *bucket = &cache->buckets[bucket_of(&cache->layout, key->hash)];
	int r = index_lock(bucket);

	if (r < 0)
		return r;
	r = set_slot(cache, bucket, writing, key, flags);
	index_unlock(bucket);
	if (r == 0)
		stats_put(cache);
	return r;
}
