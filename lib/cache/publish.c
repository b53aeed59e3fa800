/* SPDX-License-Identifier: MIT */
/*
 * Writing an entry and making it seen.
 *
 * The entry is whole before its slot is stored, under the bucket's lock. What was written for an
 * earlier epoch has a check that no reader expects: a clear that came in between has removed it.
 */
#include <errno.h>

#include "area/around.h"
#include "cache/index.h"
#include "cache/publish.h"
#include "cache/stats.h"

static struct entry_head *head_at(const struct ashmem_cache *cache, const struct cache_room *room)
{
	return (struct entry_head *)(cache_segment_at(cache, room->segment) + room->offset);
}

int publish_begin(struct ashmem_cache *cache, const struct cache_key *key, size_t value_bytes,
	uint64_t ttl_ms, struct cache_writing *writing)
{
	if (value_bytes > cache->layout.value_most)
		return -EFBIG;
	*writing = (struct cache_writing){
		.epoch = cache_epoch(cache),
		.key_bytes = key->count,
		.value_bytes = (uint32_t)value_bytes,
		.hash = key->hash,
	};
	int r = segment_room(cache, (uint32_t)entry_bytes(key->count, value_bytes), writing->epoch,
		&writing->room);
	if (r < 0)
		return r;
	const struct cache_room *room = &writing->room;
	struct entry_head *head = head_at(cache, room);
	SHARED_STORE(head->times, entry_times(cache_expiry(ttl_ms), key->count));
	SHARED_STORE(head->value_bytes, writing->value_bytes);
	SHARED_STORE(head->check,
		entry_check(cache->secret, writing->epoch, room->generation,
			(uint64_t)room->segment << 32 | room->offset, key->hash,
			(uint64_t)writing->value_bytes << 32 | key->count));
	copy_to_shared((unsigned char *)head + ENTRY_HEAD, key->bytes, key->count);
	return 0;
}

unsigned char *publish_value_at(const struct ashmem_cache *cache,
	const struct cache_writing *writing)
{
	return (unsigned char *)head_at(cache, &writing->room) + entry_value_at(writing->key_bytes);
}

/* With the bucket locked. */
static int set_slot(struct ashmem_cache *cache, struct cache_bucket *bucket,
	const struct cache_writing *writing, const struct cache_key *key, uint32_t flags)
{
	const struct cache_room *room = &writing->room;
	struct cache_found old;
	uint64_t epoch = cache_epoch(cache);
	int found = index_find(cache, key, epoch, &old);
	/* What a purge has taken some of is there no more. */
	int is_there = found && !cache_found_is_expired(&old) && cache_is_still(cache, &old);

	if (is_there && (flags & ASHMEM_PUT_ADD))
		return -EEXIST;
	if (!is_there && (flags & ASHMEM_PUT_REPLACE))
		return -ENOENT;
	uint32_t index = found ? old.index : index_spare(cache, key, epoch);
	if (!found)
		index_set_reads(bucket, index, 0);
	index_set(bucket, index,
		slot_make(key->hash, room->generation, room->segment, room->offset));
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

void publish_end(struct ashmem_cache *cache, const struct cache_writing *writing)
{
	segment_done(cache, &writing->room);
	if (writing->room.taken)
		around_made_purgeable(cache->area, cache->layout.segment_bytes);
}
