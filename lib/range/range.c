/* SPDX-License-Identifier: MIT */
/*
 * The range list: what pin, unpin and release do to it (contract rules 9 to 14, exceptions D1, D2,
 * D4).
 *
 * Every operation first looks for the ranges that overlap the pages asked for, and decides from
 * them what shall stand in their place: nothing, or up to three ranges. The replacement happens
 * wholly or not at all (intent.c). A pin of exactly one range, and the unpin of the same pages
 * after it, change one entry in place.
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
#include "range/span.h"
#include "range/tree.h"

uint64_t range_nodes_needed(uint64_t pages)
{
	/*
	 * pages / 16 leaves at the worst, a sixteenth of that above them and so on, and the right
	 * spine.
	 */
	return pages / 15 + 4 * RANGE_MAX_HEIGHT;
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

/* pin_whole() of a range that is not fresh. */
static __attribute__((noinline, cold)) int pin_purged_or_empty(struct range_list *list,
	struct tree_path *path)
{
	struct range range = range_load(path->at[0].node, path->at[0].slot);

	SHARED_STORE(entry_at(path)->live, LIVE_PINNED);
	CRASH_BARRIER();
	change_totals(list->root, -(uint64_t)range.live, -(uint64_t)range.pages, -(uint64_t)1);
	if (range_is_empty(&range))
		change_empty(list->root, -range.pages);
	tree_age_changed(list, path, range_age(&range), AGE_NONE);
	return (range.flags & RANGE_PURGED) != 0;
}

/*
 * The range at the path's slot is pinned as a whole: it stays as a pinned entry. One store does it.
 */
static int pin_whole(struct range_list *list, struct tree_path *path)
{
	struct range_entry *entry = entry_at(path);
	uint64_t pages = SHARED_LOAD(entry->pages), age = SHARED_LOAD(entry->stamp) + 1;

	if (__builtin_expect(SHARED_LOAD(entry->live) != LIVE_FRESH, 0))
		return pin_purged_or_empty(list, path);
	SHARED_STORE(entry->live, LIVE_PINNED);
	CRASH_BARRIER();
	change_totals(list->root, -pages, -pages, -(uint64_t)1);
	tree_age_changed(list, path, age, AGE_NONE);
	return 0;
}

/* A pin that is not of one whole range: parts stay, or there are several. */
static int pin_parts(struct range_list *list, uint32_t first, uint32_t last)
{
	struct span span;
	struct range rest[2];
	uint32_t rests = 0;
	int r = span_find(list, first, last, &span);

	if (r < 0 || span.count == 0)
		return r;
	if (span.left.start < first)
		rest[rests++] = part_of(list, &span.left, span.left.start, first - span.left.start);
	if (range_last(&span.right) > last)
		rest[rests++] =
			part_of(list, &span.right, last + 1, range_last(&span.right) - last);
	r = intent_replace(list, &span, first, last, rest, rests);
	return r < 0 ? r : (span.flags & RANGE_PURGED) != 0;
}

/*
 * What a cache does all the time: pin again what it unpinned, and the reverse. Sets the path to the
 * entry of exactly these pages, pinned or not: 1, 0 if there is none, or -EUCLEAN. Always inline,
 * which saves such a pair 26 instructions of 720; expecting it to succeed saves 7 more.
 */
static inline __attribute__((always_inline)) int find_exact(struct range_list *list, uint32_t first,
	uint32_t last)
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
	int r = look_first(list, first, last, &path, &range);

	if (r <= 0)
		return r;
	if (range.start < first || range_last(&range) > last)
		return pin_parts(list, first, last);
	at = path;
	path.at[0].slot++;
	r = look_next(list, last, &path, &next);
	if (r < 0)
		return r;
	return r ? pin_parts(list, first, last) : pin_whole(list, &at);
}

int range_pin(struct range_list *list, uint32_t first, uint32_t last)
{
	int r = find_exact(list, first, last);

	if (__builtin_expect(r <= 0, 0))
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
	int r = span_find(list, first, last, &span);

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
	merged.live = merged.pages; /* also of those that held no memory */
	if (merged.flags & RANGE_PURGED)
		merged.live = (uint32_t)(span.live + (merged.pages - span.pages));
	return intent_replace(list, &span, merged.start, last, &merged, 1);
}

int range_unpin(struct range_list *list, uint32_t first, uint32_t last, uint64_t stamp)
{
	int r = find_exact(list, first, last);

	if (__builtin_expect(r <= 0, 0))
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
	int r = span_find(list, range->start, end, &span);

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
	return intent_replace(list, &span, range->start, end, with, count);
}

int range_cut(struct range_list *list, uint32_t page)
{
	struct tree_path path;
	struct range range, with[2];
	struct span span;
	int r = look_first(list, page, page, &path, &range);

	if (r <= 0 || range.start >= page)
		return r < 0 ? r : 0;
	uint32_t end = range_last(&range);
	r = span_find(list, range.start, end, &span);
	if (r < 0)
		return r;
	if (span.entries != 1 || span.left.start != range.start || range_last(&span.left) != end)
		return -EUCLEAN; /* not as it was a moment ago */
	with[0] = part_of(list, &range, range.start, page - range.start);
	with[1] = part_of(list, &range, page, end - page + 1);
	return intent_replace(list, &span, range.start, end, with, 2);
}

int range_release(struct range_list *list, uint32_t first, uint32_t last, uint64_t stamp)
{
	struct tree_path path;
	struct range range;
	uint64_t from = first;
	int r = 0;

	while (from <= last) {
		r = look_first(list, (uint32_t)from, last, &path, &range);
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
