/* SPDX-License-Identifier: MIT */
/*
 * The ranges of a purge: in order of age, some passed over, some in pieces, over several holds of
 * the lock. Against the order that the stamps give.
 */
#define _GNU_SOURCE 1
#include "support/contract.h"
#include "support/range_small.h"

#include "range/purge_iter.h"

enum { RANGES = 700, PRIME = 7919 };

/* Ranges of three pages with the stamps 1 to RANGES, in an order of pages that jumps about. */
static void fill(void)
{
	begin(4 * RANGES);
	for (uint32_t i = 0; i < RANGES; i++) {
		uint32_t start = 4 * (uint32_t)((uint64_t)i * PRIME % RANGES);
		expect_eq(range_unpin(list, start, start + 2, i + 1), 0);
	}
}

static int is_held(uint64_t stamp)
{
	return stamp % 5 == 2;
}

/* One hold of the lock: at most so many ranges. How many were purged. */
static uint32_t purge_some(struct purge_progress *progress, uint32_t most, uint64_t newest,
	uint64_t *last_stamp)
{
	struct purge_iter iter;
	uint32_t purged = 0, seen = 0;

	purge_iter_begin(&iter, list, progress, newest);
	for (; seen < most && purge_iter_next(&iter) == 1; seen++) {
		expect(iter.range.stamp > *last_stamp && iter.range.stamp <= newest);
		expect_eq(iter.range.live, 3);
		*last_stamp = iter.range.stamp;
		if (is_held(iter.range.stamp)) {
			purge_iter_pass_over(&iter);
			continue;
		}
		expect_eq(purge_iter_mark(&iter), 0);
		expect_eq(purge_iter_set_live(&iter, 0), 0);
		purged++;
	}
	expect_eq(purge_iter_end(&iter), 0);
	expect_sound(list);
	return purged;
}

CONTRACT_TEST(purge_iter, an_empty_list_has_none)
{
	struct purge_progress progress = {.work_done = 0};
	struct purge_iter iter;

	begin(64);
	purge_iter_begin(&iter, list, &progress, UINT64_MAX);
	expect_eq(purge_iter_next(&iter), 0);
	expect_eq(purge_iter_end(&iter), 0);
	expect_eq(purge_peek_oldest(&progress, list), RANGE_NO_STAMP);
}

CONTRACT_TEST(purge_iter, held_ranges_are_passed_over_in_all_holds_of_one_purge)
{
	struct purge_progress progress = {.work_done = 0};
	uint64_t stamp = 0, held = 0;
	uint32_t purged = 0;

	fill();
	for (uint32_t round = 1; stamp < RANGES; round++) {
		purged += purge_some(&progress, 1 + round % 23, UINT64_MAX, &stamp);
		expect_eq(purge_peek_oldest(&progress, list),
			stamp < RANGES ? stamp + 1 : RANGE_NO_STAMP);
	}
	for (uint64_t i = 1; i <= RANGES; i++)
		held += (uint64_t)is_held(i);
	expect_eq(purged, RANGES - held);
	expect_eq(progress.work_done, held);
	expect_eq(range_peek_evictable(list), 3 * held);
	/* The next purge looks at them anew. */
	progress = (struct purge_progress){.work_done = 0};
	expect_eq(purge_peek_oldest(&progress, list), 2);
}

CONTRACT_TEST(purge_iter, what_is_newer_than_asked_for_is_left)
{
	struct purge_progress progress = {.work_done = 0};
	uint64_t stamp = 0;

	fill();
	expect_eq(purge_some(&progress, UINT32_MAX, 1, &stamp), 1);
	expect_eq(purge_some(&progress, UINT32_MAX, 1, &stamp), 0);
	expect_eq(purge_peek_oldest(&progress, list), 2);
	/* 2 is held: from then on the other way of looking is used. */
	expect_eq(purge_some(&progress, UINT32_MAX, 4, &stamp), 2);
	expect_eq(purge_some(&progress, UINT32_MAX, 4, &stamp), 0);
	expect_eq(purge_peek_oldest(&progress, list), 5);
}

CONTRACT_TEST(purge_iter, a_range_with_live_pages_left_has_its_turn_again)
{
	for (int after_a_held_one = 0; after_a_held_one < 2; after_a_held_one++) {
		struct purge_progress progress = {.work_done = 0};
		struct purge_iter iter;

		begin(64);
		unpin(0, 3, 1);
		unpin(10, 19, 2);
		unpin(30, 33, 3);
		purge_iter_begin(&iter, list, &progress, UINT64_MAX);
		expect_eq(purge_iter_next(&iter), 1);
		expect_eq(iter.range.start, 0);
		if (after_a_held_one) {
			purge_iter_pass_over(&iter);
		} else {
			expect_eq(purge_iter_mark(&iter), 0);
			expect_eq(purge_iter_set_live(&iter, 0), 0);
		}
		for (uint32_t live = 10; live > 4; live -= 3) {
			expect_eq(purge_iter_next(&iter), 1);
			expect_eq(iter.range.start, 10);
			expect_eq(iter.range.live, live);
			expect_eq(purge_iter_mark(&iter), 0);
			expect_eq(purge_iter_set_live(&iter, live - 3), 0);
			expect_eq(purge_iter_end(&iter), 0);
			expect_sound(list);
			purge_iter_begin(&iter, list, &progress, UINT64_MAX);
		}
		expect_list(after_a_held_one ? "0-3@1 10-19@2p4 30-33@3"
					     : "0-3@1p0 10-19@2p4 30-33@3");
		expect_eq(purge_peek_oldest(&progress, list), 2);
	}
}

CONTRACT_TEST(purge_iter, work_without_end_is_enough)
{
	struct purge_progress progress = {.work_done = 0};

	begin(64);
	expect_eq(purge_has_done_enough(&progress, list), 0);
	progress.work_done = 128;
	expect_eq(purge_has_done_enough(&progress, list), 0);
	progress.work_done = 129;
	expect_eq(purge_has_done_enough(&progress, list), 1);
}
