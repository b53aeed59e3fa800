/* SPDX-License-Identifier: MIT */
/* What ashmem_cache_get(), _reserve() and _claim() give: entry.c has the calls on it. */
#ifndef ASHMEM_LIB_CACHE_ENTRY_H
#define ASHMEM_LIB_CACHE_ENTRY_H

#include "cache/publish.h"

enum entry_kind {
	ENTRY_COPY,      /* the value follows */
	ENTRY_VIEW,      /* the value lies in a segment that is held */
	ENTRY_ROOM,      /* reserved */
	ENTRY_COMMITTED, /* was room, and is held until the end */
	ENTRY_CLAIM,
};

struct ashmem_entry {
	struct ashmem_cache *cache;
	enum entry_kind kind;
	uint32_t segment, segments; /* of a view */
	uint64_t value_bytes;
	unsigned char *value;
	struct cache_writing writing; /* of room */
	uint64_t *claim;              /* the word, and whose it is */
	uint64_t ticket;
	uint64_t copy[]; /* the value of a copy, the key of room */
};

/*
 * A new entry with so many bytes after it, or NULL. It keeps the handle from when it is given out,
 * with cache_use().
 */
struct ashmem_entry *entry_new(struct ashmem_cache *cache, enum entry_kind kind, uint64_t bytes);

/* Release what was not given out. */
void entry_end(struct ashmem_entry *entry);

/* ashmem_cache_get() without counting a miss: 1, 0 and why not, or -ENOMEM, ... */
int entry_get(struct ashmem_cache *cache, const struct cache_key *key, struct ashmem_entry **entry,
	enum cache_miss *miss);

#endif /* ASHMEM_LIB_CACHE_ENTRY_H */
