/* SPDX-License-Identifier: MIT */
/*
 * What purges and takings leave of a segment, seen from outside: by what is read, and by the memory
 * that the cache takes.
 */
#define _GNU_SOURCE 1
#include "support/areas.h"
#include "support/caches_kv.h"
#include "support/children.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cache/cache.h"
#include "cache/find.h"

enum { LARGE = 20000, RUN = 150000, MEGABYTE = 1 << 20 };

static unsigned char value[MEGABYTE], buf[MEGABYTE];

static void put_filled(struct ashmem_cache *cache, const char *key, size_t bytes, int with)
{
	memset(value, with, bytes);
	expect_eq(ashmem_cache_put(cache, key, strlen(key), value, bytes, 0), 0);
}

/* 1 if it is there, all of it, 0 if it is a miss. */
static int has_filled(struct ashmem_cache *cache, const char *key, size_t bytes, int with)
{
	int64_t got = kv_read(cache, key, buf, sizeof(buf));

	if (got == -ENOENT)
		return 0;
	expect_eq(got, bytes);
	for (size_t i = 0; i < bytes; i++)
		expect_eq(buf[i], with);
	return 1;
}

/* Where the value begins in the area. */
static uint64_t offset_of(struct ashmem_cache *cache, const char *key)
{
	struct cache_key its_key = cache_key_of(cache, key, strlen(key));
	struct cache_found found;
	enum cache_miss miss;

	expect(cache_find(cache, &its_key, &found, &miss));
	return (uint64_t)(cache_found_value(cache, &found) - cache->base);
}

static struct ashmem_cache *imported(struct ashmem_cache *from)
{
	struct ashmem_cache *cache = NULL;

	expect_eq(ashmem_cache_import(ashmem_cache_fd(from), &cache), 0);
	return cache;
}

CONTRACT_TEST(cache_segments, value_that_was_purged_stays_a_miss_when_its_segment_was_held_since)
{
	struct ashmem_cache *keeper = new_kv(LARGE), *cache = imported(keeper);
	struct ashmem_entry *entry;
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);

	expect_eq(kv_put(keeper, "lease", ""), 0); /* so that the other one holds nothing */
	put_filled(cache, "purged", LARGE, 'p');
	put_filled(cache, "looked at", LARGE, 'l');
	/* One page with bytes of its value alone, so that its head stays. */
	uint64_t middle = (offset_of(cache, "purged") + page - 1) / page * page;
	if (middle + page > offset_of(cache, "purged") + LARGE)
		contract_skip("no page is the value's alone");
	expect(ashmem_purge(ashmem_cache_area(cache), middle, page) > 0);
	expect(!has_filled(cache, "purged", LARGE, 'p'));
	expect_eq(ashmem_cache_get(cache, "looked at", 9, &entry), 0);
	expect(!has_filled(cache, "purged", LARGE, 'p'));
	ashmem_entry_release(entry);
	expect(!has_filled(cache, "purged", LARGE, 'p'));
	expect(has_filled(cache, "looked at", LARGE, 'l'));
	ashmem_cache_close(cache);
	ashmem_cache_close(keeper);
}

/* -- memory -- */

static uint64_t pages_of(struct ashmem_cache *cache)
{
	struct stat status;

	expect_eq(fstat(ashmem_cache_fd(cache), &status), 0);
	return (uint64_t)status.st_blocks * 512 / (uint64_t)sysconf(_SC_PAGESIZE);
}

static void expect_shrink_is_what_is_freed(struct ashmem_cache *cache)
{
	uint64_t before = pages_of(cache);
	int64_t freed = ashmem_shrink(UINT64_MAX);

	expect_eq(freed, before - pages_of(cache));
}

CONTRACT_TEST(cache_segments, shrink_of_a_fresh_cache_reports_what_its_file_loses)
{
	struct ashmem_cache *keeper = new_kv(LARGE), *cache = imported(keeper);

	expect_shrink_is_what_is_freed(cache);
	expect_eq(kv_put(keeper, "lease", ""), 0);
	expect_shrink_is_what_is_freed(cache);
	/* A part of a segment, then some whole ones. */
	put_filled(cache, "part", LARGE, 'v');
	expect_shrink_is_what_is_freed(cache);
	expect_miss(cache, "part");
	for (uint32_t i = 0; i < 10; i++)
		expect_eq(ashmem_cache_put(cache, &i, sizeof(i), value, LARGE, 0), 0);
	expect_shrink_is_what_is_freed(cache);
	expect_shrink_is_what_is_freed(cache);
	ashmem_cache_close(cache);
	ashmem_cache_close(keeper);
}

/* -- runs -- */

CONTRACT_TEST(cache_segments, what_lay_in_any_segment_of_a_run_is_a_miss_once_it_is_taken)
{
	struct ashmem_cache *cache = new_kv(RUN);
	enum { SMALL = 5000, COUNT = 400 };
	struct ashmem_entry *entry;
	uint64_t room_bytes;
	uint32_t lay_there = 0;

	for (uint32_t i = 0; i < COUNT; i++) {
		memset(value, 0, SMALL);
		memcpy(value, &i, sizeof(i));
		memcpy(value + SMALL - 16, "in this segment", 16);
		expect_eq(ashmem_cache_put(cache, &i, sizeof(i), value, SMALL, 0), 0);
	}
	expect_eq(ashmem_cache_reserve(cache, "run", 3, RUN, 0, &entry), 0);
	unsigned char *room = ashmem_entry_room(entry, &room_bytes), *at = room;
	/* What is written there has the heads of the old ones in the same places. */
	while ((at = memmem(at, (size_t)(room + room_bytes - at), "in this segment", 16))) {
		memcpy(at, "is other bytes!", 16);
		lay_there++;
	}
	expect(lay_there > 2 * cache->layout.segment_bytes / SMALL);
	for (uint32_t i = 0; i < COUNT; i++) {
		int64_t got = ashmem_cache_read(cache, &i, sizeof(i), buf, sizeof(buf));
		expect(got == -ENOENT || memcmp(buf + SMALL - 16, "in this segment", 16) == 0);
	}
	ashmem_entry_release(entry);
	ashmem_cache_close(cache);
}

/* -- a megabyte, put again -- */

struct putting {
	struct ashmem_cache *cache;
	int go[2], done[2];
};

/* At each step of the other one, everything that can be is purged. */
static void shrink_when_told(void *argument)
{
	const struct putting *putting = argument;
	struct ashmem_cache *cache = putting->cache;
	char byte;

	close(putting->go[1]);
	while (read(putting->go[0], &byte, 1) == 1) {
		expect(ashmem_shrink(UINT64_MAX) >= 0);
		/* Page by page, as far as nobody holds them. */
		expect(ashmem_purge(ashmem_cache_area(cache), cache->layout.segments_at,
			       (uint64_t)cache->layout.segments * cache->layout.segment_bytes) >=
			0);
		expect_eq(write(putting->done[1], "", 1), 1);
	}
}

static void let_shrink(const struct putting *putting)
{
	char byte;

	expect_eq(write(putting->go[1], "", 1), 1);
	expect_eq(read(putting->done[0], &byte, 1), 1);
}

/* Built in place, piece by piece, with a shrink between any two. */
static void put_megabyte(const struct putting *putting, int with)
{
	enum { PIECES = 16 };
	struct ashmem_entry *entry;

	expect_eq(ashmem_cache_reserve(putting->cache, "a", 1, MEGABYTE, 0, &entry), 0);
	unsigned char *room = ashmem_entry_room(entry, NULL);
	for (size_t i = 0; i < PIECES; i++) {
		memset(room + i * (MEGABYTE / PIECES), with, MEGABYTE / PIECES);
		let_shrink(putting);
		/* The last one is gone: it was purged when the first piece was written. */
		expect(!has_filled(putting->cache, "a", MEGABYTE, with - 1));
	}
	expect_eq(ashmem_entry_commit(entry), 0);
	let_shrink(putting);
	expect(has_filled(putting->cache, "a", MEGABYTE, with));
	ashmem_entry_release(entry);
}

CONTRACT_TEST(cache_segments, megabyte_that_is_put_again_is_whole_while_another_process_shrinks)
{
	struct ashmem_cache_options options = {
		.struct_size = sizeof(options),
		.most_bytes = 8 << 20,
		.value_most_bytes = MEGABYTE,
	};
	struct putting putting;

	skip_on_kernel("caches are areas of the memfd backend");
	int r = ashmem_cache_create("megabyte", &options, &putting.cache);
	if (r == -ENOTSUP || r == -ENODEV)
		contract_skip("no caches here: no memfd, or no /proc");
	expect_eq(r, 0);
	expect(pipe(putting.go) == 0 && pipe(putting.done) == 0);
	pid_t child = child_start(shrink_when_told, &putting);
	for (int i = 0; i < 4; i++) {
		put_megabyte(&putting, 'a' + i);
		expect(has_filled(putting.cache, "a", MEGABYTE, 'a' + i));
	}
	let_shrink(&putting);
	expect_miss(putting.cache, "a");
	close(putting.go[1]);
	child_join(child);
	ashmem_cache_close(putting.cache);
}
