/* SPDX-License-Identifier: MIT */
/*
 * A slot has sixteen bits of its segment's generation. When they come round, what the slot stood
 * for is long gone, and what comes to lie in its place is not what it stands for. The generations
 * are moved here by hand.
 */
#include "support/caches_kv.h"

#include <unistd.h>

#include "cache/cache.h"
#include "cache/find.h"

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

/* The slot of what is gone stands for a place in a value, which has there what the slot means. */
CONTRACT_TEST(cache_rounds, entry_in_a_value_is_none_when_the_slot_of_its_original_comes_round)
{
	struct ashmem_cache *cache = new_kv(0);
	struct cache_key key = cache_key_of(cache, "key", 3);
	struct cache_found found;
	enum cache_miss miss;
	unsigned char image[64], value[4096] = "";

	/* The first one of the segment has no place in a value. */
	expect_eq(kv_put(cache, "first", "one"), 0);
	expect_eq(kv_put(cache, "key", "old"), 0);
	expect(cache_find(cache, &key, &found, &miss));
	const unsigned char *at =
		cache_found_value(cache, &found) - entry_value_at(found.key_bytes);
	uint64_t place = (uint64_t)(at - cache->base);
	uint32_t bytes = (uint32_t)entry_bytes(found.key_bytes, found.value_bytes);
	expect(found.segment == 0 && bytes <= sizeof(image));
	memcpy(image, at, bytes);
	cache = come_round(cache);
	memcpy(value + found.offset - CACHE_FIRST_OFFSET - entry_value_at(4), image, bytes);
	expect_eq(ashmem_cache_put(cache, "fake", 4, value, sizeof(value), 0), 0);
	/* It lies where the original did. */
	expect(memcmp(cache->base + place, image, bytes) == 0);
	expect_miss(cache, "key");
	ashmem_cache_close(cache);
}
