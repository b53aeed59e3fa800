/* SPDX-License-Identifier: MIT */
/*
 * A peer that writes anything anywhere into a cache, all the time: calls of others may fail, and
 * give any bytes, but they end, and touch nothing beyond the cache. Meant for the sanitizers as
 * well.
 *
 * The peer leaves the words of locks alone, which would only make calls wait for their bound.
 */
#define _GNU_SOURCE 1
#include <ashmem/ashmem.h>

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cache/layout.h"
#include "support/random.h"

/* The largest values need several segments. */
enum { STEPS = 20000, KEYS = 300, VALUE_MOST = 200000 };

static struct ashmem_cache *cache;
static unsigned char value[VALUE_MOST];

/* Words as they are there, a bit changed, or anything. */
static void scribble(uint64_t seed)
{
	struct random_source random = random_from(seed);
	uint64_t bytes = ashmem_get_size(ashmem_cache_area(cache));
	unsigned char *base =
		mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, ashmem_cache_fd(cache), 0);
	struct cache_layout layout;

	if (base == MAP_FAILED || cache_layout_read(&layout, (void *)base, bytes) < 0)
		_exit(1);
	for (;;) {
		/* Mostly where it matters: header, table, index. */
		uint64_t end = random_below(&random, 4) ? layout.segments_at : bytes;
		uint64_t at = random_below(&random, end / 8) * 8;
		uint64_t *word = (uint64_t *)(base + at);
		if (at >= layout.buckets_at && at < layout.segments_at &&
			(at - layout.buckets_at) % sizeof(struct cache_bucket) == 0)
			continue;
		uint64_t was = __atomic_load_n(word, __ATOMIC_RELAXED);
		__atomic_store_n(word,
			random_below(&random, 2) ? was ^ UINT64_C(1) << random_below(&random, 64)
						 : random_next(&random),
			__ATOMIC_RELAXED);
		if (random_below(&random, 16) == 0)
			usleep(100);
	}
}

static void look_at(struct ashmem_entry *entry)
{
	uint64_t bytes = 0;
	const unsigned char *at = ashmem_entry_value(entry, &bytes);
	volatile unsigned char sum = 0;

	for (uint64_t i = 0; at && i < bytes; i++)
		sum = (unsigned char)(sum + at[i]);
	ashmem_entry_release(entry);
}

static void step(struct random_source *random)
{
	uint32_t key = (uint32_t)random_below(random, KEYS);
	size_t bytes = (size_t)random_below(random, random_below(random, 8) ? 300 : VALUE_MOST);
	struct ashmem_cache_stats stats = {.struct_size = sizeof(stats)};
	struct ashmem_entry *entry;
	struct ashmem_cache *again;
	unsigned char name[ASHMEM_CACHE_KEY_MOST];
	uint64_t position = random_next(random) % 2000, value_bytes;
	size_t key_bytes;

	switch (random_below(random, 14)) {
	case 0:
		(void)!ashmem_shrink(32);
		break;
	case 1:
		ashmem_cache_remove(cache, &key, sizeof(key));
		break;
	case 2:
		if (ashmem_cache_reserve(cache, &key, sizeof(key), bytes, 0, &entry) == 0) {
			memset(ashmem_entry_room(entry, NULL), 1, bytes);
			(void)!ashmem_entry_commit(entry);
			look_at(entry);
		}
		break;
	case 3:
		if (ashmem_cache_claim(cache, &key, sizeof(key), 0, &entry) >= 0)
			look_at(entry);
		break;
	case 4:
		(void)!ashmem_cache_next(cache, &position, name, sizeof(name), &key_bytes,
			&value_bytes);
		break;
	case 5:
		ashmem_cache_get_stats(cache, &stats);
		break;
	case 6:
		ashmem_cache_touch(cache, &key, sizeof(key), 1000);
		break;
	case 7:
		if (ashmem_cache_import(ashmem_cache_fd(cache), &again) == 0)
			ashmem_cache_close(again);
		break;
	case 8:
	case 9:
		if (ashmem_cache_get(cache, &key, sizeof(key), &entry) == 0)
			look_at(entry);
		break;
	case 10:
	case 11:
		ashmem_cache_put(cache, &key, sizeof(key), value, bytes, 0);
		break;
	default:
		(void)!ashmem_cache_read(cache, &key, sizeof(key), value, sizeof(value));
	}
}

int main(void)
{
	struct ashmem_cache_options options = {
		.struct_size = sizeof(options),
		.most_bytes = 1 << 20,
		.value_most_bytes = VALUE_MOST,
	};
	uint64_t seed = test_seed("stress_cache_hostile");
	struct random_source random = random_from(seed + 1);
	int r = ashmem_cache_create("hostile", &options, &cache), status;

	if (r == -ENOTSUP || r == -ENODEV) {
		puts("skipped: no caches here");
		return 77;
	}
	if (r < 0)
		return 1;
	pid_t peer = fork();
	if (peer == 0)
		scribble(seed);
	for (int i = 0; i < STEPS; i++)
		step(&random);
	r = waitpid(peer, &status, WNOHANG);
	kill(peer, SIGKILL);
	waitpid(peer, NULL, 0);
	ashmem_cache_close(cache);
	return r != 0; /* it wrote until the end */
}
