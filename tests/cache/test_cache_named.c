/* SPDX-License-Identifier: MIT */
/*
 * Caches by name: one is made, all others find it whole. The directories are those of the user who
 * runs this; names carry the number of the process. What holds for names in general:
 * test_contract_named.c, test_named_places.c.
 */
#define _GNU_SOURCE 1
#include "support/areas.h"
#include "support/children.h"
#include "support/contract.h"

#include <ashmem/cache.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static char name[64];

static void choose_name(const char *test)
{
	skip_on_kernel("caches are areas of the memfd backend");
	snprintf(name, sizeof(name), "ashmem-test.%d.%s", (int)getpid(), test);
}

static struct ashmem_cache *opened(uint64_t most_bytes)
{
	struct ashmem_cache_options options = {
		.struct_size = sizeof(options), .most_bytes = most_bytes};
	struct ashmem_cache *cache = NULL;

	expect_eq(ashmem_cache_open(name, &options, &cache), 0);
	return cache;
}

static int has(struct ashmem_cache *cache, const char *key, const char *value)
{
	char found[32] = "";
	int64_t bytes = ashmem_cache_read(cache, key, strlen(key), found, sizeof(found));

	return bytes == (int64_t)strlen(value) && memcmp(found, value, strlen(value)) == 0;
}

static void put(struct ashmem_cache *cache, const char *key, const char *value)
{
	expect_eq(ashmem_cache_put(cache, key, strlen(key), value, strlen(value), 0), 0);
}

static uint64_t bytes_of(struct ashmem_cache *cache)
{
	struct ashmem_cache_stats stats = {.struct_size = sizeof(stats)};

	expect_eq(ashmem_cache_get_stats(cache, &stats), 0);
	return stats.bytes;
}

static struct gate go;

static void read_and_put(void *unused)
{
	(void)unused;
	gate_wait(&go);
	struct ashmem_cache *cache = opened(8 << 20);
	expect(has(cache, "from", "parent"));
	put(cache, "to", "parent");
	ashmem_cache_close(cache);
}

CONTRACT_TEST(cache_named, unrelated_process_opens_the_same_cache)
{
	choose_name("same");
	gate_make(&go);
	pid_t child = child_start(read_and_put, NULL);
	struct ashmem_cache *cache = opened(2 << 20);
	uint64_t bytes = bytes_of(cache);

	put(cache, "from", "parent");
	gate_open(&go);
	child_join(child);
	expect(has(cache, "to", "parent"));
	expect_eq(bytes_of(cache), bytes); /* its options are those of who made it */
	ashmem_cache_close(cache);
	gate_drop(&go);
}

CONTRACT_TEST(cache_named, cache_ends_with_its_last_holder)
{
	choose_name("last");
	struct ashmem_cache *cache = opened(0), *again = opened(0);

	put(cache, "key", "value");
	ashmem_cache_close(cache);
	expect(has(again, "key", "value"));
	ashmem_cache_close(again);
	cache = opened(0);
	expect(!has(cache, "key", "value"));
	ashmem_cache_close(cache);
}

static void open_at_once(void *made)
{
	gate_wait(&go);
	struct ashmem_cache *cache = opened(1 << 20);
	char key[16];

	/* each adds a key of its own, and waits until those of all are there */
	snprintf(key, sizeof(key), "%d", __atomic_add_fetch((int *)made, 1, __ATOMIC_SEQ_CST));
	put(cache, key, "here");
	for (int i = 1; i <= 4; i++) {
		snprintf(key, sizeof(key), "%d", i);
		while (!has(cache, key, "here"))
			usleep(1000);
	}
	__atomic_add_fetch((int *)made + 1, 1, __ATOMIC_SEQ_CST);
	while (__atomic_load_n((int *)made + 1, __ATOMIC_SEQ_CST) < 4)
		usleep(1000);
	ashmem_cache_close(cache);
}

CONTRACT_TEST(cache_named, all_that_open_at_once_get_one_cache)
{
	int *made = shared_memory(2 * sizeof(*made));
	pid_t children[4];

	choose_name("once");
	gate_make(&go);
	for (int i = 0; i < 4; i++)
		children[i] = child_start(open_at_once, made);
	for (int i = 0; i < 4; i++)
		gate_open(&go);
	for (int i = 0; i < 4; i++)
		child_join(children[i]);
	gate_drop(&go);
	munmap(made, 2 * sizeof(*made));
}

CONTRACT_TEST(cache_named, area_of_that_name_that_is_no_cache_is_refused)
{
	struct ashmem_cache *cache = NULL;

	choose_name("area");
	struct ashmem_area *area = area_of_pages(4);
	expect_eq(ashmem_publish(area, name), 0);
	struct holdings before = holdings_now();
	expect_eq(ashmem_cache_open(name, NULL, &cache), -EPROTO);
	expect(cache == NULL);
	expect_holdings(&before);
	ashmem_close(area);
}

CONTRACT_TEST(cache_named, failure_leaves_neither_cache_nor_name)
{
	struct ashmem_cache_options options = {.struct_size = sizeof(options), .flags = 77};
	struct ashmem_cache *cache = NULL;
	struct ashmem_area *area = NULL;

	choose_name("failure");
	struct holdings before = holdings_now();
	expect_eq(ashmem_cache_open(name, &options, &cache), -EINVAL);
	expect_eq(ashmem_cache_open(name, NULL, NULL), -EINVAL);
	expect_eq(ashmem_cache_open(NULL, NULL, &cache), -EINVAL);
	expect_eq(ashmem_cache_open("a/b", NULL, &cache), -EINVAL);
	expect(cache == NULL);
	expect_eq(ashmem_open_named(name, &area), -ENOENT);
	expect_holdings(&before);
}

static void *volatile leaked;

static void die_with_the_cache(void *unused)
{
	(void)unused;
	leaked = opened(0);
	put(leaked, "key", "value");
}

CONTRACT_TEST(cache_named, cache_of_the_dead_is_made_anew)
{
	choose_name("dead");
	run_child(die_with_the_cache, NULL);
	struct ashmem_cache *cache = opened(0);
	expect(!has(cache, "key", "value"));
	ashmem_cache_close(cache);
}
