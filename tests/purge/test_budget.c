/* SPDX-License-Identifier: MIT */
/*
 * Budgets: what counts, what is purged when, to the page; groups and the process; pinned memory
 * that is too much. Other processes, threads and forks are in test_budget_shared.c.
 */
#define _GNU_SOURCE 1
#include "support/areas.h"
#include "support/budgets.h"
#include "support/children.h"
#include "support/contract.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define NEEDS_COUNTS() skip_on_kernel("the driver tells no counts")

/* -- arguments -- */

CONTRACT_TEST(budget, arguments_are_checked)
{
	struct ashmem_budget_options options = budget_limits(1, 1);
	struct ashmem_budget_usage usage = {.struct_size = sizeof usage};
	struct ashmem_budget *budget = NULL, *process = ashmem_budget_process();
	struct ashmem_area *area = area_of_pages(1);

	expect(process != NULL);
	expect_eq(ashmem_budget_create(&options, NULL), -EINVAL);
	options.flags = 2;
	expect_eq(ashmem_budget_create(&options, &budget), -EINVAL);
	options.flags = 0;
	options.struct_size = 3;
	expect_eq(ashmem_budget_create(&options, &budget), -EINVAL);
	expect(budget == NULL);
	expect_eq(ashmem_budget_create(NULL, &budget), 0);
	expect_eq(ashmem_budget_set_limits(budget, &options), -EINVAL);
	expect_eq(ashmem_budget_set_limits(budget, NULL), -EINVAL);
	expect_eq(ashmem_budget_set_limits(NULL, &options), -EINVAL);
	expect_eq(ashmem_budget_add(NULL, area), -EINVAL);
	expect_eq(ashmem_budget_add(budget, NULL), -EINVAL);
	expect_eq(ashmem_budget_add(process, area), -EINVAL);
	expect_eq(ashmem_budget_remove(budget, area), -EINVAL);
	expect_eq(ashmem_budget_remove(process, area), -EINVAL);
	expect_eq(ashmem_budget_get_usage(budget, NULL), -EINVAL);
	expect_eq(ashmem_budget_get_usage(NULL, &usage), -EINVAL);
	usage.struct_size = 1;
	expect_eq(ashmem_budget_get_usage(budget, &usage), -EINVAL);
	ashmem_budget_close(budget);
	ashmem_budget_close(NULL);
	ashmem_close(area);
}

CONTRACT_TEST(budget, kernel_areas_are_refused)
{
	struct ashmem_budget *budget = budget_of(1, 1);
	struct ashmem_area *area = area_of_pages(1);

	expect_eq(ashmem_budget_add(budget, area), backend_is_kernel() ? -ENOTSUP : 0);
	ashmem_close(area);
	ashmem_budget_close(budget);
}

CONTRACT_TEST(budget, an_area_is_in_one_group)
{
	struct ashmem_budget *one = budget_of(NO_LIMIT, NO_LIMIT),
			     *two = budget_of(NO_LIMIT, NO_LIMIT);
	struct ashmem_area *area;

	NEEDS_COUNTS();
	area = area_of_pages(1);
	expect_eq(ashmem_budget_add(one, area), 0);
	expect_eq(ashmem_budget_add(one, area), 0);
	expect_eq(ashmem_budget_add(two, area), -EBUSY);
	expect_eq(ashmem_budget_remove(two, area), -EINVAL);
	expect_eq(budget_usage(one).areas, 1);
	expect_eq(ashmem_budget_remove(one, area), 0);
	expect_eq(budget_usage(one).areas, 0);
	expect_eq(ashmem_budget_add(two, area), 0);
	ashmem_budget_close(one);
	ashmem_close(area);
	expect_eq(budget_usage(two).areas, 0);
	ashmem_budget_close(two);
}

CONTRACT_TEST(budget, usage_tells_the_limits)
{
	struct ashmem_budget *budget = NULL;

	expect_eq(ashmem_budget_create(NULL, &budget), 0);
	expect(budget_usage(budget).unpinned_limit_bytes == ASHMEM_BUDGET_UNLIMITED);
	expect(budget_usage(budget).all_limit_bytes == ASHMEM_BUDGET_UNLIMITED);
	budget_set(budget, 3, 0);
	expect_eq(budget_usage(budget).unpinned_limit_bytes, 3 * page_bytes());
	expect(budget_usage(budget).all_limit_bytes == ASHMEM_BUDGET_UNLIMITED);
	ashmem_budget_close(budget);
}

/* -- what is counted -- */

CONTRACT_TEST(budget, counts_follow_every_call)
{
	struct ashmem_budget *process = ashmem_budget_process(),
			     *group = budget_of(NO_LIMIT, NO_LIMIT);
	struct ashmem_area *area, *again = NULL;
	struct view view;

	NEEDS_COUNTS();
	area = area_of_pages(10);
	expect_eq(ashmem_budget_add(group, area), 0);
	expect_usage(group, 0, 0); /* not materialised */
	view.area = area;
	view.pages = 10;
	view.base = map_whole(area, PROT_RW);
	fill_pages(&view, 0, 10, 0x11);
	expect_usage(group, 0, 10);
	expect_usage(process, 0, 10);
	unpin_pages(area, 0, 4);
	expect_usage(group, 4, 10);
	expect_eq(ashmem_import(ashmem_fd(area), &again), 0);
	expect_usage(process, 4, 10); /* once */
	ashmem_close(again);
	expect_eq(ashmem_shrink(4), 4);
	expect_usage(group, 0, 6);
	expect_usage(process, 0, 6);
	expect_eq(pin_pages(area, 0, 1), ASHMEM_WAS_PURGED);
	expect_usage(group, 0, 7); /* it is about to be filled */
	unpin_pages(area, 8, 2);
	expect_usage(group, 2, 7);
	expect_eq(ashmem_purge_all(), 2);
	expect_usage(group, 0, 5);
	expect_eq(pin_pages(area, 0, 10), ASHMEM_WAS_PURGED);
	expect_usage(group, 0, 10);
	expect_eq(budget_usage(process).areas, 1);
	view_drop(&view);
	expect_usage(process, 0, 0);
	expect_usage(group, 0, 0);
	expect_eq(budget_usage(process).areas, 0);
	ashmem_budget_close(group);
}

/* -- the limit on unpinned memory -- */

CONTRACT_TEST(budget, unpin_purges_the_oldest_that_is_over)
{
	struct ashmem_budget *group = budget_of(3, NO_LIMIT);
	NEEDS_COUNTS();
	struct view view = full_view(10);
	expect_eq(ashmem_budget_add(group, view.area), 0);
	unpin_pages(view.area, 6, 1);
	unpin_pages(view.area, 0, 1);
	unpin_pages(view.area, 3, 1);
	expect_str(purge_picture(&view), "..........");
	unpin_pages(view.area, 9, 1);
	expect_str(purge_picture(&view), "......P...");
	expect_usage(group, 3, 9);
	unpin_pages(view.area, 5, 1);
	expect_str(purge_picture(&view), "P.....P...");
	expect_eq(pin_pages(view.area, 3, 1), ASHMEM_NOT_PURGED);
	unpin_pages(view.area, 1, 1);
	expect_str(purge_picture(&view), "P.....P...");
	expect_usage(group, 3, 8);
	expect_eq(budget_usage(group).purges, 2);
	expect_eq(budget_usage(group).purged_pages, 2);
	view_drop(&view);
	ashmem_budget_close(group);
}

CONTRACT_TEST(budget, whole_ranges_go_and_no_more_of_them_than_needed)
{
	struct ashmem_budget *group = budget_of(5, NO_LIMIT);
	NEEDS_COUNTS();
	struct view view = full_view(12);
	expect_eq(ashmem_budget_add(group, view.area), 0);
	unpin_pages(view.area, 0, 3);
	unpin_pages(view.area, 4, 2);
	unpin_pages(view.area, 8, 1);
	expect_str(purge_picture(&view), "PPP.........");
	expect_usage(group, 3, 9);
	unpin_pages(view.area, 10, 2);
	expect_usage(group, 5, 9);
	view_drop(&view);
	ashmem_budget_close(group);
}

CONTRACT_TEST(budget, a_range_larger_than_the_limit_goes_at_once)
{
	struct ashmem_budget *group = budget_of(3, NO_LIMIT);
	NEEDS_COUNTS();
	struct view view = full_view(6);
	expect_eq(ashmem_budget_add(group, view.area), 0);
	unpin_pages(view.area, 5, 1);
	unpin_pages(view.area, 0, 4);
	expect_str(purge_picture(&view), "PPPP.P");
	expect_usage(group, 0, 1);
	view_drop(&view);
	ashmem_budget_close(group);
}

CONTRACT_TEST(budget, less_than_a_page_keeps_nothing)
{
	struct ashmem_budget_options options = {.struct_size = sizeof options, .unpinned_bytes = 1};
	NEEDS_COUNTS();
	struct view view = full_view(4);
	expect_eq(ashmem_budget_set_limits(ashmem_budget_process(), &options), 0);
	expect_str(purge_picture(&view), "....");
	unpin_pages(view.area, 1, 2);
	expect_str(purge_picture(&view), ".PP.");
	ashmem_budget_close(ashmem_budget_process());
	unpin_pages(view.area, 0, 1);
	expect_str(purge_picture(&view), ".PP.");
	view_drop(&view);
}

CONTRACT_TEST(budget, the_order_goes_over_the_groups_areas_and_no_others)
{
	struct ashmem_budget *group = budget_of(2, NO_LIMIT);
	struct view outside, one, two;

	NEEDS_COUNTS();
	outside = full_view(4);
	one = full_view(4);
	two = full_view(4);
	expect_eq(ashmem_budget_add(group, one.area), 0);
	expect_eq(ashmem_budget_add(group, two.area), 0);
	unpin_pages(outside.area, 0, 4);
	unpin_pages(two.area, 0, 1);
	unpin_pages(one.area, 0, 1);
	unpin_pages(two.area, 2, 1);
	expect_str(purge_picture(&two), "P...");
	unpin_pages(one.area, 3, 1);
	expect_str(purge_picture(&one), "P...");
	expect_str(purge_picture(&two), "P...");
	expect_str(purge_picture(&outside), "....");
	view_drop(&outside);
	view_drop(&one);
	view_drop(&two);
	ashmem_budget_close(group);
}

CONTRACT_TEST(budget, the_process_bounds_all_of_its_areas)
{
	struct view one, two;

	NEEDS_COUNTS();
	one = full_view(4);
	two = full_view(4);
	unpin_pages(one.area, 0, 2);
	budget_set(ashmem_budget_process(), 3, NO_LIMIT);
	expect_str(purge_picture(&one), "....");
	unpin_pages(two.area, 0, 1);
	expect_str(purge_picture(&one), "....");
	unpin_pages(two.area, 2, 1);
	expect_str(purge_picture(&one), "PP..");
	expect_str(purge_picture(&two), "....");
	budget_set(ashmem_budget_process(), 1, NO_LIMIT);
	expect_str(purge_picture(&two), "P...");
	ashmem_budget_close(ashmem_budget_process());
	view_drop(&one);
	view_drop(&two);
}

CONTRACT_TEST(budget, a_group_and_the_process_both_bind)
{
	struct ashmem_budget *group = budget_of(2, NO_LIMIT);
	struct view inside, outside;

	NEEDS_COUNTS();
	inside = full_view(4);
	outside = full_view(4);
	expect_eq(ashmem_budget_add(group, inside.area), 0);
	budget_set(ashmem_budget_process(), 3, NO_LIMIT);
	unpin_pages(outside.area, 0, 1);
	unpin_pages(inside.area, 0, 1);
	unpin_pages(inside.area, 2, 1);
	/* The group's own excess goes first, and then the process is within. */
	unpin_pages(inside.area, 3, 1);
	expect_str(purge_picture(&inside), "P...");
	expect_str(purge_picture(&outside), "....");
	unpin_pages(outside.area, 2, 1);
	expect_str(purge_picture(&inside), "P...");
	expect_str(purge_picture(&outside), "P...");
	ashmem_budget_close(ashmem_budget_process());
	ashmem_budget_close(group);
	view_drop(&inside);
	view_drop(&outside);
}

CONTRACT_TEST(budget, adding_and_new_limits_purge_at_once)
{
	struct ashmem_budget *group = budget_of(2, NO_LIMIT);
	NEEDS_COUNTS();
	struct view view = full_view(6);
	for (uint64_t page = 0; page < 4; page++)
		unpin_pages(view.area, page, 1);
	expect_str(purge_picture(&view), "......");
	expect_eq(ashmem_budget_add(group, view.area), 0);
	expect_str(purge_picture(&view), "PP....");
	budget_set(group, 1, NO_LIMIT);
	expect_str(purge_picture(&view), "PPP...");
	expect_eq(ashmem_budget_remove(group, view.area), 0);
	unpin_pages(view.area, 4, 2);
	expect_str(purge_picture(&view), "PPP...");
	view_drop(&view);
	ashmem_budget_close(group);
}

CONTRACT_TEST(budget, closing_it_lets_its_areas_go)
{
	struct ashmem_budget *group = budget_of(1, NO_LIMIT),
			     *other = budget_of(NO_LIMIT, NO_LIMIT);
	NEEDS_COUNTS();
	struct view view = full_view(6);
	expect_eq(ashmem_budget_add(group, view.area), 0);
	ashmem_budget_close(group);
	unpin_pages(view.area, 0, 2);
	unpin_pages(view.area, 4, 2);
	expect_str(purge_picture(&view), "......");
	expect_eq(ashmem_budget_add(other, view.area), 0);
	expect_usage(other, 4, 6);
	view_drop(&view);
	ashmem_budget_close(other);
}

/* -- the limit on all memory -- */

CONTRACT_TEST(budget, filling_another_area_purges_what_is_over)
{
	struct ashmem_budget *process = ashmem_budget_process();
	struct view one, two;

	NEEDS_COUNTS();
	budget_set(process, NO_LIMIT, 10);
	one = full_view(6);
	for (uint64_t page = 0; page < 6; page++)
		unpin_pages(one.area, page, 1);
	expect_str(purge_picture(&one), "......");
	two = view_make(7);
	pin_pages(two.area, 0, 7);
	expect_str(purge_picture(&one), "......"); /* nothing in it takes memory */
	fill_pages(&two, 0, 7, 'b');
	pin_pages(two.area, 0, 7);
	expect_str(purge_picture(&one), "PPP...");
	expect_usage(process, 3, 10);
	view_drop(&two);
	expect_usage(process, 3, 3);
	ashmem_budget_close(process);
	view_drop(&one);
}

CONTRACT_TEST(budget, pages_without_memory_purge_nothing)
{
	struct ashmem_budget *process = ashmem_budget_process();
	struct ashmem_budget *group;
	struct view arena;

	NEEDS_COUNTS();
	budget_set(process, NO_LIMIT, 100);
	group = budget_of(NO_LIMIT, 100);
	arena = view_make(5000);
	expect_eq(ashmem_budget_add(group, arena.area), 0);
	for (uint64_t page = 0; page < 60; page++) {
		fill_pages(&arena, page, 1, 'a');
		unpin_pages(arena.area, page, 1);
	}
	for (uint64_t page = 0; page < 60; page++)
		expect_eq(pin_pages(arena.area, page, 1), ASHMEM_NOT_PURGED);
	expect_usage(group, 0, 5000);
	expect_eq(budget_usage(group).over_bytes, 0);
	unpin_pages(arena.area, 0, 10);
	/* What is pinned has memory now. */
	fill_pages(&arena, 60, 100, 'b');
	unpin_pages(arena.area, 10, 10);
	expect_eq(pin_pages(arena.area, 0, 10), ASHMEM_WAS_PURGED);
	expect_eq(pin_pages(arena.area, 10, 10), ASHMEM_WAS_PURGED);
	expect(budget_usage(group).over_bytes >= 40 * page_bytes());
	view_drop(&arena);
	ashmem_budget_close(group);
	budget_set(process, NO_LIMIT, NO_LIMIT);
}

CONTRACT_TEST(budget, pinning_what_was_purged_counts_again)
{
	struct ashmem_budget *group = budget_of(NO_LIMIT, 4);
	NEEDS_COUNTS();
	struct view view = full_view(6);
	unpin_pages(view.area, 0, 2);
	unpin_pages(view.area, 3, 1);
	unpin_pages(view.area, 5, 1);
	expect_eq(ashmem_budget_add(group, view.area), 0);
	expect_str(purge_picture(&view), "PP....");
	expect_usage(group, 2, 4);
	expect_eq(pin_pages(view.area, 1, 1), ASHMEM_WAS_PURGED);
	fill_pages(&view, 1, 1, 0x11);
	expect_eq(pin_pages(view.area, 1, 1), ASHMEM_NOT_PURGED); /* a call after it was filled */
	expect_str(purge_picture(&view), "P..P..");
	expect_usage(group, 1, 4);
	view_drop(&view);
	ashmem_budget_close(group);
}

CONTRACT_TEST(budget, what_is_pinned_stays_and_is_told)
{
	struct ashmem_budget *group = budget_of(NO_LIMIT, 4);
	NEEDS_COUNTS();
	struct view view = full_view(8);
	expect_eq(ashmem_budget_add(group, view.area), 0);
	expect_eq(budget_usage(group).over_bytes, 4 * page_bytes());
	unpin_pages(view.area, 0, 1);
	expect_str(purge_picture(&view), "P.......");
	expect_eq(budget_usage(group).over_bytes, 3 * page_bytes());
	unpin_pages(view.area, 1, 5);
	expect_str(purge_picture(&view), "PPPPPP..");
	expect_eq(budget_usage(group).over_bytes, 0);
	view_drop(&view);
	ashmem_budget_close(group);
}

CONTRACT_TEST(budget, refusing_what_does_not_fit)
{
	struct ashmem_budget_options options;
	struct ashmem_budget *group;
	struct ashmem_area *small, *large;
	struct view view;
	void *addr = NULL;
	int ends[2];

	NEEDS_COUNTS();
	options = budget_limits(NO_LIMIT, 10);
	options.flags = ASHMEM_BUDGET_REFUSE;
	expect_eq(ashmem_budget_create(&options, &group), 0);
	view = full_view(6);
	unpin_pages(view.area, 0, 2);
	large = area_of_pages(7);
	small = area_of_pages(6);
	expect_eq(ashmem_budget_add(group, view.area), 0);
	expect_eq(ashmem_budget_add(group, large), 0);
	expect_eq(ashmem_budget_add(group, small), 0);

	make_socket_pair(ends);
	expect_eq(ashmem_map(large, 0, page_bytes(), PROT_READ, MAP_SHARED, &addr), -EDQUOT);
	expect_eq(ashmem_fd(large), -EDQUOT);
	expect_eq(ashmem_export_read_only(large), -EDQUOT);
	expect_eq(ashmem_send(ends[0], large), -EDQUOT);
	expect(addr == NULL);
	expect_eq(ashmem_set_size(large, 1), 0); /* nothing has changed */
	expect_str(purge_picture(&view), "......");

	/* This fits beside what is pinned; the rest makes room. */
	expect_eq(ashmem_map(small, 0, 6 * page_bytes(), PROT_READ | PROT_WRITE, MAP_SHARED, &addr),
		0);
	memset(addr, 1, 6 * page_bytes());
	expect_eq(pin_pages(small, 0, 6), ASHMEM_NOT_PURGED);
	expect_str(purge_picture(&view), "PP....");
	expect_usage(group, 0, 10);
	expect_eq(ashmem_map(large, 0, page_bytes(), PROT_READ, MAP_SHARED, &addr), -EDQUOT);
	/* Pins are never refused. */
	expect_eq(pin_pages(view.area, 0, 2), ASHMEM_WAS_PURGED);
	fill_pages(&view, 0, 2, 0x11);
	expect(budget_usage(group).over_bytes >= 2 * page_bytes());
	close(ends[0]);
	close(ends[1]);
	ashmem_close(small);
	ashmem_close(large);
	view_drop(&view);
	ashmem_budget_close(group);
}

CONTRACT_TEST(budget, a_map_that_fails_is_not_counted)
{
	struct ashmem_budget_options options = budget_limits(NO_LIMIT, 10);
	struct ashmem_area *area;
	void *addr = NULL;

	NEEDS_COUNTS();
	options.flags = ASHMEM_BUDGET_REFUSE;
	expect_eq(ashmem_budget_set_limits(ashmem_budget_process(), &options), 0);
	area = area_of_pages(10);
	/* Shared memory cannot do this: mmap(2). */
	expect(ashmem_map(area, 0, page_bytes(), PROT_READ, MAP_SHARED_VALIDATE | MAP_SYNC, &addr) <
		0);
	expect_usage(ashmem_budget_process(), 0, 0);
	ashmem_close(area);
	area = area_of_pages(10);
	expect_eq(ashmem_map(area, 0, page_bytes(), PROT_READ, MAP_SHARED, &addr), 0);
	expect_usage(ashmem_budget_process(), 0, 10);
	ashmem_close(area);
	ashmem_budget_close(ashmem_budget_process());
}

CONTRACT_TEST(budget, releasing_a_hold_counts)
{
	struct ashmem_budget *group = budget_of(2, NO_LIMIT);
	NEEDS_COUNTS();
	struct view view = full_view(6);
	expect_eq(ashmem_budget_add(group, view.area), 0);
	unpin_pages(view.area, 0, 1);
	unpin_pages(view.area, 2, 1);
	expect_eq(ashmem_hold(view.area, 0, page_bytes()), ASHMEM_NOT_PURGED);
	unpin_pages(view.area, 4, 1); /* the oldest is held: the next in age goes */
	expect_str(purge_picture(&view), "..P...");
	expect_eq(ashmem_hold(view.area, 2 * page_bytes(), page_bytes()), ASHMEM_WAS_PURGED);
	memset(view.base + 2 * page_bytes(), 0x11, page_bytes());
	expect_eq(ashmem_release(view.area, 2 * page_bytes(), page_bytes(), 0), 0);
	expect_str(purge_picture(&view), "....P.");
	expect_eq(ashmem_release(view.area, 0, page_bytes(), 0), 0);
	expect_usage(group, 2, 5);
	view_drop(&view);
	ashmem_budget_close(group);
}
