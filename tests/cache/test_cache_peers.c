/* SPDX-License-Identifier: MIT */
/*
 * Caches shared by processes: children, importers, dead ones. Random ones are in stress_cache.c.
 */
#define _GNU_SOURCE 1
#include "support/areas.h"
#include "support/caches_kv.h"
#include "support/children.h"

#include <errno.h>
#include <signal.h>
#include <unistd.h>

struct pair {
	struct ashmem_cache *cache;
	struct ashmem_entry *entry;
	int fd;
	int up[2], down[2]; /* child to parent, parent to child */
};

static struct pair new_pair(uint64_t value_most_bytes)
{
	struct pair pair = {.cache = new_kv(value_most_bytes), .fd = -1};

	expect_eq(pipe(pair.up), 0);
	expect_eq(pipe(pair.down), 0);
	return pair;
}

static void drop_pair(struct pair *pair)
{
	ashmem_cache_close(pair->cache);
	for (int i = 0; i < 2; i++) {
		close(pair->up[i]);
		close(pair->down[i]);
	}
	if (pair->fd >= 0)
		close(pair->fd);
}

static void tell(int fd)
{
	expect_eq(write(fd, "x", 1), 1);
}

static void hear(int fd)
{
	char byte;

	expect_eq(read(fd, &byte, 1), 1);
}

/* -- children -- */

static void put_and_read(void *argument)
{
	struct pair *pair = argument;

	expect_value(pair->cache, "parent", "1");
	expect_eq(kv_put(pair->cache, "child", "2"), 0);
	expect_eq(kv_put(pair->cache, "parent", "3"), 0);
	ashmem_cache_close(pair->cache);
}

CONTRACT_TEST(cache_peers, child_and_parent_share_the_cache)
{
	struct pair pair = new_pair(0);

	expect_eq(kv_put(pair.cache, "parent", "1"), 0);
	run_child(put_and_read, &pair);
	expect_value(pair.cache, "child", "2");
	expect_value(pair.cache, "parent", "3");
	expect_eq(kv_put(pair.cache, "parent", "4"), 0);
	expect_value(pair.cache, "parent", "4");
	drop_pair(&pair);
}

static void look_at_view(void *argument)
{
	struct pair *pair = argument;
	uint64_t bytes;

	tell(pair->up[1]);
	hear(pair->down[0]); /* the parent has released its own, and purged */
	const unsigned char *value = ashmem_entry_value(pair->entry, &bytes);
	expect_eq(bytes, 100000);
	for (uint64_t i = 0; i < bytes; i++)
		expect_eq(value[i], 'v');
	ashmem_entry_release(pair->entry);
	tell(pair->up[1]);
	hear(pair->down[0]);
}

CONTRACT_TEST(cache_peers, view_in_a_child_stays_whole_when_the_parent_has_released_its_own)
{
	struct pair pair = new_pair(100000);
	char *value = malloc(100000);

	memset(value, 'v', 100000);
	expect_eq(ashmem_cache_put(pair.cache, "a", 1, value, 100000, 0), 0);
	expect_eq(ashmem_cache_get(pair.cache, "a", 1, &pair.entry), 0);
	pid_t child = child_start(look_at_view, &pair);
	ashmem_entry_release(pair.entry);
	purge_kv(pair.cache);
	hear(pair.up[0]);
	purge_kv(pair.cache);
	expect_eq(kv_read(pair.cache, "a", value, 100000), 100000);
	tell(pair.down[1]);
	hear(pair.up[0]);
	purge_kv(pair.cache);
	expect_eq(kv_read(pair.cache, "a", value, 100000), -ENOENT);
	tell(pair.down[1]);
	child_join(child);
	free(value);
	drop_pair(&pair);
}

static void use_stale_room(void *argument)
{
	struct pair *pair = argument;

	expect(ashmem_entry_room(pair->entry, NULL) == NULL);
	expect_eq(ashmem_entry_commit(pair->entry), -ESTALE);
	ashmem_entry_release(pair->entry);
	expect_eq(kv_put(pair->cache, "b", "child"), 0);
	expect_value(pair->cache, "b", "child");
}

CONTRACT_TEST(cache_peers, reservation_is_stale_in_a_child_and_good_in_the_parent)
{
	struct pair pair = new_pair(0);

	expect_eq(ashmem_cache_reserve(pair.cache, "a", 1, 5, 0, &pair.entry), 0);
	run_child(use_stale_room, &pair);
	memcpy(ashmem_entry_room(pair.entry, NULL), "built", 5);
	expect_eq(ashmem_entry_commit(pair.entry), 0);
	ashmem_entry_release(pair.entry);
	expect_value(pair.cache, "a", "built");
	expect_value(pair.cache, "b", "child");
	drop_pair(&pair);
}

static void sleep_until_told(void *argument)
{
	struct pair *pair = argument;

	tell(pair->up[1]);
	hear(pair->down[0]);
}

CONTRACT_TEST(cache_peers, idle_child_keeps_nothing_of_its_parents_from_being_purged)
{
	struct pair pair = new_pair(0);
	struct ashmem_entry *room;

	expect_eq(kv_put(pair.cache, "a", "1"), 0);
	expect_eq(ashmem_cache_reserve(pair.cache, "b", 1, 5, 0, &room), 0);
	pid_t child = child_start(sleep_until_told, &pair);
	hear(pair.up[0]);
	ashmem_entry_release(room);
	purge_kv(pair.cache);
	expect_miss(pair.cache, "a");
	tell(pair.down[1]);
	child_join(child);
	drop_pair(&pair);
}

static void view_and_wait(void *argument)
{
	struct pair *pair = argument;
	struct ashmem_entry *entry;

	expect_eq(ashmem_cache_get(pair->cache, "a", 1, &entry), 0);
	tell(pair->up[1]);
	hear(pair->down[0]);
}

CONTRACT_TEST(cache_peers, what_a_killed_child_looked_at_can_be_purged)
{
	struct pair pair = new_pair(100000);
	char *value = calloc(1, 100000);

	expect_eq(ashmem_cache_put(pair.cache, "a", 1, value, 100000, 0), 0);
	pid_t child = child_start(view_and_wait, &pair);
	hear(pair.up[0]);
	purge_kv(pair.cache);
	expect_eq(kv_read(pair.cache, "a", value, 100000), 100000);
	kill(child, SIGKILL);
	child_wait(child);
	purge_kv(pair.cache);
	expect_eq(kv_read(pair.cache, "a", value, 100000), -ENOENT);
	free(value);
	drop_pair(&pair);
}

/* -- read-only importers -- */

static void read_only(void *argument)
{
	struct pair *pair = argument;
	struct ashmem_cache *reader;
	struct ashmem_entry *entry, *none = NULL;
	static char value[100000];
	uint64_t position = 0, bytes;
	size_t key_bytes;
	char key[8];

	/* As long as the process has it writable, an import finds that. */
	ashmem_cache_close(pair->cache);
	expect_eq(ashmem_cache_import(pair->fd, &reader), 0);
	expect_eq(kv_read(reader, "a", value, sizeof(value)), sizeof(value));
	expect_eq(ashmem_cache_get(reader, "a", 1, &entry), 0);
	expect(ashmem_entry_value(entry, &bytes) != NULL && bytes == sizeof(value));
	expect_eq(kv_put(reader, "a", "1"), -EACCES);
	expect_eq(ashmem_cache_remove(reader, "a", 1), -EACCES);
	expect_eq(ashmem_cache_clear(reader), -EACCES);
	expect_eq(ashmem_cache_touch(reader, "a", 1, 0), -EACCES);
	expect_eq(ashmem_cache_reserve(reader, "a", 1, 1, 0, &none), -EACCES);
	expect_eq(ashmem_cache_claim(reader, "a", 1, 0, &none), -EACCES);
	expect_eq(ashmem_cache_next(reader, &position, key, 8, &key_bytes, NULL), 1);
	tell(pair->up[1]);
	hear(pair->down[0]); /* it is purged */
	expect_eq(kv_read(reader, "a", value, sizeof(value)), -ENOENT);
	ashmem_entry_release(entry);
	ashmem_cache_close(reader);
}

CONTRACT_TEST(cache_peers, read_only_importers_read_and_write_nothing)
{
	struct pair pair = new_pair(100000);
	char *value = calloc(1, 100000);

	pair.fd = ashmem_export_read_only(ashmem_cache_area(pair.cache));
	expect(pair.fd >= 0);
	expect_eq(ashmem_cache_put(pair.cache, "a", 1, value, 100000, 0), 0);
	pid_t child = child_start(read_only, &pair);
	hear(pair.up[0]);
	purge_kv(pair.cache);
	tell(pair.down[1]);
	child_join(child);
	free(value);
	drop_pair(&pair);
}

/* -- the dead -- */

static void claim_and_wait(void *argument)
{
	struct pair *pair = argument;
	struct ashmem_entry *claim;

	expect_eq(ashmem_cache_claim(pair->cache, "a", 1, 0, &claim), ASHMEM_CLAIM_BUILD);
	tell(pair->up[1]);
	hear(pair->down[0]);
	expect_eq(kv_put(pair->cache, "a", "built"), 0);
	ashmem_entry_release(claim);
}

CONTRACT_TEST(cache_peers, claim_of_a_dead_builder_is_free)
{
	struct pair pair = new_pair(0);
	struct ashmem_entry *claim;

	pid_t child = child_start(claim_and_wait, &pair);
	hear(pair.up[0]);
	expect_eq(ashmem_cache_claim(pair.cache, "a", 1, 1, &claim), -EBUSY);
	kill(child, SIGKILL);
	child_wait(child);
	expect_eq(ashmem_cache_claim(pair.cache, "a", 1, 0, &claim), ASHMEM_CLAIM_BUILD);
	ashmem_entry_release(claim);
	drop_pair(&pair);
}

CONTRACT_TEST(cache_peers, who_waits_for_a_builder_gets_what_it_puts)
{
	struct pair pair = new_pair(0);
	struct ashmem_entry *entry;

	pid_t child = child_start(claim_and_wait, &pair);
	hear(pair.up[0]);
	tell(pair.down[1]);
	expect_eq(ashmem_cache_claim(pair.cache, "a", 1, 30000, &entry), ASHMEM_CLAIM_FOUND);
	expect(memcmp(ashmem_entry_value(entry, NULL), "built", 5) == 0);
	ashmem_entry_release(entry);
	child_join(child);
	drop_pair(&pair);
}

static void write_and_sleep(void *argument)
{
	struct pair *pair = argument;

	expect_eq(kv_put(pair->cache, "a", "1"), 0);
	tell(pair->up[1]);
	hear(pair->down[0]);
}

CONTRACT_TEST(cache_peers, sixty_four_idle_writers_leave_most_of_it_to_purges_and_puts)
{
	enum { WRITERS = 64 };
	struct pair pair = new_pair(0);
	struct ashmem_cache_stats stats = {.struct_size = sizeof(stats)};
	pid_t children[WRITERS];
	char value[4096] = "v";

	for (int i = 0; i < WRITERS; i++) {
		children[i] = child_start(write_and_sleep, &pair);
		hear(pair.up[0]);
	}
	for (uint32_t i = 0; i < 400; i++)
		expect_eq(ashmem_cache_put(pair.cache, &i, sizeof(i), value, sizeof(value), 0), 0);
	expect(ashmem_shrink(UINT64_MAX) > 0);
	expect_eq(ashmem_cache_get_stats(pair.cache, &stats), 0);
	/* One for eight is held by an idle writer at most, and one by us. */
	expect(stats.bytes_unused >=
		(stats.segments - stats.segments / 8 - 1) * stats.segment_bytes);
	expect_eq(kv_put(pair.cache, "a", "2"), 0);
	expect_value(pair.cache, "a", "2");
	for (int i = 0; i < WRITERS; i++)
		tell(pair.down[1]);
	for (int i = 0; i < WRITERS; i++)
		child_join(children[i]);
	drop_pair(&pair);
}
