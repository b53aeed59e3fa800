/* SPDX-License-Identifier: MIT */
/*
 * Finding an entry without a lock.
 *
 * Nothing that is read here can be relied on: the segment may be purged or taken for other entries
 * meanwhile. What makes a read good is the order:
 *
 *   1. the slot (acquire), the segment's generation (acquire), which must be the slot's, and those
 *      of the other segments of a run;
 *   2. before each touch of a page, its bit of lost pages: a look at a hole would give it memory
 *      that no purge finds again;
 *   3. head, key and value are read;
 *   4. fence; the bits of all their pages again: a purge sets them before it frees the pages;
 *   5. fence; the whole generations again: a taking changes it before it clears the bits.
 *
 * With 4 and 5 exchanged, a purge and a taking between the two would go unnoticed. The head's check
 * contains the whole generation, since 16 bits of it come round again, and those of all segments of
 * a run: so one of them that was taken meanwhile ends the value.
 */
#include "cache/find.h"

/*
 * The entry ends where another segment begins or later: 1 and the generation of its run, or 0, it
 * is none. Only at its very start a segment has such an entry.
 */
static int read_run(const struct ashmem_cache *cache, struct cache_found *found)
{
	uint64_t room =
		(uint64_t)(cache->layout.segments - found->segment) * cache->layout.segment_bytes;

	if (found->offset != CACHE_FIRST_OFFSET || cache_found_end(found) > room)
		return 0;
	found->generation +=
		cache_generation(cache, found->segment + 1, cache_found_segments(cache, found) - 1);
	return 1;
}

/* 1 and the head, which says that the entry is within its segments; or 0 and why not. */
static int read_head(const struct ashmem_cache *cache, uint64_t slot, struct cache_found *found,
	uint64_t *check, enum cache_miss *miss)
{
	found->segment = slot_segment(slot);
	found->offset = slot_offset(slot);
	*miss = CACHE_DROPPED;
	if (found->segment >= cache->layout.segments || found->offset < CACHE_FIRST_OFFSET ||
		found->offset + sizeof(struct entry_head) > cache->layout.segment_bytes)
		return 0;
	found->generation = cache_generation(cache, found->segment, 1);
	if ((found->generation & 0xffff) != slot_generation(slot))
		return 0;
	if (cache_is_lost(cache, found->segment, found->offset, found->offset + ENTRY_HEAD)) {
		*miss = CACHE_PURGED;
		return 0;
	}
	const struct entry_head *head =
		(const struct entry_head *)(cache_segment_at(cache, found->segment) +
			found->offset);
	/* Acquire: pairs with the release in writing_seal(). */
	*check = __atomic_load_n(&head->check, __ATOMIC_ACQUIRE);
	found->times = SHARED_LOAD(head->times);
	found->value_bytes = SHARED_LOAD(head->value_bytes);
	found->key_bytes = entry_key_bytes(found->times);
	return __builtin_expect(cache_found_end(found) <= cache->layout.segment_bytes, 1) ||
		read_run(cache, found);
}

/* The key's own hash; what was copied is checked by the entry's check. */
static uint64_t hash_of(const struct ashmem_cache *cache, const struct cache_found *found)
{
	unsigned char key[ASHMEM_CACHE_KEY_MOST];

	copy_from_shared(key, cache_segment_at(cache, found->segment) + found->offset + ENTRY_HEAD,
		found->key_bytes);
	return cache_hash(cache->secret, key, found->key_bytes);
}

uint64_t cache_check_of(const struct ashmem_cache *cache, uint64_t epoch,
	const struct cache_found *found, uint64_t hash)
{
	return entry_check(cache->secret, epoch, found->generation,
		(uint64_t)found->segment << 32 | found->offset, hash,
		(uint64_t)found->value_bytes << 32 | found->key_bytes);
}

int cache_open_slot(const struct ashmem_cache *cache, uint64_t slot, uint64_t epoch,
	const struct cache_key *key, struct cache_found *found, enum cache_miss *miss)
{
	uint64_t check;

	if (!read_head(cache, slot, found, &check, miss))
		return 0;
	uint32_t key_end = found->offset + ENTRY_HEAD + found->key_bytes;
	if ((key_end - 1) >> cache->page_shift != found->offset >> cache->page_shift &&
		cache_is_lost(cache, found->segment, found->offset, key_end)) {
		*miss = CACHE_PURGED;
		return 0;
	}
	uint64_t hash = key ? key->hash : hash_of(cache, found);
	if (check != cache_check_of(cache, epoch, found, hash)) {
		/*
		 * Of another key, or of none any more. Who has a lock on the bucket must know
		 * which: cache_slot_is_dead() says it well enough.
		 */
		*miss = cache_slot_is_dead(cache, slot, epoch) ? CACHE_DROPPED : CACHE_NEVER;
		return 0;
	}
	found->slot = slot;
	found->hash = hash;
	*miss = CACHE_NEVER;
	return !key ||
		(key->count == found->key_bytes &&
			!differs_from_shared(key->bytes,
				cache_segment_at(cache, found->segment) + found->offset +
					ENTRY_HEAD,
				key->count));
}

int cache_slot_is_dead(const struct ashmem_cache *cache, uint64_t slot, uint64_t epoch)
{
	uint32_t segment = slot_segment(slot), offset = slot_offset(slot);

	if (segment >= cache->layout.segments || offset < CACHE_FIRST_OFFSET ||
		offset + sizeof(struct entry_head) > cache->layout.segment_bytes)
		return 1;
	return (cache_generation(cache, segment, 1) & 0xffff) != slot_generation(slot) ||
		SHARED_LOAD(cache->table[segment].epoch) < epoch ||
		cache_is_lost(cache, segment, offset, offset + ENTRY_HEAD);
}

int cache_is_still(const struct ashmem_cache *cache, const struct cache_found *found)
{
	uint64_t end = cache_found_end(found);

	/* Pairs with the fence of a purge: who has read a hole sees its bit. */
	FENCE(__ATOMIC_ACQUIRE);
	if (cache_is_lost(cache, found->segment, found->offset, end))
		return 0;
	/* Pairs with the fence of a taking: who sees its cleared bits sees its generation. */
	FENCE(__ATOMIC_ACQUIRE);
	return cache_generation(cache, found->segment, cache_segments_for(cache, end)) ==
		found->generation;
}

/* One look at all slots of the bucket. */
static int find_once(const struct ashmem_cache *cache, const struct cache_key *key,
	struct cache_found *found, enum cache_miss *miss)
{
	uint64_t epoch = cache_epoch(cache);
	enum cache_miss why;

	found->bucket = bucket_of(&cache->layout, key->hash);
	*miss = CACHE_NEVER;
	for (found->index = 0; found->index < CACHE_SLOTS; found->index++) {
		/* Acquire: pairs with the release of the put. */
		uint64_t slot = __atomic_load_n(&cache->buckets[found->bucket].slot[found->index],
			__ATOMIC_ACQUIRE);
		if (slot == 0 || !slot_has_tag(slot, key->hash))
			continue;
		found->slot = slot;
		if (cache_open_slot(cache, slot, epoch, key, found, &why)) {
			*miss = CACHE_EXPIRED;
			return !cache_found_is_expired(found);
		}
		if (why != CACHE_NEVER)
			*miss = why;
		/* It was replaced, or carried to another place, while we looked. */
		if (cache_has_moved(cache, found))
			return -1;
	}
	return 0;
}

#define TRIES 16

int cache_find(const struct ashmem_cache *cache, const struct cache_key *key,
	struct cache_found *found, enum cache_miss *miss)
{
	int r = -1;

	for (unsigned tries = 0; tries < TRIES && r < 0; tries++)
		r = find_once(cache, key, found, miss);
	return r > 0;
}
