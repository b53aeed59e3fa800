/* SPDX-License-Identifier: MIT */
/*
 * Caches: what every call promises, in one process. Several processes are in test_cache_peers.c,
 * random ones in stress_cache.c.
 */
#define _GNU_SOURCE 1
#include "support/areas.h"
#include "support/caches_kv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* -- read and put -- */

CONTRACT_TEST(cache, read_returns_what_was_put)
{
	struct ashmem_cache *cache = new_kv(0);
	char buf[16] = "unchanged";

	expect_eq(kv_read(cache, "a", buf, sizeof(buf)), -ENOENT);
	expect_eq(kv_put(cache, "a", "one"), 0);
	expect_eq(kv_put(cache, "b", "other"), 0);
	expect_value(cache, "a", "one");
	expect_value(cache, "b", "other");
	expect_eq(kv_put(cache, "a", "two"), 0);
	expect_value(cache, "a", "two");
	ashmem_cache_close(cache);
}

CONTRACT_TEST(cache, empty_values_and_any_bytes_are_values)
{
	struct ashmem_cache *cache = new_kv(0);
	char key[3] = {0, (char)0xff, 0}, buf[2];

	expect_eq(ashmem_cache_put(cache, key, 3, NULL, 0, 0), 0);
	expect_eq(ashmem_cache_read(cache, key, 3, NULL, 0), 0);
	expect_eq(ashmem_cache_read(cache, key, 2, buf, 2), -ENOENT);
	expect_eq(ashmem_cache_put(cache, key, 2, "\0\1", 2, 0), 0);
	expect_eq(ashmem_cache_read(cache, key, 2, buf, 2), 2);
	expect(buf[0] == 0 && buf[1] == 1);
	expect_eq(ashmem_cache_read(cache, key, 3, NULL, 0), 0);
	ashmem_cache_close(cache);
}

CONTRACT_TEST(cache, read_tells_the_length_and_gives_what_fits)
{
	struct ashmem_cache *cache = new_kv(0);
	char buf[8] = "........";

	expect_eq(kv_put(cache, "a", "0123456789"), 0);
	expect_eq(kv_read(cache, "a", buf, 4), 10);
	expect(memcmp(buf, "0123....", 8) == 0);
	expect_eq(kv_read(cache, "a", NULL, 0), 10);
	ashmem_cache_close(cache);
}

CONTRACT_TEST(cache, keys_have_1_to_1024_bytes)
{
	struct ashmem_cache *cache = new_kv(0);
	char key[ASHMEM_CACHE_KEY_MOST + 1], buf[8];

	memset(key, 'k', sizeof(key));
	expect_eq(ashmem_cache_put(cache, key, sizeof(key), "v", 1, 0), -EFBIG);
	expect_eq(ashmem_cache_put(cache, key, 0, "v", 1, 0), -EINVAL);
	expect_eq(ashmem_cache_put(cache, NULL, 1, "v", 1, 0), -EINVAL);
	expect_eq(ashmem_cache_read(cache, key, sizeof(key), buf, 8), -EFBIG);
	for (size_t bytes = 1; bytes < sizeof(key); bytes++)
		expect_eq(ashmem_cache_put(cache, key, bytes, &bytes, sizeof(bytes), 0), 0);
	size_t found = 0;
	for (size_t bytes = 1; bytes < sizeof(key); bytes++) {
		int64_t got = ashmem_cache_read(cache, key, bytes, buf, 8);
		expect(got == -ENOENT || got == sizeof(bytes));
		expect(got < 0 || memcmp(buf, &bytes, sizeof(bytes)) == 0);
		found += got > 0;
	}
	/* As many as were expected: a few find no slot. */
	expect(found > sizeof(key) * 97 / 100);
	ashmem_cache_close(cache);
}

CONTRACT_TEST(cache, largest_value_fits_and_one_byte_more_changes_nothing)
{
	struct ashmem_cache *cache = new_kv(100000);
	char *value = calloc(1, 100001), *buf = calloc(1, 100001);

	memset(value, 'x', 100001);
	expect_eq(kv_put(cache, "a", "old"), 0);
	expect_eq(ashmem_cache_put(cache, "a", 1, value, 100001, 0), -EFBIG);
	expect_value(cache, "a", "old");
	expect_eq(ashmem_cache_put(cache, "a", 1, value, 100000, 0), 0);
	expect_eq(kv_read(cache, "a", buf, 100001), 100000);
	expect(memcmp(value, buf, 100000) == 0);
	ashmem_cache_close(cache);
	free(value);
	free(buf);
}

CONTRACT_TEST(cache, add_and_replace_depend_on_what_is_there)
{
	struct ashmem_cache *cache = new_kv(0);

	expect_eq(kv_put_with(cache, "a", "1", ASHMEM_PUT_REPLACE), -ENOENT);
	expect_eq(kv_put_with(cache, "a", "2", ASHMEM_PUT_ADD), 0);
	expect_eq(kv_put_with(cache, "a", "3", ASHMEM_PUT_ADD), -EEXIST);
	expect_value(cache, "a", "2");
	expect_eq(kv_put_with(cache, "a", "4", ASHMEM_PUT_REPLACE), 0);
	expect_value(cache, "a", "4");
	expect_eq(kv_put_with(cache, "a", "5", ASHMEM_PUT_ADD | ASHMEM_PUT_REPLACE), -EINVAL);
	expect_eq(kv_put_with(cache, "a", "5", 8), -EINVAL);
	expect_eq(ashmem_cache_remove(cache, "a", 1), 0);
	expect_eq(kv_put_with(cache, "a", "6", ASHMEM_PUT_ADD), 0);
	ashmem_cache_close(cache);
}

CONTRACT_TEST(cache, what_was_purged_can_be_added_again)
{
	struct ashmem_cache *cache = new_kv(0);

	expect_eq(kv_put(cache, "a", "1"), 0);
	purge_kv(cache);
	expect_miss(cache, "a");
	expect_eq(kv_put_with(cache, "a", "2", ASHMEM_PUT_REPLACE), -ENOENT);
	expect_eq(kv_put_with(cache, "a", "3", ASHMEM_PUT_ADD), 0);
	expect_value(cache, "a", "3");
	ashmem_cache_close(cache);
}

CONTRACT_TEST(cache, removed_and_cleared_values_are_gone)
{
	struct ashmem_cache *cache = new_kv(0);

	expect_eq(ashmem_cache_remove(cache, "a", 1), -ENOENT);
	expect_eq(kv_put(cache, "a", "1"), 0);
	expect_eq(kv_put(cache, "b", "2"), 0);
	expect_eq(ashmem_cache_remove(cache, "a", 1), 0);
	expect_miss(cache, "a");
	expect_value(cache, "b", "2");
	expect_eq(ashmem_cache_clear(cache), 0);
	expect_miss(cache, "b");
	expect_eq(ashmem_cache_remove(cache, "b", 1), -ENOENT);
	expect_eq(kv_put(cache, "b", "3"), 0);
	expect_value(cache, "b", "3");
	ashmem_cache_close(cache);
}

CONTRACT_TEST(cache, old_entries_give_way_to_new_ones)
{
	struct ashmem_cache *cache = new_kv(0);
	struct ashmem_cache_stats stats = {.struct_size = sizeof(stats)};
	char value[1000], buf[1000];
	uint32_t found = 0;

	memset(value, 'v', sizeof(value));
	for (uint32_t i = 0; i < 10000; i++) {
		memcpy(value, &i, sizeof(i));
		expect_eq(ashmem_cache_put(cache, &i, sizeof(i), value, sizeof(value), 0), 0);
	}
	for (uint32_t i = 0; i < 10000; i++) {
		memcpy(value, &i, sizeof(i));
		int64_t got = ashmem_cache_read(cache, &i, sizeof(i), buf, sizeof(buf));
		expect(got == -ENOENT ||
			(got == sizeof(value) && memcmp(buf, value, sizeof(buf)) == 0));
		found += got > 0;
		expect(i < 9990 || got > 0);
	}
	expect_eq(ashmem_cache_get_stats(cache, &stats), 0);
	expect(found > 700 && found * sizeof(value) < stats.bytes);
	expect(stats.evictions > 0);
	ashmem_cache_close(cache);
}

static void put_numbers(struct ashmem_cache *cache, uint32_t from, uint32_t count)
{
	char value[480] = "";

	for (uint32_t i = from; i < from + count; i++)
		expect_eq(ashmem_cache_put(cache, &i, sizeof(i), value, sizeof(value), 0), 0);
}

static uint32_t count_numbers(struct ashmem_cache *cache, uint32_t count)
{
	uint32_t found = 0;

	for (uint32_t i = 0; i < count; i++)
		found += ashmem_cache_read(cache, &i, sizeof(i), NULL, 0) >= 0;
	return found;
}

CONTRACT_TEST(cache, what_is_put_again_soon_after_it_was_forgotten_stays)
{
	enum { AGAIN = 100, WHOLE = 2100 }; /* as many entries as there is room for */
	struct ashmem_cache_options options = {
		.struct_size = sizeof(options), .most_bytes = 1 << 20, .entries = 2 * WHOLE};
	struct ashmem_cache *cache = NULL;

	skip_on_kernel("caches are areas of the memfd backend");
	expect_eq(ashmem_cache_create("ages", &options, &cache), 0);
	put_numbers(cache, 100000, 4 * WHOLE);
	put_numbers(cache, 0, AGAIN);
	put_numbers(cache, 200000, WHOLE + WHOLE / 2);
	/* Some look like others that were forgotten before. */
	expect(count_numbers(cache, AGAIN) < AGAIN / 10);
	put_numbers(cache, 0, AGAIN);
	put_numbers(cache, 300000, WHOLE);
	uint32_t stayed = count_numbers(cache, AGAIN);
	expect_msg(stayed >= AGAIN / 10 * 8, "%u of %d", stayed, AGAIN);
	ashmem_cache_close(cache);
}

/* -- time to live -- */

CONTRACT_TEST(cache, values_expire_and_touch_gives_them_more_time)
{
	struct ashmem_cache *cache = new_kv(0);

	expect_eq(ashmem_cache_put(cache, "short", 5, "1", 1, 1), 0);
	expect_eq(ashmem_cache_put(cache, "long", 4, "2", 1, 1000000), 0);
	expect_eq(ashmem_cache_put(cache, "touched", 7, "3", 1, 300), 0);
	expect_eq(ashmem_cache_touch(cache, "touched", 7, UINT64_MAX), 0);
	usleep(2000);
	expect_miss(cache, "short");
	expect_eq(ashmem_cache_touch(cache, "short", 5, 1000000), -ENOENT);
	expect_eq(ashmem_cache_remove(cache, "short", 5), -ENOENT);
	usleep(310000);
	expect_value(cache, "long", "2");
	expect_value(cache, "touched", "3");
	expect_eq(ashmem_cache_touch(cache, "touched", 7, 1), 0);
	usleep(3000);
	expect_miss(cache, "touched");
	expect_eq(kv_put_with(cache, "touched", "4", ASHMEM_PUT_ADD), 0);
	ashmem_cache_close(cache);
}

CONTRACT_TEST(cache, time_that_is_left_can_be_given_back)
{
	struct ashmem_cache *cache = new_kv(0);
	struct ashmem_cache_stats before = {.struct_size = sizeof(before)}, after = before;

	expect_eq(ashmem_cache_get_ttl(cache, "a", 1), -ENOENT);
	expect_eq(kv_put(cache, "ever", "1"), 0);
	expect_eq(ashmem_cache_put(cache, "long", 4, "2", 1, 100000), 0);
	expect_eq(ashmem_cache_put(cache, "longest", 7, "3", 1, UINT64_MAX), 0);
	expect_eq(ashmem_cache_get_stats(cache, &before), 0);
	expect_eq(ashmem_cache_get_ttl(cache, "ever", 4), 0);
	int64_t left = ashmem_cache_get_ttl(cache, "long", 4);
	expect(left > 0 && left <= 100000);
	expect(ashmem_cache_get_ttl(cache, "longest", 7) > 100000);
	expect_eq(ashmem_cache_get_stats(cache, &after), 0);
	expect(before.hits == after.hits && before.misses == after.misses);
	expect_eq(ashmem_cache_touch(cache, "ever", 4, (uint64_t)left), 0);
	int64_t its = ashmem_cache_get_ttl(cache, "ever", 4);
	expect(its > 0 && its <= left);
	expect_eq(ashmem_cache_touch(cache, "long", 4, 0), 0);
	expect_eq(ashmem_cache_get_ttl(cache, "long", 4), 0);
	expect_eq(ashmem_cache_touch(cache, "ever", 4, 1), 0);
	usleep(3000);
	expect_eq(ashmem_cache_get_ttl(cache, "ever", 4), -ENOENT);
	purge_kv(cache);
	expect_eq(ashmem_cache_get_ttl(cache, "long", 4), -ENOENT);
	expect_eq(ashmem_cache_get_ttl(cache, "", 0), -EINVAL);
	expect_eq(ashmem_cache_get_ttl(NULL, "a", 1), -EINVAL);
	ashmem_cache_close(cache);
}

/* -- purges -- */

static uint64_t blocks_of(struct ashmem_cache *cache)
{
	struct stat status;

	expect_eq(fstat(ashmem_cache_fd(cache), &status), 0);
	return (uint64_t)status.st_blocks;
}

CONTRACT_TEST(cache, reads_of_what_was_purged_give_it_no_memory)
{
	struct ashmem_cache *cache = new_kv(0);
	char value[4000];

	memset(value, 'v', sizeof(value));
	for (uint32_t i = 0; i < 400; i++)
		expect_eq(ashmem_cache_put(cache, &i, sizeof(i), value, sizeof(value), 0), 0);
	uint64_t full = blocks_of(cache);
	uint64_t freed = (uint64_t)ashmem_shrink(UINT64_MAX);
	uint64_t purged = blocks_of(cache);
	expect(freed > 0);
	/* What holds no memory may be counted; what is freed is freed. */
	expect(purged < full);
	for (uint32_t i = 0; i < 400; i++)
		(void)!ashmem_cache_read(cache, &i, sizeof(i), value, sizeof(value));
	expect_eq(blocks_of(cache), purged);
	ashmem_cache_close(cache);
}

CONTRACT_TEST(cache, purged_cache_is_used_again)
{
	struct ashmem_cache *cache = new_kv(0);

	for (int round = 0; round < 100; round++) {
		char key[16]; /* new ones: what is put again is kept apart from what fills it */
		snprintf(key, sizeof(key), "key %d", round);
		expect_eq(kv_put(cache, key, "value"), 0);
		expect_value(cache, key, "value");
		purge_kv(cache);
		expect_miss(cache, key);
	}
	ashmem_cache_close(cache);
}

/* -- entries -- */

CONTRACT_TEST(cache, entries_of_any_size_keep_their_value)
{
	struct ashmem_cache *cache = new_kv(120000);
	const size_t sizes[] = {0, 1, 16383, 16384, 120000};
	char *value = malloc(120000);

	for (size_t i = 0; i < 5; i++) {
		struct ashmem_entry *entry = NULL;
		uint64_t bytes = 0;
		memset(value, (int)i + 1, sizes[i]);
		expect_eq(ashmem_cache_put(cache, "a", 1, value, sizes[i], 0), 0);
		expect_eq(ashmem_cache_get(cache, "a", 1, &entry), 0);
		const void *got = ashmem_entry_value(entry, &bytes);
		expect_eq(bytes, sizes[i]);
		expect_eq(ashmem_cache_put(cache, "a", 1, "new", 3, 0), 0);
		purge_kv(cache);
		for (int k = 0; k < 200; k++)
			expect_eq(ashmem_cache_put(cache, &k, sizeof(k), value, 16000, 0), 0);
		expect(memcmp(value, got, sizes[i]) == 0);
		expect(ashmem_entry_room(entry, NULL) == NULL);
		expect_eq(ashmem_entry_commit(entry), -EINVAL);
		ashmem_entry_release(entry);
		expect_eq(ashmem_cache_clear(cache), 0);
		expect_eq(ashmem_cache_get(cache, "a", 1, &entry), -ENOENT);
	}
	free(value);
	ashmem_cache_close(cache);
}

CONTRACT_TEST(cache, reserved_room_is_seen_after_the_commit)
{
	struct ashmem_cache *cache = new_kv(100000);
	struct ashmem_entry *entry;
	uint64_t bytes = 0;

	expect_eq(ashmem_cache_reserve(cache, "a", 1, 100001, 0, &entry), -EFBIG);
	expect_eq(ashmem_cache_reserve(cache, "a", 1, 5, 0, &entry), 0);
	char *room = ashmem_entry_room(entry, &bytes);
	expect(room != NULL && (uintptr_t)room % 8 == 0);
	expect_eq(bytes, 5);
	expect(ashmem_entry_value(entry, NULL) == NULL);
	memcpy(room, "built", 5);
	expect_miss(cache, "a");
	expect_eq(ashmem_entry_commit(entry), 0);
	expect_value(cache, "a", "built");
	expect(ashmem_entry_value(entry, &bytes) == room && bytes == 5);
	expect_eq(ashmem_entry_commit(entry), -EINVAL);
	purge_kv(cache);
	expect_value(cache, "a", "built");
	ashmem_entry_release(entry);
	expect_eq(ashmem_cache_reserve(cache, "b", 1, 5, 0, &entry), 0);
	ashmem_entry_release(entry);
	expect_miss(cache, "b");
	ashmem_entry_release(NULL);
	ashmem_cache_close(cache);
}

static int maps_of_caches(void)
{
	char line[512];
	int count = 0;
	FILE *maps = fopen("/proc/self/maps", "r");

	while (maps && fgets(line, sizeof(line), maps))
		count += strstr(line, "/dev/ashmem/kv closed") != NULL;
	if (maps)
		fclose(maps);
	return count;
}

CONTRACT_TEST(cache, entries_stay_good_after_the_close)
{
	struct ashmem_cache_options options = {
		.struct_size = sizeof(options), .most_bytes = 4 << 20};
	struct ashmem_cache *cache, *other;
	struct ashmem_entry *view, *copy, *room, *claim, *found;
	char *value = calloc(1, 50000);
	uint64_t bytes = 0;

	expect_eq(ashmem_cache_create("kv closed", &options, &cache), 0);
	int fd = dup(ashmem_cache_fd(cache));
	expect_eq(ashmem_cache_put(cache, "view", 4, value, 50000, 0), 0);
	expect_eq(kv_put(cache, "copy", "small"), 0);
	expect_eq(ashmem_cache_get(cache, "view", 4, &view), 0);
	expect_eq(ashmem_cache_get(cache, "copy", 4, &copy), 0);
	expect_eq(ashmem_cache_reserve(cache, "room", 4, 5, 0, &room), 0);
	expect_eq(ashmem_cache_claim(cache, "claim", 5, 0, &claim), ASHMEM_CLAIM_BUILD);
	ashmem_cache_close(cache);

	expect_eq(ashmem_cache_import(fd, &other), 0);
	close(fd);
	purge_kv(other);
	for (int k = 0; k < 200; k++)
		expect_eq(ashmem_cache_put(other, &k, sizeof(k), "full\0full", 9, 0), 0);
	expect(memcmp(ashmem_entry_value(view, &bytes), value, 50000) == 0 && bytes == 50000);
	expect(memcmp(ashmem_entry_value(copy, &bytes), "small", 5) == 0 && bytes == 5);
	expect_eq(ashmem_cache_claim(other, "claim", 5, 0, &found), -EBUSY);
	memcpy(ashmem_entry_room(room, NULL), "built", 5);
	expect_eq(ashmem_entry_commit(room), 0);
	expect_value(other, "room", "built");
	ashmem_entry_release(room);
	ashmem_entry_release(claim);
	expect_eq(ashmem_cache_claim(other, "claim", 5, 0, &found), ASHMEM_CLAIM_BUILD);
	ashmem_entry_release(found);
	ashmem_cache_close(other);
	ashmem_entry_release(copy);
	expect(maps_of_caches() > 0);
	ashmem_entry_release(view);
	expect_eq(maps_of_caches(), 0);
	free(value);
}

CONTRACT_TEST(cache, room_stays_while_puts_go_round_the_cache)
{
	struct ashmem_cache *cache = new_kv(0);
	struct ashmem_entry *entry;
	char value[10000];

	expect_eq(ashmem_cache_reserve(cache, "slow", 4, 1000, 0, &entry), 0);
	char *room = ashmem_entry_room(entry, NULL);
	memset(room, 's', 1000);
	memset(value, 'f', sizeof(value));
	for (uint32_t i = 0; i < 500; i++) {
		expect_eq(ashmem_cache_put(cache, &i, sizeof(i), value, sizeof(value), 0), 0);
		if (i % 50 == 0)
			purge_kv(cache);
	}
	for (int i = 0; i < 1000; i++)
		expect_eq(room[i], 's');
	expect_eq(ashmem_entry_commit(entry), 0);
	ashmem_entry_release(entry);
	expect_eq(kv_read(cache, "slow", value, sizeof(value)), 1000);
	expect_eq(value[999], 's');
	ashmem_cache_close(cache);
}

CONTRACT_TEST(cache, cache_full_of_held_values_is_eagain_and_nothing_changes)
{
	struct ashmem_cache *cache = new_kv(60000);
	struct ashmem_entry *entries[100];
	char value[60000] = "value";
	int count = 0, r = 0;

	while (count < 100 && r == 0) {
		r = ashmem_cache_reserve(cache, &count, sizeof(count), sizeof(value), 0,
			&entries[count]);
		count += r == 0;
	}
	expect_eq(r, -EAGAIN);
	expect(count > 8);
	expect_eq(ashmem_cache_put(cache, "a", 1, value, sizeof(value), 0), -EAGAIN);
	expect_miss(cache, "a");
	while (count > 0)
		ashmem_entry_release(entries[--count]);
	expect_eq(ashmem_cache_put(cache, "a", 1, value, sizeof(value), 0), 0);
	expect_eq(kv_read(cache, "a", value, sizeof(value)), sizeof(value));
	ashmem_cache_close(cache);
}

/* -- claims -- */

CONTRACT_TEST(cache, one_builds_and_the_others_get_what_it_built)
{
	struct ashmem_cache *cache = new_kv(0);
	struct ashmem_entry *claim, *other = NULL, *found;
	uint64_t bytes;

	expect_eq(ashmem_cache_claim(cache, "a", 1, 0, &claim), ASHMEM_CLAIM_BUILD);
	expect(ashmem_entry_value(claim, NULL) == NULL && ashmem_entry_room(claim, NULL) == NULL);
	expect_eq(ashmem_entry_commit(claim), -EINVAL);
	expect_eq(ashmem_cache_claim(cache, "a", 1, 5, &other), -EBUSY);
	expect(other == NULL);
	expect_eq(kv_put(cache, "a", "built"), 0);
	expect_eq(ashmem_cache_claim(cache, "a", 1, 0, &found), ASHMEM_CLAIM_FOUND);
	expect(memcmp(ashmem_entry_value(found, &bytes), "built", 5) == 0 && bytes == 5);
	ashmem_entry_release(found);
	ashmem_entry_release(claim);
	expect_eq(ashmem_cache_remove(cache, "a", 1), 0);
	expect_eq(ashmem_cache_claim(cache, "a", 1, 0, &claim), ASHMEM_CLAIM_BUILD);
	ashmem_entry_release(claim); /* without having built it */
	expect_eq(ashmem_cache_claim(cache, "a", 1, 0, &claim), ASHMEM_CLAIM_BUILD);
	ashmem_entry_release(claim);
	ashmem_cache_close(cache);
}

/* -- walk and statistics -- */

CONTRACT_TEST(cache, walk_finds_each_key_once)
{
	struct ashmem_cache *cache = new_kv(0);
	unsigned char seen[300] = {0};
	uint64_t position = 0, value_bytes;
	uint32_t key;
	size_t key_bytes;
	int r, count = 0;

	for (uint32_t i = 0; i < 300; i++)
		expect_eq(ashmem_cache_put(cache, &i, sizeof(i), seen, i, 0), 0);
	for (uint32_t i = 0; i < 300; i += 3)
		expect_eq(ashmem_cache_remove(cache, &i, sizeof(i)), 0);
	expect_eq(ashmem_cache_next(cache, &position, &key, 3, &key_bytes, NULL), -ERANGE);
	while ((r = ashmem_cache_next(cache, &position, &key, sizeof(key), &key_bytes,
			&value_bytes)) > 0) {
		expect_eq(key_bytes, sizeof(key));
		expect(key < 300 && key % 3 && !seen[key]);
		expect_eq(value_bytes, key);
		seen[key] = 1;
		count++;
	}
	expect_eq(r, 0);
	expect_eq(count, 200);
	expect_eq(ashmem_cache_next(cache, &position, &key, sizeof(key), &key_bytes, NULL), 0);
	ashmem_cache_close(cache);
}

CONTRACT_TEST(cache, statistics_tell_why_reads_missed)
{
	struct ashmem_cache *cache = new_kv(0);
	struct ashmem_cache_stats stats = {.struct_size = sizeof(stats)};

	expect_miss(cache, "never");
	expect_eq(kv_put(cache, "a", "1"), 0);
	expect_value(cache, "a", "1");
	expect_value(cache, "a", "1");
	expect_eq(ashmem_cache_put(cache, "b", 1, "2", 1, 1), 0);
	usleep(3000);
	expect_miss(cache, "b");
	expect_eq(ashmem_cache_get_stats(cache, &stats), 0);
	expect_eq(stats.puts, 2);
	purge_kv(cache);
	expect_miss(cache, "a");
	expect_eq(kv_put(cache, "a", "1"), 0);
	expect_eq(ashmem_cache_clear(cache), 0);
	expect_eq(kv_put(cache, "c", "1"), 0);
	expect_eq(ashmem_cache_remove(cache, "c", 1), 0);
	expect_eq(ashmem_cache_get_stats(cache, &stats), 0);
	expect_eq(stats.hits, 2);
	expect_eq(stats.misses, 3);
	expect_eq(stats.misses_never, 1);
	expect_eq(stats.misses_expired, 1);
	expect_eq(stats.misses_purged, 1);
	expect(stats.puts > 4);
	expect_eq(stats.removes, 1);
	expect_eq(stats.segments * stats.segment_bytes, stats.bytes);
	expect(stats.bytes_unused < stats.bytes && stats.bytes_filled > 0);
	ashmem_cache_close(cache);
}

/* -- life -- */

CONTRACT_TEST(cache, what_cannot_be_made_is_refused)
{
	struct ashmem_cache *cache = NULL;
	struct ashmem_cache_options options = {.struct_size = sizeof(options)};
	struct {
		struct ashmem_cache_options known;
		uint64_t unknown;
	} newer = {.known.struct_size = sizeof(newer), .unknown = 1};

	expect_eq(ashmem_cache_create("c", NULL, NULL), -EINVAL);
	expect_eq(ashmem_cache_create("c", &newer.known, &cache), -E2BIG);
	options.flags = 1;
	expect_eq(ashmem_cache_create("c", &options, &cache), -EINVAL);
	options.flags = 0;
	options.most_bytes = UINT64_C(1) << 60;
	expect_eq(ashmem_cache_create("c", &options, &cache), -EFBIG);
	options.most_bytes = 1 << 20;
	options.value_most_bytes = (1 << 18) + 1;
	expect_eq(ashmem_cache_create("c", &options, &cache), -EFBIG);
	options.most_bytes = UINT64_C(8) << 30;
	options.value_most_bytes = (1 << 30) + 1;
	expect_eq(ashmem_cache_create("c", &options, &cache), -EFBIG);
	options.most_bytes = 1 << 20;
	options.value_most_bytes = 0;
	options.entries = UINT64_C(1) << 33;
	expect_eq(ashmem_cache_create("c", &options, &cache), -EFBIG);
	expect(cache == NULL);
	expect_eq(ashmem_cache_fd(NULL), -EINVAL);
	expect(ashmem_cache_area(NULL) == NULL);
	ashmem_cache_close(NULL);
}

CONTRACT_TEST(cache, an_area_that_is_no_cache_is_not_imported)
{
	struct ashmem_area *area;
	struct ashmem_cache *cache = NULL;

	expect_eq(ashmem_create("area", 1 << 20, 0, &area), 0);
	int fd = ashmem_fd(area);
	expect(fd >= 0);
	if (strcmp(ashmem_backend_name(area), "memfd") == 0)
		expect_eq(ashmem_cache_import(fd, &cache), -EPROTO);
	expect(ashmem_cache_import(-1, &cache) < 0);
	expect(cache == NULL);
	ashmem_close(area);
}

CONTRACT_TEST(cache, two_handles_of_one_process_are_one_cache)
{
	struct ashmem_cache *cache = new_kv(0), *again;

	expect_eq(ashmem_cache_import(ashmem_cache_fd(cache), &again), 0);
	expect_eq(kv_put(cache, "a", "1"), 0);
	expect_eq(kv_put(again, "b", "2"), 0);
	expect_value(again, "a", "1");
	expect_value(cache, "b", "2");
	ashmem_cache_close(cache);
	expect_value(again, "a", "1");
	ashmem_cache_close(again);
}

/* Fill the cache with values made of this, shifted by so many bytes. */
static void fill_with(struct ashmem_cache *cache, const unsigned char *image, size_t bytes,
	size_t shift)
{
	static unsigned char value[16000];

	memset(value, 0, shift);
	for (size_t at = shift; at + bytes <= sizeof(value); at += bytes)
		memcpy(value + at, image, bytes);
	for (uint32_t i = 0; i < 80; i++)
		expect_eq(ashmem_cache_put(cache, &i, sizeof(i), value, sizeof(value), 0), 0);
}

CONTRACT_TEST(cache, value_that_looks_like_an_entry_is_none)
{
	struct ashmem_cache *cache = new_kv(0);
	uint64_t bytes = ashmem_get_size(ashmem_cache_area(cache));
	const unsigned char *base =
		mmap(NULL, bytes, PROT_READ, MAP_SHARED, ashmem_cache_fd(cache), 0);
	unsigned char image[32];

	expect(base != MAP_FAILED);
	expect_eq(kv_put(cache, "victim", "old"), 0);
	/* The entry as it lies there: a head of 20 bytes, the key, the value at a multiple of 8. */
	const unsigned char *key = memmem(base, bytes, "victim", 6);
	expect(key != NULL);
	memcpy(image, key - 20, sizeof(image));
	for (size_t shift = 0; shift < sizeof(image); shift += 8) {
		fill_with(cache, image, sizeof(image), shift);
		expect_miss(cache, "victim");
	}
	munmap((void *)(uintptr_t)base, bytes);
	ashmem_cache_close(cache);
}
