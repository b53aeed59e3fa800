/* SPDX-License-Identifier: MIT */
/* Caches of keys and values for tests: text keys, text values. */
#ifndef TESTS_SUPPORT_CACHES_KV_H
#define TESTS_SUPPORT_CACHES_KV_H

#include "support/contract.h"

#include <ashmem/ashmem.h>

#include <stdlib.h>
#include <string.h>

/* A small cache, with values of so many bytes at most; 0: as many as by default. */
struct ashmem_cache *new_kv(uint64_t value_most_bytes);

int64_t kv_read(struct ashmem_cache *cache, const char *key, void *buf, size_t bytes);
int kv_put(struct ashmem_cache *cache, const char *key, const char *value);
int kv_put_with(struct ashmem_cache *cache, const char *key, const char *value, uint32_t flags);

/* Purge everything that can be, also the segment that is appended to. */
void purge_kv(struct ashmem_cache *cache);

void expect_value_at(const char *file, int line, struct ashmem_cache *cache, const char *key,
	const char *value);
#define expect_value(cache, key, value) expect_value_at(__FILE__, __LINE__, cache, key, value)
#define expect_miss(cache, key) expect_value_at(__FILE__, __LINE__, cache, key, NULL)

#endif
