/* SPDX-License-Identifier: MIT */
/*
 * Range engines that are wrong on purpose, to show that the differential test can fail.
 *
 * The engine's own range_pin() and range_unpin() are compiled under the names real_range_pin() and
 * real_range_unpin() (-D on the command line); the library calls the ones here instead, which do
 * one thing wrong, by -D as well:
 *
 *   PLANT_TOUCHING  unpin merges ranges that only touch            (rule 10)
 *   PLANT_AGE       unpin inside an unpinned range makes it young  (rule 10)
 *   PLANT_MARK      pin that splits a range forgets its mark       (rule 11)
 *
 * It knows the engine by lib/range/range.h alone, so it stays valid while the engine changes.
 */
#include "range/range.h"

int real_range_pin(struct range_list *list, uint32_t first, uint32_t last);
int real_range_unpin(struct range_list *list, uint32_t first, uint32_t last, uint64_t stamp);

static uint32_t end_of(const struct range *range)
{
	return range->start + range->pages - 1;
}

#ifndef PLANT_MARK

int range_pin(struct range_list *list, uint32_t first, uint32_t last)
{
	return real_range_pin(list, first, last);
}

static int is_inside_one(struct range_list *list, uint32_t first, uint32_t last,
	struct range *range)
{
	return range_find(list, first, range) == 1 && range->start <= first &&
		end_of(range) >= last;
}

#endif

#ifdef PLANT_TOUCHING

int range_unpin(struct range_list *list, uint32_t first, uint32_t last, uint64_t stamp)
{
	struct range range;

	if (!is_inside_one(list, first, last, &range)) {
		if (first > 0 && range_overlaps(list, first - 1, first - 1) == 1)
			first--;
		if (last + 1 < list->pages && range_overlaps(list, last + 1, last + 1) == 1)
			last++;
	}
	return real_range_unpin(list, first, last, stamp);
}

#elif defined(PLANT_AGE)

/* The range that was there, once more, but young. */
static int renew(struct range_list *list, const struct range *range, uint64_t stamp)
{
	int r = real_range_pin(list, range->start, end_of(range));

	if (r >= 0)
		r = real_range_unpin(list, range->start, end_of(range), stamp);
	if (r >= 0 && (range->flags & RANGE_PURGED))
		r = range_mark_purged(list, range->start);
	if (r >= 0 && range->live < range->pages)
		r = range_set_live(list, range->start, range->live);
	return r < 0 ? r : 0;
}

int range_unpin(struct range_list *list, uint32_t first, uint32_t last, uint64_t stamp)
{
	struct range range;

	if (is_inside_one(list, first, last, &range))
		return renew(list, &range, stamp);
	return real_range_unpin(list, first, last, stamp);
}

#elif defined(PLANT_MARK)

int range_unpin(struct range_list *list, uint32_t first, uint32_t last, uint64_t stamp)
{
	return real_range_unpin(list, first, last, stamp);
}

/* What a pin left of a range, as if it had never been purged. */
static int forget(struct range_list *list, uint32_t first, uint32_t last, uint64_t stamp)
{
	int r = real_range_pin(list, first, last);

	return r < 0 ? r : real_range_unpin(list, first, last, stamp);
}

int range_pin(struct range_list *list, uint32_t first, uint32_t last)
{
	struct range left, right, next;
	int found = range_find(list, first, &left) == 1 && left.start <= last;
	int result, r = 0;

	if (!found)
		return real_range_pin(list, first, last);
	right = left;
	while (end_of(&right) < last && range_find(list, end_of(&right) + 1, &next) == 1 &&
		next.start <= last)
		right = next;
	result = real_range_pin(list, first, last);
	if (result >= 0 && left.start < first && (left.flags & RANGE_PURGED))
		r = forget(list, left.start, first - 1, left.stamp);
	if (result >= 0 && r >= 0 && end_of(&right) > last && (right.flags & RANGE_PURGED))
		r = forget(list, last + 1, end_of(&right), right.stamp);
	return r < 0 ? r : result;
}

#else
#error "no fault chosen"
#endif
