/* SPDX-License-Identifier: MIT */
/* A cache with so many keys of sixteen bytes and values of 64, and loops over it. */
#include <ashmem/ashmem.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"

enum { KEY = 16 };

struct caches {
	struct ashmem_cache *cache;
	char (*keys)[KEY];
	uint64_t count;
};

static const char *next(const struct caches *caches)
{
	return caches->keys[random_next() % caches->count];
}

static void put(const struct caches *caches, const char *key)
{
	static const char value[64] = "value";
	int r = ashmem_cache_put(caches->cache, key, KEY, value, sizeof(value), 0);

	if (r < 0)
		die("ashmem_cache_put", r);
}

static void read(const struct caches *caches, char first, int64_t expected)
{
	char key[KEY], value[64];

	memcpy(key, next(caches), KEY);
	key[0] = first;
	int64_t r = ashmem_cache_read(caches->cache, key, KEY, value, sizeof(value));
	if (r != expected)
		die("ashmem_cache_read", (int)r);
}

static void read_one(const struct caches *caches)
{
	read(caches, 'k', 64);
}

static void miss_one(const struct caches *caches)
{
	read(caches, 'n', -ENOENT);
}

static void put_one(const struct caches *caches)
{
	put(caches, next(caches));
}

static void fill(struct caches *caches)
{
	caches->keys = malloc(caches->count * KEY);
	if (!caches->keys)
		die_errno("malloc");
	for (uint64_t i = 0; i < caches->count; i++) {
		char *key = caches->keys[i];
		memcpy(key, "key-", 4);
		uint64_t rest = i;
		for (int k = KEY - 1; k >= 4; k--, rest /= 10)
			key[k] = (char)('0' + rest % 10);
		put(caches, key);
	}
}

int caches_loop(const char *what, uint64_t keys, uint64_t times)
{
	const struct ashmem_cache_options wishes = {
		.struct_size = sizeof(wishes),
		.most_bytes = 64 << 20,
		.entries = 2 * keys,
	};
	void (*once)(const struct caches *caches) = NULL;
	struct caches caches = {.count = keys};

	if (strncmp(what, "cache-read,", 11) == 0)
		once = read_one;
	else if (strncmp(what, "cache-miss,", 11) == 0)
		once = miss_one;
	else if (strncmp(what, "cache-put,", 10) == 0)
		once = put_one;
	int r = ashmem_cache_create("bench", &wishes, &caches.cache);
	if (r < 0)
		die("ashmem_cache_create", r);
	fill(&caches);
	for (uint64_t i = 0; once && i < times; i++)
		once(&caches);
	ashmem_cache_close(caches.cache);
	free(caches.keys);
	return 0;
}
