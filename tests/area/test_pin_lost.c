/* SPDX-License-Identifier: MIT */
/*
 * ashmem_pin_lost(): which pages of a range were lost, exactly, whatever ranges were merged and
 * split meanwhile. Backends that know only of ranges tell the whole range asked for.
 */
#define _GNU_SOURCE 1
#include "support/areas.h"
#include "support/children.h"
#include "support/contract.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define NEEDS_PAGES() skip_on_kernel("the driver knows what was lost by ranges only")

enum { CAPACITY = 16 };

struct answer {
	int result;
	uint32_t count;
	struct ashmem_extent lost[CAPACITY + 1];
};

static struct answer pin_lost(struct ashmem_area *area, uint64_t first, uint64_t count,
	uint32_t capacity)
{
	struct answer answer;

	memset(&answer, 0xee, sizeof answer);
	answer.result = ashmem_pin_lost(area, first * page_bytes(), count * page_bytes(),
		answer.lost, capacity, &answer.count);
	return answer;
}

/* "W 2-3 7-7": WAS_PURGED, and pages 2, 3 and 7. */
static const char *lost_text(struct ashmem_area *area, uint64_t first, uint64_t count,
	uint32_t capacity)
{
	static char text[CAPACITY * 24];
	struct answer answer = pin_lost(area, first, count, capacity);
	size_t length;
	uint32_t i;

	expect(answer.result == ASHMEM_WAS_PURGED || answer.result == ASHMEM_NOT_PURGED);
	expect(answer.count <= capacity);
	expect_eq((int)answer.lost[capacity].offset, (int)0xeeeeeeee);
	strcpy(text, answer.result == ASHMEM_WAS_PURGED ? "W" : "N");
	for (i = 0; i < answer.count; i++) {
		uint64_t start = answer.lost[i].offset / page_bytes();

		expect_eq(answer.lost[i].offset % page_bytes() +
				answer.lost[i].length % page_bytes(),
			0);
		expect(answer.lost[i].length > 0);
		length = strlen(text);
		snprintf(text + length, sizeof text - length, " %u-%u", (unsigned)start,
			(unsigned)(start + answer.lost[i].length / page_bytes() - 1));
	}
	return text;
}

CONTRACT_TEST(lost, nothing_lost_gives_no_extents)
{
	struct view view = view_make(8);

	expect_str(lost_text(view.area, 0, 8, CAPACITY), "N");
	unpin_pages(view.area, 2, 4);
	expect_str(lost_text(view.area, 0, 8, CAPACITY), "N");
	expect_str(pin_picture(view.area, 8), "........");
	view_drop(&view);
}

CONTRACT_TEST(lost, purged_range_is_lost_within_what_was_asked_for)
{
	NEEDS_PAGES();
	struct view view = view_make(16);
	unpin_pages(view.area, 2, 6);
	purge_everything();
	expect_str(lost_text(view.area, 0, 4, CAPACITY), "W 2-3");
	expect_str(lost_text(view.area, 0, 4, CAPACITY), "N");
	expect_str(lost_text(view.area, 5, 1, CAPACITY), "W 5-5");
	expect_str(lost_text(view.area, 0, 16, CAPACITY), "W 4-4 6-7");
	expect_str(lost_text(view.area, 0, 16, CAPACITY), "N");
	view_drop(&view);
}

/* Rule 10 merges, D1 counts: the pages of a merged range that were never freed are not told. */
CONTRACT_TEST(lost, live_pages_of_a_merged_range_are_not_lost)
{
	NEEDS_PAGES();
	struct view view = view_make(20);
	fill_pages(&view, 0, 20, 1);
	unpin_pages(view.area, 4, 2);
	unpin_pages(view.area, 10, 2);
	expect_eq(ashmem_shrink(4), 4);
	unpin_pages(view.area, 3, 12); /* one range with two lost parts */
	/* a false alarm, and said to be one */
	expect_str(lost_text(view.area, 6, 4, CAPACITY), "W");
	expect(pages_hold(&view, 6, 4, 1));
	expect_str(lost_text(view.area, 0, 20, CAPACITY), "W 4-5 10-11");
	expect(pages_hold(&view, 12, 8, 1) && pages_hold(&view, 0, 4, 1));
	view_drop(&view);
}

CONTRACT_TEST(lost, more_than_fit_are_told_in_the_last_one)
{
	uint64_t page;

	NEEDS_PAGES();
	struct view view = view_make(20);
	for (page = 1; page < 20; page += 4)
		unpin_pages(view.area, page, 1);
	purge_everything();
	expect_str(lost_text(view.area, 0, 10, 1), "W 1-9");
	for (page = 1; page < 10; page += 4)
		unpin_pages(view.area, page, 1);
	purge_everything();
	expect_str(lost_text(view.area, 0, 20, 3), "W 1-1 5-5 9-17");
	for (page = 1; page < 20; page += 4)
		unpin_pages(view.area, page, 1);
	purge_everything();
	expect_str(lost_text(view.area, 0, 20, 5), "W 1-1 5-5 9-9 13-13 17-17");
	view_drop(&view);
}

CONTRACT_TEST(lost, plain_pin_and_release_take_it_away)
{
	NEEDS_PAGES();
	struct view view = view_make(12);
	unpin_pages(view.area, 0, 12);
	purge_everything();
	expect_eq(pin_pages(view.area, 2, 2), ASHMEM_WAS_PURGED);
	expect_eq(ashmem_hold(view.area, 6 * page_bytes(), 2 * page_bytes()), ASHMEM_WAS_PURGED);
	expect_eq(ashmem_release(view.area, 6 * page_bytes(), 2 * page_bytes(), 0), 0);
	unpin_pages(view.area, 1, 8); /* merged again with what is lost around */
	expect_str(lost_text(view.area, 0, 12, CAPACITY), "W 0-1 4-5 8-11");
	view_drop(&view);
}

CONTRACT_TEST(lost, second_purge_adds_to_the_first)
{
	NEEDS_PAGES();
	struct view view = view_make(12);
	unpin_pages(view.area, 2, 2);
	purge_everything();
	unpin_pages(view.area, 3, 5);
	expect_eq(ashmem_shrink_count(), 4);
	purge_everything();
	unpin_pages(view.area, 7, 3);
	expect_str(lost_text(view.area, 0, 12, CAPACITY), "W 2-7");
	view_drop(&view);
}

CONTRACT_TEST(lost, length_zero_is_to_the_end_and_the_end_is_nothing)
{
	struct view view = view_make(8);
	struct answer answer;

	unpin_pages(view.area, 5, 3);
	answer = pin_lost(view.area, 8, 0, 1);
	expect_eq(answer.result, ASHMEM_NOT_PURGED);
	expect_eq(answer.count, 0);
	expect_str(lost_text(view.area, 4, 0, 1), "N");
	expect_str(pin_picture(view.area, 8), "........");
	view_drop(&view);
}

CONTRACT_TEST(lost, arguments_are_checked_and_outputs_kept)
{
	struct view view = view_make(4);
	struct ashmem_area *newborn = area_of_pages(2);
	struct ashmem_extent lost = {7, 8};
	uint64_t page = page_bytes();
	uint32_t count = 9;

	unpin_pages(view.area, 0, 4);
	expect_eq(ashmem_pin_lost(NULL, 0, page, &lost, 1, &count), -EINVAL);
	expect_eq(ashmem_pin_lost(view.area, 0, page, NULL, 1, &count), -EINVAL);
	expect_eq(ashmem_pin_lost(view.area, 0, page, &lost, 0, &count), -EINVAL);
	expect_eq(ashmem_pin_lost(view.area, 0, page, &lost, 1, NULL), -EINVAL);
	expect_eq(ashmem_pin_lost(view.area, 1, page, &lost, 1, &count), -EINVAL);
	expect_eq(ashmem_pin_lost(view.area, 0, 5 * page, &lost, 1, &count), -EINVAL);
	expect_eq(ashmem_pin_lost(newborn, 0, page, &lost, 1, &count), -EINVAL);
	expect_eq(lost.offset + lost.length + count, 24);
	expect_str(pin_picture(view.area, 4), "UUUU");
	ashmem_close(newborn);
	view_drop(&view);
}

CONTRACT_TEST(lost, driver_may_have_lost_all_that_was_asked_for)
{
	struct view view;

	if (!backend_is_kernel())
		contract_skip("for the kernel backend");
	view = view_make(16);
	unpin_pages(view.area, 4, 2);
	if (ashmem_purge_all() < 0)
		contract_skip("the driver purges for the administrator only");
	expect_str(lost_text(view.area, 2, 6, CAPACITY), "W 2-7");
	expect_str(lost_text(view.area, 2, 6, CAPACITY), "N");
	view_drop(&view);
}

/* Peers */

static void purge_and_merge(void *argument)
{
	struct view *view = argument;

	unpin_pages(view->area, 1, 2);
	expect_eq(ashmem_shrink(1), 2);
	unpin_pages(view->area, 0, 8);
}

CONTRACT_TEST(lost, what_another_process_purged_is_told)
{
	NEEDS_PAGES();
	struct view view = view_make(8);
	run_child(purge_and_merge, &view);
	expect_str(lost_text(view.area, 0, 8, CAPACITY), "W 1-2");
	view_drop(&view);
}

struct peer {
	struct view *view;
	int fd;
};

static void pin_read_only(void *argument)
{
	struct peer *peer = argument;
	struct ashmem_area *reader = NULL;

	ashmem_close(peer->view->area);
	expect_eq(ashmem_import(peer->fd, &reader), 0);
	expect_str(lost_text(reader, 0, 8, CAPACITY), "W 1-2");
	expect_str(lost_text(reader, 0, 8, 1), "W 1-2"); /* a reader takes nothing away */
	expect_str(lost_text(reader, 3, 5, CAPACITY), "W");
	ashmem_close(reader);
}

CONTRACT_TEST(lost, read_only_peers_are_told_and_take_nothing_away)
{
	struct view view;
	struct peer peer = {.view = &view};

	NEEDS_PAGES();
	view = view_make(8);
	purge_and_merge(&view);
	peer.fd = ashmem_export_read_only(view.area);
	expect(peer.fd >= 0);
	run_child(pin_read_only, &peer);
	expect_str(lost_text(view.area, 0, 8, CAPACITY), "W 1-2");
	close(peer.fd);
	view_drop(&view);
}

/*
 * Large areas have their bitmap in pages of their own, which take memory only where something was
 * lost.
 */

static uint64_t file_pages(struct ashmem_area *area)
{
	struct stat status;

	expect_eq(fstat(ashmem_fd(area), &status), 0);
	return (uint64_t)status.st_blocks * 512 / page_bytes();
}

CONTRACT_TEST(lost, bitmap_takes_memory_only_where_pages_were_lost)
{
	/*
	 * Bits of a page, and an area of 40 such pages: 5 GiB with 4 KiB pages, and none of it
	 * written.
	 */
	uint64_t bits = 8 * page_bytes(), pages = 40 * bits, before, page;
	struct ashmem_area *area;

	NEEDS_PAGES();
	if (sizeof(void *) == 4)
		contract_skip("too large for 32 bits");
	if (page_bytes() > 4096)
		contract_skip("too large with such pages");
	area = area_of_pages(pages);
	before = file_pages(area);
	for (page = 5; page < pages; page += 13 * bits)
		unpin_pages(area, page, 2);
	expect(file_pages(area) <= before + 1 + 8); /* with the pages themselves */
	purge_everything();
	expect(file_pages(area) <= before + 1 + 4); /* bits 5, 13 * bits + 5, ... */
	expect_eq(ashmem_unpin(area, 0, 0), 0);
	expect_str(lost_text(area, 0, pages, CAPACITY),
		"W 5-6 425989-425990 851973-851974 1277957-1277958");
	expect(file_pages(area) <= before + 1 + 1);
	expect_str(lost_text(area, 0, pages, CAPACITY), "N");
	ashmem_close(area);
}

CONTRACT_TEST(lost, runs_over_words_and_pages_of_the_bitmap_are_whole)
{
	uint64_t bits = 8 * page_bytes(), first = bits - 70, count = 140;
	struct ashmem_area *area;
	struct answer answer;

	NEEDS_PAGES();
	area = area_of_pages(3 * bits);
	expect(ashmem_fd(area) >= 0);
	unpin_pages(area, first, count);
	purge_everything();
	expect_eq(ashmem_unpin(area, 0, 3 * bits * page_bytes()), 0);
	answer = pin_lost(area, 0, 3 * bits, 2);
	expect_eq(answer.result, ASHMEM_WAS_PURGED);
	expect_eq(answer.count, 1);
	expect_eq(answer.lost[0].offset, first * page_bytes());
	expect_eq(answer.lost[0].length, count * page_bytes());
	answer = pin_lost(area, 0, 0, 2);
	expect_eq(answer.result, ASHMEM_NOT_PURGED);
	ashmem_close(area);
}

/* Against one byte a page. */
CONTRACT_TEST(lost, random_purges_are_told_page_by_page)
{
	enum { PAGES = 300, STEPS = 20000 };
	static char gone[PAGES];
	struct ashmem_extent lost[PAGES];
	unsigned seed = 11;
	uint32_t count, i;
	uint64_t page;
	int step;

	NEEDS_PAGES();
	struct view view = view_make(PAGES);
	fill_pages(&view, 0, PAGES, 1);
	memset(gone, 0, sizeof gone);
	for (step = 0; step < STEPS; step++) {
		uint64_t first = (uint64_t)rand_r(&seed) % PAGES,
			 length = 1 + (uint64_t)rand_r(&seed) % 9;
		char told[PAGES] = "";

		length = length < PAGES - first ? length : PAGES - first;
		switch (rand_r(&seed) % 4) {
		case 0:
		case 1:
			unpin_pages(view.area, first, length);
			continue;
		case 2:
			expect(ashmem_shrink(1) >= 0);
			for (page = 0; page < PAGES; page++)
				gone[page] = view.base[page * page_bytes()] == 0;
			continue;
		default:
			break;
		}
		expect(ashmem_pin_lost(view.area, first * page_bytes(), length * page_bytes(), lost,
			       PAGES, &count) >= 0);
		for (i = 0; i < count; i++)
			memset(told + lost[i].offset / page_bytes(), 1,
				(size_t)(lost[i].length / page_bytes()));
		for (page = 0; page < PAGES; page++)
			expect_eq(told[page],
				page >= first && page < first + length ? gone[page] : 0);
		fill_pages(&view, first, length, 1);
		memset(gone + first, 0, (size_t)length);
	}
	view_drop(&view);
}
