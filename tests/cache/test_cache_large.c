/* SPDX-License-Identifier: MIT */
/*
 * Values that are larger than a segment: a run of segments has each, and without one of these it is
 * a miss. Two tests are about clear, which must leave later values alone.
 */
#define _GNU_SOURCE 1
#include "support/areas.h"
#include "support/caches_kv.h"
#include "support/children.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

enum { LARGEST = 1 << 18 };

static unsigned char value[LARGEST + 1], buf[LARGEST + 1];

static void fill(unsigned char *at, size_t bytes, uint32_t seed)
{
	for (size_t i = 0; i < bytes; i++) {
		seed = seed * 1664525 + 1013904223;
		at[i] = (unsigned char)(seed >> 24);
	}
}

static int put_large(struct ashmem_cache *cache, const char *key, size_t bytes, uint32_t seed)
{
	fill(value, bytes, seed);
	return ashmem_cache_put(cache, key, strlen(key), value, bytes, 0);
}

/* 1 if the whole value is there, 0 if it is a miss. */
static int has_large(struct ashmem_cache *cache, const char *key, size_t bytes, uint32_t seed)
{
	int64_t got = kv_read(cache, key, buf, sizeof(buf));

	if (got == -ENOENT)
		return 0;
	expect_eq(got, bytes);
	fill(value, bytes, seed);
	expect(memcmp(buf, value, bytes) == 0);
	return 1;
}

static struct ashmem_cache_stats counts_of(struct ashmem_cache *cache)
{
	struct ashmem_cache_stats stats = {.struct_size = sizeof(stats)};

	expect_eq(ashmem_cache_get_stats(cache, &stats), 0);
	return stats;
}

/* Small values, so many bytes of them together. */
static void put_small(struct ashmem_cache *cache, uint64_t bytes)
{
	static uint64_t number;
	static char small[4096];

	for (uint64_t i = 0; i < bytes / sizeof(small); i++, number++)
		expect_eq(ashmem_cache_put(cache, &number, sizeof(number), small, sizeof(small), 0),
			0);
}

/* The segment in which a byte of the value lies, by its address. */
static uint64_t segment_of(struct ashmem_cache *cache, const char *key, uint64_t at)
{
	struct ashmem_cache_stats stats = counts_of(cache);
	uint64_t bytes = ashmem_get_size(ashmem_cache_area(cache));
	const unsigned char *base =
		mmap(NULL, bytes, PROT_READ, MAP_SHARED, ashmem_cache_fd(cache), 0);

	expect(base != MAP_FAILED);
	int64_t got = kv_read(cache, key, buf, sizeof(buf));
	expect(got > 0);
	const unsigned char *found = memmem(base, bytes, buf, (size_t)got);
	expect(found != NULL);
	uint64_t segment =
		((uint64_t)(found - base) + at - stats.bytes_index) / stats.segment_bytes;
	munmap((void *)(uintptr_t)base, bytes);
	return segment;
}

static void purge_segment(struct ashmem_cache *cache, uint64_t segment)
{
	struct ashmem_cache_stats stats = counts_of(cache);

	expect(ashmem_purge(ashmem_cache_area(cache),
		       stats.bytes_index + segment * stats.segment_bytes, stats.segment_bytes) > 0);
}

/* -- put, read, get -- */

CONTRACT_TEST(cache_large, values_of_every_number_of_segments_are_read_as_they_were_put)
{
	struct ashmem_cache *cache = new_kv(LARGEST);
	uint64_t segment_bytes = counts_of(cache).segment_bytes;

	expect(segment_bytes < LARGEST / 2);
	for (uint32_t segments = 1; segments * segment_bytes < LARGEST; segments++)
		for (uint64_t less = 0; less < 64; less++) {
			/* From fits to needs one more. */
			size_t bytes = segments * segment_bytes - less;
			expect_eq(put_large(cache, "a", bytes, segments), 0);
			expect(has_large(cache, "a", bytes, segments));
		}
	expect_eq(put_large(cache, "a", LARGEST, 1), 0);
	expect(has_large(cache, "a", LARGEST, 1));
	expect_eq(kv_read(cache, "a", buf, 10), LARGEST);
	ashmem_cache_close(cache);
}

CONTRACT_TEST(cache_large, quarter_of_the_cache_fits_and_one_byte_more_changes_nothing)
{
	struct ashmem_cache *cache = new_kv(LARGEST);

	put_small(cache, 2 << 20);
	expect_eq(put_large(cache, "a", LARGEST, 1), 0);
	expect_eq(put_large(cache, "a", LARGEST + 1, 2), -EFBIG);
	expect(has_large(cache, "a", LARGEST, 1));
	for (uint32_t i = 0; i < 20; i++) {
		put_small(cache, 50000);
		expect_eq(put_large(cache, i % 2 ? "odd" : "even", LARGEST, i), 0);
		expect(has_large(cache, i % 2 ? "odd" : "even", LARGEST, i));
	}
	ashmem_cache_close(cache);
}

CONTRACT_TEST(cache_large, several_are_kept_beside_small_ones)
{
	struct ashmem_cache *cache = new_kv(LARGEST);
	const char *keys[] = {"a", "b", "c"};

	for (uint32_t i = 0; i < 3; i++)
		expect_eq(put_large(cache, keys[i], 100000 + i * 70000, i), 0);
	put_small(cache, 100000);
	for (uint32_t i = 0; i < 3; i++)
		expect(has_large(cache, keys[i], 100000 + i * 70000, i));
	ashmem_cache_close(cache);
}

CONTRACT_TEST(cache_large, value_in_place_is_one_piece_and_stays)
{
	struct ashmem_cache *cache = new_kv(LARGEST);
	struct ashmem_entry *first, *second;
	uint64_t bytes = 0;

	expect_eq(put_large(cache, "a", 200000, 1), 0);
	expect_eq(ashmem_cache_get(cache, "a", 1, &first), 0);
	expect_eq(ashmem_cache_get(cache, "a", 1, &second), 0);
	const void *at = ashmem_entry_value(first, &bytes);
	expect_eq(bytes, 200000);
	expect(ashmem_entry_value(second, NULL) == at); /* no copy */
	ashmem_entry_release(second);
	expect_eq(put_large(cache, "a", 200000, 2), 0);
	purge_kv(cache);
	put_small(cache, 3 << 20);
	fill(value, 200000, 1);
	expect(memcmp(at, value, 200000) == 0);
	ashmem_entry_release(first);
	ashmem_cache_close(cache);
}

static void look_in_child(void *entry)
{
	uint64_t bytes;
	const void *at = ashmem_entry_value(entry, &bytes);

	expect(bytes == 200000 && memcmp(at, value, bytes) == 0);
	ashmem_entry_release(entry);
}

CONTRACT_TEST(cache_large, child_looks_at_what_its_parent_got_and_the_hold_ends_with_both)
{
	struct ashmem_cache *cache = new_kv(LARGEST);
	struct ashmem_entry *entry;

	expect_eq(put_large(cache, "a", 200000, 1), 0);
	expect_eq(ashmem_cache_get(cache, "a", 1, &entry), 0);
	run_child(look_in_child, entry);
	purge_kv(cache);
	expect(has_large(cache, "a", 200000, 1));
	ashmem_entry_release(entry);
	purge_kv(cache);
	expect(!has_large(cache, "a", 200000, 1));
	ashmem_cache_close(cache);
}

CONTRACT_TEST(cache_large, room_is_one_piece_and_seen_after_the_commit)
{
	struct ashmem_cache *cache = new_kv(LARGEST);
	struct ashmem_entry *entry;
	uint64_t bytes = 0;

	expect_eq(put_large(cache, "a", 150000, 1), 0);
	expect_eq(ashmem_cache_reserve(cache, "a", 1, LARGEST + 1, 0, &entry), -EFBIG);
	expect_eq(ashmem_cache_reserve(cache, "a", 1, 200000, 0, &entry), 0);
	void *room = ashmem_entry_room(entry, &bytes);
	expect_eq(bytes, 200000);
	fill(room, 100000, 2);
	expect(has_large(cache, "a", 150000, 1)); /* half of the new one is nothing */
	fill(room, 200000, 2);
	purge_kv(cache);
	expect_eq(ashmem_entry_commit(entry), 0);
	expect(ashmem_entry_value(entry, &bytes) == room && bytes == 200000);
	ashmem_entry_release(entry);
	expect(has_large(cache, "a", 200000, 2));
	expect_eq(ashmem_cache_reserve(cache, "b", 1, 200000, 0, &entry), 0);
	ashmem_entry_release(entry);
	expect_miss(cache, "b");
	ashmem_cache_close(cache);
}

/* -- what ends one -- */

CONTRACT_TEST(cache_large, any_segment_that_was_purged_makes_it_a_miss)
{
	struct ashmem_cache *cache = new_kv(LARGEST);
	uint64_t first, last;

	for (uint64_t at = 0; at == 0 || first + at <= last; at++) {
		expect_eq(put_large(cache, "a", LARGEST - 5000, 1), 0);
		first = segment_of(cache, "a", 0);
		last = segment_of(cache, "a", LARGEST - 5001);
		expect(last > first + 2);
		uint64_t before = counts_of(cache).misses_purged;
		purge_segment(cache, first + at);
		expect_miss(cache, "a");
		expect_eq(counts_of(cache).misses_purged, before + 1);
		expect_eq(kv_put_with(cache, "a", "1", ASHMEM_PUT_REPLACE), -ENOENT);
		expect_eq(ashmem_cache_remove(cache, "a", 1), -ENOENT);
	}
	ashmem_cache_close(cache);
}

CONTRACT_TEST(cache_large, any_segment_that_is_used_for_others_makes_it_a_miss)
{
	struct ashmem_cache *cache = new_kv(LARGEST);
	uint64_t first, last;

	put_small(cache, 3 << 20); /* no segment is free but those that will be purged */
	for (uint64_t at = 0; at == 0 || first + at <= last; at++) {
		expect_eq(put_large(cache, "a", LARGEST - 5000, 1), 0);
		put_small(cache, 200000);
		first = segment_of(cache, "a", 0);
		last = segment_of(cache, "a", LARGEST - 5001);
		purge_segment(cache, first + at);
		/* Taken first, and lost no more: the bits are cleared. */
		put_small(cache, 3 * counts_of(cache).segment_bytes);
		expect_miss(cache, "a");
	}
	ashmem_cache_close(cache);
}

CONTRACT_TEST(cache_large, other_calls_treat_it_as_any_value)
{
	struct ashmem_cache *cache = new_kv(LARGEST);
	uint64_t position = 0, bytes;
	size_t key_bytes;
	char key[8];

	expect_eq(put_large(cache, "a", LARGEST, 1), 0);
	expect_eq(ashmem_cache_next(cache, &position, key, sizeof(key), &key_bytes, &bytes), 1);
	expect(key_bytes == 1 && key[0] == 'a' && bytes == LARGEST);
	expect_eq(kv_put_with(cache, "a", "1", ASHMEM_PUT_ADD), -EEXIST);
	expect_eq(ashmem_cache_touch(cache, "a", 1, 1), 0);
	usleep(3000);
	expect_miss(cache, "a");
	expect_eq(ashmem_cache_touch(cache, "a", 1, 1000000), -ENOENT);
	expect_eq(put_large(cache, "a", LARGEST, 2), 0);
	expect_eq(ashmem_cache_remove(cache, "a", 1), 0);
	expect_miss(cache, "a");
	expect_eq(put_large(cache, "a", LARGEST, 3), 0);
	expect_eq(ashmem_cache_clear(cache), 0);
	expect_miss(cache, "a");
	expect_eq(kv_put(cache, "a", "small"), 0);
	expect_eq(put_large(cache, "a", LARGEST, 4), 0);
	expect(has_large(cache, "a", LARGEST, 4));
	expect(counts_of(cache).bytes_filled > LARGEST);
	ashmem_cache_close(cache);
}

CONTRACT_TEST(cache_large, it_stays_while_it_is_read_and_gives_way_when_not)
{
	struct ashmem_cache *cache = new_kv(LARGEST);

	expect_eq(put_large(cache, "read", 200000, 1), 0);
	expect_eq(put_large(cache, "not read", 200000, 2), 0);
	for (int i = 0; i < 100; i++) {
		put_small(cache, 50000);
		expect(has_large(cache, "read", 200000, 1));
	}
	expect_miss(cache, "not read");
	/* Others that are read take its place. */
	for (uint32_t i = 0; i < 40; i++) {
		char key[2] = {(char)('A' + i)};
		expect_eq(put_large(cache, key, 200000, i), 0);
		expect(has_large(cache, key, 200000, i));
		put_small(cache, 400000);
	}
	expect_miss(cache, "read");
	ashmem_cache_close(cache);
}

CONTRACT_TEST(cache_large, small_ones_that_are_read_stay_while_large_ones_are_put)
{
	struct ashmem_cache *cache = new_kv(LARGEST);

	expect_eq(kv_put(cache, "small", "read"), 0);
	put_small(cache, 200000); /* its segment is not appended to any more, so not held */
	for (uint32_t i = 0; i < 60; i++) {
		expect_eq(ashmem_cache_put(cache, &i, sizeof(i), value, 150000, 0), 0);
		expect_value(cache, "small", "read");
	}
	ashmem_cache_close(cache);
}

CONTRACT_TEST(cache_large, without_so_many_segments_in_a_row_it_is_eagain_and_nothing_changes)
{
	struct ashmem_cache *cache = new_kv(LARGEST);
	struct ashmem_entry *held[8];
	int count = 0, r = 0;

	expect_eq(kv_put(cache, "a", "old"), 0);
	while (count < 8 && r == 0) {
		r = ashmem_cache_reserve(cache, &count, sizeof(count), LARGEST, 0, &held[count]);
		count += r == 0;
	}
	expect_eq(r, -EAGAIN);
	expect(count >= 2);
	expect_eq(put_large(cache, "a", LARGEST, 1), -EAGAIN);
	expect_eq(ashmem_cache_get(cache, "b", 1, &held[count]), -ENOENT);
	while (count > 0)
		ashmem_entry_release(held[--count]);
	expect_eq(put_large(cache, "a", LARGEST, 1), 0);
	expect(has_large(cache, "a", LARGEST, 1));
	ashmem_cache_close(cache);
}

/* -- clear -- */

CONTRACT_TEST(cache_clear, what_was_put_after_it_stays_when_an_older_room_is_committed)
{
	struct ashmem_cache *cache = new_kv(0);
	struct ashmem_entry *room;

	expect_eq(ashmem_cache_reserve(cache, "a", 1, 3, 0, &room), 0);
	memcpy(ashmem_entry_room(room, NULL), "old", 3);
	expect_eq(ashmem_cache_clear(cache), 0);
	expect_eq(kv_put(cache, "a", "new"), 0);
	expect_eq(ashmem_entry_commit(room), 0);
	ashmem_entry_release(room);
	expect_value(cache, "a", "new");
	ashmem_cache_close(cache);
}

CONTRACT_TEST(cache_clear, what_was_cleared_is_purged_before_older_memory)
{
	struct ashmem_cache *cache = new_kv(0);
	struct ashmem_area *older = area_of_pages(16);

	unpin_pages(older, 0, 16);
	expect_eq(kv_put(cache, "a", "1"), 0);
	put_small(cache, 300000);
	expect_eq(ashmem_cache_clear(cache), 0);
	expect_eq(kv_put(cache, "a", "2"), 0); /* in another segment */
	expect(ashmem_shrink(1) > 0);
	expect_value(cache, "a", "2");
	expect_eq(ashmem_pin(older, 0, 0), ASHMEM_NOT_PURGED);
	ashmem_close(older);
	ashmem_cache_close(cache);
}
