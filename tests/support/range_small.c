/* SPDX-License-Identifier: MIT */
/* Calls on one small range list: see range_small.h. */
#include "support/range_small.h"

struct range_list *list;

void begin(uint32_t pages)
{
	static struct arena *arena;

	if (arena)
		arena_drop(arena);
	arena = arena_make(pages);
	list = arena->list;
}

void unpin(uint32_t first, uint32_t last, uint64_t stamp)
{
	expect_eq(range_unpin(list, first, last, stamp), 0);
	expect_sound(list);
}

int pin(uint32_t first, uint32_t last)
{
	int r = range_pin(list, first, last);

	expect_sound(list);
	return r;
}

void purge(uint32_t start, uint32_t live)
{
	expect_eq(range_mark_purged(list, start), 0);
	expect_sound(list);
	expect_eq(range_set_live(list, start, live), 0);
	expect_sound(list);
}

uint64_t oldest(void)
{
	struct range range;

	return range_oldest(list, &range) == 1 ? range.stamp : RANGE_NO_STAMP;
}
