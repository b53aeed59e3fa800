/* SPDX-License-Identifier: MIT */
/*
 * A slot has sixteen bits of its segment's generation. When they come round, what the slot stood
 * for is long gone, and what comes to lie in its place is not what it stands for. The generations
 * are moved here by hand.
 */
#include "support/caches_kv.h"

#include <unistd.h>

#include "cache/cache.h"

enum { ROUND = 1 << 16 };

/* The same cache in another handle, which appends to no segment yet. */
static struct ashmem_cache *again(struct ashmem_cache *cache)
{
	struct ashmem_cache *other = NULL;

	expect_eq(ashmem_cache_import(ashmem_cache_fd(cache), &other), 0);
	ashmem_cache_close(cache);
	return other;
}

/* The next taking of the first segment gives it the short generation that "key" has in its slot. */
static struct ashmem_cache *come_round(struct ashmem_cache *cache)
{
	purge_kv(cache);
	expect_miss(cache, "key");
	cache = again(cache);
	__atomic_fetch_add(&cache->table[0].generation, ROUND - 1, __ATOMIC_RELAXED);
	return cache;
}

static uint32_t slots_of(struct ashmem_cache *cache, const char *key)
{
	uint64_t hash = cache_hash(cache->secret, key, strlen(key));
	struct cache_bucket *bucket = &cache->buckets[bucket_of(&cache->layout, hash)];
	uint32_t slots = 0;

	for (uint32_t i = 0; i < CACHE_SLOTS; i++)
		slots += bucket->slot[i] != 0 && slot_has_tag(bucket->slot[i], hash);
	return slots;
}

CONTRACT_TEST(cache_rounds, unfinished_value_is_not_seen_by_the_slot_of_one_that_is_gone)
{
	struct ashmem_cache *cache = new_kv(0);
	struct ashmem_entry *entry;
	char value[16];

	expect_eq(kv_put(cache, "key", "old"), 0);
	cache = come_round(cache);
	expect_eq(ashmem_cache_reserve(cache, "key", 3, 8, 0, &entry), 0);
	expect_eq(kv_read(cache, "key", value, sizeof(value)), -ENOENT);
	memcpy(ashmem_entry_room(entry, NULL), "half", 4);
	expect_eq(kv_read(cache, "key", value, sizeof(value)), -ENOENT);
	memcpy(ashmem_entry_room(entry, NULL), "finished", 8);
	expect_eq(ashmem_entry_commit(entry), 0);
	ashmem_entry_release(entry);
	expect_value(cache, "key", "finished");
	ashmem_cache_close(cache);
}

CONTRACT_TEST(cache_rounds, key_has_one_slot_when_a_dead_one_comes_to_stand_for_it)
{
	struct ashmem_cache *cache = new_kv(0);
	struct ashmem_entry *entry;

	expect_eq(kv_put(cache, "key", "old"), 0);
	cache = come_round(cache);
	expect_eq(ashmem_cache_reserve(cache, "key", 3, 3, 0, &entry), 0);
	memcpy(ashmem_entry_room(entry, NULL), "new", 3);
	/* Another one puts it meanwhile, into another segment. */
	struct ashmem_cache *other = NULL;
	expect_eq(ashmem_cache_import(ashmem_cache_fd(cache), &other), 0);
	expect_eq(kv_put(other, "key", "between"), 0);
	expect_value(cache, "key", "between");
	expect_eq(ashmem_entry_commit(entry), 0);
	ashmem_entry_release(entry);
	expect_value(cache, "key", "new");
	expect_eq(slots_of(cache, "key"), 1);
	expect_eq(ashmem_cache_remove(cache, "key", 3), 0);
	expect_miss(cache, "key");
	ashmem_cache_close(other);
	ashmem_cache_close(cache);
}
