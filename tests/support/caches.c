/* SPDX-License-Identifier: MIT */
/* Shrinkers for tests: see caches.h. */
#include "support/caches.h"
#include "support/contract.h"

#include <string.h>

static uint64_t cache_count(void *userdata)
{
	struct cache *cache = userdata;

	cache->counts++;
	if (cache->within_count)
		cache->within_count(cache);
	return cache->pages;
}

static int64_t cache_scan(void *userdata, uint64_t nr_to_scan)
{
	struct cache *cache = userdata;
	uint64_t freed = nr_to_scan < cache->pages ? nr_to_scan : cache->pages;

	if (cache->scans < CALLS_MAX)
		cache->asked[cache->scans] = nr_to_scan;
	cache->scans++;
	if (cache->within)
		cache->within(cache);
	if (cache->answer)
		return cache->answer;
	if (cache->chances-- > 0)
		return 0;
	cache->pages -= freed;
	return (int64_t)freed;
}

static void cache_release(void *userdata)
{
	struct cache *cache = userdata;

	cache->releases++;
}

struct ashmem_shrinker_options cache_options(struct cache *cache)
{
	return (struct ashmem_shrinker_options){
		.struct_size = sizeof(struct ashmem_shrinker_options),
		.count = cache_count,
		.scan = cache_scan,
		.release = cache_release,
		.userdata = cache,
	};
}

void cache_begin(struct cache *cache, uint64_t pages, uint32_t seeks)
{
	struct ashmem_shrinker_options options = cache_options(cache);

	memset(cache, 0, sizeof *cache);
	cache->pages = pages;
	options.seeks = seeks;
	expect_eq(ashmem_shrinker_register(&options, &cache->shrinker), 0);
}

void cache_end(struct cache *cache)
{
	ashmem_shrinker_unregister(cache->shrinker);
	expect_eq(cache->releases, 1);
}

struct ashmem_shrinker_stats shrinker_stats(uint32_t index)
{
	struct ashmem_shrinker_stats stats = {.struct_size = sizeof stats};

	expect_eq(ashmem_shrinker_get_stats(index, &stats), 0);
	return stats;
}

struct view loose_view(uint64_t pages)
{
	struct view view = full_view(pages);

	for (uint64_t page = 0; page < pages; page++)
		unpin_pages(view.area, page, 1);
	return view;
}
