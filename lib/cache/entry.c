/* SPDX-License-Identifier: MIT */
/*
 * Entries that stay: a value is looked at in its segment, which is held meanwhile, or is a private
 * copy where that is cheaper or the only way.
 *
 * A hold alone promises nothing about what was there before: the checks come again once it is in
 * force (segment_view() has waited until no purge is under way that has not seen it).
 *
 * No lock is held on entry.
 */
#include <errno.h>
#include <stdlib.h>

#include "area/around.h"
#include "base/cancel.h"
#include "cache/entry.h"
#include "cache/index.h"
#include "cache/owner.h"
#include "cache/stats.h"

/* Below this, copying is cheaper than the system calls of a hold. */
#define COPY_BELOW 16384u

struct ashmem_entry *entry_new(struct ashmem_cache *cache, enum entry_kind kind, uint64_t bytes)
{
	struct ashmem_entry *entry = malloc(sizeof(*entry) + (size_t)bytes);

	if (entry) {
		*entry = (struct ashmem_entry){.cache = cache, .kind = kind};
		entry->value = (unsigned char *)entry->copy;
	}
	return entry;
}

/* -- values -- */

/* 1 and the entry, 0: not there any more, or -ENOMEM. */
static int copy(struct ashmem_cache *cache, const struct cache_found *found,
	struct ashmem_entry **entry, enum cache_miss *miss)
{
	struct ashmem_entry *made = entry_new(cache, ENTRY_COPY, found->value_bytes);

	if (!made)
		return -ENOMEM;
	made->value_bytes = found->value_bytes;
	if (!cache_copy(cache, found, made->value, found->value_bytes, miss)) {
		free(made);
		return 0;
	}
	*entry = made;
	return 1;
}

/* Hold its segments, and see that the entry is there: 1, 0 if not, or a negative errno. */
static int hold(struct ashmem_cache *cache, const struct cache_key *key,
	const struct cache_found *found, enum cache_miss *miss)
{
	struct cache_found again;
	uint32_t segments = cache_found_segments(cache, found);
	int r = segment_view(cache, found->segment, segments);

	if (r < 0)
		return r;
	if (cache_open_slot(cache, found->slot, cache_epoch(cache), key, &again, miss) &&
		cache_is_still(cache, &again) && again.value_bytes == found->value_bytes)
		return 1;
	segment_leave(cache, found->segment, segments);
	return 0;
}

static int view(struct ashmem_cache *cache, const struct cache_key *key,
	const struct cache_found *found, struct ashmem_entry **entry, enum cache_miss *miss)
{
	struct ashmem_entry *made = entry_new(cache, ENTRY_VIEW, 0);

	if (!made)
		return -ENOMEM;
	int r = hold(cache, key, found, miss);
	if (r <= 0) {
		free(made);
		return r;
	}
	made->segment = found->segment;
	made->segments = cache_found_segments(cache, found);
	made->value_bytes = found->value_bytes;
	made->value = (unsigned char *)(uintptr_t)cache_found_value(cache, found);
	*entry = made;
	return 1;
}

int entry_get(struct ashmem_cache *cache, const struct cache_key *key, struct ashmem_entry **entry,
	enum cache_miss *miss)
{
	struct cache_found found;
	int r = 0;

	for (unsigned tries = 0; tries < CACHE_TRIES && r == 0; tries++) {
		if (!cache_find(cache, key, &found, miss))
			return 0;
		r = cache->writable && found.value_bytes >= COPY_BELOW
			? view(cache, key, &found, entry, miss)
			: copy(cache, &found, entry, miss);
		if (r == 0 && !cache_has_moved(cache, &found))
			return 0;
	}
	if (r > 0)
		stats_hit(cache, found.bucket, found.index);
	return r;
}

int ashmem_cache_get(struct ashmem_cache *cache, const void *key, size_t key_bytes,
	struct ashmem_entry **entry)
{
	CANCEL_OFF;
	enum cache_miss miss = CACHE_DROPPED;
	int r = cache_check_key(cache, key, key_bytes);

	if (r < 0 || !entry)
		return r < 0 ? r : -EINVAL;
	struct cache_key its_key = cache_key_of(cache, key, key_bytes);
	r = entry_get(cache, &its_key, entry, &miss);
	if (r == 0)
		stats_miss(cache, miss);
	else if (r > 0)
		cache_use(cache);
	return r > 0 ? 0 : r < 0 ? r : -ENOENT;
}

/*
 * The entry gets its time under the bucket's lock, so that a copy that takes its place has it too:
 * 1, or 0 if it has no slot any more. Its segment is held.
 */
static int set_times(struct ashmem_cache *cache, const struct cache_found *found, uint64_t ttl_ms)
{
	struct cache_bucket *bucket = &cache->buckets[found->bucket];
	struct entry_head *head = (struct entry_head *)(cache->base + found->at);
	int r = index_lock(bucket);

	if (r < 0)
		return r;
	r = !cache_has_moved(cache, found);
	if (r)
		SHARED_STORE(head->times, entry_times(cache_expiry(ttl_ms), found->key_bytes));
	index_unlock(bucket);
	return r;
}

int ashmem_cache_touch(struct ashmem_cache *cache, const void *key, size_t key_bytes,
	uint64_t ttl_ms)
{
	CANCEL_OFF;
	struct cache_found found;
	enum cache_miss miss;
	int r = cache_check_writer(cache, key, key_bytes);

	if (r < 0)
		return r;
	struct cache_key its_key = cache_key_of(cache, key, key_bytes);
	for (unsigned tries = 0; tries < CACHE_TRIES && r == 0; tries++) {
		if (!cache_find(cache, &its_key, &found, &miss))
			return -ENOENT;
		/* Without a hold, the entry could be another one by the time of the store. */
		r = hold(cache, &its_key, &found, &miss);
		if (r > 0) {
			r = set_times(cache, &found, ttl_ms);
			segment_leave(cache, found.segment, cache_found_segments(cache, &found));
		}
		if (r == 0 && !cache_has_moved(cache, &found))
			return -ENOENT;
	}
	return r > 0 ? 0 : r < 0 ? r : -ENOENT;
}

/* -- room -- */

int ashmem_cache_reserve(struct ashmem_cache *cache, const void *key, size_t key_bytes,
	size_t value_bytes, uint64_t ttl_ms, struct ashmem_entry **entry)
{
	CANCEL_OFF;
	int r = cache_check_writer(cache, key, key_bytes);

	if (r < 0 || !entry)
		return r < 0 ? r : -EINVAL;
	struct ashmem_entry *made = entry_new(cache, ENTRY_ROOM, key_bytes);
	if (!made)
		return -ENOMEM;
	struct cache_key its_key = cache_key_of(cache, key, key_bytes);
	r = publish_begin(cache, &its_key, value_bytes, ttl_ms, &made->writing);
	if (r < 0) {
		free(made);
		return r;
	}
	memcpy(made->copy, key, key_bytes);
	made->value = publish_value_at(cache, &made->writing);
	made->value_bytes = value_bytes;
	if (made->writing.room.taken)
		around_made_purgeable(cache->area, writing_taken_bytes(cache, &made->writing));
	made->writing.room.taken = 0;
	cache_use(cache);
	*entry = made;
	return 0;
}

/* Whether the entry's room is this process's, and not its parent's. */
static int is_ours(const struct ashmem_entry *entry)
{
	cache_lock(entry->cache); /* which notices a fork */
	int ours = entry->writing.room.forks == entry->cache->forks;
	cache_unlock(entry->cache);
	return ours;
}

int ashmem_entry_commit(struct ashmem_entry *entry)
{
	CANCEL_OFF;
	if (!entry || entry->kind != ENTRY_ROOM)
		return -EINVAL;
	if (!is_ours(entry))
		return -ESTALE;
	const struct cache_key key = {
		.bytes = entry->copy,
		.count = entry->writing.key_bytes,
		.hash = entry->writing.hash,
	};
	int r = publish(entry->cache, &entry->writing, &key, 0);
	if (r == 0)
		entry->kind = ENTRY_COMMITTED;
	return r;
}

/* -- every entry -- */

const void *ashmem_entry_value(const struct ashmem_entry *entry, uint64_t *value_bytes)
{
	CANCEL_OFF;
	if (!entry || entry->kind == ENTRY_ROOM || entry->kind == ENTRY_CLAIM ||
		(entry->kind == ENTRY_COMMITTED && !is_ours(entry)))
		return NULL;
	if (value_bytes)
		*value_bytes = entry->value_bytes;
	return entry->value;
}

void *ashmem_entry_room(struct ashmem_entry *entry, uint64_t *room_bytes)
{
	CANCEL_OFF;
	if (!entry || entry->kind != ENTRY_ROOM || !is_ours(entry))
		return NULL;
	if (room_bytes)
		*room_bytes = entry->value_bytes;
	return entry->value;
}

void entry_end(struct ashmem_entry *entry)
{
	switch (entry->kind) {
	case ENTRY_VIEW:
		segment_leave(entry->cache, entry->segment, entry->segments);
		break;
	case ENTRY_ROOM:
	case ENTRY_COMMITTED:
		writing_end(entry->cache, &entry->writing);
		break;
	case ENTRY_CLAIM:
		if (is_ours(entry))
			owner_yield(entry->claim, entry->ticket);
		break;
	case ENTRY_COPY:
		break;
	}
	free(entry);
}

void ashmem_entry_release(struct ashmem_entry *entry)
{
	CANCEL_OFF;
	if (!entry)
		return;
	struct ashmem_cache *cache = entry->cache;
	entry_end(entry);
	cache_leave(cache);
}
