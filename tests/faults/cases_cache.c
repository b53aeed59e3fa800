/* SPDX-License-Identifier: MIT */
/* Operations on caches. */
#include <errno.h>
#include <string.h>

#include "faults.h"

/* The second one is larger than a segment. */
enum { LARGE = 60000, LARGER = 150000 };

static char large[LARGER];

/* -- what they are done on -- */

static void empty(struct world *world)
{
	use_memfd(world);
	if (ashmem_process_get_stats(&(struct ashmem_process_stats){
		    .struct_size = sizeof(struct ashmem_process_stats)}) < 0)
		die("a process");
}

/* One small value and a large one, which is given in place. */
static void cached(struct world *world)
{
	struct ashmem_cache_options options = {
		.struct_size = sizeof(options), .most_bytes = 1 << 20, .value_most_bytes = LARGER};

	use_memfd(world);
	if (ashmem_cache_create("faults", &options, &world->cache) < 0 ||
		ashmem_cache_put(world->cache, "a", 1, "one", 3, 0) < 0 ||
		ashmem_cache_put(world->cache, "b", 1, large, LARGE, 0) < 0)
		die("a cache");
}

/* The segment that is appended to has no room left. */
static void full(struct world *world)
{
	cached(world);
	if (ashmem_cache_put(world->cache, "b", 1, large, LARGE, 0) < 0)
		die("ashmem_cache_put");
}

/* Nothing is free: a used value in one segment and a used one in a run must give way or stay. */
static void crowded(struct world *world)
{
	char value[8];

	cached(world);
	if (ashmem_cache_put(world->cache, "d", 1, large, LARGER, 0) < 0)
		die("ashmem_cache_put");
	for (char key = 'e'; key < 'z'; key++)
		if (ashmem_cache_read(world->cache, "d", 1, value, sizeof(value)) < 0 ||
			ashmem_cache_put(world->cache, &key, 1, large, LARGE, 0) < 0)
			die("ashmem_cache_put");
}

static void viewed_run(struct world *world)
{
	cached(world);
	if (ashmem_cache_put(world->cache, "b", 1, large, LARGER, 0) < 0 ||
		ashmem_cache_get(world->cache, "b", 1, &world->entry) < 0)
		die("ashmem_cache_get");
}

static void viewed(struct world *world)
{
	cached(world);
	if (ashmem_cache_get(world->cache, "b", 1, &world->entry) < 0)
		die("ashmem_cache_get");
}

static void reserved(struct world *world)
{
	cached(world);
	if (ashmem_cache_reserve(world->cache, "c", 1, 3, 0, &world->entry) < 0)
		die("ashmem_cache_reserve");
	memcpy(ashmem_entry_room(world->entry, NULL), "new", 3);
}

/* -- operations -- */

static int64_t made(struct world *world, int r, struct ashmem_cache *cache)
{
	world->touched = r < 0 && cache != UNTOUCHED;
	if (r == 0)
		world->cache = cache;
	return r;
}

static int64_t do_create_cache(struct world *world)
{
	struct ashmem_cache *cache = UNTOUCHED;
	int r = ashmem_cache_create("faults", NULL, &cache);

	return made(world, r, cache);
}

static int64_t do_import_cache(struct world *world)
{
	struct ashmem_cache *cache = UNTOUCHED;
	int r = ashmem_cache_import(ashmem_cache_fd(world->cache), &cache);

	world->touched = r < 0 && cache != UNTOUCHED;
	if (r == 0)
		ashmem_cache_close(cache);
	return r;
}

static int64_t do_close_cache(struct world *world)
{
	ashmem_cache_close(world->cache);
	world->cache = NULL;
	return 0;
}

static int64_t do_area(struct world *world)
{
	return ashmem_cache_area(world->cache) != NULL;
}

static int64_t do_put(struct world *world)
{
	return ashmem_cache_put(world->cache, "a", 1, "two", 3, 0);
}

static int64_t do_put_large(struct world *world)
{
	return ashmem_cache_put(world->cache, "c", 1, large, LARGE, 0);
}

static int64_t do_put_run(struct world *world)
{
	return ashmem_cache_put(world->cache, "c", 1, large, LARGER, 0);
}

static int64_t do_add_again(struct world *world)
{
	int r = ashmem_cache_put_with(world->cache, "a", 1, "two", 3, 0, ASHMEM_PUT_ADD);

	return r == -EEXIST ? 1 : r;
}

static int64_t do_read_value(struct world *world)
{
	char value[8];

	return ashmem_cache_read(world->cache, "a", 1, value, sizeof(value));
}

static int64_t got(struct world *world, int r, struct ashmem_entry *entry)
{
	uint64_t bytes = 0;

	world->touched = r < 0 && entry != UNTOUCHED;
	if (r >= 0 && ashmem_entry_value(entry, &bytes))
		r = (int)bytes;
	if (r >= 0)
		ashmem_entry_release(entry);
	return r;
}

static int64_t do_get(struct world *world)
{
	struct ashmem_entry *entry = UNTOUCHED;
	int r = ashmem_cache_get(world->cache, "a", 1, &entry);

	return got(world, r, entry);
}

static int64_t do_get_large(struct world *world)
{
	struct ashmem_entry *entry = UNTOUCHED;
	int r = ashmem_cache_get(world->cache, "b", 1, &entry);

	return got(world, r, entry);
}

static int64_t do_get_run(struct world *world)
{
	struct ashmem_entry *entry = UNTOUCHED;
	int r = ashmem_cache_get(world->cache, "d", 1, &entry);

	return got(world, r, entry);
}

static int64_t do_reserve(struct world *world)
{
	struct ashmem_entry *entry = UNTOUCHED;
	int r = ashmem_cache_reserve(world->cache, "c", 1, LARGE, 0, &entry);

	return got(world, r, entry);
}

static int64_t do_commit(struct world *world)
{
	return ashmem_entry_room(world->entry, NULL) ? ashmem_entry_commit(world->entry) : -EINVAL;
}

static int64_t do_release_entry(struct world *world)
{
	ashmem_entry_release(world->entry);
	world->entry = NULL;
	return 0;
}

static int64_t do_claim(struct world *world)
{
	struct ashmem_entry *entry = UNTOUCHED;
	int r = ashmem_cache_claim(world->cache, "c", 1, 0, &entry);

	return got(world, r, entry);
}

static int64_t do_touch(struct world *world)
{
	return ashmem_cache_touch(world->cache, "a", 1, UINT64_MAX);
}

static int64_t do_get_ttl(struct world *world)
{
	return ashmem_cache_get_ttl(world->cache, "a", 1);
}

static int64_t do_remove_value(struct world *world)
{
	return ashmem_cache_remove(world->cache, "a", 1);
}

static int64_t do_clear(struct world *world)
{
	return ashmem_cache_clear(world->cache);
}

static int64_t do_next(struct world *world)
{
	uint64_t position = 0, value_bytes;
	size_t key_bytes;
	char key[8];

	return ashmem_cache_next(world->cache, &position, key, sizeof(key), &key_bytes,
		&value_bytes);
}

static int64_t do_stats_of_cache(struct world *world)
{
	struct ashmem_cache_stats stats = {.struct_size = sizeof(stats)};
	int r = ashmem_cache_get_stats(world->cache, &stats);

	return r < 0 ? r : (int64_t)stats.puts;
}

const struct fault_case cache_cases[] = {
	{"cache: create", "ashmem_cache_create", empty, do_create_cache, 0},
	{"cache: create, the first call of a process", "ashmem_cache_create", NULL, do_create_cache,
		0},
	{"cache: import", "ashmem_cache_import", cached, do_import_cache, 0},
	{"cache: close", "ashmem_cache_close", cached, do_close_cache, NO_RETRY},
	{"cache: area", "ashmem_cache_area", cached, do_area, 0},
	{"cache: put", "ashmem_cache_put", cached, do_put, 0},
	{"cache: put into another segment", "ashmem_cache_put", full, do_put_large, 0},
	{"cache: put into a run of segments", "ashmem_cache_put", cached, do_put_run, 0},
	{"cache: put into a run where others give way", "ashmem_cache_put", crowded, do_put_run, 0},
	{"cache: add what is there", "ashmem_cache_put_with", cached, do_add_again, 0},
	{"cache: read", "ashmem_cache_read", cached, do_read_value, 0},
	{"cache: get", "ashmem_cache_get", cached, do_get, 0},
	{"cache: get in place", "ashmem_cache_get", cached, do_get_large, 0},
	{"cache: get a run in place", "ashmem_cache_get", crowded, do_get_run, 0},
	{"cache: release", "ashmem_entry_release", viewed, do_release_entry, NO_RETRY},
	{"cache: release a run", "ashmem_entry_release", viewed_run, do_release_entry, NO_RETRY},
	{"cache: reserve", "ashmem_cache_reserve", full, do_reserve, 0},
	{"cache: commit", "ashmem_entry_commit", reserved, do_commit, NO_RETRY},
	{"cache: claim", "ashmem_cache_claim", cached, do_claim, ANY_SUCCESS},
	{"cache: touch", "ashmem_cache_touch", cached, do_touch, 0},
	{"cache: time to live", "ashmem_cache_get_ttl", cached, do_get_ttl, 0},
	{"cache: remove", "ashmem_cache_remove", cached, do_remove_value, NO_RETRY},
	{"cache: clear", "ashmem_cache_clear", cached, do_clear, 0},
	{"cache: walk", "ashmem_cache_next", cached, do_next, 0},
	{"cache: statistics", "ashmem_cache_get_stats", cached, do_stats_of_cache, 0},
	{NULL, NULL, NULL, NULL, 0},
};
