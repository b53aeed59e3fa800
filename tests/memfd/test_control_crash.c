/* SPDX-License-Identifier: MIT */
/*
 * A crash at every store of the calls on a control block: lock, operation, purge, unlock.
 *
 * A child makes the call one instruction at a time. Whenever the shared memory has changed, all of
 * it, data and control block, is copied to another area, whose lock then says what the kernel would
 * have left there. Whoever takes that lock finds the call done wholly or not at all; every page
 * that a pin calls NOT_PURGED is as it was; and no range that counts as purged has a page left.
 */
#define _GNU_SOURCE 1
#include "support/controls.h"
#include "support/hostile.h"
#include "support/range_arena.h"
#include "support/stepper.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/sys.h"
#include "range/lost_bitmap.h"

enum { MOST_RANGES = 64, ALL = 1 << 20 };

struct state {
	uint64_t count;
	struct range ranges[MOST_RANGES];
};

static struct block before, running, seen, crashed, after;
static struct range_list fresh_list; /* of `crashed` */
static void (*operation)(struct control_map *map);
static struct state was, will_be;
static int child;
static uint64_t stores;

static void read_state(struct block *block, struct state *state)
{
	state->count = list_read(&block->map.list, state->ranges, MOST_RANGES);
	expect(state->count <= MOST_RANGES);
}

/* Same ranges; marks and live counts may differ if `but_for_marks`. */
static int states_equal(const struct state *a, const struct state *b, int but_for_marks)
{
	if (a->count != b->count)
		return 0;
	for (uint64_t i = 0; i < a->count; i++) {
		struct range ours = a->ranges[i];
		if (but_for_marks) {
			ours.flags = b->ranges[i].flags;
			ours.live = b->ranges[i].live;
		}
		if (!ranges_equal(&ours, &b->ranges[i]))
			return 0;
	}
	return 1;
}

/* -- copies -- */

static size_t data_bytes(const struct block *block)
{
	return (size_t)block->pages * sys_page_size();
}

/* The constant end stays each area's own. */
static size_t state_bytes(const struct block *block)
{
	return block->map.bytes - sizeof(struct control_id);
}

static void copy_block(struct block *to, const struct block *from)
{
	memcpy(to->map.base, from->map.base, state_bytes(from));
	memcpy(to->data, from->data, data_bytes(from));
}

static int blocks_differ(const struct block *a, const struct block *b)
{
	return memcmp(a->map.base, b->map.base, state_bytes(a)) != 0 ||
		memcmp(a->data, b->data, data_bytes(a)) != 0;
}

/* -- a crash -- */

/* Whether a page is pinned before and after the operation. */
static int always_pinned(uint32_t page)
{
	for (uint64_t i = 0; i < was.count; i++)
		if (page >= was.ranges[i].start && page - was.ranges[i].start < was.ranges[i].pages)
			return 0;
	return !range_overlaps(&after.map.list, page, page);
}

static void check_honesty(const struct state *state)
{
	for (uint64_t i = 0; i < state->count; i++) {
		const struct range *range = &state->ranges[i];
		uint32_t last = range->start + range->pages - 1;
		uint32_t filled = filled_pages(&crashed, range->start, last);

		expect_msg((range->flags & RANGE_PURGED) || filled == range->pages,
			"store %" PRIu64 ": pages of %" PRIu32 "+%" PRIu32 " are lost, and no mark",
			stores, range->start, range->pages);
		expect_msg(filled <= range->live,
			"store %" PRIu64 ": %" PRIu32 " pages of %" PRIu32 "+%" PRIu32
			" are left, %" PRIu32 " counted",
			stores, filled, range->start, range->pages, range->live);
	}
	for (uint32_t page = 0; page < crashed.pages; page++)
		expect(!always_pinned(page) || page_is_filled(&crashed, page));
}

/* However far purges had come: in the end every unpinned page is free, and none else. */
static void expect_purge_to_end(void)
{
	struct purge_progress progress = {.work_done = 0};
	uint64_t freed = 0;
	struct state now;

	while (block_purge(&crashed.map, &progress, UINT64_MAX, ALL, &freed) == 1)
		expect(freed <= crashed.pages);
	read_state(&crashed, &now);
	check_honesty(&now);
	expect_eq(range_peek_evictable(&crashed.map.list), 0);
}

static void expect_lost_before_gone(void)
{
	for (uint32_t page = 0; page < seen.pages; page++)
		expect_msg(page_is_filled(&seen, page) || !page_is_filled(&before, page) ||
				lost_bitmap_count(seen.map.lost, page, page) == 1,
			"store %" PRIu64 ": page %" PRIu32 " is gone, and not called lost", stores,
			page);
}

static void crash_here(void)
{
	struct state now;
	uint32_t *lock = &crashed.map.shared->lock;

	/* The list is remembered from before, as a survivor does. */
	copy_block(&crashed, &before);
	crashed.map.list = fresh_list;
	for (uint32_t page = 0; page < crashed.pages; page += 7)
		expect(range_overlaps(&crashed.map.list, page, page) >= 0);
	copy_block(&crashed, &seen);
	if ((*lock & 0x3fffffff) == (uint32_t)child)
		*lock = (*lock & 0x80000000u) | 0x40000000u;
	else
		expect_eq(*lock, 0);

	expect_eq(control_lock(&crashed.map), 0);
	expect_sound(&crashed.map.list);
	expect_eq(crashed.map.shared->purge_count, 0);
	control_unlock(&crashed.map, 0);
	read_state(&crashed, &now);
	expect_msg(states_equal(&now, &was, 0) || states_equal(&now, &will_be, 0) ||
			(states_equal(&was, &will_be, 1) && states_equal(&now, &was, 1)),
		"neither before nor after at store %" PRIu64 ": %s", stores,
		list_text(&crashed.map.list));
	check_honesty(&now);
	expect(attach_answer(crashed.fd) == 0);

	/* Life goes on. */
	operation(&crashed.map);
	read_state(&crashed, &now);
	check_honesty(&now);
	expect_purge_to_end();
}

static void look(void *context)
{
	(void)context;
	if (!blocks_differ(&seen, &running))
		return;
	copy_block(&seen, &running);
	stores++;
	expect_lost_before_gone();
	crash_here();
}

static void run(void *argument)
{
	(void)argument;
	operation(&running.map);
}

/* -- the cases: some ranges of every kind in a small area -- */

static struct block prepare(uint32_t pages)
{
	struct block block = block_make(pages);

	fill_data(&block, 0, pages - 1);
	return block;
}

static void prepare_ranges(void)
{
	struct purge_progress progress = {.work_done = 0};
	uint64_t freed = 0;

	running = prepare(48);
	block_unpin_at(&running.map, 2, 4, 5);
	expect_eq(block_purge(&running.map, &progress, UINT64_MAX, ALL, &freed), 1);
	block_unpin_at(&running.map, 8, 11, 6);
	block_unpin_at(&running.map, 12, 15, 7);
	block_unpin_at(&running.map, 20, 20, 8);
	expect_eq(block_purge(&running.map, &progress, 6, ALL, &freed), 1);
	block_unpin_at(&running.map, 10, 10, 9);
	block_unpin_at(&running.map, 3, 6, 10); /* partly purged */
	block_unpin_at(&running.map, 30, 39, 11);
}

static void crash_everywhere(void (*call)(struct control_map *map))
{
	uint64_t steps;

	after = prepare(running.pages);
	before = prepare(running.pages);
	seen = prepare(running.pages);
	crashed = prepare(running.pages);
	fresh_list = crashed.map.list;
	operation = call;
	stores = 0;
	copy_block(&before, &running);
	copy_block(&after, &running);
	copy_block(&seen, &running);
	read_state(&running, &was);
	call(&after.map);
	read_state(&after, &will_be);

	steps = step_through(run, NULL, look, NULL, &child);
	fprintf(stderr, "%" PRIu64 " instructions, %" PRIu64 " stores\n", steps, stores);
	expect(stores > 1);
	read_state(&running, &was);
	expect(states_equal(&was, &will_be, 0));
	block_drop(&after);
	block_drop(&before);
	block_drop(&running);
	block_drop(&seen);
	block_drop(&crashed);
}

static void pin_some(struct control_map *map)
{
	expect_eq(control_lock(map), 0);
	int r = range_pin(&map->list, 10, 32);
	expect(r >= 0);
	control_unlock(map, r);
}

CONTRACT_TEST(control_crash, while_pinning)
{
	skip_without_stepping();
	prepare_ranges();
	crash_everywhere(pin_some);
}

static void unpin_some(struct control_map *map)
{
	expect_eq(control_lock(map), 0);
	int r = range_unpin(&map->list, 14, 31, 20);
	expect_eq(r, 0);
	control_unlock(map, r);
}

CONTRACT_TEST(control_crash, while_unpinning)
{
	skip_without_stepping();
	prepare_ranges();
	crash_everywhere(unpin_some);
}

static void purge_up_to_10(struct control_map *map)
{
	struct purge_progress progress = {.work_done = 0};
	uint64_t freed = 0;

	expect_eq(control_lock(map), 0);
	int r = control_purge(map, &progress, 10, ALL, CONTROL_FREE_MEMORY, &freed);
	expect(r >= 0);
	control_unlock(map, r);
}

CONTRACT_TEST(control_crash, while_purging)
{
	skip_without_stepping();
	prepare_ranges();
	crash_everywhere(purge_up_to_10);
}

static void purge_all(struct control_map *map)
{
	struct purge_progress progress = {.work_done = 0};
	uint64_t freed = 0;
	int r;

	do {
		expect_eq(control_lock(map), 0);
		r = control_purge(map, &progress, UINT64_MAX, ALL, CONTROL_FREE_MEMORY, &freed);
		expect(r >= 0);
		control_unlock(map, r);
	} while (r > 0);
}

CONTRACT_TEST(control_crash, while_purging_everything)
{
	skip_without_stepping();
	prepare_ranges();
	crash_everywhere(purge_all);
}

static void purge_one_piece(struct control_map *map)
{
	struct purge_progress progress = {.work_done = 0};
	uint64_t freed = 0;

	expect_eq(control_lock(map), 0);
	int r = control_purge(map, &progress, UINT64_MAX, 1, CONTROL_FREE_MEMORY, &freed);
	expect(r >= 0);
	control_unlock(map, r);
}

/* The first piece, the second, and the last of a range longer than one hold of the lock may free.
 */
CONTRACT_TEST(control_crash, while_purging_a_long_range_in_pieces)
{
	skip_without_stepping();
	for (int pieces_before = 0; pieces_before < 3; pieces_before++) {
		running = prepare(1200);
		block_unpin_at(&running.map, 50, 1149, 5);
		for (int i = 0; i < pieces_before; i++)
			purge_one_piece(&running.map);
		crash_everywhere(purge_one_piece);
	}
}

/* The freed part was pinned, used, and is unpinned again: crashing may not take it for free because
 * of the cursor. */
CONTRACT_TEST(control_crash, while_purging_the_rest_of_a_range_in_pieces)
{
	skip_without_stepping();
	running = prepare(1200);
	block_unpin_at(&running.map, 50, 1149, 5);
	purge_one_piece(&running.map);
	expect_eq(block_pin(&running.map, 50, 99), 1);
	fill_data(&running, 50, 99);
	block_unpin_at(&running.map, 50, 99, 4);
	crash_everywhere(purge_one_piece);
}

/* The cursor says how far another range was freed, further than this one will be. */
CONTRACT_TEST(control_crash, while_beginning_a_long_range_after_another)
{
	skip_without_stepping();
	running = prepare(2700);
	block_unpin_at(&running.map, 0, 1299, 5);
	purge_one_piece(&running.map);
	purge_one_piece(&running.map);
	expect_eq(block_pin(&running.map, 0, 1299), 1);
	fill_data(&running, 0, 1299);
	block_unpin_at(&running.map, 1350, 2649, 6);
	crash_everywhere(purge_one_piece);
}
