/* SPDX-License-Identifier: MIT */
/*
 * Contract, rules 9 to 13: arguments of the pin calls, unpin and its merging, pin and its
 * splitting, status. Which pages are unpinned is asked page by page; which range carries a purge
 * mark shows in what pin answers.
 */
#define _GNU_SOURCE 1
#include "support/areas.h"
#include "support/contract.h"

#include <errno.h>

/* Unpin pages and have them purged, so that their range carries the mark. */
static void unpin_and_purge(struct ashmem_area *area, uint64_t first, uint64_t count)
{
	unpin_pages(area, first, count);
	purge_everything();
}

/* Rule 9 */

typedef int pin_call(struct ashmem_area *area, uint64_t offset, uint64_t length);

static pin_call *const pin_calls[] = {ashmem_pin, ashmem_unpin, ashmem_get_pin_status};

static void expect_all_refuse(struct ashmem_area *area, uint64_t offset, uint64_t length)
{
	size_t i;

	for (i = 0; i < sizeof pin_calls / sizeof pin_calls[0]; i++)
		expect_eq(pin_calls[i](area, offset, length), -EINVAL);
}

CONTRACT_TEST(pin_arguments, misaligned_offset_is_refused)
{
	struct view view = view_make(4);

	expect_all_refuse(view.area, 1, page_bytes());
	expect_all_refuse(view.area, page_bytes() - 1, page_bytes());
	expect_all_refuse(view.area, page_bytes() / 2, 0);
	view_drop(&view);
}

CONTRACT_TEST(pin_arguments, misaligned_length_is_refused)
{
	struct view view = view_make(4);

	expect_all_refuse(view.area, 0, 1);
	expect_all_refuse(view.area, 0, page_bytes() + 1);
	expect_all_refuse(view.area, page_bytes(), 2 * page_bytes() - 1);
	view_drop(&view);
}

CONTRACT_TEST(pin_arguments, range_past_the_aligned_size_is_refused)
{
	struct view view = view_of(area_of_bytes(3 * page_bytes() + 1));
	uint64_t page = page_bytes();

	expect_all_refuse(view.area, 0, 5 * page);
	expect_all_refuse(view.area, 3 * page, 2 * page);
	expect_all_refuse(view.area, 4 * page, page);
	expect_all_refuse(view.area, 5 * page, page);
	expect_all_refuse(view.area, 5 * page, 0);
	expect_eq(ashmem_unpin(view.area, 0, 4 * page), 0);
	expect_eq(ashmem_pin(view.area, 3 * page, page), ASHMEM_NOT_PURGED);
	view_drop(&view);
}

CONTRACT_TEST(pin_arguments, overflowing_sum_is_refused)
{
	struct view view = view_make(4);
	uint64_t page = page_bytes();
	uint64_t last_page = UINT64_MAX - page + 1;

	expect_all_refuse(view.area, page, last_page);
	expect_all_refuse(view.area, 2 * page, last_page);
	expect_all_refuse(view.area, last_page, page);
	expect_all_refuse(view.area, last_page, 2 * page);
	expect_all_refuse(view.area, last_page, 0);
	expect_all_refuse(view.area, 0, last_page);
	view_drop(&view);
}

/* What a 32-bit number would mistake for a good argument. */
CONTRACT_TEST(pin_arguments, high_bits_are_not_cut_off)
{
	struct view view = view_make(4);
	uint64_t high = (uint64_t)1 << 32;

	expect_all_refuse(view.area, high, page_bytes());
	expect_all_refuse(view.area, 0, high + page_bytes());
	expect_all_refuse(view.area, 0, high);
	view_drop(&view);
}

CONTRACT_TEST(pin_arguments, null_area_is_refused)
{
	uint64_t offset = 1;

	expect_all_refuse(NULL, 0, 0);
	expect_all_refuse(NULL, 0, page_bytes());
	expect_eq(ashmem_find_unpinned(NULL, 0, &offset, NULL, NULL), -EINVAL);
	expect_eq(offset, 1);
}

CONTRACT_TEST(pin_arguments, length_zero_means_to_the_end)
{
	struct view view = view_make(5);

	expect_eq(ashmem_unpin(view.area, 2 * page_bytes(), 0), 0);
	expect_str(pin_picture(view.area, 5), "..UUU");
	expect_eq(ashmem_get_pin_status(view.area, 4 * page_bytes(), 0), ASHMEM_IS_UNPINNED);
	expect_eq(ashmem_pin(view.area, 3 * page_bytes(), 0), ASHMEM_NOT_PURGED);
	expect_str(pin_picture(view.area, 5), "..U..");
	expect_eq(ashmem_unpin(view.area, 0, 0), 0);
	expect_str(pin_picture(view.area, 5), "UUUUU");
	expect_eq(ashmem_pin(view.area, 0, 0), ASHMEM_NOT_PURGED);
	expect_eq(ashmem_get_pin_status(view.area, 0, 0), ASHMEM_IS_PINNED);
	view_drop(&view);
}

CONTRACT_TEST(pin_arguments, nothing_changes_on_error)
{
	struct view view = view_make(6);
	uint64_t page = page_bytes();

	unpin_and_purge(view.area, 0, 2);
	unpin_pages(view.area, 4, 2);
	expect_all_refuse(view.area, 0, 7 * page);
	expect_all_refuse(view.area, 1, page);
	expect_all_refuse(view.area, 0, page + 1);
	expect_all_refuse(view.area, 4 * page, UINT64_MAX - page + 1);
	expect_str(pin_picture(view.area, 6), "UU..UU");
	expect_eq(pin_pages(view.area, 0, 2), ASHMEM_WAS_PURGED);
	expect_eq(pin_pages(view.area, 4, 2), ASHMEM_NOT_PURGED);
	view_drop(&view);
}

/* Rule 10 */

CONTRACT_TEST(unpin, unpinned_pages_are_the_range_asked_for)
{
	struct view view = view_make(6);

	unpin_pages(view.area, 1, 3);
	expect_str(pin_picture(view.area, 6), ".UUU..");
	view_drop(&view);
}

CONTRACT_TEST(unpin, contents_stay_while_nothing_is_purged)
{
	struct view view = view_make(3);

	fill_pages(&view, 0, 3, 0x77);
	unpin_pages(view.area, 0, 3);
	expect(pages_hold(&view, 0, 3, 0x77));
	expect_eq(pin_pages(view.area, 0, 3), ASHMEM_NOT_PURGED);
	expect(pages_hold(&view, 0, 3, 0x77));
	view_drop(&view);
}

CONTRACT_TEST(unpin, inside_a_purged_range_changes_nothing)
{
	struct view view = view_make(6);

	unpin_and_purge(view.area, 1, 4);
	unpin_pages(view.area, 2, 2);
	unpin_pages(view.area, 1, 4);
	expect_str(pin_picture(view.area, 6), ".UUUU.");
	expect_eq(pin_pages(view.area, 2, 1), ASHMEM_WAS_PURGED);
	expect_eq(pin_pages(view.area, 1, 1), ASHMEM_WAS_PURGED);
	expect_eq(pin_pages(view.area, 3, 2), ASHMEM_WAS_PURGED);
	view_drop(&view);
}

CONTRACT_TEST(unpin, overlapping_a_purged_range_marks_the_whole)
{
	struct view view = view_make(6);

	unpin_and_purge(view.area, 0, 3);
	unpin_pages(view.area, 2, 4);
	expect_str(pin_picture(view.area, 6), "UUUUUU");
	expect_eq(pin_pages(view.area, 5, 1), ASHMEM_WAS_PURGED);
	expect_eq(pin_pages(view.area, 0, 1), ASHMEM_WAS_PURGED);
	view_drop(&view);
}

CONTRACT_TEST(unpin, overlapping_several_ranges_merges_them_all)
{
	struct view view = view_make(10);

	unpin_and_purge(view.area, 3, 2);
	unpin_pages(view.area, 0, 2);
	unpin_pages(view.area, 6, 2);
	unpin_pages(view.area, 1, 6);
	expect_str(pin_picture(view.area, 10), "UUUUUUUU..");
	expect_eq(pin_pages(view.area, 0, 1), ASHMEM_WAS_PURGED);
	expect_eq(pin_pages(view.area, 7, 1), ASHMEM_WAS_PURGED);
	view_drop(&view);
}

CONTRACT_TEST(unpin, covering_a_range_merges_it)
{
	struct view view = view_make(6);

	unpin_and_purge(view.area, 2, 1);
	unpin_pages(view.area, 1, 4);
	expect_eq(pin_pages(view.area, 4, 1), ASHMEM_WAS_PURGED);
	expect_eq(pin_pages(view.area, 1, 1), ASHMEM_WAS_PURGED);
	view_drop(&view);
}

CONTRACT_TEST(unpin, touching_is_not_overlapping)
{
	struct view view = view_make(9);

	unpin_and_purge(view.area, 3, 3);
	unpin_pages(view.area, 6, 3);
	unpin_pages(view.area, 0, 3);
	expect_str(pin_picture(view.area, 9), "UUUUUUUUU");
	expect_eq(pin_pages(view.area, 0, 3), ASHMEM_NOT_PURGED);
	expect_eq(pin_pages(view.area, 6, 3), ASHMEM_NOT_PURGED);
	expect_eq(pin_pages(view.area, 3, 3), ASHMEM_WAS_PURGED);
	view_drop(&view);
}

CONTRACT_TEST(unpin, merging_unpurged_ranges_leaves_no_mark)
{
	struct view view = view_make(6);

	unpin_pages(view.area, 0, 2);
	unpin_pages(view.area, 4, 2);
	unpin_pages(view.area, 1, 4);
	expect_eq(pin_pages(view.area, 0, 6), ASHMEM_NOT_PURGED);
	view_drop(&view);
}

CONTRACT_TEST(unpin, two_neighbours_are_not_one_range)
{
	struct view view = view_make(4);

	unpin_and_purge(view.area, 0, 2);
	unpin_pages(view.area, 2, 2);
	unpin_pages(view.area, 1, 2); /* inside neither, overlaps both */
	expect_eq(pin_pages(view.area, 3, 1), ASHMEM_WAS_PURGED);
	view_drop(&view);
}

/* Rule 11 */

CONTRACT_TEST(pin, pin_after_purge_reports_was_purged)
{
	struct view view = view_make(4);

	unpin_and_purge(view.area, 1, 2);
	expect_eq(pin_pages(view.area, 1, 2), ASHMEM_WAS_PURGED);
	expect_str(pin_picture(view.area, 4), "....");
	view_drop(&view);
}

CONTRACT_TEST(pin, pin_without_purge_reports_not_purged)
{
	struct view view = view_make(4);

	unpin_pages(view.area, 1, 2);
	expect_eq(pin_pages(view.area, 1, 2), ASHMEM_NOT_PURGED);
	expect_str(pin_picture(view.area, 4), "....");
	view_drop(&view);
}

CONTRACT_TEST(pin, pinning_pinned_pages_reports_not_purged)
{
	struct view view = view_make(4);

	unpin_and_purge(view.area, 0, 2);
	expect_eq(pin_pages(view.area, 2, 2), ASHMEM_NOT_PURGED);
	expect_eq(pin_pages(view.area, 0, 2), ASHMEM_WAS_PURGED);
	expect_eq(pin_pages(view.area, 0, 2), ASHMEM_NOT_PURGED);
	view_drop(&view);
}

CONTRACT_TEST(pin, purge_is_reported_once)
{
	struct view view = view_make(2);

	unpin_and_purge(view.area, 0, 2);
	expect_eq(pin_pages(view.area, 0, 2), ASHMEM_WAS_PURGED);
	unpin_pages(view.area, 0, 2);
	expect_eq(pin_pages(view.area, 0, 2), ASHMEM_NOT_PURGED);
	view_drop(&view);
}

CONTRACT_TEST(pin, pinning_the_start_leaves_the_rest)
{
	struct view view = view_make(6);

	unpin_and_purge(view.area, 1, 4);
	expect_eq(pin_pages(view.area, 0, 3), ASHMEM_WAS_PURGED);
	expect_str(pin_picture(view.area, 6), "...UU.");
	expect_eq(pin_pages(view.area, 3, 2), ASHMEM_WAS_PURGED);
	view_drop(&view);
}

CONTRACT_TEST(pin, pinning_the_end_leaves_the_rest)
{
	struct view view = view_make(6);

	unpin_and_purge(view.area, 1, 4);
	expect_eq(pin_pages(view.area, 4, 2), ASHMEM_WAS_PURGED);
	expect_str(pin_picture(view.area, 6), ".UUU..");
	expect_eq(pin_pages(view.area, 1, 3), ASHMEM_WAS_PURGED);
	view_drop(&view);
}

CONTRACT_TEST(pin, pinning_the_middle_leaves_both_sides_with_their_mark)
{
	struct view view = view_make(7);

	unpin_and_purge(view.area, 1, 5);
	expect_eq(pin_pages(view.area, 3, 1), ASHMEM_WAS_PURGED);
	expect_str(pin_picture(view.area, 7), ".UU.UU.");
	expect_eq(pin_pages(view.area, 1, 2), ASHMEM_WAS_PURGED);
	expect_eq(pin_pages(view.area, 4, 2), ASHMEM_WAS_PURGED);
	view_drop(&view);
}

CONTRACT_TEST(pin, splitting_an_unpurged_range_leaves_no_mark)
{
	struct view view = view_make(5);

	unpin_pages(view.area, 0, 5);
	expect_eq(pin_pages(view.area, 2, 1), ASHMEM_NOT_PURGED);
	expect_str(pin_picture(view.area, 5), "UU.UU");
	expect_eq(pin_pages(view.area, 0, 2), ASHMEM_NOT_PURGED);
	expect_eq(pin_pages(view.area, 3, 2), ASHMEM_NOT_PURGED);
	view_drop(&view);
}

CONTRACT_TEST(pin, any_purged_range_among_several_is_reported)
{
	struct view view = view_make(9);

	unpin_and_purge(view.area, 4, 1);
	unpin_pages(view.area, 0, 3);
	unpin_pages(view.area, 6, 3);
	expect_eq(pin_pages(view.area, 2, 5), ASHMEM_WAS_PURGED);
	expect_str(pin_picture(view.area, 9), "UU.....UU");
	expect_eq(pin_pages(view.area, 0, 2), ASHMEM_NOT_PURGED);
	expect_eq(pin_pages(view.area, 7, 2), ASHMEM_NOT_PURGED);
	view_drop(&view);
}

CONTRACT_TEST(pin, pinning_beside_a_purged_range_does_not_report_it)
{
	struct view view = view_make(6);

	unpin_and_purge(view.area, 2, 2);
	unpin_pages(view.area, 0, 2);
	expect_eq(pin_pages(view.area, 0, 2), ASHMEM_NOT_PURGED);
	expect_eq(pin_pages(view.area, 4, 2), ASHMEM_NOT_PURGED);
	expect_eq(pin_pages(view.area, 2, 2), ASHMEM_WAS_PURGED);
	view_drop(&view);
}

/* Rule 12 */

CONTRACT_TEST(status, one_unpinned_page_makes_the_range_unpinned)
{
	struct view view = view_make(8);

	unpin_pages(view.area, 3, 1);
	expect_eq(status_pages(view.area, 0, 8), ASHMEM_IS_UNPINNED);
	expect_eq(status_pages(view.area, 0, 4), ASHMEM_IS_UNPINNED);
	expect_eq(status_pages(view.area, 3, 5), ASHMEM_IS_UNPINNED);
	expect_eq(status_pages(view.area, 3, 1), ASHMEM_IS_UNPINNED);
	expect_eq(status_pages(view.area, 0, 3), ASHMEM_IS_PINNED);
	expect_eq(status_pages(view.area, 4, 4), ASHMEM_IS_PINNED);
	view_drop(&view);
}

CONTRACT_TEST(status, asking_changes_nothing)
{
	struct view view = view_make(4);

	unpin_and_purge(view.area, 1, 2);
	expect_eq(status_pages(view.area, 0, 4), ASHMEM_IS_UNPINNED);
	expect_eq(status_pages(view.area, 1, 1), ASHMEM_IS_UNPINNED);
	expect_eq(pin_pages(view.area, 2, 1), ASHMEM_WAS_PURGED);
	expect_eq(pin_pages(view.area, 1, 1), ASHMEM_WAS_PURGED);
	view_drop(&view);
}

CONTRACT_TEST(status, purged_pages_are_unpinned)
{
	struct view view = view_make(2);

	unpin_and_purge(view.area, 0, 1);
	expect_eq(status_pages(view.area, 0, 1), ASHMEM_IS_UNPINNED);
	expect_eq(status_pages(view.area, 1, 1), ASHMEM_IS_PINNED);
	view_drop(&view);
}

/* Rule 13 */

CONTRACT_TEST(pin, pins_are_a_state_not_a_count)
{
	struct view view = view_make(2);

	expect_eq(pin_pages(view.area, 0, 2), ASHMEM_NOT_PURGED);
	expect_eq(pin_pages(view.area, 0, 2), ASHMEM_NOT_PURGED);
	unpin_pages(view.area, 0, 2);
	expect_str(pin_picture(view.area, 2), "UU");
	unpin_pages(view.area, 0, 2);
	unpin_pages(view.area, 0, 2);
	expect_eq(pin_pages(view.area, 0, 2), ASHMEM_NOT_PURGED);
	expect_str(pin_picture(view.area, 2), "..");
	view_drop(&view);
}
