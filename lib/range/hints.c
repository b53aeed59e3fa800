/* SPDX-License-Identifier: MIT */
/*
 * Hints for searches in large lists: see hints.h. Nothing here needs the area's lock: the hints are
 * a process's own memory, and of the list only addresses are computed.
 */
#include "range/hints.h"

#include "range/prefetch.h"

/* Of the score. */
#define HINTS_TRUSTED 0
#define HINTS_BEST 64
#define HINTS_WORST (-64)

void range_give_hints(struct range_list *list, struct range_hints *hints)
{
	uint32_t shift = 0;

	while (list->pages >> shift > RANGE_HINTS)
		shift++;
	list->hints = hints;
	list->hint_shift = shift;
	list->hints_asked = 1;
}

static uint16_t *hint_for(const struct range_list *list, uint32_t page)
{
	return &list->hints->leaf[(page >> list->hint_shift) % RANGE_HINTS];
}

uint32_t hints_fetch(const struct range_list *list, uint32_t page)
{
	uint32_t leaf = SHARED_LOAD(*hint_for(list, page));

	if (leaf == 0 || SHARED_LOAD(list->hints->score) < HINTS_TRUSTED)
		return 0;
	prefetch_node(list, leaf);
	return leaf;
}

void range_fetch_hinted(struct range_list *list, uint32_t page)
{
	if (page < list->path_low || page >= list->path_high)
		list->fetched = hints_fetch(list, page);
}

void hints_learn(const struct range_list *list, uint32_t page, uint32_t leaf)
{
	uint16_t *hint = hint_for(list, page);
	uint32_t said = SHARED_LOAD(*hint);
	int32_t score = SHARED_LOAD(list->hints->score);

	if (said == leaf) {
		if (score < HINTS_BEST)
			SHARED_STORE(list->hints->score, score + 1);
		return;
	}
	/* A leaf fetched in vain costs more than one not fetched. */
	if (said != 0 && score > HINTS_WORST)
		SHARED_STORE(list->hints->score, score - 2);
	SHARED_STORE(*hint, leaf <= UINT16_MAX ? (uint16_t)leaf : 0);
}
