/* SPDX-License-Identifier: MIT */
/* Caches of keys and values for tests: caches_kv.h. */
#define _GNU_SOURCE 1
#include "support/caches_kv.h"

#include <errno.h>

struct ashmem_cache *new_kv(uint64_t value_most_bytes)
{
	struct ashmem_cache *cache;
	struct ashmem_cache_options options = {
		.struct_size = sizeof(options),
		.most_bytes = 1 << 20,
		.value_most_bytes = value_most_bytes,
	};

	int r = ashmem_cache_create("test", &options, &cache);
	if (r == -ENOTSUP || r == -ENODEV)
		contract_skip("no caches here: no memfd, or no /proc");
	expect_eq(r, 0);
	return cache;
}

int64_t kv_read(struct ashmem_cache *cache, const char *key, void *buf, size_t bytes)
{
	return ashmem_cache_read(cache, key, strlen(key), buf, bytes);
}

int kv_put(struct ashmem_cache *cache, const char *key, const char *value)
{
	return ashmem_cache_put(cache, key, strlen(key), value, strlen(value), 0);
}

int kv_put_with(struct ashmem_cache *cache, const char *key, const char *value, uint32_t flags)
{
	return ashmem_cache_put_with(cache, key, strlen(key), value, strlen(value), 0, flags);
}

void purge_kv(struct ashmem_cache *cache)
{
	static char big[8192];

	/* What is appended to is held: fill it, so that another one is. */
	struct ashmem_cache_stats stats = {.struct_size = sizeof(stats)};

	expect_eq(ashmem_cache_get_stats(cache, &stats), 0);
	for (uint64_t i = 0; i < 3 * stats.segment_bytes / sizeof(big); i++)
		expect_eq(ashmem_cache_put(cache, "filler", 6, big, sizeof(big), 0), 0);
	expect(ashmem_shrink(UINT64_MAX) > 0);
}

void expect_value_at(const char *file, int line, struct ashmem_cache *cache, const char *key,
	const char *value)
{
	char buf[256];
	int64_t got = kv_read(cache, key, buf, sizeof(buf));

	contract_expect_eq(file, line, key, got, value ? (intmax_t)strlen(value) : -ENOENT);
	if (value && memcmp(buf, value, strlen(value)) != 0)
		contract_fail(file, line, "%s has another value than %s", key, value);
}
