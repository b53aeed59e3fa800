/* SPDX-License-Identifier: MIT */
/*
 * Writing an entry into room that is held. What is written for an earlier epoch has a check that no
 * reader expects.
 *
 * The check comes last. A slot that stands for nothing any more has sixteen bits of a generation,
 * which come round again: by it, or by a look at it long ago, a reader may come to an entry that no
 * slot has yet. It finds no check, or a whole entry.
 */
#include "area/around.h"
#include "cache/index.h"
#include "cache/writing.h"

void writing_head(const struct ashmem_cache *cache, const struct cache_writing *writing,
	uint64_t times)
{
	struct entry_head *head = (struct entry_head *)writing_at(cache, writing);

	SHARED_STORE(head->times, times);
	SHARED_STORE(head->value_bytes, writing->value_bytes);
}

void writing_seal(const struct ashmem_cache *cache, const struct cache_writing *writing)
{
	const struct cache_room *room = &writing->room;
	struct entry_head *head = (struct entry_head *)writing_at(cache, writing);

	/* A second slot of the key would outlive the first one. */
	if (__builtin_expect(room->generation > UINT16_MAX, 0))
		index_clear_twins(&cache->buckets[bucket_of(&cache->layout, writing->hash)],
			writing_slot(writing));
	/* Release: who sees the check sees the entry. */
	__atomic_store_n(&head->check,
		entry_check(cache->secret, writing->epoch, room->generations, writing_slot(writing),
			writing->hash, (uint64_t)writing->value_bytes << 32 | writing->key_bytes),
		__ATOMIC_RELEASE);
}

void writing_end(struct ashmem_cache *cache, const struct cache_writing *writing)
{
	segment_done(cache, &writing->room);
	if (writing->room.taken)
		around_made_purgeable(cache->area, writing_taken_bytes(cache, writing));
}
