/* SPDX-License-Identifier: MIT */
/*
 * Which entries stay when there is no more room.
 *
 * Two classes of segments. New entries go to *probation*. When one of its segments gives way, the
 * entries that were read since are carried to *main*; when a main one gives way, those that were
 * read are carried once more, with a count that is one less. Everything else is forgotten. An entry
 * that is put again soon after it was forgotten, which its dead slot shows, goes to main at once.
 *
 * Carrying: the victim is held, so neither purged nor taken. The epoch for the copy is read before
 * the original is checked: a clear in between leaves a copy that no reader accepts. The slot is
 * changed under the bucket's lock, if it still is what it was: so what was removed or put again
 * stays so. The copy's time to live is read under that lock too, since a touch may change it.
 *
 * An entry that has a run for itself is not copied: the run becomes a main one, and young again.
 * Of all runs and segments that give way together, each is looked at by itself.
 *
 * The generation of the victim does not change before it is taken: until then its entries, also the
 * forgotten ones, can be read.
 */
#include <errno.h>

#include "area/around.h"
#include "cache/age.h"
#include "cache/index.h"
#include "cache/segment.h"
#include "cache/stats.h"
#include "cache/writing.h"

enum cache_class age_class_for(const struct ashmem_cache *cache, uint64_t hash)
{
	const struct cache_bucket *bucket = &cache->buckets[bucket_of(&cache->layout, hash)];

	for (uint32_t i = 0; i < CACHE_SLOTS; i++) {
		uint64_t slot = SHARED_LOAD(bucket->slot[i]);
		uint32_t segment = slot_segment(slot);
		if (slot == 0 || !slot_has_tag(slot, hash) || segment >= cache->layout.segments)
			continue;
		/* Soon the put looks whether it is the key's own. */
		__builtin_prefetch(cache->base + cache_at(cache, segment, 0) + slot_offset(slot));
		/* Taken once since: it was forgotten less than a turn of the cache ago. */
		uint64_t generation = SHARED_LOAD(cache->table[segment].generation);
		if (((generation - slot_generation(slot)) & 0xffff) == 1)
			return CACHE_MAIN;
	}
	return CACHE_PROBATION;
}

/* The slot that is exactly this: 1 and its place, or 0. */
static int find_slot(const struct ashmem_cache *cache, struct cache_found *found)
{
	found->bucket = bucket_of(&cache->layout, found->hash);
	for (found->index = 0; found->index < CACHE_SLOTS; found->index++)
		if (SHARED_LOAD(cache->buckets[found->bucket].slot[found->index]) == found->slot)
			return 1;
	return 0;
}

/* The copy takes the original's slot, if that is still its own. */
static void replace(struct ashmem_cache *cache, const struct cache_found *found,
	const struct cache_writing *writing, uint32_t reads)
{
	struct cache_bucket *bucket = &cache->buckets[found->bucket];
	const struct entry_head *original = (const struct entry_head *)(cache->base + found->at);

	if (index_lock(bucket) < 0)
		return;
	if (!cache_has_moved(cache, found)) {
		SHARED_STORE(((struct entry_head *)writing_at(cache, writing))->times,
			SHARED_LOAD(original->times));
		writing_seal(cache, writing);
		index_set_reads(bucket, found->index, reads);
		index_set(bucket, found->index, writing_slot(writing));
		stats_carried(cache);
	}
	index_unlock(bucket);
}

/* Carry one entry of a segment that is held: 0, or -EBUSY and the like: there is no room. */
static int carry(struct ashmem_cache *cache, const struct cache_found *found, uint64_t epoch,
	uint32_t reads)
{
	struct cache_writing writing = {
		.epoch = epoch,
		.key_bytes = found->key_bytes,
		.value_bytes = found->value_bytes,
		.hash = found->hash,
	};
	uint32_t bytes = (uint32_t)entry_bytes(found->key_bytes, found->value_bytes);
	int r = segment_room(cache, bytes, epoch, CACHE_MAIN, TAKE_LAST, &writing.room);

	if (r < 0)
		return r;
	copy_to_shared(writing_at(cache, &writing) + ENTRY_HEAD, cache_found_key(cache, found),
		bytes - ENTRY_HEAD);
	/* Also where it is not needed after all: whoever walks over it sees how long it is. */
	writing_head(cache, &writing, found->times);
	replace(cache, found, &writing, reads);
	writing_end(cache, &writing);
	return 0;
}

/* Whether the entry is alive: 1, what it is, and the slot that is its own. It has its place. */
static int is_alive(const struct ashmem_cache *cache, uint64_t epoch, struct cache_found *found)
{
	enum cache_miss miss;

	if (!cache_open_slot(cache, found->slot, epoch, NULL, found, &miss) ||
		!cache_is_still(cache, found) || cache_found_is_expired(found))
		return 0;
	found->slot =
		slot_make(found->hash, slot_generation(found->slot), found->segment, found->offset);
	return 1;
}

/* Whether an entry that is alive is used: 1 and the reads that it is to have as a copy. */
static int is_used(struct ashmem_cache *cache, int is_main, struct cache_found *found,
	uint32_t *reads)
{
	if (!find_slot(cache, found))
		return 0;
	*reads = index_reads(&cache->buckets[found->bucket], found->index);
	if (*reads == 0)
		return 0;
	*reads = is_main ? *reads - 1 : 0;
	return 1;
}

/* What the entry at this place takes, whether it is one or not. */
static uint64_t bytes_at(const struct ashmem_cache *cache, uint64_t at)
{
	const struct entry_head *head = (const struct entry_head *)(cache->base + at);

	return entry_bytes(entry_key_bytes(SHARED_LOAD(head->times)),
		SHARED_LOAD(head->value_bytes));
}

/* Some entries of a segment, so many that their lines of the index come to the cache together. */
struct some {
	uint64_t epoch;
	uint32_t count;
	struct cache_found alive[16];
};

/* Look at some entries from an offset on, and say where the next one begins. */
static uint64_t look_at_some(const struct ashmem_cache *cache, uint32_t segment,
	uint64_t generation, uint64_t offset, uint64_t used, struct some *some)
{
	const uint32_t most = sizeof(some->alive) / sizeof(some->alive[0]);

	some->epoch = cache_epoch(cache);
	for (some->count = 0; some->count < most && offset + sizeof(struct entry_head) <= used;) {
		struct cache_found *found = &some->alive[some->count];
		uint64_t at = cache_at(cache, segment, offset);
		/* Where it was purged before it was held, nothing is to be touched. */
		if (cache_is_lost(cache, at, at + ENTRY_HEAD))
			return used;
		uint64_t bytes = bytes_at(cache, at);
		__builtin_prefetch(cache->base + at + 4 * bytes);
		found->slot = slot_make(0, generation, segment, (uint32_t)offset);
		if (is_alive(cache, some->epoch, found)) {
			index_prefetch(cache, found->hash);
			some->count++;
		}
		offset += bytes;
	}
	return offset;
}

/* Carry what is used of a segment that is held: 0: there is no room even for the first. */
static int carry_used(struct ashmem_cache *cache, uint32_t segment)
{
	const struct cache_segment *at = &cache->table[segment];
	uint64_t generation = SHARED_LOAD(at->generation), carried = 0;
	uint64_t most = cache->layout.segment_bytes / 10 * 9;
	int is_main = SHARED_LOAD(at->is_main) != 0;
	uint32_t used = SHARED_LOAD(at->used);
	struct some some;

	if (SHARED_LOAD(at->before))
		return 1; /* of a run that is none any more: no entry begins here */
	used = used < cache->layout.segment_bytes ? used : cache->layout.segment_bytes;
	for (uint64_t offset = CACHE_FIRST_OFFSET; offset + sizeof(struct entry_head) <= used;) {
		offset = look_at_some(cache, segment, generation, offset, used, &some);
		for (uint32_t i = 0; i < some.count; i++) {
			struct cache_found *found = &some.alive[i];
			uint64_t bytes = found->bytes;
			uint32_t reads;
			if (carried + bytes > most || !is_used(cache, is_main, found, &reads))
				continue;
			if (carry(cache, found, some.epoch, reads) < 0)
				return carried > 0;
			carried += bytes;
		}
	}
	return 1;
}

/* Keep the entry of a run that is held, if it is used: 1 if so. */
static int keep_used(struct ashmem_cache *cache, const struct cache_run *run)
{
	const struct cache_segment *at = &cache->table[run->first];
	struct cache_found found = {
		.slot = slot_make(0, SHARED_LOAD(at->generation), run->first, CACHE_FIRST_OFFSET),
	};
	uint32_t reads;

	if (!is_alive(cache, cache_epoch(cache), &found) ||
		!is_used(cache, SHARED_LOAD(at->is_main) != 0, &found, &reads) ||
		cache_found_segments(cache, &found) != run->count || !segment_keep(cache, run))
		return 0;
	index_set_reads(&cache->buckets[found.bucket], found.index, reads);
	stats_carried(cache);
	return 1;
}

/* A run, or one segment, that the caller has a view of: 0: there is no room for what is used. */
static int evict(struct ashmem_cache *cache, const struct cache_run *run)
{
	if (run->count == 1) {
		if (!carry_used(cache, run->first))
			return 0;
	} else if (keep_used(cache, run)) {
		return 1;
	}
	choose_give_up(cache, run);
	return 1;
}

/* The segment, and the run that it belongs to, as it was chosen. */
static int evict_chosen(struct ashmem_cache *cache, const struct choosing *choosing,
	const struct choose_rank *rank, uint32_t segment, const struct cache_run *run)
{
	int r = 1;

	if (segment_view(cache, run->first, run->count) < 0)
		return 0;
	struct cache_run now = choose_run_of(cache, segment);
	/* If another one took it before it was held, there is room now. */
	if (now.first == run->first && now.count == run->count &&
		choose_is_still(cache, choosing, segment, 1, rank))
		r = evict(cache, run);
	segment_leave(cache, run->first, run->count);
	return r;
}

int age_evict(struct ashmem_cache *cache, uint32_t segments)
{
	struct choosing choosing;
	struct choose_rank rank;
	uint32_t first, evicted = 0;

	choose_begin(cache, cache_epoch(cache), segments, &choosing);
	if (!choose_victims(cache, &choosing, &first, &rank))
		return 0;
	for (uint32_t i = first; i < first + segments;) {
		struct cache_run run = choose_run_of(cache, i);
		if (choose_kind_of(cache, i, choosing.epoch) == CHOOSE_OLDEST) {
			if (!evict_chosen(cache, &choosing, &rank, i, &run))
				return 0;
			evicted++;
		}
		i = run.first + run.count;
	}
	/* They are free, but not without the last free one of all. */
	return evicted || segments == 1 || age_evict(cache, 1);
}
