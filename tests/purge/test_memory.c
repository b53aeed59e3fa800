/* SPDX-License-Identifier: MIT */
/*
 * D8: a shrink frees memory. What holds none is passed over, at no cost after the first look; a
 * long range goes in part. And ashmem_purge(), of exactly some pages.
 */
#define _GNU_SOURCE 1
#include "support/areas.h"
#include "support/children.h"
#include "support/contract.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define NEEDS_SHRINK() skip_on_kernel("the driver purges by itself alone")

/* In place of libc's: how often the library looks for data. */
static uint64_t looks;

off_t lseek(int fd, off_t offset, int whence)
{
	looks += whence == SEEK_DATA;
#ifdef SYS__llseek /* where a long has 32 bits */
	long long result;
	int r = (int)syscall(SYS__llseek, fd, (unsigned long)((uint64_t)offset >> 32),
		(unsigned long)offset, &result, whence);
	return r < 0 ? r : (off_t)result;
#else
	return syscall(SYS_lseek, fd, offset, whence);
#endif
}

static void unpin_holes(struct ashmem_area *area, uint64_t first, uint64_t count)
{
	expect_eq(ashmem_unpin(area, first * page_bytes(), count * page_bytes()), 0);
}

static uint64_t file_pages(struct ashmem_area *area)
{
	struct stat status;

	expect_eq(fstat(ashmem_fd(area), &status), 0);
	return (uint64_t)status.st_blocks * 512 / page_bytes();
}

static int64_t purge_pages(struct ashmem_area *area, uint64_t first, uint64_t count)
{
	return ashmem_purge(area, first * page_bytes(), count * page_bytes());
}

CONTRACT_TEST(memory, d8_what_was_never_written_is_passed_over)
{
	NEEDS_SHRINK();
	struct view view = view_make(2000);
	fill_pages(&view, 1900, 100, 0x11);
	unpin_holes(view.area, 0, 1900);
	unpin_pages(view.area, 1900, 100);
	uint64_t before = file_pages(view.area);
	expect_eq(ashmem_shrink_count(), 2000); /* an upper bound */
	expect_eq(ashmem_shrink(60), 100);
	expect_eq(file_pages(view.area), before - 100);
	expect_eq(ashmem_shrink_count(), 0);
	expect_eq(pin_pages(view.area, 0, 1900), ASHMEM_NOT_PURGED);
	expect_eq(pin_pages(view.area, 1900, 100), ASHMEM_WAS_PURGED);
	view_drop(&view);
}

CONTRACT_TEST(memory, d8_what_was_purged_and_unpinned_empty_is_passed_over)
{
	NEEDS_SHRINK();
	struct view view = full_view(100);
	unpin_pages(view.area, 0, 90);
	expect_eq(ashmem_shrink(90), 90);
	expect_eq(pin_pages(view.area, 0, 90), ASHMEM_WAS_PURGED);
	unpin_holes(view.area, 0, 90);
	unpin_pages(view.area, 90, 10);
	expect_eq(ashmem_shrink(5), 10);
	expect_eq(pin_pages(view.area, 0, 90), ASHMEM_NOT_PURGED);
	view_drop(&view);
}

CONTRACT_TEST(memory, d8_a_sparse_range_counts_by_its_memory)
{
	NEEDS_SHRINK();
	struct view view = view_make(100000);
	uint64_t page;

	for (page = 0; page < 100000; page += 1000)
		fill_pages(&view, page, 1, 0x11);
	unpin_holes(view.area, 0, 100000);
	uint64_t before = file_pages(view.area);
	expect_eq(ashmem_shrink(40), 40);
	expect(file_pages(view.area) <= before - 40 + 4); /* a page of bits for 32,768 */
	expect_eq(ashmem_shrink(100000), 60);
	expect(file_pages(view.area) <= before - 100 + 4);
	expect_eq(ashmem_shrink(1), 0);
	expect_eq(pin_pages(view.area, 99998, 1), ASHMEM_WAS_PURGED);
	view_drop(&view);
}

CONTRACT_TEST(memory, d8_allocated_pages_that_were_never_written_go_too)
{
	NEEDS_SHRINK();
	struct view view = view_make(3000);
	uint64_t before = file_pages(view.area);

	if (fallocate(ashmem_fd(view.area), 0, 0, (off_t)(2000 * page_bytes())) < 0)
		contract_skip("no fallocate here");
	unpin_holes(view.area, 0, 3000);
	expect(ashmem_shrink(1) >= 1);
	expect(file_pages(view.area) <= before + 1); /* with the state of the first unpin */
	expect_eq(pin_pages(view.area, 0, 3000), ASHMEM_WAS_PURGED);
	view_drop(&view);
}

CONTRACT_TEST(memory, d8_an_empty_range_costs_nothing_after_the_first_look)
{
	NEEDS_SHRINK();
	/* A TiB, where that much can be counted. */
	uint64_t pages = sizeof(void *) == 8 ? (UINT64_C(1) << 40) / page_bytes() : 100000;
	struct ashmem_area *area = area_of_pages(pages);

	expect(ashmem_fd(area) >= 0);
	unpin_holes(area, 0, pages);
	uint64_t before = file_pages(area);
	looks = 0;
	expect_eq(ashmem_shrink(256), 0);
	expect(looks > 0 && looks <= 4);
	looks = 0;
	expect_eq(ashmem_shrink(256), 0);
	expect_eq(looks, 0);
	expect_eq(file_pages(area), before); /* and no bitmap */
	expect_eq(pin_pages(area, 0, 0), ASHMEM_NOT_PURGED);
	ashmem_close(area);
}

CONTRACT_TEST(memory, d8_many_empty_ranges_are_looked_at_once)
{
	enum { RANGES = 1000 };
	NEEDS_SHRINK();
	struct view view = view_make(2 * RANGES + 1);

	for (uint64_t i = 0; i < RANGES; i++)
		unpin_holes(view.area, 2 * i, 1);
	fill_pages(&view, 2 * RANGES, 1, 0x11);
	unpin_pages(view.area, 2 * RANGES, 1);
	expect_eq(ashmem_shrink(1), 1);
	expect_eq(ashmem_shrink(1), 0); /* the last look */
	fill_pages(&view, 1, 1, 0x11);
	unpin_pages(view.area, 1, 1);
	looks = 0;
	expect_eq(ashmem_shrink(1), 1);
	expect(looks <= 2);
	view_drop(&view);
}

/* As the driver does it. */
CONTRACT_TEST(memory, d8_purge_all_marks_and_counts_what_holds_none)
{
	NEEDS_SHRINK();
	struct view view = view_make(3000);

	fill_pages(&view, 10, 10, 0x11);
	unpin_holes(view.area, 0, 2000);
	unpin_holes(view.area, 2500, 500);
	expect_eq(ashmem_shrink(100), 10);
	expect_eq(purge_everything(), 500);
	expect_eq(pin_pages(view.area, 2500, 1), ASHMEM_WAS_PURGED);
	expect_eq(purge_everything(), 0);
	view_drop(&view);
}

CONTRACT_TEST(memory, d8_parts_and_merges_of_empty_ranges_are_right)
{
	NEEDS_SHRINK();
	struct view view = view_make(30);

	unpin_holes(view.area, 0, 20);
	expect_eq(ashmem_shrink(1), 0);
	/* The parts that a pin leaves hold nothing either. */
	expect_eq(pin_pages(view.area, 5, 5), ASHMEM_NOT_PURGED);
	expect_eq(ashmem_shrink_count(), 0);
	/* What is merged counts until it is looked at. */
	fill_pages(&view, 5, 5, 0x11);
	unpin_pages(view.area, 4, 7);
	expect_eq(ashmem_shrink_count(), 20);
	expect_eq(ashmem_shrink(1), 5);
	expect_eq(pin_pages(view.area, 0, 30), ASHMEM_WAS_PURGED);
	view_drop(&view);
}

/* A process that writes to unpinned pages, or reads a hole, gives memory to what holds none. */
CONTRACT_TEST(memory, d8_memory_that_came_back_is_found_when_all_else_is_gone)
{
	NEEDS_SHRINK();
	struct view view = full_view(100);

	unpin_pages(view.area, 0, 40);
	unpin_pages(view.area, 50, 10);
	expect_eq(ashmem_shrink(100), 50);
	expect(pages_hold(&view, 0, 40, 0)); /* looked at through the mapping */
	unpin_pages(view.area, 60, 10);
	expect_eq(ashmem_shrink(10), 10); /* in its turn, as long as there is something */
	expect_eq(ashmem_shrink(100), 40);
	expect_eq(ashmem_shrink(100), 0);
	expect_eq(pin_pages(view.area, 0, 40), ASHMEM_WAS_PURGED);
	view_drop(&view);
}

CONTRACT_TEST(memory, a_budget_keeps_what_fits_beside_empty_ranges)
{
	struct ashmem_budget_options limits = {.struct_size = sizeof(limits)};
	struct ashmem_budget *budget;

	NEEDS_SHRINK();
	struct view view = view_make(1000);
	limits.unpinned_bytes = 100 * page_bytes();
	expect_eq(ashmem_budget_create(&limits, &budget), 0);
	expect_eq(ashmem_budget_add(budget, view.area), 0);
	fill_pages(&view, 900, 100, 0x11);
	unpin_holes(view.area, 0, 80); /* the oldest, and empty */
	unpin_pages(view.area, 900, 50);
	unpin_pages(view.area, 950, 50);
	expect_eq(pin_pages(view.area, 900, 100), ASHMEM_NOT_PURGED);
	ashmem_budget_close(budget);
	view_drop(&view);
}

/* -- exactly these pages -- */

CONTRACT_TEST(purge_of_pages, frees_what_was_asked_for_and_nothing_else)
{
	NEEDS_SHRINK();
	struct view view = full_view(20);

	unpin_pages(view.area, 2, 16);
	expect_eq(purge_pages(view.area, 5, 5), 5);
	expect_str(purge_picture(&view), ".....PPPPP..........");
	expect_eq(ashmem_shrink_count(), 11);
	expect_eq(pin_pages(view.area, 2, 3), ASHMEM_NOT_PURGED);
	expect_eq(pin_pages(view.area, 10, 8), ASHMEM_NOT_PURGED);
	expect_eq(pin_pages(view.area, 5, 5), ASHMEM_WAS_PURGED);
	view_drop(&view);
}

CONTRACT_TEST(purge_of_pages, parts_keep_age_and_priority)
{
	NEEDS_SHRINK();
	struct view view = full_view(20);

	unpin_pages(view.area, 0, 6); /* the oldest */
	unpin_pages(view.area, 10, 2);
	expect_eq(purge_pages(view.area, 2, 2), 2);
	expect_eq(ashmem_shrink(4), 4);
	expect_str(purge_picture(&view), "PPPPPP..............");
	view_drop(&view);
}

CONTRACT_TEST(purge_of_pages, pinned_and_held_pages_stay)
{
	NEEDS_SHRINK();
	struct view view = full_view(20);

	unpin_pages(view.area, 0, 8);
	unpin_pages(view.area, 12, 8);
	expect_eq(ashmem_hold(view.area, 3 * page_bytes(), 2 * page_bytes()), ASHMEM_NOT_PURGED);
	expect_eq(ashmem_hold(view.area, 14 * page_bytes(), page_bytes()), ASHMEM_NOT_PURGED);
	expect_eq(purge_pages(view.area, 0, 0), 13);
	expect_str(purge_picture(&view), "PPP..PPP....PP.PPPPP");
	expect_eq(purge_pages(view.area, 0, 0), 0);
	expect_eq(ashmem_release(view.area, 3 * page_bytes(), 2 * page_bytes(),
			  ASHMEM_RELEASE_LOST),
		0);
	expect_eq(purge_pages(view.area, 0, 0), 2);
	expect_eq(pin_pages(view.area, 14, 1), ASHMEM_NOT_PURGED);
	view_drop(&view);
}

CONTRACT_TEST(purge_of_pages, many_ranges_and_long_ones_go)
{
	enum { PAGES = 4000 };
	NEEDS_SHRINK();
	struct view view = full_view(PAGES);

	for (uint64_t page = 0; page < 1000; page += 2)
		unpin_pages(view.area, page, 1);
	unpin_pages(view.area, 1000, 3000);
	expect_eq(purge_pages(view.area, 1, PAGES - 2), 499 + 2999);
	expect_eq(first_byte(&view, 0), 0x11);
	expect_eq(first_byte(&view, 2), 0);
	expect_eq(first_byte(&view, PAGES - 1), 0x11);
	expect_eq(ashmem_shrink(PAGES), 2);
	view_drop(&view);
}

static uint64_t told_pages;

static void be_told(void *userdata, struct ashmem_area *area, uint64_t offset, uint64_t length)
{
	(void)userdata, (void)area, (void)offset;
	told_pages += length / page_bytes();
}

CONTRACT_TEST(purge_of_pages, subscribers_are_told)
{
	NEEDS_SHRINK();
	struct view view = full_view(1000);
	int id = ashmem_purge_subscribe(be_told, NULL);

	expect(id > 0);
	for (uint64_t page = 0; page < 1000; page += 2)
		unpin_pages(view.area, page, 1);
	told_pages = 0;
	expect_eq(purge_pages(view.area, 0, 0), 500);
	expect_eq(told_pages, 500);
	expect_eq(ashmem_purge_unsubscribe(id), 0);
	view_drop(&view);
}

static void purge_in_child(void *argument)
{
	struct view *view = argument;

	expect_eq(purge_pages(view->area, 1, 1), 1);
}

CONTRACT_TEST(purge_of_pages, other_processes_see_it)
{
	NEEDS_SHRINK();
	struct view view = full_view(3);

	unpin_pages(view.area, 0, 3);
	run_child(purge_in_child, &view);
	expect_str(purge_picture(&view), ".P.");
	expect_eq(pin_pages(view.area, 0, 3), ASHMEM_WAS_PURGED);
	view_drop(&view);
}

CONTRACT_TEST(purge_of_pages, wrong_arguments_change_nothing)
{
	NEEDS_SHRINK();
	struct view view = full_view(4);
	struct ashmem_area *newborn = area_of_pages(4);
	int fd = ashmem_export_read_only(view.area);

	unpin_pages(view.area, 0, 4);
	expect_eq(ashmem_purge(NULL, 0, 0), -EINVAL);
	expect_eq(ashmem_purge(newborn, 0, 0), -EINVAL);
	expect_eq(ashmem_purge(view.area, 1, page_bytes()), -EINVAL);
	expect_eq(ashmem_purge(view.area, 0, 5 * page_bytes()), -EINVAL);
	expect_eq(ashmem_purge(view.area, 4 * page_bytes(), 0), 0); /* D2 */
	expect_str(purge_picture(&view), "....");
	if (fd >= 0)
		close(fd);
	ashmem_close(newborn);
	view_drop(&view);
}

CONTRACT_TEST(purge_of_pages, the_driver_cannot)
{
	if (!backend_is_kernel())
		contract_skip("for the kernel backend");
	struct ashmem_area *area = area_of_pages(1);
	expect_eq(ashmem_purge(area, 0, 0), -ENOTSUP);
	ashmem_close(area);
}
