/* SPDX-License-Identifier: MIT */
/*
 * Changing the tree below the range list: some entries of one leaf are replaced by others, as one
 * transaction.
 *
 * The tree is mended upwards from there: a leaf that overflows gives up its pinned entries, or
 * gives some to a neighbour with room, or is split; a poor node takes from its neighbour or is
 * merged with it. Every node is touched (journal.c) before it is changed. The caller holds the
 * area's lock.
 */
#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "base/shared.h"
#include "range/tree.h"

void tree_index_keys(struct range_node *node, uint32_t from, uint32_t count)
{
	for (uint32_t i = from; i < count; i++)
		node->key[i] = tree_key_of(node, i);
}

/* An inner node has `count` children now, those from `from` on new or moved. */
static void set_children(struct range_node *node, uint32_t from, uint32_t count)
{
	tree_index_keys(node, from, count);
	SHARED_STORE(node->count, (uint16_t)count);
}

/* Copy ranges of a leaf from `from` on. */
static void read_ranges(const struct range_node *leaf, uint32_t from, struct range *ranges,
	uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		ranges[i] = range_load(leaf, from + i);
}

/* A leaf gets these ranges and no others. */
static void set_ranges(struct range_node *leaf, const struct range *ranges, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		range_store(leaf, i, &ranges[i]);
	SHARED_STORE(leaf->count, (uint16_t)count);
}

/* -- splitting -- */

static int on_right_spine(const struct tree_path *path, uint32_t level)
{
	while (++level <= path->height)
		if (path->at[level].slot + 1 < path->at[level].count)
			return 0;
	return 1;
}

/*
 * How many entries of a full node and one more, at `slot`, the left node keeps: those before it, so
 * that entries that come in order, ascending or descending, leave full nodes behind; but neither
 * node may be poor.
 */
static uint32_t split_point(const struct tree_path *path, uint32_t level, uint32_t slot)
{
	uint32_t max = level ? INNER_MAX : LEAF_MAX, min = level ? INNER_MIN : LEAF_MIN;

	if (slot >= max && on_right_spine(path, level))
		return max;
	if (slot < min)
		return min;
	return slot > max + 1 - min ? max + 1 - min : slot;
}

static int new_root(struct range_list *list, struct tree_path *path,
	const struct range_child *right)
{
	struct range_root *root = list->root;
	uint32_t index, level = path->height + 1;

	if (level >= RANGE_MAX_HEIGHT)
		return -EUCLEAN;
	struct range_node *node, *left = path->at[path->height].node;
	int r = tree_node_alloc(list, level, &index, &node);
	if (r < 0)
		return r;
	node->child[0] = (struct range_child){
		.node = path->at[path->height].index,
		.age = tree_node_age(left, SHARED_LOAD(left->count), level - 1),
	};
	node->child[1] = *right;
	set_children(node, 0, 2);
	SHARED_STORE(root->root, index);
	SHARED_STORE(root->height, level);
	SHARED_STORE(root->age, tree_node_age(node, 2, level));
	return 0;
}

/* Put a new child to the right of the path's child, splitting upwards as needed. */
static int insert_child(struct range_list *list, struct tree_path *path, uint32_t level,
	struct range_child right)
{
	for (; level <= path->height; level++) {
		struct range_node *node = path->at[level].node;
		uint32_t count = path->at[level].count, slot = path->at[level].slot + 1;
		int r = tree_touch(list, path->at[level].index, count);
		if (r < 0)
			return r;
		struct range_node *below = path->at[level - 1].node;
		SHARED_STORE(node->child[slot - 1].age,
			tree_node_age(below, SHARED_LOAD(below->count), level - 1));
		if (count < INNER_MAX) {
			memmove(&node->child[slot + 1], &node->child[slot],
				(count - slot) * sizeof(right));
			node->child[slot] = right;
			set_children(node, slot, count + 1);
			tree_refresh_ages(list, path, level);
			return 0;
		}

		struct range_child all[INNER_MAX + 1];
		uint32_t index, keep = split_point(path, level, slot);
		struct range_node *twin;
		r = tree_node_alloc(list, level, &index, &twin);
		if (r < 0)
			return r;
		memcpy(all, node->child, slot * sizeof(right));
		all[slot] = right;
		memcpy(&all[slot + 1], &node->child[slot], (count - slot) * sizeof(right));

		uint32_t rest = INNER_MAX + 1 - keep;
		memcpy(node->child, all, keep * sizeof(right));
		memcpy(twin->child, &all[keep], rest * sizeof(right));
		set_children(node, 0, keep);
		set_children(twin, 0, rest);
		right = (struct range_child){
			.start = all[keep].start,
			.node = index,
			.age = tree_node_age(twin, rest, level),
		};
	}
	return new_root(list, path, &right);
}

/* -- mending poor nodes -- */

static int is_poor(const struct tree_path *path, uint32_t level, uint32_t count)
{
	if (level == path->height)
		return level > 0 && count < 2;
	if (on_right_spine(path, level))
		return count < 1;
	return count < (level ? (uint32_t)INNER_MIN : (uint32_t)LEAF_MIN);
}

/* The root lost its children but one, which takes its place; or all, and is an empty leaf again. */
static int shrink_root(struct range_list *list, struct tree_path *path, uint32_t count)
{
	struct range_root *root = list->root;
	struct range_node *node = path->at[path->height].node, *heir;
	uint32_t heir_index = SHARED_LOAD(node->child[0].node), heir_count;

	if (count == 0) {
		SHARED_STORE(node->level, 0);
		SHARED_STORE(root->height, 0);
		SHARED_STORE(root->age, 0);
		return 0;
	}
	int r = tree_load(list, heir_index, path->height - 1, &heir, &heir_count);
	if (r < 0)
		return r;
	SHARED_STORE(root->root, heir_index);
	SHARED_STORE(root->height, path->height - 1);
	SHARED_STORE(root->age, tree_node_age(heir, heir_count, path->height - 1));
	tree_node_drop(list, path->at[path->height].index);
	return 0;
}

static void erase_child(struct range_node *parent, uint32_t *count, uint32_t slot)
{
	memmove(&parent->child[slot], &parent->child[slot + 1],
		(*count - slot - 1) * sizeof(struct range_child));
	set_children(parent, slot, --*count);
}

static void merge_or_share_leaves(struct range_node *left, uint32_t left_count,
	struct range_node *right, uint32_t right_count, uint32_t keep)
{
	struct range all[2 * LEAF_MAX];

	read_ranges(left, 0, all, left_count);
	read_ranges(right, 0, &all[left_count], right_count);
	set_ranges(left, all, keep);
	set_ranges(right, &all[keep], left_count + right_count - keep);
}

static void merge_or_share_children(struct range_node *left, uint32_t left_count,
	struct range_node *right, uint32_t right_count, uint32_t keep, uint32_t right_start)
{
	struct range_child all[2 * INNER_MAX];
	uint32_t rest = left_count + right_count - keep;

	memcpy(all, left->child, left_count * sizeof(*all));
	memcpy(&all[left_count], right->child, right_count * sizeof(*all));
	/* the bound of a first child is not looked at; it is no longer the first */
	all[left_count].start = right_start;
	memcpy(left->child, all, keep * sizeof(*all));
	set_children(left, 0, keep);
	memcpy(right->child, &all[keep], rest * sizeof(*all));
	set_children(right, 0, rest);
}

/*
 * Two neighbours, `right` the second: merge into the first if they fit (1), or share their entries
 * evenly (0).
 */
static int merge_or_share(struct range_node *left, uint32_t left_count, struct range_node *right,
	uint32_t right_count, uint32_t level, struct range_child *right_entry)
{
	uint32_t total = left_count + right_count;
	uint32_t keep =
		total <= (level ? (uint32_t)INNER_MAX : (uint32_t)LEAF_MAX) ? total : total / 2;

	if (level)
		merge_or_share_children(left, left_count, right, right_count, keep,
			right_entry->start);
	else
		merge_or_share_leaves(left, left_count, right, right_count, keep);
	if (keep == total)
		return 1;
	right_entry->start = level ? right->child[0].start : right->key[0];
	right_entry->age = tree_node_age(right, total - keep, level);
	return 0;
}

/*
 * Mend the poor node at `level`, whose count is `count`, with its neighbour. `*parent_count`
 * follows.
 */
static int mend_node(struct range_list *list, struct tree_path *path, uint32_t level,
	uint32_t count, uint32_t *parent_count)
{
	struct range_node *parent = path->at[level + 1].node, *other;
	uint32_t slot = path->at[level + 1].slot, other_count;
	int r = tree_touch(list, path->at[level + 1].index, *parent_count);

	if (r < 0)
		return r;
	if (count == 0) {
		erase_child(parent, parent_count, slot);
		tree_node_drop(list, path->at[level].index);
		return 0;
	}
	if (*parent_count < 2) {
		SHARED_STORE(parent->child[slot].age,
			tree_node_age(path->at[level].node, count, level));
		return 0;
	}

	uint32_t other_slot = slot ? slot - 1 : 1, right_slot = slot ? slot : 1;
	uint32_t other_index = SHARED_LOAD(parent->child[other_slot].node);
	r = tree_load(list, other_index, level, &other, &other_count);
	if (r < 0)
		return r;
	if (other == path->at[level].node)
		return -EUCLEAN;
	r = tree_touch(list, other_index, other_count);
	if (r < 0)
		return r;

	struct range_node *node = path->at[level].node;
	struct range_child *right_entry = &parent->child[right_slot];
	int merged = slot ? merge_or_share(other, other_count, node, count, level, right_entry)
			  : merge_or_share(node, count, other, other_count, level, right_entry);
	struct range_node *left = slot ? other : node;
	SHARED_STORE(parent->child[right_slot - 1].age,
		tree_node_age(left, SHARED_LOAD(left->count), level));
	if (merged) {
		erase_child(parent, parent_count, right_slot);
		tree_node_drop(list, slot ? path->at[level].index : other_index);
	} else {
		tree_index_keys(parent, right_slot, right_slot + 1);
	}
	return 0;
}

/*
 * Mend the tree from the leaf upwards after entries were taken from it; the leaf has `count` left.
 */
static int mend(struct range_list *list, struct tree_path *path, uint32_t count)
{
	uint32_t level = 0;

	while (is_poor(path, level, count)) {
		if (level == path->height)
			return shrink_root(list, path, count);
		uint32_t parent_count = path->at[level + 1].count;
		int r = mend_node(list, path, level, count, &parent_count);
		if (r < 0)
			return r;
		count = parent_count;
		level++;
	}
	tree_refresh_ages(list, path, level);
	return 0;
}

/* -- editing -- */

/* Take the pinned entries out; how many are left. */
static uint32_t drop_pinned(struct range *entries, uint32_t count)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < count; i++)
		if (!(entries[i].flags & RANGE_PINNED))
			entries[kept++] = entries[i];
	return kept;
}

/* One more entry than a leaf holds, on its way into the tree. */
struct overflow {
	struct range entry[LEAF_MAX + 1];
};

/*
 * Share the entries of a leaf that overflows with its neighbour at `slot` of their parent, if that
 * has room: 1, 0 if not, or a negative errno. Neighbours are filled before leaves are split, which
 * keeps the tree dense whatever the order.
 */
static int share_with(struct range_list *list, struct tree_path *path, uint32_t slot,
	const struct overflow *all)
{
	struct range_node *leaf = path->at[0].node, *parent = path->at[1].node, *other;
	struct range both[2 * LEAF_MAX];
	uint32_t index = SHARED_LOAD(parent->child[slot].node), count;
	int other_first = slot < path->at[1].slot;
	int r = tree_load(list, index, 0, &other, &count);

	if (r < 0 || count > LEAF_ROOMY || other == leaf)
		return r < 0 ? r : 0;
	r = tree_touch(list, path->at[1].index, path->at[1].count);
	if (r == 0)
		r = tree_touch(list, index, count);
	if (r < 0)
		return r;

	uint32_t total = count + LEAF_MAX + 1, keep = total / 2;
	read_ranges(other, 0, &both[other_first ? 0 : LEAF_MAX + 1], count);
	memcpy(&both[other_first ? count : 0], all->entry, sizeof(all->entry));
	struct range_node *left = other_first ? other : leaf, *right = other_first ? leaf : other;
	set_ranges(left, both, keep);
	set_ranges(right, &both[keep], total - keep);

	uint32_t left_slot = other_first ? slot : path->at[1].slot;
	struct range_child *child = &parent->child[left_slot];
	SHARED_STORE(child[0].age, tree_node_age(left, keep, 0));
	child[1].start = both[keep].start;
	SHARED_STORE(child[1].age, tree_node_age(right, total - keep, 0));
	tree_index_keys(parent, left_slot + 1, left_slot + 2);
	tree_refresh_ages(list, path, 1);
	return 1;
}

/* Split a leaf that overflows by the entry at its slot. */
static int split_leaf(struct range_list *list, struct tree_path *path, uint32_t slot,
	const struct overflow *all)
{
	struct range_node *leaf = path->at[0].node;
	uint32_t index, keep = split_point(path, 0, slot), rest = LEAF_MAX + 1 - keep;
	struct range_node *twin;
	int r = tree_node_alloc(list, 0, &index, &twin);

	if (r < 0)
		return r;
	set_ranges(leaf, all->entry, keep);
	set_ranges(twin, &all->entry[keep], rest);
	return insert_child(list, path, 1,
		(struct range_child){
			.start = all->entry[keep].start,
			.node = index,
			.age = tree_node_age(twin, rest, 0),
		});
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
		return mend(list, path, kept);
	}
	if (path->height > 0 && path->at[1].slot > 0)
		r = share_with(list, path, path->at[1].slot - 1, &all);
	if (r == 0 && path->height > 0 && path->at[1].slot + 1 < path->at[1].count)
		r = share_with(list, path, path->at[1].slot + 1, &all);
	if (r != 0)
		return r < 0 ? r : 0;
	return split_leaf(list, path, remove ? LEAF_MAX / 2 : slot, &all);
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

	for (uint32_t i = 0; i < gone->count; i++) {
		struct range range = range_load(gone->leaf, gone->slot + i);
		if (range.flags & RANGE_PINNED)
			continue;
		evictable -= range.live;
		unpinned -= range.pages;
		ranges--;
	}
	for (uint32_t i = 0; i < add; i++) {
		evictable += with[i].live;
		unpinned += with[i].pages;
	}
	SHARED_STORE(root->evictable_pages, evictable);
	SHARED_STORE(root->unpinned_pages, unpinned);
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
	if (is_poor(path, 0, total))
		return mend(list, path, total);
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
