/* SPDX-License-Identifier: MIT */
/*
 * Threads of one process on one small cache: puts, reads, views, reservations, removes, purges.
 * Every value is made from its key and a number; whatever is read is one of those. Clean under the
 * thread sanitizer.
 */
#define _GNU_SOURCE 1
#include <ashmem/ashmem.h>

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "support/random.h"

/* The largest values need several segments. */
enum { THREADS = 4, KEYS = 100, STEPS = 4000, VALUE_MOST = 150000 };

static struct ashmem_cache *cache;
static uint64_t wrong, hits;

static size_t value_bytes(uint32_t key, uint32_t number)
{
	size_t bytes = key % 5 == 0 ? 17000 : key % 7 * 100;

	return 8 + (key % 10 == 9 ? 70000 + number * 79 : bytes) + number % 50;
}

static void fill(unsigned char *value, uint32_t key, uint32_t number)
{
	size_t bytes = value_bytes(key, number);

	memcpy(value, &key, 4);
	memcpy(value + 4, &number, 4);
	for (size_t i = 8; i < bytes; i++)
		value[i] = (unsigned char)(key + number + i);
}

static void check(const unsigned char *value, uint64_t bytes, uint32_t key)
{
	uint32_t its_key, number;
	int is_good = bytes >= 8;

	if (is_good) {
		memcpy(&its_key, value, 4);
		memcpy(&number, value + 4, 4);
		is_good = its_key == key && bytes == value_bytes(key, number);
	}
	for (uint64_t i = 8; is_good && i < bytes; i++)
		is_good = value[i] == (unsigned char)(key + number + i);
	__atomic_fetch_add(is_good ? &hits : &wrong, 1, __ATOMIC_RELAXED);
}

static void step(struct random_source *random, unsigned char *buffer)
{
	uint32_t key = (uint32_t)random_below(random, KEYS);
	uint32_t number = (uint32_t)random_below(random, 1000);
	struct ashmem_entry *entry;
	uint64_t bytes;

	switch (random_below(random, 16)) {
	case 0:
		(void)!ashmem_shrink(32);
		break;
	case 1:
		ashmem_cache_remove(cache, &key, sizeof(key));
		break;
	case 2:
	case 3:
		if (ashmem_cache_reserve(cache, &key, sizeof(key), value_bytes(key, number), 0,
			    &entry) == 0) {
			unsigned char *room = ashmem_entry_room(entry, NULL);
			fill(buffer, key, number);
			/* Readers look at what was there before, and find out. */
			for (size_t i = 0; i < value_bytes(key, number); i++)
				__atomic_store_n(&room[i], buffer[i], __ATOMIC_RELAXED);
			(void)!ashmem_entry_commit(entry);
			ashmem_entry_release(entry);
		}
		break;
	case 4:
	case 5:
	case 6:
		fill(buffer, key, number);
		ashmem_cache_put(cache, &key, sizeof(key), buffer, value_bytes(key, number), 0);
		break;
	case 7:
	case 8:
		if (ashmem_cache_get(cache, &key, sizeof(key), &entry) == 0) {
			const unsigned char *value = ashmem_entry_value(entry, &bytes);
			check(value, bytes, key);
			ashmem_entry_release(entry);
		}
		break;
	default:;
		int64_t got = ashmem_cache_read(cache, &key, sizeof(key), buffer, VALUE_MOST);
		if (got >= 0)
			check(buffer, (uint64_t)got, key);
		else if (got != -ENOENT)
			__atomic_fetch_add(&wrong, 1, __ATOMIC_RELAXED);
	}
}

static void *run(void *argument)
{
	struct random_source random = random_from(*(uint64_t *)argument);
	unsigned char *buffer = malloc(VALUE_MOST);

	for (int i = 0; i < STEPS; i++)
		step(&random, buffer);
	free(buffer);
	return NULL;
}

int main(void)
{
	struct ashmem_cache_options options = {
		.struct_size = sizeof(options),
		.most_bytes = 1 << 20,
		.value_most_bytes = VALUE_MOST,
	};
	pthread_t threads[THREADS];
	uint64_t seeds[THREADS], seed = test_seed("stress_cache_threads");

	int r = ashmem_cache_create("threads", &options, &cache);
	if (r == -ENOTSUP || r == -ENODEV) {
		puts("skipped: no caches here");
		return 77;
	}
	if (r < 0)
		return 1;
	for (int i = 0; i < THREADS; i++) {
		seeds[i] = seed + (uint64_t)i * 7919;
		if (pthread_create(&threads[i], NULL, run, &seeds[i]) != 0)
			return 1;
	}
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	printf("%llu good, %llu wrong\n", (unsigned long long)hits, (unsigned long long)wrong);
	ashmem_cache_close(cache);
	return wrong != 0 || hits == 0;
}
