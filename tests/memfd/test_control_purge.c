/* SPDX-License-Identifier: MIT */
/*
 * Purging under an area's lock: what goes first and how far, long ranges in pieces, purges that
 * were interrupted, and the stamps that decide the order. Contract rules 14 and 16, D1.
 */
#define _GNU_SOURCE 1
#include "support/contract.h"
#include "support/controls.h"
#include "support/hostile.h"
#include "support/range_arena.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/stamp.h"
#include "base/sys.h"
#include "range/lost_bitmap.h"

enum { PAGES = 400, LONG = 3000, ALL = 1 << 20 };

static struct block block;
static uint64_t freed;
static struct purge_progress progress; /* all purges of a test are one */

static void begin(uint32_t pages)
{
	block = block_make(pages);
	fill_data(&block, 0, pages - 1);
	freed = 0;
	progress = (struct purge_progress){.work_done = 0};
}

static int purge(uint64_t newest, uint64_t nr_pages)
{
	return block_purge(&block.map, &progress, newest, nr_pages, &freed);
}

/* As a backend goes on until all is done; returns how many holds of the lock it took. */
static int purge_everything_here(void)
{
	int holds = 0;

	while (purge(UINT64_MAX, ALL) == 1)
		expect(++holds < 1000);
	return holds;
}

static void expect_pages(uint32_t first, uint32_t last, int filled)
{
	for (uint32_t page = first; page <= last; page++)
		expect_msg(filled ? page_is_filled(&block, page) : page_is_zero(&block, page),
			"page %" PRIu32 " is %s", page, filled ? "not as it was" : "not freed");
}

#define expect_list(text) expect_str(list_text(&block.map.list), text)

/* -- which, and how many -- */

CONTRACT_TEST(control_purge, nothing_unpinned_is_nothing_to_do)
{
	begin(PAGES);
	expect_eq(purge(UINT64_MAX, 10), 0);
	expect_eq(freed, 0);
	expect_pages(0, PAGES - 1, 1);
	block_drop(&block);
}

CONTRACT_TEST(control_purge, oldest_range_goes_first_and_whole)
{
	begin(PAGES);
	block_unpin_at(&block.map, 100, 109, 5);
	block_unpin_at(&block.map, 200, 209, 3);
	block_unpin_at(&block.map, 300, 309, 4);
	expect_eq(purge(UINT64_MAX, 1), 1);
	expect_eq(freed, 10);
	expect_list("100-109@5 200-209@3p0 300-309@4");
	expect_pages(200, 209, 0);
	expect_pages(0, 199, 1);
	expect_pages(210, PAGES - 1, 1);
	expect_eq(purge(UINT64_MAX, 1), 1);
	expect_list("100-109@5 200-209@3p0 300-309@4p0");
	expect_eq(block_pin(&block.map, 300, 300), 1);
	expect_eq(block_pin(&block.map, 100, 109), 0);
	expect_eq(purge(UINT64_MAX, 1), 0);
	expect_eq(freed, 20);
	expect_eq(block.map.shared->purged_pages, 20);
	block_drop(&block);
}

CONTRACT_TEST(control_purge, it_stops_when_enough_is_free)
{
	begin(PAGES);
	for (uint32_t i = 0; i < 10; i++)
		block_unpin_at(&block.map, 20 * i, 20 * i + 4, 10 + i);
	expect_eq(purge(UINT64_MAX, 11), 1);
	expect_eq(freed, 15);
	expect_eq(range_peek_oldest(&block.map.list), 13);
	expect_eq(filled_pages(&block, 0, PAGES - 1), PAGES - 15);
	block_drop(&block);
}

CONTRACT_TEST(control_purge, nothing_younger_than_the_limit_goes)
{
	begin(PAGES);
	for (uint32_t i = 0; i < 10; i++)
		block_unpin_at(&block.map, 20 * i, 20 * i + 4, 10 + i);
	expect_eq(purge(9, ALL), 0);
	expect_eq(purge(12, ALL), 1);
	expect_eq(freed, 15);
	expect_eq(purge(12, ALL), 0);
	expect_eq(range_peek_oldest(&block.map.list), 13);
	block_drop(&block);
}

CONTRACT_TEST(control_purge, purged_ranges_are_not_purged_again)
{
	begin(PAGES);
	block_unpin_at(&block.map, 100, 109, 5);
	expect_eq(purge(UINT64_MAX, ALL), 1);
	expect_eq(purge(UINT64_MAX, ALL), 0);
	expect_eq(freed, 10);
	block_drop(&block);
}

CONTRACT_TEST(control_purge, neighbours_and_strangers_go_together)
{
	begin(PAGES);
	for (uint32_t i = 0; i < 50; i++) {
		uint32_t page = i < 25 ? 100 + i : 100 + 4 * i; /* touching, then apart */
		block_unpin_at(&block.map, page, page, 100 + i * 7 % 50);
	}
	expect_eq(purge_everything_here(), 1);
	expect_eq(freed, 50);
	expect_eq(filled_pages(&block, 0, PAGES - 1), PAGES - 50);
	expect_pages(100, 124, 0);
	block_drop(&block);
}

CONTRACT_TEST(control_purge, many_ranges_take_several_holds)
{
	begin(PAGES);
	for (uint32_t i = 0; i < PAGES; i += 2)
		block_unpin_at(&block.map, i, i, 100 + i);
	expect_eq(purge(UINT64_MAX, ALL), 1);
	expect(freed <= CONTROL_PURGE_SLOTS);
	expect(purge_everything_here() > 1);
	expect_eq(freed, PAGES / 2);
	for (uint32_t i = 0; i < PAGES; i += 2) {
		expect_pages(i, i, 0);
		expect_pages(i + 1, i + 1, 1);
	}
	block_drop(&block);
}

/*
 * Neighbours need one note together, so that a hold ends by the pages that it frees and not by its
 * ranges.
 */
CONTRACT_TEST(control_purge, neighbours_in_order_of_age_go_in_one_hold)
{
	begin(LONG);
	for (uint32_t i = 0; i < LONG; i++)
		block_unpin_at(&block.map, i, i, 100 + i);
	expect_eq(purge(UINT64_MAX, ALL), 1);
	expect_eq(freed, 512);
	expect_pages(0, 511, 0);
	expect_pages(512, LONG - 1, 1);
	expect_eq(range_peek_oldest(&block.map.list), 100 + 512);
	expect_eq(range_peek_evictable(&block.map.list), LONG - 512);
	expect_eq(range_validate(&block.map.list), 0);
	expect_eq(purge_everything_here(), LONG / 512);
	expect_eq(freed, LONG);
	expect_pages(0, LONG - 1, 0);
	block_drop(&block);
}

/* The last of the neighbours is a range of which a piece goes: what is left of it comes next. */
CONTRACT_TEST(control_purge, neighbours_of_which_the_last_goes_in_pieces)
{
	begin(LONG);
	block_unpin_at(&block.map, 0, 9, 5);
	block_unpin_at(&block.map, 10, 1999, 6);
	expect_eq(purge(UINT64_MAX, ALL), 1);
	expect_eq(freed, 512);
	expect_list("0-9@5p0 10-1999@6p1488");
	expect_pages(0, 511, 0);
	expect_pages(512, LONG - 1, 1);
	purge_everything_here();
	expect_eq(freed, 2000);
	expect_pages(0, 1999, 0);
	expect_pages(2000, LONG - 1, 1);
	block_drop(&block);
}

/* D1: only the pages that are there are counted, and all of them go. */
CONTRACT_TEST(control_purge, live_pages_of_a_merged_range_go_too)
{
	begin(PAGES);
	block_unpin_at(&block.map, 100, 109, 5);
	expect_eq(purge_everything_here(), 1);
	block_unpin_at(&block.map, 105, 119, 6);
	expect_list("100-119@6p10");
	expect_eq(purge_everything_here(), 1);
	expect_eq(freed, 20);
	expect_pages(100, 119, 0);
	block_drop(&block);
}

/* -- long ranges -- */

CONTRACT_TEST(control_purge, a_long_range_goes_in_pieces)
{
	uint64_t before = 0;
	int holds = 0;

	begin(LONG);
	block_unpin_at(&block.map, 0, LONG - 1, 5);
	while (purge(UINT64_MAX, ALL) == 1) {
		expect(freed > before && freed - before <= 512);
		before = freed;
		holds++;
		expect_eq(filled_pages(&block, 0, LONG - 1), LONG - freed);
		expect_eq(range_peek_evictable(&block.map.list), LONG - freed);
	}
	expect_eq(freed, LONG);
	expect(holds >= LONG / 512);
	expect_list("0-2999@5p0");
	block_drop(&block);
}

CONTRACT_TEST(control_purge, a_pin_between_two_pieces_keeps_what_is_left)
{
	uint32_t left;

	begin(LONG);
	block_unpin_at(&block.map, 0, LONG - 1, 5);
	expect_eq(purge(UINT64_MAX, 1), 1);
	left = filled_pages(&block, 1000, 1999);
	expect_eq(left, 1000);
	expect_eq(block_pin(&block.map, 1000, 1999), 1);
	purge_everything_here();
	expect_pages(0, 999, 0);
	expect_pages(1000, 1999, 1);
	expect_pages(2000, LONG - 1, 0);
	expect_list("0-999@5p0 2000-2999@5p0");
	block_drop(&block);
}

CONTRACT_TEST(control_purge, a_pin_of_the_freed_part_between_two_pieces)
{
	begin(LONG);
	block_unpin_at(&block.map, 0, LONG - 1, 5);
	expect_eq(purge(UINT64_MAX, 1), 1);
	expect_eq(block_pin(&block.map, 10, 19), 1);
	fill_data(&block, 10, 19);
	purge_everything_here();
	expect_pages(0, 9, 0);
	expect_pages(10, 19, 1);
	expect_pages(20, LONG - 1, 0);
	block_drop(&block);
}

/* What the cursor says of the range's former life must not be believed of its next. */
CONTRACT_TEST(control_purge, a_range_unpinned_again_between_two_pieces_goes_whole)
{
	begin(LONG);
	block_unpin_at(&block.map, 0, LONG - 1, 5);
	expect_eq(purge(UINT64_MAX, 1), 1);
	expect_eq(block_pin(&block.map, 0, LONG - 1), 1);
	fill_data(&block, 0, LONG - 1);
	block_unpin_at(&block.map, 0, LONG - 1, 6);
	freed = 0;
	purge_everything_here();
	expect_eq(freed, LONG);
	expect_pages(0, LONG - 1, 0);
	block_drop(&block);
}

CONTRACT_TEST(control_purge, a_range_merged_between_two_pieces_goes_whole)
{
	begin(LONG);
	block_unpin_at(&block.map, 0, 1999, 5);
	expect_eq(purge(UINT64_MAX, 1), 1);
	expect_eq(block_pin(&block.map, 0, 99), 1);
	fill_data(&block, 0, 99);
	block_unpin_at(&block.map, 0, 2499, 6);
	purge_everything_here();
	expect_pages(0, 2499, 0);
	expect_pages(2500, LONG - 1, 1);
	block_drop(&block);
}

CONTRACT_TEST(control_purge, two_long_ranges_by_turns)
{
	begin(LONG);
	block_unpin_at(&block.map, 0, 1199, 5);
	block_unpin_at(&block.map, 1500, LONG - 1, 6);
	expect_eq(purge(UINT64_MAX, 1), 1);
	/* The first one is young now: the cursor is on a range that waits. */
	expect_eq(block_pin(&block.map, 0, 0), 1);
	block_unpin_at(&block.map, 0, 1, 7);
	purge_everything_here();
	expect_pages(0, 1199, 0);
	expect_pages(1200, 1499, 1);
	expect_pages(1500, LONG - 1, 0);
	block_drop(&block);
}

/* -- interruptions -- */

CONTRACT_TEST(control_purge, recovery_frees_what_was_being_freed)
{
	begin(PAGES);
	block_unpin_at(&block.map, 100, 109, 5);
	block_unpin_at(&block.map, 200, 219, 6);
	expect_eq(range_mark_purged(&block.map.list, 100), 0);
	expect_eq(range_set_live(&block.map.list, 100, 0), 0);
	expect_eq(range_mark_purged(&block.map.list, 200), 0);
	block.map.shared->purge[0] = (struct control_extent){100, 10};
	block.map.shared->purge[1] = (struct control_extent){200, 20};
	block.map.shared->purge_count = 2;
	block_abandon(&block.map);

	expect_eq(block_pin(&block.map, 150, 150), 0);
	expect_pages(100, 109, 0);
	expect_pages(200, 219, 0);
	expect_eq(filled_pages(&block, 0, PAGES - 1), PAGES - 30);
	expect_eq(block.map.shared->purge_count, 0);
	expect_eq(block.map.shared->recoveries, 1);
	expect_eq(range_validate(&block.map.list), 0);
	expect_eq(block_pin(&block.map, 100, 100), 1);
	expect_eq(block_pin(&block.map, 200, 200), 1);
	block_drop(&block);
}

/* It may have come while the purger was dead, and found that nothing is lost yet. */
CONTRACT_TEST(control_purge, recovery_leaves_what_a_reader_holds)
{
	begin(PAGES);
	block_unpin_at(&block.map, 100, 109, 5);
	block_unpin_at(&block.map, 200, 219, 6);
	for (uint32_t i = 0; i < 2; i++) {
		uint32_t start = i ? 200 : 100;
		expect_eq(range_mark_purged(&block.map.list, start), 0);
		expect_eq(range_set_live(&block.map.list, start, 0), 0);
		block.map.shared->purge[i] = (struct control_extent){start, i ? 20 : 10};
	}
	block.map.shared->purge_count = 2;
	block.map.shared->has_readers = 1;
	int reader = sys_reopen_read_only(block.fd);
	if (reader == -ENOTSUP)
		contract_skip("no /proc to open the area again through");
	expect(reader >= 0);
	uint64_t page = sys_page_size();
	expect_eq(sys_lock_range(reader, SYS_LOCK_READ, 205 * page, page), 0);
	block_abandon(&block.map);

	expect_eq(block_pin(&block.map, 150, 150), 0);
	expect_list("100-109@5p0 200-219@6p20");
	expect_pages(100, 109, 0);
	expect_pages(200, 219, 1);
	expect_eq(lost_bitmap_count(block.map.lost, 200, 219), 0);
	close(reader);
	purge_everything_here();
	expect_pages(200, 219, 0);
	block_drop(&block);
}

static void expect_no_recovery(uint32_t count, struct control_extent extent)
{
	struct control before;

	begin(PAGES);
	block.map.shared->purge[0] = extent;
	block.map.shared->purge_count = count;
	before = *block.map.shared;
	block_abandon(&block.map);
	expect_eq(control_lock(&block.map), -EUCLEAN);
	expect_eq(control_lock(&block.map), -EUCLEAN);
	expect_eq(block.map.shared->lock, 0);
	/* The control block lies behind the data: it was not freed by mistake. */
	expect_eq(memcmp(&before.id, &block.map.shared->id, sizeof(before.id)), 0);
	expect_pages(0, PAGES - 1, 1);
	block_drop(&block);
}

CONTRACT_TEST(control_purge, an_interrupted_purge_full_of_nonsense_is_damage)
{
	expect_no_recovery(CONTROL_PURGE_SLOTS + 1, (struct control_extent){PAGES, 1});
	expect_no_recovery(UINT32_MAX, (struct control_extent){PAGES, 1});
	expect_no_recovery(1, (struct control_extent){PAGES, 1});
	expect_no_recovery(1, (struct control_extent){PAGES - 1, 2});
	expect_no_recovery(1, (struct control_extent){0, PAGES + 1});
	expect_no_recovery(1, (struct control_extent){0, 0});
	expect_no_recovery(1, (struct control_extent){UINT32_MAX, UINT32_MAX});
	expect_no_recovery(1, (struct control_extent){UINT32_MAX, 1});
	expect_no_recovery(1, (struct control_extent){1, UINT32_MAX});
}

/* All that lies behind the slots looks like more of them. */
CONTRACT_TEST(control_purge, more_interrupted_purges_than_slots_are_damage)
{
	static const uint32_t counts[] = {
		CONTROL_PURGE_SLOTS + 1, CONTROL_PURGE_SLOTS + 10, 1 << 20};
	const struct control_extent valid = {0, 1};

	for (int i = 0; i < 3; i++) {
		begin(PAGES);
		unsigned char *at = (unsigned char *)block.map.shared->purge;
		unsigned char *end = (unsigned char *)&block.map.shared->id;
		for (; at + sizeof(valid) <= end; at += sizeof(valid))
			memcpy(at, &valid, sizeof(valid));
		block.map.shared->purge_count = counts[i];
		block_abandon(&block.map);
		expect_eq(control_lock(&block.map), -EUCLEAN);
		expect_pages(0, PAGES - 1, 1);
		block_drop(&block);
	}
}

/* A peer seals the file against writing, which forbids to free pages as well. */
CONTRACT_TEST(control_purge, pages_that_cannot_be_freed_stay_live)
{
	block = block_make_sealed(PAGES, F_SEAL_SHRINK | F_SEAL_GROW);
	fill_data(&block, 0, PAGES - 1);
	freed = 0;
	block_unpin_at(&block.map, 100, 109, 5);
	block_unpin_at(&block.map, 200, 219, 6);
	if (fcntl(block.fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE) < 0)
		contract_skip("no F_SEAL_FUTURE_WRITE before Linux 5.1");
	expect_eq(purge(UINT64_MAX, ALL), 0);
	expect_eq(freed, 0);
	expect_eq(block.map.shared->sealed, 1);
	expect(!(block.map.shared->prot & PROT_WRITE));
	expect_pages(0, PAGES - 1, 1);
	expect_eq(range_peek_evictable(&block.map.list), 30);
	expect_eq(control_lock(&block.map), 0);
	control_unlock(&block.map, 0);
	block_drop(&block);
}

/* -- stamps -- */

CONTRACT_TEST(control_stamps, they_increase_strictly_though_the_clock_does_not)
{
	struct stamp_clock clock = {.last_stamp = 0};
	uint64_t now = sys_now_ns(), last = 0;

	begin(PAGES);
	for (int i = 0; i < 1000; i++) {
		uint64_t stamp = control_next_stamp(&block.map, &clock, now + (uint64_t)(i / 100));
		expect(stamp > last);
		last = stamp;
	}
	expect(last < now + 2000);
	block_drop(&block);
}

CONTRACT_TEST(control_stamps, they_increase_across_areas_and_threads)
{
	struct stamp_clock clocks[2] = {{.last_stamp = 0}, {.last_stamp = 0}};
	struct block other;
	uint64_t now = sys_now_ns(), last = 0, last_of_thread[2] = {0, 0};

	begin(PAGES);
	other = block_make(PAGES);
	for (int i = 0; i < 1000; i++) {
		/* Two threads in one area: ordered by the area. One thread in two areas: by the
		 * thread. */
		struct block *area = i % 4 == 3 ? &other : &block;
		int thread = i % 2;
		uint64_t stamp = control_next_stamp(&area->map, &clocks[thread], now);
		expect(stamp > last_of_thread[thread]);
		expect(area == &other || stamp > last);
		last_of_thread[thread] = stamp;
		last = area == &block ? stamp : last;
	}
	block_drop(&other);
	block_drop(&block);
}

CONTRACT_TEST(control_stamps, hostile_last_stamp_does_not_reach_other_areas)
{
	const uint64_t hour = UINT64_C(3600000000000), second = 1000000000;
	struct stamp_clock clock = {.last_stamp = 0};
	struct block other;

	begin(PAGES);
	other = block_make(PAGES);
	for (int i = 0; i < 200; i++) {
		uint64_t now = sys_now_ns();
		const uint64_t nonsense[] = {UINT64_MAX, UINT64_MAX - 1, now + hour, now + second,
			now + hour - 1, now + 900000, clock.last_stamp + 900000,
			clock.last_stamp + hour / 2, UINT64_C(1) << 63};
		uint64_t last = clock.last_stamp, stamp;

		block.map.shared->last_stamp = nonsense[(unsigned)i % 9];
		stamp = control_next_stamp(&block.map, &clock, now);
		expect(stamp > last);
		expect_msg(stamp < now + second / 10, "%" PRIu64 " ns ahead", stamp - now);
		expect(control_next_stamp(&other.map, &clock, now) < now + second / 10);
	}
	block_drop(&other);
	block_drop(&block);
}

CONTRACT_TEST(control_stamps, the_clock_follows_the_systems)
{
	uint64_t begun = sys_now_ns();

	do {
		uint64_t before = sys_now_ns(), stamp = stamp_now(&stamp_clock),
			 after = sys_now_ns();
		expect_msg(stamp + 100000 > before && stamp < after + 100000,
			"%" PRIu64 " is not between %" PRIu64 " and %" PRIu64, stamp, before,
			after);
	} while (sys_now_ns() - begun < 300000000);
}
