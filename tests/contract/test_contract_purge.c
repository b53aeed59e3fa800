/* SPDX-License-Identifier: MIT */
/*
 * Contract, rules 14 to 16: what a purge does to contents and marks, purge_all and its count, and
 * that a pin never returns into a purge. Order and partial shrinks, which only the library's own
 * purging offers, are in test_lru.c.
 */
#define _GNU_SOURCE 1
#include "support/areas.h"
#include "support/children.h"
#include "support/contract.h"

#include <errno.h>
#include <linux/capability.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Rule 14 */

CONTRACT_TEST(purge, purged_pages_read_as_zeroes)
{
	struct view view = view_make(4);

	fill_pages(&view, 0, 4, 0xab);
	unpin_pages(view.area, 1, 2);
	expect_eq(purge_everything(), 2);
	expect(pages_hold(&view, 1, 2, 0));
	view_drop(&view);
}

CONTRACT_TEST(purge, pinned_neighbours_are_left_alone)
{
	struct view view = view_make(4);

	fill_pages(&view, 0, 4, 0xab);
	unpin_pages(view.area, 1, 2);
	expect_eq(purge_everything(), 2);
	expect(pages_hold(&view, 0, 1, 0xab));
	expect(pages_hold(&view, 3, 1, 0xab));
	view_drop(&view);
}

CONTRACT_TEST(purge, purge_shows_through_every_mapping)
{
	struct view view = view_make(2);
	struct view second = view_of(view.area);

	fill_pages(&view, 0, 2, 5);
	expect(pages_hold(&second, 0, 2, 5));
	unpin_pages(view.area, 0, 1);
	expect_eq(purge_everything(), 1);
	expect(pages_hold(&second, 0, 1, 0));
	expect(pages_hold(&second, 1, 1, 5));
	expect_eq(ashmem_unmap(second.base, 2 * page_bytes()), 0);
	view_drop(&view);
}

struct two_sides {
	struct view view;
	struct gate purged;
	struct gate ready;
};

static void expect_purged_pages_in_child(void *argument)
{
	struct two_sides *sides = argument;

	expect(pages_hold(&sides->view, 0, 2, 6));
	gate_open(&sides->ready);
	gate_wait(&sides->purged);
	expect(pages_hold(&sides->view, 0, 2, 0));
	expect_eq(pin_pages(sides->view.area, 0, 1), ASHMEM_WAS_PURGED);
}

CONTRACT_TEST(purge, purge_shows_in_every_process)
{
	struct two_sides sides = {.view = view_make(2)};
	pid_t child;

	gate_make(&sides.purged);
	gate_make(&sides.ready);
	fill_pages(&sides.view, 0, 2, 6);
	child = child_start(expect_purged_pages_in_child, &sides);
	gate_wait(&sides.ready);
	unpin_pages(sides.view.area, 0, 2);
	expect_eq(purge_everything(), 2);
	gate_open(&sides.purged);
	child_join(child);
	expect_eq(pin_pages(sides.view.area, 0, 1), ASHMEM_NOT_PURGED);
	expect_eq(pin_pages(sides.view.area, 1, 1), ASHMEM_WAS_PURGED);
	view_drop(&sides.view);
}

CONTRACT_TEST(purge, purged_range_is_not_purged_again)
{
	struct view view = view_make(3);

	unpin_pages(view.area, 0, 2);
	expect_eq(purge_everything(), 2);
	expect_eq(purge_everything(), 0);
	fill_pages(&view, 0, 1,
		8); /* writing to unpinned pages is unwise, but not a reason to purge them */
	expect_eq(purge_everything(), 0);
	expect(pages_hold(&view, 0, 1, 8));
	view_drop(&view);
}

CONTRACT_TEST(purge, pages_can_be_used_again_after_a_purge)
{
	struct view view = view_make(2);

	unpin_pages(view.area, 0, 2);
	expect_eq(purge_everything(), 2);
	expect_eq(pin_pages(view.area, 0, 2), ASHMEM_WAS_PURGED);
	fill_pages(&view, 0, 2, 0x21);
	expect_eq(purge_everything(), 0);
	expect(pages_hold(&view, 0, 2, 0x21));
	unpin_pages(view.area, 0, 2);
	expect_eq(purge_everything(), 2);
	expect(pages_hold(&view, 0, 2, 0));
	view_drop(&view);
}

CONTRACT_TEST(purge, untouched_pages_can_be_purged)
{
	struct view view = view_make(3);

	unpin_pages(view.area, 0, 3);
	expect_eq(purge_everything(), 3);
	expect_eq(pin_pages(view.area, 0, 3), ASHMEM_WAS_PURGED);
	view_drop(&view);
}

CONTRACT_TEST(purge, area_without_mapping_is_purged)
{
	struct view view = view_make(3);
	char byte = 1;

	fill_pages(&view, 0, 3, 4);
	expect_eq(ashmem_unmap(view.base, 3 * page_bytes()), 0);
	unpin_pages(view.area, 0, 3);
	expect_eq(purge_everything(), 3);
	expect_eq(ashmem_pread(view.area, &byte, 1, page_bytes()), 1);
	expect_eq(byte, 0);
	ashmem_close(view.area);
}

/* Rule 15 */

CONTRACT_TEST(purge, purge_all_returns_the_pages_that_were_purgeable)
{
	struct view one = view_make(8);
	struct view two = view_make(8);

	expect_eq(purge_everything(), 0);
	unpin_pages(one.area, 0, 3);
	unpin_pages(one.area, 5, 1);
	unpin_pages(two.area, 2, 6);
	expect_eq(purge_everything(), 10);
	expect_eq(purge_everything(), 0);
	expect_eq(pin_pages(one.area, 0, 0), ASHMEM_WAS_PURGED);
	expect_eq(pin_pages(two.area, 0, 0), ASHMEM_WAS_PURGED);
	view_drop(&one);
	view_drop(&two);
}

CONTRACT_TEST(purge, purge_all_does_not_count_what_was_pinned_again)
{
	struct view view = view_make(8);

	unpin_pages(view.area, 0, 8);
	expect_eq(pin_pages(view.area, 2, 3), ASHMEM_NOT_PURGED);
	expect_eq(purge_everything(), 5);
	view_drop(&view);
}

CONTRACT_TEST(purge, purge_all_does_not_see_what_only_pinned_areas_hold)
{
	struct view view = view_make(8);

	fill_pages(&view, 0, 8, 1);
	expect_eq(purge_everything(), 0);
	expect(pages_hold(&view, 0, 8, 1));
	view_drop(&view);
}

static int drop_all_capabilities(void)
{
	struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
	struct __user_cap_data_struct none[2] = {{0, 0, 0}, {0, 0, 0}};

	return (int)syscall(SYS_capset, &header, none);
}

static void purge_without_privilege(void *argument)
{
	struct view *view = argument;

	expect_eq(drop_all_capabilities(), 0);
	unpin_pages(view->area, 0, 2);
	if (backend_is_kernel()) {
		expect_eq(ashmem_purge_all(), -EPERM);
		expect(pages_hold(view, 0, 2, 3));
		expect_eq(pin_pages(view->area, 0, 2), ASHMEM_NOT_PURGED);
	} else {
		expect_eq(ashmem_purge_all(), 2);
		expect_eq(pin_pages(view->area, 0, 2), ASHMEM_WAS_PURGED);
	}
}

CONTRACT_TEST(purge, purge_all_needs_privilege_only_with_the_driver)
{
	struct view view = view_make(2);

	fill_pages(&view, 0, 2, 3);
	run_child(purge_without_privilege, &view);
	view_drop(&view);
}

/* Rule 16 */

enum { ROUNDS = 4000, RACE_PAGES = 16 };

struct race {
	struct view view;
	volatile int *stop;
};

static void purge_until_stopped(void *argument)
{
	struct race *race = argument;

	while (!*race->stop)
		expect(ashmem_purge_all() >= 0);
}

/* Whatever the purger does: NOT_PURGED means intact, and pinned pages stay as they are written. */
static void pin_and_check(struct race *race, int round)
{
	uint64_t first = (uint64_t)round % (RACE_PAGES / 2);
	uint64_t count = 1 + (uint64_t)round % (RACE_PAGES / 2);
	int mark = 1 + round % 250;
	int result;

	fill_pages(&race->view, first, count, mark);
	unpin_pages(race->view.area, first, count);
	result = pin_pages(race->view.area, first, count);
	expect(result == ASHMEM_NOT_PURGED || result == ASHMEM_WAS_PURGED);
	if (result == ASHMEM_NOT_PURGED)
		expect(pages_hold(&race->view, first, count, mark));
	fill_pages(&race->view, first, count, mark + 1);
	sched_yield();
	expect(pages_hold(&race->view, first, count, mark + 1));
}

CONTRACT_TEST(purge, pin_never_returns_into_a_purge)
{
	struct race race = {view_make(RACE_PAGES), shared_memory(page_bytes())};
	pid_t purger = child_start(purge_until_stopped, &race);
	int round;

	for (round = 0; round < ROUNDS; round++)
		pin_and_check(&race, round);
	*race.stop = 1;
	child_join(purger);
	munmap((void *)race.stop, page_bytes());
	view_drop(&race.view);
}

/* The same with pages that go while nobody looks: the answer must own up to it. */
CONTRACT_TEST(purge, lost_contents_are_never_reported_as_not_purged)
{
	struct race race = {view_make(RACE_PAGES), shared_memory(page_bytes())};
	pid_t purger = child_start(purge_until_stopped, &race);
	int round, result, purged = 0;

	for (round = 0; round < ROUNDS || (purged == 0 && round < 100 * ROUNDS); round++) {
		fill_pages(&race.view, 0, RACE_PAGES, 1);
		unpin_pages(race.view.area, 0, RACE_PAGES);
		if (round % 3 == 0)
			sched_yield();
		result = pin_pages(race.view.area, 4, 4);
		if (result == ASHMEM_NOT_PURGED)
			expect(pages_hold(&race.view, 4, 4, 1));
		purged += result == ASHMEM_WAS_PURGED;
		expect(pin_pages(race.view.area, 0, RACE_PAGES) >= 0);
	}
	*race.stop = 1;
	child_join(purger);
	expect(purged > 0);
	munmap((void *)race.stop, page_bytes());
	view_drop(&race.view);
}
