/* SPDX-License-Identifier: MIT */
/*
 * ashmem_unpin_with(): what goes first, whatever its age, within an area, over areas and over
 * processes; and what becomes of priorities when ranges are merged and split. The driver knows none
 * of it, which is tested as well.
 */
#define _GNU_SOURCE 1
#include "support/areas.h"
#include "support/children.h"
#include "support/contract.h"

#include <errno.h>

#define NEEDS_PRIORITIES() skip_on_kernel("the driver knows no priorities")

enum { FIFO = ASHMEM_ORDER_FIFO, LIFO = ASHMEM_ORDER_LIFO };
enum {
	FIRST = ASHMEM_PRIORITY_FIRST,
	NORMAL = ASHMEM_PRIORITY_NORMAL,
	LAST = ASHMEM_PRIORITY_LAST
};

static void unpin_with(struct ashmem_area *area, uint64_t first, uint64_t count, uint32_t priority,
	uint32_t order)
{
	give_memory(area, first, count);
	expect_eq(ashmem_unpin_with(area, first * page_bytes(), count * page_bytes(), priority,
			  order),
		0);
}

/*
 * Purge range after range; the first page of each in the order of going, as letters: page 0 is "a".
 */
static const char *order_of_going(struct view *view)
{
	static char order[65];
	char gone[64] = "";
	size_t length = 0;

	expect(view->pages < 64);
	fill_pages(view, 0, view->pages, 0x11);
	while (ashmem_shrink(1) > 0) {
		uint64_t page, first = view->pages;

		const char *picture = purge_picture(view);
		for (page = view->pages; page-- > 0;) {
			if (!gone[page] && picture[page] == 'P') {
				gone[page] = 1;
				first = page;
			}
		}
		expect(first < view->pages);
		order[length++] = (char)('a' + first);
	}
	order[length] = '\0';
	return order;
}

CONTRACT_TEST(priorities, lower_goes_first_whatever_its_age)
{
	NEEDS_PRIORITIES();
	struct view view = view_make(8);
	unpin_with(view.area, 0, 1, LAST, FIFO);
	unpin_with(view.area, 1, 1, 5, FIFO);
	unpin_pages(view.area, 2, 1);
	unpin_with(view.area, 3, 1, 1, FIFO);
	unpin_with(view.area, 4, 1, FIRST, FIFO);
	unpin_with(view.area, 5, 1, LAST, FIFO);
	unpin_with(view.area, 6, 1, 1, FIFO);
	expect_str(order_of_going(&view), "edgcbaf");
	view_drop(&view);
}

CONTRACT_TEST(priorities, normal_and_first_in_first_out_is_plain_unpin)
{
	struct view view = view_make(6);

	expect_eq(ashmem_unpin_with(view.area, 0, page_bytes(), NORMAL, FIFO), 0);
	expect_eq(ashmem_get_pin_status(view.area, 0, page_bytes()), ASHMEM_IS_UNPINNED);
	if (!backend_is_kernel()) {
		unpin_pages(view.area, 2, 1);
		unpin_with(view.area, 4, 1, NORMAL, FIFO);
		expect_str(order_of_going(&view), "ace");
	}
	view_drop(&view);
}

CONTRACT_TEST(priorities, last_in_goes_first_and_before_first_in)
{
	NEEDS_PRIORITIES();
	struct view view = view_make(8);
	unpin_with(view.area, 0, 1, 3, LIFO);
	unpin_with(view.area, 1, 1, 3, FIFO);
	unpin_with(view.area, 2, 1, 3, LIFO);
	unpin_with(view.area, 3, 1, 3, FIFO);
	unpin_with(view.area, 4, 1, 3, LIFO);
	unpin_with(view.area, 5, 1, 2, FIFO);
	unpin_with(view.area, 6, 1, 4, LIFO);
	expect_str(order_of_going(&view), "fecabdg");
	view_drop(&view);
}

CONTRACT_TEST(priorities, every_class_has_its_place)
{
	uint32_t i;

	NEEDS_PRIORITIES();
	struct view view = view_make(16);
	/* 5 and 16 have no common divisor: every class once, in mixed order */
	for (i = 0; i < 16; i++)
		unpin_with(view.area, i, 1, i * 5 % 16 / 2, i * 5 % 16 % 2 ? FIFO : LIFO);
	/* class c is page c * 13 mod 16, since 5 * 13 = 65 = 1 mod 16 */
	expect_str(order_of_going(&view), "ankhebolifcpmjgd");
	view_drop(&view);
}

CONTRACT_TEST(priorities, inside_an_unpinned_range_nothing_changes)
{
	NEEDS_PRIORITIES();
	struct view view = view_make(8);
	unpin_with(view.area, 0, 4, LAST, FIFO);
	unpin_pages(view.area, 5, 1);
	unpin_with(view.area, 1, 2, FIRST, FIFO);
	unpin_with(view.area, 0, 4, FIRST, LIFO);
	expect_str(order_of_going(&view), "fa");
	view_drop(&view);
}

CONTRACT_TEST(priorities, merging_gives_the_whole_the_last_one)
{
	NEEDS_PRIORITIES();
	struct view view = view_make(12);
	unpin_with(view.area, 0, 3, LAST, FIFO);
	unpin_pages(view.area, 8, 1);
	unpin_with(view.area, 2, 2, FIRST, FIFO); /* 0 to 3 are the first now */
	unpin_with(view.area, 6, 1, FIRST, FIFO);
	unpin_with(view.area, 6, 2, LAST, FIFO); /* and 6 to 7 the last */
	expect_str(order_of_going(&view), "aig");
	view_drop(&view);
}

CONTRACT_TEST(priorities, parts_that_a_pin_leaves_keep_theirs)
{
	NEEDS_PRIORITIES();
	struct view view = view_make(10);
	unpin_pages(view.area, 8, 1);
	unpin_with(view.area, 0, 5, FIRST, LIFO);
	unpin_with(view.area, 6, 1, FIRST, LIFO);
	expect_eq(pin_pages(view.area, 2, 1), ASHMEM_NOT_PURGED);
	expect_eq(pin_pages(view.area, 6, 1), ASHMEM_NOT_PURGED);
	unpin_pages(view.area, 6, 1);
	fill_pages(&view, 0, 10, 0x11);
	expect_eq(ashmem_shrink(4), 4);
	expect(pages_hold(&view, 5, 4, 0x11));
	expect_eq(pin_pages(view.area, 0, 5), ASHMEM_WAS_PURGED);
	expect_eq(pin_pages(view.area, 5, 5), ASHMEM_NOT_PURGED);
	view_drop(&view);
}

CONTRACT_TEST(priorities, release_makes_young_and_keeps_the_priority)
{
	NEEDS_PRIORITIES();
	struct view view = view_make(8);
	unpin_with(view.area, 0, 1, 2, FIFO);
	unpin_with(view.area, 2, 1, 2, FIFO);
	unpin_with(view.area, 4, 1, 1, LIFO);
	unpin_with(view.area, 6, 1, 1, LIFO);
	expect_eq(ashmem_hold(view.area, 0, 5 * page_bytes()), ASHMEM_NOT_PURGED);
	expect_eq(ashmem_release(view.area, 0, page_bytes(), 0), 0);
	expect_eq(ashmem_release(view.area, 4 * page_bytes(), page_bytes(), 0), 0);
	expect_eq(ashmem_release(view.area, page_bytes(), 3 * page_bytes(), ASHMEM_RELEASE_LOST),
		0);
	expect_str(order_of_going(&view), "egca");
	view_drop(&view);
}

static void unpin_in_child(void *argument)
{
	struct view *views = argument;

	unpin_with(views[0].area, 2, 1, 6, FIFO);
	unpin_with(views[1].area, 2, 1, 1, FIFO);
}

/* Which of two areas' pages are gone, as bits. */
static unsigned gone(const struct view *views)
{
	unsigned bits = 0, i;

	for (i = 0; i < 8; i++)
		bits |= (unsigned)(purge_picture(&views[i / 4])[i % 4] == 'P') << i;
	return bits;
}

CONTRACT_TEST(priorities, order_goes_over_areas_and_processes)
{
	struct view views[2];
	static const unsigned order[] = {0x40, 0x50, 0x51, 0x53, 0x57, 0x77};
	size_t i;

	NEEDS_PRIORITIES();
	for (i = 0; i < 2; i++) {
		views[i] = view_make(4);
		fill_pages(&views[i], 0, 4, 0x11);
	}
	unpin_with(views[0].area, 0, 1, 3, FIFO);    /* 3rd: 0x01 */
	unpin_with(views[1].area, 0, 1, 2, FIFO);    /* 2nd: 0x10 */
	unpin_pages(views[0].area, 1, 1);            /* 4th: 0x02 */
	unpin_with(views[1].area, 1, 1, LAST, LIFO); /* last: 0x20 */
	run_child(unpin_in_child, views);            /* 5th: 0x04; 1st: 0x40 */
	for (i = 0; i < sizeof order / sizeof order[0]; i++) {
		expect_eq(ashmem_shrink(1), 1);
		expect_eq(gone(views), order[i]);
	}
	expect_eq(ashmem_shrink(1), 0);
	for (i = 0; i < 2; i++)
		view_drop(&views[i]);
}

CONTRACT_TEST(priorities, purge_all_takes_every_priority)
{
	uint32_t i;

	NEEDS_PRIORITIES();
	struct view view = view_make(16);
	for (i = 0; i < 16; i++)
		unpin_with(view.area, i, 1, i / 2, i % 2 ? LIFO : FIFO);
	expect_eq(ashmem_purge_all(), 16);
	expect_eq(ashmem_shrink_count(), 0);
	view_drop(&view);
}

CONTRACT_TEST(priorities, arguments_are_checked_and_change_nothing)
{
	struct view view = view_make(4);
	uint64_t page = page_bytes();

	expect_eq(ashmem_unpin_with(NULL, 0, 0, NORMAL, FIFO), -EINVAL);
	expect_eq(ashmem_unpin_with(view.area, 0, page, 8, FIFO), -EINVAL);
	expect_eq(ashmem_unpin_with(view.area, 0, page, UINT32_MAX, FIFO), -EINVAL);
	expect_eq(ashmem_unpin_with(view.area, 0, page, NORMAL, 0), -EINVAL);
	expect_eq(ashmem_unpin_with(view.area, 0, page, NORMAL, FIFO - 1), -EINVAL);
	expect_eq(ashmem_unpin_with(view.area, 0, page, NORMAL, LIFO + 1), -EINVAL);
	/* swapped: */
	for (uint32_t priority = FIRST; priority <= LAST; priority++) {
		expect_eq(ashmem_unpin_with(view.area, 0, page, FIFO, priority), -EINVAL);
		expect_eq(ashmem_unpin_with(view.area, 0, page, LIFO, priority), -EINVAL);
	}
	expect_eq(ashmem_unpin_with(view.area, 0, page, NORMAL, UINT32_MAX), -EINVAL);
	if (!backend_is_kernel()) {
		expect_eq(ashmem_unpin_with(view.area, 1, page, 3, FIFO), -EINVAL);
		expect_eq(ashmem_unpin_with(view.area, 0, 1, 3, FIFO), -EINVAL);
		expect_eq(ashmem_unpin_with(view.area, 0, 5 * page, 3, FIFO), -EINVAL);
		expect_eq(ashmem_unpin_with(view.area, 4 * page, 0, 3, FIFO), 0); /* D2 */
	}
	expect_str(pin_picture(view.area, 4), "....");
	view_drop(&view);
}

CONTRACT_TEST(priorities, driver_knows_none)
{
	struct view view;

	if (!backend_is_kernel())
		contract_skip("the memfd backend knows priorities");
	view = view_make(4);
	expect_eq(ashmem_unpin_with(view.area, 0, 0, NORMAL, LIFO), -ENOTSUP);
	expect_eq(ashmem_unpin_with(view.area, 0, 0, FIRST, FIFO), -ENOTSUP);
	expect_eq(ashmem_unpin_with(view.area, 0, 0, LAST, FIFO), -ENOTSUP);
	expect_str(pin_picture(view.area, 4), "....");
	view_drop(&view);
}

/* A registered backend's keys, and the library's own, are of one order. */
CONTRACT_TEST(priorities, keys_order_as_purges_do)
{
	uint64_t year = UINT64_C(31557600) * 1000000000, last = 0, key;
	uint32_t priority;

	for (priority = FIRST; priority <= LAST; priority++) {
		expect((key = ashmem_backend_key(priority, LIFO, UINT64_MAX)) > last ||
			priority == FIRST);
		expect(ashmem_backend_key(priority, LIFO, 5) >
			ashmem_backend_key(priority, LIFO, 6));
		expect(ashmem_backend_key(priority, LIFO, 36 * year) >= key);
		last = ashmem_backend_key(priority, LIFO, 0);
		expect(ashmem_backend_key(priority, FIFO, 0) > last);
		expect(ashmem_backend_key(priority, FIFO, 6) >
			ashmem_backend_key(priority, FIFO, 5));
		last = ashmem_backend_key(priority, FIFO, UINT64_MAX);
		expect(last >= ashmem_backend_key(priority, FIFO, 36 * year));
	}
	expect(last < UINT64_MAX - 1);
	expect_eq(ashmem_backend_key(8, LIFO + 1, 7), ashmem_backend_key(LAST, LIFO, 7));
}
