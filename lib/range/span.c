/* SPDX-License-Identifier: MIT */
/*
 * The entries that overlap some pages: see span.h. They may begin in the leaf before the one that
 * the first page leads to, and end in any leaf after it. The caller holds the area's lock.
 */
#include <errno.h>

#include "base/shared.h"
#include "range/span.h"

/* Count the ranges of the path's leaf, from its slot on, that start at or before `last`. */
static uint32_t count_from_slot(const struct tree_path *path, uint32_t last)
{
	uint32_t slot = path->at[0].slot;

	while (slot < path->at[0].count && SHARED_LOAD(path->at[0].node->key[slot]) <= last)
		slot++;
	return slot - path->at[0].slot;
}

int span_locate(struct range_list *list, uint32_t first, uint32_t last, struct tree_path *moved,
	struct tree_path **path)
{
	struct tree_path *here = &list->path;
	int r = tree_descend(list, first);

	if (r < 0)
		return r;
	uint32_t slot = here->at[0].slot;
	*path = here;
	if (slot > 0) {
		if (slot_reaches(here, slot - 1, first))
			here->at[0].slot--;
	} else if (here->height > 0) {
		/*
		 * The bounds of inner nodes are only bounds: the range before may lie in the leaf
		 * before.
		 */
		*moved = *here;
		r = tree_prev_leaf(list, moved);
		if (r < 0)
			return r;
		if (r && moved->at[0].slot && slot_reaches(moved, moved->at[0].slot - 1, first)) {
			moved->at[0].slot--;
			*path = moved;
		}
	}
	if ((*path)->at[0].slot == (*path)->at[0].count && here->height > 0) {
		*moved = *here;
		r = tree_next_leaf(list, moved);
		if (r < 0)
			return r;
		if (r && moved->at[0].count && SHARED_LOAD(moved->at[0].node->key[0]) <= last)
			*path = moved;
	}
	return (int)count_from_slot(*path, last);
}

/* Add `count` entries of a leaf to the span, checking each. */
static int span_add(const struct range_list *list, struct span *span, const struct tree_path *path,
	uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		struct range range = range_load(path->at[0].node, path->at[0].slot + i);

		if (!range_is_sane(list, &range, span->next_page))
			return -EUCLEAN;
		span->next_page = (uint64_t)range.start + range.pages;
		span->entries++;
		if (range.flags & RANGE_PINNED)
			continue;
		if (span->count++ == 0)
			span->left = range;
		span->right = range;
		span->pages += range.pages;
		span->live += range.live;
		span->flags |= range.flags;
	}
	return 0;
}

int span_find(struct range_list *list, uint32_t first, uint32_t last, struct span *span)
{
	int in_leaf = span_locate(list, first, last, &span->moved, &span->path);

	if (in_leaf < 0)
		return in_leaf;
	span->in_leaf = (uint32_t)in_leaf;
	span->entries = span->count = span->pages = span->live = span->next_page = 0;
	span->flags = 0;
	span->many_leaves = 0;
	int r = span_add(list, span, span->path, span->in_leaf);
	if (r < 0 || in_leaf == 0)
		return r;
	/* A range that will start before those of a leaf belongs into an earlier one. */
	uint32_t start = start_at(span->path);
	span->many_leaves = span->path == &span->moved && start > first;
	if (span->path->at[0].slot + span->in_leaf < span->path->at[0].count ||
		span->path->height == 0)
		return 0;

	struct tree_path path = *span->path;
	while ((r = tree_next_leaf(list, &path)) > 0) {
		uint32_t count = count_from_slot(&path, last);
		if (count == 0)
			return 0;
		span->many_leaves = 1;
		r = span_add(list, span, &path, count);
		if (r < 0 || count < path.at[0].count)
			return r;
	}
	return r;
}
