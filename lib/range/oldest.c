/* SPDX-License-Identifier: MIT */
/*
 * The oldest ranges, leaf by leaf: the sweep of a purge.
 *
 * A purge takes ranges in order of age, and ranges that were unpinned one after the other often lie
 * side by side. A sweep goes down to the leaf with the oldest range and learns on the way how old
 * the oldest range outside of that leaf is. What is older in the leaf has its turn without another
 * search. Marks and live counts are stored one by one. Ages and totals are derived, so they can
 * wait: they follow once, when the sweep leaves the leaf. The way up needs no look at other nodes,
 * because the age of all that lies beside the path is known.
 *
 * Cost of a range: O(log n) for the first of a leaf; for the others the sorting, which takes a step
 * each if they lie in order.
 *
 * Without the lock, a look at the oldest stamp and the totals sees the state before the sweep or
 * after it. The caller holds the area's lock.
 */
#include <assert.h>
#include <errno.h>

#include "base/shared.h"
#include "range/oldest.h"
#include "range/tree.h"

_Static_assert(RANGE_SWEEP_MAX == LEAF_MAX, "a leaf's ranges fit a sweep");

void range_sweep_begin(struct range_sweep *sweep)
{
	sweep->next = sweep->count = 0;
	sweep->changed = 0;
	sweep->evicted = 0;
	sweep->rest_age = AGE_NONE;
}

/*
 * A range of the leaf waits for its turn, in order of age; of those with one stamp the first page
 * comes first.
 */
static void wait_for_turn(struct range_sweep *sweep, uint64_t stamp, uint32_t slot)
{
	uint32_t at = sweep->count++;

	assert(at < RANGE_SWEEP_MAX);
	for (; at > 0 && sweep->turn[at - 1].stamp > stamp; at--)
		sweep->turn[at] = sweep->turn[at - 1];
	sweep->turn[at].stamp = stamp;
	sweep->turn[at].slot = slot;
}

/* Go to the leaf with the oldest range, and find which of its ranges come before all others. */
static int enter_leaf(struct range_list *list, struct range_sweep *sweep)
{
	struct tree_path *path = &list->path;
	struct tree_beside beside;
	int r = tree_descend_to_oldest(list, &beside);

	if (r < 0)
		return r;
	sweep->next = sweep->count = 0;
	/* Neither purged ranges nor pinned entries. */
	uint64_t limit = least_of(beside.rank, AGE_PURGED - 2), rest = AGE_NONE - 1;
	for (uint32_t i = 0; i < path->at[0].count; i++) {
		uint64_t rank = entry_rank(&path->at[0].node->entry[i]);
		if (rank <= limit)
			wait_for_turn(sweep, rank, i);
		else
			rest = least_of(rest, rank);
	}
	sweep->rest_age = rest + 1;
	for (uint32_t level = 1; level <= path->height; level++)
		sweep->beside_age[level] = beside.age[level];
	return sweep->count > 0 ? 0 : -EUCLEAN; /* the ages said that there is one */
}

/* Bring the ages above the leaf up to date, and the totals. */
static void leave_leaf(struct range_list *list, struct range_sweep *sweep)
{
	struct tree_path *path = &list->path;
	uint64_t age = sweep->rest_age;

	if (!sweep->changed)
		return;
	if (sweep->next < sweep->count)
		age = older_of(age, sweep->turn[sweep->next].stamp + 1);
	for (uint32_t level = 1; level <= path->height; level++) {
		struct range_node *node = path->at[level].node;
		SHARED_STORE(node->child[path->at[level].slot].age, age);
		age = older_of(age, sweep->beside_age[level]);
	}
	SHARED_STORE(list->root->age, age);
	change_totals(list->root, -sweep->evicted, 0, 0);
	sweep->changed = 0;
	sweep->evicted = 0;
}

int range_sweep_next(struct range_list *list, struct range_sweep *sweep, struct range *found)
{
	if (sweep->next == sweep->count) {
		leave_leaf(list, sweep);
		if (range_peek_oldest(list) == RANGE_NO_STAMP)
			return 0;
		int r = enter_leaf(list, sweep);
		if (r < 0)
			return r;
	}
	list->path.at[0].slot = sweep->turn[sweep->next].slot;
	struct range range = range_load(list->path.at[0].node, list->path.at[0].slot);
	/* A peer that ignores the lock may have changed it since the sweep entered the leaf. */
	if ((range.flags & RANGE_PINNED) || !range.live || !range_is_sane(list, &range, 0))
		return -EUCLEAN;
	*found = range;
	return 1;
}

void range_sweep_mark(struct range_list *list)
{
	mark_entry(entry_at(&list->path));
}

/* `live` as in an entry, and the pages that it means. */
static void end_turn(struct range_list *list, struct range_sweep *sweep, const struct range *found,
	uint32_t live, uint32_t live_pages)
{
	SHARED_STORE(entry_at(&list->path)->live, live);
	CRASH_BARRIER();
	sweep->next++;
	sweep->changed = 1;
	sweep->evicted += (uint64_t)found->live - live_pages;
	sweep->rest_age = older_of(sweep->rest_age, age_of(live, found->stamp));
}

void range_sweep_set_live(struct range_list *list, struct range_sweep *sweep,
	const struct range *found, uint32_t live)
{
	end_turn(list, sweep, found, live, live);
}

void range_sweep_set_empty(struct range_list *list, struct range_sweep *sweep,
	const struct range *found)
{
	end_turn(list, sweep, found, LIVE_EMPTY, 0);
	change_empty(list->root, found->pages);
}

void range_sweep_end(struct range_list *list, struct range_sweep *sweep)
{
	leave_leaf(list, sweep);
	sweep->next = sweep->count = 0;
}
