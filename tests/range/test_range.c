/* SPDX-License-Identifier: MIT */
/*
 * What pin and unpin do to the range list, case by case: contract rules 10, 11 and 13, and the
 * exceptions D1 and D4.
 *
 * Former ranges, status, search, ages and marks are in test_range_order.c, larger trees in
 * test_range_tree.c, damage in test_range_damage.c and test_range_hostile.c, random traces in
 * test_range_model.c, crashes in test_range_recovery.c.
 */
#define _GNU_SOURCE 1
#include "support/contract.h"
#include "support/range_small.h"

/* -- empty -- */

CONTRACT_TEST(range, empty_list_has_everything_pinned)
{
	struct range range = {.start = 77};

	begin(64);
	expect_sound(list);
	expect_eq(range_overlaps(list, 0, 63), 0);
	expect_eq(range_find(list, 0, &range), 0);
	expect_eq(range_oldest(list, &range), 0);
	expect_eq(range.start, 77);
	expect_eq(range_pin(list, 0, 63), 0);
	expect_eq(range_peek_oldest(list), RANGE_NO_STAMP);
	expect_eq(range_peek_evictable(list), 0);
	expect_list("");
}

/* -- unpin, rule 10 -- */

CONTRACT_TEST(range, unpin_of_pinned_pages_makes_a_range)
{
	begin(64);
	unpin(10, 19, 5);
	expect_list("10-19@5");
	expect_eq(range_peek_evictable(list), 10);
	expect_eq(range_peek_oldest(list), 5);
}

CONTRACT_TEST(range, unpin_keeps_ranges_in_order_of_pages)
{
	begin(64);
	unpin(30, 31, 1);
	unpin(10, 11, 2);
	unpin(50, 51, 3);
	unpin(20, 21, 4);
	expect_list("10-11@2 20-21@4 30-31@1 50-51@3");
}

CONTRACT_TEST(range, unpin_of_first_last_and_all_pages)
{
	begin(64);
	unpin(0, 0, 1);
	unpin(63, 63, 2);
	expect_list("0-0@1 63-63@2");
	unpin(0, 63, 3);
	expect_list("0-63@3");
}

CONTRACT_TEST(range, unpin_inside_a_range_changes_nothing)
{
	begin(64);
	unpin(10, 19, 5);
	unpin(12, 15, 6);
	unpin(10, 12, 7);
	unpin(17, 19, 8);
	expect_list("10-19@5");
}

CONTRACT_TEST(range, unpin_of_exactly_a_range_changes_nothing)
{
	begin(64);
	unpin(10, 19, 5);
	unpin(10, 19, 6);
	expect_list("10-19@5");
}

CONTRACT_TEST(range, unpin_inside_a_purged_range_keeps_age_and_mark)
{
	begin(64);
	unpin(10, 19, 5);
	purge(10, 0);
	unpin(10, 19, 6);
	unpin(13, 13, 7);
	expect_list("10-19@5p0");
	expect_eq(oldest(), RANGE_NO_STAMP);
}

CONTRACT_TEST(range, touching_ranges_stay_apart)
{
	begin(64);
	unpin(10, 19, 1);
	unpin(20, 29, 2);
	unpin(5, 9, 3);
	expect_list("5-9@3 10-19@1 20-29@2");
}

CONTRACT_TEST(range, unpin_that_fills_a_gap_touches_both_sides)
{
	begin(64);
	unpin(10, 19, 1);
	unpin(30, 39, 2);
	unpin(20, 29, 3);
	expect_list("10-19@1 20-29@3 30-39@2");
}

CONTRACT_TEST(range, unpin_that_overlaps_on_the_left_merges)
{
	begin(64);
	unpin(10, 19, 1);
	unpin(19, 25, 2);
	expect_list("10-25@2");
}

CONTRACT_TEST(range, unpin_that_overlaps_on_the_right_merges)
{
	begin(64);
	unpin(10, 19, 1);
	unpin(5, 10, 2);
	expect_list("5-19@2");
}

CONTRACT_TEST(range, unpin_that_overlaps_two_ranges_merges_both)
{
	begin(64);
	unpin(10, 19, 1);
	unpin(30, 39, 2);
	unpin(15, 34, 3);
	expect_list("10-39@3");
}

CONTRACT_TEST(range, unpin_around_a_range_swallows_it)
{
	begin(64);
	unpin(10, 19, 1);
	unpin(9, 20, 2);
	expect_list("9-20@2");
}

CONTRACT_TEST(range, unpin_merges_what_overlaps_and_leaves_what_touches)
{
	begin(64);
	unpin(0, 9, 1);
	unpin(10, 14, 2);
	unpin(20, 24, 3);
	unpin(30, 34, 4);
	unpin(35, 39, 5);
	unpin(10, 34, 6);
	expect_list("0-9@1 10-34@6 35-39@5");
}

CONTRACT_TEST(range, merged_range_is_purged_if_any_part_was)
{
	begin(64);
	unpin(10, 19, 1);
	unpin(30, 39, 2);
	purge(30, 0);
	unpin(19, 30, 3);
	expect_list("10-39@3p20");
	expect_eq(pin(10, 10), 1);
}

CONTRACT_TEST(range, merged_range_is_not_purged_if_a_touching_one_was)
{
	begin(64);
	unpin(10, 19, 1);
	purge(10, 0);
	unpin(30, 39, 2);
	unpin(20, 30, 3);
	expect_list("10-19@1p0 20-39@3");
	expect_eq(pin(20, 39), 0);
}

/* D1: the pages that were never purged stay on the LRU. */
CONTRACT_TEST(range, pages_merged_into_a_purged_range_stay_evictable)
{
	begin(64);
	unpin(10, 19, 1);
	purge(10, 0);
	expect_eq(oldest(), RANGE_NO_STAMP);
	unpin(15, 24, 2);
	expect_list("10-24@2p5");
	expect_eq(oldest(), 2);
	expect_eq(range_peek_evictable(list), 5);
	purge(10, 0);
	expect_list("10-24@2p0");
	expect_eq(oldest(), RANGE_NO_STAMP);
}

CONTRACT_TEST(range, merging_two_partly_purged_ranges_adds_their_live_pages)
{
	begin(64);
	unpin(10, 19, 1);
	purge(10, 4);
	unpin(30, 39, 2);
	purge(30, 3);
	unpin(19, 30, 3);
	expect_list("10-39@3p17");
}

/* -- pin, rule 11 -- */

CONTRACT_TEST(range, pin_of_pinned_pages_answers_not_purged)
{
	begin(64);
	unpin(10, 19, 1);
	purge(10, 0);
	expect_eq(pin(0, 9), 0);
	expect_eq(pin(20, 63), 0);
	expect_list("10-19@1p0");
}

CONTRACT_TEST(range, pin_of_a_whole_range_takes_it_away)
{
	begin(64);
	unpin(10, 19, 1);
	expect_eq(pin(10, 19), 0);
	expect_list("");
	expect_eq(range_peek_evictable(list), 0);
}

CONTRACT_TEST(range, pin_around_a_range_takes_it_away)
{
	begin(64);
	unpin(10, 19, 1);
	expect_eq(pin(9, 20), 0);
	expect_list("");
}

CONTRACT_TEST(range, pin_of_the_left_part_leaves_the_right)
{
	begin(64);
	unpin(10, 19, 7);
	expect_eq(pin(10, 14), 0);
	expect_list("15-19@7");
	expect_eq(pin(0, 15), 0);
	expect_list("16-19@7");
}

CONTRACT_TEST(range, pin_of_the_right_part_leaves_the_left)
{
	begin(64);
	unpin(10, 19, 7);
	expect_eq(pin(15, 19), 0);
	expect_list("10-14@7");
	expect_eq(pin(14, 63), 0);
	expect_list("10-13@7");
}

CONTRACT_TEST(range, pin_of_the_middle_splits)
{
	begin(64);
	unpin(10, 19, 7);
	expect_eq(pin(14, 15), 0);
	expect_list("10-13@7 16-19@7");
}

CONTRACT_TEST(range, split_halves_keep_mark_and_age)
{
	begin(64);
	unpin(10, 19, 7);
	purge(10, 0);
	expect_eq(pin(14, 15), 1);
	expect_list("10-13@7p0 16-19@7p0");
	expect_eq(pin(10, 13), 1);
	expect_eq(pin(16, 16), 1);
	expect_list("17-19@7p0");
}

CONTRACT_TEST(range, split_of_a_partly_purged_range_bounds_live_pages_on_each_side)
{
	begin(64);
	unpin(10, 19, 7);
	purge(10, 3);
	expect_eq(pin(12, 12), 1);
	expect_list("10-11@7p2 13-19@7p3");
	expect_eq(oldest(), 7);
}

CONTRACT_TEST(range, pin_across_several_ranges_leaves_both_ends)
{
	begin(64);
	unpin(10, 19, 1);
	unpin(30, 34, 2);
	unpin(40, 49, 3);
	expect_eq(pin(15, 44), 0);
	expect_list("10-14@1 45-49@3");
}

CONTRACT_TEST(range, pin_across_several_ranges_tells_if_one_was_purged)
{
	begin(64);
	unpin(10, 19, 1);
	unpin(30, 34, 2);
	unpin(40, 49, 3);
	purge(30, 0);
	expect_eq(pin(12, 14), 0);
	expect_eq(pin(40, 45), 0);
	expect_eq(pin(15, 63), 1);
	expect_list("10-11@1");
}

CONTRACT_TEST(range, pin_beside_a_purged_range_answers_not_purged)
{
	begin(64);
	unpin(10, 19, 1);
	unpin(20, 29, 2);
	purge(10, 0);
	expect_eq(pin(20, 29), 0);
	expect_list("10-19@1p0");
}

CONTRACT_TEST(range, pin_between_two_touching_ranges_shortens_both)
{
	begin(64);
	unpin(10, 19, 1);
	unpin(20, 29, 2);
	expect_eq(pin(19, 20), 0);
	expect_list("10-18@1 21-29@2");
}

CONTRACT_TEST(range, pins_are_a_state_and_not_a_count)
{
	begin(64);
	expect_eq(pin(10, 19), 0);
	expect_eq(pin(10, 19), 0);
	unpin(10, 19, 1);
	expect_list("10-19@1");
	unpin(10, 19, 2);
	expect_eq(pin(10, 19), 0);
	expect_list("");
}
