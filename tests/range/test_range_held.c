/* SPDX-License-Identifier: MIT */
/*
 * The range list: the oldest range behind a given one, for purges that pass over ranges that are
 * held; and looking at pages as readers without the lock do. Both against the plain list of ranges.
 */
#define _GNU_SOURCE 1
#include <ashmem/area.h>

#include "support/contract.h"
#include "support/range_small.h"

#include <stdlib.h>

#include "range/purge_key.h"

static int by_age(const void *a, const void *b)
{
	const struct range *x = a, *y = b;

	if (x->stamp != y->stamp)
		return x->stamp < y->stamp ? -1 : 1;
	return x->start < y->start ? -1 : x->start > y->start;
}

/*
 * Walk from the oldest to the newest, and compare with the evictable ones of a walk by page,
 * sorted.
 */
static void expect_walk_by_age(uint64_t most)
{
	struct range *ranges = calloc(most, sizeof *ranges), range;
	uint64_t i, count, kept = 0;

	expect(ranges != NULL);
	count = list_read(list, ranges, most);
	expect(count < most);
	for (i = 0; i < count; i++)
		if (ranges[i].live)
			ranges[kept++] = ranges[i];
	qsort(ranges, kept, sizeof *ranges, by_age);
	expect_eq(range_oldest(list, &range), kept > 0);
	for (i = 0; i < kept; i++) {
		/* range_oldest() may take any of those with the oldest stamp */
		if (i == 0)
			expect_eq(range.stamp, ranges[0].stamp);
		else
			expect_eq(range_oldest_after(list, ranges[i - 1].stamp, ranges[i - 1].start,
					  &range),
				1);
		if (i > 0)
			expect_msg(ranges_equal(&range, &ranges[i]), "step %d", (int)i);
	}
	if (kept)
		expect_eq(range_oldest_after(list, ranges[kept - 1].stamp, ranges[kept - 1].start,
				  &range),
			0);
	free(ranges);
}

CONTRACT_TEST(range_held, empty_list_has_none)
{
	struct range range;

	begin(64);
	expect_eq(range_oldest_after(list, 0, 0, &range), 0);
	expect_walk_by_age(8);
}

CONTRACT_TEST(range_held, parts_of_one_range_have_one_stamp)
{
	begin(64);
	unpin(0, 40, 5);
	expect_eq(pin(10, 12), 0);
	expect_eq(pin(20, 22), 0);
	unpin(50, 55, 7);
	expect_walk_by_age(8);
}

CONTRACT_TEST(range_held, purged_and_pinned_ranges_are_not_met)
{
	begin(64);
	unpin(0, 3, 1);
	unpin(10, 13, 2);
	unpin(20, 23, 3);
	unpin(30, 33, 4);
	purge(10, 0);
	expect_eq(pin(20, 23), 0);
	expect_walk_by_age(8);
}

CONTRACT_TEST(range_held, large_trees_are_walked_in_order_of_age)
{
	enum { RANGES = 6000 };
	uint32_t i;

	begin(4 * RANGES);
	/* 7919 is prime: every range once, in an order that jumps about. */
	for (i = 0; i < RANGES; i++) {
		uint32_t start = 4 * (uint32_t)((uint64_t)i * 7919 % RANGES);
		expect_eq(range_unpin(list, start, start + 2, i + 1), 0);
	}
	for (i = 0; i < RANGES; i += 7)
		expect_eq(range_pin(list, 4 * i + 1, 4 * i + 1), 0);
	for (i = 3; i < RANGES; i += 11)
		expect(range_pin(list, 4 * i, 4 * i + 3) >= 0);
	expect_sound(list);
	expect_walk_by_age(2 * RANGES);
}

CONTRACT_TEST(range_held, look_tells_of_ranges_and_marks)
{
	enum { BOTH = RANGE_SEEN_UNPINNED | RANGE_SEEN_PURGED };

	begin(4000);
	for (uint32_t i = 0; i < 1000; i++)
		expect_eq(range_unpin(list, 4 * i, 4 * i + 1, i + 1), 0);
	purge(400, 0);
	expect_eq(range_pin(list, 800, 801), 0);
	expect_eq(range_look(list, 0, 0), RANGE_SEEN_UNPINNED);
	expect_eq(range_look(list, 2, 3), 0);
	expect_eq(range_look(list, 800, 803), 0);
	expect_eq(range_look(list, 401, 401), BOTH);
	expect_eq(range_look(list, 402, 403), 0);
	expect_eq(range_look(list, 0, 399), RANGE_SEEN_UNPINNED);
	expect_eq(range_look(list, 0, 400), BOTH);
	expect_eq(range_look(list, 402, 3999), RANGE_SEEN_UNPINNED);
	expect_eq(range_look(list, 0, 3999), BOTH);
}

/* -- releasing -- */

/* What a list becomes by a release, in `after`; returns how many ranges. */
static uint64_t released(const struct range *before, uint64_t count, uint32_t first, uint32_t last,
	uint64_t stamp, struct range *after)
{
	uint64_t made = 0;

	for (uint64_t i = 0; i < count; i++) {
		struct range range = before[i], part;
		uint32_t start = range.start > first ? range.start : first;
		uint32_t end = range.start + range.pages - 1;
		uint32_t until = end < last ? end : last;

		if (range.start > last || end < first) {
			after[made++] = range;
			continue;
		}
		if (range.start < start) {
			part = range;
			part.pages = start - range.start;
			part.live = part.live < part.pages ? part.live : part.pages;
			after[made++] = part;
		}
		after[made++] = (struct range){.start = start,
			.pages = until - start + 1,
			.live = until - start + 1,
			.stamp = purge_key_renew(range.stamp, stamp)};
		if (end > until) {
			part = range;
			part.start = until + 1;
			part.pages = end - until;
			part.live = part.live < part.pages ? part.live : part.pages;
			after[made++] = part;
		}
	}
	return made;
}

static void release_and_compare(uint32_t first, uint32_t last, uint64_t stamp)
{
	enum { MOST = 4096 };
	static struct range before[MOST], want[MOST + 4], got[MOST];
	uint64_t count = list_read(list, before, MOST);
	uint64_t wanted = released(before, count, first, last, stamp, want);

	expect_eq(range_release(list, first, last, stamp), 0);
	expect_sound(list);
	expect_eq(list_read(list, got, MOST), wanted);
	for (uint64_t i = 0; i < wanted; i++)
		expect_msg(ranges_equal(&got[i], &want[i]), "range %d of release %u-%u", (int)i,
			first, last);
}

enum { FIRST = ASHMEM_PRIORITY_FIRST, FIFO = ASHMEM_ORDER_FIFO };

CONTRACT_TEST(range_held, release_renews_what_it_covers_and_nothing_else)
{
	begin(64);
	unpin(10, 29, purge_key_of(FIRST, FIFO, 1));
	unpin(40, 49, purge_key_of(FIRST, FIFO, 2));
	purge(10, 0);
	release_and_compare(0, 9, 3);
	release_and_compare(15, 20, 4);
	expect_list("10-14@1p0 15-20@4 21-29@1p0 40-49@2");
	release_and_compare(28, 45, 5);
	release_and_compare(0, 63, 6);
	expect_eq(pin(0, 63), 0);
}

CONTRACT_TEST(range_held, release_keeps_priority_and_order)
{
	begin(64);
	for (uint32_t class = 0; class < 16; class ++) {
		struct range range;
		unpin(4 * class, 4 * class + 2,
			purge_key_of(class / 2, class % 2 ? FIFO : ASHMEM_ORDER_LIFO, 10 + class));
		release_and_compare(4 * class + 1, 4 * class + 1, 100 + class);
		expect_eq(range_find(list, 4 * class + 1, &range), 1);
		expect_eq(range.stamp,
			purge_key_of(class / 2, class % 2 ? FIFO : ASHMEM_ORDER_LIFO, 100 + class));
		expect_eq(range_find(list, 4 * class + 2, &range), 1);
		expect_eq(range.stamp,
			purge_key_of(class / 2, class % 2 ? FIFO : ASHMEM_ORDER_LIFO, 10 + class));
	}
}

CONTRACT_TEST(range_held, random_releases_agree_with_the_rule)
{
	enum { AREA = 6000, STEPS = 1500 };
	unsigned seed = 42;
	struct range range;

	begin(AREA);
	for (uint64_t step = 1; step <= STEPS; step++) {
		uint32_t first = (uint32_t)rand_r(&seed) % AREA;
		uint32_t length = (uint32_t)rand_r(&seed) % (rand_r(&seed) % 16 ? 12 : 600);
		uint32_t last = first + length < AREA ? first + length : AREA - 1;

		switch (rand_r(&seed) % 6) {
		case 0:
			expect(pin(first, last) >= 0);
			break;
		case 1:
			if (range_find(list, first, &range) == 1)
				purge(range.start, range.live / 2);
			break;
		case 2:
			release_and_compare(first, last, 2 * step);
			break;
		default:
			unpin(first, last, 2 * step + 1);
		}
	}
}
