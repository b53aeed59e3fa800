/* SPDX-License-Identifier: MIT */
/*
 * Two writers in every order: one puts a key in a child that is stepped through, and between two of
 * its instructions another handle changes something too. What both did then holds.
 */
#include "support/areas.h"
#include "support/stepper.h"
#include "support/tools.h"

#include <ashmem/ashmem.h>

#include <errno.h>
#include <string.h>

#include "cache/cache.h"

enum { TURNS = 37 };
/* The address sanitizer makes many instructions of one. */
#define COARSE (UNDER_ADDRESS_SANITIZER ? 4 : 1)

struct turn {
	struct ashmem_cache *child_has, *other;
	uint64_t steps, when; /* instructions of the child so far; before which the other puts */
	int result;           /* of the other's put, or 1 before */
};

static struct ashmem_cache *imported(struct ashmem_cache *from)
{
	struct ashmem_cache *cache = NULL;

	expect_eq(ashmem_cache_import(ashmem_cache_fd(from), &cache), 0);
	return cache;
}

static int put(struct ashmem_cache *cache, const char *key)
{
	return ashmem_cache_put(cache, key, strlen(key), "value", 5, 0);
}

static int has(struct ashmem_cache *cache, const char *key)
{
	char value[8];

	return ashmem_cache_read(cache, key, strlen(key), value, sizeof(value)) == 5;
}

static void put_as_child(void *turn)
{
	put(((struct turn *)turn)->child_has, "child");
}

/* Nobody waits for the child's lock: it waits for us. */
static int is_locked(struct ashmem_cache *cache)
{
	struct ashmem_peek_result peek = {.struct_size = sizeof(peek)};

	expect_eq(ashmem_peek(ashmem_cache_fd(cache), &peek), 0);
	return peek.busy != 0;
}

static void put_at_its_time(void *context)
{
	struct turn *turn = context;

	if (turn->result == 1 && turn->steps++ >= turn->when && !is_locked(turn->other))
		turn->result = put(turn->other, "other");
}

/* The other one's put comes before this instruction: how many there were. */
static uint64_t take_turn(uint64_t when)
{
	struct ashmem_cache_options options = {
		.struct_size = sizeof(options), .most_bytes = 1 << 20};
	struct ashmem_cache *cache = NULL;

	expect_eq(ashmem_cache_create("turns", &options, &cache), 0);
	/* It keeps a segment; those of the others are held while they put alone. */
	expect_eq(put(cache, "first"), 0);
	struct turn turn = {imported(cache), imported(cache), 0, when, 1};
	uint64_t count = step_through(put_as_child, &turn, put_at_its_time, &turn, NULL);
	unsigned long long before = when;
	expect_msg(has(cache, "first") && has(cache, "child"), "put before %llu", before);
	/* In one of a hundred pairs of keys, both wait for one bucket. */
	expect(turn.result == 0 || turn.result == 1 || turn.result == -ETIMEDOUT);
	expect_msg(turn.result != 0 || has(cache, "other"), "put before %llu", before);
	ashmem_cache_close(turn.child_has);
	ashmem_cache_close(turn.other);
	ashmem_cache_close(cache);
	return count;
}

CONTRACT_TEST(cache_turns, what_another_puts_meanwhile_is_kept)
{
	skip_on_kernel("caches are areas of the memfd backend");
	skip_without_stepping();
	uint64_t count = take_turn(UINT64_MAX);
	for (uint64_t i = 0; i < TURNS; i++)
		take_turn(count * i / TURNS);
}

/* -- the same key, and what is carried -- */

/* `other` acts at `when`; `changed` is when the slot of "key" got another content. */
struct race {
	struct ashmem_cache *keeper, *child_has, *other;
	void (*act)(struct ashmem_cache *cache);
	int64_t steps, when, changed;
	uint64_t slot; /* of "key", or 0 */
};

enum { FILL = 30000 };

static char filling[FILL];

/* What a process does but once, such as finding functions of the C library. */
static void warm_up(void *context)
{
	struct race *race = context;
	struct ashmem_cache *another = NULL;

	has(race->child_has, "first");
	expect_eq(ashmem_cache_create("warm", NULL, &another), 0);
	put(another, "key");
	ashmem_cache_close(another);
}

/* The slot that has the key's tag, or 0. Its place is looked for each time. */
static uint64_t slot_of_key(const struct ashmem_cache *cache)
{
	uint64_t hash = cache_hash(cache->secret, "key", 3);
	const struct cache_bucket *bucket = &cache->buckets[bucket_of(&cache->layout, hash)];

	for (uint32_t i = 0; i < CACHE_SLOTS; i++)
		if (bucket->slot[i] && slot_has_tag(bucket->slot[i], hash))
			return bucket->slot[i];
	return 0;
}

static int is_bucket_locked(const struct ashmem_cache *cache)
{
	uint64_t hash = cache_hash(cache->secret, "key", 3);

	return cache->buckets[bucket_of(&cache->layout, hash)].lock != 0;
}

static enum stepping act_at_its_time(void *context)
{
	struct race *race = context;
	uint64_t slot = slot_of_key(race->other);

	race->steps++;
	if (race->changed == 0 && slot != race->slot)
		race->changed = race->steps;
	if (race->steps < race->when || !race->act)
		return STEP_ON;
	/* Nobody waits for a lock of the child's. */
	if (is_bucket_locked(race->other) || is_locked(race->other))
		return STEP_ON;
	race->act(race->other);
	race->act = NULL;
	return STEP_RUN;
}

static struct race new_race(uint64_t entries)
{
	struct ashmem_cache_options options = {
		.struct_size = sizeof(options),
		.most_bytes = 1 << 20,
		.entries = entries,
		.value_most_bytes = FILL,
	};
	struct race race = {.act = NULL};

	expect_eq(ashmem_cache_create("turns", &options, &race.keeper), 0);
	expect_eq(put(race.keeper, "first"), 0);
	race.child_has = imported(race.keeper);
	race.other = imported(race.keeper);
	return race;
}

static void end_race(struct race *race)
{
	ashmem_cache_close(race->other);
	ashmem_cache_close(race->child_has);
	ashmem_cache_close(race->keeper);
}

static void put_key_as_child(void *race)
{
	put(((struct race *)race)->child_has, "key");
}

static void remove_earlier_and_put(struct ashmem_cache *cache)
{
	expect_eq(ashmem_cache_remove(cache, "earlier", 7), 0);
	expect_eq(put(cache, "key"), 0);
}

/* One bucket: the child has chosen a slot, and another one before it becomes empty and is taken. */
static int64_t put_one_key_twice(int64_t when)
{
	struct race race = new_race(8);

	expect_eq(race.other->layout.buckets, 1);
	expect_eq(put(race.other, "earlier"), 0);
	race.when = when;
	race.act = remove_earlier_and_put;
	step_until(warm_up, put_key_as_child, act_at_its_time, &race);
	expect(has(race.other, "key"));
	expect_eq(ashmem_cache_remove(race.other, "key", 3), 0);
	expect_msg(!has(race.other, "key"), "it has another slot; put at %lld", (long long)when);
	end_race(&race);
	return race.changed;
}

CONTRACT_TEST(cache_turns, key_that_two_put_at_once_is_gone_when_it_is_removed)
{
	skip_on_kernel("caches are areas of the memfd backend");
	skip_without_stepping();
	int64_t changed = put_one_key_twice(INT64_MAX);
	for (int64_t when = changed - 300; when < changed; when += 20 * COARSE)
		put_one_key_twice(when);
}

/* Not written: that would be most of the instructions. */
static void reserve_as_child(void *context)
{
	struct race *race = context;
	struct ashmem_entry *entry;

	if (ashmem_cache_reserve(race->child_has, "large", 5, FILL, 0, &entry) == 0)
		ashmem_entry_release(entry);
}

static void remove_key(struct ashmem_cache *cache)
{
	expect_eq(ashmem_cache_remove(cache, "key", 3), 0);
}

static void clear(struct ashmem_cache *cache)
{
	expect_eq(ashmem_cache_clear(cache), 0);
}

/* No segment is free but one, and "key" was read in the one that gives way. */
static int64_t carry_key(void (*act)(struct ashmem_cache *cache), int64_t when)
{
	struct race race = new_race(0);

	expect_eq(put(race.other, "key"), 0);
	expect(has(race.other, "key"));
	for (uint32_t i = 0; i < 28; i++)
		expect_eq(ashmem_cache_put(race.other, &i, sizeof(i), filling, FILL, 0), 0);
	race.slot = slot_of_key(race.other);
	race.when = when;
	race.act = act;
	step_until(warm_up, reserve_as_child, act_at_its_time, &race);
	expect_msg(has(race.other, "key") == !act, "changed at %lld", (long long)when);
	end_race(&race);
	return race.changed;
}

CONTRACT_TEST(cache_turns, what_is_removed_or_cleared_while_it_is_carried_stays_gone)
{
	skip_on_kernel("caches are areas of the memfd backend");
	skip_without_stepping();
	int64_t carried = carry_key(NULL, INT64_MAX);
	expect(carried > 0);
	/* Room for the copy is found meanwhile, which is the most of it. */
	for (int64_t when = carried - 6000; when < carried; when += 750 * COARSE) {
		carry_key(remove_key, when);
		carry_key(clear, when);
	}
}
