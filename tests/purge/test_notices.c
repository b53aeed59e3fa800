/* SPDX-License-Identifier: MIT */
/*
 * ashmem_purge_subscribe(): what is told of purges, to whom, and what a subscriber may do. The
 * driver tells nothing of what it purges, so areas of the kernel backend have no notices.
 */
#define _GNU_SOURCE 1
#include "support/areas.h"
#include "support/children.h"
#include "support/contract.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#define NEEDS_NOTICES() skip_on_kernel("the driver does not tell what it purges")

enum { PAGES = 1024 };

/* What a subscriber has heard: pages of up to two areas. */
struct heard {
	struct ashmem_area *area[2];
	unsigned char pages[2][PAGES];
	uint64_t notices, pages_told;
	int id;
	int strange; /* another area, or bytes that are no pages of it */
};

static void hear(void *userdata, struct ashmem_area *area, uint64_t offset, uint64_t length)
{
	struct heard *heard = userdata;
	int which = area == heard->area[1];
	uint64_t page;

	heard->notices++;
	heard->pages_told += length / page_bytes();
	if ((area != heard->area[0] && !which) || length == 0 || offset % page_bytes() != 0 ||
		length % page_bytes() != 0 || offset + length > PAGES * page_bytes()) {
		heard->strange = 1;
		return;
	}
	for (page = offset / page_bytes(); page < (offset + length) / page_bytes(); page++)
		heard->pages[which][page]++;
}

static void subscribe(struct heard *heard, struct ashmem_area *first, struct ashmem_area *second)
{
	memset(heard, 0, sizeof *heard);
	heard->area[0] = first;
	heard->area[1] = second;
	heard->id = ashmem_purge_subscribe(hear, heard);
	expect(heard->id > 0);
}

/* Whether exactly these pages of the first area were told, each so many times. */
static int told_exactly(const struct heard *heard, uint64_t first, uint64_t count, int times)
{
	uint64_t page;

	for (page = 0; page < PAGES; page++) {
		if (heard->pages[0][page] != (page >= first && page < first + count ? times : 0))
			return 0;
	}
	return !heard->strange;
}

CONTRACT_TEST(notices, purged_pages_are_told_before_the_call_returns)
{
	struct heard heard;

	NEEDS_NOTICES();
	struct view view = view_make(32);
	subscribe(&heard, view.area, NULL);
	unpin_pages(view.area, 3, 5);
	expect_eq(heard.notices, 0);
	expect_eq(ashmem_shrink(1), 5);
	expect(told_exactly(&heard, 3, 5, 1));
	expect_eq(ashmem_shrink(1), 0);
	expect_eq(heard.notices, 1);
	unpin_pages(view.area, 20, 2);
	expect_eq(ashmem_purge_all(), 2);
	expect_eq(heard.pages_told, 7);
	expect_eq(heard.pages[0][20] + heard.pages[0][21], 2);
	expect_eq(ashmem_purge_unsubscribe(heard.id), 0);
	unpin_pages(view.area, 10, 2);
	expect_eq(ashmem_shrink(100), 2);
	expect_eq(heard.pages_told, 7);
	view_drop(&view);
}

CONTRACT_TEST(notices, neighbours_are_told_at_once_and_areas_apart)
{
	struct view views[2];
	struct heard heard;
	uint64_t page;

	NEEDS_NOTICES();
	views[0] = view_make(16);
	views[1] = view_make(16);
	subscribe(&heard, views[0].area, views[1].area);
	for (page = 0; page < 16; page++)
		unpin_pages(views[0].area, page, 1);
	unpin_pages(views[1].area, 2, 3);
	expect_eq(ashmem_shrink(100), 19);
	expect_eq(heard.notices, 2);
	expect(told_exactly(&heard, 0, 16, 1));
	expect_eq(heard.pages[1][2] + heard.pages[1][3] + heard.pages[1][4], 3);
	expect_eq(ashmem_purge_unsubscribe(heard.id), 0);
	view_drop(&views[0]);
	view_drop(&views[1]);
}

/* More than are remembered at one go: none is lost, and none reaches over pages that are pinned. */
CONTRACT_TEST(notices, many_are_all_told_exactly)
{
	struct heard heard;
	uint64_t page;
	int round;

	NEEDS_NOTICES();
	struct view view = view_make(PAGES);
	subscribe(&heard, view.area, NULL);
	for (round = 0; round < 2; round++) {
		memset(heard.pages, 0, sizeof heard.pages);
		for (page = 0; page < PAGES; page += 2)
			unpin_pages(view.area, page * 389 % PAGES & ~UINT64_C(1), 1);
		expect_eq(ashmem_shrink_count(), PAGES / 2);
		if (round == 0)
			expect_eq(ashmem_shrink(PAGES), PAGES / 2);
		else
			expect_eq(ashmem_purge_all(), PAGES / 2);
		for (page = 0; page < PAGES; page++)
			expect_eq(heard.pages[0][page], page % 2 == 0);
		expect_eq(ashmem_pin(view.area, 0, 0), ASHMEM_WAS_PURGED);
	}
	expect_eq(ashmem_shrink_count(), 0);
	expect_eq(heard.strange, 0);
	expect_eq(ashmem_purge_unsubscribe(heard.id), 0);
	view_drop(&view);
}

/* Ranges of which a piece of the purge ends within one: 340 of 9 pages, 3 pages apart. */
enum { MEDIUM_PAGES = 9, MEDIUM_STEP = 12, MEDIUM_RANGES = 340 };

struct told_pages {
	unsigned char page[MEDIUM_STEP * MEDIUM_RANGES];
};

static void tell_page(void *userdata, struct ashmem_area *area, uint64_t offset, uint64_t length)
{
	struct told_pages *told = userdata;

	(void)area;
	for (uint64_t p = offset / page_bytes(); p < (offset + length) / page_bytes(); p++)
		told->page[p]++;
}

static void expect_medium_told(const struct told_pages *told)
{
	for (uint64_t p = 0; p < sizeof told->page; p++)
		expect_eq(told->page[p], p % MEDIUM_STEP < MEDIUM_PAGES);
}

CONTRACT_TEST(notices, no_pinned_page_is_told_among_medium_ranges)
{
	struct told_pages told;
	int64_t pages = MEDIUM_PAGES * MEDIUM_RANGES;

	NEEDS_NOTICES();
	struct view view = view_make(MEDIUM_STEP * MEDIUM_RANGES);
	int id = ashmem_purge_subscribe(tell_page, &told);
	memset(&told, 0, sizeof told);
	for (uint64_t i = 0; i < MEDIUM_RANGES; i++)
		unpin_pages(view.area, i * 101 % MEDIUM_RANGES * MEDIUM_STEP, MEDIUM_PAGES);
	expect_eq(ashmem_shrink((uint64_t)pages), pages);
	expect_medium_told(&told);

	/* Of one age, since pins have split them: */
	memset(&told, 0, sizeof told);
	expect_eq(ashmem_pin(view.area, 0, 0), ASHMEM_WAS_PURGED);
	expect_eq(ashmem_unpin(view.area, 0, 0), 0);
	for (uint64_t i = 0; i < MEDIUM_RANGES; i++)
		pin_pages(view.area, i * MEDIUM_STEP + MEDIUM_PAGES, MEDIUM_STEP - MEDIUM_PAGES);
	expect_eq(ashmem_purge_all(), pages);
	expect_medium_told(&told);
	expect_eq(ashmem_purge_unsubscribe(id), 0);
	view_drop(&view);
}

CONTRACT_TEST(notices, range_of_many_pieces_is_told_once)
{
	struct heard heard;

	NEEDS_NOTICES();
	struct view view = view_make(PAGES);
	subscribe(&heard, view.area, NULL);
	unpin_pages(view.area, 1, PAGES - 2);
	expect_eq(ashmem_shrink(PAGES - 2), PAGES - 2);
	expect_eq(heard.notices, 1);
	expect(told_exactly(&heard, 1, PAGES - 2, 1));
	expect_eq(ashmem_purge_unsubscribe(heard.id), 0);
	view_drop(&view);
}

CONTRACT_TEST(notices, every_subscriber_is_told)
{
	struct heard heard[2];
	int ids[8], i;

	NEEDS_NOTICES();
	struct view view = view_make(4);
	subscribe(&heard[0], view.area, NULL);
	subscribe(&heard[1], view.area, NULL);
	for (i = 2; i < 8; i++)
		expect((ids[i] = ashmem_purge_subscribe(hear, &heard[1])) > 0);
	expect_eq(ashmem_purge_subscribe(hear, &heard[1]), -ENOSPC);
	for (i = 2; i < 8; i++)
		expect_eq(ashmem_purge_unsubscribe(ids[i]), 0);
	expect_eq(ashmem_purge_unsubscribe(ids[2]), -ENOENT);
	unpin_pages(view.area, 0, 1);
	expect_eq(ashmem_shrink(1), 1);
	expect(told_exactly(&heard[0], 0, 1, 1));
	expect(told_exactly(&heard[1], 0, 1, 1));
	expect_eq(ashmem_purge_unsubscribe(heard[0].id), 0);
	expect_eq(ashmem_purge_unsubscribe(heard[1].id), 0);
	view_drop(&view);
}

CONTRACT_TEST(notices, wrong_arguments_are_refused)
{
	expect_eq(ashmem_purge_subscribe(NULL, NULL), -EINVAL);
	expect_eq(ashmem_purge_unsubscribe(0), -ENOENT);
	expect_eq(ashmem_purge_unsubscribe(-1), -ENOENT);
	expect_eq(ashmem_purge_unsubscribe(1000000), -ENOENT);
}

/* What a subscriber may do: everything. */

struct busy {
	struct view *view;
	int id, calls, depth, failed;
	int64_t shrunk;
};

static void rebuild(void *userdata, struct ashmem_area *area, uint64_t offset, uint64_t length)
{
	struct busy *busy = userdata;

	busy->calls++;
	busy->failed |= ashmem_pin(area, offset, length) != ASHMEM_WAS_PURGED;
	memset(busy->view->base + offset, 'n', (size_t)length);
	busy->failed |= ashmem_unpin(area, offset, length) != 0;
}

CONTRACT_TEST(notices, subscriber_can_pin_fill_and_unpin)
{
	struct view view;
	struct busy busy = {.view = &view};

	NEEDS_NOTICES();
	view = view_make(8);
	busy.id = ashmem_purge_subscribe(rebuild, &busy);
	unpin_pages(view.area, 0, 2);
	unpin_pages(view.area, 4, 2);
	expect_eq(ashmem_shrink(4), 4);
	expect_eq(busy.calls, 2);
	expect_eq(busy.failed, 0);
	expect_eq(ashmem_purge_unsubscribe(busy.id), 0);
	expect(pages_hold(&view, 0, 2, 'n') && pages_hold(&view, 4, 2, 'n'));
	expect_eq(ashmem_pin(view.area, 0, 0), ASHMEM_NOT_PURGED);
	view_drop(&view);
}

static void purge_the_rest(void *userdata, struct ashmem_area *area, uint64_t offset,
	uint64_t length)
{
	struct busy *busy = userdata;

	(void)area;
	(void)offset;
	(void)length;
	busy->calls++;
	busy->depth = busy->depth < 5 ? busy->depth + 1 : 5;
	if (busy->shrunk < 3)
		busy->shrunk += ashmem_shrink(1);
}

CONTRACT_TEST(notices, subscriber_can_purge)
{
	struct view view;
	struct busy busy = {.view = &view};

	NEEDS_NOTICES();
	view = view_make(8);
	busy.id = ashmem_purge_subscribe(purge_the_rest, &busy);
	unpin_pages(view.area, 0, 1);
	unpin_pages(view.area, 2, 1);
	unpin_pages(view.area, 4, 1);
	expect_eq(ashmem_shrink(1), 1);
	expect_eq(busy.calls, 3);
	expect_eq(busy.shrunk, 2);
	expect_eq(ashmem_shrink_count(), 0);
	expect_eq(ashmem_purge_unsubscribe(busy.id), 0);
	view_drop(&view);
}

static void close_and_end(void *userdata, struct ashmem_area *area, uint64_t offset,
	uint64_t length)
{
	struct busy *busy = userdata;

	(void)offset;
	(void)length;
	if (busy->calls++ > 0)
		return;
	ashmem_close(busy->view->area); /* the program's own reference */
	busy->failed |= ashmem_get_size(area) != 8 * page_bytes();
	busy->failed |= ashmem_purge_unsubscribe(busy->id) != 0;
	busy->failed |= ashmem_purge_unsubscribe(busy->id) != -ENOENT;
}

CONTRACT_TEST(notices, subscriber_can_close_the_area_and_end_itself)
{
	struct view view;
	struct busy busy = {.view = &view};

	NEEDS_NOTICES();
	view = view_make(8);
	busy.id = ashmem_purge_subscribe(close_and_end, &busy);
	unpin_pages(view.area, 0, 1);
	unpin_pages(view.area, 2, 1);
	expect_eq(ashmem_shrink(2), 2);
	expect_eq(busy.calls, 1);
	expect_eq(busy.failed, 0);
	expect_eq(ashmem_unmap(view.base, (size_t)(8 * page_bytes())), 0);
}

/* Threads */

struct slow {
	struct view view;
	int entered, leave, left;
};

static void wait_to_leave(void *userdata, struct ashmem_area *area, uint64_t offset,
	uint64_t length)
{
	struct slow *slow = userdata;

	(void)area;
	(void)offset;
	(void)length;
	__atomic_store_n(&slow->entered, 1, __ATOMIC_SEQ_CST);
	while (!__atomic_load_n(&slow->leave, __ATOMIC_SEQ_CST))
		usleep(100);
	usleep(20000);
	__atomic_store_n(&slow->left, 1, __ATOMIC_SEQ_CST);
}

static void *shrink_one(void *argument)
{
	(void)argument;
	ashmem_shrink(1);
	return NULL;
}

CONTRACT_TEST(notices, unsubscribing_waits_for_other_threads)
{
	struct slow slow = {.entered = 0};
	pthread_t thread;
	int id, id_is_reused;

	NEEDS_NOTICES();
	slow.view = view_make(2);
	id = ashmem_purge_subscribe(wait_to_leave, &slow);
	unpin_pages(slow.view.area, 0, 1);
	expect_eq(pthread_create(&thread, NULL, shrink_one, NULL), 0);
	while (!__atomic_load_n(&slow.entered, __ATOMIC_SEQ_CST))
		usleep(100);
	/* No lock is held meanwhile: others purge, and pins go on. */
	expect_eq(ashmem_pin(slow.view.area, 0, 0), ASHMEM_WAS_PURGED);
	expect_eq(ashmem_shrink(1), 0);
	__atomic_store_n(&slow.leave, 1, __ATOMIC_SEQ_CST);
	expect_eq(ashmem_purge_unsubscribe(id), 0);
	expect_eq(__atomic_load_n(&slow.left, __ATOMIC_SEQ_CST), 1);
	id_is_reused = ashmem_purge_subscribe(wait_to_leave, &slow) == id;
	expect_eq(id_is_reused, 0);
	expect_eq(ashmem_purge_unsubscribe(id + 1), 0);
	expect_eq(pthread_join(thread, NULL), 0);
	view_drop(&slow.view);
}

static void end_in_child(void *argument)
{
	struct slow *slow = ((void **)argument)[0];
	int id = *(int *)((void **)argument)[1];

	/* The thread that is in the subscriber is the parent's: nobody to wait for. */
	expect_eq(ashmem_purge_unsubscribe(id), 0);
	unpin_pages(slow->view.area, 1, 1);
	expect_eq(ashmem_shrink(1), 1);
	expect_eq(slow->left, 0);
}

CONTRACT_TEST(notices, child_of_fork_has_its_own_subscribers)
{
	struct slow slow = {.entered = 0};
	pthread_t thread;
	int id;
	void *arguments[2] = {&slow, &id};

	NEEDS_NOTICES();
	slow.view = view_make(2);
	id = ashmem_purge_subscribe(wait_to_leave, &slow);
	unpin_pages(slow.view.area, 0, 1);
	expect_eq(pthread_create(&thread, NULL, shrink_one, NULL), 0);
	while (!__atomic_load_n(&slow.entered, __ATOMIC_SEQ_CST))
		usleep(100);
	run_child(end_in_child, arguments);
	__atomic_store_n(&slow.leave, 1, __ATOMIC_SEQ_CST);
	expect_eq(ashmem_purge_unsubscribe(id), 0);
	expect_eq(slow.left, 1);
	expect_eq(pthread_join(thread, NULL), 0);
	view_drop(&slow.view);
}

static void purge_in_child(void *argument)
{
	(void)argument;
	expect_eq(ashmem_purge_all(), 4);
}

CONTRACT_TEST(notices, purges_of_others_are_not_told_but_counted)
{
	struct ashmem_area_stats stats = {.struct_size = sizeof stats};
	struct heard heard;

	NEEDS_NOTICES();
	struct view view = view_make(8);
	subscribe(&heard, view.area, NULL);
	unpin_pages(view.area, 0, 4);
	run_child(purge_in_child, NULL);
	expect_eq(heard.notices, 0);
	expect_eq(ashmem_area_get_stats(view.area, &stats), 0);
	expect_eq(stats.purged_pages, 4);
	expect_eq(ashmem_purge_unsubscribe(heard.id), 0);
	view_drop(&view);
}

CONTRACT_TEST(notices, driver_tells_nothing)
{
	struct view view;
	struct heard heard;

	if (!backend_is_kernel())
		contract_skip("for the kernel backend");
	view = view_make(4);
	subscribe(&heard, view.area, NULL);
	unpin_pages(view.area, 0, 2);
	expect_eq(purge_everything(), 2);
	expect_eq(heard.notices, 0);
	expect_eq(ashmem_purge_unsubscribe(heard.id), 0);
	view_drop(&view);
}
