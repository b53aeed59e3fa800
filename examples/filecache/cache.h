/* SPDX-License-Identifier: MIT */
#ifndef FILECACHE_CACHE_H
#define FILECACHE_CACHE_H

#include "catalog.h"
#include "protocol.h"

#include <stdint.h>

/* The server's side of the cache. Zero it first. */
struct cache {
	struct share share;
	uint64_t pages; /* in all data areas */
	uint64_t random;
	uint64_t changed;    /* entries dropped because their file changed or went */
	uint64_t unreadable; /* entries dropped because their file could not be read again */
	uint64_t mismatches;
	uint64_t rebuilt_on_request;
	uint64_t rebuilt_ahead;
};

/* What a squeeze did. */
struct squeeze {
	uint64_t asked_pages; /* 0: everything */
	int64_t freed_pages;
	uint64_t took_ns;
	uint64_t held_before; /* bytes of memory behind the areas, as the kernel counts them */
	uint64_t held_after;
};

/* Make the areas and the index for the files of a catalog. 0, or a negative errno. */
int cache_create(struct cache *cache, const struct catalog *catalog);

/* Fill all entries and unpin them. 0, or a negative errno. */
int cache_fill(struct cache *cache);
void cache_close(struct cache *cache);

/* Take an entry out of use that its owner found unusable, and name it. */
void cache_drop(struct cache *cache, uint32_t number, const struct message *why);

/* Fill an entry that the reader lends. 0, or a negative errno if the reader breaks the rules. */
int cache_rebuild(struct cache *cache, uint32_t number);

/* Rebuild an entry ahead of the reader if it was purged: one chosen at random. 0, or a negative
 * errno. */
int cache_refill(struct cache *cache);

/* Purge at least `pages`, or everything if 0. 0, or a negative errno. */
int cache_squeeze(struct cache *cache, uint64_t pages, struct squeeze *squeeze);

#endif /* FILECACHE_CACHE_H */
