/* SPDX-License-Identifier: MIT */
/*
 * Looking at the range list: what there is of ranges on some pages, and the sums in the root.
 *
 * Nothing is changed here. range_look() and the range_peek_ functions also serve those who do not
 * hold the area's lock: each value is loaded once and checked before it is used, and every loop
 * ends whatever changes meanwhile.
 */
#include <errno.h>

#include "base/shared.h"
#include "range/span.h"

int look_next(const struct range_list *list, uint32_t last, struct tree_path *path,
	struct range *found)
{
	/* The leaf that tree_next_ranges() finds has a range, but in damaged memory. */
	for (int rounds = 0; rounds < 2; rounds++) {
		const struct range_node *leaf = path->at[0].node;
		for (uint32_t slot = path->at[0].slot; slot < path->at[0].count; slot++) {
			struct range range = range_load(leaf, slot);
			if (range.start > last)
				return 0;
			if (range.flags & RANGE_PINNED)
				continue;
			if (!range_is_sane(list, &range, 0))
				return -EUCLEAN;
			path->at[0].slot = slot;
			*found = range;
			return 1;
		}
		if (path->height == 0)
			return 0;
		int r = tree_next_ranges(list, path);
		if (r <= 0)
			return r;
		path->at[0].slot = 0;
	}
	return -EUCLEAN;
}

int look_first(struct range_list *list, uint32_t first, uint32_t last, struct tree_path *path,
	struct range *found)
{
	int r = tree_descend(list, first);

	if (r < 0)
		return r;
	*path = list->path;
	if (path->at[0].slot == 0 && path->height > 0) {
		struct tree_path before = *path;
		r = tree_prev_leaf(list, &before);
		if (r < 0)
			return r;
		if (r && before.at[0].slot && slot_reaches(&before, before.at[0].slot - 1, first))
			*path = before;
	}
	if (path->at[0].slot > 0 && slot_reaches(path, path->at[0].slot - 1, first))
		path->at[0].slot--;
	r = look_next(list, last, path, found);
	/* Damaged. A walk that goes on after what it was given must get past `first`. */
	if (r > 0 && range_last(found) < first)
		return -EUCLEAN;
	return r;
}

int range_overlaps(struct range_list *list, uint32_t first, uint32_t last)
{
	struct tree_path path;
	struct range range;

	return look_first(list, first, last, &path, &range);
}

int range_look(struct range_list *list, uint32_t first, uint32_t last)
{
	struct tree_path path;
	struct range range;
	uint64_t from = 0;
	int seen = 0, r = look_first(list, first, last, &path, &range);

	while (r > 0) {
		if (range.start < from) /* ranges ascend: so this ends */
			return -EUCLEAN;
		from = (uint64_t)range.start + range.pages;
		seen |= RANGE_SEEN_UNPINNED;
		if (range.flags & RANGE_PURGED)
			seen |= RANGE_SEEN_PURGED;
		path.at[0].slot++;
		r = look_next(list, last, &path, &range);
	}
	return r < 0 ? r : seen;
}

int range_find(struct range_list *list, uint32_t page, struct range *found)
{
	struct tree_path path;

	return look_first(list, page, list->pages - 1, &path, found);
}

uint64_t range_peek_oldest(const struct range_list *list)
{
	uint64_t age = SHARED_LOAD(list->root->age);

	return age == AGE_NONE || age == AGE_PURGED ? RANGE_NO_STAMP : age - 1;
}

uint64_t range_peek_evictable(const struct range_list *list)
{
	return SHARED_LOAD(list->root->evictable_pages);
}

uint64_t range_peek_empty(const struct range_list *list)
{
	uint64_t pages = SHARED_LOAD(list->root->empty_pages);

	return pages < list->pages ? pages : list->pages;
}

uint64_t range_peek_purged(const struct range_list *list)
{
	uint64_t unpinned = SHARED_LOAD(list->root->unpinned_pages);
	uint64_t evictable = SHARED_LOAD(list->root->evictable_pages);
	uint64_t purged = unpinned > evictable ? unpinned - evictable : 0;

	return purged < list->pages ? purged : list->pages;
}
