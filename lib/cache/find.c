/* SPDX-License-Identifier: MIT */
/*
 * Finding and copying an entry without a lock.
 *
 * This is the path of every read, and what is inline here is so for its sake. A read never pins or
 * holds: a process killed in between would leave what it read unpurgeable.
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
#include <errno.h>

#include "cache/find.h"
#include "cache/stats.h"

#define HOT static inline __attribute__((always_inline))
#define COLD static __attribute__((noinline))

/*
 * The entry ends where another segment begins or later: 1, and what the others of its run add to
 * the generation; or 0, it is none. Only at its very start a segment has such an entry.
 */
COLD int read_run(const struct ashmem_cache *cache, uint32_t segment, uint32_t offset, uint64_t end,
	uint64_t *generation)
{
	uint64_t room = (uint64_t)(cache->layout.segments - segment) * cache->layout.segment_bytes;

	if (offset != CACHE_FIRST_OFFSET || end > room)
		return 0;
	*generation = cache_generation(cache, segment + 1, cache_segments_for(cache, end) - 1);
	return 1;
}

/* Whether a byte before `end` was lost when it was found; before something is touched. */
HOT int is_lost_at_first(const struct ashmem_cache *cache, const struct cache_found *found,
	uint64_t end)
{
	return __builtin_expect(end > found->kept_until, 0) &&
		cache_is_lost_slowly(cache, found->at, end);
}

/* 1 and the head, which says that the entry is within its segments; or 0 and why not. */
HOT int read_head(const struct ashmem_cache *cache, uint64_t slot, struct cache_found *found,
	uint64_t *check, enum cache_miss *miss)
{
	found->segment = slot_segment(slot);
	found->offset = slot_offset(slot);
	found->at = cache_at(cache, found->segment, found->offset);
	*miss = CACHE_DROPPED;
	if (found->segment >= cache->layout.segments || found->offset < CACHE_FIRST_OFFSET ||
		found->offset + sizeof(struct entry_head) > cache->layout.segment_bytes)
		return 0;
	found->generation = cache_generation(cache, found->segment, 1);
	if ((found->generation & 0xffff) != slot_generation(slot))
		return 0;
	/* The value comes together with the head, which says where it is. */
	__builtin_prefetch(cache->base + found->at + 64);
	found->kept_until = cache_kept_until(cache, found->at);
	if (is_lost_at_first(cache, found, found->at + ENTRY_HEAD)) {
		*miss = CACHE_PURGED;
		return 0;
	}
	const struct entry_head *head = (const struct entry_head *)(cache->base + found->at);
	/* Acquire: pairs with the release in writing_seal(). */
	*check = __atomic_load_n(&head->check, __ATOMIC_ACQUIRE);
	found->times = SHARED_LOAD(head->times);
	found->value_bytes = SHARED_LOAD(head->value_bytes);
	found->key_bytes = entry_key_bytes(found->times);
	found->bytes = entry_bytes(found->key_bytes, found->value_bytes);
	uint64_t end = cache_found_end(found), others;
	if (__builtin_expect(end <= cache->layout.segment_bytes, 1))
		return 1;
	if (!read_run(cache, found->segment, found->offset, end, &others))
		return 0;
	found->generation += others;
	return 1;
}

/* The hash of a key that lies there; what was copied is checked by the entry's check. */
COLD uint64_t hash_of(const struct ashmem_cache *cache, const unsigned char *at, uint32_t key_bytes)
{
	unsigned char key[ASHMEM_CACHE_KEY_MOST];

	copy_from_shared(key, at, key_bytes);
	return cache_hash(cache->secret, key, key_bytes);
}

HOT uint64_t check_of(const struct ashmem_cache *cache, uint64_t epoch,
	const struct cache_found *found, uint64_t hash)
{
	return entry_check(cache->secret, epoch, found->generation, found->slot, hash,
		(uint64_t)found->value_bytes << 32 | found->key_bytes);
}

HOT int open_slot(const struct ashmem_cache *cache, uint64_t slot, uint64_t epoch,
	const struct cache_key *key, struct cache_found *found, enum cache_miss *miss)
{
	uint64_t check;

	found->slot = slot;
	if (!read_head(cache, slot, found, &check, miss))
		return 0;
	uint64_t key_end = found->at + ENTRY_HEAD + found->key_bytes;
	if (is_lost_at_first(cache, found, key_end)) {
		*miss = CACHE_PURGED;
		return 0;
	}
	const unsigned char *its_key = cache_found_key(cache, found);
	uint64_t hash = key ? key->hash : hash_of(cache, its_key, found->key_bytes);
	if (check != check_of(cache, epoch, found, hash)) {
		/*
		 * Of another key, or of none any more. Who has a lock on the bucket must know
		 * which: cache_slot_is_dead() says it well enough.
		 */
		*miss = cache_slot_is_dead(cache, slot, epoch) ? CACHE_DROPPED : CACHE_NEVER;
		return 0;
	}
	found->hash = hash;
	*miss = CACHE_NEVER;
	return !key ||
		(key->count == found->key_bytes &&
			!differs_from_shared(key->bytes, its_key, key->count));
}

int cache_open_slot(const struct ashmem_cache *cache, uint64_t slot, uint64_t epoch,
	const struct cache_key *key, struct cache_found *found, enum cache_miss *miss)
{
	return open_slot(cache, slot, epoch, key, found, miss);
}

int cache_slot_is_dead(const struct ashmem_cache *cache, uint64_t slot, uint64_t epoch)
{
	uint32_t segment = slot_segment(slot), offset = slot_offset(slot);
	uint64_t at = cache_at(cache, segment, offset);

	if (segment >= cache->layout.segments || offset < CACHE_FIRST_OFFSET ||
		offset + sizeof(struct entry_head) > cache->layout.segment_bytes)
		return 1;
	return (cache_generation(cache, segment, 1) & 0xffff) != slot_generation(slot) ||
		SHARED_LOAD(cache->table[segment].epoch) < epoch ||
		cache_is_lost(cache, at, at + ENTRY_HEAD);
}

HOT int is_still(const struct ashmem_cache *cache, const struct cache_found *found)
{
	/* Pairs with the fence of a purge: who has read a hole sees its bit. */
	FENCE(__ATOMIC_ACQUIRE);
	if (cache_found_is_lost(cache, found))
		return 0;
	/* Pairs with the fence of a taking: who sees its cleared bits sees its generation. */
	FENCE(__ATOMIC_ACQUIRE);
	return cache_generation(cache, found->segment, cache_found_segments(cache, found)) ==
		found->generation;
}

int cache_is_still(const struct ashmem_cache *cache, const struct cache_found *found)
{
	return is_still(cache, found);
}

/* One look at all slots of the bucket. */
HOT int find_once(const struct ashmem_cache *cache, const struct cache_key *key,
	struct cache_found *found, enum cache_miss *miss)
{
	uint64_t epoch = cache_epoch(cache);
	enum cache_miss why = CACHE_NEVER;

	found->bucket = bucket_of(&cache->layout, key->hash);
	const uint64_t *slots = cache->buckets[found->bucket].slot;
	*miss = CACHE_NEVER;
	for (found->index = 0; found->index < CACHE_SLOTS; found->index++) {
		/* Acquire: pairs with the release of the put. */
		uint64_t slot = __atomic_load_n(&slots[found->index], __ATOMIC_ACQUIRE);
		if (!slot_has_tag(slot, key->hash) || slot == 0)
			continue;
		if (open_slot(cache, slot, epoch, key, found, &why)) {
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

HOT int find(const struct ashmem_cache *cache, const struct cache_key *key,
	struct cache_found *found, enum cache_miss *miss)
{
	int r = -1;

	for (unsigned tries = 0; tries < CACHE_TRIES && r < 0; tries++)
		r = find_once(cache, key, found, miss);
	return r > 0;
}

int cache_find(const struct ashmem_cache *cache, const struct cache_key *key,
	struct cache_found *found, enum cache_miss *miss)
{
	return find(cache, key, found, miss);
}

HOT int copy(const struct ashmem_cache *cache, const struct cache_found *found, void *buf,
	size_t bytes, enum cache_miss *miss)
{
	*miss = CACHE_PURGED;
	/* A look at a hole would give it memory. */
	if (is_lost_at_first(cache, found, found->at + found->bytes))
		return 0;
	if (buf)
		copy_from_shared(buf, cache_found_value(cache, found), bytes);
	if (is_still(cache, found))
		return 1;
	if (!cache_found_is_lost(cache, found))
		*miss = CACHE_DROPPED;
	return 0;
}

int cache_copy(const struct ashmem_cache *cache, const struct cache_found *found, void *buf,
	size_t bytes, enum cache_miss *miss)
{
	return copy(cache, found, buf, bytes, miss);
}

/* Find a key and copy what fits of its value, if there is a `buf`: 1, or 0 and the reason. */
HOT int find_copy(const struct ashmem_cache *cache, const struct cache_key *key, void *buf,
	size_t buf_bytes, struct cache_found *found, enum cache_miss *miss)
{
	for (unsigned tries = 0; tries < CACHE_TRIES; tries++) {
		if (!find(cache, key, found, miss))
			return 0;
		size_t bytes = found->value_bytes < buf_bytes ? found->value_bytes : buf_bytes;
		if (copy(cache, found, buf, bytes, miss))
			return 1;
		if (!cache_has_moved(cache, found))
			return 0;
	}
	return 0;
}

/* -- the public calls -- */

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
	if (!find_copy(cache, &wanted, buf, buf_bytes, &found, &miss)) {
		stats_miss(cache, miss);
		return -ENOENT;
	}
	stats_hit(cache, found.bucket, found.index);
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
	if (!find_copy(cache, &wanted, NULL, 0, &found, &miss))
		return -ENOENT;
	uint64_t expires_ms = entry_expires_ms(found.times);
	if (expires_ms == 0)
		return 0;
	uint64_t now_ms = cache_now_ms();
	return now_ms < expires_ms ? (int64_t)(expires_ms - now_ms) : -ENOENT;
}
