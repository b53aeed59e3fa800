/* SPDX-License-Identifier: MIT */
/*
 * Putting ranges in place of others, wholly or not at all; and recovery.
 *
 * Where all entries that go lie in one leaf, the replacement is one transaction of the tree. Else
 * it is written down as an intent in the root and carried out leaf by leaf; a crash on the way
 * leaves the intent for recovery to finish. The caller holds the area's lock.
 */
#include <errno.h>

#include "base/shared.h"
#include "range/span.h"

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
 * Carry out the intent; doing it over ends the same. The list has `entries` entries: each round
 * erases one or more, so the loop ends.
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
	while ((count = span_locate(list, first, last, &moved, &path)) > 0) {
		if ((uint64_t)count > entries) /* a peer inserts new ones meanwhile */
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
			(range.flags & RANGE_PINNED)) /* no intent inserts one */
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

int intent_replace(struct range_list *list, struct span *span, uint32_t first, uint32_t last,
	const struct range *with, uint32_t with_count)
{
	struct range_intent *intent = &list->root->intent;

	/*
	 * What a pin leaves on the right may start after the leaf's bound, although the range
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
