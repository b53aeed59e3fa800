/* SPDX-License-Identifier: MIT */
/*
 * The range list, case by case: ranges that were there before, status (contract rule 12), search,
 * which range is the oldest (rule 14), marks and counts, and the smallest and largest areas.
 */
#define _GNU_SOURCE 1
#include "support/contract.h"
#include "support/range_small.h"

#include <errno.h>

/* -- pinned and unpinned again: nothing of the former life may be left -- */

CONTRACT_TEST(range_order, range_unpinned_again_is_new)
{
	begin(64);
	unpin(10, 19, 1);
	purge(10, 0);
	expect_eq(pin(10, 19), 1);
	unpin(10, 19, 5);
	expect_list("10-19@5");
	expect_eq(oldest(), 5);
	expect_eq(pin(10, 19), 0);
}

CONTRACT_TEST(range_order, part_of_a_former_range_can_be_unpinned)
{
	begin(64);
	unpin(10, 19, 1);
	expect_eq(pin(10, 19), 0);
	unpin(12, 13, 2);
	unpin(16, 25, 3);
	unpin(5, 10, 4);
	expect_list("5-10@4 12-13@2 16-25@3");
	expect_eq(range_overlaps(list, 14, 15), 0);
	expect_eq(range_overlaps(list, 11, 11), 0);
}

CONTRACT_TEST(range_order, pages_around_a_former_range_can_be_unpinned)
{
	begin(64);
	unpin(10, 19, 1);
	unpin(30, 39, 2);
	purge(10, 0);
	expect_eq(pin(10, 19), 1);
	unpin(8, 22, 3);
	expect_list("8-22@3 30-39@2");
	expect_eq(pin(8, 22), 0);
}

CONTRACT_TEST(range_order, pages_beside_a_former_range_do_not_merge_with_it)
{
	begin(64);
	unpin(10, 19, 1);
	expect_eq(pin(10, 19), 0);
	unpin(5, 9, 2);
	unpin(20, 24, 3);
	expect_list("5-9@2 20-24@3");
	expect_eq(range_overlaps(list, 10, 19), 0);
}

CONTRACT_TEST(range_order, former_range_is_neither_found_nor_oldest)
{
	struct range range;

	begin(64);
	unpin(10, 19, 1);
	unpin(30, 39, 2);
	expect_eq(pin(10, 19), 0);
	expect_eq(oldest(), 2);
	expect_eq(range_find(list, 0, &range), 1);
	expect_eq(range.start, 30);
	expect_eq(range_find(list, 15, &range), 1);
	expect_eq(range.start, 30);
	expect_eq(range_overlaps(list, 0, 29), 0);
	expect_eq(range_overlaps(list, 15, 30), 1);
	expect_eq(range_mark_purged(list, 10), -EUCLEAN);
	expect_eq(range_set_live(list, 10, 1), -EUCLEAN);
	expect_list("30-39@2");
}

/* -- status, rule 12 -- */

CONTRACT_TEST(range_order, overlap_is_any_page)
{
	begin(64);
	unpin(10, 19, 1);
	expect_eq(range_overlaps(list, 0, 9), 0);
	expect_eq(range_overlaps(list, 0, 10), 1);
	expect_eq(range_overlaps(list, 12, 13), 1);
	expect_eq(range_overlaps(list, 10, 19), 1);
	expect_eq(range_overlaps(list, 19, 19), 1);
	expect_eq(range_overlaps(list, 20, 63), 0);
	expect_eq(range_overlaps(list, 0, 63), 1);
}

/* -- find -- */

CONTRACT_TEST(range_order, find_answers_the_range_of_a_page_or_the_next)
{
	struct range range = {.start = 77};

	begin(64);
	unpin(10, 19, 1);
	unpin(30, 39, 2);
	expect_eq(range_find(list, 0, &range), 1);
	expect_eq(range.start, 10);
	expect_eq(range_find(list, 19, &range), 1);
	expect_eq(range.start, 10);
	expect_eq(range.pages, 10);
	expect_eq(range_find(list, 20, &range), 1);
	expect_eq(range.start, 30);
	range.start = 77;
	expect_eq(range_find(list, 40, &range), 0);
	expect_eq(range_find(list, 63, &range), 0);
	expect_eq(range.start, 77);
}

/* -- the oldest range, rule 14 -- */

CONTRACT_TEST(range_order, oldest_is_the_smallest_stamp_wherever_it_lies)
{
	begin(64);
	unpin(30, 31, 5);
	expect_eq(oldest(), 5);
	unpin(10, 11, 3);
	expect_eq(oldest(), 3);
	unpin(50, 51, 4);
	expect_eq(oldest(), 3);
	expect_eq(pin(10, 11), 0);
	expect_eq(oldest(), 4);
	expect_eq(pin(50, 50), 0);
	expect_eq(oldest(), 4);
	expect_eq(pin(51, 51), 0);
	expect_eq(oldest(), 5);
}

CONTRACT_TEST(range_order, oldest_leaves_out_what_has_no_live_pages)
{
	begin(64);
	unpin(10, 11, 1);
	unpin(20, 23, 2);
	unpin(30, 31, 3);
	purge(10, 0);
	expect_eq(oldest(), 2);
	purge(20, 1);
	expect_eq(oldest(), 2);
	purge(20, 0);
	expect_eq(oldest(), 3);
	purge(30, 0);
	expect_eq(oldest(), RANGE_NO_STAMP);
	expect_eq(range_peek_evictable(list), 0);
	expect_list("10-11@1p0 20-23@2p0 30-31@3p0");
}

CONTRACT_TEST(range_order, merged_range_is_the_newest)
{
	begin(64);
	unpin(10, 11, 1);
	unpin(20, 21, 2);
	unpin(11, 12, 3);
	expect_eq(oldest(), 2);
}

CONTRACT_TEST(range_order, halves_of_one_age_are_both_purged_in_turn)
{
	begin(64);
	unpin(10, 19, 1);
	expect_eq(pin(14, 15), 0);
	unpin(30, 30, 2);
	for (int half = 0; half < 2; half++) {
		struct range range;
		expect_eq(range_oldest(list, &range), 1);
		expect_eq(range.stamp, 1);
		purge(range.start, 0);
	}
	expect_eq(oldest(), 2);
}

CONTRACT_TEST(range_order, stamp_zero_and_large_stamps_are_stamps_like_others)
{
	begin(64);
	unpin(10, 11, UINT64_C(1) << 63);
	expect_eq(oldest(), UINT64_C(1) << 63);
	unpin(20, 21, 0);
	expect_eq(oldest(), 0);
	expect_eq(pin(20, 21), 0);
	expect_eq(oldest(), UINT64_C(1) << 63);
}

/* -- marks and counts -- */

CONTRACT_TEST(range_order, marked_range_answers_purged_before_its_pages_are_freed)
{
	begin(64);
	unpin(10, 19, 1);
	expect_eq(range_mark_purged(list, 10), 0);
	expect_list("10-19@1p10");
	expect_eq(oldest(), 1);
	expect_eq(range_mark_purged(list, 10), 0);
	expect_eq(pin(10, 19), 1);
}

CONTRACT_TEST(range_order, marks_of_no_range_are_refused)
{
	begin(64);
	expect_eq(range_mark_purged(list, 10), -EUCLEAN);
	expect_eq(range_set_live(list, 10, 0), -EUCLEAN);
	unpin(10, 19, 1);
	expect_eq(range_mark_purged(list, 11), -EUCLEAN);
	expect_eq(range_mark_purged(list, 9), -EUCLEAN);
	expect_eq(range_set_live(list, 20, 0), -EUCLEAN);
	expect_eq(range_set_live(list, 10, 11), -EUCLEAN);
	expect_sound(list);
	expect_list("10-19@1");
}

/* -- sizes -- */

CONTRACT_TEST(range_order, area_of_one_page)
{
	begin(1);
	unpin(0, 0, 1);
	expect_list("0-0@1");
	expect_eq(range_overlaps(list, 0, 0), 1);
	purge(0, 0);
	expect_eq(pin(0, 0), 1);
	expect_list("");
}

CONTRACT_TEST(range_order, area_of_the_most_pages)
{
	const uint32_t end = RANGE_MAX_PAGES - 1;

	begin(64);
	list->pages = RANGE_MAX_PAGES;
	unpin(0, end, 1);
	expect_list("0-4294967291@1");
	expect_eq(range_peek_evictable(list), RANGE_MAX_PAGES);
	expect_eq(pin(1, end - 1), 0);
	expect_list("0-0@1 4294967291-4294967291@1");
	unpin(2000000000, 3000000000, 2);
	unpin(3000000000, end, 3);
	expect_list("0-0@1 2000000000-4294967291@3");
	expect_eq(range_overlaps(list, 1, 1999999999), 0);
	expect_eq(pin(0, end), 0);
	expect_list("");
}

CONTRACT_TEST(range_order, nodes_needed_grow_with_pages_and_fit_an_index)
{
	expect(range_nodes_needed(1) >= 1);
	for (uint64_t pages = 1; pages <= RANGE_MAX_PAGES / 2; pages *= 2)
		expect(range_nodes_needed(2 * pages) >= range_nodes_needed(pages));
	expect(range_nodes_needed(RANGE_MAX_PAGES) < UINT32_MAX);
}
