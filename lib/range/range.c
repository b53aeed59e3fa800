/* SPDX-License-Identifier: MIT */
/*
 * The range list: what pin, unpin, status and purge do to it (contract rules 9 to 14, exceptions
 * D1, D2, D4).
 *
 * Every operation first looks for the ranges that overlap the pages asked for, and decides from
 * them what shall stand in their place: nothing, one range, or two. Where all of them lie in one
 * leaf the replacement is one transaction of the tree. Else it is written down as an intent and
 * carried out leaf by leaf; a crash on the way leaves the intent for recovery to finish, so that
 * the operation happens wholly or not at all.
 *
 * A range that was merged with a purged one carries the purge mark and keeps a count of its live
 * pages (D1): it stays on the LRU until they are freed. A pin that splits such a range counts the
 * lost pages of both sides (lost_bitmap.h); without that knowledge it counts the live pages for
 * both, up to the pages of each.
 *
 * The caller holds the area's lock. Stamps come from the caller; a later unpin has a larger stamp.
 */
#include <errno.h>
#include <stddef.h>

#include "base/shared.h"
#include "range/lost_bitmap.h"
#include "range/purge_key.h"
#include "range/tree.h"

/* The entries that overlap some pages: ranges, and pinned entries in between. */
struct span {
	struct tree_path *path; /* at the first of them, or where a range would be inserted */
	/* what `path` points to if that is not the leaf for the first page */
	struct tree_path moved;
	uint32_t in_leaf;         /* how many entries lie in the path's leaf */
	int many_leaves;          /* one edit of the path's leaf will not do */
	uint64_t entries, count;  /* of all, and of those that are ranges */
	uint64_t next_page;       /* behind the last entry */
	struct range left, right; /* the first range and the last */
	uint64_t pages, live;     /* sums over the ranges */
	uint32_t flags;           /* of all ranges, or-ed */
};

uint64_t range_nodes_needed(uint64_t pages)
{
	/*
	 * pages / 16 leaves at the worst, a sixteenth of that above them and so on, and the right
	 * spine.
	 */
	return pages / 15 + 4 * RANGE_MAX_HEIGHT;
}

static uint32_t min_u32(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

/* Count the ranges of the path's leaf, from its slot on, that start at or before `last`. */
static uint32_t count_from_slot(const struct tree_path *path, uint32_t last)
{
	uint32_t slot = path->at[0].slot;

	while (slot < path->at[0].count && SHARED_LOAD(path->at[0].node->key[slot]) <= last)
		slot++;
	return slot - path->at[0].slot;
}

static int slot_reaches(const struct tree_path *path, uint32_t slot, uint32_t first)
{
	struct range range = range_load(path->at[0].node, slot);

	return (uint64_t)range.start + range.pages > first;
}

/*
 * Find the first entry, pinned or not, that overlaps first..last. Returns how many overlap in its
 * leaf, and `*path` is at the first; 0: none, and it is where a range that starts at `first` would
 * be inserted. The path is list->path, or `*moved` if the entry lies in a neighbour of the leaf for
 * `first`.
 */
static int locate(struct range_list *list, uint32_t first, uint32_t last, struct tree_path *moved,
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

static int find_span(struct range_list *list, uint32_t first, uint32_t last, struct span *span)
{
	int in_leaf = locate(list, first, last, &span->moved, &span->path);

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

/*
 * From the path's slot on, the first range that starts at or before `last`: 1 and the path is
 * there, 0, or -EUCLEAN.
 */
static int next_range(const struct range_list *list, uint32_t last, struct tree_path *path,
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

/* The first range that overlaps first..last: 1, 0, or -EUCLEAN. Nothing else is looked at. */
static int first_range(struct range_list *list, uint32_t first, uint32_t last,
	struct tree_path *path, struct range *found)
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
	return next_range(list, last, path, found);
}

static struct range load_intended(const struct range *shared)
{
	return (struct range){
		.start = SHARED_LOAD(shared->start),
		.pages = SHARED_LOAD(shared->pages),
		.live = SHARED_LOAD(shared->live),
		.flags = SHARED_LOAD(shared->flags),
		.stamp = SHARED_LOAD(shared->stamp),
	};
}

/*
 * Carry out the intent; doing it over ends the same. It erases so many entries at the most: each
 * round one or more.
 */
static int finish_intent(struct range_list *list, uint64_t entries)
{
	struct range_intent *shared = &list->root->intent;
	uint32_t first = SHARED_LOAD(shared->first), last = SHARED_LOAD(shared->last);
	uint32_t with_count = SHARED_LOAD(shared->with_count);
	struct tree_path moved, *path;
	int count;

	if (first > last || last >= list->pages || with_count > 3)
		return -EUCLEAN;
	while ((count = locate(list, first, last, &moved, &path)) > 0) {
		if ((uint64_t)count > entries) /* somebody puts in new ones */
			return -EUCLEAN;
		entries -= (uint64_t)count;
		int r = tree_edit(list, path, (uint32_t)count, NULL, 0);
		if (r < 0)
			return r;
	}
	if (count < 0)
		return count;
	uint64_t from = first;
	for (uint32_t i = 0; i < with_count; i++) {
		struct range range = load_intended(&shared->with[i]);
		if (!range_is_sane(list, &range, from) || range_last(&range) > last ||
			(range.flags & RANGE_PINNED)) /* none is intended to be pinned */
			return -EUCLEAN;
		int r = tree_descend(list, range.start);
		if (r == 0)
			r = tree_edit(list, &list->path, 0, &range, 1);
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

/*
 * Put `with` in place of the span's entries; they lie within first..last widened by the span's
 * outermost ranges.
 */
static int replace(struct range_list *list, struct span *span, uint32_t first, uint32_t last,
	const struct range *with, uint32_t with_count)
{
	struct range_intent *intent = &list->root->intent;

	/*
	 * What a pin leaves on the right may start behind the leaf's bound, although the range
	 * began before it.
	 */
	if (!span->many_leaves && with_count <= 2 &&
		(with_count == 0 || with[with_count - 1].start < leaf_high(span->path)))
		return tree_edit(list, span->path, span->in_leaf, with, with_count);

	intent->first = first;
	intent->last = last;
	if (span->count > 0) {
		intent->first = min_u32(first, span->left.start);
		intent->last = last > range_last(&span->right) ? last : range_last(&span->right);
	}
	intent->with_count = with_count;
	for (uint32_t i = 0; i < with_count; i++)
		intent->with[i] = with[i];
	CRASH_BARRIER();
	SHARED_STORE(intent->active, 1);
	CRASH_BARRIER();
	return finish_intent(list, span->entries);
}

/* The part of a range from `start` on, `pages` long: mark and age stay. */
static struct range part_of(const struct range_list *list, const struct range *range,
	uint32_t start, uint32_t pages)
{
	uint32_t live = min_u32(range->live, pages);

	if (live > 0 && list->lost && (range->flags & RANGE_PURGED))
		live = min_u32(live,
			pages - lost_bitmap_count(list->lost, start, start + pages - 1));
	return (struct range){
		.start = start,
		.pages = pages,
		.live = live,
		.flags = range->flags,
		.stamp = range->stamp,
	};
}

/*
 * The range at the path's slot is pinned as a whole: it stays as a pinned entry. One store does it.
 */
static int pin_whole(struct range_list *list, struct tree_path *path)
{
	struct range_entry *entry = entry_at(path);
	uint32_t pages = SHARED_LOAD(entry->pages), live = SHARED_LOAD(entry->live);
	uint64_t age = age_of(live, SHARED_LOAD(entry->stamp));
	int was_fresh = live == LIVE_FRESH;

	SHARED_STORE(entry->live, LIVE_PINNED);
	CRASH_BARRIER();
	change_totals(list->root, -(uint64_t)(was_fresh ? pages : live), -(uint64_t)pages,
		-(uint64_t)1);
	tree_age_changed(list, path, age, AGE_NONE);
	return !was_fresh;
}

/* A pin that is not of one whole range: parts stay, or there are several. */
static int pin_parts(struct range_list *list, uint32_t first, uint32_t last)
{
	struct span span;
	struct range rest[2];
	uint32_t rests = 0;
	int r = find_span(list, first, last, &span);

	if (r < 0 || span.count == 0)
		return r;
	if (span.left.start < first)
		rest[rests++] = part_of(list, &span.left, span.left.start, first - span.left.start);
	if (range_last(&span.right) > last)
		rest[rests++] =
			part_of(list, &span.right, last + 1, range_last(&span.right) - last);
	r = replace(list, &span, first, last, rest, rests);
	return r < 0 ? r : (span.flags & RANGE_PURGED) != 0;
}

/*
 * What a cache does all the time: pin again what it unpinned, and the reverse. Sets the path to the
 * entry of exactly these pages, pinned or not: 1, 0 if there is none, or -EUCLEAN.
 */
static inline int find_exact(struct range_list *list, uint32_t first, uint32_t last)
{
	struct tree_path *path = &list->path;
	uint32_t pages = last - first + 1;

	/* Often it is the entry that was looked for last. */
	if (tree_path_holds(list, first) && path->at[0].slot < path->at[0].count) {
		if (start_at(path) == first && SHARED_LOAD(entry_at(path)->pages) == pages)
			return 1;
	}
	int r = tree_descend(list, first);
	if (r < 0 || path->at[0].slot == 0)
		return r;
	path->at[0].slot--;
	if (start_at(path) == first && SHARED_LOAD(entry_at(path)->pages) == pages)
		return 1;
	path->at[0].slot++;
	return 0;
}

static int pin_any(struct range_list *list, uint32_t first, uint32_t last)
{
	struct tree_path path, at;
	struct range range, next;
	int r = first_range(list, first, last, &path, &range);

	if (r <= 0)
		return r;
	if (range.start < first || range_last(&range) > last)
		return pin_parts(list, first, last);
	at = path;
	path.at[0].slot++;
	r = next_range(list, last, &path, &next);
	if (r < 0)
		return r;
	return r ? pin_parts(list, first, last) : pin_whole(list, &at);
}

int range_pin(struct range_list *list, uint32_t first, uint32_t last)
{
	int r = find_exact(list, first, last);

	if (r <= 0)
		return r < 0 ? r : pin_any(list, first, last);
	if (SHARED_LOAD(entry_at(&list->path)->live) == LIVE_PINNED)
		return 0;
	return pin_whole(list, &list->path);
}

/* A pinned entry becomes a range again. It counts with the last store only. */
static void unpin_whole(struct range_list *list, struct tree_path *path, uint64_t stamp)
{
	struct range_entry *entry = entry_at(path);
	uint32_t pages = SHARED_LOAD(entry->pages);

	SHARED_STORE(entry->stamp, stamp);
	CRASH_BARRIER();
	SHARED_STORE(entry->live, LIVE_FRESH);
	CRASH_BARRIER();
	change_totals(list->root, pages, pages, 1);
	tree_age_changed(list, path, AGE_NONE, age_of(LIVE_FRESH, stamp));
}

/* An unpin that changes entries: all that it overlaps become one range. */
static int unpin_merge(struct range_list *list, uint32_t first, uint32_t last, uint64_t stamp)
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
	return replace(list, &span, merged.start, last, &merged, 1);
}

int range_unpin(struct range_list *list, uint32_t first, uint32_t last, uint64_t stamp)
{
	int r = find_exact(list, first, last);

	if (r <= 0)
		return r < 0 ? r : unpin_merge(list, first, last, stamp);
	if (SHARED_LOAD(entry_at(&list->path)->live) == LIVE_PINNED)
		unpin_whole(list, &list->path, stamp);
	return 0;
}

/* Of one range, the pages first..last become fresh. */
static int release_part(struct range_list *list, const struct range *range, uint32_t first,
	uint32_t last, uint64_t stamp)
{
	uint32_t end = range_last(range), count = 0;
	struct range with[3];
	struct span span;
	int r = find_span(list, range->start, end, &span);

	if (r < 0)
		return r;
	if (span.entries != 1 || span.left.start != range->start || range_last(&span.left) != end)
		return -EUCLEAN; /* not as it was a moment ago */
	if (range->start < first)
		with[count++] = part_of(list, range, range->start, first - range->start);
	with[count] = (struct range){
		.start = first,
		.pages = last - first + 1,
		.stamp = purge_key_renew(range->stamp, stamp),
	};
	with[count].live = with[count].pages;
	count++;
	if (end > last)
		with[count++] = part_of(list, range, last + 1, end - last);
	return replace(list, &span, range->start, end, with, count);
}

int range_release(struct range_list *list, uint32_t first, uint32_t last, uint64_t stamp)
{
	struct tree_path path;
	struct range range;
	uint64_t from = first;
	int r = 0;

	while (from <= last) {
		r = first_range(list, (uint32_t)from, last, &path, &range);
		if (r <= 0)
			return r;
		uint32_t start = range.start < first ? first : range.start;
		uint32_t end = min_u32(range_last(&range), last);
		if (end < from || start < from) /* damaged: every round goes on */
			return -EUCLEAN;
		r = release_part(list, &range, start, end, stamp);
		if (r < 0)
			return r;
		from = (uint64_t)end + 1;
	}
	return 0;
}

int range_overlaps(struct range_list *list, uint32_t first, uint32_t last)
{
	struct tree_path path;
	struct range range;

	return first_range(list, first, last, &path, &range);
}

int range_look(struct range_list *list, uint32_t first, uint32_t last)
{
	struct tree_path path;
	struct range range;
	uint64_t from = 0;
	int seen = 0, r = first_range(list, first, last, &path, &range);

	while (r > 0) {
		if (range.start < from) /* ranges ascend: so this ends */
			return -EUCLEAN;
		from = (uint64_t)range.start + range.pages;
		seen |= RANGE_SEEN_UNPINNED;
		if (range.flags & RANGE_PURGED)
			seen |= RANGE_SEEN_PURGED;
		path.at[0].slot++;
		r = next_range(list, last, &path, &range);
	}
	return r < 0 ? r : seen;
}

int range_find(struct range_list *list, uint32_t page, struct range *found)
{
	struct tree_path path;

	return first_range(list, page, list->pages - 1, &path, found);
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

uint64_t range_peek_purged(const struct range_list *list)
{
	uint64_t unpinned = SHARED_LOAD(list->root->unpinned_pages);
	uint64_t evictable = SHARED_LOAD(list->root->evictable_pages);
	uint64_t purged = unpinned > evictable ? unpinned - evictable : 0;

	return purged < list->pages ? purged : list->pages;
}

int range_recover(struct range_list *list)
{
	uint64_t entries = 0;
	int r = tree_rollback(list);

	if (r == 0)
		r = tree_rebuild(list, &entries);
	if (r == 0 && SHARED_LOAD(list->root->intent.active))
		r = finish_intent(list, entries);
	return r;
}
