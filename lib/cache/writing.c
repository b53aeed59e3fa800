/* SPDX-License-Identifier: MIT */
/*
 * Writing an entry into room that is held. What is written for an earlier epoch has a check that no
 * reader expects.
 */
#include "area/around.h"
#include "cache/writing.h"

void writing_head(const struct ashmem_cache *cache, const struct cache_writing *writing,
	uint64_t times)
{
	const struct cache_room *room = &writing->room;
	struct entry_head *head = (struct entry_head *)writing_at(cache, writing);

	SHARED_STORE(head->times, times);
	SHARED_STORE(head->value_bytes, writing->value_bytes);
	SHARED_STORE(head->check,
		entry_check(cache->secret, writing->epoch, room->generations,
			(uint64_t)room->segment << 32 | room->offset, writing->hash,
			(uint64_t)writing->value_bytes << 32 | writing->key_bytes));
}

void writing_end(struct ashmem_cache *cache, const struct cache_writing *writing)
{
	segment_done(cache, &writing->room);
	if (writing->room.taken)
		around_made_purgeable(cache->area, writing_taken_bytes(cache, writing));
}
