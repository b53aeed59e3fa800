/* SPDX-License-Identifier: MIT */
/*
 * The range list when it is large: 100,000 ranges that come and go in different orders, what memory
 * they take, and in which order they are purged. Samples are checked, the first and last hundreds
 * in full.
 */
#define _GNU_SOURCE 1
#include "support/contract.h"
#include "support/random.h"
#include "support/range_arena.h"
#include "support/tools.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { MANY = 100000, PAGES_A_RANGE = 4 };

static struct range_list *list;

/* -- filling and draining -- */

enum order { ASCENDING, DESCENDING, RANDOM, FROM_BOTH_ENDS, FROM_THE_MIDDLE, ORDERS };

static const char *const order_names[] = {
	"ascending", "descending", "random", "from both ends", "from the middle"};

/* The numbers 0 to count - 1 in an order; the caller frees them. */
static uint32_t *numbers_in_order(enum order order, uint32_t count, uint64_t seed)
{
	uint32_t *numbers = calloc(count, sizeof(*numbers));
	struct random_source random = random_from(seed);

	expect(numbers != NULL);
	for (uint32_t i = 0; i < count; i++) {
		uint32_t at = order == FROM_THE_MIDDLE ? count - 1 - i : i;
		numbers[at] = i;
		if (order == DESCENDING)
			numbers[at] = count - 1 - i;
		else if (order == FROM_BOTH_ENDS || order == FROM_THE_MIDDLE)
			numbers[at] = i % 2 ? count - 1 - i / 2 : i / 2;
	}
	for (uint32_t i = count; order == RANDOM && i > 1; i--) {
		uint32_t other = (uint32_t)random_below(&random, i), moved = numbers[i - 1];
		numbers[i - 1] = numbers[other];
		numbers[other] = moved;
	}
	return numbers;
}

static int is_sample(uint32_t step, uint32_t count)
{
	return step < 300 || step + 20 > count || step % 9973 == 0;
}

static void fill(enum order order, uint32_t count)
{
	uint32_t *numbers = numbers_in_order(order, count, 1);

	for (uint32_t i = 0; i < count; i++) {
		uint32_t start = PAGES_A_RANGE * numbers[i];
		expect_eq(range_unpin(list, start, start + 2, i + 1), 0);
		if (is_sample(i, count))
			expect_eq(range_validate(list), 0);
	}
	expect_eq(list->root->ranges, count);
	expect_sound(list);
	free(numbers);
}

/* Take every range away: at one go, or the middle page first, then the two halves. */
static void drain(enum order order, uint32_t count, int in_halves)
{
	uint32_t *numbers = numbers_in_order(order, count, 2);

	for (uint32_t i = 0; i < count; i++) {
		uint32_t start = PAGES_A_RANGE * numbers[i];
		if (in_halves) {
			expect_eq(range_pin(list, start + 1, start + 1), 0);
			expect_eq(range_pin(list, start, start), 0);
		}
		expect_eq(range_pin(list, start, start + 3), 0);
		if (is_sample(i, count))
			expect_eq(range_validate(list), 0);
	}
	expect_eq(list->root->ranges, 0);
	expect_sound(list);
	free(numbers);
}

/* What drained leaves shall not keep a tree high once its pages are used otherwise. */
static void expect_low_again(uint32_t pages)
{
	expect_eq(range_unpin(list, 0, pages - 1, UINT32_MAX), 0);
	expect_sound(list);
	expect_eq(list->root->height, 0);
	expect_eq(list->root->ranges, 1);
	expect_eq(range_pin(list, 0, pages - 1), 0);
}

static void fill_and_drain(enum order filled)
{
	uint32_t count = (uint32_t)less_if_slow(MANY);
	struct arena *arena = arena_make(PAGES_A_RANGE * count);

	list = arena->list;
	for (int drained = 0; drained < ORDERS; drained++) {
		fill(filled, count);
		expect(list->root->height >= 2);
		drain((enum order)drained, count, drained % 2);
		expect_low_again(arena->pages);
	}
	arena_drop(arena);
}

CONTRACT_TEST(range_shapes, filled_ascending_and_drained_in_every_order)
{
	fill_and_drain(ASCENDING);
}

CONTRACT_TEST(range_shapes, filled_descending_and_drained_in_every_order)
{
	fill_and_drain(DESCENDING);
}

CONTRACT_TEST(range_shapes, filled_at_random_and_drained_in_every_order)
{
	fill_and_drain(RANDOM);
}

CONTRACT_TEST(range_shapes, filled_from_both_ends_and_drained_in_every_order)
{
	fill_and_drain(FROM_BOTH_ENDS);
}

CONTRACT_TEST(range_shapes, filled_from_the_middle_and_drained_in_every_order)
{
	fill_and_drain(FROM_THE_MIDDLE);
}

/* -- memory -- */

CONTRACT_TEST(range_shapes, state_takes_at_most_48_bytes_a_range)
{
	for (int order = 0; order < ORDERS; order++) {
		uint32_t count = (uint32_t)less_if_slow(MANY);
		struct arena *arena = arena_make(PAGES_A_RANGE * count);
		double bytes;

		list = arena->list;
		fill((enum order)order, count);
		bytes = (double)list->root->nodes_used * RANGE_NODE_BYTES;
		fprintf(stderr, "filled %s: %.1f bytes a range, height %" PRIu32 "\n",
			order_names[order], bytes / count, list->root->height);
		expect_msg(bytes <= 48.0 * count + 2.0 * 4096, "%.1f bytes a range when filled %s",
			bytes / count, order_names[order]);
		arena_drop(arena);
	}
}

CONTRACT_TEST(range_shapes, used_nodes_are_used_again)
{
	uint32_t count = (uint32_t)less_if_slow(20000), most;
	struct arena *arena = arena_make(PAGES_A_RANGE * count);

	list = arena->list;
	fill(RANDOM, count);
	most = list->root->nodes_used;
	for (int round = 0; round < 5; round++) {
		drain(RANDOM, count, round % 2);
		expect_low_again(arena->pages);
		fill(RANDOM, count);
	}
	expect_msg(list->root->nodes_used <= most + most / 4, "%" PRIu32 " nodes, first %" PRIu32,
		list->root->nodes_used, most);
	arena_drop(arena);
}

/* As many ranges as pages, all of them touching, in exactly the memory that is promised to suffice;
 * and D4: splits too. */
CONTRACT_TEST(range_shapes, memory_suffices_for_a_range_a_page)
{
	uint32_t count = (uint32_t)less_if_slow(30000);
	struct arena *arena = arena_make(count);
	struct random_source random = random_from(test_seed("a range a page"));
	uint64_t stamp = 0;

	list = arena->list;
	list->max_nodes = (uint32_t)range_nodes_needed(count);
	for (int order = 0; order < ORDERS; order++) {
		uint32_t *pages = numbers_in_order((enum order)order, count, (uint64_t)order);
		for (uint32_t i = 0; i < count; i++)
			expect_eq(range_unpin(list, pages[i], pages[i], ++stamp), 0);
		expect_eq(list->root->ranges, count);
		expect_sound(list);
		free(pages);
		for (uint32_t i = 0; i < count; i++) {
			uint32_t page = (uint32_t)random_below(&random, count);
			expect_eq(range_pin(list, page, page), 0);
			if (i % 3)
				expect_eq(range_unpin(list, page, page, ++stamp), 0);
		}
		expect_sound(list);
		expect_eq(range_unpin(list, 0, count - 1, ++stamp), 0);
		for (uint32_t i = 0; i < count; i++)
			expect_eq(range_pin(list, 2 * (i % (count / 2)), 2 * (i % (count / 2))), 0);
		expect_sound(list);
		expect_eq(range_pin(list, 0, count - 1), 0);
	}
	arena_drop(arena);
}

/* -- the oldest of many -- */

CONTRACT_TEST(range_shapes, ranges_come_out_in_the_order_of_their_stamps)
{
	uint32_t count = (uint32_t)less_if_slow(MANY);
	struct arena *arena = arena_make(PAGES_A_RANGE * count);
	struct range range;

	list = arena->list;
	fill(RANDOM, count);
	for (uint32_t i = 0; i < count; i++) {
		expect_eq(range_oldest(list, &range), 1);
		expect_eq(range.stamp, i + 1);
		expect_eq(range_mark_purged(list, range.start), 0);
		if (i % 2) {
			expect_eq(range_set_live(list, range.start, 1), 0);
			expect_eq(range_peek_oldest(list), i + 1);
		}
		expect_eq(range_set_live(list, range.start, 0), 0);
		if (is_sample(i, count))
			expect_eq(range_validate(list), 0);
	}
	expect_eq(range_oldest(list, &range), 0);
	expect_eq(list->root->ranges, count);
	expect_sound(list);
	arena_drop(arena);
}

/*
 * Some ranges that are pinned again, or purged, or partly live: a sweep passes over the first two.
 */
static uint32_t spoil(uint32_t count)
{
	uint32_t gone = 0;

	for (uint32_t i = 0; i < count; i++) {
		uint32_t start = PAGES_A_RANGE * i;
		if (i % 11 == 3) {
			expect_eq(range_pin(list, start, start + 2), 0);
			gone++;
		} else if (i % 11 == 5 || i % 11 == 6) {
			expect_eq(range_mark_purged(list, start), 0);
			expect_eq(range_set_live(list, start, i % 11 - 5), 0);
			gone += i % 11 == 5;
		}
	}
	return gone;
}

/* Sweep so many ranges at the most; the stamps ascend from the one given. How many there were. */
static uint32_t sweep_some(uint32_t most, uint64_t *stamp)
{
	struct range_sweep sweep;
	struct range range;
	uint32_t swept = 0;

	range_sweep_begin(&sweep);
	while (swept < most && range_sweep_next(list, &sweep, &range) == 1) {
		expect(range.stamp > *stamp);
		*stamp = range.stamp;
		range_sweep_mark(list);
		range_sweep_set_live(list, &sweep, &range, 0);
		swept++;
	}
	/* One that is looked at and left alone keeps its place. */
	if (range_sweep_next(list, &sweep, &range) == 1)
		expect(range.stamp > *stamp);
	range_sweep_end(list, &sweep);
	return swept;
}

CONTRACT_TEST(range_shapes, a_sweep_takes_ranges_in_the_order_of_their_stamps)
{
	uint32_t count = (uint32_t)less_if_slow(MANY) / 4;

	for (int order = 0; order < ORDERS; order++) {
		struct arena *arena = arena_make(PAGES_A_RANGE * count);
		uint32_t swept = 0, got;
		uint64_t stamp = 0;

		list = arena->list;
		fill((enum order)order, count);
		uint32_t there = count - spoil(count);
		for (uint32_t round = 1; (got = sweep_some(1 + round % 97, &stamp)) > 0; round++) {
			swept += got;
			if (is_sample(swept, count))
				expect_eq(range_validate(list), 0);
		}
		expect_msg(swept == there, "%s: %" PRIu32 " of %" PRIu32, order_names[order], swept,
			there);
		expect_eq(list->root->evictable_pages, 0);
		expect_sound(list);
		arena_drop(arena);
	}
}

/*
 * Ranges of one stamp, as a pin leaves them, over several leaves: the first page comes first, as
 * for range_oldest_after().
 */
CONTRACT_TEST(range_shapes, a_sweep_takes_parts_of_one_range_in_the_order_of_their_pages)
{
	enum { PARTS = 300 };
	struct arena *arena = arena_make(4 * PARTS + 4);
	struct range_sweep sweep;
	struct range range;

	list = arena->list;
	expect_eq(range_unpin(list, 0, 4 * PARTS - 1, 7), 0);
	for (uint32_t i = 0; i < PARTS; i++)
		expect_eq(range_pin(list, 4 * i + 3, 4 * i + 3), 0);
	/* An older one makes the sweep begin in the last leaf, but not stay there. */
	expect_eq(range_unpin(list, 4 * PARTS, 4 * PARTS + 2, 6), 0);
	range_sweep_begin(&sweep);
	for (uint32_t i = 0; i <= PARTS; i++) {
		expect_eq(range_sweep_next(list, &sweep, &range), 1);
		expect_eq(range.start, i ? 4 * (i - 1) : 4 * PARTS);
		range_sweep_set_live(list, &sweep, &range, 0);
	}
	expect_eq(range_sweep_next(list, &sweep, &range), 0);
	range_sweep_end(list, &sweep);
	arena_drop(arena);
}

/* Of a range that goes in pieces, live pages are left: it is the oldest still. */
CONTRACT_TEST(range_shapes, a_range_with_live_pages_left_comes_first_in_the_next_sweep)
{
	struct arena *arena = arena_make(PAGES_A_RANGE * 200);
	struct range_sweep sweep;
	struct range range;

	list = arena->list;
	fill(RANDOM, 200);
	for (uint32_t i = 0; i < 200; i++) {
		for (uint32_t live = 2; live > 0; live--) {
			range_sweep_begin(&sweep);
			expect_eq(range_sweep_next(list, &sweep, &range), 1);
			expect_eq(range.stamp, i + 1);
			expect_eq(range.live, live + 1);
			range_sweep_mark(list);
			range_sweep_set_live(list, &sweep, &range, live);
			range_sweep_end(list, &sweep);
			expect_sound(list);
			expect_eq(range_peek_oldest(list), i + 1);
		}
		expect_eq(range_set_live(list, range.start, 0), 0);
	}
	arena_drop(arena);
}
