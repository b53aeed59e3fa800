/* SPDX-License-Identifier: MIT */
/*
 * The order of purging, rules 10, 11 and 14, and ashmem_shrink(), ashmem_shrink_count(): which
 * range goes first within an area, over areas, over processes. The kernel alone shrinks the
 * driver's areas, so all of it is skipped there.
 */
#define _GNU_SOURCE 1
#include "support/areas.h"
#include "support/children.h"
#include "support/contract.h"

#define NEEDS_SHRINK() skip_on_kernel("ashmem_shrink() leaves the driver's areas alone")

/* One area */

CONTRACT_TEST(lru, least_recently_unpinned_goes_first)
{
	NEEDS_SHRINK();
	struct view view = full_view(8);
	unpin_pages(view.area, 4, 1);
	unpin_pages(view.area, 0, 1);
	unpin_pages(view.area, 6, 1);
	unpin_pages(view.area, 2, 1);
	expect_eq(ashmem_shrink(1), 1);
	expect_str(purge_picture(&view), "....P...");
	expect_eq(ashmem_shrink(1), 1);
	expect_str(purge_picture(&view), "P...P...");
	expect_eq(ashmem_shrink(1), 1);
	expect_str(purge_picture(&view), "P...P.P.");
	expect_eq(ashmem_shrink(1), 1);
	expect_str(purge_picture(&view), "P.P.P.P.");
	view_drop(&view);
}

CONTRACT_TEST(lru, touching_ranges_keep_their_own_ages)
{
	NEEDS_SHRINK();
	struct view view = full_view(6);
	unpin_pages(view.area, 2, 2);
	unpin_pages(view.area, 4, 2);
	unpin_pages(view.area, 0, 2);
	expect_eq(ashmem_shrink(2), 2);
	expect_str(purge_picture(&view), "..PP..");
	expect_eq(ashmem_shrink(2), 2);
	expect_str(purge_picture(&view), "..PPPP");
	view_drop(&view);
}

CONTRACT_TEST(lru, pinning_and_unpinning_again_makes_young)
{
	NEEDS_SHRINK();
	struct view view = full_view(3);
	unpin_pages(view.area, 0, 1);
	unpin_pages(view.area, 2, 1);
	expect_eq(pin_pages(view.area, 0, 1), ASHMEM_NOT_PURGED);
	unpin_pages(view.area, 0, 1);
	expect_eq(ashmem_shrink(1), 1);
	expect_str(purge_picture(&view), "..P");
	view_drop(&view);
}

CONTRACT_TEST(lru, unpinning_inside_a_range_does_not_make_young)
{
	NEEDS_SHRINK();
	struct view view = full_view(6);
	unpin_pages(view.area, 0, 3);
	unpin_pages(view.area, 4, 2);
	unpin_pages(view.area, 1, 1);
	unpin_pages(view.area, 0, 3);
	expect_eq(ashmem_shrink(1), 3);
	expect_str(purge_picture(&view), "PPP...");
	view_drop(&view);
}

CONTRACT_TEST(lru, merging_makes_the_whole_young)
{
	NEEDS_SHRINK();
	struct view view = full_view(8);
	unpin_pages(view.area, 0, 3);
	unpin_pages(view.area, 6, 2);
	unpin_pages(view.area, 2, 2);
	expect_eq(ashmem_shrink(1), 2);
	expect_str(purge_picture(&view), "......PP");
	expect_eq(ashmem_shrink(1), 4);
	expect_str(purge_picture(&view), "PPPP..PP");
	view_drop(&view);
}

CONTRACT_TEST(lru, both_sides_of_a_split_keep_the_age)
{
	NEEDS_SHRINK();
	struct view view = full_view(8);
	unpin_pages(view.area, 0, 5);
	unpin_pages(view.area, 6, 2);
	expect_eq(pin_pages(view.area, 2, 1), ASHMEM_NOT_PURGED);
	expect_eq(ashmem_shrink(4), 4);
	expect_str(purge_picture(&view), "PP.PP...");
	expect_eq(ashmem_shrink(1), 2);
	view_drop(&view);
}

CONTRACT_TEST(lru, pinned_range_leaves_the_order)
{
	NEEDS_SHRINK();
	struct view view = full_view(6);
	unpin_pages(view.area, 0, 2);
	unpin_pages(view.area, 3, 2);
	expect_eq(pin_pages(view.area, 0, 2), ASHMEM_NOT_PURGED);
	expect_eq(ashmem_shrink(100), 2);
	expect_str(purge_picture(&view), "...PP.");
	view_drop(&view);
}

CONTRACT_TEST(lru, purged_range_is_passed_over)
{
	NEEDS_SHRINK();
	struct view view = full_view(6);
	unpin_pages(view.area, 0, 2);
	expect_eq(ashmem_shrink(1), 2);
	unpin_pages(view.area, 3, 1);
	expect_eq(ashmem_shrink(1), 1);
	expect_eq(ashmem_shrink(1), 0);
	expect_str(purge_picture(&view), "PP.P..");
	view_drop(&view);
}

/* Counting */

CONTRACT_TEST(lru, shrink_by_nothing_purges_nothing)
{
	NEEDS_SHRINK();
	struct view view = full_view(2);
	unpin_pages(view.area, 0, 2);
	expect_eq(ashmem_shrink(0), 0);
	expect_str(purge_picture(&view), "..");
	view_drop(&view);
}

CONTRACT_TEST(lru, shrink_without_anything_to_purge_frees_nothing)
{
	NEEDS_SHRINK();
	struct view view = full_view(2);
	expect_eq(ashmem_shrink(1), 0);
	expect_eq(ashmem_shrink(UINT64_MAX), 0);
	expect_str(purge_picture(&view), "..");
	view_drop(&view);
}

CONTRACT_TEST(lru, shrink_takes_no_more_ranges_than_it_needs)
{
	NEEDS_SHRINK();
	struct view view = full_view(12);
	unpin_pages(view.area, 0, 2);
	unpin_pages(view.area, 3, 2);
	unpin_pages(view.area, 6, 2);
	unpin_pages(view.area, 9, 2);
	expect_eq(ashmem_shrink(3), 4);
	expect_str(purge_picture(&view), "PP.PP.......");
	expect_eq(ashmem_shrink(2), 2);
	expect_str(purge_picture(&view), "PP.PP.PP....");
	view_drop(&view);
}

CONTRACT_TEST(lru, shrink_by_more_than_there_is_takes_all)
{
	NEEDS_SHRINK();
	struct view view = full_view(8);
	unpin_pages(view.area, 0, 1);
	unpin_pages(view.area, 2, 5);
	expect_eq(ashmem_shrink(UINT64_MAX), 6);
	expect_str(purge_picture(&view), "P.PPPPP.");
	view_drop(&view);
}

CONTRACT_TEST(lru, shrink_count_follows_every_call)
{
	struct view view;
	uint64_t none;

	NEEDS_SHRINK();
	none = ashmem_shrink_count();
	expect_eq(none, 0);
	view = full_view(10);
	expect_eq(ashmem_shrink_count(), 0);
	unpin_pages(view.area, 0, 4);
	expect_eq(ashmem_shrink_count(), 4);
	unpin_pages(view.area, 2, 4);
	expect_eq(ashmem_shrink_count(), 6);
	expect_eq(pin_pages(view.area, 1, 2), ASHMEM_NOT_PURGED);
	expect_eq(ashmem_shrink_count(), 4);
	unpin_pages(view.area, 8, 2);
	expect_eq(ashmem_shrink_count(), 6);
	expect_eq(ashmem_shrink(4), 4);
	expect_eq(ashmem_shrink_count(), 2);
	view_drop(&view);
	expect_eq(ashmem_shrink_count(), 0);
}

CONTRACT_TEST(lru, both_sides_of_a_partly_purged_range_count_what_is_left)
{
	NEEDS_SHRINK();
	struct view view = full_view(8);
	unpin_pages(view.area, 0, 4);
	expect_eq(ashmem_shrink(1), 4);
	unpin_pages(view.area, 3, 3); /* 4 and 5 are live */
	expect_eq(ashmem_shrink_count(), 2);
	expect_eq(pin_pages(view.area, 2, 1), ASHMEM_WAS_PURGED);
	expect_eq(ashmem_shrink_count(), 2); /* both on the right */
	expect_eq(ashmem_purge_all(), 2);
	expect_eq(ashmem_shrink_count(), 0);
	expect_str(purge_picture(&view), "PPPPPP..");
	view_drop(&view);
}

/* Several areas */

CONTRACT_TEST(lru, order_goes_over_all_areas)
{
	struct view one, two, three;

	NEEDS_SHRINK();
	one = full_view(4);
	two = full_view(4);
	three = full_view(4);
	unpin_pages(two.area, 0, 1);
	unpin_pages(one.area, 0, 1);
	unpin_pages(three.area, 0, 1);
	unpin_pages(two.area, 2, 1);
	expect_eq(ashmem_shrink(1), 1);
	expect_str(purge_picture(&two), "P...");
	expect_eq(ashmem_shrink(2), 2);
	expect_str(purge_picture(&one), "P...");
	expect_str(purge_picture(&three), "P...");
	expect_str(purge_picture(&two), "P...");
	expect_eq(ashmem_shrink(1), 1);
	expect_str(purge_picture(&two), "P.P.");
	view_drop(&one);
	view_drop(&two);
	view_drop(&three);
}

CONTRACT_TEST(lru, younger_ranges_of_the_oldest_area_wait_for_the_other_areas)
{
	struct view one, two;

	NEEDS_SHRINK();
	one = full_view(4);
	two = full_view(4);
	unpin_pages(one.area, 0, 1);
	unpin_pages(two.area, 0, 1);
	unpin_pages(one.area, 2, 1);
	unpin_pages(two.area, 2, 1);
	expect_eq(ashmem_shrink(2), 2);
	expect_str(purge_picture(&one), "P...");
	expect_str(purge_picture(&two), "P...");
	expect_eq(ashmem_shrink(1), 1);
	expect_str(purge_picture(&one), "P.P.");
	view_drop(&one);
	view_drop(&two);
}

enum { MANY = 100 };

CONTRACT_TEST(lru, hundred_areas_go_in_the_order_of_their_unpins)
{
	struct view views[MANY];
	int i;

	NEEDS_SHRINK();
	for (i = 0; i < MANY; i++)
		views[i] = full_view(1);
	for (i = 0; i < MANY; i++)
		unpin_pages(views[i * 37 % MANY].area, 0, 1);
	for (i = 0; i < MANY; i++) {
		expect_eq(ashmem_shrink(1), 1);
		expect_str(purge_picture(&views[i * 37 % MANY]), "P");
		if (i + 1 < MANY)
			expect_str(purge_picture(&views[(i + 1) * 37 % MANY]), ".");
	}
	for (i = 0; i < MANY; i++)
		view_drop(&views[i]);
}

CONTRACT_TEST(lru, closed_area_leaves_the_order)
{
	struct view one, two;

	NEEDS_SHRINK();
	one = full_view(2);
	two = full_view(2);
	unpin_pages(one.area, 0, 2);
	unpin_pages(two.area, 0, 1);
	ashmem_close(one.area);
	expect_eq(ashmem_shrink_count(), 1);
	expect_eq(ashmem_shrink(1), 1);
	expect_str(purge_picture(&two), "P.");
	expect(pages_hold(&one, 0, 2, 0x11));
	expect_eq(ashmem_unmap(one.base, 2 * page_bytes()), 0);
	view_drop(&two);
}

CONTRACT_TEST(lru, area_held_twice_has_one_place_in_the_order)
{
	struct view one, two;
	struct ashmem_area *again = NULL;

	NEEDS_SHRINK();
	one = full_view(4);
	two = full_view(4);
	expect_eq(ashmem_import(ashmem_fd(one.area), &again), 0);
	unpin_pages(again, 0, 2);
	unpin_pages(two.area, 0, 1);
	unpin_pages(one.area, 3, 1);
	expect_eq(ashmem_shrink_count(), 4);
	expect_eq(ashmem_shrink(1), 2);
	expect_eq(ashmem_shrink(1), 1);
	expect_str(purge_picture(&two), "P...");
	ashmem_close(again);
	expect_eq(ashmem_shrink_count(), 1);
	expect_eq(ashmem_shrink(1), 1);
	expect_str(purge_picture(&one), "PP.P");
	view_drop(&one);
	view_drop(&two);
}

/* Several processes */

static void unpin_middle(void *argument)
{
	struct view *views = argument;

	unpin_pages(views[1].area, 0, 1);
}

CONTRACT_TEST(lru, order_goes_over_processes)
{
	struct view views[3];
	int i;

	NEEDS_SHRINK();
	for (i = 0; i < 3; i++)
		views[i] = full_view(2);
	unpin_pages(views[0].area, 0, 1);
	run_child(unpin_middle, views);
	unpin_pages(views[2].area, 0, 1);
	expect_eq(ashmem_shrink_count(), 3);
	expect_eq(ashmem_shrink(1), 1);
	expect_str(purge_picture(&views[0]), "P.");
	expect_eq(ashmem_shrink(1), 1);
	expect_str(purge_picture(&views[1]), "P.");
	expect_str(purge_picture(&views[2]), "..");
	expect_eq(ashmem_shrink(1), 1);
	for (i = 0; i < 3; i++)
		view_drop(&views[i]);
}

static void shrink_two(void *argument)
{
	(void)argument;
	expect_eq(ashmem_shrink_count(), 3);
	expect_eq(ashmem_shrink(2), 2);
	expect_eq(ashmem_shrink_count(), 1);
}

CONTRACT_TEST(lru, shrinking_in_a_child_purges_what_the_parent_unpinned)
{
	struct view one, two;

	NEEDS_SHRINK();
	one = full_view(2);
	two = full_view(4);
	unpin_pages(two.area, 3, 1);
	unpin_pages(one.area, 1, 1);
	unpin_pages(two.area, 0, 1);
	run_child(shrink_two, NULL);
	expect_str(purge_picture(&two), "...P");
	expect_str(purge_picture(&one), ".P");
	expect_eq(ashmem_shrink_count(), 1);
	view_drop(&one);
	view_drop(&two);
}

static uint64_t count_filled(const struct view *view, uint64_t first, uint64_t end)
{
	uint64_t filled = 0;

	for (uint64_t page = first; page < end; page++)
		filled += first_byte(view, page) == 0x11;
	return filled;
}

/*
 * Adjacent ranges may go in one punch, pieces may be bounded: what was asked for goes, no more
 * and no less. D8: so it is within a long range.
 */
CONTRACT_TEST(lru, large_and_many_ranges_are_purged_to_the_page)
{
	enum { LARGE = 6000 };
	uint64_t page;

	NEEDS_SHRINK();
	struct view view = full_view(LARGE);
	for (page = 0; page < LARGE / 2; page++)
		unpin_pages(view.area, page, 1);
	unpin_pages(view.area, LARGE / 2, LARGE / 2);
	expect_eq(ashmem_shrink(LARGE / 2 - 10), LARGE / 2 - 10);
	expect_eq(count_filled(&view, 0, LARGE / 2 - 10), 0);
	expect_eq(count_filled(&view, LARGE / 2 - 10, LARGE), LARGE / 2 + 10);
	expect_eq(ashmem_shrink(11), 11);
	expect_eq(ashmem_shrink(1000), 1000);
	expect_eq(count_filled(&view, 0, LARGE / 2 + 1001), 0);
	expect_eq(count_filled(&view, LARGE / 2 + 1001, LARGE), LARGE / 2 - 1001);
	expect_eq(ashmem_shrink_count(), LARGE / 2 - 1001);
	/* What is left stays purgeable, and what is pinned of it stays. */
	expect_eq(pin_pages(view.area, LARGE - 10, 10), ASHMEM_WAS_PURGED);
	expect_eq(ashmem_shrink(LARGE), LARGE / 2 - 1001 - 10);
	expect(pages_hold(&view, LARGE - 10, 10, 0x11));
	expect(pages_hold(&view, 0, LARGE - 10, 0));
	expect_eq(ashmem_shrink_count(), 0);
	view_drop(&view);
}
