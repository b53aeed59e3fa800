/* SPDX-License-Identifier: MIT */
/*
 * The ranges that a purge takes: see purge_iter.h.
 *
 * As long as nothing was passed over, the oldest range of all is next, and a sweep takes it with
 * its neighbours in the leaf (oldest.c). From then on the oldest range of all is one that is held,
 * so each range is looked for by itself, after the last one that was passed over (oldest_after.c),
 * and is marked and counted by its first page.
 *
 * Cost of a range: O(log n) for the first of a leaf, and a step for others in order; O(h log n)
 * with h ranges passed over. The caller holds the area's lock, except for purge_peek_oldest().
 */
#include <errno.h>

#include "range/purge_iter.h"
#include "range/tree.h"

/* -- one range, by its first page -- */

/* Set list->path to the range that starts at `start`. */
static int find_start(struct range_list *list, uint32_t start, struct range *found)
{
	struct tree_path *path = &list->path;

	/* Often the path is there already. */
	if (!tree_path_holds(list, start) || path->at[0].slot >= path->at[0].count ||
		start_at(path) != start) {
		int r = tree_descend(list, start);
		if (r < 0)
			return r;
		if (path->at[0].slot == 0)
			return -EUCLEAN;
		path->at[0].slot--;
	}
	*found = range_load(path->at[0].node, path->at[0].slot);
	if (found->start != start || (found->flags & RANGE_PINNED))
		return -EUCLEAN;
	return 0;
}

int range_mark_purged(struct range_list *list, uint32_t start)
{
	struct range range;
	int r = find_start(list, start, &range);

	if (r < 0)
		return r;
	mark_entry(entry_at(&list->path));
	return 0;
}

int range_set_live(struct range_list *list, uint32_t start, uint32_t live)
{
	struct range was;
	int r = find_start(list, start, &was);

	if (r < 0)
		return r;
	if (live > was.pages)
		return -EUCLEAN;
	SHARED_STORE(entry_at(&list->path)->live, live);
	CRASH_BARRIER();
	change_totals(list->root, (uint64_t)live - was.live, 0, 0);
	tree_age_changed(list, &list->path, range_age(&was), age_of(live, was.stamp));
	return 0;
}

int range_set_empty(struct range_list *list, uint32_t start)
{
	struct range was;
	int r = find_start(list, start, &was);

	if (r < 0 || range_is_empty(&was))
		return r;
	SHARED_STORE(entry_at(&list->path)->live, LIVE_EMPTY);
	CRASH_BARRIER();
	change_totals(list->root, -(uint64_t)was.live, 0, 0);
	change_empty(list->root, was.pages);
	tree_age_changed(list, &list->path, range_age(&was), AGE_PURGED);
	return 0;
}

int range_revive(struct range_list *list, uint32_t start)
{
	struct range was;
	int r = find_start(list, start, &was);

	if (r < 0)
		return r;
	uint32_t live = was.flags & RANGE_PURGED ? was.pages : LIVE_FRESH;
	SHARED_STORE(entry_at(&list->path)->live, live);
	CRASH_BARRIER();
	change_totals(list->root, (uint64_t)was.pages - was.live, 0, 0);
	if (range_is_empty(&was))
		change_empty(list->root, -was.pages);
	tree_age_changed(list, &list->path, range_age(&was), age_of(live, was.stamp));
	return 0;
}

/* -- ranges in order of age -- */

uint64_t purge_peek_oldest(const struct purge_progress *progress, const struct range_list *list)
{
	return progress->has_passed_over ? progress->next_stamp : range_peek_oldest(list);
}

void purge_iter_begin(struct purge_iter *iter, struct range_list *list,
	struct purge_progress *progress, uint64_t newest)
{
	iter->list = list;
	iter->progress = progress;
	iter->newest = newest;
	range_sweep_begin(&iter->sweep);
}

static int next_after_passed(struct purge_iter *iter)
{
	const struct purge_progress *progress = iter->progress;

	return range_oldest_after(iter->list, progress->passed_stamp, progress->passed_start,
		&iter->range);
}

int purge_iter_next(struct purge_iter *iter)
{
	int r = iter->progress->has_passed_over
		? next_after_passed(iter)
		: range_sweep_next(iter->list, &iter->sweep, &iter->range);

	return r > 0 ? iter->range.stamp <= iter->newest : r;
}

int purge_iter_mark(struct purge_iter *iter)
{
	if (iter->progress->has_passed_over)
		return range_mark_purged(iter->list, iter->range.start);
	range_sweep_mark(iter->list);
	return 0;
}

int purge_iter_set_live(struct purge_iter *iter, uint32_t live)
{
	if (iter->progress->has_passed_over)
		return range_set_live(iter->list, iter->range.start, live);
	range_sweep_set_live(iter->list, &iter->sweep, &iter->range, live);
	return 0;
}

int purge_iter_set_empty(struct purge_iter *iter)
{
	if (iter->progress->has_passed_over)
		return range_set_empty(iter->list, iter->range.start);
	range_sweep_set_empty(iter->list, &iter->sweep, &iter->range);
	return 0;
}

void purge_iter_pass_over(struct purge_iter *iter)
{
	struct purge_progress *progress = iter->progress;

	/* The sweep's order ends here: what it has changed must be in the ages for the search. */
	range_sweep_end(iter->list, &iter->sweep);
	progress->has_passed_over = 1;
	progress->passed_start = iter->range.start;
	progress->passed_stamp = iter->range.stamp;
	progress->work_done++;
}

int purge_iter_end(struct purge_iter *iter)
{
	struct purge_progress *progress = iter->progress;

	range_sweep_end(iter->list, &iter->sweep);
	if (!progress->has_passed_over)
		return 0;
	int r = next_after_passed(iter);
	progress->next_stamp = r > 0 ? iter->range.stamp : RANGE_NO_STAMP;
	return r < 0 ? r : 0;
}
