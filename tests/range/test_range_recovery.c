/* SPDX-License-Identifier: MIT */
/*
 * A crash at every store of every operation on a range list (range_crash.h): at least one case for
 * each way in which the tree changes. Random operations on random lists are in
 * test_range_recovery_random.c.
 */
#define _GNU_SOURCE 1
#include "support/range_crash.h"
#include "support/stepper.h"
#include "support/tools.h"

#include "range/tree.h"

/*
 * Ranges of three leaves, the last one not quite full; of four and some; from one leaf to the third
 * from there.
 */
enum { SOME = 3 * LEAF_MAX - 3, MANY = 4 * LEAF_MAX + 3, FAR = 2 * LEAF_MAX + 3 };

/* -- lists to begin with -- */

/* All leaves but the last are full; ages differ, some ranges are purged. */
static struct arena *full_leaves(uint32_t count)
{
	struct arena *arena = arena_with_spread(count);

	for (uint32_t i = 3; i < count; i += 6) {
		expect_eq(range_mark_purged(arena->list, 4 * i), 0);
		expect_eq(range_set_live(arena->list, 4 * i, i % 2), 0);
	}
	expect_sound(arena->list);
	return arena;
}

/* Leaves with little more than the least there can be: the others of their ranges are merged into
 * one. */
static struct arena *poor_leaves(uint32_t count)
{
	struct arena *arena = full_leaves(count);

	const uint32_t merged = LEAF_MAX - LEAF_MIN;

	for (uint32_t i = 1; i + merged < count; i += LEAF_MAX)
		expect_eq(range_unpin(arena->list, 4 * i, 4 * (i + merged) - 1, 1000 + i), 0);
	expect_sound(arena->list);
	return arena;
}

/* -- the cases: positions are near the middle, and at the borders of leaves where that matters --
 */

static uint32_t at;          /* the range that a case is about */
static uint64_t again_every; /* see crash_everywhere() */

static void pin_whole(struct range_list *list)
{
	expect(range_pin(list, 4 * at, 4 * at + 2) >= 0);
}

static void pin_left(struct range_list *list)
{
	expect(range_pin(list, 4 * at, 4 * at) >= 0);
}

static void pin_right(struct range_list *list)
{
	expect(range_pin(list, 4 * at + 2, 4 * at + 3) >= 0);
}

static void pin_middle(struct range_list *list)
{
	expect(range_pin(list, 4 * at + 1, 4 * at + 1) >= 0);
}

static void pin_border(struct range_list *list)
{
	expect(range_pin(list, 4 * at + 2, 4 * at + 4) >= 0);
}

static void pin_several(struct range_list *list)
{
	expect(range_pin(list, 4 * at + 1, 4 * at + 13) >= 0);
}

static void pin_many(struct range_list *list)
{
	expect(range_pin(list, 4 * at + 1, 4 * (at + FAR) + 1) >= 0);
}

static void pin_all(struct range_list *list)
{
	expect(range_pin(list, 0, list->pages - 1) >= 0);
}

static void unpin_gap(struct range_list *list)
{
	expect_eq(range_unpin(list, 4 * at + 3, 4 * at + 3, 2000), 0);
}

static void unpin_over_one(struct range_list *list)
{
	expect_eq(range_unpin(list, 4 * at - 1, 4 * at + 3, 2000), 0);
}

static void unpin_two(struct range_list *list)
{
	expect_eq(range_unpin(list, 4 * at + 2, 4 * at + 5, 2000), 0);
}

static void unpin_several(struct range_list *list)
{
	expect_eq(range_unpin(list, 4 * at + 1, 4 * at + 13, 2000), 0);
}

static void unpin_many(struct range_list *list)
{
	expect_eq(range_unpin(list, 4 * at + 1, 4 * (at + FAR) + 1, 2000), 0);
}

static void unpin_all(struct range_list *list)
{
	expect_eq(range_unpin(list, 0, list->pages - 1, 2000), 0);
}

/* At positions all over the leaves of a list. */
static void crash_at(struct arena *(*make)(uint32_t count), uint32_t count,
	void (*operate)(struct range_list *list), uint32_t first, uint32_t step, uint32_t end)
{
	skip_without_stepping();
	/* Single steps of instrumented code are many: one position will do there. */
	if (UNDER_ADDRESS_SANITIZER)
		end = first + 1;
	for (at = first; at + 4 < count && at < end; at += step)
		crash_everywhere(make(count), operate, again_every);
}

CONTRACT_TEST(recovery, from_pinning_a_whole_range)
{
	crash_at(full_leaves, SOME, pin_whole, 1, LEAF_MAX / 2, SOME);
}

CONTRACT_TEST(recovery, from_pinning_the_left_part)
{
	crash_at(full_leaves, SOME, pin_left, 0, LEAF_MAX / 3, SOME);
}

CONTRACT_TEST(recovery, from_pinning_the_right_part)
{
	crash_at(full_leaves, SOME, pin_right, 1, LEAF_MAX / 2, SOME);
}

CONTRACT_TEST(recovery, from_splitting_a_range_and_its_leaf)
{
	crash_at(full_leaves, SOME, pin_middle, 0, LEAF_MAX / 4, SOME);
}

CONTRACT_TEST(recovery, from_splitting_a_range_in_a_leaf_with_room)
{
	crash_at(poor_leaves, 4 * LEAF_MAX, pin_middle, 0, LEAF_MAX, 4 * LEAF_MAX);
}

CONTRACT_TEST(recovery, from_pinning_the_border_of_two_ranges)
{
	crash_at(full_leaves, SOME, pin_border, LEAF_MAX - 2, 1, LEAF_MAX + 2);
}

CONTRACT_TEST(recovery, from_pinning_across_several_ranges)
{
	crash_at(full_leaves, SOME, pin_several, LEAF_MAX - 6, 2, LEAF_MAX + 4);
}

CONTRACT_TEST(recovery, from_pinning_across_leaves)
{
	crash_at(full_leaves, MANY, pin_many, 3, 3 * LEAF_MAX / 2, MANY - FAR - 1);
}

CONTRACT_TEST(recovery, from_pinning_everything)
{
	crash_at(poor_leaves, MANY, pin_all, 0, 1, 1);
}

CONTRACT_TEST(recovery, from_a_new_range_and_a_full_leaf)
{
	crash_at(full_leaves, SOME, unpin_gap, 0, LEAF_MAX / 3, SOME);
}

CONTRACT_TEST(recovery, from_a_new_range_in_a_leaf_with_room)
{
	crash_at(poor_leaves, 4 * LEAF_MAX, unpin_gap, LEAF_MAX - 6, LEAF_MAX, 4 * LEAF_MAX);
}

/* The only leaf is full: the tree becomes higher. */
CONTRACT_TEST(recovery, from_a_higher_tree)
{
	crash_at(full_leaves, LEAF_MAX, unpin_gap, 0, LEAF_MAX / 6, LEAF_MAX);
}

/* All inner nodes on the way are full. */
CONTRACT_TEST(recovery, from_a_tree_of_two_levels_that_becomes_higher)
{
	crash_at(full_leaves, LEAF_MAX * INNER_MAX, unpin_gap, LEAF_MAX * INNER_MAX / 2, 1,
		LEAF_MAX * INNER_MAX / 2 + 1);
}

CONTRACT_TEST(recovery, from_growing_over_pinned_pages)
{
	crash_at(full_leaves, SOME, unpin_over_one, 1, LEAF_MAX / 2, SOME);
}

CONTRACT_TEST(recovery, from_merging_two_ranges)
{
	crash_at(full_leaves, SOME, unpin_two, LEAF_MAX - 3, 1, LEAF_MAX + 3);
}

CONTRACT_TEST(recovery, from_merging_several_ranges)
{
	crash_at(poor_leaves, 4 * LEAF_MAX, unpin_several, LEAF_MAX / 2, 7, 3 * LEAF_MAX);
}

CONTRACT_TEST(recovery, from_merging_many_ranges_across_leaves)
{
	crash_at(full_leaves, MANY, unpin_many, 3, 3 * LEAF_MAX / 2, MANY - FAR - 1);
}

/* The tree becomes lower by as many levels as it had. */
CONTRACT_TEST(recovery, from_merging_everything)
{
	crash_at(poor_leaves, MANY, unpin_all, 0, 1, 1);
}

/* -- the other operations -- */

/* One range becomes three: an intent, in a full leaf or in one with room. */
static void release_middle(struct range_list *list)
{
	expect_eq(range_release(list, 4 * at + 1, 4 * at + 1, 2000), 0);
}

static void release_left(struct range_list *list)
{
	expect_eq(range_release(list, 4 * at, 4 * at, 2000), 0);
}

static void release_whole(struct range_list *list)
{
	expect_eq(range_release(list, 4 * at, 4 * at + 3, 2000), 0);
}

CONTRACT_TEST(recovery, from_releasing_the_middle_of_a_range)
{
	crash_at(full_leaves, SOME, release_middle, 0, LEAF_MAX / 4, SOME);
	crash_at(poor_leaves, 4 * LEAF_MAX, release_middle, 0, LEAF_MAX, 4 * LEAF_MAX);
}

CONTRACT_TEST(recovery, from_releasing_the_left_part_of_a_range)
{
	crash_at(full_leaves, SOME, release_left, 1, LEAF_MAX / 3, SOME);
}

CONTRACT_TEST(recovery, from_releasing_a_whole_range)
{
	crash_at(full_leaves, SOME, release_whole, 1, LEAF_MAX / 2, SOME);
}

static void mark_purged(struct range_list *list)
{
	expect_eq(range_mark_purged(list, 4 * at), 0);
}

CONTRACT_TEST(recovery, from_marking_a_range)
{
	crash_at(full_leaves, SOME, mark_purged, 0, LEAF_MAX, SOME);
}

static void set_live(struct range_list *list)
{
	expect_eq(range_set_live(list, 4 * at, 0), 0);
}

/* The first case is the oldest of all: stamps change up to the root. */
CONTRACT_TEST(recovery, from_counting_live_pages)
{
	crash_at(full_leaves, SOME, set_live, 3, 12, SOME);
}

/* Ranges that were pinned stay in their leaves for a while (range.h). */
static struct arena *pinned_entries(uint32_t count)
{
	struct arena *arena = full_leaves(count);

	for (uint32_t i = 0; i < count; i += 2)
		expect(range_pin(arena->list, 4 * i, 4 * i + 2) >= 0);
	expect_sound(arena->list);
	return arena;
}

static void unpin_whole(struct range_list *list)
{
	expect_eq(range_unpin(list, 4 * at, 4 * at + 2, 2000), 0);
}

CONTRACT_TEST(recovery, from_unpinning_a_range_again)
{
	crash_at(pinned_entries, SOME, unpin_whole, 0, LEAF_MAX / 2, SOME);
}

CONTRACT_TEST(recovery, from_unpinning_over_former_ranges)
{
	crash_at(pinned_entries, SOME, unpin_two, LEAF_MAX - 3, 1, LEAF_MAX + 3);
}

CONTRACT_TEST(recovery, from_a_new_range_among_former_ones)
{
	crash_at(pinned_entries, SOME, unpin_gap, 0, LEAF_MAX / 3, SOME);
}

CONTRACT_TEST(recovery, from_pinning_across_leaves_with_former_ranges)
{
	crash_at(pinned_entries, MANY, pin_many, 3, 3 * LEAF_MAX / 2, MANY - FAR - 1);
}

/* -- a crash during recovery, in the shortest lists that will do -- */

CONTRACT_TEST(recovery, from_a_crash_while_recovering_from_a_split)
{
	again_every = UNDER_ADDRESS_SANITIZER ? 12 : 4;
	crash_at(full_leaves, LEAF_MAX + 5, pin_middle, LEAF_MAX / 2, 1, LEAF_MAX / 2 + 1);
}

CONTRACT_TEST(recovery, from_a_crash_while_recovering_from_a_pin_across_leaves)
{
	again_every = UNDER_ADDRESS_SANITIZER ? 120 : 60;
	crash_at(full_leaves, FAR + 9, pin_many, 3, 1, 4);
}

CONTRACT_TEST(recovery, from_a_crash_while_recovering_from_a_merge_across_leaves)
{
	again_every = UNDER_ADDRESS_SANITIZER ? 120 : 60;
	crash_at(full_leaves, FAR + 9, unpin_many, 3, 1, 4);
}
