/* SPDX-License-Identifier: MIT */
/*
 * The range list in several leaves: operations across leaves, and each kind of operation on each
 * range of a list, wherever the borders of leaves lie; everything is checked after each. Much
 * larger lists are in test_range_shapes.c.
 */
#define _GNU_SOURCE 1
#include "support/contract.h"
#include "support/random.h"
#include "support/range_arena.h"

#include <inttypes.h>

enum { SPREAD = 300 };

static struct arena *spread;
static struct range_list *list;

static void begin(void)
{
	spread = arena_with_spread(SPREAD);
	list = spread->list;
	expect(list->root->height > 0);
	expect_sound(list);
}

static void expect_range(uint32_t start, uint32_t pages, uint32_t live, uint32_t flags,
	uint64_t stamp)
{
	struct range want = {start, pages, live, flags, stamp}, got = {.pages = 0};

	expect_eq(range_find(list, start, &got), 1);
	expect_msg(ranges_equal(&got, &want),
		"%" PRIu32 "+%" PRIu32 " live %" PRIu32 " flags %" PRIu32 " stamp %" PRIu64
		", not %" PRIu32 "+%" PRIu32,
		got.start, got.pages, got.live, got.flags, got.stamp, start, pages);
}

/* -- across leaves -- */

CONTRACT_TEST(range_tree, pin_across_leaves_leaves_both_ends)
{
	begin();
	expect_eq(range_pin(list, 4 * 50 + 1, 4 * 250 + 1), 0);
	expect_sound(list);
	expect_spread(list, 0, 50);
	expect_range(4 * 50, 1, 1, 0, 51);
	expect_range(4 * 250 + 2, 1, 1, 0, 251);
	expect_spread(list, 251, SPREAD);
	expect_eq(list->root->ranges, SPREAD - 199);
	expect_eq(range_overlaps(list, 4 * 50 + 1, 4 * 250 + 1), 0);
}

CONTRACT_TEST(range_tree, pin_across_leaves_of_whole_ranges_leaves_their_neighbours)
{
	begin();
	expect_eq(range_pin(list, 4 * 100, 4 * 200 - 1), 0);
	expect_sound(list);
	expect_spread(list, 0, 100);
	expect_spread(list, 200, SPREAD);
	expect_eq(list->root->ranges, SPREAD - 100);
}

CONTRACT_TEST(range_tree, pin_across_leaves_tells_if_one_of_many_was_purged)
{
	begin();
	expect_eq(range_mark_purged(list, 4 * 137), 0);
	expect_eq(range_set_live(list, 4 * 137, 0), 0);
	expect_sound(list);
	expect_eq(range_pin(list, 0, 4 * 136 + 3), 0);
	expect_sound(list);
	expect_eq(range_pin(list, 4 * 136, 4 * 290), 1);
	expect_sound(list);
	expect_range(4 * 290 + 1, 2, 2, 0, 291);
	expect_spread(list, 291, SPREAD);
	expect_eq(list->root->ranges, SPREAD - 290);
}

CONTRACT_TEST(range_tree, pin_of_everything_empties_the_list)
{
	begin();
	expect_eq(range_pin(list, 0, spread->pages - 1), 0);
	expect_sound(list);
	expect_eq(list->root->ranges, 0);
	expect_eq(range_overlaps(list, 0, spread->pages - 1), 0);
}

CONTRACT_TEST(range_tree, unpin_across_leaves_merges_all_into_one)
{
	begin();
	expect_eq(range_unpin(list, 4 * 50 + 1, 4 * 250, 1000), 0);
	expect_sound(list);
	expect_spread(list, 0, 50);
	expect_range(4 * 50, 4 * 200 + 3, 4 * 200 + 3, 0, 1000);
	expect_spread(list, 251, SPREAD);
	expect_eq(list->root->ranges, SPREAD - 200);
}

CONTRACT_TEST(range_tree, unpin_across_leaves_keeps_mark_and_live_pages)
{
	begin();
	for (uint32_t i = 60; i < 100; i++) {
		expect_eq(range_mark_purged(list, 4 * i), 0);
		expect_eq(range_set_live(list, 4 * i, i % 3), 0);
	}
	expect_sound(list);
	expect_eq(range_unpin(list, 4 * 40 + 3, 4 * 120 - 1, 1000), 0);
	expect_sound(list);
	/* 40 of the 79 ranges lost 3 pages less what is left: 13 times 0 + 1 + 2, and 0 once more.
	 */
	expect_range(4 * 40 + 3, 4 * 79 + 1, 4 * 79 + 1 - 120 + 39, RANGE_PURGED, 1000);
	expect_eq(list->root->ranges, SPREAD - 79 + 1);
}

CONTRACT_TEST(range_tree, unpin_of_everything_is_one_range_and_a_low_tree)
{
	begin();
	expect_eq(range_unpin(list, 0, spread->pages - 1, 1000), 0);
	expect_sound(list);
	expect_eq(list->root->ranges, 1);
	expect_eq(list->root->height, 0);
	expect_range(0, spread->pages, spread->pages, 0, 1000);
}

/* Spans of many leaves from every start to every end: what is left of the outermost leaves is
 * mended on the way. */
static void across(int unpins, uint32_t count, uint32_t step)
{
	struct arena *from = arena_with_spread(count), *copy = arena_make(from->pages);

	list = copy->list;
	for (uint32_t first = 0; first < from->pages; first += first < 200 ? 1 : step) {
		uint32_t last = from->pages - 1 - first / 2;
		if (last < first)
			break;
		arena_copy(copy, from);
		expect_msg((unpins ? range_unpin(list, first, last, 5000)
				   : range_pin(list, first, last)) == 0,
			"%" PRIu32 " to %" PRIu32 " of %" PRIu32, first, last, from->pages);
		expect_eq(range_validate(list), 0);
		expect_eq(range_overlaps(list, first, last), unpins);
		expect_spread(list, 0, first / 4);
	}
	arena_drop(from);
	arena_drop(copy);
}

CONTRACT_TEST(range_tree, pin_across_many_leaves_from_every_start)
{
	across(0, 1000, 37);
	across(0, 3000, 997);
}

CONTRACT_TEST(range_tree, unpin_across_many_leaves_from_every_start)
{
	across(1, 1000, 37);
	across(1, 3000, 997);
}

/* Wherever the leaves' borders lie: each range of a copy is treated, and the copy checked. */
static void at_each_range(void (*treat)(uint32_t i))
{
	struct arena *copy;

	begin();
	copy = arena_make(spread->pages);
	list = copy->list;
	for (uint32_t i = 1; i + 1 < SPREAD; i++) {
		arena_copy(copy, spread);
		treat(i);
		expect_sound(list);
		expect_spread(list, 0, i - 1);
		expect_spread(list, i + 2, SPREAD);
	}
}

static void split_one(uint32_t i)
{
	expect_eq(range_pin(list, 4 * i + 1, 4 * i + 1), 0);
	expect_range(4 * i, 1, 1, 0, i + 1);
	expect_range(4 * i + 2, 1, 1, 0, i + 1);
}

CONTRACT_TEST(range_tree, each_range_can_be_split)
{
	at_each_range(split_one);
}

static void pin_two_neighbours(uint32_t i)
{
	expect_eq(range_pin(list, 4 * i + 1, 4 * i + 4), 0);
	expect_range(4 * i, 1, 1, 0, i + 1);
	expect_range(4 * i + 5, 2, 2, 0, i + 2);
}

CONTRACT_TEST(range_tree, each_border_between_ranges_can_be_pinned)
{
	at_each_range(pin_two_neighbours);
}

static void merge_three(uint32_t i)
{
	expect_eq(range_unpin(list, 4 * i - 2, 4 * i + 4, 1000), 0);
	expect_range(4 * i - 4, 11, 11, 0, 1000);
}

CONTRACT_TEST(range_tree, each_three_neighbours_can_be_merged)
{
	at_each_range(merge_three);
}

static void fill_gap(uint32_t i)
{
	expect_eq(range_unpin(list, 4 * i + 3, 4 * i + 3, 1000), 0);
	expect_range(4 * i + 3, 1, 1, 0, 1000);
	expect_spread(list, i - 1, i + 2);
}

CONTRACT_TEST(range_tree, each_gap_can_be_filled)
{
	at_each_range(fill_gap);
}

static void shorten_from_the_left(uint32_t i)
{
	expect_eq(range_pin(list, 4 * i - 1, 4 * i + 1), 0);
	expect_range(4 * i + 2, 1, 1, 0, i + 1);
	expect_spread(list, i - 1, i);
}

/* The start of a range moves, in particular of the first one of a leaf. */
CONTRACT_TEST(range_tree, each_range_can_be_shortened_from_the_left)
{
	at_each_range(shorten_from_the_left);
}

static void lengthen_to_the_left(uint32_t i)
{
	expect_eq(range_unpin(list, 4 * i - 1, 4 * i, 1000), 0);
	expect_range(4 * i - 1, 4, 4, 0, 1000);
	expect_spread(list, i - 1, i);
}

CONTRACT_TEST(range_tree, each_range_can_grow_to_the_left)
{
	at_each_range(lengthen_to_the_left);
}

static void make_oldest(uint32_t i)
{
	struct range range;

	expect_eq(range_pin(list, 4 * i, 4 * i + 2), 0);
	expect_eq(range_unpin(list, 4 * i, 4 * i + 2, 0), 0);
	expect_eq(range_oldest(list, &range), 1);
	expect_eq(range.start, 4 * i);
}

CONTRACT_TEST(range_tree, each_range_can_be_the_oldest)
{
	at_each_range(make_oldest);
}

/* The first leaf goes, and ranges come before what was the second: its bound says nothing about
 * them. */
static void fill_before(int order)
{
	enum { HALF = 400, GONE = 100 };
	struct arena *arena = arena_make(4 * 2 * HALF);
	struct random_source random = random_from((uint64_t)order + 1);

	list = arena->list;
	for (uint32_t i = HALF; i < 2 * HALF; i++)
		expect_eq(range_unpin(list, 4 * i, 4 * i + 2, i + 1), 0);
	expect_eq(range_unpin(list, 4 * HALF, 4 * (HALF + GONE) - 1, 5000), 0);
	expect_sound(list);
	for (uint32_t done = 0; done < HALF;) {
		uint32_t i = order == 0 ? done
			: order == 1    ? HALF - 1 - done
					: (uint32_t)random_below(&random, HALF);
		if (range_overlaps(list, 4 * i, 4 * i)) {
			expect(order == 2);
			continue;
		}
		expect_eq(range_unpin(list, 4 * i, 4 * i + 2, i + 1), 0);
		expect_eq(list->root->ranges, 1 + HALF - GONE + ++done);
		expect_spread(list, i, i + 1);
		expect_sound(list);
	}
	expect_spread(list, 0, HALF);
	expect_spread(list, HALF + GONE, 2 * HALF);
	arena_drop(arena);
}

CONTRACT_TEST(range_tree, ranges_before_a_leaf_that_became_the_first)
{
	for (int order = 0; order < 3; order++)
		fill_before(order);
}
