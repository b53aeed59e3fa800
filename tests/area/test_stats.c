/* SPDX-License-Identifier: MIT */
/*
 * stats.h and ashmem_find_unpinned(): counts of an area and of the process, how the structures
 * grow, walking the range list. The driver tells none of it, which is tested as well.
 */
#define _GNU_SOURCE 1
#include "support/areas.h"
#include "support/children.h"
#include "support/contract.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define NEEDS_COUNTS() skip_on_kernel("the driver tells no counts")

/* Counts of an area */

CONTRACT_TEST(stats, only_the_size_is_counted_before_materialising)
{
	struct ashmem_area *area;
	struct ashmem_area_stats stats;

	NEEDS_COUNTS();
	area = area_of_bytes(2 * page_bytes() + 1);
	stats = stats_of(area);
	expect_eq(stats.size_pages, 3);
	expect_eq(stats.unpinned_ranges + stats.unpinned_pages + stats.evictable_pages, 0);
	expect_eq(stats.purged_pages + stats.pins_found_purged + stats.recoveries, 0);
	expect_eq(ashmem_set_name(area, "counting does not materialise"), 0);
	ashmem_close(area);
}

CONTRACT_TEST(stats, ranges_and_pages_are_counted)
{
	struct ashmem_area_stats stats;

	NEEDS_COUNTS();
	struct view view = view_make(20);
	unpin_pages(view.area, 0, 3);
	unpin_pages(view.area, 3, 2);
	unpin_pages(view.area, 10, 5);
	stats = stats_of(view.area);
	expect_eq(stats.size_pages, 20);
	expect_eq(stats.unpinned_ranges, 3);
	expect_eq(stats.unpinned_pages, 10);
	expect_eq(stats.evictable_pages, 10);
	expect_eq(stats.purged_pages, 0);
	expect_eq(pin_pages(view.area, 12, 1), ASHMEM_NOT_PURGED);
	stats = stats_of(view.area);
	expect_eq(stats.unpinned_ranges, 4);
	expect_eq(stats.unpinned_pages, 9);
	view_drop(&view);
}

CONTRACT_TEST(stats, purges_and_what_pins_found_are_counted)
{
	struct ashmem_area_stats stats;

	NEEDS_COUNTS();
	struct view view = view_make(10);
	unpin_pages(view.area, 0, 4);
	expect_eq(ashmem_purge_all(), 4);
	stats = stats_of(view.area);
	expect_eq(stats.unpinned_ranges, 1);
	expect_eq(stats.unpinned_pages, 4);
	expect_eq(stats.evictable_pages, 0);
	expect_eq(stats.purged_pages, 4);
	expect_eq(stats.pins_found_purged, 0);
	expect_eq(pin_pages(view.area, 1, 1), ASHMEM_WAS_PURGED);
	expect_eq(pin_pages(view.area, 1, 1), ASHMEM_NOT_PURGED);
	expect_eq(pin_pages(view.area, 0, 4), ASHMEM_WAS_PURGED);
	stats = stats_of(view.area);
	expect_eq(stats.pins_found_purged, 2);
	expect_eq(stats.unpinned_ranges, 0);
	expect_eq(stats.purged_pages, 4);
	expect_eq(stats.recoveries, 0);
	view_drop(&view);
}

static void purge_two_and_pin(void *argument)
{
	struct view *view = argument;

	unpin_pages(view->area, 0, 2);
	expect_eq(ashmem_purge_all(), 2);
	expect_eq(pin_pages(view->area, 0, 1), ASHMEM_WAS_PURGED);
}

CONTRACT_TEST(stats, counts_of_an_area_are_those_of_all_processes)
{
	struct ashmem_area_stats stats;

	NEEDS_COUNTS();
	struct view view = view_make(4);
	run_child(purge_two_and_pin, &view);
	stats = stats_of(view.area);
	expect_eq(stats.purged_pages, 2);
	expect_eq(stats.pins_found_purged, 1);
	expect_eq(stats.unpinned_pages, 1);
	view_drop(&view);
}

CONTRACT_TEST(stats, null_and_sizes_that_hold_nothing_are_refused)
{
	struct ashmem_area *area = area_of_pages(1);
	struct ashmem_area_stats stats = {.struct_size = sizeof stats, .size_pages = 77};
	struct ashmem_process_stats process = {.struct_size = 1, .areas = 78};

	expect_eq(ashmem_area_get_stats(NULL, &stats), -EINVAL);
	expect_eq(ashmem_area_get_stats(area, NULL), -EINVAL);
	stats.struct_size = sizeof stats.struct_size - 1;
	expect_eq(ashmem_area_get_stats(area, &stats), -EINVAL);
	stats.struct_size = 0;
	expect_eq(ashmem_area_get_stats(area, &stats), -EINVAL);
	expect_eq(stats.size_pages, 77);
	expect_eq(ashmem_process_get_stats(NULL), -EINVAL);
	expect_eq(ashmem_process_get_stats(&process), -EINVAL);
	expect_eq(process.areas, 78);
	ashmem_close(area);
}

CONTRACT_TEST(stats, smaller_structure_is_filled_only_so_far)
{
	struct ashmem_area *area;
	struct ashmem_area_stats stats = {.unpinned_ranges = 99, .recoveries = 98};
	struct ashmem_process_stats process = {.evictable_pages = 97};

	NEEDS_COUNTS();
	area = area_of_pages(3);
	stats.struct_size = offsetof(struct ashmem_area_stats, unpinned_ranges);
	expect_eq(ashmem_area_get_stats(area, &stats), 0);
	expect_eq(stats.size_pages, 3);
	expect_eq(stats.unpinned_ranges, 99);
	expect_eq(stats.recoveries, 98);
	process.struct_size = offsetof(struct ashmem_process_stats, evictable_pages);
	expect_eq(ashmem_process_get_stats(&process), 0);
	expect_eq(process.areas, 1);
	expect_eq(process.evictable_pages, 97);
	stats.struct_size = sizeof stats.struct_size;
	stats.size_pages = 55;
	expect_eq(ashmem_area_get_stats(area, &stats), 0);
	expect_eq(stats.size_pages, 55);
	ashmem_close(area);
}

CONTRACT_TEST(stats, larger_structure_is_zeroed_at_its_end)
{
	struct {
		struct ashmem_area_stats known;
		unsigned char future[64];
		unsigned char beyond[16];
	} stats;
	struct ashmem_area *area;
	size_t i;

	NEEDS_COUNTS();
	memset(&stats, 0xee, sizeof stats);
	stats.known.struct_size = sizeof stats.known + sizeof stats.future;
	area = area_of_pages(3);
	expect_eq(ashmem_area_get_stats(area, &stats.known), 0);
	expect_eq(stats.known.size_pages, 3);
	for (i = 0; i < sizeof stats.future; i++)
		expect_eq(stats.future[i], 0);
	for (i = 0; i < sizeof stats.beyond; i++)
		expect_eq(stats.beyond[i], 0xee);
	ashmem_close(area);
}

CONTRACT_TEST(stats, driver_tells_no_counts)
{
	struct view view;
	struct ashmem_area_stats stats = {.struct_size = sizeof stats, .size_pages = 77};
	uint64_t offset = 5;

	if (!backend_is_kernel())
		contract_skip("this is about the driver");
	view = view_make(2);
	unpin_pages(view.area, 0, 1);
	expect_eq(ashmem_area_get_stats(view.area, &stats), -ENOTSUP);
	expect_eq(stats.size_pages, 77);
	expect_eq(ashmem_find_unpinned(view.area, 0, &offset, NULL, NULL), -ENOTSUP);
	expect_eq(offset, 5);
	view_drop(&view);
}

/* Counts of the process */

CONTRACT_TEST(stats, areas_held_are_counted_once_each)
{
	struct ashmem_area *one, *two, *again = NULL;
	uint64_t before = process_stats().areas;

	one = area_of_pages(1);
	two = area_of_bytes(0);
	expect_eq(process_stats().areas, before + 2);
	expect_eq(ashmem_import(ashmem_fd(one), &again), 0);
	expect_eq(process_stats().areas, before + 2);
	ashmem_close(one);
	expect_eq(process_stats().areas, before + 2);
	ashmem_close(again);
	ashmem_close(two);
	expect_eq(process_stats().areas, before);
}

CONTRACT_TEST(stats, evictable_and_purged_pages_of_the_process_are_counted)
{
	struct view one, two;
	struct ashmem_process_stats before, now;

	NEEDS_COUNTS();
	before = process_stats();
	one = view_make(4);
	two = view_make(4);
	unpin_pages(one.area, 0, 3);
	unpin_pages(two.area, 0, 2);
	now = process_stats();
	expect_eq(now.evictable_pages, 5);
	expect_eq(now.evictable_pages, ashmem_shrink_count());
	expect_eq(now.purged_pages, before.purged_pages);
	expect_eq(ashmem_shrink(1), 3);
	expect_eq(ashmem_purge_all(), 2);
	now = process_stats();
	expect_eq(now.evictable_pages, 0);
	expect_eq(now.purged_pages, before.purged_pages + 5);
	view_drop(&one);
	view_drop(&two);
}

/* ashmem_find_unpinned() */

struct found {
	int result;
	uint64_t offset_pages, length_pages;
	uint32_t state;
};

static struct found find_from_page(struct ashmem_area *area, uint64_t page)
{
	struct found found = {0, 1000, 1000, 1000};
	uint64_t offset = 1000 * page_bytes(), length = 1000 * page_bytes();

	found.result =
		ashmem_find_unpinned(area, page * page_bytes(), &offset, &length, &found.state);
	found.offset_pages = offset / page_bytes();
	found.length_pages = length / page_bytes();
	return found;
}

static void expect_found(struct ashmem_area *area, uint64_t page, uint64_t first, uint64_t count,
	uint32_t state)
{
	struct found found = find_from_page(area, page);

	expect_eq(found.result, 1);
	expect_eq(found.offset_pages, first);
	expect_eq(found.length_pages, count);
	expect_eq(found.state, state);
}

CONTRACT_TEST(find_unpinned, finds_the_range_that_holds_the_offset_or_the_next)
{
	NEEDS_COUNTS();
	struct view view = view_make(12);
	unpin_pages(view.area, 2, 3);
	unpin_pages(view.area, 8, 2);
	expect_found(view.area, 0, 2, 3, ASHMEM_RANGE_EVICTABLE);
	expect_found(view.area, 2, 2, 3, ASHMEM_RANGE_EVICTABLE);
	expect_found(view.area, 4, 2, 3, ASHMEM_RANGE_EVICTABLE);
	expect_found(view.area, 5, 8, 2, ASHMEM_RANGE_EVICTABLE);
	expect_eq(find_from_page(view.area, 10).result, 0);
	expect_eq(find_from_page(view.area, 12).result, 0);
	expect_eq(find_from_page(view.area, 5000).result, 0);
	view_drop(&view);
}

CONTRACT_TEST(find_unpinned, outputs_are_untouched_if_there_is_none)
{
	struct found found;

	NEEDS_COUNTS();
	struct view view = view_make(3);
	found = find_from_page(view.area, 0);
	expect_eq(found.result, 0);
	expect_eq(found.offset_pages, 1000);
	expect_eq(found.length_pages, 1000);
	expect_eq(found.state, 1000);
	view_drop(&view);
}

CONTRACT_TEST(find_unpinned, state_tells_purged_and_evictable_apart)
{
	NEEDS_COUNTS();
	struct view view = view_make(12);
	unpin_pages(view.area, 0, 2);
	unpin_pages(view.area, 4, 2);
	expect_eq(ashmem_purge_all(), 4);
	unpin_pages(view.area, 5, 2);
	unpin_pages(view.area, 9, 1);
	expect_found(view.area, 0, 0, 2, ASHMEM_RANGE_PURGED);
	expect_found(view.area, 2, 4, 3, ASHMEM_RANGE_PURGED | ASHMEM_RANGE_EVICTABLE);
	expect_found(view.area, 7, 9, 1, ASHMEM_RANGE_EVICTABLE);
	view_drop(&view);
}

CONTRACT_TEST(find_unpinned, offset_needs_no_alignment_and_outputs_may_be_null)
{
	uint64_t length = 0;

	NEEDS_COUNTS();
	struct view view = view_make(6);
	unpin_pages(view.area, 2, 1);
	expect_eq(ashmem_find_unpinned(view.area, 0, NULL, NULL, NULL), 1);
	expect_eq(ashmem_find_unpinned(view.area, 2 * page_bytes() + 5, NULL, &length, NULL), 1);
	expect_eq(length, page_bytes());
	expect_eq(ashmem_find_unpinned(view.area, 3 * page_bytes(), NULL, NULL, NULL), 0);
	expect_eq(ashmem_find_unpinned(view.area, UINT64_MAX, NULL, NULL, NULL), 0);
	view_drop(&view);
}

CONTRACT_TEST(find_unpinned, touching_ranges_are_found_one_by_one)
{
	NEEDS_COUNTS();
	struct view view = view_make(6);
	unpin_pages(view.area, 0, 2);
	unpin_pages(view.area, 2, 2);
	expect_found(view.area, 0, 0, 2, ASHMEM_RANGE_EVICTABLE);
	expect_found(view.area, 2, 2, 2, ASHMEM_RANGE_EVICTABLE);
	expect_eq(find_from_page(view.area, 4).result, 0);
	view_drop(&view);
}
