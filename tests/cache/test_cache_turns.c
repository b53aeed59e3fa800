/* SPDX-License-Identifier: MIT */
/*
 * Two writers in every order: one puts a key in a child that is stepped through, and between two of
 * its instructions another handle puts one too. Both are there then, as the cache has room.
 */
#include "support/areas.h"
#include "support/stepper.h"

#include <ashmem/ashmem.h>

#include <errno.h>
#include <string.h>

enum { TURNS = 37 };

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
