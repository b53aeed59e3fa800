/* SPDX-License-Identifier: MIT */
/*
 * Changing the tree below the range list: some entries of one leaf are replaced by others, as one
 * transaction.
 *
 * The rest of the tree follows upwards from there: a leaf that overflows gives up its pinned
 * entries, or gives some to a neighbour with room, or is split (split.c); a poor node takes from
 * its neighbour or is merged with it (balance.c). Every node is touched (journal.c) before it is
 * changed. The caller holds the area's lock.
 */
#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "base/shared.h"
#include "range/edit.h"
#include "range/tree.h"

/* Take the pinned entries out; how many are left. */
static uint32_t drop_pinned(struct range *entries, uint32_t count)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < count; i++)
		if (!(entries[i].flags & RANGE_PINNED))
			entries[kept++] = entries[i];
	return kept;
}

/*
 * Replace entries of a leaf that overflows by one: pinned entries go, or a neighbour takes some, or
 * the leaf is split.
 */
static int edit_full_leaf(struct range_list *list, struct tree_path *path, uint32_t remove,
	const struct range *with, uint32_t add)
{
	struct range_node *leaf = path->at[0].node;
	uint32_t count = path->at[0].count, slot = path->at[0].slot, tail = count - slot - remove;
	struct overflow all;
	int r = 0;

	read_ranges(leaf, 0, all.entry, slot);
	memcpy(&all.entry[slot], with, add * sizeof(*with));
	read_ranges(leaf, slot + remove, &all.entry[slot + add], tail);

	uint32_t kept = drop_pinned(all.entry, LEAF_MAX + 1);
	if (kept <= LEAF_MAX) {
		set_ranges(leaf, all.entry, kept);
		return edit_rebalance(list, path, kept);
	}
	if (path->height > 0 && path->at[1].slot > 0)
		r = edit_share_leaf(list, path, path->at[1].slot - 1, &all);
	if (r == 0 && path->height > 0 && path->at[1].slot + 1 < path->at[1].count)
		r = edit_share_leaf(list, path, path->at[1].slot + 1, &all);
	if (r != 0)
		return r < 0 ? r : 0;
	return edit_split_leaf(list, path, remove ? LEAF_MAX / 2 : slot, &all);
}

/* The ranges that an edit replaces, as the journal keeps them: `count` from `slot` on. */
struct gone {
	const struct range_node *leaf;
	uint32_t slot, count;
};

/*
 * The totals and the oldest stamps follow an edit. They are derived: recovery computes them anew.
 */
static void account(struct range_root *root, const struct gone *gone, const struct range *with,
	uint32_t add)
{
	uint64_t evictable = root->evictable_pages, unpinned = root->unpinned_pages;
	uint64_t ranges = root->ranges + add;
	uint32_t empty = root->empty_pages;

	for (uint32_t i = 0; i < gone->count; i++) {
		struct range range = range_load(gone->leaf, gone->slot + i);
		if (range.flags & RANGE_PINNED)
			continue;
		evictable -= range.live;
		unpinned -= range.pages;
		empty -= range_is_empty(&range) ? range.pages : 0;
		ranges--;
	}
	for (uint32_t i = 0; i < add; i++) {
		evictable += with[i].live;
		unpinned += with[i].pages;
		empty += range_is_empty(&with[i]) ? with[i].pages : 0;
	}
	SHARED_STORE(root->evictable_pages, evictable);
	SHARED_STORE(root->unpinned_pages, unpinned);
	SHARED_STORE(root->empty_pages, empty);
	SHARED_STORE(root->ranges, ranges);
}

static uint64_t age_of_gone(const struct gone *gone)
{
	uint64_t age = AGE_NONE;

	for (uint32_t i = 0; i < gone->count; i++)
		age = older_of(age, entry_age(&gone->leaf->entry[gone->slot + i]));
	return age;
}

static uint64_t age_of_all(const struct range *ranges, uint32_t count)
{
	uint64_t age = AGE_NONE;

	for (uint32_t i = 0; i < count; i++)
		age = older_of(age, range_age(&ranges[i]));
	return age;
}

/* The edit itself, within a transaction. */
static int edit_leaf(struct range_list *list, struct tree_path *path, const struct gone *gone,
	const struct range *with, uint32_t add)
{
	struct range_node *leaf = path->at[0].node;
	uint32_t count = path->at[0].count, slot = path->at[0].slot, remove = gone->count;
	uint32_t total = count - remove + add, tail = count - slot - remove;

	if (total > LEAF_MAX)
		return edit_full_leaf(list, path, remove, with, add);
	if (remove != add) {
		memmove(&leaf->key[slot + add], &leaf->key[slot + remove],
			tail * sizeof(*leaf->key));
		memmove(&leaf->entry[slot + add], &leaf->entry[slot + remove],
			tail * sizeof(*leaf->entry));
	}
	for (uint32_t i = 0; i < add; i++)
		range_store(leaf, slot + i, &with[i]);
	SHARED_STORE(leaf->count, (uint16_t)total);
	if (edit_is_poor(path, 0, total))
		return edit_rebalance(list, path, total);
	path->at[0].count = total;
	tree_age_changed(list, path, age_of_gone(gone), age_of_all(with, add));
	return 0;
}

int tree_edit(struct range_list *list, struct tree_path *path, uint32_t remove,
	const struct range *with, uint32_t add)
{
	uint32_t count = path->at[0].count, slot = path->at[0].slot;

	assert(slot <= count && remove <= count - slot);
	if (add > remove + 1) /* what the caller saw is not there any more */
		return -EUCLEAN;
	int r = tree_touch(list, path->at[0].index, count);
	if (r < 0)
		return r;
	const struct gone gone = {
		.leaf = tree_journal_slot(list, 0), .slot = slot, .count = remove};

	r = edit_leaf(list, path, &gone, with, add);
	if (r < 0) {
		tree_rollback(list);
		return r;
	}
	account(list->root, &gone, with, add);
	tree_commit(list);
	return 0;
}
