/* SPDX-License-Identifier: MIT */
/* What the contract says, as the simplest program that says it: see model.h. */
#include "support/model.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

void model_init(struct model *model, int areas, uint64_t pages, int forgets_merged)
{
	int i;
	uint64_t page;

	memset(model, 0, sizeof *model);
	model->areas = areas;
	model->forgets_merged = forgets_merged;
	for (i = 0; i < areas; i++) {
		model->area[i].pages = pages;
		for (page = 0; page < MODEL_PAGES; page++)
			model->area[i].range_of[page] = MODEL_PINNED;
	}
}

int model_check(const struct model_area *area, uint64_t page_size, uint64_t offset, uint64_t length,
	uint64_t *first, uint64_t *count)
{
	uint64_t end = area->pages * page_size;

	if (offset % page_size != 0 || length % page_size != 0 || offset > end)
		return -EINVAL;
	if (length > end - offset)
		return -EINVAL;
	*first = offset / page_size;
	*count = length == 0 ? area->pages - *first : length / page_size;
	return 0;
}

static uint64_t pages_of(const struct model_area *area, int range)
{
	uint64_t page, count = 0;

	for (page = 0; page < area->pages; page++)
		count += area->range_of[page] == range;
	return count;
}

/* D1: what a purge could still free of a range. */
static uint64_t live_of(const struct model_area *area, int range)
{
	uint64_t page, count = 0;

	for (page = 0; page < area->pages; page++)
		count += area->range_of[page] == range && !area->lost[page];
	return count;
}

static int new_range(struct model_area *area)
{
	int i = 0;

	while (area->ranges[i].in_use)
		i++;
	memset(&area->ranges[i], 0, sizeof area->ranges[i]);
	area->ranges[i].in_use = 1;
	return i;
}

/* Rule 10, first sentence: one range that has all of these pages. */
static int is_inside_one_range(const struct model_area *area, uint64_t first, uint64_t count)
{
	uint64_t page;

	for (page = first; page < first + count; page++) {
		if (area->range_of[page] == MODEL_PINNED ||
			area->range_of[page] != area->range_of[first])
			return 0;
	}
	return 1;
}

/* Every page of one range now belongs to another, which inherits the mark. */
static void absorb(struct model_area *area, int into, int range)
{
	uint64_t page;

	for (page = 0; page < area->pages; page++) {
		if (area->range_of[page] == range)
			area->range_of[page] = into;
	}
	area->ranges[into].purged |= area->ranges[range].purged;
	area->ranges[range].in_use = 0;
}

/*
 * What is purged first has the smallest: by priority, then last-in-first-out ones, then the others.
 */
static uint64_t rank_of(uint64_t age, unsigned priority, int lifo)
{
	return ((uint64_t)priority * 2 + !lifo) << 56 | (lifo ? ((uint64_t)1 << 55) - age : age);
}

int model_unpin(struct model *model, int which, uint64_t first, uint64_t count)
{
	return model_unpin_with(model, which, first, count, 4, 0);
}

int model_unpin_with(struct model *model, int which, uint64_t first, uint64_t count,
	unsigned priority, int lifo)
{
	struct model_area *area = &model->area[which];
	uint64_t page;
	int merged;

	if (count == 0 || is_inside_one_range(area, first, count))
		return 0;
	merged = new_range(area);
	area->ranges[merged].age = rank_of(++model->last_age, priority, lifo);
	for (page = first; page < first + count; page++) {
		if (area->range_of[page] == MODEL_PINNED)
			area->range_of[page] = merged;
		else if (area->range_of[page] != merged)
			absorb(area, merged, area->range_of[page]);
	}
	return 0;
}

/* What a range has left and right of the pages pinned goes on as two ranges, with mark and age. */
static void cut(struct model_area *area, int range, uint64_t first, uint64_t count)
{
	struct model_range before = area->ranges[range];
	int right = MODEL_PINNED;
	uint64_t page, left_pages = 0;

	for (page = 0; page < area->pages; page++) {
		if (area->range_of[page] != range)
			continue;
		if (page < first) {
			left_pages++;
		} else if (page < first + count) {
			area->range_of[page] = MODEL_PINNED;
			area->lost[page] = 0;
		} else {
			if (right == MODEL_PINNED) {
				right = new_range(area);
				area->ranges[right] = before;
			}
			area->range_of[page] = right;
		}
	}
	if (left_pages == 0)
		area->ranges[range].in_use = 0;
}

int model_pin(struct model *model, int which, uint64_t first, uint64_t count)
{
	struct model_area *area = &model->area[which];
	uint64_t page;
	int was_purged = 0;

	for (page = first; page < first + count; page++) {
		int range = area->range_of[page];

		if (range == MODEL_PINNED)
			continue;
		was_purged |= area->ranges[range].purged;
		cut(area, range, first, count);
	}
	return was_purged;
}

int model_status(const struct model *model, int which, uint64_t first, uint64_t count)
{
	uint64_t page;

	for (page = first; page < first + count; page++) {
		if (model->area[which].range_of[page] != MODEL_PINNED)
			return 0;
	}
	return 1;
}

static uint64_t evictable(const struct model *model, const struct model_area *area, int range)
{
	const struct model_range *r = &area->ranges[range];

	if (!r->in_use || (model->forgets_merged && r->purged))
		return 0;
	return model->forgets_merged ? pages_of(area, range) : live_of(area, range);
}

uint64_t model_shrink_count(const struct model *model)
{
	uint64_t count = 0;
	int a, r;

	for (a = 0; a < model->areas; a++) {
		for (r = 0; r < MODEL_RANGES; r++)
			count += evictable(model, &model->area[a], r);
	}
	return count;
}

static void purge_range(struct model_area *area, int range)
{
	uint64_t page;

	for (page = 0; page < area->pages; page++) {
		if (area->range_of[page] != range)
			continue;
		area->freed[page]++;
		area->lost[page] = 1;
	}
	area->ranges[range].purged = 1;
}

static uint64_t oldest_age(const struct model *model)
{
	uint64_t oldest = UINT64_MAX;
	int a, r;

	for (a = 0; a < model->areas; a++) {
		for (r = 0; r < MODEL_RANGES; r++) {
			if (evictable(model, &model->area[a], r) != 0 &&
				model->area[a].ranges[r].age < oldest)
				oldest = model->area[a].ranges[r].age;
		}
	}
	return oldest;
}

/*
 * All evictable ranges of the oldest age: more than one only if a pin has split a range. Pages
 * freed.
 */
static uint64_t purge_oldest_age(struct model *model, uint64_t *smallest)
{
	uint64_t oldest = oldest_age(model), freed = 0, pages;
	int a, r;

	*smallest = UINT64_MAX;
	for (a = 0; a < model->areas; a++) {
		for (r = 0; r < MODEL_RANGES; r++) {
			pages = evictable(model, &model->area[a], r);
			if (pages == 0 || model->area[a].ranges[r].age != oldest)
				continue;
			purge_range(&model->area[a], r);
			freed += pages;
			*smallest = pages < *smallest ? pages : *smallest;
		}
	}
	return freed;
}

uint64_t model_shrink(struct model *model, uint64_t *nr_pages)
{
	uint64_t total = 0, freed, smallest;

	while (total < *nr_pages) {
		freed = purge_oldest_age(model, &smallest);
		if (freed == 0)
			break;
		total += freed;
		if (total - smallest >= *nr_pages)
			*nr_pages = total - smallest + 1;
	}
	return total;
}

uint64_t model_purge_all(struct model *model)
{
	uint64_t count = model_shrink_count(model), smallest;

	while (purge_oldest_age(model, &smallest) != 0)
		;
	return count;
}

int model_find(const struct model_area *area, uint64_t from, uint64_t *first, uint64_t *count,
	int *purged, uint64_t *live_pages)
{
	uint64_t page = from;
	int range;

	while (page < area->pages && area->range_of[page] == MODEL_PINNED)
		page++;
	if (page >= area->pages)
		return 0;
	range = area->range_of[page];
	while (page > 0 && area->range_of[page - 1] == range)
		page--;
	*first = page;
	*count = pages_of(area, range);
	*purged = area->ranges[range].purged;
	*live_pages = live_of(area, range);
	return 1;
}
