/* SPDX-License-Identifier: MIT */
/*
 * Range lists by the contract's rules 10 to 14 and D1, as the simplest program that says it: an
 * array in order, every rule a loop over it. It uses nothing of the library but the struct. Unlike
 * tests/support/model.c it starts from any list, with more ranges than a tree node holds.
 */
#include <string.h>

#include "crash.h"

static uint64_t end_of(const struct range *range)
{
	return (uint64_t)range->start + range->pages;
}

static int overlaps(const struct range *range, uint32_t first, uint32_t pages)
{
	return range->start < (uint64_t)first + pages && end_of(range) > first;
}

static void insert(struct list *list, const struct range *range)
{
	uint32_t at = 0;

	while (at < list->count && list->range[at].start < range->start)
		at++;
	memmove(&list->range[at + 1], &list->range[at], (list->count - at) * sizeof(*range));
	list->range[at] = *range;
	list->count++;
	if (list->count >= RANGES_MAX)
		die("a list longer than RANGES_MAX");
}

static void erase(struct list *list, uint32_t at)
{
	list->count--;
	memmove(&list->range[at], &list->range[at + 1],
		(list->count - at) * sizeof(list->range[0]));
}

int naive_unpin(struct list *list, uint32_t first, uint32_t pages, uint64_t key)
{
	struct range merged = {.start = first, .pages = pages, .live = pages, .stamp = key};
	uint64_t end = (uint64_t)first + pages, live = 0, was_unpinned = 0;

	for (uint32_t i = 0; i < list->count; i++)
		if (list->range[i].start <= first && end_of(&list->range[i]) >= end)
			return 0;
	for (uint32_t i = 0; i < list->count;) {
		struct range range = list->range[i];
		if (!overlaps(&range, first, pages)) {
			i++;
			continue;
		}
		live += range.live;
		was_unpinned += range.pages;
		merged.flags |= range.flags;
		merged.start = range.start < merged.start ? range.start : merged.start;
		end = end_of(&range) > end ? end_of(&range) : end;
		erase(list, i);
	}
	merged.pages = (uint32_t)(end - merged.start);
	merged.live = (uint32_t)(merged.pages - was_unpinned + live);
	insert(list, &merged);
	return 0;
}

/* How many pages of a range are live. */
static uint32_t live_of(const struct list *list, const struct range *range)
{
	uint32_t live = 0;

	for (uint32_t i = 0; i < range->pages; i++)
		live += !list->lost[range->start + i];
	return live;
}

static void insert_part(struct list *list, const struct range *whole, uint32_t start, uint64_t end)
{
	struct range part = *whole;

	if (end <= start)
		return;
	part.start = start;
	part.pages = (uint32_t)(end - start);
	/* A count from above, as long as a purge is not at its end. */
	part.live = whole->live < live_of(list, &part) ? whole->live : live_of(list, &part);
	insert(list, &part);
}

int naive_pin(struct list *list, uint32_t first, uint32_t pages)
{
	uint64_t end = (uint64_t)first + pages;
	int purged = 0;

	for (uint32_t i = 0; i < list->count;) {
		struct range range = list->range[i];
		if (!overlaps(&range, first, pages)) {
			i++;
			continue;
		}
		purged |= (range.flags & RANGE_PURGED) != 0;
		erase(list, i);
		insert_part(list, &range, range.start, first);
		insert_part(list, &range, (uint32_t)end, end_of(&range));
	}
	memset(list->lost + first, 0, pages);
	return purged ? ASHMEM_WAS_PURGED : ASHMEM_NOT_PURGED;
}

int naive_release(struct list *list, uint32_t first, uint32_t pages, uint64_t key)
{
	uint64_t end = (uint64_t)first + pages;

	for (uint32_t i = 0; i < list->count; i++) {
		struct range range = list->range[i], fresh = range;
		if (!overlaps(&range, first, pages))
			continue;
		erase(list, i);
		insert_part(list, &range, range.start, first);
		insert_part(list, &range, (uint32_t)end, end_of(&range));
		fresh.start = range.start > first ? range.start : first;
		fresh.pages =
			(uint32_t)((end_of(&range) < end ? end_of(&range) : end) - fresh.start);
		fresh.live = fresh.pages;
		fresh.flags = 0;
		fresh.stamp = key;
		insert(list, &fresh);
		while (i < list->count && list->range[i].start < fresh.start)
			i++;
	}
	memset(list->lost + first, 0, pages);
	return 0;
}

int naive_look(const struct list *list, uint32_t first, uint32_t pages)
{
	for (uint32_t i = 0; i < list->count; i++)
		if (overlaps(&list->range[i], first, pages) &&
			(list->range[i].flags & RANGE_PURGED))
			return ASHMEM_WAS_PURGED;
	return ASHMEM_NOT_PURGED;
}

int naive_status(const struct list *list, uint32_t first, uint32_t pages)
{
	for (uint32_t i = 0; i < list->count; i++)
		if (overlaps(&list->range[i], first, pages))
			return ASHMEM_IS_UNPINNED;
	return ASHMEM_IS_PINNED;
}

const struct range *naive_find(const struct list *list, uint32_t page)
{
	for (uint32_t i = 0; i < list->count; i++)
		if (overlaps(&list->range[i], page, 1))
			return &list->range[i];
	return NULL;
}

/* The first page of a range that is not lost, or its last one. */
static uint32_t first_live(const struct list *list, const struct range *range)
{
	uint32_t page = range->start;

	while (page + 1 < end_of(range) && list->lost[page])
		page++;
	return page;
}

/* D8: a range of more than so many pages goes in part. */
enum { WHOLE_PAGES = 512 };

/* Purge a range, or what is wanted of it; the pages freed. */
static uint64_t purge_range(struct list *list, struct range *range, uint64_t wanted)
{
	uint32_t from = range->start, end = (uint32_t)end_of(range), live = range->live, freed = 0;

	uint32_t data = first_live(list, range);

	if (data - from >= WHOLE_PAGES)
		from = data;
	if (end - from > WHOLE_PAGES && end - data > wanted)
		end = data + (uint32_t)wanted;
	/* What is lost holds no memory: live pages can be, if a purge died after their note. */
	for (uint32_t page = from; page < end; page++)
		freed += !list->lost[page];
	memset(list->lost + from, 1, end - from);
	range->flags = RANGE_PURGED;
	range->live = (uint32_t)end_of(range) - end;
	range->live = range->live < live ? range->live : live;
	return freed;
}

uint64_t naive_purge(struct list *list, uint32_t first, uint32_t pages)
{
	uint64_t end = (uint64_t)first + pages, freed = 0;

	for (uint32_t i = 0; i < list->count; i++) {
		struct range range = list->range[i], part = range;
		if (!overlaps(&range, first, pages) || range.live == 0)
			continue;
		part.start = range.start > first ? range.start : first;
		part.pages = (uint32_t)((end_of(&range) < end ? end_of(&range) : end) - part.start);
		erase(list, i);
		insert_part(list, &range, range.start, part.start);
		insert_part(list, &range, (uint32_t)end_of(&part), end_of(&range));
		insert_part(list, &range, part.start, end_of(&part));
		while (list->range[i].start < part.start)
			i++;
		if (list->range[i].live > 0)
			freed += purge_range(list, &list->range[i], UINT64_MAX);
	}
	return freed;
}

uint64_t naive_shrink(struct list *lists, int areas, uint64_t nr_pages)
{
	uint64_t freed = 0;

	while (freed < nr_pages) {
		struct range *oldest = NULL;
		struct list *its_list = NULL;
		for (int a = 0; a < areas; a++)
			for (uint32_t i = 0; i < lists[a].count; i++) {
				struct range *range = &lists[a].range[i];
				if (range->live && (!oldest || range->stamp < oldest->stamp)) {
					oldest = range;
					its_list = &lists[a];
				}
			}
		if (!oldest)
			break;
		freed += purge_range(its_list, oldest, nr_pages - freed);
	}
	return freed;
}

uint64_t naive_evictable(const struct list *lists, int areas)
{
	uint64_t pages = 0;

	for (int a = 0; a < areas; a++)
		for (uint32_t i = 0; i < lists[a].count; i++)
			pages += lists[a].range[i].live;
	return pages;
}

int lists_equal(const struct list *a, const struct list *b)
{
	if (a->count != b->count)
		return 0;
	for (uint32_t i = 0; i < a->count; i++) {
		const struct range *x = &a->range[i], *y = &b->range[i];
		if (x->start != y->start || x->pages != y->pages || x->live != y->live ||
			x->flags != y->flags || x->stamp != y->stamp)
			return 0;
	}
	return memcmp(a->lost, b->lost, sizeof(a->lost)) == 0;
}
