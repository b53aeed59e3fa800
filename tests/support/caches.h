/* SPDX-License-Identifier: MIT */
/* Shrinkers for tests: caches that are numbers of pages, and note what they are asked. */
#ifndef TESTS_SUPPORT_CACHES_H
#define TESTS_SUPPORT_CACHES_H

#include "support/areas.h"

enum { CALLS_MAX = 64 };

struct cache {
	struct ashmem_shrinker *shrinker;
	uint64_t pages;
	uint64_t asked[CALLS_MAX];
	int counts, scans, releases;
	int64_t answer; /* not 0: instead of freeing */
	int chances;    /* so many scans free nothing first */
	void (*within)(struct cache *cache);
	void (*within_count)(struct cache *cache);
	void *context;
};

/* The options of a shrinker that counts, scans and releases this cache. */
struct ashmem_shrinker_options cache_options(struct cache *cache);

/* A zeroed cache of so many pages, registered; its end, which expects one call of release. */
void cache_begin(struct cache *cache, uint64_t pages, uint32_t seeks);
void cache_end(struct cache *cache);

/* The counts of the shrinker at this index; expects success. */
struct ashmem_shrinker_stats shrinker_stats(uint32_t index);

/* A full view (areas.h) whose pages are unpinned as ranges of one page each. */
struct view loose_view(uint64_t pages);

#endif
