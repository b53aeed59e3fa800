/* SPDX-License-Identifier: MIT */
/*
 * A crash at every store of random operations on random lists (range_crash.h). ASHMEM_TEST_SEED
 * repeats a run; ASHMEM_TEST_CRASHES (60, fewer under the address sanitizer) is the number of
 * operations that are crashed.
 */
#define _GNU_SOURCE 1
#include "support/random.h"
#include "support/range_crash.h"
#include "support/stepper.h"
#include "support/tools.h"

#include <stdlib.h>

/* An operation drawn beforehand, since several processes do the same one. */
static struct operation {
	enum { PIN, UNPIN, MARK, FREE, SWEEP } kind;
	uint32_t first, last;
	uint64_t stamp;
} operation;

static struct random_source source;
static uint64_t stamp;

static void draw(uint32_t pages)
{
	uint64_t longest = random_below(&source, 8) ? 6 : pages;
	static const unsigned char of_ten[] = {
		PIN, PIN, PIN, UNPIN, UNPIN, UNPIN, UNPIN, UNPIN, MARK, FREE};

	operation.kind = of_ten[random_below(&source, 10)];
	if (operation.kind == FREE && random_below(&source, 2))
		operation.kind = SWEEP;
	operation.first = (uint32_t)random_below(&source, pages);
	operation.last = operation.first + (uint32_t)random_below(&source, longest);
	if (operation.last >= pages)
		operation.last = pages - 1;
	operation.stamp = ++stamp;
}

/* The oldest range, if it is marked: its live pages go, by the way of a sweep. */
static void sweep_one(struct range_list *list)
{
	struct range_sweep sweep;
	struct range range;

	range_sweep_begin(&sweep);
	if (range_sweep_next(list, &sweep, &range) == 1 && (range.flags & RANGE_PURGED))
		range_sweep_set_live(list, &sweep, &range, range.live / 2);
	range_sweep_end(list, &sweep);
}

static void operate(struct range_list *list)
{
	struct range range;

	if (operation.kind == PIN)
		expect(range_pin(list, operation.first, operation.last) >= 0);
	else if (operation.kind == UNPIN)
		expect_eq(range_unpin(list, operation.first, operation.last, operation.stamp), 0);
	else if (operation.kind == SWEEP)
		sweep_one(list);
	else if (range_oldest(list, &range) == 1 && operation.kind == MARK)
		expect_eq(range_mark_purged(list, range.start), 0);
	else if (range_oldest(list, &range) == 1 && (range.flags & RANGE_PURGED))
		expect_eq(range_set_live(list, range.start, range.live / 2), 0);
}

static uint64_t crashes(void)
{
	const char *text = getenv("ASHMEM_TEST_CRASHES");
	uint64_t count = text ? strtoull(text, NULL, 0) : 0;

	if (count)
		return count;
	return UNDER_ADDRESS_SANITIZER ? 15 : 60;
}

/* Small steps: the list goes through all shapes, and every so often an operation is crashed before
 * it is done. */
static void crash_random_operations(uint32_t pages, uint32_t operations_between)
{
	struct arena *arena = arena_make(pages);

	skip_without_stepping();
	source = random_from(test_seed("crashes") + pages);
	for (uint64_t done = 0; done < crashes(); done++) {
		for (uint32_t i = 0; i < operations_between; i++) {
			draw(pages);
			/* Few wide operations, or the list stays short. */
			if (operation.last - operation.first < 6 || random_below(&source, 64) == 0)
				operate(arena->list);
		}
		expect_sound(arena->list);
		struct arena *before = arena_make(pages);
		arena_copy(before, arena);
		draw(pages);
		crash_everywhere(before, operate, 0);
	}
	arena_drop(arena);
}

CONTRACT_TEST(recovery_random, operations_on_a_short_list)
{
	crash_random_operations(60, 40);
}

CONTRACT_TEST(recovery_random, operations_on_a_list_of_some_leaves)
{
	crash_random_operations(300, 150);
}

CONTRACT_TEST(recovery_random, operations_on_a_list_of_many_leaves)
{
	crash_random_operations(1500, 1000);
}
