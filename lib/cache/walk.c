/* SPDX-License-Identifier: MIT */
/*
 * Walking over the keys: slot by slot of the index, without a lock. A position is the number of the
 * next slot.
 */
#include <errno.h>

#include "cache/find.h"

/* 1 and the key of the slot, 0 if it has none, or -ERANGE. */
static int look(const struct ashmem_cache *cache, uint64_t position, void *key, size_t key_room,
	struct cache_found *found)
{
	enum cache_miss miss;
	uint64_t slot = __atomic_load_n(&cache->buckets[position / CACHE_SLOTS]
						 .slot[position % CACHE_SLOTS],
		__ATOMIC_ACQUIRE);

	if (slot == 0 || !cache_open_slot(cache, slot, cache_epoch(cache), NULL, found, &miss) ||
		cache_found_is_expired(found))
		return 0;
	if (found->key_bytes > key_room)
		return cache_is_still(cache, found) ? -ERANGE : 0;
	unsigned char copy[ASHMEM_CACHE_KEY_MOST];
	copy_from_shared(copy, cache_found_key(cache, found), found->key_bytes);
	if (!cache_is_still(cache, found))
		return 0;
	memcpy(key, copy, found->key_bytes);
	return 1;
}

int ashmem_cache_next(struct ashmem_cache *cache, uint64_t *position, void *key, size_t key_room,
	size_t *key_bytes, uint64_t *value_bytes)
{
	struct cache_found found;
	int r = 0;

	if (!cache || !position || !key || !key_bytes)
		return -EINVAL;
	uint64_t end = (uint64_t)cache->layout.buckets * CACHE_SLOTS, at = *position;
	while (at < end && (r = look(cache, at, key, key_room, &found)) == 0)
		at++;
	*position = r > 0 ? at + 1 : at < end ? at : end;
	if (r <= 0)
		return r;
	*key_bytes = found.key_bytes;
	if (value_bytes)
		*value_bytes = found.value_bytes;
	return 1;
}
