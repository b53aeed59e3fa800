/* SPDX-License-Identifier: MIT */
/*
 * The range list: what pin, unpin, status and purge do to it (contract rules 9 to 14, exceptions D1, D2, D4).
 *
 * Every operation first looks for the ranges that overlap the pages asked for, and decides from them what shall stand in
 * their place: nothing, one range, or two. Where all of them lie in one leaf the replacement is one transaction of
 * the tree. Else it is written down as an intent and carried out leaf by leaf; a crash on the way leaves the
 * intent for recovery to finish, so that the operation happens wholly or not at all.
 *
 * A range that was merged with a purged one carries the purge mark and keeps a count of its live pages (D1): it stays
 * on the LRU until they are freed. A pin that splits such a range does not know on which side the live pages lie
 * and counts them for both, up to the pages of each.
 *
 * The caller holds the area's lock. Stamps come from the caller; a later unpin has a larger stamp.
 */
#include <errno.h>
#include <stddef.h>

#include "range_tree.h"

/* The ranges that overlap some pages. */
struct span {
	struct tree_path path; /* at the first of them, or where a range would be inserted */
	uint32_t in_leaf;      /* how many of them lie in the path's leaf */
	int many_leaves;       /* one edit of the path's leaf will not do */
	uint64_t count;
	struct range left, right; /* the first and the last of them */
	uint64_t pages, live;     /* sums */
	uint32_t flags;           /* of all, or-ed */
};

uint64_t range_nodes_needed(uint64_t pages)
{
	/* pages / 7 leaves at the worst, a tenth of that above them, and the right spine. */
	return pages / 6 + 4 * RANGE_MAX_HEIGHT;
}

static uint32_t min_u32(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

/* Count the ranges of the path's leaf, from its slot on, that start at or before `last`. */
static uint32_t count_from_slot(const struct tree_path *path, uint32_t last)
{
	uint32_t slot = path->at[0].slot;

	while (slot < path->at[0].count && SHARED_LOAD(path->at[0].node->range[slot].start) <= last)
		slot++;
	return slot - path->at[0].slot;
}

static int slot_reaches(const struct tree_path *path, uint32_t slot, uint32_t first)
{
	struct range range = range_load(&path->at[0].node->range[slot]);

	return (uint64_t)range.start + range.pages > first;
}

/*
 * Find the first range that overlaps first..last. Returns how many overlap in its leaf and sets the path to
 * the first; 0: none, and the path is where a range that starts at `first` would be inserted. `*moved` is set if the
 * path is no longer in that leaf.
 */
static int locate(const struct range_list *list, uint32_t first, uint32_t last,
	struct tree_path *path, int *moved)
{
	int r = tree_descend(list, first, path);

	if (r < 0)
		return r;
	uint32_t slot = path->at[0].slot;
	*moved = 0;
	if (slot > 0) {
		if (slot_reaches(path, slot - 1, first))
			path->at[0].slot--;
	} else if (path->height > 0) {
		/* The bounds of inner nodes are only bounds: the range before may lie in the leaf before. */
		struct tree_path before = *path;
		r = tree_prev_leaf(list, &before);
		if (r < 0)
			return r;
		if (r && before.at[0].slot && slot_reaches(&before, before.at[0].slot - 1, first)) {
			*path = before;
			path->at[0].slot--;
			*moved = 1;
		}
	}
	if (path->at[0].slot == path->at[0].count && path->height > 0) {
		struct tree_path after = *path;
		r = tree_next_leaf(list, &after);
		if (r < 0)
			return r;
		if (r && after.at[0].count && SHARED_LOAD(after.at[0].node->range[0].start) <= last) {
			*path = after;
			*moved = 1;
		}
	}
	return (int)count_from_slot(path, last);
}

/* Add `count` ranges of a leaf to the span, checking each. */
static int span_add(const struct range_list *list, struct span *span, const struct tree_path *path,
	uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		struct range range = range_load(&path->at[0].node->range[path->at[0].slot + i]);
		uint64_t from = span->count ? (uint64_t)range_last(&span->right) + 1 : 0;

		if (!range_is_sane(list, &range, from))
			return -EUCLEAN;
		if (span->count++ == 0)
			span->left = range;
		span->right = range;
		span->pages += range.pages;
		span->live += range.live;
		span->flags |= range.flags;
	}
	return 0;
}

static int find_span(const struct range_list *list, uint32_t first, uint32_t last, struct span *span)
{
	int moved, in_leaf = locate(list, first, last, &span->path, &moved);

	if (in_leaf < 0)
		return in_leaf;
	span->in_leaf = (uint32_t)in_leaf;
	span->count = span->pages = span->live = 0;
	span->flags = 0;
	span->many_leaves = 0;
	int r = span_add(list, span, &span->path, span->in_leaf);
	if (r < 0 || in_leaf == 0)
		return r;
	/* A range that will start before those of a leaf belongs into an earlier one. */
	span->many_leaves = moved && span->left.start > first;
	if (span->path.at[0].slot + span->in_leaf < span->path.at[0].count || span->path.height == 0)
		return 0;

	struct tree_path path = span->path;
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

/* Carry out the intent; doing it over ends the same. */
static int finish_intent(struct range_list *list)
{
	struct range_intent *shared = &list->root->intent;
	uint32_t first = SHARED_LOAD(shared->first), last = SHARED_LOAD(shared->last);
	uint32_t with_count = SHARED_LOAD(shared->with_count);
	uint64_t leaves = SHARED_LOAD(list->root->nodes_used);
	struct tree_path path;
	int moved, count;

	if (first > last || last >= list->pages || with_count > 2)
		return -EUCLEAN;
	while ((count = locate(list, first, last, &path, &moved)) > 0) {
		if (leaves-- == 0) /* damaged: there are not so many */
			return -EUCLEAN;
		int r = tree_edit(list, &path, (uint32_t)count, NULL, 0);
		if (r < 0)
			return r;
	}
	if (count < 0)
		return count;
	uint64_t from = first;
	for (uint32_t i = 0; i < with_count; i++) {
		struct range range = range_load(&shared->with[i]);
		if (!range_is_sane(list, &range, from) || range_last(&range) > last)
			return -EUCLEAN;
		int r = tree_descend(list, range.start, &path);
		if (r == 0)
			r = tree_edit(list, &path, 0, &range, 1);
		if (r < 0)
			return r;
		from = (uint64_t)range_last(&range) + 1;
	}
	CRASH_BARRIER();
	SHARED_STORE(shared->active, 0);
	CRASH_BARRIER();
	return 0;
}

/* The lower bound of the next leaf, or more than any page. */
static uint64_t leaf_high(const struct tree_path *path)
{
	for (uint32_t level = 1; level <= path->height; level++)
		if (path->at[level].slot + 1 < path->at[level].count)
			return SHARED_LOAD(
				path->at[level].node->child[path->at[level].slot + 1].start);
	return UINT64_MAX;
}

/* Put `with` in place of the span's ranges; they lie within first..last widened by the span's outermost ranges. */
static int replace(struct range_list *list, struct span *span, uint32_t first, uint32_t last,
	const struct range *with, uint32_t with_count)
{
	struct range_intent *intent = &list->root->intent;

	/* What a pin leaves on the right may start behind the leaf's bound, although the range began before it. */
	if (!span->many_leaves &&
		(with_count == 0 || with[with_count - 1].start < leaf_high(&span->path)))
		return tree_edit(list, &span->path, span->in_leaf, with, with_count);

	intent->first = min_u32(first, span->left.start);
	intent->last = last > range_last(&span->right) ? last : range_last(&span->right);
	intent->with_count = with_count;
	for (uint32_t i = 0; i < with_count; i++)
		intent->with[i] = with[i];
	CRASH_BARRIER();
	SHARED_STORE(intent->active, 1);
	CRASH_BARRIER();
	return finish_intent(list);
}

/* The part of a range from `start` on, `pages` long: mark and age stay. */
static struct range part_of(const struct range *range, uint32_t start, uint32_t pages)
{
	return (struct range){
		.start = start,
		.pages = pages,
		.live = min_u32(range->live, pages),
		.flags = range->flags,
		.stamp = range->stamp,
	};
}

int range_pin(struct range_list *list, uint32_t first, uint32_t last)
{
	struct span span;
	struct range rest[2];
	uint32_t rests = 0;
	int r = find_span(list, first, last, &span);

	if (r < 0 || span.count == 0)
		return r;
	if (span.left.start < first)
		rest[rests++] = part_of(&span.left, span.left.start, first - span.left.start);
	if (range_last(&span.right) > last)
		rest[rests++] = part_of(&span.right, last + 1, range_last(&span.right) - last);
	r = replace(list, &span, first, last, rest, rests);
	return r < 0 ? r : (span.flags & RANGE_PURGED) != 0;
}

int range_unpin(struct range_list *list, uint32_t first, uint32_t last, uint64_t stamp)
{
	struct span span;
	int r = find_span(list, first, last, &span);

	if (r < 0)
		return r;
	struct range merged = {.start = first, .stamp = stamp, .flags = span.flags & RANGE_PURGED};
	if (span.count > 0) {
		if (span.left.start <= first && range_last(&span.left) >= last)
			return 0;
		if (span.left.start < first)
			merged.start = span.left.start;
		if (range_last(&span.right) > last)
			last = range_last(&span.right);
	}
	merged.pages = last - merged.start + 1;
	merged.live = (uint32_t)(span.live + (merged.pages - span.pages));
	return replace(list, &span, first, last, &merged, 1);
}

int range_overlaps(struct range_list *list, uint32_t first, uint32_t last)
{
	struct tree_path path;
	int moved, r = locate(list, first, last, &path, &moved);

	return r > 0 ? 1 : r;
}

int range_find(struct range_list *list, uint32_t page, struct range *found)
{
	struct tree_path path;
	int moved, r = locate(list, page, list->pages - 1, &path, &moved);

	if (r <= 0)
		return r;
	struct range range = range_load(&path.at[0].node->range[path.at[0].slot]);
	if (!range_is_sane(list, &range, 0))
		return -EUCLEAN;
	*found = range;
	return 1;
}

/* The entry with the oldest stamp; 0 if there is none. */
static uint32_t oldest_slot(const struct range_node *node, uint32_t count, uint32_t level)
{
	uint64_t oldest = 0;
	uint32_t slot = 0;

	for (uint32_t i = 0; i < count; i++) {
		uint64_t entry = level ? SHARED_LOAD(node->child[i].oldest_plus1)
				       : range_oldest_plus1(&node->range[i]);
		if (oldest_key(entry) < oldest_key(oldest)) {
			oldest = entry;
			slot = i;
		}
	}
	return slot;
}

int range_oldest(struct range_list *list, struct range *found)
{
	uint32_t index = SHARED_LOAD(list->root->root), level = SHARED_LOAD(list->root->height);
	struct range_node *node;
	uint32_t count;

	if (SHARED_LOAD(list->root->oldest_plus1) == 0)
		return 0;
	if (level >= RANGE_MAX_HEIGHT)
		return -EUCLEAN;
	for (;; level--) {
		int r = tree_load(list, index, level, &node, &count);
		if (r < 0)
			return r;
		uint32_t i = oldest_slot(node, count, level);
		if (level == 0) {
			struct range range = range_load(&node->range[i]);
			if (count == 0 || !range.live || !range_is_sane(list, &range, 0))
				return -EUCLEAN;
			*found = range;
			return 1;
		}
		index = SHARED_LOAD(node->child[i].node);
	}
}

/* The path to the range that starts at `start`; at[0].slot is its slot. */
static int find_start(struct range_list *list, uint32_t start, struct tree_path *path)
{
	int r = tree_descend(list, start, path);

	if (r < 0)
		return r;
	if (path->at[0].slot-- == 0 ||
		SHARED_LOAD(path->at[0].node->range[path->at[0].slot].start) != start)
		return -EUCLEAN;
	return 0;
}

int range_mark_purged(struct range_list *list, uint32_t start)
{
	struct tree_path path;
	int r = find_start(list, start, &path);

	if (r < 0)
		return r;
	struct range *range = &path.at[0].node->range[path.at[0].slot];
	SHARED_STORE(range->flags, SHARED_LOAD(range->flags) | RANGE_PURGED);
	CRASH_BARRIER();
	return 0;
}

int range_set_live(struct range_list *list, uint32_t start, uint32_t live)
{
	struct tree_path path;
	int r = find_start(list, start, &path);

	if (r < 0)
		return r;
	struct range *shared = &path.at[0].node->range[path.at[0].slot];
	struct range was = range_load(shared), now = was;
	now.live = live;
	if (live > was.pages)
		return -EUCLEAN;
	SHARED_STORE(shared->live, live);
	SHARED_STORE(list->root->evictable_pages,
		SHARED_LOAD(list->root->evictable_pages) - was.live + live);
	tree_oldest_changed(list, &path, range_oldest_plus1(&was), range_oldest_plus1(&now));
	return 0;
}

uint64_t range_peek_oldest(const struct range_list *list)
{
	return oldest_key(SHARED_LOAD(list->root->oldest_plus1));
}

uint64_t range_peek_evictable(const struct range_list *list)
{
	return SHARED_LOAD(list->root->evictable_pages);
}

int range_recover(struct range_list *list)
{
	int r = tree_rollback(list);

	if (r == 0)
		r = tree_rebuild(list);
	if (r == 0 && SHARED_LOAD(list->root->intent.active))
		r = finish_intent(list);
	return r;
}
