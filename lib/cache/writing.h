/* SPDX-License-Identifier: MIT */
/* An entry that is written into room and not seen yet: writing.c. */
#ifndef ASHMEM_LIB_CACHE_WRITING_H
#define ASHMEM_LIB_CACHE_WRITING_H

#include "cache/find.h"
#include "cache/segment.h"

struct cache_writing {
	struct cache_room room;
	uint64_t epoch; /* when it was begun */
	uint32_t key_bytes, value_bytes;
	uint64_t hash;
};

static inline unsigned char *writing_at(const struct ashmem_cache *cache,
	const struct cache_writing *writing)
{
	return cache->base + cache_at(cache, writing->room.segment, writing->room.offset);
}

/* What the slot is to be from when it is seen. */
static inline uint64_t writing_slot(const struct cache_writing *writing)
{
	const struct cache_room *room = &writing->room;

	return slot_make(writing->hash, room->generation, room->segment, room->offset);
}

/* What became purgeable for it. */
static inline uint64_t writing_taken_bytes(const struct ashmem_cache *cache,
	const struct cache_writing *writing)
{
	return (uint64_t)writing->room.taken * cache->layout.segment_bytes;
}

/* The head of the entry, but for its check. */
void writing_head(const struct ashmem_cache *cache, const struct cache_writing *writing,
	uint64_t times);
/* The check: from here on it is an entry. All of it is written; its bucket is locked. */
void writing_seal(const struct ashmem_cache *cache, const struct cache_writing *writing);
/* Nothing more is written. No lock is held: it may purge. */
void writing_end(struct ashmem_cache *cache, const struct cache_writing *writing);

#endif /* ASHMEM_LIB_CACHE_WRITING_H */
