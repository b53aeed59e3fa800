/* SPDX-License-Identifier: MIT */
/*
 * How often a read finds its value: a cache of this library on traces that a seeded generator
 * makes, against exact LRU and S3-FIFO (Yang and others, SOSP 2023) with as many entries as it has
 * room for. And what an entry takes beside key and value.
 *
 * Values are as long that an entry of ours takes 512 bytes; the others have no such cost, and so
 * are given one entry for each 512 bytes.
 */
#define _GNU_SOURCE 1
#include <ashmem/ashmem.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "peers.h"

enum { KEYS = 204800, REQUESTS = 3000000, ENTRY = 512, NONE = -1 };

/* -- traces -- */

static const struct trace {
	const char *name;
	double exponent;
	uint32_t entries;
	int scans, shifts; /* keys of each scan; requests until the popular keys are others */
} traces[] = {
	{"Zipf 0.9, memory for 1 %", 0.9, KEYS / 100, 0, 0},
	{"Zipf 1.0, memory for 10 %", 1.0, KEYS / 10, 0, 0},
	{"Zipf 1.0, 10 %, a scan of 20,000 keys in each 100,000 requests", 1.0, KEYS / 10, 20000,
		0},
	{"Zipf 1.0, 10 %, others popular after each 300,000 requests", 1.0, KEYS / 10, 0, 300000},
};

static uint32_t *make_trace(const struct trace *trace)
{
	uint32_t *requests = malloc(REQUESTS * sizeof(*requests)), scanned = 0;
	struct zipf zipf = zipf_make(KEYS, trace->exponent);
	uint64_t state = 1;

	if (!requests)
		die("malloc");
	for (uint32_t i = 0; i < REQUESTS; i++) {
		uint32_t shift = trace->shifts ? i / (uint32_t)trace->shifts * 7919u : 0;
		if (trace->scans && i % 100000 >= 100000u - (uint32_t)trace->scans)
			requests[i] = KEYS + scanned++;
		else
			requests[i] = (zipf_next(&zipf, &state) + shift) % KEYS;
	}
	free(zipf.sums);
	return requests;
}

/* -- ours -- */

static uint64_t ours(const uint32_t *requests, uint32_t entries)
{
	static char value[ENTRY - 40], got[sizeof(value)];
	struct ashmem_cache_options options = {.struct_size = sizeof(options),
		.most_bytes = (uint64_t)entries * ENTRY,
		.entries = entries * UINT64_C(2)};
	struct ashmem_cache *cache;
	uint64_t hits = 0;
	char key[17];

	if (ashmem_cache_create("hits", &options, &cache) < 0)
		die("ashmem_cache_create");
	for (uint32_t i = 0; i < REQUESTS; i++) {
		int length = snprintf(key, sizeof(key), "key-%012u", requests[i]);
		if (ashmem_cache_read(cache, key, (size_t)length, got, sizeof(got)) >= 0)
			hits++;
		else if (ashmem_cache_put(cache, key, (size_t)length, value, sizeof(value), 0) < 0)
			die("ashmem_cache_put");
	}
	ashmem_cache_close(cache);
	return hits;
}

/* -- queues of keys, each in one at most -- */

struct entry {
	int32_t newer, older;
	int queue, reads;
};

struct queue {
	int32_t newest, oldest;
	uint32_t count;
};

static struct entry *entries_of(void)
{
	/* Keys of scans are new each time. */
	struct entry *entries = calloc(KEYS + REQUESTS, sizeof(*entries));

	if (!entries)
		die("calloc");
	return entries;
}

static void add(struct entry *entries, struct queue *queues, int queue, int32_t key)
{
	struct queue *to = &queues[queue];

	entries[key].queue = queue;
	entries[key].newer = NONE;
	entries[key].older = to->count ? to->newest : NONE;
	if (to->count)
		entries[to->newest].newer = key;
	else
		to->oldest = key;
	to->newest = key;
	to->count++;
}

static void take(struct entry *entries, struct queue *queues, int32_t key)
{
	struct entry *entry = &entries[key];
	struct queue *from = &queues[entry->queue];

	if (entry->newer == NONE)
		from->newest = entry->older;
	else
		entries[entry->newer].older = entry->older;
	if (entry->older == NONE)
		from->oldest = entry->newer;
	else
		entries[entry->older].newer = entry->newer;
	from->count--;
	entry->queue = 0;
}

/* Queue 0 is of those that are in none. */

static uint64_t lru(const uint32_t *requests, uint32_t most)
{
	struct entry *entries = entries_of();
	struct queue queues[2] = {0};
	uint64_t hits = 0;

	for (uint32_t i = 0; i < REQUESTS; i++) {
		int32_t key = (int32_t)requests[i];
		if (entries[key].queue) {
			hits++;
			take(entries, queues, key);
		} else if (queues[1].count == most) {
			take(entries, queues, queues[1].oldest);
		}
		add(entries, queues, 1, key);
	}
	free(entries);
	return hits;
}

enum { SMALL = 1, MAIN, GHOST, QUEUES };

static void make_room(struct entry *entries, struct queue *queues, uint32_t most)
{
	while (queues[SMALL].count + queues[MAIN].count >= most) {
		int is_small = queues[SMALL].count >= most / 10;
		int32_t key = queues[is_small ? SMALL : MAIN].oldest;
		struct entry *entry = &entries[key];

		take(entries, queues, key);
		if (is_small && entry->reads > 1) {
			entry->reads = 0;
			add(entries, queues, MAIN, key);
		} else if (is_small) {
			if (queues[GHOST].count >= most - most / 10)
				take(entries, queues, queues[GHOST].oldest);
			add(entries, queues, GHOST, key);
		} else if (entry->reads > 0) {
			entry->reads--;
			add(entries, queues, MAIN, key);
		}
	}
}

static uint64_t s3_fifo(const uint32_t *requests, uint32_t most)
{
	struct entry *entries = entries_of();
	struct queue queues[QUEUES] = {0};
	uint64_t hits = 0;

	for (uint32_t i = 0; i < REQUESTS; i++) {
		int32_t key = (int32_t)requests[i];
		struct entry *entry = &entries[key];
		if (entry->queue == SMALL || entry->queue == MAIN) {
			hits++;
			entry->reads += entry->reads < 3;
			continue;
		}
		make_room(entries, queues, most);
		int to = SMALL;
		if (entry->queue == GHOST) {
			take(entries, queues, key);
			to = MAIN;
		}
		entry->reads = 0;
		add(entries, queues, to, key);
	}
	free(entries);
	return hits;
}

/* -- memory -- */

static double overhead(void)
{
	enum { ENTRIES = 100000, VALUE = 100 };
	struct ashmem_cache_options options = {.struct_size = sizeof(options), .entries = ENTRIES};
	struct ashmem_cache *cache;
	struct stat before, after;
	char key[17], value[VALUE] = "";

	if (ashmem_cache_create("memory", &options, &cache) < 0)
		die("ashmem_cache_create");
	int fd = ashmem_cache_fd(cache);
	if (fd < 0 || fstat(fd, &before) < 0)
		die("fstat");
	for (int i = 0; i < ENTRIES; i++) {
		int length = snprintf(key, sizeof(key), "key-%012d", i);
		if (ashmem_cache_put(cache, key, (size_t)length, value, (size_t)(i % VALUE), 0) < 0)
			die("ashmem_cache_put");
	}
	if (fstat(fd, &after) < 0)
		die("fstat");
	ashmem_cache_close(cache);
	return (double)(after.st_blocks - before.st_blocks) * 512 / ENTRIES - 16 -
		(double)(VALUE - 1) / 2;
}

void print_hits(void)
{
	printf("| hits, %d keys, %d requests | ours | exact LRU | S3-FIFO | |\n"
	       "| --- | ---: | ---: | ---: | --- |\n",
		KEYS, REQUESTS);
	for (size_t i = 0; i < sizeof(traces) / sizeof(traces[0]); i++) {
		const struct trace *trace = &traces[i];
		uint32_t *requests = make_trace(trace);
		double percent = 100.0 / REQUESTS;
		double of_ours = percent * (double)ours(requests, trace->entries);
		double of_lru = percent * (double)lru(requests, trace->entries);
		double of_s3 = percent * (double)s3_fifo(requests, trace->entries);
		printf("| %s | %.1f %% | %.1f %% | %.1f %% | %s |\n", trace->name, of_ours, of_lru,
			of_s3, of_ours >= of_lru && of_ours >= of_s3 - 1 ? "met" : "missed");
		fflush(stdout);
		free(requests);
	}
	double bytes = overhead();
	printf("\nMemory beside key and value: %.1f bytes an entry (at most 44: %s).\n", bytes,
		bytes <= 44 ? "met" : "missed");
}
