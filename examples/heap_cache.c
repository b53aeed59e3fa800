/* SPDX-License-Identifier: MIT */
/*
 * A cache on the program's own heap gives memory back together with the areas: it is a shrinker.
 * Words and their lengths stand for what a program keeps; a real one has parsed files, glyphs,
 * connections.
 *
 * The cache knows which entries were used again since it was last asked to shrink, and gives those
 * a second chance.
 *
 *   heap_cache
 */
#include <ashmem/ashmem.h>

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define ENTRIES 256
#define ENTRY_PAGES 2

struct entry {
	void *data; /* NULL: not there */
	int was_used;
};

struct cache {
	pthread_mutex_t mutex;
	struct entry entries[ENTRIES];
	size_t entry_bytes;
	unsigned hand; /* where the next scan begins */
	uint64_t there;
};

static void check(int result, const char *what)
{
	if (result >= 0)
		return;
	fprintf(stderr, "%s: %s\n", what, strerror(-result));
	exit(1);
}

/* -- the shrinker: called on whatever thread shrinks, so nothing here waits -- */

static uint64_t count_pages(void *userdata)
{
	struct cache *cache = userdata;

	return __atomic_load_n(&cache->there, __ATOMIC_RELAXED) * ENTRY_PAGES;
}

static int64_t free_pages(void *userdata, uint64_t nr_to_scan)
{
	struct cache *cache = userdata;
	int64_t freed = 0;

	/* Whoever has the mutex may be the one who shrinks. */
	if (pthread_mutex_trylock(&cache->mutex) != 0)
		return ASHMEM_SHRINK_STOP;
	for (uint64_t scanned = 0; scanned < nr_to_scan; scanned += ENTRY_PAGES) {
		struct entry *entry = &cache->entries[cache->hand++ % ENTRIES];
		if (entry->data && !entry->was_used) {
			free(entry->data);
			entry->data = NULL;
			__atomic_fetch_sub(&cache->there, 1, __ATOMIC_RELAXED);
			freed += ENTRY_PAGES;
		}
		entry->was_used = 0;
	}
	pthread_mutex_unlock(&cache->mutex);
	return freed; /* 0: all of these were used; the next look may find more */
}

/* -- the cache -- */

static int use_entry(struct cache *cache, unsigned number)
{
	struct entry *entry = &cache->entries[number];
	int was_there;

	pthread_mutex_lock(&cache->mutex);
	was_there = entry->data != NULL;
	if (!was_there) {
		entry->data = cache->entry_bytes > 0 ? malloc(cache->entry_bytes) : NULL;
		if (!entry->data) {
			perror("malloc");
			exit(1);
		}
		memset(entry->data, (int)number, cache->entry_bytes);
		__atomic_fetch_add(&cache->there, 1, __ATOMIC_RELAXED);
	}
	entry->was_used = was_there;
	pthread_mutex_unlock(&cache->mutex);
	return was_there;
}

static unsigned use_entries(struct cache *cache, unsigned first, unsigned end)
{
	unsigned were_there = 0;

	for (unsigned i = first; i < end; i++)
		were_there += (unsigned)use_entry(cache, i);
	return were_there;
}

int main(void)
{
	static struct cache cache = {.mutex = PTHREAD_MUTEX_INITIALIZER};
	struct ashmem_shrinker_options options = {
		.struct_size = sizeof(options),
		.name = "words",
		.count = count_pages,
		.scan = free_pages,
		.userdata = &cache,
		.seeks = ASHMEM_SHRINKER_SEEKS_AREAS, /* as costly as a page of an area */
	};
	struct ashmem_shrinker_stats stats = {.struct_size = sizeof(stats)};
	struct ashmem_shrinker *shrinker;
	struct ashmem_area *area;
	long page = sysconf(_SC_PAGESIZE);
	size_t entry_bytes = ENTRY_PAGES * (size_t)page, bytes = ENTRIES * entry_bytes;
	void *mapped;

	if (page < 1)
		return 1;

	/* An area with as many pages, unpinned: the two share what has to go. */
	check(ashmem_create("pictures", bytes, 0, &area), "ashmem_create");
	check(ashmem_map(area, 0, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, &mapped),
		"ashmem_map");
	memset(mapped, 'p', bytes);
	for (size_t offset = 0; offset < bytes; offset += entry_bytes)
		check(ashmem_unpin(area, offset, entry_bytes), "ashmem_unpin");

	cache.entry_bytes = entry_bytes;
	check(ashmem_shrinker_register(&options, &shrinker), "ashmem_shrinker_register");
	use_entries(&cache, 0, ENTRIES);
	use_entries(&cache, 0, ENTRIES / 8);
	printf("%" PRIu64 " pages could go\n", ashmem_shrink_count());

	/* Memory is short: half of all goes. With ashmem_pressure_open() this happens by itself. */
	printf("%" PRId64 " pages went\n", ashmem_shrink(ashmem_shrink_count() / 2));
	for (uint32_t i = 0; ashmem_shrinker_get_stats(i, &stats) == 0; i++)
		printf("%s: asked for %" PRIu64 " pages, freed %" PRIu64 "\n", stats.name,
			stats.asked_pages, stats.freed_pages);
	printf("%u of %d words were still there\n", use_entries(&cache, 0, ENTRIES), ENTRIES);

	/* nothing calls us from here on, and the cache can go */
	ashmem_shrinker_unregister(shrinker);
	for (unsigned i = 0; i < ENTRIES; i++)
		free(cache.entries[i].data);
	ashmem_unmap(mapped, bytes);
	ashmem_close(area);
	return 0;
}
